"""Inputs that a candidate can't know: random, new for each call, and of many kinds.

Numbers are standard normal unless a kind says otherwise. What bfloat16 holds is kept as float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The relative error of one rounding, and in which unit an honest kernel computes inside.
UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
INSIDE = {"float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32"}
MOST = {"float64": 1.79e308, "float32": 3.40e38, "float16": 65504.0, "bfloat16": 3.38e38}
LEAST = {"float64": 2.3e-308, "float32": 1.2e-38, "float16": 6e-8, "bfloat16": 1.2e-38}

# Near max, tiny, of very different sizes, ...: what breaks a kernel that was tried on normal
# numbers alone.
KINDS = (
    "near max", "1e-6", "mixed scales", "zeros", "constant", "one large", "few that count",
    "infinities",
)  # fmt: skip
INFINITIES = (np.inf, -np.inf, np.nan)
POOL = 1 << 22


class Draw:
    """Random arrays of one kind, from a secret state that no two scorings share.

    Large arrays of normal numbers are the sum of two stretches of one pool, at offsets that are
    drawn anew: 1e13 pairs, at memory speed, where drawing every number takes 15 ns.
    """

    def __init__(self) -> None:
        self.random = np.random.default_rng()
        self._pool = self.random.standard_normal(POOL, dtype=np.float32)
        self._pool *= np.float32(math.sqrt(0.5))
        self.kind = "normal"
        self.largest = 1.0

    def of(self, kind: str, largest: float) -> Draw:
        """Draw numbers of this kind from now on; `largest` is for those that are near it."""
        self.kind, self.largest = kind, largest
        return self

    def __call__(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return an array of the kind: float32, or float64 where the kind needs more range."""
        if self.kind == "normal":
            return self._normal(shape)
        return self._special(shape)

    def below(self, most: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Return whole numbers from 0 to most - 1."""
        return self.random.integers(0, most, shape)

    def _normal(self, shape: tuple[int, ...]) -> NDArray[Any]:
        count = math.prod(shape)
        if count > POOL // 2:
            rows = [self._normal(shape[1:]) for _ in range(shape[0])]
            return np.stack(rows)
        first, second = self.random.integers(0, POOL - count, 2)
        whole = self._pool[first : first + count] + self._pool[second : second + count]
        return whole.reshape(shape)

    def _special(self, shape: tuple[int, ...]) -> NDArray[Any]:
        normal = self._normal(shape).astype(np.float64)
        if self.kind == "near max":
            return np.copysign(self.largest * self.random.uniform(0.5, 1, shape), normal)
        if self.kind == "1e-6":
            return normal * 1e-6
        if self.kind == "mixed scales":
            return normal * 10.0 ** self.random.uniform(-6, min(4, math.log10(self.largest)), shape)
        if self.kind == "zeros":
            return np.zeros(shape)
        if self.kind == "constant":
            # Eighths, whose products and sums are exact: else each rounding goes the same way, and
            # a plain sum of a thousand is wrong by more than other numbers justify.
            return np.full(shape, self.random.choice([-1, 1]) * self.random.integers(1, 25) / 8)
        if self.kind == "one large":
            # Not larger: in a plain float32 sum of squares the others would be rounded away.
            normal.flat[self.random.integers(normal.size)] = min(self.largest, 1e2)
            return normal
        rows = normal.reshape(-1, shape[-1])
        if self.kind == "few that count":
            # In a sum of thousands an exponential of ten bits would go unseen: errors cancel. Here
            # those of a row are of one size, and exp(-60) is nothing.
            rows[...] = -60  # its square is 3600, and sums of that stay exact
            places = self.random.integers(0, shape[-1], (len(rows), 8))
            np.put_along_axis(rows, places, -self.random.uniform(0, 3, (len(rows), 1)), 1)
            rows[np.arange(len(rows)), places[:, 0]] = 0
            return normal
        # One in a row, and not in all rows: so each has to do its worst alone.
        chosen = self.random.permutation(len(rows))[: max(3, len(rows) // 2)]
        places = self.random.integers(0, shape[-1], len(chosen))
        rows[chosen, places] = np.resize(self.random.permutation(INFINITIES), len(chosen))
        return normal


def stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return values as they lie in memory; bfloat16 is the upper half of float32, rounded."""
    if values.dtype.kind in "iu":
        return values
    if dtype != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def read(memory: NDArray[Any], dtype: str) -> NDArray[np.float64]:
    """Return what lies in memory as float64, or as it is when it isn't floating point."""
    if memory.dtype.kind == "i":
        return memory
    if dtype != "bfloat16":
        return memory.astype(np.float64)
    return (memory.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def kept_as(dtype: str) -> np.dtype[Any]:
    """Return numpy's type for what lies in memory."""
    return np.dtype(np.uint16 if dtype == "bfloat16" else dtype)
