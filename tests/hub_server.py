"""A Hugging Face hub small enough to break on purpose, for ``HF_ENDPOINT``.

It answers what huggingface_hub asks of a dataset file: HEAD and ranged GET of
``/datasets/<owner>/<name>/resolve/<revision>/<file>``, with the hash of the content as ETag.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """A running hub: its address, its files, and how it misbehaves."""

    url: str
    files: dict[str, bytes]
    wrong_bytes: bool = False  # sends other bytes than those whose hash it publishes
    cut_after: int | None = None  # closes the connection after so many bytes of each answer
    down_after: int | None = None  # answers 503 from this GET on
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, file, range


@contextlib.contextmanager
def hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve `files` (path in the repository -> content) for every repository and revision."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            name = self.path.partition("/resolve/")[2].partition("/")[2]
            asked = self.headers.get("Range", "")
            state.requests.append((self.command, name, asked))
            content = files.get(name)
            gets = sum(method == "GET" for method, _, _ in state.requests)
            down = state.down_after is not None and gets > state.down_after
            if content is None or down:
                self.send_response(503 if down else 404)
                self.send_header("X-Error-Code", "Unavailable" if down else "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(asked.removeprefix("bytes=").partition("-")[0] or 0) if asked else 0
            part = content[start:]
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            if asked:
                whole = len(content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            self.end_headers()
            if body:
                if state.wrong_bytes:
                    part = bytes(byte ^ 1 for byte in part)
                self.wfile.write(part[: state.cut_after])
                self.close_connection = state.cut_after is not None

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Hub(f"http://127.0.0.1:{server.server_port}", files)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
