"""Cross-entropy: ``out = log(sum(exp(logits))) - logits[target]``, one number a row.

``logits`` (N, V), ``targets`` (N,) int64 in [0, V), ``out`` (N,). No mean over rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIMED = {
    "cpu": ((128, 8192), (1024, 1024), (32, 32000)),
    "cuda": ((4096, 8192), (2048, 32000), (512, 128256)),
}
ODD = ((1, 1), (1, 1023), (3, 17), (17, 1), (127, 3), (5, 1025), (1023, 127))
LIMIT = "read"
ATOMICS = False


def inputs(draw: Any, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return logits (N, V) and targets (N,)."""
    return [draw(shape), draw.below(shape[1], shape[:1])]


def output(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (N,)."""
    return shape[:1]


def largest(shape: tuple[int, ...], most: float) -> float:  # noqa: ARG001
    """Return where the difference of two logits is still no more than `most`."""
    return most / 2


def exact(logits: NDArray[Any], targets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the result and its spread.

    A relative error of the sum is an absolute one of its logarithm; the result is a difference of
    numbers that may be far larger, each rounded.
    """
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    chosen = logits[np.arange(len(logits)), targets]
    rounded = np.abs(total) + np.abs(chosen)
    return total - chosen, 8 + 2 * math.sqrt(logits.shape[1]) + 4 * rounded


def slack(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the absolute spread; logits within 7 of nothing, their sum within exp(20)."""
    return 0.0, 8 + 2 * math.sqrt(shape[1]) + 4 * 27


def moved(shape: tuple[int, ...]) -> int:
    """Return the logits read, a target read and a loss written."""
    return math.prod(shape) + 3 * shape[0]


def operations(shape: tuple[int, ...]) -> int:
    """Return a comparison, a difference, a sum, and some ten for the exponential."""
    return 13 * math.prod(shape)


def builtins(torch: Any) -> list[Callable[..., None]]:
    """Return torch's own function, and its logsumexp with what is chosen taken away."""

    def cross_entropy(logits: Any, targets: Any, out: Any) -> None:
        out.copy_(torch.nn.functional.cross_entropy(logits, targets, reduction="none"))

    def logsumexp(logits: Any, targets: Any, out: Any) -> None:
        torch.logsumexp(logits, dim=-1, out=out)
        out.sub_(logits.gather(1, targets[:, None])[:, 0])

    return [cross_entropy, logsumexp]
