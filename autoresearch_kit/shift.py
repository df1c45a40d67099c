"""The process of a night: ``python -m autoresearch_kit.shift NIGHT_DIR LOCK``.

Four threads share a `Bulletin`: the main one trains and scores, the proposer makes the next
proposals meanwhile and the judge has them decided (`supply`), the clerk listens to the owner's
wishes and writes ``status.json``. What was done is counted in git and in the proposals' folders
(`tally`), so that a killed night goes on exactly there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoresearch_kit import awake, callables, evening, files, keys, ledger, runner, runs, steps
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import open_campaign
from autoresearch_kit.errors import (
    ApprovalPending,
    AutoresearchError,
    CampaignError,
    DiskFull,
    ProposalError,
)
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import clean
from autoresearch_kit.spare import SpareTime
from autoresearch_kit.supply import Bulletin, Supply, pause_after, print_error
from autoresearch_kit.tally import Tally

TICK_SECONDS = 0.1
CLERK_SECONDS = 0.25
PATIENCE = 20  # times in a row that the clerk may fail
LOG_BYTES, LOG_TAIL = 4_000_000, 400_000
LAST_SECONDS = 5.0  # for threads that somebody's proposer left behind


class Shift:
    """A night at work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: dict[str, Any] = files.read_json(folder / "night.json") or {}
        self.campaign = open_campaign(self.asked["host"], tag=self.asked["tag"])
        self.tally = Tally(self.campaign, folder, self.asked)
        self.board = Bulletin()
        by, policy = self._function("by"), self._function("approve")
        self.lent = [f for f in (by, policy) if isinstance(f, callables.Lent)]
        self.supply = Supply(self.board, self.tally, self.asked, by, policy)
        self.choosing = threading.Lock()
        self.terminated = False
        self.experiment: Experiment | None = None  # in the device's hands, or next
        self.doing = ""
        self.moved: int | None = None  # experiment that was stopped because the best may move
        self.failed_runs = 0
        self.spare = SpareTime(self.campaign, self.board.note)

    def _function(self, name: str) -> Any:
        if name in self.asked["lent"]:
            said = self.asked["by" if name == "by" else "policy"]
            return callables.Lent(self.folder, name, said, self.board.over.is_set)
        return callables.unpack(self.folder / f"{name}.pickle")

    def __call__(self) -> None:
        """Work until a limit is reached or the owner wants the end; then say why."""
        clerk, judge, proposer = (
            threading.Thread(target=self.board.guarded, args=(work,), daemon=True)
            for work in (self._clerk, self.supply.judge, self.supply.propose)
        )
        clerk.start()
        with awake.inhibited(f"autoresearch night of {self.campaign.tag}") as sleepy:
            if sleepy:
                self.board.note(sleepy)
            judge.start()
            proposer.start()
            self.board.guarded(self._work)
            self.board.over.set()
            self.board.done.set()
        clerk.join()
        judge.join(LAST_SECONDS)
        with contextlib.suppress(OSError):
            for proposal in self.tally.unfinished():
                (proposal.folder / "asked.json").unlink(missing_ok=True)  # nobody keeps the time
        self._last_word()

    # The main thread: one experiment after the other.

    def _work(self) -> None:
        if adopted := self.tally.adopt():
            self.board.note(f"{adopted} proposals that an earlier night left are taken over")
        self._baseline()
        self.board.phase = "running"
        while not self.board.over.is_set():
            try:
                self._turn()
            except DiskFull:
                raise
            except Exception as error:
                self._stumble(error)

    def _baseline(self) -> None:
        if self.campaign.best_record is not None:
            return
        first = self.campaign.experiment(0)
        self.experiment, self.doing = first, "baseline"
        # Somebody may have stopped it once: a night begins it again.
        runs.start(first, runs.latest_replicate(first), again=True)
        try:
            steps.baseline(self.campaign)
        except CampaignError:
            if not self._in_a_hurry():
                raise
        self.experiment, self.doing = None, ""

    def _turn(self) -> None:
        if why := self.tally.limit():
            self.board.end("finished", why)
        elif self.board.wish.startswith("stop"):
            self.board.end("stopped", "on request")
        elif self.board.wish == "pause":
            time.sleep(TICK_SECONDS)
        elif self.spare.audit():
            pass
        elif self._begin():
            try:
                self._test()
            finally:
                self._clear()
            self.spare.worked()
        elif not self.spare.repeat():
            time.sleep(TICK_SECONDS)

    def _begin(self) -> bool:
        """Make an experiment of the next approved proposal; tell whether there is one to test.

        A wish is read before or after this, not meanwhile: once a night says that it is paused, and
        names no experiment, it begins none.
        """
        with self.choosing:
            if self.board.wish != "run" or (proposal := self._next()) is None:
                return False
            self.board.taken = proposal.id
            try:
                self.experiment = steps.apply(proposal)
                self.board.taken, self.doing = self.experiment.proposal, "training"
            except ApprovalPending:
                self.board.note("the best state moved under an approved patch; look at it again")
            except ProposalError as error:
                self.board.note(f"a proposal is put away: {error}")
                proposals.finish(self.campaign, proposal.id)
            finally:
                if self.experiment is None:
                    self._clear()
            return self.experiment is not None

    def _clear(self) -> None:
        self.experiment, self.board.taken, self.doing = None, "", ""

    def _next(self) -> Proposal | None:
        ready = steps.ready(self.campaign, self.tally.key)
        if not ready and (why := self.supply.exhausted):
            self.board.end("finished", why)
        approved = [p for p in ready if p.status == "approved"]
        # What has a number and perhaps a run comes first: another one's keep would outdate it.
        found = min(approved, key=lambda p: not (p.folder / "commit").exists(), default=None)
        if found is None:
            return None
        commit = found.folder / "commit"
        own = commit.read_text() if commit.exists() else ""
        # What a person tests by hand may become the best: wait for its verdict.
        return None if runs.under_way(self.campaign, but=own) else found

    def _test(self) -> None:
        experiment = self.experiment
        assert experiment is not None  # _begin() set it
        if self._is_outdated(experiment):
            self._take_back(experiment)
            return
        run = steps.train_5min(experiment)
        self.doing = "scoring"
        try:
            score = steps.score(run)
            print(score, flush=True)
            if score.status == "quarantine":
                self.board.note(f"{score.n:04d} is in quarantine: {score.reason}")
            self.failed_runs = 0
        except CampaignError:
            if runs.newest(experiment).status != "stopped":
                raise
            if self.moved == experiment.n:
                self._take_back(experiment)
            elif not self._in_a_hurry():
                self.board.note(f"{experiment.n:04d} was stopped by a person and stays undecided")
                proposals.finish(self.campaign, experiment.proposal)

    def _is_outdated(self, experiment: Experiment) -> bool:
        """Tell whether the best state moved before the first run of an experiment began."""
        best = self.campaign.best_record
        first = experiment.n > 0 and runs.latest_replicate(experiment) == 0
        return first and best is not None and best.n != experiment.parent

    def _take_back(self, experiment: Experiment) -> None:
        """Make an untested experiment a proposal again, so that it moves to the best state."""
        self.moved = None
        with files.locked(self.campaign.state / "apply.lock"):
            ledger.unpin(self.campaign, experiment.n, experiment.commit)
            folder = proposals.load(self.campaign, experiment.proposal).folder
            (folder / "commit").unlink(missing_ok=True)
        self.board.note(f"{experiment.n:04d} is taken back: another experiment came before it")

    def _stumble(self, error: Exception) -> None:
        """Deal with a turn that gave no verdict and is not a crash either."""
        if not isinstance(error, AutoresearchError):
            print_error(error)
        self.failed_runs += 1
        self.board.note(f"no verdict: {error}")
        if self.failed_runs >= self.asked["failures"]:
            self.board.end("stopped", f"{self.failed_runs} times in a row no verdict: {error}")
        late = time.monotonic() + pause_after(self.failed_runs)
        while time.monotonic() < late and self.board.wish == "run" and not self.board.over.is_set():
            time.sleep(TICK_SECONDS)

    # The clerk: wishes, time limits of questions, and what others can read.

    def _clerk(self) -> None:
        failed = 0
        while not self.board.done.wait(CLERK_SECONDS):
            if not (self.folder / "night.json").exists():
                os._exit(1)  # the repository was moved or removed; a word would bring it back
            try:
                self._look()
                failed = 0
            except DiskFull:
                raise
            except Exception as error:
                print_error(error)
                failed += 1
                if failed >= PATIENCE:
                    raise

    def _look(self) -> None:
        with self.choosing:
            self.board.wish = str(files.read_table(self.folder / "wish.json").get("want", "run"))
        if self.terminated:
            again = "the same ark.overnight(...) goes on where it was"
            self.board.end("died", f"its process was asked to end; {again}")
        self._look_at_run(self.experiment)
        self.supply.close_questions()
        self._write()
        self._cut_log()

    def _in_a_hurry(self) -> bool:
        return self.board.wish == "stop now" or self.terminated

    def _look_at_run(self, experiment: Experiment | None) -> None:
        if self._in_a_hurry() or self.board.wish in ("stop", "pause"):
            self.spare.stop()
        run = None if experiment is None else runs.newest(experiment)
        if experiment is None or run is None or not run.dir.exists():
            return
        status = run.status
        if self._in_a_hurry() and status not in runner.FINAL:
            run.stop()
        # Manual runs go ahead of a night's that waits for the device, and may move the best.
        elif status == "queued" and run.state.get("queue") and self._has_rival(experiment):
            self.moved = experiment.n
            run.stop()

    def _has_rival(self, experiment: Experiment) -> bool:
        first = experiment.n > 0 and runs.latest_replicate(experiment) == 0
        rival = first and runs.under_way(self.campaign, but=experiment.commit)
        return rival or self._is_outdated(experiment)

    def _cut_log(self) -> None:
        """Keep the end of a log that a proposer fills."""
        log = self.folder / "log.txt"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            with log.open("r+b") as file:
                file.seek(-LOG_TAIL, os.SEEK_END)
                tail = file.read(LOG_TAIL)
                file.seek(0)
                file.write(b"(the log was cut here)\n" + tail)
                file.truncate()

    def _write(self) -> None:
        files.write_json(self.folder / "status.json", self._state())

    def _last_word(self) -> None:
        """Write the end, on a full disk too."""
        try:
            self._write()
        except Exception as error:
            print_error(error)
            path = self.folder / "status.json"
            phase, reason = self.board.ending["end"]
            words = {**files.read_table(path), "phase": phase, "reason": reason, "notes": []}
            with contextlib.suppress(Exception):
                words |= self.tally.figures()
            with contextlib.suppress(OSError), path.open("r+b") as file:
                file.write(json.dumps(words).encode())  # into the blocks that it has
                file.truncate()

    def _state(self) -> dict[str, Any]:
        phase, reason = self.board.ending.get("end", (self.board.phase, ""))
        if not self.board.done.is_set():
            phase = {"pause": "paused", "run": self.board.phase}.get(self.board.wish, "stopping")
            phase = "stopping" if self.board.over.is_set() else phase
        experiment, proposing = self.experiment, self.supply.proposing
        state = {
            "phase": phase,
            "reason": reason,
            "pid": os.getpid(),
            "updated": datetime.now(UTC).isoformat(),
            "experiment": experiment.n if experiment else None,
            "doing": self.doing or self.spare.doing,
            "proposing": round(time.monotonic() - proposing, 1) if proposing else None,
            "waiting": sum(p.status == "open" for p in self.tally.unfinished()),
            "failures": self.supply.failed,
            "notes": self.board.notes,
            **self.tally.figures(),
        }
        return state | {"line": "" if self.board.done.is_set() else self._line(state, experiment)}

    def _line(self, state: dict[str, Any], experiment: Experiment | None) -> str:
        words = []
        if experiment is not None:
            share = runs.newest(experiment).state.get("progress")
            part = f" {100 * share:.0f} %" if share and self.doing == "training" else ""
            words.append(f"{experiment.n:04d} {self.doing}{part}")
        if self.spare.doing:
            words.append(self.spare.doing)
        if state["proposing"] is not None:
            minutes = int(state["proposing"] / 60)
            since = f" for {minutes} min" if minutes else ""
            words.append(f"{self.asked['by']} proposes{since}")
        if state["waiting"]:
            words.append(f"{state['waiting']} wait for you")
        away = [repr(lent) for lent in self.lent if not lent.is_lent()]
        if away:
            words.append(f"waiting for the notebook that has {away[0]}: run its cell again")
        return ", ".join(words)


