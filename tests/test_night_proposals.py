"""What a night does with its proposals: who decides, and what happens when the best state moves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import callables, device, files, git, policies, steps, tally
from autoresearch_kit import proposal as proposals
from tests import nightly as n
from tests.nightly import List, Worse, until

CELL = """\
import sys
import autoresearch_kit as ark
from tests.nightly import Worse
campaign = ark.open_campaign(sys.argv[1], tag="n")

def evens(proposal):
    return int(proposal.hypothesis.split()[-1]) % 2 == 0

def worse(campaign, *, idea=None, revises=None):
    return Worse()(campaign, idea=idea, revises=revises)

night = ark.overnight(campaign, approve=evens, by=worse, experiments=4)
night.wait(progress=False)
"""


DYING = """\
import os, signal, sys
import autoresearch_kit as ark
from tests.nightly import Worse
campaign = ark.open_campaign(sys.argv[1], tag="n")

def dying(campaign, *, idea=None, revises=None):
    Worse()(campaign, idea=idea, revises=revises)
    os.kill(os.getpid(), signal.SIGKILL)

ark.overnight(campaign, approve="everything", by=dying, experiments=1).wait(progress=False)
"""


def start(campaign: ark.Campaign, **more) -> ark.Night:
    return ark.overnight(campaign, **{"approve": "everything", "by": Worse(), **more})


def asked(campaign: ark.Campaign, count: int = 1) -> list:
    """Wait until so many proposals wait for a person, and return them."""
    return until(
        lambda: found if len(found := [p for p in campaign.pending() if p.asked]) >= count else None
    )


def lenders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lends to")]


@pytest.mark.acceptance
def test_nobody_answers_in_time(nightly) -> None:
    night = start(nightly, approve=policies.ask(minutes=0.01, then="approve"), experiments=1)
    n.ended(night)
    (first,) = n.decided(nightly, night)
    assert first.status == "discard"
    assert first.approver == "policy: ask 0.01 min, then approve"
    night = start(nightly, approve="ask:0.01:refuse", experiments=1, again=True)
    n.ended(night)
    (second,) = n.decided(nightly, night)
    assert (second.status, second.reason) == ("refused", "nobody answered in time")
    assert second.approver == "policy: ask 0.01 min, then refuse"


def test_a_person_answers_while_the_queue_is_full(nightly) -> None:
    night = start(nightly, approve=policies.ask(), queue=2)
    first, second = asked(nightly, 2)
    assert first.asked == {"until": None, "then": "refuse"}
    time.sleep(1)
    assert len(nightly.pending()) == 2  # the queue is full, and nothing runs
    first.approve()
    until(lambda: n.decided(nightly, night))  # what is approved runs although others wait
    second.refuse("too bold")
    third, _ = asked(nightly, 2)
    night.stop()
    n.ended(night)
    found = [(r.status, r.approver, r.reason) for r in n.decided(nightly, night)]
    assert found[0][:2] == ("discard", "Ada Tester <ada@example.org>")
    assert found[1] == ("refused", "Ada Tester <ada@example.org>", "too bold")
    assert len(nightly.pending()) == 2
    assert third.asked == {}  # nobody keeps the time any more


def test_a_function_of_a_module_travels_and_its_reason_is_in_history(nightly) -> None:
    night = start(nightly, approve=n.odd_ones_out, experiments=4)
    assert not lenders()
    n.ended(night)
    found = {r.hypothesis: (r.status, r.reason, r.approver) for r in n.decided(nightly, night)}
    assert found["B = 11"] == ("refused", "odd", "policy: odd_ones_out")
    assert found["B = 10"][0] == "discard"
    history = ark.history(nightly)
    assert list(history[history.status == "refused"].reason) == ["odd", "odd"]


@pytest.mark.parametrize("policy", [n.raising_policy, lambda _: 42])
def test_a_policy_that_fails_leaves_the_decision_to_a_person(nightly, policy) -> None:
    night = start(nightly, approve=policy, experiments=1)
    (proposal,) = asked(nightly)
    words = "the policy failed, so a person has to decide"
    until(lambda: words in " ".join(night.state.get("notes", ())))
    proposal.approve()
    assert n.ended(night)["reason"] == "1 experiments are made"
    until(lambda: not lenders())


def test_a_closure_is_lent_by_a_thread_that_ends_with_the_night(nightly) -> None:
    told: list[str] = []

    def closure(proposal: ark.Proposal) -> policies.Policy:
        told.append(proposal.hypothesis)
        return policies.everything

    def proposer(campaign: ark.Campaign, *, idea=None, revises=None) -> ark.Proposal:
        return Worse()(campaign, idea=idea, revises=revises)

    night = start(nightly, approve=closure, by=proposer, experiments=2)
    assert len(lenders()) == 2
    assert n.ended(night)["reason"] == "2 experiments are made"
    assert told == ["B = 10", "B = 11"]
    assert all(record.proposal["night"] == night.id for record in nightly.records()[1:])
    until(lambda: not lenders())


def test_a_corrected_cell_lends_the_corrected_function(nightly) -> None:
    night = start(nightly, approve=lambda _: 1 / 0, queue=1, experiments=2)
    (proposal,) = asked(nightly)
    start(nightly, approve=lambda _: "no more")
    assert len(lenders()) == 1
    proposal.refuse("wrong policy")
    assert n.ended(night)["phase"] == "finished"
    assert [r.reason for r in nightly.records()[1:]] == ["wrong policy", "no more"]


def test_a_night_waits_for_the_kernel_that_lends_and_goes_on_with_it(nightly) -> None:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", CELL, str(nightly.path)]
    cell = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    until(lambda: len(nightly.records()) > 1)
    cell.kill()
    night = ark.overnight(nightly)  # only looks: it must not lend TPE instead
    cell.wait()
    until(lambda: "waiting for the notebook that has" in night.state["line"])
    time.sleep(1)  # what was answered already is brought to its end
    until(lambda: night.state["experiment"] is None)
    before = len(nightly.records())
    time.sleep(1)
    assert len(nightly.records()) == before
    again = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert "can't leave this process" in again.stdout
    assert n.ended(night)["reason"] == "4 experiments are made"
    found = [(r.hypothesis, r.status, r.reason) for r in n.decided(nightly, night)]
    assert found[0] == ("B = 10", "discard", found[0][2])
    assert found[1] == ("B = 11", "refused", "the policy refused it")
    assert n.made(nightly) == 4
    assert n.quiet(nightly.path)


def test_what_a_kernel_drafted_before_it_died_is_the_answer_of_the_next(nightly) -> None:
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", DYING, str(nightly.path)]
    assert subprocess.run(command, env=env, timeout=60).returncode == -signal.SIGKILL
    assert n.made(nightly) == 1

    def closure(campaign: ark.Campaign, *, idea=None, revises=None) -> ark.Proposal:
        return Worse()(campaign, idea=idea, revises=revises)

    night = start(nightly, by=closure)
    assert n.ended(night)["reason"] == "1 experiments are made"
    assert n.made(nightly) == 1


def test_a_question_of_a_killed_night_is_asked_once(nightly, tmp_path) -> None:
    """The kernel has not answered when the next process of the night asks the same."""
    asked = [callables.Lent(tmp_path, "by", "lent", lambda: over.is_set()) for _ in range(2)]
    over = threading.Event()

    def ask(lent: callables.Lent) -> None:
        with pytest.raises(ark.errors.ProposalError, match="settled before"):
            lent.propose(nightly)

    threads = [threading.Thread(target=ask, args=[lent]) for lent in asked]
    places = tmp_path / "asked" / "by"
    try:
        threads[0].start()
        until(lambda: list(places.glob("*")))
        threads[1].start()
        time.sleep(0.5)
        assert len(list(places.glob("*"))) == 1
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_the_end_is_foreseen_from_two_experiments_on(nightly) -> None:
    late = "2100-01-01T00:00:00+00:00"
    asked = {"experiments": 3, "deadline": late, "max_cost": None, "max_tokens": None}
    night = tally.Tally(nightly, nightly.state / "nights" / "1", asked)
    assert night.figures()["finish"] is None
    asked["experiments"] = None
    assert night.figures()["finish"] == late


def slow_runs(campaign: ark.Campaign) -> None:
    """Let the best state be one whose runs take a while."""
    slow = n.edited(campaign, "SECONDS", 0.7).replace("A = 5", "A = 4")
    ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=ark.Human(edit=slow)))))


def keeps_while_the_next_waits(campaign: ark.Campaign, *changes, **more) -> ark.Night:
    """Run a night whose first experiment is kept while the next proposal is there already."""
    slow_runs(campaign)
    return start(campaign, by=List(changes), experiments=len(changes), failures=1, **more)


def test_the_next_proposal_is_made_while_a_run_trains(nightly) -> None:
    slow_runs(nightly)
    night = start(nightly, experiments=2, by=Worse(seconds=0.3))
    n.ended(night)
    first, second = n.decided(nightly, night)
    assert int(second.proposal["id"].split("-")[0]) / 1e9 < n.moment(first.decided)
    assert night.state["busy"] > 0.5


@pytest.mark.acceptance
def test_an_approval_survives_when_the_best_state_moves_elsewhere(nightly) -> None:
    night = keeps_while_the_next_waits(nightly, ("A", 1), ("B", 9))
    n.ended(night)
    first, second = n.decided(nightly, night)
    assert [first.status, second.status] == ["keep", "discard"]
    assert second.parent == first.n
    assert second.value == 1 + 9
    (moved,) = (nightly.state / "proposals" / "done").glob("*/successor.json")
    assert files.read_table(moved)["why"] == "rebased"
    assert "another look" not in " ".join(night.state.get("notes", ()))


@pytest.mark.acceptance
def test_a_changed_hunk_is_asked_again(nightly) -> None:
    night = keeps_while_the_next_waits(nightly, ("A", 1), ("A2", 3), approve=policies.ask())
    (first,) = asked(nightly)
    first.approve()
    until(n.doing(night, "training"))
    (second,) = asked(nightly)
    second.approve()
    until(lambda: n.decided(nightly, night))
    (again,) = asked(nightly)
    assert second.status == "rebased"
    assert again.parent == n.decided(nightly, night)[0].n
    assert again.files["fit.py"] == n.edited(nightly, "A2", 3)
    again.approve()
    n.ended(night)
    assert n.parents_are_right(nightly)


@pytest.mark.acceptance
def test_a_conflict_is_proposed_again_on_the_new_best(nightly) -> None:
    night = keeps_while_the_next_waits(nightly, ("A", 1), ("A", 7))
    n.ended(night)
    first, second = n.decided(nightly, night)
    assert (second.hypothesis, second.parent, second.value) == ("A = 7", first.n, 7 + 5)
    assert n.made(nightly) == 4  # by hand, A = 1, A = 7 in vain, A = 7 again
    assert n.parents_are_right(nightly)


def test_a_manual_step_goes_ahead_and_becomes_the_parent(nightly) -> None:
    """The night's experiment has its number already and waits for the device."""
    with device.hold("cpu", what="a neighbour"):
        night = start(nightly, experiments=2)
        run = ark.Run(nightly.state / "runs" / "0001-0", 1, "n", 1, 0)
        until(lambda: run.state.get("queue"))
        by = ark.Human(edit=n.edited(nightly, "A", 1))
        experiment = ark.apply(ark.propose(nightly, by=by))
        step = threading.Thread(target=lambda: ark.score(ark.train_5min(experiment)))
        step.start()
        until(lambda: (nightly.state / "runs" / f"{experiment.n:04d}-0").exists())
        until(lambda: "is taken back" in " ".join(night.state.get("notes", ())))
    step.join()
    n.ended(night)
    assert experiment.record is not None
    assert experiment.record.status == "keep"
    assert [record.parent for record in n.decided(nightly, night)] == [experiment.n] * 2
    assert n.parents_are_right(nightly)
    assert git.refs(nightly.path, "refs/autoresearch/n/") == {}


