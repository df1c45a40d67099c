"""Softmax: out = exp(x - max) / sum(exp(x - max)), by row. Experiments change this file.

Higher speedup wins: seconds of PyTorch's fastest built-in / seconds of `kernel`, on one core, for
the same inputs in turns. The kit calls `kernel`; anything else in this file is free to change.

Notes
-----
A block of rows goes through three passes: subtract the maximum, take exp by a library that knows
the processor's vectors, divide by the sum. Numba's own `exp` takes one number at a time.
"""

import numba
import numpy as np
import torch
from torch import Tensor

# Memory
ROWS = 1024  # rows in a block: small ones stay in the cache; search: 1 | 4 | 16 | 64 | 256 | 1024

# Arithmetic
LANES = 1  # sums or maxima of a row, side by side; search: 1 | 4 | 16 | 32 | 64 | 128
SUM = "float64"  # "input" is the type of x; search: float64 | input
RECIPROCAL = False  # multiply by 1 / sum in place of dividing by it; search: False | True
EXP = "numpy"  # whose exp; search: numpy | torch

# The compiler: "fused" joins a * b + c, "free" also reorders sums; all keep NaN and infinity.
MATH = "exact"  # search: exact | fused | free

FLAGS = {"exact": False, "fused": {"contract"}, "free": {"contract", "reassoc", "nsz", "arcp"}}
compiled = numba.njit(fastmath=FLAGS[MATH], error_model="numpy")


@compiled
def subtract_maximum(x, out, tops):
    """Write the rows of `x` (N, D), each less its maximum; `tops` (LANES,) is scratch."""
    for i in range(len(x)):
        row, to = x[i], out[i]
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
        for j in range(len(row)):  # A NaN that no comparison saw comes through here.
            to[j] = row[j] - top


@compiled
def divide_by_sum(out, sums):
    """Divide each row of `out` (N, D) by its sum; `sums` (LANES,) has the sum's type."""
    one = out.dtype.type
    for i in range(len(out)):
        row = out[i]
        whole = len(row) // LANES * LANES
        sums[:] = 0
        for j in range(0, whole, LANES):
            for lane in range(LANES):
                sums[lane] += row[j + lane]
        for value in row[whole:]:
            sums[0] += value
        total = one(sums.sum())
        scale = one(1) / total
        for j in range(len(row)):
            if RECIPROCAL:
                row[j] *= scale
            else:
                row[j] /= total


def kernel(x: Tensor, out: Tensor) -> None:
    """Fill `out` (N, D) with the softmax over the last axis of `x` (N, D)."""
    if x.is_cuda:  # Numba has the CPU; a Triton kernel goes here.
        torch.softmax(x, -1, out=out)
        return
    rows, to = x.numpy(), out.numpy()
    tops = np.empty(LANES, rows.dtype)
    sums = np.empty(LANES, np.float64 if SUM == "float64" else rows.dtype)
    for start in range(0, len(rows), ROWS):
        block = slice(start, start + ROWS)
        subtract_maximum(rows[block], to[block], tops)
        if EXP == "numpy":
            np.exp(to[block], out=to[block])
        else:
            out[block].exp_()
        divide_by_sum(to[block], sums)
