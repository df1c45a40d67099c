"""A candidate that is at fault: the reason, how its process ended, what it printed last.

What untrusted code says reaches records, prompts and terminals through a reason, so it is printable
and short. Only the standard library is loaded: scorers start with it, and supervisors.
"""

from __future__ import annotations

import builtins
import os
import subprocess
import threading
from collections.abc import Mapping
from typing import IO, Any

PIECE = 1 << 16
QUOTED = 1000  # characters of what a candidate says of its own failure

KINDS = {
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}
"""Python's own exceptions: of code that has seen secrets a reason may tell which one it was."""


class Crash(Exception):
    """The candidate is at fault; the text is the reason on its record, and goes into prompts.

    Attributes
    ----------
    checks
        Figures that it was found out by, for the record; most have none.
    """

    def __init__(self, *words: object, checks: Mapping[str, Any] | None = None) -> None:
        super().__init__(*words)
        self.checks = dict(checks or {})


class Tail:
    """The end of what a process prints, read as it comes so that the process never blocks on it.

    Parameters
    ----------
    source
        Its pipe, which is closed at the end.
    most
        Bytes that are kept.
    """

    def __init__(self, source: IO[bytes], most: int) -> None:
        self._kept = b""
        self._source, self._most = source, most
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with self._source:
            while some := os.read(self._source.fileno(), PIECE):
                self._kept = (self._kept + some)[-self._most :]

    def __str__(self) -> str:
        """Return a line break and the text, or nothing when nothing was printed."""
        self._thread.join(0.2)
        text = printable(self._kept.decode(errors="replace")).strip()
        return f"\nlast output:\n{text}" if text else ""


def printable(text: str) -> str:
    """Return a text without what can't be seen, in as many lines."""
    return "".join(each for each in text if each.isprintable() or each in "\n\t")


def ended(process: subprocess.Popen[bytes], hints: Mapping[int, str] | None = None) -> str:
    """Return how a process has ended that no longer answers, such as ``exited with status 1``.

    Parameters
    ----------
    hints
        What to add for a signal, by its number, beside the one for SIGKILL.
    """
    try:
        status = process.wait(10)
    except subprocess.TimeoutExpired:
        return "closed its pipe"
    if 0 <= status <= 128:
        return f"exited with status {status}"
    number = -status if status < 0 else status - 128  # of the sandbox itself, or inside
    hint = {9: "; out of memory?", **(hints or {})}.get(number, "")
    return f"was killed by signal {number}{hint}"
