"""What went wrong with a request to a model's server: which kind it is, and how to say it.

Servers agree on HTTP codes at best, so the kind is read from code, error object and words. The
words of a server are quoted on one line and without the secrets that went to it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from autoresearch_kit.endpoint.address import OPENAI, OWN
from autoresearch_kit.errors import EndpointError
from autoresearch_kit.records import clean

READ, QUOTED = 4000, 300  # characters of a server's words
LISTED = 20  # models
PASSING = (429, 502, 503, 504, 529)  # HTTP codes of what passes, whatever the words say
KINDS = {  # those of `Failure` that a caller need not tell apart
    "address": "request",
    "cut": "connection",
    "keyless": "unauthorized",
    "rubbish": "server",
    "silent": "stalled",
    "cut reply": "truncated",
    "cut prompt": "context",
    "full": "truncated",
    "unchosen": "model",
    "unlisted": "model",
}

_CONTEXT = re.compile(
    r"context[ _]?(length|size|window|limit)|maximum context|n_ctx|prompt is too long"
    r"|too many (input )?tokens|input token count|reduce the length|max_new_tokens` must be",
    re.IGNORECASE,
)
# More in one request than in a minute: waiting doesn't help.
_TOO_LARGE = re.compile(r"request too large.*limit", re.IGNORECASE | re.DOTALL)
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"context (?:length|size|window|limit)[^\d;]{0,30}?([\d,]{3,})",
        r"([\d,]{3,})(?: tokens?)? (?:maximum )?context (?:length|size|window)",
        r"tokens\s*>\s*([\d,]{3,})",
        r"allowed \(([\d,]{3,})\)",
        r"must be <= ([\d,]{3,})",
        r"limit ([\d,]{3,}), requested",
    )
)
_MOST = re.compile(
    r"(?:at most|<=|less than or equal to|range of max_tokens is \[\d+,|\d >)\s*`?([\d,]{3,})",
    re.IGNORECASE,
)
_PROMPTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"([\d,]+) (?:input|prompt) tokens",
        r"resulted in ([\d,]+) tokens",
        r"\(([\d,]+) in the (?:messages|prompt|input)",
    )
)
_NO_MODEL = re.compile(
    r"models?\W[^.;]{0,120}?(not found|does(n't| not) exist|not exist|no such|is unknown)"
    r"|(unknown|invalid|no such|not a valid|unsupported) model\b|no models? loaded",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(
    r"insufficient[ _](quota|balance|credit|funds)|billing hard limit|out of credits", re.IGNORECASE
)
_FILTERED = re.compile(r"content[ _](filter|policy|management)|responsible ?ai", re.IGNORECASE)
_BAD_KEY = re.compile(
    r"api[ _]key (not valid|is invalid)|(invalid|incorrect) api[ _]key", re.IGNORECASE
)
_REFUSES = re.compile(
    r"(not|n't|never) (be )?(support|allow|permit|implement|enable|available)|unsupported|disabled"
    r"|unrecogni[sz]ed|unknown|unexpected|invalid|\bmust\b",
    re.IGNORECASE,
)
_SYSTEM = re.compile(
    r"system['\"`]?\s(role|prompt|message|instruction)|role.{0,60}\bsystem\b|developer instruction"
    r"|roles must alternate",
    re.IGNORECASE | re.DOTALL,
)


_TEXTS = {
    "unauthorized": "{server} doesn't accept the API key for {model} ({said}). Expected one that "
    "is valid there, in the environment variable OPENAI_API_KEY or in ark.LLM(..., api_key=...)",
    "keyless": "{server} wants an API key and got none ({said}). Expected one in the environment "
    "variable OPENAI_API_KEY, set before the kernel starts, or in ark.LLM(..., api_key=...){own}",
    "quota": "The account behind the API key at {server} may spend nothing more ({said}). Add "
    "credit there, or choose another server: ark.LLM(..., base_url=...)",
    "rate": "{server} takes no more requests for now ({said}){times}{asks}. Repeat the call later, "
    "or use a model with a higher rate limit: ark.LLM(..., model=...)",
    "model": "{server} has no model {model!r} ({said}). {choice}",
    "unchosen": "No model is chosen, and {server} has not exactly one to take ({count}). {choice}",
    "unlisted": "No model is chosen, and {server} doesn't list what it has ({said}). Type "
    'ark.LLM(..., model="..."), and look whether the base_url is right: most end with /v1',
    "server": "{server} failed{times} ({said}). Expected an answer of {model}: look at the log or "
    "the status page of the server, and repeat the call",
    "connection": "Nothing answers at {server} ({words}){times}. Start the server, or correct the "
    'address: ark.LLM(..., base_url="http://host:port/v1")',
    "cut": "{server} ended the connection {words}{times}. Expected a whole one: look at the log of "
    "the server or of the gateway before it, and repeat the call",
    "stalled": "{server} sent no word for {waited:g} s {words}{times}. A slow machine may need "
    "that long to read the prompt: type ark.LLM(..., stall_seconds={longer:g}), or send less: "
    "ark.LLM(..., prompt_tokens=...)",
    "silent": "No model is chosen, and {server} didn't say within {waited:g} s what it has. "
    'Look at its log, or type ark.LLM(..., model="...")',
    "rubbish": "What {server} sent is no chat completion: {words!r}. Expected JSON as OpenAI sends "
    "it; look whether the base_url is right (most end with /v1): ark.LLM(..., base_url=...)",
    "cut reply": "The reply of {model} ended in the middle: it reached max_tokens={most}, "
    "reasoning included. Type ark.LLM(..., max_tokens={twice})",
    "full": "The reply of {model} ended in the middle after {words} tokens, though {most:,} were "
    "allowed: {server} has room for no more. Start it with a larger context, or send less: "
    "ark.LLM(..., prompt_tokens=...)",
    "cut prompt": "{server} took {words} tokens of the prompt and cut the rest without a word, so "
    "the reply of {model} is of no use. Start the server with a larger context (llama.cpp: "
    "-c 32768, Ollama: OLLAMA_CONTEXT_LENGTH=32768), or send less: "
    "ark.LLM(..., prompt_tokens={half})",
    "refused": "{model} refuses to answer ({words}). Expected a proposal: repeat the call, reword "
    "program.md or the idea, or take another model: ark.LLM(..., model=...)",
    "empty": "The reply of {model} is empty ({words}). Expected words: repeat the call, or take "
    "another model: ark.LLM(..., model=...)",
    "context": "The prompt is too long for {model}, which has room for {room} ({said}). Start the "
    "server with a larger context, or send less: ark.LLM(..., prompt_tokens={half})",
    "address": "{server} has no chat completions ({said}). Expected the address before "
    '/chat/completions, which mostly ends with /v1: ark.LLM(..., base_url="{base}")',
    "request": "{server} doesn't take the request to {model} ({said}), also not without its "
    "optional parameters. Look into the log of the server, or take another: "
    "ark.LLM(..., base_url=...)",
}


_OWN = (
    f', or the address of your own server: ark.LLM(base_url="{OWN}"), or in the environment '
    "variable OPENAI_BASE_URL"
)


@dataclass(frozen=True)
class Failure:
    """Why a request brought no answer.

    Attributes
    ----------
    kind
        As in `errors.EndpointError`, or one of `KINDS`, which are finer.
    words
        What the server, or the system, says about it.
    status
        The HTTP code, None when there was none.
    param
        The parameter that the server names as wrong in so many words, "" for none.
    wait
        Seconds that the server asks to wait.
    waited
        Seconds of silence after which it counted as stalled.
    limit
        Tokens that it has room for, when it says so.
    most
        Tokens of a reply that it allows, when it says so.
    prompt
        Tokens of the prompt, when it says so.
    models
        The names of its models, where they are of use.
    """

    kind: str
    words: str = ""
    status: int | None = None
    param: str = ""
    wait: float | None = None
    waited: float = 0.0
    limit: int | None = None
    most: int | None = None
    prompt: int | None = None
    models: tuple[str, ...] = ()


def of(
    body: Any, status: int | None, headers: Mapping[str, str], secrets: Iterable[str]
) -> Failure:
    """Return the failure that an error's body, HTTP code and headers describe."""
    error = _error(body)
    code = error.get("code")
    if status is None and isinstance(code, int) and 400 <= code < 600:
        status = code
    words = redacted(_message(error), secrets)
    code = " ".join(str(error.get(key) or "") for key in ("code", "type", "status")).lower()
    return Failure(
        kind=_kind(status, code, words),
        words=clean(words, READ),
        status=status,
        param=_param(error),
        wait=_wait(headers),
        limit=_count(error.get("n_ctx")) or _first(words, _LIMITS, 128),
        most=_first(words, (_MOST,), 256),
        prompt=_count(error.get("n_prompt_tokens")) or _first(words, _PROMPTS, 1),
    )


