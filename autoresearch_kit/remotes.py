"""Campaigns from and to other repositories: a server, a backup, another machine.

A record never changes, so two repositories that hold the same campaign differ in one way only: one
has more of it. Where both have gone on by themselves, nothing is moved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm.auto import tqdm

from autoresearch_kit import git, keys, progress, records, render
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.lab import Lab

QUIET_SECONDS = 2.0  # before anything is shown of slow work
LINES = 12  # of what git says when it fails: it has one for each of thousands of tags
_CORNERS = ("refs/tags/autoresearch/", "refs/tags/autoresearch-files/")
_TAG = re.compile(r"refs/tags/autoresearch(-files)?/[^/]+/[^^]+")
_IS_RECORD = re.compile(r"refs/tags/autoresearch/[^/]+/\d{4,}")
_SHARE = re.compile(r"objects: .*\d+%|^remote: (Counting|Compressing|Total|Enumerating)")
_SIGN_IN = re.compile(
    r"could not read (Username|Password)|Authentication failed|Permission denied|terminal prompts"
    r"|Host key verification|error: 40[13]"
)
_NOWHERE = re.compile(r"does not appear to be a git repository|No such remote|not found")

_Refs = Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Moved:
    """What `push` or `pull` has moved.

    Attributes
    ----------
    what
        ``pushed`` or ``pulled``.
    campaigns
        The tags of the campaigns.
    remote
        The address of the other repository, without a password.
    records
        How many records are new on the other side (here, for `pull`), of how many there.
    size
        What went over the line, as git says it: ``12.5 KiB``; "" where nothing had to.
    branches
        Campaign → the commit that its branch is at now, for those that moved.
    notes
        What stayed where it is, why, and what to type.
    """

    what: str
    campaigns: Sequence[str]
    remote: str
    records: int
    total: int
    size: str = ""
    branches: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        towards = "to" if self.what == "pushed" else "from"
        count = "record" if self.total == 1 else "records"
        much = (
            f"{self.records:,} of {self.total:,} {count} new" if self.records else "no new record"
        )
        if not self.records:
            much += f", all {self.total:,} were there" if self.total else ""
        size = f", {self.size}" if self.size else ""
        moved = "".join(
            f", autoresearch/{name} now at {at[:7]}" for name, at in self.branches.items()
        )
        head = f"<{self.what.capitalize()} {', '.join(self.campaigns)} {towards} {self.remote}: "
        return "\n".join([f"{head}{much}{size}{moved}>", *self.notes])

    def _repr_html_(self) -> str:
        rows = {
            self.what: ", ".join(self.campaigns),
            "to" if self.what == "pushed" else "from": self.remote,
            "records": f"{self.records:,} new, {self.total:,} in all",
            "size": self.size,
            "branch": ", ".join(f"{name} at {at[:7]}" for name, at in self.branches.items()),
            "note": "; ".join(self.notes),
        }
        return render.card(rows)


def push(campaign: Campaign, remote: str | os.PathLike[str] = "origin") -> Moved:
    """Send a campaign's records, attachments and branch to another repository.

    Only what is decided moves, and only what is not there yet. A plain ``git push`` would send the
    branch alone, and so no experiment that was discarded.

    Parameters
    ----------
    campaign
        What `open_campaign` returned.
    remote
        The name of a remote, an address (``ssh://``, ``https://``, ``git@host:path``), or the path
        of a repository (``git init --bare`` makes one).

    Returns
    -------
    Moved
        How much that was. A second call moves nothing.

    Raises
    ------
    CampaignError
        When nothing is decided yet, or the remote has another record of the same number: then
        nothing is moved.
    GitError
        When the remote can't be reached, or refuses.

    Notes
    -----
    Git asks for passwords at a terminal only. Everywhere else your ssh agent or credential helper
    has to know them; they get the tokens of your environment, but no ``*_API_KEY``. A remote branch
    that is not behind this one (after a rewind, say) stays, and a note says so: the best state
    comes from the records, not from the branch.
    """
    if not isinstance(campaign, Campaign):
        raise CampaignError(
            f"expected a campaign, got {campaign!r}; type "
            "ark.push(ark.open_campaign(lab, tag=...), 'origin')"
        )
    repo, tag = campaign.path, campaign.tag
    other, branch = git.remote(repo, os.fspath(remote), push=True), _branch(tag)
    shown = keys.redact(other.url)
    pinned = f"refs/autoresearch/{tag}/"
    here = git.refs(repo, branch, pinned, *(f"{corner}{tag}/" for corner in _CORNERS))
    mine = {ref: oid for ref, oid in here.items() if _TAG.fullmatch(ref)}
    if not _records(mine):
        raise CampaignError(
            f"campaign {tag} has no decided experiment yet, so there is nothing to push; "
            "ark.baseline(campaign) makes the first one."
        )
    with _reaching(repo, shown) as watch:
        patterns = ("HEAD", branch, *(f"{corner}{tag}/*" for corner in _CORNERS))
        there = git.remote_refs(repo, other, *patterns, watch=watch)
        _check(repo, shown, mine, there)
        new = [ref for ref in mine if ref not in there]
        moves, note = _onward(repo, tag, here.get(branch), there.get(branch), other)
        specs = _specs([tag]) * bool(new) + [f"{branch}:{branch}"] * moves
        size = git.push(repo, other, specs, watch=watch) if specs else ""
        headless = moves and "HEAD" not in there
        if headless:  # some servers let it name the first branch that they get
            headless = "HEAD" not in git.remote_refs(repo, other, "HEAD", watch=watch)
    beyond = len(_records(there) - _records(mine))
    pins = [ref for ref in here if ref.startswith(pinned)]
    undecided = len([pin for pin in pins if f"refs/tags/{pin[5:]}" not in mine])
    notes = [
        note,
        _headless(tag, shown) if headless else "",
        f"{beyond} of the records there are not here; ark.pull(campaign) brings them."
        if beyond
        else "",
        f"{undecided} undecided here; they move once they are decided." if undecided else "",
    ]
    return Moved(
        what="pushed",
        campaigns=(tag,),
        remote=shown,
        records=len(_records(new)),
        total=len(_records(mine)),
        size=size,
        branches={tag: here[branch]} if moves else {},
        notes=tuple(filter(None, notes)),
    )


def pull(
    x: Campaign | Lab | str | os.PathLike[str],
    remote: str | os.PathLike[str] = "origin",
    tag: str | None = None,
) -> Moved:
    """Bring records, attachments and branches of campaigns from another repository.

    Afterwards `open_campaign` opens them here, and `history` has them too. ``git fetch`` alone
    brings no tags of what was discarded.

    Parameters
    ----------
    x
        A campaign, a lab, or the path of any clone.
    remote
        As for `push`; a bundle's path too.
    tag
        Which campaign; by default that of `x`, or all that the remote has.

    Raises
    ------
    CampaignError
        When the remote has no such campaign, or another record of a number that is taken here: then
        nothing is moved.
    GitError
        When the remote can't be reached.

    Notes
    -----
    Branches go forward only. One that is checked out moves with its files when they are clean; else
    a note says what to type. See `push` on passwords.
    """
    repo = x.path if isinstance(x, Campaign) else git.root(_folder(x))
    wanted = tag or (x.tag if isinstance(x, Campaign) else "*")
    other = git.remote(repo, os.fspath(remote))
    shown = keys.redact(other.url)
    with _reaching(repo, shown) as watch:
        patterns = (_branch(wanted), *(f"{corner}{wanted}/*" for corner in _CORNERS))
        there = git.remote_refs(repo, other, *patterns, watch=watch)
        theirs = {ref: oid for ref, oid in there.items() if _TAG.fullmatch(ref)}
        tags = sorted({campaign for campaign, _ in _records(theirs)})
        if not tags:
            which = "campaign" if wanted == "*" else f"campaign {wanted}"
            raise CampaignError(
                f"{shown} has no {which}: no tags autoresearch/<tag>/<nnnn>. In the repository "
                "that has it, type ark.push(campaign, remote); git push alone sends no tags."
            )
        here = git.refs(repo, *_CORNERS, "refs/heads/autoresearch/", "refs/autoresearch/")
        _check(repo, shown, here, theirs)
        pins = _decided_pins(shown, here, there)
        new = [ref for ref in theirs if ref not in here]
        behind = [t for t in tags if there.get(_branch(t)) not in (None, here.get(_branch(t)))]
        specs = _specs(tags) * bool(new) + [_branch(t) for t in behind]
        size = git.fetch(repo, other, specs, watch=watch) if specs else ""
    if pins:  # a record takes the place of its pin, as it does where it is decided
        git.update_refs(repo, [git.RefUpdate(pin, None, at) for pin, at in pins.items()])
    forward = {t: _forward(repo, t, here.get(_branch(t)), there[_branch(t)]) for t in behind}
    return Moved(
        what="pulled",
        campaigns=tuple(tags),
        remote=shown,
        records=len(_records(new)),
        total=len(_records(theirs)),
        size=size,
        branches={t: there[_branch(t)] for t, (moves, _) in forward.items() if moves},
        notes=tuple(note for _, note in forward.values() if note),
    )


def _forward(repo: Path, tag: str, old: str | None, new: str) -> tuple[bool, str]:
    """Move a campaign's branch here forward to `new`; return whether it did, and why not."""
    branch = f"autoresearch/{tag}"
    if old is not None and not git.is_ancestor(repo, old, new):
        if git.is_ancestor(repo, new, old):
            return False, ""  # further here, such as by a commit of the user's
        return False, (
            f"{branch} has gone two ways, {old[:7]} here and {new[:7]} there, so it stays; the "
            "records are here all the same. To move it, type: "
            f"git branch --force {shlex.quote(branch)} {new[:7]}"
        )
    worktree = git.checked_out(repo, branch) if old is not None else None
    if worktree is None:
        git.update_refs(repo, [git.RefUpdate(_branch(tag), new, old or git.ABSENT)])
    elif not git.fast_forward(worktree, new):
        return False, (
            f"{branch} is checked out in {worktree} with changes of yours, so it stays where it "
            f"is. To follow, commit or stash there and type: git merge --ff-only {new[:7]}"
        )
    return True, ""


def _onward(
    repo: Path, tag: str, mine: str | None, theirs: str | None, other: git.Remote
) -> tuple[bool, str]:
    """Return whether the remote's branch can go forward to ours, and why not."""
    if mine is None or mine == theirs:
        return False, ""
    if theirs is None or git.is_ancestor(repo, theirs, mine):
        return True, ""
    branch = f"autoresearch/{tag}"
    return False, (
        f"{branch} is at {theirs[:7]} there, which {mine[:7]} here is not built on, so it stays; "
        "the records say what is best all the same. To move it, type: git push "
        f"--force-with-lease={shlex.quote(f'{branch}:{theirs}')} "
        f"{shlex.quote(keys.redact(other.name))} {shlex.quote(branch)}"
    )


def _headless(tag: str, shown: str) -> str:
    """Say how to clone a repository, such as an empty one until now, whose HEAD is no branch."""
    return (
        f"A plain git clone of {shown} checks out nothing, for its HEAD names a branch that is not "
        f"there. Type: git clone --branch autoresearch/{shlex.quote(tag)} {shlex.quote(shown)}"
    )


def _check(repo: Path, shown: str, mine: _Refs, theirs: _Refs) -> None:
    """Raise when a record, or what is attached to it, differs on the two sides."""
    both = [ref for ref in theirs if ref in mine and _TAG.fullmatch(ref)]
    differ = sorted((_record_of(ref), ref) for ref in both if mine[ref] != theirs[ref])
    if differ:
        (tag, number), ref = differ[0]
        known = (r for r in records.read_all(repo, tag) if f"{r.n:04d}" == number)
        what = next((f" ({r.status}: {records.clean(r.hypothesis, 80)})" for r in known), "")
        name = ref.removeprefix("refs/tags/")
        more = len({record for record, _ in differ}) - 1
        _diverged(
            tag,
            f"{name} is {mine[ref][:7]} here{what} and {theirs[ref][:7]} in {shown}"
            + (f", and {more} more differ" if more else ""),
        )


def _decided_pins(shown: str, here: _Refs, there: _Refs) -> dict[str, str]:
    """Return the pins of what is undecided here and decided there; another commit raises."""
    pins = {}
    for tag, number in sorted(_records(there)):
        pin, record = f"refs/autoresearch/{tag}/{number}", f"{_CORNERS[0]}{tag}/{number}"
        if pin in here and record not in here:
            pins[pin] = here[pin]
            if there.get(f"{record}^{{}}") != here[pin]:
                _diverged(
                    tag,
                    f"{number} is {here[pin][:7]} here, undecided, and {there[record][:7]} in "
                    f"{shown}, decided",
                )
    return pins


def _diverged(tag: str, what: str) -> NoReturn:
    raise CampaignError(
        f"campaign {tag} has gone on in two places: {what}. Records are never overwritten, so "
        "nothing was moved. A campaign has one repository that writes; another machine starts one "
        f"of its own, and history() joins them: ark.open_campaign(..., tag='{tag}-<machine>', "
        f"start='autoresearch/{tag}')."
    )


def _records(refs: Iterable[str]) -> set[tuple[str, str]]:
    """Return campaign and number of the records among `refs`."""
    return {_record_of(ref) for ref in refs if _IS_RECORD.fullmatch(ref)}


def _record_of(ref: str) -> tuple[str, str]:
    tag, _, number = ref.split("/", 3)[3].partition("/")
    return tag, number


def _branch(tag: str) -> str:
    return f"refs/heads/autoresearch/{tag}"


def _specs(tags: Iterable[str]) -> list[str]:
    """Return refspecs of all tags of campaigns, attachments first: a record is never without."""
    # With patterns git is done with 20,000 tags in 3 s, named one by one it takes 3 minutes.
    return [f"{c}{tag}/*:{c}{tag}/*" for tag in tags for c in reversed(_CORNERS)]


def _folder(x: Lab | str | os.PathLike[str]) -> Path:
    return x.path if isinstance(x, Lab) else Path(x).expanduser().resolve()


@contextlib.contextmanager
def _reaching(repo: Path, url: str) -> Iterator[Callable[[str], None]]:
    """Show what git says of slow work, and say what to do when it doesn't get there."""
    began = time.monotonic()
    bar: Any = None

    def watch(line: str) -> None:
        nonlocal bar
        if time.monotonic() - began < QUIET_SECONDS:
            return
        if bar is None:
            seen = progress.in_notebook() or sys.stderr.isatty()
            bar = tqdm(bar_format="{desc}", leave=False, disable=not seen)
        bar.set_description_str(records.clean(keys.redact(line), 100) or f"waiting for {url}")

    try:
        yield watch
    except GitError as error:
        lines = [line for line in str(error).splitlines() if not _SHARE.search(line)]
        said = render.visible("\n".join(lines[-LINES:]))
        if _SIGN_IN.search(said):
            advice = (
                "Git signs in as in your shell, and asks nothing here; set up an ssh agent or a "
                f"credential helper until this works without a question: git ls-remote {url}"
            )
        elif _NOWHERE.search(said):
            names = ", ".join(git.text(repo, "remote").split()) or "none"
            advice = (
                f"Expected a remote's name (there are: {names}), an address or a repository's "
                f"path. To add one: git -C {shlex.quote(str(repo))} remote add origin ADDRESS"
            )
        else:
            advice = "Nothing was moved; the same call can be repeated."
        raise GitError(f"{url} can't be reached, or refuses: {said}\n{advice}") from error
    finally:
        if bar is not None:
            bar.close()
