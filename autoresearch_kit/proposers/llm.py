"""A language model as the proposer: one prompt, one reply, and a few chances to repair it.

The model sees program.md, the code and what was tried, and answers in plain text. A reply that
can't be read, changes nothing or repeats an experiment goes back to it with the reason; no broken
patch ever costs a second of training.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autoresearch_kit import endpoint, files, git, keys, progress, replies, scratchpad, traits
from autoresearch_kit.endpoint import Answer, Endpoint
from autoresearch_kit.errors import Duplicate, EndpointError, ProposalError, ReplyError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import prompt as prompts
from autoresearch_kit.proposers import submission
from autoresearch_kit.proposers.quotes import turnless
from autoresearch_kit.replies import Reply, markup
from autoresearch_kit.traits import Form

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

REPAIRS = 2
"""How often the model may correct a reply before it is asked for the whole file."""

SHORTENINGS = 5
"""How often a prompt that is too long for the model is made shorter."""

MAX_REASONING = 20_000  # characters of a model's thoughts that are kept
KEPT_FAILURES = 20  # conversations that came to nothing


@dataclasses.dataclass(frozen=True, repr=False)
class LLM:
    """Ask a language model for a change, over any OpenAI-compatible chat endpoint.

    Parameters
    ----------
    model
        The model's name. None takes the server's only model; where there are several it is an
        error that lists them.
    base_url
        The server, such as ``"http://127.0.0.1:8000/v1"``; else OPENAI_BASE_URL, else OpenAI.
    api_key
        The key, or the name of the environment variable that has it: ``"$OPENROUTER_API_KEY"``.
        Default: OPENAI_API_KEY. A key that is in no variable stays in this kernel: a night then
        asks here for its proposals.
    price
        What a million tokens cost, in the currency that nights count in: ``{"input": 3,
        "cached": 0.3, "output": 15}``. Without it the money is unknown, and a night with
        ``max_cost=`` doesn't begin.
    form
        ``"blocks"`` (search and replace) or ``"file"`` (the whole file); by default what this
        model has failed at less.
    prompt_tokens, max_tokens
        Bounds of the prompt and of one reply, in tokens.
    stall_seconds
        How long the server may be silent.
    options
        More parameters of the request: ``{"temperature": 0.8, "reasoning_effort": "high"}``.
        What a server rejects is left out and remembered.

    Raises
    ------
    EndpointError
        When the server gives no usable answer; its `kind` says which way.
    ReplyError
        When no reply could be read or applied, after two repairs and the whole file.
    Duplicate, NoChange
        When the model insists on what was tried, or changes nothing.

    Notes
    -----
    What is learned of a model (parameters it rejects, its context, how its tokens relate to the
    estimate, which form it gets right) lies in ``<git common dir>/autoresearch/models.json``.
    Two repairs and the fall-back to the whole file follow the failure rates of published edit
    benchmarks: weak models write well-formed search blocks in 64 to 94 % of cases, whole files in
    over 99 %.
    """

    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    price: Mapping[str, float] | None = None
    _: dataclasses.KW_ONLY
    form: Form | None = None
    prompt_tokens: int = 24_000
    max_tokens: int = 8_000
    stall_seconds: float = 120.0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.form not in (None, "blocks", "file"):
            raise ProposalError(f"form={self.form!r}; expected 'blocks', 'file' or None")
        for name in ("prompt_tokens", "max_tokens", "stall_seconds"):
            number = getattr(self, name)
            if type(number) not in (int, float) or not 0 < number < math.inf:
                raise ProposalError(f"{name}={number!r}; expected a number above 0")
        if not isinstance(self.options, Mapping):
            raise ProposalError(
                f"options={self.options!r}; expected more parameters of the request by name, such "
                "as options={'temperature': 0.8}"
            )
        if self.price is not None and not _is_price(self.price):
            raise ProposalError(
                f"price={self.price!r}; expected what a million tokens cost, as numbers: "
                "price={'input': 3, 'output': 15}, and 'cached' if that is cheaper"
            )
        self._remember()

    def _remember(self) -> None:
        """Let the kit know what must not be seen anywhere, whatever its variable is called."""
        key = self.api_key or ""
        given = os.environ.get(key[1:]) if key.startswith("$") else key
        for secret in endpoint.secrets_of(self.options, self.base_url, given):
            keys.remember(secret)

    @property
    def reports(self) -> set[str]:
        """What a proposal's `cost` will say."""
        return {"tokens"} if self.price is None else {"tokens", "money"}

    def __call__(
        self,
        campaign: Campaign,
        *,
        idea: str | None = None,
        revises: Proposal | None = None,
        sections: Mapping[str, str] | None = None,
    ) -> Proposal:
        """Store what the model proposes on the campaign's best state.

        `sections` are more parts of the prompt, title → text.
        """
        with progress.streaming(f"{self.model or 'LLM'} proposes"):
            return _Talk(self, campaign, idea, revises, sections or {}).hold()

    def endpoint(self) -> Endpoint:
        """Return where to ask, with the key as the environment has it now."""
        self._remember()
        key = self.api_key
        if key and key.startswith("$"):
            key = os.environ.get(key[1:])
            if not key:
                raise EndpointError(
                    f"the environment has no {self.api_key}, which api_key= names; export it, or "
                    "leave api_key= out where the server needs none",
                    "unauthorized",
                )
        return Endpoint(
            model=self.model,
            base_url=self.base_url,
            api_key=key,
            options=self.options,
            stall_seconds=self.stall_seconds,
            max_tokens=self.max_tokens,
        )

    def __repr__(self) -> str:
        """Return a name without a key, the same for the same arguments."""
        told = [repr(self.model)] if self.model else []
        if self.base_url:
            told.append(f"base_url={endpoint.public(self.base_url)!r}")
        if self.form:
            told.append(f"form={self.form!r}")
        return f"LLM({', '.join(told)})"

    def __getstate__(self) -> dict[str, Any]:
        """Return what may be written to disk: a key travels by the name of its variable."""
        state = dict(vars(self))
        if self.api_key and not self.api_key.startswith("$"):
            names = [name for name, value in os.environ.items() if value == self.api_key]
            if not names:
                raise TypeError("a key that is in no environment variable can't leave its process")
            state["api_key"] = f"${names[0]}"
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._remember()


