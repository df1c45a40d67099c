"""One training run: start it, keep its clock and limits, end it, and say how it ended."""

from __future__ import annotations

import contextlib
import math
import os
import selectors
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from autoresearch_kit import task
from autoresearch_kit.child import Child, Log, ProtocolError
from autoresearch_kit.clock import BASELINE, CANDIDATE, Clock
from autoresearch_kit.crash import Crash
from autoresearch_kit.curve import LARGEST, Comparison, Curve
from autoresearch_kit.files import remove_tree
from autoresearch_kit.outcome import (
    Hopeless,
    Lost,
    Slow,
    Stopped,
    check_exit,
    check_printed,
    check_speed,
    oom_kills,
)
from autoresearch_kit.workplace import disk_used, last_error, remove_odd, start_training

LOOK_SECONDS = 0.2  # at memory and processes
CHARGE_SECONDS = 1.0  # longer than a thread waits for its turn on a core, or it would look idle
DISK_SECONDS = 2.0
OUT_BYTES, OUT_FILES = 8 << 30, 100_000
FREE_BYTES = 256 << 20
PROCESSES = 512
BELIEF_SECONDS = 1.0  # at the end of a run its helpers end without anybody left to wait for them


class Training:
    """One training run, from set-up to verdict on how it ended."""

    def __init__(self, run: Path, spec: dict[str, Any], say: Callable[..., None]) -> None:
        self.run, self.spec, self.say = run, spec, say
        self.task = task.make(spec["task"])
        # The baseline's folder has a path of the same length: strings in the environment move a
        # process's memory, which alone can change its cost by some percent.
        self.beside = run.with_name(f"{run.name[:-1]}~")
        remove_tree(self.beside)
        self.clock: Clock | None = None
        if self.task.clock:
            self.clock = Clock(
                self.task.clock,
                self.task.budget_seconds,
                baseline_tokens=spec.get("baseline_tokens"),
                ratio=1.0 if spec.get("kind") == "baseline" else spec.get("ratio"),
            )
        self.selector = selectors.DefaultSelector()
        self.log = Log(run / "log.txt", "" if self.task.score else self.task.metric)
        self.curve = Curve()
        self.comparison = Comparison(spec["early"]) if spec.get("early") else None
        self.loss: float | None = None
        self.parameters = 0
        self.children: dict[str, Child] = {}
        self.began = time.monotonic()
        self.started: float | None = None  # first step, by the wall
        self.ended: float | None = None  # reply that ended the budget
        self.away = 0.0  # wall seconds in which the baseline had its turns
        self.at: dict[str, float] = {}  # CPU seconds of each child when its set-up ended
        self.cpu = self.cpu_ended = 0.0
        self.heard = self.began  # last message, by the wall
        self.released = self.began
        self.charged = 0.0  # towards timeout_seconds
        self.looked = self.looked_at_disk = 0.0
        self.charged_until, self.charged_cpu, self.charged_queued = self.began, 0.0, 0.0
        self.charged_heard = 0.0
        self.peak = 0
        self.killed_by_us = False
        self.memory_limit = self.task.memory_gb * 1e9 or 0.8 * psutil.virtual_memory().total
        self.oom_kills = oom_kills()
        affinity = getattr(os, "sched_getaffinity", lambda _: ())
        self.cores = sorted(affinity(0))
        self.place: int | None = None

    def __call__(self) -> dict[str, Any]:
        """Run it to its end and return the final fields of the status."""
        phase, reason, more = "done", "", {}
        try:
            try:
                self._start(CANDIDATE, self.spec["commit"])
                if self.clock and self.clock.companion:
                    self._start(BASELINE, self.spec["baseline_commit"])
                self._loop()
            finally:
                self._kill()
            self._judge()
        except (Crash, ProtocolError) as error:
            protocol = "clock protocol: " if isinstance(error, ProtocolError) else ""
            phase, reason = "crash", f"{protocol}{error}"
        except Hopeless as error:
            phase, reason = "hopeless", str(error)
            more = {"stopped_early": round(self.clock.progress, 4) if self.clock else None}
        except Lost as error:
            phase, reason, more = "lost", str(error), {"slow": isinstance(error, Slow)}
        except Stopped:
            phase, reason = "stopped", "stopped on request"
        return {"phase": phase, "reason": reason, **self._figures(), **more}

    def _start(self, name: str, commit: str) -> None:
        spec = self.spec | {"commit": commit}
        part = self.run if name == CANDIDATE else self.beside
        log = self.log if name == CANDIDATE else Log(self.run / "calibration.txt")
        self.children[name] = Child(
            name,
            lambda env, popen: start_training(part, spec, self.task, env, popen),
            self.selector,
            log,
            self._hear if self.clock else None,
        )

    def _kill(self) -> None:
        # From here on a second request to stop must not leave anything behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for child in self.children.values():
            self.killed_by_us |= child.name == CANDIDATE and not child.ended()
            if child.name == CANDIDATE:
                self.cpu = max(self.cpu, child.tree.cpu_seconds())
            child.kill()
        self.selector.close()
        remove_tree(self.beside)

    def _loop(self) -> None:
        candidate = self.children[CANDIDATE]
        while not candidate.ended():
            # A process whose pipes are closed is about to end, or to be killed for staying.
            due = min(child.tree.scan_in for child in self.children.values())
            for key, _ in self.selector.select(0.005 if candidate.silent else min(0.1, due)):
                key.data(key.fd)
            for child in self.children.values():
                if child.tree.scan_in <= 0:
                    child.tree.scan()
            self._check_waited(candidate)
            self._charge(candidate)
            self._check_time(candidate)
            now = time.monotonic()
            if now - self.looked > LOOK_SECONDS:
                self.looked = now
                self.cpu = max(self.cpu, candidate.tree.cpu_seconds())
                self._check_size(candidate)
                self.log.flush()
                self.say(**self._progress())
            if now - self.looked_at_disk > DISK_SECONDS:
                self.looked_at_disk = now
                self._check_disk()
            baseline = self.children.get(BASELINE)
            if baseline and baseline.ended() and self.clock and self.clock.companion:
                line = last_error(baseline.log.text())
                raise Lost(f"the baseline, run beside it to measure its cost, ended early: {line}")

    def _hear(self, child: Child, message: dict[str, Any]) -> None:
        """Book a child's message, then let whoever's turn it is go on."""
        clock = self.clock
        assert clock is not None
        if "start" in message:
            child.tree.find()  # it may have come up since the last scan
        now, cpu = time.monotonic(), child.tree.cpu_seconds()
        self.heard = now
        reading = cpu - self.at.get(child.name, cpu)
        if child.name == CANDIDATE:
            self.cpu, self.charged_heard = cpu, self.charged
            self._check_waited(child, at_once=True)
            if self.task.clock == "wall" and self.started is not None:
                reading = now - self.started
        if "start" in message:
            if child.name in self.at:
                raise ProtocolError("it sent start twice")
            self.at[child.name] = cpu
            clock.start(child.name)
            if child.name == CANDIDATE:
                self.parameters = _count(message.get("parameters", 0), "parameters")
                self.say(parameters=self.parameters)
        elif child.name not in self.at:
            raise ProtocolError("it sent a step before start")
        else:
            tokens = _count(message.get("tokens"), "tokens")
            clock.step(child.name, tokens, reading)
            if child.name == CANDIDATE:
                self._hear_loss(clock.progress, message.get("loss"))
            else:
                self.away += now - self.released
        if clock.ready and self.started is None:
            before = self.spec.get("baseline_setup_cpu_seconds")
            clock.set_up(self.at[CANDIDATE], self.at.get(BASELINE), before)
        if clock.failure:
            raise Crash(clock.failure)
        if clock.ready:
            self._place(clock)
            self._release(clock, now)

    def _hear_loss(self, progress: float, loss: Any) -> None:
        if not isinstance(loss, int | float):
            return
        with contextlib.suppress(OverflowError):  # a whole number may be too large
            loss = float(loss)
            if abs(loss) < LARGEST:
                self.curve.add(progress, loss)
                self.loss = loss
            if self.comparison and (why := self.comparison.add(progress, loss)):
                raise Hopeless(why)

    def _place(self, clock: Clock) -> None:
        """Keep both on one core while they are compared: cores of a busy machine differ.

        Every few turns it is another core, so that the ratio is no single core's.
        """
        if len(self.children) < 2 or not self.cores:
            return
        comparing = clock.calibrating and clock.ratio is None
        place = clock.pairs // 4 % len(self.cores) if comparing else None
        if place != self.place:
            self.place = place
            for child in self.children.values():
                child.tree.pin(self.cores if place is None else [self.cores[place]])

    def _release(self, clock: Clock, now: float) -> None:
        candidate, baseline = self.children[CANDIDATE], self.children.get(BASELINE)
        if baseline and not clock.companion and not baseline.ended():
            baseline.kill()
        self.released = now
        if clock.turn == BASELINE and baseline:
            if baseline.waiting:
                baseline.reply(clock.baseline_progress())
        elif candidate.waiting:
            if self.started is None:
                self.started = time.monotonic()
                self.away = 0.0
            if clock.finished and self.ended is None:
                self.ended, self.cpu_ended = now, self.cpu
            candidate.reply(clock.progress)

    def _charge(self, candidate: Child) -> None:
        """Count time towards `timeout_seconds`, and towards the silence that is no training.

        With a CPU budget a busy machine must not look like a slow experiment, so there time in
        which it could have run, but others did, doesn't count.
        """
        now, on_cpu = time.monotonic(), self.task.clock in ("cpu", "relative")
        wall = now - self.charged_until
        if wall < (CHARGE_SECONDS if on_cpu else LOOK_SECONDS):
            return
        cpu, queued = candidate.tree.cpu_seconds(), candidate.tree.queued_seconds()
        used, waited = cpu - self.charged_cpu, queued - self.charged_queued
        if self.clock and candidate.waiting:  # another's turn
            wall = 0.0
        elif on_cpu:
            wall = min(wall, max(used, wall - max(0.0, waited)))
        self.charged += wall
        self.charged_until, self.charged_cpu, self.charged_queued = now, cpu, queued

    def _check_time(self, candidate: Child) -> None:
        now, task = time.monotonic(), self.task
        if self.charged > task.timeout_seconds:
            raise Crash(f"timeout: it ran for more than {task.timeout_seconds:g} s")
        if self.clock is None:
            return
        by_wall = task.clock == "wall"
        if self.started is None:
            waiting_for = [c for c in self.children.values() if not c.waiting]
            if waiting_for and CANDIDATE not in self.at:
                used = now - self.began if by_wall else self.cpu
                if used > task.setup_seconds:
                    raise Crash(f"timeout: set-up took more than {task.setup_seconds:g} s")
        elif self.ended is not None:
            grace = max(15.0, 0.03 * task.budget_seconds)
            if not by_wall:
                grace = max(1.0, 0.01 * task.budget_seconds)
            late = now - self.ended if by_wall else self.cpu - self.cpu_ended
            if late > grace:
                raise Crash(f"timeout: the weights came late, more than {grace:g} s after the end")
        elif not candidate.waiting:
            silence = min(60.0, max(5.0, task.budget_seconds / 2))
            quiet = now - max(self.heard, self.released)
            if min(quiet, math.inf if by_wall else self.charged - self.charged_heard) > silence:
                raise Crash(f"timeout: no training step ended within {silence:g} s")

    def _check_waited(self, candidate: Child, *, at_once: bool = False) -> None:
        """End a run whose CPU time can't be counted.

        Only believed when the run goes on: at its end helpers are killed, and none is waited for.
        """
        since = candidate.tree.unwaited
        if since is None or self.task.clock not in ("cpu", "relative"):
            return
        if at_once or time.monotonic() - since > BELIEF_SECONDS:
            raise Crash(
                "a process that it started has ended without anybody waiting for it, so its CPU "
                "time can't be counted; wait for every process (join, wait, a with statement) and "
                "leave SIGCHLD at its default"
            )

    def _check_size(self, candidate: Child) -> None:
        used = candidate.tree.memory_bytes(self.memory_limit)
        self.peak = max(self.peak, used)
        if used > self.memory_limit:
            raise Crash(
                f"out of memory: it used {used / 1e9:.1f} GB, the limit is "
                f"{self.memory_limit / 1e9:.1f} GB"
            )
        if candidate.tree.processes > PROCESSES:
            raise Crash(f"it started more than {PROCESSES} processes")

    def _check_disk(self) -> None:
        if shutil.disk_usage(self.run).free < FREE_BYTES:
            raise Lost(
                f"the disk of {self.run} has less than {FREE_BYTES >> 20} MB left; "
                "make room and run it again"
            )
        self._check_written()

    def _check_written(self) -> None:
        size, files = disk_used(self.run, OUT_FILES)
        if size > OUT_BYTES or files >= OUT_FILES:
            raise Crash(f"it wrote too much: {size / 1e9:.1f} GB in {files} files")

    def _progress(self) -> dict[str, Any]:
        clock = self.clock
        phase = "training"
        if clock:
            calibrating = clock.ready and clock.calibrating
            phase = "calibrating" if calibrating else "training" if self.started else "setup"
            phase = "saving" if self.ended else phase
        return {"phase": phase, "curve": self.curve.points()} | self._measured()

    def _measured(self) -> dict[str, Any]:
        now = time.monotonic()
        fields: dict[str, Any] = {
            "seconds": round(now - self.began, 3),
            "cpu_seconds": round(self.cpu, 3),
            "peak_memory_mb": round(self.peak / 1e6, 1),
        }
        clock = self.clock
        if clock and self.started is not None:
            seconds = max(1e-6, (self.ended or now) - self.started - self.away)
            # On a shared CPU only the process's own seconds tell one run's speed from another's.
            cpu = (self.cpu_ended if self.ended else self.cpu) - self.at[CANDIDATE]
            own = seconds if self.task.clock == "wall" else cpu
            fields |= {
                "progress": round(clock.progress, 5),
                "tokens": clock.candidate.tokens,
                "loss": self.loss,
                "training_seconds": round(seconds, 3),
                "tokens_per_second": round(clock.candidate.tokens / max(1e-6, own), 1),
            }
        return fields

    def _judge(self) -> None:
        """Raise unless the process ended as it should have."""
        text, code = self.log.text(), self.children[CANDIDATE].process.returncode
        if self.task.score and (odd := remove_odd(self.run / "out")):
            self.log.add(f"\n[left out of RUN_DIR, for it is no plain file: {odd}]\n".encode())
            self.log.flush()
        out, host = self.run / "out", Path(self.spec["host"])
        check_exit(code, text, out=out, host=host, oom_before=self.oom_kills)
        self._check_written()  # nobody moves anything any more
        if self.clock:
            if self.ended is None:
                raise Crash(
                    "it ended before the budget was used; expected to train until progress 1"
                )
            if self.task.clock != "relative":  # there a budget is tokens, whatever the machine does
                check_speed(self.spec, self.parameters, self._measured()["tokens_per_second"])
        if not self.task.score:  # only a scorer knows what there should be in RUN_DIR
            check_printed(self.task, self.log.printed, text)

    def _figures(self) -> dict[str, Any]:
        now, clock = time.monotonic(), self.clock
        child = self.children.get(CANDIDATE)
        code = child.process.returncode if child else None
        fields = self._measured() | {
            "exit_code": None if self.killed_by_us else code,
            "signal": code - 128 if code and code > 128 and not self.killed_by_us else None,
            "setup_seconds": round((self.started or now) - self.began, 3) if clock else 0.0,
            "saving_seconds": round(now - self.ended, 3) if self.ended else 0.0,
            "curve": self.curve.points(),
            "log_bytes": self.log.total,
            "printed": float(self.log.printed) if self.log.printed else None,
        }
        if clock is None:
            fields["training_seconds"] = round(now - self.began, 3)
        else:
            fields["cpu_seconds"] = round(self.cpu - self.at.get(CANDIDATE, 0.0), 3)
            fields["setup_cpu_seconds"] = round(self.at.get(CANDIDATE, self.cpu), 3)
            fields |= {"ratio": clock.ratio, "baseline_tokens": clock.baseline_tokens}
            fields["setup_charged_seconds"] = round(clock.setup_charged, 3)
            # Code that was paid for after its last step.
            fields["saving_cpu_seconds"] = (
                round(self.cpu - self.cpu_ended, 3) if self.ended else 0.0
            )
            fields["calibration"] = clock.summary()
        return fields


def _count(value: Any, name: str) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return int(value)
    raise ProtocolError(f"{name} = {repr(value)[:40]}; expected a whole number")
