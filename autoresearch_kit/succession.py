"""What takes a proposal's place: another try after feedback, or the same patch on a new best state.

The place is taken once: ``successor.json`` in the old proposal's folder names the new one.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from autoresearch_kit import behalf, files, git, patch, shelf
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import CampaignError, PatchConflict, ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.texts import shown

REVISION_MINUTES = 10

_log = logging.getLogger(__name__)


def latest(proposal: Proposal) -> Proposal:
    """Return the proposal that stands in this one's place now: itself, or its last successor."""
    while after := proposal.successor:
        following = proposals.load(proposal.campaign, after["id"])
        proposal = dataclasses.replace(following, by=proposal.by)
    return proposal


def is_stale(proposal: Proposal) -> bool:
    """Tell whether the best state moved since a proposal was made, and it is no commit yet."""
    best = proposal.campaign.best_record
    committed = (proposal.folder / "commit").exists()
    return best is not None and not committed and proposal.parent != best.n


def revise(proposal: Proposal, feedback: str, by: Callable[..., Any]) -> Proposal:
    """Ask the proposer `by` for another try, and put its answer in the proposal's place.

    The patch and the feedback stay with the experiment that comes of it.

    Raises
    ------
    ProposalError
        When there is no feedback, or the proposer has no answer; the proposal stays open then.
    CampaignError
        When it was decided before, or while the proposer was at it.
    """
    if not feedback.strip():
        raise ProposalError("say what should be different: 'try the same with half the rate'")
    if proposal.status != "open":
        raise CampaignError(
            f"this proposal is {proposal.status}; only an open one can be revised. "
            "Type proposal = ark.propose(campaign) for the next one."
        )
    files.write_json(proposal.folder / "feedback.json", {"feedback": feedback})
    _postpone(proposal)
    began = time.monotonic()
    with behalf.of(proposal.key, proposal.campaign.best):
        made = by(proposal.campaign, idea=None, revises=proposal)
    if not isinstance(made, Proposal):
        raise ProposalError(f"the proposer returned {made!r}; expected a Proposal")
    seconds = round(time.monotonic() - began, 3)
    made = proposals.claim(made, proposal.key, proposal.by, seconds)
    if made.status == "open" and is_stale(made):
        made = move(made)
    _keep_history(proposal, made, feedback)
    moved = proposal
    while moved.successor.get("why") == "rebased":  # the best state moved meanwhile
        moved = proposals.load(proposal.campaign, moved.successor["id"])
    if moved.status in ("approved", "refused"):
        proposals.finish(made.campaign, made.id)
        raise CampaignError(
            f"the proposal was {moved.status} by {moved.decision['by']} while it was revised; a "
            "decision stands. Type proposal = ark.propose(campaign) for the next one."
        )
    return _take_place(moved, made, "revised")


def _postpone(proposal: Proposal) -> None:
    """Give the revision some time when a night would decide by itself before long."""
    until = (datetime.now(UTC) + timedelta(minutes=REVISION_MINUTES)).isoformat()
    if proposal.asked.get("until") and proposal.asked["until"] < until:
        files.write_json(proposal.folder / "asked.json", {**proposal.asked, "until": until})


def move(proposal: Proposal) -> Proposal:
    """Do as `rebase` does; a proposal that can't be moved is put away."""
    try:
        return rebase(proposal)
    except ProposalError as error:
        _log.info("a proposal on %04d is put away: %s", proposal.parent, error)
        proposals.finish(proposal.campaign, proposal.id)
        raise


def rebase(proposal: Proposal) -> Proposal:
    """Put the same change, on the campaign's best state, in the proposal's place.

    An approval survives when the hunks are identical; otherwise the successor is open again.

    Raises
    ------
    PatchConflict
        When the best state changed the same lines.
    ProposalError
        When the change is part of the best state already, or was tried on it.
    """
    campaign = proposal.campaign
    best, before = campaign.best, campaign.mutable(proposal.parent_commit)
    now, merged = campaign.mutable(best.commit), {}
    for path, text in proposal.files.items():
        merged[path] = text
        if now[path] != before[path]:
            merged[path], conflicted = git.merge_file(before[path], now[path], text)
            if conflicted:
                raise PatchConflict(
                    f"the proposal and experiment {best.n:04d}, which was kept meanwhile, change "
                    f"the same lines of {path}; propose it again on the new best state."
                )
    changed = {path: text for path, text in merged.items() if text != now[path]}
    proposals.check(campaign, best.commit, changed, but=proposal.id)
    moved = dataclasses.replace(
        proposal,
        id=shelf.new_id(),
        parent=best.n,
        parent_commit=best.commit,
        proposed=changed,
        edited=proposal.edited_by_human,
        commit="",
    )
    same = all(
        patch.same_hunks(before[path], text, now[path], merged[path])
        for path, text in proposal.files.items()
    )
    # The edits are part of the new patch; that there were some, its field `edited` remembers.
    decision = {name: value for name, value in proposal.decision.items() if name != "files"}
    proposals.store(moved, proposal.attachments(), decision if same else None)
    _move_draft(proposal, moved)
    return _take_place(proposal, moved, "rebased")


def _move_draft(old: Proposal, new: Proposal) -> None:
    """Let a person's unsaved edits move with the proposal; what can't be merged is kept as text."""
    drafts, moved = files.read_table(old.folder / "draft.json"), {}
    for path, text in drafts.items():
        if path not in new.proposed:
            continue
        base, now = shown(old.files[path]), shown(new.proposed[path])
        merged, conflicted = git.merge_file(base, now, text)
        if not conflicted:
            moved[path] = merged
        else:
            name = f"unsaved-{path.replace('/', '-')}.patch"
            files.write_text(new.folder / "attachments" / name, patch.unified(path, base, text))
    if moved:
        files.write_json(new.folder / "draft.json", moved)


def _keep_history(old: Proposal, new: Proposal, feedback: str) -> None:
    folder = old.folder / "attachments"
    earlier: dict[str, str | bytes] = {
        path.name: path.read_bytes() for path in sorted(folder.glob("revision-*"))
    }
    count = 1 + sum(name.endswith(".patch") for name in earlier)
    kept = {**earlier, f"revision-{count}.patch": old.diff, f"revision-{count}.txt": feedback}
    for name, text in kept.items():
        files.write_text(new.folder / "attachments" / name, text)


def _take_place(old: Proposal, new: Proposal, why: str) -> Proposal:
    if not files.write_once(old.folder / "successor.json", {"id": new.id, "why": why}):
        proposals.finish(new.campaign, new.id)  # another kernel was first: its successor counts
        return latest(old)
    proposals.finish(old.campaign, old.id)
    return new
