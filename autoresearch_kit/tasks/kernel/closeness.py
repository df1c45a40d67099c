"""Whether an output is what it should be: near the exact result, or near torch's own.

The bounds follow from the arithmetic: an honest kernel in another order of summation stays well
inside, one that keeps intermediate results in a shorter type does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit.tasks.kernel import draws
from autoresearch_kit.tasks.kernel.references import Reference, Shape

ROUNDINGS = 4
"""Roundings of the stored type that any result may have: of factors, of products, at the end."""

BLOCK = 1 << 16  # numbers that stay in a core's own cache


def against_exact(
    reference: Reference, inputs: list[NDArray[Any]], output: NDArray[Any], dtype: str
) -> str:
    """Return what is wrong with an output, "" when it is right.

    Parameters
    ----------
    inputs, output
        As they are stored.
    dtype
        The type that it was stored in.
    """
    output = draws.read(output, dtype)
    unit, inside = draws.UNITS[dtype], draws.UNITS[draws.INSIDE[dtype]]
    with np.errstate(all="ignore"):
        exact, allowed = reference.exact(*(draws.read(each, dtype) for each in inputs))
        allowed *= inside
        allowed += ROUNDINGS * unit * np.abs(exact) + 2 * draws.LEAST[dtype]
        error = np.abs(output - exact)
        right = error <= allowed
        if right.all():
            return ""
        fine = np.isfinite(exact) & (np.abs(exact) <= draws.MOST[dtype])
        # Where the exact result is no number nothing is asked; infinite has to be infinite.
        right = np.where(fine, right, np.isnan(exact) | (output == exact))
        right |= ~fine & np.isfinite(exact) & (np.abs(output) >= draws.MOST[dtype] * (1 - unit))
    if right.all():
        return ""
    wrong = ~right
    with np.errstate(all="ignore"):
        times = np.nan_to_num(error / allowed, nan=np.inf, posinf=np.inf)
    worst = np.where(wrong, times, -1.0)
    at = np.unravel_index(int(worst.argmax()), worst.shape)
    place = ", ".join(map(str, at))
    return (
        f"{int(wrong.sum())} of {wrong.size} numbers are wrong, worst out[{place}] = "
        f"{output[at]:.9g}, expected {exact[at]:.9g}, allowed error {allowed[at]:.2g}"
    )


def against_torch(
    reference: Reference, shape: Shape, output: NDArray[Any], other: NDArray[Any], dtype: str
) -> str:
    """Return what is wrong with an output for normal inputs, "" when it is right.

    Both may be wrong by the bounds, so they may differ by twice as much.
    """
    unit, inside = draws.UNITS[dtype], draws.UNITS[draws.INSIDE[dtype]]
    relative, absolute = reference.slack(shape)
    relative = 2 * (ROUNDINGS * unit + inside * relative)
    absolute = 2 * inside * absolute
    flat, right = output.reshape(-1), other.reshape(-1)
    if dtype != "float32":
        flat, right = draws.read(flat, dtype), draws.read(right, dtype)
    for start in range(0, flat.size, BLOCK):
        here, there = flat[start : start + BLOCK], right[start : start + BLOCK]
        with np.errstate(all="ignore"):
            error = np.abs(here - there)
            allowed = np.abs(there) * np.float32(relative)
            allowed += np.float32(absolute)
            if (error <= allowed).all():
                continue
            at = start + int(np.nan_to_num(error / allowed, nan=np.inf).argmax())
        place = ", ".join(map(str, np.unravel_index(at, output.shape)))
        return (
            f"out[{place}] = {flat[at]:.9g}, torch's own is {right[at]:.9g}, "
            f"allowed difference {abs(right[at]) * relative + absolute:.2g}"
        )
    return ""
