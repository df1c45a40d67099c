"""Who approves while nobody looks: a policy is a function of the proposal.

It returns True to approve, a sentence to refuse with that reason, False to refuse, None to ask a
person for as long as it takes, an `Ask` to ask with a limit, or another policy to use instead. Any
function of the user's is one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, TypeAlias

from autoresearch_kit import patch
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.proposal import Proposal

SMALL = 20  # lines


@dataclasses.dataclass(frozen=True)
class Ask:
    """Ask a person, for at most `minutes`, and then approve or refuse without one."""

    minutes: float | None = None
    then: Literal["approve", "refuse"] = "refuse"

    def __post_init__(self) -> None:
        if self.then not in ("approve", "refuse"):
            raise CampaignError(f"then={self.then!r}; expected 'approve' or 'refuse'")
        if self.minutes is not None and not self.minutes > 0:
            raise CampaignError(f"minutes={self.minutes!r}; expected more than 0, or None")

    def __call__(self, _: Proposal) -> Ask:
        """Ask about every proposal."""
        return self

    def __str__(self) -> str:
        return "ask" if self.minutes is None else f"ask {self.minutes:g} min, then {self.then}"


@dataclasses.dataclass(frozen=True)
class Small:
    """Approve a patch of at most `lines` lines that the static check has no words about."""

    lines: int
    otherwise: Ask

    def __call__(self, proposal: Proposal) -> bool | Ask:
        """Approve a small and clean proposal, ask about another one."""
        campaign = proposal.campaign
        before = campaign.mutable(proposal.parent_commit)
        old = {path: before[path] for path in proposal.files}
        size = sum(patch.lines(old, proposal.files))
        concerns = patch.warnings(old, proposal.files, campaign.task.edit)
        return True if size <= self.lines and not concerns else self.otherwise

    def __str__(self) -> str:
        return f"approve up to {self.lines} clean lines, else {self.otherwise}"


Answer: TypeAlias = bool | str | Ask | None
Policy: TypeAlias = Callable[[Proposal], Answer]


def everything(_: Proposal) -> bool:
    """Approve every proposal."""
    return True


def ask(minutes: float | None = None, then: Literal["approve", "refuse"] = "refuse") -> Ask:
    """Return the policy that asks a person, and does `then` after so many `minutes`.

    Without `minutes` a proposal waits for as long as the night lasts.
    """
    return Ask(minutes, then)


def small(
    lines: int = SMALL,
    minutes: float | None = None,
    then: Literal["approve", "refuse"] = "refuse",
) -> Small:
    """Return the policy that approves small and clean patches, and asks about the others.

    Small is at most `lines` added and removed together; clean is without any warning of the
    static check that `ark.review` shows.
    """
    return Small(lines, Ask(minutes, then))


def settle(policy: Policy, proposal: Proposal) -> Answer:
    """Return what a policy says of a proposal, in one of the forms that a night understands.

    Raises
    ------
    CampaignError
        When it says something else.
    """
    said: object = policy(proposal)
    if callable(said):  # a function may choose between policies
        said = said(proposal)
    if type(said).__module__ == "numpy" and hasattr(said, "item"):
        said = said.item()  # comparing numbers of numpy gives its own True
    if said is None or isinstance(said, bool | Ask):
        return said
    if isinstance(said, str) and said.strip():
        return said
    raise CampaignError(
        f"the policy returned {said!r:.200}; expected True to approve, False or a reason to "
        "refuse, None or ark.policies.ask(...) to ask a person"
    )


def parse(words: str) -> Policy:
    """Return the policy that a word stands for: ``everything``, ``ask:30:approve``, ``small:20``.

    Behind ``small:20`` may stand what `ask` takes: ``small:20:30:refuse``.

    Raises
    ------
    CampaignError
        When it stands for none.
    """
    name, *rest = words.split(":")
    try:
        if name == "everything" and not rest:
            return everything
        if name == "ask" and len(rest) <= 2:
            return Ask(*_limit(rest))
        if name == "small" and len(rest) <= 3:
            return Small(int(rest[0]) if rest else SMALL, Ask(*_limit(rest[1:])))
    except ValueError:
        pass
    raise CampaignError(
        f"approve={words!r} is no policy; expected 'everything', 'ask', 'ask:30:approve' (minutes, "
        "then what), 'small' or 'small:20:30:refuse' (lines, minutes, then what), or a function "
        "of the proposal that returns True, False, a reason to refuse, or None to ask."
    )


def _limit(words: list[str]) -> tuple[float | None, Literal["approve", "refuse"]]:
    minutes = float(words[0]) if words else None
    then = words[1] if len(words) > 1 else "refuse"
    if then == "approve":
        return minutes, "approve"
    if then == "refuse":
        return minutes, "refuse"
    raise ValueError(then)
