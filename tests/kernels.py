"""Kernels for the scorer of the kernel task, hostile ones too, on shapes that take seconds.

``kernel_attacks/honest.py`` says what an attack's file holds.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.kernel import references, score

FOLDER = Path(__file__).parent / "kernel_attacks"
COMMON = FOLDER / "honest.py"
STARTERS = Path(score.__file__).parent / "starters"
SMALL = {
    "rmsnorm": (256, 512),
    "softmax": (256, 512),
    "cross_entropy": (64, 1024),
    "matmul": (64, 128, 256),
}
PLAIN = """\
from honest import honest


def kernel(x, weight, out):
    honest(x, weight, out)
"""


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Attack:
    """A hostile kernel as its file describes it."""

    name: str
    tries: str
    notes: dict[str, str]
    text: str

    @classmethod
    def read(cls, path: Path) -> Attack:
        text = path.read_text()
        tries = re.match(r'"""(.*?)"""\n', text, re.DOTALL)
        assert tries, f"{path} does not begin with what it tries"
        notes = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
        assert notes["ends"] == "honest" or notes["says"], path
        return cls(path.stem, tries[1], notes, text)


def attacks(stage: str) -> list[Any]:
    """Return attacks as parameters of a test: those that a gate ends, or all others (score).

    Those that take long are for acceptance.
    """
    made = []
    for path in sorted(FOLDER.glob("*.py")):
        if path == COMMON:
            continue
        attack = Attack.read(path)
        if attack.notes.get("stage", "score") != stage:
            continue
        marks = [pytest.mark.acceptance] if attack.notes.get("only") == "acceptance" else []
        made.append(pytest.param(attack, id=attack.name, marks=marks))
    return made


def written(folder: Path, text: str, known: Mapping[str, str] | None = None) -> Path:
    """Write kernel.py, with honest.py beside it and what is known put in; return its path."""
    folder.mkdir(exist_ok=True)
    for name, value in (known or {}).items():
        text = text.replace(f"@{name}@", value)
    shutil.copy(COMMON, folder)
    file = folder / "kernel.py"
    file.write_text(text)
    return file


def scored(file: Path, kernel: str = "rmsnorm", threads: int = 1, **task: Any) -> dict[str, Any]:
    """Return what the scorer says of a kernel.py, with "crash" as it prints it."""
    try:
        return score.score(file.parent, {"options": {"kernel": kernel, "threads": threads}, **task})
    except Crash as crash:
        return {"crash": str(crash)}


def small(patch: pytest.MonkeyPatch) -> None:
    """Let the kernels be timed on one small shape each."""
    for name, shape in SMALL.items():
        patch.setattr(references.load(name), "TIMED", {"cpu": (shape,)})
