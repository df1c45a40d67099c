"""The kept changes of a report, and what speaks for each of them."""

from __future__ import annotations

from collections.abc import Iterator

from autoresearch_kit import display, patch, records, standing
from autoresearch_kit.records import Record
from autoresearch_kit.reports.digests import Digest
from autoresearch_kit.reports.markdown import Part, amount, code, escape, fence, table

DIFF_LINES = 200
"""Lines of a diff that a report holds; the repository has the rest."""


def kept(digest: Digest) -> Iterator[Part]:
    """Yield each kept change with its evidence, its diff and its curve."""
    if not digest.keeps:
        return
    yield Part("markdown", "## What was kept")
    if any(record.delta is not None for record in digest.keeps):
        yield Part("code", "ark.plots.gains(df);", "The gain of each kept change with its interval")
    if digest.repo is None:  # a file alone has no diffs, and a line for each says it all
        header = ("", "hypothesis", escape(digest.metric), "change", "without its luck", "luck?")
        yield Part("markdown", table(header, [_line(digest, record) for record in digest.keeps]))
        return
    for record in digest.keeps:
        yield Part("markdown", _keep(digest, record))
        both = [n for n in (record.parent, record.n) if n is not None and _curve(digest, n)]
        if record.n in both:
            yield Part("code", f"ark.plots.curves(df, {both});", "Loss over the budget")


def _line(digest: Digest, record: Record) -> tuple[str, ...]:
    gain = digest.of_keep(record.n, "shrunk")
    return (
        f"{record.n:04d}",
        escape(record.hypothesis, 160),
        "" if record.value is None else f"{record.value:.5g}",
        "" if record.delta is None else f"{record.delta:+.3g}",
        "" if gain is None else f"{gain:.3g}",
        _chance(digest, record.n),
    )


def _curve(digest: Digest, n: int) -> bool:
    return n in digest.by_number and len(digest.by_number[n].points) > 1


def _keep(digest: Digest, record: Record) -> str:
    told = [(f"**{name}**", words) for name, words in _facts(digest, record) if words]
    facts = table(("", ""), told)
    changes = display.diff(digest.place, record.n, digest.ref).text
    lines = changes.splitlines()
    cut = "\n".join(lines[:DIFF_LINES]).rstrip()
    words = [f"### {record.n:04d}: {escape(record.hypothesis)}", facts, fence(cut, "diff")]
    if len(lines) > DIFF_LINES:
        more = amount(len(lines) - DIFF_LINES, "line")
        words.append(f"{more} more: `ark.diff(..., {record.n})`.")
    return "\n\n".join(words)


def _facts(digest: Digest, record: Record) -> Iterator[tuple[str, str]]:
    told = record.evidence
    if record.value is not None:
        unit = f" {escape(record.unit)}" if record.unit else ""
        change = f", {_better(digest, record.delta)}" if record.delta is not None else ""
        against = f" than {told['old']:.5g}, which it had to beat" if told.get("old") else ""
        yield "measured", f"{record.value:.5g}{unit}{change}{against if change else ''}"
    if len(record.replicates) > 1:
        runs = ", ".join(f"{run['value']:.5g}" for run in record.replicates)
        yield "runs", f"{len(record.replicates)}: {runs}"
    if told.get("z") is not None:
        error = f", standard error {told['error']:.2g}" if told.get("error") else ""
        yield "how sure", f"{told['z']:.1f} sigma{error}"
    if (gain := digest.of_keep(record.n, "shrunk")) is not None:
        low, high = (digest.of_keep(record.n, key) for key in ("low", "high"))
        yield "gain without its luck", f"{gain:.4g} (95 %: {low:.3g} to {high:.3g})"
        yield "chance that it is luck", _chance(digest, record.n)
    yield "why kept", escape(record.reason)
    for name, who in (("expected", "its author"), ("guess", "its approver")):
        if record.proposal.get(name) is not None:
            yield f"guessed by {who}", f"{record.proposal[name]:+.4g}"
    parent = digest.by_number.get(record.parent if record.parent is not None else -1)
    if parent and (changed := ", ".join(patch.differences(parent.constants, record.constants))):
        yield "constants", escape(changed)
    yield "proposed by", escape(_people(record)) if record.author else ""
    lines = f"{record.lines_added} added, {record.lines_removed} removed"
    yield "lines", lines if record.lines_added or record.lines_removed else ""
    yield "commit", code(record.commit[:10]) if record.commit else ""
    for later in digest.later:
        if later.about == record.n:
            yield f"later, {later.n:04d}", f"{word(later)}: {escape(later.reason)}"


