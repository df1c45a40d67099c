"""Leave each kept change out of the stack and measure what is missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, git, ledger, noise, records, results, runs, stacks
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.comparison import Evidence, compare, mean
from autoresearch_kit.errors import CampaignError, PatchConflict
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    import pandas as pd

HOLDS = 1.64
"""Sigmas that the best state is worse without a change, from which on the change holds."""


def ablate(campaign: Campaign, *, seeds: int = 2) -> pd.DataFrame:
    """Measure the best state without each of the kept changes, and return what each is worth.

    A change that was undone or overwritten later, or that others build on, can't be taken out;
    its row says why. May be interrupted: the same call goes on. Each finding is a record, and
    stays as long as the best state does, unless more seeds are asked for.

    Parameters
    ----------
    seeds
        Runs for each change left out. The best state itself is not run again: `ark.repeat` is for
        that.

    Returns
    -------
    pandas.DataFrame
        One row for each kept change: ``experiment``, ``hypothesis``, ``claimed`` (its gain when it
        was kept), ``worth`` (how much worse the best state, less the luck that it was picked for,
        is without it), ``error`` (one standard error of that), ``finding`` (holds, doubtful,
        harmful, or why it could not be measured). Gains are positive when better.

    Raises
    ------
    CampaignError
        When nothing was kept yet.
    """
    import pandas as pd

    if seeds < 1:
        raise CampaignError(f"seeds={seeds}; expected 1 or more")
    standing = campaign.standing()
    best, kept = standing.best, standing.line[1:]
    if best is None or not kept:
        raise CampaignError(
            "nothing was kept yet, so there is nothing to leave out; ark.propose(campaign) is the "
            "way to a first keep"
        )
    rows = []
    for i, n in enumerate(kept, 1):
        print(
            f"Ablation: the best state {best.n:04d} without {n:04d}, {i} of {len(kept)}.",
            flush=True,
        )
        rows.append(_row(campaign, campaign.experiment(n), best, seeds))
    return pd.DataFrame(rows)


def _row(campaign: Campaign, left_out: Experiment, best: Record, seeds: int) -> dict[str, Any]:
    record = left_out.record
    assert record is not None  # it is on the line
    row: dict[str, Any] = {
        "experiment": left_out.n,
        "hypothesis": left_out.hypothesis,
        "claimed": None if record.delta is None else campaign.task.gain(record.delta),
        "worth": None,
        "error": None,
    }
    try:
        found = _known(campaign, left_out.n, best.n, seeds)
        found = found or _measure(campaign, left_out, best, seeds)
    except PatchConflict as conflict:
        return {**row, "finding": f"can't be taken out: {conflict}"}
    return {**row, **{name: found.evidence.get(name) for name in ("worth", "error", "finding")}}


def _known(campaign: Campaign, n: int, best: int, seeds: int) -> Record | None:
    """Return what was found before, when the best state was the same."""
    for record in campaign.standing().later:
        same = record.kind == "ablation" and record.about == n and record.parent == best
        if same and int(record.evidence.get("seeds", 0)) >= seeds:
            return record
    return None


def _measure(campaign: Campaign, left_out: Experiment, best: Record, seeds: int) -> Record:
    commit = _without(campaign, left_out, best)
    name = f"without{left_out.n:04d}-{best.n:04d}"
    replicates, crash, odd = [], "", ""
    for seed in range(1, seeds + 1):
        run, state, measured = runs.measure(left_out, seed, name=name, commit=commit)
        if crash := results.crash_reason(state, measured["val"]):
            break
        replicates.append(results.replicate(run, state, measured["val"]))
        odd = odd or results.suspicion(measured["val"])
    words = f"{best.n:04d} without {left_out.n:04d}: {left_out.hypothesis}"
    found = {"finding": f"the best state crashes without it: {crash}"}
    if not crash:
        found = _worth(campaign, best, replicates)
        found["finding"] += f"; a person must look: {odd}" * bool(odd)
    found["finding"] = records.clean(found["finding"])
    later = ledger.later(
        campaign,
        best,
        "ablation",
        status="crash" if crash else "discard",
        hypothesis=words,
        reason=found["finding"],
        value=None if crash else mean(replicates),
        replicates=tuple(replicates),
        evidence={**found, "seeds": seeds, "best": [run["value"] for run in best.replicates]},
        noise=noise.of(campaign.records(), campaign.task.noise).sd,
        **results.facts(run, state, measured["val"]),
    )
    later = ledger.at(campaign, later, about=left_out.n, commit=commit, parent=best)
    with files.locked(campaign.state / "decide.lock"):
        if known := _known(campaign, left_out.n, best.n, seeds):
            return known  # another kernel did the same
        written, _ = ledger.append(campaign, later, results.attachments(run, replicates))
    git.update_refs(campaign.path, [git.RefUpdate(_ref(campaign, left_out.n, best.n), None)])
    return written


def _worth(
    campaign: Campaign, best: Record, without: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return how much worse the runs `without` a change are than the best state, and a finding.

    The best state counts with what it is believed to be worth: the luck that it was picked for
    would be added to every change.
    """
    known = campaign.records()
    # After all others: the first code is the starting point, which the noise always counts.
    variant = dataclasses.replace(best, n=known[-1].n + 1, replicates=tuple(without))
    spread = noise.of([*known, variant], campaign.task.noise)
    c = compare(
        Evidence(without, best.replicates, campaign.task.goal, spread, believed=best.evidence)
    )
    worth = 0.0 - c.gain  # never -0.0
    error = 0.0 if c.noise.sd == 0 else c.error
    if error is None:
        finding = "doubtful: how much runs of the same code differ isn't known; give seeds=3"
    elif worth == 0 or abs(worth) < HOLDS * error:
        finding = "doubtful: hardly a difference is to be seen without it"
    else:
        finding = "holds" if worth > 0 else "harmful: the best state is better without it"
    return {"worth": worth, "error": error, "finding": finding}


def _without(campaign: Campaign, left_out: Experiment, best: Record) -> str:
    """Return the commit of the best state without a change, the same one when it is resumed."""
    ref = _ref(campaign, left_out.n, best.n)
    with files.locked(campaign.state / "decide.lock"):
        if (before := git.resolve(campaign.path, ref)) is not None:
            return before
        assert left_out.parent_commit  # only the baseline has none
        changed = stacks.merge(
            left_out.files, campaign.mutable(best.commit), campaign.mutable(left_out.parent_commit)
        )
        if not changed:
            raise PatchConflict("nothing of it is left in the best state")
        message = f"Ablation: {best.n:04d} without {left_out.n:04d}\n"
        commit = git.commit_files(campaign.path, best.commit, changed, message)
        git.update_refs(campaign.path, [git.RefUpdate(ref, commit, git.ABSENT)])
    return commit


def _ref(campaign: Campaign, n: int, best: int) -> str:
    """Return the ref that holds a variant until its record does."""
    return f"refs/autoresearch-variants/{campaign.tag}/{best:04d}-without-{n:04d}"
