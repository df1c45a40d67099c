"""What the kept changes are worth, and how many of them are luck."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoresearch_kit import noise
from autoresearch_kit.stats import retelling, smoothing, tables
from autoresearch_kit.stats.retelling import Step

if TYPE_CHECKING:
    import pandas as pd

SEVERAL = 8
"""Discards on one best state from which a noise is guessed."""


def gains(df: pd.DataFrame, noise: float | None = None) -> pd.DataFrame:
    """Return what each kept change gained, as measured and without the luck that it was kept for.

    Positive is better, whatever the metric's goal; all gains are against the state that the
    change was made on.

    Parameters
    ----------
    df
        What `history` returned. Needed are ``experiment``, ``metric`` and ``status``; ``noise``,
        ``replicates`` and ``parent`` make it exact, ``about`` and ``kind`` mark later records.
    noise
        Standard deviation of one run, in units of the metric; as recorded unless given.

    Returns
    -------
    pandas.DataFrame
        One row for each change that is kept as of now, starting points left out: ``campaign``,
        ``experiment``, ``measured``, ``shrunk`` (the expected true gain given everything that was
        measured, later experiments included), ``low`` and ``high`` (it is between them with 95 %),
        ``chance`` (that it is nothing or less, as in `false_keeps`),
        ``cumulative`` (sum of `shrunk`: what the state is worth against the starting point).
        ``attrs`` is that of `df` and ``notes``: where the noise came from. Where it is unknown,
        all but `measured` is NaN.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns have different goals.

    Notes
    -----
    The gain in a record was shrunk by what was known when it was decided, with a fixed idea of how
    much changes are worth. Here that is learnt from all changes of the campaign, and a state is
    also judged by what was tried on it later (`smoothing.effects` has the formulas). In simulated
    campaigns (benchmarks/hindsight.py) the error of a keep is 0.8 to 1.1 deviations of a run
    instead of 0.9 to 1.4, and 96 to 98 % of the true gains are between `low` and `high`.

    `shrunk` may lie above `measured`: later experiments say more about a state than its own runs.
    Where what was tried on it came out better than such changes do, the state is taken for better
    than it was measured, and so is the change that led to it.
    """
    df = tables.check(df)
    table, notes = believed(df, noise)
    table = table.reset_index(drop=True)
    table["cumulative"] = table.groupby("campaign", sort=False)["shrunk"].cumsum()
    table.attrs = {**df.attrs, "notes": notes}
    return table


def false_keeps(df: pd.DataFrame, noise: float | None = None) -> pd.DataFrame:
    """Return how likely each kept change is to be worth nothing; their sum is expected to be false.

    Parameters
    ----------
    df
        What `history` returned. Needed are ``experiment``, ``metric`` and ``status``; ``noise``,
        ``replicates`` and ``parent`` make it exact, ``about`` and ``kind`` mark later records.
    noise
        Standard deviation of one run, in units of the metric; as recorded unless given.

    Returns
    -------
    pandas.DataFrame
        One row for each kept change: ``campaign``, ``experiment``, ``measured``, ``shrunk``,
        ``chance`` (that the true gain is nothing or less). ``attrs["expected"]`` is the sum of
        ``chance``, NaN where no noise is known; ``attrs["keeps"]`` their number; ``attrs["says"]``
        a sentence; ``attrs["notes"]`` what was assumed.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns have different goals.

    Notes
    -----
    A gain under a tenth of the noise of a run counts as nothing. In simulated campaigns of 100
    ideas (benchmarks/hindsight.py), as means of 40: without effects 0.30 expected where 0.35 were
    false (`two_stage`) and 4.3 for 4.5 (`greedy`); late in a campaign 0.5 for 0.6 and 4.4 for 4.8;
    early, where effects of all sizes are common, 0.3 for 0.15 and 4.5 for 3.1. A keep for its fewer
    lines is no false one, but counted here by its gain.
    """
    df = tables.check(df)
    table, notes = believed(df, noise)
    table = table.drop(columns=["low", "high"]).reset_index(drop=True)
    keeps, judged = len(table), tables.judged(df)
    expected = float(table["chance"].sum(min_count=1)) if keeps or not judged else 0.0
    figure = f"{expected:.{1 if expected >= 1 else 2}f}"
    says = f"of {keeps} keep{'s' * (keeps != 1)} {figure} are expected to be worth nothing"
    if not judged:
        says = tables.NO_VERDICTS
        notes.append(says)
    elif expected != expected:
        which = f"how many of {keeps} keeps are" if keeps > 1 else "whether the one keep is"
        says = f"nobody knows {which} luck: the noise of a run is not known"
    elif not keeps:
        says = "nothing was kept but the starting point"
    more: dict[Any, Any] = {"expected": expected, "keeps": keeps, "says": says, "notes": notes}
    table.attrs = {**df.attrs, **more}
    return table


def believed(df: pd.DataFrame, given: float | None) -> tuple[pd.DataFrame, list[str]]:
    """Return gains and chances of the kept changes, on the index of `df`, and notes on the noise.

    Raises
    ------
    ValueError
        As `gains` does.
    """
    import pandas as pd

    df = tables.check(df)
    sign = tables.sign(df)
    if given is not None and not (math.isfinite(given) and given >= 0):
        raise ValueError(f"noise={given!r}; expected the standard deviation of a run, 0 or more")
    notes = tables.assumed(df)
    parts, index = [], []
    for name, rows in tables.by_campaign(df):
        kept = tables.tries(rows)
        kept = kept[(kept["status"] == "keep") & tables.measured(kept)]
        if not len(kept):
            continue
        told = list(retelling.steps(rows))
        sd, note = _noise(rows, told, sign, given)
        notes.append(f"{name}: {note}".removeprefix(": "))
        found = _found(rows, told, sign, sd)
        parts += [(name, n, *found[n]) for n in kept["experiment"].astype(int)]
        index += list(kept.index)
    columns = ["campaign", "experiment", "measured", "shrunk", "low", "high", "chance"]
    types: dict[Any, Any] = dict.fromkeys(columns[2:], "float64")
    types["experiment"] = "int64"
    return pd.DataFrame(parts, index, columns).astype(types), notes


def _found(
    rows: pd.DataFrame, told: Sequence[Step], sign: float, sd: float | None
) -> dict[int, tuple[float, float, float, float, float]]:
    """Return measured, shrunk, low, high and chance of every experiment that was ever the best."""
    runs = retelling.runs(rows)
    lone = [step for step in told if step.n in runs]
    once_best = {step.n for step in lone if step.status == "keep"}
    once_best |= {step.against for step in lone if step.against is not None}
    own = tables.own(rows)
    once_best |= set(own.loc[own["status"] == "keep", "experiment"].astype(int)) & runs.keys()
    states = {n: i for i, n in enumerate(s.n for s in lone if s.n in once_best)}
    # A clock that was set back may have a state decided before its parent.
    parents = {s.n: s.parent if _is_earlier(states, s) else s.against for s in lone}
    means = {n: sign * statistics.fmean(values) for n, values in runs.items()}
    told_gain = {}
    if "delta" in own:
        pairs = zip(own["experiment"].astype(int), own["delta"].astype(float), strict=True)
        told_gain = {n: sign * delta for n, delta in pairs if math.isfinite(delta)}
    nan = math.nan
    found: dict[int, tuple[float, float, float, float, float]] = {}
    believed: Sequence[smoothing.Effect | None] = [None] * len(states)
    if sd:
        believed = smoothing.effects(
            tuple(
                smoothing.Tried(
                    means[s.n] / sd,
                    len(runs[s.n]),
                    states.get(s.n),
                    states.get(parent) if (parent := parents[s.n]) is not None else None,
                )
                for s in lone
            )
        )
    for n, state in states.items():
        parent = parents[n]
        gain = told_gain.get(n, means[n] - means[parent] if parent is not None else nan)
        effect = believed[state]
        if effect is not None and sd:
            sizes = effect.gain * sd, effect.low * sd, effect.high * sd
            found[n] = (gain, *sizes, effect.false)
        elif sd == 0 and parent is not None:
            found[n] = (gain, gain, gain, gain, float(gain <= 0))
        else:
            found[n] = (gain, nan, nan, nan, nan)
    return found


def _is_earlier(states: Mapping[int, int], step: Step) -> bool:
    """Tell whether what a step was made on is a state, and was decided before it."""
    place = states.get(step.parent) if step.parent is not None else None
    return place is not None and place < states.get(step.n, len(states))


def _noise(
    rows: pd.DataFrame, told: Sequence[Step], sign: float, given: float | None
) -> tuple[float | None, str]:
    """Return the standard deviation of a run, and in words where it is from."""
    if given is not None:
        return given, f"noise of a run {given:.3g}, as given"
    known = retelling.noise_of(rows)
    if known.sd is not None:
        how = f"{known.freedom:.0f} degree{'s' * (round(known.freedom) != 1)} of freedom"
        return known.sd, f"noise of a run {known.sd:.3g}, from the records ({how})"
    own = tables.own(rows)
    own = own[tables.measured(own)]
    if "commit" in own:
        named = own[own["commit"].astype("string").fillna("") != ""]
        groups = [list(some["metric"].astype(float)) for _, some in named.groupby("commit")]
        several = [some for some in groups if len(some) > 1]
        again = noise.pooled(several) if several else None
        if again is not None and again.sd:
            times = sum(len(some) - 1 for some in several)
            how = f"from {times} commit{'s' * (times != 1)} run again"
            return again.sd, f"noise of a run {again.sd:.3g}, guessed {how}"
    return _spread(told, sign)


def _spread(told: Sequence[Step], sign: float) -> tuple[float | None, str]:
    """Guess the noise from discards: how far the better half of those on one state spreads.

    The worse half spreads by how much changes hurt; the best state itself was picked for its luck.
    """
    hint = "pass noise=..., the standard deviation of the same code on several seeds"
    tried: dict[int, list[float]] = {}
    for step in told:
        if step.runs and step.against is not None and step.status == "discard":
            tried.setdefault(step.against, []).append(sign * statistics.fmean(_values(step.runs)))
    off = []
    for values in tried.values():
        if len(values) >= SEVERAL:
            middle = statistics.median(values)
            off += [value - middle for value in values if value > middle]
    sd = math.sqrt(statistics.fmean(x * x for x in off)) if off else 0.0
    if not sd:
        return None, f"the noise of a run is not known, so nothing is said of luck; {hint}"
    return sd, (
        f"noise of a run about {sd:.2g} or less, guessed from how far {len(off)} discards spread, "
        f"those above the median of their best state's (no code was run twice); {hint}"
    )


def _values(runs: Sequence[Any]) -> list[float]:
    return [float(run["value"]) for run in runs]
