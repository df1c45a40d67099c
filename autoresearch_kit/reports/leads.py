"""What to try next, read off a campaign by rules that each lead states.

Nothing is invented: a lead is there when its rule finds its case in the records.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autoresearch_kit import audits, git, records, stats, values
from autoresearch_kit.decide import SCREEN
from autoresearch_kit.proposers import knobs
from autoresearch_kit.records import Record
from autoresearch_kit.reports.digests import Digest
from autoresearch_kit.reports.markdown import amount, code, escape
from autoresearch_kit.source import Constant

MOST = 5
"""Near misses, causes and constants that are named."""

HALFWAY = 0.5
"""Share of its bar from which a near miss that was run once is worth another seed."""

TIRED = 15
"""Tries without a keep after which the search is said to have run dry."""

ENOUGH = 5
"""Tries of a group before its rate of keeps is compared with another's."""


@dataclasses.dataclass(frozen=True)
class Turned:
    """A constant that experiments changed.

    Attributes
    ----------
    name
        The constant's.
    tried
        Its values, each once, in order of size where they have one.
    times, kept
        How many experiments changed it, and how many of those were kept.
    first, best
        Its value in the starting point and in the best state.
    """

    name: str
    tried: Sequence[Any]
    times: int
    kept: int
    first: Any
    best: Any

    @property
    def edge(self) -> str:
        """``smallest`` or ``largest`` when the best state has moved to an end of what was tried."""
        numbers = all(type(value) in (int, float) for value in self.tried)
        if not numbers or len(self.tried) < 3 or self.best == self.first:
            return ""
        return {self.tried[0]: "smallest", self.tried[-1]: "largest"}.get(self.best, "")


def turned(digest: Digest) -> Sequence[Turned]:
    """Return the constants that experiments changed, the most often changed ones first."""
    if digest.start is None or digest.best is None:
        return []
    known: dict[int | None, Record] = dict(digest.by_number.items())
    found = []
    changes: dict[str, list[Record]] = {}
    for record in digest.tries:
        if record.parent not in known or record.status == "refused":
            continue
        old = known[record.parent].constants
        for name in record.constants:
            if name in old and old[name] != record.constants[name]:
                changes.setdefault(name, []).append(record)
    for name, group in changes.items():
        all_ = [r.constants[name] for r in (digest.start, *group) if name in r.constants]
        unique = [value for i, value in enumerate(all_) if value not in all_[:i]]
        if all(type(value) in (int, float) for value in unique):
            unique.sort()
        kept = sum(record.n in digest.line for record in group)
        ends = (r.constants.get(name) for r in (digest.start, digest.best))
        found.append(Turned(name, unique, len(group), kept, *ends))
    return sorted(found, key=lambda one: -one.times)


def near_misses(digest: Digest) -> Sequence[Record]:
    """Return discards that measured better than what they had to beat, the surest ones first.

    Where no record has a sigma: those that came closest to the best state of their time.
    """
    found = [r for r in digest.among("discard") if r.delta is not None and not _was_kept(r)]
    sure = {r.n: r.evidence["z"] for r in found if r.evidence.get("z") is not None}
    close = {n: z for n, z in sure.items() if z > 0} or {
        r.n: digest.gain(r.delta) for r in found if r.delta is not None and not sure
    }
    known = digest.by_number
    return [known[n] for n in sorted(close, key=lambda n: (-close[n], n))[:MOST]]


def _was_kept(record: Record) -> bool:
    return record.reason.startswith("was keep")


def causes(digest: Digest) -> Sequence[tuple[str, Sequence[Record]]]:
    """Return why experiments crashed, the most frequent cause first.

    Causes that differ in their figures alone are one. A history without reasons has descriptions.
    """
    groups: dict[str, list[Record]] = {}
    for record in digest.among("crash"):
        reason = record.reason or record.hypothesis
        groups.setdefault(re.sub(r"\d[\d.,e+-]*", "#", reason)[:120], []).append(record)
    ordered = sorted(groups.values(), key=lambda group: -len(group))
    return [(group[0].reason or group[0].hypothesis, group) for group in ordered]


def of(digest: Digest) -> Sequence[str]:
    """Return the leads as lines of Markdown, the most urgent one first."""
    rules = (_waiting, _audit, _ablation, _misses, _edges, _families, _crashes, _tired)
    return list(itertools.chain.from_iterable(rule(digest) for rule in rules))


def _waiting(digest: Digest) -> Iterator[str]:
    for record in digest.among("quarantine"):
        yield (
            f"**{record.n:04d} waits for a person**, in quarantine: {escape(record.reason)}. Look "
            f'at its diff, then `ark.override(campaign.experiment({record.n}), "keep" or '
            '"discard", reason=...)`.'
        )


