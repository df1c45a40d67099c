"""A campaign as a paper tells of it: the paragraph on methods, and a table."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator

from autoresearch_kit import decide, goals, noise, records
from autoresearch_kit._version import __version__
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page
from autoresearch_kit.reports import digests, latex
from autoresearch_kit.reports.digests import Digest
from autoresearch_kit.reports.latex import escape
from autoresearch_kit.reports.markdown import amount, duration
from autoresearch_kit.sources import Source
from autoresearch_kit.task import TOO_GOOD

CITATION = """\
@misc{karpathy2026autoresearch,
  author       = {Karpathy, Andrej},
  title        = {autoresearch},
  year         = {2026},
  howpublished = {\\url{https://github.com/karpathy/autoresearch}}
}"""

_CLOCKS = {
    "wall": "seconds since the first step",
    "cpu": "CPU seconds",
    "relative": "as many units of work as {start} seconds buy the starting point's code, divided "
    "by how much dearer the changed code is, measured in turns on one core",
}


def methods(x: Source, ref: str | None = None, goal: str | None = None) -> Page:
    r"""Return the paragraph on methods, a table of the kept changes and a citation, as LaTeX.

    All figures come from the records: budget, seeds, noise, the rule with its bars, how many
    experiments there were and what became of them, the keeps that are expected to be luck, the gain
    as measured, without luck and as audited, cost, device and versions. What is not on record isn't
    there. The table needs the package booktabs, the text ``\usepackage[T1]{fontenc}``.

    Parameters and exceptions are those of `report`.
    """
    digest = digests.of(x, ref, goal)
    parts = [" ".join(_sentences(digest)), _table(digest), CITATION]
    text = "\n\n".join(parts) + "\n"
    return Page(text, f"<pre style='white-space:pre-wrap'>{html.escape(text)}</pre>")


def _sentences(digest: Digest) -> Iterator[str]:
    yield _loop(digest)
    yield from _budget(digest)
    yield from _seeds(digest)
    yield _rule(digest)
    yield _counts(digest)
    yield from _gain(digest)
    yield from _cost(digest)
    yield from _machine(digest)


def _loop(digest: Digest) -> str:
    task = digest.task
    way = goals.better(digest.goal)
    unit = f" in {escape(digest.unit)}" if digest.unit else ""
    metric = f"{escape(digest.metric)}{unit} ({way} is better)"
    if set(digest.table["source"]) != {"tags"}:
        return (
            "Changes of the code were proposed, run and kept or discarded one by one "
            f"\\citep{{karpathy2026autoresearch}}, by {metric}."
        )
    files = ", ".join(f"\\texttt{{{escape(path)}}}" for path in task.edit) if task else "the code"
    judge = (
        "a scorer that the code under test cannot touch measured"
        if digest.experiments[0].scored_by == "kit"
        else "the script itself printed"
    )
    budget = " for a fixed budget" if task and task.train and task.clock else ""
    return (
        f"Following \\citet{{karpathy2026autoresearch}}, changes of {files} were proposed one by "
        f"one, each on the best state so far; each was run{budget}, {judge} {metric}, "
        "and a rule that was fixed beforehand kept or discarded it."
    )


def _budget(digest: Digest) -> Iterator[str]:
    if (task := digest.task) and task.train:
        if not task.clock:
            yield f"A run was ended after {task.timeout_seconds:g} seconds at the latest."
        else:
            clock = _CLOCKS[task.clock].format(start=f"{task.budget_seconds:g}")
            size = "" if task.clock == "relative" else f"{task.budget_seconds:g} "
            yield f"The budget of a run was {size}{clock}."


def _seeds(digest: Digest) -> Iterator[str]:
    start = digest.start
    runs = sum(len(record.replicates) for record in digest.experiments)
    again = sum(len(record.replicates) > 1 for record in digest.tries)
    if start is not None and start.replicates:
        yield (
            f"The starting point was run with {amount(len(start.replicates), 'seed')}, "
            f"{amount(again, 'other experiment')} with more than one ({amount(runs, 'run')} in "
            "all)."
        )
    if digest.noise:
        measured = noise.of(digest.experiments)
        prior = digest.task.noise if digest.task else 0.0
        freedom = amount(round(measured.freedom), "degree")
        how = f"pooled over repeated runs, {freedom} of freedom"
        if prior:
            how += (
                f", with a prior of {prior:.3g} that counts as {noise.PRIOR_FREEDOM:.0f} degrees "
                "of freedom"
            )
        yield f"The standard deviation of a run between seeds was {digest.noise:.3g} ({how})."
    elif digest.keeps:
        yield "How much runs differ between seeds was not measured."


def _rule(digest: Digest) -> str:
    start = digest.start
    settings = start.baseline if start is not None else {}
    name = str(settings.get("decide", ""))
    sealed = settings.get("sealed")
    kit = str(sealed.get("kit", __version__) if isinstance(sealed, dict) else __version__)
    if settings.get("decide_source") and start is not None:
        return (
            f"The rule, a function of our own (\\texttt{{{escape(name)}}}), is kept in the message "
            f"of commit \\texttt{{{start.commit[:10]}}}."
        )
    if name == "greedy":
        return "Whatever measured strictly better than the best state was kept, without a test."
    if name != "two_stage":
        return "The rule by which changes were kept is not on record."
    if kit != __version__:
        return f"The rule was two\\_stage of autoresearch-kit {escape(kit)}."
    return (
        "With the standard error of the difference as unit, a change below "
        f"{decide.SCREEN:g} after one run was discarded and one from {decide.AT_ONCE:g} on kept; "
        "between them it was run again on a new seed and kept from "
        f"{decide.CONFIRM:g} on with both runs, if the second alone was better too. Changes that "
        f"removed lines were kept from ${decide.SIMPLER:g}$ on, changes that added "
        f"{decide.MANY_LINES} or more had to be worth the noise of a run"
        f"{_suspicious(digest)}. Each gain was shrunk by its uncertainty before the next change "
        "was compared with it."
    )


def _suspicious(digest: Digest) -> str:
    share, sigma = 0.0, TOO_GOOD
    if digest.task:
        share, sigma = digest.task.suspicious, digest.task.suspicious_sigma
    bars = [f"{sigma:g} standard deviations of a run"] if sigma else []
    bars += [f"{100 * share:g}\\% in one step"] if share else []
    return f", and a gain above {' or above '.join(bars)} waited for a person" if bars else ""


def _counts(digest: Digest) -> str:
    counts = Counter(record.status for record in digest.tries)
    names = {
        "keep": ("was kept", "were kept"),
        "discard": ("was discarded", "were discarded"),
        "crash": ("crashed", "crashed"),
        "refused": ("was refused before it ran", "were refused before they ran"),
        "quarantine": ("waits for a person", "wait for a person"),
    }
    order = [*(s for s in names if s in counts), *(s for s in counts if s not in names)]
    told = ", ".join(
        f"{counts[s]:,} {names[s][counts[s] != 1] if s in names else escape(s, 40)}" for s in order
    )
    words = f"Of {amount(len(digest.tries), 'experiment')}, {told or 'none is decided'}."
    authors = [(author, count) for author, count in digest.authors.items() if author]
    if authors:
        by = ", ".join(f"{count:,} by {escape(records.who(a), 60)}" for a, count in authors)
        words += f" Proposed: {by}."
    for later in digest.about("override"):
        words += (
            f" Number {later.about} is {escape(later.status)} by the word of a person: "
            f"{escape(later.reason, 200)}."
        )
    # Without a noise on record it would rest on a guess.
    if digest.keeps and digest.noise and (expected := digest.luck) is not None:
        words += (
            " The expected number of kept changes that are worth nothing is "
            f"{f'{expected:.2g}' if expected >= 0.01 else 'below 0.01'} of {len(digest.keeps)}."
        )
    return words


def _gain(digest: Digest) -> Iterator[str]:
    start, best = digest.start, digest.best
    if digest.measured is None or start is None or best is None:
        return
    words = (
        f"From the starting point to the best state, {escape(digest.metric)} went from "
        f"{start.value:.5g} to {best.value:.5g}, a gain of {digest.measured:.3g} as measured"
    )
    if digest.noise and digest.believed is not None:
        words += f", {digest.believed:.3g} after shrinkage"
    told = digest.audit.evidence if digest.audit else {}
    if told.get("fresh") is not None:
        seeds = amount(len(told.get("seeds", ())), "fresh seed")
        words += f"; an audit with {seeds} of either found {told['fresh']:.3g} on validation data"
        if told.get("sealed") is not None:
            words += f" and ${told['sealed']:.3g} \\pm {told['error']:.1g}$ on sealed test data"
    yield words + "."


def _cost(digest: Digest) -> Iterator[str]:
    words = []
    if seconds := digest.total("run_seconds"):
        words.append(f"runs took {duration(seconds)}")
    if tokens := digest.total("proposal_tokens"):
        words.append(f"models read and wrote {tokens:,.0f} tokens for proposals")
    if money := digest.total("cost"):
        words.append(f"proposals cost {money:.3g} in the proposers' currency")
    if words:
        line = ", ".join(words)
        yield f"{line[0].upper()}{line[1:]}."


def _machine(digest: Digest) -> Iterator[str]:
    devices = ", ".join(escape(d) for d in dict.fromkeys(digest.table["device"]) if d)
    versions = digest.experiments[-1].versions
    told = ", ".join(f"{escape(k)} {escape(v)}" for k, v in versions.items() if k != "kit")
    if devices:
        yield f"Device: {devices}{f'; {told}' if told else ''}."
    if kit := versions.get("kit"):
        yield f"Recorded with autoresearch-kit {escape(kit)}."


def _table(digest: Digest) -> str:
    if not digest.keeps or digest.start is None:
        return "% no table: nothing was kept"
    better = goals.better(digest.goal)
    rows = [_row(digest, record) for record in (digest.start, *digest.keeps)]
    names = ("No.", "change", "runs", escape(digest.metric), "$z$", "gain")
    filled = [i for i in range(len(names)) if i < 4 or any(row[i] for row in rows)]
    columns = "".join("p{0.5\\linewidth}" if i == 1 else "r" for i in filled)
    body = latex.table(
        columns, [names[i] for i in filled], [[row[i] for i in filled] for row in rows]
    )
    legend = {4: "$z$: gain in standard errors", 5: "gain: without the luck of being picked"}
    told = "; ".join(["", *(legend[i] for i in filled if i in legend)])
    return (
        "\\begin{table}\n\\centering\n\\small\n" + body + "\n"
        f"\\caption{{Changes kept in the campaign {escape(digest.name)}, in order. "
        f"{escape(digest.metric)}: mean over runs, {better} is better{told}.}}\n\\end{{table}}"
    )


def _row(digest: Digest, record: Record) -> tuple[str, ...]:
    sure = record.evidence.get("z")
    gain = digest.of_keep(record.n, "shrunk") if digest.noise else None
    return (
        str(record.n),
        escape(record.hypothesis, 160),
        str(max(1, len(record.replicates))),
        "" if record.value is None else f"{record.value:.5g}",
        "" if sure is None else f"{sure:.1f}",
        "" if gain is None else f"{gain:.3g}",
    )
