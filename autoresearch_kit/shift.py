"""The process of a night: ``python -m autoresearch_kit.shift NIGHT_DIR``.

Three threads share one state: the main one trains and scores, the proposer makes the next
proposals meanwhile, the clerk listens to the owner's wishes and writes ``status.json``. What was
done is counted in git and in the proposals' folders, so that a killed night goes on exactly there.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autoresearch_kit import awake, callables, files, runs, steps
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import open_campaign
from autoresearch_kit.errors import ApprovalPending, AutoresearchError, DiskFull, ProposalError
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.policies import Ask
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import STATUSES, Record, clean

TICK_SECONDS = 0.1
CLERK_SECONDS = 0.25
NOTES = 20
AHEAD = 1  # approved proposals that wait for the device
LONGEST_PAUSE = 60.0  # seconds after a failed proposal


class Shift:
    """A night at work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: dict[str, Any] = files.read_json(folder / "night.json") or {}
        self.campaign = open_campaign(self.asked["host"], tag=self.asked["tag"])
        self.key = f"night|{folder.name}"
        self.over = threading.Event()
        self.phase, self.reason = "starting", ""
        self.wish = "run"
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
        helpers = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._clerk, self._proposer)
        ]
        with awake.inhibited(f"autoresearch night of {self.campaign.tag}") as sleepy:
            if sleepy:
                self.note(sleepy)
            for helper in helpers:
                helper.start()
            self._guarded(self._work)
            self.over.set()
            helpers[0].join()
        for proposal in self._unfinished():
            (proposal.folder / "asked.json").unlink(missing_ok=True)  # nobody keeps the time now
        self._write()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except DiskFull as error:
            self.end("stopped", str(error))
        except Exception as error:
            traceback.print_exc()
            self.end("stopped", f"the kit failed: {type(error).__name__}: {error}")

    def end(self, phase: str, reason: str) -> None:
        """Let everything end; the first reason counts."""
        if not self.reason:
            self.phase, self.reason = phase, reason
        self.over.set()

    def note(self, words: str) -> None:
        """Remember something that the owner should read in the morning."""
        at = datetime.now().astimezone().strftime("%H:%M")
        print(f"{at} {words}", flush=True)
        self.notes = [*self.notes, f"{at} {clean(words, 300)}"][-NOTES:]

    # The main thread: one experiment after the other.

    def _work(self) -> None:
        if self.campaign.best_record is None:
            self.experiment, self.doing = self.campaign.experiment(0), "baseline"
            steps.baseline(self.campaign)
            self.experiment = None
        self.phase = "running"
        while not self.over.is_set():
            if why := self._limit():
                self.end("finished", why)
            elif self.wish.startswith("stop"):
                self.end("stopped", "on request")
            elif self.wish == "pause" or (proposal := self._next()) is None:
                time.sleep(TICK_SECONDS)
            else:
                self._try(proposal)

    def _next(self) -> Proposal | None:
        ready = steps.ready(self.campaign, self.key)
        if not ready and self.exhausted:
            self.end("finished", self.exhausted)
        return next((p for p in ready if p.status == "approved"), None)

    def _try(self, proposal: Proposal) -> None:
        self.taken = proposal.id
        try:
            self.experiment, self.doing = steps.apply(proposal), "training"
            run = steps.train_5min(self.experiment)
            self.doing = "scoring"
            print(steps.score(run), flush=True)
            self.failed_runs = 0
        except ApprovalPending:
            self.note("the best state moved under an approved patch; it needs another look")
        except ProposalError as error:
            self.note(f"a proposal is put away: {error}")
            proposals.finish(self.campaign, proposal.id)
        except AutoresearchError as error:
            self._stumble(proposal, error)
        finally:
            self.experiment, self.taken, self.doing = None, "", ""

    def _stumble(self, proposal: Proposal, error: AutoresearchError) -> None:
        """Deal with a run that gave no verdict and is not a crash either."""
        experiment = self.experiment
        if experiment is not None and runs.newest(experiment).status == "stopped":
            if not self.wish.startswith("stop"):
                self.note(f"{experiment.n:04d} was stopped by a person and stays undecided")
                proposals.finish(self.campaign, proposal.id)
            return
        self.failed_runs += 1
        self.note(f"no verdict: {error}")
        if self.failed_runs >= self.asked["failures"]:
            self.end("stopped", f"{self.failed_runs} runs in a row gave no verdict: {error}")

    def _limit(self) -> str:
        """Return which limit is reached; empty when none is."""
        asked, mine = self.asked, self._mine()
        if asked["experiments"] and len(mine) >= asked["experiments"]:
            return f"{len(mine)} experiments are made"
        if asked["deadline"] and datetime.now(UTC) >= datetime.fromisoformat(asked["deadline"]):
            return "the time is over"
        ran = [record for record in mine if record.status != "refused"]
        crashes = ran[-asked["failures"] :]
        if len(crashes) == asked["failures"] and all(r.status == "crash" for r in crashes):
            return f"{len(crashes)} crashes in a row; the last one: {crashes[-1].reason}"
        recent = ran[-asked["patience"] :] if asked["patience"] else []
        tired = len(recent) == asked["patience"]
        if tired and not any(record.status == "keep" for record in recent):
            return f"no keep in {len(recent)} experiments"
        free = shutil.disk_usage(self.campaign.state).free
        if free < asked["min_free_gb"] * 1e9:
            return f"the disk has {free / 1e9:.1f} GB left, under {asked['min_free_gb']:g} GB"
        return ""

    # The proposer: policies, and the next proposals while a run is at work.

    def _proposer(self) -> None:
        while not self.over.is_set():
            for proposal in self._unfinished():
                if proposal.status == "open" and not proposal.asked:
                    self._ask(proposal)
            if not self._wants_proposal():
                self.over.wait(TICK_SECONDS)
                continue
            self.proposing = time.monotonic()
            try:
                self._make()
                self.failed_proposals = 0
            except Exception as error:  # anybody's code
                self._failed(error)
            finally:
                self.proposing = None

    def _make(self) -> None:
        by = self.propose.propose if isinstance(self.propose, callables.Lent) else self.propose
        made = steps.next_proposal(self.campaign, by=by, key=self.key, new=True)
        if self.asked["max_cost"] is not None and "money" not in made.cost:
            proposals.finish(self.campaign, made.id)
            self.end(
                "stopped",
                f"max_cost={self.asked['max_cost']:g}, but {made.author} doesn't say what a "
                "proposal costs; give max_tokens= instead, or cost={'money': ...} in its draft()",
            )
        if self.asked["max_tokens"] is not None and "tokens" not in made.cost:
            proposals.finish(self.campaign, made.id)
            self.end(
                "stopped",
                f"max_tokens={self.asked['max_tokens']}, but {made.author} doesn't count tokens; "
                "it has to pass cost={'tokens': ...} to draft()",
            )

    def _failed(self, error: Exception) -> None:
        if self.over.is_set():
            return
        if not isinstance(error, AutoresearchError):
            traceback.print_exc()
        self.failed_proposals += 1
        words = str(error) if isinstance(error, AutoresearchError) else f"{error!r}"
        self.note(f"the proposer failed: {words}")
        if self.failed_proposals >= self.asked["failures"]:
            self.exhausted = f"{self.failed_proposals} proposals in a row failed; the last: {words}"
        else:
            self.over.wait(min(LONGEST_PAUSE, 2.0 ** (self.failed_proposals - 1)))

    def _wants_proposal(self) -> bool:
        if self.phase != "running" or self.wish != "run" or self.exhausted:
            return False
        asked, waiting = self.asked, self._unfinished()
        if asked["experiments"] and len(self._mine()) + len(waiting) >= asked["experiments"]:
            return False
        for name, key in (("max_cost", "cost"), ("max_tokens", "tokens")):
            if asked[name] is not None and self._spent(key) >= asked[name]:
                self.exhausted = f"{name}={asked[name]} is spent"
                return False
        approved = sum(p.status == "approved" and p.id != self.taken for p in waiting)
        opened = sum(p.status == "open" for p in waiting)
        return approved < AHEAD and opened < asked["queue"]

    def _ask(self, proposal: Proposal) -> None:
        name = f"policy: {self.asked['policy']}"
        lent = isinstance(self.decide, callables.Lent)
        try:
            answer = self.decide.decide(proposal) if lent else self.decide(proposal)
        except Exception as error:  # anybody's code
            self.note(f"the policy failed, so a person has to decide: {error}")
            answer = None
        if answer is True:
            proposal.approve(by=name)
        elif isinstance(answer, str) or answer is False:
            proposal.refuse(answer or "the policy refused it", by=name)
        else:
            ask = answer if isinstance(answer, Ask) else Ask()
            until = None
            if ask.minutes is not None:
                until = (datetime.now(UTC) + timedelta(minutes=ask.minutes)).isoformat()
            files.write_json(proposal.folder / "asked.json", {"until": until, "then": ask.then})

    # The clerk: wishes, time limits of questions, and what others can read.

    def _clerk(self) -> None:
        while not self.over.is_set():
            wish = (files.read_json(self.folder / "wish.json") or {}).get("want", "run")
            self.wish = str(wish)
            if self.wish == "stop now" and self.experiment and self.doing != "scoring":
                runs.newest(self.experiment).stop()
            self._close_questions()
            self._write()
            self.over.wait(CLERK_SECONDS)

    def _close_questions(self) -> None:
        for proposal in self._unfinished():
            until = proposal.asked.get("until") if proposal.status == "open" else None
            if until and datetime.now(UTC) >= datetime.fromisoformat(until):
                name = f"policy: {self.asked['policy']}"
                if proposal.asked["then"] == "approve":
                    proposal.approve(by=name)
                else:
                    proposal.refuse("nobody answered in time", by=name)

    def _write(self) -> None:
        files.write_json(self.folder / "status.json", self._state())

    def _state(self) -> dict[str, Any]:
        mine, waiting = self._mine(), self._unfinished()
        phase = self.phase
        if not self.over.is_set():
            phase = {"pause": "paused", "run": phase}.get(self.wish, "stopping")
        experiment = self.experiment
        state = {
            "phase": phase,
            "reason": self.reason,
            "pid": os.getpid(),
            "updated": datetime.now(UTC).isoformat(),
            "counts": {s: n for s in STATUSES if (n := sum(r.status == s for r in mine))},
            "experiment": experiment.n if experiment else None,
            "doing": self.doing,
            "proposing": round(time.monotonic() - self.proposing, 1) if self.proposing else None,
            "waiting": sum(p.status == "open" for p in waiting),
            "failures": self.failed_proposals,
            "cost": self._spent("cost"),
            "tokens": int(self._spent("tokens")),
            "busy": _busy(mine),
            "deadline": self.asked["deadline"],
            "finish": self._finish(mine),
            "notes": self.notes,
        }
        return state | {"line": "" if self.over.is_set() else self._line(state)}

    def _line(self, state: dict[str, Any]) -> str:
        words = []
        if self.experiment is not None:
            share = runs.newest(self.experiment).state.get("progress")
            part = f" {100 * share:.0f} %" if share and self.doing == "training" else ""
            words.append(f"{state['experiment']:04d} {self.doing}{part}")
        if state["proposing"] is not None:
            words.append(f"{self.asked['by']} proposes")
        if state["waiting"]:
            words.append(f"{state['waiting']} wait for you")
        away = [repr(lent) for lent in self.lent if not lent.is_lent()]
        if away:
            words.append(f"waiting for the notebook that has {away[0]}: run its cell again")
        return ", ".join(words)

    def _finish(self, mine: Sequence[Record]) -> str | None:
        """Return when the night is likely to end; None when nobody can tell."""
        wanted: int | None = self.asked["experiments"]
        deadline: str | None = self.asked["deadline"]
        if not wanted or len(mine) < 2:
            return deadline
        first, last = (datetime.fromisoformat(r.decided) for r in (mine[0], mine[-1]))
        left = (last - first) / (len(mine) - 1) * (wanted - len(mine))
        finish = (last + left).isoformat()
        return min(finish, deadline) if deadline else finish

    def _mine(self) -> list[Record]:
        night = self.folder.name
        return [r for r in self.campaign.records() if r.proposal.get("night") == night]

    def _unfinished(self) -> list[Proposal]:
        """Return this night's proposals that are neither decided in git nor put away."""
        found = proposals.unfinished(self.campaign)
        return [p for p in found if p.key == self.key and not p.successor]

    def _spent(self, what: str) -> float:
        mine = {str(r.proposal.get("id")): r.proposal.get(what) or 0.0 for r in self._mine()}
        name = "money" if what == "cost" else what
        others = {p.id: p.cost.get(name, 0.0) for p in self._unfinished()}
        return float(sum({**others, **mine}.values()))


def _busy(mine: Sequence[Record]) -> float | None:
    """Return the share of the time since the first run began in which a run was at work."""
    ran = [record for record in mine if record.status != "refused"]
    if not ran:
        return None
    parts = ("setup_seconds", "training_seconds", "scoring_seconds")
    seconds = [sum(getattr(record, part) or 0.0 for part in parts) for record in ran]
    first, last = (datetime.fromisoformat(r.decided) for r in (ran[0], ran[-1]))
    whole = (last - first).total_seconds() + seconds[0]
    return min(1.0, sum(seconds) / whole) if whole else None


def main(folder: Path) -> int:
    """Do the night in `folder`; the lock that says so came with this process."""
    os.environ[runs.PRIORITY] = "night"
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    shift = Shift(folder)
    signal.signal(signal.SIGTERM, lambda *_: shift.end("stopped", "its process was asked to end"))
    shift()
    return 0


if __name__ == "__main__":
    os.environ["TQDM_DISABLE"] = "1"  # before tqdm is imported: nobody reads bars in a log
    sys.exit(main(Path(sys.argv[1])))
