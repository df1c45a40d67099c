"""Other repositories: where a remote is, what it has, and moving refs from or to it.

Nothing is ever forced. Whatever talks to a server runs as the user's own git would, with their ssh
and their credential helpers.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit import keys
from autoresearch_kit.errors import GitError
from autoresearch_kit.git.process import borrowing, call, own_environment, talk, text

Watch = Callable[[str], None]

_AIMED = {  # what git sets inside hooks; it would aim us at another repository (git-rev-parse(1))
    *("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_PREFIX"),
    *("GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    *("GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_REPLACE_REF_BASE", "GIT_NO_REPLACE_OBJECTS"),
    *("GIT_NAMESPACE", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_QUARANTINE_PATH"),
}
_SIZE = re.compile(r"\w+ objects: 100%[^,\n]*, ([\d.]+ (?:bytes|[KMG]iB))")
_NO_ATOMIC = "does not support --atomic push"


class Remote(NamedTuple):
    """Another repository: its name here, else its address again; and its address."""

    name: str
    url: str


def remote(repo: Path, given: str, *, push: bool = False) -> Remote:
    """Return what the name of a remote, an address or a path stands for, by git's own rules."""
    which = ("--push",) if push else ()
    if url := text(repo, "remote", "get-url", *which, "--", given, accept=(0, 2, 128)):
        return Remote(given, url)
    # A person means a path from where they are; git would begin at the repository.
    here = Path(given).expanduser()
    url = str(here.resolve()) if here.exists() else given
    return Remote(url, url)


def remote_refs(repo: Path, remote: Remote, *patterns: str, watch: Watch) -> dict[str, str]:
    """Return the refs of another repository that match, and the object of each.

    An annotated tag is there twice: its own object and, with ``^{}`` behind the name, its commit.
    """
    words = ("ls-remote", "--", remote.url, *patterns)
    out, _ = talk(repo, *words, environ=environment(repo, remote.url), watch=watch)
    return {ref: oid for oid, ref in (line.split("\t", 1) for line in out.split("\n")[:-1])}


def push(repo: Path, remote: Remote, specs: Sequence[str], *, watch: Watch) -> str:
    """Send refs, all or none, and return how much that was ("12 KiB"; "" when git didn't say).

    A server that can't do all at once gets them in the order of `specs`.
    """
    words = ("--progress", "--no-follow-tags", "--recurse-submodules=no", "--", remote.name)
    start: tuple[str, ...] = ("push",)
    if remote.name != remote.url:  # a remote that is set up as a mirror takes no single refs
        start = ("-c", f"remote.{remote.name}.mirror=false", "push")
    environ = environment(repo, remote.url)
    try:
        _, said = talk(repo, *start, "--atomic", *words, *specs, environ=environ, watch=watch)
    except GitError as error:
        if _NO_ATOMIC not in str(error):
            raise
        _, said = talk(repo, *start, *words, *specs, environ=environ, watch=watch)
    return _size(said)


def fetch(repo: Path, remote: Remote, specs: Sequence[str], *, watch: Watch) -> str:
    """Bring refs, all or none, and return how much that was ("12 KiB"; "" when git didn't say)."""
    # In a mirror git would else force the branches too, as `remote.*.fetch` says.
    how = ("--atomic", "--progress", "--no-tags", "--no-write-fetch-head", "--refmap=")
    words = ("fetch", *how, "--recurse-submodules=no", "--", remote.name, *specs)
    return _size(talk(repo, *words, environ=environment(repo, remote.url), watch=watch)[1])


def environment(repo: Path, url: str) -> dict[str, str]:
    """Return the environment for a git that talks to `url`.

    To a server: the user's own, tokens for their credential helpers included, as in their shell.
    Left out are API keys, which are for other servers, and what aims git at another repository.
    To a folder or a file: no tokens, for nobody there asks, and hooks may lie there.
    """
    if url.startswith("file://") or (repo / url).exists():
        return own_environment("file")
    tokens = [name for name in keys.names(os.environ) if not name.upper().endswith("_API_KEY")]
    theirs = keys.without(os.environ, but=tokens)
    if not sys.stdin.isatty():  # or it waits for an answer that nobody can give
        theirs.setdefault("GIT_TERMINAL_PROMPT", "0")
    return {k: v for k, v in theirs.items() if k not in _AIMED} | {"LC_ALL": "C"}


def _size(said: str) -> str:
    found = _SIZE.findall(said.replace("\r", "\n"))
    return str(found[-1]) if found else ""


def bundle(repo: Path, refs: Mapping[str, str], head: str, path: Path) -> None:
    """Write a repository in one file, with `refs` and all that they need; `head` is its HEAD.

    Nothing of `repo` is copied but into the file, and the file is replaced in one step.
    """
    with borrowing(repo) as aside:
        (aside / "packed-refs").write_text("".join(f"{oid} {ref}\n" for ref, oid in refs.items()))
        (aside / "HEAD").write_text(f"ref: {head}\n")
        call(aside, "bundle", "create", "--quiet", str(path.resolve()), "HEAD", "--all")
