"""What a proposer is told and thinks, as a person sees it while it works."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

HERE = str(Path(__file__).parents[1])

TALK = """
import threading, time
from autoresearch_kit import progress

def work(pieces, pause=0.005, error=None):
    with progress.streaming("LLM proposes"):
        for piece in pieces:
            progress.say(piece)
            time.sleep(pause)
        if error:
            raise error
"""


class Kernel:
    """A real kernel, and what it sends to the page."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": HERE}
        self.manager, self.client = start_new_kernel(env=environment)
        assert self.run(TALK) == []

    def run(self, code: str, *, front_end: bool = True) -> list[dict[str, Any]]:
        """Run a cell; return the contents of what it displays, and of its errors."""
        shown: list[dict[str, Any]] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] not in ("status", "execute_input"):
                shown.append({"type": message["msg_type"], **message["content"]})

        self.client.execute_interactive(code, allow_stdin=front_end, output_hook=keep, timeout=60)
        return shown


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel of the module's own; slow, 2 s."""
    made = Kernel()
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


def html(message: dict[str, Any]) -> str:
    return str(message["data"]["text/html"])


def test_a_cell_shows_what_is_said_and_folds_it_away(kernel: Kernel):
    shown = kernel.run("work([f'word {i} ' for i in range(120)])")
    assert [one["type"] for one in shown] == ["display_data"] + ["update_display_data"] * (
        len(shown) - 1
    )
    assert len({one["transient"]["display_id"] for one in shown}) == 1
    # 0.6 s and more of a piece each 5 ms: the first, the last, and ten a second between them.
    seconds = float(shown[-1]["data"]["text/plain"].split(", ")[1].split()[0]) + 1
    assert 4 <= len(shown) <= 2 + 10 * seconds
    assert all("<details" not in html(one) for one in shown[:-1])
    assert "word 5 " in html(shown[-3])
    assert html(shown[-1]).startswith("<details><summary>LLM proposes: ")
    assert "word 0 word 1 " in html(shown[-1])
    assert "word 119 " in html(shown[-1])
    assert shown[-1]["data"]["text/plain"].startswith("LLM proposes: 970 characters, ")


def test_what_a_model_writes_is_text_and_nothing_else(kernel: Kernel):
    shown = kernel.run(r"work(['<img src=x onerror=alert(1)>\x1b[2J', '\u202e', '\r\n'], 0.15)")
    for one in shown:
        assert "<img" not in html(one)
        assert "\x1b" not in html(one)
    assert "&lt;img src=x onerror=alert(1)&gt;␛[2J&lt;U+202E&gt;\n<" in html(shown[-1])


def test_a_long_reply_is_bounded_and_says_so(kernel: Kernel):
    shown = kernel.run("work(['x' * 50_000] * 10, 0.02)")
    assert all(len(html(one)) < 5_000 for one in shown[:-1])
    assert len(html(shown[-1])) < 61_000
    assert "the beginning is left out" in html(shown[-1])
    assert "500,000 characters" in html(shown[-1])


def test_an_error_ends_it_with_its_first_line_and_goes_on_its_way(kernel: Kernel):
    shown = kernel.run("work(['a'], error=ValueError('no <b>such</b> model\\nmore'))")
    assert shown[-1]["type"] == "error"
    assert shown[-1]["ename"] == "ValueError"
    assert "s: no &lt;b&gt;such&lt;/b&gt; model</summary>" in html(shown[-2])


def test_no_key_stays_in_the_notebook(kernel: Kernel):
    shown = kernel.run(
        "import os\nkey = os.environ['ROBOT_API_KEY'] = 'canary-one-1234'\n"
        "work([f'it is {key}. ', 'x ' * 4_000, key, ' y' * 1_990], 0.15)\n"
        "work([key + ' z' * 29_996], error=ValueError(key))"
    )
    assert not any("anary-one" in str(one["data"]) for one in shown[:-1])  # IPython's is the error
    assert shown[-1]["type"] == "error"
    last = [html(one) for one in shown[:-1] if "<details" in html(one)]
    assert "it is $ROBOT_API_KEY. x" in last[0]
    assert "1234" not in last[1]  # the beginning of the key is left out
    assert "s: $ROBOT_API_KEY</summary>" in last[1]


def test_an_error_of_the_kit_is_its_message_alone(kernel: Kernel):
    code = "from autoresearch_kit import errors\nraise errors.{}('it failed:\\n  why\\nType x')"
    for name in ("EndpointError", "NoChange", "TaskError", "ApprovalPending"):
        (shown,) = kernel.run(code.format(name))
        assert (shown["ename"], shown["evalue"]) == (name, "it failed:\n  why\nType x")
        assert shown["traceback"] == [f"{name}: it failed:", "  why", "Type x"]


