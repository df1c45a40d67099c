"""A proposal: a hypothesis and new text for the mutable files, waiting for a person or a policy.

A proposal lives in one folder on disk. Its decision is a file that can be made only once, so two
kernels, a policy and a person can't decide differently.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import (
    admission,
    behalf,
    files,
    git,
    ledger,
    patch,
    program,
    records,
    render,
    scratchpad,
    shelf,
    source,
)
from autoresearch_kit.errors import CampaignError, ProposalError

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.experiment import Experiment

MAX_HYPOTHESIS = 2_000


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A hypothesis and a patch to the campaign's best state.

    Attributes
    ----------
    hypothesis
        What the author expects and why, in a line or a few.
    proposed
        Path → new text as the author made it, for the files that change.
    author
        Who made it: a person as ``Name <email>``, or a proposer.
    parent, parent_commit
        The experiment that the patch applies to.
    expected
        The effect on the metric that the author expects, if it said so.
    cost
        What making it took: ``money``, ``tokens`` (of them ``cached``), ``seconds``; what is
        missing is unknown, and with ``estimated`` the server did not count the tokens.
    program
        The version of program.md that it was made under (see `program.version`).
    by
        The proposer itself, as long as this kernel lives: it is asked to revise.
    """

    campaign: Campaign = dataclasses.field(repr=False, compare=False)
    id: str
    parent: int
    parent_commit: str
    hypothesis: str
    proposed: Mapping[str, str] = dataclasses.field(repr=False)
    author: str
    expected: float | None = None
    cost: Mapping[str, float] = dataclasses.field(default_factory=dict, repr=False)
    edited: bool = False
    rejected: int = 0
    commit: str = ""
    key: str = ""
    program: str = ""
    by: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def files(self) -> Mapping[str, str]:
        """Path → new text, with what a person changed before approving it."""
        decided: Mapping[str, str] = self.decision.get("files") or self.proposed
        return decided

    @property
    def edited_by_human(self) -> bool:
        """Whether a person changed a hunk before approving it."""
        return self.edited or "files" in self.decision

    @property
    def diff(self) -> str:
        """The patch as a unified diff against the parent."""
        return self._diff(self.files)

    def _diff(self, changed: Mapping[str, str]) -> str:
        before = self.campaign.mutable(self.parent_commit)
        return "".join(patch.unified(path, before[path], new) for path, new in changed.items())

    @property
    def decision(self) -> Mapping[str, Any]:
        """The decision as it stands on disk; empty while there is none."""
        return self._on_disk("decision.json")

    @property
    def successor(self) -> Mapping[str, Any]:
        """The ``id`` of the proposal that took this one's place and `why`; empty if none did."""
        return self._on_disk("successor.json")

    @property
    def asked(self) -> Mapping[str, Any]:
        """When a night stops waiting for a person (``until``) and what it does ``then``."""
        return self._on_disk("asked.json")

    @property
    def feedback(self) -> str:
        """What a person asked to be changed; the proposer reads it when it revises this."""
        return str(self._on_disk("feedback.json").get("feedback", ""))

    def _on_disk(self, name: str) -> Mapping[str, Any]:
        return files.read_json(self.folder / name) or {}

    @property
    def status(self) -> str:
        """``open``, ``approved``, ``refused``; with a successor ``revised`` or ``rebased``."""
        return str(self.successor.get("why") or self.decision.get("status", "open"))

    @property
    def code(self) -> str:
        """The hash of all mutable files with this patch, as records have it."""
        return source.digest({**self.campaign.mutable(self.parent_commit), **self.files})

    @property
    def folder(self) -> Path:
        """Where the proposal and its attachments lie."""
        return shelf.place(self.campaign.state, self.id)

    def approve(
        self,
        by: str | None = None,
        *,
        files: Mapping[str, str] | None = None,
        guess: float | None = None,
    ) -> Proposal:
        """Let the proposal become an experiment; return it.

        Parameters
        ----------
        by
            Who approves; the git user unless given.
        files
            Path → text as the person left it, when it differs from the proposal. The patch as it
            was proposed stays with the experiment.
        guess
            The effect on the metric that the person expects, signed as the metric is.

        Raises
        ------
        ProposalError
            When the edited text can't be an experiment (see `draft`); nothing is decided then.
        CampaignError
            When somebody decided otherwise before.
        """
        more: dict[str, Any] = {} if guess is None else {"guess": guess}
        if files is not None:
            changed = admission.changed(self.campaign, self.parent_commit, files)
            if changed != dict(self.proposed):
                check(self.campaign, self.parent_commit, changed, but=self.id)
                more["files"] = changed
        self._decide("approved", by or git.identity(self.campaign.path), "", more)
        return self

    def refuse(self, reason: str, by: str | None = None) -> Proposal:
        """Refuse the proposal: it is recorded with a number and the reason, and never run.

        Raises
        ------
        ProposalError
            When the reason is empty: the next proposals learn from it.
        CampaignError
            When somebody decided otherwise before.
        """
        if not reason.strip():
            raise ProposalError(
                "a refusal needs a reason; the proposer reads it: proposal.refuse('too complex')"
            )
        self._decide("refused", by or git.identity(self.campaign.path), reason, {})
        record_refusal(self)
        return self

    def _decide(self, status: str, by: str, reason: str, more: Mapping[str, Any]) -> None:
        if self.status == "open" and self.folder.parent.name == "done":
            raise CampaignError(
                "this proposal was put away: what was kept meanwhile changes the same lines, or "
                "whoever made it had to stop. Type ark.propose(campaign) for the next one."
            )
        if not self.successor:
            decision = {"status": status, "by": by, "reason": reason, "at": ledger.now(), **more}
            if files.write_once(self.folder / "decision.json", decision):
                return
        stands = self.decision
        if self.status != status or more.get("files") not in (None, stands.get("files")):
            whom = f" by {stands['by']}" if stands and not self.successor else ""
            raise CampaignError(
                f"this proposal was {self.status}{whom} already; a decision stands. Type "
                "ark.propose(campaign) for what is open now, or give new=True for another one."
            )

    def attachments(self) -> dict[str, bytes]:
        """Return what belongs to the proposal beside its text: prompt, reply, patch."""
        folder = self.folder / "attachments"
        patch = self._diff(self.proposed).encode("utf-8", errors="surrogateescape")
        return {"proposed.patch": patch} | {
            path.name: path.read_bytes() for path in sorted(folder.glob("*"))
        }

    def told(self) -> dict[str, Any]:
        """Return the fields that the record of the experiment has from its proposal."""
        return {
            "hypothesis": self.hypothesis,
            "author": self.author,
            "approver": str(self.decision.get("by", "")),
            "edited_by_human": self.edited_by_human,
            "proposal": self._facts(),
        }

    def _facts(self) -> dict[str, Any]:
        night = self.key.removeprefix("night|")
        facts: dict[str, Any] = {
            "expected": self.expected,
            "guess": self.decision.get("guess"),
            "program": self.program or None,
            "night": night if night != self.key else None,
            # So that the newest notes are found without opening all attachments.
            "notes": (self.folder / "attachments" / scratchpad.NAME).exists() or None,
            **{"cost" if name == "money" else name: value for name, value in self.cost.items()},
        }
        known = {name: value for name, value in facts.items() if value is not None}
        return {"id": self.id, "rejected": self.rejected, **known}

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
    cost: Mapping[str, float] | None = None,
    attachments: Mapping[str, str] | None = None,
    approved_by: str | None = None,
    rejected: int = 0,
    commit: str = "",
    parent: Experiment | None = None,
) -> Proposal:
    """Store a proposal and return it.

    Parameters
    ----------
    files
        Path → new text. Files that stay the same are left out.
    cost
        ``{"money": 0.02, "tokens": 1234}``, in the currency that nights count in; what isn't
        named is unknown. The seconds are measured by `propose`.
    attachments
        Name → text, kept with the experiment (``prompt.md``, ``reply.md``).
    approved_by
        Who approved it already: a person's own edit needs no second look.
    rejected
        How many malformed or duplicate attempts came before this one.
    commit
        An existing commit that holds exactly this change on its parent.
    parent
        The experiment that `files` were made from; by default the best state at the moment when
        the proposer was asked. What was kept since then stays: `apply` moves the proposal.

    Raises
    ------
    ProposalError
        When a file is not in the task's ``edit``, is too large or is no valid Python.
    NoChange
        When the code stays the same.
    Duplicate
        When an earlier experiment had the same code, or an open proposal has it.
    """
    if not isinstance(expected, int | float | None):
        raise ProposalError(f"expected={expected!r}; give a number such as -0.01, or None")
    asked = behalf.parent()
    best = parent or (asked if asked and asked.campaign == campaign else campaign.best)
    changed = admission.changed(campaign, best.commit, files)
    check(campaign, best.commit, changed)
    direction = ""
    with contextlib.suppress(ProposalError):  # a broken program.md stops nobody but its readers
        direction = program.read(campaign.path)
    proposal = Proposal(
        campaign=campaign,
        id=shelf.new_id(),
        parent=best.n,
        parent_commit=best.commit,
        hypothesis=records.clean(hypothesis, MAX_HYPOTHESIS) or "no hypothesis",
        proposed=changed,
        author=records.clean(author, 200) or "unknown",
        expected=expected,
        cost=dict(cost or {}),
        rejected=rejected,
        commit=commit,
        key=behalf.key(),
        program=program.version(direction),
    )
    store(proposal, {**({program.NAME: direction} if direction else {}), **(attachments or {})})
    if approved_by:
        proposal.approve(approved_by)
    return proposal


