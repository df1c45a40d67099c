"""Text of any origin as Markdown that shows it and obeys nothing in it.

What records hold was written by models, strangers and crashed programs. It is shown by JupyterLab,
GitHub and nbconvert, which differ in what they take for markup, so nothing is left to take.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from autoresearch_kit import records, render

_MARKUP = {ord(sign): f"&#{ord(sign)};" for sign in "\\`*_[]<>|~&@^"}
# Between two dollar signs of one text MathJax would set a formula, also when they are escaped.
_MARKUP[ord("$")] = "<span>&#36;</span>"
_ADDRESS = re.compile(r"(?i)(?<=www)\.|:(?=//)")
# What makes a list, a heading or a line at the beginning of a paragraph.
_LEADING = re.compile(r"\A(?:[-+#=]|\d+(?=[.)](?:\s|\Z)))")


class Part(NamedTuple):
    """One cell of a notebook: ``markdown`` or ``code``, its text, and what its picture shows."""

    kind: str
    text: str
    alt: str = ""


def escape(words: object, most: int = 500) -> str:
    """Return `words` on one line as Markdown without any markup, at most `most` characters of it.

    No emphasis, link, picture, HTML, formula or cell of a table can begin in it, nor can an address
    become a link.
    """
    line = render.visible(records.clean(str(words), most)).translate(_MARKUP)
    line = _ADDRESS.sub(lambda sign: f"&#{ord(sign[0])};", line)
    return _LEADING.sub(lambda sign: "".join(f"&#{ord(c)};" for c in sign[0]), line)


def code(words: object) -> str:
    """Return `words` as a piece of code within a line."""
    return f"<code>{escape(words)}</code>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def fence(text: str, language: str = "") -> str:
    """Return `text` as a block of code, whatever runs of backticks it has."""
    shown = render.visible(text).strip("\n")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}{language}\n{shown}\n{mark}"


def folded(title: str, text: str) -> str:
    """Return Markdown that opens at a click."""
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def duration(seconds: float) -> str:
    """Return a time with a unit that a person would take."""
    for most, unit, size in ((100, "s", 1), (6000, "min", 60), (360_000, "h", 3600)):
        if seconds < most:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds / 86400:.3g} days"


def amount(number: int, noun: str, more: str = "") -> str:
    """Return a number with its noun: "1 keep", "2,000 keeps", "no keeps"."""
    word = noun if number == 1 else more or f"{noun}s"
    return f"{number:,} {word}" if number else f"no {word}"
