"""An optimiser that proposes, and a language model that takes over on a share of the turns.

Neither knows of the other: both see the campaign, and the model is shown what the optimiser knows.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, keys, progress
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import Duplicate, EndpointError, NoChange, ProposalError, ReplyError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import ideas, submission
from autoresearch_kit.proposers.tpe import TPE

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

SECTION = "The optimiser's state"

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, repr=False)
class Hybrid:
    """Let an optimiser propose, and a language model on a share of the turns.

    Parameters
    ----------
    llm
        `LLM`, `Command`, `Paste` or any other proposer. If it takes ``sections=`` it is told what
        the optimiser knows; it may change constants or code.
    optimiser
        Any proposer. If it has a method ``state(campaign)``, that is what the model is told.
    share
        How many of the turns are the model's, from 0 to 1, evenly spread.

    Raises
    ------
    ProposalError
        When neither of the two has a proposal.

    Notes
    -----
    Whose turn it is depends on nothing but how many experiments and open proposals the campaign
    has. Both learn from all results, for both read the campaign's records. When one of the two
    has no proposal the other takes the turn; that the model had none stands in the hypothesis,
    and why in the experiment's attachment ``llm-error.txt``.

    An idea ``NAME = value`` goes to the optimiser, one in words to the model. A revision goes to
    whoever made the proposal, unless the optimiser is given words. What a person asks of the
    model is never done by the optimiser instead.

    The idea is that of Centaur (arXiv 2603.24647): an optimiser in every trial, and a language
    model that sees its state in 30 % of them, beat both the optimiser and the models alone.
    """

    llm: Callable[..., Proposal]
    optimiser: Callable[..., Proposal] = dataclasses.field(default_factory=TPE)
    share: float = 0.3

    def __post_init__(self) -> None:
        for name in ("llm", "optimiser"):
            part = getattr(self, name)
            if isinstance(part, type) or not callable(part):
                raise ProposalError(
                    f"{name}={part!r} is no proposer; expected one such as ark.LLM() or ark.TPE(), "
                    "with parentheses"
                )
        if not 0 <= self.share <= 1:
            raise ProposalError(f"share={self.share!r}; expected a number from 0 to 1, such as 0.3")

    @property
    def reports(self) -> set[str]:
        """What a proposal's `cost` will say; there is no such attribute when a part has none."""
        known: set[str] = self.llm.reports & self.optimiser.reports  # type: ignore[attr-defined]
        return known

    def __call__(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Store a proposal by the model or the optimiser on the campaign's best state."""
        if revises is not None:
            by_optimiser = revises.author == _author(self.optimiser)
            if by_optimiser and ideas.is_values(revises.feedback):
                return self.optimiser(campaign, idea=None, revises=revises)
            return self._ask_llm(campaign, None, revises)
        if idea is not None:
            if ideas.is_values(idea):
                return self.optimiser(campaign, idea=idea, revises=None)
            return self._ask_llm(campaign, idea, None)
        if self._is_llms_turn(campaign):
            return self._llm_first(campaign)
        try:
            return self.optimiser(campaign, idea=None, revises=None)
        except ProposalError as error:
            if self.share == 0:
                raise
            _tell(
                f"{_name(self.optimiser)} has no proposal, so {_name(self.llm)} is asked: {error}"
            )
            return self._ask_llm(campaign, None, None)

    def _is_llms_turn(self, campaign: Campaign) -> bool:
        turn = len(campaign.records()) + sum(1 for _ in proposals.unfinished(campaign))
        # The rounding keeps 0.3 * 10 from falling just short of 3.
        before, after = (math.floor(round(n * self.share, 9)) for n in (turn, turn + 1))
        return after > before

    def _llm_first(self, campaign: Campaign) -> Proposal:
        """Ask the model, and the optimiser if it has no proposal."""
        try:
            return self._ask_llm(campaign, None, None)
        except ProposalError as failed:
            error = failed
        why = keys.redact(str(error))
        _tell(f"{_name(self.llm)} has no proposal, so {_name(self.optimiser)} is asked: {why}")
        try:
            made = self.optimiser(campaign, idea=None, revises=None)
        except ProposalError:
            raise error from None  # what is wrong with the model is easier to repair
        files.write_text(made.folder / "attachments" / "llm-error.txt", f"{why}\n")
        told = f"{made.hypothesis} (in place of {_name(self.llm)}: {_kind(error)})"
        return submission.settle(campaign, dataclasses.replace(made, hypothesis=told))

    def _ask_llm(self, campaign: Campaign, idea: str | None, revises: Proposal | None) -> Proposal:
        more: dict[str, Any] = {}
        state = getattr(self.optimiser, "state", None)
        if state is not None and _takes_sections(self.llm):
            more["sections"] = {SECTION: state(campaign)}
        made = self.llm(campaign, idea=idea, revises=revises, **more)
        if not isinstance(made, Proposal):
            raise ProposalError(f"{_name(self.llm)} returned {made!r}; expected a Proposal")
        return made

    def __repr__(self) -> str:
        """Return the parts without a key, the same for the same arguments."""
        told = [_name(self.llm)]
        if self.optimiser != TPE():
            told.append(f"optimiser={_name(self.optimiser)}")
        if self.share != 0.3:
            told.append(f"share={self.share:g}")
        return f"Hybrid({', '.join(told)})"


def _name(part: Any) -> str:
    """Return what a part is called, the same in every kernel."""
    return str(getattr(part, "__qualname__", None) or repr(part))


def _author(part: Any) -> str:
    return str(getattr(part, "author", "") or _name(part))


def _takes_sections(part: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(part).parameters
    except (TypeError, ValueError):
        return False
    return "sections" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _kind(error: ProposalError) -> str:
    """Return in a few words why there was no answer."""
    if isinstance(error, EndpointError):
        return f"endpoint, {error.kind}"
    known = {Duplicate: "a duplicate", NoChange: "no change", ReplyError: "no usable reply"}
    return next((words for kind, words in known.items() if isinstance(error, kind)), "no proposal")


def _tell(words: str) -> None:
    _log.warning("%s", words)
    progress.say(f"\n\n[{words.splitlines()[0]}]\n\n")
