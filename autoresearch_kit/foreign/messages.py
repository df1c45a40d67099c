"""What commit messages say of experiments: whether one is meant, its verdict and its metric."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from autoresearch_kit.foreign import cells, direction
from autoresearch_kit.git import Logged

EXPERIMENT = re.compile(
    r"\W*(?:exp|experiment|trial|iter|iteration|attempt)[ _-]?#?\d*\W*[:—–\])-]", re.IGNORECASE
)
BASELINE = re.compile(r"\W*baseline\b", re.IGNORECASE)
VERDICT = re.compile(
    r"\W*(keep|kept|accept(?:ed)?|discard(?:ed)?|reject(?:ed)?|crash(?:ed)?)\W*[:—–(\]-]",
    re.IGNORECASE,
)
OTHER = re.compile(
    r"(?:docs?|chore|ci|style|build|tests?|feat|fix|refactor|cleanup|wip|readme)\b[^:]{0,30}:"
    r"|merge (?:branch|pull request|remote|tag|commit|[0-9a-f]{7,} into)\b"
    r"|(?:initial|first|init) commit\b",
    re.IGNORECASE,
)
_REVERT = re.compile(r'(?:Revert|Reapply) "(.*)"')
_REVERTED = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_RESTORE = re.compile(
    r"\W*(?:revert(?:ed|s|ing)?|restor(?:e|ed|es|ing)|roll(?:ed|ing)?[ -]?back|undo|reset to"
    r"|back to)\b",
    re.IGNORECASE,
)
_TO = re.compile(r"\b(?:to|at|from)\s+(?:commit\s+)?([0-9a-f]{7,40})\b")

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w^*.]|\s*[*^])"
_ARROW = r"(?:->|→|=>)"
_NAMED = re.compile(
    r"(?P<before>\b(?:prev(?:ious)?|was|old|best|baseline|from|target|than|vs\.?|last)\s+)?"
    r"(?<![\w.])(?P<name>[A-Za-z][A-Za-z0-9_/@]{0,80})(?![A-Za-z0-9_/@])\s*(?:[:=]|\s[a-z]+)?\s*"
    rf"(?:{_NUMBER}\s*{_ARROW}\s*)?(?P<value>{_NUMBER})(?!\s*{_ARROW})"
)
_BARE = re.compile(
    rf"(?:^|[:(,;—–]|\s-)\s*\d+\.\d{{3,}}\s*{_ARROW}\s*(?P<value>\d+\.\d{{3,}})(?![\w^])",
    re.MULTILINE,
)
_TRAILER = re.compile(r"^Result: (\{.*\})$", re.MULTILINE)
_BLANKS = re.compile(r"[^\S\n]+|\n\s*\n")
_MOST = 10_000  # characters of a message in which numbers are looked for
_SETTING = re.compile(r"batch|size|time|second|lr$|^lr|ratio|line", re.IGNORECASE)


class Said(NamedTuple):
    """What a message tells.

    Attributes
    ----------
    kind
        ``experiment``, ``verdict`` (on the experiment before it, perhaps), ``revert`` (of a commit
        that it names), ``restore`` (of what was before, in words), ``other`` or ``""``.
    status
        The verdict, where the message has one.
    target
        What a revert takes back: a hash or a subject; what a restore goes back to: a hash.
    values
        Numbers by name; the name of one without is "".
    """

    kind: str
    status: str = ""
    target: str = ""
    values: dict[str, float] = {}  # noqa: RUF012 (never changed)


def read(commit: Logged) -> Said:
    """Return what a commit's message says."""
    subject = commit.subject
    reverted = _REVERTED.search(commit.message)
    quoted = _REVERT.match(subject)
    if reverted or quoted:
        return Said("revert", target=reverted[1] if reverted else quoted[1] if quoted else "")
    if _RESTORE.match(subject):
        to = _TO.search(subject)
        return Said("restore", target=to[1] if to else "")
    trailer = _result(commit.message)
    if trailer is not None:
        return Said("experiment", cells.status(str(trailer.pop("status", ""))), "", _only(trailer))
    found = _values(commit.message)
    if verdict := VERDICT.match(subject):
        return Said("verdict", cells.status(verdict[1]), "", found)
    if EXPERIMENT.match(subject) or BASELINE.match(subject):
        return Said("experiment", "", "", found)
    return Said("other" if OTHER.match(subject) else "", "", "", found)


def is_formal(commit: Logged) -> bool:
    """Tell whether a message marks its commit as an experiment, by its first word or a result."""
    return bool(EXPERIMENT.match(commit.subject) or _TRAILER.search(commit.message))


def metric(said: Iterable[Said]) -> str:
    """Return the metric that most messages on experiments state; "" when only bare numbers are."""
    spoken = [each for each in said if each.kind != "other"]
    counts = Counter(name for each in spoken for name in each.values if name)
    return counts.most_common(1)[0][0] if counts else ""


def _result(message: str) -> dict[str, Any] | None:
    """Return the JSON that pi-autoresearch writes below the message of a kept experiment."""
    found = _TRAILER.search(message)
    try:
        table = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):
        return None
    return table if isinstance(table, dict) else None


def _only(table: dict[str, Any]) -> dict[str, float]:
    """Return the first number, which is the metric by the format."""
    numbers = (
        (k, v) for k, v in table.items() if isinstance(v, int | float) and not isinstance(v, bool)
    )
    for name, value in numbers:
        with contextlib.suppress(OverflowError):  # JSON has whole numbers of any length
            return {name: float(value)}
    return {}


def _values(message: str) -> dict[str, float]:
    """Return the metrics that a message states for its own experiment, not for earlier ones."""
    found: dict[str, float] = {}
    # Runs of blanks would take the square of their length.
    message = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] else " ", message[:_MOST])
    for match in _NAMED.finditer(message):
        name = match["name"]
        known = direction.of_name(name)[0] and not name.isupper() and not _SETTING.search(name)
        if known and not match["before"]:
            found.setdefault(name, float(match["value"]))
    if not found and len(bare := _BARE.findall(message)) == 1:
        found[""] = float(bare[0])
    return found
