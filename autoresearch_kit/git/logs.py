"""Logs: what many commits say and change, read at once; and repositories that are one file."""

from __future__ import annotations

import functools
import secrets
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit.errors import GitError, LabError
from autoresearch_kit.git.process import call, text

_NEXT = f"<{secrets.token_hex(16)}>"  # a message or a file may hold anything but this
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")


class Logged(NamedTuple):
    """A commit: who made it and when (ISO 8601, UTC), what it says, and lines it adds and removes.

    `changes` has a pair of numbers for each path; a commit without a parent has none. The date is
    "" where it is in no year that Python knows.
    """

    commit: str
    parents: tuple[str, ...]
    author: str
    date: str
    message: str
    changes: Mapping[str, tuple[int, int]]

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


class Branch(NamedTuple):
    """A branch, of a remote too: its full ref, its commit, and whether HEAD is on it."""

    ref: str
    commit: str
    current: bool


def branches(repo: Path) -> list[Branch]:
    """Return all branches."""
    fields = "%(HEAD)%00%(refname)%00%(objectname)"
    out = call(repo, "for-each-ref", f"--format={fields}", "refs/heads", "refs/remotes")
    # A name may have what Python takes for the end of a line.
    rows = (line.split("\0") for line in out.decode(errors="replace").split("\n") if line)
    return [Branch(ref, oid, mark == "*") for mark, ref, oid in rows if not ref.endswith("/HEAD")]


def find_commits(repo: Path, prefixes: Iterable[str]) -> dict[str, str | None]:
    """Return the commits that abbreviated hashes stand for; None for an ambiguous one.

    What no commit here has, is left out.
    """
    asked = list(dict.fromkeys(prefixes))
    found: dict[str, str | None] = {}
    doubtful = []
    for prefix, answer in zip(asked, _checked(repo, asked), strict=True):
        if answer.endswith(" commit"):
            found[prefix] = answer.split(" ")[0]
        elif answer.endswith(" ambiguous"):
            doubtful.append(prefix)
    commits = [f"{prefix}^{{commit}}" for prefix in doubtful]
    for prefix, answer in zip(doubtful, _checked(repo, commits), strict=True):
        # A tree or a file may begin alike, but it is a commit that is meant.
        found[prefix] = answer.split(" ")[0] if answer.endswith(" commit") else None
    return found


def _checked(repo: Path, names: list[str]) -> list[str]:
    if not names:
        return []
    asked = "".join(f"{name}\n" for name in names).encode()
    form = "--batch-check=%(objectname) %(objecttype)"
    return call(repo, "cat-file", form, input=asked).decode(errors="replace").splitlines()


def merge_base(repo: Path, one: str, other: str) -> str:
    """Return the last commit that both have; "" when they have none."""
    return text(repo, "merge-base", one, other, accept=(0, 1))


def log(repo: Path, tip: str, base: str | None = None, *, changes: bool = True) -> list[Logged]:
    """Return the commits on the way from `base` (not included) to `tip`, oldest first.

    The way is that of the first parents; without `base` it begins with the first commit. Without
    `changes` no files are compared.
    """
    ways = [tip, *([f"^{base}"] if base else [])]
    form = _FORM if changes else ("--no-patch", *_FORM[1:])
    return _logged(call(repo, "log", "--first-parent", "--reverse", *form, *ways, "--"))


def commits(repo: Path, names: Iterable[str], *, changes: bool = True) -> dict[str, Logged]:
    """Return these commits, by their full names; without `changes` no files are compared."""
    asked = _lines(names)
    if not asked:
        return {}
    form = _FORM if changes else ("--no-patch", *_FORM[1:])
    out = call(repo, "log", "--no-walk=unsorted", "--stdin", *form, input=asked)
    return {each.commit: each for each in _logged(out)}


def patches(repo: Path, names: Iterable[str], *paths: str) -> dict[str, str]:
    """Return the diffs without context of these commits against their first parents.

    Only of `paths`; a commit that doesn't change them is left out.
    """
    asked = _lines(names)
    if not asked:
        return {}
    options = ("-p", "-U0", *_PLAIN, "--no-show-signature", f"--format={_NEXT}%H%x00")
    walk = ("log", "--no-walk=unsorted", "--stdin", *options)
    out = call(repo, *walk, "--", *paths, input=asked).decode(errors="replace")
    pairs = (block.partition("\0") for block in out.split(_NEXT)[1:])
    return {commit: patch for commit, _, patch in pairs}


def read_many(repo: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of files (``commit:path``); those that aren't there are left out."""
    asked = [name for name in dict.fromkeys(names) if "\n" not in name]  # git reads a name a line
    if not asked:
        return {}
    out = call(repo, "cat-file", "--batch", input="".join(f"{n}\n" for n in asked).encode())
    found, at = {}, 0
    for name in asked:
        end = out.index(b"\n", at)
        head = out[at:end].rsplit(b" ", 2)
        at = end + 1
        if len(head) == 3 and head[2].isdigit():
            size = int(head[2])
            if head[1] == b"blob":
                found[name] = out[at : at + size]
            at += size + 1
    return found


def is_bundle(path: Path) -> bool:
    """Tell whether a file is a bundle, a repository in one file, by its first line."""
    with path.open("rb") as file:
        return file.read(20).startswith((b"# v2 git bundle\n", b"# v3 git bundle\n"))


def unbundled(path: Path) -> Path:
    """Return a bare repository with all that a bundle holds; it lasts as long as this process.

    Raises
    ------
    LabError
        When the bundle is damaged, or goes on from commits that it doesn't hold.
    """
    stat = path.stat()
    return Path(_unbundled(path.resolve(), stat.st_mtime_ns, stat.st_size).name, "repo.git")


@functools.cache
def _unbundled(path: Path, _time: int, _size: int) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="autoresearch-bundle-")
    try:
        clone = ("clone", "--quiet", "--mirror", str(path.resolve()), "repo.git")
        call(Path(folder.name), *clone, env={"GIT_ALLOW_PROTOCOL": "file"})
    except GitError as error:
        folder.cleanup()
        raise LabError(
            f"the bundle {path} can't be opened ({error}); expected one that stands alone, "
            "as git bundle create FILE --all makes it. Check yours with git bundle verify."
        ) from error
    return folder


_FORM = (
    "--numstat",
    *_PLAIN,
    "--no-show-signature",
    "--no-decorate",
    "--encoding=UTF-8",
    f"--format={_NEXT}%H%x00%P%x00%an <%ae>%x00%ct%x00%B%x00",
    "-z",
)


def _logged(out: bytes) -> list[Logged]:
    found = []
    for block in out.decode(errors="replace").split(_NEXT)[1:]:
        commit, parents, author, date, message, rest = block.split("\0", 5)
        changes = {}
        if parents:  # what a root adds is where it all starts, no change
            for row in rest.split("\0"):
                added, _, more = row.strip("\n").partition("\t")
                removed, _, path = more.partition("\t")
                if path:
                    changes[path] = (_count(added), _count(removed))
        when = _moment(date)
        found.append(Logged(commit, tuple(parents.split()), author, when, message.strip(), changes))
    return found


def _moment(seconds: str) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return ""  # a commit may claim any year


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0  # a binary file has "-"


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in dict.fromkeys(names)).encode()
