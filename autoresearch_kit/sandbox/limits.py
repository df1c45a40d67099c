"""What the kernel holds a process in the sandbox to: its figures, and how they are set.

They are set from outside on a process that has not begun, so that they need no shell inside and
bind only what is in the sandbox.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from autoresearch_kit.sandbox import boxes

OPEN_FILES = 4096
FEWEST_PROCESSES = 400  # the kernel's smallest limit for a namespace is 301, some of it reserved
SETTLING_SECONDS = 1.0


def table(file_size: int, memory: int | None, processes: int) -> dict[str, int]:
    """Return the limits by their names in `resource`.

    Raises
    ------
    ValueError
        If one of them isn't positive.
    """
    for name, most in {"file_size": file_size, "memory": memory, "processes": processes}.items():
        if most is not None and most < 1:
            raise ValueError(f"{name} must be a positive number, not {most}")
    limits = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": int(file_size), "RLIMIT_NOFILE": OPEN_FILES}
    if not boxes.gpus():
        limits["RLIMIT_DATA"] = int(memory or 0.9 * machine_memory())
    return limits | {"RLIMIT_NPROC": max(FEWEST_PROCESSES, int(processes))}


def alone(limits: Mapping[str, int]) -> dict[str, int]:
    """Return those limits that make sense without a sandbox.

    The number of processes isn't among them: there it counts all that the user runs.
    """
    return {name: most for name, most in limits.items() if name != "RLIMIT_NPROC"}


def impose(pid: int, limits: Mapping[str, int]) -> None:
    """Bind a process that is about to enter the sandbox, and all that it will start.

    Raises
    ------
    PermissionError
        If the process is another user's.
    """
    with contextlib.suppress(OSError):  # An ordinary user's process could take it back.
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    for name, most in limits.items():
        if name == "RLIMIT_NPROC" and _linux() < (5, 14):
            continue  # There it counts all that the user runs.
        _set(pid, getattr(resource, name), most)
    if os.geteuid() == 0 and _linux() >= (6, 14) and "RLIMIT_NPROC" in limits:
        _cap_pids(pid, limits["RLIMIT_NPROC"])


def machine_memory() -> int:
    """Return the machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _set(pid: int, kind: int, most: int) -> None:
    until = time.monotonic() + SETTLING_SECONDS
    while True:
        try:
            hard = resource.prlimit(pid, kind)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(pid, kind, (most, most))
            return
        except ProcessLookupError:
            return  # It failed, and says so itself.
        except PermissionError:  # A bubblewrap with root's rights hasn't put them down yet.
            if time.monotonic() > until:
                raise
            time.sleep(0.002)


def _cap_pids(pid: int, most: int) -> None:
    """Limit the processes in the namespace of `pid`: root's own are exempt from RLIMIT_NPROC.

    Since Linux 6.14 each process namespace has its own ``pid_max``; before, writing it would change
    the machine's. Inside the sandbox that file is read-only.
    """
    script = f"echo {most} > /proc/sys/kernel/pid_max"
    with contextlib.suppress(OSError):  # no nsenter: then only who started the run watches it
        subprocess.run(
            ["nsenter", "--target", str(pid), "--pid", "/bin/sh", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )


def _linux() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return tuple(map(int, found.groups())) if found else (0, 0)
