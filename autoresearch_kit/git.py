"""The only file that runs git.

Everything here writes objects and refs; nothing touches the user's index, files or stash.
Trees are built in a temporary index, refs move in one transaction with compare-and-swap.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit import keys
from autoresearch_kit.errors import CampaignError, GitError, LabError
from autoresearch_kit.files import spawning

_KEPT = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"} | {
    f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")
}

_CLOCK_TICK_NS = 50_000_000

ABSENT = "0" * 40  # as an expected old value: the ref must not exist yet


class RefUpdate(NamedTuple):
    """One line of a transaction: `ref` goes to `new` (None deletes it) if it is at `old`."""

    ref: str
    new: str | None
    old: str | None = None


class CommitInfo(NamedTuple):
    """Author as ``Name <email>``, first line, and the whole message of a commit."""

    author: str
    subject: str
    message: str


class RefsMoved(GitError):
    """A ref was not where the transaction expected it; nothing was written."""


def call(
    repo: Path,
    *args: str,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
    accept: Sequence[int] = (0,),
) -> bytes:
    """Run git in `repo` and return what it printed.

    Raises
    ------
    GitError
        When git is missing or ends with a status that is not in `accept`.
    """
    # Inherited GIT_DIR or GIT_INDEX_FILE (set inside hooks) would aim us at another repository.
    # Filters need no keys; nothing here talks to a server: what will, gets its token in env=.
    theirs = keys.without({**os.environ, "LC_ALL": "C"}).items()
    clean = {k: v for k, v in theirs if not k.startswith("GIT_") or k in _KEPT} | dict(env or {})
    words = ["git", "-c", "core.hooksPath=/dev/null", "-C", str(repo), *args]  # people's hooks
    try:
        with spawning:
            done = subprocess.run(words, input=input, env=clean, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise GitError("git is not on PATH; type apt install git, or brew install git") from error
    if done.returncode not in accept:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(f"git {' '.join(args[:3])} in {repo} failed: {said}")
    return done.stdout


def text(repo: Path, *args: str, accept: Sequence[int] = (0,)) -> str:
    """Run git and return its output as stripped text."""
    return call(repo, *args, accept=accept).decode(errors="replace").strip()


def root(path: Path) -> Path:
    """Return the top of the work tree (or the bare repository) that contains `path`.

    Raises
    ------
    LabError
        When there is no such folder, or it is no git repository.
    """
    if not path.is_dir():
        kind = "is a file" if path.exists() else "does not exist"
        raise LabError(
            f"{path} {kind}; expected a folder with a git repository. "
            f"Make a lab with ark.new_lab({str(path)!r}, task=...), or give another path."
        )
    try:
        bare = text(path, "rev-parse", "--is-bare-repository") == "true"
        top = text(path, "rev-parse", "--absolute-git-dir" if bare else "--show-toplevel")
    except GitError as error:
        raise LabError(
            f"{path} is not a git repository. Run `git init` and commit your script there, "
            f"or make a new lab with ark.new_lab(...). ({error})"
        ) from error
    return Path(top)


@functools.cache
def common_dir(repo: Path) -> Path:
    """Return the git directory that all worktrees of `repo` share."""
    return Path(repo, text(repo, "rev-parse", "--git-common-dir")).resolve()


def init(path: Path) -> None:
    """Make an empty repository with the branch `main` at `path`."""
    call(path, "init", "--quiet", "--initial-branch=main")


def identity(repo: Path) -> str:
    """Return ``Name <email>`` of the person that git would name as committer.

    Raises
    ------
    GitError
        When git knows no name or e-mail address.
    """
    try:
        return text(repo, "var", "GIT_COMMITTER_IDENT").rsplit(" ", 2)[0]
    except GitError as error:
        raise GitError(
            "git does not know who you are, and every experiment is a commit. Type\n"
            '    git config --global user.name "Your Name"\n'
            "    git config --global user.email you@example.org"
        ) from error


def check_tag(repo: Path, tag: str) -> None:
    """Check that git takes `tag` as part of a branch and a tag name.

    Raises
    ------
    CampaignError
        When it doesn't, or when it contains a slash.
    """
    try:
        call(repo, "check-ref-format", f"refs/heads/autoresearch/{tag}")
        if "/" in tag:
            raise GitError("a slash")
    except GitError as error:
        raise CampaignError(
            f"git refuses {tag!r} as a tag: expected letters, digits, '-', '_' or '.', "
            "without spaces or slashes, such as tag='nov23'."
        ) from error


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
        raise LabError(f"{repo} has no commit yet; type git add . && git commit there first")
    return commit


def read_bytes(repo: Path, commit: str, path: str) -> bytes | None:
    """Return the content of `path` in `commit` byte for byte, or None when it isn't there."""
    if len(commit) == len(ABSENT):
        return _read_fixed(repo, commit, path)
    return _read_fixed.__wrapped__(repo, commit, path)


@functools.lru_cache(maxsize=256)
def _read_fixed(repo: Path, commit: str, path: str) -> bytes | None:
    """Read a file once: what a full commit name holds can't change."""
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
    return call(repo, "ls-tree", "-r", "-z", "--name-only", commit).decode().split("\0")[:-1]


def contains(repo: Path, commit: str, pattern: str) -> bool:
    """Tell whether a line of any Python file in `commit` matches an extended regular expression."""
    out = call(repo, "grep", "-lE", "-e", pattern, commit, "--", "*.py", accept=(0, 1))
    return bool(out)


def diff(repo: Path, old: str, new: str, paths: Sequence[str] = ()) -> str:
    """Return the unified diff between two commits, whatever the user's diff settings are."""
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    return call(repo, "diff", *plain, old, new, "--", *paths).decode(errors="surrogateescape")


def changed_files(repo: Path, old: str, new: str) -> list[str]:
    """Return the paths that differ between two commits."""
    out = call(repo, "diff", "--name-only", "--no-renames", "-z", old, new)
    return out.decode(errors="surrogateescape").split("\0")[:-1]


def count_lines(repo: Path, old: str, new: str) -> tuple[int, int]:
    """Return the numbers of lines added and removed between two commits."""
    rows = text(repo, "diff", "--numstat", "--no-renames", old, new).splitlines()
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
    """Return who wrote a commit and what its message says."""
    out = text(repo, "log", "-1", "--format=%an <%ae>%x00%s%x00%B", commit)
    return CommitInfo(*out.split("\0", 2))


def refs(repo: Path, *patterns: str) -> dict[str, str]:
    """Return refs under `patterns` and the object of each."""
    out = text(repo, "for-each-ref", "--format=%(refname) %(objectname)", *patterns)
    return dict(line.split(" ", 1) for line in out.splitlines())


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
    fields = "%(refname)%00%(objectname)%00%(*objectname)%00%(contents)%00%01"
    out = call(repo, "for-each-ref", f"--format={fields}", *patterns).decode(errors="replace")
    rows = (row.strip("\n").split("\0") for row in out.split("\0\1"))
    return [Annotated(*row[:4]) for row in rows if len(row) >= 4 and row[2]]


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
    with _temporary_index() as env:
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
    with _temporary_index() as env:
        call(repo, "read-tree", commit, env=env)
        # A work tree of its own keeps a bare repository and a checkout out of it.
        env["GIT_WORK_TREE"] = str(folder)
        call(repo, "checkout-index", "--all", "--force", f"--prefix={folder}/", env=env)


@contextlib.contextmanager
def _temporary_index() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory() as folder:
        yield {"GIT_INDEX_FILE": str(Path(folder, "index"))}
