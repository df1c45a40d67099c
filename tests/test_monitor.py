"""What is shown of a run while it trains, and what is left when it has ended."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import monitor, runner

SLOW = """\
import os, sys, time
PACE = 0.02
print("\\x1b[31mred\\x1b[0m <b>")
for i in range(25):
    print("step", i, flush=True)
    time.sleep(PACE)
print(f"val_loss: {PACE}")
"""


@pytest.fixture
def run(make_host: Callable[..., Path]) -> ark.Run:
    """The run of an experiment that takes half a second, started."""
    host = make_host({"fit.py": SLOW})
    campaign = ark.open_campaign(
        host, tag="t", edit="fit.py", train=[sys.executable, "fit.py"], metric="val_loss"
    )
    ark.baseline(campaign)
    faster = ark.Human(edit=lambda old: old.replace("PACE = 0.02", "PACE = 0.019"))
    experiment = ark.apply(ark.propose(campaign, by=faster))
    from autoresearch_kit import runs

    return runs.start(experiment, 0)


def experiment_of(run: ark.Run) -> ark.Experiment:
    from autoresearch_kit import runs

    return runs.experiment_of(run)


def test_a_widget_follows_a_run_to_its_end_and_then_makes_room_for_a_picture(run: ark.Run):
    phases: list[str] = []
    ended = threading.Event()

    class Widget(types.SimpleNamespace):
        hold_sync = staticmethod(contextlib.nullcontext)

        def __setattr__(self, name: str, value: object) -> None:
            if name == "now":
                phases.append(value["phase"])  # type: ignore[index]
            super().__setattr__(name, value)

    widget = Widget(now=monitor.figures(run.state), curve=None, log="")
    monitor._follow(run, widget, ended.set)
    assert ended.is_set()
    assert phases[-1] == "done"
    assert widget.now["final"] is True
    assert widget.log.endswith(f"val_loss: {0.019}")
    assert len(widget.log.splitlines()) <= monitor.LOG_LINES


def test_what_a_run_prints_cannot_steer_a_terminal_or_a_page(run: ark.Run):
    runner.wait(run.dir, "train", progress=False)
    log = monitor._log_tail(run)
    assert "\x1b" not in log
    page = monitor.page(run, experiment_of(run))
    assert "\x1b" not in page.text
    assert "<b>" not in page.html


def test_a_stopped_run_says_so_and_starts_again(run: ark.Run):
    run.stop()
    page = monitor.page(run, experiment_of(run))
    assert "stopped" in page.text
    assert ark.train_5min(experiment_of(run)).status == "done"


def test_a_long_log_shows_its_end_only(run: ark.Run):
    runner.wait(run.dir, "train", progress=False)
    (run.dir / "log.txt").write_text("".join(f"line {i}\n" for i in range(100_000)))
    shown = monitor._log_tail(run).splitlines()
    assert shown[-1] == "line 99999"
    assert len(shown) == monitor.LOG_LINES


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"phase": "queued", "queue": "behind first t #3"}, {"line": "queued behind first t #3"}),
        ({"phase": "training", "loss": math.nan, "progress": 0.5}, {"loss": None, "progress": 0.5}),
        (
            {"phase": "training", "loss": 2.5, "progress": 0.25, "training_seconds": 5.0},
            {"loss": 2.5, "seconds_left": 15.0, "final": False},
        ),
        ({"phase": "crash", "reason": "loss is nan"}, {"final": True, "reason": "loss is nan"}),
        ({"phase": "lost"}, {"final": True, "seconds_left": None}),
    ],
)
def test_figures_of_a_state(state: dict[str, object], expected: dict[str, object]):
    found = monitor.figures(state)
    assert {name: found[name] for name in expected} == expected


def test_the_picture_lies_over_that_of_the_best_run(run: ark.Run):
    from autoresearch_kit.render import curves, sparkline

    mine = [[0.1 * i, 3.0 - 0.1 * i] for i in range(11)]
    best = [[0.1 * i, 3.2 - 0.1 * i] for i in range(11)]
    alone, over = curves(mine), curves(mine, best)
    assert alone.count("<polyline") == 1
    assert over.count("<polyline") == 2
    assert "over the best run" in over
    assert curves(mine[:1], best) == ""
    assert sparkline(mine).endswith("3 → 2")
    assert sparkline([]) == ""
    runner.wait(run.dir, "train", progress=False)
