"""Where there is no namespace: run one command, and end all that it started.

A script without a dependency, run as ``python -I -S warden.py PARENT LIMITS SCRATCH COMMAND ...``:
the process that must not end before it, what `resource` sets (``RLIMIT_CORE=0,RLIMIT_FSIZE=512``),
a folder to remove at the end (or ""), and the command. It hides nothing and needs no privilege.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LINUX = sys.platform.startswith("linux")
LOOK_SECONDS = 0.1


def watch(
    parent: int,
    limits: Mapping[str, int],
    argv: Sequence[str],
    at_the_end: Callable[[], object] = lambda: None,
) -> int:
    """Run `argv` and, when it or `parent` has ended, end all that it started.

    Parameters
    ----------
    limits
        Names of `resource`, such as ``RLIMIT_CORE``, and what is set as soft and hard limit.
    at_the_end
        Called when all of it is gone.

    Returns
    -------
    int
        Exit status as a shell gives it: 128 + number when a signal ended the command.
    """
    child = 0

    def stop(*_: object) -> None:
        _end_children(child)
        at_the_end()
        os._exit(143)

    prctl = _prctl()
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: daemons become children of this process
    signal.signal(signal.SIGTERM, stop)
    prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        stop()
    own = os.getpid()
    child = os.fork()
    if child == 0:
        prctl(1, signal.SIGKILL)
        if os.getppid() != own:
            os._exit(143)
        _become(argv, limits)
    os.closerange(0, 1 << 16)  # Who reads a pipe of the command's must see it end with the command.
    status = os.waitstatus_to_exitcode(_wait(child, parent, stop))
    _end_children(child)
    at_the_end()
    return status if status >= 0 else 128 - status


def _become(argv: Sequence[str], limits: Mapping[str, int]) -> None:
    import resource

    if not LINUX:
        os.setpgid(0, 0)  # the only handle there on what it starts
    for name, most in limits.items():
        hard = resource.getrlimit(kind := getattr(resource, name))[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS has limits that can't be set.
            resource.setrlimit(kind, (most, most))
    for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(argv[0], list(argv))
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        os._exit(127)


def _wait(child: int, parent: int, stop: Callable[[], None]) -> int:
    """Return the wait status of `child`; other children are reaped on the way."""
    while True:
        pid, status = os.waitpid(-1, 0 if LINUX else os.WNOHANG)
        if pid == child:
            return status
        if not LINUX:  # where no signal tells that the parent has ended
            if os.getppid() != parent:
                stop()
            time.sleep(LOOK_SECONDS)


def _prctl() -> Any:
    """Return Linux's ``prctl(option, value)``, elsewhere a function that does nothing."""
    if not LINUX:
        return lambda *_: None
    import ctypes

    return ctypes.CDLL(None).prctl


def _end_children(child: int) -> None:
    """Kill all children of this process, and theirs as they come up as orphans.

    Outside of Linux only the process group of `child`: a daemon that left it lives on.
    """
    with contextlib.suppress(OSError):
        if not LINUX:
            if child:
                os.killpg(child, signal.SIGKILL)
            return
        while True:
            for task in Path("/proc/self/task").iterdir():
                for pid in (task / "children").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            os.wait()


def _remove(folder: str) -> None:
    if folder:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    pairs = [pair.split("=") for pair in sys.argv[2].split(",") if pair]
    os._exit(
        watch(
            int(sys.argv[1]),
            {name: int(most) for name, most in pairs},
            sys.argv[4:],
            lambda: _remove(sys.argv[3]),
        )
    )
