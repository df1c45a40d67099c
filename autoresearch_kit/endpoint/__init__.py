"""The door to language models: chat completions of any OpenAI-compatible server.

The one file that imports `openai`. `complete` sends a conversation and returns the answer, however
the server spells it; what can't become one is an `EndpointError` that says what to do. What a
server doesn't take is left out, one parameter at a time, and remembered (`traits`).
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from autoresearch_kit import traits
from autoresearch_kit.endpoint import answers, failures, wire
from autoresearch_kit.endpoint.address import NO_KEY, OPENAI, basic, key_of, secrets, url_of
from autoresearch_kit.endpoint.address import Endpoint as Endpoint
from autoresearch_kit.endpoint.address import public as public
from autoresearch_kit.endpoint.address import secrets_of as secrets_of
from autoresearch_kit.endpoint.address import server_of as server_of
from autoresearch_kit.endpoint.answers import Answer as Answer
from autoresearch_kit.endpoint.failures import Failure
from autoresearch_kit.endpoint.request import LIMITS, Request
from autoresearch_kit.endpoint.wire import Reading
from autoresearch_kit.errors import EndpointError
from autoresearch_kit.records import clean
from autoresearch_kit.traits import Traits

if TYPE_CHECKING:
    import openai

_log = logging.getLogger(__name__)

PAUSES = {  # seconds before each further try, by what went wrong
    "rate": (1.0, 2.0, 4.0, 8.0, 16.0),
    "server": (1.0, 2.0, 4.0, 8.0, 16.0),
    "connection": (1.0, 2.0),
    "cut": (1.0, 2.0),
    "stalled": (0.0,),
}
LONGEST_PAUSE = 60.0  # seconds; a server that asks for more is not waited for
CONNECT_SECONDS = 10.0
BROKEN = ("error", "abort", "cancelled", "insufficient_system_resource")  # why a reply ended
PATIENCE = 10  # stall times, for a reply in one piece and for one that shows signs of life only
LONGEST_SILENCE = 600.0  # seconds for a reply in one piece, unless the stall time is longer
WORDY = 16  # characters for each token of the limit; a reply that is longer ignores it
REQUESTS = 60  # for one answer, at most
_strangers = set[str]()  # servers that were said to answer with another model
_OTHER_MODELS = re.compile(r"embed|rerank|whisper|\btts\b", re.IGNORECASE)


def complete(
    endpoint: Endpoint,
    messages: Sequence[Mapping[str, str]],
    *,
    memory: Path,
    say: Callable[[str], None] | None = None,
) -> Answer:
    """Return the model's answer to a conversation; `say` gets its words as they come.

    Parameters
    ----------
    messages
        Each with ``role`` and ``content``.
    memory
        The file in which is remembered what a server takes; see `traits`.

    Raises
    ------
    EndpointError
        When there is no usable answer; its ``kind`` says why. Its ``answer`` is the unusable one
        that came, with what it cost, else None.

    Notes
    -----
    A reply that breaks off after some words has to be paid, also when another try succeeds: the
    tokens of an answer are those of all tries.
    """
    begun, lost = time.monotonic(), list[Reading]()
    server = server_of(endpoint)
    with _client(endpoint) as client:
        model = endpoint.model or _only_model(client, endpoint)
        known = traits.read(memory, server, model)
        request = _request(endpoint, model, messages)
        outcome, dropped, tries = _asked(client, endpoint, request, known, lost, say or _nobody)
        failure = outcome if isinstance(outcome, Failure) else None
        if failure is not None and (failure.kind == "model" or failure.status == 404):
            found = _models(client, endpoint)
            failure = replace(failure, models=() if isinstance(found, Failure) else tuple(found))
    expected = round(request.prompt_tokens * (known.ratio or 1.0))
    seconds, count = time.monotonic() - begun, len(messages)
    spent = [
        answers.of(broken, expected, answers.share(broken, expected, known, count), seconds)
        for broken in lost
    ]
    answer = spent.pop() if spent and failure is not None else None
    if isinstance(outcome, Reading):
        _notice(endpoint, server, model, outcome.model)
        share = answers.share(outcome, expected, known, count)
        answer = answers.of(outcome, expected, share, seconds)
        failure = answers.problem(outcome, answer, expected, share, request.wanted)
        prompt = (request.prompt_tokens, answer.prompt_tokens) if share == "whole" else None
        # What was known before keeps its age.
        learned = tuple(name for name in dropped if name not in known.dropped)
        traits.update(memory, server, model, dropped=learned, prompt=prompt)
    answer = None if answer is None else answers.together(answer, spent)
    if failure is None:
        assert answer is not None
        return answer
    if failure.kind in ("context", "cut prompt"):
        traits.update(memory, server, model, context=failure.limit)
    words = failures.redacted(failure.words, secrets(endpoint))
    error = failures.error(
        replace(failure, words=words),
        server=server,
        model=model,
        keyed=key_of(endpoint) != NO_KEY,
        tries=tries,
        stall_seconds=endpoint.stall_seconds,
        most=request.wanted,
    )
    error.answer = answer
    raise error


def model_of(endpoint: Endpoint) -> str:
    """Return the model that is asked: the chosen one, or the only one that the server has.

    Raises
    ------
    EndpointError
        When none is chosen and the server has several, or doesn't tell.
    """
    if endpoint.model:
        return endpoint.model
    with _client(endpoint) as client:
        return _only_model(client, endpoint)


def _asked(
    client: openai.OpenAI,
    endpoint: Endpoint,
    request: Request,
    known: Traits,
    lost: list[Reading],
    say: Callable[[str], None],
) -> tuple[Reading | Failure, list[str], int]:
    """Return the reply or why there is none, what was left out for it, and how often it was tried.

    What a server objects to is left out, what may pass is waited for. `lost` gets the replies that
    broke off.
    """
    dropped, trial = list(known.dropped), frozenset[str]()
    trials: Iterator[frozenset[str]] | None = None
    objection: Failure | None = None
    tries: Counter[str] = Counter()
    request.fit(Failure("context", limit=known.context), known.ratio)
    while True:
        without = [*dropped, *sorted(trial)]
        body = request.body(without)
        reading = Reading()
        outcome = _sent(client, endpoint, request, body, reading, say)
        if outcome is None:
            return reading, without, 1
        if reading.size:
            lost.append(reading)
            say("\n\n")  # what follows is another reply
        tries[outcome.kind] += 1
        number = tries[outcome.kind]
        if tries.total() >= REQUESTS:
            return outcome, without, number
        if outcome.kind in ("context", "request") and request.fit(outcome, known.ratio):
            said = failures.brief(outcome)
            _log.warning("%s is asked for %d tokens at most: %s", request.model, request.most, said)
        elif name := failures.culprit(outcome, request.optional(without)):
            said = failures.brief(outcome)
            _log.warning("%s is asked without %r from now on: %s", request.model, name, said)
            dropped, trial, trials = [*dropped, name], frozenset(), None
        elif outcome.kind == "rubbish" and body.get("stream") and outcome.words[:1] != "<":
            trial |= {"stream"}
        elif outcome.kind == "request" and outcome.status in (400, 422):
            # It doesn't say what it objects to: try.
            trials, objection = trials or request.trials(dropped), objection or outcome
            if (next_trial := next(trials, None)) is None:
                return objection, dropped, 1
            trial = next_trial
        elif not _paused(outcome, tries[outcome.kind]):
            return outcome, dropped, number


def _paused(failure: Failure, tries: int) -> bool:
    """Wait until another try makes sense; False when none does."""
    pauses = PAUSES.get(failure.kind, ())
    if tries > len(pauses) or (failure.wait or 0.0) > LONGEST_PAUSE:
        return False
    # A little by chance, so that those who failed together don't come back together.
    pause = max(pauses[tries - 1] * random.uniform(1.0, 1.25), failure.wait or 0.0)
    _log.warning("%s; next try in %.1f s", failures.brief(failure), pause)
    time.sleep(pause)
    return True


def _sent(
    client: openai.OpenAI,
    endpoint: Endpoint,
    request: Request,
    body: Mapping[str, Any],
    reading: Reading,
    say: Callable[[str], None],
) -> Failure | None:
    """Send one request and fill `reading` with the reply; return why it is none, or not whole."""
    import openai

    known = {name: body[name] for name in ("model", "messages", "stream") if name in body}
    silence, patience = endpoint.stall_seconds, PATIENCE * endpoint.stall_seconds
    # The read time-out counts from byte to byte; a reply in one piece is silent until its end.
    if "stream" not in body:
        silence = patience = min(patience, max(silence, LONGEST_SILENCE))
    create: Any = client.chat.completions.with_streaming_response.create
    try:
        with create(
            **known,
            extra_body={name: value for name, value in body.items() if name not in known},
            timeout=openai.Timeout(silence, connect=min(silence, CONNECT_SECONDS)),
            **request.transport,
        ) as response:
            most = WORDY * request.most
            wire.read(response.iter_bytes(), reading, most=most, patience=patience, say=say)
    except Exception as error:
        failure = _failure(error, reading.size, secrets(endpoint), silence, patience)
        if failure.kind in ("stalled", "cut") and reading.finish:
            return None  # what is missing is the good-bye
        return failure
    if reading.error is not None:
        return failures.of(reading.error, None, {}, secrets(endpoint))
    if reading.finish in BROKEN:
        return Failure("server", f"finish_reason {reading.finish!r}")
    if not (reading.done or reading.finish):
        return Failure("cut", f"after {reading.size:,} characters of the reply")
    return None


def _failure(
    error: Exception, size: int, secrets: Sequence[str], silence: float, patience: float
) -> Failure:
    """Return what an exception of the client means; one that isn't the server's is raised again.

    `silence` and `patience` are how long it waited for a byte, and for a word.
    """
    import openai

    # The client's transport is httpx, or httpx2 since openai 3; it raises its own within a reply.
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, openai.APIStatusError):
        return failures.of(error.body, error.status_code, error.response.headers, secrets)
    if isinstance(error, wire.Rubbish):
        return Failure("rubbish", clean(failures.redacted(str(error), secrets)))
    transport = isinstance(error, openai.APIConnectionError) or "RequestError" in names
    if not (transport or isinstance(error, wire.Silence)):
        raise error
    cause = error.__cause__ or error
    names |= {kind.__name__ for kind in type(cause).__mro__}
    words = clean(failures.redacted(str(cause), secrets))
    within = f"after {size:,} characters of the reply"
    if names & {"ConnectTimeout", "ConnectError", "UnsupportedProtocol", "ProxyError"}:
        return Failure("connection", words or "no connection in time")
    if names & {"TimeoutException", "Silence"}:
        return Failure("stalled", within, waited=patience if "Silence" in names else silence)
    return Failure("cut", f"{within}: {words}")


def _request(endpoint: Endpoint, model: str, messages: Sequence[Mapping[str, str]]) -> Request:
    host = urlsplit(url_of(endpoint)).hostname or ""
    # OpenAI's new models know the second name only, and say so. Some servers ignore it in silence.
    limits = LIMITS[::-1] if host.endswith((".openai.com", ".azure.com")) else LIMITS
    try:
        return Request(model, messages, endpoint.options, endpoint.max_tokens, limits)
    except (TypeError, ValueError, AttributeError) as error:
        raise EndpointError(
            f"The options of the model can't be sent: {error}. Expected what JSON can say, such as "
            'ark.LLM(..., options={"temperature": 0.7})'
        ) from None


def _client(endpoint: Endpoint) -> openai.OpenAI:
    """Return a client of the endpoint's server, to be closed."""
    server, key = server_of(endpoint), key_of(endpoint)
    if key == NO_KEY and server == OPENAI:
        failure = Failure("unauthorized")
        raise failures.error(failure, server=server, model=endpoint.model or "", keyed=False)
    if not re.fullmatch(r"[!-~]+", key):
        raise EndpointError(
            f"The API key for {server} holds characters that no key has (it is {len(key)} long). "
            "Copy it once more, into the environment variable OPENAI_API_KEY or api_key=",
            "unauthorized",
        )
    import openai

    url = urlsplit(url_of(endpoint))
    # A proxy is for the way out, not for a server on this machine.
    local = url.scheme == "http" and re.match(r"localhost$|127\.|::1$", url.hostname or "")
    # Its transport writes addresses into its log, so the user and the password don't go with it.
    user = {"Authorization": f"Basic {basic(url)}"} if url.username else {}
    return openai.OpenAI(
        api_key=key,
        base_url=server,
        default_headers=user,
        default_query=dict(parse_qsl(url.query)),
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False, verify=False) if local else None,
    )


