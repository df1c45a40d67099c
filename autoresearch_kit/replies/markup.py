"""A model's reply taken apart into tags, search/replace blocks and fences; nothing is applied here.

Markers stand alone on their lines. What looks like a marker and has no place is an error, never
skipped, for a block that lost a line must not become prose. Inside a block or a file such a line
is text only where the files have the same line already.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError, ReplyError
from autoresearch_kit.replies import matching, paths

HEAD = re.compile(r"[ \t]*(<{5,9})[ \t]?SEARCH\b:?(.*)")
RULE = re.compile(r"[ \t]*(={5,9})[ \t]*")
TAIL = re.compile(r"[ \t]*(>{5,9})[ \t]?REPLACE[ \t]*")
FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})")
_ODD = re.compile(
    r"[ \t]*(?:[<>]{4,}.*|[<>].{0,20}(?:SEARCH|REPLACE)[ \t]*|(?:SEARCH|REPLACE)[ \t]*)"
)
_TAG = re.compile(r"[ \t*_`>#-]*<(hypothesis|expected|again|notes)\b[^<>]{0,40}>", re.IGNORECASE)
_THOUGHT = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection)"
_OPENS = re.compile(
    rf"[ \t]*(?:<{_THOUGHT}>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>)",
    re.IGNORECASE | re.MULTILINE,
)
_CLOSES = re.compile(
    rf"</{_THOUGHT}>|\[/THINK\]|◁/think▷|<\|channel\|>final[ \w]{{0,20}}<\|message\|>",
    re.IGNORECASE,
)
_CLOSES_A_LINE = re.compile(rf"^[ \t]*(?:{_CLOSES.pattern})", re.IGNORECASE | re.MULTILINE)
_HYPOTHESIS = re.compile(r"<hypothesis\b", re.IGNORECASE)
_LAST_TOKEN = re.compile(r"(?:<\|\w{1,30}\|>|</s>)\s*\Z")
_PYTHON = {"", "python", "python3", "py", "plaintext", "code"}
_OWN = (
    "is a line of the file itself, so it can't be a marker too. Write markers of another length, "
    "all three of a block with 9 characters or with 6."
)
_CUT_OFF = "If the reply was too long and cut off, write a shorter one."
_MANY = 100  # blocks or fences
_LONGEST = 600_000  # characters of a reply, thoughts left aside
_NEAR = 200  # marks of fences among which the end of one is looked for
_TRIES = 40  # ends of a fence that are compiled
_COMPILED = 600_000  # characters, all in all


@dataclass(frozen=True)
class Body:
    """What stands between the first and the last marker of a block.

    Attributes
    ----------
    path
        The file that is named at the block, or nothing.
    line
        Where it begins in the reply, from 1.
    size
        How many characters its first marker has.
    """

    lines: tuple[str, ...]
    path: str
    line: int
    size: int


@dataclass(frozen=True)
class Fence:
    """What stands in a fence.

    Attributes
    ----------
    info
        The first word behind the opening mark, in lower case.
    path
        The file that is named there or on the line before, whether it may change or not.
    line
        Where it begins in the reply, from 1.
    mark
        The opening mark.
    alone
        Whether no later line could be its end just as well.
    """

    lines: tuple[str, ...]
    info: str
    path: str
    line: int
    mark: str
    alone: bool


@dataclass(frozen=True)
class Markup:
    """The parts of a reply: tags (name → contents), blocks and fences."""

    tags: Mapping[str, Sequence[str]]
    bodies: Sequence[Body]
    fences: Sequence[Fence]


def thoughtless(text: str) -> str:
    """Return a reply without the thoughts before it; "" when it never gets beyond them.

    Thoughts are ``<think>…</think>`` and its like at the beginning. Where the prompt has opened
    them already, a reply has only their end, on a line of its own before the hypothesis.
    """
    text = _LAST_TOKEN.sub("", text)
    opened = _OPENS.match(text.lstrip())
    end = (_CLOSES if opened else _CLOSES_A_LINE).search(text)
    if opened:
        return text[end.end() :].lstrip() if end else ""
    return text[end.end() :].lstrip() if end and _HYPOTHESIS.search(text, end.end()) else text


def read(text: str, files: Mapping[str, str]) -> Markup:
    """Take a reply apart; `files` (path → text) tell what may be a line of theirs.

    Raises
    ------
    ReplyError
        When a tag, a block or a fence is not closed, a marker is out of place, or a block
        belongs to a file that is none of `files`.
    """
    return _Reader(text, files).read()


def is_marker(line: str) -> bool:
    """Tell whether a line looks like the first or last marker of a block, whole or damaged."""
    return line.lstrip()[:1] in {"<", ">", "S", "R"} and bool(_ODD.fullmatch(line))


def fence(line: str) -> tuple[str, str, str] | None:
    """Return the indentation, the mark and what follows it, when a line begins or ends a fence."""
    found = FENCE.match(line) if line.lstrip()[:1] in {"`", "~"} else None
    if not found:
        return None
    rest = line[found.end() :].strip()
    return None if found[2][0] == "`" and "`" in rest else (found[1], found[2], rest)


class _Reader:
    """One pass over the lines of a reply, from the top."""

    def __init__(self, text: str, files: Mapping[str, str]) -> None:
        rest = thoughtless(text)
        if not rest.strip() and text.strip():
            raise ReplyError(
                "The reply ends within its thoughts: there is nothing after them. Think less, and "
                "then write the answer."
            )
        if len(rest) > _LONGEST:
            raise ReplyError(
                f"The reply has {len(rest):,} characters. Expected the change only, with at most "
                f"{_LONGEST:,}."
            )
        before = len(_LAST_TOKEN.sub("", text)) - len(rest)
        self.skipped = len(matching.lines(text[:before] + "x")) - 1
        self.lines = matching.lines(rest)
        self.files = files
        every = (line for text in files.values() for line in matching.lined(text).lines)
        self.known = {line.strip() for line in every if is_marker(line)}
        self.python = all(path.endswith(".py") for path in files)
        self.fence_lines = [
            (at, *mark)
            for at, line in enumerate(self.lines)
            if line.lstrip()[:1] in {"`", "~"} and (mark := fence(line))
        ]
        self.at = 0
        self.hint = self.foreign = ""
        self.wrappers: list[tuple[int, str, str]] = []
        self.tags: dict[str, list[str]] = {}
        self.bodies: list[Body] = []
        self.fences: list[Fence] = []
        self.rules: list[int] = []
        self.compiled = 0

    def read(self) -> Markup:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                self.at += 1
            elif self._is_head(self.at):
                self._block()
            elif mark := fence(line):
                self._fence(*mark)
            elif tag := _TAG.match(line) if "<" in line else None:
                self._tag(tag)
            else:
                self._prose(line)
                self.at += 1
        if self.wrappers:
            self._unclosed_fence(self.wrappers[-1][0])
        if self.bodies and self.rules:
            self._fail(self.rules[0], "stands outside of a block. A block may have lost a marker.")
        return Markup(self.tags, self.bodies, self.fences)

    def _fail(self, at: int, words: str) -> NoReturn:
        line = self.lines[at].strip()
        shown = line if len(line) <= 60 else line[:59] + "…"
        raise ReplyError(f"Line {at + self.skipped + 1} of the reply ({shown}) {words}")

    def _unclosed_fence(self, at: int) -> NoReturn:
        self._fail(at, f"opens a fence that is never closed. {_CUT_OFF}")

    def _is_head(self, at: int) -> bool:
        line = self.lines[at]
        return (
            line.lstrip()[:1] == "<"
            and HEAD.fullmatch(line) is not None
            and line.strip() not in self.known
        )

    def _prose(self, line: str) -> None:
        word = line.strip()
        if _OPENS.match(line) or _CLOSES_A_LINE.match(line):
            self._fail(self.at, "has thoughts in the middle. Write the final answer only.")
        if is_marker(line) or set(word) == {"<"} or word in {"`", "``"}:
            if word in self.known:
                self._fail(self.at, _OWN)
            self._fail(
                self.at,
                "looks like a marker, but has no place there. A block is <<<<<<< SEARCH, old "
                "lines, =======, new lines, >>>>>>> REPLACE, and each marker has its own line.",
            )
        if RULE.fullmatch(line):
            self.rules.append(self.at)
        path = paths.path_of(line, self.files)
        self.foreign = "" if path in self.files else path
        if path in self.files:
            self.hint = path
        elif not path and (told := paths.announced(line, self.files)) is not None:
            self.hint = told
        if self.wrappers and self.wrappers[-1][2] == "blocks" and not self._is_aside(line):
            self._fail(
                self.at,
                "stands in a fence beside a block. A fence holds either blocks or one whole file; "
                "write blocks without a fence.",
            )

    def _is_aside(self, line: str) -> bool:
        """Tell whether a line may stand beside a block in a fence, which is no file then."""
        comment = self.python and line.lstrip().startswith(("#", "//"))
        return not line.strip() or bool(paths.path_of(line, self.files)) or comment

    def _tag(self, opening: re.Match[str]) -> None:
        name = opening[1].lower()
        closing = re.compile(rf"</{name}\s{{0,9}}>", re.IGNORECASE)
        content: list[str] = []
        at, line = self.at, self.lines[self.at][opening.end() :]
        while not (end := closing.search(line)):
            content.append(line)
            at += 1
            lost = at == len(self.lines)
            if not lost and name != "notes":
                line = self.lines[at]
                lost = self._is_head(at) or bool(fence(line) or _TAG.match(line))
            if lost:
                self._fail(self.at, f"is not closed. Write </{name}> behind it.")
            line = self.lines[at]
        content.append(line[: end.start()])
        self.tags.setdefault(name, []).append("\n".join(content).strip())
        self.lines[at] = line[end.end() :]
        self.at = at

    def _block(self) -> None:
        begin = self.at
        head = HEAD.fullmatch(self.lines[begin])
        assert head is not None
        size, rest = len(head[1]), head[2].strip()
        path = paths.path_of(rest, self.files) if rest else self.foreign or self.hint
        if rest and not path:
            self._fail(begin, "has more than SEARCH on it. Write <<<<<<< SEARCH alone on its line.")
        if path and path not in self.files:
            self._fail(begin, f"begins a change of {path}. {_allowed(self.files)}")
        for at in range(begin + 1, len(self.lines)):
            line = self.lines[at]
            if not is_marker(line):
                continue
            last = TAIL.fullmatch(line)
            marker = last or HEAD.fullmatch(line)
            if line.strip() in self.known:
                if marker and len(marker[1]) == size:
                    self._fail(at, _OWN)
            elif last:
                inside = tuple(self.lines[begin + 1 : at])
                self.bodies.append(Body(inside, path, begin + self.skipped + 1, size))
                self.at = at + 1
                self.hint = self.foreign = ""
                if len(self.bodies) > _MANY:
                    self._fail(begin, f"begins block number {_MANY + 1}. Make one change.")
                return
            elif marker:
                self._fail(begin, "begins a block that has no >>>>>>> REPLACE before the next one.")
            else:
                self._fail(at, "looks like a damaged marker. Write the block again.")
        self._fail(begin, f"begins a block that has no >>>>>>> REPLACE. {_CUT_OFF}")

    def _fence(self, indent: str, mark: str, rest: str) -> None:
        begin = self.at
        if self.wrappers:
            _, opening, kind = self.wrappers[-1]
            if not rest and mark[0] == opening[0] and len(mark) >= len(opening):
                self.wrappers.pop()
                self.hint = self.foreign = ""
                self.at += 1
                return
            if kind == "blocks":
                self._unclosed_fence(self.wrappers[-1][0])
        words = [word for word in re.split(r"[\s:=\"'{},]+", rest[:300]) if word]
        named = [word for word in words if word in self.files or paths.PATH.fullmatch(word)]
        path = named[0] if named else self.foreign or self.hint
        inside = next(
            (at for at in range(begin + 1, len(self.lines)) if not self._is_aside(self.lines[at])),
            len(self.lines) - 1,
        )
        if self._is_head(inside) or _TAG.match(self.lines[inside]):
            kind = "blocks" if self._is_head(inside) else "reply"
            self.wrappers.append((begin, mark, kind))
            self.foreign, self.hint = (path, "") if path not in self.files else ("", path)
            self.at += 1
            return
        info = words[0].lower().strip(".") if words and words[0] not in named else ""
        python = info in _PYTHON and (path or next(iter(self.files), "")).endswith(".py")
        end, alone = self._end(indent, mark, python)
        for at in range(begin + 1, end):
            if is_marker(self.lines[at]) and self.lines[at].strip() not in self.known:
                self._fail(
                    at,
                    "stands in a fence among other lines, so it is not clear what is meant: "
                    "blocks, or one whole file? Write blocks without a fence.",
                )
        lines = tuple(line.removeprefix(indent) for line in self.lines[begin + 1 : end])
        self.fences.append(Fence(lines, info, path, begin + self.skipped + 1, mark, alone))
        if len(self.fences) > _MANY:
            self._fail(begin, f"opens fence number {_MANY + 1}. Write one fence at most.")
        self.hint = self.foreign = ""
        self.at = end + 1

    def _end(self, indent: str, mark: str, python: bool) -> tuple[int, bool]:
        """Return the line that ends the fence here, and whether no other could."""
        after = bisect.bisect_right(self.fence_lines, self.at, key=lambda found: found[0])
        later = (self.fence_lines[k] for k in range(after, len(self.fence_lines)))
        similar = [
            (at, rest)
            for at, blank, other, rest in itertools.islice(later, _NEAR)
            if other[0] == mark[0] and len(other) >= len(mark) and len(blank) <= len(indent) + 3
        ]
        ends = [at for at, rest in similar if not rest]
        # A text that compiles can't go on with a fence's mark, so at most one end compiles.
        likely = [*ends[:1], *ends[-1:], *ends[1:_TRIES]] if python else []
        fits = (at for at in likely if self._compiles(self.at + 1, at))
        if not (end := next(fits, 0)):
            depth = itertools.accumulate((1 if rest else -1 for _, rest in similar), initial=1)
            balanced = (at for (at, _), open in zip(similar, [*depth][1:], strict=True) if not open)
            if not (end := next(balanced, 0)):
                self._unclosed_fence(self.at)
        return end, len(similar) == 1

    def _compiles(self, begin: int, end: int) -> bool:
        text = "\n".join(self.lines[begin:end])
        self.compiled += len(text)
        if not text.strip() or self.compiled > _COMPILED:
            return False
        try:
            source.check_syntax("reply.py", text)
        except ProposalError:
            return False
        return True


def _allowed(files: Mapping[str, str]) -> str:
    return f"Only {', '.join(files)} may change; name the file by exactly that path."
