"""The record of a decided experiment: one annotated tag, readable by people and by pandas.

The tag ``autoresearch/<tag>/<nnnn>`` sits on the experiment's commit. Its subject is
``<status>: <hypothesis>``, its body an indented JSON document with all that reading needs.
A tag never moves: whatever is learned later is a new record that names this one in `about`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite
from pathlib import Path
from types import NoneType
from typing import Any

from autoresearch_kit import git
from autoresearch_kit.errors import AutoresearchError

_log = logging.getLogger(__name__)

STATUSES = ("keep", "discard", "crash", "refused", "quarantine")

KINDS = {
    "": "another verdict",
    "repeat": "a repeat",
    "audit": "an audit",
    "override": "an override",
    "rewind": "a rewind",
    "ablation": "an ablation",
    "transfer": "a transfer",
}
"""What a record about an earlier experiment may be, with its article."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Everything that is known of a decided experiment.

    `value` is None for a crash or a refusal: they have no metric. `delta` is signed as the metric
    is (negative is lower), `gain` is positive when it is better, and shrunk towards zero by as much
    as it is uncertain. `replicates` holds one mapping for each run with at least ``seed`` and
    ``value``; `evidence` all other numbers that the verdict comes from. `curve` holds
    ``progress:loss`` pairs, at most 64 (see `points`). `code` is a hash of the mutable files that
    comments and layout don't change. `stopped_early` is the progress at which a hopeless run was
    ended. A record `about` an earlier experiment has a `kind` (see `standing`).
    """

    campaign: str
    n: int
    status: str
    commit: str
    hypothesis: str
    parent: int | None = None
    parent_commit: str | None = None
    author: str = ""
    approver: str = ""
    edited_by_human: bool = False
    about: int | None = None
    kind: str = ""
    metric: str = ""
    goal: str = "minimize"
    unit: str = ""
    value: float | None = None
    replicates: tuple[Mapping[str, Any], ...] = ()
    delta: float | None = None
    noise: float | None = None
    gain: float | None = None
    evidence: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    rule: str = ""
    reason: str = ""
    scored_by: str = "kit"
    sandboxed: bool = False
    constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    code: str = ""
    lines_added: int = 0
    lines_removed: int = 0
    setup_seconds: float | None = None
    training_seconds: float | None = None
    scoring_seconds: float | None = None
    stopped_early: float | None = None
    peak_memory_mb: float | None = None
    tokens: int | None = None
    parameters: int | None = None
    device: str = ""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    curve: str = ""
    proposal: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    decided: str = ""
    baseline: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def points(self) -> list[tuple[float, float]]:
        """The loss curve as pairs of progress (0 to 1) and training loss."""
        pairs = (pair.split(":") for pair in self.curve.split())
        found = ((float(progress), float(loss)) for progress, loss in pairs)
        return [point for point in found if max(map(abs, point)) < _FARTHEST]

    @property
    def run_seconds(self) -> float | None:
        """Seconds of set-up, training and scoring of all its runs; None when nothing ran."""
        parts = (self.setup_seconds, self.training_seconds, self.scoring_seconds)
        known = [part for part in parts if part is not None]
        return sum(known) * max(1, len(self.replicates)) if known else None

    def message(self) -> str:
        """Return the text of the annotated tag.

        Raises
        ------
        AutoresearchError
            When it could not be read back, such as for a guess that is no number.
        """
        line = " ".join(self.hypothesis.split()) or "no hypothesis"
        body = dataclasses.asdict(self)
        del body["commit"]  # the tag itself points at it
        text = f"{self.status}: {line[:200]}\n\n{_dumps(body)}\n"
        parse(text, self.commit)  # who reads would leave it out
        return text


def parse(message: str, commit: str) -> Record:
    """Return the record that a tag's `message` holds.

    Raises
    ------
    AutoresearchError
        When the message has no JSON body with a campaign, a number and a status.
    """
    _, _, body = message.partition("\n\n")
    try:
        table = json.loads(body)
        if "\\ud" in body or "\\uD" in body:  # half a character; nothing could be written with it
            table = json.loads(json.dumps(table, ensure_ascii=False).encode("utf-8", "replace"))
        _check(table)
        if table.keys() == _FIELDS:
            # What this version wrote has all fields: 10,000 calls of Record() take 0.2 s.
            record = object.__new__(Record)
            vars(record).update(table, commit=commit, replicates=tuple(table["replicates"]))
            return record
        known = {name: table[name] for name in _FIELDS & table.keys()}
        known["replicates"] = tuple(known.get("replicates", ()))
        return Record(commit=commit, **known)
    except (ValueError, TypeError, AttributeError, RecursionError, ArithmeticError) as error:
        raise AutoresearchError(
            f"the tag on {commit[:7]} is no record of this kit ({error}); "
            "expected a JSON document below the subject. Look at it with git show."
        ) from error


_FIELDS = {field.name for field in dataclasses.fields(Record)} - {"commit"}
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "int | None": (int, NoneType),
    "float | None": (float, int, NoneType),
    "str | None": (str, NoneType),
    "tuple[Mapping[str, Any], ...]": (list,),
    "Mapping[str, Any]": (dict,),
    "Mapping[str, str]": (dict,),
}
_TYPES = {field.name: _KINDS[str(field.type)] for field in dataclasses.fields(Record)}
_NUMBER = {int, float}
_MOST = 2**63  # what a column of whole numbers holds
_FARTHEST = 1e100  # of what a curve shows: pictures take differences
_YEARS = 1900, 2200  # zones can't lead out of what Python and pandas have
_OF_PROPOSAL = ("expected", "guess", "cost", "tokens", "seconds", "cached", "rejected")
# Possessive, for there is one way to read it; and 10,000 curves are checked at a time.
_PART = r"-?\d++(?:\.\d++)?+(?:e[-+]\d{2,3})?+"
_CURVE = re.compile(rf"(?:{_PART}:{_PART}(?: {_PART}:{_PART})*+)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]*")
_sound: set[tuple[tuple[str, ...], tuple[type, ...]]] = set()


def _check(table: Mapping[str, Any]) -> None:
    """Raise unless each field has its type: a tag may come from anybody's repository."""
    kinds = tuple(table), tuple(map(type, table.values()))
    if kinds not in _sound:  # nearly all records have the types of another
        for name, kind in zip(*kinds, strict=True):
            if name in _TYPES and kind not in _TYPES[name]:
                raise TypeError(f"{name} is of the type {kind.__name__}")
        _sound.add(kinds)
    known, made = table.get("evidence", {}), table.get("proposal", {})
    numbers = [value for value in table.values() if type(value) in _NUMBER]
    numbers += [known.get("z"), known.get("error")]
    numbers += [made.get(name) for name in _OF_PROPOSAL]
    for run in table.get("replicates", ()):
        if run.get("value") is None or "seed" not in run:
            raise ValueError("one of its runs has no seed or no value")
        numbers += [run["seed"], run["value"]]
    for number in numbers:
        whole = type(number) is int and abs(number) < _MOST
        if not (number is None or whole or (type(number) is float and isfinite(number))):
            raise ValueError(f"it has {str(number)[:40]} where a number is expected")
    if not _CURVE.fullmatch(table.get("curve", "")):
        raise ValueError("its curve is no list of pairs")
    if not _COMMIT.fullmatch(table.get("parent_commit") or ""):  # git is given it as a word
        raise ValueError("its parent_commit is no hash")
    when = table.get("decided", "")
    if when and not _YEARS[0] <= datetime.fromisoformat(when).year <= _YEARS[1]:
        raise ValueError(f"it was decided in {when[:4]}")


