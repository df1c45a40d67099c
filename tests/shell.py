"""The command line as a process, with a terminal or without, on a campaign to try it on."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import nights
from autoresearch_kit.proposal import draft
from tests.conftest import PRINTED
from tests.decided import decide

Shell = Callable[..., subprocess.CompletedProcess[str]]


def in_shell(tmp_path: Path) -> Shell:
    """Return a function that runs the command line in `tmp_path` to its end."""

    def run(*words: str | int, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "autoresearch_kit", *map(str, words)],
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            **more,
        )

    return run


def decided_campaign(host: Path, contract: dict[str, str]) -> Iterator[ark.Campaign]:
    """A campaign ``nov23`` in ``host``, with a baseline that was not trained."""
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    decide(campaign, {}, "keep", 0.5)
    yield campaign
    end_night(campaign)


def end_night(campaign: ark.Campaign) -> None:
    night = nights.latest(campaign)
    if night is not None:
        night.stop(now=True).wait(progress=False)


def environment() -> dict[str, str]:
    """Return an environment in which the kit of this checkout is found from everywhere."""
    here = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "100"}


def propose(campaign: ark.Campaign, rate: str, hypothesis: str) -> ark.Proposal:
    text = PRINTED.replace("LEARNING_RATE = 0.05", f"LEARNING_RATE = {rate}")
    return draft(campaign, files={"fit.py": text}, hypothesis=hypothesis, author="me")


def short(proposal: ark.Proposal) -> str:
    return proposal.id.rpartition("-")[2]


class Terminal:
    """A command with a terminal of its own, which types and reads as a person does."""

    def __init__(self, folder: Path, *words: str, **more: str) -> None:
        self.pid, self._file = pty.fork()
        if not self.pid:
            os.chdir(folder)
            command = [sys.executable, "-m", "autoresearch_kit", *words]
            os.execve(sys.executable, command, environment() | {"TERM": "dumb", **more})
        termios.tcsetwinsize(self._file, (24, 100))
        self.shown = ""

    def expect(self, words: str, seconds: float = 30) -> None:
        """Wait until the terminal shows `words`, after what was waited for before."""
        deadline = time.monotonic() + seconds
        while words not in self.shown:
            if not self._read(deadline - time.monotonic()):
                pytest.fail(f"{words!r} did not come; the terminal shows:\n{self.shown}")
        self.shown = self.shown.partition(words)[2]

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def end(self, again: str = "") -> int:
        """Return the exit status, once the command has ended; type `again` until it does.

        Python forgets a Ctrl+C that comes between a prompt and the reading behind it.
        """
        deadline = time.monotonic() + 30
        while True:
            while self._read(1):
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                pytest.fail(f"it does not end; the terminal shows:\n{self.shown}")
            with contextlib.suppress(OSError):  # it closed the terminal just now
                self.type(again)
            time.sleep(0.05)

    def _read(self, seconds: float) -> bool:
        """Take what comes; False when nothing came in time, or nothing will."""
        with contextlib.suppress(OSError):  # how Linux says that the other side is closed
            if select.select([self._file], [], [], max(0.0, seconds))[0]:
                data = os.read(self._file, 65536)
                self.shown += data.decode(errors="replace")
                return bool(data)
        return False


def in_terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str, **more: str) -> Terminal:
        opened.append(Terminal(tmp_path, *words, **more))
        return opened[-1]

    yield start
    for one in opened:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)
