"""What a decision rule is shown of an experiment and of the best state that it has to beat."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Sequence
from pathlib import Path
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
        suspicious_sigma=campaign.task.suspicious_sigma,
        believed=best.evidence,
    )


def rows_of(campaign: Campaign, record: Record) -> list[bytes]:
    """Return what git has of an experiment's losses row by row, one file a replicate."""
    about = [r for r in campaign.standing().later if r.kind == "repeat" and r.about == record.n]
    wanted = [records.files_ref(campaign.tag, each.n) for each in (record, *about)]
    there = git.refs(campaign.path, *wanted)
    trees = [there[ref] for ref in wanted if ref in there]
    return [rows for tree in trees for rows in _rows(campaign.path, tree)]


@functools.lru_cache(maxsize=64)
def _rows(repo: Path, tree: str) -> Sequence[bytes]:
    """Read the losses row by row in a record's attachments once: a tree can't change."""
    names = sorted(fnmatch.filter(git.list_files(repo, tree), "rows-*.npz"))
    return [rows for n in names if (rows := git.read_bytes(repo, tree, n)) is not None]