def test_the_seconds_count_while_nothing_comes(kernel: Kernel):
    shown = kernel.run("work([], error=None); work([''], 1.4)")
    lines = [one["data"]["text/plain"] for one in shown]
    assert lines[:2] == ["LLM proposes: 0 s"] * 2
    assert "LLM proposes: 1 s" in lines[2:]


@pytest.mark.parametrize(
    "code",
    [
        "t = threading.Thread(target=work, args=(['a'],)); t.start(); t.join()",
        "got = []\nwith progress.listening(got.append): work(['a', 'b'])\nassert got == ['a', 'b']",
        "progress.say('to nobody')",
    ],
    ids=["on another thread", "somebody listens", "nobody streams"],
)
def test_nothing_is_shown(kernel: Kernel, code: str):
    assert kernel.run(code) == []


def test_nobody_looks_at_a_notebook_that_runs_without_a_front_end(kernel: Kernel):
    assert kernel.run("work(['a'])", front_end=False) == []


def test_the_inner_of_two_proposers_speaks_through_the_outer_one(kernel: Kernel):
    shown = kernel.run("with progress.streaming('Hybrid'): work(['a', 'b'])")
    assert {one["data"]["text/plain"].split(":")[0] for one in shown} == {"Hybrid"}
    assert "2 characters" in shown[-1]["data"]["text/plain"]


def in_terminal(code: str) -> str:
    """Run Python with a terminal as its standard error, and return what that shows."""
    master, slave = pty.openpty()
    environment = os.environ | {"PYTHONPATH": HERE, "COLUMNS": "60"}
    process = subprocess.Popen(
        [sys.executable, "-c", TALK + code], stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            piece = os.read(master, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    process.wait(10)
    return shown.decode()


def test_a_terminal_has_one_line_that_counts():
    shown = in_terminal("work(['ab' * 600] * 5, 0.15)")
    lines = shown.removesuffix("\r\n").split("\r")[1:]
    assert lines[0] == "LLM proposes: 0 s"
    assert "LLM proposes: 1,200 characters, 0 s" in lines
    assert lines[-1].startswith("LLM proposes: 6,000 characters, ")
    assert [len(line) for line in lines] == sorted(len(line) for line in lines)
    assert "abab" not in shown


LOGS = """
import logging
log = logging.getLogger("autoresearch_kit.endpoint")
{setting}
with progress.streaming("LLM proposes"):
    progress.say("ab" * 600)
    time.sleep(0.3)
    log.warning("HTTP 429: slow down")
    time.sleep(1.2)
assert not any(handler.filters for handler in [logging.lastResort, *logging.root.handlers])
"""


@pytest.mark.parametrize("setting", ["", "logging.basicConfig(format='%(message)s')"])
def test_what_is_logged_in_a_terminal_starts_on_a_line_of_its_own(setting: str):
    before, after = in_terminal(LOGS.format(setting=setting)).split("HTTP 429: slow down\r\n")
    assert before.endswith("LLM proposes: 1,200 characters, 0 s\r" + " " * 59 + "\r")
    assert after.startswith("\rLLM proposes: 1,200 characters, 1 s")


def in_pipe(code: str) -> list[str]:
    """Run Python whose output is no terminal, and return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", TALK + code],
        env=os.environ | {"PYTHONPATH": HERE, "ROBOT_API_KEY": "canary-one-1234"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_a_log_has_a_line_now_and_then():
    assert in_pipe("work(['a', 'b'])") == ["LLM proposes"]
    assert in_pipe("threading.Thread(target=work, args=(['a'],)).start()") == []
    again = r"'\n\n[asked to try again: no [x] in canary-one-1234]\n\n'"
    first, second, third = in_pipe(
        f"progress.LINE_SECONDS = 0.5; work(['ab', {again}, 'a' * 150, 'b'], 0.2)"
    )
    assert first == "LLM proposes"
    assert second == "LLM proposes: asked to try again: no [x] in $ROBOT_API_KEY"
    assert third.startswith("LLM proposes: 2")
    assert third.endswith(" characters, 1 s")


def test_a_terminal_that_is_closed_meanwhile_does_not_stop_the_work():
    code = (
        "import os, sys\nos.set_inheritable(2, True)\n"
        "with progress.streaming('x'):\n    os.close(2); progress.say('a'); time.sleep(0.2)\n"
        "    progress.say('b')\nopen(1, 'w', closefd=False).write('done')"
    )
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", TALK + code],
        env=os.environ | {"PYTHONPATH": HERE},
        stdout=subprocess.PIPE,
        stderr=slave,
        check=False,
    )
    os.close(slave)
    os.close(master)
    assert done.stdout == b"done"
    assert done.returncode == 0
