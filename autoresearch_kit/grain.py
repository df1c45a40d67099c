"""How finely proposers may see scores: in steps of half the noise between two runs.

What is finer than that tells a proposer nothing about its idea, but enough of it, asked often,
lets the validation set leak into the choices. Records keep every digit.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from decimal import Decimal

from autoresearch_kit import noise
from autoresearch_kit.records import Record


@dataclasses.dataclass(frozen=True)
class Grain:
    """The step that scores are rounded to, and the noise that it comes from.

    Attributes
    ----------
    unit
        In units of the metric; 0 while nothing is known to derive it from.
    noise
        Standard deviation of one run, in units of the metric; None while nobody measured it.
    """

    unit: float
    noise: float | None

    def score(self, value: float | None) -> str:
        """Return a value rounded to the unit; ``-`` for None."""
        if value is None:
            return "-"
        # Also far away, where all the digits of a script's or a model's number are only long.
        if not self.unit or not abs(value) < 1e9 * self.unit:
            return f"{value:.3g}"
        digits = _decimals(self.unit)
        return f"{round(value / self.unit) * self.unit + 0.0:.{digits}f}"

    def change(self, delta: float | None) -> str:
        """Return a signed difference rounded to the unit; ``0`` where it can't be seen."""
        rounded = self.score(delta)
        if delta is None:
            return rounded
        number = float(rounded)
        return f"+{rounded}" if number > 0 else rounded if number < 0 else "0"

    def __str__(self) -> str:
        """Return what the unit is, in a sentence for whoever reads the scores."""
        if self.noise:
            return (
                f"Scores are rounded to {self.unit:.2g}, half the standard deviation "
                f"({self.noise:.2g}) between runs of the same code on other seeds. A difference "
                "below two of these deviations may well be luck."
            )
        step = f" (steps of {self.unit:g})" if self.unit else ""
        return (
            f"Scores are rounded to three digits{step}. How much runs of the same code differ has "
            "not been measured yet: take the last digit for noise."
        )


def of(records: Sequence[Record]) -> Grain:
    """Return the grain of a campaign's scores.

    The noise is the pooled standard deviation over all experiments with several runs, else what
    the newest record that names one says. Without noise the unit leaves three digits of the
    metric.
    """
    pooled = noise.of(_seeded(record) for record in records).sd
    spread = pooled or next((r.noise for r in reversed(records) if r.noise), None)
    if spread:
        return Grain(float(f"{spread / 2:.2g}"), spread)
    kept = [r.value for r in records if r.status == "keep" and r.value]
    values = kept or [r.value for r in records if r.value]
    return Grain(10.0 ** (math.floor(math.log10(abs(values[-1]))) - 2) if values else 0.0, None)


def reason(record: Record) -> str:
    """Return why a verdict came about, "" where the words would tell a score's digits."""
    plain = record.status in ("keep", "discard", "quarantine")
    return "" if plain and re.search(r"\d\.\d", record.reason) else record.reason


def _seeded(record: Record) -> Record:
    """Return a record without the runs whose script doesn't read the seed.

    They are the same run again: what differs between them is no noise of seeds.
    """
    runs = tuple(run for run in record.replicates if run.get("seed_injected") is not False)
    all_ = len(runs) == len(record.replicates)
    return record if all_ else dataclasses.replace(record, replicates=runs)


def _decimals(unit: float) -> int:
    exponent = Decimal(f"{unit:.2g}").normalize().as_tuple().exponent
    return max(0, -int(exponent))
