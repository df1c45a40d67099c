"""The lines of a results file as cells under names, whatever separates them."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence

from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import cells, columns
from autoresearch_kit.foreign.direction import key

_SEPARATORS = {"\t": "tabs", "|": "bars", ";": "semicolons", ",": "commas", "": "blanks"}
_BLANKS = re.compile(r"\t|\s{2,}")
_RULE = re.compile(r"\s*[|:+]*[-=_*~]{3,}(?:[|:+\s]+[-=_*~]{3,})*[|:+\s]*")
_CONFLICT = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?: |$)")
_OPENED = re.compile(r'(?:^|[\t;,])[ ]*"(?:[^"]|"")*$')
_LONGEST_CELL = 20  # lines
_SOME = 60  # lines that tell how a file is written
MOST_COLUMNS = 1000


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A file's rows.

    Attributes
    ----------
    names
        Of all columns, in order.
    rows
        The number of each row's line, from 1, and its cells by column.
    comments
        What stands beside the rows.
    notes
        About the file as a whole.
    seen
        What was found about single lines: a sentence and their numbers.
    mark
        What separates cells; "" for blanks.
    named
        Whether a header of names that are known is there.
    """

    names: Sequence[str]
    rows: Sequence[tuple[int, dict[str, str]]]
    comments: Sequence[str]
    notes: Sequence[str]
    seen: dict[str, list[int]]
    mark: str
    named: bool


def read(text: str, name: str) -> Sheet:
    """Return the rows of a file; every line that isn't blank, a comment or a header is one.

    Parameters
    ----------
    text
        The whole file.
    name
        Its file name, which tells what commas and bars mean.
    """
    text = text.removeprefix("\ufeff").removeprefix("ï»¿").replace("\r\n", "\n")
    if "\n" not in text:
        text = text.replace("\r", "\n")
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    seen: dict[str, list[int]] = {}
    notes: list[str] = []
    mark = "|" if name.endswith((".md", ".markdown")) else _separator([line for _, line in lines])
    if mark != "\t" and not (mark == "," and name.endswith(".csv")):
        notes.append(f"cells are separated by {_SEPARATORS[mark]}")
    content, comments = _sorted_out(lines, mark, seen)
    split = _splitter(mark, [line for _, line in content])
    parts = _records(content, mark, split, seen)
    # In Markdown a rule of dashes stands below the header of each table.
    tops = {i for (i, _), (_, below) in itertools.pairwise(lines) if _RULE.fullmatch(below)}
    tops = tops if mark == "|" else set()

    for i, found, _ in parts:
        _check_width(name, i, len(found))
    layout = _Layout(_first_names(parts, notes), mark)
    everything, begun, beside = dict.fromkeys(layout.names), False, False
    rows = []
    for i, found, line in parts:
        again = bool(layout.names) and layout.is_named_by(found)
        another = columns.is_header(found, known=begun) and (len(found) > 1 or not begun)
        if again or another:
            if begun and again:
                seen.setdefault("the header again", []).append(i)
            elif begun:
                seen.setdefault("another header: columns change here", []).append(i)
                known = {key(n): n for n in everything}
                layout = _Layout(_unique([known.get(key(c), c) for c in found], notes), mark)
                everything |= dict.fromkeys(layout.names)
                _check_width(name, i, len(everything))
            if line.lstrip().startswith("#") and found[0].strip() != "#":
                seen.setdefault("a comment that is the header", []).append(i)
            begun, beside = True, False
            continue
        beside = beside or i in tops
        if beside:
            seen.setdefault("another table, left out", []).append(i)
            continue
        row, said = layout.fit(found, line)
        for sentence in said:
            seen.setdefault(sentence, []).append(i)
        everything |= dict.fromkeys(row)
        rows.append((i, row))
        begun = True
    named = any(len(c) > 1 and columns.is_header(c, known=False) for _, c, _ in parts)
    return Sheet(list(everything), rows, comments, notes, seen, mark, named)


def _check_width(name: str, line: int, columns: int) -> None:
    if columns > MOST_COLUMNS:
        raise CampaignError(
            f"{name} has {columns:,} columns by line {line}; expected the table of a history, with "
            f"at most {MOST_COLUMNS:,}"
        )


