"""The commands about what was decided, as processes: the words of Python, for a shell."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import autoresearch_kit as ark
from autoresearch_kit import cli, runs, terminal
from tests.shell import Shell, environment, in_shell
from tests.stacked import FIT, PRINTED, add, start, until

COMMANDS = ("repeat", "audit", "ablate", "transfer", "rewind", "override")
REASON = ("--reason", "a dead end")

shell = pytest.fixture(in_shell)


@pytest.fixture
def main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """What `shell` does, in this process: for what ends before anything is run."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | int) -> subprocess.CompletedProcess[str]:
        try:
            status = cli.main([*map(str, words)])
        except SystemExit as end:
            status = int(end.code or 0)
        out, error = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, out, error)

    return run


@pytest.fixture
def campaign(make_host: Callable[..., Path]) -> ark.Campaign:
    campaign = start(make_host({"fit.py": FIT}), noise=0.1, **PRINTED)
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"B": 3}, "keep", 7.0)
    return campaign


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name, main: Shell) -> None:
    shown = main(name, "--help").stdout
    assert re.search(rf"^    {name}\b", main("--help").stdout, re.MULTILINE)
    assert f"example:\n  autoresearch-kit {name} labs/first" in shown
    cli._parser().parse_args(shlex.split(shown.split("autoresearch-kit")[-1]))


def test_repeat_and_audit_print_what_they_found(campaign, shell: Shell) -> None:
    done = shell("repeat", "host", 2, "--times", 1)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    assert done.stdout.splitlines() == [
        "Repeat of 0002: run 1 of 1, seed 2.",
        "<Score 0002 keep: loss 9.0000 -> 7.0000 (-2.0000)>",
    ]
    done = shell("audit", "host", "--seeds", 1, "--tag", "s")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("<Audit 0004 of 0002, fine: of the claimed gain")
    ledger = shell("history", "host").stdout.splitlines()
    assert [line.split()[:2] for line in ledger[1:]] == [
        ["0000", "keep"],
        ["0001", "keep"],
        ["0002", "keep"],
        ["0003", "repeat"],
        ["0004", "audit"],
    ]


def test_ablate_and_transfer_print_tables(campaign, shell: Shell) -> None:
    done = shell("ablate", "host", "--seeds", 1)
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()[-3:]
    assert head.split() == ["experiment", "hypothesis", "claimed", "worth", "error", "finding"]
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert all("holds" in line for line in lines)
    done = shell("transfer", "host", "--set", "A2=1", "--set", "SECONDS=0.01")
    assert done.returncode == 0, done.stderr
    *_, head, first, second, where = done.stdout.splitlines()
    assert head.split() == ["experiment", "hypothesis", "here", "there", "carries", "reason"]
    assert "  yes      better by 1 " in first
    assert "  yes      better by 2 " in second
    assert where == f"The other campaign is s-a2-1-seconds-0.01 in {campaign.path}."


def test_a_table_is_aligned_and_says_all_of_why() -> None:
    long, why = "a \x1b[31mlong hypothesis, " * 9, "because of this and that, " * 9
    rows = [
        {"experiment": 1, "hypothesis": long, "worth": 0.123456, "carries": True, "reason": why},
        {"experiment": 12, "hypothesis": "short", "worth": None, "carries": False, "reason": ""},
    ]
    head, first, second = terminal.table(pd.DataFrame(rows)).splitlines()
    assert head.split() == list(rows[0])
    assert first.endswith(f" 0.1235  yes      {why.strip()}")
    assert second.split() == ["12", "short", "no"]
    assert first.index("a ␛[31mlong") == second.index("short") == head.index("hypothesis")
    assert "\x1b" not in first


def test_rewind_and_override_are_a_persons_word(campaign, shell: Shell) -> None:
    done = shell("rewind", "host", "--to", 1, *REASON)
    assert (done.returncode, done.stdout) == (
        0,
        "<Score 0001 keep: loss 10.0000 -> 9.0000 (-1.0000)>\n",
    )
    assert campaign.best.n == 1
    done = shell("override", "host", 1, "discard", *REASON)
    assert done.returncode == 0
    assert done.stdout.startswith("<Score 0001 discard: ")
    assert campaign.best.n == 0
    told = campaign.standing().later[0]
    assert (told.reason, told.author) == ("a dead end", "Ada Tester <ada@example.org>")


def test_what_a_checkout_needs_is_printed(campaign, shell: Shell) -> None:
    subprocess.run(["git", "-C", campaign.path, "checkout", "-q", campaign.branch], check=True)
    done = shell("rewind", "host", "--to", 1, *REASON)
    assert "git reset --keep" in done.stdout.splitlines()[1]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("repeat", "host", "9"), 1, "campaign s has no experiment 9"),
        (("repeat", "host", "1", "--times", "0"), 2, "0: expected 1 or more"),
        (("repeat", "host"), 2, "required: N"),
        (("repeat", "host", "1", "--tag", "x"), 1, "there is no campaign 'x' in host"),
        (("audit", "host", "--seeds", "none"), 2, "whole number"),
        (("transfer", "host"), 2, "give --profile NAME or --set NAME=VALUE"),
        (("transfer", "host", "--set", "A=1", "--profile", "cpu"), 2, "give --profile NAME or"),
        (("transfer", "host", "--set", "A"), 2, "A: expected NAME=VALUE"),
        (("transfer", "host", "--set", "A=5"), 1, "what the starting point has already"),
        (("rewind", "host", "--to", "1"), 2, "required: --reason"),
        (("rewind", "host", *REASON), 2, "required: --to"),
        (("rewind", "host", "--to", "8", *REASON), 1, "campaign s has no experiment 8"),
        (("override", "host", "1", "crash", *REASON), 2, "invalid choice"),
        (("override", "host", "2", "discard", "--reason", " "), 1, "reason is empty"),
        (
            ("override", "host", "1", "discard", *REASON),
            1,
            "autoresearch-kit rewind host --tag s --to 0 --reason WHY",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_clear_message(campaign, main: Shell, words, status, said) -> None:
    done = main(*words)
    assert done.returncode == status
    assert said in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert campaign.standing().later == []


def test_nothing_kept_names_the_command_that_helps(make_host, main: Shell) -> None:
    start(make_host({"fit.py": FIT}), **PRINTED)
    done = main("audit", "host")
    assert done.returncode == 1
    assert "autoresearch-kit repeat host --tag s 0 measures" in done.stderr


def test_ctrl_c_says_that_the_same_command_goes_on(make_host, tmp_path) -> None:
    text = FIT.replace("SECONDS = 0.0", "SECONDS = 1.0")
    campaign = start(make_host({"fit.py": text}), **PRINTED)
    words = [sys.executable, "-m", "autoresearch_kit", "repeat", "host", "0", "--times", "1"]
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as command:  # fmt: skip
        until(lambda: any(run.status == "training" for run in runs.extra(campaign)))
        command.send_signal(signal.SIGINT)
        out, error = command.communicate(timeout=60)
    assert command.returncode == 130
    assert "Repeat of 0000" in out
    assert "goes on to its end; the same command goes on from there.\nInterrupted." in error
    done = subprocess.run(
        words, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert "<Score 0000 keep: loss 10.0000>" in done.stdout
    assert len(campaign.records()[0].replicates) == 2
