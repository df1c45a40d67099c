"""HTML for notebooks: escaped, without scripts, readable in light and dark and on GitHub."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

_ADDED = "background:rgba(46,160,67,.2)"  # tints: legible in light and dark alike
_REMOVED = "background:rgba(248,81,73,.2)"
_MUTED = "color:var(--jp-ui-font-color2,#6e7781)"
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")


def visible(text: str) -> str:
    """Return `text` with everything spelt out that a terminal would obey or a reader not see.

    Control characters (escape sequences begin with one) become their pictures, such as ``␛``;
    characters that are invisible or turn the direction of writing become ``<U+202E>``.
    """
    return "".join(c if c.isprintable() or c in "\t\n" else _spell_out(c) for c in text)


def _spell_out(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"<U+{code:04X}>"


def card(rows: Mapping[str, object]) -> str:
    """Return a small table of names and values."""
    cells = "".join(
        f"<tr><th style='text-align:left;{_MUTED}'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(visible(str(value)))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def diff(text: str) -> str:
    """Return a unified diff as preformatted text; signs carry the meaning, colours help."""
    lines = []
    old = new = 0  # lines of the hunk still to come: only inside one is a sign a change
    for line in visible(text).split("\n"):
        style = _MUTED
        if hunk := _HUNK.match(line):
            old, new = (1 if count is None else int(count) for count in hunk.groups())
        elif old > 0 or new > 0:
            style = {"+": _ADDED, "-": _REMOVED, "\\": _MUTED}.get(line[:1], "")
            old -= line[:1] in "- "
            new -= line[:1] in "+ "
        escaped = html.escape(line)
        lines.append(f"<span style='{style}'>{escaped}</span>" if style else escaped)
    return "<pre style='white-space:pre;overflow-x:auto'>" + "\n".join(lines) + "</pre>"
