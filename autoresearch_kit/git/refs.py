"""Refs: where they point, what annotated tags say, and moves of several in one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit.errors import GitError
from autoresearch_kit.git.process import call, common_dir, stream, text

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
    """An annotated tag: its own object, the commit it names and its message."""

    oid: str
    commit: str
    message: str


def annotated_tags(repo: Path, oids: Iterable[str]) -> Iterator[Annotated]:
    """Yield those of `oids` that are annotated tags, with their messages, from one git process.

    What is done with one is done while git reads the next: with 10,000 that is a quarter of a
    second, which ``for-each-ref`` would take before it prints the first.
    """
    rest = b""
    wanted = "".join(f"{oid}\n" for oid in oids).encode()
    for piece in stream(repo, "cat-file", "--batch", "--buffer", input=wanted):
        rest += piece
        at = 0
        while (end := rest.find(b"\n", at)) >= 0:
            oid, kind, *size = rest[at:end].decode().split(" ")
            if not size:  # "missing": a damaged repository
                at = end + 1
                continue
            begin, stop = end + 1, end + 1 + int(size[0])
            if len(rest) <= stop:
                break
            if kind == "tag":
                head, _, message = rest[begin:stop].decode(errors="replace").partition("\n\n")
                yield Annotated(oid, head.partition("\n")[0].removeprefix("object "), message)
            at = stop + 1
        rest = rest[at:]


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
