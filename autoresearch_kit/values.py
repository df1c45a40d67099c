"""Tunable values of a file by its type: Python constants, TOML leaves, blocks of Markdown.

Everything here reads and rewrites text. What isn't set stays byte for byte: the order mark, line
endings, comments, and a last line without an end. A file of another type has no values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.source import Constant, Value

_HINT = re.compile(r"\bsearch:([^;]*)")
_BLOCK = re.compile(r"<!--\s*search(?:[ \t]+([A-Za-z_][\w-]*))?\s*:(.*?)-->", re.DOTALL)
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})")
_ENDS_PARAGRAPH = re.compile(r"[ ]{0,3}(#{1,6}(\s|$)|`{3,}|~{3,}|<!--)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def constants(path: str, text: str) -> dict[str, Constant]:
    """Return the tunable values of a file by name, in the order of their lines.

    - ``.py``: the ALL_CAPS constants, see `source.constants`.
    - ``.toml``: numbers, bools, strings and one-line arrays of these by their key path, such as
      ``optimizer.lr``; in arrays of tables with the index, ``layers.0.width``. The hint stands in
      the comment behind the value. The comment behind an inline table counts for its only value,
      and ``search: off`` for all in it.
    - ``.md``: the paragraph after ``<!-- search tone: a | b -->``, here with the name ``tone``;
      without a name the third block is ``block3``. White space doesn't count: a value is one
      line. Text behind the comment in its own line is the first of the paragraph, which ends
      before an empty line, a heading, a fence or another comment. Comments in fences are text.

    A text that can't be read has no values.
    """
    return {name: leaf.constant for name, leaf in _read(path)(text).items()}


def set_constants(path: str, text: str, values: Mapping[str, object]) -> str:
    """Return `text` with the named values replaced, all else byte for byte.

    A value that is there already keeps its spelling. A choice of a Markdown block is written as
    its comment has it, line breaks included; other words become one line.

    Raises
    ------
    ProposalError
        A name that is no value of this text, or something that can't be written there.
    """
    if path.endswith(".py"):
        return source.set_constants(text, values)
    found = _read(path)(text)
    for name, given in values.items():
        if name not in found:
            raise ProposalError(
                f"There is no value {name} to set in {path}. Expected one of: "
                f"{', '.join(found) or 'none (nothing in this file can be tuned)'}."
            )
        value = source.plain(name, given)
        if isinstance(value, str) and not path.endswith(".toml"):
            value = _one_line(value)
        if source.identical(value, found[name].constant.value):
            continue
        text = found[name].write(text, value)
        found = _read(path)(text)
        now = found.get(name)
        if now is None or not source.identical(now.constant.value, value):
            raise ProposalError(
                f"{name} in {path} can't become {value!r}: the file would read differently "
                "then. Edit the file by hand: ark.Human(edit=...)."
            )
    return text


def only_changes(path: str, old: str, new: str) -> dict[str, Value]:
    """Return the values that differ, by name; none when anything else of the file differs too."""
    before, after = constants(path, old), constants(path, new)
    if before.keys() != after.keys():
        return {}
    changed = {
        name: constant.value
        for name, constant in after.items()
        if not source.identical(constant.value, before[name].value)
    }
    try:
        made = set_constants(path, old, changed)
    except ProposalError:
        return {}
    same = made == new or (path.endswith(".py") and source.same_code(made, new))
    return changed if same else {}


def of_files(files: Mapping[str, str]) -> dict[str, Constant]:
    """Return the values of several files (path → text); beyond the first as ``path:NAME``."""
    return {
        (f"{path}:{name}" if i else name): constant
        for i, (path, text) in enumerate(files.items())
        for name, constant in constants(path, text).items()
    }


def set_in_files(files: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Return the files that change when the values with these keys are set (see `of_files`).

    Raises
    ------
    ProposalError
        As `set_constants` does.
    """
    by_path: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        # A quoted TOML key may have colons of its own.
        path = next((p for p in list(files)[1:] if key.startswith(f"{p}:")), None)
        name = key if path is None else key.removeprefix(f"{path}:")
        by_path.setdefault(path or next(iter(files)), {})[name] = value
    return {path: set_constants(path, files[path], new) for path, new in by_path.items()}


@dataclass(frozen=True)
class _Leaf:
    constant: Constant
    write: Callable[[str, Value], str]


def _read(path: str) -> Callable[[str], dict[str, _Leaf]]:
    if path.endswith(".py"):
        return _python
    if path.endswith(".toml"):
        return _toml
    if path.endswith((".md", ".markdown")):
        return _markdown
    return lambda _: {}


def _python(text: str) -> dict[str, _Leaf]:
    def write(name: str) -> Callable[[str, Value], str]:
        return lambda text, value: source.set_constants(text, {name: value})

    return {name: _Leaf(c, write(name)) for name, c in source.constants(text).items()}


def _toml(text: str) -> dict[str, _Leaf]:
    body = text.removeprefix("\ufeff")
    document = _parsed(body)
    if document is None:
        return {}
    lines = body.split("\n")
    found: dict[str, _Leaf] = {}
    at = 0
    for keys, value, hint in _leaves(document, ()):
        own = re.escape(str(keys[-1]))
        pattern = re.compile(rf"""(?:^|[\s.{{,"']){own}["']?\s*=""")
        below = (*range(at, len(lines)), *range(at))  # tables may be out of order
        at = next((i for i in below if pattern.search(lines[i])), at)
        name = ".".join(_spelled_key(key) for key in keys)
        found[name] = _Leaf(Constant(name, value, at + 1, hint), _toml_writer(keys))
    return found


