"""Who proposes: callables ``(campaign, *, idea=None, revises=None) -> Proposal``.

Any function of this shape is a proposer; these are the kit's own. One may have an attribute
``reports``, the set of what the `cost` of its proposals names (``{"tokens", "money"}``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from autoresearch_kit import keys
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers.agents import found
from autoresearch_kit.proposers.command import Command
from autoresearch_kit.proposers.human import Human
from autoresearch_kit.proposers.hybrid import Hybrid
from autoresearch_kit.proposers.llm import LLM
from autoresearch_kit.proposers.paste import Paste
from autoresearch_kit.proposers.tpe import TPE

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

__all__ = [
    "LLM",
    "TPE",
    "Command",
    "Human",
    "Hybrid",
    "Paste",
    "Proposer",
    "choose",
    "name_of",
]

Proposer: TypeAlias = Callable[..., Proposal]

_said: set[str] = set()


def choose(campaign: Campaign, by: Proposer | None) -> Proposer:
    """Return the proposer to ask: `by`, else the campaign's own, else the default.

    The default is `LLM` where the environment names a key or a server, else `TPE`; which one it
    is and why is printed once.

    Raises
    ------
    ProposalError
        When `by` can't be called.
    """
    chosen = by or campaign.by
    if chosen is None:
        return _default()
    if isinstance(chosen, type):
        raise ProposalError(f"by= is a class; write by=ark.{chosen.__name__}(), with parentheses")
    if not callable(chosen):
        raise ProposalError(
            f"by={chosen!r} is no proposer; expected a callable such as ark.LLM(), ark.TPE() or "
            "ark.Human(edit=...)"
        )
    return chosen


def _default() -> Proposer:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        if os.environ.get(name):
            _say(f"A language model proposes, because {name} is set; by=ark.TPE() needs none.")
            return LLM()
    agents = found()
    beside = f", and {' or '.join(agents)} would ask what is on your PATH" if agents else ""
    _say(
        "TPE proposes: neither by= nor the campaign names a proposer, and there is no "
        f"OPENAI_API_KEY and no OPENAI_BASE_URL for ark.LLM(){beside}."
    )
    return TPE()


def _say(words: str) -> None:
    if words not in _said:
        _said.add(words)
        print(words)


def name_of(by: Proposer | None) -> str:
    """Return what tells one proposer from another, without a key that one may hold."""
    if by is None:
        return "default"
    return keys.redact(getattr(by, "__qualname__", None) or repr(by))
