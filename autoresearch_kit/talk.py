"""What an untrusted program is given to read and what it answers, all within bounds.

Whoever started the program ends it, and has read its answer only when it has ended by itself. What
it complains of goes to a person; others learn what a reason may tell.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoresearch_kit import records
from autoresearch_kit.crash import KINDS, Crash
from autoresearch_kit.files import read_untrusted
from autoresearch_kit.tree import Tree
from autoresearch_kit.workplace import disk_used, last_error

WRITTEN, MOST_FILES = 1 << 30, 100_000  # bytes and files that it may leave
LOOK_SECONDS = 0.2  # between two looks at memory and disk
PIECE, KEPT = 1 << 16, 8 << 10  # bytes that are read at once, and that are kept of stderr
SHOWN_LINES = 20

_FRAME = re.compile(r'^\s*File "([^"\n]+)", line (\d{1,6})', re.MULTILINE)


class Talk:
    """One input and one answer.

    Parameters
    ----------
    process
        The program, with pipes for stdin, stdout and stderr.
    name
        What to call it in reasons.
    given
        Bytes that it may read from stdin.
    most
        Bytes that it may print, to stdout and to stderr each.

    Attributes
    ----------
    said
        What it has printed to stdout.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], name: str, given: memoryview, most: int
    ) -> None:
        self._process, self._name, self._left, self._most = process, name, given, most
        self.said, self._complaint, self._complained = bytearray(), b"", 0
        self._open = {"stdout", "stderr"}
        self._looks = selectors.DefaultSelector()
        ways = (("stdin", selectors.EVENT_WRITE), *((n, selectors.EVENT_READ) for n in self._open))
        for which, way in ways:
            pipe = getattr(process, which)
            os.set_blocking(pipe.fileno(), False)
            self._looks.register(pipe, way, which)

    def hold(self, seconds: float, memory: int, folders: Sequence[Path]) -> None:
        """Return when the program has ended.

        Parameters
        ----------
        seconds
            Wall-clock limit.
        memory
            Bytes that all its processes together may use.
        folders
            Where it can write, `WRITTEN` bytes in all.

        Raises
        ------
        Crash
            When it must be ended.
        """
        began = time.monotonic()
        late, next_look, tree = began + seconds, began + LOOK_SECONDS, None
        with self._looks:
            while self._open or self._process.poll() is None:
                now = time.monotonic()
                if now > late:
                    raise Crash(f"{self._name} took more than {seconds:.4g} s")
                if now > next_look:
                    # What is over at once is never looked at: that would cost more than it did.
                    tree = tree or Tree(self._process.pid)
                    tree.find()
                    if tree.memory_bytes(memory) > memory:
                        raise Crash(f"{self._name} used more than {memory / 1e9:.3g} GB of memory")
                    if sum(disk_used(folder, MOST_FILES)[0] for folder in folders) > WRITTEN:
                        raise Crash(f"{self._name} wrote more than {WRITTEN / 1e9:.3g} GB")
                    next_look = now + LOOK_SECONDS
                if not self._open:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(min(LOOK_SECONDS, max(0.0, late - now)))
                    continue
                for key, _ in self._looks.select(min(LOOK_SECONDS, late - now)):
                    (self._feed if key.data == "stdin" else self._hear)(key)

    def _feed(self, key: selectors.SelectorKey) -> None:
        try:
            self._left = self._left[os.write(key.fd, self._left[:PIECE]) :]
        except BlockingIOError:
            return
        except OSError:  # it has closed its end: it need not read all
            self._left = self._left[:0]
        if not self._left:
            self._looks.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]

    def _hear(self, key: selectors.SelectorKey) -> None:
        try:
            piece = os.read(key.fd, PIECE)
        except BlockingIOError:
            return
        if not piece:
            self._looks.unregister(key.fileobj)
            self._open.discard(key.data)
        elif key.data == "stdout":
            self.said += piece
        else:
            self._complained += len(piece)
            self._complaint = (self._complaint + piece)[-KEPT:]
        if max(len(self.said), self._complained) > self._most:
            raise Crash(f"{self._name} printed more than {self._most:,} bytes to {key.data}")

    def ending(self, code: Path, *, quote: bool) -> str:
        """Return how it has ended and what may be told of its complaint; show a person the rest.

        Parameters
        ----------
        code
            Its files: that a line of them is the place of an error may be told.
        quote
            Tell its last line of stderr.
        """
        text = self._complaint.decode(errors="replace")
        for line in text.splitlines()[-SHOWN_LINES:]:
            # Behind a bar nothing looks like an error of the scorer itself.
            print(f"| {records.clean(line)}", file=sys.stderr)
        said, how = last_error(text), _ended(self._process.returncode)
        if quote:
            return f"{how}: {said}" if said else how
        kind = re.match(r"(?:\w+\.)*(\w+)\b", said)
        known = f": {kind[1]}" if kind and kind[1] in KINDS else ""
        place = next((f" at line {n} of {name}" for name, n in _frames(text, code)), "")
        return f"{how}{known}{place}"


def _frames(text: str, code: Path) -> Iterator[tuple[str, int]]:
    """Yield places of a traceback that are real lines of the candidate's files, innermost first."""
    for path, number in reversed(_FRAME.findall(text)):
        with contextlib.suppress(OSError, ValueError):
            file = code / path
            name = str(file.relative_to(code))
            if ".." not in name and file.suffix == ".py":
                content = read_untrusted(file, PIECE)
                if 0 < int(number) <= content.count(b"\n") + 1:
                    yield name, int(number)


def _ended(status: int) -> str:
    number = -status if status < 0 else status - 128
    if number in {int(one) for one in signal.Signals}:
        return f"was ended by {signal.Signals(number).name}"
    return f"ended with status {status}"
