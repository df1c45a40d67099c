"""Who proposes: callables ``(campaign, *, idea=None, revises=None) -> Proposal``.

Any function of this shape is a proposer; these are the kit's own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers.human import Human
from autoresearch_kit.proposers.tpe import TPE

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

__all__ = ["TPE", "Human", "Proposer", "choose", "name_of"]

Proposer: TypeAlias = Callable[..., Proposal]

_log = logging.getLogger(__name__)


def choose(campaign: Campaign, by: Proposer | None) -> Proposer:
    """Return the proposer to ask: `by`, else the campaign's own, else TPE; log which and why.

    Raises
    ------
    ProposalError
        When `by` can't be called.
    """
    chosen = by or campaign.by
    if chosen is None:
        _log.info("TPE proposes: neither by= nor the campaign names a proposer")
        return TPE()
    if isinstance(chosen, type):
        raise ProposalError(f"by= is a class; write by=ark.{chosen.__name__}(), with parentheses")
    if not callable(chosen):
        raise ProposalError(
            f"by={chosen!r} is no proposer; expected a callable such as ark.TPE() or "
            "ark.Human(edit=...)"
        )
    return chosen


def name_of(by: Proposer | None) -> str:
    """Return what tells one proposer from another."""
    if by is None:
        return "default"
    return getattr(by, "__qualname__", None) or repr(by)
