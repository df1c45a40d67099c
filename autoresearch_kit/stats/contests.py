"""Two campaigns, or versions of program.md, side by side: with intervals, since each has luck."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from autoresearch_kit import goals
from autoresearch_kit.stats import rates, tables
from autoresearch_kit.stats.effects import believed

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

DRAWS = 20_000

SHARED = 1.7
"""How many times as much the keeps of a campaign vary as those of independent tries: all that are
made on one best state share its luck. 1.7 to 1.8 for ideas as early in a campaign, 1.2 to 1.5 late
(150 simulated campaigns of 60)."""


class Side(NamedTuple):
    """What is compared: tries, the shrunk gains of the kept ones, hours of a try."""

    name: str
    n: int
    gains: tuple[float, ...]
    hours: float
    metric: tuple[str, str, str]
    notes: tuple[str, ...]


def versus(a: pd.DataFrame, b: pd.DataFrame, noise: float | None = None) -> pd.DataFrame:
    """Return how much better `b` did than `a`, with 95 % intervals.

    Parameters
    ----------
    a, b
        What `history` returned for two campaigns (for versions of program.md in one: `programs`).
    noise
        Standard deviation of a run, as for `gains`.

    Returns
    -------
    pandas.DataFrame
        Rows ``keep rate``, ``gain per experiment``, ``gain per hour`` under ``what``; ``a``, ``b``,
        ``difference`` (b less a, positive: b is better), ``low``, ``high``. ``attrs["says"]`` is a
        sentence; ``attrs["notes"]`` what was assumed. Gains are NaN where the metrics differ.

    Raises
    ------
    ValueError
        When a column is missing, or a table has campaigns of different goals.

    Notes
    -----
    From 20,000 draws with seed 0. A side's keep rate is drawn from ``Beta(keeps/f + 1/2,
    (n - keeps)/f + 1/2)``, with f = 1.7 since tries on one best state share its luck; the mean gain
    of its keeps from the posterior of an exponential distribution, ``(Σ gains + g) / Gamma(keeps +
    1)``, with one more keep of the mean g of both sides, so that a side with few keeps is no
    certainty. Gain per experiment is their product; hours are taken as they were. Only chance is in
    the intervals: that one side began from a better state, where gains are harder to find, is not.
    In pairs of simulated campaigns of 60 that do not differ the interval holds 0 in 93 % or more.
    """
    a, b = tables.check(a), tables.check(b)
    table = _contest(_side(a, "a", noise), _side(b, "b", noise))
    table.attrs = {"goal": a.attrs["goal"], **table.attrs}
    return table


def programs(df: pd.DataFrame, noise: float | None = None) -> pd.DataFrame:
    """Return what came of each version of program.md, and its difference to the one before.

    Parameters
    ----------
    df
        What `history` returned; ``program`` tells the version.
    noise
        Standard deviation of a run, as for `gains`.

    Returns
    -------
    pandas.DataFrame
        One row for each version in a campaign, in the order in which they were written:
        ``campaign``, ``program``, ``first`` and ``last`` (experiments), ``n`` (tries), ``keeps``,
        ``rate``, ``low``, ``high``, ``gain`` (per experiment, shrunk, positive is better),
        ``hours`` (of a try), and against the version before ``rate_difference``, ``rate_low``,
        ``rate_high``, ``gain_difference``, ``gain_low``, ``gain_high`` (95 %, as in `versus`).
        ``attrs["says"]`` has a sentence for each pair.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns have different goals.

    Notes
    -----
    A later version starts from a better state, where gains are harder to find: that it does less
    well is no proof against it.
    """
    import pandas as pd

    df = tables.check(df, "program")
    df = df.reset_index(drop=True)
    found, says, notes = [], [], tables.assumed(df)
    for name, rows in tables.by_campaign(df):
        tries = tables.tries(rows).sort_values("experiment", kind="stable")
        worth, told = believed(rows, noise)
        notes += [note for note in told if note not in notes]
        before: Side | None = None
        for version, own in tries.groupby(rates.labels(tries, "program"), sort=False):
            side = _of(str(version), own, worth["shrunk"], df, ())
            numbers = own["experiment"].astype(int)
            row = {"campaign": name, "program": version, "first": numbers.min()}
            row |= {"last": numbers.max(), "n": side.n, "keeps": len(side.gains)}
            row |= {"gain": sum(side.gains) / side.n, "hours": side.hours}
            if before is not None:
                contest = _contest(before, side)
                says.append(f"{name}: {contest.attrs['says']}".removeprefix(": "))
                for what, line in zip(("rate", "gain"), contest.to_dict("records"), strict=False):
                    row |= {f"{what}_{key}": line[key] for key in ("difference", "low", "high")}
            found.append(row)
            before = side
    names = ["campaign", "program", "first", "last", "n", "keeps", "gain", "hours"]
    names += [f"{w}_{k}" for w in ("rate", "gain") for k in ("difference", "low", "high")]
    table = rates.with_interval(pd.DataFrame(found, columns=names))
    order = [*names[:6], "rate", "low", "high", *names[6:]]
    table = table[order]
    if says:
        notes.append("a later version starts from a better state, where gains are harder to find")
    table.attrs = {**df.attrs, "says": "; ".join(says), "notes": notes}
    return table


def _side(df: pd.DataFrame, name: str, noise: float | None) -> Side:
    df = tables.check(df).reset_index(drop=True)
    if "campaign" in df and df["campaign"].nunique() == 1:
        name = f"{name} ({df['campaign'].iloc[0]})"
    worth, notes = believed(df, noise)
    return _of(name, tables.tries(df), worth["shrunk"], df, tuple(notes))


def _of(
    name: str, own: pd.DataFrame, gained: pd.Series, df: pd.DataFrame, notes: tuple[str, ...]
) -> Side:
    """Return the tries of a table as one side."""
    kept = own.index[own["status"] == "keep"]
    values = tuple(float(value) for value in gained.reindex(kept))
    seconds = own["run_seconds"].astype("float64").mean() if "run_seconds" in own else math.nan
    metric = str(df.attrs.get("metric", "")), str(df.attrs.get("unit", "")), tables.goal(df)
    return Side(name, len(own), values, float(seconds) / 3600, metric, notes)


def _contest(a: Side, b: Side) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    notes = list(dict.fromkeys((*a.notes, *b.notes)))
    rate = _rates(a, rng), _rates(b, rng)
    rows = [("keep rate", *(_share(side) for side in (a, b)), *_interval(*rate))]
    (name, unit, goal), (other, its_unit, its_goal) = a.metric, b.metric
    same_unit = unit == its_unit or not (unit and its_unit)
    comparable = (name, goal) == (other, its_goal) and same_unit
    if not comparable:
        notes.append(f"gains can't be compared: {_words(a.metric)} here, {_words(b.metric)} there")
    known = comparable and a.n and b.n and all(g == g for g in (*a.gains, *b.gains))
    if comparable and not known:
        notes.append("gains are not compared: no noise of a run is known, or nothing was tried")
    means = _means(a, b, rng) if known else None
    for what, hours in (("gain per experiment", (1.0, 1.0)), ("gain per hour", (a.hours, b.hours))):
        if means is None or not all(h > 0 for h in hours):
            rows.append((what, *[math.nan] * 4))
            continue
        levels = [sum(side.gains) / side.n / h for side, h in zip((a, b), hours, strict=True)]
        drawn = [r * m / h for r, m, h in zip(rate, means, hours, strict=True)]
        rows.append((what, *levels, *_interval(*drawn)))
    table = pd.DataFrame(rows, columns=["what", "a", "b", "low", "high"])
    table.insert(3, "difference", table["b"] - table["a"])
    table.attrs = {"says": _says(a, b, table), "notes": notes}
    return table


def _share(side: Side) -> float:
    return len(side.gains) / side.n if side.n else math.nan


def _rates(side: Side, rng: np.random.Generator) -> NDArray[np.float64]:
    keeps = len(side.gains)
    return rng.beta(keeps / SHARED + 0.5, (side.n - keeps) / SHARED + 0.5, DRAWS)


def _means(a: Side, b: Side, rng: np.random.Generator) -> list[NDArray[np.float64]] | None:
    """Return draws of the mean gain of a keep on either side; None when there is no keep at all."""
    both = [*a.gains, *b.gains]
    if not both:
        return None
    one = sum(both) / len(both)
    return [
        max(0.0, sum(side.gains) + one) / rng.gamma(len(side.gains) + 1, 1.0, DRAWS)
        for side in (a, b)
    ]


def _interval(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    import numpy as np

    low, high = np.quantile(b - a, [0.025, 0.975])
    return float(low), float(high)


def _words(metric: tuple[str, str, str]) -> str:
    name, unit, goal = metric
    return f"{name or 'a metric'} ({unit + ', ' if unit else ''}{goals.better(goal)} is better)"


def _says(a: Side, b: Side, table: pd.DataFrame) -> str:
    first = table.iloc[0]
    told = [
        f"{b.name} kept {len(b.gains)} of {b.n} and {a.name} {len(a.gains)} of {a.n}: "
        f"{100 * first['difference']:+.0f} points ({100 * first['low']:+.0f} to "
        f"{100 * first['high']:+.0f})"
    ]
    second = table.iloc[1]
    if second["low"] == second["low"]:
        told.append(
            f"gain per experiment {second['difference']:+.2g} ({second['low']:+.2g} to "
            f"{second['high']:+.2g})"
        )
    sure = [row for _, row in table.iloc[:2].iterrows() if row["low"] > 0 or row["high"] < 0]
    told.append("" if sure else "chance alone explains that")
    return "; ".join(part for part in told if part)
