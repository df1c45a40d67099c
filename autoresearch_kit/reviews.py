"""A person decides on proposals: in a widget where there is one, as a page of text elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from autoresearch_kit import files, patch, program, progress, proposers, render, succession
from autoresearch_kit.errors import ApprovalPending, AutoresearchError, ProposalError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import Proposer
from autoresearch_kit.texts import restored, shown

if TYPE_CHECKING:
    from autoresearch_kit.widgets import ReviewWidget

PONG_SECONDS = 3.0
LOOK_SECONDS = 1.0
ATTACHMENT_CHARACTERS = 400_000

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, repr=False)
class StillPage(render.Page):
    """A review where nobody can click: the proposal as text and HTML, and what to type."""

    proposals: Sequence[Proposal] = ()

    def __await__(self) -> Generator[Any, None, Proposal]:
        """Return the proposal when it is decided; there is nobody here to wait for."""
        proposal = succession.latest(self.proposals[0])
        if proposal.status == "open":
            raise ApprovalPending(
                "nobody has decided, and no front end is here to ask. Type proposal.approve() or "
                "proposal.refuse('why'); unattended, ark.overnight(campaign, approve=...) decides."
            )
        return proposal
        yield  # makes it a generator: what `await` expects


def review(
    proposal: Proposal | Sequence[Proposal], *, by: Proposer | None = None
) -> ReviewWidget | StillPage:
    """Show a proposal to a person, who approves, edits, refuses or sends it back; returns at once.

    What is decided is on disk before the button's colour changes: `apply` finds it there, in this
    kernel or the next one. Where no widget can be shown the result is a page of text that says
    what to type.

    Parameters
    ----------
    proposal
        A proposal, or several: ``ark.review(campaign.pending())`` after a restart.
    by
        Who is asked to revise it; by default its own proposer, else the campaign's.

    Notes
    -----
    ``await ark.review(proposal)`` waits for the decision where a front end answers, and raises
    `ApprovalPending` elsewhere.
    """
    given = list(proposal) if isinstance(proposal, Iterable) else [proposal]
    if not given:
        return StillPage("nothing waits for a decision", "<p>Nothing waits for a decision.</p>")
    if not all(isinstance(one, Proposal) for one in given):
        raise TypeError(
            f"expected a Proposal or a list of them, got {proposal!r}; type "
            "ark.review(ark.propose(campaign)) or ark.review(campaign.pending())"
        )
    if progress.in_front_end():
        return Desk(given, by).widget
    pages = [still(succession.latest(one)) for one in given]
    return StillPage(
        "\n".join(page.text for page in pages), "".join(page.html for page in pages), tuple(given)
    )


def still(proposal: Proposal) -> render.Page:
    """Return what a person needs to decide, and what to type next, as text and HTML."""
    page = page_of(proposal)
    rows = {
        "proposal": f"on {page['campaign']} {proposal.parent:04d}, {proposal.status}",
        "hypothesis": proposal.hypothesis,
        "author": proposal.author + (", edited by a person" if proposal.edited_by_human else ""),
        "expects": page["expected"],
        "cost": page["cost"],
        "changes": ", ".join([*page["touches"], _size(proposal)]),
        "look at": "; ".join(warning["text"] for warning in page["warnings"]),
        "next": _next_call(proposal),
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
        "deadline": _deadline(proposal),
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


class Desk:
    """Proposals before a person, one at a time; the widget shows them, the disk remembers."""

    def __init__(self, proposals: Sequence[Proposal], by: Proposer | None = None) -> None:
        from autoresearch_kit.widgets import ReviewWidget

        self._by = by
        self._proposals = [succession.latest(proposal) for proposal in proposals]
        self._at = 0
        self._revising: set[str] = set()
        self._listeners: list[Callable[[], None]] = []
        # Messages, the follower and a proposer at work come on threads of their own.
        self._lock = threading.RLock()
        self.widget = ReviewWidget(self._still, self._hear, page=self._page())
        self.widget.decided = self._decided
        if proposals:
            threading.Thread(target=self._follow, name="review", daemon=True).start()

    def lay(self, proposals: Sequence[Proposal]) -> None:
        """Show these proposals; the one that is being looked at stays in sight."""
        with self._lock:
            now = self._proposals[self._at].id if self._proposals else ""
            self._proposals = list(proposals)
            ids = [proposal.id for proposal in proposals]
            self._at = ids.index(now) if now in ids else 0
            self.refresh()

    def refresh(self) -> None:
        """Show what is on disk now."""
        with self._lock:
            self._proposals = [succession.latest(proposal) for proposal in self._proposals]
            self.widget.page = self._page()

    @property
    def _proposal(self) -> Proposal:
        return self._proposals[self._at]

    def _page(self) -> dict[str, Any]:
        if not self._proposals:
            return {}
        several = len(self._proposals) > 1
        position = (self._at + 1, len(self._proposals)) if several else None
        return page_of(self._proposal, position)

    def _still(self) -> tuple[str, str]:
        pages = [still(proposal) for proposal in self._proposals]
        return "\n".join(p.text for p in pages), "".join(p.html for p in pages)

    def _follow(self) -> None:
        """Notice what is decided elsewhere: in another cell, by a policy, on another machine."""
        waits = True
        while waits:
            time.sleep(LOOK_SECONDS)
            try:
                waited = self._waits()  # looked at first: what ends the wait is shown as well
                with self._lock:
                    now, page = self._proposal, self.widget.page
                    if (now.status, _deadline(now)) != (page["status"], page["deadline"]):
                        self.refresh()
                waits = waited or self._waits()
            except (AutoresearchError, OSError) as error:  # a printed traceback helps nobody
                _log.warning("a review is not up to date: %s", error)

    def _waits(self) -> bool:
        now = map(succession.latest, self._proposals)
        return any(proposal.status == "open" for proposal in now)

    def _hear(self, message: Mapping[str, Any]) -> str:
        try:
            return self._answer(message)
        finally:
            for listener in list(self._listeners):
                listener()

    def _answer(self, message: Mapping[str, Any]) -> str:
        kind = message.get("type")
        if kind == "go":
            with self._lock:
                self._at = (self._at + int(message["step"])) % len(self._proposals)
                self.refresh()
            return ""
        if kind not in ("approve", "refuse", "revise", "draft"):
            return ""
        with self._lock:
            found = {proposal.id: proposal for proposal in self._proposals}
        proposal = found.get(str(message.get("id")))
        if kind == "draft":
            if proposal is not None:
                self._keep_draft(proposal, message["files"])
            return ""
        if proposal is None:
            self.refresh()
            raise ProposalError(
                "another proposal took the place of the one that you decided on, and nothing was "
                "done. Here is the new one: look at it first."
            )
        if kind == "revise":
            self._ask(proposal, str(message.get("feedback") or ""))
            return ""
        try:
            return self._decide(proposal, message)
        finally:
            self.refresh()

    def _decide(self, proposal: Proposal, message: Mapping[str, Any]) -> str:
        if message["type"] == "approve":
            guess = _number(message.get("guess") or "")
            edited = {
                path: restored(text, proposal.proposed[path])
                for path, text in (message.get("files") or {}).items()
                if path in proposal.proposed
            }
            proposal.approve(files=edited or None, guess=guess)
            words = "Approved with your edits." if proposal.edited_by_human else "Approved."
            return f"{words} Next: ark.apply(proposal)."
        proposal.refuse(str(message.get("reason") or ""))
        words = "Refused; the next proposals learn why. Next: ark.propose(campaign)."
        if line := str(message.get("never_again") or ""):
            try:
                added = program.forbid(proposal.campaign.path, line)
            except (AutoresearchError, OSError) as error:  # the refusal itself stands
                return f"Refused, but program.md stays as it was: {error}"
            words = f"Refused, and added to program.md: {added.strip()}"
        return words

    def _keep_draft(self, proposal: Proposal, texts: Mapping[str, str]) -> None:
        """Keep unsaved edits: on disk for the next kernel, in the page for a reload of it."""
        if proposal.status != "open":
            return
        changed = {
            path: text
            for path, text in texts.items()
            if path in proposal.files and text != shown(proposal.files[path])
        }
        files.write_json(proposal.folder / "draft.json", changed)
        with self._lock:
            page = self.widget.page
            if page["id"] == proposal.id:
                now = [{**file, "draft": changed.get(file["path"])} for file in page["files"]]
                self.widget.page = {**page, "files": now}

    def _ask(self, proposal: Proposal, feedback: str) -> None:
        """Have the revision made on a thread of its own; a second click makes no second one."""
        by = self._by or proposal.by or proposers.choose(proposal.campaign, None)
        with self._lock:
            if proposal.id in self._revising:
                raise ProposalError("the proposer is at work on it already; its reply comes here")
            self._revising.add(proposal.id)
        work = (proposal, feedback, by)
        threading.Thread(target=self._revise, args=work, name="revision", daemon=True).start()

    def _revise(self, proposal: Proposal, feedback: str, by: Proposer) -> None:
        """Make the revision, and stream what the proposer says."""
        from autoresearch_kit.widgets import Stream

        stream = Stream(self.widget.send)
        answer: dict[str, Any] = {"type": "answer", "to": "revise", "ok": True}
        try:
            with progress.listening(stream.add):
                succession.revise(proposal, feedback, by)
            answer["text"] = "Revised: here is the next try."
        except AutoresearchError as error:
            answer |= {"ok": False, "text": str(error)}
        except Exception as error:  # a proposer may be anybody's code
            _log.info("a proposer failed to revise", exc_info=True)
            answer |= {"ok": False, "text": f"the proposer failed: {type(error).__name__}: {error}"}
        finally:
            self._revising.discard(proposal.id)
            stream.end()
        self.refresh()
        self.widget.send(answer)

    async def _decided(self) -> Proposal:
        """Wait until the proposal is decided, in this widget or elsewhere."""
        loop, heard = asyncio.get_running_loop(), asyncio.Event()

        def listen() -> None:
            loop.call_soon_threadsafe(heard.set)

        self._listeners.append(listen)
        try:
            if self._proposal.status == "open":
                if not self.widget.displayed:
                    progress.display(self.widget)
                self.widget.send({"type": "ping"})
                try:
                    await asyncio.wait_for(heard.wait(), PONG_SECONDS)
                except TimeoutError:
                    raise ApprovalPending(
                        "no front end answered, so there is nobody to wait for. Display "
                        "ark.review(proposal) in its own cell and run this one after the decision."
                    ) from None
            while (proposal := succession.latest(self._proposal)).status == "open":
                heard.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(heard.wait(), LOOK_SECONDS)
            return proposal
        finally:
            self._listeners.remove(listen)


def _number(text: str) -> float | None:
    if not text.strip():
        return None
    with contextlib.suppress(ValueError):
        number = float(text.replace("−", "-"))
        if math.isfinite(number):
            return number
    raise ProposalError(
        f"your guess {text!r} is no number; write the change that you expect, such as -0.01, "
        "or leave it empty"
    )


def _deadline(proposal: Proposal) -> dict[str, str] | None:
    asked = proposal.asked
    return {"at": asked["until"], "then": asked["then"]} if asked else None


def _cost(proposal: Proposal) -> str:
    cost = proposal.cost
    words = [
        f"{cost['money']:.3g} spent" if cost.get("money") else "",
        f"{cost['tokens']:,.0f} tokens" if cost.get("tokens") else "",
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
