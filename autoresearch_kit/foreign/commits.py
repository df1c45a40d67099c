"""Commits of a clone: joined to the rows of a file, or read as a history of their own."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import git
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.foreign import direction, messages
from autoresearch_kit.foreign.tables import Row, Table
from autoresearch_kit.git import Logged
from autoresearch_kit.records import Record

_NOT_CODE = re.compile(
    r"(?:^|/)(?:\.auto/.*|[^/]*\.(?:tsv|csv|jsonl|md|txt|rst|png|svg|pdf|ipynb|log)|\.git\w+)$"
)
_CONSTANT = re.compile(r"^[-+]([A-Z][A-Z0-9_]*)(?:\s*:[^=\n]*)?\s*=(?!=)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Joined:
    """Records of a table's rows, and what the clone knows of each.

    `changed` has the names of the constants that a commit sets at the left margin of a Python
    file, read from its diff.
    """

    records: Sequence[Record]
    present: Sequence[bool]
    changed: Sequence[str]
    extra: Mapping[str, Sequence[Any]]
    notes: Sequence[str]


def join(table: Table, campaign: str, repo: Path | None = None, *, journal: bool = False) -> Joined:
    """Return the rows as records, with what the commits in `repo` add to them.

    Parameters
    ----------
    table
        The rows; each becomes a record with its place as number.
    repo
        The clone; without one every commit is missing.
    journal
        Whether a row that wasn't kept names the commit that it started from, as
        pi-autoresearch's do: its own code was never committed.
    """
    notes = list(table.notes)
    known = _known(repo, table.rows, campaign, notes)
    twice = [name for name, n in Counter(r.commit for r in table.rows if r.commit).items() if n > 1]
    if twice and not journal:
        notes.append(f"{campaign}: several rows name {_some(twice)}")
    starts = _starts(table.rows) if journal else set()
    if starts:
        notes.append(
            f"{campaign}: {len(starts)} experiments that were not kept name the commit that they "
            "started from; their own code is in no commit"
        )
    logged, patches = _looked_up(repo, known.values(), campaign, notes) if repo else ({}, {})
    found: list[Record] = []
    kept: Record | None = None
    for i, row in enumerate(table.rows):
        commit = known.get(row.commit, "")
        own = None if i in starts else logged.get(commit)
        record = _record(i, row, table, campaign, kept, own)
        if i in starts:
            record = dataclasses.replace(record, commit="", parent_commit=commit or row.commit)
        found.append(record)
        if record.status == "keep":
            kept = record
    present = [record.commit in logged for record in found]
    if repo is not None:
        notes.append(f"{campaign}: {_of(sum(present), len(found), 'have')} their commit here")
    changed = [
        ", ".join(dict.fromkeys(_CONSTANT.findall(patches.get(r.commit, "")))) if r.n else ""
        for r in found
    ]
    return Joined(found, present, changed, _extra(table.rows, starts), notes)


def _looked_up(
    repo: Path, names: Iterable[str], campaign: str, notes: list[str]
) -> tuple[dict[str, Logged], dict[str, str]]:
    """Return commits and the diffs of their Python files, as far as their objects are here."""
    try:
        return git.commits(repo, names), git.patches(repo, names, "*.py")
    except GitError:
        notes.append(f"{campaign}: {INCOMPLETE}")
        return git.commits(repo, names, changes=False), {}


INCOMPLETE = "files of its commits are not here, as in a partial clone, so no change was looked at"


def _known(
    repo: Path | None, rows: Sequence[Row], campaign: str, notes: list[str]
) -> dict[str, str]:
    """Return the full names of the commits that are here, and note the rest."""
    asked = [row.commit for row in rows if row.commit]
    none = len(rows) - len(asked)
    dirty = sum(row.dirty for row in rows)
    if none:
        notes.append(f"{campaign}: {_of(none, len(rows), 'name')} no commit")
    if dirty:
        notes.append(
            f"{campaign}: {_of(dirty, len(rows), 'ran')} with uncommitted changes, which the "
            "commit lacks"
        )
    if repo is None or not asked:
        return {}
    found = git.find_commits(repo, asked)
    doubtful = [prefix for prefix, commit in found.items() if commit is None]
    if doubtful:
        notes.append(
            f"{campaign}: several commits begin with {_some(doubtful)}; rows with it are not joined"
        )
    return {prefix: commit for prefix, commit in found.items() if commit is not None}


def _starts(rows: Sequence[Row]) -> set[int]:
    """Return the places of rows whose commit is that of an earlier row, and that weren't kept."""
    seen: set[str] = set()
    found = set()
    for i, row in enumerate(rows):
        if row.commit in seen and row.status != "keep":
            found.add(i)
        seen |= {row.commit} - {""}
    return found


