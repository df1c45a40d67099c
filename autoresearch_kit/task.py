"""The task: what may be changed, how it is run, and which number decides.

A task is read from ``task.toml`` in a campaign's baseline commit, so that no patch can change it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import shlex
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from autoresearch_kit import goals
from autoresearch_kit.errors import TaskError

FILE = "task.toml"

MAX_BYTES = 200_000
"""Largest mutable file that a proposal may write."""

TOO_GOOD = 10.0
"""Gain in one step, in standard deviations of one run, that a person must look at."""

CLOCKS = ("", "wall", "cpu", "relative")
COMMANDS = ("train", "score")


@dataclasses.dataclass(frozen=True)
class Task:
    """A fixed contract between the code under experiment and the kit.

    Parameters
    ----------
    name
        What the task is called.
    edit
        The files that a proposal may change, relative to the host.
    train
        The untrusted command; empty when the scorer alone runs the candidate.
    score
        The trusted command; empty when the script prints ``<metric>: number`` itself.
    metric, goal, unit
        The number that decides, ``minimize`` or ``maximize``, and its unit.
    budget_seconds, setup_seconds, timeout_seconds
        Training time; cap on imports and compilation; wall-clock cap on a whole run.
    python
        Interpreter for ``python`` in `train`; empty: the host's ``.venv``, else this one.
    data
        Folders that are bound read-only and fingerprinted, relative to the host.
    env
        Names of environment variables that a run may see.
    profile
        The sizes that the task was made with.
    clock
        What the budget counts: ``wall`` seconds, ``cpu`` seconds, CPU cost ``relative`` to the
        baseline's, or nothing (the script keeps its own time).
    memory_gb
        Memory that a run may use; 0: four fifths of the machine.
    noise
        Standard deviation of the metric between seeds, as others measured it; 0: not known.
    suspicious
        Relative gain in one step that a person must look at: 0.03 is 3 %; 0: no such bar.
    suspicious_sigma
        The same in standard deviations of one run; 0, no such bar, is for metrics that runs repeat
        almost exactly, such as speeds, where every real gain is many of them.
    early_stop
        End runs that are hopeless before their budget is used.
    schedule
        Names of the functions and constants that make the schedule: a run that changes one of them
        is given three quarters of its budget.
    allow
        Kinds of `patch.Concern` that may become experiments all the same.
    options
        The table ``[options]``, for the task's own scorer.
    """

    name: str
    edit: tuple[str, ...]
    train: tuple[str, ...] = ()
    score: tuple[str, ...] = ()
    metric: str = "score"
    goal: str = "minimize"
    unit: str = ""
    budget_seconds: float = 300.0
    setup_seconds: float = 120.0
    timeout_seconds: float = 600.0
    python: str = ""
    data: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    profile: str = ""
    clock: str = ""
    memory_gb: float = 0.0
    noise: float = 0.0
    suspicious: float = 0.0
    suspicious_sigma: float = TOO_GOOD
    early_stop: bool = False
    schedule: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field; a wrong one is a `TaskError` that says what was expected."""
        if not self.edit:
            raise TaskError(f'{FILE}: edit is empty; name the files to change: edit = ["train.py"]')
        for path in self.edit:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or parts[0] == ".git":
                raise TaskError(f"{FILE}: edit names {path!r}; expected a path inside the host")
        if self.goal not in goals.GOALS:
            raise TaskError(f"{FILE}: goal = {self.goal!r}; expected 'minimize' or 'maximize'")
        if not self.metric.replace("_", "").replace("-", "").replace(".", "").isalnum():
            raise TaskError(
                f"{FILE}: metric = {self.metric!r}; expected one word such as 'val_loss'"
            )
        if not self.train and not self.score:
            raise TaskError(f"{FILE}: neither train nor score is set; one of them runs the code")
        if self.clock not in CLOCKS:
            raise TaskError(f"{FILE}: clock = {self.clock!r}; expected one of {CLOCKS}")
        for name in ("budget_seconds", "setup_seconds", "timeout_seconds"):
            if not getattr(self, name) > 0:
                raise TaskError(f"{FILE}: {name} = {getattr(self, name)}; expected more than 0")
        for name in ("noise", "suspicious", "suspicious_sigma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise TaskError(f"{FILE}: {name} = {getattr(self, name)}; expected 0 or more")

    @property
    def scored_by(self) -> str:
        """Who measures the metric: ``kit`` (a trusted scorer) or ``printed`` (the script)."""
        return "kit" if self.score else "printed"

    @property
    def budget(self) -> str:
        """How long a run may train, in words; that it doesn't, where the scorer runs the code."""
        if not self.train:
            return "no training, the scorer runs it"
        if not self.clock:
            return f"as long as it likes, at most {self.timeout_seconds:g} s"
        kinds = {"wall": "wall time", "cpu": "CPU time", "relative": "the baseline's CPU time"}
        return f"{self.budget_seconds:g} s of {kinds[self.clock]}"

    def gain(self, delta: float) -> float:
        """Return how much better the metric is after a change by `delta`; negative: worse."""
        return goals.sign(self.goal) * delta

    def command(self, host: Path) -> list[str]:
        """Return `train` with ``python`` replaced by the interpreter that runs this host."""
        if not self.train or self.train[0] not in ("python", "python3"):
            return list(self.train)
        own = host / ".venv" / "bin" / "python"
        python = self.python or (str(own) if own.exists() else sys.executable)
        return [str(host / python) if "/" in python else python, *self.train[1:]]

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as JSON-ready values."""
        return dataclasses.asdict(self)

    def toml(self) -> str:
        """Return the text of a ``task.toml`` that parses to this task."""
        plain = {k: v for k, v in self.as_dict().items() if k != "options"}
        default = {f.name: f.default for f in dataclasses.fields(self)}
        lines = [f"{k} = {_toml(v)}" for k, v in plain.items() if v != default[k]]
        if self.options:
            lines += ["", "[options]", *(f"{k} = {_toml(v)}" for k, v in self.options.items())]
        return "\n".join(lines) + "\n"


def parse(content: str) -> Task:
    """Return the task that a ``task.toml`` describes.

    Raises
    ------
    TaskError
        When the text is no TOML, or a key is unknown, missing or of the wrong kind.
    """
    try:
        table = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{FILE} is not valid TOML: {error}") from error
    return make(table)


def make(table: Mapping[str, Any]) -> Task:
    """Return a task from keys and values as they stand in a ``task.toml``."""
    fields = {f.name: f for f in dataclasses.fields(Task)}
    if unknown := sorted(set(table) - set(fields)):
        near = difflib.get_close_matches(unknown[0], fields, 1)
        meant = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
        raise TaskError(f"{FILE}: unknown key {unknown[0]!r}; {meant}")
    if missing := [name for name in ("name", "edit") if name not in table]:
        raise TaskError(f"{FILE}: {missing[0]!r} is missing")
    return Task(**{name: _typed(name, str(fields[name].type), v) for name, v in table.items()})


def words(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return a command as a tuple of words; a string is split as a shell would."""
    return tuple(shlex.split(command) if isinstance(command, str) else command)


def _typed(name: str, kind: str, value: Any) -> Any:
    ok: bool
    if kind.startswith("tuple"):
        ok = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
        result: Any = tuple(value) if ok else value
        expected = "a list of strings"
        if isinstance(value, str):
            expected += f": {name} = {_toml(value.split() if name in COMMANDS else [value])}"
    elif kind == "float":
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        result = float(value) if ok else value
        expected = "a number"
    elif kind == "bool":
        ok, result, expected = isinstance(value, bool), value, "true or false"
    elif kind == "str":
        ok, result, expected = isinstance(value, str), value, "a string"
    else:
        ok, result, expected = isinstance(value, Mapping), value, "a table"
    if not ok:
        raise TaskError(f"{FILE}: {name} = {value!r}; expected {expected}")
    return result


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return "[" + ", ".join(_toml(v) for v in value) + "]"
