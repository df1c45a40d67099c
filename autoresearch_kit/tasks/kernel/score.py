"""Measure how much faster a kernel is than torch's best; nothing that the candidate says counts.

    python -m autoresearch_kit.tasks.kernel.score

takes CODE_DIR, RUN_DIR and SCORE_DIR from the environment and task.toml from the working
directory. It prints one JSON object, with the score or with ``{"crash": "why"}`` when the candidate
is at fault; on any trouble of its own it exits with status 1 and says why on stderr.

candidate.py has the sandboxed processes, gates.py what a kernel has to get right, timing.py what
it costs. SEED is not used: data that the candidate could foresee would be no secret. There is no
``rows.npz``: rounds of two scorings have nothing in common that a comparison could use.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import ScorerError, TaskError
from autoresearch_kit.tasks.kernel import draws, limits, references
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.gates import Gates
from autoresearch_kit.tasks.kernel.timing import Timed, Timing

FILE = "kernel.py"


def main() -> int:
    """Score the kernel that the environment names; return the exit status."""
    names = ("CODE_DIR", "RUN_DIR", "SCORE_DIR")
    try:
        if unset := [name for name in names if name not in os.environ]:
            raise ScorerError(
                f"{', '.join(unset)} not set; the kit sets what the module's text names"
            )
        task = tomllib.loads(Path("task.toml").read_text(encoding="utf-8"))
        result = score(Path(os.environ["CODE_DIR"]).absolute(), task)
    except Crash as crash:
        result = {"crash": str(crash), "sandboxed": sandbox.unavailable() is None}
    except (ScorerError, TaskError, OSError, ValueError) as error:
        print(f"score: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def score(code: Path, task: dict[str, Any]) -> dict[str, Any]:
    """Return the score of the kernel in `code`.

    Parameters
    ----------
    code
        The folder with the candidate's ``kernel.py``.
    task
        ``task.toml``: ``options.kernel``, ``options.threads`` (default 1), ``setup_seconds`` (for
        importing and compiling), ``timeout_seconds``, ``memory_gb``, ``env``.

    Raises
    ------
    Crash
        If the candidate is at fault.
    ScorerError, TaskError
        If it can't be told: there is no such kernel, or torch's own process fails.
    """
    began = time.monotonic()
    reference = references.load(str(task.get("options", {}).get("kernel")))
    setup = float(task.get("setup_seconds", 120))
    if not (code / FILE).is_file():
        raise Crash(f"there is no {FILE}; it has to define kernel(...)")
    own, yardsticks = Path(reference.__file__), Path(limits.__file__)
    # Each wait for torch's process has a limit; that all takes too long is never its fault.
    patient = task | {"timeout_seconds": math.inf}
    with (
        Child("kernel", Crash, [code], task) as candidate,
        Child("reference", ScorerError, [own, yardsticks], patient) as rival,
    ):
        device = candidate.started(setup)
        ways = rival_ways(rival, own, yardsticks, setup)
        candidate.load(code / FILE, "kernel", setup, builtins=False)
        imported = time.monotonic()
        draw = draws.Draw()
        gates = Gates(candidate, reference, draw, device, setup)
        gates.all()
        passed = time.monotonic()
        timing = Timing(candidate, rival, ways, reference, draw, device)
        timed = timing.all()
    ended = time.monotonic()
    return _value(reference, timed) | {
        "kernel": reference.__name__.rpartition(".")[2],
        "device": device,
        "threads": candidate.threads,
        "calls": gates.calls + timing.calls,
        "gates": gates.seconds,
        "seconds": round(ended - began, 3),
        "import_seconds": round(imported - began, 3),
        "gate_seconds": round(passed - imported, 3),
        "sandboxed": sandbox.unavailable() is None,
    }


def rival_ways(rival: Child, own: Path, yardsticks: Path, seconds: float) -> list[str]:
    """Load torch's ways and the yardsticks into the rival; return the names of the ways."""
    rival.started(seconds)
    rival.spare()
    rival.load(yardsticks, "yardsticks", seconds, builtins=True)
    return rival.load(own, "builtins", seconds, builtins=True)


def _value(reference: references.Reference, timed: list[Timed]) -> dict[str, Any]:
    """Return the geometric mean over the shapes, its noise, and how near the machine's limit."""
    work = reference.operations if reference.LIMIT == "arithmetic" else reference.moved
    shares = limits.shares(
        reference.LIMIT,
        [work(each.shape) for each in timed],
        [each.seconds["kernel"] for each in timed],
        [each.rate for each in timed],
    )
    value = math.exp(sum(math.log(each.speedup) for each in timed) / len(timed))
    error = math.sqrt(sum((each.error / each.speedup) ** 2 for each in timed)) / len(timed)
    result = {
        "value": value,
        "noise": value * error,
        "limit": round(math.exp(sum(map(math.log, shares)) / len(shares)), 4),
        "bound": reference.LIMIT,
        "shapes": [
            each.as_dict() | {"limit": round(share, 4)}
            for each, share in zip(timed, shares, strict=True)
        ],
    }
    told = [
        f"{'x'.join(map(str, each.shape))}: {each.speedup:.2f} in {1e3 * own:.2g} ms"
        for each in timed
        for own in [each.seconds["kernel"]]
    ]
    result["note"] = f"{', '.join(told)}; {result['limit']:.2f} of {limits.WORDS[reference.LIMIT]}"
    most = limits.SUSPICIOUS[reference.LIMIT]
    if max(shares) > most:
        worst = timed[shares.index(max(shares))]
        what = "arithmetic" if reference.LIMIT == "arithmetic" else "memory"
        result["quarantine"] = (
            f"faster than this machine's {what} allows: {max(shares):.2f} of the measured limit "
            f"at shape {worst.shape}; more than {most:g} is for a person to look at"
        )
    return result


if __name__ == "__main__":
    sys.exit(main())
