"""A model and how to reach it: its server's address, the key, and what of both is secret."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from autoresearch_kit import keys, traits
from autoresearch_kit.errors import EndpointError

OPENAI = "https://api.openai.com/v1"
OWN = "http://127.0.0.1:8000/v1"  # where many a server of one's own listens
NO_KEY = "no-key"  # what a server gets that wants none
SHORTEST = 4  # characters of a secret; a shorter one would be found in innocent words
# Headers and query parameters that tell who asks and how, never who may.
_OPEN = re.compile(
    r"accept|content-type|user-agent|(http-)?referer|x-title|(.*[-_])?version", re.IGNORECASE
)
# What many manuals give as the address is that of one request.
_REQUEST = re.compile(r"(/chat/completions/*)+(?=[?#]|$)")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]*:)?/+", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """A model and how to reach it.

    Attributes
    ----------
    model
        Its name there; None takes the server's only one.
    base_url
        Such as ``http://127.0.0.1:8080/v1``; None takes OPENAI_BASE_URL, else OpenAI's own. A
        ``/chat/completions`` at its end is left out.
    api_key
        None takes OPENAI_API_KEY; a server of your own mostly wants none.
    options
        More request parameters, such as ``{"temperature": 0.7}``; also ``extra_headers`` and
        ``extra_query``.
    stall_seconds
        Without a byte from the server, after which it counts as stalled. An answer in one piece is
        silent until its end, so that it may take ten times as long, up to ten minutes or, where
        that is more, this time itself. So does a stream that shows signs of life only, without
        the bound.
    max_tokens
        Of a reply, reasoning included.

    Raises
    ------
    EndpointError
        When the model is no name.
    """

    model: str | None = None
    base_url: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    stall_seconds: float = 120.0
    max_tokens: int = 8000

    def __post_init__(self) -> None:
        if not isinstance(self.model, str | None):
            # Who types the dots of a suggestion gives Python's Ellipsis as the first argument.
            raise EndpointError(
                f"model={self.model!r} is no name of a model. Expected one such as "
                'ark.LLM("tiny"); dots in ark.LLM(..., max_tokens=400) stand for what the call '
                "had before",
                "model",
            )


def server_of(endpoint: Endpoint) -> str:
    """Return the URL of the server without anything secret: what it is remembered by.

    Raises
    ------
    EndpointError
        When the URL is none.
    """
    url = _url(endpoint.base_url)
    server = public(url)
    if not _is_web(server):
        shown = keys.redact(_shown(url))  # it may be a key in the wrong place
        raise EndpointError(
            f"The base_url of the model's server is no web address: {shown!r}. Expected one that "
            f'begins with http:// or https://. Type ark.LLM(..., base_url="{_corrected(shown)}")',
            "connection",
        )
    return server


def public(base_url: str) -> str:
    """Return a server's URL without user, password and query; "" for what is none."""
    return traits.server(_REQUEST.sub("", base_url.strip()))


def secrets_of(
    options: Mapping[str, Any], base_url: str | None = None, api_key: str | None = None
) -> list[str]:
    """Return all values that nobody may see of what is sent to a model's server.

    They are the API key, user and password of the URL (as they stand and as they are sent), the
    values of its query, and those of ``extra_headers`` and ``extra_query``, with and without a
    scheme such as ``Bearer``. Versions, media types and names of programs are left out.

    Parameters
    ----------
    base_url, api_key
        As in `Endpoint`: None takes what the environment says.
    """
    found = [_key(api_key)]
    url = _split(_url(base_url))
    if url.password:
        found += [url.password, unquote(url.password), basic(url)]
    elif url.username:  # a token in the place of the name
        found += [url.username, unquote(url.username), basic(url)]
    for part in url.query.split("&"):
        found += _closed(dict(parse_qsl(part)))
        name, _, value = part.partition("=")
        found += _closed({name: value})
    inner = options.get("extra_body")
    for table in (options, inner if isinstance(inner, Mapping) else {}):
        for value in _closed(table.get("extra_headers")):
            scheme = re.fullmatch(r"\s*[\w-]+\s+(\S+)\s*", value)
            found += [value, *(scheme.groups() if scheme else ())]
        found += _closed(table.get("extra_query"))
    kept = (value for value in found if len(value) >= SHORTEST and value != NO_KEY)
    return list(dict.fromkeys(kept))


def secrets(endpoint: Endpoint) -> list[str]:
    """Return what must not be quoted from a server's words."""
    return secrets_of(endpoint.options, endpoint.base_url, endpoint.api_key)


def key_of(endpoint: Endpoint) -> str:
    """Return the key to send, `NO_KEY` for none."""
    return _key(endpoint.api_key)


def url_of(endpoint: Endpoint) -> str:
    """Return the server's URL with all that is secret in it."""
    return _url(endpoint.base_url)


def basic(url: SplitResult) -> str:
    """Return user and password of a URL as the header Authorization has them."""
    user = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return base64.b64encode(user.encode()).decode()


def _key(api_key: str | None) -> str:
    return (api_key or os.environ.get("OPENAI_API_KEY") or "").strip() or NO_KEY


def _url(base_url: str | None) -> str:
    url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()
    return _REQUEST.sub("", url)


def _is_web(server: str) -> bool:
    return re.match(r"https?://[^/:]", server) is not None


def _shown(url: str) -> str:
    """Return what was given as an address as far as nothing in it can be secret."""
    head, _, rest = url.rpartition("@")
    if re.search(r"[?#]", head):  # of a password or of a query: who can tell
        return "***"
    scheme = _SCHEME.match(head)
    return (scheme[0] if scheme else "") + re.split(r"[?#]", rest)[0]


def _corrected(shown: str) -> str:
    """Return the web address that was probably meant."""
    rest = _SCHEME.sub("", shown).rstrip("/")
    rest = f"127.0.0.1:{rest}" if re.fullmatch(r"\d{2,5}", rest.strip(":")) else rest
    # A key must not go over the net unencrypted because of what is suggested here.
    distant = re.match(r"[a-z][\w-]*(\.[\w-]+)+(/|$)", rest, re.IGNORECASE)
    secure = distant or shown.lower().startswith("https:")
    url = f"http{'s' if secure else ''}://{rest}{'' if '/' in rest else '/v1'}"
    return url if _is_web(public(url)) and re.fullmatch(r"[\w:/.%~+\[\]-]+", url) else OWN


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _closed(table: Any) -> Iterator[str]:
    """Yield the values of headers or of a query, except those that are no secret by their name."""
    for name, value in table.items() if isinstance(table, Mapping) else ():
        if not _OPEN.fullmatch(str(name)):
            yield from _values(value)


def _values(value: Any) -> Iterator[str]:
    """Yield the words of a value, however it is nested."""
    if isinstance(value, Mapping):
        yield from _closed(value)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _values(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
