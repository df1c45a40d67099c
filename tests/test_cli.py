"""The command line on real repositories: real processes, and a terminal where a person decides.

Slow: each command is a process of its own, and nights train, about 30 s together.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import cli, nights
from autoresearch_kit.proposal import draft
from tests.conftest import PRINTED
from tests.decided import decide

COMMANDS = ("overnight", "status", "pause", "resume", "stop", "history", "show", "diff", "review")
EXAMPLES = ("README.md", "notebooks/02_overnight.ipynb")
SLOW = PRINTED.replace("import random", "import random\nimport time\ntime.sleep(0.6)")

Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
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


@pytest.fixture
def campaign(host: Path, contract: dict[str, str]) -> Iterator[ark.Campaign]:
    """A campaign ``nov23`` in ``host``, with a baseline that was not trained."""
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    decide(campaign, {}, "keep", 0.5)
    yield campaign
    end_night(campaign)


@pytest.fixture
def slow(make_host: Callable[..., Path], contract: dict[str, str]) -> Iterator[ark.Campaign]:
    """A campaign whose runs take long enough to look at a night meanwhile."""
    campaign = ark.open_campaign(make_host({"fit.py": SLOW}, "slow"), tag="nov23", **contract)
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


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str, **more: str) -> Terminal:
        opened.append(Terminal(tmp_path, *words, **more))
        return opened[-1]

    yield start
    for one in opened:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(one.pid, signal.SIGKILL)
            os.waitpid(one.pid, 0)


def test_every_command_explains_itself_with_an_example(shell: Shell) -> None:
    shown = shell("--help")
    assert shown.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^    {name}\b", shown.stdout, re.MULTILINE)
        assert f"example:\n  autoresearch-kit {name} labs/first" in shell(name, "--help").stdout


def test_the_examples_make_sense(shell: Shell) -> None:
    texts = [(Path(__file__).parents[1] / name).read_text() for name in EXAMPLES]
    lines = re.findall(r'^[ "]*autoresearch-kit (.*?)(?:  #|\\n|$)', "\n".join(texts), re.MULTILINE)
    lines += [shell(name, "--help").stdout.split("autoresearch-kit")[-1] for name in COMMANDS]
    assert len(lines) >= 8 + len(COMMANDS)
    for line in lines:
        cli._parser().parse_args(shlex.split(line))


def test_help_imports_nothing_big(tmp_path: Path) -> None:
    code = """
import contextlib, sys
from autoresearch_kit import cli
with contextlib.suppress(SystemExit):
    cli.main(["overnight", "--help"])
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not {"torch", "numpy", "pandas", "optuna", "tqdm", "IPython", "psutil"} & loaded


def test_a_night_runs_to_its_end_and_is_found_again(
    shell: Shell, host: Path, contract: dict[str, str]
) -> None:
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    words = ("overnight", "host", "--approve", "everything", "--experiments", 2)
    first = shell(*words)
    assert first.returncode == 0, first.stderr
    assert "nov23, finished" in first.stdout
    assert "2 of 2 experiments" in first.stdout
    assert [record.n for record in campaign.records()] == [0, 1, 2]
    second = shell(*words)
    assert second.returncode == 0
    assert "--again starts another" in second.stdout
    assert len(campaign.records()) == 3
    third = shell(*words[:4], "--experiments", 1, "--again")
    assert "1 of 1 experiments" in third.stdout
    assert len(campaign.records()) == 4
    shown = shell("status", "host").stdout
    assert "4 experiments" in shown
    assert "nov23, finished" in shown


def test_ctrl_c_stops_the_watching_and_not_the_night(
    slow: ark.Campaign, terminal: Callable[..., Terminal], shell: Shell
) -> None:
    watched = terminal("overnight", "slow", "--approve", "everything", "--experiments", "50")
    watched.expect("Ctrl+C stops only the watching")
    watched.expect("/50 experiments")
    watched.type("\x03")
    watched.expect("the night goes on")
    watched.expect("autoresearch-kit stop slow --tag nov23")
    assert watched.end() == 130
    night = nights.latest(slow)
    assert night is not None
    assert night.status in ("starting", "running")

    paused = shell("pause", "slow")
    assert paused.returncode == 0, paused.stderr
    assert "paused" in paused.stdout
    assert night.status == "paused"
    assert "running" in shell("resume", "slow").stdout
    again = shell("overnight", "slow", "--tag", "nov23", "--detach")
    assert "started before: everything" in again.stdout
    assert "slow --tag nov23 --watch" in again.stdout
    assert "one at a time" in shell("overnight", "slow", "--again").stderr

    stopped = shell("stop", "slow", "--now")
    assert stopped.returncode == 0, stopped.stderr
    assert night.wait(progress=False).status == "stopped"
    late = shell("pause", "slow")
    assert late.returncode == 1
    assert "no night of nov23 is at work: the last one has stopped" in late.stderr


