"""What the tests of nights share: a host with plain constants, and proposers that can travel.

What is defined in this module can be imported by a night's process; a test's own closures can't.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

import autoresearch_kit as ark
from autoresearch_kit import policies
from autoresearch_kit.nights import ENDED
from autoresearch_kit.proposal import Proposal, draft
from autoresearch_kit.records import Record
from tests.decided import decide
from tests.test_kills import processes_of

# Constants stand so far apart that changes of two make two hunks; A2 is in the hunk of A.
FIT = """\
import time

A = 5

A2 = 0






B = 5






SECONDS = 0.0
time.sleep(SECONDS)
print(f"loss: {A + A2 + B}")
"""

CONTRACT = {
    "edit": "fit.py",
    "train": f"{sys.executable} fit.py",
    "metric": "loss",
    "goal": "minimize",
    "decide": "greedy",
}


def change(campaign: ark.Campaign, name: str, value: object, **more: Any) -> Proposal:
    """Draft a proposal that gives one constant another value."""
    return draft(
        campaign,
        files={"fit.py": edited(campaign, name, value)},
        hypothesis=f"{name} = {value}",
        author="tester",
        **more,
    )


def edited(campaign: ark.Campaign, name: str, value: object) -> str:
    text = campaign.best.files["fit.py"]
    return re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)


def manual(campaign: ark.Campaign, name: str, value: object) -> ark.Score:
    """Test a value by hand, as a cell does."""
    by = ark.Human(edit=edited(campaign, name, value))
    proposal = ark.propose(campaign, by=by, idea=f"{name} = {value}")
    return ark.score(ark.train_5min(ark.apply(proposal)))


def made(campaign: ark.Campaign) -> int:
    """Return how many proposals were ever made."""
    return len(list((campaign.state / "proposals").glob("*/[0-9]*")))


@dataclasses.dataclass(frozen=True)
class Worse:
    """Proposes worse and worse values, so that nothing is kept."""

    seconds: float = 0.0
    cost: Mapping[str, float] | None = None

    def __call__(
        self, campaign: ark.Campaign, *, idea: Any = None, revises: Any = None
    ) -> Proposal:
        time.sleep(self.seconds)
        return change(campaign, "B", 10 + made(campaign), cost=self.cost)


class SlowToPack(Worse):
    def __getstate__(self) -> dict[str, Any]:
        time.sleep(0.2)
        return dict(vars(self))


@dataclasses.dataclass(frozen=True)
class List:
    """Proposes what a list says, each once; then fails."""

    changes: tuple[tuple[str, object], ...]

    def __call__(
        self, campaign: ark.Campaign, *, idea: Any = None, revises: Any = None
    ) -> Proposal:
        told = {record.hypothesis for record in campaign.records()}
        places = (campaign.state / "proposals" / "open").glob("*/proposal.json")
        told |= {match[1] for p in places if (match := re.search(r'esis": "(.*?)"', p.read_text()))}
        for name, value in self.changes:
            if f"{name} = {value}" not in told:
                return change(campaign, name, value)
        raise ValueError("the list is at its end")


def raising(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    raise ValueError("no idea")


def indiscreet(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    raise ValueError(f"the key {os.environ['OPENAI_API_KEY']} is wrong")


def recovering(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    """Have no server the first time."""
    seen = campaign.state / "seen-by-recovering"
    if not seen.exists():
        seen.touch()
        raise ark.errors.EndpointError("nobody listens there", "connection")
    return Worse()(campaign, idea=idea, revises=revises)


def leaving(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    sys.exit("the proposer wants to leave")


def satisfied(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    """Know one thing to try on each best state."""
    if made(campaign) > campaign.best.n:
        raise ark.errors.ProposalError("nothing else comes to mind", "lasting")
    return change(campaign, "A", 4 - campaign.best.n)


def rubbish(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Any:
    return 42


def crashing(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    return change(campaign, "SECONDS", f"{made(campaign)} / 0")


def first_slow(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    count = made(campaign)
    return change(campaign, "B", 10 + count) if count else change(campaign, "SECONDS", 30)


def talkative(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    for _ in range(100):
        print("words " * 20_000)
    return Worse()(campaign, idea=idea, revises=revises)


def messy(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    """Leave a process behind, in a session of its own."""
    subprocess.Popen(["sleep", "1234"], start_new_session=True)
    return Worse()(campaign, idea=idea, revises=revises)


class Faulty:
    """Fails, crashes, is better or worse; everything by chance."""

    def __call__(self, campaign: ark.Campaign, *, idea: Any, revises: Any) -> Any:
        dice, value = random.random(), made(campaign)
        if dice < 0.08:
            raise ValueError("no idea")
        if dice < 0.12:
            return "rubbish"
        if dice < 0.22:
            return change(campaign, "B", f"{value} / 0")
        if dice < 0.32:  # the next proposal, made meanwhile, is in conflict with this one
            best = campaign.best_record
            return change(campaign, "B", -value if best and best.n else 4)
        return change(campaign, "B" if dice < 0.7 else "A", 10 + value)


def hesitating(proposal: Proposal) -> policies.Answer:
    """Approve most, refuse some, ask about others, and fail at times."""
    dice = random.random()
    if dice < 0.05:
        raise ValueError("no opinion")
    if dice < 0.15:
        return "out of taste"
    return True if dice < 0.75 else policies.ask(minutes=0.01, then="approve")


def forking(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
    """Leave a copy of the night's process behind, as a pool of workers does."""
    if os.fork() == 0:
        time.sleep(1234)
        os._exit(0)
    return Worse()(campaign, idea=idea, revises=revises)


def odd_ones_out(proposal: Proposal) -> bool | str:
    value = int(proposal.hypothesis.rsplit(" ", 1)[1])
    return True if value % 2 == 0 else "odd"


def raising_policy(proposal: Proposal) -> bool:
    raise ValueError("no opinion")


def until(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    """Wait until `what` returns something true, and return it."""
    late = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < late, f"waited {seconds:g} s in vain"
        time.sleep(0.05)
    return found


def ended(night: ark.Night, seconds: float = 60.0) -> Mapping[str, Any]:
    """Return the last state of a night."""
    until(lambda: night.status in ENDED, seconds)
    return night.state


def decided(campaign: ark.Campaign, night: ark.Night) -> list[Record]:
    return [r for r in campaign.records() if r.proposal.get("night") == night.id]


def doing(night: ark.Night, what: str) -> Callable[[], bool]:
    return lambda: night.state.get("doing") == what


def quiet(folder: Path) -> bool:
    """Tell whether no process of a repository is left; waits a little for the last ones."""
    return until(lambda: not processes_of(folder), 15)


def kill(night: ark.Night) -> None:
    """Kill a night's process as the out-of-memory killer does."""
    pid = until(lambda: night.state.get("pid"))
    psutil.Process(pid).kill()
    until(lambda: night.status == "died")


def parents_are_right(campaign: ark.Campaign) -> bool:
    """Tell whether each experiment was tested on what was the best when it was decided."""
    best = 0
    for record in sorted(campaign.records()[1:], key=lambda record: record.decided):
        if record.status != "refused" and record.parent != best:
            return False
        best = record.n if record.status == "keep" else best
    return True


def moment(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def decided_by_hand(campaign: ark.Campaign, name: str, value: int) -> Record:
    """Record a discard without training it."""
    return decide(campaign, {"fit.py": edited(campaign, name, value)}, "discard", value)
