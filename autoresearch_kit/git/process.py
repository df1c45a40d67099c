"""Starts git: the only place that does. What a repository is, and who its user is."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from autoresearch_kit import keys
from autoresearch_kit.errors import CampaignError, GitError, LabError
from autoresearch_kit.files import spawning

_KEPT = {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"} | {
    f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE")
}

# A clone's own settings may come from anybody (an archive, a shared disk), and some name programs.
_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "log.showSignature=false"),
    *("-c", "diff.submodule=short"),  # else a diff runs git in the submodule, by its settings
    *("-c", "protocol.ext.allow=never"),
)
# Where an object is missing, a partial clone would fetch it from wherever its settings say, by
# whatever program they name.
_NO_TRANSPORT = "none"
_FETCHES = re.compile(r"transport '[^']*' not allowed")

_MISSING = "git is not on PATH; type apt install git, or brew install git"
_TICK_SECONDS = 0.1
_PIECE = 1 << 20
_GRACE_SECONDS = 5.0


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
    environ = own_environment() | dict(env or {})
    try:
        with spawning:
            done = subprocess.run(
                _words(repo, args), input=input, env=environ, capture_output=True, check=False
            )
    except FileNotFoundError as error:
        raise GitError(_MISSING) from error
    if done.returncode not in accept:
        said = done.stderr.decode(errors="replace").strip()
        if _FETCHES.search(said):
            said += (
                "\nAn object is missing, as in a partial clone, and nothing is fetched behind your "
                "back. If you trust its settings, type there: git fetch --refetch --no-filter"
            )
        raise GitError(f"git {' '.join(args[:3])} in {repo} failed: {said}")
    return done.stdout


def stream(repo: Path, *args: str, input: bytes) -> Iterator[bytes]:
    """Run git in `repo` and yield what it prints in pieces, while it goes on.

    Raises
    ------
    GitError
        When git is missing or fails, after what it printed before.
    """
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as err:
        asked.write(input)
        asked.seek(0)
        try:
            with spawning:
                git = subprocess.Popen(
                    _words(repo, args),
                    env=own_environment(),
                    stdin=asked,
                    stdout=subprocess.PIPE,
                    stderr=err,
                    pipesize=_PIECE,  # else git would wait while the reader works
                )
        except FileNotFoundError as error:
            raise GitError(_MISSING) from error
        with git:
            try:
                while piece := os.read(git.stdout.fileno(), _PIECE):  # type: ignore[union-attr]
                    yield piece
            except BaseException:  # whoever reads has stopped
                git.kill()
                raise
        if git.returncode:
            err.seek(0)
            said = err.read().decode(errors="replace").strip()
            raise GitError(f"git {' '.join(args[:3])} in {repo} failed: {said}")


def talk(
    repo: Path, *args: str, environ: Mapping[str, str], watch: Callable[[str], None]
) -> tuple[str, str]:
    """Run a git that talks to another repository and return what it printed, and what it said.

    `watch` is called some ten times a second with the last line that it said. An interrupt ends git
    too. Questions (a password, an unknown host) are asked at a terminal only.

    Raises
    ------
    GitError
        When git is missing or fails; the message is git's own, without keys.
    """
    # Without a terminal of its own it can't ask where nobody sees the question.
    apart = not sys.stdin.isatty()
    # Files in place of pipes: `spawning` would have to be held for as long as a network takes.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            git = subprocess.Popen(
                _words(repo, args),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=apart,
            )
        except FileNotFoundError as error:
            raise GitError(_MISSING) from error
        try:
            while git.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    git.wait(_TICK_SECONDS)
                watch(_last_line(err))
        except BaseException:
            # At a terminal Ctrl+C reaches what git has started too, such as ssh.
            os.killpg(git.pid, signal.SIGTERM) if apart else git.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                git.wait(_GRACE_SECONDS)
            git.kill()
            git.wait()
            raise
        out.seek(0)
        err.seek(0)
        said = keys.redact(err.read().decode(errors="replace"))
        if git.returncode:
            raise GitError(said.strip() or f"git {args[0]} ended with status {git.returncode}")
        return out.read().decode(errors="replace"), said


def own_environment(transport: str = _NO_TRANSPORT) -> dict[str, str]:
    """Return the environment of a git that stays on this machine: without keys, aimed nowhere.

    It reaches no other repository, unless `transport` is ``file``.
    """
    # Inherited GIT_DIR or GIT_INDEX_FILE (set inside hooks) would aim us at another repository.
    theirs = keys.without({**os.environ, "LC_ALL": "C"}).items()  # filters need no keys
    kept = {k: v for k, v in theirs if not k.startswith("GIT_") or k in _KEPT}
    # A commit is what its name is the hash of, whatever a clone says should stand in its place.
    return kept | {"GIT_ALLOW_PROTOCOL": transport, "GIT_NO_REPLACE_OBJECTS": "1"}


def _words(repo: Path, args: Sequence[str]) -> list[str]:
    return ["git", *_SAFE, "-C", str(repo), *args]


def _last_line(file: IO[bytes]) -> str:
    end = os.fstat(file.fileno()).st_size
    # Git's own end of the file must not move, and both share one position: read elsewhere.
    tail = os.pread(file.fileno(), 500, max(0, end - 500)).decode(errors="replace")
    lines = tail.replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


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
        why = "" if "not a git repository" in str(error) else f" ({error})"  # such as its owner
        raise LabError(
            f"{path} is not a git repository. Run `git init` and commit your script there, "
            f"or make a new lab with ark.new_lab(...).{why}"
        ) from error
    return Path(top)


@functools.cache
def common_dir(repo: Path) -> Path:
    """Return the git directory that all worktrees of `repo` share."""
    return Path(repo, text(repo, "rev-parse", "--git-common-dir")).resolve()


@contextlib.contextmanager
def borrowing(repo: Path) -> Iterator[Path]:
    """Yield an empty bare repository with the objects of `repo`, but none of its settings."""
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder)
        call(aside, "init", "--quiet", "--bare", ".")
        objects = common_dir(repo) / "objects"
        (aside / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        yield aside


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