def _is_price(price: Any) -> bool:
    if not isinstance(price, Mapping):
        return False
    numbers = [type(value) in (int, float) and 0 <= value < math.inf for value in price.values()]
    return {"input", "output"} <= price.keys() <= {"input", "cached", "output"} and all(numbers)


class _Talk:
    """One conversation: what was asked and answered, and what it took."""

    def __init__(
        self,
        llm: LLM,
        campaign: Campaign,
        idea: str | None,
        revises: Proposal | None,
        sections: Mapping[str, str],
    ) -> None:
        self._llm, self._campaign = llm, campaign
        self._idea, self._revises, self._sections = idea, revises, sections
        self._memory = git.common_dir(campaign.path) / "autoresearch" / "models.json"
        self._notes = scratchpad.is_due(campaign)
        self._budget = llm.prompt_tokens
        self._messages: list[dict[str, str]] = []
        self._transcript: list[str] = []
        self._tokens = 0

    def hold(self) -> Proposal:
        """Ask until a reply becomes a proposal, or the model has had its chances."""
        asked = self._llm.endpoint()
        self._endpoint = dataclasses.replace(asked, model=endpoint.model_of(asked))
        self._server = endpoint.server_of(asked)
        self._form = self._llm.form or traits.preferred(self._traits())
        self._begin()
        repairs, objected = 0, False
        while True:
            try:
                text = self._ask()
                reply = replies.parse(text, self._parent.files)
                self._learn(reply.form, good=True)
                return self._submit(reply)
            except Duplicate as error:
                submission.fail(self._campaign, {}, 1)
                if objected:
                    raise self._gave_up(error) from None
                objected = True
                self._request(f"{error}\nPropose something else, in the same format.")
            except EndpointError as error:
                if error.kind not in ("truncated", "empty") or repairs > REPAIRS:
                    raise
                repairs += 1
                self._answered(error.answer.text if error.answer else "")
                self._request(f"{error}\nAnswer again, shorter, in the format above.")
            except ProposalError as error:
                submission.fail(self._campaign, {}, 1)
                if isinstance(error, ReplyError):
                    self._learn(self._written(), good=False)
                if repairs > REPAIRS:
                    raise self._gave_up(error) from None
                repairs += 1
                whole = (
                    replies.instructions("file", self._parent.files) if repairs > REPAIRS else ""
                )
                self._request(f"{error}\n{whole}")
                if whole:
                    self._form = "file"

    def _gave_up(self, error: ProposalError) -> ProposalError:
        """Return what a person has to know; the error itself is written for the model."""
        folder = self._campaign.state / "failed-replies"
        file = folder / f"{time.time_ns():019d}.md"
        files.write_text(file, keys.redact("\n\n".join(self._transcript)) + "\n")
        for old in sorted(folder.glob("[0-9]*.md"))[:-KEPT_FAILURES]:
            old.unlink(missing_ok=True)
        tries = sum(part.startswith("# Reply") for part in self._transcript)
        why = str(error).splitlines()[0]
        return type(error)(
            f"{self._endpoint.model} gave no usable reply in {tries} tries ({self._tokens:,} "
            f"tokens). The last one: {why} All of them: {file}. Repeat the call, or take a larger "
            "model; one that fails at search and replace may do better with form='file'."
        )

    def _begin(self) -> None:
        """Write the prompt, as long as this model may have it."""
        known, self._parent = self._traits(), self._campaign.best
        budget = self._budget
        if known.context:
            room = min(self._llm.max_tokens, known.context // 3)
            budget = min(budget, known.context - room)
            self._endpoint = dataclasses.replace(self._endpoint, max_tokens=room)
        self._prompt = prompts.build(
            self._campaign,
            format=replies.instructions(self._form, self._parent.files, notes=self._notes),
            budget=budget,
            ratio=known.ratio or 1.0,
            idea=self._idea,
            revises=self._revises,
            sections=self._sections,
            notes=self._notes,
        )
        self._messages[:2] = [
            {"role": "system", "content": self._prompt.system},
            {"role": "user", "content": self._prompt.user},
        ]

    def _ask(self) -> str:
        """Return the model's answer to what was said so far; what is too long is made shorter."""
        for _ in range(SHORTENINGS):
            try:
                answer = endpoint.complete(
                    self._endpoint, self._messages, memory=self._memory, say=progress.say
                )
            except EndpointError as error:
                if error.answer:
                    self._pay(error.answer)
                if error.kind != "context":
                    raise
                self._shorten()
            else:
                self._pay(answer)
                self._answered(answer.text, answer.reasoning)
                return answer.text
        raise EndpointError(
            f"{self._endpoint.model} refuses even a prompt of about {self._prompt.tokens:,} tokens "
            "as too long; serve the model with a longer context, or take another one",
            "context",
        )

    def _shorten(self) -> None:
        if len(self._messages) > 4:  # the last reply and what is wrong with it are enough
            del self._messages[2:-2]
            return
        self._budget = int(min(self._budget, self._prompt.tokens) * 0.75)
        try:
            self._begin()
        except ProposalError as error:  # nothing that the model could repair
            raise EndpointError(str(error), "context") from None

    def _answered(self, text: str, reasoning: str = "") -> None:
        # Many chat templates insist on turns, so that even silence has to be one.
        self._messages.append({"role": "assistant", "content": text or "(nothing)"})
        if reasoning:
            self._transcript.append(f"# Reasoning\n\n{reasoning[:MAX_REASONING]}")
        self._transcript.append(f"# Reply\n\n{text}")

    def _request(self, words: str) -> None:
        """Ask for another reply; the reason is part of what a person sees later."""
        words = turnless(words)
        self._messages.append({"role": "user", "content": words})
        self._transcript.append(f"# Asked to try again\n\n{words}")
        progress.say(f"\n\n[asked to try again: {words.splitlines()[0]}]\n\n")

    def _submit(self, reply: Reply) -> Proposal:
        attachments = {
            "prompt.md": self._prompt.text,
            "reply.md": "\n\n".join(self._transcript) + "\n",
        }
        if self._notes and reply.notes:
            attachments[scratchpad.NAME] = reply.notes
        made = submission.submit(
            self._campaign,
            files=reply.files,
            hypothesis=reply.hypothesis,
            author=f"LLM {self._endpoint.model}",
            expected=reply.expected,
            again=reply.again,
            attachments=attachments,
            parent=self._parent,
        )
        if self._notes and reply.notes:
            scratchpad.write(self._campaign, keys.redact(reply.notes))
        return made

    def _pay(self, answer: Answer) -> None:
        """Put an answer on the caller's account at once: a kill must not make it free.

        The proposal that comes of the conversation takes the account over.
        """
        prompt, cached = answer.prompt_tokens, min(answer.cached_tokens, answer.prompt_tokens)
        cost: dict[str, float] = {"tokens": prompt + answer.completion_tokens, "cached": cached}
        if answer.estimated:
            cost["estimated"] = True
        if price := self._llm.price:
            reused = price.get("cached", price["input"])
            million = (prompt - cached) * price["input"] + cached * reused
            cost["money"] = (million + answer.completion_tokens * price["output"]) / 1e6
        self._tokens += prompt + answer.completion_tokens
        submission.fail(self._campaign, cost, 0)

    def _written(self) -> Form:
        """Return the form of the last reply: what was asked for, unless it has markers."""
        lines = self._messages[-1]["content"].splitlines()
        return "blocks" if any(map(markup.is_marker, lines)) else self._form

    def _traits(self) -> traits.Traits:
        return traits.read(self._memory, self._server, self._endpoint.model or "")

    def _learn(self, form: Form, *, good: bool) -> None:
        model = self._endpoint.model or ""
        traits.update(self._memory, self._server, model, reply=(form, good))
