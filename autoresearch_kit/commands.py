"""What the commands of the shell do: each is a few lines over what a notebook calls too."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from autoresearch_kit import (
    ablations,
    adoption,
    audits,
    dashboards,
    evening,
    named,
    nights,
    records,
    render,
    repeats,
    terminal,
    transfers,
    verdicts,
)
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import AutoresearchError, CampaignError
from autoresearch_kit.experiment import Score
from autoresearch_kit.nights import Night

WATCH_SECONDS = 2.0
SETTLE_SECONDS = 3.0  # until a night has heard a wish
LIMITS = (
    "hours",
    "experiments",
    "max_cost",
    "max_tokens",
    "patience",
    "failures",
    "queue",
    "min_free_gb",
)


def new_task(args: argparse.Namespace) -> int:
    """Make a task of a repository that has none yet."""
    words = ("edit", "metric", "goal", "unit", "score", "train", "data", "name")
    made = adoption.new_task(args.lab, **{word: getattr(args, word) for word in words})
    print(made.in_shell())
    return 0


def overnight(args: argparse.Namespace) -> int:
    """Start a night, or find the one that is there, and watch it."""
    approve, by = named.policy(args.approve), named.proposer(args)
    is_known = args.tag is None or args.tag in named.tags(args)
    campaign = named.campaign(args) if is_known else _start(args)
    last, again = nights.latest(campaign), args.again
    if last is not None and not again and last.status in ("finished", "stopped"):
        if terminal.made(last) or approve is None:
            print(f"{terminal.over(last, has_policy=approve is not None)}\n{last}")
            return 1
        # Whoever corrects a command that came to nothing means a new night.
        why = terminal.why(last)
        print(f"The last night made no experiment ({why}); this one is new.", flush=True)
        again = True
    if last is not None and not again:
        night = last
        if last.status == "died":
            if dropped := _dropped(args, last):
                print(f"This night goes on as it was started, without {dropped}.", flush=True)
            night = nights.overnight(campaign, approve=approve, by=by)
        else:
            dropped = _dropped(args, last, approve=approve, by=by)
            keeps = f" It goes on as it was started, without {dropped}." if dropped else ""
            print(f"This night was started before: {last.asked.get('policy')}.{keeps}", flush=True)
    elif last is not None and last.status not in nights.ENDED:
        raise CampaignError(
            f"a night of {campaign.tag} is {last.status} already, and a campaign has one at a "
            f"time; {named.again(args, 'stop', campaign)} ends it."
        )
    else:
        if approve is None:
            _need_policy(args)
        limits = {name: value for name in LIMITS if (value := getattr(args, name)) is not None}
        night = nights.overnight(campaign, approve=approve, by=by, again=again, **limits)
    if args.detach:
        deadline = time.monotonic() + SETTLE_SECONDS  # or nobody hears why it can't begin
        while "pid" not in night.state and time.monotonic() < deadline:
            time.sleep(0.1)
        print(f"{night!r}\nTo watch it: {named.again(args, 'status', campaign)} --watch")
        return terminal.verdict(night) if night.status in nights.ENDED else 0
    return _follow(args, night)


def _dropped(args: argparse.Namespace, night: Night, **functions: Any) -> str:
    """Return which options differ from those that a night was started with, in words."""
    asked = dict(night.asked)
    if asked.get("deadline"):
        began, end = (datetime.fromisoformat(asked[name]) for name in ("started", "deadline"))
        asked["hours"] = round((end - began).total_seconds() / 3600, 6)
    asked["approve"] = asked.get("policy")
    given = {name: getattr(args, name) for name in LIMITS} | {
        name: records.clean(evening.name_of(function), 100) if function else None
        for name, function in functions.items()
    }
    return ", ".join(
        f"--{name.replace('_', '-')}"
        for name, value in given.items()
        if value is not None and value != asked.get(name)
    )


def _start(args: argparse.Namespace) -> Campaign:
    if args.approve is None:
        _need_policy(args)  # before anything is started
    others = named.tags(args)
    campaign = open_campaign(args.lab, tag=args.tag)
    beside = f", beside {', '.join(others)}" if others else ""
    print(f"Started the new campaign {campaign.tag} in {campaign.path.name}{beside}.")
    return campaign


def _follow(args: argparse.Namespace, night: Night) -> int:
    print("The night has a process of its own; Ctrl+C stops only the watching.", flush=True)
    try:
        night.wait(progress=sys.stderr.isatty())
    except KeyboardInterrupt:
        print(
            "\nNo longer watched; the night goes on.\n"
            f"  look:  {named.again(args, 'status', night.campaign)}\n"
            f"  stop:  {named.again(args, 'stop', night.campaign)}",
            file=sys.stderr,
        )
        return 130
    print(night)
    return terminal.verdict(night)


def status(args: argparse.Namespace) -> int:
    """Print what is best, what happens now and what waits, once or again and again."""
    tags = [args.tag] if args.tag else named.tags(args)
    found = [named.campaign(argparse.Namespace(lab=args.lab, tag=tag)) for tag in tags or [None]]
    while True:
        text = "\n".join(_standing(args, campaign) for campaign in found)
        if not args.watch:
            print(text, end="")
            return 0
        if sys.stdout.isatty():  # from the top, and each line to its end, so that nothing flickers
            text = "\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[J"
        print(text, end="" if sys.stdout.isatty() else "\n", flush=True)
        time.sleep(WATCH_SECONDS)


def _standing(args: argparse.Namespace, campaign: Campaign) -> str:
    board = dashboards.board_of(campaign)
    found = [record.status for record in campaign.records()]
    run, waiting = board["run"], board["steps"]["approval"]
    review_it = named.again(args, "review", campaign)
    share = f" ({100 * run['progress']:.0f} %)" if run and run["progress"] else ""
    rows = {
        "campaign": f"{campaign.tag} in {board['host']}, edits {', '.join(campaign.task.edit)}",
        "done": nights.counted({"counts": {s: found.count(s) for s in records.STATUSES}}),
        "best": f"{board['best']} {board['unit']}" if board["best"] else "no baseline yet",
        "trains": board["steps"]["training"] + share,
        "for you": f"{waiting} to decide: {review_it}" if waiting else "",
        "in quarantine": dashboards.quarantined(campaign),
        "failed tries": terminal.failed_tries(campaign),
    }
    night = nights.latest(campaign)
    return render.table(rows) + (f"{night}\n" if night else "")


def pause(args: argparse.Namespace) -> int:
    """Pause the night."""
    night = _working(args)
    return _told(args, night.pause(), "paused")


def resume(args: argparse.Namespace) -> int:
    """Let the night go on."""
    night = _working(args)
    return _told(args, night.resume(), "running")


def stop(args: argparse.Namespace) -> int:
    """End the night."""
    night = _working(args)
    return _told(args, night.stop(now=args.now), "stopping")


def _working(args: argparse.Namespace) -> Night:
    campaign = named.campaign(args)
    night = nights.latest(campaign)
    if night is None or night.status in nights.ENDED:
        ended = f": the last one has {night.status}, {night.state['reason']}" if night else ""
        raise CampaignError(
            f"no night of {campaign.tag} is at work{ended}. "
            f"{named.again(args, 'overnight', campaign)} --help says how to start one."
        )
    return night


def _told(args: argparse.Namespace, night: Night, expected: str) -> int:
    """Wait until the night has heard, and say what it does now."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while night.status not in (expected, *nights.ENDED) and time.monotonic() < deadline:
        time.sleep(0.1)
    print(repr(night))
    if night.status == "paused" and night.state.get("experiment") is not None:
        print("The present run goes on to its end.")
    if night.status == "stopping" and not args.now:
        sooner = named.again(args, "stop", night.campaign)
        print(f"It ends after the present experiment; {sooner} --now")
    return 0