def test_a_killed_night_goes_on(slow: ark.Campaign, shell: Shell) -> None:
    words = ("overnight", "slow", "--approve", "everything", "--experiments", 2)
    assert shell(*words, "--detach").returncode == 0
    night = nights.latest(slow)
    assert night is not None
    while "pid" not in night.state:
        time.sleep(0.05)
    os.kill(int(night.state["pid"]), signal.SIGKILL)
    while night.status != "died":
        time.sleep(0.05)
    assert "was killed" in shell("status", "slow").stdout
    done = shell("overnight", "slow")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 experiments" in done.stdout


def test_a_new_tag_starts_a_campaign_only_overnight_and_says_so(
    campaign: ark.Campaign, make_host: Callable[..., Path], shell: Shell
) -> None:
    toml = campaign.read(campaign.start, "task.toml")
    lab = make_host({"fit.py": PRINTED, "task.toml": toml}, "lab")
    new = ("overnight", "lab", "--tag", "new")
    assert shell(*new).returncode == 2  # nobody is named who approves
    assert shell("status", "lab").returncode == 1
    done = shell(*new, "--approve", "everything", "--experiments", 1)
    assert done.returncode == 0, done.stderr
    assert "Started the new campaign new in lab." in done.stdout
    assert len(ark.open_campaign(lab, tag="new").records()) == 2
    for name, rest in (("status", ()), ("stop", ()), ("show", (0,)), ("review", ())):
        wrong = shell(name, "host", *rest, "--tag", "nov24")
        assert wrong.returncode == 1
        assert "there is no campaign 'nov24' in host; there are: nov23." in wrong.stderr


def test_the_tag_may_be_left_out_only_where_there_is_one_campaign(
    campaign: ark.Campaign, contract: dict[str, str], shell: Shell
) -> None:
    assert shell("show", "host", 0).stdout.startswith("experiment   nov23 0000")
    other = ark.open_campaign(campaign.path, tag="nov24", **contract)
    decide(other, {}, "keep", 0.4)
    wrong = shell("show", "host", 0)
    assert wrong.returncode == 1
    assert "host has 2 campaigns: nov23, nov24. Say which, for example --tag nov23" in wrong.stderr
    assert shell("show", "host", 0, "--tag", "nov24").stdout.startswith("experiment   nov24 0000")
    shown = shell("status", "host").stdout
    assert "nov23 in host" in shown
    assert "nov24 in host" in shown
    assert re.search(r"^nov24 +0000 +keep", shell("history", "host").stdout, re.MULTILINE)


def test_history_fits_the_terminal_and_holds_everything_for_programs(
    host: Path, contract: dict[str, str], shell: Shell
) -> None:
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    ark.baseline(campaign)
    long = propose(campaign, "0.06", "a rate that is a little higher, " * 9).approve()
    ark.score(ark.train_5min(ark.apply(long)))
    propose(campaign, "0.07", "a higher rate").refuse("no")
    for width in (100, 60, 20):
        env = environment() | {"COLUMNS": str(width)}
        shown = subprocess.run(
            [sys.executable, "-m", "autoresearch_kit", "history", campaign.path],
            capture_output=True, text=True, check=True, env=env,
        ).stdout  # fmt: skip
        assert max(map(len, shown.splitlines())) <= width
        assert len(shown.splitlines()) == 4
    assert shell("history", "host", "--last", 1).stdout.splitlines()[1].startswith("0002  refused")
    rows = list(csv.DictReader(io.StringIO(shell("history", "host", "--csv").stdout)))
    assert [row["status"] for row in rows][::2] == ["keep", "refused"]
    table = json.loads(shell("history", "host", "--json", "--tag", "nov23").stdout)
    assert table[2]["reason"] == "no"
    assert table[2]["metric"] is None
    assert table[1]["val_loss"] == campaign.records()[1].value
    assert set(rows[0]) == set(table[0])


