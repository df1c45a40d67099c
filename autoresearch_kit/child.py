"""One child process as its supervisor sees it: its output, its messages, and the tree below it.

Nothing here decides; `supervisor` does. Everything is measured from outside, because the code
inside may want to look cheaper, smaller or quieter than it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autoresearch_kit import sandbox
from autoresearch_kit.files import write_text
from autoresearch_kit.tree import Tree

HEAD_BYTES, TAIL_BYTES = 64 << 10, 192 << 10
MESSAGE_BYTES = 64 << 10


class ProtocolError(Exception):
    """A child sent something that is no clock message."""


class Log:
    """What a process printed, the first and the last of it, and the last number for a metric."""

    def __init__(self, path: Path, metric: str = "") -> None:
        self.path = path
        self.total = 0
        self.printed: str | None = None
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dirty = False
        self._line = b""
        number = rb"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf)"
        name = re.escape(metric.encode())
        self._metric = metric.encode()
        self._pattern = re.compile(
            # What goes on after the number is another word: 0.x, 1.2.3, 0,5.
            rb"(?<![\w./-])" + name + rb"[\"']?\s*[:=]\s*(" + number + rb")(?!\.*\w|,\d)",
            re.IGNORECASE,
        )

    def add(self, chunk: bytes) -> None:
        """Take what was just read."""
        self.total += len(chunk)
        self._dirty = True
        if self._metric:
            self._look(chunk)
        room = HEAD_BYTES - len(self._head)
        self._head += chunk[:room] if room > 0 else b""
        rest = chunk[max(0, room) :]
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
                self._tail_bytes -= len(self._tail.popleft())

    def _look(self, chunk: bytes) -> None:
        text = self._line + chunk
        whole, newline, self._line = text.rpartition(b"\n")
        if not newline:
            whole, newline, self._line = text.rpartition(b"\r")
        self._line = self._line[-4096:]
        if self._metric.lower() in whole.lower():
            for found in self._pattern.finditer(whole):
                self.printed = found.group(1).decode()

    def close(self) -> None:
        """Take an unfinished last line as a line, and write the file."""
        if self._metric:
            self._look(b"\n")
        self.flush()

    def text(self) -> str:
        """Return what is kept."""
        tail = b"".join(self._tail)
        left_out = self.total - len(self._head) - len(tail)
        if over := max(0, len(tail) - TAIL_BYTES):
            tail, left_out = tail[over:], left_out + over
        gap = f"\n... {_size(left_out)} left out ...\n".encode() if left_out > 0 else b""
        return (self._head + gap + tail).decode(errors="replace")

    def flush(self) -> None:
        """Write the file when there is something new."""
        if self._dirty:
            write_text(self.path, self.text())
            self._dirty = False


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class Child:
    """A process tree with its output and, when it has a clock, its requests.

    Parameters
    ----------
    name
        ``"candidate"`` or ``"baseline"``; comes back with each message.
    start
        Called with the keywords for `subprocess.Popen`; returns the process.
    selector
        Where the pipes are registered; the data of each key is a function that reads it.
    log
        Where output goes.
    on_message
        Called with this child and a message, while the child waits for `reply`.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[dict[str, str], dict[str, Any]], subprocess.Popen[bytes]],
        selector: selectors.BaseSelector,
        log: Log,
        on_message: Callable[[Child, dict[str, Any]], None] | None = None,
    ) -> None:
        self.name, self.log = name, log
        self.waiting = False  # a request of its is open
        self._selector, self._on_message = selector, on_message
        self._buffer = b""
        self._open: set[int] = set()
        self._write: int | None = None
        output, output_in = os.pipe()
        theirs = [output_in]
        env: dict[str, str] = {}
        if on_message is not None:
            requests, requests_in = os.pipe()
            replies_out, self._write = os.pipe()
            theirs += [replies_out, requests_in]
            env["CLOCK_FDS"] = f"{replies_out},{requests_in}"
            self._watch(requests, self._read_requests)
        self._watch(output, self._read_output)
        try:
            self.process = start(
                env, {"stdout": output_in, "stderr": subprocess.STDOUT, "pass_fds": theirs[1:]}
            )
        finally:
            for handle in theirs:
                os.close(handle)
        self.tree = Tree(self.process.pid)

    def _watch(self, handle: int, read: Callable[[int], None]) -> None:
        os.set_blocking(handle, False)
        self._open.add(handle)
        self._selector.register(handle, selectors.EVENT_READ, read)

    def _close(self, handle: int) -> None:
        self._selector.unregister(handle)
        self._open.discard(handle)
        os.close(handle)

    def _read_output(self, handle: int) -> None:
        if chunk := os.read(handle, 1 << 18):
            self.log.add(chunk)
        else:
            self._close(handle)

    def _read_requests(self, handle: int) -> None:
        chunk = os.read(handle, MESSAGE_BYTES)
        if not chunk:
            self._close(handle)
            return
        self._buffer += chunk
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            if self.waiting:
                raise ProtocolError("it sent a message before the last one was answered")
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):
                message = None
            if not isinstance(message, dict):
                raise ProtocolError(f"it sent {line[:80]!r}; expected one JSON object a line")
            self.waiting = True
            if self._on_message:
                self._on_message(self, message)
        if len(self._buffer) > MESSAGE_BYTES:
            raise ProtocolError(f"it sent a message of more than {MESSAGE_BYTES} bytes")

    def reply(self, progress: float) -> None:
        """Answer the open request, and so let the child go on."""
        self.waiting = False
        if self._write is not None:
            with contextlib.suppress(OSError):  # It may have ended meanwhile.
                os.write(self._write, json.dumps({"progress": progress}).encode() + b"\n")

    def ended(self) -> bool:
        """Tell whether the process has ended."""
        return self.process.poll() is not None

    @property
    def silent(self) -> bool:
        """Whether all its pipes are closed: it has ended or soon will."""
        return not self._open

    def kill(self) -> None:
        """End the whole tree, read what it had printed, and close everything."""
        sandbox.kill(self.process)
        for handle in list(self._open):
            with contextlib.suppress(OSError, ProtocolError):
                read = self._selector.get_key(handle).data
                if read == self._read_output:
                    for _ in range(4):  # A full pipe; more can't be there.
                        read(handle)
            if handle in self._open:
                self._close(handle)
        if self._write is not None:
            os.close(self._write)
            self._write = None
        self.log.close()
