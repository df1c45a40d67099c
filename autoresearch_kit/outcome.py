"""How a training run may end: done, the experiment's fault, the machine's fault, or on request.

Also the checks of a process that has ended by itself. What they quote of it is cleaned and short.
"""

from __future__ import annotations

import math
import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit.crash import Crash
from autoresearch_kit.task import Task
from autoresearch_kit.workplace import foreign_imports, last_error, missing_module_hint

SLOW = 0.7
"""Share of its peers' speed below which a run is repeated.

A neighbour takes away up to 1.6 of a CPU second's worth and half of a shared GPU. Between a kept
patch and its parent, with the same number of parameters, factors above 1.4 are rare; where one is
the code's own, the repeat agrees with it, and one run was wasted.
"""

AGREES = 0.1
"""Relative difference up to which two attempts of one run were equally fast."""


class Lost(Exception):
    """The machine's fault: says nothing about the experiment."""


class Slow(Lost):
    """Lost, because it was far slower than its peers."""


class Hopeless(Exception):
    """Its loss is so far above the baseline's that the rest of the budget is saved."""


class Stopped(BaseException):
    """Somebody asked to stop."""


def check_exit(code: int, text: str, *, out: Path, host: Path, oom_before: int) -> None:
    """Raise unless a process ended as it should have.

    Parameters
    ----------
    code
        Its exit code, negative or 128 + number for a signal.
    text
        What it printed.
    out, host
        Its RUN_DIR and the checkout it came from.
    oom_before
        `oom_kills` from before it started.
    """
    if code in (137, -signal.SIGKILL):
        if oom_kills() > oom_before:
            raise Crash("out of memory: the system killed it")
        raise Lost("somebody killed the training process")
    if foreign := foreign_imports(out):
        raise Crash(
            f"it imported {foreign} instead of the experiment's copy; is it installed with "
            "pip install -e? Uninstall it, or put its folder first on the path in train"
        )
    if code != 0:
        line = last_error(text) or f"exit code {code}"
        raise Crash(line + missing_module_hint(line, host))


def check_printed(task: Task, printed: str | None, text: str) -> None:
    """Raise unless a script that has no scorer printed its result."""
    if printed is not None and math.isfinite(float(printed)):
        return
    found = f"the last one is {printed}" if printed else "no line has it"
    names = dict.fromkeys(re.findall(r"^\s*([A-Za-z_]\w*)\s*[:=]\s*[-+\d.]", text, re.MULTILINE))
    named = f"; it printed {', '.join(list(names)[-5:])}" if names else ""
    expected = f"expected '{task.metric}: 1.23'"
    raise Crash(f"exit code 0 but no result: {expected}; {found}{named}")


def check_speed(spec: Mapping[str, Any], parameters: int, speed: float) -> None:
    """Raise `Slow` when a run was far slower than runs of as many parameters on this device.

    Parameters
    ----------
    spec
        May hold ``peer_tokens_per_second``, a table from the number of parameters to the median
        of earlier runs, and ``slow_before``, one speed or several that an earlier attempt at this
        run was lost for: when one agrees, it is the code's own.
    parameters, speed
        The run's, as it said, and its tokens a second, as they were measured.
    """
    table = spec.get("peer_tokens_per_second") or {}
    peers = table.get(str(parameters))
    if not peers or speed >= SLOW * peers:
        return
    before = spec.get("slow_before") or ()
    earlier: Sequence[float] = before if isinstance(before, list | tuple) else [before]
    if any(abs(speed / one - 1) <= AGREES for one in earlier if one):
        return
    raise Slow(
        f"it did {speed:.4g} tokens a second, runs of {parameters} parameters do {peers:.4g} on "
        f"this device; below {SLOW:g} of that the machine is more likely at fault than the code, "
        "so it is repeated once"
    )


def oom_kills() -> int:
    """Return how often the kernel killed a process for memory since the machine came up."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
