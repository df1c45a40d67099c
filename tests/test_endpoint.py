"""Conversations with servers that differ in what they take and tell, streamed and in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import tokens, traits
from autoresearch_kit.endpoint import Endpoint, complete, model_of
from autoresearch_kit.errors import EndpointError
from tests.llm_server import Say, Server, Status, hurry, llm_server, tokens_of

WORDS = "<hypothesis>smaller steps</hypothesis>\nα → β\u2028done"
MESSAGES = [
    {"role": "system", "content": "You change one thing at a time."},
    {"role": "user", "content": "Here is train.py: " + "x = 1\n" * 40},
]
LONG = [{"role": "user", "content": "The learning rate is too large for this model. " * 400}]
ONE_PIECE = {"stream": False}


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    hurry(monkeypatch)
    return tmp_path / "models.json"


@pytest.fixture(params=[{}, ONE_PIECE], ids=["streamed", "whole"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options of a request for a stream, and of one for a reply in one piece."""
    return dict(request.param)


def plain(name: str) -> Status:
    return Status(400, "Bad request")


def fastapi(name: str) -> Status:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs", "input": 1}]
    return Status(422, {"detail": detail})


def jinja(name: str) -> Status:
    return Status(500, "Jinja Exception: System role not supported")


def gemma(name: str) -> Status:
    return Status(400, "Conversation roles must alternate user/assistant/user/assistant/...")


PERSONALITIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "like OpenAI's": ({}, {}),
    "no usage": ({"usage": "none"}, {}),
    "usage beside the last words": ({"usage": "choice"}, {}),
    "rejects max_completion_tokens": (
        {"rejects": ("max_completion_tokens",)},
        {"max_completion_tokens": 500},
    ),
    "rejects max_tokens": ({"rejects": ("max_tokens",)}, {}),
    "rejects both limits": ({"rejects": ("max_tokens", "max_completion_tokens")}, {}),
    "rejects temperature and stream_options": (
        {"rejects": ("temperature", "stream_options")},
        {"temperature": 0.7},
    ),
    "rejects an option of one's own": ({"rejects": ("top_k", "min_p")}, {"top_k": 3, "min_p": 0.1}),
    "says only that something is wrong": (
        {"rejects": ("stream_options", "temperature"), "rejection": plain},
        {"temperature": 0.7},
    ),
    "validates with 422": (
        {"rejects": ("stream_options", "seed"), "rejection": fastapi},
        {"extra_body": {"seed": 3}},
    ),
    "refuses the system role": ({"rejects": ("system",)}, {}),
    "refuses the system role in its template": ({"rejects": ("system",), "rejection": jinja}, {}),
    "wants roles in turns": ({"rejects": ("system",), "rejection": gemma}, {}),
    "doesn't know the word stream": ({"rejects": ("stream",)}, {}),
    "can't stream": ({"streams": "no"}, {}),
    "doesn't know that it could stream": ({"streams": "ignored"}, {}),
    "streams garbage": ({"streams": "garbage"}, {}),
    "reasoning_content only": ({"thinks": "reasoning_content"}, {}),
    "reasoning only": ({"thinks": "reasoning"}, {}),
    "content in parts": ({"parts": True}, {}),
}


@pytest.mark.parametrize("name", PERSONALITIES)
def test_whatever_a_server_takes_its_words_arrive(name: str, memory: Path, options: dict[str, Any]):
    personality, more = PERSONALITIES[name]
    with llm_server(WORDS, **personality) as llm:
        endpoint = Endpoint(base_url=llm.url, model="tiny", options={**options, **more})
        heard: list[str] = []
        answer = complete(endpoint, MESSAGES, memory=memory, say=heard.append)
        assert answer.text == "".join(heard) == WORDS
        assert (answer.reasoning, answer.finish, answer.model) == ("", "stop", "tiny")
        told = told_by(llm, options)
        assert answer.estimated is not told
        sent = llm.asked[-1].body
        if told:
            assert answer.prompt_tokens == tokens_of(sent["messages"])
        assert 50 < answer.prompt_tokens < 300
        assert 8 < answer.completion_tokens < 40
        assert not set(llm.rejects) & set(sent)
        assert "You change one thing" in llm.asked[-1].text
        # What was learned is remembered: the second time it takes one request.
        before = len(llm.asked)
        assert complete(endpoint, MESSAGES, memory=memory).text == WORDS
        assert len(llm.asked) == before + 1


