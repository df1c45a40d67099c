"""Pictures of a campaign. Each takes the table of `history` and returns matplotlib Axes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

NEEDED = ("experiment", "metric", "status")

MAX_LABELS = 25
MAX_LABEL = 36  # characters
ROOM_FOR_LABELS = 0.4  # of the height that the points take, at most


def progress(df: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the staircase: each experiment's metric, and the best kept one so far.

    Kept experiments are filled points on the staircase, the largest gains of them labelled with
    their hypotheses; discarded ones are grey; crashes, which have no metric, are crosses at the
    worse edge. Points far worse than the baseline are drawn as triangles at that edge, so that
    one of them does not flatten the rest. Colours, fonts and sizes follow rcParams and style
    sheets: the first colour of the cycle is kept, the second crashed.

    Parameters
    ----------
    df
        What `history` returned, or any table with ``experiment``, ``metric`` and ``status``;
        ``df.attrs`` may hold ``metric``, ``unit`` and ``goal`` ("minimize" unless given).
    ax
        Where to draw; a new figure unless given.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns in the table have different goals.
    """
    import matplotlib.pyplot as plt

    if missing := [name for name in NEEDED if name not in df]:
        raise ValueError(
            f"the table has no column {missing[0]!r}; expected what ark.history(...) returns"
        )
    goal = df.attrs.get("goal", "minimize")
    if goal not in {"minimize", "maximize"}:
        raise ValueError(
            "the campaigns in this table have different goals; draw one of them: "
            "ark.plots.progress(ark.history(lab, ref='nov23'))"
        )
    if ax is None:
        default = mpl.rcParams["figure.figsize"] == mpl.rcParamsDefault["figure.figsize"]
        _, ax = plt.subplots(figsize=(10, 5.5) if default else None, layout="constrained")

    judged_again = df["about"].notna() if "about" in df else np.zeros(len(df), bool)
    df = df[~judged_again & (df["status"] != "refused")]
    grouped = df.groupby("campaign") if "campaign" in df else [("", df)]
    campaigns = {str(name): rows for name, rows in grouped}
    better = 1.0 if goal == "maximize" else -1.0
    ax.set_ylim(*_limits(df, better))
    corners: list[tuple[float, float]] = []
    for i, (name, rows) in enumerate(campaigns.items()):
        colour = mpl.colors.to_rgba(f"C{i if i == 0 else i + 1}")  # the second one is for crashes
        corners += _staircase(ax, rows, colour, name if len(campaigns) > 1 else "kept")
    _others(ax, df, better)

    metric, unit = df.attrs.get("metric") or "metric", df.attrs.get("unit", "")
    direction = "lower is better" if better < 0 else "higher is better"
    ax.set_xlabel("experiment", loc="left")
    ax.set_ylabel(f"{metric} ({unit + '; ' if unit else ''}{direction})")
    ax.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    ax.margins(x=0.02)
    ax.set_title(_title(df, campaigns, metric), loc="left")
    if ax.get_legend_handles_labels()[0]:  # below the tick labels, beside the axis' name
        below: dict[str, Any] = {"bbox_to_anchor": (1, 0), "borderaxespad": 1.8, "frameon": False}
        ax.legend(loc="upper right", ncols=5, handletextpad=0.2, columnspacing=1.2, **below)
    if len(campaigns) == 1 and "hypothesis" in df:
        _label(ax, df, corners, better)
    return ax


def _staircase(ax: Axes, rows: pd.DataFrame, colour: Any, name: str) -> list[tuple[float, float]]:
    """Draw one campaign's kept experiments; return the corners of its line in data units."""
    kept = rows[(rows["status"] == "keep") & rows["metric"].notna()]
    if kept.empty:
        return []
    x, y = kept["experiment"].to_numpy(float), kept["metric"].to_numpy(float)
    last = rows["experiment"].max()
    edge = ax.get_facecolor()
    ax.step([*x, last], [*y, y[-1]], where="post", color=colour, lw=1.5, zorder=3)
    ax.axhline(y[0], color=_muted(ax, 0.5), lw=1, ls="--", zorder=1)
    size = _size(len(rows), 42, 16)
    ax.scatter(x, y, s=size, color=colour, edgecolor=edge, lw=0.6, zorder=4, label=name)
    corners = []
    for i, (left, level) in enumerate(zip(x, y, strict=True)):
        right = x[i + 1] if i + 1 < len(x) else last
        corners += [(left, level), (right, level)]
    return corners


