"""The command line: the words of the Python API, for a shell.

    autoresearch-kit overnight labs/first --tag nov23 --experiments 40 --approve everything

Only words are parsed here, so that ``--help`` is there at once; `commands` does what they say.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import math
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit._version import __version__
from autoresearch_kit.errors import AutoresearchError
from autoresearch_kit.goals import GOALS
from autoresearch_kit.render import visible

PROG = "autoresearch-kit"
MOST = 10_000_000  # hours, or of any currency
ANY = "a lab, any clone, a git bundle, or a results file"
PICTURES = ("progress", "gains", "curves", "spending", "hit-rate", "response", "calibration")
SHAPE: dict[str, Any] = {
    "formatter_class": argparse.RawDescriptionHelpFormatter,
    "allow_abbrev": False,
}
Parser = argparse.ArgumentParser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 when it did what was asked, 1 when the kit says why not or a night came to an end that
    nobody asked for, 2 when the command line makes no sense, 130 after Ctrl+C.
    """
    args = _parser().parse_args(argv)
    try:
        from autoresearch_kit import commands, lookups

        name = args.command.replace("-", "_")
        home = lookups if hasattr(lookups, name) else commands
        status: int = getattr(home, name)(args)
        sys.stdout.flush()
    except AutoresearchError as error:
        print(f"{PROG}: {visible(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> Parser:
    parser = Parser(
        prog=PROG,
        description="Propose, apply, train five minutes, score, keep or discard, in git.",
        epilog=f"`{PROG} COMMAND --help` has an example of each. A notebook has the same words:\n"
        "import autoresearch_kit as ark; ark.overnight(campaign, experiments=40, approve=...)",
        **SHAPE,
    )
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    commands = _Commands(parser)
    for add in (_new_task, _nights, _lookups, _accounts, _elsewhere, _luck, _verdicts, _review):
        add(commands)
    return parser


class _Commands:
    """The commands, in the order in which ``--help`` lists them."""

    def __init__(self, parser: Parser) -> None:
        self._made = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(self, name: str, words: str, example: str = "", *, reads: bool = False) -> Parser:
        """Add a command on a lab's campaign; one that only `reads` takes any history."""
        made = self.bare(name, words, f"labs/first {example}")
        made.add_argument(
            "lab", metavar="LAB", help=ANY if reads else "a lab, or any git repository"
        )
        options = ("--tag", "--ref") if reads else ("--tag",)
        which = "which campaign; may be left out where there is one"
        more = ". Of a foreign clone a branch, or any other ref" if reads else ""
        made.add_argument(*options, dest="tag", metavar="TAG", help=which + more)
        made.set_defaults(usage=made.error)
        return made

    def bare(self, name: str, words: str, example: str, more: str = "") -> Parser:
        """Add a command without arguments; `more` is said only in its own help."""
        about = textwrap.fill(words + more, 79)
        text = f"example:\n  {PROG} {name} {example}".rstrip()
        return self._made.add_parser(name, help=words, description=about, epilog=text, **SHAPE)


def _new_task(commands: _Commands) -> None:
    """Add the command that makes a task of a repository that has none yet."""
    made = commands.bare(
        "new-task",
        "Make a task of a repository of your own: check it, try it, write its task.toml.",
        "~/squeeze --edit squeeze.py --metric bits_per_byte --score 'python score.py' --data data",
        " Nothing is committed.",
    )
    add = made.add_argument
    add("lab", metavar="PATH", help="a git repository")
    several: dict[str, Any] = {"action": "append", "metavar": "FILE"}
    add("--edit", required=True, help="what may change; may be given again", **several)
    add("--metric", required=True, metavar="NAME", help="the number that decides")
    add("--goal", choices=GOALS, help="(minimize)")
    add("--unit", default="", metavar="WORD", help="of the number")
    add("--score", metavar="COMMAND", help="the trusted command that measures it")
    add("--train", metavar="COMMAND", help="the untrusted command that runs before it")
    several = {"action": "append", "metavar": "FOLDER"}
    add("--data", help="data outside of git that the scorer sees; may be given again", **several)
    add("--name", help="what the task is called (the folder's name)")


def _nights(commands: _Commands) -> None:
    """Add the commands that run and steer a night."""
    night = commands.add(
        "overnight",
        "Run experiments in a process of its own, and watch it; Ctrl+C stops only the watching. "
        "The same command finds a night at work again, and goes on with a killed one.",
        "--tag nov23 --experiments 40 --approve small:20",
    )
    add = night.add_argument
    add(
        "--approve",
        metavar="POLICY",
        help="who decides: everything (all are approved); ask (a person does); ask:30:refuse (and "
        "after 30 minutes refuse, or approve); small:20 (up to 20 clean lines are approved, else "
        "ask); module:name (a function of yours)",
    )
    add("--hours", type=_number, metavar="H", help="begin no experiment after H hours (8)")
    add("--experiments", type=_count, metavar="N", help="make N experiments")
    _add_proposer(night, "who proposes")
    add("--max-cost", type=_number, metavar="X", help="stop when the proposals have cost X")
    add("--max-tokens", type=_count, metavar="N", help="stop when they have taken N tokens")
    add("--patience", type=_count, metavar="N", help="stop after N experiments without a keep")
    add("--failures", type=_count, metavar="N", help="stop after N failures in a row (5)")
    add("--queue", type=_count, metavar="N", help="let N proposals wait for a person (3)")
    add("--min-free-gb", type=_number, metavar="X", help="stop when the disk has less room (1)")
    add("--again", action="store_true", help="start another night after one that has ended")
    add("--detach", action="store_true", help="start it, and don't watch")

    status = commands.add("status", "Show what is best, what happens, and what waits.", "--watch")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl+C")
    commands.add("pause", "Let the present run of the night end, and start no other.")
    commands.add("resume", "Go on after pause.")
    stop = commands.add("stop", "End the night after the present experiment.", "--now")
    stop.add_argument("--now", action="store_true", help="end the present run too")


def _lookups(commands: _Commands) -> None:
    """Add the commands that look something up in a history."""
    history = commands.add(
        "history", "List the experiments, of all campaigns unless --tag.", "--last 20", reads=True
    )
    history.add_argument("--last", type=_count, metavar="N", help="only the last N")
    constants = commands.add(
        "constants", "List which constants each experiment changed.", "--csv", reads=True
    )
    show = commands.add(
        "show", "Show one experiment: hypothesis, verdict, curve, patch.", "7", reads=True
    )
    diff = commands.add("diff", "Print the patch of one experiment.", "7", reads=True)
    for one in (show, diff):
        one.add_argument("n", metavar="N", type=int, help="its number")
    compare = commands.add(
        "compare", "Put two experiments side by side: numbers, constants, rows.", "7 9", reads=True
    )
    compare.add_argument("a", metavar="A", type=int, help="the number of one")
    compare.add_argument("b", metavar="B", type=int, help="the number of the other")
    commands.add("blame", "Show which experiment wrote each line of the best state.", reads=True)
    what_if = commands.add(
        "what-if",
        "Decide the experiments again by another rule, from their stored runs; nothing is trained.",
        "--decide greedy",
        reads=True,
    )
    what_if.add_argument("--decide", required=True, metavar="RULE", help="greedy or two_stage")
    for one in (history, constants, what_if):
        form = one.add_mutually_exclusive_group()
        form.add_argument("--csv", action="store_true", help="every column, comma-separated")
        form.add_argument("--json", action="store_true", help="every column, as a JSON array")
    for one in (history, constants, compare, what_if):
        _add_goal(one)


def _accounts(commands: _Commands) -> None:
    """Add the commands that tell what happened: a picture, a report, a paragraph."""
    plot = commands.add("plot", "Draw a picture into a file.", "progress -o night.png", reads=True)
    plot.add_argument("kind", choices=PICTURES, help=f"one of {', '.join(PICTURES)}")
    plot.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="where to")
    plot.add_argument("--constant", metavar="NAME", help="of response (the most changed one)")
    report = commands.add(
        "report", "Write what happened as a notebook, or as a page.", "night.ipynb", reads=True
    )
    report.add_argument("path", metavar="PATH", help="a name that ends in .ipynb or .html")
    methods = commands.add(
        "methods", "Print the methods paragraph and table for a paper.", reads=True
    )
    for one in (plot, report, methods):
        _add_goal(one)


