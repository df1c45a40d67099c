"""Changes that were tried before in other words: found before a second is trained.

`admission` knows code that is the same to the last token. Here patches are compared, by what
`shingles` makes of them: names that a patch makes up, comments, layout and the order of lines don't
count, whatever came of the earlier experiment.
"""

from __future__ import annotations

import json
import logging
import re
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import git, grain, records, render, shingles, source
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import Duplicate, GitError
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

CANDIDATES = 200
"""Earlier experiments that a patch is compared with at most, the newest first."""

CHARACTERS = 400_000
"""Characters of earlier patches that are looked at: a few long rewrites count for many."""

AHEAD = 10
"""Approved proposals without a result that it is compared with at most."""

_log = logging.getLogger(__name__)

_PATHS = ("--literal-pathspecs", "-c", "core.quotePath=false")
_GIT_DIFF = ("-p", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
_SAME_HUNKS = ("--diff-algorithm=histogram", "--indent-heuristic")  # whatever people prefer
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@", re.MULTILINE)
_COMMIT = re.compile(r"^([0-9a-f]{40}(?:[0-9a-f]{24})?)\n", re.MULTILINE)


def check(
    campaign: Campaign, parent_commit: str, files: Mapping[str, str], again: str = ""
) -> None:
    """Raise when the changed `files` on `parent_commit` are nearly an earlier experiment's patch.

    Parameters
    ----------
    again
        Why the change deserves another try: it was tried on another parent, or it crashed, or it
        is not quite the same. Without a reason such a try is refused too.

    Raises
    ------
    Duplicate
        It names the earlier experiment, its verdict and result, and what to do.
    """
    before = campaign.mutable(parent_commit)
    changed = {path: text for path, text in files.items() if text != before[path]}
    if not changed:
        return
    known = shingles.words_by_place(before)
    patch = _own_diff(before, changed)
    mine = shingles.change(patch, known)
    if not mine.lines:
        return
    tried = list(_candidates(campaign, before, changed, patch))
    earlier: list[tuple[Record | Proposal, str]] = list(
        zip(tried, diffs(campaign, tried, context=0), strict=True)
    )
    for ahead in list(_approved(campaign))[-AHEAD:]:
        diff = _own_diff(campaign.mutable(ahead.parent_commit), ahead.files)
        earlier.insert(0, (ahead, diff))
    room = CHARACTERS
    for other, diff in earlier:
        room -= len(diff)
        if room < 0:
            break
        theirs = shingles.change(diff, known)
        likeness = mine.likeness(theirs)
        # A crash says nothing about the idea: whatever differs may be its repair.
        if likeness < (1.0 if other.status == "crash" else shingles.ALIKE):
            continue
        same = likeness == 1.0 and other.parent_commit == parent_commit
        final = same and other.status != "crash"
        if final or not again.strip():
            raise Duplicate(_words(campaign, other, parent_commit, final=final))


def _approved(campaign: Campaign) -> Iterator[Proposal]:
    """Yield what is approved and not scored yet; what is open may be what this is a revision of."""
    for ahead in proposals.unfinished(campaign):
        if ahead.status == "approved" and not ahead.successor:
            yield ahead


def diffs(campaign: Campaign, tried: Sequence[Record], *, context: int = 3) -> list[str]:
    """Return the patch of each experiment to the mutable files, in one git process.

    They are all empty in a clone that has not all of the commits.
    """
    pairs = "".join(f"{r.commit} {r.parent_commit or ''}\n" for r in tried)
    if not pairs:
        return [""] * len(tried)
    options = (f"-U{context}", "--src-prefix=a/", "--dst-prefix=b/", *_GIT_DIFF, *_SAME_HUNKS)
    words = (*_PATHS, "diff-tree", "--stdin", "-r", *options, "--", *campaign.task.edit)
    try:
        out = git.call(campaign.path, *words, input=pairs.encode())
    except GitError as error:
        _log.warning("earlier patches are not looked at: %s", error)
        return [""] * len(tried)
    # In a patch each line has a sign before it, so a bare commit can only be a header.
    parts = _COMMIT.split(out.decode(errors="surrogateescape"))
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return [found.get(record.commit, "") for record in tried]


def _own_diff(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return the patch as git makes it: difflib would pair other lines with each other."""
    with tempfile.TemporaryDirectory() as folder:
        for path, new in after.items():
            for side, text in (("a", before[path]), ("b", new)):
                file = Path(folder, side, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text.encode("utf-8", errors="surrogateescape"))
        words = (*_PATHS, "diff", "--no-index", "-U0", "--no-prefix")
        out = git.call(Path(folder), *words, *_GIT_DIFF, *_SAME_HUNKS, "a", "b", accept=(0, 1))
    return out.decode(errors="surrogateescape")


def _candidates(
    campaign: Campaign, before: Mapping[str, str], files: Mapping[str, str], patch: str
) -> Iterator[Record]:
    """Yield the newest experiments whose records don't rule out that they changed the same."""
    known = campaign.records()
    constants = {record.n: record.constants for record in known}
    sizes = [(int(hunk[1] or 1), int(hunk[2] or 1)) for hunk in _HUNK.finditer(patch)]
    removed, added = (sum(size) for size in zip(*sizes, strict=True))
    has = _constants(campaign, files)
    values = _values(_constants(campaign, before), has, has)
    found = 0
    for record in reversed(known):
        if record.parent is None:
            continue
        if not (_near(record.lines_added, added) and _near(record.lines_removed, removed)):
            continue
        base = constants.get(record.parent)
        if base is not None and _values(base, record.constants, has) != values:
            continue
        yield record
        found += 1
        if found == CANDIDATES:
            return


def _near(one: int, other: int) -> bool:
    """Tell whether comments, blank lines and layout may be what two counts of lines differ in."""
    return abs(one - other) <= max(12, max(one, other) // 2)


def _constants(campaign: Campaign, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the constants of Python files by the keys, and of the types, that records have."""
    first = campaign.task.edit[0]
    found = {
        name if path == first else f"{path}:{name}": constant.value
        for path, text in files.items()
        if path.endswith(".py")
        for name, constant in source.constants(text).items()
    }
    as_recorded: dict[str, Any] = json.loads(json.dumps(found))
    return as_recorded


def _values(old: Mapping[str, Any], new: Mapping[str, Any], of: Container[str]) -> dict[str, Any]:
    """Return the constants that got another value, and the value."""
    both = ((key, value) for key, value in new.items() if key in of and key in old)
    return {key: value for key, value in both if value != old[key]}


def _words(campaign: Campaign, other: Record | Proposal, parent_commit: str, *, final: bool) -> str:
    """Say what a patch repeats, what came of it, and what to do."""
    there = "" if other.parent_commit == parent_commit else f" on {other.parent or 0:04d}"
    if isinstance(other, Record):
        head = (
            f"this change was experiment {other.n:04d}{there} already ({_result(campaign, other)})"
        )
    else:
        head = f"this change is approved{there} already and has no result yet"
    hypothesis = render.visible(records.clean(other.hypothesis, 150))
    advice = "Propose something that runs differently"
    if not final:
        advice += (
            "; or say what has changed since, so that the same may come out otherwise now: "
            "again='why', or <again>why</again> in a reply"
        )
    return (
        f"{head}: {hypothesis}. Other names, comments, layout or another order of lines make no "
        f"other experiment. {advice}."
    )


def _result(campaign: Campaign, record: Record) -> str:
    if record.value is None:
        return f"{record.status}, because: {render.visible(records.clean(record.reason, 200))}"
    scores = grain.of(campaign.records())
    change = f" ({scores.change(record.delta)})" if record.delta is not None else ""
    return f"{record.status}, {record.metric} {scores.score(record.value)}{change}"
