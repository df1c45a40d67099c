"""Softmax: ``out = exp(x - max) / sum(exp(x - max))`` over the last axis.

``x`` (N, D), ``out`` (N, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIMED = {
    "cpu": ((1024, 1024), (4096, 256), (256, 4096)),
    "cuda": ((4096, 1024), (2048, 4096), (512, 8192)),
}
ODD = ((1, 1), (1, 1023), (3, 17), (17, 1), (127, 3), (5, 1025), (1023, 127))
LIMIT = "copy"
ATOMICS = False


def inputs(draw: Any, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return x (N, D)."""
    return [draw(shape)]


def output(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (N, D)."""
    return shape


def largest(shape: tuple[int, ...], most: float) -> float:  # noqa: ARG001
    """Return where the difference of two inputs is still no more than `most`."""
    return most / 2


def exact(x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the result and its spread.

    Rounding x - max, of size d, makes exp wrong by d roundings; the sum is one of positive numbers.
    """
    below = x - x.max(axis=1, keepdims=True)
    result = np.exp(below)
    result /= result.sum(axis=1, keepdims=True)
    # Where the result is nothing, an infinite distance times it is nothing too.
    distance = np.where(result > 0, np.abs(below), 0.0)
    return result, result * (8 + 2 * math.sqrt(x.shape[1]) + 2 * distance)


def slack(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the spread of a result as a multiple of it; two normal numbers are within 14."""
    return 8 + 2 * math.sqrt(shape[1]) + 2 * 14, 0.0


def moved(shape: tuple[int, ...]) -> int:
    """Return x read and out written."""
    return 2 * math.prod(shape)


def operations(shape: tuple[int, ...]) -> int:
    """Return a comparison, a difference, a sum, a product, and some ten for the exponential."""
    return 14 * math.prod(shape)


def builtins(torch: Any) -> list[Callable[..., None]]:
    """Return torch's own function, and the formula in steps."""

    def softmax(x: Any, out: Any) -> None:
        torch.softmax(x, dim=-1, out=out)

    def in_steps(x: Any, out: Any) -> None:
        torch.sub(x, x.amax(dim=-1, keepdim=True), out=out).exp_()
        out.div_(out.sum(dim=-1, keepdim=True))

    return [softmax, in_steps]
