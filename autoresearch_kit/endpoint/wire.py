"""A chat completion as it comes over the wire: server-sent events or one JSON document.

Which of the two it is shows in its first character: some servers answer a request for a stream
with a document, and media types are wrong often. Servers differ in what they leave out, so nothing
is taken for granted but the outline: choices with a delta or a message.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

CACHED = (  # where servers tell the tokens of a prompt that they had in a cache
    ("prompt_tokens_details", "cached_tokens"),  # OpenAI, vLLM, llama.cpp, Ollama, xAI, Mistral
    ("input_tokens_details", "cached_tokens"),  # gateways that translate from the Responses API
    ("prompt_cache_hit_tokens",),  # DeepSeek
    ("cache_read_input_tokens",),  # Anthropic, and gateways to it
    ("cached_tokens",),  # Moonshot
)
QUOTED = 200  # characters of what is no reply
LARGEST = 10_000_000  # bytes of a document


class Rubbish(Exception):
    """What came is no chat completion; the message quotes how it begins."""


class Silence(Exception):
    """The server keeps the connection open and says nothing on it."""


class Reading:
    """What has come of a reply so far.

    Attributes
    ----------
    finish
        The reason that the server gives for the end, "" as long as there is none.
    usage
        What it says about tokens, as it says it.
    error
        The error that came in place of the rest, None for none.
    done
        The server said that nothing follows.
    size
        Characters of text and reasoning.
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self.finish = self.model = ""
        self.usage: Mapping[str, Any] = {}
        self.error: Any = None
        self.done = False
        self.size = 0

    @property
    def text(self) -> str:
        """What it says."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What it thinks, where the server tells that apart."""
        return "".join(self._reasoning)

    @property
    def refusal(self) -> str:
        """Why it doesn't answer."""
        return "".join(self._refusal)

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the prompt as reported."""
        return _count(self.usage, ("prompt_tokens",)) or _count(self.usage, ("input_tokens",))

    @property
    def completion_tokens(self) -> int | None:
        """Tokens of the reply as reported, reasoning included."""
        return _count(self.usage, ("completion_tokens",)) or _count(self.usage, ("output_tokens",))

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that came from a cache, as reported."""
        return next(filter(None, (_count(self.usage, path) for path in CACHED)), 0)

    def take(self, document: Any) -> str:
        """Add a chunk, or a whole completion, and return the words in it.

        Raises
        ------
        Rubbish
            When it is neither.
        """
        if not isinstance(document, dict):
            raise Rubbish(json.dumps(document)[:QUOTED])
        if document.get("error") or document.get("object") == "error":
            self.error = document.get("error") or document
            return ""
        choices = document.get("choices")
        if not isinstance(choices, list) and "usage" not in document:
            raise Rubbish(json.dumps(document)[:QUOTED])
        if isinstance(model := document.get("model"), str) and model:
            self.model = model
        for usage in (document.get("usage"), _table(document.get("x_groq")).get("usage")):
            if isinstance(usage, dict):
                self.usage = usage
        return self._choice(_table(choices[0])) if isinstance(choices, list) and choices else ""

    def _choice(self, choice: Mapping[str, Any]) -> str:
        if finish := choice.get("finish_reason"):
            self.finish = str(finish)
        part = _table(choice.get("delta" if "delta" in choice else "message"))
        content = part.get("content")
        said = _words(content, "text") or _words(choice.get("text"), "text")
        thoughts = (part.get("reasoning_content"), part.get("reasoning"))  # some send both
        thought = next(filter(None, (_words(t, "text") for t in thoughts)), "")
        thought += _words(content, "thinking") if isinstance(content, list) else ""
        between = "\n\n" if said and (thought or self._reasoning) and not self._text else ""
        for words, parts in ((said, self._text), (thought, self._reasoning)):
            if words:
                parts.append(words)
        self._refusal.append(_words(part.get("refusal"), "text"))
        self.size += len(said) + len(thought)
        return thought + between + said