def told_by(llm: Server, options: dict[str, Any]) -> bool:
    """Tell whether this server reports tokens with what is still sent to it."""
    streams = llm.streams == "yes" and options.get("stream", True)
    return llm.usage != "none" and not (streams and "stream_options" in llm.rejects)


def test_a_limit_among_the_options_counts_under_either_name(memory: Path):
    with llm_server("yes", rejects=("max_completion_tokens",)) as llm:
        endpoint = Endpoint(base_url=llm.url, options={"max_completion_tokens": 500})
        complete(endpoint, MESSAGES, memory=memory)
        assert llm.asked[0].body["max_completion_tokens"] == 500
        assert llm.asked[1].body["max_tokens"] == 500


def test_one_bad_request_without_a_reason_costs_no_parameter(memory: Path):
    with llm_server(Status(400, "Bad request"), "yes") as llm:
        endpoint = Endpoint(base_url=llm.url, model="tiny", options={"temperature": 0.7})
        assert complete(endpoint, MESSAGES, memory=memory).text == "yes"
        assert llm.asked[1].body == llm.asked[0].body
        assert traits.read(memory, llm.url, "tiny").dropped == ()


def test_what_it_thinks_is_kept_apart_from_what_it_says(memory: Path, options: dict[str, Any]):
    with llm_server(Say("the answer", reasoning="a thought")) as llm:
        heard: list[str] = []
        endpoint = Endpoint(base_url=llm.url, options=options)
        answer = complete(endpoint, MESSAGES, memory=memory, say=heard.append)
    assert (answer.text, answer.reasoning) == ("the answer", "a thought")
    assert "".join(heard) == "a thought\n\nthe answer"


def test_words_are_passed_on_while_they_come(memory: Path):
    with llm_server(Say("one two three", piece=4, slow=0.5)) as llm:
        during: list[int] = []
        endpoint = Endpoint(base_url=llm.url, model="tiny")
        complete(endpoint, MESSAGES, memory=memory, say=lambda _: during.append(llm.open))
    assert during[0] == 1
    assert len(during) == 4


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens_details": {"cached_tokens": 64}},
        {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 3},
        {"cached_tokens": 64},
        {"prompt_tokens_details": None, "cache_read_input_tokens": 64},
    ],
    ids=["openai", "deepseek", "moonshot", "anthropic"],
)
def test_cached_tokens_are_told_apart(usage: dict[str, Any], memory: Path, options: dict[str, Any]):
    with llm_server(Say("yes", usage=usage, prompt_tokens=80)) as llm:
        answer = complete(Endpoint(base_url=llm.url, options=options), MESSAGES, memory=memory)
    assert (answer.prompt_tokens, answer.cached_tokens, answer.estimated) == (80, 64, False)


@pytest.mark.parametrize(
    ("prompt_tokens", "usage"),
    [(30, {"cache_read_input_tokens": 4000}), (0, {"prompt_cache_hit_tokens": 4000})],
)
def test_cached_tokens_that_are_counted_apart_are_part_of_the_prompt(
    prompt_tokens: int, usage: dict[str, Any], memory: Path
):
    with llm_server(Say("yes", usage=usage, prompt_tokens=prompt_tokens)) as llm:
        answer = complete(Endpoint(base_url=llm.url), LONG, memory=memory)
    assert (answer.prompt_tokens, answer.cached_tokens) == (4000 + prompt_tokens, 4000)
    assert not answer.estimated


