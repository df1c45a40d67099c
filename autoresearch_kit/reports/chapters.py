"""The chapters of a report: sentences and tables from the records, and short cells of code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from autoresearch_kit import goals, records
from autoresearch_kit.reports import exhibits, leads
from autoresearch_kit.reports.digests import Digest
from autoresearch_kit.reports.exhibits import commit, doubt, word
from autoresearch_kit.reports.markdown import Part, amount, code, duration, escape, folded, table


def of(digest: Digest, place: str) -> Iterator[Part]:
    """Yield a report from top to bottom.

    Parameters
    ----------
    place
        Where its cells read the history from: a path, seen from the report's own folder.
    """
    yield Part("markdown", _happened(digest))
    given = {"ref": digest.ref, "goal": digest.told}
    words = "".join(f", {name}={value!r}" for name, value in given.items() if value)
    # Whatever is decided later isn't in the text either.
    reading = f"df = ark.history({place!r}{words}).head({len(digest.table)})"
    yield Part("code", f"import autoresearch_kit as ark\n\n{reading}")
    yield Part(
        "code",
        "ark.plots.progress(df);",
        "The metric over the experiments; kept ones form a staircase",
    )
    for chapter in (
        _tried,
        exhibits.kept,
        exhibits.real,
        _misses,
        _crashes,
        _judged,
        _later,
        _guessed,
        _cost,
    ):
        yield from chapter(digest)
    yield from _next(digest)
    yield from _read(digest, place)


# What happened


def _happened(digest: Digest) -> str:
    words = [f"# {escape(digest.name)}: what happened", _course(digest)]
    if progress := _progress(digest):
        words.append(progress)
    if digest.keeps:
        words.append(doubt(digest))
    if audit := digest.audit:
        words.append(f"The audit {audit.n:04d} found: {escape(audit.reason)}.")
    if waiting := digest.among("quarantine"):
        words.append(
            f"{amount(len(waiting), 'experiment waits', 'experiments wait')} for a person."
        )
    return "\n\n".join(words)


def _course(digest: Digest) -> str:
    counts = Counter(record.status for record in digest.tries)
    known = ("keep", "discard", "crash", "refused", "quarantine")
    names = {
        "keep": "kept",
        "discard": "discarded",
        "crash": "crashed",
        "quarantine": "quarantined",
    }
    told = [f"{counts[s]:,} {names.get(s, s)}" for s in known if counts[s]]
    told += [f"{count:,} {escape(s, 40)}" for s, count in counts.items() if s not in known]
    authors = ", ".join(
        f"{escape(records.who(who), 60)} ({count:,})"
        for who, count in digest.authors.items()
        if who
    )
    line = amount(len(digest.tries), "experiment") + " on a starting point" * bool(digest.line)
    if span := digest.span:
        took = duration((span[1] - span[0]).total_seconds())
        line += f", {span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC ({took})"
    line += f": {', '.join(told) or 'nothing is decided yet'}."
    return line + (f" Proposed by {authors}." if authors else "")


def _progress(digest: Digest) -> str:
    start, best = digest.start, digest.best
    if start is None or best is None or start.value is None or best.value is None:
        return ""
    name, unit = escape(digest.metric), f" {escape(digest.unit)}" if digest.unit else ""
    way = goals.better(digest.goal)
    if digest.measured is None:
        return f"Nothing was kept: {name} is still {start.value:.5g}{unit} ({way} is better)."
    share = f" ({abs(digest.measured / start.value):.1%})" if start.value else ""
    words = (
        f"**{name} went from {start.value:.5g} to {best.value:.5g}{unit}** ({way} is better): "
        f"{digest.measured:.4g}{share} as measured"
    )
    if digest.believed is not None:
        words += f", {digest.believed:.4g} without the luck that keeps are picked for"
    return words + f". The best state is experiment {best.n}{commit(best)}."


# What was tried


def _tried(digest: Digest) -> Iterator[Part]:
    rows = [
        (
            code(one.name),
            f"{one.times}",
            f"{one.kept}",
            escape(_values(one.tried), 80),
            escape(one.first, 40),
            escape(one.best, 40),
        )
        for one in leads.turned(digest)
    ]
    programs = [p for p in dict.fromkeys(digest.table["program"]) if p]
    authors = [who for who in digest.authors if who]
    if not rows and len(authors) < 2 and len(programs) < 2:
        return
    words = ["## What was tried"]
    if len(programs) > 1:
        words.append(f"program.md had {len(programs)} versions on the way.")
    if rows:
        header = ("constant", "changed", "kept", "values", "at the start", "in the best state")
        words.append(table(header, rows[:15]))
        if len(rows) > 15:
            words.append(f"{amount(len(rows) - 15, 'constant')} more: `ark.constants(...)`.")
    yield Part("markdown", "\n\n".join(words))
    if len(authors) > 1:
        yield Part("code", 'ark.plots.hit_rate(df, by="author");', "Share of keeps by author")
    if len(programs) > 1:
        yield Part("code", 'ark.plots.hit_rate(df, by="program");', "Share of keeps by program.md")


def _values(tried: Sequence[object]) -> str:
    if len(tried) > 6 and all(type(value) in (int, float) for value in tried):
        return f"{tried[0]} to {tried[-1]}, {len(tried)} values"
    return ", ".join(str(value) for value in tried)


# What didn't make it


def _misses(digest: Digest) -> Iterator[Part]:
    if not (found := leads.near_misses(digest)):
        return
    header = ("", "hypothesis", digest.metric, "change", "sigma", "why not")
    rows = [
        (
            f"{r.n:04d}",
            escape(r.hypothesis, 160),
            f"{r.value:.5g}" if r.value is not None else "",
            f"{r.delta:+.4g}" if r.delta is not None else "",
            f"{r.evidence['z']:.1f}" if r.evidence.get("z") is not None else "",
            escape(r.reason, 200),
        )
        for r in found
    ]
    text = (
        "## Near misses\n\nDiscards that measured better than what they had to beat, but not by "
        "enough, the surest first; where no sigma is recorded, those that came closest to the best "
        f"state of their time. At most {leads.MOST}: worth a second look.\n\n"
    )
    yield Part("markdown", text + table([escape(name) for name in header], rows))


def _crashes(digest: Digest) -> Iterator[Part]:
    if not (found := leads.causes(digest)):
        return
    count = len(digest.among("crash"))
    rows = [
        (f"{len(group)}", escape(reason, 240), _numbers([r.n for r in group]))
        for reason, group in found
    ]
    text = f"## Crashes by cause\n\n{amount(count, 'experiment')} crashed.\n\n"
    yield Part("markdown", text + table(("", "cause", "experiments"), rows))


def _judged(digest: Digest) -> Iterator[Part]:
    found = digest.among("refused", "quarantine")
    if found:
        rows = [
            (f"{r.n:04d}", r.status, escape(r.hypothesis, 160), escape(r.reason)) for r in found
        ]
        header = ("", "status", "hypothesis", "reason")
        yield Part("markdown", "## Refused, and in quarantine\n\n" + table(header, rows))


def _later(digest: Digest) -> Iterator[Part]:
    found = [r for r in digest.later if r.kind not in ("audit", "ablation")]
    if found:
        rows = [
            (
                f"{r.n:04d}",
                word(r) if r.kind in ("", "repeat", "transfer") else f"{r.kind}: {r.status}",
                f"{r.about:04d}" if r.about is not None else "",
                escape(records.who(r.author or r.approver), 60),
                escape(r.reason or r.hypothesis),
            )
            for r in found
        ]
        head = (
            "## Later words\n\nRecords about earlier experiments; nothing decided is changed.\n\n"
        )
        yield Part("markdown", head + table(("", "what", "about", "by", "reason"), rows))


def _guessed(digest: Digest) -> Iterator[Part]:
    guesses = digest.table[["expected", "guess"]].notna().any(axis=1)
    if guesses.any():
        yield Part(
            "markdown",
            f"## Guessed and measured\n\n{amount(int(guesses.sum()), 'experiment')} had an effect "
            "that was guessed before anything ran.",
        )
        yield Part("code", "ark.plots.calibration(df);", "Guessed effects against measured ones")


# What it cost, and what is next


def _cost(digest: Digest) -> Iterator[Part]:
    seconds, money = digest.total("run_seconds"), digest.total("cost")
    tokens, proposing = digest.total("proposal_tokens"), digest.total("proposal_seconds")
    words = []
    if seconds:
        keeps = len(digest.keeps)
        each = f", {duration(seconds / keeps)} a keep" if keeps else ""
        words.append(f"Runs took {duration(seconds)}{each}.")
    if proposing:
        words.append(f"Making proposals took {duration(proposing)}.")
    if money:
        words.append(f"They cost {money:.3g} in the proposers' currency.")
    if tokens:
        words.append(f"Models read and wrote {tokens:,.0f} tokens for them.")
    if not words:
        return
    if not money:
        words.append("No money is on record.")
    yield Part("markdown", f"## What it cost\n\n{' '.join(words)}")
    if seconds:
        yield Part("code", "ark.plots.spending(df);", "Where the time went")
        yield Part("code", "ark.stats.yields(df).round(4)")


def _next(digest: Digest) -> Iterator[Part]:
    found = leads.of(digest)
    told = "\n".join(f"{i}. {lead}" for i, lead in enumerate(found, 1))
    words = told or "The records hold no lead that the rules of this report know."
    yield Part("markdown", f"## What to try next\n\nRead off the records by rules.\n\n{words}")


def _read(digest: Digest, place: str) -> Iterator[Part]:
    attrs = digest.table.attrs
    words = [
        "## How this was read",
        f"By `ark.report` of autoresearch-kit {escape(attrs['kit'])}. Text and pictures are stored "
        "here; the cells of a notebook run again where the kit and the history are at hand: "
        f"{code(place)}, seen from this file's folder.",
    ]
    if notes := attrs.get("notes"):
        words.append("\n".join(f"- {escape(note)}" for note in notes))
    rows = [
        (
            f"{r.n:04d}",
            escape(r.status, 40),
            f"{r.value:.5g}" if r.value is not None else "",
            f"{r.delta:+.4g}" if r.delta is not None else "",
            escape(r.hypothesis, 160),
        )
        for r in digest.experiments
    ]
    header = ("", "status", escape(digest.metric), "change", "hypothesis")
    words.append(folded(f"All {len(rows):,} experiments", table(header, rows)))
    yield Part("markdown", "\n\n".join(words))


def _numbers(found: Sequence[int]) -> str:
    told = ", ".join(f"{n:04d}" for n in found[:8])
    return told + (f" and {len(found) - 8} more" if len(found) > 8 else "")
