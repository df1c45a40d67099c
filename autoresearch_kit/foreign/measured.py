"""The metric of all rows: in one unit, without what stands for no value."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from autoresearch_kit.foreign import cells, direction
from autoresearch_kit.foreign.cells import Number
from autoresearch_kit.foreign.direction import key

Seen = dict[str, list[int]]

_SENTINELS = frozenset((0.0, -1.0, 100.0, 999.0, -999.0, 1e3, 9999.0, -9999.0, 1e4, 1e5, 1e6, 1e9))
_TIMES = {"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "min": 6e10}
SIZES = {"b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}
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
AS_WRITTEN = "_as_written"
"""What the name of a column ends with that has the metric's cells as they are in the file."""

_OFTEN = 3  # rows with 0 that may be failures without looking like them
_NAMED = 6  # labels or values that a note tells one by one


def listed(words: Sequence[str]) -> str:
    """Return different words with how often they occur, the most frequent first."""
    counts = Counter(words).most_common()
    told = [f"{w or 'nothing'} ({n})" if n > 1 else w or "nothing" for w, n in counts[:_NAMED]]
    return ", ".join(told) + (f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else "")


def values(
    written: Sequence[str],
    metric: str,
    statuses: list[str],
    numbers: Sequence[int],
    seen: Seen,
    notes: list[str],
    *,
    comma: bool,
    failed: Sequence[bool],
) -> tuple[list[float | None], str]:
    """Return the metric of all rows and its unit; set the status where the cell tells a crash.

    `comma` is whether a comma is the decimal point; `failed` whether a row looks like a crash by
    its memory or its words.
    """
    found = [cells.number(text, comma=comma) for text in written]
    values, unit = _in_one_unit(found, metric, notes)
    crashes: list[str] = []
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
        notes.append(f"a crash has no {metric}; the file has {listed(crashes)} there")
    for value in _far_off(values, statuses):
        where = [i for i, v in enumerate(values) if v == value and statuses[i] != "keep"]
        why = "far from all others"
        if value == 0:
            count, every = len(where), sum(v is not None for v in values)
            if all(failed[i] for i in where):
                why = "far from all others, in what looks like a crash"
            elif direction.of_name(metric)[0] == "minimize":
                why = "which would be the best and was not kept"
            elif count >= _OFTEN and 3 * count >= every:
                notes.append(
                    f"{metric} is 0 in {count} of {every} rows, too many for failures: it counts"
                )
                continue
            else:
                why = "rare and far from all others"
        for i in where:
            values[i] = None
        what = f"{metric} is {value:g}, {why}: taken for none"
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
    for factors in (_TIMES, SIZES):
        if len(units) > 1 and all(u.lower() in factors for u in units):
            notes.append(f"{metric} is in {', '.join(units)}: converted to {unit}")
            values = [
                n.value * factors[(n.unit or unit).lower()] / factors[unit.lower()]
                if n and n.value is not None
                else None
                for n in found
            ]
            return values, unit
    plain = [n.value for n in found if n and n.value and not n.unit]  # a bare 0 is in any unit
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


def differs(text: str, value: float | None, status: str) -> bool:
    """Return whether a cell of the metric says more than the value that was read from it."""
    if value is not None and cells.is_plain(text):
        return False
    number = cells.number(text)
    if value is not None or number is None:
        return bool(number.rest) if number else not cells.is_blank(text)
    return number.value != 0 if status == "crash" else True
