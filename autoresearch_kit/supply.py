"""Where a night's approved proposals come from: the proposer, and whoever decides.

The proposer makes the next proposals while a run is at work; the judge asks the policy meanwhile,
for it must not wait for a slow proposer. Both are threads of the night's process (see `shift`).
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from autoresearch_kit import callables, files, keys, policies, steps
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import AutoresearchError, CampaignError, DiskFull
from autoresearch_kit.policies import Ask
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import clean
from autoresearch_kit.tally import Tally

TICK_SECONDS = 0.1
NOTES, NOTE = 20, 300  # how many, how long
AHEAD = 1  # approved proposals that wait for the device
LONGEST_PAUSE = 60.0  # seconds
FOR_GOOD = ("unauthorized", "quota", "model", "lasting")  # what no second try makes better
PASSING = ("rate", "server", "connection", "stalled")  # what a server gets over by itself
OUTAGE_SECONDS = 3600.0
LONGEST_ERROR = 10_000  # characters


class Bulletin:
    """What the threads of a night share.

    Attributes
    ----------
    over
        Nothing new is begun; `done`: the last experiment has ended too.
    ending
        Under ``"end"`` the phase and the reason that the night ends with.
    wish
        What the owner wants: run, pause, stop, stop now.
    taken
        The id of the proposal that is being tested.
    """

    def __init__(self) -> None:
        self.over, self.done = threading.Event(), threading.Event()
        self.ending: dict[str, tuple[str, str]] = {}
        self.phase, self.wish, self.taken = "starting", "run", ""
        self.notes: list[str] = []
        self._noted, self._times = "", 0

    def guarded(self, work: Callable[[], None]) -> None:
        """Do `work`; an error ends the night and is its reason."""
        try:
            work()
        except AutoresearchError as error:
            self.end("stopped", str(error))
        except BaseException as error:  # a thread must not die without a word
            print_error(error)
            self.end("stopped", f"the kit failed: {type(error).__name__}: {error}")

    def end(self, phase: str, reason: str) -> None:
        """Let everything end; the first reason counts."""
        self.ending.setdefault("end", (phase, clean(keys.redact(reason))))
        self.over.set()

    def note(self, words: str) -> None:
        """Remember something that the owner should read in the morning."""
        words = clean(keys.redact(words), NOTE)
        line = f"{datetime.now().astimezone().strftime('%H:%M')} {words}"
        print(line, flush=True)
        self._times = self._times + 1 if words == self._noted else 1
        self._noted = words
        if self._times > 1:  # the same again and again is one note
            self.notes = [*self.notes[:-1], f"{line} ({self._times} times)"]
        else:
            self.notes = [*self.notes, line][-NOTES:]


def pause_after(failures: int) -> float:
    """Return how many seconds to wait after so many failures in a row: 1, 2, 4, ... 60."""
    return float(min(LONGEST_PAUSE, 2 ** min(failures - 1, 10)))


def print_error(error: BaseException) -> None:
    """Print an error with its traceback into the log."""
    lines = traceback.format_exception(error)
    print(keys.redact("".join(lines))[-LONGEST_ERROR:], file=sys.stderr, flush=True)


class Supply:
    """Makes proposals and has them decided, never more than can be used.

    Attributes
    ----------
    proposing
        When the present proposal was begun, by `time.monotonic`; None between proposals.
    failed
        How many proposals in a row failed.
    """

    def __init__(
        self, board: Bulletin, tally: Tally, asked: Mapping[str, Any], by: Any, policy: Any
    ) -> None:
        self._board, self._tally, self._asked = board, tally, asked
        self._campaign, self._by, self._policy = tally.campaign, by, policy
        self.proposing: float | None = None
        self.failed = 0
        self._failing_since = 0.0
        self._exhausted = "", ""

    @property
    def exhausted(self) -> str:
        """Why no further proposal is made; empty as long as there will be some."""
        why, state = self._exhausted
        return why if not state or state == self._campaign.best.commit else ""

    def propose(self) -> None:
        """Make proposals until the night is over."""
        while not self._board.over.is_set():
            if not self._wants_proposal():
                self._board.over.wait(TICK_SECONDS)
                continue
            self.proposing, state = time.monotonic(), ""
            try:
                state = self._campaign.best.commit
                self._make()
                self.failed = 0
            except DiskFull:
                raise
            except (Exception, SystemExit) as error:  # anybody's code
                self._failed(error, state)
            finally:
                self.proposing = None

    def _wants_proposal(self) -> bool:
        if self._board.phase != "running" or self._board.wish != "run" or self.exhausted:
            return False
        asked, waiting = self._asked, self._tally.unfinished()
        if asked["experiments"]:
            made = {str(record.proposal.get("id")) for record in self._tally.records()}
            if len(made | {p.id for p in waiting}) >= asked["experiments"]:
                return False
        opened = [p for p in waiting if p.status == "open"]
        if len(opened) >= asked["queue"] or not all(p.asked for p in opened):
            return False  # the last one has not even been looked at
        if sum(p.status == "approved" and p.id != self._board.taken for p in waiting) >= AHEAD:
            return False
        self._exhausted = self._tally.broke(), ""
        return not self.exhausted

    def _make(self) -> None:
        by = self._by.propose if isinstance(self._by, callables.Lent) else self._by
        made = steps.next_proposal(self._campaign, by=by, key=self._tally.key, new=True)
        if made.status == "approved":
            return  # a person's own commit costs nothing
        for limit, what in (("max_cost", "money"), ("max_tokens", "tokens")):
            if self._asked[limit] is not None and what not in made.cost:
                proposals.finish(self._campaign, made.id)
                self._board.end(
                    "stopped",
                    f"{limit}={self._asked[limit]}, but {made.author} doesn't say how much {what} "
                    f"a proposal takes: it has to pass cost={{{what!r}: ...}} to draft(). Leave "
                    f"out {limit}=, or use another limit such as experiments=",
                )

    def _failed(self, error: BaseException, state: str) -> None:
        """Count a failure; it may end the proposing, if only on the best state at the time."""
        if self._board.over.is_set():
            return
        if not isinstance(error, AutoresearchError):
            print_error(error)
        if not self.failed:
            self._failing_since = time.monotonic()
        self.failed += 1
        words = clean(str(error) if isinstance(error, AutoresearchError) else repr(error), NOTE)
        self._board.note(f"the proposer failed: {words}")
        kind = getattr(error, "kind", "")
        for_long = time.monotonic() - self._failing_since > OUTAGE_SECONDS
        if kind in FOR_GOOD:
            why = f"no proposal can be made: {words}"
            self._exhausted = why, state if kind == "lasting" else ""
        elif self.failed >= self._asked["failures"] and (for_long or kind not in PASSING):
            why = f"{self.failed} proposals in a row failed; the last: {words}"
            self._exhausted = why, ""
        else:
            self._board.over.wait(pause_after(self.failed))

    def judge(self) -> None:
        """Have proposals decided until the night is over."""
        while not self._board.over.is_set():
            for proposal in self._tally.unfinished():
                unclaimed = self.proposing is not None and "seconds" not in proposal.cost
                if proposal.status == "open" and not proposal.asked and not unclaimed:
                    self._ask_carefully(proposal)
            self._board.over.wait(TICK_SECONDS)

    def _ask_carefully(self, proposal: Proposal) -> None:
        try:
            self._ask(proposal)
        except DiskFull:
            raise
        except Exception as error:  # git may be busy: the next look tries again
            print_error(error)
            self._board.note(f"a decision has to wait: {error}")

    def _ask(self, proposal: Proposal) -> None:
        try:
            if isinstance(self._policy, callables.Lent):
                answer = self._policy.decide(proposal)
            else:
                answer = policies.settle(self._policy, proposal)
        except (Exception, SystemExit) as error:  # anybody's code
            if self._board.over.is_set() or proposal.status != "open":
                return
            self._board.note(f"the policy failed, so a person has to decide: {error}")
            answer = None
        if isinstance(answer, bool | str):
            reason = "" if answer is True else answer or "the policy refused it"
            self._decide(proposal, reason)
            return
        ask = answer or Ask()
        until = None
        if ask.minutes is not None:
            until = (datetime.now(UTC) + timedelta(minutes=ask.minutes)).isoformat()
        files.write_json(proposal.folder / "asked.json", {"until": until, "then": ask.then})

    def _decide(self, proposal: Proposal, refusal: str) -> None:
        """Approve a proposal, or refuse it for a reason, unless somebody was faster."""
        by = f"policy: {self._asked['policy']}"
        try:
            if refusal:
                proposal.refuse(refusal, by=by)
            else:
                proposal.approve(by=by)
        except CampaignError:
            if proposal.status == "open":
                raise

    def close_questions(self) -> None:
        """Decide what a person was asked and did not answer in time."""
        for proposal in self._tally.unfinished():
            until = proposal.asked.get("until") if proposal.status == "open" else None
            if until and datetime.now(UTC) >= datetime.fromisoformat(until):
                approve = proposal.asked.get("then") == "approve"
                self._decide(proposal, "" if approve else "nobody answered in time")
