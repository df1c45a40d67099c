"""Results files of autoresearch-like repositories: TSV, CSV and their like, clean or not."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_kit.foreign import cells, columns, direction, lines
from autoresearch_kit.foreign.cells import Number
from autoresearch_kit.foreign.direction import key
from autoresearch_kit.foreign.tables import Row, Table

Seen = dict[str, list[int]]

_SENTINELS = frozenset((0.0, -1.0, 100.0, 999.0, -999.0, 1e3, 9999.0, -9999.0, 1e4, 1e5, 1e6, 1e9))
_TIMES = {"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "min": 6e10}
_SIZES = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
_UNITS = {
    "pct": "%",
    "percent": "%",
    "sec": "s",
    "seconds": "s",
    "ms": "ms",
    "us": "us",
    "ns": "ns",
}
_UNITS |= {"s": "s", "bytes": "bytes"} | {u.lower(): u for u in ("TFLOPS", "KB", "MB", "GB")}
_MOST_GB = 256  # above that, memory without a unit is in MB
_NAMED = 6  # lines, labels or values that a note tells one by one


def read(text: str, name: str, goal: str | None = None) -> Table:
    """Return every experiment of a results file, in order, and notes on what was guessed.

    Every line that isn't blank, a comment or a header is a row; one that can't be understood has
    its text as the description. A crash has no value, whatever the file writes there, and neither
    has a row with the likes of 0.000000 where all others are far away; what was written instead
    is in the extra column ``<metric>_as_written``.

    Parameters
    ----------
    text
        The file's text: cells separated by tabs, commas, semicolons, bars or aligned by blanks.
    name
        Its file name.
    goal
        ``"minimize"`` or ``"maximize"`` for its metric; inferred, with the reason in the notes,
        when None.

    Raises
    ------
    ValueError
        For another goal; never for a text.
    """
    if goal not in {None, "minimize", "maximize"}:
        raise ValueError(f"goal is {goal!r}; expected 'minimize' or 'maximize'")
    sheet = lines.read(text, name)
    seen, notes = sheet.seen, list(sheet.notes)
    found = {n: [row.get(n, "") for _, row in sheet.rows] for n in sheet.names}
    at = {r: columns.choose(found, r) for r in ("status", "commit", "label", "description", "time")}
    memory = next((n for n in found if columns.role(n) == "memory"), "")
    commit = at["commit"] or at["label"]
    taken = {memory, commit, *at.values()} - {at["label"]} | {commit}
    metric, why = columns.metric(found, taken | {at["label"]})
    taken.add(metric)
    if why:
        notes.append(f"the metric is {metric}, {why}")
    elif not metric and sheet.rows:
        notes.append("there is no metric: no column holds numbers that could be one")
    numbers = [i for i, _ in sheet.rows]
    none = [""] * len(numbers)

    statuses = _statuses(found.get(at["status"], none), at["status"], numbers, notes, seen)
    written = found.get(metric, none)
    values, unit = _values(written, metric, statuses, numbers, seen, notes)
    goal, reasons = direction.infer(metric, values, statuses, goal, sheet.comments)
    notes += reasons if metric else ()
    hashes = _commits(found.get(commit, none), bool(at["commit"]), numbers, notes)
    moments = list(found.get(at["time"], none))
    clock = next((n for n in found if key(n) == "time" and key(at["time"]) == "date"), "")
    if clock:
        moments = [f"{d} {t}".strip() for d, t in zip(moments, found[clock], strict=True)]
        taken.add(clock)
    dates = _moments(moments, numbers, seen)
    extra = {n: _extra(n, column, statuses) for n, column in found.items() if n not in taken}
    if any(t and not d for t, d in zip(moments, dates, strict=True)):
        extra[at["time"]] = moments
    if any(_differs(w, v, s) for w, v, s in zip(written, values, statuses, strict=True)):
        extra[f"{metric}_as_written"] = written
    megabytes = _memory(found.get(memory, none), memory, statuses, numbers, seen)
    texts = found.get(at["description"], none)
    rows = tuple(
        Row(
            line=numbers[i],
            label=found[commit][i] if commit else "",
            commit=hashes[i][0],
            dirty=hashes[i][1],
            value=values[i],
            status=statuses[i],
            description=texts[i],
            memory_mb=megabytes[i],
            decided=dates[i],
            extra={n: column[i] for n, column in extra.items()},
        )
        for i in range(len(numbers))
    )
    notes += [f"{_lines(where)}: {what}" for what, where in seen.items()]
    return Table(rows, metric, goal, unit, tuple(notes))


def _lines(numbers: Sequence[int]) -> str:
    """Return where something is, in words."""
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    first = [str(n) for n in numbers[: _NAMED - 1]]
    more = len(numbers) - len(first)
    if more > 1:
        return f"lines {', '.join(first)} and {more} more"
    return f"lines {', '.join([*first, *map(str, numbers[len(first) :])][:-1])} and {numbers[-1]}"


def _listed(words: Sequence[str]) -> str:
    """Return different words with how often they occur, the most frequent first."""
    counts = Counter(words).most_common()
    told = [f"{w or 'nothing'} ({n})" if n > 1 else w or "nothing" for w, n in counts[:_NAMED]]
    return ", ".join(told) + (f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else "")


def _statuses(
    written: Sequence[str], name: str, numbers: Sequence[int], notes: list[str], seen: Seen
) -> list[str]:
    """Return the verdicts of all rows, and note which words were taken for one."""
    if not name:
        if written:
            notes.append("no column has verdicts: nothing says what was kept")
        return list(written)
    yes_no = columns.takes_yes(name)
    found = [cells.status(word, yes_no=yes_no) for word in written]
    read = [
        f"{word.strip()} → {verdict}"
        for word, verdict in zip(written, found, strict=True)
        if verdict in cells.VERDICTS and verdict != word.strip(" *`_'\"").lower()
    ]
    if read:
        notes.append(f"words in {name} read as verdicts: {_listed(read)}")
    for i, verdict in zip(numbers, found, strict=True):
        if not verdict:
            seen.setdefault("no verdict", []).append(i)
    own = [verdict for verdict in found if verdict and verdict not in cells.VERDICTS]
    if own:
        notes.append(f"words in {name} that are no verdict stay as they are: {_listed(own)}")
    return found


def _values(
    written: Sequence[str],
    metric: str,
    statuses: list[str],
    numbers: Sequence[int],
    seen: Seen,
    notes: list[str],
) -> tuple[list[float | None], str]:
    """Return the metric of all rows and its unit; set the status where the cell tells a crash."""
    comma = cells.decimal_commas(written)
    found = [cells.number(text, comma=comma) for text in written]
    if any(n and n.comma for n in found):
        notes.append(f"commas in {metric} are decimal points")
    values, unit = _in_one_unit(found, metric, notes)
    crashes: list[str] = []
    words: list[str] = []
    for i, (text, number) in enumerate(zip(written, found, strict=True)):
        told = not cells.is_blank(text)
        crashed = told and number is None and cells.status(text) == "crash"
        if crashed and statuses[i] not in {"crash", "keep"}:
            what = f"{metric} tells of a crash, so the status is crash"
            seen.setdefault(what + (f", not {statuses[i]}" if statuses[i] else ""), []).append(
                numbers[i]
            )
            statuses[i] = "crash"
        if statuses[i] == "crash":
            values[i] = None
            crashes += [text.strip()] if told else []
        elif number is None or number.value is None:
            if told:
                seen.setdefault(f"{metric} is no number: {text.strip()[:40]}", []).append(
                    numbers[i]
                )
            elif statuses[i] in {"keep", "discard"} and metric:
                seen.setdefault(f"{metric} is missing", []).append(numbers[i])
        elif number.rest:
            what = f"{metric} has more than a number, such as {text.strip()[:40]}"
            same = next((k for k in seen if k.startswith(what.partition(", such")[0])), what)
            seen.setdefault(same, []).append(numbers[i])
    if crashes:
        notes.append(f"a crash has no {metric}; the file has {_listed(crashes)} there")
    if words:
        notes.append(f"{metric} is no number in {len(words)} rows: {_listed(words)}")
    for value in _far_off(values, statuses):
        where = [i for i, v in enumerate(values) if v == value and statuses[i] != "keep"]
        for i in where:
            values[i] = None
        what = f"{metric} is {value:g}, far from all others: taken for none"
        seen.setdefault(what, []).extend(numbers[i] for i in where)
    return values, unit


def _in_one_unit(
    found: Sequence[Number | None], metric: str, notes: list[str]
) -> tuple[list[float | None], str]:
    """Return values in the unit that most cells have, or else that the name ends with."""
    values = [n.value if n else None for n in found]
    units = Counter(n.unit for n in found if n and n.unit)
    if not units:
        _, word, _ = direction.of_name(metric)
        return values, "" if " " in word else _UNITS.get(key(metric).rpartition("_")[2], "")
    unit = units.most_common(1)[0][0]
    for factors in (_TIMES, _SIZES):
        if len(units) > 1 and all(u.lower() in factors for u in units):
            notes.append(f"{metric} is in {', '.join(units)}: converted to {unit}")
            values = [
                n.value * factors[(n.unit or unit).lower()] / factors[unit.lower()]
                if n and n.value is not None
                else None
                for n in found
            ]
            return values, unit
    plain = [n.value for n in found if n and n.value is not None and not n.unit]
    marked = [n.value for n in found if n and n.value is not None and n.unit == "%"]
    if list(units) == ["%"] and plain and max(map(abs, plain)) <= 1 < max(map(abs, marked)):
        notes.append(f"{metric} is written in per cent in {len(marked)} rows: divided by 100")
        return [
            n.value / 100 if n and n.unit and n.value is not None else v
            for n, v in zip(found, values, strict=True)
        ], ""
    if len(units) > 1:
        notes.append(f"{metric} has different units, and none was converted: {', '.join(units)}")
    return values, unit


def _far_off(values: Sequence[float | None], statuses: Sequence[str]) -> list[float]:
    """Return values that stand for no value: round ones, never kept, far from all others."""
    kept = {v for v, s in zip(values, statuses, strict=True) if s == "keep"}
    suspects = {v for v in values if v in _SENTINELS} - kept
    others = [v for v in values if v is not None and v not in suspects]
    if len(others) < 2:
        return []
    size = statistics.median(map(abs, others))
    spread = max(others) - min(others)
    return sorted(
        v
        for v in suspects
        if v is not None
        and min(abs(v - o) for o in others) > (0.5 * size if not v else max(2 * size, 2 * spread))
    )


def _differs(text: str, value: float | None, status: str) -> bool:
    """Return whether a cell of the metric says more than the value that was read from it."""
    if value is not None and cells.is_plain(text):
        return False
    number = cells.number(text)
    if value is not None or number is None:
        return bool(number.rest) if number else not cells.is_blank(text)
    return number.value != 0 if status == "crash" else True


def _commits(
    written: Sequence[str], expected: bool, numbers: Sequence[int], notes: list[str]
) -> list[tuple[str, bool]]:
    """Return the hash of each row and whether it is marked as dirty."""
    found = [cells.commit(text, digits=expected) for text in written]
    without = [text.strip() for text, (h, _) in zip(written, found, strict=True) if not h]
    if without and expected:
        rows = f"{len(without)} rows have" if len(without) > 1 else "1 row has"
        notes.append(f"{rows} no hash where one is expected: {_listed(without)}")
    elif without and not any(h for h, _ in found):
        notes.append("no column has hashes of commits")
    dirty = [i for i, (_, d) in zip(numbers, found, strict=True) if d]
    if dirty:
        notes.append(f"{_lines(dirty)}: a dirty tree, so the commit isn't all of it")
    places: Seen = {}
    for i, (h, _) in zip(numbers, found, strict=True):
        if h:
            places.setdefault(h, []).append(i)
    twice = [(h, where) for h, where in places.items() if len(where) > 1]
    if twice:
        told = "; ".join(f"{h[:10]} in {_lines(where)}" for h, where in twice[:3])
        more = f"; {len(twice) - 3} more" if len(twice) > 3 else ""
        notes.append(f"the same commit stands more than once: {told}{more}")
    return found


def _moments(written: Sequence[str], numbers: Sequence[int], seen: Seen) -> list[str]:
    """Return when each row was decided, as ISO 8601 in UTC, "" when that isn't told."""
    doubts = {
        "zone": "the date has no time zone: taken for UTC",
        "year": "the date has no year or no day: left as it is written",
        "order": "day and month of the date can't be told apart: left as it is written",
        "none": "no date: left as it is written",
    }
    found = []
    for i, text in zip(numbers, written, strict=True):
        date, doubt = ("", "") if cells.is_blank(text) else cells.moment(text)
        if doubt:
            seen.setdefault(doubts[doubt], []).append(i)
        found.append(date)
    return found