def _record(
    n: int, row: Row, table: Table, campaign: str, kept: Record | None, own: Logged | None
) -> Record:
    lines = _lines(own) if own and n else (0, 0)
    parents = own.parents if own else ()
    both = row.value is not None and kept is not None and kept.value is not None
    return Record(
        campaign=campaign,
        n=n,
        status=row.status,
        commit=own.commit if own else row.commit,
        hypothesis=row.description or (own.subject if own else ""),
        parent=kept.n if kept else None,
        parent_commit=parents[0] if parents else None,
        author=own.author if own else "",
        metric=table.metric,
        goal=table.goal,
        unit=table.unit,
        value=row.value,
        delta=row.value - kept.value if both else None,  # type: ignore[union-attr, operator]
        scored_by="printed",
        lines_added=lines[0],
        lines_removed=lines[1],
        peak_memory_mb=row.memory_mb,
        decided=row.decided or (own.date if own else ""),
    )


def _lines(commit: Logged) -> tuple[int, int]:
    """Return how many lines a commit adds and removes, notes and results not counted."""
    code = [count for path, count in commit.changes.items() if not _NOT_CODE.search(path)]
    return sum(added for added, _ in code), sum(removed for _, removed in code)


def _extra(rows: Sequence[Row], starts: set[int]) -> dict[str, Sequence[Any]]:
    """Return the further columns of a file, and its own words where a hash is expected."""
    names = dict.fromkeys(name for row in rows for name in row.extra)
    extra: dict[str, Sequence[Any]] = {n: [row.extra.get(n) for row in rows] for n in names}
    if starts or any(row.label and row.label != row.commit for row in rows):
        extra["commit"] = [row.label for row in rows]
    return extra


def read(
    repo: Path,
    tip: str,
    campaign: str,
    base: str | None = None,
    goal: str | None = None,
    *,
    sure: bool = True,
) -> Table:
    """Return a history that is in git alone, from the messages between `base` and `tip`.

    What a commit changes is an experiment, kept unless a later one takes it back: a revert names
    what; ``restore ...`` and the like mean the one before; ``discard: ...`` behind an
    ``experiment: ...`` is its verdict. The column ``inferred`` says it for each row.

    Parameters
    ----------
    sure
        Whether the branch is known to be one of experiments; otherwise only commits that say so
        count, as they do where at least two begin with ``experiment:`` or the like.

    Raises
    ------
    CampaignError
        When no commit, or fewer than two of an unknown branch, can be an experiment.
    """
    incomplete = []
    try:
        log = git.log(repo, tip, base, changes=sure)
    except GitError:
        log = git.log(repo, tip, base, changes=False)
        incomplete = [f"{campaign}: {INCOMPLETE}"]
    said = [messages.read(commit) for commit in log]
    name = messages.metric(said)
    formal = sum(messages.is_formal(commit) for commit in log) >= 2
    rows: list[Row] = []
    place: dict[str, int] = {}  # commit → its row, for reverts the row that they take back
    left_out = 0
    for commit, what in zip(log, said, strict=True):
        target = _target(rows, place, log, what)
        value = what.values.get(name)
        if what.kind in ("revert", "restore") and target is not None:
            place[commit.commit] = target
            for i in range(target, len(rows)) if _goes_back(what) else [target]:
                rows[i] = _taken_back(rows[i], commit, what)
        elif what.kind == "verdict" and rows and rows[-1].extra["inferred"] == PENDING:
            why = f"{commit.commit[:7]} says {commit.subject.partition(':')[0].lower()}"
            rows[-1] = _replaced(rows[-1], what.status, why, value)
        elif _is_experiment(commit, what, formal=formal, sure=sure):
            place[commit.commit] = len(rows)
            why = f"its message says {what.status}" if what.status else PENDING
            rows.append(
                Row(
                    line=len(rows) + 1,
                    label=commit.commit,
                    commit=commit.commit,
                    value=value,
                    status=what.status or "keep",
                    description=commit.subject,
                    decided=commit.date,
                    extra={"inferred": why},
                )
            )
        else:
            left_out += 1
    if len(rows) < (1 if sure else 2):
        raise CampaignError(f"the commits of {campaign} don't look like experiments")
    notes = incomplete + _notes(campaign, rows, name, left_out)
    values, statuses = [row.value for row in rows], [row.status for row in rows]
    if all(value is None for value in values):
        return Table(rows, "", goal or "minimize", "", notes)
    chosen, reasons = direction.infer(name or "metric", values, statuses, goal)
    notes += [f"{campaign}: {reason}" for reason in reasons]
    return Table(rows, name or "metric", chosen, "", notes)


