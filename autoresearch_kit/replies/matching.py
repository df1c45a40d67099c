"""Where lines stand in a text: the ladder of what counts as the same, and never similarity.

The rungs: as it stands; without trailing white space; with another indentation of the whole; and
last with ``...`` lines as gaps. The first rung that finds anything decides. Bytes that are no
UTF-8 and a byte order mark, which a model can't see, count as equal to what it is shown instead.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 20
"""How many finds are told apart from "many", and how many gaps a search may have."""

_BREAK = re.compile(r"(\r\n|\r|\n)")
_UNREADABLE = re.compile("[\ud800-\udfff\ufffd]")  # shown to a model as "?" or as U+FFFD
_GAP = re.compile(r"\s*(?:\.{3,}|…|(?:#|//|--|%|;)\s*[\[(]?(?:\.{3,}|…).*)\s*")


@dataclass(frozen=True)
class Lined:
    """A text as lines and their ends, and in the forms in which it is searched.

    Attributes
    ----------
    bom
        The byte order mark before the first line, or nothing.
    ends
        What ends each line; nothing at a last line without an end.
    usual
        The end that most lines have.
    final
        Whether the last line has one.
    """

    bom: str
    lines: list[str]
    ends: list[str]
    usual: str
    final: bool

    @functools.cached_property
    def exact(self) -> list[str]:
        """The lines as a model is shown them."""
        return list(map(shown, self.lines))

    @functools.cached_property
    def loose(self) -> list[str]:
        """... without trailing white space."""
        return list(map(str.rstrip, self.exact))

    @functools.cached_property
    def haystacks(self) -> tuple[str, str]:
        """Both as one string, in which a search is one `str.find`."""
        return _hay(self.exact), _hay(self.loose)

    @functools.cached_property
    def places(self) -> dict[str, list[int]]:
        """Where a line stands, whatever its indentation."""
        found: dict[str, list[int]] = {}
        for at, line in enumerate(self.loose):
            found.setdefault(line.lstrip(), []).append(at)
        return found


@dataclass(frozen=True)
class Match:
    """Where each part of a search begins; its indentation as `given`, and in the file (`real`)."""

    parts: tuple[tuple[str, ...], ...]
    starts: tuple[int, ...]
    given: str = ""
    real: str = ""

    @property
    def end(self) -> int:
        """The line after the last one that was found."""
        return self.starts[-1] + len(self.parts[len(self.starts) - 1])


@functools.lru_cache(maxsize=8)
def lined(text: str) -> Lined:
    """Return a text as lines; a form feed or U+2028 ends none."""
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    pieces = [*_BREAK.split(text[len(bom) :]), ""]
    lines, ends = pieces[::2], pieces[1::2]
    if not lines[-1]:
        lines, ends = lines[:-1], ends[:-1]
    usual = Counter(end for end in ends if end).most_common(1)
    return Lined(bom, lines, ends, usual[0][0] if usual else "\n", not ends or bool(ends[-1]))


def lines(text: str) -> list[str]:
    """Return the lines of a text without their ends; a mark at the beginning stays."""
    found = _BREAK.split(text)[::2]
    return found if found[-1] else found[:-1]


def find(file: Lined, search: Sequence[str]) -> list[Match]:
    """Return the finds on the first rung that has any; a few more than `MOST` at most."""
    if not search:
        return []
    found = _climbed(file, (tuple(search),))
    if not found and any(map(_GAP.fullmatch, search)):
        wanted = tuple(tuple(part) for part in parts(search) if part)
        found = _climbed(file, wanted) if 0 < len(wanted) <= MOST else []
    if not found and search[0].startswith("\ufeff"):  # the file's mark, which is no part of a line
        first, *rest = search
        found = [
            dataclasses.replace(match, parts=((first, *match.parts[0][1:]), *match.parts[1:]))
            for match in find(file, [first.lstrip("\ufeff"), *rest])
        ]
    return found


def parts(texts: Sequence[str]) -> list[list[str]]:
    """Split at the ``...`` lines, which stand for what they leave out."""
    found: list[list[str]] = [[]]
    for line in texts:
        if _GAP.fullmatch(line):
            found.append([])
        else:
            found[-1].append(line)
    return found


def kept(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """Return which new lines are old ones (index → index), in order.

    Found are the lines at both ends, and those around lines that are met once. That takes linear
    time, unlike difflib; what is missed counts as new, with the same text.
    """
    most = min(len(old), len(new))
    head = next((i for i in range(most) if old[i] != new[i]), most)
    tail = next((i for i in range(most - head) if old[-1 - i] != new[-1 - i]), most - head)
    low, high = head, len(new) - tail
    same = {i: i for i in range(head)}
    same |= {i: i + len(old) - len(new) for i in range(high, len(new))}
    twice_old, twice_new = Counter(old[head : len(old) - tail]), Counter(new[head:high])
    where = {old[at]: at for at in range(head, len(old) - tail) if twice_old[old[at]] == 1}
    once = [i for i in range(head, high) if twice_new[new[i]] == 1 and new[i] in where]
    for i, at in _rising([(i, where[new[i]]) for i in once]):
        back = 0
        while i - back >= low and at - back >= head and new[i - back] == old[at - back]:
            same[i - back] = at - back
            back += 1
        low, head = i + 1, at + 1
        while low < high and head < len(old) - tail and new[low] == old[head]:
            same[low] = head
            low, head = low + 1, head + 1
    return same


def shown(line: str) -> str:
    """Return a line with a question mark for what can't be shown (bytes that are no UTF-8)."""
    return _UNREADABLE.sub("?", line)


