"""Further runs of what was decided: how much of a number was luck."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_kit import files, ledger, noise, records, results, runs
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.experiment import Experiment, Score, score_of
from autoresearch_kit.records import Record
from autoresearch_kit.runner import Run

Measured = tuple[Run, Mapping[str, Any], Mapping[str, Mapping[str, Any]]]
"""What `runs.measure` returns."""


def repeat(campaign: Campaign, n: int | Experiment, *, times: int = 3) -> Score:
    """Run an experiment on further seeds, and return its score with all its runs.

    The runs become a record of their own; `history` and later decisions count them as the
    experiment's. The verdict stays: `ark.override` changes it. May be interrupted: the same call
    goes on.

    Parameters
    ----------
    n
        The experiment, or its number; 0 is the baseline.
    times
        How many seeds, each one that this experiment has not had.

    Raises
    ------
    CampaignError
        When it is undecided, of another campaign, or has no metric that further runs could be
        added to.
    """
    experiment = campaign.experiment(n)
    if times < 1:
        raise CampaignError(f"times={times}; expected 1 or more")
    record = experiment.record
    if record is None:
        step = "ark.score(ark.train_5min(experiment))" if experiment.n else "ark.baseline(campaign)"
        raise CampaignError(f"{experiment.n:04d} is undecided; type {step} first")
    if record.value is None:
        raise CampaignError(
            f"{experiment.n:04d} is {experiment.status} and has no metric to add runs to; propose "
            "the change again to try it once more: ark.propose(campaign, new=True)"
        )
    first = max(_seeds(campaign, record)) + 1
    seeds = range(first, first + times)
    done = []
    for i, seed in enumerate(seeds):
        print(f"Repeat of {experiment.n:04d}: run {i + 1} of {times}, seed {seed}.", flush=True)
        done.append(runs.measure(experiment, seed))
    with files.locked(campaign.state / "decide.lock"):
        known = _seeds(campaign, record)  # another kernel may have made the same runs
        if new := [one for one in done if one[0].seed not in known]:
            _write(campaign, record, new)
    now = experiment.record
    assert now is not None
    return score_of(now)


def _seeds(campaign: Campaign, about: Record) -> set[int]:
    """Return the seeds that an experiment has had, crashes of repeats included."""
    found = {0, *(int(run["seed"]) for run in about.replicates)}
    for record in campaign.standing().later:
        if record.kind == "repeat" and record.about == about.n:
            found |= set(record.evidence.get("seeds", ()))
            found |= {int(run["seed"]) for run in record.replicates}
    return found


def _write(campaign: Campaign, record: Record, done: Sequence[Measured]) -> None:
    replicates, notes = [], []
    for run, state, measured in done:
        result = measured["val"]
        if reason := results.crash_reason(state, result):
            notes.append(f"seed {run.seed} crashed: {reason}")
            continue
        replicates.append(results.replicate(run, state, result))
        if odd := results.suspicion(result):
            notes.append(f"a person must look at seed {run.seed}: {odd}")
    before = [float(run["value"]) for run in record.replicates]
    new = [float(run["value"]) for run in replicates]
    words = _words(before, new) if new else "no further value"
    run, state, measured = done[-1]
    own = dataclasses.replace(record, replicates=tuple(replicates))
    later = ledger.later(
        campaign,
        record,
        "repeat",
        status=record.status if new else "crash",
        reason=records.clean("; ".join([words, *notes])),
        replicates=tuple(replicates),
        value=statistics.fmean(new) if new else None,
        noise=noise.of([*campaign.records(), own], campaign.task.noise).sd,
        evidence={"seeds": [one[0].seed for one in done], "before": before},
        **results.facts(run, state, measured["val"]),
    )
    ledger.append(campaign, later, results.attachments(run, replicates))


def _words(before: Sequence[float], new: Sequence[float]) -> str:
    mean, old = statistics.fmean(new), statistics.fmean(before)
    spread = f" ± {statistics.stdev(new):.2g}" if len(new) > 1 else ""
    many = f"{len(new)} further run{'s' * (len(new) > 1)}"
    return f"{many}: {mean:.6g}{spread}, where {len(before)} before gave {old:.6g}"
