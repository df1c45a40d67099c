"""Tables that `history` gave and a file holds, CSV or parquet: read back as what they were."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autoresearch_kit import git, goals
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import cells, columns, direction, measured
from autoresearch_kit.foreign.commits import Joined
from autoresearch_kit.records import Record

_SURE = ("campaign", "experiment", "status", "metric", "delta", "best_so_far", "hypothesis")
_REALS: tuple[str, ...] = (
    "delta",
    "noise",
    "gain",
    "setup_seconds",
    "training_seconds",
    "stopped_early",
)
_REALS += ("scoring_seconds", "peak_memory_mb")
_WHOLES = ("parent", "about", "tokens", "parameters")
_COUNTS = ("lines_added", "lines_removed")
_WORDS: tuple[str, ...] = (
    "campaign",
    "status",
    "hypothesis",
    "author",
    "approver",
    "kind",
    "unit",
    "rule",
)
_WORDS += ("reason", "scored_by", "device", "goal")
_FLAGS = ("edited_by_human", "sandboxed")
_OF_PROPOSAL = {
    "expected": "expected",
    "guess": "guess",
    "cost": "cost",
    "proposal_tokens": "tokens",
    "proposal_seconds": "seconds",
    "night": "night",
    "program": "program",
}
COLUMNS = {"commit", "parent_commit", "present", "n_replicates", "replicates", "sigma", "error"}
COLUMNS |= {"run_seconds", "curve", "changed", "decided", "kit", "source", "metric_name"}
COLUMNS |= {*_SURE, *_REALS, *_WHOLES, *_COUNTS, *_WORDS, *_FLAGS, *_OF_PROPOSAL}
"""The columns of `history`, but for one named after the metric."""

_HASH = re.compile(r"[0-9a-f]{4,64}")
_PARQUET = b"PAR1"


def read(
    name: str, data: bytes, goal: str | None = None, repo: Path | None = None
) -> Joined | None:
    """Return the records that a table of `history` tells; None when the file is another one.

    Further runs of an experiment, which the table has folded into it, become those of their
    repeat again. The values of constants aren't in it.

    Raises
    ------
    CampaignError
        When it is a parquet file of something else.
    """
    if data.startswith(_PARQUET):
        names, rows, attrs = _parquet(name, data)
    else:
        names, rows, attrs = _csv(data)
    if not set(_SURE) <= set(names) or not rows:
        if data.startswith(_PARQUET):
            raise CampaignError(
                f"{name} has no rows of history; expected the columns {', '.join(_SURE)}, as "
                "ark.export writes them"
            )
        return None
    between = names[names.index("metric") + 1 : names.index("delta")]
    metrics = [n for n in between if n not in COLUMNS]
    try:
        found = [_record(row, metrics, attrs, goal) for row in rows]
    except (ValueError, TypeError, OverflowError) as error:
        raise CampaignError(
            f"{name} has the columns of history, but a row that it can't be: {error}"
        ) from error
    said = attrs.get("notes")
    notes = [
        *map(str, said if isinstance(said, list) else ()),
        f"read back from {name}, a table of this kit",
    ]
    found = _with_goals(_unfolded(found), notes)
    further = [n for n in names if n and n not in COLUMNS and n not in metrics]
    typed = data.startswith(_PARQUET)
    here = git.find_commits(repo, [r.commit for r in found if r.commit]) if repo else {}
    return Joined(
        found,
        [here.get(r.commit) is not None for r in found],
        [_text(row.get("changed")) for row in rows],
        {n: _column(n, [row.get(n) for row in rows], typed=typed) for n in further},
        notes,
    )


def _csv(data: bytes) -> tuple[list[str], list[dict[str, Any]], Mapping[str, Any]]:
    if not {b"campaign", b"best_so_far"} <= set(data[:4000].split(b"\n", 1)[0].split(b",")):
        return [], [], {}
    lines = csv.DictReader(io.StringIO(data.decode("utf-8-sig", errors="replace"), newline=""))
    try:
        rows = list(lines)
    except csv.Error:
        return [], [], {}
    return [n for n in lines.fieldnames or () if n is not None], rows, {}


def _parquet(name: str, data: bytes) -> tuple[list[str], list[dict[str, Any]], Mapping[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
        rows = table.to_pylist()
        said = json.loads((table.schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    except (pa.ArrowException, ValueError, OSError, RecursionError) as error:
        raise CampaignError(f"{name} can't be read as parquet: {error}") from error
    return list(table.column_names), rows, said if isinstance(said, dict) else {}


def _record(
    row: Mapping[str, Any], metrics: Sequence[str], attrs: Mapping[str, Any], goal: str | None
) -> Record:
    own = [n for n in metrics if _real(row.get(n)) is not None]
    named = row.get("metric_name")  # "" in a history without a metric
    if named is None:
        named = attrs.get("metric") or (own or list(metrics) or ["metric"])[0]
    commit, parent = _text(row.get("commit")), _text(row.get("parent_commit"))
    proposal = {new: row.get(old) for old, new in _OF_PROPOSAL.items()}
    numbers = {k: _real(v) for k, v in proposal.items() if k not in ("night", "program")}
    numbers["tokens"] = _whole(proposal["tokens"])
    told = {k: v for k, v in numbers.items() if v is not None}
    told |= {k: _text(proposal[k]) for k in ("night", "program") if _text(proposal[k])}  # type: ignore[misc]
    evidence = {"z": _real(row.get("sigma")), "error": _real(row.get("error"))}
    words = {k: _text(row[k]) for k in _WORDS if row.get(k) is not None}
    n = _whole(row["experiment"])
    if n is None or not words.get("campaign") or "status" not in words:
        raise ValueError("no campaign, number or status in a row")
    fields: dict[str, Any] = {
        **words,
        **{k: _real(row.get(k)) for k in _REALS},
        **{k: _whole(row.get(k)) for k in _WHOLES},
        **{k: _whole(row.get(k)) or 0 for k in _COUNTS},
        **{k: _text(row.get(k)) == "True" for k in _FLAGS},
        "n": n,
        "commit": commit if _HASH.fullmatch(commit) else "",
        "parent_commit": parent if _HASH.fullmatch(parent) else None,
        "metric": _text(named),
        "goal": goal or words.get("goal") or _text(attrs.get("goal")),
        "unit": words.get("unit") or _text(attrs.get("unit")),
        "value": _real(row["metric"]),
        "replicates": tuple(_runs(_text(row.get("replicates")))),
        "curve": " ".join(
            f"{a}:{b}" for a, b in _pairs(_text(row.get("curve"))) if cells.is_plain(a)
        ),
        "decided": _moment(row.get("decided")),
        "evidence": {k: v for k, v in evidence.items() if v is not None},
        "proposal": told,
        "versions": {"kit": _text(row["kit"])} if _text(row.get("kit")) else {},
    }
    return Record(**fields)


def _with_goals(found: Sequence[Record], notes: list[str]) -> list[Record]:
    """Infer the goal of records whose table doesn't tell it, one for each metric."""
    unknown = {r.metric for r in found if r.goal not in goals.GOALS}
    inferred = {}
    for name in sorted(unknown):
        some = [r for r in found if r.metric == name and r.about is None]
        inferred[name], why = direction.infer(
            name, [r.value for r in some], [r.status for r in some]
        )
        notes += why
    return [
        dataclasses.replace(r, goal=inferred[r.metric]) if r.goal not in goals.GOALS else r
        for r in found
    ]


