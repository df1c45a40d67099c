"""The four steps, and the baseline that they start from. Read this file first.

    proposal   = propose(campaign)       # a hypothesis and a patch
    experiment = apply(proposal)         # a numbered commit
    run        = train_5min(experiment)  # a training process, owned by the kit
    score      = score(run)              # the metric and the verdict, in git

Each step takes what the step before returned and may be repeated: what was done is returned.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Any

from autoresearch_kit import (
    audits,
    behalf,
    decide,
    evidence,
    files,
    git,
    ledger,
    monitor,
    records,
    results,
    runs,
    succession,
)
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import (
    ApprovalPending,
    CampaignError,
    NoChange,
    ProposalError,
)
from autoresearch_kit.experiment import Experiment, Score, score_of
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import Proposer, choose, name_of
from autoresearch_kit.runner import Run

MAX_RUNS = 10
"""Runs of one experiment after which no rule gets another."""

_log = logging.getLogger(__name__)


def baseline(campaign: Campaign, *, seeds: int = 1) -> Score:
    """Train and score the campaign's starting point, experiment 0, and return its score.

    Parameters
    ----------
    seeds
        How many runs to make, each with a seed of its own; the metric is their mean.

    Raises
    ------
    CampaignError
        When the unchanged code crashes: nothing is recorded, so that it can be repaired.
    """
    _expect(campaign, Campaign, "campaign = ark.open_campaign(lab, tag=...)")
    experiment = campaign.experiment(0)
    if experiment.record is None:
        replicates, odd = [], []
        for replicate in range(seeds):
            run = runs.start(experiment, replicate)
            monitor.announce(run, experiment)
            state, result = runs.finish(run, experiment)
            if reason := results.crash_reason(state, result):
                raise CampaignError(
                    f"the baseline crashed, so there is nothing to compare with: {reason}. "
                    f"Its log is {run.dir / 'log.txt'}. Repair the code, commit, and start "
                    "another campaign (another tag=; metric= and train= may differ too); or type "
                    "ark.baseline(campaign) to try the same again."
                )
            replicates.append(results.replicate(run, state, result))
            if words := results.suspicion(result):
                odd.append(f"a person must look at seed {run.seed}: {words}")
        runs_made = f"{len(replicates)} run{'s' * (len(replicates) > 1)}"
        reason = "; ".join([f"the starting point, {runs_made}", *odd])
        verdict = decide.Verdict("keep", reason)
        return _record(experiment, run, state, result, replicates, verdict, rule="baseline")
    return score_of(experiment.record)


def propose(
    campaign: Campaign, *, by: Proposer | None = None, idea: str | None = None, new: bool = False
) -> Proposal:
    """Return a proposal on the campaign's best state: this caller's open one, or the next.

    Parameters
    ----------
    by
        The proposer, a callable ``(campaign, *, idea=None, revises=None) -> Proposal``.
    idea
        What to try, in words that the proposer understands (TPE: ``"MATRIX_LR = 0.03"``).
    new
        Make another one although an open one is there.

    Raises
    ------
    CampaignError
        When the baseline has not been scored.
    ProposalError
        When the proposer can't make a proposal that changes something.
    """
    _expect(campaign, Campaign, "campaign = ark.open_campaign(lab, tag=...)")
    if campaign.best_record is None:
        raise CampaignError(
            f"campaign {campaign.tag} has no baseline yet, so nothing can be better than it. "
            "Type ark.baseline(campaign) first."
        )
    key = f"cell|{name_of(by or campaign.by)}|{idea or ''}"
    return next_proposal(campaign, by=by, idea=idea, new=new, key=key)


def next_proposal(
    campaign: Campaign, *, by: Proposer | None, key: str, idea: str | None = None, new: bool = False
) -> Proposal:
    """Return the open proposal of the caller that `key` describes, or the next one."""
    proposer = choose(campaign, by)
    if not new:
        for mine in ready(campaign, key):
            return dataclasses.replace(mine, by=proposer)
    if (theirs := _commit_on_branch(campaign)) is not None:
        return proposals.claim(theirs, key)
    began = time.monotonic()
    with behalf.of(key, campaign.best):
        made = proposer(campaign, idea=idea, revises=None)
    if not isinstance(made, Proposal):
        raise ProposalError(
            f"the proposer {name_of(by or campaign.by)} returned {made!r}; expected a Proposal, as "
            "autoresearch_kit.proposal.draft(campaign, files=..., hypothesis=..., author=...) makes"
        )
    made = proposals.claim(made, key, proposer, round(time.monotonic() - began, 3))
    if made.status == "open" and succession.is_stale(made):
        return dataclasses.replace(succession.move(made), by=proposer)
    return made


def ready(campaign: Campaign, key: str) -> list[Proposal]:
    """Return the caller's proposals that can still become experiments, oldest first.

    Those on an older state are moved to the best one; where that is impossible they are put away,
    and so is what a kill left half done.
    """
    found = []
    for mine in list(proposals.unfinished(campaign)):
        if mine.successor:
            proposals.finish(campaign, mine.id)
        elif mine.status == "refused":
            proposals.record_refusal(mine)
        elif mine.key == key and not succession.is_stale(mine):
            found.append(mine)
        elif mine.key == key:
            with contextlib.suppress(ProposalError):
                found.append(succession.move(mine))
    return found


def apply(proposal: Proposal) -> Experiment:
    """Commit an approved proposal on its parent, give it a number, and return the experiment.

    No branch moves and no file in the checkout changes. A proposal that was revised stands for
    its revision; one whose parent is no longer the best is moved to the best state first.

    Raises
    ------
    ApprovalPending
        While nobody has decided, or when moving it changed its hunks: then look again.
    PatchConflict
        When the best state changed the same lines meanwhile.
    CampaignError
        When the proposal was refused.
    """
    _expect(proposal, Proposal, "proposal = ark.propose(campaign)")
    campaign, given = proposal.campaign, proposal
    proposal = succession.latest(given)
    if proposal.status == "approved" and succession.is_stale(proposal):
        proposal = succession.rebase(proposal)
    if proposal.status == "open":
        moved = "" if proposal.id == given.id else f", {given.status} onto {proposal.parent:04d},"
        raise ApprovalPending(
            f"nobody has decided on this proposal{moved} yet. Decide in ark.review(proposal), or "
            "type proposal.approve() or proposal.refuse('why'), and run this cell again."
        )
    if proposal.status == "refused":
        raise CampaignError(
            f"this proposal was refused ({proposal.decision['reason']}); type "
            "proposal = ark.propose(campaign) for the next one."
        )
    with files.locked(campaign.state / "apply.lock"):
        n = ledger.pin(campaign, proposals.to_commit(proposal))
    return campaign.experiment(n)


def train_5min(experiment: Experiment) -> Run:
    """Train an experiment for the budget that its task fixes, and return the run.

    The run belongs to a process of its own: closing the browser or the kernel doesn't end it, and
    the same call finds it again. In a notebook front end the live run is returned at once and
    `score` waits for it; elsewhere this call waits. A run that the machine lost is repeated.
    """
    _expect(experiment, Experiment, "experiment = ark.apply(proposal)")
    run = runs.start(experiment, runs.latest_replicate(experiment), again=True)
    monitor.watch(run, experiment)
    return run


def score(run: Run) -> Score:
    """Wait for a run, measure it, decide, write the decision to git, and return the score.

    When the campaign's rule asks for more runs they are made here, on new seeds.

    Raises
    ------
    ScorerError
        When the trusted scorer itself failed; nothing is recorded.
    CampaignError
        When the run was stopped by a person.
    """
    _expect(run, Run, "run = ark.train_5min(experiment)")
    experiment = runs.experiment_of(run)
    if experiment.n == 0:
        return baseline(experiment.campaign)
    replicates: list[Mapping[str, Any]] = []
    verdict = decide.Verdict("", "")
    while experiment.record is None:
        run = runs.start(experiment, len(replicates))
        state, result = runs.finish(run, experiment)
        crash = results.crash_reason(state, result)
        if crash or state["phase"] == "hopeless":
            reason = f"seed {run.seed}: " * bool(replicates) + (crash or str(state["reason"]))
            status = "crash" if crash else "discard"
            # What the runs before it told stays on the record.
            verdict = dataclasses.replace(verdict, status=status, reason=reason, gain=None)
            return _record(experiment, run, state, result, replicates, verdict)
        replicates.append(results.replicate(run, state, result))
        verdict = _decide(experiment, replicates, results.suspicion(result))
        if not verdict.more or len(replicates) >= MAX_RUNS:
            return _record(experiment, run, state, result, replicates, verdict)
        print(f"Experiment {experiment.n:04d}: {verdict.reason}; another seed is run.")
    return score_of(experiment.record)


def _expect(given: object, kind: type, call: str) -> None:
    if not isinstance(given, kind):
        raise TypeError(f"expected a {kind.__name__}, got {given!r}; type {call} first")


def _decide(
    experiment: Experiment, replicates: decide.Replicates, suspicion: str = ""
) -> decide.Verdict:
    """Ask the campaign's rule; `suspicion` is what the scorer wants a person to look at."""
    campaign = experiment.campaign
    best = campaign.best_record
    assert best is not None  # propose() needs a baseline
    shown = evidence.of(experiment, replicates, results.rows(experiment, replicates))
    verdict = decide.read(campaign.settings)(shown)
    verdict = dataclasses.replace(verdict, numbers={**verdict.numbers, "against": best.n})
    promising = verdict.more or verdict.status in ("keep", "quarantine")
    if suspicion and promising:
        return dataclasses.replace(verdict, status="quarantine", reason=suspicion, more=0)
    if promising and best.n != experiment.parent:
        reason = (
            f"it beats the best state {best.n:04d} but was made on {experiment.parent:04d}, and "
            "nobody measured the two changes together; propose it again on the best state"
        )
        return dataclasses.replace(verdict, status="discard", reason=reason, more=0, gain=None)
    return verdict


