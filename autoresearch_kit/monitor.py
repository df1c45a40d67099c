"""How a run is watched: live in a notebook, as a bar elsewhere; a picture is left behind.

The run doesn't need a watcher; whatever is shown here is read from its folder.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from autoresearch_kit import progress, render, runner, runs
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.runner import Run

LOOK_SECONDS = 1.0
LOG_LINES, LOG_BYTES = 30, 4_000
BUSY = 1.0  # load average before a run of ours has begun


def watch(run: Run, experiment: Experiment) -> None:
    """Show a run: live and without waiting in a notebook front end, else until it ends."""
    if run.status not in runner.FINAL:
        announce(run, experiment)
        if progress.in_front_end():
            _show_live(run, experiment)
            return
    while runner.wait(run.dir, "train")["phase"] == "lost":
        runs.start(experiment, run.replicate)
    if progress.in_notebook():
        progress.display(page(run, experiment))


def announce(run: Run, experiment: Experiment) -> None:
    """Say what a run's budget is, how long that is here, and whether the machine is busy."""
    if run.status in runner.FINAL:
        return
    task = experiment.campaign.task
    seconds = runs.expected_seconds(experiment.campaign) or 0.0
    if not task.train:
        return
    words = f"Experiment {experiment.n:04d} trains for {task.budget}"
    print(words + (f"; with set-up about {seconds:.0f} s here." if seconds > 1 else "."))
    if task.clock == "relative" and not experiment.n and os.getloadavg()[0] > BUSY:
        print(
            f"The machine is busy (load {os.getloadavg()[0]:.1f}). What the budget buys is "
            "measured now, once for the campaign: on an idle machine it buys more."
        )


def page(run: Run, experiment: Experiment) -> render.Page:
    """Return the run as it is now: its figures, and its curve over the best run's."""
    state, best = run.state, _best(experiment)
    rows = {
        "run": f"{_title(run)}: {state['phase']}",
        "why": state.get("reason") or "",
        "now": progress.describe(state),
        "memory": f"{state['peak_memory_mb']:.0f} MB" if state.get("peak_memory_mb") else "",
    }
    curve = state.get("curve") or []
    over = best["curve"] if best else []
    text = render.table({**rows, "loss": render.sparkline(curve)})
    return render.Page(text.rstrip(), render.card(rows) + render.curves(curve, over))


def figures(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a monitor shows of a run's state, in the terms of the widget."""
    share, seconds = state.get("progress"), state.get("training_seconds")
    left = None
    if state["phase"] == "training" and share and seconds and share > 0.01:
        left = round(seconds * (1 - share) / share, 1)
    loss = state.get("loss")
    return {
        "phase": state["phase"],
        "progress": share,
        "loss": loss if loss is not None and math.isfinite(loss) else None,
        "tokens_per_second": state.get("tokens_per_second"),
        "memory_mb": state.get("peak_memory_mb"),
        "seconds_left": left,
        "seconds": state.get("seconds"),
        "line": f"queued {state['queue']}" if state.get("queue") else "",
        "reason": state.get("reason") or "",
        "final": state["phase"] in runner.FINAL,
    }


def _show_live(run: Run, experiment: Experiment) -> None:
    from autoresearch_kit.widgets import MonitorWidget

    def still() -> tuple[str, str]:
        now = page(run, experiment)
        return now.text, now.html

    def hear(message: Mapping[str, Any]) -> str:
        if message.get("type") != "stop":
            return ""
        run.stop()
        return "Stopped. ark.train_5min(experiment) starts it again."

    widget = MonitorWidget(
        still,
        hear,
        run={
            "title": _title(run),
            "campaign": run.tag,
            "budget": experiment.campaign.task.budget,
            "best": _best(experiment),
        },
        now=figures(run.state),
    )
    shown = progress.display(widget)

    def end() -> None:
        shown.update(page(run, experiment))

    threading.Thread(target=_follow, args=(run, widget, end), daemon=True).start()


def _follow(run: Run, widget: Any, end: Callable[[], None]) -> None:
    """Keep a widget up to date until the run ends, then leave a picture in its place."""
    while True:
        state = run.state
        with widget.hold_sync():  # one message, so that the page is laid out once
            widget.now = figures(state)
            widget.curve = state.get("curve") or []
            widget.log = _log_tail(run)
        if widget.now["final"]:
            break
        time.sleep(LOOK_SECONDS)
    end()


def _log_tail(run: Run) -> str:
    try:
        with (run.dir / "log.txt").open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(render.visible(text).splitlines()[-LOG_LINES:])


def _title(run: Run) -> str:
    return f"Experiment {run.experiment:04d}, seed {run.seed}"


def _best(experiment: Experiment) -> dict[str, Any] | None:
    best = experiment.campaign.best_record
    if best is None or best.n == experiment.n or len(best.points) < 2:
        return None
    return {"n": best.n, "curve": [list(point) for point in best.points]}
