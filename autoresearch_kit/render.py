"""HTML for notebooks: escaped, without scripts, readable in light and dark and on GitHub."""

from __future__ import annotations

import html
from collections.abc import Mapping

_ADDED = "color:var(--jp-success-color0,#1a7f37)"
_REMOVED = "color:var(--jp-error-color0,#cf222e)"
_MUTED = "color:var(--jp-ui-font-color2,#6e7781)"


def card(rows: Mapping[str, object]) -> str:
    """Return a small table of names and values."""
    cells = "".join(
        f"<tr><th style='text-align:left;{_MUTED}'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def diff(text: str) -> str:
    """Return a unified diff as preformatted text; signs carry the meaning, colours help."""
    lines = []
    for line in text.splitlines():
        style = ""
        if line.startswith(("+++", "---", "@@", "\\")):
            style = _MUTED
        elif line.startswith("+"):
            style = _ADDED
        elif line.startswith("-"):
            style = _REMOVED
        escaped = html.escape(line)
        lines.append(f"<span style='{style}'>{escaped}</span>" if style else escaped)
    return "<pre>" + "\n".join(lines) + "</pre>"
