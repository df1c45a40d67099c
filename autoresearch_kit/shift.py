"""The process of a night: ``python -m autoresearch_kit.shift NIGHT_DIR LOCK``.

Four threads share one state: the main one trains and scores, the proposer makes the next
proposals meanwhile, the judge asks the policy, the clerk listens to the owner's wishes and writes
``status.json``. What was done is counted in git and in the proposals' folders (`tally`), so that a
killed night goes on exactly there.
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
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autoresearch_kit import awake, callables, evening, files, ledger, policies, runner, runs, steps
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
from autoresearch_kit.policies import Ask
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import clean
from autoresearch_kit.tally import Tally

TICK_SECONDS = 0.1
CLERK_SECONDS = 0.25
PATIENCE = 20  # times in a row that the clerk may fail
NOTES, NOTE = 20, 300  # how many, how long
LOG_BYTES, LOG_TAIL = 4_000_000, 400_000
AHEAD = 1  # approved proposals that wait for the device
LONGEST_PAUSE = 60.0  # seconds after a failed proposal
LAST_SECONDS = 5.0  # for threads that somebody's proposer left behind


class Shift:
    """A night at work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: dict[str, Any] = files.read_json(folder / "night.json") or {}
        self.campaign = open_campaign(self.asked["host"], tag=self.asked["tag"])
        self.tally = Tally(self.campaign, folder, self.asked)
        self.over, self.done = threading.Event(), threading.Event()
        self.ending: dict[str, tuple[str, str]] = {}
        self.phase, self.wish = "starting", "run"
        self.terminated = False
        self.notes: list[str] = []
        self.experiment: Experiment | None = None  # in the device's hands, or next
        self.taken = ""  # id of its proposal
        self.doing = ""
        self.proposing: float | None = None
        self.failed_proposals = self.failed_runs = 0
        self.exhausted = ""  # why no further proposal is made
        self.propose, self.decide = self._function("by"), self._function("approve")
        self.lent = [f for f in (self.propose, self.decide) if isinstance(f, callables.Lent)]

    def _function(self, name: str) -> Any:
        if name in self.asked["lent"]:
            said = self.asked["by" if name == "by" else "policy"]
            return callables.Lent(self.folder, name, said, self.over.is_set)
        return callables.unpack(self.folder / f"{name}.pickle")

    def __call__(self) -> None:
        """Work until a limit is reached or the owner wants the end; then say why."""
        clerk, judge, proposer = (
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._clerk, self._judge, self._proposer)
        )
        clerk.start()
        with awake.inhibited(f"autoresearch night of {self.campaign.tag}") as sleepy:
            if sleepy:
                self.note(sleepy)
            judge.start()
            proposer.start()
            self._guarded(self._work)
            self.over.set()
            self.done.set()
        clerk.join()
        judge.join(LAST_SECONDS)
        with contextlib.suppress(OSError):
            for proposal in self.tally.unfinished():
                (proposal.folder / "asked.json").unlink(missing_ok=True)  # nobody keeps the time
        self._last_word()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except AutoresearchError as error:
            self.end("stopped", str(error))
        except BaseException as error:  # a thread must not die without a word
            traceback.print_exc()
            self.end("stopped", f"the kit failed: {type(error).__name__}: {error}")

    def end(self, phase: str, reason: str) -> None:
        """Let everything end; the first reason counts."""
        self.ending.setdefault("end", (phase, clean(reason)))
        self.over.set()

    def note(self, words: str) -> None:
        """Remember something that the owner should read in the morning."""
        line = f"{datetime.now().astimezone().strftime('%H:%M')} {clean(words, NOTE)}"
        print(line, flush=True)
        self.notes = [*self.notes, line][-NOTES:]

    # The main thread: one experiment after the other.

    def _work(self) -> None:
        if adopted := self.tally.adopt():
            self.note(f"{adopted} proposals that an earlier night left are taken over")
        self._baseline()
        self.phase = "running"
        while not self.over.is_set():
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
            self.end("finished", why)
        elif self.wish.startswith("stop"):
            self.end("stopped", "on request")
        elif self.wish == "pause" or (proposal := self._next()) is None:
            time.sleep(TICK_SECONDS)
        else:
            self._try(proposal)

    def _next(self) -> Proposal | None:
        ready = steps.ready(self.campaign, self.tally.key)
        if not ready and self.exhausted:
            self.end("finished", self.exhausted)
        found = next((p for p in ready if p.status == "approved"), None)
        # What a person tests by hand may become the best: wait for its verdict.
        return None if found is None or runs.under_way(self.campaign) else found

    def _try(self, proposal: Proposal) -> None:
        self.taken = proposal.id
        try:
            experiment = steps.apply(proposal)
            self.taken, self.experiment, self.doing = experiment.proposal, experiment, "training"
            if not self._is_outdated(experiment):
                run = steps.train_5min(experiment)
                self.doing = "scoring"
                print(steps.score(run), flush=True)
                self.failed_runs = 0
                return
            self._take_back(experiment)
        except ApprovalPending:
            self.note("the best state moved under an approved patch; it needs another look")
        except ProposalError as error:
            self.note(f"a proposal is put away: {error}")
            proposals.finish(self.campaign, proposal.id)
        finally:
            self.experiment, self.taken, self.doing, last = None, "", "", self.experiment
            if last is not None and last.record is None:
                self._left_undecided(last)

    def _left_undecided(self, experiment: Experiment) -> None:
        """Deal with a run that somebody stopped."""
        if runs.newest(experiment).status != "stopped" or self._in_a_hurry():
            return
        if self._is_outdated(experiment) or runs.under_way(self.campaign, but=experiment.n):
            self._take_back(experiment)
        else:
            self.note(f"{experiment.n:04d} was stopped by a person and stays undecided")
            proposals.finish(self.campaign, experiment.proposal)

    def _is_outdated(self, experiment: Experiment) -> bool:
        """Tell whether the best state moved before the first run of an experiment began."""
        best = self.campaign.best_record
        first = experiment.n > 0 and runs.latest_replicate(experiment) == 0
        return first and best is not None and best.n != experiment.parent
