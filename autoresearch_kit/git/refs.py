"""Refs: where they point, what annotated tags say, and moves of several in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit.errors import GitError
from autoresearch_kit.git.process import call, common_dir, text

_CLOCK_TICK_NS = 50_000_000


class RefUpdate(NamedTuple):
    """One line of a transaction: `ref` goes to `new` (None deletes it) if it is at `old`."""

    ref: str
    new: str | None
    old: str | None = None


class RefsMoved(GitError):
    """A ref was not where the transaction expected it; nothing was written."""


def refs(repo: Path, *patterns: str) -> dict[str, str]:
    """Return refs under `patterns` and the object of each."""
    out = text(repo, "for-each-ref", "--format=%(objectname) %(refname)", *patterns)
    return dict(line.split(" ", 1)[::-1] for line in out.split("\n") if line)


def refs_stamp(repo: Path, folder: str) -> tuple[int, ...] | None:
    """Return what changes whenever a ref is made or removed in `folder`; no git process runs.

    None while the last change is so recent that the file system's clock could hide another one.
    """
    common = common_dir(repo)
    places = (common / folder, common / "packed-refs", common / "reftable" / "tables.list")
    stamp = tuple(place.stat().st_mtime_ns if place.exists() else 0 for place in places)
    return stamp if time.time_ns() - max(stamp) > _CLOCK_TICK_NS else None


class Annotated(NamedTuple):
    """An annotated tag: its ref, its own object, the commit it names and its message."""

    ref: str
    oid: str
    commit: str
    message: str


def annotated_tags(repo: Path, *patterns: str) -> list[Annotated]:
    """Return all annotated tags under `patterns` with their messages, in one git process."""
    fields = "%(refname)%00%(objectname)%00%(*objectname)%00%(contents)%00"
    out = call(repo, "for-each-ref", f"--format={fields}", *patterns).decode(errors="replace")
    words = out.split("\0")
    rows = zip(words[0:-1:4], words[1::4], words[2::4], words[3::4], strict=True)
    return [Annotated(ref.lstrip("\n"), *row) for ref, *row in rows if row[1]]


def update_refs(repo: Path, updates: Sequence[RefUpdate]) -> None:
    """Apply all `updates` in one transaction, or none of them.

    Raises
    ------
    RefsMoved
        When a ref is not at its expected old value.
    """
    lines = ["start"]
    for ref, new, old in updates:
        if new is None:
            lines.append(f"delete {ref}" + (f" {old}" if old else ""))
        else:
            lines.append(f"update {ref} {new}" + (f" {old}" if old else ""))
    script = "\n".join([*lines, "prepare", "commit", ""])
    try:
        call(repo, "update-ref", "--stdin", input=script.encode())
    except GitError as error:
        if "cannot lock ref" in str(error):
            raise RefsMoved(str(error)) from error
        raise
