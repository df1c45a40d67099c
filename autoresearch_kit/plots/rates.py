"""How many proposals were kept, by who made them, what they changed, or under which program.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from autoresearch_kit import stats
from autoresearch_kit.plots import fitting, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def hit_rate(
    df: pd.DataFrame, by: Literal["author", "kind", "program"] = "author", ax: Axes | None = None
) -> Axes:
    """Draw the share of experiments that were kept, with a 95 % interval, for each group.

    Parameters
    ----------
    df
        What `history` returned.
    by
        "author": who proposed. "kind": what was changed (constants, code, both, or lines taken
        away). "program": the version of program.md, in the order in which they were written.
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, or `by` is something else.
    """
    table = stats.hit_rate(df, by)
    rows = style.experiments(df)
    with style.canvas(ax, df, (8, 1.5 + 0.42 * max(len(table), 2))) as ax:
        names = {"author": "author", "kind": "kind of change", "program": "version of program.md"}
        style.titled(ax, rows, f"kept, by {names[by]}")
        ax.set_xlabel("share of experiments that were kept")
        if table.empty:
            style.say(ax, "nothing was tried but the starting point")
            return ax
        place = np.arange(len(table))
        rate, low, high = (table[name].to_numpy(float) for name in ("rate", "low", "high"))
        hue = style.colour(0)
        total = table["keeps"].sum() / table["n"].sum()
        ax.axvline(total, color=style.muted(ax, 0.5), lw=1, ls="--", zorder=1)
        ax.hlines(place, low, high, color=hue, lw=1.5, zorder=2)
        ax.scatter(rate, place, s=40, color=hue, lw=0, zorder=3, clip_on=False)
        for i, (keeps, n) in enumerate(zip(table["keeps"], table["n"], strict=True)):
            beside: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center"}
            words: dict[str, Any] = {"textcoords": "offset points", "fontsize": "small"}
            ax.annotate(f"{keeps} of {n}", (1, i), (6, 0), **beside, **words)
        ax.annotate(
            f"all {total:.0%}",
            (total, 1),
            (3, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            va="top",
            fontsize="small",
            color=style.muted(ax, 0.7),
        )
        most = max(8, min(40, fitting.characters(ax, 0.3)))
        ax.set_yticks(place, [_name(rows, by, str(name), most) for name in table[by]])
        ax.set_ylim(len(table) - 0.4, -0.85)
        ax.set_xlim(0, min(1.0, max(0.05, float(high.max()) * 1.08)))
        ax.tick_params(axis="y", length=0)
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(steps=[1, 2, 5, 10], nbins=7))
        ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, decimals=0))
    return ax


def _name(rows: pd.DataFrame, by: str, value: str, most: int) -> str:
    """Return what stands beside a group; a version of program.md says from when it was."""
    if by == "author":
        return style.plain(style.who(value), most)
    if by == "program" and (own := rows.loc[rows["program"] == value, "experiment"]).size:
        return f"{value[:7]}, from {own.iloc[0]}"
    return style.plain(value, most)
