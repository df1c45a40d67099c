"""One experiment as a page: text for terminals, HTML for notebooks and GitHub."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from autoresearch_kit import git, patch, records, render, sources, standing
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page
from autoresearch_kit.sources import Source

Records: TypeAlias = Mapping[int | None, Record]
"""The records of one campaign by number."""

FOLDED = {"prompt.md": "Prompt", "reply.md": "Reply"}
FOLDED_CHARACTERS = 100_000  # a notebook keeps each card that it shows


def show(x: Source, n: int, ref: str | None = None) -> Page:
    """Return a card of experiment `n`: hypothesis, verdict and why, loss curve, diff.

    It says too what effect was expected, what the proposal took, and where its prompt and reply
    are; a notebook shows both.

    Parameters
    ----------
    x
        Whatever `history` reads: a campaign, a lab, a clone, a bundle, a results file. A file alone
        has no diffs.
    n
        The number of the experiment.
    ref
        Which campaign of a lab or clone, where it has several; or which branch.

    Raises
    ------
    CampaignError
        When there is no experiment `n`, or several campaigns have one.
    """
    return card(*choose(x, ref, n), n)


def diff(x: Source, n: int, ref: str | None = None) -> Page:
    """Return the patch of experiment `n` against its parent, as a unified diff.

    Parameters and exceptions are those of `show`.
    """
    repo, found = choose(x, ref, n)
    patched = _patch(repo, found[n], found.get(found[n].parent))
    return Page(patched, render.diff(patched))


def choose(
    x: Source, ref: str | None, *numbers: int, goal: str | None = None
) -> tuple[Path | None, Records]:
    """Return the repository and the records of the one campaign that has all `numbers`.

    Raises
    ------
    CampaignError
        When none has them all, or several do.
    """
    loaded = sources.load(x, ref, goal)
    campaigns: dict[str, dict[int | None, Record]] = {}
    for record in loaded.records:
        campaigns.setdefault(record.campaign, {})[record.n] = record
    named = sorted(name for name, found in campaigns.items() if found.keys() >= set(numbers))
    wanted = f"experiment {' and '.join(str(n) for n in numbers)}"
    if not named:
        known = [record.n for record in loaded.records]
        raise CampaignError(
            f"there is no decided {wanted} in {', '.join(sorted(campaigns))}; "
            f"the numbers go from {min(known)} to {max(known)}."
        )
    if len(named) > 1:
        what = f"several campaigns have an {wanted}" if numbers else "there are several campaigns"
        raise CampaignError(f"{what}: {', '.join(named)}. Say which, for example ref={named[0]!r}.")
    return loaded.repo, campaigns[named[0]]


def card(repo: Path | None, found: Records, n: int) -> Page:
    """Return the card of one of the records that `choose` found."""
    record = found[n]
    stands = {r.n: r for r in standing.of(list(found.values())).experiments}.get(n, record)
    parent = found.get(record.parent)
    patched = _patch(repo, record, parent)
    tree, told = _told(repo, record)
    rows = {
        "experiment": f"{record.campaign} {record.n:04d}, "
        + (f"commit {record.commit[:7]}" if record.commit else "without a commit"),
        "verdict": _verdict(stands, record.status),
        "why": record.reason,
        "effect": _effect(stands),
        "scorer": str(record.evidence.get("note") or ""),
        "later": _later(stands, record.status, found.values()),
        "hypothesis": record.hypothesis,
        "changed": _changed(parent, record) if parent else "",
        "by": _people(record),
        "proposal": _proposal(record, has_reply="reply.md" in told),
        "program.md": str(record.proposal.get("program", "")),
        "prompt": _where(record, told),
        "run": _run(record),
    }
    rows["loss"] = render.sparkline(record.points)
    text = f"{render.table(rows)}\n{patched}"
    del rows["loss"]
    curve, folded = render.curves(record.points), _folded(repo, record, tree, told)
    shown = patched
    if len(patched) > FOLDED_CHARACTERS:
        shown = f"{patched[:FOLDED_CHARACTERS]}\n… all of it: print(ark.diff(..., {n}))\n"
    return Page(text, render.card(rows) + curve + folded + render.diff(shown))


def changes(repo: Path | None, old: str, new: str) -> str:
    """Return the unified diff between two commits, or why there is none, ready to be shown."""
    if repo is None:
        return "(no diff: this was read from a file, without a repository)\n"
    if not old or not new:
        return "(no diff: the history does not name both commits)\n"
    try:
        return render.visible(git.diff(repo, old, new)) or "(no file differs)\n"
    except GitError:
        return f"(no diff: commit {old[:7]} or {new[:7]}, or a file of it, is not in {repo})\n"


def _patch(repo: Path | None, record: Record, parent: Record | None) -> str:
    if repo and not record.n and parent is None and not record.parent_commit:
        return "(experiment 0 is the starting point: it changes nothing)\n"
    return changes(repo, record.parent_commit or (parent.commit if parent else ""), record.commit)


def _changed(parent: Record, record: Record) -> str:
    """Name the constants that differ; a word on an earlier experiment has none of its own."""
    if record.about is not None and not record.constants:
        return ""
    return ", ".join(patch.differences(parent.constants, record.constants))


def _verdict(record: Record, was: str) -> str:
    """Return the verdict as of now with the metric, and what it was when it was decided."""
    status = record.status if record.status == was else f"{record.status} (was {was})"
    if record.value is None:
        return status
    change = "" if record.delta is None else f" ({change_of(record)})"
    unit = f" {record.unit}" if record.unit else ""
    return f"{status}, {record.metric} {record.value:.5g}{unit}{change}"


def change_of(record: Record) -> str:
    """Return the change of the metric against the parent with its standard error, if known."""
    error = record.evidence.get("error")
    return f"{record.delta:+.4g}" + (f" ± {error:.2g}" if error else "")


def _effect(record: Record) -> str:
    """Set what author and approver guessed beside what was measured."""
    made = record.proposal
    words = [
        f"{made[name]:+.4g} {verb} by {who}"
        for name, verb, who in (
            ("expected", "expected", record.author or "the author"),
            ("guess", "guessed", record.approver or "the approver"),
        )
        if made.get(name) is not None
    ]
    if words:
        words.append("no metric" if record.delta is None else f"{change_of(record)} measured")
    return ", ".join(words)


def _later(record: Record, was: str, found: Iterable[Record]) -> str:
    judges = [later for later in found if later.about == record.n]
    words = [f"{r.n:04d} {_word(r)}: {r.reason or r.hypothesis}" for r in judges]
    if record.status != was and not any(r.kind in standing.VERDICTS for r in judges):
        words.append(f"{record.status}: {record.reason.partition(': ')[2]}")  # said of another one
    return "; ".join(words)


def _word(later: Record) -> str:
    """Return what a later record is: the verdict that it gives, else its kind."""
    return later.status if later.kind in standing.VERDICTS else later.kind


def _people(record: Record) -> str:
    words = [record.author] if record.author else []
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
        f"{made['seconds']:.1f} s" if (made.get("seconds") or 0.0) >= 0.05 else "",
        f"{count} {one if count == 1 else more} {'sent back' if has_reply else 'put aside'}"
        if count
        else "",
    ]
    return ", ".join(word for word in words if word)


def _told(repo: Path | None, record: Record) -> tuple[str, list[str]]:
    """Return the tree with what was kept of the proposal, and which of `FOLDED` it has."""
    if repo is None:
        return "", []
    ref = records.files_ref(record.campaign, record.n)
    tree = git.refs(repo, ref).get(ref, "")
    there = git.list_files(repo, tree) if tree else []
    return tree, [name for name in FOLDED if name in there]


def _where(record: Record, names: Sequence[str]) -> str:
    if not names:
        return ""
    ref = records.files_ref(record.campaign, record.n).removeprefix("refs/tags/")
    return f"git show {ref}:{' (and '.join(names)}{')' * (len(names) - 1)}"


def _folded(repo: Path | None, record: Record, tree: str, names: Sequence[str]) -> str:
    """Return the prompt and the reply as HTML that opens at a click."""
    page = ""
    for name in names:
        text = (git.read_file(repo, tree, name) if repo else None) or ""
        shown = html.escape(render.visible(text[:FOLDED_CHARACTERS]))
        if len(text) > FOLDED_CHARACTERS:
            shown += html.escape(f"\n… all of it: {_where(record, [name])}")
        page += (
            f"<details><summary>{FOLDED[name]}</summary>"
            f"<pre style='white-space:pre-wrap'>{shown}</pre></details>"
        )
    return page


def _run(record: Record) -> str:
    plural = "s" * (record.lines_added != 1)
    lines = f"{record.lines_added} line{plural} added, {record.lines_removed} removed"
    words = [lines] if record.lines_added or record.lines_removed else []
    if record.training_seconds is not None:
        words.append(f"{record.training_seconds:.1f} s training")
    if record.scoring_seconds is not None:
        words.append(f"{record.scoring_seconds:.1f} s scoring")
    if record.peak_memory_mb is not None:
        words.append(f"{record.peak_memory_mb:.0f} MB")
    return ", ".join(words) + (f" on {record.device}" if record.device else "")
