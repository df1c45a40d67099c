"""What this machine allows at best: the rate of its memory or of its arithmetic, in the same run.

`yardsticks` runs in the sandboxed process of torch's own kernels, on the very slots that are timed,
so this file needs nothing beyond the standard library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

SUSPICIOUS = {"copy": 1.6, "read": 1.15, "arithmetic": 1.15}
"""Shares of a limit above which a person has to look.

Rates are measured within some 5 to 10 %. Torch's copy reads a line before it writes it, three
transfers where streaming stores need two; they were 1.36 times as fast here.
"""


WORDS = {"copy": "a copy's speed", "read": "a sum's speed", "arithmetic": "torch's best arithmetic"}


def yardsticks(torch: Any) -> list[Callable[..., None]]:
    """Return kernels that do nothing but move memory, each of a reference's `LIMIT`."""

    def copy(*arrays: Any) -> None:
        arrays[-1].copy_(arrays[0])

    def read(*arrays: Any) -> None:
        torch.sum(arrays[0])

    return [copy, read]


def shares(
    limit: str, work: Sequence[float], seconds: Sequence[float], rates: Sequence[float]
) -> list[float]:
    """Return which share of the machine's best rate a kernel reached, for each shape.

    Parameters
    ----------
    limit
        ``copy``, ``read`` or ``arithmetic``.
    work
        Numbers that a call has to move, or operations of arithmetic.
    seconds
        What a call took.
    rates
        Numbers or operations a second, as they were measured at each shape. Of memory each shape
        has its own; of arithmetic the best one holds for all.
    """
    best = [max(rates)] * len(rates) if limit == "arithmetic" else rates
    return [w / (rate * s) for w, s, rate in zip(work, seconds, best, strict=True)]
