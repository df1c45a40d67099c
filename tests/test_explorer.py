"""The interactive staircase as its kernel has it, and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import explorer, progress
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.explorer import explore
from autoresearch_kit.render import Page
from tests.recorded import record, write
from tests.test_display import Tags

EVIL = "<script>alert(1)</script> \x1b[2J \u202e"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    decided = [
        record(0, "keep", 2.3),
        record(1, "quarantine", 1.0, delta=-1.3, hypothesis=EVIL, author=EVIL),
        record(2, "crash"),
        record(3, "keep", 2.1, delta=-0.2, hypothesis="a higher rate"),
        record(4, "discard", 1.0, about=1, kind="override", reason="it read the answers"),
    ]
    return write(tmp_path / "lab", decided)


def test_headless_it_is_a_page_with_a_picture_and_what_was_kept(lab: Path):
    page = explore(lab)
    assert isinstance(page, Page)
    # The override is no experiment, the starting point no try.
    assert "experiments  1 discard, 1 crash, 1 keep, beside the starting point\n" in page.text
    assert "0003         2.1 (-0.2): a higher rate\n" in page.text
    assert {"svg", "title", "circle", "path"} <= Tags(page.html).seen
    assert "<title>0003 keep, 2.1 (-0.2): a higher rate</title>" in page.html


def test_what_models_write_is_harmless_in_it(lab: Path):
    page = explore(lab)
    assert "script" not in Tags(page.html).seen
    for text in (page.text, page.html):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_a_thousand_experiments_make_a_small_page(tmp_path: Path):
    words = "an idea that takes many words " * 9
    found = [record(n, "discard", 2.3 + n % 7 / 100, hypothesis=words) for n in range(1, 1000)]
    page = explorer.page([record(0, "keep", 2.3), *found])
    assert page.html.count("<circle") == 1000
    assert len(page.html) < 120_000


def test_one_of_several_campaigns_has_to_be_named(tmp_path: Path):
    both = [record(0, "keep", v, campaign=c) for c, v in (("a", 1.5), ("b", 2.5))]
    repo = write(tmp_path / "lab", both)
    with pytest.raises(CampaignError, match=r"there are several campaigns: a, b\. .*ref='a'"):
        explore(repo)
    assert "campaign     b" in explore(repo, ref="b").text


@pytest.fixture
def live(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The widget as a kernel has it, with what it sent in `sent`."""
    monkeypatch.setattr(progress, "in_front_end", lambda: True)
    widget: Any = explore(lab)
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)
    widget.sent = sent
    yield widget
    widget.close()


def test_a_click_brings_the_card_of_show(live: Any):
    live._heard(live, {"type": "card", "n": 3})
    (card,) = live.sent
    assert (card["type"], card["n"]) == ("card", 3)
    assert "a higher rate" in card["html"]
    assert "+LR = 0.043" in card["html"]


def test_a_number_that_is_not_there_is_answered(live: Any):
    live._heard(live, {"type": "card", "n": 77})
    assert live.sent[-1]["ok"] is False
    assert "77" in live.sent[-1]["text"]


def test_the_rows_stand_as_they_do_now_and_say_nothing_unseen(live: Any):
    assert [row[:3] for row in live.rows] == [
        [0, "keep", 2.3],
        [1, "discard", 1.0],
        [2, "crash", None],
        [3, "keep", 2.1],
    ]
    assert "\x1b" not in str(live.rows)
    assert live.board == {
        "campaign": "nov23",
        "metric": "val_loss",
        "unit": "nats",
        "goal": "minimize",
    }


def test_what_is_better_may_be_said_where_a_file_does_not(tmp_path: Path):
    path = tmp_path / "results.tsv"
    path.write_text(
        "commit\tthing\tstatus\tdescription\na1\t2\tkeep\tx\nb2\t1\tkeep\ty\n\tnan\tcrash\tz\n"
    )
    assert explore(path).html != explore(path, goal="maximize").html