def _memory(
    written: Sequence[str],
    name: str,
    statuses: Sequence[str],
    numbers: Sequence[int],
    seen: Seen,
) -> list[float | None]:
    """Return peak memory in mebibytes; None where it is 0 or missing."""
    named = next((u for u in _SIZES if u in key(name).replace("gib", "gb").split("_")), "")
    found: list[float | None] = []
    for i, text, status in zip(numbers, written, statuses, strict=True):
        number = cells.number(text)
        if number is None or number.value is None or number.value <= 0:
            found.append(None)
            if status != "crash" and not cells.is_blank(text):
                seen.setdefault(f"{name} is no amount: taken for unknown", []).append(i)
            continue
        unit = number.unit.lower().replace("i", "") or named
        if unit not in _SIZES:
            unit = "gb" if number.value < _MOST_GB else "mb"
            seen.setdefault(f"{name} has no unit: taken for {unit.upper()}", []).append(i)
        found.append(number.value * _SIZES[unit] / _SIZES["mb"])
    return found


def _extra(name: str, written: Sequence[str], statuses: Sequence[str]) -> Sequence[Any]:
    """Return a further column; as numbers when all of it is, but for blanks and crashes (None)."""
    if columns.holds_text(name):
        return written
    told = [
        cell
        for cell, status in zip(written, statuses, strict=True)
        if not cells.is_blank(cell) and not (status == "crash" and cells.status(cell) == "crash")
    ]
    numbers = {cell: cells.number(cell) for cell in set(told)}
    units = {n.unit for n in numbers.values() if n}
    if not numbers or len(units) > 1 or any(n is None or n.rest for n in numbers.values()):
        return written
    plain: Mapping[str, float | None] = {cell: n.value for cell, n in numbers.items() if n}
    return [plain.get(cell) for cell in written]
