"""Labels beside points, none of them on a point, a line or another label."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.text import Text

from autoresearch_kit.plots import fitting, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

MAX_LABELS = 25
LONG, SHORT = 52, 36  # characters of a hypothesis
SMALL = 200  # points of width below which numbers are all there is room for
ASIDE = (8, 20, 40, 70, 110, 160, 220)  # pixels


def write(
    ax: Axes,
    chosen: pd.DataFrame,
    bars: np.ndarray,
    corners: Sequence[tuple[float, float]],
    better: float,
) -> None:
    """Write hypotheses beside points, the first of `chosen` first.

    Each label goes to the nearest place where it touches no point, no line and no other label;
    one that finds none shows the number alone, or nothing at all.

    Parameters
    ----------
    chosen
        Rows with ``x``, ``metric``, ``experiment`` and ``hypothesis``, the most important first.
    bars
        ``(n, 4)``: both ends of the error bar of every point, as x, y, x, y in data units.
    corners
        Of the line, in data units.
    better
        1.0 or -1.0: the side of the line on which no experiment lies.
    """
    if chosen.empty:
        return
    looks: dict[str, Any] = {"textcoords": "offset points", "zorder": 6, "annotation_clip": False}
    stroke = {"arrowstyle": "-", "color": style.muted(ax, 0.3), "lw": 0.6, "shrinkA": 0}
    few = len(chosen) <= 12
    found = []
    names = ("experiment", "x", "metric", "hypothesis")
    for n, *where, hypothesis in zip(*(chosen[name].tolist() for name in names), strict=True):
        at = (float(where[0]), float(where[1]))
        text = ax.annotate("", at, (0, 0), color=style.muted(ax, 0.9), va="center", **looks)
        text.set_fontsize("small" if few else "x-small")
        leader = ax.annotate("", at, (0, 0), arrowprops=stroke, **looks)
        for part in (text, leader):
            part.set_in_layout(False)
        # The number alone is enough for show(campaign, n).
        lengths = (LONG, SHORT, 0) if few else (SHORT, 0)
        words = [f"{n} {style.plain(hypothesis, most)}" if most else str(n) for most in lengths]
        found.append(_Label(at, text, leader, words))
    style.arrange(ax.figure.figure)
    placed = fitting.Fitted(functools.partial(_write, found, bars, corners, better))
    ax.add_artist(placed)
    placed.place(ax, None)


class _Label(NamedTuple):
    """What may stand beside a point, the longest words first."""

    at: tuple[float, float]
    text: Annotation
    leader: Annotation
    words: list[str]


def _write(
    found: Sequence[_Label],
    bars: np.ndarray,
    corners: Sequence[tuple[float, float]],
    better: float,
    ax: Axes,
    renderer: Any,
) -> None:
    to_pixels, inside = ax.transData.transform, ax.bbox
    ends = to_pixels(bars.reshape(-1, 2)).reshape(-1, 4)
    dots = _boxes(ends[:, :2].T, ends[:, 2:].T, 3.0)
    line = to_pixels(np.array(corners))
    taken = _boxes(line[:-1].T, line[1:].T, 2.0)
    points = 72 / ax.figure.figure.dpi
    small = inside.width * points < SMALL
    for at, label, leader, choices in found:
        x, y = to_pixels(at)
        place = None
        for words in choices[-1:] if small else choices:
            label.set_text(words)
            place = _place((x, y), _size_of(label, renderer), better, inside, taken, dots)
            if place is not None:
                break
        leader.set_visible(place is not None)
        if place is None:
            label.set_text("")
            continue
        text, end = place
        taken = np.hstack([taken, text.reshape(4, 1), _leaders((x, y), end).reshape(4, 1)])
        label.set_position(((text[0] + 2 - x) * points, ((text[1] + text[3]) / 2 - y) * points))
        leader.set_position(((end[0] - x) * points, (end[1] - y) * points))


def spread(wanted: Sequence[float], height: float) -> np.ndarray:
    """Return places at least `height` apart, each as near to the wanted one as can be."""
    order = np.argsort(wanted, kind="stable")
    # Runs of labels that touch are moved as one, around the mean of where they want to be.
    blocks: list[list[float]] = []  # sum of the wanted starts, number of labels
    for rank, place in enumerate(np.asarray(wanted, float)[order]):
        blocks.append([place - rank * height, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    starts = [total / count for total, count in blocks for _ in range(int(count))]
    places = np.empty(len(order))
    steps = height * np.arange(len(order))
    places[order] = np.maximum(np.array(starts) + steps, height / 2 + steps)  # none below zero
    return places


def _size_of(label: Annotation, renderer: Any) -> tuple[float, float]:
    # Of the text alone: an annotation's own extent reaches to its point.
    extent = Text.get_window_extent(label, renderer)
    return extent.width, extent.height


def _place(
    at: tuple[float, float],
    size: tuple[float, float],
    better: float,
    inside: Bbox,
    taken: np.ndarray,
    dots: np.ndarray,
) -> tuple[np.ndarray, tuple[float, float]] | None:
    """Return the box of a label and the end of its leader, the nearest that are free, or None.

    A leader may cross dots where the label would have to go much farther otherwise.
    """
    x, y = at
    width, height = size
    # No experiment lies on the better side of the line: straight down (or up), text on any side.
    share, step = (grid.ravel() for grid in np.meshgrid((1.0, 0.0, 0.5), np.arange(1, 60)))
    edge = y + better * height * (0.1 + 0.5 * step)
    middle = edge + better * height / 2
    under = np.array([step * height / 2, x - width * share, middle, np.full_like(edge, x), edge])
    # On the other side where the discards leave room: where the line is steep.
    aside, step = (grid.ravel() for grid in np.meshgrid(ASIDE, np.arange(24)))
    middle = y - better * height * (0.7 + 0.5 * step)
    beside = np.array([aside + step * height / 2, x + aside, middle, x + aside, middle])
    far, start, middle, *end = np.hstack([under, beside])
    margin = 0.02 * inside.width
    start = np.clip(start, inside.x0 + margin, inside.x1 - width - margin)
    text = _boxes((start, middle - height / 2), (start + width, middle + height / 2), 2.0)
    leader = _leaders(at, end)
    if width > inside.width - 2 * margin:
        return None
    free = (text[1] >= inside.y0) & (text[3] <= inside.y1)
    free &= ~(_touch(text, taken) | _touch(text, dots) | _touch(leader, taken))
    if not free.any():
        return None
    cost = far + 6 * height * _touch(leader, dots)
    best = np.flatnonzero(free)[np.argmin(cost[free])]
    return text[:, best], (float(end[0][best]), float(end[1][best]))


def _touch(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which of the boxes touch any of the others; both ``(4, n)``."""
    x0, y0, x1, y1 = boxes[:, :, np.newaxis]
    left, low, right, high = others
    touch: np.ndarray = ((left < x1) & (right > x0) & (low < y1) & (high > y0)).any(axis=1)
    return touch


def _leaders(point: Sequence[Any], end: Sequence[Any]) -> np.ndarray:
    """Return the boxes of leaders without the part that touches their point."""
    x, y = point
    away = np.sign(end[1] - y) * 5, np.sign(end[0] - x) * 5
    return _boxes((x + away[1], y + away[0]), end, 0.5)


def _boxes(a: Any, b: Any, pad: float) -> np.ndarray:
    """Return left, low, right and high of boxes around two points, `pad` pixels wider."""
    low, high = np.minimum(a, b) - pad, np.maximum(a, b) + pad
    return np.array([low[0], low[1], high[0], high[1]])