def _unfolded(found: Sequence[Record]) -> list[Record]:
    """Take the runs of repeats out of the experiments that they are about."""
    known = {(r.campaign, r.n): r for r in found}
    changed: dict[tuple[str, int], Record] = {}
    for later in [r for r in found if r.kind == "repeat"]:
        subject = known.get((later.campaign, later.about)) if later.about is not None else None
        own = [run for run in subject.replicates if run not in later.replicates] if subject else []
        if subject is None or subject.value is None or len(own) in (0, len(subject.replicates)):
            continue
        value = statistics.fmean(run["value"] for run in own)
        delta = None if subject.delta is None else subject.delta + value - subject.value
        own_alone = dataclasses.replace(subject, replicates=tuple(own), value=value, delta=delta)
        known[subject.campaign, subject.n] = changed[subject.campaign, subject.n] = own_alone
    return [changed.get((r.campaign, r.n), r) for r in found]


def _runs(text: str) -> Iterable[dict[str, Any]]:
    for seed, value in _pairs(text):
        yield {"seed": int(seed) if seed.isdecimal() else seed, "value": float(value)}


def _pairs(text: str) -> list[tuple[str, str]]:
    found = [pair.rpartition(":")[::2] for pair in text.split()]
    return [(a, b) for a, b in found if a and _real(b) is not None]


def _column(name: str, values: Sequence[Any], *, typed: bool) -> Sequence[Any]:
    """Return a further column, as numbers where all words of a file without types are some."""
    if typed or columns.holds_text(name) or name.endswith(measured.AS_WRITTEN):
        return values
    if not all(v in ("", None) or cells.is_plain(v) for v in values):
        return values
    numbers = [float(v) if v else None for v in values]
    return values if any(n is not None and math.isinf(n) for n in numbers) else numbers


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _real(value: Any) -> float | None:
    number = float(value) if value not in ("", None) else math.nan
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _real(value)
    if number is not None and not (number.is_integer() and abs(number) < 2**63):
        raise ValueError(f"{value} is no whole number")
    return None if number is None else int(number)


def _moment(value: Any) -> str:
    if value in ("", None):
        return ""
    when = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
