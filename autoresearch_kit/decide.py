"""Keep or discard: rules that look at replicates and answer with a verdict and a sentence.

A rule is a function ``(candidate, best, *, goal) -> Verdict``. Both arguments are the replicates
of an experiment, one mapping each with at least ``seed`` and ``value``. A rule that asks for more
runs says so in ``more``; it is asked again when they are there.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from autoresearch_kit.errors import CampaignError

Replicates: TypeAlias = Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a rule says: a status and a reason, or how many `more` runs it needs first."""

    status: str
    reason: str
    delta: float | None = None
    noise: float | None = None
    more: int = 0


Rule: TypeAlias = Callable[..., Verdict]


def mean(replicates: Replicates) -> float:
    """Return the mean metric over replicates."""
    return statistics.fmean(float(r["value"]) for r in replicates)


def greedy(candidate: Replicates, best: Replicates, *, goal: str) -> Verdict:
    """Keep whatever is strictly better than the best state, however little.

    Notes
    -----
    The rule of karpathy/autoresearch (program.md, commit 228791f). It takes noise for progress:
    late in a campaign most of its keeps are luck.
    """
    new, old = mean(candidate), mean(best)
    delta = new - old
    gain = -delta if goal == "minimize" else delta
    if gain > 0:
        return Verdict("keep", f"better by {abs(delta):.4g} ({old:.4f} to {new:.4f})", delta)
    how = "no change" if delta == 0 else f"worse by {abs(delta):.4g}"
    return Verdict("discard", f"{how} ({old:.4f} to {new:.4f})", delta)


RULES: Mapping[str, Rule] = {"greedy": greedy}


def rule(name: str) -> Rule:
    """Return the rule with this name.

    Raises
    ------
    CampaignError
        When there is none.
    """
    if name not in RULES:
        raise CampaignError(f"decide={name!r} is no rule; known are: {', '.join(RULES)}")
    return RULES[name]