def _others(ax: Axes, df: pd.DataFrame, better: float) -> None:
    """Draw what was not kept: discards, those beyond the edge, crashes, quarantined ones."""
    limits = ax.get_ylim()
    worse, edge, arrow = (limits[1], 0.985, "^") if better < 0 else (limits[0], 0.015, "v")
    rest = df[df["status"] != "keep"]
    nothing = rest["metric"].isna()
    ended = nothing & (rest["status"] == "discard")  # hopeless, so before it was scored
    crashed = nothing & ~ended
    beyond = ~nothing & ((rest["metric"] - worse) * better < 0)
    strange = rest["status"] == "quarantine"
    size, grey = _size(len(df), 26, 7), _muted(ax, 0.45)

    def points(label: str, where: pd.Series, **style: Any) -> None:
        if where.any():
            chosen = rest[where]
            if at_edge := "transform" in style:
                style |= {"clip_on": False, "zorder": 5}
            y = [edge] * len(chosen) if at_edge else chosen["metric"]
            ax.scatter(chosen["experiment"], y, s=size, label=label, **style)

    side = ax.get_xaxis_transform()
    points("discarded", ~nothing & ~beyond & ~strange, color=grey, lw=0, zorder=2)
    points("quarantined", ~nothing & strange, marker="D", fc="none", ec="C1", zorder=4)
    points("off the scale", beyond & ~strange, color=grey, lw=0, marker=arrow, transform=side)
    points("stopped early", ended, color=grey, lw=1.2, marker="x", transform=side)
    points("crashed", crashed, color="C1", lw=1.2, marker="x", transform=side)


def _limits(df: pd.DataFrame, better: float) -> tuple[float, float]:
    """Return y limits that show every kept value, most discards and room for labels."""
    losses = df["metric"].to_numpy(float) * -better
    kept = losses[(df["status"] == "keep") & np.isfinite(losses)]
    losses = losses[np.isfinite(losses)]
    if not len(losses):
        return 0.0, 1.0
    kept = kept if len(kept) else losses
    best, worst = kept.min(), kept.max()
    height = (worst - best) or abs(best) * 0.01 or 1.0
    # A discard a little worse than the baseline belongs into the picture, a blow-up does not.
    worst = max(worst, min(np.quantile(losses, 0.95), worst + height * 0.5))
    height = max(height, worst - best)
    room = ROOM_FOR_LABELS * min(len(kept), MAX_LABELS) / MAX_LABELS
    ends = worst + height * 0.08, best - height * (0.08 + room)
    low, high = sorted(-better * end for end in ends)
    return low, high


def _title(df: pd.DataFrame, campaigns: dict[str, Any], metric: str) -> str:
    kept = int((df["status"] == "keep").sum())
    title = f"{', '.join(campaigns)}: {len(df)} experiments, {kept} kept".removeprefix(": ")
    values = df.loc[df["status"] == "keep", "metric"].dropna()
    if len(campaigns) == 1 and len(values) > 1:
        title += f", {metric} {values.iloc[0]:.4g} → {values.iloc[-1]:.4g}"
    return title


def _size(n: int, most: float, least: float) -> float:
    """Return a marker area in points²: `most` up to 50 points, then less, at least `least`."""
    return float(np.clip(most * (50 / max(n, 1)) ** 0.5, least, most))


def _muted(ax: Axes, share: float) -> tuple[float, ...]:
    """Return the text colour mixed into the background, so that it suits light and dark."""
    text = np.array(mpl.colors.to_rgb(mpl.rcParams["text.color"]))
    back = np.array(mpl.colors.to_rgb(ax.get_facecolor()))
    return tuple(share * text + (1 - share) * back)


