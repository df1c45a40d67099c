"""A campaign in a terminal: its ledger and nights in lines, its proposals at a prompt."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch_kit import keys, nights, pages, program, records, render, reviews
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import AutoresearchError, CampaignError, ProposalError
from autoresearch_kit.nights import Night
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import Proposer, submission

if TYPE_CHECKING:
    import pandas as pd

WHY = 150  # characters of a reason on a line with others
ON_REQUEST = "on request"
AS_ASKED = re.compile(  # how a night ends that reached a limit which its owner set
    r"\d+ experiments are made|the time is over|no keep in \d+ experiments"
    r"|max_(cost|tokens)=\S+ is spent"
)
WIDEST = 50  # columns of a cell of words
NARROW = 90  # columns; below, a history leaves out who and when
ANSWERS = ("approve", "refuse", "edit", "skip", "quit", "v", "revise")
OTHERWISE = "--refuse … --reason '…', or --revise … --reason '…'"
PROMPT = "[a]pprove, [r]efuse, ask to re[v]ise, [e]dit and approve, [s]kip, [q]uit? "


def waiting(campaign: Campaign, command: str) -> str:
    """Return the proposals that wait, as text, each with the `command` that decides."""
    found = campaign.pending()
    if not found:
        return _nothing(campaign)
    return "\n".join(
        _page(one, {"next": f"{command} --approve {name(one)}, or {OTHERWISE}"}) for one in found
    )


def decide(
    campaign: Campaign,
    *,
    approve: Sequence[str],
    refuse: Sequence[str],
    revise: Sequence[str] = (),
    reason: str = "",
    never_again: str = "",
    guess: float | None = None,
    by: Proposer | None = None,
) -> None:
    """Decide on the proposals with these ids, and say so; ``all`` stands for every one.

    Raises
    ------
    CampaignError
        When no open proposal has such an id; nothing is decided then.
    """
    found = campaign.pending()
    approved = found if "all" in approve else [_find(found, id) for id in approve]
    refused = [_find(found, id) for id in refuse]
    revised = [_find(found, id) for id in revise]
    if not found:
        print(_nothing(campaign))
    for one in refused:
        words = reviews.refuse(one, reason, never_again)
        print(_said(one) + (f"\n{render.visible(words)}" if never_again else ""))
    for one in revised:
        print("Asking the proposer…", flush=True)
        print(_page(reviews.revise(one, reason, by), {}))
    for one in approved:
        if one not in refused and one not in revised:
            print(_said(one.approve(guess=guess)))


def for_shell(error: AutoresearchError, campaign: Campaign, command: str) -> str:
    """Return an error's words with the review `command` where they name a call in Python."""
    words = str(error)
    named = [
        name(one)
        for one in campaign.pending()
        if f"{records.clean(one.hypothesis, 100)} (open, by {one.author})" in words
    ]
    where = f"{command}; its id is {named[0]}" if len(named) == 1 else command
    words = words.replace("ark.review(campaign.pending())", where)
    show = command.replace("autoresearch-kit review ", "autoresearch-kit show ", 1)
    return re.sub(r"ark\.show\(campaign, (\d+)\)", lambda call: f"{show} {call[1]}", words)


def made(night: Night) -> int:
    """Return how many experiments a night has made."""
    return sum((night.state.get("counts") or {}).values())


def why(night: Night) -> str:
    """Return why a night ended, short enough for a line with other words."""
    return records.clean(night.state["reason"], WHY)


def over(night: Night, *, has_policy: bool) -> str:
    """Say that a night is over, and how another one is started."""
    now = night.state
    at = f" at {nights.clock(now['updated'])}" if now.get("updated") else ""
    how = "--again" if has_policy else "--again and --approve POLICY"
    return (
        f"The last night of {night.campaign.tag} ended{at} ({why(night)}); "
        f"nothing was started. Add {how} to start one with these options."
    )


