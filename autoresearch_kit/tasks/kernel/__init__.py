"""Make one kernel faster; how many times faster than torch's best it is decides.

references/    one file a kernel: shapes, exact result, bounds, ways to call torch
starters/      what a lab's kernel.py begins as
score.py       the trusted scorer: the speed-up
gates.py       what a kernel has to get right before it is timed
timing.py      turns of candidate and torch, and what they cost
limits.py      what the machine allows at best
closeness.py   whether an output is right
draws.py       inputs that nobody can foresee
layout.py      where they lie in shared memory
candidate.py   a sandboxed process as the scorer sees it; serve.py is the sandboxed side
forks.py       whether it may start others
template/      what a lab starts with beside kernel.py, the file that experiments change
"""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from autoresearch_kit import task
from autoresearch_kit.errors import DataError, TaskError
from autoresearch_kit.files import write_text
from autoresearch_kit.tasks.kernel import references

DEFAULT = "rmsnorm"


def prepare_lab(folder: Path, *, profile: str | None, data: str | list[str] | None) -> str:
    """Turn a copy of the template into a lab of one kernel; return its name, the profile.

    Writes ``task.toml`` and ``kernel.py``: from ``starters/<name>.py`` where there is one, else
    torch's own as the reference has it.

    Raises
    ------
    TaskError
        There is no such kernel, or no Numba.
    DataError
        Data were given; this task draws its own.
    """
    if data is not None:
        raise DataError(
            f"a kernel lab takes no data, but data={data!r} was given: its inputs are random and "
            "drawn anew for each call; leave data= out"
        )
    name = profile or DEFAULT
    reference = references.load(name)
    template = task.parse((folder / task.FILE).read_text(encoding="utf-8"))
    made = dataclasses.replace(template, profile=name, options={"kernel": name, "threads": 1})
    write_text(folder / task.FILE, made.toml())
    starter = Path(__file__).parent / "starters" / f"{name}.py"
    text = (
        starter.read_text(encoding="utf-8")
        if starter.is_file()
        else references.first_kernel(reference)
    )
    if "import numba" in text and importlib.util.find_spec("numba") is None:
        raise TaskError(
            f"a lab of {name} begins with a kernel in Numba, which isn't installed; "
            "type: pip install 'autoresearch-kit[kernel]'"
        )
    write_text(folder / "kernel.py", text)
    return name