def _record(
    experiment: Experiment,
    run: Run,
    state: Mapping[str, Any],
    result: Mapping[str, Any],
    replicates: decide.Replicates,
    verdict: decide.Verdict,
    rule: str = "",
) -> Score:
    """Write the decision; of several kernels that decide at once the first one counts."""
    campaign = experiment.campaign
    with files.locked(campaign.state / "decide.lock"):
        if experiment.record is not None:
            return score_of(experiment.record)
        if verdict.status == "keep" and experiment.n:
            best = campaign.best_record
            if best is not None and best.n != experiment.parent:  # it moved meanwhile
                verdict = _decide(experiment, replicates)
        value = decide.mean(replicates) if replicates and verdict.status != "crash" else None
        made = _proposal_of(experiment)
        if made:
            words = made.told()
        else:
            info = git.commit_info(campaign.path, experiment.commit)
            words = {"hypothesis": "baseline", "author": info.author}
        record = ledger.record(
            campaign,
            experiment.n,
            experiment.commit,
            experiment.parent,
            experiment.parent_commit,
            status=verdict.status,
            value=value,
            replicates=tuple(replicates),
            delta=verdict.delta,
            noise=verdict.noise,
            gain=verdict.gain,
            evidence={**verdict.numbers, **results.note(result)},
            rule=rule or str(campaign.settings.get("decide", "greedy")),
            reason=records.clean(verdict.reason),
            baseline=results.calibrated(campaign, state) if experiment.n == 0 else {},
            **words,
            **results.facts(run, state, result),
        )
        attachments = {
            **results.attachments(run, replicates),
            **(made.attachments() if made else {}),
        }
        note = ledger.write(campaign, record, attachments)
    if made:
        proposals.finish(campaign, made.id)
    results.prune(campaign)
    if record.status == "keep" and audits.due(campaign):
        note = (
            f"{audits.EVERY} keeps since the last audit: ark.audit(campaign) is due. {note}".strip()
        )
    return score_of(record, note=note)