def main(folder: Path, lock: int) -> None:
    """Do the night in `folder`; `lock`, which says so, came with this process."""
    os.environ[runs.PRIORITY] = "night"
    # Neither programs nor copies of this process may keep the lock when this one is gone.
    os.set_inheritable(lock, False)
    os.register_at_fork(after_in_child=lambda: os.close(lock))
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    # What anybody's proposer, policy or library prints goes into the log.
    sys.stdout, sys.stderr = map(keys.Redacted, (sys.stdout, sys.stderr))
    logging.basicConfig(format="%(message)s")
    logging.getLogger("autoresearch_kit").setLevel(logging.INFO)
    try:
        shift = Shift(folder)
    except Exception as error:
        print_error(error)
        reason = clean(f"it could not begin: {type(error).__name__}: {error}")
        before = files.read_table(folder / "status.json")
        files.write_json(folder / "status.json", {**before, "phase": "died", "reason": reason})
        sys.exit(1)

    def terminate(*_: object) -> None:
        shift.terminated = True  # no more here: a handler may interrupt whoever holds a lock

    signal.signal(signal.SIGTERM, terminate)
    shift()
    evening.sweep(folder)
    watchdog = threading.Timer(LAST_SECONDS, os._exit, args=[0])
    watchdog.daemon = True
    watchdog.start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
