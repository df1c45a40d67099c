"""What a host and its campaigns agree on: from its task.toml, from arguments, or from habit."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import git, task
from autoresearch_kit.errors import TaskError
from autoresearch_kit.task import Task

ORIGINAL = {
    "name": "autoresearch",
    "edit": ("train.py",),
    "train": ("python", "train.py"),
    "metric": "val_bpb",
    "goal": "minimize",
    "unit": "bits/byte",
}
"""What karpathy/autoresearch (program.md, commit 228791f) prescribes in words."""


def given(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not None, single words as the tuples that a task has."""
    found = {key: value for key, value in contract.items() if value is not None}
    for key in ("edit", "data", "env", "schedule", "allow"):
        if isinstance(found.get(key), str):
            found[key] = (found[key],)
    for key in ("train", "score"):
        if key in found:
            found[key] = task.words(found[key])
    return found


def typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as a task would hold them; a wrong one is a `TaskError`."""
    checked = task.make({"name": "x", "edit": ("x",), "train": ("x",), **given})
    return {key: getattr(checked, key) for key in given}


def of(path: Path, commit: str, given: Mapping[str, Any]) -> Task:
    """Return the task of a new campaign that starts at `commit`, checked against its files.

    Raises
    ------
    TaskError
        When the host has no task and too little is given, or names what isn't there.
    """
    fixed = _agreed(path, commit, given)
    for edited in fixed.edit:
        if git.read_bytes(path, commit, edited) is None:
            raise TaskError(
                f"edit names {edited!r}, which is not in commit {commit[:7]} of {path}. "
                "Commit the file first, or name another one."
            )
    _check_command(path, commit, fixed)
    return fixed


def _agreed(path: Path, commit: str, given: Mapping[str, Any]) -> Task:
    content = git.read_file(path, commit, task.FILE)
    if content is not None:
        return dataclasses.replace(task.parse(content), **typed(given))
    base: dict[str, Any] = {}
    if "edit" not in given:
        files = set(git.list_files(path, commit))
        if not {"train.py", "prepare.py", "program.md"} <= files:
            raise TaskError(
                f"{path} has no {task.FILE}, so say what may change and which number decides:\n"
                f"    ark.open_campaign({str(path)!r}, tag=..., edit='train.py', "
                "train='python train.py', metric='val_loss', goal='minimize')"
            )
        base = dict(ORIGINAL)
    elif missing := [key for key in ("train", "metric") if key not in given]:
        raise TaskError(
            f"{missing[0]}= is missing: a host needs edit= (what may change), train= (the "
            "command) and metric= (the name of the number that it prints)."
        )
    return task.make({"name": path.name, **base, **given})


def _check_command(path: Path, commit: str, fixed: Task) -> None:
    """Catch a misspelt program or script now rather than after the first run."""
    command = fixed.command(path)
    if command and shutil.which(command[0], path=os.environ.get("PATH")) is None:
        raise TaskError(f"train={' '.join(fixed.train)!r}: there is no program {command[0]!r}")
    scripts = [word for word in command[1:2] if word.endswith(".py") and not word.startswith("/")]
    if scripts and git.read_bytes(path, commit, scripts[0]) is None:
        raise TaskError(
            f"train={' '.join(fixed.train)!r}: {scripts[0]} is not in commit {commit[:7]} "
            f"of {path}; correct the name, or commit the file."
        )
