"""What takes a proposal's place: revisions, the patch on a new best state, a person's edits."""

from __future__ import annotations

from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, files, git, proposal, records, steps, succession
from tests import nightly as n


class Scripted:
    """A proposer that answers feedback with what the feedback says: ``B = 7``."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> Any:
        if revises is None:
            return n.change(campaign, "B", 6)
        self.asked.append(revises.feedback)
        if revises.feedback == "rubbish":
            return None
        if revises.feedback == "approve meanwhile":
            revises.approve(by="somebody else")
            return n.change(campaign, "B", 99)
        if revises.feedback == "move meanwhile":
            n.manual(campaign, "A", 2)
            steps.ready(campaign, revises.key)
            return n.change(campaign, "B", 98)
        name, value = revises.feedback.split(" = ")
        return n.change(campaign, name, value)


def decide(given: ark.Proposal) -> records.Record:
    """Test an approved proposal and return its record."""
    experiment = ark.apply(given)
    ark.score(ark.train_5min(experiment))
    assert experiment.record is not None
    return experiment.record


def attached(campaign: ark.Campaign, number: int) -> dict[str, str]:
    found = records.read_attachments(campaign.path, campaign.tag, number)
    return {name: text.decode() for name, text in found.items()}


def test_revisions_take_the_place_and_keep_their_history(nightly) -> None:
    by = Scripted()
    first = ark.propose(nightly, by=by)
    second = succession.revise(first, "B = 7", by)
    third = succession.revise(second, "B = 8", by)
    assert by.asked == ["B = 7", "B = 8"]
    assert [p.status for p in (first, second, third)] == ["revised", "revised", "open"]
    assert first.successor["id"] == second.id
    assert succession.latest(first) == third
    assert ark.propose(nightly, by=by) == third  # the cell that made the first one gets the last
    with pytest.raises(errors.ApprovalPending):
        ark.apply(first)
    third.approve()
    record = decide(first)  # the old variable follows
    assert record.hypothesis == "B = 8"
    texts = attached(nightly, record.n)
    assert "+B = 6" in texts["revision-1.patch"]
    assert "+B = 7" in texts["revision-2.patch"]
    assert (texts["revision-1.txt"], texts["revision-2.txt"]) == ("B = 7", "B = 8")
    assert list(proposal.unfinished(nightly)) == []


@pytest.mark.parametrize(
    ("feedback", "error"),
    [
        (" ", "say what should be different"),
        ("rubbish", "returned None; expected a Proposal"),
        ("B = 5", "leaves the code"),
        ("B = =", "is no valid Python"),
    ],
)
def test_a_revision_that_fails_leaves_the_proposal_open(nightly, feedback: str, error: str) -> None:
    by = Scripted()
    first = ark.propose(nightly, by=by)
    with pytest.raises(errors.ProposalError, match=error):
        succession.revise(first, feedback, by)
    assert first.status == "open"
    assert ark.propose(nightly, by=by) == first


def test_a_decision_that_comes_before_the_revision_stands(nightly) -> None:
    by = Scripted()
    first = ark.propose(nightly, by=by)
    with pytest.raises(errors.CampaignError, match="was approved by somebody else while"):
        succession.revise(first, "approve meanwhile", by)
    assert [p.id for p in proposal.unfinished(nightly)] == [first.id]
    with pytest.raises(errors.CampaignError, match="only an open one can be revised"):
        succession.revise(first, "B = 9", by)


def test_a_revision_is_not_lost_when_the_best_state_moves_meanwhile(nightly) -> None:
    by = Scripted()
    first = ark.propose(nightly, by=by)
    revised = succession.revise(first, "move meanwhile", by)
    assert first.status == "rebased"
    assert succession.latest(first) == revised
    assert [p.id for p in proposal.unfinished(nightly)] == [revised.id]
    assert revised.parent == nightly.best.n == 1


def test_a_night_gives_a_revision_time(nightly) -> None:
    approve = ark.policies.ask(minutes=0.03, then="refuse")
    night = ark.overnight(nightly, approve=approve, by=n.Worse(), experiments=1)
    first = n.until(lambda: next((p for p in nightly.pending() if p.asked), None))

    def takes_long(campaign: ark.Campaign, *, idea: Any, revises: Any) -> ark.Proposal:
        n.until(lambda: n.time.time() > n.moment(before["until"]) + 1)
        return n.change(campaign, "B", 7)

    before = dict(first.asked)
    revised = succession.revise(first, "again", takes_long)
    assert first.status == "revised"
    revised.approve()
    assert n.ended(night)["reason"] == "1 experiments are made"
    assert [r.hypothesis for r in n.decided(nightly, night)] == ["B = 7"]


def test_an_approval_moves_with_the_same_hunks_only(nightly) -> None:
    far, near = n.change(nightly, "B", 9).approve(guess=0.5), n.change(nightly, "A2", 3).approve()
    assert n.manual(nightly, "A", 1).status == "keep"
    experiment = ark.apply(far)
    assert (far.status, experiment.parent) == ("rebased", 1)
    assert experiment.files["fit.py"] == n.edited(nightly, "B", 9)
    moved = succession.latest(far)
    assert (moved.status, moved.decision["guess"]) == ("approved", 0.5)
    with pytest.raises(errors.ApprovalPending, match="rebased onto 0001"):
        ark.apply(near)
    assert succession.latest(near).status == "open"


def test_a_conflict_is_an_error_and_what_is_put_away_cannot_be_approved(nightly) -> None:
    same = n.change(nightly, "A", 8).approve()
    waiting = proposal.claim(n.change(nightly, "A", 9), "cell|x|")
    assert n.manual(nightly, "A", 1).status == "keep"
    with pytest.raises(errors.PatchConflict, match="which was kept meanwhile, change the same"):
        ark.apply(same)
    assert steps.ready(nightly, "cell|x|") == []
    with pytest.raises(errors.CampaignError, match="put away"):
        waiting.approve()


def test_the_edited_text_is_committed_and_the_patch_as_proposed_is_kept(nightly) -> None:
    given = n.change(nightly, "B", 6)
    text = n.edited(nightly, "B", 4)
    given.approve(files={"fit.py": text}, guess=-1.0)
    assert given.edited_by_human
    record = decide(given)
    assert record.edited_by_human
    assert record.status == "keep"
    assert git.read_file(nightly.path, record.commit, "fit.py") == text
    assert record.proposal["guess"] == -1.0
    assert "+B = 6" in attached(nightly, record.n)["proposed.patch"]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("= 4", "is no valid Python"),
        ("5", "leaves the code"),
        ("7", "was experiment 0001 already"),
        ("8", "is proposed already"),
    ],
)
def test_an_edit_that_can_be_no_experiment_decides_nothing(nightly, value: str, error: str) -> None:
    assert n.manual(nightly, "B", 7).status == "discard"
    n.change(nightly, "B", 8)
    given = n.change(nightly, "B", 6)
    with pytest.raises(errors.ProposalError, match=error):
        given.approve(files={"fit.py": n.edited(nightly, "B", value)})
    assert given.status == "open"
    assert not given.edited_by_human
    assert given.approve().status == "approved"  # as it was proposed


def test_an_unchanged_text_is_no_edit(nightly) -> None:
    given = n.change(nightly, "B", 6)
    given.approve(files=dict(given.proposed))
    assert not given.edited_by_human


def test_unsaved_edits_move_with_a_proposal(nightly) -> None:
    first = ark.propose(nightly, by=Scripted())
    text = first.files["fit.py"].replace("SECONDS = 0.0", "SECONDS = 0.0  # mine")
    files.write_json(first.folder / "draft.json", {"fit.py": text})
    n.manual(nightly, "A", 2)
    moved = succession.rebase(first)
    draft = files.read_json(moved.folder / "draft.json")["fit.py"]
    assert "A = 2" in draft
    assert "B = 6" in draft
    assert "# mine" in draft


def test_unsaved_edits_that_conflict_are_kept_as_a_patch(nightly) -> None:
    first = ark.propose(nightly, by=Scripted())
    text = first.files["fit.py"].replace("A = 5", "A = 77")
    files.write_json(first.folder / "draft.json", {"fit.py": text})
    n.manual(nightly, "A", 2)
    moved = succession.rebase(first)
    assert not (moved.folder / "draft.json").exists()
    assert "+A = 77" in moved.attachments()["unsaved-fit.py.patch"].decode()