def brief(failure: Failure) -> str:
    """Return a failure in one line."""
    status = f"HTTP {failure.status}" if failure.status else failure.kind
    return f"{status}: {clean(failure.words, QUOTED)}" if failure.words else status


def error(
    failure: Failure,
    *,
    server: str,
    model: str,
    keyed: bool = True,
    tries: int = 1,
    stall_seconds: float = 0.0,
    most: int = 0,
) -> EndpointError:
    """Return the exception that tells a person what happened and what to do.

    Parameters
    ----------
    keyed
        Whether an API key was sent.
    tries
        How often the same happened.
    most
        Tokens of a reply that were asked for.
    """
    kind = failure.kind
    if kind == "request" and failure.status in (404, 405):
        kind = "model" if failure.models and model not in failure.models else "address"
    if kind == "unauthorized" and not keyed:
        kind = "keyless"
    text = _TEXTS[kind].format(
        server=server,
        model=model,
        words=clean(failure.words, QUOTED),
        said=brief(failure),
        times=f", {tries} times in a row" if tries > 1 else "",
        asks=f"; it asks to wait {failure.wait:.0f} s" if failure.wait else "",
        choice=_choice(failure.models),
        count=f"{len(failure.models)} models" if failure.models else "none",
        own=_OWN if server == OPENAI else "",
        base="http://host:port/v1" if server.endswith("/v1") else f"{server}/v1",
        waited=failure.waited,
        # Where the silence may last longer than the stall time, more of that may change nothing.
        longer=max(5 * stall_seconds, 2 * failure.waited),
        most=most,
        twice=2 * most,
        room=f"{failure.limit:,} tokens" if failure.limit else "less than it needs",
        half=(failure.limit or 8192) // 2,
    )
    return EndpointError(text, KINDS.get(kind, kind))


