"""How often a try is kept: over time, by who made it, by what it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN = "unknown"


def keep_rate(df: pd.DataFrame, window: int = 20) -> pd.DataFrame:
    """Return the share of kept tries among the latest `window`, after each try.

    Parameters
    ----------
    df
        What `history` returned, or any table with ``experiment``, ``metric`` and ``status``.
    window
        Number of tries that a rate is taken over; the first ones have fewer behind them.

    Returns
    -------
    pandas.DataFrame
        One row for each try (crashes are tries; starting points, refusals and later records are
        not): ``campaign``, ``experiment``, ``n``, ``keeps``, ``rate``, ``low``, ``high`` (95 %).
        Without any verdict the rates are NaN, and ``attrs["notes"]`` says so.

    Raises
    ------
    ValueError
        When a column is missing, or `window` is less than 1.

    Notes
    -----
    The intervals are Jeffreys' (`hit_rate`). Neighbouring rows share most of their tries.
    """
    import pandas as pd

    df = tables.check(df)
    if window < 1:
        raise ValueError(f"window={window!r}; expected a number of tries, 1 or more")
    parts = []
    for name, rows in tables.by_campaign(df):
        tries = tables.tries(rows).sort_values("experiment", kind="stable")
        kept = (tries["status"] == "keep").rolling(window, min_periods=1)
        parts.append(
            pd.DataFrame(
                {
                    "campaign": name,
                    "experiment": tries["experiment"].astype("int64"),
                    "n": kept.count().astype("int64"),
                    "keeps": kept.sum().round().astype("int64"),
                }
            )
        )
    table = with_interval(pd.concat(parts, ignore_index=True))
    table.attrs = {**df.attrs, "window": window}
    return _known(table, df)


def hit_rate(df: pd.DataFrame, by: str = "author") -> pd.DataFrame:
    """Return the share of kept tries of each group.

    Parameters
    ----------
    df
        As for `keep_rate`.
    by
        ``"author"``, ``"program"`` (the version of program.md) or any other column; ``"kind"`` is
        what was changed (`kind_of_change`).

    Returns
    -------
    pandas.DataFrame
        A column named as `by` says, in the order in which its values came up, ``n`` (tries),
        ``keeps``, ``rate``, ``low``, ``high`` (95 %).

    Raises
    ------
    ValueError
        When a column is missing.

    Notes
    -----
    Jeffreys' interval: the quantiles of Beta(keeps + 1/2, n - keeps + 1/2), to 0 when nothing and
    to 1 when all was kept (Brown, Cai and DasGupta, Statistical Science 2001). The rates are of
    what was tried, at the time when it was tried: late in a campaign every rate is lower.
    """
    import pandas as pd

    df = tables.check(df, *needed(by))
    tries = tables.tries(df)
    groups = labels(tries, by)
    kept = (tries["status"] == "keep").groupby(groups, sort=False)
    table = pd.DataFrame({"n": kept.size(), "keeps": kept.sum()}).astype("int64")
    table = with_interval(table.rename_axis(by).reset_index())
    table.attrs = dict(df.attrs)
    return _known(table, df)


def _known(table: pd.DataFrame, df: pd.DataFrame) -> pd.DataFrame:
    """Return rates as unknown where nothing was ever decided, and say so."""
    if not tables.judged(df):
        table[["rate", "low", "high"]] = float("nan")
        table.attrs["notes"] = [*df.attrs.get("notes", ()), tables.NO_VERDICTS]
    return table


def kind_of_change(df: pd.DataFrame) -> pd.Series:
    """Return what each experiment changed: ``constants``, ``code``, ``both`` or ``simplification``.

    Parameters
    ----------
    df
        What `history` returned; ``changed``, ``lines_added`` and ``lines_removed`` tell.

    Returns
    -------
    pandas.Series
        Of text, on the index of `df`. ``simplification``: fewer lines than before; ``constants``:
        no more lines than constants that have another value; ``unknown`` where no line is counted.

    Raises
    ------
    ValueError
        When a column is missing.
    """
    import numpy as np
    import pandas as pd

    tables.check(df, *needed("kind"))
    added = df["lines_added"].astype("float64").fillna(0)
    removed = df["lines_removed"].astype("float64").fillna(0)
    names = df["changed"].astype("string").fillna("")
    count = names.str.split(",").map(lambda parts: sum(bool(part.strip()) for part in parts))
    count = count.astype("float64")
    lines = np.maximum(added, removed)
    kinds = np.select(
        [lines + count == 0, removed > added, count == 0, lines <= count],
        [UNKNOWN, "simplification", "code", "constants"],
        "both",
    )
    return pd.Series(kinds, index=df.index, dtype="str", name="kind_of_change")


def labels(rows: pd.DataFrame, by: str) -> pd.Series:
    """Return which group each row belongs to."""
    if by == "kind":
        return kind_of_change(rows)
    named = rows[by].astype("string")
    return named.where(named.fillna("").str.strip() != "", UNKNOWN)


def needed(by: str) -> tuple[str, ...]:
    """Return the columns that a grouping takes."""
    return ("changed", "lines_added", "lines_removed") if by == "kind" else (by,)


def with_interval(table: pd.DataFrame) -> pd.DataFrame:
    """Add ``rate``, ``low`` and ``high`` to a table with ``n`` and ``keeps``."""
    low, high = interval(table["keeps"].to_numpy(float), table["n"].to_numpy(float))
    return table.assign(rate=table["keeps"] / table["n"], low=low, high=high)


def interval(keeps: Any, n: Any) -> tuple[Any, Any]:
    """Return Jeffreys' 95 % interval of shares, as arrays."""
    import numpy as np
    from scipy.stats import beta

    low, high = (beta.ppf(q, keeps + 0.5, n - keeps + 0.5) for q in (0.025, 0.975))
    return np.where(keeps == 0, 0.0, low), np.where(keeps == n, 1.0, high)
