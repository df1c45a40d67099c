"""Cross-entropy: out = log(sum(exp(logits))) - logits[target], by row. Experiments change this.

Higher speedup wins: seconds of PyTorch's fastest built-in / seconds of `kernel`, on one core, for
the same inputs in turns. The kit calls `kernel`; anything else in this file is free to change.

Notes
-----
exp(x) = 2**n * exp(r) with a whole n and |r| <= ln(2) / 2, where the first terms of the Taylor
series are enough. Unlike the library's exp, this one is inlined, so a loop over it can be vectors.
"""

import math

import numba
import numpy as np
from torch import Tensor
from torch.nn import functional as F

# Memory
ROWS = 64  # rows whose maxima are taken before the first sum; search: 1 | 4 | 16 | 64 | 256

# Arithmetic
LANES = 1  # maxima of a row, side by side; search: 1 | 4 | 16 | 32 | 64 | 128
SUM = "float64"  # of the exponentials; "input" is the type of the logits; search: float64 | input
TERMS = 14  # of the series, for float32; search: 4 to 14
TERMS_FLOAT64 = 14  # nobody times it; search: off

# The compiler: "fused" joins a * b + c, "free" also reorders sums; all keep NaN and infinity.
MATH = "exact"  # search: exact | fused | free

FLAGS = {"exact": False, "fused": {"contract"}, "free": {"contract", "reassoc", "nsz", "arcp"}}
compiled = numba.njit(fastmath=FLAGS[MATH], error_model="numpy")


def exponential(real, whole, digits, terms):
    """Return exp for a type of `digits` binary digits behind the point; `whole` has its size.

    What would be smaller than its smallest normal number becomes about that.
    """
    info = np.finfo(real)
    bias, lowest = whole(info.maxexp - 1), real(math.log(info.tiny))
    inverse, half = real(1 / math.log(2)), real(0.5)
    high = real(round(math.log(2) * 512) / 512)  # few digits, so that n * high is exact
    low = real(math.log(2) - float(high))
    series = tuple(real(1 / math.factorial(k)) for k in reversed(range(terms)))

    @compiled
    def exp(x):
        if x < lowest:
            x = lowest
        n = np.floor(x * inverse + half)
        r = (x - n * high) - n * low
        value = series[0]
        for k in range(1, terms):
            value = value * r + series[k]
        return value * whole((whole(n) + bias) << whole(digits)).view(real)

    return exp


@compiled
def maximum(row, tops):
    """Return the largest of `row` (V,), in which a NaN may hide; `tops` (LANES,) is scratch."""
    whole = len(row) // LANES * LANES
    tops[:] = row[0]
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            if row[j + lane] > tops[lane]:
                tops[lane] = row[j + lane]
    top = tops[0]
    for value in tops:
        top = max(top, value)
    for value in row[whole:]:
        top = max(top, value)
    return top


@compiled
def losses(logits, targets, out, exp, tops, zero):
    """Fill `out` (N,) with the losses of `logits` (N, V); `zero` has the sum's type."""
    largest = np.empty(ROWS, logits.dtype)
    for start in range(0, len(logits), ROWS):
        stop = min(start + ROWS, len(logits))
        for i in range(start, stop):
            largest[i - start] = maximum(logits[i], tops)
        for i in range(start, stop):
            row, top, total = logits[i], largest[i - start], zero
            for j in range(len(row)):
                total += exp(row[j] - top)
            out[i] = np.log(total) + top - row[targets[i]]


EXP = {
    "float32": exponential(np.float32, np.int32, 23, TERMS),
    "float64": exponential(np.float64, np.int64, 52, TERMS_FLOAT64),
}


def kernel(logits: Tensor, targets: Tensor, out: Tensor) -> None:
    """Fill `out` (N,) with the cross-entropy of `logits` (N, V) and `targets` (N,), in nats."""
    if logits.is_cuda:  # Numba has the CPU; a Triton kernel goes here.
        out.copy_(F.cross_entropy(logits, targets, reduction="none"))
        return
    rows = logits.numpy()
    zero = np.float64(0) if SUM == "float64" else rows.dtype.type(0)
    tops = np.empty(LANES, rows.dtype)
    losses(rows, targets.numpy(), out.numpy(), EXP[rows.dtype.name], tops, zero)
