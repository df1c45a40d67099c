"""A campaign told again: what each decision was shown, rebuilt from the table alone."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoresearch_kit import noise
from autoresearch_kit.comparison import Comparison, Evidence, Replicates, compare
from autoresearch_kit.noise import PRIOR_FREEDOM, Noise
from autoresearch_kit.standing import VERDICTS
from autoresearch_kit.stats import tables
from autoresearch_kit.task import TOO_GOOD

if TYPE_CHECKING:
    import pandas as pd

SAME = 1e-9
"""Relative difference from which a recorded noise is not the one of the runs alone."""

_SUSPICION = "a person must look"  # the end of what `decide.two_stage` says of such a gain


@dataclasses.dataclass(frozen=True)
class Step:
    """An experiment and the best state of its time.

    Attributes
    ----------
    n, parent
        Numbers of the experiment and of what it was made on; None when unknown.
    status
        As it was decided, before anybody's later word.
    runs
        All its runs that were made for the decision; empty without a metric.
    against, best
        The number of the best state as of then and its runs; None and empty for the starting point.
    noise
        Of one run, as was known then.
    lines
        Added less removed.
    error
        Standard error of the gain as it was recorded; None when it wasn't.
    suspect
        A rule found the gain too good to be believed unseen, or looked and did not; None when no
        rule looked. Taken for granted where a later word stands in the place of the reason for a
        quarantine.
    """

    n: int
    parent: int | None
    status: str
    runs: Replicates
    against: int | None
    best: Replicates
    noise: Noise
    lines: int
    error: float | None
    suspect: bool | None

    def evidence(self, goal: str, believed: Mapping[str, Any], runs: int | None = None) -> Evidence:
        """Return what a rule is shown after so many `runs`, by default all of them."""
        whole = Evidence(self.runs, self.best, goal, self.noise, self.lines, believed=believed)
        return dataclasses.replace(
            whole,
            candidate=self.runs[:runs],
            rows_error=self._rows_error(whole),
            # The task's own bars aren't in the table, but whether one was passed is.
            suspicious=1e-12 if self.suspect else 0.0,
            suspicious_sigma=0.0 if self.suspect is False else TOO_GOOD,
        )

    def _rows_error(self, whole: Evidence) -> float | None:
        """Return the part of the recorded error that neither runs nor the best state explain."""
        known = compare(whole).error
        if self.error is None or known is None:
            return None
        return math.sqrt(max(0.0, self.error**2 - known**2))


def steps(rows: pd.DataFrame, prior: float | None = None) -> Iterator[Step]:
    """Yield the decided experiments of one campaign in the order of their decisions.

    Parameters
    ----------
    rows
        The campaign's rows of `history`, later records included.
    prior
        Standard deviation of one run as a prior; what the records imply unless given.
    """
    told = _told(rows)
    prior = _prior(told) if prior is None else prior
    yield from _steps(told, prior)


def runs(rows: pd.DataFrame) -> dict[int, list[float]]:
    """Return the values of all runs of each experiment with a metric, repeats included."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in _told(rows):
        if row.runs and (row.about is None or row.kind == "repeat"):
            code = row.n if row.about is None else row.about
            found[code] = _with(found.get(code, []), row.runs)
    return {n: [run["value"] for run in some] for n, some in found.items()}


def noise_of(rows: pd.DataFrame) -> Noise:
    """Return the noise of a run as of now, from the runs and the prior that the records imply."""
    groups = runs(rows)
    first = min(groups, default=None)
    several = [values for n, values in groups.items() if n == first or len(values) > 1]
    return noise.pooled(several, _prior(_told(rows)))


def belief(comparison: Comparison, runs: int) -> dict[str, Any]:
    """Return what a kept candidate is worth, in the form that the next comparison reads."""
    return {"worth": comparison.worth, "worth_error": comparison.worth_error, "runs": runs}


@dataclasses.dataclass
class _Told:
    """A row, as plain values."""

    n: int
    about: int | None
    kind: str
    status: str
    runs: list[dict[str, Any]]
    parent: int | None
    noise: float | None
    error: float | None
    lines: int
    reason: str
    when: tuple[str, int]
    rule: str = ""
    judged: bool = False

    @property
    def suspect(self) -> bool | None:
        if self.status == "quarantine" and (self.judged or self.reason.endswith(_SUSPICION)):
            return True
        return False if (self.status, self.rule) == ("keep", "two_stage") else None


