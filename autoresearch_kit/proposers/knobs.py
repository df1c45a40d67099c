"""Where a constant may go: its range, from a hint or its value, and how to write what was found."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from autoresearch_kit import source
from autoresearch_kit.source import Range, Value

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class Knob:
    """One constant that may be tuned: its present value and where it may go.

    With `powers` the sampler sees the exponent of two; `low` and `high` are exponents too.
    """

    key: str
    value: Value
    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False
    powers: bool = False
    choices: tuple[Value, ...] = ()

    def distribution(self) -> Any:
        """Return what Optuna has to sample from."""
        from optuna import distributions as d

        if self.choices:
            return d.CategoricalDistribution(list[Any](self.choices))
        if self.whole:
            return d.IntDistribution(int(self.low), int(self.high), log=self.log)
        return d.FloatDistribution(self.low, self.high, log=self.log)

    def read(self, value: Any) -> Any:
        """Return the sampler's parameter for a value, at the range's end if it is beyond it."""
        if self.choices:
            return next((c for c in self.choices if source.identical(c, value)), None)
        if not source.is_number(value) or (self.powers and value < 1):
            return None
        at = math.log2(value) if self.powers else value
        at = min(max(at, self.low), self.high)
        return round(at) if self.whole else float(at)

    def write(self, param: Any) -> Value:
        """Return the value of a parameter, rounded the way a person would write it."""
        if self.choices:
            return param  # type: ignore[no-any-return]
        if self.powers:
            return int(2 ** round(param))
        scale = math.floor(math.log10(self.high - self.low))
        if self.whole:
            rounded = round(param, min(0, 2 - scale))
            return int(min(max(rounded, self.low), self.high))
        # Two digits are enough to see the effect of a rate that goes over a wide range.
        wide = self.log and self.high >= 2 * self.low
        rounded = float(f"{param:.2g}") if wide else round(param, 2 - scale)
        return float(min(max(rounded, self.low), self.high)) + 0.0  # no -0.0

    def near(self) -> Knob:
        """Return the half of the range that lies around the present value."""
        centre = self.read(self.value)
        if self.choices or centre is None:
            return self
        if self.log:
            reach = (self.high / self.low) ** 0.25
            low, high = centre / reach, centre * reach
        else:
            reach = (self.high - self.low) / 4
            low, high = centre - reach, centre + reach
        if self.whole:
            low, high = min(round(low), centre - 1), max(round(high), centre + 1)
        return dataclasses.replace(self, low=max(low, self.low), high=min(high, self.high))

    def away(self, value: Any) -> float:
        """Return how far a value is from the present one, as a signed share of the range."""
        at, centre = self.read(value), self.read(self.value)
        if self.choices or at is None or centre is None or self.low == self.high:
            return 0.0
        if self.log:
            return math.log(at / centre) / math.log(self.high / self.low)
        return float((at - centre) / (self.high - self.low))

    def moved(self, rng: np.random.Generator, spread: float) -> Value:
        """Return a random value near the present one; `spread` is a share of the range."""
        centre = self.read(self.value)
        if self.choices:
            others = [c for c in self.choices if not source.identical(c, self.value)]
            return others[rng.integers(len(others))] if others else self.value
        if centre is None:
            return self.write(rng.uniform(self.low, self.high))
        if self.log:
            return self.write(
                min(
                    max(centre * (self.high / self.low) ** rng.normal(0, spread), self.low),
                    self.high,
                )
            )
        step = rng.normal(0, spread) * (self.high - self.low)
        if self.whole and abs(step) < 1:
            step = math.copysign(1, step)
        return self.write(min(max(centre + step, self.low), self.high))


def knob(key: str, constant: source.Constant) -> Knob | None:
    """Return where a constant may go; None when it has to stay."""
    value = constant.value
    if is_seed(constant.name) or isinstance(value, tuple):
        return None
    allowed = source.parse_hint(constant.hint, value)
    if isinstance(allowed, tuple):
        return Knob(key, value, choices=allowed) if allowed else None
    if isinstance(value, bool):
        return Knob(key, value, choices=(False, True))
    if isinstance(value, str):
        return None
    reach = allowed or _default_range(value)
    if reach is None:
        return None
    whole = isinstance(value, int) and isinstance(reach.low, int)
    ends = (value, reach.low, reach.high)
    if whole and value >= 16 and all(isinstance(e, int) and _is_power(e) for e in ends):
        low, high = (round(math.log2(end)) for end in (reach.low, reach.high))
        return Knob(key, value, low, high, whole=True, powers=True)
    return Knob(key, value, reach.low, reach.high, reach.log, whole)


def _default_range(value: float) -> Range | None:
    """Return the range of a number without a hint; None for -1, a sentinel more often than not."""
    if isinstance(value, int):
        if value == -1:
            return None
        if value <= 0:
            return Range(2 * value, value // 2) if value else Range(0, 1)
        return Range(max(1, min(value // 2, value - 1)), 2 * value, log=True)
    if value == 0:
        return Range(0.0, 0.1)
    if value < 0:
        return Range(2 * value, value / 2)
    if 0.9 <= value < 1:  # momentum and decay: what counts is the distance from 1
        return Range(1 - 4 * (1 - value), 1 - (1 - value) / 4)
    return Range(value / 4, min(4 * value, 1.0) if value < 1 else 4 * value, log=True)


def _is_power(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def is_seed(name: str) -> bool:
    """Tell whether a constant is a random seed, which is never tuned."""
    last = name.rpartition(".")[2].upper()
    return last == "SEED" or last.endswith("_SEED")
