"""What counts in a table of experiments: which columns it needs, which rows are tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("experiment", "metric", "status")


def check(df: pd.DataFrame, *more: str) -> None:
    """Raise when a table lacks a column.

    Raises
    ------
    ValueError
        When `NEEDED` or one of `more` is missing.
    """
    if missing := [name for name in (*NEEDED, *more) if name not in df]:
        raise ValueError(
            f"the table has no column {missing[0]!r}; expected what ark.history(...) returns, "
            f"with at least {', '.join((*NEEDED, *more))}"
        )


def sign(df: pd.DataFrame) -> float:
    """Return what a difference of the metric is multiplied with, so that positive is better.

    Raises
    ------
    ValueError
        When the campaigns in the table have different goals.
    """
    goal = df.attrs.get("goal", "minimize")
    if goal not in {"minimize", "maximize"}:
        raise ValueError(
            "the campaigns in this table have different goals, or none is known; take one of them "
            "and say its goal: ark.history(lab, ref='nov23', goal='minimize')"
        )
    return -1.0 if goal == "minimize" else 1.0


def by_campaign(df: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each campaign's name and rows, in the order of the table."""
    if "campaign" not in df:
        yield "", df
        return
    for name, rows in df.groupby("campaign", sort=False, dropna=False):
        yield str(name), rows


def own(df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are experiments of their own, not records about earlier ones."""
    return df[df["about"].isna()] if "about" in df else df


def measured(df: pd.DataFrame) -> pd.Series:
    """Return which rows have a metric; a crash's never counts, whatever stands in the table."""
    finite = df["metric"].astype("float64").abs() < float("inf")
    return finite & ~df["status"].isin(["crash", "refused"])


def tries(df: pd.DataFrame) -> pd.DataFrame:
    """Return the experiments that were run on a starting point, crashes included.

    Left out are the starting point itself (a campaign's first keep), what was refused before it
    ran, and later records.
    """
    rows = own(df)
    rows = rows[rows["status"] != "refused"]
    kept = ((rows["status"] == "keep") & measured(rows)).to_numpy()
    names = rows["campaign"].to_numpy() if "campaign" in rows else [""] * len(rows)
    started: set[object] = set()
    tried = []
    for name, keep in zip(names, kept, strict=True):
        tried.append(not keep or name in started)
        if keep:
            started.add(name)
    return rows.loc[tried]