def _told(rows: pd.DataFrame) -> list[_Told]:
    """Return the rows in the order in which they were decided."""
    fine = tables.measured(rows)
    told, decided = [], {}
    for row, ok in zip(rows.to_dict("records"), fine, strict=True):
        n, about = int(row["experiment"]), _number(row.get("about"))
        time: Any = row.get("decided")
        decided[n] = time.isoformat() if hasattr(time, "isoformat") and time == time else ""
        reason = row.get("reason")
        told.append(
            _Told(
                n,
                about,
                str(row.get("kind") or ""),
                str(row["status"]),
                _runs(row) if ok else [],
                _number(row.get("parent")),
                _float(row.get("noise")),
                _float(row.get("error")),
                (_number(row.get("lines_added")) or 0) - (_number(row.get("lines_removed")) or 0),
                reason if isinstance(reason, str) else "",
                (decided[n] if about is None else max(decided[n], decided.get(about, "")), n),
                str(row.get("rule") or ""),
            )
        )
    if any(one.about is not None and one.kind in VERDICTS for one in told):
        for one in told:  # a later word on it keeps the earlier status in its reason
            if one.about is None and (was := re.match(r"was (\w+): ", one.reason)):
                one.status, one.judged = was[1], True
    again: dict[int, set[Any]] = {}
    for one in told:
        if one.kind == "repeat" and one.about is not None:
            again.setdefault(one.about, set()).update(run["seed"] for run in one.runs)
    for one in told:
        if one.about is None and one.n in again and len(one.runs) > 1:
            one.runs = [run for run in one.runs if run["seed"] not in again[one.n]] or one.runs
    # Without a time the order of the table is that of the decisions.
    return sorted(told, key=lambda one: one.when) if all(decided.values()) else told


def _steps(told: Sequence[_Told], prior: float) -> Iterator[Step]:
    known: dict[int, _Told] = {}
    runs: dict[int, list[dict[str, Any]]] = {}
    line: list[int] = []
    spread = noise.pooled([], prior)
    for row in told:
        if row.about is not None:
            if row.kind == "repeat":
                runs[row.about] = _with(runs.get(row.about, []), row.runs)
                spread = _pooled(runs, prior)
            elif row.kind in VERDICTS:
                _turn(line, known, row)
            continue
        against = line[-1] if line else None
        best = runs[against] if against is not None else []
        yield Step(
            row.n,
            row.parent if row.parent is not None else against,
            row.status,
            row.runs,
            against,
            best,
            spread,
            row.lines,
            row.error,
            row.suspect,
        )
        known[row.n] = row
        if not row.runs:
            continue
        runs[row.n] = row.runs
        if row.status == "keep":
            line.append(row.n)
        if len(row.runs) > 1 or len(runs) == 1:
            spread = _pooled(runs, prior)


def _turn(line: list[int], known: Mapping[int, _Told], word: _Told) -> None:
    """Do to the line of kept experiments what a person's word did."""
    n = word.about
    assert n is not None
    if word.kind == "rewind":
        del line[line.index(n) + 1 if n in line else len(line) :]
    elif n in line and word.status != "keep":
        del line[line.index(n) :]
    elif n not in line and word.status == "keep" and n in known:
        line.append(n)


def _pooled(runs: Mapping[int, Sequence[Mapping[str, Any]]], prior: float) -> Noise:
    first = min(runs)
    groups = [
        [float(run["value"]) for run in some]
        for n, some in sorted(runs.items())
        if n == first or len(some) > 1
    ]
    return noise.pooled(groups, prior)


def _prior(told: Sequence[_Told]) -> float:
    """Return the prior that the recorded noise implies; 0 when the runs alone explain it.

    The records have what was pooled, ``s² = (v0·p² + v·r²) / (v0 + v)``, and their runs give r and
    v. One run is the surest: the runs of the candidate itself are in no pool yet.
    """
    recorded = {row.n: row.noise for row in told if row.noise and row.about is None}
    single = {row.n for row in told if len(row.runs) == 1} & recorded.keys()
    for step in _steps(told, 0.0):
        if step.n not in (single or recorded) or step.against is None:
            continue
        s, v, r = recorded[step.n], step.noise.freedom, step.noise.sd or 0.0
        if abs(s - r) <= SAME * s:
            return 0.0
        left = ((PRIOR_FREEDOM + v) * s * s - v * r * r) / PRIOR_FREEDOM
        return math.sqrt(left) if left > 0 else 0.0
    return 0.0


def _runs(row: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return the runs of a row; a table without them has one, that of the metric."""
    text = row.get("replicates")
    pairs = [pair.rpartition(":") for pair in text.split()] if isinstance(text, str) else []
    runs = [{"seed": seed, "value": float(value)} for seed, _, value in pairs]
    return runs or [{"seed": "", "value": float(row["metric"])}]


def _with(runs: list[dict[str, Any]], more: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    seeds = {run["seed"] for run in runs}
    return runs + [run for run in more if run["seed"] not in seeds]


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value == value else None


def _float(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
