"""Objects: what commits, trees and blobs hold, and new ones."""

from __future__ import annotations

import contextlib
import functools
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit.errors import GitError, LabError
from autoresearch_kit.git.process import call, identity, text

ABSENT = "0" * 40  # as an expected old value: the ref must not exist yet


class CommitInfo(NamedTuple):
    """Author as ``Name <email>``, first line, whole message and parents of a commit."""

    author: str
    subject: str
    message: str
    parents: tuple[str, ...]


def resolve(repo: Path, name: str) -> str | None:
    """Return the commit that `name` stands for, or None."""
    out = text(repo, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", accept=(0, 1, 128))
    return out or None


def head(repo: Path) -> str:
    """Return the commit of HEAD.

    Raises
    ------
    LabError
        When the repository has no commit yet.
    """
    commit = resolve(repo, "HEAD")
    if commit is None:
        raise LabError(
            f"{repo} has no commit yet; git add the code (and no hidden data), then git commit"
        )
    return commit


def read_bytes(repo: Path, commit: str, path: str) -> bytes | None:
    """Return the content of `path` in `commit` byte for byte, or None when it isn't there."""
    return (_read if _is_full(commit) else _read.__wrapped__)(repo, commit, path)


def _is_full(*commits: str) -> bool:
    """Tell whether these are full names of commits: read once, for what they hold can't change."""
    return all(map(_FULL.fullmatch, commits))


_FULL = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@functools.lru_cache(maxsize=256)
def _read(repo: Path, commit: str, path: str) -> bytes | None:
    try:
        return call(repo, "cat-file", "blob", f"{commit}:{path}")
    except GitError:
        return None


def read_file(repo: Path, commit: str, path: str) -> str | None:
    """Return the text of `path` in `commit` with its line endings, or None when it isn't there."""
    content = read_bytes(repo, commit, path)
    return None if content is None else content.decode("utf-8", errors="surrogateescape")


def list_files(repo: Path, commit: str) -> list[str]:
    """Return all paths in `commit`."""
    out = call(repo, "ls-tree", "-r", "-z", "--name-only", commit)
    return out.decode(errors="surrogateescape").split("\0")[:-1]


def size(repo: Path, commit: str, path: str) -> int:
    """Return the number of bytes of `path` in `commit`, which may be packed much smaller.

    Raises
    ------
    GitError
        When it isn't there.
    """
    return int(text(repo, "cat-file", "-s", f"{commit}:{path}"))


def contains(repo: Path, commit: str, pattern: str) -> bool:
    """Tell whether a line of any Python file in `commit` matches an extended regular expression."""
    out = call(repo, "grep", "-lE", "-e", pattern, commit, "--", "*.py", accept=(0, 1))
    return bool(out)


def diff(repo: Path, old: str, new: str, paths: Sequence[str] = ()) -> str:
    """Return the unified diff between two commits, whatever the user's diff settings are."""
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--unified=3")
    sides = ("--src-prefix=a/", "--dst-prefix=b/")
    out = call(repo, "diff", *plain, *sides, "--end-of-options", old, new, "--", *paths)
    return out.decode(errors="surrogateescape")


def changed_files(repo: Path, old: str, new: str) -> list[str]:
    """Return the paths that differ between two commits."""
    plain = ("--name-only", "--no-renames", "-z", "--end-of-options")
    out = call(repo, "diff", *plain, old, new, "--")
    return out.decode(errors="surrogateescape").split("\0")[:-1]


def count_lines(repo: Path, old: str, new: str) -> tuple[int, int]:
    """Return the numbers of lines added and removed between two commits."""
    return (_count if _is_full(old, new) else _count.__wrapped__)(repo, old, new)


@functools.lru_cache(maxsize=256)
def _count(repo: Path, old: str, new: str) -> tuple[int, int]:
    sides = ("--end-of-options", old, new, "--")
    rows = text(repo, "diff", "--numstat", "--no-renames", *sides).splitlines()
    pairs = [row.split("\t")[:2] for row in rows]
    return (
        sum(int(added) for added, _ in pairs if added != "-"),
        sum(int(removed) for _, removed in pairs if removed != "-"),
    )


def is_ancestor(repo: Path, old: str, new: str) -> bool:
    """Tell whether `old` can be reached from `new`."""
    try:
        call(repo, "merge-base", "--is-ancestor", old, new)
    except GitError:
        return False
    return True


def commit_info(repo: Path, commit: str) -> CommitInfo:
    """Return who wrote a commit, what its message says and what it is built on."""
    return (_info if _is_full(commit) else _info.__wrapped__)(repo, commit)


@functools.lru_cache(maxsize=256)
def _info(repo: Path, commit: str) -> CommitInfo:
    out = text(repo, "log", "-1", "--format=%P%x00%an <%ae>%x00%s%x00%B", commit)
    parents, author, subject, message = out.split("\0", 3)
    return CommitInfo(author, subject, message, tuple(parents.split()))


def write_tree(repo: Path, files: Mapping[str, bytes]) -> str:
    """Store a flat folder of `files` and return its tree object."""
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(files)
        paths = [Path(folder, str(i)) for i in range(len(names))]
        for path, name in zip(paths, names, strict=True):
            path.write_bytes(files[name])
        listing = "".join(f"{path}\n" for path in paths).encode()
        blobs = call(repo, "hash-object", "-w", "--no-filters", "--stdin-paths", input=listing)
    entries = zip(names, blobs.decode().split(), strict=True)
    rows = "".join(f"100644 blob {blob}\t{name}\0" for name, blob in entries)
    return call(repo, "mktree", "-z", input=rows.encode()).decode().strip()


def read_tree(repo: Path, tree: str) -> dict[str, bytes]:
    """Return the files of a flat folder."""
    names = call(repo, "ls-tree", "-z", "--name-only", tree).decode().split("\0")[:-1]
    return {name: call(repo, "cat-file", "blob", f"{tree}:{name}") for name in names}


def commit_files(repo: Path, parent: str, files: Mapping[str, str], message: str) -> str:
    """Commit `files` (path → new text) on top of `parent` and return the commit.

    No ref moves. Modes of existing files are kept; bytes are stored as they are.
    """
    with temporary_index() as env:
        call(repo, "read-tree", parent, env=env)
        for path, content in files.items():
            data = content.encode("utf-8", errors="surrogateescape")
            blob = call(repo, "hash-object", "-w", "--stdin", input=data).decode().strip()
            listed = text(repo, "ls-tree", parent, "--", path)
            mode = listed.split(" ", 1)[0] if listed else "100644"
            call(repo, "update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", env=env)
        tree = call(repo, "write-tree", env=env).decode().strip()
    words = ("commit-tree", "--no-gpg-sign", tree, "-p", parent)
    try:
        return call(repo, *words, input=message.encode()).decode().strip()
    except GitError:
        identity(repo)  # says what to type when that was the cause
        raise


def commit_all(repo: Path, message: str) -> str:
    """Commit everything in a work tree that the kit itself has just made."""
    identity(repo)
    call(repo, "add", "--all")
    call(repo, "commit", "--quiet", "--no-gpg-sign", "--no-verify", "-m", message)
    return head(repo)


def write_tag(repo: Path, name: str, commit: str, message: str) -> str:
    """Store an annotated tag object and return it; no ref is made."""
    who = text(repo, "var", "GIT_COMMITTER_IDENT")
    body = f"object {commit}\ntype commit\ntag {name}\ntagger {who}\n\n{message}"
    content = body.encode("utf-8", errors="replace")
    return call(repo, "hash-object", "-t", "tag", "-w", "--stdin", input=content).decode().strip()


def merge_file(base: str, ours: str, theirs: str) -> tuple[str, bool]:
    """Merge two edits of `base` three-way; return the text and whether it has conflict markers."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("best", "base", "yours")
        for name, content in zip(names, (ours, base, theirs), strict=True):
            data = content.encode("utf-8", errors="surrogateescape")
            Path(folder, name).write_bytes(data)
        args = ("merge-file", "-p", "-q", *(w for n in names for w in ("-L", n)), *names)
        # The exit status is the number of conflicts; 255 is an error.
        merged = call(Path(folder), *args, accept=range(128))
    result = merged.decode("utf-8", errors="surrogateescape")
    return result, any(line.startswith("<<<<<<< best") for line in result.splitlines())


@contextlib.contextmanager
def temporary_index() -> Iterator[dict[str, str]]:
    """Yield the environment in which git uses an index of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"GIT_INDEX_FILE": str(Path(folder, "index"))}
