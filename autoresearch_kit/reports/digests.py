"""One campaign as a report and a paper tell of it: its records as of now, and what follows."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import display, git, goals, histories, noise, standing, stats, task
from autoresearch_kit.records import Record
from autoresearch_kit.sources import HasPath, HasTag, Source
from autoresearch_kit.task import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Digest:
    """A campaign as of now.

    Attributes
    ----------
    place
        What its history was read from: a repository, a bundle or a file.
    ref
        What chooses it there; None where nothing has to.
    told
        The goal that the caller gave; None when it is the history's own.
    repo
        The repository that has the commits; None for a file alone.
    experiments
        Their records by number, later verdicts and repeats folded in.
    line
        The numbers of the kept ones, from the starting point to the best state.
    later
        The records about earlier experiments.
    table
        The same as `history` has it.
    """

    place: Path
    ref: str | None
    told: str | None
    repo: Path | None
    experiments: Sequence[Record]
    line: Sequence[int]
    later: Sequence[Record]
    table: pd.DataFrame

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.experiments[0].campaign

    @property
    def by_number(self) -> Mapping[int, Record]:
        """The records by number."""
        return {record.n: record for record in self.experiments}

    @property
    def start(self) -> Record | None:
        """The starting point; None while nothing was kept."""
        return self.by_number[self.line[0]] if self.line else None

    @property
    def best(self) -> Record | None:
        """The best state, which is the starting point until something else is kept."""
        return self.by_number[self.line[-1]] if self.line else None

    @property
    def keeps(self) -> Sequence[Record]:
        """What was kept on top of the starting point, in order."""
        known = self.by_number
        return [known[n] for n in self.line[1:]]

    @property
    def tries(self) -> Sequence[Record]:
        """All experiments but the starting point."""
        first = self.line[0] if self.line else None
        return [record for record in self.experiments if record.n != first]

    def among(self, *statuses: str) -> Sequence[Record]:
        """Return the tries that have one of these statuses now."""
        return [record for record in self.tries if record.status in statuses]

    def about(self, *kinds: str) -> Sequence[Record]:
        """Return the later records of these kinds."""
        return [record for record in self.later if record.kind in kinds]

    @property
    def authors(self) -> Mapping[str, int]:
        """How many tries each author made, the busiest first; "" where nobody is named."""
        return dict(Counter(record.author for record in self.tries).most_common())

    @property
    def metric(self) -> str:
        """The name of the number that decides."""
        return next((r.metric for r in self.experiments if r.metric), "metric")

    @property
    def unit(self) -> str:
        """Its unit; empty when there is none."""
        return next((r.unit for r in self.experiments if r.unit), "")

    @property
    def goal(self) -> str:
        """``minimize`` or ``maximize``."""
        return str(self.table.attrs.get("goal") or self.experiments[0].goal)

    @property
    def noise(self) -> float | None:
        """Standard deviation of one run as the latest verdict took it, else as its runs show it."""
        known = [record.noise for record in self.experiments if record.noise]
        return known[-1] if known else noise.of(self.experiments).sd or None

    def gain(self, difference: float) -> float:
        """Return a difference of the metric so that more is better."""
        return 0.0 + goals.sign(self.goal) * difference

    @property
    def task(self) -> Task | None:
        """The contract in the baseline commit; None where there is none."""
        if self.repo is None or self.start is None or not self.start.baseline:
            return None
        text = git.read_file(self.repo, self.start.commit, task.FILE)
        return task.parse(text) if text else None

    @property
    def measured(self) -> float | None:
        """How much better the best state measured than the starting point."""
        if self.start is None or self.best is None or self.best is self.start:
            return None
        if self.start.value is None or self.best.value is None:
            return None
        return self.gain(self.best.value - self.start.value)

    @functools.cached_property
    def gains(self) -> pd.DataFrame:
        """What `stats.gains` says of the kept changes, by number, and each one's `chance`."""
        found = stats.gains(self.table).set_index("experiment")
        found["chance"] = self._chances.set_index("experiment")["chance"]
        return found

    @functools.cached_property
    def _chances(self) -> pd.DataFrame:
        return stats.false_keeps(self.table)

    @property
    def believed(self) -> float | None:
        """The same without the luck that keeps are picked for; None when nothing tells."""
        if self.measured is None or self.best is None:
            return None
        return self.of_keep(self.best.n, "cumulative")

    def of_keep(self, n: int, column: str) -> float | None:
        """Return what `gains` says of a kept change; None when it doesn't."""
        if n not in self.gains.index:
            return None
        found = float(self.gains[column].loc[n])
        return found if math.isfinite(found) else None

    @property
    def luck(self) -> float | None:
        """How many keeps are expected to be worth nothing; None when nothing tells."""
        if not self.keeps:
            return 0.0
        expected = float(self._chances.attrs["expected"])
        return expected if math.isfinite(expected) else None

    @property
    def assumed(self) -> Sequence[str]:
        """Where the noise of a run came from that this rests on."""
        return [
            note.removeprefix(f"{self.name}: ") for note in self._chances.attrs.get("notes", ())
        ]

    @property
    def audit(self) -> Record | None:
        """The latest audit; None without any."""
        found = self.about("audit")
        return found[-1] if found else None

    def total(self, column: str) -> float | None:
        """Return the sum of a column of the table; None where it says nothing."""
        if column not in self.table or not self.table[column].notna().any():
            return None
        return float(self.table[column].sum())

    @property
    def span(self) -> tuple[Any, Any] | None:
        """When the first and the last experiment were decided; None when nobody knows."""
        times = self.table["decided"].dropna()
        return (times.min(), times.max()) if len(times) else None


def of(x: Source, ref: str | None = None, goal: str | None = None) -> Digest:
    """Return the one campaign that `x` holds, or that `ref` chooses.

    Raises
    ------
    CampaignError
        When there is none, or there are several and `ref` doesn't say which.
    """
    repo, found = display.choose(x, ref, goal=goal)
    stands = standing.of(list(found.values()))
    if isinstance(x, HasTag):
        place, ref = x.path, x.tag
    else:
        place = x.path if isinstance(x, HasPath) else Path(os.fspath(x)).expanduser()
    table = histories.history(x, ref if not isinstance(x, HasTag) else None, goal)
    return Digest(place, ref, goal, repo, stands.experiments, stands.line, stands.later, table)