def _elsewhere(commands: _Commands) -> None:
    """Add the commands that carry a campaign elsewhere."""
    export = commands.add(
        "export",
        "Write what others can use; the name of each path says what.",
        "results.tsv winner.patch --branch winner",
        reads=True,
    )
    export.add_argument(
        "paths",
        metavar="PATH",
        nargs="*",
        help="results.tsv (the original's five columns), .parquet or .csv (every column), the name "
        "of a mutable file (the best state's), .patch (it against the baseline), or .bundle",
    )
    export.add_argument(
        "--branch", metavar="NAME", help="a new branch with one clean commit for each kept change"
    )
    push = commands.add("push", "Send a campaign's records and branch to a remote.", "origin")
    pull = commands.add("pull", "Bring campaigns from a remote.", "origin")
    for one in (push, pull):
        one.add_argument(
            "remote", metavar="REMOTE", nargs="?", default="origin", help="name, address or path"
        )


def _luck(commands: _Commands) -> None:
    """Add the commands that measure again what was decided."""
    repeat = commands.add(
        "repeat", "Run an experiment on further seeds: how much of it was luck?", "7 --times 3"
    )
    repeat.add_argument("n", metavar="N", type=int, help="its number; 0 is the baseline")
    repeat.add_argument("--times", type=_count, default=3, metavar="N", help="how many seeds (3)")
    audit = commands.add(
        "audit",
        "Measure the best state against the starting point again, on fresh seeds and on the sealed "
        "test data.",
        "--seeds 3",
    )
    ablate = commands.add(
        "ablate", "Leave each kept change out of the best state, and measure that.", "--seeds 2"
    )
    for one, seeds in ((audit, 3), (ablate, 2)):
        words = f"runs of each ({seeds})"
        one.add_argument("--seeds", type=_count, default=seeds, metavar="N", help=words)
    transfer = commands.add(
        "transfer",
        "Replay the kept changes at another scale, in a campaign of its own, and list which carry "
        "over.",
        "--set DEPTH=24",
    )
    transfer.add_argument("--profile", metavar="NAME", help="another size of the lab's task: cpu")
    transfer.add_argument(
        "--set",
        action="append",
        default=[],
        type=_constant,
        metavar="NAME=VALUE",
        help="a constant that the starting point gets instead; may be given again",
    )