def verdict(night: Night) -> int:
    """Return the exit status: 0 when a night that made something ended as its owner asked for."""
    now = night.state
    if now["phase"] == "died" or now["reason"] == ON_REQUEST:
        return int(now["phase"] == "died")
    return 0 if made(night) and AS_ASKED.fullmatch(now["reason"]) else 1


def failed_tries(campaign: Campaign) -> str:
    """Say what the proposers took for tries that no proposal accounts for yet."""
    lost = submission.all_lost(campaign)
    money, tokens = (sum(cost.get(what, 0) for cost in lost) for what in ("money", "tokens"))
    words = [f"{money:.3g} spent" if money else "", f"{tokens:,.0f} tokens" if tokens else ""]
    known = ", ".join(word for word in words if word)
    return f"{known}, in no proposal's cost yet" if known else ""


def ask(campaign: Campaign, command: str, by: Proposer | None = None) -> None:
    """Lay the proposals that wait before a person, one after the other, until none is left.

    `by` is asked to revise them, in place of their own proposer; `command` is what was typed.
    """
    seen: set[str] = set()
    revised: Proposal | None = None
    while found := [one for one in campaign.pending() if one.id not in seen]:
        proposal = revised or found[0]
        seen.add(proposal.id)
        others = len(found) - 1
        rows = {
            "your guess": f"'a -0.01' approves and notes the {campaign.task.metric} change that "
            "you expect",
            "after this": f"{others} more wait" if others else "",
        }
        print(_page(proposal, rows))
        goes_on, revised = _settle(proposal, command, by)
        if not goes_on:
            return
    print(_nothing(campaign) if not campaign.pending() else "That was the last one.")


def ledger(df: pd.DataFrame, metric: str, width: int) -> str:
    """Return a history as lines of at most `width` columns; hypotheses take what is left."""

    def numbers(name: str, form: str) -> list[str]:
        return ["" if x != x else format(x, form).rstrip(".") for x in df[name]]

    columns = [
        ("n", [f"{n:04d}" for n in df["experiment"]], str.ljust),
        ("status", [k or s for k, s in zip(df["kind"], df["status"], strict=True)], str.ljust),
        (metric or "metric", numbers("metric", "#.5g"), str.rjust),
        ("delta", numbers("delta", "+.3g"), str.rjust),
    ]
    if df["campaign"].nunique() > 1:
        columns.insert(0, ("campaign", list(df["campaign"]), str.ljust))
    if width >= NARROW:
        people = [name.partition("<")[0].strip()[:16] for name in df["author"]]
        times = [None if t != t else t.to_pydatetime().astimezone() for t in df["decided"]]
        decided = ["" if t is None else f"{t:%m-%d %H:%M}" for t in times]
        columns += [("by", people, str.ljust), ("decided", decided, str.ljust)]
    lines = [""] * (len(df) + 1)
    for title, cells, put in columns:
        cells = [title, *map(render.visible, cells)]
        size = max(map(len, cells))
        lines = [line + put(c, size) + "  " for line, c in zip(lines, cells, strict=True)]
    said = ["hypothesis", *(render.visible(" ".join(text.split())) for text in df["hypothesis"])]
    return "\n".join(
        line[:width].rstrip() if len(line) >= width else (line + _cut(text, width - len(line)))
        for line, text in zip(lines, said, strict=True)
    )


def table(df: pd.DataFrame) -> str:
    """Return findings as aligned lines; the last column, which says why, is never cut."""
    columns = []
    for name in df:
        cells = [_cell(value) for value in df[name]]
        is_number = df[name].dtype.kind in "if" or not any(cells)
        if name != df.columns[-1]:
            cells = [_cut(cell, WIDEST) for cell in cells]
        size = max(map(len, [str(name), *cells]))
        put = str.rjust if is_number else str.ljust
        columns.append([put(cell, size) for cell in [str(name), *cells]])
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return render.visible(" ".join(str(value).split()))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def name(proposal: Proposal) -> str:
    """Return the short id that tells a proposal from the others that wait."""
    return proposal.id.rpartition("-")[2]