def review(args: argparse.Namespace) -> int:
    """Decide on what waits, or print it."""
    if (args.refuse or args.revise) and not args.reason.strip():
        args.usage("--refuse and --revise need --reason: the proposer learns from it")
    for option, needs, given in (
        ("--reason", "--refuse ID or --revise ID", args.refuse or args.revise),
        ("--never-again", "--refuse ID", args.refuse),
        ("--guess", "--approve ID", args.approve),
    ):
        if getattr(args, option[2:].replace("-", "_")) not in ("", None) and not given:
            args.usage(f"{option} is for {needs}")
    by = named.proposer(args)
    campaign = named.campaign(args)
    command = named.again(args, "review", campaign)
    if args.approve or args.refuse or args.revise:
        try:
            terminal.decide(
                campaign,
                approve=args.approve,
                refuse=args.refuse,
                revise=args.revise,
                reason=args.reason,
                never_again=args.never_again,
                guess=args.guess,
                by=by,
            )
        except AutoresearchError as error:
            raise CampaignError(terminal.for_shell(error, campaign, command)) from error
    elif sys.stdin.isatty() and sys.stdout.isatty():
        terminal.ask(campaign, command, by)
    else:
        print(terminal.waiting(campaign, command).rstrip())
    return 0


def repeat(args: argparse.Namespace) -> int:
    """Run an experiment on further seeds."""
    with _decided(args) as campaign:
        print(repeats.repeat(campaign, args.n, times=args.times))
    return 0


