"""What came out of experiments, quoted as data in a prompt.

Hypotheses, reasons, logs and patches are words of code and models under experiment. Each is one
bounded line or stands in a fence that it can't close, without anything that a terminal, a chat
template or a reader would take for more than words.
"""

from __future__ import annotations

import re

from autoresearch_kit import records, render

PATCH_LINES = 120
"""Lines of a patch that are shown unless somebody asks for more."""

_MAX_LINE = 400
# Chat templates end a turn with such words; some servers obey them inside of a message too.
_TAGS = re.compile(r"<(?=[|/]?\w)|(?<=[|\w])>|\[(?=/?INST\])")
_TURNS = re.compile(r"<(?=\|)|(?<=\|)>|<(?=/?(?:s|start_of_turn|end_of_turn)>)|\[(?=/?INST\])")
_PLAIN = {"<": "‹", ">": "›", "[": "("}


def quoted(words: str, most: int) -> str:
    """Return words on one line, at most `most` characters, with nothing like a tag in them."""
    line = render.visible(records.clean(words, most))
    return _TAGS.sub(lambda found: _PLAIN[found[0]], line)


def plain(line: str) -> str:
    """Return a line of code or of a log with its indentation, at most 400 characters."""
    words = render.visible(line.encode("utf-8", "replace").decode().rstrip("\r\n"))[:_MAX_LINE]
    return turnless(words)


def turnless(words: str) -> str:
    """Return words without what a chat template takes for the end of a turn."""
    return _TURNS.sub(lambda found: _PLAIN[found[0]], words)


def fenced(text: str, info: str = "") -> str:
    """Return a text in a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{info}\n{text}{'' if text.endswith(chr(10)) else chr(10)}{fence}"


def patch_of(diff: str, most: int = PATCH_LINES) -> str:
    """Return a patch in a fence, at most `most` lines of it."""
    lines = [line for line in diff.rstrip("\n").split("\n") if not line.startswith("index ")]
    shown = [plain(line) for line in lines[:most]]
    more = [f"… {len(lines) - most} more lines"] if len(lines) > most else []
    return fenced("\n".join([*shown, *more]), "diff")
