"""Two experiments beside each other."""

from __future__ import annotations

import io
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autoresearch_kit import git, paired, records
from autoresearch_kit.comparisons import compare
from autoresearch_kit.errors import CampaignError
from tests.recorded import record, write
from tests.test_display import Tags

CURVE = records.curve((i / 20, 6 - 0.15 * i) for i in range(21))


def runs(*values: float) -> tuple[dict[str, float], ...]:
    return tuple({"seed": i, "value": value} for i, value in enumerate(values))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    decided = [
        record(0, "keep", 2.3, replicates=runs(2.2, 2.4), curve=CURVE, peak_memory_mb=400.0),
        record(
            1,
            "keep",
            2.1,
            delta=-0.2,
            noise=0.1,
            curve=CURVE,
            hypothesis="a higher rate",
            peak_memory_mb=450.0,
            training_seconds=20.0,
            proposal={"cost": 0.02, "tokens": 1234},
        ),
        record(2, "crash", parent=1, reason="loss is nan"),
        record(3, "keep", 2.2, about=1, kind="repeat", replicates=({"seed": 9, "value": 2.2},)),
    ]
    return write(tmp_path / "lab", decided)


def attach(repo: Path, n: int, *replicates: tuple[np.ndarray, np.ndarray]) -> None:
    """Attach losses row by row to an experiment, as a scorer's are."""
    files = {}
    for i, (values, weights) in enumerate(replicates):
        content = io.BytesIO()
        np.savez(content, values=values, weights=weights)
        files[f"rows-{i}.npz"] = content.getvalue()
    tree = git.write_tree(repo, files)
    subprocess.run(
        ["git", "-C", repo, "update-ref", records.files_ref("nov23", n), tree], check=True
    )


def test_the_difference_comes_with_its_standard_error_over_all_runs(lab: Path):
    page = compare(lab, 0, 1)
    # Two runs each, those of the repeat included: 0.1 * sqrt(1/2 + 1/2).
    assert "0001 is 0.15 ± 0.1 val_loss better than 0000 (1.5 standard errors)" in page.text
    assert "0000 is 0.15 ± 0.1 val_loss worse than 0001" in compare(lab, 1, 0).text


def test_constants_curves_cost_and_diff_stand_beside_each_other(lab: Path):
    page = compare(lab, 0, 1)
    rows = {line.split("  ")[0].strip(): line.split() for line in page.text.splitlines()}
    assert rows["LR"] == ["LR", "0.04", "0.041"]
    assert "DEPTH" not in rows  # the same in both
    assert rows["memory, MB"][-3:] == ["400", "450", "+50"]
    assert rows["cost"] == ["cost", "0.02"]
    assert rows["runs"] == ["runs", "2", "2"]
    for part in (
        "keep: a higher rate (by TPE())",
        "loss 0000",
        "6 → 3",
        "-LR = 0.04\n+LR = 0.041\n",
    ):
        assert part in page.text
    assert {"table", "svg", "polyline", "pre"} <= Tags(page.html).seen
    assert page.html.count("<polyline") == 2


def test_losses_over_the_same_rows_give_mean_error_and_share(lab: Path):
    random = np.random.default_rng(3)
    weights = random.uniform(1, 5, 200)
    weights[:20] = 0.0
    old = random.normal(5, 1, 200)
    gain = random.normal(-0.1, 0.2, 200)
    attach(lab, 0, (old, weights), (old + 0.02, weights))
    attach(lab, 1, (old + gain, weights))
    attach(lab, 3, (old + gain + 0.02, weights))  # the repeat's run belongs to 0001
    mean = float(weights @ gain / weights.sum())
    error = paired.spread(gain, weights)
    better = 100 * np.mean(gain[20:] < 0)
    page = compare(lab, 0, 1)
    assert (
        f"0001 is better on {better:.0f} % of 180 rows; mean difference {mean:+.4g} ± {error:.2g}"
    ) in page.text
    assert f"± {math.hypot(0.1, error):.2g} val_loss better" in page.text
    assert "rect" in Tags(page.html).seen
    worse = compare(lab, 1, 0).text
    assert f"0000 is better on {100 - better:.0f} % of 180 rows" in worse


def test_rows_of_other_data_are_not_compared(lab: Path):
    values = np.arange(5.0)
    attach(lab, 0, (values, np.ones(5)))
    attach(lab, 1, (values, np.full(5, 2.0)))
    assert "rows" not in compare(lab, 0, 1).text.replace("arrows", "")


def test_the_same_losses_on_every_row_have_no_picture(lab: Path):
    attach(lab, 0, (np.arange(5.0), np.ones(5)))
    attach(lab, 1, (np.arange(5.0), np.ones(5)))
    assert "rect" not in Tags(compare(lab, 0, 1).html).seen


def test_higher_is_better_where_that_is_the_goal(tmp_path: Path):
    pair = [record(n, "keep", 0.5 + n / 10, goal="maximize") for n in (0, 1)]
    text = compare(write(tmp_path / "lab", pair), 0, 1).text
    assert "0001 is 0.1 val_loss better than 0000, the noise is unknown" in text


def test_a_crash_has_no_metric_to_compare(lab: Path):
    page = compare(lab, 1, 2)
    assert "0002 has no val_loss: it is a crash" in page.text
    assert "diff --git" in page.text


def test_a_missing_number_is_said(lab: Path):
    with pytest.raises(CampaignError, match=r"experiment 0 and 9 in nov23.*from 0 to 3"):
        compare(lab, 0, 9)


def test_hostile_text_is_harmless(tmp_path: Path):
    evil = "<script>alert(1)</script> \x1b[2J \u202e"
    pair = [
        record(0, "keep", 1.0),
        record(1, "keep", 0.9, hypothesis=evil, author=evil, unit=evil, constants={evil: evil}),
    ]
    page = compare(write(tmp_path / "lab", pair), 0, 1)
    assert "script" not in Tags(page.html).seen
    for text in (page.text, page.html):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_what_is_better_may_be_said_where_a_file_does_not(tmp_path: Path):
    path = tmp_path / "results.tsv"
    path.write_text("commit\tthing\tstatus\tdescription\na1\t1\tkeep\tx\nb2\t2\tdiscard\ty\n")
    assert "0001 is 1 thing worse than 0000" in compare(path, 0, 1).text
    assert "0001 is 1 thing better than 0000" in compare(path, 0, 1, goal="maximize").text
