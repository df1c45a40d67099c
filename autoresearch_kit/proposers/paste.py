"""A model elsewhere as the proposer: a person takes it the prompt and brings its reply back.

For chats without an interface for programs, and for machines without a network. The reply goes
through the same parser and the same checks as that of `LLM`.
"""

from __future__ import annotations

import dataclasses
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import behalf, git, keys, progress, records, render, replies, scratchpad
from autoresearch_kit import files as store
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import (
    Duplicate,
    PatchConflict,
    ProposalError,
    ReplyError,
    ReplyPending,
)
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import prompt as prompts
from autoresearch_kit.proposers import submission
from autoresearch_kit.replies import matching
from autoresearch_kit.texts import shown

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.experiment import Experiment

PROMPT_TOKENS = 24_000
REPAIRS = 2
"""How often a reply is to be corrected before the whole file is asked for."""

MAX_DRAFT = 400_000  # characters of what is typed that are kept for a reload
MAX_TRY = 20_000  # characters of a reply that couldn't be used
TRIES = 3  # of which so many are kept: the file is written again as somebody types
PROMPTS = 5  # states that prompts were made of, to any of which a reply may come back
AGAIN = "Run this cell again: it returns the proposal."


@dataclasses.dataclass(frozen=True, repr=False)
class Paste:
    """Propose what a model answered to a prompt that a person took to it.

    In a notebook it shows the prompt with a button to copy it, and a box for the reply; the cell
    ends there with one line, and returns the proposal when it is run again. What can't be used
    comes with words to send back to the model. Elsewhere the prompt is written to a file.

    Parameters
    ----------
    reply
        The reply itself (a text of several lines), or the path of a file that holds it; taken at
        once, also where nobody looks.
    model
        Which model it was, for the record.

    Raises
    ------
    ReplyPending
        While there is no reply; says where the prompt is and what to do.
    ReplyError
        When the given reply can't be read or applied; the message is for the model.
    ProposalError
        When there is nobody to paste one, as in a night, or the reply can't be an experiment.

    Examples
    --------
    >>> ark.propose(campaign, by=ark.Paste())  # doctest: +SKIP
    >>> ark.propose(campaign, by=ark.Paste("reply.md", model="gpt-5"))  # doctest: +SKIP
    """

    reply: str | Path | None = None
    model: str = ""

    def __call__(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Store the reply as a proposal on the campaign's best state, or ask for it."""
        if self.reply is not None:
            return _Errand(campaign, idea).use(_text(self.reply), self.model)
        if behalf.key().startswith("night|"):
            raise ProposalError(
                "ark.Paste() needs a person who pastes, and a night has none. Give it another "
                "proposer: ark.overnight(campaign, by=ark.TPE(), approve=...)."
            )
        if revises is not None:
            raise ProposalError(
                "no model is at hand that could be asked again. For a prompt with your words and "
                "this patch in it, run ark.propose(campaign, by=ark.Paste(), "
                f"idea={revises.feedback!r}) in a cell, and refuse this proposal."
            )
        errand = _Errand(campaign, idea, self.model)
        if (made := errand.collected()) is not None:
            return made
        errand.ask()
        if progress.in_front_end():
            progress.display(_box(errand))
            raise ReplyPending(
                "paste the model's reply into the box above, then run this cell again"
            )
        raise ReplyPending(
            f"nobody can paste a reply here. The prompt is in {errand.file}: give it to a model, "
            "save its whole reply, and type ark.propose(campaign, by=ark.Paste('reply.md'))."
        )

    def __repr__(self) -> str:
        """Return the same for the same reply, also after a restart of the kernel."""
        told = []
        if self.reply is not None:
            is_text = isinstance(self.reply, str) and "\n" in self.reply
            content = str(self.reply).encode("utf-8", "surrogatepass")
            told = [f"<{zlib.crc32(content):08x}>" if is_text else repr(str(self.reply))]
        return f"Paste({', '.join(told + ([f'model={self.model!r}'] if self.model else []))})"


def _text(reply: str | Path) -> str:
    """Return a reply that was given as text or as a file."""
    if isinstance(reply, str) and "\n" in reply:
        return reply
    try:
        return Path(reply).expanduser().read_text(encoding="utf-8-sig", errors="replace")
    except (OSError, ValueError) as error:  # absent, a folder, or a text that is no path at all
        raise ProposalError(
            f"ark.Paste({str(reply)[:200]!r}) is neither a reply of several lines nor a file "
            f"({error}). Expected the model's whole reply, or the path of a file with it."
        ) from None


class _Errand:
    """One prompt that was taken to a model, for one caller; what comes back lies on disk."""

    def __init__(self, campaign: Campaign, idea: str | None, model: str = "") -> None:
        self.campaign, self.idea, self.key = campaign, idea, behalf.key()
        self.folder = campaign.state / "paste"
        self._kept = self.folder / f"{zlib.crc32(self.key.encode(errors='surrogatepass')):08x}.json"
        self.prompt: prompts.Prompt | None = None
        kept = store.read_table(self._kept)
        self.reply, self.model = str(kept.get("reply", "")), model or str(kept.get("model", ""))
        self.repair, self._made = str(kept.get("repair", "")), str(kept.get("made", ""))
        self.tries: list[list[str]] = list(kept.get("tries", []))
        self.failed = int(kept.get("failed", 0))

    @property
    def file(self) -> Path:
        """Where the prompt lies."""
        return self.folder / "prompt.md"

    def collected(self) -> Proposal | None:
        """Return the proposal that was made of a reply since the last call, if there is one."""
        made, self._made = self._made, ""
        for proposal in proposals.unfinished(self.campaign):
            if proposal.id == made and proposal.status in ("open", "approved"):
                self.keep()
                return proposal
        return None

    def ask(self) -> None:
        """Make the prompt, and put it into its file."""
        campaign = self.campaign
        revised = (p for p in campaign.pending() if self.idea and p.feedback == self.idea)
        earlier = next(revised, None)
        notes = scratchpad.is_due(campaign)
        self.prompt = prompts.build(
            campaign,
            format=replies.instructions("blocks", campaign.best.files, notes=notes),
            budget=PROMPT_TOKENS,
            idea=None if earlier else self.idea,
            revises=earlier,
            notes=notes,
        )
        store.write_text(self.file, self.prompt.text)
        commits = list(dict.fromkeys([campaign.best.commit, *self._asked_on()]))[:PROMPTS]
        store.write_json(self.folder / "prompt.json", {"commits": commits})

    def _asked_on(self) -> list[str]:
        """Return the commits that prompts of this campaign were made of, the newest first.

        Another cell, or a kernel before this one, may have shown the one that is answered now.
        """
        return list(store.read_table(self.folder / "prompt.json").get("commits", []))

    def use(self, text: str, model: str) -> Proposal:
        """Make a proposal of a reply; what is wrong with it is remembered and raised."""
        self.reply, self.model = text, model
        self.keep()
        with behalf.of(self.key):
            try:
                made = self._submit(text, records.clean(render.visible(model), 100))
            except PatchConflict:
                raise
            except ProposalError as error:
                self.repair = self._words(error)
                self.failed += 1
                self.tries = [*self.tries, [_shortened(text), _shortened(self.repair)]][-TRIES:]
                self.keep()
                submission.fail(self.campaign, {}, 1)
                raise
        self.reply, self.repair, self.tries, self.failed, self._made = "", "", [], 0, made.id
        self.keep()
        return made

    def _submit(self, text: str, model: str) -> Proposal:
        best = self.campaign.best
        reply, base = self._read(text, best)
        attachments = {"reply.md": self._transcript(text)}
        if self.file.exists():
            attachments["prompt.md"] = self.file.read_text(encoding="utf-8", errors="replace")
        notes = reply.notes if scratchpad.is_due(self.campaign) else ""
        if notes:
            attachments[scratchpad.NAME] = notes
        made = submission.submit(
            self.campaign,
            files=_onto(best, base, reply.files),
            hypothesis=reply.hypothesis,
            author=f"a pasted reply of {model}" if model else "a pasted reply",
            expected=reply.expected,
            again=reply.again,
            attachments=attachments,
            parent=best,
        )
        if notes:
            scratchpad.write(self.campaign, keys.redact(notes))
        return made

    def _read(self, text: str, best: Experiment) -> tuple[replies.Reply, Mapping[str, str]]:
        """Return the reply, and the texts that it changes: those of a prompt, or the best.

        A whole file doesn't say which texts it was made from: the nearest, so that what was kept
        since then counts as kept and not as undone by the reply.
        """
        path = self.campaign.path
        known = [c for c in self._asked_on() if c == best.commit or git.resolve(path, c)]
        bases = [self.campaign.mutable(c) for c in dict.fromkeys([*known, best.commit])]
        wrong: list[ReplyError] = []
        for base in bases:
            try:
                reply = replies.parse(text, base)
            except ReplyError as error:
                wrong.append(error)
                continue
            if reply.form == "file":
                base = min(bases, key=lambda texts: _distance(texts, reply.files))
                reply = replies.parse(text, base)
            return reply, base
        raise wrong[0]

    def _words(self, error: ProposalError) -> str:
        """Return what the model has to be told about its reply."""
        if isinstance(error, Duplicate):
            return f"{error}\n\nPropose something else, in the same format."
        if self.failed >= REPAIRS:
            return f"{error}\n\n{replies.instructions('file', self.campaign.best.files)}"
        if isinstance(error, ReplyError):
            return str(error)
        return f"{error}\n\nAnswer again, in the same format."

    def _transcript(self, text: str) -> str:
        parts = [
            f"# Reply\n\n{bad}\n\n# Asked to try again\n\n{why}\n\n" for bad, why in self.tries
        ]
        if more := self.failed - len(self.tries):
            parts.insert(0, f"({more} earlier replies could not be used and are left out.)\n\n")
        return "".join([*parts, f"# Reply\n\n{text}\n"])

    def keep(self) -> None:
        """Write what is typed, tried and made to disk: for a reload, and for the next kernel."""
        kept = {
            "reply": self.reply[:MAX_DRAFT],
            "model": self.model[:MAX_DRAFT],
            "repair": self.repair,
            "tries": self.tries,
            "failed": self.failed,
            "made": self._made,
        }
        store.write_json(self._kept, kept)


def _distance(old: Mapping[str, str], new: Mapping[str, str]) -> int:
    """Return how many lines differ, in the files that are in `new`."""
    pairs = [
        (matching.lines(old.get(path, "")), matching.lines(text)) for path, text in new.items()
    ]
    return sum(len(a) + len(b) - 2 * len(matching.kept(a, b)) for a, b in pairs)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TRY else f"{text[: MAX_TRY - 2]} …"


def _onto(best: Experiment, base: Mapping[str, str], changed: Mapping[str, str]) -> dict[str, str]:
    """Return `changed` texts with what was kept since `base`."""
    merged = dict(changed)
    for path, text in changed.items():
        if base[path] != best.files[path]:
            merged[path], conflicted = git.merge_file(base[path], best.files[path], text)
            if conflicted:
                raise PatchConflict(
                    f"the reply and experiment {best.n:04d}, which was kept after the prompt was "
                    f"made, change the same lines of {path}. Run this cell again for a prompt with "
                    "the new state."
                )
    return merged


def _box(errand: _Errand) -> Any:
    """Return the widget that shows the prompt and takes the reply."""
    from autoresearch_kit.widgets import PasteWidget

    campaign, prompt = errand.campaign, errand.prompt
    assert prompt is not None  # `ask` has made it
    made = ""

    def now() -> dict[str, Any]:
        return {
            "reply": errand.reply,
            "model": errand.model,
            "repair": render.visible(errand.repair),
            "tries": errand.failed,
            "made": made,
        }

    def still() -> tuple[str, str]:
        rows = {
            "campaign": campaign.tag,
            "waits for": "" if made else "a model's reply to the prompt",
            "proposal": made,
            "next": "run this cell again",
        }
        where = "" if made else render.table({"prompt": errand.file})
        return render.table(rows) + where, render.card(rows)

    def hear(message: Mapping[str, Any]) -> str:
        nonlocal made
        if message.get("type") not in ("use", "draft"):
            return ""
        if made:
            return "" if message["type"] == "draft" else f"Taken already. {AGAIN}"
        reply, model = (shown(str(message.get(name) or "")) for name in ("reply", "model"))
        if message["type"] == "draft":
            errand.reply, errand.model = reply, model
            errand.keep()
            widget.now = now()
            return ""
        try:
            made = render.visible(errand.use(reply, model).hypothesis)
        except PatchConflict:
            raise
        except ProposalError as error:
            first = str(error).splitlines()[0]
            raise ProposalError(f"This reply can't be used yet: {first}") from error
        finally:
            widget.now = now()
        return f"A proposal was made of it. {AGAIN}"

    widget = PasteWidget(
        still,
        hear,
        page={
            "id": secrets.token_hex(8),
            "campaign": campaign.tag,
            "parent": campaign.best.n,
            "idea": render.visible(errand.idea or ""),
            "prompt": shown(prompt.text),
            "tokens": prompt.tokens,
            "left_out": list(prompt.left_out),
        },
        now=now(),
    )
    return widget