def _sorted_out(
    lines: Sequence[tuple[int, str]], mark: str, seen: dict[str, list[int]]
) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the lines that are rows or headers, and the text of all others but rules."""
    content, comments = [], []
    for i, line in lines:
        said = ""
        if _CONFLICT.match(line):
            said = "a marker of a merge conflict, left out"
        elif _RULE.fullmatch(line):
            continue
        elif _is_comment(line, mark):
            said = "a comment, left out"
        elif mark == "|" and "|" not in line:
            said = "text beside the table, left out"
        if said:
            seen.setdefault(said, []).append(i)
            comments.append(line.strip())
        else:
            content.append((i, line))
    return content, comments


def _first_names(parts: Sequence[tuple[int, list[str], str]], notes: list[str]) -> list[str]:
    """Return the names of the columns: of the first header, or by what is in them."""
    if not parts:
        return []
    header = next((c for _, c, _ in parts if columns.is_header(c, known=False)), None)
    some = [c for _, c, _ in parts[:_SOME]]
    if header is None and columns.is_header_of(some[0], some[1:]):
        header = some[0]
    if header is None:
        header, why = columns.names_for(some)
        notes.append(f"there is no header; {why}")
    return _unique(header, notes)


def _is_comment(line: str, mark: str) -> bool:
    bare = line.strip()
    if bare.startswith("#"):
        if bare[1:2].isdecimal() and mark and mark in bare:
            return False  # an experiment's number
        # A header may be commented out, or begin with a column called #.
        return not columns.is_header(_plain(bare[1:], mark), known=True)
    return bare.startswith(("//", "```"))


def _separator(lines: Sequence[str]) -> str:
    """Return what separates cells: that which gives most lines the same number of them."""
    some = [line for line in lines if not line.lstrip().startswith("#")][:_SOME] or lines[:1]
    best, most = "\t", 0.0
    for mark in _SEPARATORS:
        if mark == "|" and sum(line.strip().startswith("|") for line in some) * 2 < len(some):
            continue
        parts = [_plain(line, mark) for line in some]
        count = max(Counter(len(p) for p in parts if len(p) > 1).values(), default=0)
        strength = count / max(len(some), 1)
        strength += 0.5 * any(columns.is_header(p, known=False) and len(p) > 1 for p in parts[:5])
        strength += 0.5 * sum(len(p) > 1 for p in parts) / max(len(some), 1) * (mark in {"\t", "|"})
        if strength > most + (0.2 if mark in {",", ""} else 0):
            best, most = mark, strength
    if not most and some and columns.is_header(some[0].split(), known=True):
        return ""
    return best


def _plain(line: str, mark: str) -> list[str]:
    """Return the cells of a line as they stand there, without regard to quotes."""
    if mark == "|":
        bare = line.strip().removeprefix("|")
        bare = bare[:-1] if bare.endswith("|") and not bare.endswith(r"\|") else bare
        return [c.strip().replace(r"\|", "|") for c in re.split(r"(?<!\\)\|", bare)]
    return line.split(mark) if mark else _BLANKS.split(line.strip())


def _splitter(mark: str, lines: Sequence[str]) -> Callable[[str], list[str]]:
    if mark == "|":
        return lambda line: _plain(line, mark)
    if not mark:
        # One blank separates too, where a header of single words says how many cells there are.
        words = lines[0].split() if lines else []
        single = len(words) > len(_plain(lines[0], "")) if lines else False
        width = len(words) if single and columns.is_header(words, known=False) else 0
        return lambda line: line.split(None, width - 1) if width else _plain(line, "")

    def split(line: str) -> list[str]:
        plain = line.split(mark)
        if '"' not in line:
            return plain
        try:
            loose = f'{mark} "' in line
            rows = csv.reader([line], delimiter=mark, strict=True, skipinitialspace=loose)
            found = next(rows)
        except (csv.Error, StopIteration):
            return plain  # quotes that quote no cell are characters
        # The original quotes nothing: "SSSL" between tabs are its words.
        needed = len(found) < len(plain) or '""' in line or line.count('"') >= 2 * len(found)
        return found if mark != "\t" or needed else plain

    return split


def _records(
    content: Sequence[tuple[int, str]],
    mark: str,
    split: Callable[[str], list[str]],
    seen: dict[str, list[int]],
) -> list[tuple[int, list[str], str]]:
    """Return number, cells and text of each row; a quoted cell may go on in the next lines."""
    found = []
    at = 0
    width = 0
    while at < len(content):
        i, line = content[at]
        parts = split(line)
        used = 1
        if mark and mark != "|" and line.count('"') % 2 and _OPENED.search(line):
            for more in range(2, min(_LONGEST_CELL, len(content) - at) + 1):
                last = content[at + more - 1][1]
                if not last.count('"') % 2:
                    continue
                whole = "\n".join(text for _, text in content[at : at + more])
                try:
                    joined = list(csv.reader([whole], delimiter=mark, strict=True))
                except csv.Error:
                    break
                if len(joined) == 1 and len(joined[0]) == width:
                    parts, used = joined[0], more
                    seen.setdefault(
                        "part of the row above: its quoted cell has several lines", []
                    ).extend(number for number, _ in content[at + 1 : at + more])
                break
        if used == 1 and len(parts) == 1 and width > 2:
            parts = _otherwise(line, mark, width, seen.setdefault, i) or parts
        width = width or len(parts)
        found.append((i, parts, line))
        at += used
    return found


def _otherwise(
    line: str, mark: str, width: int, note: Callable[[str, list[int]], list[int]], i: int
) -> list[str] | None:
    """Return the cells of a line that something else separates than the others."""
    for other in (r"\t", *_SEPARATORS):
        parts = _plain(line, other)
        exact = len(parts) == width or any(cells.is_verdict(c) for c in parts)
        if other != mark and len(parts) > 2 and exact:
            said = _SEPARATORS.get(other, r"the two characters \t")
            note(f"separated by {said}, unlike the rest", []).append(i)
            return parts
    return None


def _unique(names: Sequence[str], notes: list[str]) -> list[str]:
    """Return names without blanks at their ends, none empty or twice, no empty ones at the end."""
    found: list[str] = []
    last = max((i for i, name in enumerate(names) if name.strip()), default=-1)
    for i, name in enumerate(names[: last + 1]):
        bare = name.strip().strip("*`#" if len(name.strip()) > 1 else "*`").strip()
        bare = bare or f"column_{i + 1}"
        new, n = bare, 1
        while new in found:
            n += 1
            new = f"{bare}_{n}"
        if new != bare:
            notes.append(f"two columns are called {bare}: the later one is {new} here")
        found.append(new)
    return found


class _Layout:
    """Where cells belong under one header."""

    def __init__(self, names: Sequence[str], mark: str) -> None:
        self.names = names
        self.mark = mark or " "
        roles = [columns.role(name) for name in names]
        self.status = roles.index("status") if "status" in roles else None
        self.words = roles.index("description") if "description" in roles else len(names) - 1

    def is_named_by(self, found: Sequence[str]) -> bool:
        """Return whether a line is this header again; blank cells at its end don't count."""
        width = len(self.names)
        same = (
            cell.strip().lower() == name.lower() or (not cell.strip() and name == f"column_{i}")
            for i, (cell, name) in enumerate(zip(found, self.names, strict=False), start=1)
        )
        if not any(map(str.strip, found)):
            return False
        return len(found) >= width and all(same) and not any(map(str.strip, found[width:]))

    def fit(self, found: list[str], line: str) -> tuple[dict[str, str], list[str]]:
        """Return the cells by column, and what had to be done to them."""
        names, status = self.names, self.status
        said: list[str] = []
        if len(found) == len(names) and (status is None or cells.is_verdict(found[status])):
            return dict(zip(names, map(str.strip, found), strict=True)), said
        while len(found) > len(names) and not found[-1].strip():
            found = found[:-1]
        if len(names) > 1 and len(found) == 1:
            name = names[self.words]
            return {name: line.strip()}, ["not understood: its text is the description"]
        at = status if status is None else self._place(found, status)
        if status is None or at is None or (at == status and len(found) <= status):
            head, tail = [], found
            before: Sequence[str] = ()
            after = names
        else:
            head, tail = found[:at], found[at:]
            before, after = names[:status], names[status:]
        row: dict[str, str] = {}
        offset = 0
        for part, under in ((head, before), (tail, after)):
            surplus = len(part) - len(under)
            words = self.words - offset
            offset += len(under)
            if surplus > 0 and (0 <= words < len(under)):
                text = self.mark.join(part[words : words + surplus + 1])
                part = [*part[:words], text, *part[words + surplus + 1 :]]
                said.append(f"more cells than columns: the rest belongs to {names[self.words]}")
            elif surplus > 0:
                row["unnamed"] = self.mark.join(part[len(under) :]).strip()
                part = part[: len(under)]
                said.append("more cells than columns: the rest is in the column unnamed")
            elif surplus < 0:
                said.append("fewer cells than columns: missing ones are empty")
            row |= dict(zip(under, (cell.strip() for cell in part), strict=False))
        if at != status:
            said.append("cells stand in other columns: placed by the verdict")
        return row, list(dict.fromkeys(said))

    def _place(self, found: Sequence[str], status: int) -> int:
        """Return where the verdict stands in a row, be it in another column than it should."""
        own = found[status] if status < len(found) else ""
        if cells.status(own) in cells.VERDICTS and len(own.split()) <= 3:
            return status
        others = [i for i, cell in enumerate(found) if cells.is_verdict(cell)]
        if len(found) == len(self.names):
            # Here a word such as timeout stands for a number, and a description may be one word.
            before = [i for i in others if (i < status and i != self.words) or cells.number(own)]
            others = [i for i in before if cells.status(found[i]) != "crash"]
        return others[0] if others else status
