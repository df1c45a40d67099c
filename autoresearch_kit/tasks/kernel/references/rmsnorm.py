"""RMSNorm: ``out = x / sqrt(mean(x², over the last axis) + 1e-6) * weight``.

Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, eq. 4; the epsilon as in Llama.
``x`` (N, D), ``weight`` (D,), ``out`` (N, D).
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
EPSILON = 1e-6


def inputs(draw: Any, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return x (N, D) and weight (D,)."""
    return [draw(shape), draw(shape[1:])]


def output(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (N, D)."""
    return shape


def largest(shape: tuple[int, ...], most: float) -> float:
    """Return where the sum of D squares is still a quarter of `most`."""
    return math.sqrt(most / shape[1]) / 2


def exact(x: NDArray[Any], weight: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the result and its spread.

    A sum of D positive numbers is wrong by about sqrt(D) roundings in any honest order.
    """
    scale = 1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + EPSILON)
    result = x * scale * weight
    return result, np.abs(result) * slack(x.shape)[0]


def slack(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the spread of a result as a multiple of it."""
    return 4 + 2 * math.sqrt(shape[1]), 0.0


def moved(shape: tuple[int, ...]) -> int:
    """Return x read and out written."""
    return 2 * math.prod(shape) + shape[1]


def operations(shape: tuple[int, ...]) -> int:
    """Return a product and a sum for the mean, two products for the result."""
    return 4 * math.prod(shape)


def builtins(torch: Any) -> list[Callable[..., None]]:
    """Return torch's own function, and the formula in steps that need no large intermediate."""

    def rms_norm(x: Any, weight: Any, out: Any) -> None:
        out.copy_(torch.nn.functional.rms_norm(x, x.shape[-1:], weight, 1e-6))

    def in_steps(x: Any, weight: Any, out: Any) -> None:
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norms.square_().div_(x.shape[-1]).add_(1e-6).rsqrt_()
        torch.mul(x, scale, out=out).mul_(weight)

    return [rms_norm, in_steps]
