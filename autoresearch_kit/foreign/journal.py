"""Journals: a JSON document on each line, as pi-autoresearch writes them.

Source of the format: github.com/davebcn87/pi-autoresearch (``extensions/pi-autoresearch``) and
journals in public repositories. A line of type ``config`` names the metric, its unit and its
direction, and begins a new segment; a line with a ``run`` is an experiment; ``hook`` lines tell
what else ran.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import cells, direction, measured, results
from autoresearch_kit.foreign.lines import MOST_COLUMNS
from autoresearch_kit.foreign.tables import Row, Table

PATHS = (".auto/log.jsonl", "autoresearch.jsonl")
"""Where the journal lies; the first is the newer place."""

CHECKS_FAILED = "discard"
"""What a run becomes whose code failed its tests: it was measured, and not kept."""

OWN = {"run", "commit", "metric", "metrics", "status", "description", "timestamp", "segment", "asi"}
NAMED = ("run", "metric", "metricName", "bestDirection")
_CONFIG = {"type": "config"}
_GOALS = dict.fromkeys(("lower", "minimize", "min", "down"), "minimize")
_GOALS |= dict.fromkeys(("higher", "maximize", "max", "up"), "maximize")
_MILLISECONDS = 1e11  # as seconds this is the year 5138


def read(text: str, name: str, goal: str | None = None) -> Table:
    """Return the last segment of a journal that has runs (`segments` returns them all)."""
    return segments(text, name, goal)[-1]


def segments(text: str, name: str, goal: str | None = None) -> list[Table]:
    """Return a table for each segment of a journal: each has a metric and a baseline of its own.

    Parameters
    ----------
    text
        The journal. One in another form than pi-autoresearch's is read as `results` reads a file
        whose columns are its keys.
    name
        How the notes call it.
    goal
        ``"minimize"`` or ``"maximize"``, against what the journal says.

    Raises
    ------
    CampaignError
        When it has no run.

    Notes
    -----
    A line that is no JSON is kept as a row without values. The metric of a crash (the format
    writes 0) is not read.
    """
    lines = list(_lines(text))
    objects = [entry for _, entry in lines if isinstance(entry, dict)]
    if not any(key in entry for entry in objects for key in NAMED):
        return [_any_form(lines, name, goal)]
    tables: list[Table] = []
    config: Mapping[str, Any] = {}
    part: list[tuple[int, Any]] = []
    for number, entry in [*lines, (0, _CONFIG)]:
        if not (isinstance(entry, dict) and entry.get("type") == "config"):
            part.append((number, entry))
            continue
        table = _segment(config, part, name, goal)
        if table is not None:
            tables.append(table)
            part, config = [], {}
        config = {**config, **entry}  # a second head before the first run says more
    if not tables:
        raise CampaignError(f"{name} has no runs yet; expected lines with a run and a metric")
    return tables


def _lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip().lstrip("\ufeff").rstrip(",")
        if not stripped:
            continue
        try:
            entry = json.loads(stripped)
            if "\\ud" in stripped or "\\uD" in stripped:  # half a character: no table could hold it
                whole = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace")
                entry = json.loads(whole)
        except (ValueError, RecursionError):
            entry = None
        yield number, entry if isinstance(entry, dict) else stripped


def _segment(
    config: Mapping[str, Any], part: Sequence[tuple[int, Any]], name: str, goal: str | None
) -> Table | None:
    """Return the runs of one segment as a table; None when it has none."""
    kept = [(n, e) for n, e in part if isinstance(e, str) or _is_run(e)]
    if not kept:
        return None
    notes = [f"{name}: a journal of {len(kept)} runs, called {_text(config.get('name'))!r}"]
    rows = [_row(n, e) if isinstance(e, dict) else Row(n, description=e) for n, e in kept]
    broken = [n for n, entry in kept if isinstance(entry, str)]
    if broken:
        notes.append(f"{name}: {_at(broken)} no JSON; kept as a row without values")
    if others := len(part) - len(kept):
        notes.append(f"{name}: {others} lines that are no runs (such as hooks) were left out")
    columns = {key for row in rows for key in row.extra}
    if len(columns) > MOST_COLUMNS:
        raise CampaignError(
            f"{name} has runs with {len(columns):,} different entries; expected at most "
            f"{MOST_COLUMNS:,}"
        )
    for key, what in (
        ("metric", "a metric that is no number, so there is none"),
        ("timestamp", "no time that could be read"),
    ):
        column = key + measured.AS_WRITTEN
        if odd := [row.line for row in rows if column in row.extra]:
            notes.append(f"{name}: {_at(odd)} a run with {what}; see {column}")
    if silent := [row.line for row in rows if not row.status and row.line not in broken]:
        notes.append(f"{name}: {_at(silent)} a run without a verdict")
    if zeros := [row.line for row in rows if row.status == "crash" and row.value is not None]:
        notes.append(f"{name}: {_at(zeros)} a crash with a metric, which is not read")
        rows = [dataclasses.replace(r, value=None) if r.line in zeros else r for r in rows]
    if others := sum("status" in row.extra for row in rows):
        words = sorted({str(row.extra["status"]) for row in rows if "status" in row.extra})
        notes.append(f"{name}: {others} statuses in other words: {', '.join(words)}")
    metric = _text(config.get("metricName"))
    if not metric:
        notes.append(f"{name}: no line says what the metric is called; it is `metric` here")
    said = _text(config.get("bestDirection"))
    told = _GOALS.get(said.lower())
    chosen, reasons = direction.infer(
        metric or "metric",
        [row.value for row in rows],
        [row.status for row in rows],
        goal or told,
    )
    if goal is None and said and not told:
        notes.append(f"{name}: bestDirection is {said!r}, which says neither lower nor higher")
    elif goal is None and told:
        reasons = [reason.replace("as given", "as the journal says") for reason in reasons]
    notes += [f"{name}: {reason}" for reason in reasons]
    return Table(rows, metric or "metric", chosen, _text(config.get("metricUnit")), notes)


def _is_run(entry: Mapping[str, Any]) -> bool:
    """Tell runs from hooks and other remarks."""
    return "type" not in entry or entry["type"] in ("run", "experiment", "result")


def _row(number: int, entry: Mapping[str, Any]) -> Row:
    label, word = _words(entry.get("commit")), _words(entry.get("status"))
    commit, dirty = cells.commit(label)
    status = CHECKS_FAILED if word == "checks_failed" else cells.status(word)
    metrics, asi = entry.get("metrics"), entry.get("asi")
    extra = {key: entry[key] for key in ("run", "segment") if key in entry}
    extra |= {key: value for key, value in entry.items() if key not in OWN}
    extra |= metrics if isinstance(metrics, dict) else {}
    extra |= {f"asi_{key}": value for key, value in asi.items()} if isinstance(asi, dict) else {}
    if word != status:
        extra["status"] = word
    value, decided = _number(entry.get("metric")), _time(entry.get("timestamp"))
    for key, read in (("metric", value is not None), ("timestamp", bool(decided))):
        if not read and entry.get(key) is not None and status != "crash":
            extra[key + measured.AS_WRITTEN] = _words(entry[key])
    return Row(
        line=number,
        label=label,
        commit=commit,
        dirty=dirty,
        value=value,
        status=status,
        description=_words(entry.get("description")),
        decided=decided,
        extra={key: _plain(value) for key, value in extra.items()},
    )


def _any_form(lines: Sequence[tuple[int, Any]], name: str, goal: str | None) -> Table:
    """Read lines of JSON with other keys as a table whose columns are the keys."""
    flat = [_flat(e) if isinstance(e, dict) else {"description": e} for _, e in lines]
    columns = list(dict.fromkeys(key for entry in flat for key in entry))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    table = results.read(out.getvalue(), name, goal)
    numbers = [number for number, _ in lines]
    rows = [  # where it stands in the journal, not in the table made of it
        dataclasses.replace(r, line=numbers[r.line - 2]) if 2 <= r.line < len(numbers) + 2 else r
        for r in table.rows
    ]
    return dataclasses.replace(table, rows=rows)


def _flat(entry: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = "" if value is None else _line(_plain(value))
    return found


def _line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """Return what a column can hold: nested values and enormous numbers as their JSON."""
    whole = type(value) is int and abs(value) >= 2**63
    return _words(value) if whole or isinstance(value, dict | list) else value


def _number(value: Any) -> float | None:
    try:
        number = float(value)  # some write it as text
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def _time(value: Any) -> str:
    """Return a time as ISO 8601: milliseconds or seconds since 1970, or as text."""
    if isinstance(value, str):
        return cells.moment(value)[0]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        seconds = value / 1000 if value > _MILLISECONDS else value
        return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds > 0 else ""
    return ""


def _words(value: Any) -> str:
    """Return a value as text, in its JSON when it is none, "" when it is null."""
    if value is None or isinstance(value, str):
        return _text(value)
    return json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _at(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:5])) + (", …" if len(lines) > 5 else "")
    return f"line {shown} is" if len(lines) == 1 else f"each of the lines {shown} is"
