"""What each kept change is worth, as measured and as believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit import stats
from autoresearch_kit.plots import fitting, style
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MOST = 40
"""Changes that a picture of its own shows."""

LINE = 0.27
"""Inches from one change to the next."""

WORDS, FEWEST = 48, 12  # characters of a hypothesis


def gains(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw what each kept change gained: measured (hollow) and shrunk (filled, 95 % interval).

    Positive is better, whatever the metric's goal. The measured gain of a change that was chosen
    because it looked good is too large on average; the shrunk one takes that back by as much as it
    is uncertain (`stats.gains`). A filled point whose interval crosses zero may be luck.

    Parameters
    ----------
    df
        What `history` returned.
    ax
        Where to draw; a new figure, high enough for up to 40 changes, unless given. Where not all
        fit, the largest gains are shown and the title says so.

    Raises
    ------
    ValueError
        When a column is missing, or when campaigns have different goals.
    """
    df = tables.check(df)
    rows = style.experiments(df)
    table = stats.gains(df)
    count = len(table)
    with style.canvas(ax, df, (9, 1.3 + LINE * min(max(count, 2), MOST))) as ax:
        unit = df.attrs.get("unit", "")
        ax.set_xlabel(
            f"gain in {df.attrs.get('metric') or 'metric'}" + (f" ({unit})" if unit else "")
        )
        if not count:
            style.titled(ax, rows, "no kept change")
            style.say(ax, "nothing was kept but the starting point")
            return ax
        most = _room(ax)
        title = f"{count} kept change{'s' * (count > 1)}"
        if count > most:
            largest = table["measured"].abs().nlargest(most).index
            table = table.loc[table.index.isin(largest)]
            title = f"the {len(table)} largest of {count} kept changes"
        place = np.arange(len(table))
        hue, grey = style.colour(0), style.muted(ax, 0.45)
        measured, shrunk = (table[name].to_numpy(float) for name in ("measured", "shrunk"))
        ax.axvline(0, color=style.muted(ax, 0.5), lw=1, ls="--", zorder=1)
        ax.hlines(place, table["low"], table["high"], color=hue, lw=1.5, zorder=2)
        looks: dict[str, Any] = {"fc": "none", "ec": grey, "lw": 1.2, "zorder": 3}
        ax.scatter(measured, place, s=30, marker="D", label="measured", **looks)
        if np.isfinite(shrunk).any():
            words = "shrunk, with 95 % interval"
            ax.scatter(shrunk, place, s=34, color=hue, lw=0, zorder=4, label=words)
        ax.set_yticks(place, _names(rows, table, fitting.characters(ax, 0.42)))
        ax.set_ylim(len(table) - 0.4, -0.6)
        ax.tick_params(axis="y", length=0)
        style.titled(ax, rows, title)
        style.legend_below(ax)
    return ax


def _room(ax: Axes) -> int:
    """Return how many lines of text fit beside the y axis."""
    height = ax.get_window_extent().height / ax.figure.figure.dpi * 72
    return max(3, int(height / (fitting.font_size("ytick.labelsize") * 1.35)))


def _names(rows: pd.DataFrame, table: pd.DataFrame, most: int) -> list[str]:
    """Return number and hypothesis of each change; the number alone where there is little room."""
    several = rows["campaign"].nunique() > 1
    texts = rows["hypothesis"] if "hypothesis" in rows else [""] * len(rows)
    words = dict(zip(zip(rows["campaign"], rows["experiment"], strict=True), texts, strict=True))
    campaigns = table["campaign"] if "campaign" in table else [""] * len(table)
    names = []
    for campaign, n in zip(campaigns, table["experiment"], strict=True):
        name = f"{campaign} {n}" if several else str(n)
        room = min(WORDS, most - len(name))
        text = style.plain(words.get((campaign, n), ""), room) if room >= FEWEST else ""
        names.append(f"{name} {text}".strip())
    return names