def _parsed(body: str) -> Any:
    """Return a TOML document, or None when it can't be read and written back unchanged."""
    import tomlkit

    try:
        document = tomlkit.parse(body)
        return document if tomlkit.dumps(document) == body else None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, AssertionError):
        return None


def _leaves(table: Any, keys: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Value, str]]:
    """Yield key path, value and hint of everything in a table that could be tuned."""
    from tomlkit import items

    for key in table:
        item = table.item(key) if hasattr(table, "item") else table[key]
        path = (*keys, key)
        if isinstance(item, items.AoT):
            for i, entry in enumerate(item.body):
                yield from _leaves(entry, (*path, i))
        elif isinstance(item, items.InlineTable):
            inside = list(_leaves(item, path))
            hint = _hint(item)
            for below, scalar, own in inside:
                yield below, scalar, own or (hint if hint == "off" or len(inside) == 1 else "")
        elif hasattr(item, "keys"):
            yield from _leaves(item, path)
        elif (value := _scalar(item)) is not None:
            yield path, value, _hint(item)


def _hint(item: Any) -> str:
    match = _HINT.search(item.trivia.comment)
    return match[1].strip() if match else ""


def _scalar(item: Any) -> Value | None:
    """Return the value of a TOML item as Python has it; None for dates, NaN and mixtures."""
    if hasattr(item, "as_string") and "\n" in item.as_string():
        return None  # what spans lines has a layout of its own
    value = item.unwrap() if hasattr(item, "unwrap") else item
    if isinstance(value, list):
        return tuple(value) if all(_is_plain(each) for each in value) else None
    return value if _is_plain(value) else None


def _is_plain(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | str)


def _toml_writer(keys: tuple[Any, ...]) -> Callable[[str, Value], str]:
    def write(text: str, value: Value) -> str:
        import tomlkit

        body = text.removeprefix("\ufeff")
        document = tomlkit.parse(body)
        table: Any = document
        for key in keys[:-1]:
            table = table[key]
        before = table.item(keys[-1]) if hasattr(table, "item") else table[keys[-1]]
        table[keys[-1]] = tomlkit.value(_toml_literal(value, before.as_string()))
        mark = "\ufeff" if len(body) < len(text) else ""
        return mark + tomlkit.dumps(document)

    return write


def _toml_literal(value: Value, before: str = "") -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml_literal(item) for item in value)}]"
    if isinstance(value, str):
        if before.startswith("'") and "'" not in value and value.isprintable():
            return f"'{value}'"
        import tomlkit

        return tomlkit.item(value).as_string()
    return source.spell(value)


def _spelled_key(key: Any) -> str:
    text = str(key)
    return text if _BARE_KEY.fullmatch(text) else _toml_literal(text)


def _markdown(text: str) -> dict[str, _Leaf]:
    found: dict[str, _Leaf] = {}
    fences = _fences(text)
    comments = [m for m in _BLOCK.finditer(text) if not any(a <= m.start() < b for a, b in fences)]
    for i, comment in enumerate(comments, 1):
        span = _paragraph(text, comment.end())
        if span is None:
            continue
        choices = {_one_line(c): c for c in comment[2].split("|")}
        bars = "|" in comment[2]
        # Quoted, so that a choice is never read as a literal.
        hint = " | ".join(repr(c) for c in choices) if bars else _one_line(comment[2])
        name = comment[1] if comment[1] and comment[1] not in found else f"block{i}"
        line = text.count("\n", 0, span[0]) + 1
        value = _one_line(text[slice(*span)])
        constant = Constant(name, value, line, hint)
        found[name] = _Leaf(constant, _markdown_writer(span, choices if bars else {}))
    return found


def _markdown_writer(
    span: tuple[int, int], choices: Mapping[str, str]
) -> Callable[[str, Value], str]:
    def write(text: str, value: Value) -> str:
        if not isinstance(value, str) or not value.strip() or "<!--" in value:
            raise ProposalError(
                f"A block of Markdown can't become {value!r}. Expected some words without '<!--'."
            )
        start, end = span
        ending = "\r\n" if "\r\n" in text else "\n"
        words = choices.get(_one_line(value), value)
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        before = text[text.rfind("\n", 0, start) + 1 : start]
        indent = before if before.isspace() else ""
        return text[:start] + (ending + indent).join(lines) + text[end:]

    return write


def _fences(text: str) -> list[tuple[int, int]]:
    """Return where the fenced code of a Markdown text lies."""
    found = []
    opened, mark, at = 0, "", 0
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if match and not mark:
            opened, mark = at, match[1]
        elif match and match[1].startswith(mark) and not line[match.end() :].strip():
            found.append((opened, at + len(line)))
            mark = ""
        at += len(line)
    return [*found, (opened, len(text))] if mark else found


def _paragraph(text: str, start: int) -> tuple[int, int] | None:
    """Return where the paragraph behind a comment lies; None when there is none."""
    rest = text[start:]
    begin = start + len(rest) - len(rest.lstrip())
    first = text[begin:]
    if not first or _FENCE.match(first) or first.startswith("<!--"):
        return None
    end = begin
    for i, line in enumerate(first.splitlines(keepends=True)):
        if i and (not line.strip() or _ENDS_PARAGRAPH.match(line)):
            break
        end += len(line)
    return begin, begin + len(text[begin:end].rstrip())


def _one_line(text: str) -> str:
    return " ".join(text.split())