def audit(args: argparse.Namespace) -> int:
    """Measure the best state against the starting point again."""
    with _decided(args) as campaign:
        found = audits.audit(campaign, seeds=args.seeds)
        print(named.in_shell(repr(found), args, campaign))
    return 0


def ablate(args: argparse.Namespace) -> int:
    """Leave each kept change out of the best state."""
    with _decided(args) as campaign:
        print(terminal.table(ablations.ablate(campaign, seeds=args.seeds)))
    return 0


def transfer(args: argparse.Namespace) -> int:
    """Replay the kept changes at another scale."""
    if bool(args.profile) == bool(args.set):
        args.usage("give --profile NAME or --set NAME=VALUE: the other scale")
    with _decided(args) as campaign:
        found = transfers.transfer(campaign, profile=args.profile, set=dict(args.set) or None)
        print(terminal.table(found))
        print(f"The other campaign is {found.attrs['campaign']} in {found.attrs['host']}.")
    return 0


def rewind(args: argparse.Namespace) -> int:
    """Make an earlier kept experiment the best state again."""
    with _decided(args) as campaign:
        _print_score(verdicts.rewind(campaign, to=args.to, reason=args.reason))
    return 0


def override(args: argparse.Namespace) -> int:
    """Give an experiment another verdict."""
    with _decided(args) as campaign:
        experiment = campaign.experiment(args.n)
        _print_score(verdicts.override(experiment, args.verdict, reason=args.reason))
    return 0


def _print_score(score: Score) -> None:
    print(f"{score}\n{score.note}".rstrip())


@contextlib.contextmanager
def _decided(args: argparse.Namespace) -> Iterator[Campaign]:
    """Open the campaign for a command on what was decided; its errors name shell commands."""
    campaign = named.campaign(args)
    try:
        yield campaign
    except AutoresearchError as error:
        raise CampaignError(named.in_shell(str(error), args, campaign)) from error
    except KeyboardInterrupt:
        print(
            "\nA run at work goes on to its end; the same command goes on from there.",
            file=sys.stderr,
        )
        raise


def _need_policy(args: argparse.Namespace) -> None:
    args.usage(
        "--approve is missing: while nobody looks, somebody has to decide. Give --approve "
        "everything, ask:30:approve (minutes, then what), small:20 (lines), or module:name"
    )
