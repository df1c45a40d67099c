"""What was read from a foreign history, before it is joined to commits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """One experiment as its file tells it.

    Attributes
    ----------
    line
        Where it stands in the file, from 1.
    label
        What stands where a commit is expected, as it is written: a hash, ``baseline``, nothing.
    commit
        The hash in it, lower case, perhaps abbreviated; empty when it is no hash.
    dirty
        Whether the hash is marked as that of a tree with uncommitted changes.
    value
        The metric; None for a crash, or where there is none.
    status
        ``keep``, ``discard``, ``crash``, ``refused``, ``quarantine``, or the file's own word in
        lower case when it is none of these.
    description
        What was tried.
    memory_mb
        Peak memory in mebibytes; None when unknown.
    decided
        When, as ISO 8601; empty when unknown.
    extra
        Further columns by name, numbers where they are numbers.
    """

    line: int
    label: str = ""
    commit: str = ""
    dirty: bool = False
    value: float | None = None
    status: str = ""
    description: str = ""
    memory_mb: float | None = None
    decided: str = ""
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Table:
    """A whole file: its rows in order, what they measure, and what was guessed or left out."""

    rows: Sequence[Row]
    metric: str
    goal: str
    unit: str = ""
    notes: Sequence[str] = ()
