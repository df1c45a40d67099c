"""How much two runs of the same code differ: pooled over a campaign, with a weak prior.

Nothing here knows what the runs are compared for; see `decide` for that.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from autoresearch_kit.records import Record

PRIOR_FREEDOM = 4.0
"""What a shipped prior is worth, in degrees of freedom: as much as five runs of one code.

Enough that the first pair of runs doesn't move the bars, and little enough that a night's runs
outweigh a prior from another machine.
"""


UNSTABLE = 5.0
"""A code whose runs spread more than this many times as far as those of all calmer ones tells of
itself alone: one that diverges on some seeds must not hide the gains of all others."""

UNSTABLE_FROM = 3.0
"""Degrees of freedom from which the calmer ones are enough to say so."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """The spread of one run around the mean of its code.

    Attributes
    ----------
    sd
        Standard deviation between seeds, in units of the metric; None while nothing is known.
    freedom
        Degrees of freedom that it was estimated with, those of a prior included.
    """

    sd: float | None
    freedom: float = 0.0


def of(records: Iterable[Record], prior: float = 0.0) -> Noise:
    """Return the noise of a run, pooled over all experiments with several runs.

    Parameters
    ----------
    records
        A campaign's records; a repeat may be a record of its own, or folded into what it repeats.
    prior
        Standard deviation between seeds as it was measured elsewhere, in units of the metric;
        0 when nobody did.

    Notes
    -----
    ``s² = (v0·s0² + Σ(m − 1)·s²(m)) / (v0 + Σ(m − 1))`` with ``v0 = PRIOR_FREEDOM``. Experiments
    that were confirmed because their first run was good make it a little too large (2 to 10 %
    after a hundred ideas, 22 % when none has an effect): that run was picked for its luck, and the
    second has none. It errs on the side of fewer keeps.
    """
    return pooled(_groups(records), prior)


def pooled(groups: Iterable[Sequence[float]], prior: float = 0.0) -> Noise:
    """Return the noise of a run from the values of the runs of each code.

    The first code (the starting point) always counts, the others from the calmest on, until one is
    `UNSTABLE`.
    """
    squares, freedom = PRIOR_FREEDOM * prior * prior, PRIOR_FREEDOM if prior else 0.0
    first, *others = [(_squares(values), len(values) - 1) for values in groups] or [(0.0, 0)]
    squares, freedom = squares + first[0], freedom + first[1]
    for own, count in sorted(others, key=lambda one: one[0] / max(1, one[1])):
        if freedom >= UNSTABLE_FROM and own > UNSTABLE**2 * squares / freedom * count > 0:
            break
        squares, freedom = squares + own, freedom + count
    return Noise(math.sqrt(squares / freedom) if freedom else None, freedom)


def mean(values: Sequence[float]) -> float:
    """Return the mean of any finite numbers; of equal ones it is exactly their value."""
    if len(set(values)) == 1:
        return values[0]
    try:
        return statistics.fmean(values)
    except OverflowError:
        return sum(value / len(values) for value in values)


def _squares(values: Sequence[float]) -> float:
    middle = mean(values)
    return sum((value - middle) * (value - middle) for value in values)  # ** would raise


def _groups(records: Iterable[Record]) -> Iterable[Sequence[float]]:
    """Yield the values of the first code, and of each other one that was run more than once."""
    codes: dict[int, list[Record]] = {}
    for record in records:
        # An audit holds two codes and other data, a transfer another scale.
        if record.kind in ("", "repeat") and record.replicates:
            codes.setdefault(record.n if record.about is None else record.about, []).append(record)
    first = min(codes, default=None)
    for code, about in sorted(codes.items()):
        if code == first or len(about) > 1 or len(about[0].replicates) > 1:
            yield _values(about)


def _values(about: Iterable[Record]) -> Sequence[float]:
    """Return the values of a code's runs, each seed's once."""
    measured: dict[object, tuple[float, bool]] = {}
    for record in about:
        for i, run in enumerate(record.replicates):
            injected = run.get("seed_injected") is not False
            measured.setdefault(run.get("seed", (record.n, i)), (float(run["value"]), injected))
    values = [value for value, _ in measured.values()]
    # A script that reads no seed and gives the same number did the same again.
    again = len(set(values)) == 1 and not all(injected for _, injected in measured.values())
    return values[:1] if again else values
