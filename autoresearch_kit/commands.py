"""What the commands of the shell do: each is a few lines over what a notebook calls too."""

from __future__ import annotations

import argparse
import importlib
import operator
import shlex
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from autoresearch_kit import (
    callables,
    dashboards,
    display,
    evening,
    git,
    histories,
    nights,
    policies,
    proposers,
    records,
    render,
    terminal,
)
from autoresearch_kit import campaign as campaigns
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import AutoresearchError, CampaignError
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
PIPED = 120  # columns where there is no terminal


def overnight(args: argparse.Namespace) -> int:
    """Start a night, or find the one that is there, and watch it."""
    approve, by = _policy(args.approve), _proposer(args)
    is_known = args.tag is None or args.tag in _tags(args)
    campaign = _open(args) if is_known else _start(args)
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
            f"time; {_again(args, 'stop', campaign)} ends it."
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
        print(f"{night!r}\nTo watch it: {_again(args, 'status', campaign)} --watch")
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
    others = _tags(args)
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
            f"  look:  {_again(args, 'status', night.campaign)}\n"
            f"  stop:  {_again(args, 'stop', night.campaign)}",
            file=sys.stderr,
        )
        return 130
    print(night)
    return terminal.verdict(night)


def status(args: argparse.Namespace) -> int:
    """Print what is best, what happens now and what waits, once or again and again."""
    tags = [args.tag] if args.tag else _tags(args)
    found = [_open(argparse.Namespace(lab=args.lab, tag=tag)) for tag in tags or [None]]
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
    share = f" ({100 * run['progress']:.0f} %)" if run and run["progress"] else ""
    rows = {
        "campaign": f"{campaign.tag} in {board['host']}, edits {', '.join(campaign.task.edit)}",
        "done": nights.counted({"counts": {s: found.count(s) for s in records.STATUSES}}),
        "best": f"{board['best']} {board['unit']}" if board["best"] else "no baseline yet",
        "trains": board["steps"]["training"] + share,
        "for you": f"{waiting} to decide: {_again(args, 'review', campaign)}" if waiting else "",
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
    campaign = _open(args)
    night = nights.latest(campaign)
    if night is None or night.status in nights.ENDED:
        ended = f": the last one has {night.status}, {night.state['reason']}" if night else ""
        raise CampaignError(
            f"no night of {campaign.tag} is at work{ended}. "
            f"{_again(args, 'overnight', campaign)} --help says how to start one."
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
        print(f"It ends after the present experiment; {_again(args, 'stop', night.campaign)} --now")
    return 0


def history(args: argparse.Namespace) -> int:
    """Print the experiments: as lines, comma-separated or as JSON."""
    df = histories.history(args.lab, args.tag)
    metric, notes = df.attrs["metric"], df.attrs["notes"]
    df = df.tail(args.last or len(df))
    if args.csv:
        print(df.to_csv(index=False), end="")
    elif args.json:
        print(df.to_json(orient="records", date_format="iso", double_precision=15, indent=2))
    else:
        print(terminal.ledger(df, metric, shutil.get_terminal_size((PIPED, 24)).columns))
        print("".join(f"{note}\n" for note in notes), end="", file=sys.stderr)
    return 0


def show(args: argparse.Namespace) -> int:
    """Print one experiment."""
    print(str(display.show(args.lab, args.n, _tag(args))).rstrip())
    return 0


def diff(args: argparse.Namespace) -> int:
    """Print the patch of one experiment."""
    print(str(display.diff(args.lab, args.n, _tag(args))).rstrip())
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
    by = _proposer(args)
    campaign = _open(args)
    command = _again(args, "review", campaign)
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


def _tags(args: argparse.Namespace) -> list[str]:
    return sorted(campaigns.tags(git.root(Path(args.lab).expanduser().resolve())))


def _tag(args: argparse.Namespace) -> str:
    """Return the tag that was named, or the only one there is."""
    there = _tags(args)
    if not there:
        raise CampaignError(
            f"{args.lab} has no campaign yet. To start one: autoresearch-kit overnight "
            f"{shlex.quote(args.lab)} --tag NAME --approve everything, or in Python "
            "ark.open_campaign(...)."
        )
    if args.tag is None and len(there) > 1:
        raise CampaignError(
            f"{args.lab} has {len(there)} campaigns: {', '.join(there)}. "
            f"Say which, for example --tag {there[0]}."
        )
    if args.tag not in (None, *there):
        raise CampaignError(
            f"there is no campaign {args.tag!r} in {args.lab}; there are: {', '.join(there)}."
        )
    return str(args.tag or there[0])


def _open(args: argparse.Namespace) -> Campaign:
    """Open a campaign that is there; nothing is started by a slip of the finger."""
    tag = _tag(args)
    path = git.root(Path(args.lab).expanduser().resolve())
    # In this order: a decision meanwhile replaces the pin by the tag.
    starts = (f"refs/autoresearch/{tag}/0000", records.tag_ref(tag, 0))
    if not any(git.resolve(path, ref) for ref in starts):
        raise CampaignError(
            f"campaign {tag} has no experiment 0 in {args.lab}, so this is a part of a clone. "
            f"Type git -C {shlex.quote(args.lab)} fetch --tags"
        )
    return open_campaign(path, tag=tag)


def _again(args: argparse.Namespace, command: str, campaign: Campaign) -> str:
    return f"autoresearch-kit {command} {shlex.quote(args.lab)} --tag {shlex.quote(campaign.tag)}"


def _need_policy(args: argparse.Namespace) -> None:
    args.usage(
        "--approve is missing: while nobody looks, somebody has to decide. Give --approve "
        "everything, ask:30:approve (minutes, then what), small:20 (lines), or module:name"
    )


def _policy(words: str | None) -> Any:
    if words is None:
        return None
    own = ":" in words and words.partition(":")[0] not in ("everything", "ask", "small")
    return _imported("--approve", words) if own else policies.parse(words)


def _proposer(args: argparse.Namespace) -> Any:
    """Return the proposer that ``--by`` names; None when it doesn't."""
    kind, _, rest = (args.by or "").partition(":")
    if args.price is not None and kind not in ("llm", "hybrid"):
        args.usage("--price is for --by llm and --by hybrid: it is what a million tokens cost")
    if args.env and kind != "command":
        args.usage("--env is for --by command: an agent gets the variables that are named")
    if kind in ("llm", "hybrid"):
        llm = proposers.LLM(rest or None, price=args.price)
        return llm if kind == "llm" else proposers.Hybrid(llm)
    if kind == "command":
        return proposers.Command(rest, env=tuple(args.env))
    if kind == "tpe" and not rest:
        return proposers.TPE()
    if kind == "paste":
        args.usage("--by paste needs a notebook: ark.propose(campaign, by=ark.Paste())")
    return _imported("--by", args.by) if args.by else None


def _imported(option: str, words: str) -> Any:
    """Return the function ``module:name``, from this folder or from what is installed."""
    module, _, name = words.partition(":")
    example = "mine:steps for the function steps in mine.py of this folder"
    known = "tpe, llm, llm:MODEL, hybrid, hybrid:MODEL, command:'AGENT {prompt_file}'"
    if not (module and name):
        kinds = known if option == "--by" else "everything, ask:30:approve, small:20"
        raise CampaignError(f"{option} {words}: expected {kinds} or module:name, such as {example}")
    sys.path.append(str(Path.cwd()))  # the night's process gets this path too
    try:
        found = operator.attrgetter(name)(importlib.import_module(module))
        found = found() if isinstance(found, type) else found
    except Exception as error:  # anybody's code
        raise CampaignError(
            f"{option} {words} can't be imported ({type(error).__name__}: {error}); "
            f"expected module:name, such as {example}"
        ) from error
    if not callable(found) or callables.pack(found) is None:
        raise CampaignError(
            f"{option} {words} is {found!r}, which can't go to the night's process; expected a "
            f"function at the top of a module, such as {example}"
        )
    return found
