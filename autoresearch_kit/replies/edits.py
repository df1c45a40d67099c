"""Search/replace blocks on a text: each found exactly once and all applied, or none.

All blocks look at the text as it was before any of them. Line ends, a byte order mark, bytes that
are no UTF-8 and a missing final line end are the file's, whatever a block has. What counts as
found is in `matching`; similarity only chooses the lines that an error quotes.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autoresearch_kit.errors import ReplyError
from autoresearch_kit.replies import matching
from autoresearch_kit.replies.matching import Lined, Match

_LONG = 90  # characters of a quoted line
_MANY = 8  # quoted lines


@dataclass(frozen=True)
class Block:
    """Lines to look for and lines to put there.

    Attributes
    ----------
    search, replace
        Whole lines, each with its line end; empty means none.
    path
        The file that is meant, if the reply says so.
    line
        Where in the reply the block begins, from 1; 0 when it comes from elsewhere.
    """

    search: str
    replace: str
    path: str = ""
    line: int = 0


def apply(text: str, blocks: Sequence[Block], *, numbers: Sequence[int] = ()) -> str:
    """Return `text` with all blocks applied, and all else byte for byte.

    A block that is there twice counts once. Blocks may share lines that both of them keep.

    Parameters
    ----------
    numbers
        What messages call the blocks; 1, 2, 3, … unless given.

    Raises
    ------
    ReplyError
        When a search text is not found or found more than once, or when two blocks change the
        same lines. Nothing is applied then. It quotes the block and the nearest lines.
    """
    file = matching.lined(text)
    several: dict[tuple[str, str], tuple[int, Block]] = {}
    for number, block in zip(numbers or range(1, len(blocks) + 1), blocks, strict=True):
        several.setdefault((block.search, block.replace), (number, block))
    hunks: list[_Hunk] = []
    wrong: list[str] = []
    for number, block in several.values():
        try:
            hunks += _hunks(file, block, _name(number, block))
        except ReplyError as error:
            wrong.append(str(error))
            if len(wrong) == 3:
                break
    if wrong:
        raise ReplyError("\n".join([*(w.partition("\n")[0] for w in wrong[1:]), wrong[0]]))
    _check_apart(hunks)
    return _joined(file, hunks)


def rewritten(text: str, new: Sequence[str]) -> str:
    """Return the `new` lines as a version of the file `text`: its line ends, mark and last end."""
    file = matching.lined(text)
    kept = matching.kept(file.exact, list(map(matching.shown, new)))
    # What a model was shown as it is, it means as it writes it.
    kept = {i: at for i, at in kept.items() if new[i] == file.lines[at] or _is_odd(file, at)}
    lines = tuple(kept.get(i, line) for i, line in enumerate(new))
    return _joined(file, [_Hunk("", 0, len(file.lines), 0, len(file.lines), lines)])


def _is_odd(file: Lined, at: int) -> bool:
    return file.exact[at] != file.lines[at]


@dataclass(frozen=True)
class _Hunk:
    """What a block makes of the lines `start` to `end`: `first` to `last` become `lines`.

    The rest of what it quotes stays. A number among the lines stands for a line of the file.
    """

    block: str
    start: int
    end: int
    first: int
    last: int
    lines: tuple[str | int, ...]


def _name(number: int, block: Block) -> str:
    where = [block.path] if block.path else []
    where += [f"line {block.line} of the reply"] if block.line else []
    return f"Block {number}" + (f" ({', '.join(where)})" if where else "")


def _hunks(file: Lined, block: Block, name: str) -> Iterator[_Hunk]:
    search, replace = matching.lines(block.search), matching.lines(block.replace)
    if not search:
        if file.lines:
            raise ReplyError(
                f"{name} has an empty SEARCH, but {block.path or 'the file'} has "
                f"{len(file.lines)} lines. SEARCH has to repeat the lines to be replaced. To "
                "insert something, repeat a neighbouring line in SEARCH and in REPLACE."
            )
        yield _Hunk(name, 0, 0, 0, 0, tuple(replace))
        return
    matches = matching.find(file, search)
    if not matches:
        raise ReplyError(_not_found(file, search, name, block.path or "the file"))
    if len(matches) > 1:
        raise ReplyError(_ambiguous(matches, search, name))
    match = matches[0]
    news = _news(match, search, replace, name)
    for start, old, new in zip(match.starts, match.parts, news, strict=True):
        kept = matching.kept(old, new)
        most, shift = min(len(old), len(new)), len(old) - len(new)
        head = next((i for i in range(most) if kept.get(i) != i), most)
        ends = range(len(new) - 1, len(new) - 1 - (most - head), -1)
        tail = next((k for k, i in enumerate(ends) if kept.get(i) != i + shift), most - head)
        made = [
            start + kept[i] if i in kept else _indented(new[i], match, name)
            for i in range(head, len(new) - tail)
        ]
        end = start + len(old)
        yield _Hunk(name, start, end, start + head, end - tail, tuple(made))


def _news(match: Match, search: list[str], replace: list[str], name: str) -> list[list[str]]:
    """Return what takes the place of each part; the gaps between them must be on both sides."""
    if match.parts == (tuple(search),):
        return [replace]
    olds, news = matching.parts(search), matching.parts(replace)
    if len(news) != len(olds):
        raise ReplyError(
            f"{name} has {len(olds) - 1} lines of ... in SEARCH and {len(news) - 1} in REPLACE. "
            "Such a line keeps what it stands for, so both sides need the same ones in the same "
            "order. Write the lines out where they are to change."
        )
    news = [new for old, new in zip(olds, news, strict=True) if old or new]
    if len(news) != len(match.parts):
        raise ReplyError(
            f"{name} has new lines beside a ... where SEARCH has none, so their place is unknown. "
            "Repeat a neighbouring line of the file in SEARCH and in REPLACE."
        )
    return news


def _indented(line: str, match: Match, name: str) -> str:
    """Move a new line as far as the lines that were searched for had to be moved."""
    given, real = match.given, match.real
    if line.startswith(given):
        return real + line[len(given) :]
    if given == real or not line.strip():
        return line
    if real.startswith(given):
        return real[len(given) :] + line
    if given.startswith(real) and line.startswith(given[len(real) :]):
        return line[len(given) - len(real) :]
    raise ReplyError(
        f"{name}: SEARCH is indented by {given!r} where the file has {real!r}, and REPLACE can't "
        f"be moved along, because its line {_cut(line)!r} is indented by less. Use the file's own "
        "indentation."
    )


def _check_apart(hunks: Sequence[_Hunk]) -> None:
    """Raise unless the result is the same in whatever order the blocks are applied."""
    owner: dict[int, _Hunk] = {}
    between: dict[int, _Hunk] = {}  # insertions before a line
    for hunk in sorted(hunks, key=lambda hunk: (hunk.start, hunk.end)):
        for at in range(hunk.first, hunk.last):
            if at in owner:
                raise ReplyError(_touching(owner[at], hunk, at))
            owner[at] = hunk
        if hunk.first == hunk.last and hunk.lines:
            other = between.get(hunk.first, hunk)
            # Behind the lines of one block and before those of the next is no contradiction.
            if other is not hunk and (other.end > hunk.start or other.start == hunk.start):
                raise ReplyError(_touching(other, hunk, hunk.first))
            between[hunk.first] = hunk
    for hunk in hunks:
        for at in range(hunk.start, hunk.end):
            changed = owner.get(at, hunk)
            added = between.get(at, hunk) if at > hunk.start else hunk
            other = added if changed is hunk else changed
            if other is not hunk:
                raise ReplyError(_touching(hunk, other, at))


def _joined(file: Lined, hunks: Sequence[_Hunk]) -> str:
    made: list[tuple[str, str]] = []
    done = 0
    old = list(zip(file.lines, file.ends, strict=True))
    for hunk in sorted(hunks, key=lambda hunk: (hunk.first, hunk.last, hunk.start)):
        made += old[done : hunk.first]
        made += [(line, "") if isinstance(line, str) else old[line] for line in hunk.lines]
        done = hunk.last
    made += old[done:]
    body = [text + (end or file.usual) for text, end in made]
    if body and not file.final:
        body[-1] = made[-1][0]
    # The mark is the file's: a reply that repeats or forgets it changes nothing there.
    whole = "".join(body)
    marked = bool(file.lines) and file.lines[0].startswith("\ufeff")
    return file.bom + (whole if marked else whole.lstrip("\ufeff"))


def _touching(one: _Hunk, other: _Hunk, at: int) -> str:
    if one.block == other.block:
        return f"{one.block} changes line {at + 1} of the file twice. Write the lines out."
    return (
        f"{one.block} and {other.block} change the same place (line {at + 1} of the file), and it "
        "is not clear what should stand there. Make one block of the two. All SEARCH texts "
        "refer to the file as it is before any change."
    )


def _ambiguous(matches: Sequence[Match], search: Sequence[str], name: str) -> str:
    at = [
        f"{match.starts[0] + 1}" + (f" to {match.end}" if len(match.starts) > 1 else "")
        for match in matches[: matching.MOST]
    ]
    more = len(matches) > matching.MOST
    times = f"more than {matching.MOST}" if more else str(len(matches))
    return (
        f"{name}: its SEARCH text is found {times} times, at lines {', '.join(at)}"
        f"{', …' if more else ''}. Add lines of context above or below until it is unique.\n"
        f"SEARCH of the block:\n{_quoted(search)}"
    )


def _not_found(file: Lined, search: Sequence[str], name: str, path: str) -> str:
    said = f"{name}: its SEARCH text is not in {path}. It has to repeat whole lines exactly.\n"
    said += f"SEARCH of the block:\n{_quoted(search)}"
    if not file.lines:
        return f"{said}\n{path} is empty."
    start = _nearest(file, search)
    if start is None:
        return f"{said}\nNo line of {path} resembles any of these."
    differing = next(
        (
            i
            for i, line in enumerate(search)
            if not 0 <= start + i < len(file.lines)
            or line.rstrip() != file.loose[start + i].rstrip()
        ),
        0,
    )
    first = max(0, min(max(start, start + differing - _MANY // 2), len(file.lines) - _MANY))
    near = range(first, min(first + _MANY, len(file.lines)))
    said += f"\nThe nearest lines of {path}:\n"
    said += "\n".join(f"{at + 1:6d} | {_cut(file.exact[at])}" for at in near)
    at = start + differing
    if 0 <= at < len(file.lines):
        has, wants = file.exact[at], search[differing]
        only = " (only white space differs)" if has.split() == wants.split() else ""
        said += (
            f"\nThey differ first in line {at + 1}{only}: the file has\n    {_cut(has)!r}\n"
            f"where SEARCH has\n    {_cut(wants)!r}"
        )
    return said


def _nearest(file: Lined, search: Sequence[str]) -> int | None:
    """Return the line at which the search text would begin, by the lines that it has right."""
    inked = [(i, line.strip()) for i, line in enumerate(search) if line.strip()][:80]
    votes: Counter[int] = Counter()
    for i, line in inked:
        for at in file.places.get(line, [])[:50]:
            votes[at - i] += len(line)
    if votes:
        return max(votes, key=lambda start: (votes[start], -start))
    places = {line[:200]: at[0] for line, at in list(file.places.items())[:3_000] if line}
    for i, line in sorted(inked, key=lambda pair: -len(pair[1]))[:3]:
        if close := difflib.get_close_matches(line[:200], places, 1, 0.6):
            return places[close[0]] - i
    return None


def _quoted(texts: Sequence[str]) -> str:
    shown = [f"    {_cut(line)}" for line in texts[:_MANY]]
    more = len(texts) - len(shown)
    return "\n".join([*shown, f"    (and {more} more lines)"] if more else shown)


def _cut(line: str) -> str:
    return line if len(line) <= _LONG else line[: _LONG - 1] + "…"
