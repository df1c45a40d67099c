"""A process and all its descendants, seen from outside: CPU time, memory, who waited for whom.

What a process used is known while it lives, and afterwards to whoever waited for it. The kernel
forgets those that nobody waits for, where SIGCHLD is ignored; so they are caught in the act, by
looking for processes at moments that nobody can foresee. Nothing here decides what follows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from autoresearch_kit import memory

SCAN_SECONDS = 0.15  # between two searches for new processes, on average; 0.2 ms each
ROUNDING_SECONDS = 0.02  # of the kernel's figure for children: user and system, 10 ms each
HANDLES_SECONDS = 1.0  # between two looks at all open files, 1 ms for a hundred processes of ten
UNWAITED_SECONDS = 0.03  # beyond rounding, that can't be the children that were waited for

_LINUX = sys.platform.startswith("linux")
_TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(slots=True)
class _Seen:
    """What is known of one process. Of its children only those count that it waited for."""

    born: float
    waited: float  # CPU seconds of its children
    faults: int  # page faults: unlike CPU time an exact count, and no process has none
    waited_faults: int
    cpu: float = 0.0


class Tree:
    """CPU time and memory of a process and all its descendants, also of those that have ended.

    Attributes
    ----------
    unwaited
        When a process was first found to have ended without anybody waiting for it, as
        `time.monotonic`; None while that didn't happen. What such processes used can't be known.
    """

    def __init__(self, pid: int) -> None:
        self.root = pid
        self.unwaited: float | None = None
        self._random = random.SystemRandom()  # the code inside must not know the moments
        # Parents come before their children, see _settle.
        self._seen: dict[int, _Seen] = {}
        self._debt = 0.0  # CPU seconds of ended processes that nobody has waited for so far
        self._next_scan = self._next_handles = 0.0
        self._in_handles = 0  # bytes in memfd files at the last look at them
        self.scan()

    @property
    def processes(self) -> int:
        """How many processes were alive at the last look."""
        return len(self._seen)

    @property
    def scan_in(self) -> float:
        """Seconds until `scan` should be called."""
        return max(0.0, self._next_scan - time.monotonic())

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that the tree has used since it began."""
        self._settle()
        for pid, seen in self._seen.items():
            seen.cpu = max(seen.cpu, _cpu(pid))
        return sum(seen.cpu + seen.waited for seen in self._seen.values()) + self._debt

    def queued_seconds(self) -> float:
        """Return how long the threads that are alive were ready to run while others did.

        Where the kernel doesn't tell it is 0.
        """
        total = 0
        for pid in self._seen if _LINUX else ():
            with contextlib.suppress(OSError):
                for thread in os.scandir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError):
                        total += int(_read(f"{thread.path}/schedstat").split()[1])
        return total / 1e9

    def scan(self) -> None:
        """Look for new processes, and choose the moment of the next search."""
        self._next_scan = time.monotonic() + self._random.uniform(0.1, 1.9) * SCAN_SECONDS
        self.find()

    def find(self) -> None:
        """Look for new processes at a moment that the code inside may have chosen."""
        for pid in _walk(self.root):
            if pid not in self._seen and (found := _look(pid)):
                found.cpu = _cpu(pid)
                self._seen[pid] = found
        self._settle()

    def _settle(self) -> None:
        """Read all known processes; those that are gone must have been waited for.

        A process is read before its children. So whatever a reading says of children that were
        waited for is of such as are gone at the end of the round, never of one still counted.
        """
        gone: list[_Seen] = []
        while True:
            now = {pid: _look(pid) for pid in self._seen}
            ended = [
                p for p, old in self._seen.items() if (n := now[p]) is None or n.born != old.born
            ]
            if not ended:
                break
            gone += [self._seen.pop(pid) for pid in ended]
        waited, faults = 0.0, 0
        for pid, new in now.items():
            old = self._seen[pid]
            assert new is not None
            waited += max(0.0, new.waited - old.waited)
            faults += max(0, new.waited_faults - old.waited_faults)
            new.cpu = old.cpu
            self._seen[pid] = new
        self._debt += sum(seen.cpu + seen.waited for seen in gone) - waited
        self._debt = max(0.0, self._debt)
        most = UNWAITED_SECONDS + ROUNDING_SECONDS * len(self._seen)
        missed = sum(seen.faults + seen.waited_faults for seen in gone) > faults
        # With the first process all end at once, and nobody is left who could have waited.
        if (missed or self._debt > most) and self.root in self._seen and self.unwaited is None:
            self.unwaited = time.monotonic()

    def pin(self, cpus: Iterable[int]) -> None:
        """Let all threads of the tree run on `cpus` only, where the system can do that."""
        if not hasattr(os, "sched_setaffinity"):
            return
        for pid in self._seen:
            with contextlib.suppress(OSError):
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), cpus)

    def memory_bytes(self, limit: float) -> int:
        """Return the memory that is used; pages that processes share count once where it matters.

        So do files in memory, which may be mapped by nobody: in the sandbox's own folders, and
        those without a name (memfd). Counting shared pages properly is slow, so it is only done
        above `limit` bytes.
        """
        if not _LINUX:
            return sum(map(_resident, self._seen))
        if (now := time.monotonic()) > self._next_handles:
            self._next_handles = now + HANDLES_SECONDS
            self._in_handles = sum(memory.in_handles(self._seen).values())
        in_files = memory.in_folders(self._seen) + self._in_handles
        used = memory.with_files(self._seen, in_files, "status", "VmRSS", "RssShmem")
        if used <= limit or len(self._seen) == 1:
            return used
        return memory.with_files(self._seen, in_files, "smaps_rollup", "Pss", "Pss_Shmem")


def _resident(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def _walk(root: int) -> Iterator[int]:
    """Yield a process and its descendants, parents first; one that just ends may be missed."""
    if not _lists_children():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(root)
            yield from (root, *(child.pid for child in process.children(recursive=True)))
        return
    todo = [root]
    for pid in todo:
        yield pid
        with contextlib.suppress(OSError):
            for thread in os.scandir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    todo += map(int, _read(f"{thread.path}/children").split())


def _lists_children() -> bool:
    return _LINUX and Path(f"/proc/self/task/{os.getpid()}/children").exists()


def _look(pid: int) -> _Seen | None:
    """Return what the system says of a process, None when it is gone."""
    if _LINUX:
        try:
            # The second field is a name in brackets, which may hold anything.
            fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            return None
        faults, waited_faults, major, waited_major = map(int, fields[7:11])
        waited = (int(fields[13]) + int(fields[14])) / _TICK
        return _Seen(int(fields[19]), waited, faults + major, waited_faults + waited_major)
    try:
        process = psutil.Process(pid)
        return _Seen(process.create_time(), 0.0, 0, 0)
    except psutil.Error:
        return None


def _read(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(handle, 1 << 16)
    finally:
        os.close(handle)


def _cpu(pid: int) -> float:
    if _LINUX:
        # The kernel's clock of another process, all threads, also ended ones, in nanoseconds:
        # clock_getcpuclockid(3) spelled out. Scheduler ticks (10 ms) would be too coarse.
        with contextlib.suppress(OSError):
            return time.clock_gettime((~pid << 3) | 2)
        return 0.0
    with contextlib.suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0
