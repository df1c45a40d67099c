"""The staircase: the metric of every experiment, and the best kept one so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from autoresearch_kit.plots import labels, style
from autoresearch_kit.stats import tables

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROOM_FOR_LABELS = 0.2  # of the height that the points take, at most


def progress(
    df: pd.DataFrame,
    x: Literal["experiments", "hours", "cost"] = "experiments",
    ax: Axes | None = None,
) -> Axes:
    """Draw the staircase: each experiment's metric, and the best kept one so far.

    Kept experiments are filled points on the staircase, the largest gains of them labelled with
    their hypotheses; discarded ones are grey; crashes, which have no metric, are crosses at the
    worse edge. Points far worse than the baseline are drawn as triangles at that edge, so that
    one of them does not flatten the rest. A bar is one standard error of an experiment that was run
    more than once; the band around the line is one standard deviation of a single run: a point
    within it is not to be told from the best. Colours, fonts and sizes follow rcParams and style
    sheets: the first colour of the cycle is kept, the second crashed.

    Parameters
    ----------
    df
        What `history` returned, or any table with ``experiment``, ``metric`` and ``status``;
        ``df.attrs`` may hold ``metric``, ``unit`` and ``goal``, or columns ``metric_name``,
        ``unit`` and ``goal``; the goal is "minimize" unless given.
    x
        "experiments": their numbers. "hours": what all runs took until then, those of repeats and
        audits too, or where no run's time is known, since the first experiment. "cost": what all
        proposals cost until then.
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, when campaigns have different goals, when `x` is something else,
        or when nothing in the table tells hours or cost.
    """
    df = tables.check(df)
    spent, name = _spent(df, x)
    rows = style.experiments(df.assign(x=spent))
    rows = rows[rows["status"] != "refused"]
    rows = rows.assign(error=_errors(rows))
    better = tables.sign(df)
    with style.canvas(ax, df, (10, 5.5)) as ax:
        campaigns = {str(key): own for key, own in rows.groupby("campaign", sort=False)}
        ax.set_ylim(*_limits(rows, better))
        corners: list[tuple[float, float]] = []
        for i, (key, own) in enumerate(campaigns.items()):
            hue = style.colour(i if i == 0 else i + 1)  # the second one is for crashes
            look = hue, style.MARKERS[i % len(style.MARKERS)]
            corners += _staircase(ax, own, look, key if len(campaigns) > 1 else "kept")
        _others(ax, rows, better)
        ax.set_xlabel(name)
        style.metric_label(ax, df)
        if not np.isfinite(rows["metric"]).any():
            ax.set_yticks([])
        if len(rows):  # what lies at the edge counts too
            low, high = rows["x"].min(), rows["x"].max()
            pad = 0.02 * (high - low) or 0.5
            ax.set_xlim(low - pad, high + pad)
        whole: dict[str, Any] = {"integer": x == "experiments", "min_n_ticks": 1}
        ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(steps=[1, 2, 5, 10], **whole))
        style.titled(ax, rows, _title(rows, campaigns, df.attrs.get("metric") or "metric"))
        style.legend_below(ax)
        if len(campaigns) == 1 and "hypothesis" in rows:
            kept = rows[(rows["status"] == "keep") & rows["metric"].notna()]
            gains = kept["metric"].diff().abs().iloc[1:].nlargest(labels.MAX_LABELS)
            seen = rows[np.isfinite(rows["metric"])]
            middle, error = seen["metric"], seen["error"].fillna(0)
            bars = np.array([seen["x"], middle - error, seen["x"], middle + error], float).T
            labels.write(ax, kept.loc[gains.index], bars, corners, better)
    return ax


def _spent(df: pd.DataFrame, x: str) -> tuple[Any, str]:
    """Return where each row of the table lies on the x axis, and the name of that axis."""
    if x == "experiments":
        return df["experiment"].to_numpy(float), "experiment"
    order = df.reset_index(drop=True).sort_values("experiment", kind="stable")
    key = order["campaign"] if "campaign" in order else np.zeros(len(order))

    def total(name: str) -> Any:
        return order[name].astype(float).fillna(0.0).groupby(key).cumsum().sort_index().to_numpy()

    def known(name: str) -> bool:
        return name in order and bool((order[name].astype(float) > 0).any())

    if x == "cost":
        if known("cost"):
            return total("cost"), "cost of the proposals so far"
        raise ValueError(
            "no proposal in this table has a cost; expected a column 'cost'. Give the model's "
            "price, ark.LLM(model, price={'input': 3, 'output': 15}), or draw x='hours'"
        )
    if x != "hours":
        raise ValueError(f"x={x!r}; expected 'experiments', 'hours' or 'cost'")
    if known("run_seconds"):
        return total("run_seconds") / 3600, "hours of runs so far"
    if "decided" in order and order["decided"].notna().any():
        since = order["decided"].groupby(key).transform(lambda when: when - when.min())
        hours = since.dt.total_seconds() / 3600
        return hours.sort_index().to_numpy(), "hours since the first experiment"
    raise ValueError(
        "nothing in this table tells how long it took; expected a column 'run_seconds' (seconds) "
        "or 'decided' (time). Draw x='experiments'"
    )


def _errors(rows: pd.DataFrame) -> Any:
    """Return one standard error of each experiment with several runs, from the campaign's noise."""
    if "n_replicates" not in rows:
        return np.full(len(rows), np.nan)
    runs = rows["n_replicates"].where(rows["n_replicates"] > 1).to_numpy(float)
    spread = [style.noise(own) for _, own in rows.groupby("campaign", sort=False)]
    counts = rows.groupby("campaign", sort=False).size()
    return np.repeat(spread, counts) / np.sqrt(runs)


