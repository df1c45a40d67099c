"""What people and models expected of their changes, and what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit import stats
from autoresearch_kit.plots import style
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

WIDEST = 3.0
"""Times the largest guess up to which a measured effect stretches the axis."""


def calibration(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw measured against guessed effects, for the person and for each model.

    Effects are signed as the metric is. On the diagonal a guess came true; in the shaded quarters
    even its sign was wrong. A bar is one standard error. Effects far beyond all guesses are drawn
    as triangles at the edge.

    Parameters
    ----------
    df
        What `history` returned: ``expected`` is the author's guess, ``guess`` the approver's.
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, or when campaigns have different goals.
    """
    df = tables.check(df)
    rows = style.experiments(df)
    table = stats.calibration(df)
    table = table[np.isfinite(table["guessed"]) & np.isfinite(table["measured"])]
    with style.canvas(ax, df, (6.5, 6)) as ax:
        title = f"{len(table)} guesses, {_right(table)} with the right sign"
        style.titled(ax, rows, title)
        side = "negative" if tables.sign(df) < 0 else "positive"
        ax.set_xlabel("effect that was guessed")
        style.metric_label(ax, df, "measured effect, ", f"{side} is better")
        if table.empty:
            words = "no guesses yet: ark.Human(edit=..., guess=-0.01)\n"
            style.say(ax, words + "or one beside the Approve button")
            return ax
        guessed, measured = (table[name].to_numpy(float) for name in ("guessed", "measured"))
        wide = max(np.abs(guessed).max(), 1e-12)
        reach = np.abs(measured) + np.nan_to_num(table["error"].to_numpy(float))
        tall = float(np.clip(reach.max(), wide, wide * WIDEST))
        grey = style.muted(ax, 0.5)
        ax.axline((0, 0), slope=1, color=grey, lw=1, ls="--", zorder=1, label="as guessed")
        ax.axhline(0, color=style.muted(ax, 0.25), lw=0.8, zorder=0.8)
        ax.axvline(0, color=style.muted(ax, 0.25), lw=0.8, zorder=0.8)
        shade: dict[str, Any] = {"color": style.muted(ax, 0.08), "lw": 0, "zorder": 0.5}
        wide, tall = wide * 1.12, tall * 1.12
        ax.fill_between([-wide, 0], 0, tall, **shade)
        ax.fill_between([0, wide], -tall, 0, **shade)
        corner: dict[str, Any] = {"transform": ax.transAxes, "fontsize": "small", "color": grey}
        ax.text(0.02, 0.95, "wrong sign", va="top", **corner)
        ax.text(0.98, 0.02, "wrong sign", ha="right", **corner)
        for i, (name, own) in enumerate(table.groupby("who", sort=False)):
            _author(ax, own, i, tall, style.plain(style.who(str(name)), 30))
        ax.set_xlim(-wide, wide)
        ax.set_ylim(-tall, tall)
        ax.locator_params(nbins=7)
        style.legend_below(ax)
    return ax


def _author(ax: Axes, own: pd.DataFrame, i: int, tall: float, name: str) -> None:
    """Draw one author's guesses."""
    hue, marker = style.colour(i), style.MARKERS[i % len(style.MARKERS)]
    x, y, error = (own[name].to_numpy(float) for name in ("guessed", "measured", "error"))
    inside = np.abs(y) <= tall
    looks: dict[str, Any] = {"color": hue, "zorder": 3}
    ax.vlines(x[inside], (y - error)[inside], (y + error)[inside], lw=1.2, alpha=0.7, **looks)
    label = f"{name}, {_right(own)} of {len(own)} right"
    edge = ax.get_facecolor()
    ax.scatter(x[inside], y[inside], s=36, marker=marker, ec=edge, lw=0.6, label=label, **looks)
    for up, arrow in ((True, "^"), (False, "v")):
        beyond = ~inside & ((y > 0) == up)
        edge_y = np.full(beyond.sum(), 0.985 if up else 0.015)
        looks |= {"transform": ax.get_xaxis_transform(), "clip_on": False}
        ax.scatter(x[beyond], edge_y, s=36, marker=arrow, lw=0, **looks)


def _right(table: pd.DataFrame) -> int:
    """Return how many guesses have the sign of what was measured."""
    return int((np.sign(table["guessed"]) == np.sign(table["measured"])).sum())
