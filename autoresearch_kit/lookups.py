"""The commands that read a history, and those that carry it elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autoresearch_kit import named, terminal
from autoresearch_kit.errors import AutoresearchError, CampaignError

if TYPE_CHECKING:
    import pandas as pd

PIPED = 120  # columns where there is no terminal
OTHER = re.compile(r"\b(?:ref|tag)=(['\"])(.*?)\1")  # how Python says which campaign


def history(args: argparse.Namespace) -> int:
    """Print the experiments: as lines, comma-separated or as JSON."""
    from autoresearch_kit import histories

    with _in_shell():
        df = histories.history(args.lab, args.tag, args.goal)
    metric = df.attrs["metric"]
    shown = df.tail(args.last or len(df))
    if not _printed(args, shown):
        print(terminal.ledger(shown, metric, shutil.get_terminal_size((PIPED, 24)).columns))
        _note(df)
    return 0


def constants(args: argparse.Namespace) -> int:
    """Print which constants each experiment changed; with --csv and --json all that it had."""
    from autoresearch_kit import tunings

    with _in_shell():
        df = tunings.constants(args.lab, args.tag, args.goal)
    if not _printed(args, df):
        changed = df[df["changed"]]
        left = ["experiment", "status", "delta", "name", "before", "value"]
        if df["campaign"].nunique() > 1:
            left.insert(0, "campaign")
        print(
            terminal.table(changed[left]) if len(changed) else "No experiment changed a constant."
        )
        _note(df)
    return 0


def show(args: argparse.Namespace) -> int:
    """Print one experiment."""
    from autoresearch_kit import display

    with _in_shell():
        print(str(display.show(args.lab, args.n, named.ref(args))).rstrip())
    return 0


def diff(args: argparse.Namespace) -> int:
    """Print the patch of one experiment."""
    from autoresearch_kit import display

    with _in_shell():
        print(str(display.diff(args.lab, args.n, named.ref(args))).rstrip())
    return 0


def compare(args: argparse.Namespace) -> int:
    """Print two experiments side by side."""
    from autoresearch_kit import comparisons

    with _in_shell():
        page = comparisons.compare(args.lab, args.a, args.b, named.ref(args), args.goal)
        print(str(page).rstrip())
    return 0


def blame(args: argparse.Namespace) -> int:
    """Print the winning file with the experiment that wrote each line."""
    from autoresearch_kit import blames

    with _in_shell():
        print(str(blames.blame(args.lab, named.ref(args))).rstrip())
    return 0


def what_if(args: argparse.Namespace) -> int:
    """Print what another rule would have decided."""
    from autoresearch_kit import histories, replays

    with _in_shell():
        df = histories.history(args.lab, named.ref(args), args.goal)
        found = replays.what_if(df, decide=args.decide)
    if not _printed(args, found):
        print(terminal.table(found))
        _note(found)
    return 0


def plot(args: argparse.Namespace) -> int:
    """Draw a picture into a file."""
    if args.kind != "response" and args.constant:
        args.usage("--constant NAME is for response; no other picture takes it")
    import matplotlib as mpl

    mpl.use("agg")
    from autoresearch_kit import histories, plots

    with _in_shell():
        if args.kind == "response":
            from autoresearch_kit import tunings

            table = tunings.constants(args.lab, args.tag, args.goal)
            axes = plots.response(table, args.constant)
        else:
            draw = getattr(plots, args.kind.replace("-", "_"))
            axes = draw(histories.history(args.lab, args.tag, args.goal))
        try:
            args.output.expanduser().parent.mkdir(parents=True, exist_ok=True)
            axes.figure.figure.savefig(args.output.expanduser())
        except (OSError, ValueError) as error:
            raise CampaignError(
                f"no picture can be saved as {args.output} ({error}); give a name that ends in "
                ".png, .svg or .pdf, in a folder of yours"
            ) from error
    print(f"Drawn: {args.output}")
    return 0


def report(args: argparse.Namespace) -> int:
    """Write a report as a notebook or a page."""
    from autoresearch_kit import reports

    with _in_shell():
        print(f"Written: {reports.report(args.lab, args.path, named.ref(args), args.goal)}")
    return 0


def methods(args: argparse.Namespace) -> int:
    """Print the paragraph and the table for a paper."""
    from autoresearch_kit.reports import papers

    with _in_shell():
        print(str(papers.methods(args.lab, named.ref(args), args.goal)).rstrip())
    return 0


def export(args: argparse.Namespace) -> int:
    """Write files and a branch for others."""
    if not args.paths and args.branch is None:
        args.usage("say what: paths such as results.tsv or winner.patch, or --branch NAME")
    from autoresearch_kit import exports

    with _in_shell():
        for one in exports.export(args.lab, *args.paths, branch=args.branch, ref=args.tag):
            print(f"{one.name}: {one.holds}")
    return 0


def push(args: argparse.Namespace) -> int:
    """Send a campaign to another repository."""
    from autoresearch_kit import remotes

    campaign = named.campaign(args)
    try:
        print(remotes.push(campaign, args.remote))
    except AutoresearchError as error:
        raise type(error)(named.in_shell(str(error), args, campaign)) from error
    return 0


def pull(args: argparse.Namespace) -> int:
    """Bring campaigns from another repository."""
    from autoresearch_kit import remotes

    with _in_shell():
        print(remotes.pull(args.lab, args.remote, tag=args.tag))
    return 0


def _printed(args: argparse.Namespace, df: pd.DataFrame) -> bool:
    """Print a table for programs, when they ask for it."""
    if args.csv:
        print(df.to_csv(index=False), end="")
    elif args.json:
        print(df.to_json(orient="records", date_format="iso", double_precision=15, indent=2))
    return bool(args.csv or args.json)


def _note(df: pd.DataFrame) -> None:
    """Say what is worth knowing of a table, apart from it."""
    notes = df.attrs.get("notes", ())
    print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)


@contextlib.contextmanager
def _in_shell() -> Iterator[None]:
    """Let errors say which campaign as a command line does."""
    try:
        yield
    except AutoresearchError as error:
        words = OTHER.sub(lambda said: f"--tag {said[2]}", str(error))
        raise type(error)(words).with_traceback(error.__traceback__) from error.__cause__
    except ValueError as error:  # a table that lacks what a picture or a statistic needs
        raise CampaignError(str(error)) from error