def _choice(models: Sequence[str]) -> str:
    """Return what models there are, and what to type."""
    if not models:
        return 'Type ark.LLM(..., model="..."), with the name that the server knows it by.'
    more = f", and {len(models) - LISTED} more" if len(models) > LISTED else ""
    names = ", ".join(clean(name, 80) for name in models[:LISTED])
    return f'It has: {names}{more}. Type ark.LLM(..., model="{clean(models[0], 80)}")'


def culprit(failure: Failure, sent: Sequence[str]) -> str:
    """Return the name in `sent` that a server objects to, "" when it names none of them."""
    if failure.kind not in ("request", "server", "model") or failure.status in PASSING:
        return ""
    if failure.param in sent:
        return failure.param
    refuses = failure.kind == "request" or _REFUSES.search(failure.words)
    if failure.kind == "model" or not refuses:
        return ""
    if "system" in sent and _SYSTEM.search(f"{failure.param} {failure.words}"):
        return "system"
    found = []
    for name in sent:
        pattern = r"[_ ]?".join(map(re.escape, name.split("_")))
        ending = r"(?:ing)?(?![\w.]|[_ ]options)" if name == "stream" else r"(?![\w])"
        if match := re.search(rf"(?<!\w){pattern}{ending}", failure.words, re.IGNORECASE):
            found.append((match.start(), name))
    return min(found)[1] if found else ""


def redacted(words: str, secrets: Iterable[str]) -> str:
    """Return `words` with all that must not be told replaced."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words


def _kind(status: int | None, code: str, words: str) -> str:
    if status == 401 or _BAD_KEY.search(words) or "invalid_api_key" in code:
        return "unauthorized"
    if status == 402 or "insufficient_quota" in code or _NO_MONEY.search(words):
        return "quota"
    if _TOO_LARGE.search(words):
        return "context"
    if status == 429 or "rate_limit" in code:
        return "rate"
    if "model_not_found" in code:
        return "model"
    if status == 403:
        return "refused" if _FILTERED.search(f"{code} {words}") else "unauthorized"
    if "content_filter" in code or "content_policy" in code:
        return "refused"
    if status == 413 or "context" in code or _CONTEXT.search(words):
        return "context"
    if _NO_MODEL.search(words):
        return "model"
    if status is not None and status < 500 and status not in (408, 409, 425):
        return "refused" if _FILTERED.search(words) else "request"
    return "server"


def _error(body: Any) -> Mapping[str, Any]:
    """Return the error object in a body, whatever it is wrapped into."""
    if isinstance(body, list) and body:  # Gemini
        body = body[0]
    if isinstance(body, dict) and "error" in body:
        inner = body["error"]
        body = inner if isinstance(inner, dict) else {**body, "message": inner}
    if isinstance(body, dict):
        return body
    return {"message": body if isinstance(body, str) else json.dumps(body) if body else ""}


def _message(error: Mapping[str, Any]) -> str:
    """Return what an error object says in words."""
    detail = error.get("detail")
    if isinstance(detail, list):  # FastAPI: what is wrong with which field
        said = [item for item in detail if isinstance(item, dict)]
        detail = "; ".join(
            f"{'.'.join(str(p) for p in item.get('loc') or ())}: {item.get('msg', '')}"
            for item in said
        )
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter: whom it asked
    parts = [error.get("message") or error.get("msg") or detail, raw]
    text = " ".join(str(part) for part in parts if part) or json.dumps(dict(error))
    if re.match(r"\s*<", text):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        text = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return "" if text == "{}" else text


def _param(error: Mapping[str, Any]) -> str:
    if isinstance(param := error.get("param"), str):
        return param
    detail = error.get("detail")
    for item in detail if isinstance(detail, list) else ():
        loc = item.get("loc") if isinstance(item, dict) else None
        if isinstance(loc, list) and len(loc) > 1 and loc[0] == "body":
            return str(loc[1])
    return ""


def _first(words: str, patterns: Iterable[re.Pattern[str]], least: int) -> int | None:
    """Return the number that the first pattern finds in `words`."""
    for pattern in patterns:
        if (match := pattern.search(words)) and (digits := match[1].replace(",", "")):
            number = int(digits)
            return number if least <= number <= 10**8 else None
    return None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the headers ask to wait."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if not value:
            continue
        try:
            return max(0.0, float(value) / unit)
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pass
    return None
