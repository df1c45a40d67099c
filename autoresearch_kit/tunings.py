"""The constants of every experiment as one tidy table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import git, histories, sources, values
from autoresearch_kit.errors import GitError
from autoresearch_kit.records import Record
from autoresearch_kit.sources import Loaded, Source

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "campaign": "str",
    "experiment": "int64",
    "status": "str",
    "metric": "float64",
    "delta": "float64",
    "name": "str",
    "value": "object",
    "before": "object",
    "changed": "bool",
    "metric_name": "str",
    "goal": "str",
    "unit": "str",
}
"""The columns of `constants` and their types."""


def constants(x: Source, ref: str | None = None, goal: str | None = None) -> pd.DataFrame:
    """Return each constant of each experiment as a row: its value, and that of the parent.

    ``df[df.name == "LR"].plot.scatter("value", "metric")`` shows what a learning rate did over a
    whole campaign, and ``df[df.changed]`` what was tried.

    Parameters
    ----------
    x, ref, goal
        As for `history`.

    Returns
    -------
    pandas.DataFrame
        ==========  ======  ==========================================================
        campaign    str
        experiment  int
        status      str     as of now
        metric      float   NaN for a crash or a refusal
        delta       float   against the parent, signed as the metric is
        name        str     of a further file as ``path:NAME``
        value       object  a number, text, bool or tuple; None when it is gone
        before      object  in the parent; None when it is new, or the parent isn't known
        changed     bool    both are known and differ, or one came or went
        metric_name, goal, unit  str, as in ``attrs``, which ``concat`` may lose
        ==========  ======  ==========================================================

        ``df.attrs`` is that of `history`.

    Raises
    ------
    LabError, CampaignError, ValueError
        As `history` does.

    Notes
    -----
    The records of this kit hold the constants. Of others' histories they are read from the Python
    files of the commits that are in the clone; experiments without one have no rows.
    """
    import pandas as pd

    loaded = sources.load(x, ref, goal)
    notes = list(loaded.notes)
    found = histories.as_of_now(loaded.records, notes)
    experiments = [record for record in found if record.about is None]
    known = {(r.campaign, r.n): r.constants for r in experiments if r.constants}
    before = {
        (r.campaign, r.n): {} if r.parent is None else known.get((r.campaign, r.parent), {})
        for r in experiments
    }
    if loaded.repo is not None and not known:
        try:
            known, before = _of_commits(loaded.repo, loaded, experiments, notes)
        except GitError as error:
            notes.append(f"the constants can't be read: {error}")
    rows = [
        row
        for record in experiments
        if (record.campaign, record.n) in known
        for row in _rows(record, known[record.campaign, record.n], before, goal or record.goal)
    ]
    by_column = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    table = pd.DataFrame(
        {  # a type given at once: numbers beside None would become floats
            name: pd.Series(list(column), dtype=dtype)
            for (name, dtype), column in zip(COLUMNS.items(), by_column, strict=True)
        }
    )
    missing = len(experiments) - len({(row[0], row[1]) for row in rows})
    if missing:
        notes.append(f"the constants of {missing} of {len(experiments)} experiments aren't known")
    table.attrs |= histories.attrs(found, loaded, notes, goal)
    return table


Constants = dict[tuple[str, int], Mapping[str, Any]]


def _rows(
    record: Record, now: Mapping[str, Any], before: Constants, goal: str
) -> list[tuple[Any, ...]]:
    old = before[record.campaign, record.n] if record.parent is not None else {}
    shared = (record.campaign, record.n, record.status, record.value, record.delta)
    told = (record.metric, goal, record.unit)
    return [
        (*shared, name, _hashable(now.get(name)), _hashable(old.get(name)), bool(changed), *told)
        for name in dict.fromkeys((*now, *old))
        for changed in [old and (name not in old or name not in now or old[name] != now[name])]
    ]


def _hashable(value: Any) -> Any:
    """Return lists of a record as the tuples that they were, so that tables can group by them."""
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def _of_commits(
    repo: Path, loaded: Loaded, experiments: Sequence[Record], notes: list[str]
) -> tuple[Constants, Constants]:
    """Read constants from the Python files that the experiments change, theirs and before."""
    here = {record.commit for record in experiments} & {
        record.commit for record, there in zip(loaded.records, loaded.present, strict=True) if there
    }
    logged = git.commits(repo, sorted(here))
    edited = Counter(path for commit in logged.values() for path in commit.changes)
    paths = [path for path, _ in edited.most_common() if path.endswith(".py")]
    parents = [r.parent_commit for r in experiments if r.commit in here and r.parent_commit]
    wanted = sorted(here | set(parents))
    files = git.read_many(repo, [f"{commit}:{path}" for commit in wanted for path in paths])
    texts: dict[tuple[str, str], dict[str, Any]] = {}

    def read(commit: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for i, path in enumerate(paths):
            text = files.get(f"{commit}:{path}", b"").decode("utf-8", "replace")
            if (path, text) not in texts:
                texts[path, text] = {n: c.value for n, c in values.constants(path, text).items()}
            found |= {(f"{path}:{n}" if i else n): v for n, v in texts[path, text].items()}
        return found

    commits = {(r.campaign, r.n): r.commit for r in experiments if r.commit in here}
    known = {key: read(commit) for key, commit in commits.items()}
    before: Constants = {}
    for record in experiments:
        # Its own parent rather than the one it was compared with: that shows what it changed.
        parent = commits.get((record.campaign, -1 if record.parent is None else record.parent))
        start = record.parent_commit if record.parent_commit in wanted else parent
        before[record.campaign, record.n] = read(start) if start and start in wanted else {}
    if paths:
        notes.append(f"constants read from {', '.join(paths[:5])} of {len(here)} commits")
    return known, before
