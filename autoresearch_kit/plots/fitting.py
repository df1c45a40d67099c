"""Words and ticks for the room there is, also where a figure gets another size or layout later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.ticker
from matplotlib.artist import Artist

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

TICK = 4.0
"""Room for a tick's label beside the next one, in its font sizes."""


class Fitted(Artist):
    """Nothing to be seen: calls ``place(ax, renderer)`` before Axes are drawn with another room."""

    def __init__(self, place: Callable[[Axes, Any], None]) -> None:
        super().__init__()
        self.place = place
        self.room: tuple[float, ...] = ()
        self.set_zorder(-1e9)  # what it places is drawn after it
        self.set_in_layout(False)

    def draw(self, renderer: Any) -> None:
        """Place what has to fit, when size or limits are not those of the last time."""
        ax: Any = self.axes
        now = (*ax.bbox.bounds, *ax.figure.bbox.bounds, *ax.viewLim.bounds)
        if now != self.room:
            self.room = now
            self.place(ax, renderer)


def fit(ax: Axes, text: Text, choices: Sequence[str]) -> None:
    """Let `text` be the first of `choices` that there is room for, or the last one."""
    ax.add_artist(Fitted(partial(_fit, text, tuple(choices))))


def _fit(text: Text, choices: tuple[str, ...], ax: Axes, renderer: Any) -> None:
    if text.get_text() not in choices:
        return  # the user has written something else
    upright = text.get_rotation() == 90.0
    for words in choices:
        text.set_text(words)
        box = text.get_window_extent(renderer)
        whole = ax.figure.bbox
        if upright:
            fits = box.height <= 1.05 * ax.bbox.height
        elif len(ax.figure.axes) == 1:
            fits = box.x0 >= whole.x0 and box.x1 <= whole.x1
        else:
            fits = box.width <= 1.15 * ax.bbox.width
        if fits:
            return


def ticks(ax: Axes, renderer: Any) -> None:
    """Take as many ticks of the x axis as there is room for."""
    del renderer
    locator = ax.xaxis.get_major_locator()
    size = font_size("xtick.labelsize")
    most = int(inches(ax) * 72 / size / TICK)
    if isinstance(locator, mpl.ticker.MaxNLocator):
        locator.set_params(nbins=min(9, max(3, most)))
    elif isinstance(locator, mpl.ticker.LogLocator) and len(ax.get_xticks()) > most:
        locator.set_params(subs=(1.0,))


def inches(ax: Axes) -> float:
    """Return the width of Axes as they are now."""
    return float(ax.bbox.width / ax.figure.figure.dpi)


def slot(ax: Axes) -> float:
    """Return the width in inches that Axes have with all that stands beside them."""
    whole = float(ax.figure.bbox.width / ax.figure.figure.dpi)
    spec = ax.get_subplotspec()
    if spec is None:
        return min(whole, 1.3 * inches(ax))
    return whole * len(spec.colspan) / spec.get_gridspec().ncols


def font_size(name: Any) -> float:
    """Return a font size of rcParams in points."""
    size = mpl.font_manager.FontProperties(size=mpl.rcParams[name]).get_size_in_points()
    return float(size)


def characters(ax: Axes, share: float) -> int:
    """Return how many characters of a tick's label take that share of the width there is."""
    return int(share * slot(ax) * 72 / font_size("ytick.labelsize") / 0.55)
