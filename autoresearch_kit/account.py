"""Work and cost of one child of a run, and how costs are averaged, compared and rounded."""

from __future__ import annotations

import math
from collections.abc import Sequence

RATIO_STEP = 0.04  # ratios are rounded to powers of exp(0.04)
SAME_COST = 0.05  # |ln ratio| up to here is 1: most patches don't change the cost


def round_ratio(ratio: float, error: float = 0.0) -> float:
    """Return a cost ratio in geometric steps of 4 %, and 1 for all within 5 % of it.

    `error` is the standard error of its logarithm. One more of it counts as equal too: most patches
    don't change the cost, so on a busy machine a small difference is more likely none.
    """
    log = math.log(ratio)
    if abs(log) <= SAME_COST + error:
        return 1.0
    # One step from 1 lies within what counts as equal, so that the next one up is taken.
    steps = max(2, round(abs(log) / RATIO_STEP))
    return math.exp(math.copysign(RATIO_STEP * steps, log))


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; the standard library's takes 20 ms to import."""
    return math.fsum(values) / len(values)


def trimmed_mean(values: Sequence[float]) -> float:
    """Return the mean without the lowest and the highest fifth, so that outliers don't count."""
    ordered = sorted(values)
    cut = len(ordered) // 5
    return mean(ordered[cut : len(ordered) - cut])


class Account:
    """Work and cost of one child since its first step."""

    def __init__(self) -> None:
        self.started = False
        self.tokens = 0
        self.seconds = 0.0
        self.step_tokens, self.step_seconds = 0, 0.0  # the last step's
        self.longest_tokens, self.longest_seconds = 0, 0.0  # the longest one's before it
        self.turn_tokens = 0
        self.turn_seconds = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """Book a step; `seconds` is the reading since the first step began."""
        self.longest_tokens = max(self.longest_tokens, self.step_tokens)
        self.longest_seconds = max(self.longest_seconds, self.step_seconds)
        self.tokens += tokens
        self.step_tokens, self.step_seconds = tokens, seconds - self.seconds
        self.turn_tokens += tokens
        # Whatever it burnt while it should have waited is charged to its own next turn.
        self.turn_seconds += seconds - self.seconds
        self.seconds = seconds

    def end_turn(self) -> float:
        """Return the turn's cost in seconds a token, and begin a new one."""
        cost = self.turn_seconds / max(1, self.turn_tokens)
        self.turn_tokens, self.turn_seconds = 0, 0.0
        return cost
