"""What a campaign has learned, as text for a proposer.

Each experiment is a line, the discarded, crashed and refused ones too; a few show their patch.
"""

from __future__ import annotations

import heapq
import itertools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from autoresearch_kit import duplicates, git, grain, patch, records
from autoresearch_kit import proposal as proposals
from autoresearch_kit.proposers.quotes import PATCH_LINES, fenced, patch_of, plain, quoted
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.proposal import Proposal

LEDGER = 30
"""Experiments that the ledger shows at most."""

BEST = 8
"""Older experiments with the best scores or the largest gains that are shown beside it."""

REFUSALS = 10
"""Refused proposals that are shown with the whole reason."""

KINDS = 24
"""Constants and definitions that the list of kinds has at most."""

_LATEST = 2_000  # records that the kinds are counted from, so that time is bounded
_NEAR = 200  # discarded experiments among which the nearest miss is: older ones had another parent
_LOG_LINES = 15
_MARKS = 8  # points of a loss curve that are shown
_DEFINED = re.compile(r"(?:async\s+)?(def|class)\s+(\w+)")


@dataclass(frozen=True)
class Past:
    """The decided experiments of a campaign, with the verdicts as they stand now."""

    campaign: Campaign
    records: Sequence[Record]
    grain: grain.Grain
    tried: Sequence[Record]  # without the baseline, oldest first
    number: Mapping[int, Record]
    patches: dict[int, str] = field(default_factory=dict)

    @cached_property
    def best(self) -> Record | None:
        """The record of the best state."""
        return self.campaign.best_record

    @cached_property
    def telling(self) -> Mapping[str, Record]:
        """The two experiments whose patches say most: one ``kept``, and the nearest ``missed``."""
        found = {}
        if kept := [r for r in self.of("keep") if r.delta is not None][-5:]:
            found["kept"] = min(kept, key=self.loss)
        missed = [r for r in self.of("discard")[-_NEAR:] if r.delta is not None]
        if missed:
            found["missed"] = min(missed, key=lambda r: (self.loss(r), -r.n))
        return found

    def of(self, status: str) -> list[Record]:
        """Return the experiments with a verdict."""
        return [r for r in self.tried if r.status == status]

    def loss(self, record: Record) -> float:
        """Return how much worse an experiment was than the best state before it."""
        return -self.campaign.task.gain(record.delta or 0.0)


def of(campaign: Campaign) -> Past:
    """Return a campaign's past, with the patches of the experiments that are shown."""
    known = list(campaign.records())
    tried = [r for r in known if r.n > 0]
    past = Past(campaign, known, grain.of(known), tried, {r.n: r for r in known})
    wanted = {r.n: r for r in (*tried[-LEDGER:], *past.telling.values())}
    found = duplicates.diffs(campaign, list(wanted.values()))
    past.patches.update(zip(wanted, found, strict=True))
    return past


def standing(past: Past) -> str:
    """Say in a few sentences what came of the campaign so far."""
    if not past.tried:
        return "No experiment has been made yet: the best state is the unchanged baseline."
    counts = Counter(r.status for r in past.tried)
    told = ", ".join(f"{counts[s]} {_VERDICTS[s]}" for s in records.STATUSES if counts[s])
    first, best = past.number.get(0), past.best
    words = [f"{len(past.tried)} experiments so far: {told}."]
    if first and best and best.value is not None and best.n:
        score = past.grain.score
        words.append(
            f"The best state is {best.n:04d} with {best.metric} {score(best.value)}; the baseline "
            f"had {score(first.value)}."
        )
    since = next(
        (i for i, r in enumerate(reversed(past.tried)) if r.status == "keep"),
        len(past.tried),
    )
    if since:
        words.append(f"Nothing was kept in the last {since}.")
    recent = past.tried[-LEDGER:]
    tuned = sum(_only_constants(past, r) for r in recent)
    words.append(
        f"Of the last {len(recent)} experiments {tuned} changed constants alone and "
        f"{len(recent) - tuned} changed code."
    )
    if since >= 8:
        words.append(
            "More of the same is unlikely to help: question an assumption that all of these "
            "experiments share, and try another kind of change."
        )
    elif len(recent) >= 8 and tuned >= 0.8 * len(recent):
        words.append("Constants get most of the attention: a change of the method may be due.")
    return " ".join(words)


_VERDICTS = {
    "keep": "kept",
    "discard": "discarded",
    "crash": "crashed",
    "refused": "refused by a person",
    "quarantine": "in quarantine",
}


HEADING = "number verdict score change | on | what changed | hypothesis | outcome"


def ledger(past: Past) -> list[str]:
    """Return the newest experiments, a line each, oldest first."""
    return [_line(past, record) for record in past.tried[-LEDGER:]]


