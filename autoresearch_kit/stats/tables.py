"""What counts in a table of experiments: which columns it needs, which rows are tries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoresearch_kit import goals

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("experiment", "metric", "status")

NO_GOAL = "no goal is known, so lower counts as better; else type: df.attrs['goal'] = 'maximize'"


NO_VERDICTS = "no verdicts: nothing in the column 'status' says what was kept"


def check(df: pd.DataFrame, *more: str, of: str = "history") -> pd.DataFrame:
    """Return the table, with what pandas lost of its ``attrs`` taken from its columns.

    `concat`, `merge` and files drop them. Without any goal lower is better, which its notes say.

    Parameters
    ----------
    more
        Further columns that have to be there.
    of
        The function of this kit that returns such a table.

    Raises
    ------
    TypeError
        When it is no DataFrame.
    ValueError
        When `NEEDED` or one of `more` is missing.
    """
    import pandas as pd

    if not isinstance(df, pd.DataFrame):
        raise TypeError(
            f"this is a {type(df).__name__}; expected the table of ark.{of}(...). "
            f"Type: df = ark.{of}(x), and give df here"
        )
    if missing := [name for name in (*NEEDED, *more) if name not in df]:
        raise ValueError(
            f"the table has no column {missing[0]!r}; expected what ark.history(...) returns, "
            f"with at least {', '.join((*NEEDED, *more))}"
        )
    known = {name: df.attrs.get(name) or _only(df, name) for name in _COLUMNS}
    known = {name: word for name, word in known.items() if word is not None}
    if "goal" not in known:
        known |= {"goal": "minimize", "notes": [*df.attrs.get("notes", ()), NO_GOAL]}
    if known.items() <= df.attrs.items():
        return df
    df = df.copy(deep=False)  # the user's own stays as it was
    df.attrs |= known
    return df


_COLUMNS = {"goal": "goal", "metric": "metric_name", "unit": "unit"}


def _only(df: pd.DataFrame, name: str) -> str | None:
    """Return the one word of an attribute's column, "" of several; None where there is none."""
    if (column := _COLUMNS[name]) not in df:
        return df.attrs.get(name)
    words = set(df[column].dropna().astype(str)) - {""}
    if name == "goal":
        words &= set(goals.GOALS)
    return words.pop() if len(words) == 1 else "" if words else df.attrs.get(name)


def assumed(df: pd.DataFrame) -> list[str]:
    """Return the note on the goal that a checked table was given for want of one, if it was."""
    return [note for note in df.attrs.get("notes", ()) if note == NO_GOAL]


def goal(df: pd.DataFrame) -> str:
    """Return what is better in a table, ``minimize`` or ``maximize``.

    Raises
    ------
    ValueError
        When the campaigns in the table have different goals.
    """
    found = df.attrs.get("goal", "minimize")
    if found not in goals.GOALS:
        raise ValueError(
            "the campaigns in this table have different goals, or none is known; take one of them "
            "and say its goal: ark.history(lab, ref='nov23', goal='minimize')"
        )
    return str(found)


def sign(df: pd.DataFrame) -> float:
    """Return what a difference of the metric is multiplied with, so that positive is better.

    Raises
    ------
    ValueError
        As `goal`.
    """
    return goals.sign(goal(df))


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


def judged(df: pd.DataFrame) -> bool:
    """Return whether anything was decided: a file of others may hold numbers alone."""
    return bool((own(df)["status"].astype("string").fillna("").str.strip() != "").any())


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