def margin(texts: Sequence[str]) -> str:
    """Return the white space with which all these lines begin."""
    blanks = [line[: len(line) - len(line.lstrip())] for line in texts]
    low, high = min(blanks, default=""), max(blanks, default="")
    return low[: next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), None)]


def _hay(keys: Sequence[str]) -> str:
    return "\n".join(["", *keys, ""])


def _climbed(file: Lined, wanted: tuple[tuple[str, ...], ...]) -> list[Match]:
    if sum(map(len, wanted)) > len(file.lines):
        return []
    exact = [list(map(shown, part)) for part in wanted]
    loose = [list(map(str.rstrip, part)) for part in exact]
    for rung, keys, sought in ((0, file.exact, exact), (1, file.loose, loose)):
        if found := _ordered(keys, file.haystacks[rung], sought):
            return [Match(wanted, starts) for starts in found]
    inked = [line for part in loose for line in part if line]
    if not inked:
        return []
    given = margin(inked)
    top = inked[0][len(given) :]
    tops = [file.loose[at] for at in file.places.get(top.lstrip(), ())]
    heads = [line[: len(line) - len(top)] for line in tops if line.endswith(top)]
    matches = []
    for real in dict.fromkeys(head for head in heads if not head.strip()):
        if len(real) * len(inked) <= len(file.haystacks[1]):
            moved = [[real + line[len(given) :] if line else "" for line in p] for p in loose]
            found = _ordered(file.loose, file.haystacks[1], moved)
            matches += [Match(wanted, starts, given, real) for starts in found]
    return matches


def _ordered(keys: list[str], hay: str, wanted: list[list[str]]) -> list[tuple[int, ...]]:
    """Return in which ways the parts stand one after the other."""
    chains: list[tuple[int, ...]] = [(at,) for at in _places(hay, wanted[0])]
    for before, part in itertools.pairwise(wanted):
        if not chains or len(chains) > MOST:  # what comes later can't make many ways one
            break
        after = chains[0][-1] + len(before)
        found = [after + at for at in _places(_hay(keys[after:]), part)]
        chains = [(*c, at) for c in chains for at in found if at >= c[-1] + len(before)]
    return chains


def _places(hay: str, wanted: Sequence[str]) -> list[int]:
    needle = _hay(wanted)
    found: list[int] = []
    at, line, counted = -1, 0, 0
    while len(found) <= MOST and (at := hay.find(needle, at + 1)) >= 0:
        line += hay.count("\n", counted, at)
        counted = at
        found.append(line)
    return found


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return a longest run of pairs in which both numbers rise (patience sorting)."""
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for k, (_, at) in enumerate(pairs):
        pile = bisect_left(tops, at)
        before.append(ends[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [at]
        ends[pile : pile + 1] = [k]
    chain = []
    k = ends[-1] if ends else -1
    while k >= 0:
        chain.append(pairs[k])
        k = before[k]
    return chain[::-1]
