"""Small files that survive interruption: atomic writes and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoresearch_kit import keys
from autoresearch_kit.errors import DiskFull

spawning = threading.RLock()
"""Held by whoever starts a process and talks to it through pipes.

A thread that copies this process meanwhile (``os.fork``, a pool of workers) would keep the far ends
of the pipes open in the copy, and the end of the other process would never be seen.
"""
os.register_at_fork(
    before=spawning.acquire,
    after_in_parent=spawning.release,
    after_in_child=spawning.release,
)


def write_text(path: Path, text: str | bytes) -> None:
    """Replace `path` by `text` in one step: a reader sees the old text or the new, never half.

    Raises
    ------
    DiskFull
        When there is no room; the old text stays.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        data = text.encode("utf-8", errors="surrogateescape") if isinstance(text, str) else text
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no room is left to write {path}; free some space there and repeat the call"
            ) from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by `value` as JSON in one step."""
    write_text(path, json.dumps(value))


def write_once(path: Path, value: Any) -> bool:
    """Make a JSON file that must not exist yet; False when somebody else was first."""
    draft = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.json")
    write_json(draft, value)
    try:
        os.link(draft, path)  # fails when it exists: of several who decide the first one wins
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def read_json(path: Path) -> Any | None:
    """Return the JSON document at `path`; None when there is none, or a power cut emptied it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def read_table(path: Path) -> dict[str, Any]:
    """Return the JSON object at `path`; empty when there is none, or it is something else."""
    found = read_json(path)
    return found if isinstance(found, dict) else {}


def read_untrusted(path: Path, most: int) -> bytes:
    """Return at most `most` bytes of a regular file that untrusted code may have made.

    Links aren't followed, and a pipe can't make the reader wait: both are an `OSError`.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        return file.read(most)


def remove_tree(folder: Path) -> None:
    """Remove a folder that untrusted code may have filled; never raises.

    `shutil.rmtree` gives up on folders nested thousands deep, ``rm`` doesn't.
    """
    if not os.path.lexists(folder):
        return
    command = ["rm", "-rf", "--", str(folder)]
    subprocess.run(command, capture_output=True, check=False, env=keys.without(os.environ))


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system releases it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[int | None]:
    """Yield a handle that holds the lock on `path`, or None when somebody else does.

    A child process that inherits the handle keeps the lock for as long as it lives.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(10):  # Somebody who only looks holds it for some microseconds.
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield handle
                return
            time.sleep(0.005)
        yield None
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock on `path`."""
    try:
        with path.open("r") as file:
            # Shared, so that two who look at the same moment don't take each other for it.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
