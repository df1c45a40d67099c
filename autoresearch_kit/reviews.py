"""A person decides on proposals: in a widget where there is one, as a page of text elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoresearch_kit import callables, files, program, progress, proposers, render, succession
from autoresearch_kit.errors import ApprovalPending, AutoresearchError, ProposalError
from autoresearch_kit.pages import deadline, page_of, still
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import Proposer
from autoresearch_kit.texts import restored, shown

if TYPE_CHECKING:
    from autoresearch_kit.widgets import ReviewWidget

PONG_SECONDS = 4.0
FIRST_PONG_SECONDS = 30.0  # a busy browser takes its time to load and draw a new widget
LOOK_SECONDS = 1.0

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
                    if (now.status, deadline(now)) != (page["status"], page["deadline"]):
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
            raise ProposalError(
                "another proposal took the place of the one that you decided on, and nothing was "
                "done. The page shows the new one: look at it first."
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
            guess = guess_of(message.get("guess") or "")
            edited = {
                path: restored(text, proposal.proposed[path])
                for path, text in (message.get("files") or {}).items()
                if path in proposal.proposed
            }
            proposal.approve(files=edited or None, guess=guess)
            words = "Approved with your edits." if proposal.edited_by_human else "Approved."
            of_night = proposal.key.startswith("night|")
            return words + (" The night takes it." if of_night else " Next: ark.apply(proposal).")
        line = str(message.get("never_again") or "")
        words = refuse(proposal, str(message.get("reason") or ""), line)
        return words if line else f"{words} Next: ark.propose(campaign)."

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
        with self._lock:
            if proposal.id in self._revising:
                raise ProposalError("the proposer is at work on it already; its reply comes here")
            self._revising.add(proposal.id)
        work = (proposal, feedback)
        threading.Thread(target=self._revise, args=work, name="revision", daemon=True).start()

    def _revise(self, proposal: Proposal, feedback: str) -> None:
        """Make the revision, and stream what the proposer says."""
        from autoresearch_kit.widgets import Stream

        stream = Stream(self.widget.send)
        answer: dict[str, Any] = {"type": "answer", "to": "revise", "ok": True}
        try:
            with progress.listening(stream.add):
                revise(proposal, feedback, self._by)
            answer["text"] = "Revised: here is the next try."
        except AutoresearchError as error:
            answer |= {"ok": False, "text": str(error)}
        except Exception as error:  # a thread must not die without a word
            _log.exception("a revision failed")
            answer |= {"ok": False, "text": f"{type(error).__name__}: {error}"}
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
                seconds = PONG_SECONDS
                if not self.widget.displayed:
                    progress.display(self.widget)
                    seconds = FIRST_PONG_SECONDS
                self.widget.send({"type": "ping"})
                try:
                    await asyncio.wait_for(heard.wait(), seconds)
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


def refuse(proposal: Proposal, reason: str, never_again: str = "") -> str:
    """Refuse a proposal, append a line to program.md if there is one, and say what was done.

    The refusal stands also when the line can't be written.
    """
    proposal.refuse(reason)
    if not never_again:
        return "Refused; the next proposals learn why."
    try:
        added = program.forbid(proposal.campaign.path, never_again)
    except (AutoresearchError, OSError) as error:
        return f"Refused, but program.md stays as it was: {error}"
    return f"Refused, and added to program.md: {added.strip()}"


def revise(proposal: Proposal, feedback: str, by: Proposer | None) -> Proposal:
    """Ask `by`, else the proposal's own proposer, else the campaign's, for another try.

    Raises
    ------
    ProposalError
        When there is no feedback or the proposer fails, whatever it raises; the proposal stays
        open then.
    CampaignError
        When it was decided before, or while the proposer was at it.
    """
    by = by or proposal.by or _of_night(proposal) or proposers.choose(proposal.campaign, None)
    try:
        return succession.revise(proposal, feedback, by)
    except AutoresearchError:
        raise
    except Exception as error:  # a proposer may be anybody's code
        _log.info("a proposer failed to revise", exc_info=True)
        raise ProposalError(f"the proposer failed: {type(error).__name__}: {error}") from error


def _of_night(proposal: Proposal) -> Proposer | None:
    """Return the proposer of the night that a proposal was made in, as far as it can come here."""
    night = proposal.key.removeprefix("night|")
    if night == proposal.key:
        return None
    found: Proposer | None = callables.kept(proposal.campaign.state / "nights" / night, "by")
    return found


def guess_of(text: str) -> float | None:
    """Return the effect that a person guessed; None when nothing was typed.

    Raises
    ------
    ProposalError
        When it is no number.
    """
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
