"""When a run is hopeless: the bar above which its training loss ends it early, if a task wants so.

The loss is what the code under experiment says of itself. So a lie can end a run early or let it
go on, and no more: what is stopped is a discard without a metric, what goes on is scored as ever.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoresearch_kit import noise, scan

if TYPE_CHECKING:
    from autoresearch_kit.experiment import Experiment

SIGMAS = 3.5
"""Noise units above the baseline's curve at which nobody has come back from (statistics.md)."""

FROM, FROM_SCHEDULE = 0.3, 0.75
"""Shares of the budget before which no run is stopped; a new schedule may look bad for long."""


def bar(experiment: Experiment) -> dict[str, Any] | None:
    """Return what ends a run of an experiment early; None where nothing does.

    Returns
    -------
    dict
        ``curve``: the baseline's, ``[progress, loss]`` pairs; ``limit``: the factor on its loss
        that is too much; ``from``: the progress from which on runs are looked at.
    """
    campaign = experiment.campaign
    records = campaign.records()
    first = next((record for record in records if record.n == 0), None)
    if not campaign.task.early_stop or first is None or not first.value or not first.points:
        return None
    spread = noise.of(records, campaign.task.noise).sd
    if not spread:
        return None
    old = campaign.mutable(experiment.parent_commit) if experiment.parent_commit else {}
    late = _changes_schedule(old, experiment.files, set(campaign.task.schedule))
    return {
        "curve": [list(point) for point in first.points],
        "limit": 1 + SIGMAS * spread / abs(first.value),
        "from": FROM_SCHEDULE if late else FROM,
    }


def _changes_schedule(old: Mapping[str, str], new: Mapping[str, str], names: set[str]) -> bool:
    """Tell whether a patch may change the schedule; where nobody named its parts, any may."""
    if not names:
        return True
    for path, text in new.items():
        if text == old.get(path):
            continue
        if not path.endswith(".py"):
            return True  # nobody can tell what reads it
        try:
            before, after = _parts(old.get(path, "")), _parts(text)
        except scan.UNREADABLE:
            return True
        if any(before.get(name) != after.get(name) for name in names | {""}):
            return True
    return False


def _parts(text: str) -> dict[str, str]:
    """Return what a Python text defines at its top level, by name; the rest under ""."""
    parts: dict[str, str] = {}
    for node in scan.parse(text).body:
        if isinstance(node, ast.Import | ast.ImportFrom) or scan.is_text(node):
            continue
        for name in _defines(node):
            parts[name] = parts.get(name, "") + ast.dump(node)
    return parts


def _defines(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines; "" for all else that it may do."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [getattr(target, "id", "") for target in node.targets]
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return [getattr(node.target, "id", "")]
    return [""]