def tag_name(campaign: str, n: int) -> str:
    """Return the name of the annotated tag of experiment `n`."""
    return f"autoresearch/{campaign}/{n:04d}"


def tag_ref(campaign: str, n: int) -> str:
    """Return the ref of the annotated tag of experiment `n`."""
    return f"refs/tags/{tag_name(campaign, n)}"


def files_ref(campaign: str, n: int) -> str:
    """Return the ref of the attachments (one tree) of experiment `n`."""
    return f"refs/tags/autoresearch-files/{campaign}/{n:04d}"


def read_all(
    repo: Path, campaign: str | None = None, left_out: list[str] | None = None
) -> Sequence[Record]:
    """Return the records of one campaign, or of all, in order of campaign and number.

    Two git processes, whatever the number of records; none when no tag was written since the last
    call, which then returns the same object. A record already read by this process isn't read
    again: a tag object never changes. Tags that are no records are named in the log, and in
    `left_out`, a sentence each.
    """
    if campaign is None:
        found, odd = _read(repo, "refs/tags/autoresearch/")
    else:
        folder = f"refs/tags/autoresearch/{campaign}"
        stamp = git.refs_stamp(repo, folder)
        then, found, odd = _read_before.get((repo, campaign), ((), (), ()))
        if then != stamp:
            now, odd = _read(repo, folder + "/")
            found = found if found == now else now
            _read_before[repo, campaign] = stamp, found, odd
    if left_out is not None:
        left_out += odd
    return found


