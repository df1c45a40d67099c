"""How the metric responds to one constant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from autoresearch_kit.plots import fitting, style
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

DECADES = 10.0
"""Largest over smallest value from which the axis is logarithmic."""


def response(
    constants_table: pd.DataFrame, name: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the metric against one constant, over all experiments that had it.

    Experiments that changed the constant are large, those that inherited it small; kept ones are
    coloured and numbered, the best is a star. Crashes are crosses at the worse edge. The axis is
    logarithmic where the values span a decade or more, and has a place for each word where they are
    no numbers: there, from left to right, is the order of the experiments.

    Parameters
    ----------
    constants_table
        What `constants` returned: a row for each constant of each experiment.
    name
        Of the constant; the one that most experiments changed unless given.
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, when no experiment has such a constant, or any, or when campaigns
        have different goals.

    Examples
    --------
    >>> ark.plots.response(ark.constants(campaign), "MATRIX_LR")
    """
    constants_table = tables.check(constants_table, of="constants")
    if not {"name", "value"} <= set(constants_table):
        raise ValueError(
            "the table has no columns 'name' and 'value'; expected what ark.constants(...) returns"
        )
    name = _most_changed(constants_table) if name is None else name
    own = constants_table[constants_table["name"] == name]
    if own.empty:
        known = sorted({str(each) for each in constants_table["name"]})
        near = difflib.get_close_matches(name, known, n=8, cutoff=0.4)
        named = ", ".join([*near, *(one for one in known if one not in near)][:20])
        raise ValueError(f"no experiment has a constant {name!r}; there are {named}")
    rows = style.experiments(own)
    rows = rows[rows["status"] != "refused"]
    better = tables.sign(own)
    x, words = _numbers(rows["value"])
    rows = rows.assign(x=x)
    changed = rows["changed"].astype(bool) if "changed" in rows else rows["x"].notna()
    with style.canvas(ax, own, (8, 5)) as ax:
        tried = len(tables.tries(rows))
        title = f"{int(changed.sum())} of {tried} experiment{'s' * (tried != 1)} changed {name}"
        style.titled(ax, rows, title)
        ax.set_xlabel(name)
        style.metric_label(ax, own)
        _scale(ax, x, words)
        _draw(ax, rows, changed.to_numpy(), better)
        style.legend_below(ax)
    return ax


def _most_changed(table: pd.DataFrame) -> str:
    """Return the name of the constant of which most changes were measured."""
    if table.empty:
        raise ValueError("no experiment has a constant, so there is nothing to draw")
    measured = table["metric"].notna()
    changed = table["changed"].astype(bool) & measured if "changed" in table else measured
    return str((table[changed] if changed.any() else table)["name"].mode().iloc[0])


def _numbers(values: pd.Series) -> tuple[Any, list[str]]:
    """Return the values as numbers; where they are none, the places of their words, in order."""
    plain = [isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values]
    if all(plain):
        return values.astype(float).to_numpy(), []
    words = list(dict.fromkeys(str(value) for value in values))
    middle = np.array([words.index(str(value)) for value in values], float)
    return middle + 0.6 * (np.arange(len(values)) / max(1, len(values) - 1) - 0.5), words


def _scale(ax: Axes, x: Any, words: list[str]) -> None:
    """Choose the scale of the x axis and its ticks."""
    if words:
        most = max(3, min(16, int(fitting.inches(ax) * 11 / len(words))))
        ax.set_xticks(range(len(words)), [style.plain(word, most) for word in words])
        ax.set_xlim(-0.6, len(words) - 0.4)
        return
    finite = x[np.isfinite(x)]
    if not len(finite):
        return
    low, high = finite.min(), finite.max()
    if low > 0 and high / low >= DECADES:
        ax.set_xscale("log")
        steps = (1, 2, 5) if high / low < 300 else (1,)
        ax.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=steps))
        ax.xaxis.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        ax.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        pad = (high / low) ** 0.05
        ax.set_xlim(low / pad, high * pad)
    elif low < high:
        size = np.abs(finite[finite != 0])
        if size.max() / size.min() >= DECADES**2:
            ax.set_xscale("symlog", linthresh=float(size.min()))
        elif (finite == np.round(finite)).all():
            ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
        ax.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))


def _draw(ax: Axes, rows: pd.DataFrame, changed: Any, better: float) -> None:
    metric, status = rows["metric"].to_numpy(float), rows["status"].to_numpy()
    x = rows["x"].to_numpy(float)
    low, high = _limits(metric, status == "keep", better)
    ax.set_ylim(low, high)
    worse, edge, arrow = (high, 0.985, "^") if better < 0 else (low, 0.015, "v")
    kept = (status == "keep") & np.isfinite(metric)
    nothing = np.isnan(metric)
    beyond = ~nothing & ~kept & ((metric - worse) * better < 0)
    seen = ~nothing & ~beyond & ~kept
    best = np.flatnonzero(kept)[-1:]
    grey, faint, hue = style.muted(ax, 0.45), style.muted(ax, 0.28), style.colour(0)
    back = ax.get_facecolor()
    side: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 5}

    def points(label: str, where: Any, y: Any = metric, **looks: Any) -> None:
        if where.any():
            ax.scatter(x[where], y[where], label=label, **looks)

    at_edge = np.full(len(x), edge)
    points("not changed", seen & ~changed, s=9, color=faint, lw=0, zorder=2)
    points("discarded", seen & changed, s=30, color=grey, lw=0, zorder=3)
    kept_looks = {"color": hue, "ec": back, "lw": 0.6, "marker": "D", "zorder": 4}
    last = np.isin(np.arange(len(x)), best)
    points("kept", kept & changed & ~last, s=42, **kept_looks)
    points("_", kept & ~changed & ~last, s=16, **kept_looks)
    points("best", last, s=150, **kept_looks | {"marker": "*", "zorder": 6})
    points("off the scale", beyond, at_edge, s=26, color=grey, lw=0, marker=arrow, **side)
    crash, red = nothing & (status == "crash"), style.colour(1)
    points("crashed", crash, at_edge, s=26, color=red, lw=1.2, marker="x", **side)
    points("no number", nothing & ~crash, at_edge, s=26, color=grey, lw=1.2, marker="+", **side)
    numbered = np.flatnonzero(kept & (changed | last))
    for i in numbered if len(numbered) <= 15 else best:
        ax.annotate(
            str(rows["experiment"].iloc[i]),
            (x[i], metric[i]),
            (5, 4),
            textcoords="offset points",
            fontsize="small",
            zorder=7,
        )


def _limits(metric: Any, kept: Any, better: float) -> tuple[float, float]:
    """Return y limits that show all that was kept and most of the rest."""
    losses = metric * -better
    seen = losses[np.isfinite(losses)]
    if not len(seen):
        return 0.0, 1.0
    own = losses[kept & np.isfinite(losses)]
    own = own if len(own) else seen
    height = (own.max() - own.min()) or abs(own.min()) * 0.01 or 1.0
    worst = max(own.max(), min(np.quantile(seen, 0.9), own.max() + height))
    best = seen.min()
    pad = 0.08 * (worst - best) or height
    low, high = sorted((-better * (worst + pad), -better * (best - pad)))
    return low, high