def _audit(digest: Digest) -> Iterator[str]:
    if not _is_ours(digest) or not digest.keeps:
        return
    line = list(digest.line)
    done = max((line.index(r.about) for r in digest.about("audit") if r.about in line), default=0)
    since = len(line) - 1 - done
    if digest.audit is not None and digest.audit.evidence.get("alarm") and not since:
        yield (
            f"**The audit {digest.audit.n:04d} raised an alarm**: `ark.ablate(campaign)` measures "
            "which of the kept changes hold."
        )
    elif since >= audits.EVERY:
        yield (
            f"**An audit is due**: {amount(since, 'change was', 'changes were')} kept since the "
            f"last one, and from {audits.EVERY} on it is time. `ark.audit(campaign)`."
        )
    elif digest.audit is None:
        yield (
            "No audit has measured the whole gain on fresh seeds and sealed data yet: "
            "`ark.audit(campaign)`."
        )


def _ablation(digest: Digest) -> Iterator[str]:
    for record in _latest(digest.about("ablation")).values():
        finding = str(record.evidence.get("finding", ""))
        if finding.startswith(("doubtful", "harmful")):
            yield (
                f"Leaving out **{record.about:04d}** was measured, and it is {escape(finding)}. "
                "Propose the best state without it."
            )


def _misses(digest: Digest) -> Iterator[str]:
    once = [
        record
        for record in near_misses(digest)
        if len(record.replicates) == 1
        and (record.evidence.get("z") or 0.0) >= HALFWAY * (record.evidence.get("bar") or SCREEN)
    ]
    if once and _is_ours(digest):
        calls = ", ".join(f"`ark.repeat(campaign, {record.n}, times=2)`" for record in once)
        yield (
            "Near misses that were run only once and came at least half-way to their bar: more "
            f"seeds tell whether they are worth proposing again. {calls}."
        )


def _edges(digest: Digest) -> Iterator[str]:
    hints = _hints(digest)
    moved = [one for one in turned(digest) if one.kept and one.best != one.first]
    ends = [one for one in moved if _at_end(one, hints.get(one.name))]
    if ends:
        told = "; ".join(
            f"{code(one.name)} {escape(one.best)} (its comment: {escape(hints[one.name].hint)})"
            for one in ends[:MOST]
        )
        yield f"The best state lies at an end of where these are searched: {told}. Widen it there."
    if edges := [one for one in moved if one.edge and one not in ends]:
        told = "; ".join(
            f"{code(one.name)} {escape(one.best)}, the {one.edge} of {len(one.tried)} values "
            f"({escape(one.tried[0])} to {escape(one.tried[-1])})"
            for one in edges[:MOST]
        )
        yield f"The best state lies at the edge of what was tried: {told}. Try beyond it."


def _hints(digest: Digest) -> Mapping[str, Constant]:
    """Return the constants of the best state whose comments say where to search."""
    if digest.repo is None or digest.best is None or digest.task is None:
        return {}
    texts = {
        path: git.read_file(digest.repo, digest.best.commit, path) for path in digest.task.edit
    }
    found = values.of_files({path: text for path, text in texts.items() if text is not None})
    return {name: constant for name, constant in found.items() if constant.hint}


def _at_end(one: Turned, constant: Constant | None) -> bool:
    """Tell whether a number lies in the outer twentieth of the range in its comment."""
    found = knobs.knob(one.name, constant) if constant else None
    if found is None or type(one.best) not in (int, float):
        return False
    if found.choices:
        numbers = [choice for choice in found.choices if type(choice) in (int, float)]
        return len(numbers) > 2 and one.best in (min(numbers), max(numbers))
    at, low, high = found.read(one.best), found.low, found.high
    if found.log:
        at, low, high = math.log(at), math.log(low), math.log(high)
    return not 0.05 < (at - low) / (high - low) < 0.95


def _families(digest: Digest) -> Iterator[str]:
    for by, words in (("kind", "kind of change"), ("author", "author")):
        rates = stats.hit_rate(digest.table, by)
        rates = rates[(rates["n"] >= ENOUGH) & (rates[by] != "unknown")]
        rates = rates.sort_values("rate", ascending=False)
        if len(rates) < 2 or not rates["keeps"].any():
            continue
        first, second = rates.iloc[0], rates.iloc[1]
        apart = first["low"] > second["high"]
        told = " and ".join(
            f"{escape(records.who(str(row[by])), 60)} {row['keeps']:.0f} of {row['n']:.0f} "
            f"({row['low']:.0%} to {row['high']:.0%})"
            for row in (first, second)
        )
        yield (
            f"By {words}, kept so far (95 % intervals): {told}. "
            + ("More of the first." if apart else "The intervals overlap: no proof yet.")
        )


def _crashes(digest: Digest) -> Iterator[str]:
    for reason, group in causes(digest):
        if len(group) >= 3:
            yield (
                f"{len(group)} crashes have one cause ({escape(reason, 120)}): a line in "
                "`program.md` may keep proposers from it."
            )


def _tired(digest: Digest) -> Iterator[str]:
    last = digest.line[-1] if digest.line else 0
    since = [r for r in digest.tries if r.n > last and r.status != "refused"]
    if len(since) >= TIRED:
        yield (
            f"Nothing was kept in the last {len(since)} tries: another direction in `program.md`, "
            "larger changes, or another proposer."
        )


def _is_ours(digest: Digest) -> bool:
    """Tell whether the campaign can be gone on with by the kit."""
    return "tags" in set(digest.table["source"])


def _latest(found: Sequence[Record]) -> Mapping[int | None, Record]:
    return {record.about: record for record in found}
