"""One experiment or proposal as a page: text for terminals, HTML for notebooks and GitHub."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import git, render, source
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.histories import Source, load
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import Record


@dataclasses.dataclass(frozen=True)
class Page:
    """Something to look at: `text` in a terminal, `html` in a notebook."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def show(x: Source, n: int, ref: str | None = None) -> Page:
    """Return a card of experiment `n`: hypothesis, verdict and why, loss curve, diff.

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
    patch = _patch(repo, record, parent)
    rows = {
        "experiment": f"{record.campaign} {record.n:04d}, commit {record.commit[:7]}",
        "verdict": _verdict(record),
        "why": record.reason,
        "later": _later(n, found.values()),
        "hypothesis": record.hypothesis,
        "changed": ", ".join(_differences(parent.constants, record.constants)) if parent else "",
        "by": _people(record),
        "cost": _cost(record),
    }
    losses = [loss for _, loss in record.points]
    text = _table(rows)
    if len(losses) > 1:
        text += f"loss         {_sparkline(losses)} {losses[0]:.4g} → {losses[-1]:.4g}\n"
    picture = _svg(losses) if len(losses) > 1 else ""
    return Page(f"{text}\n{patch}", _html_table(rows) + picture + render.diff(patch))


def diff(x: Source, n: int, ref: str | None = None) -> Page:
    """Return the patch of experiment `n` against its parent, as a unified diff.

    Parameters and exceptions are those of `show`.
    """
    repo, found = _load(x, n, ref)
    patch = _patch(repo, found[n], found.get(found[n].parent))
    return Page(patch, render.diff(patch))


def review(proposal: Proposal) -> Page:
    """Return what a person needs to decide on a proposal, and what to type next.

    The hypothesis, its author, the expected effect, the constants that change and the whole
    patch. Nothing is decided by looking.
    """
    campaign = proposal.campaign
    changes = []
    for path, new in proposal.files.items():
        old = git.read_file(campaign.path, proposal.parent_commit, path) or ""
        if path.endswith(".py"):
            values = [
                {name: constant.value for name, constant in source.constants(text).items()}
                for text in (old, new)
            ]
            changes += _differences(*values)
    patch = render.visible(proposal.diff)
    hunks = re.sub(r"(?m)^--- .*\n\+\+\+ .*\n", "", patch)
    signs = [line[:1] for line in hunks.splitlines()]
    lines = f"{signs.count('+')} lines added, {signs.count('-')} removed"
    expected = (
        "" if proposal.expected is None else f"{proposal.expected:+.4g} {campaign.task.metric}"
    )
    rows = {
        "proposal": f"on {campaign.tag} {proposal.parent:04d}, {proposal.status}",
        "hypothesis": proposal.hypothesis,
        "author": proposal.author + (", edited by a person" if proposal.edited_by_human else ""),
        "expects": expected,
        "changes": ", ".join([*changes, f"{', '.join(proposal.files)}: {lines}"]),
        "next": _next_call(proposal),
    }
    return Page(f"{_table(rows)}\n{patch}", _html_table(rows) + render.diff(patch))


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
    return "; ".join(f"{r.n:04d} {r.status}: {r.reason or r.hypothesis}" for r in judges)


def _people(record: Record) -> str:
    words = [record.author or "unknown"]
    if record.edited_by_human:
        words.append("edited by a person")
    if record.approver:
        words.append(f"approved by {record.approver}")
    return ", ".join(words)


def _cost(record: Record) -> str:
    words = [f"{record.lines_added} lines added, {record.lines_removed} removed"]
    if record.training_seconds is not None:
        words.append(f"{record.training_seconds:.1f} s training")
    if record.peak_memory_mb is not None:
        words.append(f"{record.peak_memory_mb:.0f} MB")
    return ", ".join(words) + (f" on {record.device}" if record.device else "")


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say which constants came, went or got another value, in the order of the new text."""
    came = [f"{k} = {source.spell(new[k])} (new)" for k in new if k not in old]
    went = [f"{k} (gone)" for k in old if k not in new]
    both = [k for k in new if k in old and new[k] != old[k]]
    return [f"{k} {source.spell(old[k])} → {source.spell(new[k])}" for k in both] + came + went


def _next_call(proposal: Proposal) -> str:
    by = proposal.decision.get("by", "")
    if proposal.status == "approved":
        return f"ark.apply(proposal) — approved by {by}"
    if proposal.status == "refused":
        return f"ark.propose(campaign) — refused by {by}: {proposal.decision.get('reason', '')}"
    return "proposal.approve() or proposal.refuse('why')"


def _table(rows: Mapping[str, str]) -> str:
    """Return rows as aligned text; a value of several lines is indented below its name."""
    indent = "\n" + " " * 13
    return "".join(
        f"{name:<12} {render.visible(value).strip().replace(chr(10), indent)}\n"
        for name, value in rows.items()
        if value
    )


def _html_table(rows: Mapping[str, str]) -> str:
    return render.card({name: render.visible(value) for name, value in rows.items() if value})


def _sparkline(values: Sequence[float], width: int = 32) -> str:
    picked = [values[i * (len(values) - 1) // (width - 1)] for i in range(width)]
    low, high = min(picked), max(picked)
    scale = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / scale * 7)] for value in picked)


def _svg(losses: Sequence[float], width: int = 320, height: int = 90) -> str:
    """Return the loss curve as a small picture that takes its colours from the page."""
    low, high = min(losses), max(losses)
    scale = (high - low) or 1.0
    across = (width - 128) / (len(losses) - 1)
    heights = [6 + (high - loss) / scale * (height - 12) for loss in losses]
    points = " ".join(f"{64 + i * across:.1f},{y:.1f}" for i, y in enumerate(heights))
    ends = "".join(
        f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="middle" '
        f'font-size="11" fill="currentColor">{loss:.4g}</text>'
        for x, y, anchor, loss in (
            (58, heights[0], "end", losses[0]),
            (width - 58, heights[-1], "start", losses[-1]),
        )
    )
    words = html.escape(f"training loss from {losses[0]:.4g} to {losses[-1]:.4g}")
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><title>{words}</title>'
        f'<polyline points="{points}" fill="none" stroke-width="1.5" '
        'stroke="var(--jp-brand-color1,#1976d2)"/>'
        f"{ends}</svg>"
    )
