"""What a command line names: a campaign, a proposer, a policy; and command lines that name one."""

from __future__ import annotations

import argparse
import importlib
import operator
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from autoresearch_kit import callables, git, policies, proposers, records
from autoresearch_kit import campaign as campaigns
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import CampaignError


def tags(args: argparse.Namespace) -> list[str]:
    """Return the tags of all campaigns of the lab that was named."""
    return sorted(campaigns.tags(git.root(Path(args.lab).expanduser().resolve())))


def tag(args: argparse.Namespace) -> str:
    """Return the tag that was named, or the only one there is."""
    there = tags(args)
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


def ref(args: argparse.Namespace) -> str | None:
    """Return which campaign or branch to read: checked where the kit's own campaigns are."""
    path = Path(args.lab).expanduser().resolve()
    if path.is_dir() and campaigns.tags(repo := git.root(path)):
        known = args.tag is not None and not args.tag.startswith("-")
        if not known or git.resolve(repo, args.tag) is None:
            return tag(args)
    return None if args.tag is None else str(args.tag)


def campaign(args: argparse.Namespace) -> Campaign:
    """Open a campaign that is there; nothing is started by a slip of the finger."""
    name = tag(args)
    path = git.root(Path(args.lab).expanduser().resolve())
    # In this order: a decision meanwhile replaces the pin by the tag.
    starts = (f"refs/autoresearch/{name}/0000", records.tag_ref(name, 0))
    if not any(git.resolve(path, ref) for ref in starts):
        raise CampaignError(
            f"campaign {name} has no experiment 0 in {args.lab}, so this is a part of a clone. "
            f"Type git -C {shlex.quote(args.lab)} fetch --tags"
        )
    return open_campaign(path, tag=name)


def again(args: argparse.Namespace, command: str, campaign: Campaign) -> str:
    """Return the command line of another command on the same campaign."""
    return f"autoresearch-kit {command} {shlex.quote(args.lab)} --tag {shlex.quote(campaign.tag)}"


def policy(words: str | None) -> Any:
    """Return the policy that ``--approve`` names; None when it doesn't."""
    if words is None:
        return None
    own = ":" in words and words.partition(":")[0] not in ("everything", "ask", "small")
    return _imported("--approve", words) if own else policies.parse(words)


def proposer(args: argparse.Namespace) -> Any:
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


def in_shell(words: str, args: argparse.Namespace, campaign: Campaign) -> str:
    """Return `words` with a command line in place of each call in Python that is one here too."""

    def command(call: re.Match[str]) -> str:
        name, n = call[1], call[2]
        line = again(args, name, campaign)
        if name == "rewind":
            return f"{line} --to {n} --reason WHY"
        return f"{line} {n}" if n else line

    return _CALL.sub(command, words)


_CALL = re.compile(
    r"ark\.(ablate|audit|pull|repeat|rewind|show)"
    r"\(campaign(?:, (?:to=)?(\d+))?(?:, reason=\.\.\.)?\)"
)