def test_history_shows_local_times_and_no_escape_sequences(
    campaign: ark.Campaign, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    propose(campaign, "0.06", "red \x1b[31mideas").refuse("no")
    decided = campaign.records()[1].decided
    monkeypatch.setenv("TZ", "Etc/GMT-9")  # nine hours ahead
    line = shell("history", "host").stdout.splitlines()[2]
    assert "\x1b" not in line
    there = datetime.fromisoformat(decided).astimezone(timezone(timedelta(hours=9)))
    assert f"{there:%m-%d %H:%M}" in line


def test_show_and_diff_print_an_experiment(campaign: ark.Campaign, shell: Shell) -> None:
    propose(campaign, "0.07", "a higher rate").refuse("too high")
    shown = shell("show", "host", 1).stdout
    assert "too high" in shown
    assert "+LEARNING_RATE = 0.07" in shown
    assert shell("diff", "host", "0001").stdout.startswith("diff --git a/fit.py")
    wrong = shell("show", "host", 9)
    assert wrong.returncode == 1
    assert "no decided experiment 9" in wrong.stderr


def test_a_person_decides_at_the_prompt(
    campaign: ark.Campaign, terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    good = propose(campaign, "0.06", "rate 0.06")
    bad = propose(campaign, "0.4", "rate 0.4")
    almost = propose(campaign, "0.07", "rate 0.07")
    later = propose(campaign, "0.08", "rate 0.08")
    editor = tmp_path / "my editor"  # the first time a slip, then what was meant
    editor.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        "page = pathlib.Path(sys.argv[-1])\n"
        "text = page.read_text()\n"
        "old, new = ('= = 0.07', '= 0.075') if '= =' in text else ('= 0.07', '= = 0.07')\n"
        "page.write_text(text.replace(old, new))\n"
    )
    editor.chmod(0o700)
    desk = terminal("review", "host", EDITOR=f"'{editor}'", VISUAL="")
    desk.expect("rate 0.06")
    desk.expect("3 more wait")
    desk.expect("+LEARNING_RATE = 0.06")
    desk.expect("[q]uit?")
    desk.type("all\n")  # no answer
    desk.expect("[q]uit?")
    desk.type("a\n")
    desk.expect(f"{short(good)} approved by Ada Tester")
    desk.expect("rate 0.4")
    desk.expect("[q]uit?")
    desk.type("r\n")
    desk.expect("Why?")
    desk.type("\n")
    desk.expect("needs a reason")
    desk.type("r\n")
    desk.expect("Why?")
    desk.type("far too high\n")
    desk.expect(f"{short(bad)} refused")
    desk.expect("rate 0.07")
    desk.expect("[q]uit?")
    desk.type("e\n")
    desk.expect("invalid syntax")
    assert almost.status == "open"
    desk.type("e\n")
    desk.expect(f"{short(almost)} approved with edits by Ada Tester")
    desk.expect("rate 0.08")
    desk.type("s\n")
    desk.expect("last one")
    assert desk.end() == 0

    assert good.status == "approved"
    assert campaign.records()[1].reason == "far too high"
    assert "LEARNING_RATE = 0.075" in almost.files["fit.py"]
    assert almost.edited_by_human
    assert later.status == "open"


def test_a_prompt_can_be_left_and_notices_what_others_decide(
    campaign: ark.Campaign, terminal: Callable[..., Terminal]
) -> None:
    proposal = propose(campaign, "0.06", "rate 0.06")
    for leave, status in (("q\n", 0), ("\x04", 0), ("\x03", 130)):
        desk = terminal("review", "host")
        desk.expect("[q]uit?")
        desk.type(leave)
        assert desk.end(again=leave) == status
        assert proposal.status == "open"
    desk = terminal("review", "host", EDITOR="false", VISUAL="")
    desk.expect("[q]uit?")
    desk.type("e\n")
    desk.expect("nothing is decided, for the editor failed")
    desk.expect("[q]uit?")
    proposal.refuse("I was faster", by="Eve")
    desk.type("a\n")
    desk.expect("was refused by Eve already")
    assert desk.end() == 0
    assert proposal.status == "refused"


def test_review_without_a_terminal_says_what_to_type(campaign: ark.Campaign, shell: Shell) -> None:
    good, bad, last = (propose(campaign, rate, f"rate {rate}") for rate in ("0.06", "0.4", "0.07"))
    shown = shell("review", "host").stdout
    command = f"autoresearch-kit review host --tag nov23 --approve {short(good)}"
    assert command in shown
    assert "proposal.approve()" not in shown
    assert "+LEARNING_RATE = 0.4" in shown
    assert shell("review", "host", "--refuse", short(bad)).returncode == 2
    wrong = shell("review", "host", "--approve", "nonsense")
    assert wrong.returncode == 1
    assert short(good) in wrong.stderr
    done = shell("review", "host", "--refuse", short(bad), "--reason", "too high")
    assert f"{short(bad)} refused by Ada Tester" in done.stdout
    assert campaign.records()[1].reason == "too high"
    assert shell(*command.split()[1:]).returncode == 0
    assert (good.status, last.status) == ("approved", "open")
    assert shell("review", "host", "--approve", "all").returncode == 0
    assert last.status == "approved"
    assert "Nothing waits" in shell("review", "host").stdout


def test_a_night_that_asks_goes_on_after_the_answer(
    campaign: ark.Campaign, shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    night = terminal("overnight", "host", "--experiments", "1", "--approve", "ask:30:refuse")
    night.expect("1 wait for you")
    asked = shell("status", "host").stdout
    assert "1 to decide: autoresearch-kit review host --tag nov23" in asked
    desk = terminal("review", "host")
    desk.expect("without you")
    desk.expect("refuse at")
    desk.expect("[q]uit?")
    desk.type("r\nnot today\n")
    night.expect("nov23, finished")
    assert night.end() == 0
    assert campaign.records()[1].reason == "not today"


def test_a_proposer_and_a_policy_of_ones_own_travel_by_name(
    campaign: ark.Campaign, tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "mine.py").write_text(
        "from autoresearch_kit.proposal import draft\n"
        "def higher(campaign, *, idea=None, revises=None):\n"
        "    text = campaign.best.files['fit.py'].replace('STEPS = 40', 'STEPS = 41')\n"
        "    return draft(campaign, files={'fit.py': text}, hypothesis='mine', author='mine')\n"
        "def never(proposal):\n"
        "    return f'no {proposal.hypothesis} of mine'\n"
        "here = lambda proposal: True\n"
    )
    words = ("overnight", "host", "--experiments", 1, "--by", "mine:higher", "--approve")
    done = shell(*words, "mine:never")
    assert done.returncode == 0, done.stderr
    assert campaign.records()[1].reason == "no mine of mine"
    for name in ("mine:nothing", "nowhere:x", "mine:", "mine:here"):
        wrong = shell(*words, name, "--again")
        assert wrong.returncode == 1
        assert "expected" in wrong.stderr
        assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("status", "nowhere"), 1, "does not exist"),
        (("status", "."), 1, "is not a git repository"),
        (("overnight", "host", "--approve", "evrything"), 1, "is no policy"),
        (("overnight", "host", "--approve", "everything", "--hours", "0"), 2, "more than 0"),
        (("overnight", "host", "--approve", "everything", "--queue", "two"), 2, "whole number"),
        (("overnight", "host", "--app", "everything"), 2, "unrecognized"),
        (("stop", "host"), 1, "no night of nov23 is at work"),
        (("history", "host", "--tag", "x"), 1, "there are: nov23"),
        (("dashboard", "host"), 2, "invalid choice"),
        ((), 2, "required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_clear_message(
    campaign: ark.Campaign, shell: Shell, words: tuple[str, ...], status: int, said: str
) -> None:
    done = shell(*words)
    assert done.returncode == status
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert len(campaign.records()) == 1


def test_watching_ends_with_ctrl_c(campaign: ark.Campaign, terminal: Callable[..., Terminal]):
    watched = terminal("status", "host", "--watch")
    watched.expect("best")
    watched.type("\x03")
    assert watched.end() == 130


def test_a_reader_that_has_seen_enough_is_no_error(campaign: ark.Campaign) -> None:
    command = f"{sys.executable} -m autoresearch_kit show {campaign.path} 0 | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