def _staircase(ax: Axes, rows: pd.DataFrame, look: tuple[Any, str], name: str) -> list[Any]:
    """Draw one campaign's kept experiments; return the corners of its line in data units."""
    kept = rows[(rows["status"] == "keep") & np.isfinite(rows["metric"])]
    if kept.empty:
        return []
    hue, marker = look
    x, y = kept["x"].to_numpy(float), kept["metric"].to_numpy(float)
    last = rows["x"].max()
    xs, ys = np.array([*x, last]), np.array([*y, y[-1]])
    ax.step(xs, ys, where="post", color=hue, lw=1.5, zorder=3)
    ax.axhline(y[0], color=style.muted(ax, 0.5), lw=1, ls="--", zorder=1)
    if np.isfinite(spread := style.noise(rows)):
        shade: dict[str, Any] = {"color": hue, "alpha": 0.2, "lw": 0, "zorder": 0.5}
        words = "± one run's noise" if name == "kept" else None
        ax.fill_between(xs, ys - spread, ys + spread, step="post", label=words, **shade)
    _bars(ax, kept, hue, 3.5)
    size, edge = _size(len(rows), 42, 16), ax.get_facecolor()
    ax.scatter(x, y, s=size, color=hue, marker=marker, ec=edge, lw=0.6, zorder=4, label=name)
    corners = []
    for i, (left, level) in enumerate(zip(x, y, strict=True)):
        right = x[i + 1] if i + 1 < len(x) else last
        corners += [(left, level), (right, level)]
    return corners


def _bars(ax: Axes, rows: pd.DataFrame, hue: Any, zorder: float) -> None:
    """Draw a bar of one standard error through each point with several runs."""
    several = rows[np.isfinite(rows["metric"]) & rows["error"].notna()]
    x, y, error = (several[name].to_numpy(float) for name in ("x", "metric", "error"))
    ax.vlines(x, y - error, y + error, color=hue, lw=1.2, zorder=zorder)


