"""Proposals that a person decides on in a shell: at a prompt, in an editor, or by options."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from tests.shell import Shell, Terminal, decided_campaign, in_shell, in_terminal, propose, short

shell = pytest.fixture(in_shell)
terminal = pytest.fixture(in_terminal)
campaign = pytest.fixture(decided_campaign)


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
    desk.type("a some\n")
    desk.expect("'some' is no number")
    desk.expect("[q]uit?")
    desk.type("a -0.01\n")
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
    desk.expect("append a line to program.md?")
    desk.type("y\n")
    desk.expect("added to program.md: - Never again: far too high")
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
    assert good.decision["guess"] == -0.01
    assert campaign.records()[1].reason == "far too high"
    assert (tmp_path / "host" / "program.md").read_text() == "- Never again: far too high\n"
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


MINE = """\
from autoresearch_kit.proposal import draft

def mine(campaign, *, idea=None, revises=None):
    if "?" in revises.feedback:
        raise LookupError("no answer")
    text = revises.files["fit.py"].replace("STEPS = 40", "STEPS = 50")
    return draft(campaign, files={"fit.py": text}, hypothesis=revises.feedback, author="mine")
"""


def test_the_proposer_is_asked_to_revise_in_the_persons_words(
    campaign: ark.Campaign, terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    first = propose(campaign, "0.06", "rate 0.06")
    propose(campaign, "0.07", "rate 0.07")
    (tmp_path / "mine.py").write_text(MINE)
    desk = terminal("review", "host", "--by", "mine:mine")
    desk.expect("1 more wait")
    desk.expect("[q]uit?")
    desk.type("v\n")
    desk.expect("What should be different?")
    desk.type("really?\n")
    desk.expect("the proposer failed: LookupError: no answer")
    desk.expect("[q]uit?")
    assert first.status == "open"
    desk.type("v with more steps\n")
    desk.expect("with more steps")
    desk.expect("1 more wait")
    desk.expect("+STEPS = 50")
    desk.expect("[q]uit?")
    desk.type("a\n")
    desk.expect("rate 0.07")  # the revision came before what waits longer
    desk.type("s\n")
    assert desk.end() == 0
    assert first.status == "revised"
    assert {one.hypothesis for one in campaign.pending()} == {"rate 0.07"}


def test_options_say_what_the_prompt_asks_for(
    campaign: ark.Campaign, shell: Shell, tmp_path: Path
) -> None:
    good, bad, other = (propose(campaign, rate, f"rate {rate}") for rate in ("0.06", "0.4", "0.07"))
    (tmp_path / "mine.py").write_text(MINE)
    assert shell("review", "host", "--approve", short(good), "--guess", "-0.02").returncode == 0
    assert good.decision["guess"] == -0.02
    done = shell(
        *("review", "host", "--refuse", short(bad), "--reason", "too high"),
        *("--never-again", "rates above 0.3"),
    )
    assert "added to program.md: - Never again: rates above 0.3" in done.stdout
    words = ("review", "host", "--revise", short(other), "--by", "mine:mine", "--reason")
    failed = shell(*words, "why?")
    assert failed.returncode == 1
    assert "the proposer failed: LookupError" in failed.stderr
    assert "Traceback" not in failed.stderr
    done = shell(*words, "more steps")
    assert "+STEPS = 50" in done.stdout
    assert other.status == "revised"


def test_a_revision_that_waits_already_is_named_as_a_shell_names_it(
    campaign: ark.Campaign, shell: Shell, tmp_path: Path
) -> None:
    first, second = (propose(campaign, rate, f"rate {rate}") for rate in ("0.06", "0.07"))
    (tmp_path / "mine.py").write_text(
        MINE.replace("revises.files[", "campaign.best.files[").replace(
            '"STEPS = 40", "STEPS = 50"', '"LEARNING_RATE = 0.05", "LEARNING_RATE = 0.06"'
        )
    )
    words = ("review", "host", "--by", "mine:mine", "--reason", "lower", "--revise", short(second))
    done = shell(*words)
    assert done.returncode == 1
    command = f"autoresearch-kit review host --tag nov23; its id is {short(first)}."
    assert f"proposed already: rate 0.06 (open, by me). Look at it with {command}" in done.stderr
    first.refuse("no")
    assert "look at it with autoresearch-kit show host --tag nov23 1." in shell(*words).stderr
    assert shell("show", "host", "--tag", "nov23", 1).returncode == 0
