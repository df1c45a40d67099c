"""A proposal as a page: as JSON for the widget, as text and as HTML for everywhere else."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

from autoresearch_kit import files, patch, program, render
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.texts import shown

ATTACHMENT_CHARACTERS = 400_000


def still(proposal: Proposal, then: Mapping[str, object] | None = None) -> render.Page:
    """Return what a person needs to decide, and what to type next, as text and HTML.

    `then` are the last rows, in place of the next call in Python.
    """
    page = page_of(proposal)
    rows = {
        "proposal": f"on {page['campaign']} {proposal.parent:04d}, {proposal.status}",
        "hypothesis": proposal.hypothesis,
        "author": proposal.author + (", edited by a person" if proposal.edited_by_human else ""),
        "expects": page["expected"],
        "cost": page["cost"],
        "changes": ", ".join([*page["touches"], _size(proposal)]),
        "look at": "; ".join(warning["text"] for warning in page["warnings"]),
        **({"next": _next_call(proposal)} if then is None else then),
    }
    diff = render.visible(proposal.diff)
    return render.Page(f"{render.table(rows)}\n{diff}", render.card(rows) + render.diff(diff))


def page_of(proposal: Proposal, position: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return all that the review widget shows of a proposal, ready for JSON."""
    campaign, decision = proposal.campaign, proposal.decision
    old = campaign.mutable(proposal.parent_commit)
    before = {path: old[path] for path in proposal.files}
    drafts = files.read_json(proposal.folder / "draft.json") or {}
    kept = proposal.attachments()
    notes = program.path(campaign.path)
    texts = tuple(before.items()), tuple(proposal.files.items())
    touches, concerns = _look(*texts, tuple(campaign.task.edit))
    return {
        "id": proposal.id,
        "position": list(position) if position else None,
        "campaign": campaign.tag,
        "parent": proposal.parent,
        "metric": campaign.task.metric,
        "goal": campaign.task.goal,
        "unit": campaign.task.unit,
        "status": proposal.status,
        "decided": {
            "by": decision["by"],
            "reason": decision["reason"],
            "at": decision["at"],
            "edited": proposal.edited_by_human,
        }
        if decision
        else None,
        "hypothesis": render.visible(proposal.hypothesis),
        "author": render.visible(proposal.author),
        "expected": ""
        if proposal.expected is None
        else f"{proposal.expected:+.4g} {campaign.task.metric}",
        "cost": _cost(proposal),
        "deadline": deadline(proposal),
        "files": [
            {
                "path": path,
                "old": shown(before[path]),
                "new": shown(new),
                "draft": drafts.get(path) if proposal.status == "open" else None,
            }
            for path, new in proposal.files.items()
        ],
        "touches": touches,
        "warnings": [{"kind": concern.kind, "text": concern.text} for concern in concerns],
        "prompt": _text(kept, "prompt.md"),
        "reply": _text(kept, "reply.md"),
        "program": notes.name if notes else None,
        "can_revise": proposal.status == "open",
        "feedback": [
            _text(kept, name)
            for name in sorted(kept)
            if name.startswith("revision-") and name.endswith(".txt")
        ],
    }


_Texts: TypeAlias = tuple[tuple[str, str], ...]


@functools.lru_cache(maxsize=16)  # a page is made again and again, and large files take a while
def _look(old: _Texts, new: _Texts, edit: tuple[str, ...]) -> tuple[list[str], list[patch.Concern]]:
    before, after = dict(old), dict(new)
    return patch.touches(before, after), patch.warnings(before, after, edit)


def deadline(proposal: Proposal) -> dict[str, str] | None:
    """Return when a night stops waiting for a person, and what it does then."""
    asked = proposal.asked
    return {"at": asked["until"], "then": asked["then"]} if asked else None


def _cost(proposal: Proposal) -> str:
    cost = proposal.cost
    about = "about " if cost.get("estimated") else ""
    cached = f" ({cost['cached']:,.0f} cached)" if cost.get("cached") else ""
    words = [
        f"{about}{cost['money']:.3g} spent" if cost.get("money") else "",
        f"{about}{cost['tokens']:,.0f} tokens{cached}" if cost.get("tokens") else "",
        f"{cost['seconds']:.0f} s" if cost.get("seconds", 0.0) >= 1 else "",
    ]
    return ", ".join(word for word in words if word)


def _text(attachments: Mapping[str, bytes], name: str) -> str:
    text = attachments.get(name, b"").decode("utf-8", errors="replace")
    return render.visible(text[:ATTACHMENT_CHARACTERS])


def _size(proposal: Proposal) -> str:
    before = proposal.campaign.mutable(proposal.parent_commit)
    added, removed = patch.lines(before, proposal.files)
    return f"{', '.join(proposal.files)}: {added} lines added, {removed} removed"


def _next_call(proposal: Proposal) -> str:
    by = proposal.decision.get("by", "")
    if proposal.status == "approved":
        return f"ark.apply(proposal) — approved by {by}"
    if proposal.status == "refused":
        return f"ark.propose(campaign) — refused by {by}: {proposal.decision.get('reason', '')}"
    return "proposal.approve() or proposal.refuse('why')"
