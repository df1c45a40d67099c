"""Decided experiments without training: real commits and tags with a result that a test names."""

from __future__ import annotations

from collections.abc import Mapping

from autoresearch_kit import git, ledger, records, source
from autoresearch_kit.campaign import Campaign


def decide(
    campaign: Campaign,
    files: Mapping[str, str],
    status: str,
    value: float | None,
    *,
    about: int | None = None,
    kind: str = "",
    curve: str = "",
) -> records.Record:
    """Commit `files` on the best state and record the verdict, as `score` would."""
    best = campaign.best_record
    parent = best.commit if best else campaign.start
    first = best is None
    commit = parent if first else git.commit_files(campaign.path, parent, files, "try")
    record = records.Record(
        campaign=campaign.tag,
        n=ledger.pin(campaign, commit),
        status=status,
        commit=commit,
        hypothesis="try",
        parent=best.n if best else None,
        parent_commit=None if first else parent,
        about=about,
        kind=kind,
        metric=campaign.task.metric,
        goal=campaign.task.goal,
        value=value,
        replicates=() if value is None else ({"seed": 2 if about else 1, "value": value},),
        curve=curve,
        constants=campaign.constants(commit),
        code=source.digest(campaign.mutable(commit)),
    )
    ledger.write(campaign, record, {})
    return record
