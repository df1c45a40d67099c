"""RMS norm: out = x / sqrt(mean(x², over a row) + 1e-6) * weight. Experiments change this file.

Higher speedup wins: seconds of PyTorch's fastest built-in / seconds of `kernel`, on one core, for
the same inputs in turns. The kit calls `kernel`; anything else in this file is free to change.

Notes
-----
From Zhang and Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467, equation 4; the
epsilon is that of `torch.nn.functional.rms_norm` where a model gives one.
"""

import numba
import numpy as np
from torch import Tensor
from torch.nn.functional import rms_norm

EPSILON = 1e-6  # part of the definition; search: off

# Memory
ROWS = 256  # rows whose roots are taken before the first is written; search: 1 | 4 | 16 | 64 | 256

# Arithmetic
LANES = 1  # sums that a row is added up in, side by side; search: 1 | 4 | 8 | 16 | 32 | 64
SUM = "float64"  # of the squares; "input" is the type of x; search: float64 | input
RECIPROCAL = False  # multiply by 1 / root in place of dividing by it; search: False | True

# The compiler: "fused" joins a * b + c, "free" also reorders sums; all keep NaN and infinity.
MATH = "exact"  # search: exact | fused | free

FLAGS = {"exact": False, "fused": {"contract"}, "free": {"contract", "reassoc", "nsz", "arcp"}}
compiled = numba.njit(fastmath=FLAGS[MATH], error_model="numpy")


@compiled
def sum_of_squares(row, sums):
    """Add up the squares of `row` (D,) in `sums` (LANES,), whose type is that of the result."""
    one = sums.dtype.type
    sums[:] = 0
    whole = len(row) // LANES * LANES
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            value = one(row[j + lane])
            sums[lane] += value * value
    for value in row[whole:]:
        sums[0] += one(value) * one(value)
    return sums.sum()


@compiled
def normalise(x, weight, out, sums, roots):
    """Fill `out` (N, D), ROWS rows at a time, which are read twice; `roots` is (ROWS,)."""
    N, D = x.shape
    one = x.dtype.type(1)
    for start in range(0, N, ROWS):
        stop = min(start + ROWS, N)
        for i in range(start, stop):
            roots[i - start] = np.sqrt(sum_of_squares(x[i], sums) / D + EPSILON)
        for i in range(start, stop):
            row, to, root = x[i], out[i], roots[i - start]
            scale = one / root
            for j in range(D):
                if RECIPROCAL:
                    to[j] = row[j] * scale * weight[j]
                else:
                    to[j] = row[j] / root * weight[j]


def kernel(x: Tensor, weight: Tensor, out: Tensor) -> None:
    """Fill `out` (N, D) with the rows of `x` (N, D), normalised and scaled by `weight` (D,)."""
    if x.is_cuda:  # Numba has the CPU; a Triton kernel goes here.
        out.copy_(rms_norm(x, weight.shape, weight, EPSILON))
        return
    rows, gain, to = x.numpy(), weight.numpy(), out.numpy()
    sums = np.empty(LANES, np.float64 if SUM == "float64" else rows.dtype)
    normalise(rows, gain, to, sums, np.empty(ROWS, rows.dtype))
