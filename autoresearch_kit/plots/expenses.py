"""Where the time and the money of a campaign went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from autoresearch_kit.plots import fitting, style
from autoresearch_kit.stats import efforts, tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PHASES = ("training", "setup", "scoring")
START = "starting point"
ROWS = (START, "keep", "discard", "crash", "refused", "quarantine")
NUMBERS = 1.0  # inches of what stands beside a bar
SHADES = (1.0, 0.72, 0.48, 0.28)  # told apart by their lightness, also without colours


def spending(
    df: pd.DataFrame, what: Literal["time", "cost"] = "time", ax: Axes | None = None
) -> Axes:
    """Draw where time or money went: a bar for each status, in parts.

    The starting point has a bar of its own: nothing was tried there.

    Time is that of all runs, in training, setup and scoring, and of the proposals; while a night
    trains it proposes already, so these overlap. Idle is what is left between two decisions,
    without pauses of more than an hour. Cost is that of the proposals, in parts by their authors.

    Parameters
    ----------
    df
        What `history` returned, records of repeats and audits included.
    what
        "time" or "cost".
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, or when nothing in the table tells seconds or cost.
    """
    if what not in {"time", "cost"}:
        raise ValueError(f"what={what!r}; expected 'time' or 'cost'")
    own = style.experiments(df)
    rows = df.reset_index(drop=True)
    later = rows["about"].notna() if "about" in rows else np.zeros(len(rows), bool)
    status = rows["status"].astype(str).str.strip().str.lower()
    kind = rows["kind"].replace("", "later verdict") if "kind" in rows else "later verdict"
    group = status.where(~later, kind)
    tried = rows.index.isin(tables.tries(rows).index)
    group = group.mask(~later & (status == "keep") & ~tried, START)
    parts = _seconds(rows) if what == "time" else _money(rows)
    table = parts.groupby(group).sum()
    table = table[(table > 0).any(axis=1) | table.index.isin(ROWS[1:])]  # others took none
    names = [name for name in ROWS if name in table.index]
    table = table.loc[[*names, *sorted(set(table.index) - set(names))]]
    idle, away, pauses = _idle(rows, parts) if what == "time" else (0.0, 0.0, 0)
    total = float(table.to_numpy().sum()) + idle
    unit, words = _unit(total) if what == "time" else (1.0, "cost of proposals")

    with style.canvas(ax, df, (9, 0.9 + 0.42 * (len(table) + 2))) as ax:
        place = np.arange(len(table))
        left = np.zeros(len(table))
        looks: dict[str, Any] = {"height": 0.62, "ec": ax.get_facecolor(), "lw": 0.6}
        for i, name in enumerate(table):
            shade = style.mixed(ax, style.colour(0), SHADES[min(i, len(SHADES) - 1)])
            width = table[name].to_numpy() / unit
            ax.barh(place, width, left=left, color=shade, label=style.plain(str(name), 40), **looks)
            left += width
        ticks = list(table.index)
        if idle:
            hollow: dict[str, Any] = {"fc": "none", "ec": style.muted(ax, 0.5), "lw": 1.0}
            ax.barh(len(ticks), idle / unit, height=0.62, label="idle", **hollow)
            ticks.append("idle")
            left = np.append(left, idle / unit)
        count = group.value_counts()
        for i, (name, length) in enumerate(zip(ticks, left, strict=True)):
            share = f" {length:.3g} ({length * unit / total:.0%})" if total else ""
            beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small"}
            ax.annotate(share, (length, i), (2, 0), va="center", **beside)
            if name in count:
                ticks[i] = f"{style.plain(name, 40)} ({count[name]})"
        ax.set_yticks(range(len(ticks)), ticks)
        ax.set_ylim(len(ticks) - 0.4, -0.6)
        beside_bar = min(0.6, NUMBERS / fitting.inches(ax))
        ax.set_xlim(0, max(left, default=0) / (1 - beside_bar) or 1)
        ax.set_xlabel(words)
        title = f"{total / unit:.3g} {words}" if what == "time" else f"{total:.4g} for proposals"
        if pauses:
            long, name = _unit(away)
            title += f"; {pauses} pause{'s' * (pauses > 1)} of {away / long:.3g} {name} left out"
        style.titled(ax, own, title)
        style.legend_below(ax)
    return ax


def _seconds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the seconds of each phase of each record, all its runs together."""
    import pandas as pd

    parts = pd.DataFrame(index=rows.index)
    for phase in PHASES:
        if (name := f"{phase}_seconds") in rows:
            parts[phase] = rows[name].astype(float).fillna(0.0)
    one = parts.sum(axis=1)
    if "run_seconds" in rows:
        # Not n_replicates times: that counts the runs of repeats, which have rows of their own.
        runs = rows["run_seconds"].astype(float) / one.where(one > 0)
        parts = parts.mul(runs.fillna(1.0), axis=0)
    if "proposal_seconds" in rows:
        parts["proposing"] = rows["proposal_seconds"].astype(float).fillna(0.0)
    if not (parts.to_numpy() > 0).any():
        raise ValueError(
            "nothing in this table tells how long it took; expected columns such as "
            "'training_seconds', which ark.history(...) has for campaigns of this kit"
        )
    return parts


def _money(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each record's proposal cost, in a column for its author."""
    import pandas as pd

    if "cost" not in rows or not (rows["cost"].astype(float) > 0).any():
        raise ValueError(
            "no proposal in this table has a cost; expected a column 'cost'. Give the model's "
            "price, ark.LLM(model, price={'input': 3, 'output': 15}), or draw what='time'"
        )
    cost = rows["cost"].astype(float).fillna(0.0)
    author = rows["author"].map(style.who) if "author" in rows else pd.Series("", rows.index)
    parts = pd.DataFrame({name: cost.where(author == name, 0.0) for name in author.unique()})
    paid = parts.sum().sort_values(ascending=False)
    paid = paid[paid > 0]
    last = len(SHADES) - 1
    if len(paid) > len(SHADES):
        return parts[paid.index[:last]].assign(others=parts[paid.index[last:]].sum(axis=1))
    return parts[paid.index]


def _idle(rows: pd.DataFrame, parts: pd.DataFrame) -> tuple[float, float, int]:
    """Return the seconds between decisions in which nothing ran, those of pauses, and how many."""
    if "decided" not in rows:
        return 0.0, 0.0, 0
    busy = parts.sum(axis=1)
    left = [efforts.waits(own, busy[own.index]) for _, own in tables.by_campaign(rows)]
    every = np.concatenate(left) if left else np.zeros(0)
    pauses = every[every > efforts.PAUSE]
    return float(every.sum() - pauses.sum()), float(pauses.sum()), len(pauses)


def _unit(total: float) -> tuple[float, str]:
    """Return the unit in which a number of seconds is read best, in seconds, and its name."""
    if total < 120:
        return 1.0, "seconds"
    return (60.0, "minutes") if total < 7200 else (3600.0, "hours")
