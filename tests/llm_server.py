"""An OpenAI-compatible server on 127.0.0.1 that says what a test wants, and notes what it got.

    with llm_server() as llm:
        llm.say("<hypothesis>…</hypothesis>…", Status(429), Say("more", cached=100))
        ark.LLM(base_url=llm.url)(campaign)
        llm.asked[-1].messages     # what the third request said

Replies are taken from a queue, one for each chat request that isn't refused; the last one stays.
What a real server does to every request is a personality: arguments of `llm_server`, which can be
changed while it runs.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from autoresearch_kit import endpoint


@dataclass(frozen=True)
class Say:
    """One good reply, or nearly: its words and what the server tells about them."""

    text: str | None = ""
    reasoning: str = ""
    finish: str | None = "stop"
    refusal: str = ""
    prompt_tokens: int | None = None  # as reported; None: one for each four characters
    completion_tokens: int | None = None
    cached: int | None = None
    usage: dict[str, Any] = field(default_factory=dict)  # more that it reports
    cut: int | None = None  # ends the connection after so many pieces (whole reply: bytes)
    stall: int | None = None  # sends nothing more after so many pieces, until the server ends
    slow: float = 0.0  # seconds between pieces
    pings: int = 0  # comments before the first piece
    piece: int = 7  # characters of one


@dataclass(frozen=True)
class Status:
    """An HTTP error in place of a reply."""

    status: int
    error: Any = "the server is unwell"  # a message, an error object, or the whole body
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Bytes in place of a reply."""

    body: bytes
    content_type: str = "text/html"
    status: int = 200


Reply = str | Say | Status | Raw


@dataclass(frozen=True)
class Asked:
    """One chat request as it came."""

    body: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def message(self) -> str:
        """What the last message says."""
        return self.messages[-1]["content"]

    @property
    def messages(self) -> list[dict[str, str]]:
        return self.body["messages"]

    @property
    def text(self) -> str:
        """All that the messages say."""
        return "\n\n".join(str(message["content"]) for message in self.messages)


@dataclass
class Server:
    """A running server: where it is, how it behaves, and what it was asked."""

    url: str = ""
    models: list[str] = field(default_factory=lambda: ["tiny"])
    any_model: bool = True  # False: 404 for a model that isn't in the list
    key: str | None = None  # 401 for any other
    usage: str = "last"  # "none", "last" (a chunk without choices), "choice" (beside the last one)
    streams: str = "yes"  # "no" (400), "ignored" (whole JSON), "garbage"
    rejects: tuple[str, ...] = ()  # parameters that are a 400; "system" is the role
    rejection: Callable[[str], Status] | None = None  # the 400 for a parameter
    context: int | None = None  # tokens; a longer prompt is a 400
    truncates: int | None = None  # tokens; a longer prompt is cut without a word
    thinks: str = ""  # the field that a reply comes in instead of content
    parts: bool = False  # content as a list of parts
    replies: deque[Reply] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    open: int = 0  # requests that are being answered
    ended: threading.Event = field(default_factory=threading.Event)

    def say(self, *replies: Reply) -> None:
        """Replace what is still to be said."""
        self.replies = deque(replies)