def _others(ax: Axes, df: pd.DataFrame, better: float) -> None:
    """Draw what is not on the line: discards, those beyond an edge, crashes, quarantined ones."""
    low, high = ax.get_ylim()
    worse, best = (0.985, 0.015) if better < 0 else (0.015, 0.985)  # in axes, not in data
    nothing, kept = df["metric"].isna(), df["status"] == "keep"
    above, below = df["metric"] > high, df["metric"] < low
    inside = ~nothing & ~above & ~below & ~kept
    strange, other = df["status"] == "quarantine", ~df["status"].isin(style.STATUSES)
    crashed, ended = df["status"] == "crash", df["status"] == "discard"  # before it was scored
    size, grey, red = _size(len(df), 26, 7), style.muted(ax, 0.45), style.colour(1)

    def points(label: str, where: pd.Series, at: float | None = None, **looks: Any) -> None:
        if not where.any():
            return
        chosen, y = df[where], df.loc[where, "metric"]
        if at is not None:
            y = [at] * len(chosen)
            looks |= {"clip_on": False, "zorder": 5, "transform": ax.get_xaxis_transform()}
        ax.scatter(chosen["x"], y, s=size, label=label, **looks)

    points("discarded", inside & ~strange & ~other, color=grey, lw=0, zorder=2)
    points("other", inside & other, marker="s", color=grey, lw=0, zorder=2)
    points("quarantined", inside & strange, marker="D", fc="none", ec=red, zorder=4)
    _bars(ax, df[inside], grey, 1.9)
    beyond, word = above if better < 0 else below, "off the scale"
    points(word, beyond, worse, marker="^" if better < 0 else "v", color=grey, lw=0)
    beyond, word = below if better < 0 else above, "too good to draw"
    points(word, beyond, best, marker="v" if better < 0 else "^", color=red, lw=0)
    points("stopped early", nothing & ended, worse, marker="x", color=grey, lw=1.2)
    points("crashed", nothing & crashed, worse, marker="x", color=red, lw=1.2)
    points("no number", nothing & ~ended & ~crashed, worse, marker="+", color=grey, lw=1.2)


def _limits(df: pd.DataFrame, better: float) -> tuple[float, float]:
    """Return y limits that show every kept value, most discards, bars and room for labels."""
    losses, error = df["metric"].to_numpy(float) * -better, df["error"].fillna(0).to_numpy(float)
    seen = np.isfinite(losses)
    kept = seen & (df["status"] == "keep").to_numpy()
    band = np.nan_to_num(style.noise(df))
    room = ROOM_FOR_LABELS * min(kept.sum(), labels.MAX_LABELS) / labels.MAX_LABELS
    if not seen.any():
        return 0.0, 1.0
    kept = kept if kept.any() else seen
    best, worst = losses[kept].min() - band, losses[kept].max() + band
    height = (worst - best) or abs(best) * 0.01 or 1.0
    # A discard a little beyond what was kept belongs into the picture, a blow-up does not.
    losses, error = losses[seen], error[seen]
    best = min(best, max((losses - error).min(), best - height * 0.5))
    worst = max(worst, min(np.quantile(losses + error, 0.95), worst + height * 0.5))
    height = max(height, worst - best)
    ends = worst + height * 0.08, best - height * (0.06 + room)
    low, high = sorted(-better * end for end in ends)
    return low, high


def _title(df: pd.DataFrame, campaigns: dict[str, Any], metric: str) -> str:
    tried = tables.tries(df)  # the starting point is none
    kept = int((tried["status"] == "keep").sum())
    title = f"{len(tried)} experiment{'s' * (len(tried) != 1)}, {kept} kept"
    values = df.loc[df["status"] == "keep", "metric"].dropna()
    if len(campaigns) == 1 and len(values) > 1:
        title += f", {metric} {values.iloc[0]:.4g} → {values.iloc[-1]:.4g}"
    return title


def _size(n: int, most: float, least: float) -> float:
    """Return a marker area in points²: `most` up to 50 points, then less, at least `least`."""
    return float(np.clip(most * (50 / max(n, 1)) ** 0.5, least, most))