def _label(
    ax: Axes, df: pd.DataFrame, corners: Sequence[tuple[float, float]], better: float
) -> None:
    """Write hypotheses beside the kept points, the largest gains first.

    Each label goes to the nearest place where it touches no point, no line and no other label;
    one that finds none shows the number alone, or nothing at all.
    """
    kept = df[(df["status"] == "keep") & df["metric"].notna()]
    gains = kept["metric"].diff().abs().iloc[1:].nlargest(MAX_LABELS)
    kept = kept.loc[gains.index]
    figure = ax.get_figure(root=True)
    if kept.empty or figure is None:
        return
    figure.draw_without_rendering()  # a layout engine moves the axes when it draws
    to_pixels, inside = ax.transData.transform, ax.get_window_extent()
    line = to_pixels(np.array(corners))
    dots = to_pixels(df.loc[df["metric"].notna(), ["experiment", "metric"]].to_numpy(float))
    taken = [_box(line[i], line[i + 1], 2.0) for i in range(len(line) - 1)]
    taken += [_box(dot, dot, 3.0) for dot in dots]
    points = 72 / figure.dpi
    style: dict[str, Any] = {"textcoords": "offset points", "zorder": 6, "annotation_clip": False}
    for n, metric, words in zip(kept.experiment, kept.metric, kept.hypothesis, strict=True):
        at = (float(n), float(metric))
        label = ax.annotate(
            f"{n} {_short(str(words))}",
            at,
            (0, 0),
            fontsize=_font_size(len(kept)),
            color=_muted(ax, 0.9),
            va="center",
            **style,
        )
        label.set_in_layout(False)
        x, y = to_pixels(at)
        place = _place(at=(x, y), size=_size_of(label), better=better, inside=inside, taken=taken)
        if place is None:  # the number alone is enough for show(campaign, n)
            label.set_text(str(n))
            place = _place(
                at=(x, y), size=_size_of(label), better=better, inside=inside, taken=taken
            )
        if place is None:
            label.remove()
            continue
        text, end = place
        taken += [text, _leader((x, y), end)]
        label.set_position(((text[0] + 2 - x) * points, ((text[1] + text[3]) / 2 - y) * points))
        stroke = {"arrowstyle": "-", "color": _muted(ax, 0.3), "lw": 0.6, "shrinkA": 0}
        offset = ((end[0] - x) * points, (end[1] - y) * points)
        ax.annotate("", at, offset, arrowprops=stroke, **style).set_in_layout(False)


Box = tuple[float, float, float, float]  # left, low, right, high; in pixels


def _size_of(label: Annotation) -> tuple[float, float]:
    extent = label.get_window_extent()
    return extent.width, extent.height


def _place(
    at: tuple[float, float],
    size: tuple[float, float],
    better: float,
    inside: Bbox,
    taken: Sequence[Box],
) -> tuple[Box, tuple[float, float]] | None:
    """Return the box of a label and the end of its leader, the nearest that are free, or None."""
    x, y = at
    width, height = size
    candidates = []
    # No experiment lies on the better side of the line: straight down (or up), text on any side.
    for share, step in itertools.product((1.0, 0.0, 0.5), range(1, 60)):
        edge = y + better * height * (0.1 + 0.5 * step)
        candidates.append(
            (step * height / 2, x - width * share, edge + better * height / 2, x, edge)
        )
    # On the other side where the discards leave room: where the line is steep.
    for aside, step in itertools.product((8, 20, 40, 70, 110, 160), range(10)):
        middle = y - better * height * (0.7 + 0.5 * step)
        candidates.append((aside + step * height / 2, x + aside, middle, x + aside, middle))
    margin = 0.02 * inside.width
    left, low, right, high = np.array(taken).T
    for _, start, middle, *end in sorted(candidates):
        start = float(np.clip(start, inside.x0 + margin, inside.x1 - width - margin))
        text = _box((start, middle - height / 2), (start + width, middle + height / 2), 2.0)
        if text[1] < inside.y0 or text[3] > inside.y1:
            continue
        boxes = (text, _leader(at, end))
        if not any(
            ((left < box[2]) & (right > box[0]) & (low < box[3]) & (high > box[1])).any()
            for box in boxes
        ):
            return text, (end[0], end[1])
    return None


def _leader(point: Sequence[float], end: Sequence[float]) -> Box:
    """Return the box of a leader without the part that touches its point."""
    x, y = point
    away = np.sign(end[1] - y) * 5, np.sign(end[0] - x) * 5
    return _box((x + away[1], y + away[0]), end, 0.5)


def _box(a: Sequence[float], b: Sequence[float], pad: float) -> Box:
    """Return the box around two points, `pad` pixels wider on each side."""
    (x0, x1), (y0, y1) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    return x0 - pad, y0 - pad, x1 + pad, y1 + pad


def _font_size(labels: int) -> float:
    from matplotlib.font_manager import font_scalings

    base = mpl.rcParams["font.size"]
    return float(base * font_scalings["small" if labels <= 12 else "x-small"])


def _short(text: str) -> str:
    line = " ".join(text.split())
    line = line if len(line) <= MAX_LABEL else line[: MAX_LABEL - 1].rstrip() + "…"
    return line.replace("$", r"\$")  # it would start mathematics
