"""What a decision rule is shown of an experiment and of the best state that it has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autoresearch_kit import git, noise, paired, records
from autoresearch_kit.decide import Evidence, Replicates
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.experiment import Experiment


def of(experiment: Experiment, replicates: Replicates, rows: Sequence[bytes]) -> Evidence:
    """Return the evidence on an experiment against the campaign's best state.

    Parameters
    ----------
    replicates
        The experiment's runs so far.
    rows
        Their ``rows.npz``, for those that have one.
    """
    campaign = experiment.campaign
    best = campaign.best_record
    assert best is not None  # propose() needs a baseline
    assert experiment.parent_commit  # only the baseline has none
    added, removed = git.count_lines(campaign.path, experiment.parent_commit, experiment.commit)
    return Evidence(
        candidate=replicates,
        best=best.replicates,
        goal=campaign.task.goal,
        noise=noise.of(campaign.records(), campaign.task.noise),
        lines=added - removed,
        rows_error=paired.error(rows, rows_of(campaign, best)) if rows else None,
        suspicious=campaign.task.suspicious,
        believed=best.evidence,
    )


def rows_of(campaign: Campaign, record: Record) -> list[bytes]:
    """Return what git has of an experiment's losses row by row, one file a replicate."""
    about = [r for r in campaign.standing().later if r.kind == "repeat" and r.about == record.n]
    found: list[bytes] = []
    for each in (record, *about):
        kept = records.read_attachments(campaign.path, campaign.tag, each.n)
        found += [kept[name] for name in sorted(kept) if name.startswith("rows-")]
    return found
