"""The state of a campaign and its night in one place, as data, as text and as a widget."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import dashboards, nights, runs, standing
from autoresearch_kit.proposal import draft
from tests.conftest import PRINTED
from tests.decided import decide
from tests.recorded import record

SLOW = "import time\nN = 1\ntime.sleep(20)\nprint(f'val_loss: {N}')\n"


@pytest.fixture
def campaign(host: Path, contract: dict[str, str]) -> ark.Campaign:
    return ark.open_campaign(host, tag="t", **contract)


def faster(campaign: ark.Campaign, steps: int = 41, **more: Any) -> ark.Proposal:
    text = PRINTED.replace("STEPS = 40", f"STEPS = {steps}")
    words = {"hypothesis": f"{steps} steps", "author": "me", **more}
    return draft(campaign, files={"fit.py": text}, **words)


def test_a_new_campaign_has_nothing_to_show_and_says_so(campaign: ark.Campaign):
    board = dashboards.board_of(campaign)
    assert board["state"] == "nothing happens"
    assert (board["best"], board["night"], board["run"]) == ("", None, None)
    assert dashboards.rows_of(campaign.records()) == []
    assert "nothing happens" in dashboards.page(campaign).text


def test_what_waits_for_a_person_comes_first(campaign: ark.Campaign):
    decide(campaign, {}, "keep", 0.5)
    faster(campaign)
    faster(campaign, 42)
    board = dashboards.board_of(campaign)
    assert board["steps"]["approval"] == 2
    assert board["state"] == "2 wait for you"
    assert "ark.review(campaign.pending())" in dashboards.page(campaign).text


def test_a_run_in_whatever_process_is_seen(make_host: Callable[..., Path]):
    host = make_host({"fit.py": SLOW})
    campaign = ark.open_campaign(
        host, tag="t", edit="fit.py", train=[sys.executable, "fit.py"], metric="val_loss"
    )
    run = runs.start(campaign.experiment(0), 0)
    try:
        until(lambda: run.status == "training")
        board = dashboards.board_of(campaign)
        assert board["run"]["phase"] == "training"
        assert board["steps"]["training"].startswith("0000")
        assert board["state"].startswith("training 0000")
    finally:
        run.stop()
    assert dashboards.board_of(campaign)["run"] is None


def test_the_ledger_has_the_verdict_that_a_later_record_gave(campaign: ark.Campaign):
    found = [
        record(0, "keep", 0.5),
        record(1, "quarantine", 0.1, hypothesis="\x1b[31mred\u202e"),
        record(2, "keep", 0.1, about=1, reason="looked at it"),
        record(3, "crash", training_seconds=2.0, scoring_seconds=0.5),
    ]
    rows = dashboards.rows_of(standing.of(found).experiments)
    assert [row[:2] for row in rows] == [[0, "keep"], [1, "keep"], [3, "crash"]]
    assert "\x1b" not in rows[1][4]
    assert rows[2][2] is None
    assert rows[2][7] == 2.5


def test_a_page_shows_the_last_rows_and_escapes_what_models_write(campaign: ark.Campaign):
    decide(campaign, {}, "keep", 0.5)
    for steps in range(41, 66):
        decide(campaign, {"fit.py": PRINTED.replace("= 40", f"= {steps}")}, "discard", 0.6)
    proposal = faster(campaign, 100, hypothesis="<script>alert(1)</script>")
    proposal.refuse("<b>no</b>")
    page = dashboards.page(campaign)
    assert "earlier ones are left out" in page.text
    assert "0026 refused" in page.text
    assert "0001 discard" not in page.text
    assert "<script>" not in page.html
    assert "&lt;script&gt;" in page.html
    assert "<svg" in page.html


def test_headless_a_dashboard_is_a_page(campaign: ark.Campaign):
    assert ark.dashboard(campaign).text == dashboards.page(campaign).text
    with pytest.raises(TypeError, match=r"ark\.open_campaign"):
        ark.dashboard("labs/first")  # type: ignore[arg-type]


@pytest.fixture
def live(campaign: ark.Campaign) -> Any:
    """A dashboard widget as a kernel has it, with what it sent in `sent`."""
    decide(campaign, {}, "keep", 0.5)
    widget = dashboards._live(campaign)
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)
    widget.sent = sent
    yield widget
    widget.close()


def test_a_click_on_an_experiment_brings_its_card(live: Any):
    live._heard(live, {"type": "card", "n": 0})
    (card,) = live.sent
    assert (card["type"], card["n"]) == ("card", 0)
    assert "baseline" in card["html"] or "try" in card["html"]
    live._heard(live, {"type": "card", "n": 7})
    assert live.sent[-1]["ok"] is False
    assert "no decided experiment 7" in live.sent[-1]["text"]


def test_buttons_without_a_night_say_what_to_type(live: Any):
    for kind in ("pause", "resume", "stop"):
        live._heard(live, {"type": kind})
        assert live.sent[-1] == {
            "type": "answer",
            "to": kind,
            "ok": False,
            "text": "no night is at work; ark.overnight(campaign, ...) starts one",
        }


def test_buttons_steer_the_night(campaign: ark.Campaign, live: Any):
    night = ark.overnight(campaign, experiments=50, approve="everything")
    try:
        live._heard(live, {"type": "pause"})
        assert live.sent[-1]["text"].startswith("Pausing")
        until(lambda: night.status == "paused")
        assert dashboards.board_of(campaign)["night"]["phase"] == "paused"
        live._heard(live, {"type": "resume"})
        until(lambda: night.status == "running")
    finally:
        live._heard(live, {"type": "stop", "now": True})
        night.wait(progress=False)
    assert night.status in nights.ENDED
    board = dashboards.board_of(campaign)
    assert board["state"].startswith("night stopped")
    assert board["night"]["done"] == len(campaign.records()) - 1


def test_the_widget_follows_the_campaign_until_it_is_closed(campaign: ark.Campaign):
    decide(campaign, {}, "keep", 0.5)
    before = threading.active_count()
    widget = dashboards._live(campaign)
    decide(campaign, {"fit.py": PRINTED.replace("= 40", "= 44")}, "keep", 0.4)
    proposal = faster(campaign, 45)
    until(lambda: len(widget.rows) == 2 and widget.board["steps"]["approval"] == 1)
    desk = widget.desk
    until(lambda: desk.widget.page.get("id") == proposal.id)
    proposal.refuse("no")
    until(lambda: desk.widget.page == {} and len(widget.rows) == 3)
    widget.close()
    until(lambda: threading.active_count() <= before)


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
