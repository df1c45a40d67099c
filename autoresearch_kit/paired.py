"""The error of a difference that comes from the data: two experiments on the same rows.

A row that is hard for one model is hard for the other, so the difference of the two is known far
better than either mean. The seeds' part of the error is in `noise`, not here.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def error(new: Sequence[bytes], old: Sequence[bytes]) -> float | None:
    """Return the standard error of the difference of two weighted means over the same rows.

    Parameters
    ----------
    new, old
        The ``rows.npz`` of the replicates of either side: ``values`` (N,) and ``weights`` (N,).
        The replicates of a side are averaged first.

    Returns
    -------
    float or None
        In units of the metric; None when a side has no file, or one can't be read, or they are of
        other rows (another N, other weights).

    Notes
    -----
    The metric is ``Σ w·x / Σ w``. With ``d`` the difference on a row and ``D`` the weighted mean
    of all ``d``, ``SE² = n/(n − 1) · Σ (w·(d − D))² / (Σ w)²`` over the n rows that weigh anything:
    the linearised variance of a ratio (Cochran, Sampling Techniques, 3rd ed., eq. 6.13).
    """
    found = differences(new, old)
    return None if found is None else spread(*found)


def differences(
    new: Sequence[bytes], old: Sequence[bytes]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return what `new` has more than `old` on each row, and the rows' weights; both (N,).

    Parameters are those of `error`, and so is when there is None.
    """
    import numpy as np  # here, because who only decides needs no arrays

    if not new or not old:
        return None
    known = [rows for content in (*new, *old) if (rows := _read(content)) is not None]
    if len(known) < len(new) + len(old):
        return None
    weights = known[0][1]
    if not all(np.array_equal(w, weights) for _, w in known):
        return None
    sides = known[: len(new)], known[len(new) :]
    after, before = (np.mean([values for values, _ in side], axis=0) for side in sides)
    return after - before, weights


def spread(difference: NDArray[np.float64], weights: NDArray[np.float64]) -> float | None:
    """Return the standard error of the weighted mean of a difference; see `error`."""
    import numpy as np

    counted, total = int(np.count_nonzero(weights)), float(weights.sum())
    if counted < 2:
        return None
    off = weights * (difference - float(weights @ difference) / total)
    result = math.sqrt(counted / (counted - 1)) * float(np.linalg.norm(off)) / total
    return result if math.isfinite(result) else None


def _read(content: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return values and weights, both (N,) and finite; None when that isn't what is there."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as table:
            arrays: list[Any] = [table[name].astype(np.float64) for name in ("values", "weights")]
    except (OSError, ValueError, KeyError, EOFError, AttributeError, NotImplementedError):
        return None
    except (zipfile.BadZipFile, zlib.error):
        return None
    values, weights = arrays
    fine = values.ndim == 1 and values.shape == weights.shape
    if not fine or not (np.isfinite(values).all() and np.isfinite(weights).all()):
        return None
    return (values, weights) if (weights >= 0).all() and weights.sum() > 0 else None