def read(
    chunks: Iterable[bytes],
    reading: Reading,
    *,
    most: int,
    patience: float,
    say: Callable[[str], None],
) -> None:
    """Fill `reading` with the reply that `chunks` hold, handing its words to `say` as they come.

    Parameters
    ----------
    most
        Characters: a longer reply ends there, with `Reading.finish` "length".
    patience
        Seconds without a word, though not without a sign of life.

    Raises
    ------
    Rubbish
        When they hold no reply.
    Silence
        When nothing came for too long.
    """
    start, chunks = _peeked(chunks, patience)
    if start.startswith((b"{", b"[")):
        if words := reading.take(document(chunks, patience=patience)):
            say(words)
        reading.done = True
        return
    if start.startswith(b"<"):
        raise Rubbish(start[:QUOTED].decode("utf-8", "replace"))
    any_event = False
    for data in events(_patient(chunks, reading, patience)):
        any_event = True
        if data.strip() == "[DONE]":
            reading.done = True
            return
        if words := reading.take(_json(data)):
            say(words)
        if reading.error is not None:
            return
        if reading.size > most:
            reading.finish = "length"
            return
    if not any_event:
        raise Rubbish(start[:QUOTED].decode("utf-8", "replace"))


def document(chunks: Iterable[bytes], *, patience: float) -> Any:
    """Return the JSON document that `chunks` hold; raises as `read` does."""
    begun, parts, size = time.monotonic(), [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > LARGEST:
            raise Rubbish(parts[0][:QUOTED].decode("utf-8", "replace"))
        if time.monotonic() - begun > patience:
            raise Silence
    return _json(b"".join(parts).decode("utf-8", "replace"))


def events(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the data of each server-sent event that has some."""
    data: list[bytes] = []
    for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line:
            if any(data):
                yield b"\n".join(data).decode("utf-8", "replace")
            data = []
    if any(data):  # the last event of a server that forgets the empty line
        yield b"\n".join(data).decode("utf-8", "replace")


def _patient(chunks: Iterable[bytes], reading: Reading, patience: float) -> Iterator[bytes]:
    """Pass on what comes until there was no word in it for too long: all else is a sign of life.

    What counts is bytes, not lines or events, so that none of a kind that is passed over, or that
    never ends, keeps the connection open for ever.
    """
    last, size = time.monotonic(), reading.size
    for chunk in chunks:
        yield chunk
        if reading.size > size:
            last, size = time.monotonic(), reading.size
        elif time.monotonic() - last > patience:
            raise Silence


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines; only a line feed ends one, for JSON may hold other separators unescaped."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > LARGEST:
            raise Rubbish(rest[:QUOTED].decode("utf-8", "replace"))
    if rest:
        yield rest.removesuffix(b"\r")


def _peeked(chunks: Iterable[bytes], patience: float) -> tuple[bytes, Iterable[bytes]]:
    """Return how the bytes begin, and all of them; white space before them is a sign of life."""
    begun, iterator = time.monotonic(), iter(chunks)
    for chunk in iterator:
        if start := chunk.lstrip(b"\xef\xbb\xbf \t\r\n"):
            return start, itertools.chain([start], iterator)
        if time.monotonic() - begun > patience:
            raise Silence
    return b"", ()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Rubbish(text[:QUOTED]) from None


def _words(content: Any, kind: str) -> str:
    """Return the words of a string, or of the parts of one kind in a list."""
    if isinstance(content, str):
        return content
    parts = [_table(part) for part in content] if isinstance(content, list) else []
    return "".join(_words(p.get(kind), "text") for p in parts if p.get("type", "text") == kind)


def _count(usage: Mapping[str, Any], path: tuple[str, ...]) -> int | None:
    value: Any = usage
    for name in path:
        value = _table(value).get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if number and 0 <= value < 1e9 else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
