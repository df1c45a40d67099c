"""A proposal: a hypothesis and new text for the mutable files, waiting for a person or a policy.

A proposal lives in one folder on disk. Its decision is a file that can be made only once, so two
kernels, a policy and a person can't decide differently.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, git, ledger, records, render, source
from autoresearch_kit.errors import CampaignError, Duplicate, NoChange, ProposalError

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

MAX_HYPOTHESIS = 2_000
MAX_BYTES = 200_000
"""Largest mutable file that a proposal may write."""


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A hypothesis and a patch to the campaign's best state.

    Attributes
    ----------
    hypothesis
        What the author expects and why, in a line or a few.
    files
        Path → new text, for the files that change.
    author
        Who made it: a person as ``Name <email>``, or a proposer.
    parent, parent_commit
        The experiment that the patch applies to.
    expected
        The effect on the metric that the author expects, if it said so.
    edited_by_human
        Whether a person changed a hunk before approving it.
    """

    campaign: Campaign = dataclasses.field(repr=False, compare=False)
    id: str
    parent: int
    parent_commit: str
    hypothesis: str
    files: Mapping[str, str] = dataclasses.field(repr=False)
    author: str
    expected: float | None = None
    edited_by_human: bool = False
    rejected: int = 0
    commit: str = ""
    key: str = ""

    @property
    def diff(self) -> str:
        """The patch as a unified diff against the parent."""
        parts: list[str] = []
        for path, new in self.files.items():
            old = git.read_file(self.campaign.path, self.parent_commit, path) or ""
            lines = difflib.unified_diff(
                old.splitlines(keepends=True),
                new.splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
            for line in lines:
                parts.append(line)
                if not line.endswith("\n"):
                    parts.append("\n\\ No newline at end of file\n")
        return "".join(parts)

    @property
    def decision(self) -> Mapping[str, Any]:
        """The decision as it stands on disk; empty while there is none."""
        return files.read_json(self.folder / "decision.json") or {}

    @property
    def status(self) -> str:
        """``open``, ``approved`` or ``refused``."""
        return str(self.decision.get("status", "open"))

    @property
    def folder(self) -> Path:
        """Where the proposal and its attachments lie."""
        opened = self.campaign.state / "proposals" / "open" / self.id
        return opened if opened.exists() else self.campaign.state / "proposals" / "done" / self.id

    def approve(self, by: str | None = None) -> Proposal:
        """Let the proposal become an experiment; return it.

        Parameters
        ----------
        by
            Who approves; the git user unless given.
        """
        self._decide("approved", by or git.identity(self.campaign.path), "")
        return self

    def refuse(self, reason: str, by: str | None = None) -> Proposal:
        """Refuse the proposal: it is recorded with a number and the reason, and never run.

        Raises
        ------
        ProposalError
            When the reason is empty: the next proposals learn from it.
        """
        if not reason.strip():
            raise ProposalError(
                "a refusal needs a reason; the proposer reads it: proposal.refuse('too complex')"
            )
        self._decide("refused", by or git.identity(self.campaign.path), reason)
        record_refusal(self)
        return self

    def _decide(self, status: str, by: str, reason: str) -> None:
        decision = {"status": status, "by": by, "reason": reason, "at": ledger.now()}
        draft = self.folder / f".decision-{secrets.token_hex(4)}.json"
        files.write_json(draft, decision)
        # A hard link fails when the decision exists: the first one to decide wins.
        with contextlib.suppress(FileExistsError):
            os.link(draft, self.folder / "decision.json")
        draft.unlink()
        if self.status != status:
            raise CampaignError(
                f"this proposal was {self.status} by {self.decision['by']} already; "
                "a decision stands. Make another proposal with ark.propose(campaign, new=True)."
            )

    def attachments(self) -> dict[str, bytes]:
        """Return what belongs to the proposal beside its text: prompt, reply, patch."""
        folder = self.folder / "attachments"
        found = {p.name: p.read_bytes() for p in sorted(folder.glob("*"))}
        return {**found, "proposed.patch": self.diff.encode("utf-8", errors="surrogateescape")}

    def message(self) -> str:
        """Return the message of the commit that this proposal becomes."""
        return f"{self.hypothesis.strip()}\n\nProposed-by: {self.author}\nProposal: {self.id}\n"

    def __repr__(self) -> str:
        changes = ", ".join(self.files)
        line = records.clean(self.hypothesis, 100)
        return f"<Proposal on {self.parent:04d} {self.status}: {line} ({changes}; {self.author})>"

    def _repr_html_(self) -> str:
        rows = {
            "proposal": f"on experiment {self.parent:04d}, {self.status}",
            "hypothesis": self.hypothesis,
            "author": self.author,
        }
        # Once decided, the patch has been seen; ark.diff shows it again.
        return render.card(rows) + (render.diff(self.diff) if self.status == "open" else "")


def draft(
    campaign: Campaign,
    *,
    files: Mapping[str, str],
    hypothesis: str,
    author: str,
    expected: float | None = None,
    attachments: Mapping[str, str] | None = None,
    approved_by: str | None = None,
    rejected: int = 0,
    commit: str = "",
) -> Proposal:
    """Store a proposal on the campaign's best state and return it.

    Parameters
    ----------
    files
        Path → new text. Files that stay the same are left out.
    attachments
        Name → text, kept with the experiment (prompt, reply).
    approved_by
        Who approved it already: a person's own edit needs no second look.
    rejected
        How many malformed or duplicate attempts came before this one.
    commit
        An existing commit that holds exactly this change on the best state.

    Raises
    ------
    ProposalError
        When a file is not in the task's ``edit``, is too large or is no valid Python.
    NoChange
        When the code stays the same.
    Duplicate
        When an earlier experiment had the same code.
    """
    best = campaign.best
    task = campaign.task
    if outside := sorted(set(files) - set(task.edit)):
        raise ProposalError(
            f"the proposal changes {outside[0]!r}; this task lets a proposal change only "
            f"{', '.join(task.edit)} (`edit` in task.toml)."
        )
    changed = {path: text for path, text in files.items() if text != best.files.get(path)}
    for path, text in changed.items():
        if len(text.encode("utf-8", errors="surrogateescape")) > MAX_BYTES:
            raise ProposalError(f"{path} would have over {MAX_BYTES} bytes; make it smaller")
        source.check_syntax(path, text)
    if all(_same(path, text, best.files.get(path, "")) for path, text in changed.items()):
        raise NoChange(
            f"the proposal leaves the code of {', '.join(task.edit)} as it is in experiment "
            f"{best.n:04d} (comments and layout don't count); change something that runs."
        )
    _refuse_duplicate(campaign, {**best.files, **changed})

    proposal = Proposal(
        campaign=campaign,
        id=f"{time.time_ns():019d}-{secrets.token_hex(4)}",
        parent=best.n,
        parent_commit=best.commit,
        hypothesis=records.clean(hypothesis, MAX_HYPOTHESIS) or "no hypothesis",
        files=changed,
        author=author,
        expected=expected,
        rejected=rejected,
        commit=commit,
    )
    _store(proposal, attachments or {})
    if approved_by:
        proposal.approve(approved_by)
    return proposal


def claim(proposal: Proposal, key: str) -> Proposal:
    """Mark the proposal as belonging to the caller that `key` describes."""
    claimed = dataclasses.replace(proposal, key=key)
    files.write_json(claimed.folder / "proposal.json", _as_dict(claimed))
    return claimed


def load(campaign: Campaign, id: str) -> Proposal:
    """Return the proposal with this id from disk."""
    for place in ("open", "done"):
        folder = campaign.state / "proposals" / place / id
        if (table := files.read_json(folder / "proposal.json")) is not None:
            return Proposal(campaign=campaign, **table)
    raise CampaignError(
        f"proposal {id} is not on this machine; proposals live beside the repository that made "
        "them, only their experiments travel with git."
    )


def unfinished(campaign: Campaign) -> Iterator[Proposal]:
    """Yield the proposals that are neither scored nor refused, oldest first."""
    folder = campaign.state / "proposals" / "open"
    for path in sorted(folder.glob("[0-9]*")):
        with contextlib.suppress(CampaignError):  # finished by another kernel meanwhile
            yield load(campaign, path.name)


def finish(campaign: Campaign, id: str) -> None:
    """Put a proposal away: it was scored, refused, or its parent is no longer the best."""
    done = campaign.state / "proposals" / "done"
    done.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (campaign.state / "proposals" / "open" / id).rename(done / id)


def to_commit(proposal: Proposal) -> str:
    """Commit the proposal on its recorded parent, once, and return the commit."""
    kept = proposal.folder / "commit"
    if not kept.exists():
        repo = proposal.campaign.path
        commit = proposal.commit or git.commit_files(
            repo, proposal.parent_commit, proposal.files, proposal.message()
        )
        files.write_text(kept, commit)
    return kept.read_text()


def record_refusal(proposal: Proposal) -> None:
    """Write a refused proposal to git as a numbered experiment; a repeat does nothing."""
    campaign = proposal.campaign
    decision = proposal.decision
    with files.locked(campaign.state / "decide.lock"):
        commit = to_commit(proposal)
        n = ledger.pin(campaign, commit)
        if not any(record.n == n for record in campaign.records()):
            added, removed = git.count_lines(campaign.path, proposal.parent_commit, commit)
            record = records.Record(
                campaign=campaign.tag,
                n=n,
                status="refused",
                commit=commit,
                hypothesis=proposal.hypothesis,
                parent=proposal.parent,
                parent_commit=proposal.parent_commit,
                author=proposal.author,
                approver=decision["by"],
                edited_by_human=proposal.edited_by_human,
                metric=campaign.task.metric,
                goal=campaign.task.goal,
                unit=campaign.task.unit,
                rule="person",
                reason=decision["reason"],
                scored_by=campaign.task.scored_by,
                constants=campaign.constants(commit),
                code=source.digest(campaign.mutable(commit)),
                lines_added=added,
                lines_removed=removed,
                versions=ledger.versions(),
                proposal={"rejected": proposal.rejected},
            )
            ledger.write(campaign, record, proposal.attachments())
    finish(campaign, proposal.id)


def _same(path: str, new: str, old: str) -> bool:
    return source.same_code(new, old) if path.endswith(".py") else new == old


def _refuse_duplicate(campaign: Campaign, candidate: Mapping[str, str]) -> None:
    code = source.digest(candidate)
    for record in campaign.records():
        if record.code == code:
            raise Duplicate(
                f"this code was experiment {record.n:04d} already ({record.status}, "
                f"{record.metric} {record.value}): {records.clean(record.hypothesis, 100)}. "
                "Change something that runs, or look at it with "
                f"ark.show(campaign, {record.n})."
            )


def _as_dict(proposal: Proposal) -> dict[str, Any]:
    names = [f.name for f in dataclasses.fields(proposal) if f.name != "campaign"]
    return {name: getattr(proposal, name) for name in names}


def _store(proposal: Proposal, attachments: Mapping[str, str]) -> None:
    opened = proposal.campaign.state / "proposals" / "open"
    making = proposal.campaign.state / "proposals" / f".{proposal.id}"
    for name, content in attachments.items():
        files.write_text(making / "attachments" / name, content)
    files.write_json(making / "proposal.json", _as_dict(proposal))
    opened.mkdir(parents=True, exist_ok=True)
    making.rename(opened / proposal.id)