def _verdicts(commands: _Commands) -> None:
    """Add the commands by which a person changes what holds."""
    rewind = commands.add(
        "rewind",
        "Make an earlier kept experiment the best state again; what was kept since stays in git.",
        "--to 7 --reason 'a dead end'",
    )
    rewind.add_argument("--to", type=int, required=True, metavar="N", help="its number")
    override = commands.add(
        "override",
        "Give an experiment another verdict: keep releases one from quarantine.",
        "7 discard --reason 'it trains on the validation data'",
    )
    override.add_argument("n", metavar="N", type=int, help="its number")
    override.add_argument("verdict", choices=("keep", "discard", "quarantine"), help="the new one")
    for one in (rewind, override):
        one.add_argument("--reason", required=True, help="why; whoever reads the history sees it")


def _review(commands: _Commands) -> None:
    """Add the command that decides on proposals."""
    review = commands.add(
        "review",
        "Decide on the proposals that wait: at a prompt, or by the options. Editing uses $EDITOR.",
        "--refuse 3f2a --reason 'too complex'",
    )
    add = review.add_argument
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "ID"}
    add("--approve", help="approve one, or all", **several)
    add("--refuse", help="refuse one", **several)
    add("--revise", help="ask the proposer for another try", **several)
    add("--reason", default="", help="why, or what should be different; the proposer reads it")
    add("--never-again", default="", metavar="LINE", help="with --refuse: append to program.md")
    add("--guess", type=_effect, metavar="X", help="with --approve: the effect that you expect")
    _add_proposer(review, "who is asked to revise, if not the campaign's own")


def _add_proposer(to: Parser, what: str) -> None:
    to.add_argument(
        "--by",
        metavar="PROPOSER",
        help=f"{what}: tpe; llm or llm:MODEL (OPENAI_API_KEY and OPENAI_BASE_URL say where); "
        "hybrid or hybrid:MODEL (the optimiser, and a model on some turns); "
        "command:'AGENT {prompt_file}' (a coding agent); module:name (a function of yours)",
    )
    to.add_argument(
        "--price",
        type=_price,
        metavar="IN/OUT",
        help="what a million tokens of llm or hybrid cost: 3/15, or 3/0.3/15 where cached "
        "ones are cheaper; --max-cost needs it",
    )
    to.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        help="an environment variable that the agent of command gets, such as its key",
    )


def _add_goal(to: Parser) -> None:
    to.add_argument("--goal", choices=GOALS, help="what is better, where no record says so")


def _number(text: str) -> float:
    if not 0 < (value := float(text)) <= MOST:
        raise argparse.ArgumentTypeError(f"{text}: expected more than 0, at most {MOST:,}")
    return value


def _count(text: str) -> int:
    if (value := int(text)) <= 0:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value


def _constant(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``; what is no literal of Python is a word."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals or not value.strip():
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE, such as DEPTH=24")
    with contextlib.suppress(ValueError, SyntaxError):
        return name.strip(), ast.literal_eval(value.strip())
    return name.strip(), value.strip()


def _effect(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise argparse.ArgumentTypeError(f"{text}: expected a number, such as -0.01")
    return value


def _price(text: str) -> dict[str, float]:
    """Return the price of a million tokens: input, cached and output ones."""
    names = {2: ("input", "output"), 3: ("input", "cached", "output")}
    with contextlib.suppress(ValueError):
        prices = [float(part) for part in text.split("/")]
        if len(prices) in names and all(0 <= price <= MOST for price in prices):
            return dict(zip(names[len(prices)], prices, strict=True))
    raise argparse.ArgumentTypeError(f"{text}: expected IN/OUT or IN/CACHED/OUT, such as 3/15")


_number.__name__, _count.__name__, _effect.__name__ = "number", "whole number", "number"
