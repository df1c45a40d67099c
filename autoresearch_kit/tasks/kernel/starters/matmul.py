"""Matrix product: out = a @ b. Experiments change this file.

Higher speedup wins: seconds of PyTorch's fastest built-in / seconds of `kernel`, on one core, for
the same inputs in turns. The kit calls `kernel`; anything else in this file is free to change.

Notes
-----
Blocks as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS
34, 2008): a block of b is copied so that it lies densely, and stays in the cache while the rows of
a pass by. What that paper keeps in registers goes to `out` and back here.
"""

import numba
import torch
from torch import Tensor

# Blocks: of b, and of the rows that use DEPTH rows of it before the next DEPTH come
INNER = 64  # rows of b in a block; search: 32 | 64 | 128 | 256 | 512
COLUMNS = 256  # columns of b in a block; search: 64 | 128 | 256 | 512 | 1024
ROWS = 1  # rows of out in turn; search: 1 | 4 | 16 | 64 | 256

# The innermost loop
DEPTH = 2  # rows of b that are added at once to a row of out; search: 1 | 2 | 4 | 8 | 16

# The compiler: "fused" joins a * b + c, "free" also reorders sums; all keep NaN and infinity.
MATH = "exact"  # search: exact | fused | free

FLAGS = {"exact": False, "fused": {"contract"}, "free": {"contract", "reassoc", "nsz", "arcp"}}
compiled = numba.njit(fastmath=FLAGS[MATH], error_model="numpy")


@compiled
def add_products(left, block, to):
    """Add left @ block to `to` (C,), for `left` (DEPTH,) and `block` (DEPTH, C)."""
    for j in range(len(to)):
        value = to[j]
        for d in range(DEPTH):
            value += left[d] * block[d, j]
        to[j] = value


@compiled
def add_product(left, row, to):
    """Add left * row to `to` (C,)."""
    for j in range(len(to)):
        to[j] += left * row[j]


@compiled
def multiply(a, b, out):
    """Fill `out` (M, N) with the product of `a` (M, K) and `b` (K, N)."""
    M, K = a.shape
    N = b.shape[1]
    out[:] = 0
    for j in range(0, N, COLUMNS):
        for k in range(0, K, INNER):
            block = b[k : k + INNER, j : j + COLUMNS].copy()
            whole = len(block) // DEPTH * DEPTH
            for start in range(0, M, ROWS):
                stop = min(start + ROWS, M)
                for d in range(0, whole, DEPTH):
                    for i in range(start, stop):
                        left = a[i, k + d : k + d + DEPTH]
                        add_products(left, block[d : d + DEPTH], out[i, j : j + COLUMNS])
                for d in range(whole, len(block)):
                    for i in range(start, stop):
                        add_product(a[i, k + d], block[d], out[i, j : j + COLUMNS])


def kernel(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Fill `out` (M, N) with the product of `a` (M, K) and `b` (K, N)."""
    if a.is_cuda:  # Numba has the CPU; a Triton kernel goes here.
        torch.mm(a, b, out=out)
        return
    multiply(a.numpy(), b.numpy(), out.numpy())
