"""Every experiment of a campaign, a lab or a clone as one pandas table, read from git alone."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from autoresearch_kit import git, records, standing
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    import pandas as pd

DTYPES = {
    "campaign": "str",
    "experiment": "int64",
    "status": "str",
    "metric": "float64",
    "delta": "float64",
    "best_so_far": "float64",
    "hypothesis": "str",
    "author": "str",
    "approver": "str",
    "edited_by_human": "bool",
    "parent": "Int64",
    "about": "Int64",
    "kind": "str",
    "commit": "str",
    "present": "bool",
    "n_replicates": "int64",
    "noise": "float64",
    "gain": "float64",
    "setup_seconds": "float64",
    "training_seconds": "float64",
    "stopped_early": "float64",
    "scoring_seconds": "float64",
    "peak_memory_mb": "float64",
    "tokens": "Int64",
    "parameters": "Int64",
    "lines_added": "int64",
    "lines_removed": "int64",
    "cost": "float64",
    "proposal_tokens": "Int64",
    "proposal_seconds": "float64",
    "program": "str",
    "device": "str",
    "scored_by": "str",
    "sandboxed": "bool",
    "rule": "str",
    "reason": "str",
    "decided": "datetime64[us, UTC]",
    "kit": "str",
}
"""The columns of `history` and their types; one named after the metric stands beside `metric`."""


@runtime_checkable
class HasTag(Protocol):
    """A campaign, seen from here."""

    path: Path
    tag: str


@runtime_checkable
class HasPath(Protocol):
    """A lab, seen from here."""

    path: Path


Source = HasTag | HasPath | str | os.PathLike[str]


def history(x: Source, ref: str | None = None, goal: str | None = None) -> pd.DataFrame:
    """Return every decided experiment of `x` as a row, in order of campaign and number.

    Parameters
    ----------
    x
        A campaign, a lab (all its campaigns), or the path of any clone of one, bare ones too.
    ref
        One campaign of a lab or clone: its tag (``"nov23"``) or branch (``"autoresearch/nov23"``).
    goal
        ``"minimize"`` or ``"maximize"``, against what the records say.

    Returns
    -------
    pandas.DataFrame
        ==================  ===========  ====================================================
        campaign            str          the tag of the campaign
        experiment          int          its number; 0 is the baseline
        status              str          keep, discard, crash, refused or quarantine, as of now
        metric              float        NaN for a crash or a refusal
        *the metric's name* float        the same again; one column for each metric
        delta               float        against the parent, signed as the metric is
        best_so_far         float        the best kept metric after this experiment (the best
                                         state's own may be worse: a simpler one is a keep too)
        hypothesis          str
        author, approver    str          proposer and person or policy
        edited_by_human     bool         a person changed the proposer's patch
        parent              Int64        the experiment that this one changes
        about               Int64        set when the row is about an earlier experiment
        kind                str          then: repeat, audit, override, rewind, ablation, transfer
        commit              str
        present             bool         the commit is in this repository
        n_replicates        int          runs behind the metric
        noise               float        standard deviation of a run, in units of the metric
        gain                float        better by so much, shrunk by how uncertain that is
        setup_seconds, training_seconds, scoring_seconds        float
        stopped_early       float        progress at which a hopeless run was ended
        peak_memory_mb      float        mebibytes
        tokens              Int64        units of work that the budget bought
        parameters          Int64
        lines_added, lines_removed              int
        cost                float        of the proposal, in the proposer's currency
        proposal_tokens     Int64        that a model read and wrote for it
        proposal_seconds    float        that making it took
        program             str          version of program.md that it was made under
        device              str
        scored_by           str          kit or printed
        sandboxed           bool
        rule, reason        str          how the verdict came about
        decided             datetime     UTC
        kit                 str          version that recorded it
        ==================  ===========  ====================================================

        ``df.attrs`` holds ``metric`` and ``unit`` ("" when campaigns differ), ``goal`` and
        ``notes``, a list of what is worth knowing about the reading.

    Raises
    ------
    LabError
        When `x` is no folder or no git repository.
    CampaignError
        When it holds no campaign, or none of the name `ref`.

    Notes
    -----
    Reads the annotated tags ``autoresearch/<tag>/<nnnn>`` with at most three git processes,
    whatever their number. A record about an earlier experiment keeps its own row and is folded into
    the one that it is about: an override or a rewind decides its `status` (the notes say where), a
    repeat adds to the runs behind its `metric`.
    """
    import pandas as pd

    if goal not in {None, "minimize", "maximize"}:
        raise ValueError(f"goal is {goal!r}; expected 'minimize' or 'maximize'")
    _, decided = load(x, ref)
    notes: list[str] = []
    found = _as_of_now(decided, notes)
    rows = pd.DataFrame(_columns(found)).astype(DTYPES)
    # Wanted: a better value is a lower one, whatever the campaign's direction.
    sign = pd.Series([-1.0 if (goal or r.goal) == "maximize" else 1.0 for r in found])
    kept = (rows["status"] == "keep") & rows["about"].isna()
    best = (rows["metric"] * sign).where(kept).groupby(rows["campaign"]).cummin()
    rows["best_so_far"] = best.groupby(rows["campaign"]).ffill() * sign

    names = sorted({r.metric for r in found} - {""})
    for name in names:
        if name in rows:
            notes.append(f"the metric is called {name}, as a column of the kit: see `metric`")
        else:
            own = rows["metric"].where(pd.Series([r.metric == name for r in found]))
            rows.insert(list(rows).index("metric") + 1, name, own)
    rows.attrs["metric"] = _only({r.metric for r in found})
    rows.attrs["unit"] = _only({r.unit for r in found})
    rows.attrs["goal"] = goal or _only({r.goal for r in found})
    if len(names) > 1:
        notes.append(f"the campaigns have different metrics: {', '.join(names)}")
    if not rows.attrs["goal"]:
        notes.append("the campaigns have different goals: plot them one by one")
    rows.attrs["notes"] = notes
    return rows


def load(x: Source, ref: str | None = None) -> tuple[Path, Sequence[Record]]:
    """Return the repository behind `x` and its records, in order of campaign and number.

    Raises
    ------
    LabError, CampaignError
        As `history` does.
    """
    if isinstance(x, HasTag):
        with _collector_paused():
            repo, found = x.path, records.read_all(x.path, x.tag)
        where = f"the campaign in {repo}"
    else:
        path = x.path if isinstance(x, HasPath) else Path(x).expanduser()
        repo = git.root(path)
        with _collector_paused():
            found = records.read_all(repo)
        where = str(path)
    if ref is not None:
        wanted = ref.removeprefix("refs/heads/").rpartition("autoresearch/")[2]
        chosen = [r for r in found if r.campaign == wanted]
        if found and not chosen:
            names = ", ".join(sorted({r.campaign for r in found}))
            raise CampaignError(f"no campaign {wanted!r} in {where}; there are: {names}")
        found = chosen
    if not found:
        raise CampaignError(
            f"no autoresearch campaign here: {where} has no tags autoresearch/<tag>/<nnnn>. "
            "Expected a campaign, a lab, or a clone with its tags (type git fetch --tags there). "
            "A new campaign begins with ark.open_campaign(...) and ark.baseline(campaign)."
        )
    return repo, found


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Parse without garbage collection, which takes as long as the parsing of 10,000 records.

    Each record is a tree of small objects that all stay, so every pass would be in vain.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _columns(found: Sequence[Record]) -> dict[str, list[Any]]:
    """Return the columns, all but best_so_far filled."""
    same = DTYPES.keys() & Record.__dataclass_fields__.keys()
    columns = {name: [getattr(r, name) for r in found] if name in same else [] for name in DTYPES}
    columns |= {
        "experiment": [r.n for r in found],
        "status": [r.status for r in found],
        "metric": [r.value for r in found],
        "best_so_far": [None] * len(found),
        "present": [True] * len(found),  # git has no tag without its commit
        "n_replicates": [len(r.replicates) for r in found],
        "cost": [r.proposal.get("cost") for r in found],
        "proposal_tokens": [r.proposal.get("tokens") for r in found],
        "proposal_seconds": [r.proposal.get("seconds") for r in found],
        "program": [r.proposal.get("program", "") for r in found],
        "decided": [_time(r.decided) for r in found],
        "kit": [r.versions.get("kit", "") for r in found],
    }
    return columns


def _as_of_now(decided: Sequence[Record], notes: list[str]) -> list[Record]:
    """Fold later records into the experiments that they are about, and note new verdicts."""
    found: list[Record] = []
    for campaign, group in itertools.groupby(decided, key=lambda r: r.campaign):
        records = list(group)
        now = {r.n: r for r in standing.of(records).experiments}
        for record in records:
            stands = now.get(record.n, record)
            found.append(stands)
            if stands.status != record.status:
                why = stands.reason.partition(": ")[2]
                judge = _judge(records, record.n, stands.status)
                by = f"{judge:04d} made it" if judge is not None else "it is now"
                notes.append(
                    f"{campaign} {record.n:04d} was {record.status}; {by} {stands.status}: {why}"
                )
    return found


def _judge(records: Sequence[Record], n: int, status: str) -> int | None:
    """Return which record gave experiment `n` its status, when that is one about it."""
    given = (r for r in records if r.kind in standing.VERDICTS)
    judges = [r.n for r in given if r.about == n and r.status == status]
    return judges[-1] if judges else None


def _time(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _only(values: set[str]) -> str:
    """Return the single member of `values`, or "" when there is none or a choice."""
    return next(iter(values)) if len(values) == 1 else ""
