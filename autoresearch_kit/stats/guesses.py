"""Whether people and models know beforehand what a change will do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from autoresearch_kit.comparison import compare
from autoresearch_kit.stats import rates, retelling, tables

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 3
"""Guesses from which slope and rank correlation say anything."""


def calibration(df: pd.DataFrame) -> pd.DataFrame:
    """Return guessed and measured effects, one row for each guess.

    Parameters
    ----------
    df
        What `history` returned: ``expected`` is the guess of whoever made the change, ``guess``
        that of the person who approved it; either may be missing, not both.

    Returns
    -------
    pandas.DataFrame
        ``campaign``, ``experiment``, ``who``, ``role`` (author or approver), ``guessed`` and
        ``measured`` (effects on the metric, signed as it is: negative is lower), ``error`` (the
        standard error of `measured`, NaN where no noise is known). Guesses on what has no metric
        (crashes, refusals) are left out, and ``attrs["notes"]`` says how many.

        ``attrs["people"]`` is a mapping of each of them to ``n``, ``bias`` (median of what was
        promised beyond what came, positive: too optimistic), ``slope`` (measured for each unit
        guessed; 1 is right, 0 is no relation), ``rank`` (Spearman's correlation) and ``sign``
        (share of guesses with the right sign).

    Raises
    ------
    ValueError
        When columns are missing, or the campaigns have different goals.

    Notes
    -----
    The slope is that of least squares through zero, ``Σ g·m / Σ g²``. From fewer than three
    guesses slope and rank are NaN, as is the rank of guesses that are all the same.
    """
    import pandas as pd

    df = tables.check(df)
    if "expected" not in df and "guess" not in df:
        tables.check(df, "expected")
    goal, sign = tables.goal(df), tables.sign(df)
    found, unmeasured = [], 0
    for name, rows in tables.by_campaign(df):
        told = {step.n: step for step in retelling.steps(rows)}
        for row in tables.own(rows).to_dict("records"):
            n = int(str(row["experiment"]))
            for role, column in (("author", "expected"), ("approver", "guess")):
                guessed = _float(row.get(column))
                if guessed is None:
                    continue
                step = told[n]
                if not step.runs or not step.best:
                    unmeasured += 1
                    continue
                c = compare(step.evidence(goal, {}))
                measured = _float(row.get("delta"))
                measured = sign * c.gain if measured is None else measured
                error = step.error if step.error is not None else c.error
                who = str(row.get(role) or "").strip() or rates.UNKNOWN
                found.append((name, n, who, role, guessed, measured, error))
    columns = ["campaign", "experiment", "who", "role", "guessed", "measured", "error"]
    table = pd.DataFrame(found, columns=columns)
    types: dict[Any, Any] = dict.fromkeys(columns[4:], "float64")
    types["experiment"] = "int64"
    table = table.astype(types)
    people = {str(who): _person(own, sign) for who, own in table.groupby("who", sort=False)}
    notes = tables.assumed(df)
    if unmeasured:
        notes.append(f"{unmeasured} guesses on what has no metric are left out")
    table.attrs = {**df.attrs, "people": people, "notes": notes}
    return table


def _person(own: pd.DataFrame, sign: float) -> dict[str, float]:
    import numpy as np

    guessed, measured = own["guessed"], own["measured"]
    enough = len(own) >= FEWEST
    square = float((guessed * guessed).sum())
    varied = enough and guessed.nunique() > 1 and measured.nunique() > 1
    return {
        "n": len(own),
        "bias": float((sign * (guessed - measured)).median()),
        "slope": float((guessed * measured).sum()) / square if enough and square else math.nan,
        "rank": float(guessed.corr(measured, method="spearman")) if varied else math.nan,
        "sign": float((np.sign(guessed) == np.sign(measured)).mean()),
    }


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