@pytest.mark.acceptance
def test_what_waited_too_long_is_taken_back_and_moved(nightly) -> None:
    """Stopped in its first run; a person's experiment is kept before the next night."""
    night = start(nightly, by=List((("SECONDS", 1),)))
    until(n.doing(night, "training"))
    night.stop(now=True)
    n.ended(night)
    assert nightly.experiment(1).status == "undecided"
    assert n.manual(nightly, "A", 1).n == 2
    later = start(nightly, experiments=1, again=True)
    assert "0001 is taken back" in " ".join(n.ended(later)["notes"])
    (record,) = n.decided(nightly, later)
    assert (record.hypothesis, record.parent) == ("SECONDS = 1", 2)
    assert n.parents_are_right(nightly)


def test_all_that_the_proposals_of_a_night_cost_is_counted_once(nightly) -> None:
    folder = nightly.state / "nights" / "7"
    night = tally.Tally(nightly, folder, {})

    def costing(name: str, value: int, money: float) -> ark.Proposal:
        cost = {"money": money, "tokens": 10}
        return proposals.claim(n.change(nightly, name, value, cost=cost), night.key)

    moved, _, lost = costing("B", 9, 1.0), costing("B", 8, 0.5), costing("A", 9, 0.25)
    n.change(nightly, "B", 7, cost={"money": 99.0})  # somebody else's
    n.manual(nightly, "A", 1)
    assert len(steps.ready(nightly, night.key)) == 2
    assert [moved.status, lost.folder.parent.name] == ["rebased", "done"]
    assert (night.spent("money"), night.spent("tokens")) == (1.75, 30)


