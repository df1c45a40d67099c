"""A real server with a real model, through the door that proposals use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from autoresearch_kit import tokens, traits
from autoresearch_kit.endpoint import Endpoint, complete, model_of
from autoresearch_kit.errors import EndpointError
from tests.real_model import real_model

ROOM = 1024
ASK = [
    {"role": "system", "content": "You answer with one short sentence."},
    {"role": "user", "content": "Say hello."},
]
CODE = "for step in range(STEPS):\n    loss = model(x, y)\n    loss.backward()\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with real_model(ROOM) as url:
        yield url


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "models.json"


def test_it_answers_word_for_word_with_its_numbers(url: str, memory: Path):
    endpoint = Endpoint(base_url=url, options={"temperature": 0}, max_tokens=60)
    assert model_of(endpoint) == "smollm2"
    heard: list[str] = []
    streamed = complete(endpoint, ASK, memory=memory, say=heard.append)
    assert len(heard) > 3
    assert streamed.text == "".join(heard)
    assert streamed.finish == "stop"
    assert streamed.model == "smollm2"
    assert not streamed.estimated
    assert 10 < streamed.prompt_tokens < 60
    assert 3 < streamed.completion_tokens <= 60

    whole = Endpoint(base_url=url, options={"temperature": 0, "stream": False}, max_tokens=60)
    again = complete(whole, ASK, memory=memory)
    assert again.text == streamed.text
    assert again.prompt_tokens == streamed.prompt_tokens
    assert 0 < again.cached_tokens < again.prompt_tokens


def test_a_reply_that_needs_more_than_it_may_is_truncated(url: str, memory: Path):
    ask = [{"role": "user", "content": "Tell me a long story about a sailor."}]
    with pytest.raises(EndpointError, match=r"Type ark\.LLM\(\.\.\., max_tokens=24\)") as caught:
        complete(Endpoint(base_url=url, max_tokens=12), ask, memory=memory)
    assert caught.value.kind == "truncated"
    assert caught.value.answer.completion_tokens == 12


def test_a_prompt_over_the_context_is_told_with_the_limit(url: str, memory: Path):
    ask = [{"role": "user", "content": CODE * 100}]
    with pytest.raises(EndpointError, match="room for 1,024 tokens") as caught:
        complete(Endpoint(base_url=url), ask, memory=memory)
    assert caught.value.kind == "context"
    assert traits.read(memory, url, "smollm2").context == ROOM


def test_the_estimate_is_calibrated_by_what_it_reports(url: str, memory: Path):
    """SmolLM2 has 49,000 tokens in its vocabulary; estimates are made for four times as many."""
    ask = [{"role": "user", "content": CODE * 8}]
    with pytest.raises(EndpointError, match="max_tokens=1,") as caught:
        complete(Endpoint(base_url=url, max_tokens=1), ask, memory=memory)
    reported = caught.value.answer.prompt_tokens
    ratio = traits.read(memory, url, "smollm2").ratio
    assert ratio is not None
    assert 0.8 < ratio < 1.6
    assert tokens.count(ask[0]["content"]) * ratio == pytest.approx(reported, rel=0.1)


def test_nothing_of_the_server_outlives_a_test():
    with real_model(256):
        children = psutil.Process().children()
        [server] = [c for c in children if c.cmdline()[-1] == "256"]
    assert not server.is_running()
