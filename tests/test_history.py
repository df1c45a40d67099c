"""The table that git alone gives back."""

from __future__ import annotations

import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from autoresearch_kit import git, stats
from autoresearch_kit._version import __version__
from autoresearch_kit.errors import AutoresearchError, CampaignError, LabError
from autoresearch_kit.histories import DTYPES, history
from autoresearch_kit.tunings import constants
from tests.recorded import record, write

NIGHT = [
    record(0, "keep", 2.3),
    record(1, "discard", 2.35, delta=0.05),
    record(2, "crash", reason="loss is nan", replicates=()),
    record(3, "keep", 2.1, delta=-0.2, proposal={"cost": 0.02}, tokens=4096),
    record(4, "refused", parent=3, reason="too complex", approver="Ada"),
    record(5, "discard", 2.2, parent=3, delta=0.1),
]


def git_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Count real git processes: the returned list grows with each one."""
    seen: list[tuple[str, ...]] = []
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        seen.append(tuple(command))
        return real(command, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(subprocess, "Popen", popen)
    return seen


def test_what_could_not_be_read_back_is_not_written():
    odd = record(1, "discard", 2.1, proposal={"expected": "much"})
    with pytest.raises(AutoresearchError, match="it has much where a number is expected"):
        odd.message()


def test_a_damaged_record_is_left_out_by_its_name(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lab = write(tmp_path / "lab", NIGHT)
    oid = git.write_tag(lab, "autoresearch/nov23/0006", git.head(lab), "keep: x\n\n{}\n")
    git.update_refs(lab, [git.RefUpdate("refs/tags/autoresearch/nov23/0006", oid)])
    assert len(history(lab)) == 6
    assert "refs/tags/autoresearch/nov23/0006 is left out" in caplog.text


ODD: list[tuple[str, dict[str, object], str]] = [
    ("a word as its commit", {"parent_commit": "--output=mine.txt"}, "parent_commit is no hash"),
    ("no date", {"decided": "yesterday"}, "Invalid isoformat string"),
    ("a date that no zone holds", {"decided": "0001-01-01T00:00:00+23:00"}, "decided in 0001"),
    ("a run without a seed", {"replicates": [{"value": 1.0}]}, "no seed or no value"),
    ("a run without a value", {"replicates": [{"seed": 1, "value": None}]}, "no seed or no value"),
    ("a curve of words", {"curve": "e:e"}, "no list of pairs"),
    ("tries in words", {"proposal": {"rejected": "many"}}, "many where a number is expected"),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in ODD], ids=[c[0] for c in ODD])
def test_one_odd_record_is_named_in_the_notes_and_the_others_are_read(
    tmp_path: Path, changes: dict[str, object], words: str
):
    lab = write(tmp_path / "lab", NIGHT)
    subject, _, body = record(6, "discard", 2.4).message().partition("\n\n")
    message = f"{subject}\n\n{json.dumps(json.loads(body) | changes)}\n"
    oid = git.write_tag(lab, "autoresearch/nov23/0006", git.head(lab), message)
    git.update_refs(lab, [git.RefUpdate("refs/tags/autoresearch/nov23/0006", oid)])
    df = history(lab)
    assert list(df["experiment"]) == [0, 1, 2, 3, 4, 5]
    [note] = [note for note in df.attrs["notes"] if "nov23/0006 is left out" in note]
    assert words in note


@pytest.mark.parametrize("kind", ["light", "tree", "tag"])
def test_a_tag_that_is_on_no_commit_is_no_record(tmp_path: Path, kind: str):
    lab = write(tmp_path / "lab", NIGHT)
    ref = "refs/tags/autoresearch/nov23/0006"
    if kind == "light":
        git.update_refs(lab, [git.RefUpdate(ref, git.head(lab))])
    else:
        on = git.text(lab, "rev-parse", "HEAD^{tree}" if kind == "tree" else f"{ref[:-1]}5")
        git.call(lab, "tag", "-a", "-m", record(6, "keep", 1.0).message(), ref[10:], on)
    df = history(lab)
    assert list(df["experiment"]) == [0, 1, 2, 3, 4, 5]
    assert f"{ref} is left out: it is no annotated tag on a commit" in df.attrs["notes"]


def test_a_curve_without_bounds_is_drawn_where_it_is_finite():
    odd = record(1, "discard", 2.1, curve="0:2.5 0.5:1e+300 0.7:1e+999 1:2")
    assert odd.points == [(0.0, 2.5), (1.0, 2.0)]


def test_a_tag_that_was_copied_is_read_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    lab = write(tmp_path / "lab", NIGHT)
    tags = git.refs(lab, "refs/tags/autoresearch/")
    copy = git.RefUpdate(
        "refs/tags/autoresearch/aaa/0003", tags["refs/tags/autoresearch/nov23/0003"]
    )
    git.update_refs(lab, [copy])
    assert list(history(lab)["experiment"]) == [0, 1, 2, 3, 4, 5]
    assert "aaa/0003 is left out: it is a copy of nov23/3" in caplog.text


def test_columns_and_dtypes_are_the_documented_ones(tmp_path: Path):
    df = history(write(tmp_path / "lab", NIGHT))

    assert list(df) == [*list(DTYPES)[:4], "val_loss", *list(DTYPES)[4:]]
    assert {name: str(df[name].dtype) for name in DTYPES} == DTYPES
    assert df.attrs == {
        "metric": "val_loss",
        "unit": "nats",
        "goal": "minimize",
        "campaigns": ["nov23"],
        "repo": str(tmp_path / "lab"),
        "kit": __version__,
        "notes": [],
    }
    table = (history.__doc__ or "").split("=\n")[1].split("====")[0]
    described = {word for line in table.splitlines() for word in re.split(r",? +", line)}
    assert set(DTYPES) <= described


def test_metric_goal_and_unit_are_columns_for_what_loses_attrs(tmp_path: Path):
    lab = write(tmp_path / "lab", NIGHT)
    for goal in ("minimize", "maximize"):
        df = history(lab, goal=goal)
        for table in (df, constants(lab, goal=goal)):
            found = table[["metric_name", "goal", "unit"]].drop_duplicates().to_numpy().tolist()
            assert found == [["val_loss", goal, "nats"]]
        written = pd.read_csv(io.StringIO(df.to_csv(index=False)))
        assert stats.gains(written)["measured"].tolist() == stats.gains(df)["measured"].tolist()
        assert stats.gains(written).attrs["goal"] == goal


def test_rows_hold_what_was_recorded(tmp_path: Path):
    df = history(write(tmp_path / "lab", NIGHT)).set_index("experiment")

    assert list(df.index) == [0, 1, 2, 3, 4, 5]
    assert list(df["status"]) == ["keep", "discard", "crash", "keep", "refused", "discard"]
    assert [x for x in df["metric"] if not math.isnan(x)] == [2.3, 2.35, 2.1, 2.2]
    assert df["val_loss"].equals(df["metric"].rename("val_loss"))
    assert list(df["best_so_far"]) == [2.3, 2.3, 2.3, 2.1, 2.1, 2.1]
    assert math.isnan(df.loc[2, "metric"])
    assert df.loc[0, "parent"] is pd.NA
    assert df.loc[5, "parent"] == 3
    assert df.loc[3, ["cost", "tokens", "delta"]].tolist() == [0.02, 4096, -0.2]
    assert df.loc[2, ["reason", "n_replicates"]].tolist() == ["loss is nan", 0]
    assert df.loc[5, "decided"] == pd.Timestamp("2026-11-23 10:00:05", tz="UTC")
    assert df["present"].all()
    assert df["kit"].eq("0.1.0").all()


def test_evidence_and_guesses_have_columns(tmp_path: Path):
    runs = ({"seed": 1, "value": 2.0}, {"seed": 2, "value": 2.5})
    tried = record(
        1,
        "discard",
        2.25,
        replicates=runs,
        training_seconds=30.0,
        scoring_seconds=5.0,
        evidence={"z": -1.5, "error": 0.02},
        proposal={"expected": -0.1, "guess": -0.3, "night": "friday", "program": "f1"},
        curve="0.5:7.1 1:6.2",
        parent_commit="abc",
        constants={"LR": 0.5, "DEPTH": 4, "WIDTH": 2},
    )
    df = history(write(tmp_path / "lab", [record(0, "keep", 2.0), tried]))

    wanted = {
        "sigma": -1.5,
        "error": 0.02,
        "expected": -0.1,
        "guess": -0.3,
        "night": "friday",
        "curve": "0.5:7.1 1:6.2",
        "replicates": "1:2.0 2:2.5",
        "run_seconds": 70.0,
        "parent_commit": "abc",
        "changed": "LR, WIDTH",
        "source": "tags",
    }
    assert df.loc[1, list(wanted)].to_dict() == wanted
    assert (
        df.loc[0, ["sigma", "guess", "night", "changed"]].isna().tolist()
        == [True] * 2 + [False] * 2
    )


def test_a_higher_goal_turns_the_best_around(tmp_path: Path):
    decided = [record(n, "keep", v, goal="maximize") for n, v in enumerate([0.5, 0.7, 0.6])]
    repo = write(tmp_path / "lab", decided)

    assert list(history(repo)["best_so_far"]) == [0.5, 0.7, 0.7]
    assert history(repo).attrs["goal"] == "maximize"
    assert list(history(repo, goal="minimize")["best_so_far"]) == [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="'minimize' or 'maximize'"):
        history(repo, goal="lower")


def test_a_later_verdict_decides_the_status_and_is_noted(tmp_path: Path):
    later = [
        record(6, "discard", 2.1, parent=0, about=3, reason="did not repeat"),
        record(7, "keep", 2.1, parent=0, about=3, reason="it did"),
        record(8, "discard", 2.1, parent=0, about=3, reason="a person looked"),
    ]
    df = history(write(tmp_path / "lab", NIGHT + later))

    assert df.loc[3, "status"] == "discard"
    assert list(df["about"].dropna()) == [3, 3, 3]
    assert list(df["status"])[6:] == ["discard", "keep", "discard"]
    assert list(df["best_so_far"]) == [2.3] * 9
    assert df.attrs["notes"] == ["nov23 0003 was keep; 0008 made it discard: a person looked"]


def test_the_seconds_of_a_repeat_are_counted_once(tmp_path: Path):
    def runs(*seeds: int) -> tuple[dict[str, float], ...]:
        return tuple({"seed": seed, "value": 2.0} for seed in seeds)

    took = {"setup_seconds": 1.0, "training_seconds": 8.0, "scoring_seconds": 1.0}
    tried = [
        record(0, "keep", 2.0, replicates=runs(1, 2), **took),
        record(1, "keep", 2.0, about=0, kind="repeat", replicates=runs(3, 4, 5), **took),
    ]
    df = history(write(tmp_path / "lab", tried))

    assert df["n_replicates"].tolist() == [5, 3]
    assert df["run_seconds"].tolist() == [20.0, 30.0]


def test_a_lab_gives_all_campaigns_and_ref_gives_one(tmp_path: Path):
    other = [
        record(0, "keep", 0.5, campaign="dec1", metric="accuracy", goal="maximize", unit=""),
        record(1, "keep", 0.6, campaign="dec1", metric="accuracy", goal="maximize", unit=""),
    ]
    repo = write(tmp_path / "lab", NIGHT + other)
    df = history(repo)

    assert list(df["campaign"]) == ["dec1"] * 2 + ["nov23"] * 6
    assert df["accuracy"].notna().sum() == 2
    assert df.loc[df["campaign"] == "dec1", "val_loss"].isna().all()
    assert list(df["best_so_far"])[:3] == [0.5, 0.6, 2.3]
    assert df.attrs["metric"] == df.attrs["goal"] == ""
    assert len(df.attrs["notes"]) == 2
    for ref in ("dec1", "autoresearch/dec1", "refs/heads/autoresearch/dec1"):
        assert list(history(repo, ref=ref)["metric"]) == [0.5, 0.6]
    with pytest.raises(CampaignError, match=r"'dec2'.*there are: dec1, nov23"):
        history(repo, ref="dec2")


def test_clones_bare_ones_and_subfolders_read_the_same(tmp_path: Path):
    lab = write(tmp_path / "lab", NIGHT)
    subprocess.run(["git", "clone", "-q", lab, tmp_path / "clone"], check=True)
    subprocess.run(["git", "clone", "-q", "--mirror", lab, tmp_path / "bare.git"], check=True)
    (tmp_path / "clone" / "notes").mkdir()

    expected = history(lab)
    for place in ("clone", "bare.git", "clone/notes"):
        pd.testing.assert_frame_equal(history(tmp_path / place), expected)
    pd.testing.assert_frame_equal(history(str(tmp_path / "clone")), expected)


def test_a_path_alone_is_a_lab_and_with_a_tag_a_campaign(tmp_path: Path):
    class Lab:
        path = write(tmp_path / "lab", [*NIGHT, record(0, "keep", 0.5, campaign="dec1")])

    class Campaign(Lab):
        tag = "nov23"

    assert len(history(Lab())) == 7
    assert len(history(Campaign())) == 6


def test_a_metric_named_like_a_column_leaves_the_column_alone(tmp_path: Path):
    decided = [record(0, "keep", 3.0, metric="tokens", tokens=7)]
    df = history(write(tmp_path / "lab", decided))
    assert df["tokens"].tolist() == [7]
    assert "`metric`" in df.attrs["notes"][0]


def test_what_is_no_campaign_is_said(tmp_path: Path, make_host):
    with pytest.raises(CampaignError, match="no autoresearch campaign here"):
        history(make_host({"a.txt": "a"}))
    with pytest.raises(LabError, match="not a git repository"):
        history(tmp_path)
    (tmp_path / "results.tsv").write_text("commit\tval_bpb\n")
    with pytest.raises(LabError, match=r"or a results file, such as '.*results\.tsv'"):
        history(tmp_path)
    with pytest.raises(CampaignError, match=r"results.tsv has no rows"):
        history(tmp_path / "results.tsv")
    with pytest.raises(LabError, match="does not exist"):
        history(tmp_path / "nothing")


def test_the_number_of_git_calls_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = write(tmp_path / "small", NIGHT)
    large = write(tmp_path / "large", [record(n, "discard", 2.0) for n in range(300)])
    calls = git_calls(monkeypatch)
    history(small)
    few = len(calls)
    assert len(history(large)) == 300
    assert few <= 5
    assert len(calls) - few <= 5


def test_reading_history_does_not_load_torch():
    code = "import sys; from autoresearch_kit import history; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_git_calls_are_counted_at_the_right_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = git_calls(monkeypatch)
    git.init(tmp_path)
    list(git.annotated_tags(tmp_path, []))
    assert [command[0] for command in calls] == ["git", "git"]
