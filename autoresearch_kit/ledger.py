"""Numbers, pins and decisions of a campaign: what is written to git, and in which order.

While an experiment is undecided its commit is pinned by ``refs/autoresearch/<tag>/<nnnn>``; the
decision replaces the pin by the annotated tag, adds the attachments and moves the branch, all in
one transaction, so that a kill at any moment leaves either the one state or the other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, git, records, source, standing
from autoresearch_kit._version import __version__
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign


TRIES = 50
"""How often a number may be taken by another kernel before the error is told."""


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
        pinned = pins(campaign)
        for n, known in {**{r.n: r.commit for r in campaign.records()}, **pinned}.items():
            if known == commit:
                return n
        n = _beyond(campaign, pinned)
        try:
            free = git.RefUpdate(records.tag_ref(campaign.tag, n), git.ABSENT, git.ABSENT)
            mine = git.RefUpdate(_pin_ref(campaign, n), commit, git.ABSENT)
            git.update_refs(campaign.path, [free, mine])
            return n
        except git.RefsMoved:
            continue  # another kernel took the number in between


def next_number(campaign: Campaign) -> int:
    """Return the number that no experiment and no later record has yet."""
    return _beyond(campaign, pins(campaign))


def _beyond(campaign: Campaign, pinned: Iterable[int]) -> int:
    found = records.read_all(campaign.path, campaign.tag)
    return max([*(r.n for r in found), *pinned], default=-1) + 1


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


def later(campaign: Campaign, about: Record, kind: str, **more: Any) -> Record:
    """Return a record about an earlier one, for `append`: what both share, and `more` fields."""
    fields: dict[str, Any] = {
        "status": about.status,
        "hypothesis": f"{kind} of {about.n:04d}: {about.hypothesis}",
        "author": git.identity(campaign.path),
        "scored_by": about.scored_by,
        **more,
    }
    return Record(
        campaign=campaign.tag,
        n=-1,
        commit=about.commit,
        parent=about.parent,
        parent_commit=about.parent_commit,
        about=about.n,
        kind=kind,
        metric=about.metric,
        goal=about.goal,
        unit=about.unit,
        versions=versions(),
        **fields,
    )


def at(campaign: Campaign, record: Record, *, about: int, commit: str, parent: Record) -> Record:
    """Return a later record of code that is no experiment's: a variant of `parent`."""
    count = git.count_lines(campaign.path, parent.commit, commit)
    return dataclasses.replace(
        record,
        about=about,
        commit=commit,
        parent=parent.n,
        parent_commit=parent.commit,
        constants=campaign.constants(commit),
        lines_added=count[0],
        lines_removed=count[1],
    )


def write(
    campaign: Campaign,
    record: Record,
    attachments: Mapping[str, bytes],
    *,
    is_later: bool = False,
) -> str:
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
    ]
    pin = _pin_ref(campaign, n)
    # A later record has no pin: one of its number is another kernel's, from a moment before.
    updates.append(git.RefUpdate(pin, *((git.ABSENT, git.ABSENT) if is_later else (None,))))
    worktree, target, note = None, _target(campaign, stamped), ""
    if target is not None:
        worktree = git.checked_out(repo, campaign.branch)
        move, note = _move(campaign, target, worktree)
        updates += move
    git.update_refs(repo, updates)
    if target is None or worktree is None or note or git.fast_forward(worktree, target):
        return note
    behind = git.is_ancestor(repo, git.resolve(repo, campaign.branch) or "", target)
    what, how = (
        ("changes of yours", "merge --ff-only")
        if behind
        else ("commits that it is not built on", "reset --keep")
    )
    return (
        f"{campaign.branch} is checked out in {worktree} with {what}, so it stays "
        f"where it is; the keep is recorded. To follow, commit or stash there and type: "
        f"git {how} {target[:7]}"
    )


def append(
    campaign: Campaign, record: Record, attachments: Mapping[str, bytes]
) -> tuple[Record, str]:
    """Write a record about an earlier experiment under the next free number; return it and a note.

    The branch follows when that changes which state is the best; the note is as for `write`.
    """
    with files.locked(campaign.state / "apply.lock"):
        for _ in range(TRIES):
            numbered = dataclasses.replace(record, n=next_number(campaign))
            with contextlib.suppress(git.RefsMoved):  # another kernel took the number in between
                return numbered, write(campaign, numbered, attachments, is_later=True)
        numbered = dataclasses.replace(record, n=next_number(campaign))
        return numbered, write(campaign, numbered, attachments, is_later=True)


def _target(campaign: Campaign, record: Record) -> str | None:
    """Return the commit that the branch goes to with a record; None when it stays."""
    if record.about is None:
        return record.commit if record.status == "keep" else None
    found = records.read_all(campaign.path, campaign.tag)
    best = standing.of([*found, record]).best
    return best.commit if best and best.commit != campaign.best.commit else None


def _move(
    campaign: Campaign, commit: str, worktree: Path | None
) -> tuple[list[git.RefUpdate], str]:
    """Return the branch's part of the transaction, or why it stays and what to type.

    In a checkout it is no part of it: going forward comes after it, going back is a person's.
    """
    repo, ref = campaign.path, f"refs/heads/{campaign.branch}"
    at, before = git.resolve(repo, ref), campaign.best.commit
    back = commit != before and git.is_ancestor(repo, commit, before)
    if worktree is not None and not back:
        return [], ""
    if worktree is None:
        follows = at is None or git.is_ancestor(repo, at, commit)
        if follows or (back and at == before):
            return [git.RefUpdate(ref, commit, at or git.ABSENT)], ""
    if back:
        return [], (
            f"{campaign.branch} stays where it is, for it is checked out or has other commits; the "
            f"next experiments start from {commit[:7]} all the same. To move it, type there: "
            f"git reset --keep {commit[:7]}"
        )
    assert at is not None
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
    for package in ("torch", "numpy", "mlx", "numba"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
