"""Errors of servers as they word them: the kind, the limit, and the parameter that is meant."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit.endpoint import failures
from autoresearch_kit.endpoint.failures import Failure
from autoresearch_kit.errors import EndpointError

SENT = ["stream_options", "max_tokens", "temperature", "stream", "system"]
KINDS = {
    *("unauthorized", "model", "rate", "quota", "server", "connection", "stalled"),
    *("truncated", "refused", "empty", "context", "request"),
}


def failure(status: int | None, message: Any, /, **more: Any) -> Failure:
    body = {"message": message, **more} if isinstance(message, str) else message
    return failures.of({"error": body}, status, {}, [])


@pytest.mark.parametrize(
    ("status", "message", "limit", "prompt"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, your messages resulted "
         "in 10,044 tokens. Please reduce the length of the messages.", 8192, 10044),
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 "
         "tokens (4000 in the messages, 1000 in the completion).", 4096, 4000),
        (400, "'max_tokens' or 'max_completion_tokens' is too large: 8000. This model's maximum "
         "context length is 4096 tokens and your request has 3000 input tokens (8000 > 4096 - "
         "3000).", 4096, 3000),
        (400, "request (16215 tokens) exceeds the available context size (8192 tokens), try "
         "increasing it", 8192, None),
        (400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 "
         "maximum context length", 32768, None),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", 200000, None),
        (400, "The input token count (1100000) exceeds the maximum number of tokens allowed "
         "(1048576).", 1048576, None),
        (500, "the model is loaded with context length of only 4096 tokens, which is not enough",
         4096, None),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens and "
         "20 `max_new_tokens`", 4096, None),
        (400, "Please reduce the length of the messages or completion.", None, None),
        (413, "Request Entity Too Large", None, None),
        (429, "Request too large for gpt on tokens per min (TPM): Limit 6000, Requested 8000.",
         6000, None),
    ],
)  # fmt: skip
def test_a_prompt_that_is_too_long(
    status: int, message: str, limit: int | None, prompt: int | None
):
    found = failure(status, message)
    assert (found.kind, found.limit) == ("context", limit)
    if prompt is not None:
        assert found.prompt == prompt
    assert failures.culprit(found, SENT) == ""


def test_the_context_of_llama_cpp_is_told_in_numbers():
    found = failure(400, "too long", type="exceed_context_size_error", n_ctx=2048,
                    n_prompt_tokens=3000)  # fmt: skip
    assert (found.kind, found.limit, found.prompt) == ("context", 2048, 3000)


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("max_tokens is too large: 100000. This model supports at most 16384 completion tokens, "
         "whereas you provided 100000.", 16384),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("`max_tokens` must be less than or equal to `4096`, the maximum value", 4096),
        ("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens", 8192),
    ],
)  # fmt: skip
def test_a_reply_that_may_not_be_so_long(message: str, most: int):
    found = failure(400, message)
    assert (found.kind, found.most) == ("request", most)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "The model `gpt-9` does not exist or you do not have access to it."),
        (404, 'model "qwen3:99b" not found, try pulling it first'),
        (400, "Model Not Exist"),
        (400, "foo/bar is not a valid model ID"),
        (400, "Invalid model name passed in model=gpt-9"),
        (404, "models/gemini-9 is not found for API version v1main"),
        (400, "No models loaded. Please load a model in the developer page."),
    ],
)
def test_a_model_that_is_not_there(status: int, message: str):
    assert failure(status, message).kind == "model"


@pytest.mark.parametrize(
    ("status", "error", "name"),
    [
        (400, {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
               "Use 'max_completion_tokens' instead.", "param": "max_tokens"}, "max_tokens"),
        (400, {"message": "Unsupported value: 'temperature' does not support 0.7 with this model. "
               "Only the default (1) value is supported.", "param": "temperature"}, "temperature"),
        (400, "Unrecognized request argument supplied: stream_options", "stream_options"),
        (400, "Stream options are not supported here", "stream_options"),
        (400, "Streaming is not supported by this model", "stream"),
        (501, "stream: not implemented", "stream"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
               "msg": "Extra inputs are not permitted"}]}, "stream_options"),
        (400, "System role not supported", "system"),
        (500, "Jinja Exception: Conversation roles must alternate user/assistant", "system"),
        (400, "Developer instruction is not enabled for models/gemma-3-27b-it", "system"),
        (400, "'messages[0].role' does not support 'system' with this model.", "system"),
        (500, "upstream error: stream closed", ""),
        (500, "out of memory at temperature sensor", ""),
        (400, "Bad request", ""),
        (429, "stream limit: at most 3 streams", ""),
        (503, "stream backend is not available, try again", ""),
        (502, {"message": "invalid temperature", "param": "temperature"}, ""),
    ],
)  # fmt: skip
def test_the_parameter_that_is_meant(status: int, error: Any, name: str):
    assert failures.culprit(failure(status, error), SENT) == name


@pytest.mark.parametrize(
    ("status", "more", "kind"),
    [
        (429, {"code": "insufficient_quota"}, "quota"),
        (429, {"code": "rate_limit_exceeded"}, "rate"),
        (429, {"status": "RESOURCE_EXHAUSTED"}, "rate"),  # Gemini, for each minute
        (None, {"code": 429}, "rate"),
        (None, {"code": 503}, "server"),
        (None, {"type": "overloaded_error"}, "server"),
        (400, {"code": "content_filter"}, "refused"),
        (408, {}, "server"),
        (400, {"code": "invalid_api_key"}, "unauthorized"),
    ],
)
def test_codes_count_more_than_words(status: int | None, more: dict[str, Any], kind: str):
    assert failure(status, "You exceeded your current quota, see billing", **more).kind == kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "1.5", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None):
    wait = failures.of("slow down", 429, headers, []).wait
    assert wait == seconds


def test_until_when_to_wait():
    at = formatdate(time.time() + 30, usegmt=True)
    assert failures.of("slow down", 429, {"retry-after": at}, []).wait == pytest.approx(28, abs=3)


def test_the_words_of_a_page_are_its_title():
    page = "<html><head><title>502 Bad\nGateway</title></head><body>nginx</body></html>"
    assert failures.of(page, 502, {}, []).words == "502 Bad Gateway"


def test_whom_a_gateway_asked_is_quoted_too():
    error = {"message": "Provider returned error", "metadata": {"raw": "top_k is not supported"}}
    found = failure(400, error)
    assert failures.culprit(found, ["top_k"]) == "top_k"
    assert "Provider returned error top_k is not supported" in found.words


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text() | st.sampled_from(("error", "message", "detail", "code", "param",
        "loc", "msg", "metadata", "raw", "n_ctx")), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(anything, st.none() | st.integers(400, 599))
def test_any_error_has_a_kind_and_a_text(body: Any, status: int | None):
    found = failures.of(body, status, {}, ["s3cret"])
    assert failures.culprit(found, SENT) in ("", *SENT)
    error = failures.error(found, server="http://x/v1", model="m")
    assert isinstance(error, EndpointError)
    assert error.kind in KINDS
    assert len(str(error)) < 1000
