"""Refs: where they point, what annotated tags say, and moves of several in one transaction."""

from __future__ import annotations

import os
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


def refs_stamp(repo: Path, folder: str) -> tuple[object, ...]:
    """Return what changes whenever a ref in `folder` does; no git process runs."""
    common = common_dir(repo)
    packs = (common / "packed-refs", common / "reftable" / "tables.list")
    return _loose(common / folder), *map(_version, packs)


def _loose(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return the refs that are files in `folder`, with what tells their versions apart.

    It is read when it has changed, for git replaces the file of a ref that moves.
    """
    try:
        changed = folder.stat().st_mtime_ns
        if _listed.get(folder, (None,))[0] != changed:
            with os.scandir(folder) as there:
                files = [each for each in there if not each.name.endswith(".lock")]
                # A new file often has the inode of one that was removed.
                found = frozenset((f.name, f.inode(), f.stat().st_ctime_ns) for f in files)
            # The file system's clock is coarse: it could hide another change in the same moment.
            recent = time.time_ns() - changed < _CLOCK_TICK_NS
            _listed[folder] = None if recent else changed, found
    except FileNotFoundError:
        _listed.pop(folder, None)
        return frozenset()
    return _listed[folder][1]


def _version(file: Path) -> tuple[int, ...]:
    """Return what tells one version of a file from the next; git puts a new one in its place."""
    try:
        stat = file.stat()
    except FileNotFoundError:
        return ()
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


_listed: dict[Path, tuple[int | None, frozenset[tuple[str, int, int]]]] = {}


class Annotated(NamedTuple):
    """An annotated tag: its own object, the commit it names and its message."""

    oid: str
    commit: str
    message: str


def annotated_tags(repo: Path, oids: Iterable[str]) -> Iterator[Annotated]:
    """Yield those of `oids` that are annotated tags of commits, with their messages, from one git.

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
                commit, _, more = head.removeprefix("object ").partition("\n")
                if more.startswith("type commit\n"):
                    yield Annotated(oid, commit, message)
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
        elif old and not old.strip("0"):  # how many zeros that is depends on the hash
            lines.append(f"create {ref} {new}" if new.strip("0") else f"verify {ref}")
        else:
            lines.append(f"update {ref} {new}" + (f" {old}" if old else ""))
    script = "\n".join([*lines, "prepare", "commit", ""])
    try:
        call(repo, "update-ref", "--stdin", input=script.encode())
    except GitError as error:
        if "cannot lock ref" in str(error):
            raise RefsMoved(str(error)) from error
        raise
