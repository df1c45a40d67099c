"""Which numbers are better: what a goal may be, and what follows from it."""

from __future__ import annotations

GOALS = ("minimize", "maximize")


def sign(goal: str) -> float:
    """Return what a difference of the metric is multiplied with, so that positive is better."""
    return 1.0 if goal == "maximize" else -1.0


def better(goal: str) -> str:
    """Return which numbers are better, in a word: ``lower`` or ``higher``."""
    return "higher" if goal == "maximize" else "lower"


def check(goal: str | None) -> None:
    """Look at a goal that somebody gave, or didn't.

    Raises
    ------
    ValueError
        When it is neither of the two.
    """
    if goal is not None and goal not in GOALS:
        raise ValueError(f"goal is {goal!r}; expected 'minimize' or 'maximize'")