@contextlib.contextmanager
def llm_server(*replies: Reply, **personality: Any) -> Iterator[Server]:
    """Serve `replies` in turn; see `Server` for what else may be said of it."""
    state = Server(replies=deque(replies), **personality)
    handler = type("Handler", (_Handler,), {"state": state})
    httpd = _Httpd(("127.0.0.1", 0), handler)
    state.url = f"http://127.0.0.1:{httpd.server_port}/v1"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
    thread.daemon = True
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is tried again be tried at once."""
    quick = {kind: (0.01,) * len(pauses) for kind, pauses in endpoint.PAUSES.items()}
    monkeypatch.setattr(endpoint, "PAUSES", quick)


def tokens_of(messages: list[dict[str, Any]]) -> int:
    """Return how many tokens this server takes a prompt for: four characters each."""
    return sum(len(str(message.get("content"))) for message in messages) // 4 + 4 * len(messages)


class _Httpd(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that hangs up within a reply is part of many tests.
        if not isinstance(sys.exc_info()[1], ConnectionResetError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Server
    lock = threading.Lock()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/v1/models":
            listed = [{"id": name, "object": "model"} for name in self.state.models]
            if self.refuses_key():
                return
            self.send({"object": "list", "data": listed})
        else:
            self.send({"error": {"message": f"no such page: {self.path}"}}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.partition("?")[0] != "/v1/chat/completions":
            self.send({"detail": "Not Found"}, 404)
            return
        with self.lock:
            self.state.asked.append(Asked(body, dict(self.headers), self.path))
            self.state.open += 1
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.answer(body)
        finally:
            with self.lock:
                self.state.open -= 1

    def refuses_key(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.state.key is None or given == self.state.key:
            return False
        message = f"Incorrect API key provided: {given}."
        self.send({"error": {"message": message, "code": "invalid_api_key"}}, 401)
        return True

    def answer(self, body: dict[str, Any]) -> None:
        state = self.state
        if self.refuses_key():
            return
        if not state.any_model and body["model"] not in state.models:
            message = f"The model `{body['model']}` does not exist."
            self.send({"error": {"message": message, "code": "model_not_found"}}, 404)
            return
        sent = [*body, *(["system"] * any(m["role"] == "system" for m in body["messages"]))]
        for name in state.rejects:
            if name in sent:
                status = (state.rejection or unsupported)(name)
                self.fail(status)
                return
        if state.streams == "no" and body.get("stream"):
            self.fail(Status(400, "Streaming is not supported by this backend."))
            return
        prompt = tokens_of(body["messages"])
        if state.context is not None and prompt > state.context:
            self.fail(
                Status(
                    400,
                    {
                        "message": f"This model's maximum context length is {state.context} tokens."
                        f" However, your messages resulted in {prompt} tokens.",
                        "code": "context_length_exceeded",
                        "param": "messages",
                    },
                )
            )
            return
        if not state.replies:
            self.fail(Status(500, "the test gave this server nothing to say"))
            return
        with self.lock:
            reply = state.replies.popleft() if len(state.replies) > 1 else state.replies[0]
        if isinstance(reply, Status):
            self.fail(reply)
        elif isinstance(reply, Raw):
            self.send(reply.body, reply.status, content_type=reply.content_type)
        else:
            say = Say(reply) if isinstance(reply, str) else reply
            if body.get("stream") and state.streams == "garbage":
                self.send(b"data: {not json\n\ndata: at all\n\n", content_type="text/event-stream")
            elif body.get("stream") and state.streams != "ignored":
                self.stream(body, say)
            else:
                self.whole(body, say)

    # What the two kinds of reply share

    def usage(self, body: dict[str, Any], say: Say) -> dict[str, Any]:
        prompt = say.prompt_tokens
        if prompt is None:
            prompt = min(tokens_of(body["messages"]), self.state.truncates or 10**9)
        written = len((say.text or "") + say.reasoning) // 4 + 1
        completion = say.completion_tokens if say.completion_tokens is not None else written
        numbers: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if say.cached is not None:
            numbers["prompt_tokens_details"] = {"cached_tokens": say.cached}
        return {**numbers, **say.usage}

    def fields(self, text: str | None, reasoning: str) -> dict[str, Any]:
        """Return what a message, or a piece of one, consists of in this server's spelling."""
        content: Any = text
        if self.state.thinks:
            return {"content": None, self.state.thinks: f"{reasoning}{text or ''}"}
        if self.state.parts and text is not None:
            content = [{"type": "text", "text": text}]
        return {"content": content, **({"reasoning_content": reasoning} if reasoning else {})}

    def whole(self, body: dict[str, Any], say: Say) -> None:
        message = {"role": "assistant", **self.fields(say.text, say.reasoning)}
        if say.refusal:
            message["refusal"] = say.refusal
        document: dict[str, Any] = {
            "id": "1",
            "object": "chat.completion",
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": say.finish}],
        }
        if self.state.usage != "none":
            document["usage"] = self.usage(body, say)
        self.send(document, cut=say.cut, stall=say.stall)

    def stream(self, body: dict[str, Any], say: Say) -> None:
        def chunk(delta: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
            finish = more.pop("finish", None)
            choices = [] if delta is None else [{"index": 0, "delta": delta}]
            if finish:
                choices[0]["finish_reason"] = finish
            kind = {"id": "1", "object": "chat.completion.chunk", "model": body["model"]}
            return {**kind, "choices": choices, **more}

        chunks = [chunk({"role": "assistant", "content": ""})]
        chunks += [chunk(self.fields(None, piece)) for piece in pieces(say.reasoning, say.piece)]
        chunks += [chunk(self.fields(piece, "")) for piece in pieces(say.text or "", say.piece)]
        if say.refusal:
            chunks.append(chunk({"refusal": say.refusal}))
        asked = (body.get("stream_options") or {}).get("include_usage")
        usage = {"usage": self.usage(body, say)} if self.state.usage != "none" and asked else {}
        beside = usage if self.state.usage == "choice" else {}
        chunks.append(chunk({}, finish=say.finish, **beside))
        if usage and not beside:
            chunks.append(chunk(None, **usage))
        self.begin(200, "text/event-stream", chunked=True)
        for _ in range(say.pings):
            self.piece(b": ping\n\n")
            time.sleep(say.slow)
        for number, document in enumerate(chunks):
            if number == say.cut:
                self.close_connection = True
                return
            if number == say.stall:
                self.state.ended.wait()
                return
            self.piece(f"data: {json.dumps(document)}\n\n".encode())
            time.sleep(say.slow)
        self.piece(b"data: [DONE]\n\n")
        self.piece(b"")

    # HTTP

    def fail(self, status: Status) -> None:
        error = status.error
        body = {"error": {"message": error}} if isinstance(error, str) else error
        if isinstance(error, dict) and "message" in error and "error" not in error:
            body = {"error": error}
        self.send(body, status.status, headers=status.headers)

    def send(
        self,
        body: Any,
        status: int = 200,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        cut: int | None = None,
        stall: int | None = None,
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.begin(status, content_type, headers, length=len(data))
        self.wfile.write(data[: cut if cut is not None else stall])
        self.wfile.flush()
        if stall is not None:
            self.state.ended.wait()
        if cut is not None or stall is not None:
            self.close_connection = True

    def begin(
        self,
        status: int,
        content_type: str,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
        chunked: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


def pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def unsupported(name: str) -> Status:
    """Return how OpenAI refuses a parameter."""
    if name == "system":
        message = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
        return Status(400, {"message": message, "param": "messages[0].role"})
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return Status(400, {"message": message, "param": name, "code": "unsupported_parameter"})
