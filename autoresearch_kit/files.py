"""Small files that survive interruption: atomic writes and locks that die with their process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autoresearch_kit.errors import DiskFull


def write_text(path: Path, text: str) -> None:
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
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
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


def read_json(path: Path) -> Any | None:
    """Return the JSON document at `path`; None when there is none, or a power cut emptied it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


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
    subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the system releases it however the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
