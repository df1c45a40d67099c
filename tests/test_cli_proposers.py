"""Who proposes, and who decides what, as the words of a command line say it."""

from __future__ import annotations

import pickle
import sys
from typing import Any, NoReturn

import pytest

import autoresearch_kit as ark
from autoresearch_kit import cli, files, nights, proposers, terminal
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposers import submission
from tests.shell import decided_campaign

campaign = pytest.fixture(decided_campaign)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("review", "host", "--revise", "3f2a"), 2, "--revise need --reason"),
        (("review", "host", "--guess", "-0.1"), 2, "--guess is for --approve ID"),
        (("review", "host", "--never-again", "x"), 2, "--never-again is for --refuse ID"),
        (("review", "host", "--approve", "x", "--guess", "nan"), 2, "nan: expected a number"),
        (("overnight", "host", "--by", "tpe", "--price", "3/15"), 2, "--by llm and --by hybrid"),
        (("overnight", "host", "--by", "llm", "--price", "3"), 2, "such as 3/15"),
        (("overnight", "host", "--by", "llm", "--price", "3/x"), 2, "such as 3/15"),
        (("overnight", "host", "--by", "llm", "--price", "3/-1"), 2, "such as 3/15"),
        (("overnight", "host", "--by", "llm", "--env", "A_KEY"), 2, "--env is for --by command"),
        (("overnight", "host", "--by", "paste"), 2, "needs a notebook"),
        (("overnight", "host", "--by", "gpt"), 1, "hybrid:MODEL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_does_not_go_together_is_told_before_anything_is_opened(
    words: tuple[str, ...], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        sys.exit(cli.main(words))
    assert left.value.code == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("tpe",), proposers.TPE()),
        (("llm",), proposers.LLM()),
        (
            ("llm:org/small:7b", "--price", "3/15"),
            proposers.LLM("org/small:7b", price={"input": 3, "output": 15}),
        ),
        (
            ("hybrid:small", "--price", "3/0.3/15"),
            proposers.Hybrid(
                proposers.LLM("small", price={"input": 3, "cached": 0.3, "output": 15})
            ),
        ),
        (
            ("command:agent -p {prompt_file}", "--env", "A_KEY"),
            proposers.Command("agent -p {prompt_file}", env=("A_KEY",)),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_proposer_is_named_on_the_command_line(
    campaign: ark.Campaign, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: Any
) -> None:
    given: dict[str, Any] = {}

    def overnight(campaign: ark.Campaign, **more: Any) -> NoReturn:
        given.update(more)
        raise ProposalError("no night today")

    monkeypatch.setattr(nights, "overnight", overnight)
    path = str(campaign.path)
    assert cli.main(["overnight", path, "--approve", "everything", "--by", *words]) == 1
    assert given["by"] == expected
    assert pickle.loads(pickle.dumps(given["by"])) == expected  # it has to travel to the night


@pytest.mark.parametrize(
    ("phase", "reason", "made", "status"),
    [
        ("finished", "4 experiments are made", 4, 0),
        ("finished", "the time is over", 4, 0),
        ("finished", "the time is over", 0, 1),
        ("finished", "no keep in 3 experiments", 3, 0),
        ("finished", "max_cost=0.5 is spent", 4, 0),
        ("finished", "max_tokens=900 is spent", 4, 0),
        ("finished", "5 proposals in a row failed; the last: no key", 4, 1),
        ("finished", "5 crashes in a row; the last one: the time is over", 5, 1),
        ("finished", "the disk has 0.9 GB left, under 1 GB", 4, 1),
        ("stopped", "on request", 0, 0),
        ("stopped", "the kit failed: KeyError: 'x'", 4, 1),
        ("died", "its process was asked to end", 4, 1),
    ],
)
def test_the_exit_status_tells_a_limit_of_the_owners_from_a_failure(
    campaign: ark.Campaign, phase: str, reason: str, made: int, status: int
) -> None:
    night = nights.Night(campaign, campaign.state / "nights" / "0")
    counts = {"counts": {"discard": made}} if made else {}
    files.write_json(night.dir / "status.json", {"phase": phase, "reason": reason, **counts})
    assert terminal.verdict(night) == status


def test_status_tells_what_failed_tries_took(
    campaign: ark.Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status", str(campaign.path)]) == 0
    assert "failed tries" not in capsys.readouterr().out
    submission.fail(campaign, {"money": 0.0134, "tokens": 4310}, 1)
    assert cli.main(["status", str(campaign.path)]) == 0
    said = capsys.readouterr().out
    assert "failed tries 0.0134 spent, 4,310 tokens, in no proposal's cost yet\n" in said
