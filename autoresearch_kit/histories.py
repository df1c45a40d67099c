"""Every experiment of a campaign, a lab or a clone as one pandas table, read from git alone."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autoresearch_kit import goals, sources, standing
from autoresearch_kit._version import __version__
from autoresearch_kit.records import Record
from autoresearch_kit.sources import Loaded, Source

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
    "expected": "float64",
    "guess": "float64",
    "parent": "Int64",
    "about": "Int64",
    "kind": "str",
    "commit": "str",
    "parent_commit": "str",
    "present": "bool",
    "n_replicates": "int64",
    "replicates": "str",
    "noise": "float64",
    "gain": "float64",
    "sigma": "float64",
    "error": "float64",
    "setup_seconds": "float64",
    "training_seconds": "float64",
    "stopped_early": "float64",
    "scoring_seconds": "float64",
    "run_seconds": "float64",
    "peak_memory_mb": "float64",
    "tokens": "Int64",
    "parameters": "Int64",
    "curve": "str",
    "changed": "str",
    "lines_added": "int64",
    "lines_removed": "int64",
    "cost": "float64",
    "proposal_tokens": "Int64",
    "proposal_seconds": "float64",
    "program": "str",
    "night": "str",
    "device": "str",
    "scored_by": "str",
    "sandboxed": "bool",
    "rule": "str",
    "reason": "str",
    "decided": "datetime64[us, UTC]",
    "kit": "str",
    "source": "str",
    "metric_name": "str",
    "goal": "str",
    "unit": "str",
}
"""The columns of `history` and their types; one named after the metric stands beside `metric`."""


def history(x: Source, ref: str | None = None, goal: str | None = None) -> pd.DataFrame:
    """Return every decided experiment of `x` as a row, in order of campaign and number.

    Parameters
    ----------
    x
        A campaign, a lab (all its campaigns), or the path of a clone (bare ones too), of a git
        bundle, or of a results file (TSV, CSV or JSON lines; one in a clone is joined to its
        commits), or a table that `export` wrote (.csv, .parquet). Of this kit or of others.
    ref
        One campaign of several: its tag (``"nov23"``) or branch (``"autoresearch/nov23"``). For
        a clone in which others worked, any branch (the end of its name will do), tag or commit:
        its results file is read; ``ref:path`` names another one in it.
    goal
        ``"minimize"`` or ``"maximize"``, against what the records say.

    Returns
    -------
    pandas.DataFrame
        ==================  ===========  ====================================================
        campaign            str          the tag of the campaign
        experiment          int          its number; 0 is the baseline
        status              str          keep, discard, crash, refused or quarantine, as of now;
                                         a foreign file's other words as they are
        metric              float        NaN for a crash or a refusal
        *the metric's name* float        the same again; one column for each metric
        delta               float        against the parent, signed as the metric is
        best_so_far         float        the best kept metric after this experiment (the best
                                         state's own may be worse: a simpler one is a keep too)
        hypothesis          str
        author, approver    str          proposer and person or policy
        edited_by_human     bool         a person changed the proposer's patch
        expected, guess     float        effect that the author and the approver guessed, signed
                                         as the metric is
        parent              Int64        the experiment that this one changes
        about               Int64        set when the row is about an earlier experiment
        kind                str          then: repeat, audit, override, rewind, ablation, transfer
        commit              str
        parent_commit       str
        present             bool         the commit is in this repository
        n_replicates        int          runs behind the metric; 1 where others give a number
        replicates          str          them as ``seed:value`` pairs
        noise               float        standard deviation of a run, in units of the metric
        gain                float        better by so much, shrunk by how uncertain that is
        sigma               float        how many standard errors better the verdict found it
        error               float        standard error of the gain
        setup_seconds, training_seconds, scoring_seconds        float, a run, on the clock:
                                         one that shares its machine takes longer than its budget
        run_seconds         float        of all its runs, on the clock; a repeat's are in its row
        stopped_early       float        progress at which a hopeless run was ended
        peak_memory_mb      float        mebibytes
        tokens              Int64        units of work that the budget bought
        parameters          Int64
        curve               str          ``progress:loss`` pairs
        changed             str          constants that differ from the parent's, by name
        lines_added, lines_removed              int
        cost                float        of the proposal, in the proposer's currency
        proposal_tokens     Int64        that a model read and wrote for it
        proposal_seconds    float        that making it took
        program             str          version of program.md that it was made under
        night               str          that it was made in
        device              str
        scored_by           str          kit or printed
        sandboxed           bool
        rule, reason        str          how the verdict came about
        decided             datetime     UTC
        kit                 str          version that recorded it
        source              str          where the row was read: tags, results, git, journal, table
        metric_name, goal, unit                 str, as in ``attrs``, which ``concat`` may lose
        ==================  ===========  ====================================================

        ``df.attrs`` holds ``metric`` and ``unit`` ("" when campaigns differ), ``goal``,
        ``campaigns`` (their names), ``repo`` (its path, or ""), ``kit`` (this version) and
        ``notes``, a list of what was read, joined, guessed and left out. Further columns of a
        foreign file follow under their own names; one named like a column of the kit becomes
        ``<name>_in_file``.

    Raises
    ------
    LabError
        When `x` is no file, and no folder with a git repository; or a damaged bundle.
    CampaignError
        When it holds no campaign, or none of the name `ref`.
    ValueError
        When `goal` is neither of the two.

    Notes
    -----
    Of several sources in a clone the first of these is read, and `notes` name the others: the
    annotated tags ``autoresearch/<tag>/<nnnn>`` of this kit (with at most four git processes,
    whatever their number); the journal of pi-autoresearch; a results file, as the original's
    agents write it, joined to the commits by their hashes; the commits of the branch alone, where
    reverts are discards. In a checkout the files are those of the work tree, committed or not.

    A record about an earlier experiment keeps its own row and is folded into
    the one that it is about: an override or a rewind decides its `status` (the notes say where), a
    repeat adds to the runs behind its `metric`.
    """
    import pandas as pd

    goals.check(goal)
    with sources.collector_paused():
        loaded = sources.load(x, ref, goal)
        notes = list(loaded.notes)
        found = as_of_now(loaded.records, notes)
        rows = pd.DataFrame(_columns(found, loaded, goal)).astype(DTYPES)
    # Wanted: a better value is a lower one, whatever the campaign's direction.
    sign = pd.Series([-goals.sign(goal or r.goal) for r in found])
    kept = (rows["status"] == "keep") & rows["about"].isna()
    best = (rows["metric"] * sign).where(kept).groupby(rows["campaign"]).cummin()
    rows["best_so_far"] = best.groupby(rows["campaign"]).ffill() * sign

    for name in sorted({r.metric for r in found} - {""}):
        if name in rows:
            notes.append(f"the metric is called {name}, as a column of the kit: see `metric`")
        else:
            own = rows["metric"].where(pd.Series([r.metric == name for r in found]))
            rows.insert(list(rows).index("metric") + 1, name, own)
    rows = _with_extra(rows, loaded.extra)
    rows.attrs |= attrs(found, loaded, notes, goal)
    return rows


def attrs(
    found: Sequence[Record], loaded: Loaded, notes: Sequence[str], goal: str | None = None
) -> dict[str, Any]:
    """Return what a table of these records has in its ``attrs``."""
    said = list(notes)
    names = sorted({r.metric for r in found} - {""})
    goal = goal or _only({r.goal for r in found})
    if len(names) > 1:
        said.append(f"the campaigns have different metrics: {', '.join(names)}")
    if not goal:
        said.append("the campaigns have different goals: plot them one by one")
    return {
        "metric": _only({r.metric for r in found}),
        "unit": _only({r.unit for r in found}),
        "goal": goal,
        "campaigns": list(dict.fromkeys(r.campaign for r in found)),
        "repo": loaded.where if loaded.repo else "",
        "kit": __version__,
        "notes": said,
    }


def _columns(found: Sequence[Record], loaded: Loaded, goal: str | None) -> dict[str, list[Any]]:
    """Return the columns, all but best_so_far filled."""
    same = [name for name in DTYPES if name in Record.__dataclass_fields__]
    fields = zip(*map(operator.attrgetter(*same), found), strict=True)
    columns: dict[str, list[Any]] = {name: [] for name in DTYPES}
    columns |= {name: list(values) for name, values in zip(same, fields, strict=True)}
    columns |= {
        "experiment": [r.n for r in found],
        "status": [r.status for r in found],
        "metric": [r.value for r in found],
        "best_so_far": [None] * len(found),
        "parent_commit": [r.parent_commit or "" for r in found],
        "present": list(loaded.present),
        "source": list(loaded.source),
        "n_replicates": [_count(*each) for each in zip(found, loaded.source, strict=True)],
        "replicates": [_runs(r) for r in found],
        # Folding adds the runs of repeats to what they repeat; their seconds are in their own rows.
        "run_seconds": [r.run_seconds for r in loaded.records],
        "sigma": [r.evidence.get("z") for r in found],
        "error": [r.evidence.get("error") for r in found],
        "expected": [r.proposal.get("expected") for r in found],
        "guess": [r.proposal.get("guess") for r in found],
        "night": [r.proposal.get("night") or "" for r in found],
        "changed": list(loaded.changed) or _changed(found),
        "cost": [r.proposal.get("cost") for r in found],
        "proposal_tokens": [r.proposal.get("tokens") for r in found],
        "proposal_seconds": [r.proposal.get("seconds") for r in found],
        "program": [r.proposal.get("program", "") for r in found],
        "decided": [_time(r.decided) for r in found],
        "kit": [r.versions.get("kit", "") for r in found],
        "metric_name": [r.metric for r in found],
        "goal": [goal or r.goal for r in found],
    }
    return columns


def _with_extra(rows: pd.DataFrame, extra: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Add the further columns of a foreign file; one named like a column of the kit is renamed."""
    import pandas as pd

    named: dict[str, Sequence[Any]] = {}
    for name, values in extra.items():
        while name in rows or name in named:
            name += "_in_file"
        named[name] = values
    return pd.concat([rows, pd.DataFrame(named, index=rows.index)], axis=1) if named else rows


def _count(record: Record, source: str) -> int:
    """Return how many runs are behind a metric: others write down one and don't say more."""
    own = source in ("tags", "table") and record.replicates
    return len(record.replicates) if own else int(record.value is not None and source != "tags")


def _runs(record: Record) -> str:
    return " ".join([f"{run['seed']}:{run['value']}" for run in record.replicates])


def _changed(found: Sequence[Record]) -> list[str]:
    """Return the names of the constants that differ from those of each record's parent."""
    known = {(r.campaign, r.n): r.constants for r in found if r.about is None}
    return [
        ", ".join(_differences(known[r.campaign, r.parent], r.constants))
        if r.parent is not None and (r.campaign, r.parent) in known and not _word_alone(r)
        else ""
        for r in found
    ]


def _word_alone(record: Record) -> bool:
    """Tell whether a record is only a word on an earlier experiment, without code of its own."""
    return record.about is not None and not record.constants


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of what has another value in `new`, came, or went."""
    if old == new:
        return []
    changed = [name for name, value in new.items() if name not in old or old[name] != value]
    return changed + [name for name in old if name not in new]


def as_of_now(decided: Sequence[Record], notes: list[str]) -> list[Record]:
    """Return records with later ones folded into those that they are about; note new verdicts."""
    if all(record.about is None for record in decided):
        return list(decided)
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
