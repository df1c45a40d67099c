"""Loss over progress: a run's own curve, and whether another's says that it has become hopeless.

The loss is what the code under experiment says of itself. A lie can let a run go on or end it early
and no more: whoever goes on is scored as ever, whoever is ended has no metric.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from typing import Any

CURVE_POINTS = 64
LARGEST = 1e30  # a loss that is no longer one
LOOK = 0.08  # progress between two looks: some points of the other curve, and tens of steps
LOOKS = 2  # in a row, each over steps of its own
LOOK_STEPS = 4  # with fewer, nobody can tell how far the loss scatters
CERTAIN = 3.0  # standard errors; half of the scatter is the other curve's and not seen here


class Curve:
    """Loss over progress, at most 64 points, evenly spread however many steps there are."""

    def __init__(self) -> None:
        self._points: list[list[float]] = []
        self._stride = 1
        self._sum, self._count = 0.0, 0

    def add(self, progress: float, loss: float) -> None:
        """Take a step's loss; points are means over equally many steps."""
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count < self._stride:
            return
        self._points.append([round(progress, 4), self._sum / self._count])
        self._sum, self._count = 0.0, 0
        if len(self._points) == CURVE_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [[b[0], (a[1] + b[1]) / 2] for a, b in pairs]
            self._stride *= 2

    def points(self) -> list[list[float]]:
        """Return ``[progress, loss]`` pairs."""
        return [[progress, float(f"{loss:.5g}")] for progress, loss in self._points]


class Comparison:
    """A run's loss beside the baseline's at the same progress.

    Each look takes the mean, over the steps of one stretch of progress, of the run's loss divided
    by the baseline's. It is bad when that is above `limit` by three standard errors. Two bad looks
    in a row make a run hopeless.

    Parameters
    ----------
    early
        ``curve``: the baseline's ``[progress, loss]`` pairs, each the mean up to that progress;
        ``limit``: the factor on its loss that is too much; ``from``: the progress at which the
        first look begins.
    """

    def __init__(self, early: Mapping[str, Any]) -> None:
        self._curve = [(float(progress), float(loss)) for progress, loss in early["curve"]]
        self._limit = float(early["limit"])
        self._begin = self._first = float(early["from"])
        self._times: list[float] = []
        self._bad, self._since = 0, self._begin
        # Factors on a loss that may be negative or zero mean nothing.
        self._usable = bool(self._curve) and all(loss > 0 for _, loss in self._curve)

    def add(self, progress: float, loss: float) -> str:
        """Take a step's loss; return why the run is hopeless, in words, or ``""``."""
        if not self._usable or progress < self._first:
            return ""
        loss = loss if abs(loss) < LARGEST else math.nan
        at = bisect.bisect_left(self._curve, (progress, -math.inf))
        self._times.append(loss / self._curve[min(at, len(self._curve) - 1)][1])
        if progress < self._begin + LOOK or len(self._times) < LOOK_STEPS:
            return ""
        times, error = _mean(self._times)
        bad = not times - CERTAIN * error <= self._limit  # also when it is no number
        if not bad or not self._bad:
            self._since = self._begin
        self._bad = self._bad + 1 if bad else 0
        self._begin, self._times = progress, []
        if self._bad < LOOKS or progress >= 1:
            return ""
        return (
            f"hopeless: from progress {self._since:.2f} to {progress:.2f} its training loss stayed "
            f"above {self._limit:.4g} times the baseline's, in the end {times:.4g} times "
            f"({_words(error)})"
        )


def _mean(times: list[float]) -> tuple[float, float]:
    """Return the mean and its standard error; not a number when one of them is none."""
    middle = sum(times) / len(times)
    if not math.isfinite(middle):
        return math.nan, math.nan
    variance = sum((one - middle) * (one - middle) for one in times) / (len(times) - 1)
    return middle, math.sqrt(variance / len(times))


def _words(error: float) -> str:
    return f"standard error {error:.2g}" if math.isfinite(error) else "it is not a number"
