"""A file's text as an editor in a browser holds it, and back without harm to the rest of it."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")


def shown(text: str) -> str:
    """Return a file as an editor in a browser holds it: plain line ends, characters only."""
    return re.sub(r"\r\n|\r", "\n", text).encode("utf-8", "replace").decode()


def restored(edited: str, original: str) -> str:
    """Return an editor's text with the bytes and line ends of `original` where it is unchanged.

    New lines end as most of the old ones do.
    """
    if shown(original) == original:
        return edited
    old = [match.groups() for match in _LINE.finditer(original)]
    if len(old) > 1 and old[-1] == ("", "") and not old[-2][1]:
        old.pop()  # the pattern also matches nothing at the very end
    usual = Counter(ending for _, ending in old if ending).most_common(1)
    ending = usual[0][0] if usual else "\n"
    new = [(line, ending) for line in edited.split("\n")]
    for a, b, size in _same([shown(line) for line, _ in old], [line for line, _ in new]):
        new[b : b + size] = [(text, end or ending) for text, end in old[a : a + size]]
    *body, last = new
    return "".join(text + end for text, end in body) + last[0]


def _same(old: list[str], new: list[str]) -> list[tuple[int, int, int]]:
    """Return which runs of lines are the same: where in `old`, where in `new`, how many."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    # Without what is the same at both ends, the slow search sees little more than the edit.
    a, b = old[head : len(old) - tail], new[head : len(new) - tail]
    inside = difflib.SequenceMatcher(None, a, b, autojunk=len(a) > 5_000).get_matching_blocks()
    return [
        (0, 0, head),
        *((head + i, head + j, size) for i, j, size in inside),
        (len(old) - tail, len(new) - tail, tail),
    ]


def _common(a: list[str], b: list[str]) -> int:
    pairs = zip(a, b, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
