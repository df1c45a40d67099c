"""Matrix product: ``out = a @ b``.

``a`` (M, K), ``b`` (K, N), ``out`` (M, N); a shape is (M, K, N).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIMED = {
    "cpu": ((512, 512, 512), (64, 2048, 512), (1024, 64, 1024)),
    "cuda": ((4096, 4096, 4096), (1024, 8192, 2048), (8192, 512, 8192)),
}
ODD = (
    (1, 1, 1),
    (1, 1023, 17),
    (3, 17, 1),
    (17, 3, 127),
    (127, 1, 3),
    (5, 1025, 9),
    (1, 1, 1023),
    (33, 127, 65),
)
LIMIT = "arithmetic"
ATOMICS = False


def inputs(draw: Any, shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return a (M, K) and b (K, N)."""
    return [draw(shape[:2]), draw(shape[1:])]


def output(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return (M, N)."""
    return (shape[0], shape[2])


def largest(shape: tuple[int, ...], most: float) -> float:
    """Return where a sum of K products is still a quarter of `most`."""
    return math.sqrt(most / shape[1]) / 2


def exact(a: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the result and its spread, that of a sum of K products of any sign."""
    return a @ b, (np.abs(a) @ np.abs(b)) * (4 + 2 * math.sqrt(a.shape[1]))


def slack(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return the absolute spread; the mean product of two normal numbers' sizes is 2 / pi."""
    products = 2 / math.pi * shape[1] + 5 * math.sqrt(shape[1])
    return 0.0, products * (4 + 2 * math.sqrt(shape[1]))


def moved(shape: tuple[int, ...]) -> int:
    """Return a and b read and out written."""
    m, k, n = shape
    return m * k + k * n + m * n


def operations(shape: tuple[int, ...]) -> int:
    """Return a product and a sum for each of M * K * N."""
    return 2 * math.prod(shape)


def builtins(torch: Any) -> list[Callable[..., None]]:
    """Return torch's own function, into the output and by way of its transposed."""

    def matmul(a: Any, b: Any, out: Any) -> None:
        torch.matmul(a, b, out=out)

    def transposed(a: Any, b: Any, out: Any) -> None:
        torch.matmul(b.t(), a.t(), out=out.t())

    return [matmul, transposed]