def test_reported_tokens_calibrate_the_estimate(memory: Path):
    with llm_server(Say("yes", prompt_tokens=round(1.3 * tokens.count(LONG[0]["content"])))) as llm:
        endpoint = Endpoint(base_url=llm.url, model="tiny")
        complete(endpoint, LONG, memory=memory)
        known = traits.read(memory, llm.url, "tiny")
        assert known.ratio == pytest.approx(1.3, rel=0.01)
        llm.usage = "none"
        answer = complete(endpoint, LONG, memory=memory)
        assert answer.estimated
        assert answer.prompt_tokens == pytest.approx(known.seen, rel=0.01)


def test_a_prompt_that_a_server_cuts_without_a_word_is_noticed(
    memory: Path, options: dict[str, Any]
):
    with llm_server("a reply to half of it", truncates=1024) as llm:
        endpoint = Endpoint(base_url=llm.url, options=options)
        with pytest.raises(EndpointError, match=r"took 1,024 of about [45],\d+ tokens") as caught:
            complete(endpoint, LONG, memory=memory)
        assert caught.value.kind == "context"
        assert caught.value.answer.prompt_tokens == 1024
        assert traits.read(memory, llm.url, "tiny").context == 1024
        # It was started anew, with more room.
        llm.truncates = None
        assert complete(endpoint, LONG, memory=memory).text
        assert traits.read(memory, llm.url, "tiny").context is None


def test_after_whole_prompts_a_cut_of_a_third_is_noticed(memory: Path):
    with llm_server("yes") as llm:
        endpoint = Endpoint(base_url=llm.url)
        short = [{"role": "user", "content": LONG[0]["content"][:6000]}]
        complete(endpoint, short, memory=memory)
        llm.truncates = 2600
        before = traits.read(memory, llm.url, "tiny")
        with pytest.raises(EndpointError, match="cut the rest without a word"):
            complete(endpoint, LONG, memory=memory)
        after = traits.read(memory, llm.url, "tiny")
        assert (after.ratio, after.seen) == (before.ratio, before.seen)


@pytest.mark.parametrize(
    ("text", "each"),
    [
        ("学习率的选择非常重要。" * 200, 0.58),  # a vocabulary that knows the language
        ("Скорость обучения определяет сходимость. " * 100, 0.22),
        ("    x[i] = y[i]\n" * 300, 0.30),
        ("=" * 8000, 0.016),
    ],
)
def test_an_unusual_text_is_no_cut_prompt(text: str, each: float, memory: Path):
    with llm_server(Say("yes", prompt_tokens=round(each * len(text)))) as llm:
        messages = [{"role": "user", "content": text}]
        assert complete(Endpoint(base_url=llm.url), messages, memory=memory).text == "yes"


def test_a_number_that_no_context_is_as_small_as_says_nothing(memory: Path):
    with llm_server(Say("yes", prompt_tokens=1)) as llm:
        answer = complete(Endpoint(base_url=llm.url), LONG, memory=memory)
    assert (answer.text, answer.estimated) == ("yes", True)
    assert answer.prompt_tokens == pytest.approx(tokens.count(LONG[0]["content"]), rel=0.01)


def test_a_server_that_counts_only_what_it_had_not_cached_cuts_nothing(memory: Path):
    with llm_server("yes", Say("again", prompt_tokens=400)) as llm:
        endpoint = Endpoint(base_url=llm.url)
        first = complete(endpoint, LONG, memory=memory)
        follow_up = [
            *LONG,
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "?"},
        ]
        second = complete(endpoint, follow_up, memory=memory)
    assert second.text == "again"
    assert second.estimated
    assert second.prompt_tokens == pytest.approx(first.prompt_tokens, rel=0.05)


def test_a_long_reply_doesn_t_make_the_next_turn_look_cut(memory: Path):
    with llm_server("prose " * 4000, Say("again", prompt_tokens=1000)) as llm:
        endpoint = Endpoint(base_url=llm.url, model="tiny")
        first = complete(endpoint, LONG, memory=memory)
        turns = [
            *LONG,
            {"role": "assistant", "content": first.text},
            {"role": "user", "content": "?"},
        ]
        second = complete(endpoint, turns, memory=memory)
        assert (second.text, second.estimated) == ("again", True)
        assert traits.read(memory, llm.url, "tiny").context is None
        llm.say(Say("to half of it", prompt_tokens=first.prompt_tokens))
        with pytest.raises(EndpointError, match="cut the rest without a word"):
            complete(endpoint, turns, memory=memory)


