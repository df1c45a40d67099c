"""The command line on real repositories: real processes, and a terminal where a person decides.

Slow: each command is a process of its own, and nights train, about 30 s together.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import cli, nights
from autoresearch_kit import terminal as terminals
from tests.conftest import PRINTED
from tests.decided import decide
from tests.shell import (
    Shell,
    Terminal,
    decided_campaign,
    end_night,
    environment,
    in_shell,
    in_terminal,
    propose,
)

COMMANDS = ("overnight", "status", "pause", "resume", "stop", "history", "show", "diff", "review")
EXAMPLES = ("README.md", "notebooks/02_overnight.ipynb")
SLOW = PRINTED.replace("import random", "import random\nimport time\ntime.sleep(0.6)")

shell = pytest.fixture(in_shell)
terminal = pytest.fixture(in_terminal)
campaign = pytest.fixture(decided_campaign)


@pytest.fixture
def slow(make_host: Callable[..., Path], contract: dict[str, str]) -> Iterator[ark.Campaign]:
    """A campaign whose runs take long enough to look at a night meanwhile."""
    campaign = ark.open_campaign(make_host({"fit.py": SLOW}, "slow"), tag="nov23", **contract)
    yield campaign
    end_night(campaign)


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
    assert second.returncode == 1
    assert re.match(
        r"The last night of nov23 ended at \w+ \d\d:\d\d \(2 experiments are made\); nothing was "
        r"started\. Add --again to start one with these options\.\nnight ",
        second.stdout,
    )
    assert "--again and --approve POLICY" in shell("overnight", "host").stdout
    assert len(campaign.records()) == 3
    third = shell(*words[:4], "--experiments", 1, "--again")
    assert "1 of 1 experiments" in third.stdout
    assert len(campaign.records()) == 4
    shown = shell("status", "host").stdout
    assert "4 experiments" in shown
    assert "nov23, finished" in shown


@pytest.mark.acceptance
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
    same = ("--approve", "everything", "--experiments", 50)
    again = shell("overnight", "slow", "--tag", "nov23", "--detach", *same)
    assert "started before: everything.\n" in again.stdout
    more = shell("overnight", "slow", "--detach", *same[:3], 60, "--by", "tpe", "--hours", 2)
    assert "as it was started, without --hours, --experiments.\n" in more.stdout
    assert "slow --tag nov23 --watch" in again.stdout
    assert "one at a time" in shell("overnight", "slow", "--again").stderr

    stopped = shell("stop", "slow", "--now")
    assert stopped.returncode == 0, stopped.stderr
    assert night.wait(progress=False).status == "stopped"
    late = shell("pause", "slow")
    assert late.returncode == 1
    assert "no night of nov23 is at work: the last one has stopped" in late.stderr


@pytest.mark.acceptance
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
    done = shell("overnight", "slow", *words[2:4], "--experiments", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("This night goes on as it was started, without --experiments.\n")
    assert "2 of 2 experiments" in done.stdout


def test_a_night_that_failed_is_an_error_and_the_corrected_command_starts_a_new_one(
    campaign: ark.Campaign, tmp_path: Path, shell: Shell
) -> None:
    (tmp_path / "mine.py").write_text(
        "def broken(campaign, *, idea=None, revises=None):\n    raise OSError('no key')\n"
    )
    words = ("overnight", "host", "--approve", "everything", "--experiments", 1)
    failed = shell(*words, "--by", "mine:broken", "--failures", 1)
    assert failed.returncode == 1
    assert "1 proposals in a row failed" in failed.stdout
    assert shell("overnight", "host").returncode == 1
    corrected = shell(*words, "--by", "tpe")
    assert corrected.returncode == 0, corrected.stderr
    assert corrected.stdout.startswith("The last night made no experiment (1 proposals in a row")
    assert "1 of 1 experiments" in corrected.stdout
    assert len(campaign.records()) == 2


@pytest.mark.acceptance
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
    assert max(map(len, shell("history", "host").stdout.splitlines())) == 100
    for width in (90, 60, 20):
        lines = terminals.ledger(ark.history(campaign), "val_loss", width).splitlines()
        assert max(map(len, lines)) <= width
        assert [line[:4].strip() for line in lines] == ["n", "0000", "0001", "0002"]
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
    desk.type("r\nnot today\n\n")
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
