"""The commands that read a history and carry it elsewhere: the words of Python, for a shell."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import cli, plots
from tests.conftest import git as run
from tests.kept import kept_campaign
from tests.shell import Shell, in_shell
from tests.stacked import PRINTED, add

COMMANDS = (
    *("history", "constants", "show", "diff", "compare", "blame", "what-if", "plot", "report"),
    *("methods", "export", "push", "pull"),
)

campaign = pytest.fixture(kept_campaign)
shell = pytest.fixture(in_shell)


@pytest.fixture
def main(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Shell:
    """What a shell does, in this process: nothing here trains."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        try:
            status = cli.main([*map(str, words)])
        except SystemExit as end:
            status = int(end.code or 0)
        out, error = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, out, error)

    return call


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str, main: Shell) -> None:
    shown = main(name, "--help").stdout
    assert re.search(rf"^    {name}\b", main("--help").stdout, re.MULTILINE)
    assert f"example:\n  autoresearch-kit {name} labs/first" in shown
    cli._parser().parse_args(shlex.split(shown.split("autoresearch-kit")[-1]))


def test_what_is_read_may_be_a_clone_a_bundle_or_a_results_file(campaign, main: Shell) -> None:
    assert main("export", "host", "results.tsv", "x.bundle").returncode == 0
    for x in ("host", "x.bundle", "results.tsv"):
        lines = main("history", x, "--last", 2, "--goal", "minimize").stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [
            ["n", "status"],
            ["0003", "crash"],
            ["0004", "keep"],
        ]
        assert "{'B': 3}" in main("show", x, 4).stdout
    assert main("diff", "x.bundle", 1).stdout == main("diff", "host", 1, "--ref", "s").stdout
    assert "+A = 4" in main("diff", "host", 1, "--ref", "autoresearch/s").stdout


def test_tables_for_programs(campaign, main: Shell) -> None:
    rows = list(csv.DictReader(io.StringIO(main("constants", "host", "--csv").stdout)))
    changed = [row for row in rows if row["changed"] == "True"]
    assert [(row["experiment"], row["name"], float(row["value"])) for row in changed] == [
        ("1", "A", 4),
        ("2", "B", 9),
        ("3", "B", 0),
        ("4", "B", 3),
    ]
    table = main("constants", "host").stdout.splitlines()
    assert table[0].split()[-3:] == ["name", "before", "value"]
    assert table[1].split()[-3:] == ["A", "5", "4"]
    asked = ("what-if", "host", "--decide", "greedy")
    found = json.loads(main(*asked, "--json").stdout)
    assert [row["would_be"] for row in found] == ["keep", "keep", "discard", "crash", "keep"]
    assert "would_be" in main(*asked).stdout.splitlines()[0]


def test_pages_as_text(campaign, main: Shell) -> None:
    assert "0001" in main("compare", "host", 1, 4).stdout
    assert "A = 4" in main("blame", "host").stdout
    assert "loss" in main("methods", "host").stdout


def test_pictures_are_drawn_into_files(campaign, main: Shell, tmp_path: Path) -> None:
    for kind, *more in (("progress",), ("hit-rate",), ("response", "--constant", "A")):
        done = main("plot", "host", kind, "-o", "out/p.png", *more)
        assert (done.returncode, done.stdout) == (0, "Drawn: out/p.png\n"), done.stderr
        assert (tmp_path / "out" / "p.png").read_bytes().startswith(b"\x89PNG")
    assert all(callable(getattr(plots, kind.replace("-", "_"))) for kind in cli.PICTURES)


def test_a_campaign_is_exported_and_moved(campaign, main: Shell, tmp_path: Path) -> None:
    done = main("export", "host", "out/r.tsv", "out/fit.py", "--branch", "winner")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["out/r.tsv", "out/fit.py", "winner"]
    assert run(campaign.path, "log", "-1", "--format=%s", "winner") == "{'B': 3}"
    run(tmp_path, "init", "-q", "--bare", "bare.git")
    assert main("push", "host", "bare.git").stdout.startswith("<Pushed s to ")
    run(tmp_path, "clone", "-q", "--no-tags", "bare.git", "clone")
    assert "5 of 5 records new" in main("pull", "clone").stdout
    assert main("history", "clone", "--csv").stdout == main("history", "host", "--csv").stdout


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("export", "host"), 2, "say what"),
        (("export", "host", "x.txt"), 1, "'x.txt' is none of the files"),
        (("push", "host"), 1, "Expected a remote's name (there are: none)"),
        (("pull", "host", "nowhere"), 1, "Expected a remote's name"),
        (("plot", "host", "gains", "--constant", "A", "-o", "p.png"), 2, "--constant NAME"),
        (("plot", "host", "progress", "-o", "p.xyz"), 1, "ends in .png, .svg or .pdf"),
        (("plot", "host", "progress"), 2, "required"),
        (("what-if", "host"), 2, "required"),
        (("show", "host", "9"), 1, "no decided experiment 9"),
        (("blame", "host", "--tag", "x"), 1, "there is no campaign 'x' in host; there are: s."),
        (("history", "nowhere"), 1, "does not exist"),
        (("report", "host", "x.txt"), 1, ".ipynb"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_get_one_clear_message(
    campaign, main: Shell, words: tuple[str, ...], status: int, said: str
) -> None:
    done = main(*words)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert "ref=" not in done.stderr


def test_which_campaign_is_asked_as_a_command_line_does(campaign, main: Shell) -> None:
    add(ark.open_campaign(campaign.path, tag="t", **PRINTED), {}, "keep", 3.0)
    for words in (("show", "host", 0), ("blame", "host"), ("export", "host", "r.tsv")):
        done = main(*words)
        assert done.returncode == 1
        assert "for example --tag s" in done.stderr
    assert main("show", "host", 0, "--tag", "t").stdout.startswith("experiment   t 0000")


def test_the_commands_work_as_a_process(campaign, shell: Shell) -> None:
    done = shell("history", "host", "--last", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].startswith("0004  keep")