def _only_model(client: openai.OpenAI, endpoint: Endpoint) -> str:
    """Return the only model that the server has for conversations, as far as names tell."""
    found, server = _models(client, endpoint), server_of(endpoint)
    if isinstance(found, Failure):
        if found.kind in ("request", "model", "rubbish"):
            found = replace(found, kind="unlisted")
        elif found.kind == "stalled":
            found = replace(found, kind="silent")
        raise failures.error(found, server=server, model="", keyed=key_of(endpoint) != NO_KEY)
    chatty = [name for name in found if not _OTHER_MODELS.search(name)]
    if len(chatty) != 1:
        raise failures.error(Failure("unchosen", models=tuple(found)), server=server, model="")
    return chatty[0]


def _models(client: openai.OpenAI, endpoint: Endpoint) -> list[str] | Failure:
    """Return the names of the server's models."""
    tries = 0
    while True:
        tries += 1
        try:
            with client.models.with_streaming_response.list(timeout=CONNECT_SECONDS) as response:
                page = wire.document(response.iter_bytes(), patience=CONNECT_SECONDS)
        except Exception as error:
            failure = _failure(error, 0, secrets(endpoint), CONNECT_SECONDS, CONNECT_SECONDS)
            if not _paused(failure, tries):
                return failure
            continue
        listed = page.get("data") or page.get("models") if isinstance(page, dict) else page
        names = [
            str(entry.get("id") or entry.get("name") or entry.get("model") or "")
            for entry in (listed if isinstance(listed, list) else [])
            if isinstance(entry, dict)
        ]
        return sorted(filter(None, names))


def _notice(endpoint: Endpoint, server: str, asked: str, answered: str) -> None:
    """Log, once for a server, that another model answers than was asked for.

    A server of a single model mostly takes any name, so a wrong one goes unnoticed.
    """
    whole, given = answered.lower(), asked.lower()
    # Names get longer by a date or by who made the model, and gateways take the latter off.
    known = {given, given.rpartition("/")[2]} - {""}
    if not whole or any(whole.startswith(n) or whole.endswith(n) for n in known):
        return
    if server not in _strangers:
        _strangers.add(server)
        said = clean(failures.redacted(answered, secrets(endpoint)), 80)
        _log.warning("%s was asked for %s, answered by %s", server, asked, said)


def _nobody(words: str) -> None:
    """Listen to nothing."""
