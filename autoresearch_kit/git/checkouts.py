"""Checkouts: a user's, which are read and fast-forwarded at most, and exports without a .git."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from autoresearch_kit.errors import GitError
from autoresearch_kit.git.objects import read_bytes, temporary_index
from autoresearch_kit.git.process import call, text


def checked_out(repo: Path, branch: str) -> Path | None:
    """Return the worktree that has `branch` checked out, or None."""
    for block in text(repo, "worktree", "list", "--porcelain").split("\n\n"):
        lines = block.splitlines()
        if f"branch refs/heads/{branch}" in lines and "bare" not in lines:
            return Path(lines[0].removeprefix("worktree "))
    return None


def fast_forward(worktree: Path, commit: str) -> bool:
    """Move a checked-out branch and its clean files forward to `commit`; False changes nothing."""
    with contextlib.suppress(GitError):  # such as a worktree whose folder was removed
        if not text(worktree, "status", "--porcelain", "--untracked-files=no"):
            call(worktree, "merge", "--ff-only", "--quiet", commit)
            return True
    return False


def uncommitted(repo: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the `paths` whose file in the checkout differs from HEAD, with the file's bytes."""
    edited = {}
    for path in paths:
        file = repo / path
        if file.is_file() and (content := file.read_bytes()) != read_bytes(repo, "HEAD", path):
            edited[path] = content
    return edited


def export(repo: Path, commit: str, folder: Path) -> None:
    """Write all files of `commit` into `folder`, without any .git."""
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_index() as env:
        call(repo, "read-tree", commit, env=env)
        # A work tree of its own keeps a bare repository and a checkout out of it.
        env["GIT_WORK_TREE"] = str(folder)
        call(repo, "checkout-index", "--all", "--force", f"--prefix={folder}/", env=env)