def _read(repo: Path, pattern: str) -> tuple[Sequence[Record], Sequence[str]]:
    # Somebody's own tag in our corner is none of ours.
    there = {ref: oid for ref, oid in git.refs(repo, pattern).items() if _REF.fullmatch(ref)}
    why: dict[str, str] = {}
    if new := set(there.values()) - _parsed.keys():
        for tag in git.annotated_tags(repo, new):
            try:
                _parsed[tag.oid] = parse(tag.message, tag.commit)
            except AutoresearchError as error:
                why[tag.oid] = str(error)
    found, left_out = [], []
    for ref, oid in there.items():
        record = _parsed.get(oid)
        if record is None:
            reason = why.get(oid, "it is no annotated tag on a commit")
        elif tag_ref(record.campaign, record.n) != ref:
            reason = f"it is a copy of {record.campaign}/{record.n}"
        else:
            found.append(record)
            continue
        left_out.append(f"{ref} is left out: {reason}")
        if record is not None or oid in why:  # anybody may have light tags, and thousands
            _log.warning("%s", left_out[-1])
    return tuple(sorted(found, key=lambda record: (record.campaign, record.n))), tuple(left_out)


_REF = re.compile(r"refs/tags/autoresearch/[^/]+/\d{4,}")
_parsed: dict[str, Record] = {}
_Read = tuple[tuple[object, ...], Sequence[Record], Sequence[str]]
_read_before: dict[tuple[Path, str], _Read] = {}


def read_attachments(repo: Path, campaign: str, n: int) -> dict[str, bytes]:
    """Return the attachments of experiment `n` (prompt, patch, log tail, per-row losses)."""
    tree = git.refs(repo, files_ref(campaign, n)).get(files_ref(campaign, n))
    return git.read_tree(repo, tree) if tree else {}


def curve(points: Iterable[Sequence[float]]) -> str:
    """Return the text form of a loss curve.

    Most readers of a history never look at the curves; as text they cost next to nothing to parse.
    """
    return " ".join(f"{progress:.4g}:{loss:.5g}" for progress, loss in points if isfinite(loss))


def _dumps(body: Mapping[str, Any]) -> str:
    """Indent the top level only, so that `git show` prints a line for each field."""
    rows = [f"  {json.dumps(k)}: {json.dumps(_finite(v))}" for k, v in body.items()]
    return "{\n" + ",\n".join(rows) + "\n}"


def _finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON doesn't have, by null; numbers are kept exactly."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def clean(words: str, most: int = 500) -> str:
    """Return `words` on one line, only what can be seen of them, at most `most` characters long.

    Escape sequences of terminals and characters that turn the text around or hide in it are left
    out.
    """
    text = _ESCAPE.sub("", words.encode("utf-8", "replace").decode())
    line = " ".join("".join(c for c in text if c.isprintable() or c.isspace()).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def who(author: str) -> str:
    """Return an author's or approver's name without the address, which need not be shown."""
    return author.partition(" <")[0]


_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