def best(past: Past, shown: int) -> list[str]:
    """Return what is best of all that is older than the ledger's last `shown` lines.

    Half of them are those with the best scores, half those that were kept for the largest gains.
    """
    older = past.tried[: max(0, len(past.tried) - shown)]
    scores = [
        (-past.campaign.task.gain(record.value), -record.n)
        for record in older
        if record.value is not None and record.status in ("keep", "discard")
    ]
    gains = [
        (past.loss(record), -record.n)
        for record in older
        if record.status == "keep" and record.delta is not None
    ]
    half = BEST // 2
    top = heapq.nsmallest(half, scores) + heapq.nsmallest(half, gains)
    return [_line(past, past.number[n]) for n in sorted({-n for _, n in top})]


def _line(past: Past, record: Record) -> str:
    parts = [
        f"{record.n:04d} {record.status} {past.grain.score(record.value)} "
        f"{past.grain.change(record.delta)}".replace(" - -", " -"),
        f"on {record.parent or 0:04d}",
        _what(past, record),
        _why(past, record),
    ]
    expected = record.proposal.get("expected")
    told = []
    if isinstance(expected, int | float):
        told.append(f"expected {past.grain.change(expected)}")
    told.append(quoted(grain.reason(record), 200))
    return " | ".join([*parts, "; ".join(filter(None, told))]).rstrip(" |")


def _why(past: Past, record: Record) -> str:
    """Return the hypothesis; of an optimiser's, which only repeats what changed, who it is."""
    items, said = _differences(past, record), record.hypothesis.replace("->", "→")
    repeats = bool(items) and all(item in said for item in items)
    return quoted(record.author if repeats else record.hypothesis, 180)


def _what(past: Past, record: Record) -> str:
    """Say what an experiment changed: constants with values, else where and how many lines."""
    items = _differences(past, record)
    words = [quoted(item, 60) for item in items[:4]]
    if len(items) > 4:
        words.append(f"{len(items) - 4} more constants")
    if not _only_constants(past, record):
        places = _places(past.patches.get(record.n, ""))[:3]
        words += [*places, f"+{record.lines_added} -{record.lines_removed} lines"]
    return ", ".join(words)


def _differences(past: Past, record: Record) -> list[str]:
    parent = past.number.get(record.parent if record.parent is not None else -1)
    return patch.differences(parent.constants, record.constants) if parent else []


def _changed(past: Past, record: Record) -> dict[str, object]:
    """Return the constants of the parent that have another value, and the new value."""
    parent = past.number.get(record.parent if record.parent is not None else -1)
    old = parent.constants if parent else {}
    return {k: v for k, v in record.constants.items() if k in old and old[k] != v}


def _only_constants(past: Past, record: Record) -> bool:
    changed = _changed(past, record)
    return bool(changed) and record.lines_added <= len(changed) >= record.lines_removed


def _places(diff: str) -> list[str]:
    """Return the functions and classes that a patch changes or adds, as far as its lines tell."""
    found, place = [], ""
    for line in diff.split("\n"):
        header = line.startswith("@@ ")
        match = _DEFINED.match(line.partition(" @@ ")[2] if header else line[1:].lstrip())
        if header or (match and not line.startswith("+")):
            place = f"{match[1]} {match[2][:40]}" if match else ""
        elif match:
            place = f"new {match[2][:40]}"
        if line[:1] in ("+", "-") and line[1:].strip() and place:
            found.append(place)
    return list(dict.fromkeys(found))


def kinds(past: Past) -> list[str]:
    """Return which constants and which definitions were changed, how often, and what came of it."""
    latest = past.tried[-_LATEST:]
    tries: dict[str, list[Record]] = {}
    values: dict[str, list[object]] = {}
    for record in latest:
        for name, value in _changed(past, record).items():
            tries.setdefault(name, []).append(record)
            values.setdefault(name, []).append(value)
    code = [r for r in latest if not _only_constants(past, r)]
    lines = [f"code changed: {_outcome(code)}"] if code else []
    for record in past.tried[-LEDGER:]:
        for place in _places(past.patches.get(record.n, "")):
            if not place.startswith("new ") and not _only_constants(past, record):
                tries.setdefault(place, []).append(record)
    for name in sorted(tries, key=lambda name: -len(tries[name]))[:KINDS]:
        told = f"; {_span(values[name])}" if name in values else ""
        lines.append(f"{quoted(name, 60)}: {_outcome(tries[name])}{told}")
    if len(tries) > KINDS:
        lines.append(f"and {len(tries) - KINDS} more")
    return lines


def _outcome(tried: Sequence[Record]) -> str:
    counts = Counter(r.status for r in tried)
    told = [f"{counts[s]} {s}" for s in records.STATUSES if counts[s]]
    return f"{len(tried)} tried ({', '.join(told)})"


def _span(values: Sequence[object]) -> str:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        low, high = f"{min(numbers):g}", f"{max(numbers):g}"
        return low if low == high else f"{low} to {high}"
    return quoted(", ".join(dict.fromkeys(str(v) for v in values)), 80)


