"""Where a model is asked and what of it is secret."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from autoresearch_kit import endpoint
from autoresearch_kit.endpoint import Endpoint, complete, secrets_of
from autoresearch_kit.errors import EndpointError
from tests.llm_server import Status, llm_server

CANARY = "canary-s3cret/1"


@pytest.mark.parametrize(
    ("url", "key", "options"),
    [
        (None, CANARY, {}),
        (None, f" {CANARY}\n", {}),
        ("http://me:canary-s3cret%2F1@host/v1", None, {}),
        ("http://canary-s3cret%2F1@host/v1", None, {}),
        ("http://host/v1?code=canary-s3cret%2F1&api-version=2024-10-21", None, {}),
        (None, None, {"extra_headers": {"X-Gateway": CANARY}}),
        (None, None, {"extra_headers": {"Authorization": f"Bearer {CANARY}"}}),
        (None, None, {"extra_query": {"code": CANARY}}),
        (None, None, {"extra_query": {"codes": ["one", {"two": CANARY}]}}),
        (None, None, {"extra_body": {"extra_headers": {"X-Gateway": CANARY}}}),
    ],
)
def test_secrets_are_known_wherever_they_stand(
    url: str | None, key: str | None, options: dict[str, object]
):
    assert CANARY in secrets_of(options, url, key)
    assert "2024-10-21" not in secrets_of(options, url, key)


def test_secrets_are_known_as_they_are_sent_too(monkeypatch: pytest.MonkeyPatch):
    found = secrets_of({}, "http://me:canary%21@host/v1?code=a%2Fbcd")
    sent = base64.b64encode(b"me:canary!").decode()
    assert {"canary%21", "canary!", sent, "a%2Fbcd", "a/bcd"} <= {*found}
    monkeypatch.setenv("OPENAI_API_KEY", "canary-of-the-environment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:canary-of-the-url@host")
    assert {"canary-of-the-environment", "canary-of-the-url"} <= {*secrets_of({})}


def test_what_everybody_may_see_is_no_secret(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    headers = {"User-Agent": "notebook", "anthropic-version": "2023-06-01", "X-Id": "7"}
    options = {"extra_headers": headers, "temperature": 0.7, "stop": ["never"]}
    assert secrets_of(options, "http://host:8080/v1?api-version=2024-10-21") == []
    assert secrets_of({"extra_headers": "X-Team: 3", "extra_body": 3}, "http://[::") == []


def test_a_server_that_echoes_a_header_is_quoted_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(endpoint, "PAUSES", {})
    with llm_server(Status(500, f"bad token {CANARY}")) as llm:
        options = {"extra_headers": {"X-Gateway": f"Token {CANARY}"}}
        asked = Endpoint(base_url=llm.url, model="tiny", options=options)
        with pytest.raises(EndpointError, match=r"bad token \*\*\*\)"):
            complete(asked, [{"role": "user", "content": "x"}], memory=tmp_path / "models.json")
