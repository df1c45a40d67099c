"""Is the whole gain real: the best state against the start, on fresh seeds and sealed data.

A hundred choices on the same validation data fit that data a little, and the seeds too. So once in
a while the gain is measured again with seeds that nobody chose by, and on the test split, which no
proposer is ever told of: its figures are in the audit's record alone, and no prompt holds those.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_kit import files, ledger, noise, records, render, results, runs
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.records import Record

EVERY = 10
"""Keeps after which an audit is due."""

HALF = 0.5
"""Share of the claimed gain below which the audit raises an alarm."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """What an audit found; all gains are positive when the best state is better.

    Attributes
    ----------
    n
        The number of its record.
    best
        The number of the best state then.
    claimed
        The gain over the starting point as the campaign's records have it.
    fresh
        The gain on the validation data with fresh seeds.
    sealed
        The gain on the sealed test split; None where the task has none.
    error
        Standard error of `sealed`, or of `fresh` where there is no test split.
    alarm
        Whether less than half of what was claimed is there.
    reason
        All of it in a sentence.
    """

    n: int
    best: int
    claimed: float
    fresh: float
    sealed: float | None
    error: float
    alarm: bool
    reason: str

    def __repr__(self) -> str:
        word = "alarm" if self.alarm else "fine"
        return f"<Audit {self.n:04d} of {self.best:04d}, {word}: {self.reason}>"

    def _repr_html_(self) -> str:
        return render.card(
            {
                "audit": f"{self.n:04d} of the best state {self.best:04d}",
                "found": "less than half of the claimed gain" if self.alarm else "fine",
                "claimed gain": f"{self.claimed:.4g}",
                "with fresh seeds": f"{self.fresh:.4g}",
                "on sealed test data": "none" if self.sealed is None else f"{self.sealed:.4g}",
                "standard error": f"{self.error:.2g}",
                "in words": self.reason,
            }
        )


def audit(campaign: Campaign, *, seeds: int = 3) -> Audit:
    """Measure the best state against the starting point again, and return what is left of the gain.

    Each of the two is trained on `seeds` fresh seeds and scored on the validation data and on the
    sealed test split. May be interrupted: the same call goes on. The finding is a record; while the
    best state stays the same, so does the finding, unless more seeds are asked for.

    Parameters
    ----------
    seeds
        Runs of either state.

    Raises
    ------
    CampaignError
        When nothing was kept yet, or one of the runs crashed.
    """
    if seeds < 1:
        raise CampaignError(f"seeds={seeds}; expected 1 or more")
    best = campaign.best_record
    if best is None or not best.n:
        raise CampaignError(
            "nothing was kept yet, so there is no gain to audit; ark.repeat(campaign, 0) measures "
            "the starting point on further seeds"
        )
    if known := _known(campaign, best, seeds):
        return known
    splits = ("val", "test") if campaign.task.score else ("val",)
    pair = {"start": campaign.experiment(0), "best": campaign.experiment(best.n)}
    values: dict[str, dict[str, list[float]]] = {who: {} for who in pair}
    fresh = _seeds(campaign, best.commit, seeds)
    for i, seed in enumerate(fresh):
        for who, experiment in pair.items():  # in turns: the machine may change meanwhile
            print(
                f"Audit of {best.n:04d}: {who} {experiment.n:04d}, run {i + 1} of {seeds}.",
                flush=True,
            )
            for split, value in _values(experiment, f"audit{best.n:04d}-{who}", seed, splits):
                values[who].setdefault(split, []).append(value)
    found = _compare(campaign, best, values)
    figures = {**dataclasses.asdict(found), "seeds": fresh, "values": values}
    with files.locked(campaign.state / "decide.lock"):
        if known := _known(campaign, best, seeds):
            return known  # another kernel, or a night, audited the same
        later = ledger.later(
            campaign,
            best,
            "audit",
            reason=found.reason,
            evidence=figures,
            noise=noise.of(campaign.records(), campaign.task.noise).sd,
        )
        record, _ = ledger.append(campaign, later, {})
    return dataclasses.replace(found, n=record.n)


def latest(campaign: Campaign) -> Record | None:
    """Return the record of the last audit; None when there was none."""
    found = [record for record in campaign.standing().later if record.kind == "audit"]
    return found[-1] if found else None


def due(campaign: Campaign) -> bool:
    """Tell whether ten or more of the kept experiments came after the last audit."""
    line, last = campaign.standing().line, latest(campaign)
    audited = line.index(last.about) if last and last.about in line else 0
    return len(line) - 1 - audited >= EVERY


def _known(campaign: Campaign, best: Record, seeds: int) -> Audit | None:
    before = latest(campaign)
    if before is None or before.about != best.n or len(before.evidence["seeds"]) < seeds:
        return None
    return _read(before)


def _values(
    experiment: Experiment, name: str, seed: int, splits: Sequence[str]
) -> list[tuple[str, float]]:
    _, state, measured = runs.measure(experiment, seed, name=name, splits=splits)
    found = []
    for split, result in measured.items():
        if reason := results.crash_reason(state, result):
            raise CampaignError(
                f"{experiment.n:04d} crashed on seed {seed}, so the audit has no result: {reason}"
            )
        # A scorer that knows of no test split says so by not naming it.
        if result.get("split", "val") == split:
            found.append((split, float(result["value"])))
    return found


def _compare(
    campaign: Campaign, best: Record, values: Mapping[str, Mapping[str, Sequence[float]]]
) -> Audit:
    sign = 1.0 if campaign.task.goal == "minimize" else -1.0
    start = campaign.experiment(0).record
    assert start is not None  # both were kept
    assert start.value is not None
    assert best.value is not None
    claimed = sign * (start.value - best.value)

    def gain(split: str) -> float:
        old, new = (statistics.fmean(values[who][split]) for who in ("start", "best"))
        return sign * (old - new)

    fresh = gain("val")
    sealed = gain("test") if "test" in values["best"] else None
    split, measured = ("val", fresh) if sealed is None else ("test", sealed)
    spread = noise.of(campaign.records(), campaign.task.noise).sd
    error = _error([values[who][split] for who in values], spread or 0.0)
    alarm = measured < HALF * max(claimed, 0.0)
    where = "on the sealed test data" if sealed is not None else "with fresh seeds"
    percent = f" ({100 * measured / claimed:.0f} %)" if claimed > 0 else ""
    words = (
        f"of the claimed gain of {claimed:.4g} over the starting point, {measured:.4g} ± "
        f"{error:.2g}{percent} is there {where}"
    )
    if sealed is not None:
        words += f", and {fresh:.4g} on the validation data with the same fresh seeds"
    if alarm:
        words += (
            ": under half. Part of it was luck or fits the validation data; "
            "ark.ablate(campaign) measures which changes hold"
        )
    return Audit(-1, best.n, claimed, fresh, sealed, error, alarm, records.clean(words))


def _error(groups: Sequence[Sequence[float]], spread: float) -> float:
    """Return the standard error of the difference of two means; `spread` is for single values."""
    squares = (
        statistics.variance(group) / len(group) if len(group) > 1 else spread**2 for group in groups
    )
    return math.sqrt(sum(squares))


def _read(record: Record) -> Audit:
    names = {field.name for field in dataclasses.fields(Audit)}
    kept: dict[str, Any] = {k: v for k, v in record.evidence.items() if k in names}
    return Audit(**{**kept, "n": record.n})


def _seeds(campaign: Campaign, commit: str, count: int) -> list[int]:
    """Return seeds that nobody has chosen by, and the same ones when an audit is resumed."""
    digest = hashlib.sha256(f"audit {campaign.start} {commit}".encode()).digest()
    first = 1_000_000 + int.from_bytes(digest[:3], "big")
    return list(range(first, first + count))
