"""A candidate against the best state: how much better it is, how sure that is, what to believe.

Numbers only; what follows from them is for `decide`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from autoresearch_kit import goals, noise
from autoresearch_kit.noise import Noise
from autoresearch_kit.task import TOO_GOOD

Replicates: TypeAlias = Sequence[Mapping[str, Any]]

SPREAD, LEARNT = 0.5, 0.15
"""What an idea is expected to be worth before it is measured (the standard deviation): half the
noise of a run or, where that is more, the root of this share of the square of what was measured.

So two runs that are 2 sigma better are believed by a half, one at 3 sigma by two thirds, one at
10 almost wholly. A fixed width believes too little of a large gain, and then every idea looks
better than the best state: with the noise of a run as width, late in a campaign a quarter of the
keeps are luck instead of an eighth. Believing what was measured never forgets the luck that a keep
was picked for, and the next gain has to be larger by as much: a campaign gets two thirds as far.
"""

ENOUGH = 3
"""Runs on different seeds that all gave the same number: then it has no noise."""


LEAST = 1e-150
"""Below this a spread is none: its square could not be told from 0."""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """All that a decision may rest on.

    Attributes
    ----------
    candidate, best
        The replicates of the experiment and of the best state: mappings with at least ``seed`` and
        ``value``; ``seed_injected`` is False where the script reads no seed.
    goal
        ``minimize`` or ``maximize``.
    noise
        How much runs of one code differ.
    lines
        Lines that the patch adds, less those that it removes.
    rows_error
        Standard error of the difference that comes from the data, of pairs of rows; or None.
    suspicious
        Relative gain that a person must look at; 0: no such bar.
    believed
        The numbers of the verdict that made the best state the best: they say what it is worth
        without the luck that it was picked for.
    suspicious_sigma
        Gain in standard deviations of one run that a person must look at; 0: no such bar.
    """

    candidate: Replicates
    best: Replicates
    goal: str
    noise: Noise
    lines: int = 0
    rows_error: float | None = None
    suspicious: float = 0.0
    believed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    suspicious_sigma: float = TOO_GOOD

    @property
    def gain(self) -> float:
        """How much better the candidate is, in units of the metric; negative when it is worse."""
        return compare(self).gain

    @property
    def z(self) -> float | None:
        """The gain in its standard errors; None while no noise is known, or when there is none."""
        return compare(self).z


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A candidate and what it has to beat, in units of the metric.

    Attributes
    ----------
    new, old
        The mean of the candidate's runs; what the best state is worth.
    gain
        How much better `new` is; negative when it is worse.
    later
        The gain of all runs but the first one, which alone was picked for its result; None
        without any.
    noise
        Of one run, as this comparison takes it.
    error, z
        The standard error of `gain`, and their ratio; None while no noise is known, or when there
        is none.
    shrunk
        The gain without luck: drawn towards zero by as much as it is uncertain.
    worth, worth_error
        What the candidate is worth without its luck, and the error of that.
    """

    new: float
    old: float
    gain: float
    later: float | None
    noise: Noise
    error: float | None
    z: float | None
    shrunk: float
    worth: float
    worth_error: float


def mean(replicates: Replicates) -> float:
    """Return the mean metric over replicates."""
    return noise.mean([float(run["value"]) for run in replicates])


def compare(evidence: Evidence) -> Comparison:
    """Return how much better a candidate is than the best state, and how sure that is.

    Notes
    -----
    ``SE² = s²/m + b² + rows²`` for m runs, where b is the error of what the best state is worth:
    ``s/√n`` for one that was only measured, less for a keep that was shrunk. The gain is shrunk as
    by a normal prior of width τ around zero, ``gain·w/(w + s²/m + rows²)`` with ``w = b² + τ²``,
    and what the best state is worth moves by as much, with the error
    ``b² = w·(s²/m + rows²)/(w + s²/m + rows²)``: a Kalman filter in one dimension. So the gains of
    a campaign add up to what its best state is worth, and no luck is counted twice.
    """
    e, spread = evidence, _noise(evidence)
    sign, sd = goals.sign(e.goal), spread.sd or 0.0
    new, (old, variance) = mean(e.candidate), _worth(e, sd)
    gain = sign * (new - old)
    later = sign * (mean(e.candidate[1:]) - old) if len(e.candidate) > 1 else None
    if not sd:
        return Comparison(new, old, gain, later, spread, None, None, gain, new, 0.0)
    own, rows = sd * sd / independent(e.candidate), (e.rows_error or 0.0) ** 2
    error = math.sqrt(own + variance + rows)
    width = max(SPREAD * SPREAD * sd * sd, LEARNT * (gain * gain - error * error))
    trust = 1 / (1 + (own + rows) / (variance + width))
    shrunk = trust * gain
    worth_error = math.sqrt(trust * (own + rows))
    return Comparison(
        new, old, gain, later, spread, error, gain / error, shrunk, old + sign * shrunk, worth_error
    )


def independent(replicates: Replicates) -> int:
    """Return how many runs tell something of their own: equal ones without a seed are one."""
    values = {float(run["value"]) for run in replicates}
    unseeded = all(run.get("seed_injected") is False for run in replicates)
    return 1 if unseeded and len(values) == 1 else len(replicates)


def _worth(e: Evidence, sd: float) -> tuple[float, float]:
    """Return what the best state is worth, and the variance of that."""
    measured = mean(e.best), sd * sd / independent(e.best)
    level, error, runs = (e.believed.get(key) for key in ("worth", "worth_error", "runs"))
    if not (isinstance(level, float) and isinstance(error, float) and isinstance(runs, int)):
        return measured
    if not sd or not error or runs > len(e.best):
        return measured
    if not (fresh := e.best[runs:]):
        return level, error * error
    # They were run later, and nobody picked them for what they gave.
    new = sd * sd / len(fresh)
    share = error * error / (error * error + new)
    return level + share * (mean(fresh) - level), share * new


def _noise(e: Evidence) -> Noise:
    """Return the noise of a run as the campaign knows it, else as these runs show it."""
    if e.noise.sd and e.noise.sd > LEAST:
        return e.noise
    own = noise.pooled([[float(r["value"]) for r in side] for side in (e.candidate, e.best)])
    if own.sd and own.sd > LEAST:
        return own
    same = own.freedom and independent(e.candidate) + independent(e.best) <= 2
    if same or max(e.noise.freedom, own.freedom) >= ENOUGH - 1:
        return Noise(0.0, max(e.noise.freedom, own.freedom))
    return Noise(None)
