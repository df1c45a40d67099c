"""What progress took: hours of runs, waiting, and money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autoresearch_kit.stats import rates, tables
from autoresearch_kit.stats.effects import believed

if TYPE_CHECKING:
    import pandas as pd

HOUR = 3600.0
PAUSE = HOUR
"""Seconds without a run from which nobody was at work."""


def yields(df: pd.DataFrame, by: str = "campaign", noise: float | None = None) -> pd.DataFrame:
    """Return the progress for each hour of runs and for each coin, by campaign or by author.

    Parameters
    ----------
    df
        What `history` returned. ``run_seconds``, ``cost`` and ``decided`` tell the effort; what is
        missing of them is NaN in the result.
    by
        ``"campaign"``, ``"author"``, ``"program"``, ``"kind"`` or any other column.
    noise
        As for `gains`.

    Returns
    -------
    pandas.DataFrame
        The group under the name `by`, ``n`` (tries), ``keeps``, ``gain`` (sum of the shrunk gains
        of its kept changes, positive is better), ``hours`` (of the runs of all its tries),
        ``cost`` (of all its proposals, in the proposers' currency, refused ones too),
        ``gain_per_hour``, ``gain_per_coin``. By campaign also ``elapsed`` (hours from the start of
        the first run to the last decision, without pauses of more than an hour) and ``idle`` (the
        share of them in which no run was at work). ``attrs["notes"]`` says what is not known.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns have different goals.

    Notes
    -----
    Runs of later records (repeats, audits) count as work in ``idle``, not in ``hours``. Where no
    noise is known, ``gain`` is what was measured, and the notes say so.
    """
    import pandas as pd

    df = tables.check(df, *(() if by == "campaign" else rates.needed(by)))
    df = df.reset_index(drop=True)
    worth, notes = believed(df, noise)
    if worth["shrunk"].isna().any():
        notes.append("gain is as measured, luck included, where no noise is known")
    own = tables.own(df)
    if by != "campaign":
        groups = rates.labels(own, by)
    elif "campaign" in own:
        groups = own["campaign"].astype(str)
    else:
        groups = pd.Series("", index=own.index)
    tries = tables.tries(df)
    parts = {
        "n": pd.Series(1, index=tries.index),
        "keeps": (tries["status"] == "keep").astype("int64"),
        "gain": worth["shrunk"].fillna(worth["measured"]),
        "hours": _column(tries, "run_seconds") / HOUR,
        "cost": _column(own, "cost"),
    }
    table = pd.DataFrame(
        {
            name: values.groupby(groups, sort=False).sum(min_count=name in ("hours", "cost"))
            for name, values in parts.items()
        }
    )
    table = table[table["n"] > 0].fillna({"gain": 0.0}).astype({"n": "int64", "keeps": "int64"})
    table = table.loc[[g for g in groups.unique() if g in table.index]]
    for name in ("hour", "coin"):
        spent = table["hours" if name == "hour" else "cost"]
        table[f"gain_per_{name}"] = table["gain"] / spent.where(spent > 0)
    for name, column in (("hours", "run_seconds"), ("cost", "cost")):
        if table[name].isna().all():
            notes.append(f"no {name}: nothing is in the column {column}")
    if by == "campaign":
        spans = {str(name): _span(some) for name, some in tables.by_campaign(df)}
        for at, column in enumerate(("elapsed", "idle")):
            table[column] = [spans[name][at] for name in table.index]
    table = table.rename_axis(by).reset_index()
    table.attrs = {**df.attrs, "notes": notes}
    return table


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    import pandas as pd

    if name not in rows:
        return pd.Series(float("nan"), index=rows.index)
    return rows[name].astype("float64")


def waits(rows: pd.DataFrame, busy: pd.Series) -> pd.Series:
    """Return the stretches of a campaign in which nothing was at work, in seconds.

    Parameters
    ----------
    rows
        Of one campaign, later records included.
    busy
        Seconds that each record was worked on until it was decided, on the index of `rows`.

    Returns
    -------
    pandas.Series
        Where there is one before a record. More than `PAUSE` are a pause.
    """
    end, start = _worked(rows, busy)
    # What was decided during somebody else's run, such as an override, makes no stretch of its own.
    left = start - end.cummax().shift()
    return left[left > 0]


def _worked(rows: pd.DataFrame, busy: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return when the work on each record ended and began, in seconds, the earliest first."""
    decided = rows["decided"].dropna()
    end = (decided - decided.min()).dt.total_seconds()
    start = (end - busy[end.index].fillna(0.0)).sort_values(kind="stable")
    return end[start.index], start


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the hours that a campaign was at work, and the share of them without a run."""
    nan = float("nan")
    if "decided" not in rows or "run_seconds" not in rows:
        return nan, nan
    busy = rows["run_seconds"].astype("float64")
    end, start = _worked(rows, busy)
    left = waits(rows, busy)
    elapsed = float(end.max() - start.min() - left[left > PAUSE].sum())
    if not elapsed > 0 or not busy.sum() > 0:
        return nan, nan
    return elapsed / HOUR, float(left[left <= PAUSE].sum()) / elapsed