def claim(proposal: Proposal, key: str, by: Any = None, seconds: float | None = None) -> Proposal:
    """Mark the proposal as belonging to the caller that `key` describes; note who made it."""
    cost = dict(proposal.cost) if seconds is None else {**proposal.cost, "seconds": seconds}
    claimed = dataclasses.replace(proposal, key=key, by=by, cost=cost)
    files.write_json(claimed.folder / "proposal.json", _as_dict(claimed))
    return claimed


def load(campaign: Campaign, id: str) -> Proposal:
    """Return the proposal with this id from disk."""
    for _ in range(2):  # it may be put away between the two steps of a look
        folder = shelf.place(campaign.state, id)
        if (table := files.read_json(folder / "proposal.json")) is not None:
            return Proposal(campaign=campaign, **table)
    raise CampaignError(
        f"proposal {id} is not on this machine; proposals live beside the repository that made "
        "them, only their experiments travel with git."
    )


def unfinished(campaign: Campaign) -> Iterator[Proposal]:
    """Yield the proposals that are neither scored nor put away, oldest first."""
    for id in shelf.opened(campaign.state):
        with contextlib.suppress(CampaignError):  # finished by another kernel meanwhile
            yield load(campaign, id)


def finish(campaign: Campaign, id: str) -> None:
    """Put a proposal away: it was scored, refused, or its parent is no longer the best."""
    shelf.put_away(campaign.state, id)


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
    with files.locked(campaign.state / "decide.lock"):
        commit = to_commit(proposal)
        n = ledger.pin(campaign, commit)
        if not any(record.n == n for record in campaign.records()):
            verdict = {"status": "refused", "rule": "person", "reason": proposal.decision["reason"]}
            fields = {**verdict, **proposal.told()}
            record = ledger.record(
                campaign, n, commit, proposal.parent, proposal.parent_commit, **fields
            )
            ledger.write(campaign, record, proposal.attachments())
    finish(campaign, proposal.id)


def store(
    proposal: Proposal,
    attachments: Mapping[str, str | bytes],
    decision: Mapping[str, Any] | None = None,
) -> None:
    """Write a new proposal to disk in one step, decided already when a `decision` is given."""
    shelf.put(proposal.campaign.state, proposal.id, _as_dict(proposal), attachments, decision)


def check(campaign: Campaign, parent: str, changed: Mapping[str, str], but: str = "") -> None:
    """Raise unless the changed files on the commit `parent` can be an experiment (see `draft`).

    `but` is the id of a proposal that may have the same code.
    """
    hints = {"open": " Look at it with ark.review(campaign.pending())."}
    hints |= {"approved": " It waits for its run."}
    others = {
        other.code: f"{records.clean(other.hypothesis, 100)} ({other.status}, by {other.author})."
        + hints.get(other.status, "")
        for other in unfinished(campaign)
        if other.id != but and not other.successor
    }
    admission.check(campaign, parent, changed, others)


def _as_dict(proposal: Proposal) -> dict[str, Any]:
    names = {f.name for f in dataclasses.fields(proposal)} - {"campaign", "by"}
    return {name: getattr(proposal, name) for name in names}