def refusals(past: Past) -> list[str]:
    """Return the newest refused proposals with the reason that a person gave, newest first."""
    return [
        f"{r.n:04d} {quoted(r.hypothesis, 150)} | refused because: {quoted(r.reason, 400)}"
        for r in past.of("refused")[: -REFUSALS - 1 : -1]
    ]


def waiting(campaign: Campaign, but: Proposal | None) -> list[str]:
    """Return what is proposed and not decided, or trains at this moment, a line each."""
    lines = [
        f"{p.status}, on {p.parent:04d}: {quoted(p.hypothesis, 200)}"
        for p in proposals.unfinished(campaign)
        if not p.successor and (but is None or p.id != but.id)
    ]
    return lines[-LEDGER:]


def change(past: Past, kind: str, most: int = PATCH_LINES) -> str:
    """Return the patch of one of the `telling` experiments with what is known of it."""
    record = past.telling.get(kind)
    diff = past.patches.get(record.n, "") if record else ""
    if record is None or not diff:
        return ""
    return f"{fenced(_line(past, record), 'text')}\n\n{patch_of(diff, most)}"


def crash(past: Past) -> str:
    """Return the end of the last experiment's log when it crashed."""
    last = past.tried[-1] if past.tried else None
    if last is None or last.status != "crash":
        return ""
    ref = records.files_ref(past.campaign.tag, last.n)
    log = git.read_bytes(past.campaign.path, ref, "log.txt") or b""
    lines = re.split(r"[\r\n]+", log.decode(errors="replace").strip())[-_LOG_LINES:]
    # A bar before each, so that none poses as a line of the prompt's own.
    return fenced("\n".join(f"| {plain(line)}" for line in lines), "text") if any(lines) else ""


def figures(past: Past) -> str:
    """Return what runs took: the baseline's, the best one's and the last one's."""
    rows = [
        (name, record)
        for name, record in _landmarks(past)
        if record is not None and (record.run_seconds is not None or record.value is not None)
    ]
    columns = {name: _facts(past, record) for name, record in rows}
    names = list(dict.fromkeys(key for facts in columns.values() for key in facts))
    if not names:
        return ""
    table = [
        ["", *columns],
        *([key, *(columns[c].get(key, "-") for c in columns)] for key in names),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    cells = (map(str.ljust, row, widths) for row in table)
    lines = ["  ".join(row).rstrip() for row in cells]
    lines += [
        f"{name}, the scorer says: {plain(str(said))}"
        for name, record in rows
        if record and (said := record.evidence.get("note"))
    ]
    return fenced("\n".join(lines), "text")


def _landmarks(past: Past) -> list[tuple[str, Record | None]]:
    """Return baseline, best and last experiment, each experiment once."""
    last = next((r for r in reversed(past.tried) if r.status != "refused"), None)
    named = [("baseline", past.number.get(0)), ("best", past.best), ("last", last)]
    seen: dict[int, tuple[str, Record | None]] = {}
    for name, record in named:
        if record is not None and record.n in seen:
            seen[record.n] = f"{seen[record.n][0]}, {name}", record
        elif record is not None:
            seen[record.n] = f"{record.n:04d} {name}", record
    return list(seen.values())


def _facts(past: Past, record: Record) -> dict[str, str]:
    rate = None
    if record.tokens and record.training_seconds:
        rate = record.tokens / record.training_seconds
    facts = {
        record.metric or "score": past.grain.score(record.value),
        "tokens": _spelled(record.tokens),
        "tokens/s": _spelled(rate),
        "parameters": _spelled(record.parameters),
        "peak memory, MB": _spelled(record.peak_memory_mb),
        "set-up, s": _spelled(record.setup_seconds),
        "training, s": _spelled(record.training_seconds),
        "scoring, s": _spelled(record.scoring_seconds),
        "device": quoted(record.device, 40),
    }
    return {name: value for name, value in facts.items() if value}


def _spelled(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def curves(past: Past) -> str:
    """Return the training loss of the best and of the last experiment at the same moments."""
    shown = [(name, record.points) for name, record in _landmarks(past) if record and record.curve]
    lines = [
        f"{name}: {'  '.join(_at(points, (i + 1) / _MARKS) for i in range(_MARKS))}"
        for name, points in shown[-2:]
    ]
    marks = "  ".join(f"{(i + 1) / _MARKS:.0%}" for i in range(_MARKS))
    return fenced("\n".join([f"share of the budget: {marks}", *lines]), "text") if lines else ""


def _at(points: Sequence[tuple[float, float]], moment: float) -> str:
    """Return the loss at a moment between points; ``-`` beyond the end of a run that crashed."""
    points = sorted(points)
    i = bisect_left(points, (moment, float("-inf")))
    if i == len(points):
        near = points and moment - points[-1][0] <= 1 / _MARKS / 2
        return f"{points[-1][1]:.4g}" if near else "-"
    if i == 0:
        return f"{points[0][1]:.4g}"
    (a, low), (b, high) = itertools.islice(points, i - 1, i + 1)
    return f"{low + (high - low) * (moment - a) / (b - a):.4g}"
