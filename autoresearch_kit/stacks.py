"""Single changes of a stack of kept ones: taken out of it, or put on another."""

from __future__ import annotations

from collections.abc import Mapping

from autoresearch_kit import git, source, values
from autoresearch_kit.errors import PatchConflict
from autoresearch_kit.source import Value


def merge(
    base: Mapping[str, str], ours: Mapping[str, str], theirs: Mapping[str, str]
) -> dict[str, str]:
    """Return the files of `ours` with the change from `base` to `theirs`, those that differ.

    A change of constants alone is made by name, so that neighbouring lines are no conflict.

    Raises
    ------
    PatchConflict
        When `ours` has other lines, or other values, where the change is.
    """
    merged = {}
    for path, text in theirs.items():
        if text in (base[path], ours[path]):
            continue  # no change, or ours has it already
        if changed := values.only_changes(path, base[path], text):
            merged[path] = _set(path, base[path], ours[path], changed)
            continue
        merged[path], conflicted = git.merge_file(base[path], ours[path], text)
        if conflicted:
            raise PatchConflict(f"other changes of the same lines of {path} are in the way")
    return {path: text for path, text in merged.items() if text != ours[path]}


def _set(path: str, base: str, ours: str, changed: Mapping[str, Value]) -> str:
    before, now = values.constants(path, base), values.constants(path, ours)
    wanted = {}
    for name, value in changed.items():
        if name not in now:
            raise PatchConflict(f"{name} would become {value!r}, but is not in {path} here")
        there = now[name].value
        if source.identical(there, value):
            continue  # ours has that part of it already
        if not source.identical(there, before[name].value):
            was = before[name].value
            raise PatchConflict(
                f"{name} would go from {was!r} to {value!r}, but here it is {there!r}"
            )
        wanted[name] = value
    return values.set_constants(path, ours, wanted)
