"""Which commit each line of a file was last written by."""

from __future__ import annotations

import os
from pathlib import Path

from autoresearch_kit.errors import GitError
from autoresearch_kit.git.process import borrowing, call


def blame(repo: Path, commit: str, path: str) -> list[tuple[str, str]]:
    """Return the lines of `path` in `commit`, each after the commit that wrote it.

    A line has no line feed at its end; a carriage return before that stays.

    Raises
    ------
    GitError
        When there is no such file.
    """
    # An empty name ends a user's list of commits to pass over. Many set one for all repositories,
    # and where the file isn't there git ends in an error: without any settings it doesn't.
    asked = ("blame", "--porcelain", "--no-textconv", "--ignore-revs-file=", commit, "--", path)
    try:
        out = call(repo, *asked)
    except GitError:
        with borrowing(repo) as aside:
            out = call(aside, *asked, env={"GIT_CONFIG_GLOBAL": os.devnull})
    found, writer = [], ""
    # A line of the file begins with a tab, what is said about it never does.
    for row in out.removesuffix(b"\n").split(b"\n"):
        if row.startswith(b"\t"):
            found.append((writer, row[1:].decode("utf-8", errors="surrogateescape")))
        elif _is_header(words := row.split(b" ")):
            writer = words[0].decode()
    return found


def _is_header(words: list[bytes]) -> bool:
    """Tell ``<commit> <line before> <line now> [<lines>]`` from facts such as ``summary ...``."""
    return len(words[0]) in (40, 64) and len(words) > 2