def test_a_reply_fits_into_what_the_prompt_leaves_of_the_context(memory: Path):
    """As vLLM counts: prompt and allowed reply together."""
    message = (
        "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum context "
        "length is 8192 tokens and your request has 4702 input tokens (8000 > 8192 - 4702)."
    )
    with llm_server(Status(400, {"message": message, "param": "max_tokens"}), "yes") as llm:
        endpoint = Endpoint(base_url=llm.url)
        assert complete(endpoint, LONG, memory=memory).text == "yes"
        limits = [asked.body["max_tokens"] for asked in llm.asked]
        assert limits == [8000, 8192 - 4702]


def test_more_tokens_don_t_help_where_there_is_no_room(memory: Path):
    with llm_server(Say("<hypothesis>", finish="length", completion_tokens=3000)) as llm:
        traits.update(memory, llm.url, "tiny", context=8192)
        with pytest.raises(EndpointError, match="after 3,000 tokens, though 8,000 were allowed"):
            complete(Endpoint(base_url=llm.url, model="tiny"), LONG, memory=memory)
        assert 3000 < llm.asked[-1].body["max_tokens"] < 4000


def test_a_model_that_allows_shorter_replies_gets_to_write_one(memory: Path):
    message = (
        "max_tokens is too large: 8000. This model supports at most 4096 completion tokens, "
        "whereas you provided 8000."
    )
    with llm_server(Status(400, {"message": message, "param": "max_tokens"}), "yes") as llm:
        complete(Endpoint(base_url=llm.url), MESSAGES, memory=memory)
        assert [asked.body["max_tokens"] for asked in llm.asked] == [8000, 4096]
        assert traits.read(memory, llm.url, "tiny").dropped == ()


def test_without_a_model_the_only_one_is_taken(memory: Path):
    with llm_server("yes", models=["qwen", "text-embed-3"], any_model=False) as llm:
        endpoint = Endpoint(base_url=llm.url)
        assert model_of(endpoint) == "qwen"
        assert complete(endpoint, MESSAGES, memory=memory).model == "qwen"
        llm.models = ["qwen", "llama"]
        with pytest.raises(
            EndpointError, match=r'llama, qwen\. Type ark\.LLM\(\.\.\., model="llama"\)'
        ) as caught:
            complete(endpoint, MESSAGES, memory=memory)
        assert caught.value.kind == "model"


def test_server_and_key_come_from_the_environment(memory: Path, monkeypatch: pytest.MonkeyPatch):
    with llm_server("yes", key="from-the-environment") as llm:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{llm.url}/")
        monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment\n")
        assert complete(Endpoint(), MESSAGES, memory=memory).text == "yes"
        llm.key = "from-the-call"
        endpoint = Endpoint(api_key="from-the-call")
        assert complete(endpoint, MESSAGES, memory=memory).text == "yes"
        assert traits.read(memory, llm.url, "tiny").seen


def test_openai_is_not_asked_without_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(EndpointError, match="wants an API key and got none") as caught:
        complete(Endpoint(model="gpt"), MESSAGES, memory=tmp_path / "models.json")
    assert caught.value.kind == "unauthorized"


def test_headers_user_and_query_of_a_gateway_reach_it(memory: Path):
    with llm_server("yes") as llm:
        url = llm.url.replace("http://", "http://me:s3cret@") + "?version=3"
        headers = {"X-Team": "blue"}
        endpoint = Endpoint(base_url=url, options={"extra_headers": headers, "top_p": 0.9})
        complete(endpoint, MESSAGES, memory=memory)
        asked = llm.asked[-1]
    names = {name.lower(): value for name, value in asked.headers.items()}
    assert names["x-team"] == "blue"
    assert names["authorization"] == "Basic bWU6czNjcmV0"
    assert asked.path.endswith("?version=3")
    assert asked.body["top_p"] == 0.9
    assert "s3cret" not in memory.read_text()
