"""A person's word on what was decided: another verdict, or back to an earlier best state.

Nothing decided is changed: each is a record of its own, with a reason and who gave it.
"""

from __future__ import annotations

from autoresearch_kit import files, git, ledger, records
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.experiment import Experiment, Score, score_of
from autoresearch_kit.records import Record

GIVEN = ("keep", "discard", "quarantine")


def override(experiment: Experiment, verdict: str, *, reason: str) -> Score:
    """Give an experiment another verdict, and return its score as it stands then.

    ``keep`` releases one from quarantine: it becomes the best state. ``discard`` takes the best
    state's place from it: its parent is the best again.

    Parameters
    ----------
    verdict
        ``"keep"``, ``"discard"`` or ``"quarantine"``.
    reason
        Why; for everybody who reads the history.

    Raises
    ------
    CampaignError
        When it is undecided, has no metric, can't be kept because the best state is not its parent
        any more, or can't be discarded because later experiments build on it.
    """
    campaign = experiment.campaign
    if verdict not in GIVEN:
        raise CampaignError(f"verdict={verdict!r}; expected one of: {', '.join(GIVEN)}")
    with files.locked(campaign.state / "decide.lock"):
        record = _decided(experiment)
        line = campaign.standing().line
        if verdict == record.status:
            return score_of(_decided(experiment))
        if record.value is None or not record.n:
            what = "is the starting point" if not record.n else f"has no metric ({record.status})"
            raise CampaignError(f"{record.n:04d} {what}, so there is no other verdict on it")
        if verdict == "keep" and line[-1] != record.parent:
            raise CampaignError(
                f"{record.n:04d} was made on {record.parent:04d}, but the best state is "
                f"{line[-1]:04d}, and nobody measured the two changes together. Propose it again: "
                f"ark.propose(campaign, by=ark.Human(edit=campaign.experiment({record.n}).files)); "
                f"or go back first: ark.rewind(campaign, to={record.parent}, reason=...)"
            )
        if record.n in line and record.n != line[-1]:
            raise CampaignError(
                f"{line[-1]:04d} and others were built on {record.n:04d} and would go with it. If "
                f"that is meant: ark.rewind(campaign, to={record.parent}, reason=...)"
            )
        note = _append(campaign, record, verdict, "override", reason)
    return score_of(_decided(experiment), note=note)


def rewind(campaign: Campaign, *, to: int | Experiment, reason: str) -> Score:
    """Make an earlier kept experiment the best state again, and return its score.

    What was kept since counts as discarded from now on; all of it stays in git.

    Parameters
    ----------
    to
        The experiment, or its number.
    reason
        Why; for everybody who reads the history.

    Raises
    ------
    CampaignError
        When it is not on the line of kept experiments, or of another campaign.
    """
    with files.locked(campaign.state / "decide.lock"):
        experiment = campaign.experiment(to)
        n = experiment.n
        line = campaign.standing().line
        if n not in line:
            kept = ", ".join(f"{each:04d}" for each in line) or "nothing yet"
            raise CampaignError(
                f"{n:04d} ({experiment.status}) is not on the line of kept experiments, which is: "
                f"{kept}"
            )
        note = ""
        if n != line[-1]:
            note = _append(campaign, _decided(experiment), "keep", "rewind", reason)
    return score_of(_decided(experiment), note=note)


def _append(campaign: Campaign, record: Record, verdict: str, kind: str, reason: str) -> str:
    words = records.clean(reason)
    if not words:
        raise CampaignError("reason is empty; say in a sentence why, for whoever reads the history")
    person = git.identity(campaign.path)
    later = ledger.later(
        campaign, record, kind, status=verdict, reason=words, author=person, approver=person
    )
    return ledger.append(campaign, later, {})[1]


def _decided(experiment: Experiment) -> Record:
    if experiment.record is None:
        raise CampaignError(
            f"{experiment.n:04d} is undecided; run = ark.train_5min(experiment) and "
            "ark.score(run) first"
        )
    return experiment.record
