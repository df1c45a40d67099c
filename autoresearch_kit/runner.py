"""Runs as a notebook sees them: start one, watch it, stop it. The run never depends on the watcher.

A run is a folder. Its supervisor holds the lock ``train.lock`` (``score.lock``) for as long as it
lives, so whoever looks knows whether somebody still works on it, however that somebody ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import html
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from autoresearch_kit import keys
from autoresearch_kit.files import is_locked, read_json, spawning, try_lock, write_json
from autoresearch_kit.workplace import ESCAPES

if TYPE_CHECKING:
    from autoresearch_kit.progress import Bar

FINAL = ("done", "crash", "hopeless", "stopped", "lost")
POLL_SECONDS = 0.03
LOG_CHARACTERS = 20_000


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """One training process of one experiment with one seed; all else is read from its folder.

    Parameters
    ----------
    dir
        The run's folder: ``out/`` has what it wrote.
    experiment
        Number of its experiment.
    tag
        Tag of its campaign.
    seed
        Random seed it was given.
    replicate
        Counts the runs of an experiment from 0.
    """

    dir: Path
    experiment: int
    tag: str
    seed: int
    replicate: int

    @property
    def status(self) -> str:
        """The phase: queued, setup, calibrating, training, saving, or an end (`FINAL`)."""
        return str(self.state["phase"])

    @property
    def state(self) -> dict[str, Any]:
        """Everything that is known about the run now."""
        return _state(self.dir)

    @property
    def log(self) -> str:
        """The last of what it printed, at most 20,000 characters; ``dir / "log.txt"`` has more.

        Without what a terminal would take for commands: the code that printed it is not trusted.
        """
        try:
            text = (self.dir / "log.txt").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        return ESCAPES.sub("", text[-LOG_CHARACTERS:])

    def stop(self) -> None:
        """End the run; what it had learned is lost. Does nothing when it has ended already."""
        stop(self.dir, "train")

    def __repr__(self) -> str:
        from autoresearch_kit.progress import describe
        from autoresearch_kit.records import clean

        now = self.state
        name = f"<Run {self.experiment:04d} seed {self.seed}: {now['phase']}"
        progress = f" {100 * now['progress']:.0f} %" if now.get("progress") is not None else ""
        what = clean(now.get("reason") or "") or describe(now)
        return f"{name}{progress}{', ' + what if what else ''}>"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


class WaitInterrupted(KeyboardInterrupt):
    """Somebody interrupted the waiting; shown in one line, without a traceback, in notebooks."""

    def __str__(self) -> str:
        return "only the waiting was interrupted, the run goes on; the same cell waits again"

    def _render_traceback_(self) -> list[str]:
        return [f"Interrupted: {self}."]


def launch(run_dir: Path, job: str) -> None:
    """Start the supervisor of a job and return at once.

    Does nothing when one is alive or the job is finished. A lost or stopped run starts again.

    Parameters
    ----------
    run_dir
        Folder with ``run.json``.
    job
        ``"train"`` or ``"score"``.
    """
    while job == "score" and (run_dir / "score.json").exists() and is_alive(run_dir, job):
        time.sleep(POLL_SECONDS)  # it has said what it found and is about to end
    with try_lock(run_dir / f"{job}.lock") as lock:
        if lock is None:
            return
        if job == "train":
            before = read_json(run_dir / "status.json") or {}
            if before.get("phase") in ("done", "crash", "hopeless"):
                return
            attempt = int(before.get("attempt", 0)) + 1
            write_json(run_dir / "status.json", {"phase": "queued", "attempt": attempt})
        else:
            before = read_json(run_dir / "score.json") or {"error": ""}
            if "error" not in before:
                return
            for name in ("score.json", "queue.json"):
                (run_dir / name).unlink(missing_ok=True)
        # A run may see what its task names, and a scorer is the task's own.
        named = (read_json(run_dir / "run.json") or {}).get("task", {}).get("env", ())
        package = str(Path(__file__).parents[1])
        path = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        with spawning, (run_dir / "supervisor.txt").open("ab") as errors:
            # The lock goes with the process: there is no moment at which nobody holds it.
            subprocess.Popen(
                [sys.executable, "-m", "autoresearch_kit.supervisor", job, str(run_dir)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                cwd="/",
                env=keys.without(os.environ, but=named) | {"PYTHONPATH": os.pathsep.join(path)},
                pass_fds=[lock],
                start_new_session=True,
            )


def wait(
    run_dir: Path, job: str, *, progress: bool = True, bar: Bar | None = None
) -> dict[str, Any]:
    """Wait until a job has ended and return its result.

    Parameters
    ----------
    progress
        Show a bar.
    bar
        The bar to draw on; a new one unless given, once there is something to wait for.

    Returns
    -------
    dict
        Of ``status.json`` for ``"train"``, with phase ``lost`` when its supervisor was killed; of
        ``score.json`` for ``"score"``, with ``error`` and ``lost`` in that case.

    Raises
    ------
    KeyboardInterrupt
        When interrupted. The run goes on: only the waiting ends.
    """
    began = time.monotonic()
    try:
        while (result := _result(run_dir, job)) is None:
            now = _look(run_dir, job, time.monotonic() - began)
            # Notebooks pay for every redraw, and what ends at once needs no bar.
            if progress and time.monotonic() - began > 0.3:
                bar = bar or _new_bar()
                bar.show(now)
            time.sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        if bar is not None:
            bar.close("not watched")
        raise WaitInterrupted from None
    if bar is not None:
        bar.close(str(result.get("phase") or "scored"))
    return result


def _new_bar() -> Bar:
    from autoresearch_kit.progress import Bar  # tqdm is slow to import, and the supervisor has none

    return Bar()


def stop(run_dir: Path, job: str) -> None:
    """End a job and wait until nothing of it is left. Does nothing when it has ended already."""
    while is_alive(run_dir, job):
        for process in _supervisors(run_dir, job):
            with contextlib.suppress(psutil.Error):
                process.terminate()
        time.sleep(POLL_SECONDS)
    _settle(run_dir, {"phase": "stopped", "reason": "stopped on request"})


def is_alive(run_dir: Path, job: str) -> bool:
    """Tell whether a supervisor is at work on a job."""
    return is_locked(run_dir / f"{job}.lock")


def _state(run_dir: Path) -> dict[str, Any]:
    alive = is_alive(run_dir, "train")  # before reading, or an end in between would look lost
    now: dict[str, Any] = read_json(run_dir / "status.json") or {"phase": "queued"}
    if now["phase"] in FINAL or alive:
        return now
    if "attempt" not in now:
        return now  # never launched
    return _settle(run_dir, {"phase": "lost", "reason": "its supervisor was killed"})


def _result(run_dir: Path, job: str) -> dict[str, Any] | None:
    """Return what a job came to, or None while it is at work."""
    if job == "train":
        now = _state(run_dir)
        if "attempt" not in now and now["phase"] not in FINAL:
            return now | {"phase": "lost", "reason": "it was never started"}
        return now if now["phase"] in FINAL else None
    alive = is_alive(run_dir, job)
    found: dict[str, Any] | None = read_json(run_dir / "score.json")
    if found is None and not alive:
        return {"error": "its supervisor was killed", "lost": True}
    return found


def _look(run_dir: Path, job: str, seconds: float) -> dict[str, Any]:
    if job == "train":
        return _state(run_dir)
    return {"phase": "score", "seconds": seconds, "queue": read_json(run_dir / "queue.json")}


def _supervisors(run_dir: Path, job: str) -> Iterator[psutil.Process]:
    wanted = ["-m", "autoresearch_kit.supervisor", job, str(run_dir)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cmdline()[-4:] == wanted:
                yield process


def _settle(run_dir: Path, end: dict[str, Any]) -> dict[str, Any]:
    """Write the end of a run whose supervisor no longer can, and end what it left behind."""
    with try_lock(run_dir / "train.lock") as lock:
        now: dict[str, Any] = read_json(run_dir / "status.json") or {}
        if lock is None or "attempt" not in now or now["phase"] in FINAL:
            return now or {"phase": "queued"}
        _sweep(run_dir)
        write_json(run_dir / "status.json", now := now | end)
        return now


def _sweep(run_dir: Path) -> None:
    """Kill what a killed supervisor left behind; with a sandbox there is nothing."""
    mine = str(run_dir / "out")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid() and process.environ().get("RUN_DIR") == mine:
                process.kill()
