"""Replies as bytes: whatever a server sends is a reply or rubbish, wherever its pieces end."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoresearch_kit.endpoint import wire
from autoresearch_kit.endpoint.wire import Reading, Rubbish


def read(body: bytes, size: int = 1 << 16) -> tuple[Reading, str]:
    reading, heard = Reading(), []
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    wire.read(chunks, reading, most=10_000, patience=60, say=heard.append)
    return reading, "".join(heard)


def stream(*documents: Any, end: str = "\n\n") -> bytes:
    data = [json.dumps(document, ensure_ascii=False) for document in documents]
    return "".join(f"data: {text}{end}" for text in [*data, "[DONE]"]).encode()


def piece(content: Any = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}}]}


@given(
    st.lists(st.text(st.characters(codec="utf-8"))),
    st.integers(1, 20),
    st.sampled_from(("\n\n", "\r\n\r\n")),
)
@example(["a\u2028b\x0b\x85", "\r\n", "é" * 9], 1, "\n\n")
def test_words_arrive_wherever_the_bytes_are_parted(words: list[str], size: int, end: str):
    reading, heard = read(stream(*map(piece, words), end=end), size)
    assert reading.text == heard == "".join(words)
    assert reading.done


@given(st.binary() | st.text().map(str.encode) | st.text().map(lambda t: f"data: {t}\n\n".encode()))
def test_any_bytes_are_a_reply_or_rubbish(body: bytes):
    try:
        reading, heard = read(body)
    except Rubbish:
        return
    assert reading.text == heard


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("content", "reasoning_content", "reasoning", "refusal")


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything)),
    st.fixed_dictionaries({}, optional={"usage": anything, "model": anything, "x_groq": anything}),
    anything,
)
def test_fields_of_any_kind_do_no_harm(part: dict[str, Any], more: dict[str, Any], finish: Any):
    choice = {"delta": part, "finish_reason": finish}
    reading, heard = read(stream({"choices": [choice], **more}))
    with contextlib.suppress(Rubbish):
        read(stream({"choices": finish, **more}))
    assert isinstance(reading.text + reading.reasoning + reading.refusal + reading.finish, str)
    assert reading.cached_tokens >= 0
    assert len(heard) >= reading.size


def test_what_a_stream_holds_besides_is_passed_over():
    body = b": hello\n\nevent: message\nid: 7\nretry: 10\n" + stream(piece("one"), piece(" two"))
    assert read(body)[0].text == "one two"


@pytest.mark.parametrize("start", [b"", stream(piece("one"))[:-14]], ids=["first", "then"])
@pytest.mark.parametrize(
    "sign",
    [b" \n", b"\n", b": ping\n\n", b"event: ping\n\n", b"data:", b"x", stream(piece(""))[:-14]],
    ids=["space", "blank", "comment", "event", "empty data", "endless line", "no words"],
)
def test_signs_of_life_without_a_word_end_in_time(start: bytes, sign: bytes):
    def forever() -> Iterator[bytes]:
        yield start
        end = time.monotonic() + 5
        while time.monotonic() < end:
            time.sleep(0.005)
            yield sign

    with pytest.raises(wire.Silence):
        wire.read(forever(), Reading(), most=100, patience=0.05, say=len)


def test_an_event_may_have_several_lines_of_data_and_no_end():
    body = b'data: {"choices": [{"delta":\ndata: {"content": "x"}, "finish_reason": "stop"}]}'
    reading, _ = read(body)
    assert (reading.text, reading.finish, reading.done) == ("x", "stop", False)


def test_the_whole_message_after_its_pieces_is_not_read_twice():
    last = {"choices": [{"delta": {}, "message": {"content": "one"}, "finish_reason": "stop"}]}
    assert read(stream(piece("one"), last))[0].text == "one"


def test_thoughts_in_parts_of_the_content_are_thoughts():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    reading, heard = read(stream(piece([thought]), piece([{"type": "text", "text": "yes"}])))
    assert (reading.reasoning, reading.text, heard) == ("hm", "yes", "hm\n\nyes")


def test_a_gateway_that_spells_a_thought_twice_thought_it_once():
    reading, _ = read(stream(piece(reasoning="hm", reasoning_content="hm"), piece("yes")))
    assert (reading.reasoning, reading.text) == ("hm", "yes")


def test_an_error_within_a_stream_ends_it():
    reading, _ = read(stream(piece("one"), {"error": {"message": "died", "code": 502}}, piece("x")))
    assert (reading.text, reading.error) == ("one", {"message": "died", "code": 502})


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<html>", b"data: {\n\n", b": ping\n\n", b"[1]", b"3"]
)
def test_what_is_no_reply_is_quoted(body: bytes):
    with pytest.raises(Rubbish):
        read(body)
