"""A person as the proposer: new text, a function of the old text, or edits in the checkout."""

from __future__ import annotations

import dataclasses
import difflib
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from autoresearch_kit import git, source, values
from autoresearch_kit.errors import NoChange, PatchConflict, ProposalError
from autoresearch_kit.proposal import Proposal, draft

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

Edit: TypeAlias = str | Path | Mapping[str, str] | Callable[[Any], Any] | None


@dataclasses.dataclass(frozen=True)
class Human:
    r"""Propose what a person wrote; it needs no further approval.

    Parameters
    ----------
    edit
        The new text of the single mutable file (a string of several lines), a mapping
        path → new text, the path of a file that holds the new text, or a function old → new.
        With several mutable files the function gets and returns a mapping path → text.
        None takes the uncommitted edits of the mutable files in the checkout, as a diff against
        its HEAD merged three-way onto the best state. The checkout itself is only read.
    hypothesis
        What you expect and why; by default a line that says what changed. An `idea` given to
        `propose` goes first.
    guess
        The change of the metric that you expect, with its sign; `plots.calibration` compares it
        with what was measured.

    Raises
    ------
    NoChange
        When nothing is edited.
    PatchConflict
        When the best state changed the same lines as the checkout.
    ProposalError
        When `edit` is none of the above, or the task doesn't allow the edit.

    Notes
    -----
    New text follows the line endings of the file that it replaces, so an editor or a string in
    a cell doesn't turn every line into a change. Files with mixed endings are taken as they are.

    Examples
    --------
    >>> ark.propose(campaign, by=ark.Human())  # doctest: +SKIP
    >>> ark.propose(  # doctest: +SKIP
    ...     campaign, by=ark.Human(edit=lambda old: old.replace("DEPTH = 4", "DEPTH = 5"))
    ... )
    """

    edit: Edit = None
    hypothesis: str | None = None
    guess: float | None = None

    def __call__(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Store the edit as an approved proposal on the campaign's best state."""
        best = dict(campaign.best.files)
        edited = _from_checkout(campaign, best) if self.edit is None else _given(self.edit, best)
        files = {path: _with_endings(text, best.get(path, "")) for path, text in edited.items()}
        said = idea or self.hypothesis or (revises.hypothesis if revises else "")
        who = git.identity(campaign.path)
        return draft(
            campaign,
            files=files,
            hypothesis=said or _summary(best, files),
            author=who,
            expected=self.guess,
            approved_by=who,
        )

    def __repr__(self) -> str:
        """Return the same for the same edit, also after a restart of the kernel."""
        told = [] if self.edit is None else [f"edit={_named(self.edit)}"]
        return f"Human({', '.join(told + ([repr(self.hypothesis)] if self.hypothesis else []))})"


def _named(edit: Edit) -> str:
    if isinstance(edit, Path) or (isinstance(edit, str) and "\n" not in edit):
        return repr(str(edit))
    code = getattr(edit, "__code__", None)
    if code is None:
        identity, name = repr(edit), "text"
    else:  # the address in a function's own repr is another one each time its cell runs
        cells = [cell.cell_contents for cell in getattr(edit, "__closure__", None) or ()]
        known = (code.co_code, code.co_consts, code.co_names, cells)
        identity, name = re.sub(r" at 0x\w+", "", repr(known)), code.co_name
    return f"<{name} {zlib.crc32(identity.encode('utf-8', 'surrogatepass')):08x}>"


def _given(edit: Edit, best: Mapping[str, str]) -> dict[str, str]:
    """Return path → new text for an `edit` in any form but None."""
    single = next(iter(best)) if len(best) == 1 else None
    if callable(edit):
        new = edit(best[single] if single else dict(best))
        if isinstance(new, str) and single:
            return {single: new}
        if not isinstance(new, Mapping):
            raise ProposalError(
                f"The function in ark.Human(edit=...) returned {type(new).__name__}. Expected "
                + ("the new text of " + single if single else "a mapping path -> new text")
                + "; does it end with `return`?"
            )
        edit = new
    if isinstance(edit, Mapping):
        if wrong := [path for path, text in edit.items() if not isinstance(text, str)]:
            raise ProposalError(
                f"The new text of {wrong[0]!r} is a {type(edit[wrong[0]]).__name__}. Expected str."
            )
        return dict(edit)
    if isinstance(edit, str) and "\n" in edit:
        text = edit
    elif (content := _content(edit)) is not None:
        text = content.decode("utf-8", errors="surrogateescape")
    else:
        raise ProposalError(
            f"ark.Human(edit={edit!r}) is neither text of several lines nor an existing file. "
            "Expected the new text, path -> text, a file, or a function old -> new."
        )
    if single is None:
        raise ProposalError(
            f"This task has several mutable files ({', '.join(best)}), so say which one is meant: "
            f"ark.Human(edit={{{next(iter(best), 'train.py')!r}: text}})."
        )
    return {single: text}


def _content(edit: Edit) -> bytes | None:
    if not isinstance(edit, str | Path):
        return None
    try:
        return Path(edit).expanduser().read_bytes()
    except (OSError, ValueError):  # absent, a folder, or a line of code that is no path at all
        return None


def _from_checkout(campaign: Campaign, best: Mapping[str, str]) -> dict[str, str]:
    """Merge the uncommitted edits of the mutable files onto the best state."""
    head = git.head(campaign.path)
    merged: dict[str, str] = {}
    for path, content in git.uncommitted(campaign.path, list(best)).items():
        theirs = content.decode("utf-8", errors="surrogateescape")
        base = git.read_file(campaign.path, head, path)
        if base is None:  # not in HEAD: there is no diff to merge, the file itself is the edit
            merged[path] = theirs
            continue
        # With core.autocrlf the checkout differs from HEAD in every line; that is no edit.
        theirs = _with_endings(theirs, base)
        if theirs != base:
            merged[path] = _merge(campaign, path, base, best[path], theirs)
    if not merged:
        raise NoChange(
            f"{', '.join(best)} in {campaign.path} is as in HEAD ({head[:7]}): there is no "
            "uncommitted edit to propose. Edit and save the file, then call "
            "ark.propose(campaign, by=ark.Human()) again, or give the text: ark.Human(edit=...)."
        )
    if all(text == best[path] for path, text in merged.items()):
        raise NoChange(
            f"The uncommitted edit of {', '.join(merged)} in {campaign.path} is in the best state "
            f"(experiment {campaign.best.n:04d}) already. Edit and save the file again."
        )
    return merged


def _merge(campaign: Campaign, path: str, base: str, best: str, theirs: str) -> str:
    sides = {_endings(text) for text in (base, best, theirs)}
    if None not in sides and len(sides) > 1:
        base, theirs = (_convert(text, _endings(best) or "\n") for text in (base, theirs))
    text, conflicted = git.merge_file(base, best, theirs)
    if conflicted:
        places = "\n".join(_conflicts(text, theirs))
        raise PatchConflict(
            f"Your edit of {path} and the best state (experiment {campaign.best.n:04d}) changed "
            f"the same lines:\n{places}\n"
            f"Put your change into the text of campaign.best.files[{path!r}] and pass that: "
            "ark.Human(edit=text)."
        )
    return text


def _conflicts(merged: str, theirs: str) -> list[str]:
    """Describe each conflict of a merge by its line in the checkout and both sides' text."""
    yours = theirs.splitlines()
    described: list[str] = []
    sides: dict[str, list[str]] = {}
    side, cursor = "", 0
    for line in merged.splitlines():
        if line.startswith("<<<<<<< best"):
            side, sides = "best", {"best": [], "base": [], "yours": []}
        elif side and line.startswith("||||||| "):
            side = "base"
        elif side and line == "=======":
            side = "yours"
        elif side == "yours" and line.startswith(">>>>>>> yours"):
            block = sides["yours"]
            found = (i for i in range(cursor, len(yours)) if yours[i : i + len(block)] == block)
            start = next(found, cursor) if block else None
            cursor = start + len(block) if start is not None else cursor
            where = f"line {start + 1}" if start is not None else "lines that you deleted"
            described.append(f"  {where}: yours {_short(block)}, best {_short(sides['best'])}")
            side = ""
        elif side:
            sides[side].append(line)
    return described


def _short(block: list[str]) -> str:
    if not block:
        return "(nothing)"
    more = f" (+{len(block) - 1} more lines)" if len(block) > 1 else ""
    return f"`{block[0].strip()[:80]}`{more}"


def _summary(best: Mapping[str, str], files: Mapping[str, str]) -> str:
    """Say in one line what changed."""
    said: list[str] = []
    for path, new in files.items():
        old = best.get(path, "")
        if new == old:
            continue
        if changes := _only_constants(path, old, new):
            said += changes
            continue
        diff = [line[:1] for line in difflib.ndiff(old.splitlines(), new.splitlines())]
        said.append(f"edit of {path}: +{diff.count('+')} -{diff.count('-')} lines")
    return ", ".join(said)


def _only_constants(path: str, old: str, new: str) -> list[str]:
    """Return ``NAME old -> new`` for each constant, if nothing else changed in a file."""
    before = values.constants(path, old)
    return [
        f"{name} {source.spell(before[name].value)} -> {source.spell(value)}"
        for name, value in values.only_changes(path, old, new).items()
    ]


def _with_endings(text: str, like: str) -> str:
    """Return `text` with the line endings of `like`, if both are uniform."""
    wanted, has = _endings(like), _endings(text)
    return text if None in (wanted, has) or not like else _convert(text, wanted or "\n")


def _endings(text: str) -> str | None:
    """Return the line ending that a text uses throughout; None when it is mixed."""
    found = set(re.findall(r"\r\n|\r|\n", text))
    return None if len(found) > 1 else (found or {"\n"}).pop()


def _convert(text: str, ending: str) -> str:
    return re.sub(r"\r\n|\r|\n", lambda _: ending, text)
