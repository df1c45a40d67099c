"""Which file a line of a reply is about."""

from __future__ import annotations

import re
from collections.abc import Mapping

PATH = re.compile(
    r"[\w./+-]+\.(?:py|pyi|toml|md|txt|json|ya?ml|cfg|ini|sh|c|cc|cpp|cu|h|js|ts|rs|go|jl|r|ipynb)"
)
_DECORATION = re.compile(r"(?:[#*>\s-]|//|\d+\.)*")
_LABEL = re.compile(
    r"(?:file ?name|file|path|edit|update|modify|in)[*`]*(?::[*\s]*|\s+)", re.IGNORECASE
)
_MARKS = "*`'\":[] \t"


def path_of(line: str, files: Mapping[str, str]) -> str:
    """Return the path that is all there is on a line, whether one of `files` or not; else ""."""
    bare = line[:300].strip()
    decoration = _DECORATION.match(bare)
    word = bare[decoration.end() :] if decoration else bare
    label = _LABEL.match(word)
    word = word[label.end() :] if label else word
    before, _, aside = word.partition(" (")
    if not aside.rpartition(")")[2].strip(_MARKS):  # what follows an aside makes it a sentence
        word = before
    word = word.strip(f"{_MARKS}()")
    plain = word.removeprefix("./").replace("\\", "/")
    for path in (bare, word, plain):
        if path in files:
            return path
    return plain if PATH.fullmatch(plain) else ""


def announced(line: str, files: Mapping[str, str]) -> str | None:
    """Return which of `files` a sentence announces: the only one that it names before its colon.

    A sentence without a colon at its end may name a file that stays as it is. So it announces
    none (""), and takes back what came before it. None is for a line that names no file.
    """
    named = [p for p in files if re.search(rf"(?<![\w./-]){re.escape(p)}(?!\w)", line)]
    if not named:
        return None
    return named[0] if len(named) == 1 and line.rstrip(" \t*_`").endswith(":") else ""
