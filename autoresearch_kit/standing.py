"""What holds now: later records, folded into the experiments that they are about.

A record never changes, so whatever is learned or decided later is a record of its own. Its `kind`
says what it does to the experiment `about`:

- ``override``: a person gave it another verdict;
- ``rewind``: a person made it the best state again, and what was kept since counts no more;
- ``repeat``: it was run on further seeds, which count as its own;
- ``audit``, ``ablation``, ``transfer``: something was learned, and nothing changed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from autoresearch_kit.records import Record

VERDICTS = ("override", "rewind", "")
"""Kinds of later records that give an experiment another verdict."""


@dataclasses.dataclass(frozen=True)
class Standing:
    """A campaign as of now.

    Attributes
    ----------
    experiments
        Their records by number, with the status and the replicates as of now.
    line
        The numbers of the kept ones, from the baseline to the best state.
    later
        The records about earlier experiments, by number.
    """

    experiments: Sequence[Record]
    line: Sequence[int]
    later: Sequence[Record]

    @property
    def best(self) -> Record | None:
        """The best state's record; None while the baseline is not scored."""
        best = self.line[-1] if self.line else None
        return next((r for r in reversed(self.experiments) if r.n == best), None)


def of(found: Sequence[Record]) -> Standing:
    """Return where a campaign stands after the records `found`."""
    known: dict[int, Record] = {}
    line: list[int] = []
    later: list[Record] = []
    decided = {record.n: record.decided for record in found}

    def when(record: Record) -> tuple[str, int]:
        # Clocks of two machines differ, but what is about a record came after it.
        about = "" if record.about is None else decided.get(record.about, "")
        return max(record.decided, about), record.n

    for record in sorted(found, key=when):
        if record.about is None:
            known[record.n] = record
            if record.status == "keep":
                line.append(record.n)
            continue
        later.append(record)
        if (subject := known.get(record.about)) is None:
            continue  # a partial clone: what it is about is not here
        if record.kind == "repeat":
            known[subject.n] = _with_runs(subject, record)
        elif record.kind in VERDICTS:
            _judge(known, line, subject, record)
    by_number = sorted(known.values(), key=lambda r: r.n)
    return Standing(by_number, line, sorted(later, key=lambda r: r.n))


def _judge(known: dict[int, Record], line: list[int], subject: Record, later: Record) -> None:
    reason = later.reason or later.hypothesis
    if later.kind == "rewind":
        at = line.index(subject.n) + 1 if subject.n in line else len(line)
        _cut(known, line, at, f"rewound to {subject.n:04d}: {reason}")
    elif later.status != subject.status:
        if subject.n in line:
            at = line.index(subject.n)
            _cut(known, line, at + 1, f"{subject.n:04d} below it is {later.status}: {reason}")
            line.pop()
        words = f"was {subject.status}: {reason}"
        known[subject.n] = dataclasses.replace(subject, status=later.status, reason=words)
        if later.status == "keep":
            line.append(subject.n)


def _cut(known: dict[int, Record], line: list[int], at: int, reason: str) -> None:
    """Take what was kept from place `at` of the line on out of it."""
    for n in line[at:]:
        words = f"was {known[n].status}: {reason}"
        known[n] = dataclasses.replace(known[n], status="discard", reason=words)
    del line[at:]


def _with_runs(subject: Record, later: Record) -> Record:
    """Return a record with further runs; what it was compared with stays the same."""
    seeds = {run["seed"] for run in subject.replicates}
    new = [run for run in later.replicates if run["seed"] not in seeds]
    replicates = (*subject.replicates, *new)
    if subject.value is None or not new:
        return subject
    value = statistics.fmean(float(run["value"]) for run in replicates)
    delta = None if subject.delta is None else subject.delta + value - subject.value
    return dataclasses.replace(subject, replicates=replicates, value=value, delta=delta)
