"""An experiment: a numbered proposal, committed on its parent; and the score that decided it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoresearch_kit import records, render
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A numbered commit of a campaign.

    Attributes
    ----------
    n
        Its number; 0 is the baseline.
    commit
        Its commit, pinned since `apply` and tagged since it was decided.
    parent
        The number of the experiment that it changes; None for the baseline.
    proposal
        The id of the proposal that it came from; empty for the baseline.
    """

    campaign: Campaign = dataclasses.field(repr=False, compare=False)
    n: int
    commit: str
    parent: int | None
    parent_commit: str | None
    proposal: str = ""

    @property
    def files(self) -> Mapping[str, str]:
        """The text of the mutable files, by path."""
        return self.campaign.mutable(self.commit)

    @property
    def record(self) -> Record | None:
        """The decision, read from git; None while there is none."""
        return next((r for r in self.campaign.records() if r.n == self.n), None)

    @property
    def hypothesis(self) -> str:
        """What the author expected."""
        return self.campaign.subject(self.commit) if self.record is None else self.record.hypothesis

    @property
    def status(self) -> str:
        """``undecided``, or the verdict."""
        return "undecided" if self.record is None else self.record.status

    def __repr__(self) -> str:
        line = records.clean(self.hypothesis, 100)
        return f"<Experiment {self.n:04d} {self.commit[:7]} {self.status}: {line}>"

    def _repr_html_(self) -> str:
        rows = {
            "experiment": f"{self.n:04d} ({self.status})",
            "commit": self.commit[:7],
            "parent": "none" if self.parent is None else f"{self.parent:04d}",
            "hypothesis": self.hypothesis,
        }
        return render.card(rows)


@dataclasses.dataclass(frozen=True)
class Score:
    """The metric as it was measured, and the verdict.

    Attributes
    ----------
    status
        ``keep``, ``discard``, ``crash``, ``refused`` or ``quarantine``.
    value
        The metric, a mean over replicates; None for a crash.
    delta
        `value` minus the best one before it, in units of the metric.
    sigma
        How many standard errors better than the best one before it (negative: worse); None where
        the rule knew no noise.
    reason
        The verdict in a sentence.
    scored_by
        ``kit`` when a trusted scorer measured it, ``printed`` when the script said so.
    sandboxed
        Whether the code under experiment ran in a sandbox.
    note
        What a person should do now: look at a quarantine, move a branch, audit.
    """

    n: int
    status: str
    metric: str
    value: float | None
    best: float | None
    delta: float | None
    reason: str
    scored_by: str
    sandboxed: bool
    sigma: float | None = None
    note: str = ""

    def __repr__(self) -> str:
        if self.value is None:
            return f"<Score {self.n:04d} {self.status}: {records.clean(self.reason, 200)}>"
        change = ""
        if self.best is not None and self.delta is not None:
            change = f"{self.best:.4g} -> " if self.best == 0 else f"{self.best:.4f} -> "
        sigma = "" if self.sigma is None else f", {self.sigma:.1f} sigma"
        gain = "" if self.delta is None else f" ({self.delta:+.4f}{sigma})"
        words = f"<Score {self.n:04d} {self.status}: {self.metric} {change}{self.value:.4f}{gain}>"
        return f"{words}\n{self.note}" if self.note else words

    def _repr_html_(self) -> str:
        value = "none" if self.value is None else f"{self.value:.6g}"
        rows: dict[str, object] = {
            "experiment": f"{self.n:04d}",
            "verdict": self.status,
            self.metric: value,
            "change": "" if self.delta is None else f"{self.delta:+.4g}",
            "sigma": "" if self.sigma is None else f"{self.sigma:.1f}",
            "why": self.reason,
            "measured by": f"{self.scored_by}, {'' if self.sandboxed else 'not '}sandboxed",
        }
        if self.note:
            rows["note"] = self.note
        return render.card({name: value for name, value in rows.items() if value != ""})


def score_of(record: Record, *, note: str = "") -> Score:
    """Return the score that a record holds, beside the value that it was compared with."""
    best = None
    if record.value is not None and record.delta is not None:
        best = record.value - record.delta
    if record.status == "quarantine":
        note = (
            f"Look at it: ark.show(campaign, {record.n}). Then say what it is: "
            f"ark.override(campaign.experiment({record.n}), 'keep', reason='...'), or 'discard'."
        )
    return Score(
        n=record.n,
        status=record.status,
        metric=record.metric,
        value=record.value,
        best=best,
        delta=record.delta,
        reason=record.reason,
        scored_by=record.scored_by,
        sandboxed=record.sandboxed,
        sigma=record.evidence.get("z"),
        note=note,
    )