def _settle(proposal: Proposal, command: str, by: Proposer | None) -> tuple[bool, Proposal | None]:
    """Ask until the proposal is decided, skipped or revised.

    Returns whether the person wants to go on, and the revision.
    """
    texts = dict(proposal.files)
    while proposal.status == "open":
        try:
            typed, _, words = input(PROMPT).strip().partition(" ")
            answer = next((w for w in ANSWERS if typed and w.startswith(typed.lower())), "")
            if answer in ("skip", "quit"):
                return answer == "skip", None
            if answer == "approve":
                proposal.approve(guess=reviews.guess_of(words))
            elif answer == "refuse":
                _refuse(proposal, words)
            elif answer in ("v", "revise"):
                words = words or input("What should be different? The proposer gets your words: ")
                print("Asking the proposer…", flush=True)
                return True, reviews.revise(proposal, words, by)
            elif answer == "edit":
                guess, texts = reviews.guess_of(words), edited(texts)
                if texts == dict(proposal.files):
                    print("Nothing was changed, and nothing is decided.")
                else:
                    proposal.approve(files=texts, guess=guess)
        except EOFError:
            print()
            return False, None
        except AutoresearchError as error:
            # What was typed in the editor is there again.
            print(render.visible(for_shell(error, proposal.campaign, command)))
    print(_said(proposal))
    return True, None


def _refuse(proposal: Proposal, reason: str) -> None:
    """Ask for the reason, and for a line to program.md, and refuse."""
    reason = reason or input("Why? The next proposer reads it: ")
    if not reason.strip():
        raise ProposalError("A refusal needs a reason; nothing is decided.")
    line = ""
    if notes := program.path(proposal.campaign.path):
        typed = input(
            f"Never again: append a line to {notes.name}? y for your reason, or the line in other "
            "words; Enter for none: "
        ).strip()
        line = {"y": reason, "yes": reason, "n": "", "no": ""}.get(typed.lower(), typed)
    words = reviews.refuse(proposal, reason, line)
    if line:
        print(render.visible(words))


def edited(texts: Mapping[str, str]) -> dict[str, str]:
    """Return path → text as the person's editor leaves it ($VISUAL, $EDITOR or vi).

    Raises
    ------
    ProposalError
        When the editor is missing or fails.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="autoresearch-") as folder:
        places = {path: Path(folder, path) for path in texts}
        for path, place in places.items():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(texts[path].encode("utf-8", errors="surrogateescape"))
        try:
            command = [*shlex.split(editor), *map(str, places.values())]
            subprocess.run(command, check=True, env=keys.without(os.environ))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            raise ProposalError(
                f"nothing is decided, for the editor failed ({error}). Another one: type "
                "export EDITOR=nano, and the same command again."
            ) from error
        return {
            path: place.read_bytes().decode("utf-8", errors="surrogateescape")
            for path, place in places.items()
        }


def _page(proposal: Proposal, then: Mapping[str, object]) -> str:
    """Return the proposal as text that ends, before its patch, with what a shell has next."""
    asked = proposal.asked
    waits = f"{asked['then']} at {nights.clock(asked['until'])}" if asked.get("until") else ""
    return pages.still(proposal, {"id": name(proposal), "without you": waits, **then}).text


def _find(found: Sequence[Proposal], id: str) -> Proposal:
    matches = [one for one in found if id and (one.id == id or name(one).startswith(id))]
    if len(matches) != 1:
        there = ", ".join(map(name, found)) or "none"
        raise CampaignError(
            f"{len(matches) or 'no'} open proposals have the id {id!r}; open are: {there}."
        )
    return matches[0]


def _said(proposal: Proposal) -> str:
    by = proposal.decision.get("by", "")
    edits = " with edits" if proposal.edited_by_human else ""
    status = f"{proposal.status}{edits}" + (f" by {by}" if by else "")
    return render.visible(f"{name(proposal)} {status}: {' '.join(proposal.hypothesis.split())}")


def _nothing(campaign: Campaign) -> str:
    return f"Nothing waits for a decision in {campaign.tag}."
