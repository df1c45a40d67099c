"""Loss curves of runs, one over the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from autoresearch_kit.plots import labels, style
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

START = 0.1
"""Share of the budget before which a loss may lie above the picture: the first steps of a training
fall so far that all later differences would be flat."""

DASHES = ((0, ()), (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (8, 2, 1, 2, 1, 2)))


def curves(
    df: pd.DataFrame, experiments: Sequence[int] | None = None, ax: Axes | None = None
) -> Axes:
    """Draw training loss against the share of the budget that is used up, the best highlighted.

    Without `experiments`, all curves are thin and grey, and the best experiment and the starting
    point stand out. Chosen ones have a colour and dashes of their own, named at their ends. What
    lies above the picture in the first tenth of the budget is cut off.

    Parameters
    ----------
    df
        What `history` returned: ``curve`` holds ``progress:loss`` pairs.
    experiments
        Numbers; the best kept one of the table is drawn too.
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, or an experiment isn't in the table.
    """
    df = tables.check(df, "curve")
    rows = style.experiments(df)
    several = rows["campaign"].nunique() > 1
    rows["name"] = [
        f"{campaign} {n}" if several else str(n)
        for campaign, n in zip(rows["campaign"], rows["experiment"], strict=True)
    ]
    kept = rows[(rows["status"] == "keep") & rows["metric"].notna()].groupby("campaign")
    first, best = kept.head(1), kept.tail(1)
    chosen = rows
    if experiments is not None:
        wanted = [experiments] if isinstance(experiments, int) else list(experiments)
        if unknown := sorted(set(wanted) - set(rows["experiment"])):
            raise ValueError(
                f"experiment {unknown[0]} is not in the table; it holds "
                f"{rows['experiment'].min()} to {rows['experiment'].max()}"
            )
        chosen = rows[rows["experiment"].isin(wanted) | rows.index.isin(best.index)]
    drawn: dict[Any, Any] = {
        i: points for i, text in chosen["curve"].items() if (points := _points(text)).size
    }

    with style.canvas(ax, df, (8, 5)) as ax:
        ax.set_xlabel("share of the budget")
        ax.set_ylabel("training loss")
        style.titled(ax, rows, _title(rows, drawn, experiments))
        if not drawn:
            style.say(ax, "no curves: a results file holds none, and a crash may have none")
            return ax
        ends: list[tuple[float, str, Any]] = []
        grey = style.mixed(ax, mpl.rcParams["text.color"], 0.22)
        turn = 0
        for i, (x, y) in drawn.items():
            name = str(rows["name"].loc[i])
            looks: dict[str, Any] = {"color": grey, "lw": 0.8, "zorder": 2}
            if i in best.index:
                which = list(best.index).index(i)  # one for each campaign
                hue, dash = style.colour(which), DASHES[which % len(DASHES)]
                looks = {"color": hue, "ls": dash, "lw": 2.4, "zorder": 4}
                name += " (best)"
            elif experiments is not None:
                turn += 1
                hue, dash = style.colour(len(best) - 1 + turn), DASHES[turn % len(DASHES)]
                looks = {"color": hue, "ls": dash, "lw": 1.4, "zorder": 3}
            elif i in first.index:
                looks = {"color": style.muted(ax, 0.8), "ls": DASHES[1], "lw": 1.4, "zorder": 3}
                name += " (start)"
            ax.plot(x, y, **looks)
            if looks["zorder"] > 2:
                ends.append((float(y[-1]), name, looks["color"]))
        ax.set_xlim(0, 1)
        ax.set_ylim(*_limits(list(drawn.values())))
        ax.xaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0))
        _name(ax, ends)
    return ax


def _points(text: Any) -> np.ndarray:
    """Return progress and loss as two rows; empty for a missing curve."""
    pairs = [pair.split(":") for pair in text.split()] if isinstance(text, str) else []
    points: np.ndarray = np.array(pairs, float).reshape(-1, 2)
    fine: np.ndarray = points[np.isfinite(points).all(axis=1)].T
    return fine


def _title(rows: pd.DataFrame, drawn: dict[Any, Any], experiments: Any) -> str:
    title = f"{len(drawn)} loss curves"
    if experiments is not None:
        asked = rows[rows["experiment"].isin(np.atleast_1d(experiments))]
        if without := [str(name) for i, name in asked["name"].items() if i not in drawn]:
            title += f", none of {', '.join(without)}"
    return title


def _limits(drawn: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return y limits that show how the curves end, whatever they came from."""
    late = np.concatenate([y[x >= START] if (x >= START).any() else y[-1:] for x, y in drawn])
    low, high = late.min(), max(np.quantile(late, 0.98), np.median([y[-1] for _, y in drawn]))
    pad = 0.04 * (high - low) or abs(low) * 0.01 or 1.0
    return low - pad, high + pad


def _name(ax: Axes, ends: Sequence[tuple[float, str, Any]]) -> None:
    """Write the names of curves beside their ends, moved apart where they would touch."""
    low, high = ax.get_ylim()
    ends = [(min(y, high), name, hue) for y, name, hue in ends]
    size = mpl.font_manager.FontProperties(size="small").get_size_in_points() * 1.25
    height = ax.get_window_extent().height * 72 / ax.figure.figure.dpi
    places = labels.spread([(y - low) / (high - low) * height for y, _, _ in ends], size)
    for (y, name, hue), place in zip(ends, places, strict=True):
        ax.annotate(
            name,
            (1, (y - low) / (high - low)),
            (6, place - (y - low) / (high - low) * height),
            xycoords="axes fraction",
            textcoords="offset points",
            color=hue,
            fontsize="small",
            va="center",
        )