def _proposal_of(experiment: Experiment) -> Proposal | None:
    if not experiment.proposal:
        return None
    with contextlib.suppress(CampaignError):
        return proposals.load(experiment.campaign, experiment.proposal)
    return None


def _commit_on_branch(campaign: Campaign) -> Proposal | None:
    """Turn a commit that a person put on the campaign's branch into a proposal, once."""
    branch = f"refs/heads/{campaign.branch}"
    here = git.refs(campaign.path, branch, f"refs/autoresearch/{campaign.tag}/")
    at = here.pop(branch, None)
    seen = campaign.state / "seen-on-branch"
    known = {r.commit for r in campaign.records()} | set(here.values())
    before = seen.read_text().split() if seen.exists() else []
    known |= {campaign.start, *before}
    if at is None or at in known or git.is_ancestor(campaign.path, at, campaign.best.commit):
        return None
    files.write_text(seen, "\n".join([*before, at]))
    best = campaign.best
    direct = git.resolve(campaign.path, f"{at}^") == best.commit
    only_mutable = set(git.changed_files(campaign.path, best.commit, at)) <= set(campaign.task.edit)
    with contextlib.suppress(NoChange):
        theirs = git.commit_info(campaign.path, at)
        return proposals.draft(
            campaign,
            files=campaign.mutable(at),
            hypothesis=theirs.subject,
            author=theirs.author,
            approved_by=theirs.author,
            commit=at if direct and only_mutable else "",
        )
    return None
