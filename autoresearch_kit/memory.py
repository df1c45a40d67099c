"""Memory of processes on Linux, also what lies in files that are memory, as seen from outside."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_HANDLES = 20_000  # that are looked at; an honest run has some hundred
_FOLDERS = ("tmp", "dev/shm", str(Path.home()).lstrip("/"))  # see `sandbox.untrusted`


def with_files(pids: Iterable[int], in_files: int, name: str, total: str, shared: str) -> int:
    """Return the memory of processes and of `in_files` bytes in files, of which they map some.

    Parameters
    ----------
    name, total, shared
        File in ``/proc/PID``, and its fields for all memory and for that of files in memory.
    """
    used = mapped = 0
    for pid in pids:
        fields = _fields(f"/proc/{pid}/{name}", (total, shared))
        used += fields.get(total, 0)
        mapped += fields.get(shared, 0)
    return used + max(0, in_files - mapped)


def _fields(path: str, names: tuple[str, ...]) -> dict[str, int]:
    found = {}
    with contextlib.suppress(OSError):
        for line in Path(path).read_text(errors="replace").splitlines():
            name, _, rest = line.partition(":")
            if name in names:
                found[name] = int(rest.split()[0]) * 1024
    return found


def in_folders(pids: Iterable[int]) -> int:
    """Return the bytes in the sandbox's own folders in memory; 0 where there is no sandbox.

    Those of the machine, which it shares with everybody, are left out.
    """
    for pid in pids:
        used: dict[int, int] = {}
        for name in _FOLDERS:
            inside = Path(f"/proc/{pid}/root", name)
            with contextlib.suppress(OSError):
                device = inside.stat().st_dev
                if device == _device(Path("/", name)):
                    continue
                room = os.statvfs(inside)
                used[device] = (room.f_blocks - room.f_bfree) * room.f_frsize
        if used:
            return sum(used.values())
    return 0


def _device(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_dev
    return None


def in_handles(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Return the bytes of each file without a name (memfd) that is open in one of `pids`."""
    found = {}
    for path in itertools.islice(_handles(pids), MOST_HANDLES):
        with contextlib.suppress(OSError):
            if str(path.readlink()).startswith("/memfd:"):
                file = path.stat()
                found[file.st_dev, file.st_ino] = file.st_blocks * 512
    return found


def _handles(pids: Iterable[int]) -> Iterator[Path]:
    for pid in pids:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
            yield from (Path(entry.path) for entry in entries)
