"""Numbers, pins and decisions of a campaign: what is written to git, and in which order.

While an experiment is undecided its commit is pinned by ``refs/autoresearch/<tag>/<nnnn>``; the
decision replaces the pin by the annotated tag, adds the attachments and moves the branch, all in
one transaction, so that a kill at any moment leaves either the one state or the other.
"""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from autoresearch_kit import git, records, source
from autoresearch_kit._version import __version__
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign


def pins(campaign: Campaign) -> dict[int, str]:
    """Return the commits of undecided experiments by number."""
    found = git.refs(campaign.path, f"refs/autoresearch/{campaign.tag}/")
    numbers = {ref.rsplit("/", 1)[1]: commit for ref, commit in found.items()}
    return {int(name): commit for name, commit in numbers.items() if name.isdigit()}


def pin(campaign: Campaign, commit: str) -> int:
    """Pin `commit` under the next free number and return the number.

    A commit that is pinned or decided already keeps its number, so a repeat is harmless.
    """
    while True:
        taken = {**{r.n: r.commit for r in campaign.records()}, **pins(campaign)}
        for n, known in taken.items():
            if known == commit:
                return n
        n = max(taken, default=-1) + 1
        try:
            git.update_refs(
                campaign.path, [git.RefUpdate(_pin_ref(campaign, n), commit, git.ABSENT)]
            )
            return n
        except git.RefsMoved:
            continue  # another kernel took the number in between


def unpin(campaign: Campaign, n: int, commit: str) -> None:
    """Take an experiment's number back; only for one that was never tested.

    Raises
    ------
    git.RefsMoved
        When the number is not pinned to `commit` any more.
    """
    git.update_refs(campaign.path, [git.RefUpdate(_pin_ref(campaign, n), None, commit)])


def record(
    campaign: Campaign,
    n: int,
    commit: str,
    parent: int | None,
    parent_commit: str | None,
    **more: Any,
) -> Record:
    """Return the record of an experiment: what git and the contract tell, and `more` fields."""
    task = campaign.task
    count = git.count_lines(campaign.path, parent_commit, commit) if parent_commit else (0, 0)
    return Record(
        campaign=campaign.tag,
        n=n,
        commit=commit,
        parent=parent,
        parent_commit=parent_commit,
        metric=task.metric,
        goal=task.goal,
        unit=task.unit,
        scored_by=task.scored_by,
        constants=campaign.constants(commit),
        code=source.digest(campaign.mutable(commit)),
        lines_added=count[0],
        lines_removed=count[1],
        versions=versions(),
        **more,
    )


def write(campaign: Campaign, record: Record, attachments: Mapping[str, bytes]) -> str:
    """Write a decision to git, once and for all, and return a note about the branch.

    The note is empty unless the branch could not follow; then it says what to type.

    Raises
    ------
    git.RefsMoved
        When the experiment has been decided in the meantime.
    """
    repo, tag, n = campaign.path, campaign.tag, record.n
    name = records.tag_name(tag, n)
    stamped = dataclasses.replace(record, decided=now())
    tag_object = git.write_tag(repo, name, record.commit, stamped.message())
    updates = [
        git.RefUpdate(records.tag_ref(tag, n), tag_object, git.ABSENT),
        git.RefUpdate(records.files_ref(tag, n), git.write_tree(repo, attachments), git.ABSENT),
        git.RefUpdate(_pin_ref(campaign, n), None),
    ]
    note = ""
    worktree = git.checked_out(repo, campaign.branch)
    if record.status == "keep" and worktree is None:
        move, note = _advance(campaign, record.commit)
        updates += move
    git.update_refs(repo, updates)
    if record.status == "keep" and worktree and not git.fast_forward(worktree, record.commit):
        note = (
            f"{campaign.branch} is checked out in {worktree} with changes of yours, so it stays "
            f"where it is; the keep is recorded. To follow, commit or stash there and type: "
            f"git merge --ff-only {record.commit[:7]}"
        )
    return note


def _advance(campaign: Campaign, commit: str) -> tuple[list[git.RefUpdate], str]:
    ref = f"refs/heads/{campaign.branch}"
    at = git.resolve(campaign.path, ref)
    if at is None or git.is_ancestor(campaign.path, at, commit):
        return [git.RefUpdate(ref, commit, at or git.ABSENT)], ""
    return [], (
        f"{campaign.branch} is at {at[:7]}, which is not an ancestor of the kept {commit[:7]}, "
        f"so it stays. To move it, type: git branch --force {campaign.branch} {commit[:7]}"
    )


def _pin_ref(campaign: Campaign, n: int) -> str:
    return f"refs/autoresearch/{campaign.tag}/{n:04d}"


def now() -> str:
    """Return the present moment in ISO form, UTC, to the microsecond."""
    return datetime.datetime.now(datetime.UTC).isoformat()


def versions() -> dict[str, str]:
    """Return the versions that a number may depend on."""
    found = {"kit": __version__, "python": platform.python_version()}
    for package in ("torch", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
