"""One experiment as a page: text for terminals, HTML for notebooks and GitHub."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autoresearch_kit import git, patch, records, render, standing
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.histories import Source, load
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page

FOLDED = {"prompt.md": "Prompt", "reply.md": "Reply"}
FOLDED_CHARACTERS = 100_000  # a notebook keeps each card that it shows


def show(x: Source, n: int, ref: str | None = None) -> Page:
    """Return a card of experiment `n`: hypothesis, verdict and why, loss curve, diff.

    It says too what the proposal took, and where its prompt and reply are; a notebook shows both.

    Parameters
    ----------
    x
        A campaign, a lab, or the path of any clone of one.
    n
        The number of the experiment.
    ref
        Which campaign of a lab or clone, where it has several.

    Raises
    ------
    CampaignError
        When there is no decided experiment `n`, or several campaigns have one.
    """
    repo, found = _load(x, n, ref)
    record = found[n]
    parent = found.get(record.parent)
    changes = _patch(repo, record, parent)
    tree, told = _told(repo, record)
    rows = {
        "experiment": f"{record.campaign} {record.n:04d}, commit {record.commit[:7]}",
        "verdict": _verdict(record),
        "why": record.reason,
        "later": _later(n, found.values()),
        "hypothesis": record.hypothesis,
        "changed": ", ".join(patch.differences(parent.constants, record.constants))
        if parent
        else "",
        "by": _people(record),
        "proposal": _proposal(record, has_reply="reply.md" in told),
        "program": str(record.proposal.get("program", "")),
        "prompt": _where(record, told),
        "run": _run(record),
    }
    rows["loss"] = render.sparkline(record.points)
    text = f"{render.table(rows)}\n{changes}"
    del rows["loss"]
    curve, folded = render.curves(record.points), _folded(repo, record, tree, told)
    return Page(text, render.card(rows) + curve + folded + render.diff(changes))


def diff(x: Source, n: int, ref: str | None = None) -> Page:
    """Return the patch of experiment `n` against its parent, as a unified diff.

    Parameters and exceptions are those of `show`.
    """
    repo, found = _load(x, n, ref)
    changes = _patch(repo, found[n], found.get(found[n].parent))
    return Page(changes, render.diff(changes))


def _load(x: Source, n: int, ref: str | None) -> tuple[Path, Mapping[int | None, Record]]:
    """Return the repository and the records of the campaign that has an `n`, by number."""
    repo, found = load(x, ref)
    named = sorted({record.campaign for record in found if record.n == n})
    if not named:
        numbers = [record.n for record in found]
        campaigns = ", ".join(sorted({record.campaign for record in found}))
        raise CampaignError(
            f"there is no decided experiment {n} in {campaigns}; "
            f"the numbers go from {min(numbers)} to {max(numbers)}."
        )
    if len(named) > 1:
        raise CampaignError(
            f"several campaigns have an experiment {n}: {', '.join(named)}. "
            f"Say which, for example ref={named[0]!r}."
        )
    return repo, {record.n: record for record in found if record.campaign == named[0]}


def _patch(repo: Path, record: Record, parent: Record | None) -> str:
    if parent is None:
        return "(experiment 0 is the starting point: it changes nothing)\n"
    try:
        return render.visible(git.diff(repo, parent.commit, record.commit))
    except GitError:
        return f"(commit {parent.commit[:7]} or {record.commit[:7]} is not in {repo})\n"


def _verdict(record: Record) -> str:
    if record.value is None:
        return record.status
    change = "" if record.delta is None else f" ({record.delta:+.4g})"
    unit = f" {record.unit}" if record.unit else ""
    return f"{record.status}, {record.metric} {record.value:.5g}{unit}{change}"


def _later(n: int, found: Iterable[Record]) -> str:
    judges = [record for record in found if record.about == n]
    return "; ".join(f"{r.n:04d} {_word(r)}: {r.reason or r.hypothesis}" for r in judges)


def _word(later: Record) -> str:
    """Return what a later record is: the verdict that it gives, else its kind."""
    return later.status if later.kind in standing.VERDICTS else later.kind


def _people(record: Record) -> str:
    words = [record.author or "unknown"]
    if record.edited_by_human:
        words.append("edited by a person")
    if record.approver:
        words.append(f"approved by {record.approver}")
    return ", ".join(words)


def _proposal(record: Record, *, has_reply: bool) -> str:
    """Say what the proposal took, failed tries for it included, as far as that is known."""
    made = record.proposal
    about = "about " if made.get("estimated") else ""
    count = made.get("rejected", 0)
    one, more = ("reply", "replies") if has_reply else ("try", "tries")
    words = [
        f"{about}{made['cost']:.3g}" if made.get("cost") else "",
        f"{about}{made['tokens']:,.0f} tokens" if made.get("tokens") else "",
        f"{made['cached']:,.0f} of them cached" if made.get("cached") else "",
        f"{made['seconds']:.1f} s" if made.get("seconds", 0.0) >= 0.05 else "",
        f"{count} {one if count == 1 else more} {'sent back' if has_reply else 'put aside'}"
        if count
        else "",
    ]
    return ", ".join(word for word in words if word)


def _told(repo: Path, record: Record) -> tuple[str, list[str]]:
    """Return the tree with what was kept of the proposal, and which of `FOLDED` it has."""
    ref = records.files_ref(record.campaign, record.n)
    tree = git.refs(repo, ref).get(ref, "")
    there = git.list_files(repo, tree) if tree else []
    return tree, [name for name in FOLDED if name in there]


def _where(record: Record, names: Sequence[str]) -> str:
    if not names:
        return ""
    ref = records.files_ref(record.campaign, record.n).removeprefix("refs/tags/")
    return f"git show {ref}:{' (and '.join(names)}{')' * (len(names) - 1)}"


def _folded(repo: Path, record: Record, tree: str, names: Sequence[str]) -> str:
    """Return the prompt and the reply as HTML that opens at a click."""
    page = ""
    for name in names:
        text = git.read_file(repo, tree, name) or ""
        shown = html.escape(render.visible(text[:FOLDED_CHARACTERS]))
        if len(text) > FOLDED_CHARACTERS:
            shown += html.escape(f"\n… all of it: {_where(record, [name])}")
        page += (
            f"<details><summary>{FOLDED[name]}</summary>"
            f"<pre style='white-space:pre-wrap'>{shown}</pre></details>"
        )
    return page


def _run(record: Record) -> str:
    words = [f"{record.lines_added} lines added, {record.lines_removed} removed"]
    if record.training_seconds is not None:
        words.append(f"{record.training_seconds:.1f} s training")
    if record.peak_memory_mb is not None:
        words.append(f"{record.peak_memory_mb:.0f} MB")
    return ", ".join(words) + (f" on {record.device}" if record.device else "")
