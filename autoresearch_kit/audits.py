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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from autoresearch_kit import files, ledger, noise, records, render, results, runs
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.comparison import Evidence, compare
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.records import Record

EVERY = 10
"""Keeps after which an audit is due."""

HALF = 0.5
"""Share of the claimed gain below which the audit raises an alarm."""

Values: TypeAlias = dict[str, dict[str, list[float]]]
"""The metric of each run, by state (``start``, ``best``) and split."""


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
        The gain over the starting point that the best state is believed to be worth: without the
        luck that it was picked for, where its verdict says so (see `comparison`), else as measured.
    fresh
        The gain on the validation data with fresh seeds; None when the best state crashed.
    sealed
        The gain on the sealed test split; None where the task has none.
    error
        Standard error of `sealed`, or of `fresh` where there is no test split; None without either.
    alarm
        Whether less than half of what was claimed is there, the best state crashed on a fresh seed,
        or the scorer wants a person to look at it.
    reason
        All of it in a sentence.
    """

    n: int
    best: int
    claimed: float
    fresh: float | None
    sealed: float | None
    error: float | None
    alarm: bool
    reason: str

    def __repr__(self) -> str:
        word = "alarm" if self.alarm else "fine"
        return f"<Audit {self.n:04d} of {self.best:04d}, {word}: {self.reason}>"

    def _repr_html_(self) -> str:
        return render.card(
            {
                "audit": f"{self.n:04d} of the best state {self.best:04d}",
                "found": "alarm" if self.alarm else "fine",
                "claimed gain": f"{self.claimed:.4g}",
                "with fresh seeds": _figure(self.fresh),
                "on sealed test data": _figure(self.sealed),
                "standard error": _figure(self.error, 2),
                "in words": self.reason,
            }
        )


def _figure(value: float | None, digits: int = 4) -> str:
    return "none" if value is None else f"{value:.{digits}g}"


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
        When nothing was kept yet, or the starting point crashed. A crash of the best state is a
        finding.
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
    fresh = _seeds(campaign, best.commit, seeds)
    spent: defaultdict[str, float] = defaultdict(float)
    values, crash, odd = _measure(campaign, best, fresh, spent)
    found = _crashed(campaign, best, crash) if crash else _compare(campaign, best, values)
    if odd:
        words = records.clean(f"{found.reason}; a person must look at the best state: {odd}")
        found = dataclasses.replace(found, alarm=True, reason=words)
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
            **spent,
        )
        record, _ = ledger.append(campaign, later, {})
    return dataclasses.replace(found, n=record.n)


def due(campaign: Campaign) -> bool:
    """Tell whether ten or more of the kept experiments came after the last audit."""
    line = campaign.standing().line
    # A rewind may have taken the last audited state away; an earlier one counts then.
    audited = [line.index(each.about) for each in _audits(campaign) if each.about in line]
    return len(line) - 1 - max(audited, default=0) >= EVERY


def _audits(campaign: Campaign) -> list[Record]:
    return [record for record in campaign.standing().later if record.kind == "audit"]


def _known(campaign: Campaign, best: Record, seeds: int) -> Audit | None:
    for record in reversed(_audits(campaign)):
        if record.about == best.n and len(record.evidence.get("seeds", ())) >= seeds:
            return _read(record)
    return None


def _measure(
    campaign: Campaign, best: Record, seeds: Sequence[int], spent: dict[str, float]
) -> tuple[Values, str, str]:
    """Run the start and the best state on each seed and score them on each split.

    The seconds of all runs are added to `spent`, under the names that a record has for them.

    Returns
    -------
    tuple
        The values; why the best state crashed, if it did; what of it a person must look at.

    Raises
    ------
    CampaignError
        When the start crashed: then there is nothing to compare with.
    """
    values: Values = {"start": {}, "best": {}}
    splits, odd = (("val", "test") if campaign.task.score else ("val",)), ""
    for i, seed in enumerate(seeds, 1):
        for who, n in (("start", 0), ("best", best.n)):  # in turns: the machine may change
            print(f"Audit of {best.n:04d}: {who} {n:04d}, run {i} of {len(seeds)}.", flush=True)
            name, experiment = f"audit{best.n:04d}-{who}", campaign.experiment(n)
            _, state, measured = runs.measure(experiment, seed, name=name, splits=splits)
            for part in ("setup_seconds", "training_seconds"):
                spent[part] += state.get(part) or 0.0
            for split, result in measured.items():
                spent["scoring_seconds"] += result.get("scoring_seconds") or 0.0
                if reason := results.crash_reason(state, result):
                    if who == "best":
                        return values, f"on seed {seed}: {reason}", odd
                    raise CampaignError(
                        f"{n:04d} crashed on seed {seed}, so the audit has no result: {reason}"
                    )
                if who == "best":
                    odd = odd or results.suspicion(result)
                # A scorer that knows of no test split says so by not naming it.
                if result.get("split", "val") == split:
                    values[who].setdefault(split, []).append(float(result["value"]))
    return values, "", odd


def _crashed(campaign: Campaign, best: Record, crash: str) -> Audit:
    claimed, told = _claimed(campaign, best)
    words = f"{told} is not there with fresh seeds: the best state crashes {crash}"
    return Audit(-1, best.n, claimed, None, None, None, True, records.clean(words))


def _claimed(campaign: Campaign, best: Record) -> tuple[float, str]:
    """Return what the best state is believed to gain over the starting point; and in words."""
    start = campaign.experiment(0).record
    assert start is not None  # both were kept
    assert start.value is not None
    assert best.value is not None
    claimed = measured = campaign.task.gain(best.value - start.value)
    if "worth" in best.evidence:
        spread = noise.of(campaign.records(), campaign.task.noise)
        runs_of = start.replicates, best.replicates
        shown = Evidence(*runs_of, campaign.task.goal, spread, believed=best.evidence)
        claimed = campaign.task.gain(compare(shown).old - start.value)
    luck = f" ({measured:.4g} with its luck)" if f"{claimed:.4g}" != f"{measured:.4g}" else ""
    return claimed, f"the claimed gain of {claimed:.4g}{luck} over the starting point"


def _compare(
    campaign: Campaign, best: Record, values: Mapping[str, Mapping[str, Sequence[float]]]
) -> Audit:
    claimed, told = _claimed(campaign, best)

    def gain(split: str) -> float:
        old, new = (statistics.fmean(values[who][split]) for who in ("start", "best"))
        return campaign.task.gain(new - old)

    fresh = gain("val")
    sealed = gain("test") if "test" in values["best"] else None
    split, measured = ("val", fresh) if sealed is None else ("test", sealed)
    spread = noise.of(campaign.records(), campaign.task.noise).sd
    error = _error([values[who][split] for who in values], spread or 0.0)
    alarm = measured < HALF * max(claimed, 0.0)
    where = "on the sealed test data" if sealed is not None else "with fresh seeds"
    percent = f" ({100 * measured / claimed:.0f} %)" if claimed > 0 else ""
    words = f"of {told}, {measured:.4g} ± {error:.2g}{percent} is there {where}"
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
