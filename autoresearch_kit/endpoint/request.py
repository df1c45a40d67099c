"""What is asked of a model, and what of it may be left out for a server that doesn't take it."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from autoresearch_kit import tokens
from autoresearch_kit.endpoint.failures import Failure

LIMITS = ("max_tokens", "max_completion_tokens")
TRANSPORT = ("extra_headers", "extra_query")
PER_MESSAGE = 4  # tokens that a chat template adds
ROOM = 512  # tokens of a reply; with room for less, asking makes no sense
SLACK = 1.1  # what an estimate may be off


class Request:
    """A conversation with everything that may be said beside it.

    Attributes
    ----------
    wanted, most
        Tokens of the reply as asked for, and as far as the server has room for them.
    transport
        What goes beside the body: headers and query.

    Raises
    ------
    TypeError, ValueError, AttributeError
        When the options hold what can't be sent.
    """

    def __init__(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        options: Mapping[str, Any],
        most: int,
        limits: Sequence[str] = LIMITS,
    ) -> None:
        extra = options.get("extra_body")
        given = {**options, **(extra if isinstance(extra, Mapping) else {})}
        self.model = model
        # Half a character, of a file in another encoding, can't be sent.
        self.messages = [{k: _sendable(v) for k, v in message.items()} for message in messages]
        self.transport = {name: given[name] for name in TRANSPORT if given.get(name)}
        for value in dict(self.transport.get("extra_headers", {})).values():
            value.encode("ascii")
        self._streams = bool(given.get("stream", True))
        chosen = [name for name in LIMITS if isinstance(given.get(name), int)]
        self.limits = (*chosen, *(name for name in limits if name not in chosen))
        self.wanted = self.most = int(given[chosen[0]]) if chosen else most
        own = {"stream", "stream_options", "extra_body", "model", "messages", *LIMITS, *TRANSPORT}
        self._given = {name: value for name, value in given.items() if name not in own}
        # A value that no server can be told is better known here.
        json.dumps(self._given, allow_nan=False, ensure_ascii=False).encode()

    @functools.cached_property
    def prompt_tokens(self) -> int:
        """About how many tokens the prompt has."""
        return sum(tokens.count(m["content"]) + PER_MESSAGE for m in self.messages)

    def fit(self, failure: Failure, ratio: float | None) -> bool:
        """Ask for no more than a server has room for or allows; True when that is less."""
        expected = failure.prompt or SLACK * self.prompt_tokens * (ratio or 1.0)
        allowed = [round(failure.limit - expected)] if failure.limit else []
        allowed += [failure.most] if failure.most else []
        most = min(allowed, default=0)
        if not ROOM <= most < self.most:
            return False
        self.most = most
        return True

    def body(self, dropped: Collection[str] = ()) -> dict[str, Any]:
        """Return the JSON object to send, without what is dropped."""
        system = "system" not in dropped
        body: dict[str, Any] = {
            "model": self.model,
            "messages": self.messages if system else without_system(self.messages),
            **{name: value for name, value in self._given.items() if name not in dropped},
        }
        limit = next((name for name in self.limits if name not in dropped), None)
        if limit:
            body[limit] = self.most
        if self._streams and "stream" not in dropped:
            body["stream"] = True
            if "stream_options" not in dropped:
                body["stream_options"] = {"include_usage": True}
        return body

    def optional(self, dropped: Collection[str]) -> list[str]:
        """Return what can still be left out, what is refused most often first."""
        body = self.body(dropped)
        ordered = ["stream_options", *self.limits, *self._given, "stream"]
        system = any(message["role"] == "system" for message in body["messages"])
        return [*(name for name in ordered if name in body), *(["system"] * system)]

    def trials(self, dropped: Collection[str]) -> Iterator[frozenset[str]]:
        """Yield what to leave out, besides, for a server that doesn't say what it objects to.

        First the same again, then without one of the parameters, then without more and more.
        """
        names = self.optional(dropped)
        yield frozenset()
        for name in names:
            yield frozenset({name})
        more = [name for name in self.limits if name not in names and name not in dropped]
        for count in range(2, len(names + more) + 1):
            yield frozenset((names + more)[:count])


def _sendable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def without_system(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the conversation with the system's words at the head of the next ones.

    Templates that know no system role want user and assistant in turns, so neighbours of the same
    role become one message.
    """
    folded: list[dict[str, str]] = []
    for message in messages:
        role = "user" if message["role"] == "system" else message["role"]
        if folded and folded[-1]["role"] == role:
            folded[-1]["content"] += f"\n\n{message['content']}"
        else:
            folded.append({**message, "role": role})
    return folded