def _chance(digest: Digest, n: int) -> str:
    chance = digest.of_keep(n, "chance")
    if chance is None:
        return ""
    return f"{chance:.1%}" if chance >= 0.001 else "under 0.1%"


def _better(digest: Digest, difference: float) -> str:
    gain = digest.gain(difference)
    return f"{abs(gain):.4g} {'better' if gain > 0 else 'worse'}" if gain else "the same"


def _people(record: Record) -> str:
    words = [records.who(record.author)]
    words += ["edited by a person"] * record.edited_by_human
    words += [f"approved by {records.who(record.approver)}"] * bool(record.approver)
    return ", ".join(words)


def word(later: Record) -> str:
    """Return what a later record is: the verdict that it gives, else its kind."""
    return later.status if later.kind in standing.VERDICTS else later.kind


def commit(record: Record) -> str:
    """Return a commit in brackets; empty where there is none."""
    return f" (commit {code(record.commit[:10])})" if record.commit else ""


def real(digest: Digest) -> Iterator[Part]:
    """Yield what is known of how much is luck: audits, ablations, another rule."""
    if not digest.keeps:
        return
    words = ["## Is it real?", doubt(digest)]
    if digest.luck is not None:
        words += [f"This rests on: {escape(note)}." for note in digest.assumed]
    if any("lines less" in record.reason for record in digest.keeps):
        words.append("What was kept for its fewer lines counts here by its gain like all others.")
    if audit := digest.audit:
        words.append(_audit(audit))
    elif set(digest.table["source"]) == {"tags"}:
        words.append("No audit has measured the whole gain on fresh seeds and sealed data yet.")
    if ablations := digest.about("ablation"):
        header = ("left out", "finding", "worth", "standard error")
        words += ["The best state without single changes:", table(header, map(_without, ablations))]
    yield Part("markdown", "\n\n".join(words))
    if digest.luck is not None:
        yield Part("code", 'ark.stats.gains(df).drop(columns="campaign").round(4)')
    if any(len(record.replicates) > 1 for record in digest.tries):
        yield Part(
            "markdown",
            "The same experiments decided greedily, as the original does (whatever measured "
            "better in its first run is kept), without training anything:",
        )
        greedy = 'greedy = ark.what_if(df, decide="greedy")\n'
        yield Part("code", f'{greedy}print(*greedy.attrs["notes"], sep="\\n")')


def _audit(record: Record) -> str:
    told = record.evidence
    figures = [
        (name, f"{told[key]:.4g}")
        for name, key in (
            ("claimed", "claimed"),
            ("on validation data, fresh seeds", "fresh"),
            ("on sealed test data", "sealed"),
            ("standard error", "error"),
        )
        if told.get(key) is not None
    ]
    head = f"Audit {record.n:04d} of the best state {record.about:04d}: "
    head += "**an alarm**" if told.get("alarm") else "fine"
    return f"{head}. {escape(record.reason)}.\n\n{table(('gain', ''), figures)}"


def _without(record: Record) -> tuple[str, ...]:
    told = record.evidence
    figures = (
        f"{told[key]:.4g}" if told.get(key) is not None else "" for key in ("worth", "error")
    )
    return f"{record.about:04d}", escape(told.get("finding", record.reason)), *figures


def doubt(digest: Digest) -> str:
    """Return in a sentence how many keeps are expected to be luck."""
    found = digest.luck
    if found is None:
        return "How many keeps are luck can't be told: no noise of a run is on record."
    luck = f"{found:.2g}" if found >= 0.01 else "fewer than 0.01"
    return (
        f"Of the {amount(len(digest.keeps), 'keep')}, {luck} are expected to be luck: kept, but "
        "worth nothing."
    )