def test_night_and_cell_never_share_a_proposal(nightly) -> None:
    mine = ark.propose(nightly, by=ark.Human(edit=n.edited(nightly, "A", 9)), idea="A = 9")
    night = start(nightly, approve=policies.ask())
    (theirs,) = asked(nightly, 1)[:1]
    other = ark.propose(nightly, by=n.Worse())
    assert len({mine.id, theirs.id, other.id}) == 3
    night.stop()
    n.ended(night)
    later = start(nightly, experiments=3, again=True)
    n.ended(later)
    used = {record.proposal["id"] for record in n.decided(nightly, later)}
    assert theirs.id in used
    assert not {mine.id, other.id} & used
    assert proposals.load(nightly, other.id).status == "open"


def test_a_run_that_a_person_stops_stays_undecided_and_the_night_goes_on(nightly) -> None:
    night = start(nightly, by=n.first_slow, experiments=1)
    run = ark.Run(nightly.state / "runs" / "0001-0", 1, "n", 1, 0)
    until(lambda: run.status == "training")
    run.stop()
    assert n.ended(night)["reason"] == "1 experiments are made"
    assert [r.hypothesis for r in n.decided(nightly, night)] == ["B = 11"]
    assert nightly.experiment(1).status == "undecided"
    assert "0001 was stopped by a person" in " ".join(night.state["notes"])


def test_a_persons_commit_on_the_branch_costs_nothing(nightly) -> None:
    tree = nightly.path.parent / "tree"
    git.call(nightly.path, "worktree", "add", "-q", str(tree), nightly.branch)
    (tree / "fit.py").write_text(n.edited(nightly, "B", 4))
    git.call(tree, "commit", "-qam", "mine")
    night = start(nightly, by=Worse(cost={"money": 1.0}), max_cost=1.5)
    assert n.ended(night)["reason"] == "max_cost=1.5 is spent"
    assert n.decided(nightly, night)[0].hypothesis == "mine"
    assert json.loads((night.dir / "night.json").read_text())["max_cost"] == 1.5


def test_a_server_that_is_away_for_a_while_does_not_end_the_night(nightly) -> None:
    night = ark.overnight(nightly, by=n.recovering, approve="everything", experiments=1, failures=1)
    last = n.ended(night)
    assert last["phase"] == "finished", last["reason"]
    assert len(n.decided(nightly, night)) == 1
    assert any("nobody listens there" in note for note in last["notes"])
