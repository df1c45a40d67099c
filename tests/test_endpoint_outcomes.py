"""What a server does wrong, streamed and in one piece: each has an outcome of its own."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import endpoint as endpoints
from autoresearch_kit import tokens, traits
from autoresearch_kit.endpoint import Endpoint, complete
from autoresearch_kit.errors import EndpointError
from tests.llm_server import Raw, Reply, Say, Status, hurry, llm_server

MESSAGES = [{"role": "user", "content": "Here is train.py: " + "x = 1\n" * 40}]
KEY = "sk-canary-0123456789"
QUOTA = {"message": "You exceeded your current quota.", "code": "insufficient_quota"}
PAGE = b"<!doctype html><html><head><title>Welcome</title></head><body>It works!</body></html>"


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hurry(monkeypatch)
    return tmp_path / "models.json"


@pytest.fixture(params=[{}, {"stream": False}], ids=["streamed", "whole"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def outcome(memory: Path, url: str, **more: Any) -> EndpointError:
    endpoint = Endpoint(base_url=url, model="tiny", api_key=KEY, **more)
    with pytest.raises(EndpointError) as caught:
        complete(endpoint, MESSAGES, memory=memory)
    return caught.value


# What the server says -> kind, words of the message, how often it is asked
OUTCOMES: dict[str, tuple[Reply, str, str, int]] = {
    "reply cut at the limit": (
        Say("<hypothesis>", finish="length", completion_tokens=8000),
        "truncated",
        r"reached max_tokens=8000.*Type ark\.LLM\(\.\.\., max_tokens=16000\)",
        1,
    ),
    "reply cut by a full context": (
        Say("<hypothesis>", finish="length", completion_tokens=900),
        "truncated",
        r"ended in the middle after 900 tokens, though 8,000 were allowed.*larger context",
        1,
    ),
    "filtered": (Say("I", finish="content_filter"), "refused", "refuses.*'content_filter'", 1),
    "refused in words": (
        Say(None, refusal="I can't help with that."),
        "refused",
        r"refuses to answer \(I can't help with that\.\)",
        1,
    ),
    "filtered by a policy": (
        Status(400, {"message": "Blocked by policy", "code": "content_filter"}),
        "refused",
        "Blocked by policy",
        1,
    ),
    "empty": (
        Say(""),
        "empty",
        r"The reply of tiny is empty \(1 tokens, finish_reason 'stop'\)",
        1,
    ),
    "white space": (Say(" \n\n"), "empty", "is empty", 1),
    "no choices": (Raw(b'{"choices": []}', "application/json"), "empty", "is empty", 1),
    "forbidden": (
        Status(403, "Project has no access to model tiny"),
        "unauthorized",
        r"HTTP 403: Project has no access",
        1,
    ),
    "key not valid, as Gemini says it": (
        Status(400, [{"error": {"message": "API key not valid. Pass a valid API key."}}]),
        "unauthorized",
        r"OPENAI_API_KEY or in ark\.LLM\(\.\.\., api_key=\.\.\.\)",
        1,
    ),
    "quota": (Status(429, QUOTA), "quota", "may spend nothing more", 1),
    "no money": (Status(402, "Insufficient Balance"), "quota", "HTTP 402: Insufficient", 1),
    "rate": (
        Status(429, "Rate limit reached", {"Retry-After": "0.01"}),
        "rate",
        r"no more requests for now \(HTTP 429: Rate limit reached\), 6 times in a row",
        6,
    ),
    "rate for an hour": (
        Status(429, "Daily limit", {"Retry-After": "3600"}),
        "rate",
        "asks to wait 3600 s",
        1,
    ),
    "down": (Status(503, "Loading model"), "server", r"failed, 6 times in a row \(HTTP 503", 6),
    "a gateway's page": (
        Raw(b"<html><head><title>502 Bad Gateway</title></head></html>", status=502),
        "server",
        "HTTP 502: 502 Bad Gateway",
        6,
    ),
    "error in place of a reply": (
        Raw(b'{"error": {"message": "worker died"}}', "application/json"),
        "server",
        "worker died",
        6,
    ),
    "a web page": (Raw(PAGE), "server", r"is no chat completion: '<!doctype html>", 1),
    "nothing": (Raw(b"", "application/json"), "server", "is no chat completion: ''", 2),
    "JSON of something else": (
        Raw(b'{"message": "hello"}', "application/json"),
        "server",
        r"is no chat completion: '\{\"message\": \"hello\"\}'.*most end with /v1",
        2,
    ),
    "not JSON": (Raw(b"hello", "text/plain"), "server", "no chat completion: 'hello'", 2),
    "connection cut": (
        Say("one two three four", cut=2),
        "connection",
        r"ended the connection after \d+ characters of the reply.*, 3 times in a row",
        3,
    ),
    "end without a good-bye": (
        Raw(b'data: {"choices": [{"delta": {"content": "half a"}}]}\n\n', "text/event-stream"),
        "connection",
        "ended the connection after 6 characters of the reply, 3 times in a row",
        3,
    ),
    "objects to all": (
        Status(400, "Bad request"),
        "request",
        r"\(HTTP 400: Bad request\), also not without its optional parameters",
        0,
    ),
    "validation error": (
        Status(422, {"detail": [{"loc": ["body", "messages"], "msg": "too many"}]}),
        "request",
        "HTTP 422: body.messages: too many",
        0,
    ),
    "context, as OpenAI says it": (
        Status(
            400,
            "This model's maximum context length is 300 tokens. However, your messages "
            "resulted in 310 tokens.",
        ),
        "context",
        r"has room for 300 tokens .* ark\.LLM\(\.\.\., prompt_tokens=150\)",
        1,
    ),
    "context without a number": (
        Status(413, "Please reduce the length of the messages."),
        "context",
        "has room for less than it needs",
        1,
    ),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_has_its_own_outcome(name: str, memory: Path, options: dict[str, Any]):
    reply, kind, words, times = OUTCOMES[name]
    with llm_server(reply) as llm:
        error = outcome(memory, llm.url, options=options)
        if name in ("nothing", "JSON of something else", "not JSON"):
            times -= "stream" in options  # there is no other way to ask
        assert error.kind == kind
        assert re.search(words, str(error), re.DOTALL), str(error)
        assert len(llm.asked) == times or not times
        paid = kind in ("truncated", "refused", "empty") and isinstance(reply, Say | Raw)
        broken = name == "end without a good-bye" or (name, options) == ("connection cut", {})
        assert (error.answer is not None) == (paid or broken)


@pytest.mark.parametrize(
    "hiccup",
    [
        Status(429, "slow down", {"Retry-After": "0.05"}),
        Status(500, "oops"),
        Status(529, "overloaded"),
        Say("half of", cut=2),
        Say("half of", finish="error"),
    ],
    ids=["rate", "error", "overloaded", "cut", "broken off"],
)
def test_what_may_pass_is_tried_again(hiccup: Reply, memory: Path, options: dict[str, Any]):
    with llm_server(hiccup, hiccup, "at last") as llm:
        answer = complete(Endpoint(base_url=llm.url, options=options), MESSAGES, memory=memory)
    assert answer.text == "at last"
    assert answer.seconds >= 0.02
    assert traits.read(memory, llm.url, "tiny").dropped == ()


def test_a_server_is_waited_for_as_long_as_it_asks(memory: Path):
    with llm_server(Status(429, "later", {"retry-after-ms": "300"}), "now") as llm:
        begun = time.monotonic()
        complete(Endpoint(base_url=llm.url), MESSAGES, memory=memory)
        assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("after", [0, 3], ids=["before the first word", "in the middle"])
def test_a_stalled_server_gets_a_second_chance(after: int, memory: Path):
    with llm_server(Say("one two three four", stall=after)) as llm:
        error = outcome(memory, llm.url, stall_seconds=0.3)
        assert error.kind == "stalled"
        assert re.search(
            r"sent no word for 0\.3 s after \d+ characters of the reply, 2 times.*"
            r"ark\.LLM\(\.\.\., stall_seconds=1\.5\)",
            str(error),
        )
        assert len(llm.asked) == 2
        llm.say(Say("one two", stall=1), "there it is")
        endpoint = Endpoint(base_url=llm.url, stall_seconds=1)
        assert complete(endpoint, MESSAGES, memory=memory).text == "there it is"


@pytest.mark.parametrize("end", ["stall", "cut"])
def test_replies_that_break_off_have_to_be_paid(end: str, memory: Path):
    half = "seven words that a model may say. " * 50
    broken = Say(half * 2, piece=340, **{end: 6})  # the role, then half of it
    with llm_server(broken, "at last") as llm:
        endpoint = Endpoint(base_url=llm.url, model="tiny", stall_seconds=0.5)
        paid = complete(endpoint, MESSAGES, memory=memory)
        once = complete(endpoint, MESSAGES, memory=memory)
        llm.say(broken)
        lost = outcome(memory, llm.url, stall_seconds=0.5).answer
    assert (paid.text, paid.estimated, once.estimated) == ("at last", True, False)
    assert paid.completion_tokens == once.completion_tokens + tokens.count(half)
    assert paid.prompt_tokens > 1.5 * once.prompt_tokens
    assert (lost.text, lost.estimated) == (half, True)
    assert lost.completion_tokens == (2 if end == "stall" else 3) * tokens.count(half)
    assert traits.read(memory, llm.url, "tiny").seen == once.prompt_tokens


def test_a_stalled_reply_in_one_piece_gets_ten_times_as_long(memory: Path):
    with llm_server(Say("one two three", stall=5)) as llm:
        begun = time.monotonic()
        error = outcome(memory, llm.url, stall_seconds=0.02, options={"stream": False})
        assert error.kind == "stalled"
        assert time.monotonic() - begun >= 2 * 10 * 0.02


def test_a_server_that_only_shows_signs_of_life_is_stalled_too(memory: Path):
    with llm_server(Say("never", pings=10**6, slow=0.01)) as llm:
        assert outcome(memory, llm.url, stall_seconds=0.05).kind == "stalled"
        llm.say(Say("it thought for long", pings=20, slow=0.01))
        endpoint = Endpoint(base_url=llm.url, stall_seconds=2)
        assert complete(endpoint, MESSAGES, memory=memory).text == "it thought for long"


@pytest.mark.parametrize("end", [{"stall": 5}, {"cut": 5}], ids=["stalls", "hangs up"])
def test_a_reply_that_is_complete_needs_no_good_bye(end: dict[str, int], memory: Path):
    # Chunks: the role, three pieces, the finish; then comes the usage.
    with llm_server(Say("one two three.", piece=5, **end)) as llm:
        endpoint = Endpoint(base_url=llm.url, stall_seconds=0.5)
        answer = complete(endpoint, MESSAGES, memory=memory)
    assert (answer.text, answer.finish, answer.estimated) == ("one two three.", "stop", True)


def test_a_model_that_never_ends_is_cut_off(memory: Path):
    with llm_server(Say("again and " * 5000, piece=500)) as llm:
        error = outcome(memory, llm.url, max_tokens=100)
    assert error.kind == "truncated"
    assert len(error.answer.text) < 3000


def test_a_wrong_model_name_brings_the_list(memory: Path, options: dict[str, Any]):
    with llm_server("x", models=["qwen3", "llama4"], any_model=False) as llm:
        error = outcome(memory, llm.url, options=options)
    assert error.kind == "model"
    assert "has no model 'tiny'" in str(error)
    assert 'It has: llama4, qwen3. Type ark.LLM(..., model="llama4")' in str(error)


def test_a_wrong_address_is_told_from_a_wrong_model(memory: Path):
    with llm_server("x") as llm:
        error = outcome(memory, llm.url.removesuffix("/v1"))
    assert error.kind == "request"
    assert f'ark.LLM(..., base_url="{llm.url}")' in str(error)


@pytest.mark.parametrize(
    "url", ["localhost:8080/v1", "8080", "ftp://x/v1", "http://", "http://[::"]
)
def test_what_is_no_address_says_so(url: str, memory: Path):
    assert "is no web address" in str(outcome(memory, url))


def test_a_server_that_is_not_there_says_how_to_correct_it(memory: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    error = outcome(memory, url)
    assert error.kind == "connection"
    assert re.search(rf"Nothing answers at {url} \(.*refused.*3 times", str(error))


def test_options_that_no_server_can_be_told_are_named(memory: Path):
    for options in (
        {"stop": {1, 2}},
        {"top_p": float("nan")},
        {"user": "\ud800"},
        {"extra_headers": {"X-Team": "grün"}},
        {"extra_headers": {"X-Team": 3}},
        {"extra_headers": "X-Team: 3"},
    ):
        error = outcome(memory, "http://127.0.0.1:1/v1", options=options)
        assert "options of the model can't be sent" in str(error)


def test_half_a_character_can_be_sent(memory: Path):
    with llm_server("yes") as llm:
        messages = [{"role": "user", "content": "caf\udce9"}]
        complete(Endpoint(base_url=llm.url), messages, memory=memory)
        assert llm.asked[-1].message == "caf?"


def test_the_server_s_limit_is_remembered(memory: Path, options: dict[str, Any]):
    with llm_server("x", context=64) as llm:
        outcome(memory, llm.url, options=options)
        assert traits.read(memory, llm.url, "tiny").context is None  # too small to be one
        llm.say(
            Status(
                400,
                {
                    "message": "too long",
                    "type": "exceed_context_size_error",
                    "n_ctx": 256,
                    "n_prompt_tokens": 300,
                },
            )
        )
        llm.context = None
        assert "room for 256 tokens" in str(outcome(memory, llm.url, options=options))
        assert traits.read(memory, llm.url, "tiny").context == 256


def test_ctrl_c_within_a_reply_leaves_nothing_behind(memory: Path):
    threads = set(threading.enumerate())

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with llm_server(Say("one two three " * 2000, slow=0.01)) as llm:
        with pytest.raises(KeyboardInterrupt):
            complete(Endpoint(base_url=llm.url), MESSAGES, memory=memory, say=interrupt)
        deadline = time.monotonic() + 5
        while llm.open and time.monotonic() < deadline:
            time.sleep(0.01)
        assert llm.open == 0  # the server saw the connection close
    assert not [t for t in threading.enumerate() if t not in threads and t.is_alive()]
    assert not memory.exists()


def test_the_key_is_nowhere(
    memory: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    echo = f"You sent {KEY}"
    replies: list[Reply] = [
        *(Status(status, echo) for status in (400, 401, 403, 404, 422, 429, 500)),
        Status(400, {"message": "no", "param": "stream_options", "headers": {"auth": KEY}}),
        Raw(f"<p>{echo}</p>".encode()),
        Raw(f'data: {{"error": {{"message": "{echo}"}}}}\n\n'.encode(), "text/event-stream"),
        Say(None, refusal=echo),
    ]
    endpoint = None
    said = []
    for reply in replies:
        with llm_server(reply) as llm:
            endpoint = Endpoint(base_url=llm.url, model="tiny", api_key=KEY, options=options)
            with pytest.raises(EndpointError) as caught:
                complete(endpoint, MESSAGES, memory=memory)
            said += traceback.format_exception(caught.value)
            said += [repr(caught.value), repr(caught.value.answer)]
            assert caught.value.__context__ is None
    text = "".join([*said, repr(endpoint), caplog.text])
    assert "***" in text
    assert KEY not in text
    assert all(KEY not in path.read_text() for path in memory.parent.rglob("*") if path.is_file())


def test_the_pauses_between_tries_are_bounded():
    """What `hurry` makes short in the other tests."""
    for pauses in endpoints.PAUSES.values():
        assert sum(pauses) <= 31
        assert all(0 <= pause <= endpoints.LONGEST_PAUSE for pause in pauses)