PENDING = "on the branch, and no later commit takes it back"


def _is_experiment(commit: Logged, what: messages.Said, *, formal: bool, sure: bool) -> bool:
    if what.kind in ("experiment", "verdict"):
        return True
    if formal or what.kind or not sure:
        return not formal and not what.kind and bool(what.values)
    return not commit.changes or any(not _NOT_CODE.search(path) for path in commit.changes)


def _target(
    rows: Sequence[Row], place: Mapping[str, int], log: Sequence[Logged], what: messages.Said
) -> int | None:
    """Return the row that a revert or restore is about; None when it isn't known."""
    if what.kind == "revert":
        named = [i for commit, i in place.items() if what.target and commit.startswith(what.target)]
        same = [i for i, row in enumerate(rows) if row.description == what.target]
        return named[-1] if named else same[-1] if same else None
    if what.kind != "restore":
        return None
    if what.target:
        at = next((c.commit for c in log if c.commit.startswith(what.target)), None)
        return place[at] + 1 if at and at in place and place[at] + 1 < len(rows) else None
    return len(rows) - 1 if rows and rows[-1].status == "keep" else None


def _goes_back(what: messages.Said) -> bool:
    return what.kind == "restore" and bool(what.target)


def _taken_back(row: Row, by: Logged, what: messages.Said) -> Row:
    if what.kind == "revert" and row.extra["inferred"].startswith("reverted by"):
        return _replaced(row, "keep", f"its revert was reverted by {by.commit[:7]}")
    how = "reverted by" if what.kind == "revert" else "taken back by the words of"
    return _replaced(row, "discard", f"{how} {by.commit[:7]}")


def _replaced(row: Row, status: str, why: str, value: float | None = None) -> Row:
    value = row.value if value is None else value
    return dataclasses.replace(row, status=status, value=value, extra={"inferred": why})


def _notes(campaign: str, rows: Sequence[Row], name: str, left_out: int) -> list[str]:
    how = Counter(re.sub(r"\b[0-9a-f]{7}\b", "a commit", row.extra["inferred"]) for row in rows)
    told = "; ".join(f"{count} {words}" for words, count in how.most_common())
    stated = sum(row.value is not None for row in rows)
    notes = [f"{campaign}: read from {len(rows)} commits alone, each an experiment ({told})"]
    if left_out:
        notes.append(f"{campaign}: {left_out} other commits (documents, merges, …) are left out")
    if stated:
        what = name or "a value as before -> after, without its name,"
        notes.append(f"{campaign}: {stated} of {len(rows)} state {what}; the others have no metric")
    else:
        notes.append(f"{campaign}: no message states a metric")
    return notes


def _of(some: int, every: int, do: str) -> str:
    """Return how many rows do something, with the verb in its right form."""
    verb = {"have": ("has", "have"), "ran": ("ran", "ran")}.get(do, (f"{do}s", do))[some != 1]
    return f"{some} of {every} row{'s' * (every != 1)} {verb}"


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
