"""Results files of autoresearch-like repositories: TSV, CSV and their like, clean or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoresearch_kit import goals
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import cells, columns, direction, lines, measured
from autoresearch_kit.foreign.direction import key
from autoresearch_kit.foreign.measured import SIZES, Seen, listed
from autoresearch_kit.foreign.tables import Row, Table

_MOST_GB = 256  # above that, memory without a unit is in MB
EXPECTED = (
    "Expected a row for each experiment, such as results.tsv with the columns commit, a metric, "
    "status and description"
)
_NAMED = 6  # lines that a note tells one by one


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
        For another goal.
    CampaignError
        For a text that tells of no experiment, such as prose or code, or with very many columns.
    """
    goals.check(goal)
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

    statuses = _statuses(found.get(at["status"], none), at["status"], notes)
    written = found.get(metric, none)
    memories, texts = found.get(memory, none), found.get(at["description"], none)
    commas, why = columns.decimal_commas(found, sheet.mark)
    if cells.either_comma(written):
        what = "taken for decimal points" if metric in commas else "taken to part thousands"
        notes.append(f"commas in {metric} are {what}, {why}")
    elif any(n.comma for t in written if "," in t and (n := cells.number(t))) or metric in commas:
        notes.append(f"commas in {metric} are decimal points")
    failed = [
        bool(memory and (n := cells.number(m)) and not n.value) or cells.status(text) == "crash"
        for m, text in zip(memories, texts, strict=True)
    ]
    values, unit = measured.values(
        written, metric, statuses, numbers, seen, notes, comma=metric in commas, failed=failed
    )
    _start(statuses, values, [found.get(commit, none), texts], at["status"], numbers, notes, seen)
    goal, reasons = direction.infer(metric, values, statuses, goal, sheet.comments)
    notes += reasons if metric else ()
    hashes = _commits(found.get(commit, none), bool(at["commit"]), numbers, notes)
    moments = list(found.get(at["time"], none))
    clock = next((n for n in found if key(n) == "time" and key(at["time"]) == "date"), "")
    if clock:
        moments = [f"{d} {t}".strip() for d, t in zip(moments, found[clock], strict=True)]
        taken.add(clock)
    dates = _moments(moments, numbers, seen)
    extra = {
        n: _extra(n, column, statuses, comma=n in commas)
        for n, column in found.items()
        if n not in taken
    }
    if any(t and not d for t, d in zip(moments, dates, strict=True)):
        extra[at["time"]] = moments
    if any(measured.differs(w, v, s) for w, v, s in zip(written, values, statuses, strict=True)):
        extra[f"{metric}{measured.AS_WRITTEN}"] = written
    megabytes = _memory(memories, memory, statuses, numbers, seen, comma=memory in commas)
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
    told = sum(
        r.value is not None or r.status == "crash" or bool(r.commit) or cells.is_verdict(word)
        for r, word in zip(rows, found.get(at["status"], none), strict=True)
    )
    if rows and (told * 3 < len(rows) if not sheet.named else not (told or at["status"])):
        raise CampaignError(
            f"{name} is no file of experiments: {told} of its {_count(len(rows), 'line')} "
            f"{'has' if told == 1 else 'have'} a metric, a commit or a verdict in a column. "
            f"{EXPECTED}"
        )
    notes += [f"{_lines(where)}: {what}" for what, where in seen.items()]
    return Table(rows, metric, goal, unit, tuple(notes))


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _lines(numbers: Sequence[int]) -> str:
    """Return where something is, in words."""
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    first = [str(n) for n in numbers[: _NAMED - 1]]
    more = len(numbers) - len(first)
    if more > 1:
        return f"lines {', '.join(first)} and {more} more"
    return f"lines {', '.join([*first, *map(str, numbers[len(first) :])][:-1])} and {numbers[-1]}"


def _statuses(written: Sequence[str], name: str, notes: list[str]) -> list[str]:
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
        notes.append(f"words in {name} read as verdicts: {listed(read)}")
    return found


def _start(
    statuses: list[str],
    values: Sequence[float | None],
    words: Sequence[Sequence[str]],
    name: str,
    numbers: Sequence[int],
    notes: list[str],
    seen: Seen,
) -> None:
    """Make the first measured row a keep where the file calls it the start; note other words.

    `words` are the labels and the descriptions: they tell it where no status does.
    """
    if not name:
        return
    first = next((i for i, value in enumerate(values) if value is not None), None)
    if first is not None and "keep" not in statuses[:first]:
        said = [statuses[first]] if statuses[first] else [column[first] for column in words]
        start = next(filter(cells.is_start, said), "")
        if start and statuses[first] not in cells.VERDICTS:
            seen.setdefault(f"the start, as it says ({start[:40]}): its status is keep", []).append(
                numbers[first]
            )
            statuses[first] = "keep"
    for i, verdict in zip(numbers, statuses, strict=True):
        if not verdict:
            seen.setdefault("no verdict", []).append(i)
    own = [verdict for verdict in statuses if verdict and verdict not in cells.VERDICTS]
    if own:
        notes.append(f"words in {name} that are no verdict stay as they are: {listed(own)}")


def _commits(
    written: Sequence[str], expected: bool, numbers: Sequence[int], notes: list[str]
) -> list[tuple[str, bool]]:
    """Return the hash of each row and whether it is marked as dirty."""
    found = [cells.commit(text, digits=expected) for text in written]
    without = [text.strip() for text, (h, _) in zip(written, found, strict=True) if not h]
    if without and expected:
        rows = f"{len(without)} rows have" if len(without) > 1 else "1 row has"
        notes.append(f"{rows} no hash where one is expected: {listed(without)}")
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
    *,
    comma: bool,
) -> list[float | None]:
    """Return peak memory in mebibytes; None where it is 0 or missing."""
    named = next((u for u in SIZES if u in key(name).replace("gib", "gb").split("_")), "")
    found: list[float | None] = []
    for i, text, status in zip(numbers, written, statuses, strict=True):
        number = cells.number(text, comma=comma)
        if number is None or number.value is None or number.value <= 0:
            found.append(None)
            if status != "crash" and not cells.is_blank(text):
                what = "0" if number is not None and number.value == 0 else "no amount"
                seen.setdefault(f"{name} is {what}: taken for unknown", []).append(i)
            continue
        unit = number.unit.lower().replace("i", "") or named
        if unit not in SIZES:
            unit = "gb" if number.value < _MOST_GB else "mb"
            seen.setdefault(f"{name} has no unit: taken for {unit.upper()}", []).append(i)
        found.append(number.value * SIZES[unit] / SIZES["mb"])
    return found


def _extra(
    name: str, written: Sequence[str], statuses: Sequence[str], *, comma: bool
) -> Sequence[Any]:
    """Return a further column; as numbers when all of it is, but for blanks and crashes (None)."""
    if columns.holds_text(name):
        return written
    told = [
        cell
        for cell, status in zip(written, statuses, strict=True)
        if not cells.is_blank(cell) and not (status == "crash" and cells.status(cell) == "crash")
    ]
    numbers = {cell: cells.number(cell, comma=comma) for cell in set(told)}
    units = {n.unit for n in numbers.values() if n}
    if not numbers or len(units) > 1 or any(n is None or n.rest for n in numbers.values()):
        return written
    plain: Mapping[str, float | None] = {cell: n.value for cell, n in numbers.items() if n}
    return [plain.get(cell) for cell in written]
