"""What somebody new to the kit gets wrong about a server, and what they are told to type."""

from __future__ import annotations

import json
import logging
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import endpoint as endpoints
from autoresearch_kit import traits
from autoresearch_kit.endpoint import Endpoint, complete, failures, model_of, public, server_of
from autoresearch_kit.errors import EndpointError
from tests.llm_server import Raw, Say, hurry, llm_server

MESSAGES = [{"role": "user", "content": "Here is train.py"}]


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hurry(monkeypatch)
    monkeypatch.setattr(endpoints, "_strangers", set())
    return tmp_path / "models.json"


def refused(memory: Path, **how: Any) -> str:
    with pytest.raises(EndpointError) as caught:
        complete(Endpoint(**how), MESSAGES, memory=memory)
    return str(caught.value)


@pytest.mark.parametrize(
    "end", ["/chat/completions", "/chat/completions/", "/chat/completions?v=3"]
)
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_the_address_of_a_request_is_as_good_as_the_server_s(
    end: str, given: str, memory: Path, monkeypatch: pytest.MonkeyPatch
):
    with llm_server("yes") as llm:
        url = llm.url + end
        if given == "environment":
            monkeypatch.setenv("OPENAI_BASE_URL", url)
        endpoint = Endpoint(base_url=url if given == "argument" else None)
        assert complete(endpoint, MESSAGES, memory=memory).text == "yes"
        assert llm.asked[0].path == f"/v1/chat/completions{'?v=3' if '?' in end else ''}"
        assert server_of(endpoint) == public(url) == llm.url
        assert traits.read(memory, llm.url, "tiny").replies == {}
        wrong = url.replace("/v1", "")
        assert f'"{llm.url}")' in refused(memory, model="tiny", base_url=wrong)


@pytest.mark.parametrize(
    ("bound", "stall", "waited", "longer"),
    [(0.3, 0.1, "0.3", "0.6"), (0.1, 0.2, "0.2", "1"), (9, 0.02, "0.2", "0.4")],
    ids=["bounded", "longer than the bound", "ten times"],
)
def test_the_silence_that_was_waited_is_told(
    bound: float,
    stall: float,
    waited: str,
    longer: str,
    memory: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(endpoints, "LONGEST_SILENCE", bound)
    with llm_server(Say("one two", stall=0), rejects=("stream",)) as llm:
        said = refused(memory, model="tiny", base_url=llm.url, stall_seconds=stall)
        assert [asked.body.get("stream") for asked in llm.asked] == [True, None, None]
    assert f"sent no word for {waited} s after 0 characters of the reply, 2 times" in said
    assert f"ark.LLM(..., stall_seconds={longer})" in said


def test_signs_of_life_without_a_word_are_waited_for_longer(memory: Path):
    with llm_server(Say("never", pings=10**6, slow=0.01)) as llm:
        said = refused(memory, model="tiny", base_url=llm.url, stall_seconds=0.05)
    assert "sent no word for 0.5 s" in said


def test_a_server_that_never_lists_its_models_is_not_given_a_longer_stall_time(
    memory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoints, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/v1"
        with pytest.raises(EndpointError) as caught:
            complete(Endpoint(base_url=url), MESSAGES, memory=memory)
    assert caught.value.kind == "stalled"
    said = f"{url} didn't say within 0.2 s what it has. Look at its log, or type ark.LLM(..., model"
    assert said in str(caught.value)


def test_who_forgets_the_address_of_a_server_is_reminded(
    memory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    reminder = 'your own server: ark.LLM(base_url="http://127.0.0.1:8000/v1"), or '
    said = refused(memory)
    assert reminder in said
    assert "OPENAI_BASE_URL" in said
    with llm_server("x", key="another") as llm:
        assert "your own server" not in refused(memory, model="tiny", base_url=llm.url)


def test_what_is_suggested_keeps_the_rest_of_the_call():
    for kind in failures._TEXTS:
        for models in ((), ("tiny",)):
            failure = failures.Failure(kind, models=models)
            said = str(failures.error(failure, server="http://h/v1", model="m"))
            assert not re.search(r"ark\.LLM\((?!\.\.\., )", said), said


def test_who_types_the_dots_is_told_what_they_stand_for():
    with pytest.raises(EndpointError, match=r"model=Ellipsis is no name.*what the call had"):
        Endpoint(model=...)  # type: ignore[arg-type]


def named(model: str) -> Raw:
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    return Raw(json.dumps({"model": model, "choices": [choice]}).encode(), "application/json")


@pytest.mark.parametrize(
    ("asked", "answered", "other"),
    [
        ("gpt-5", "llama-3", True),
        ("gpt-5", "gpt-4", True),
        ("gpt-5", "gpt-5", False),
        ("gpt-5", "GPT-5-2026-01-01", False),
        ("qwen3", "Alibaba/Qwen3", False),
        ("openai/gpt-5", "gpt-5-2026-01-01", False),
        ("gpt-5", "", False),
    ],
)
def test_an_answer_by_another_model_is_told_once(
    asked: str, answered: str, other: bool, memory: Path, caplog: pytest.LogCaptureFixture
):
    with llm_server(named(answered)) as llm:
        for _ in range(2):
            answer = complete(Endpoint(asked, llm.url), MESSAGES, memory=memory)
            assert answer.model == answered
        with llm_server(named(answered)) as another:
            complete(Endpoint(asked, another.url), MESSAGES, memory=memory)
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    urls = (llm.url, another.url) if other else ()
    assert told == [f"{url} was asked for {asked}, answered by {answered}" for url in urls]


@pytest.mark.parametrize(
    ("given", "quoted", "suggested"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("localhost:8080/v1/", "localhost:8080/v1/", "http://localhost:8080/v1"),
        ("8080", "8080", "http://127.0.0.1:8080/v1"),
        ("gpu", "gpu", "http://gpu/v1"),
        ("api.example.com/openai", "api.example.com/openai", "https://api.example.com/openai"),
        ("https:/example.com", "https:/example.com", "https://example.com/v1"),
        ("ftp://me:canary@x/v1", "ftp://x/v1", "http://x/v1"),
        ("me:canary@host:80?code=canary", "host:80", "http://host:80/v1"),
        ("host?code=a@canary", "***", "http://127.0.0.1:8000/v1"),
        ("me:ca?n@canary", "***", "http://127.0.0.1:8000/v1"),
        ("http://[::", "http://[::", "http://127.0.0.1:8000/v1"),
        ("my server", "my server", "http://127.0.0.1:8000/v1"),
    ],
)
def test_what_is_no_address_is_quoted_and_corrected(
    given: str, quoted: str, suggested: str, memory: Path
):
    said = refused(memory, base_url=given)
    assert f"no web address: {quoted!r}. " in said
    assert said.endswith(f'Type ark.LLM(..., base_url="{suggested}")')


def test_a_key_in_the_place_of_the_address_is_not_quoted():
    with pytest.raises(EndpointError) as caught:
        model_of(Endpoint(base_url="sk-canary-0123456789-0123456789"))
    assert "0123456789" not in str(caught.value)
