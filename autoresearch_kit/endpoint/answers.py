"""What came of a request to a model: its words, its price in tokens, and whether it is of use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from autoresearch_kit import tokens
from autoresearch_kit.endpoint.failures import Failure
from autoresearch_kit.endpoint.wire import Reading
from autoresearch_kit.traits import Traits

Share = Literal["whole", "cut", "unknown"]

LEAST_CONTEXT = 128  # tokens
SHORTFALL = 300  # tokens that have to be missing before a prompt counts as cut
CUT, CUT_UNCALIBRATED = 0.6, 0.4  # share of the expected prompt that a cut one stays below
CUT_REPLY = ("length", "max_tokens", "model_length")  # how servers call it
FULL = 0.9  # share of the allowed tokens; a reply that was cut before had no room


@dataclass(frozen=True)
class Answer:
    """What a model said, and what it took.

    Attributes
    ----------
    reasoning
        What it thought, where the server tells that apart from `text`.
    finish
        Why it ended, as the server says it; "" when it doesn't.
    model
        Its name as the server says it.
    prompt_tokens, cached_tokens, completion_tokens
        Tokens sent, those of them that the server had in a cache, and tokens written; replies that
        broke off before this one included.
    estimated
        The server doesn't tell these numbers, or not all of them.
    seconds
        From the first request to the end of the answer, further tries included.
    """

    text: str
    reasoning: str
    finish: str
    model: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    estimated: bool
    seconds: float


def share(reading: Reading, expected: int, known: Traits, messages: int) -> Share:
    """Return how much of a prompt the server took, as far as its report tells.

    Some versions of servers count only what they had not in their cache. They took a prompt of
    this length before, then; a server that cuts such a prompt never did. Or they took a longer one
    than they report now, and this is a later turn, with an earlier reply in it that may be long.

    Parameters
    ----------
    expected
        Tokens that it should report.
    messages
        How many the conversation has.
    """
    told, seen = _told(reading), known.seen or 0
    if not told:
        return "unknown"
    if told < LEAST_CONTEXT:  # no model has so little room: it means something else
        return "unknown" if expected - told >= SHORTFALL else "whole"
    least = (CUT if known.ratio is not None else CUT_UNCALIBRATED) * expected
    if (reading.prompt_tokens or 0) + reading.cached_tokens >= least or expected - told < SHORTFALL:
        return "whole"
    cached = seen >= 0.9 * expected or (messages > 2 and told < 0.9 * seen)
    return "unknown" if cached else "cut"


def of(reading: Reading, expected: int, share: Share, seconds: float) -> Answer:
    """Return the answer that a reply is, however the server spells it."""
    text, reasoning = reading.text, reading.reasoning
    told = _told(reading) if share != "unknown" else None
    written = reading.completion_tokens
    counted = tokens.count(text) + tokens.count(reasoning) if written is None else written
    if not text.strip():
        text, reasoning = reasoning, ""
    return Answer(
        text=text,
        reasoning=reasoning,
        finish=reading.finish,
        model=reading.model,
        # What came from a cache is part of the prompt, or it would be paid less than nothing.
        prompt_tokens=max(told or expected, reading.cached_tokens),
        cached_tokens=reading.cached_tokens,
        completion_tokens=counted,
        estimated=not told or written is None,
        seconds=seconds,
    )


def together(answer: Answer, lost: Sequence[Answer]) -> Answer:
    """Return `answer` with the tokens of replies that broke off before it added to its own."""
    if not lost:
        return answer
    every = (*lost, answer)
    return replace(
        answer,
        prompt_tokens=sum(one.prompt_tokens for one in every),
        cached_tokens=sum(one.cached_tokens for one in every),
        completion_tokens=sum(one.completion_tokens for one in every),
        estimated=True,
    )


def problem(
    reading: Reading, answer: Answer, expected: int, share: Share, most: int
) -> Failure | None:
    """Return why an answer is of no use, None when it is.

    Parameters
    ----------
    most
        Tokens that were asked for.
    """
    written = answer.completion_tokens
    if share == "cut":
        told = answer.prompt_tokens
        return Failure("cut prompt", f"{told:,} of about {expected:,}", limit=told)
    if reading.finish in CUT_REPLY:
        return Failure("full" if written < FULL * most else "cut reply", f"{written:,}")
    if re.search("filter|policy|safety", reading.finish):
        return Failure("refused", reading.refusal or f"finish_reason {reading.finish!r}")
    if reading.refusal and not answer.text.strip():
        return Failure("refused", reading.refusal)
    if not answer.text.strip():
        return Failure("empty", f"{written:,} tokens, finish_reason {reading.finish!r}")
    return None


def _told(reading: Reading) -> int:
    """Return the reported tokens of a prompt; 0 when there are none.

    Anthropic's way is to count those from a cache apart, so that there may be more of them.
    """
    told, cached = reading.prompt_tokens or 0, reading.cached_tokens
    return told + cached if cached > told else told
