"""Pages: text for terminals; HTML for notebooks, escaped, without scripts, for light and dark."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Mapping, Sequence

_ADDED = "background:rgba(46,160,67,.2)"  # tints: legible in light and dark alike
_REMOVED = "background:rgba(248,81,73,.2)"
_MUTED = "color:var(--jp-ui-font-color2,#6e7781)"
_BRAND = "var(--jp-brand-color1,#1976d2)"
_CURVE = f'stroke-width="1.5" stroke="{_BRAND}"'
_GREY = "var(--jp-ui-font-color3,#8a8a8a)"
_DOT = {"keep": _BRAND}
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")

Points = Sequence[Sequence[float]]
"""Pairs of progress (0 to 1) and loss."""


@dataclasses.dataclass(frozen=True)
class Page:
    """Something to look at: `text` in a terminal, `html` in a notebook."""

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def visible(text: str) -> str:
    """Return `text` with everything spelt out that a terminal would obey or a reader not see.

    Control characters (escape sequences begin with one) become their pictures, such as ``␛``;
    characters that are invisible or turn the direction of writing become ``<U+202E>``.
    """
    return "".join(c if c.isprintable() or c in "\t\n" else _spell_out(c) for c in text)


def _spell_out(character: str) -> str:
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else f"<U+{code:04X}>"


def table(rows: Mapping[str, object]) -> str:
    """Return rows as aligned text, empty ones left out; later lines stand below the first."""
    indent = "\n" + " " * 13
    return "".join(
        f"{name:<12} {visible(str(value)).strip().replace(chr(10), indent)}\n"
        for name, value in rows.items()
        if value != ""
    )


def card(rows: Mapping[str, object]) -> str:
    """Return a small table of names and values, empty ones left out."""
    cells = "".join(
        f"<tr><th style='text-align:left;{_MUTED}'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(visible(str(value)))}</td></tr>"
        for name, value in rows.items()
        if value != ""
    )
    return f"<table>{cells}</table>"


def sparkline(points: Points, width: int = 32) -> str:
    """Return a loss curve as a line of text; empty where there is none."""
    losses = [loss for _, loss in points]
    if len(losses) < 2:
        return ""
    picked = [losses[i * (len(losses) - 1) // (width - 1)] for i in range(width)]
    low, high = min(picked), max(picked)
    scale = (high - low) or 1.0
    bars = "".join("▁▂▃▄▅▆▇█"[round((loss - low) / scale * 7)] for loss in picked)
    return f"{bars} {losses[0]:.4g} → {losses[-1]:.4g}"


def curves(points: Points, best: Points = (), width: int = 320, height: int = 90) -> str:
    """Return a loss curve over progress, on that of the best run where there is one, as SVG.

    It takes its colours from the page; empty where there is no curve.
    """
    if len(points) < 2:
        return ""
    losses = [loss for _, loss in (*points, *best)]
    low, scale = min(losses), (max(losses) - min(losses)) or 1.0

    def place(progress: float, loss: float) -> tuple[float, float]:
        x = 64 + progress * (width - 128)
        return x, 6 + (low + scale - loss) / scale * (height - 12)

    def line(of: Points, style: str) -> str:
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in of))
        return f'<polyline points="{at}" fill="none" {style}/>'

    (_, first), (end, last) = place(0, points[0][1]), place(*points[-1])
    numbers = "".join(
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="middle" '
        f'font-size="11" fill="currentColor">{loss:.4g}</text>'
        for x, y, anchor, loss in (
            (58, first, "end", points[0][1]),
            (end + 6, last, "start", points[-1][1]),
        )
    )
    over = " over the best run's (dashed)" if len(best) > 1 else ""
    words = html.escape(f"training loss from {points[0][1]:.4g} to {points[-1][1]:.4g}{over}")
    dashed = line(best, f'stroke-width="1.2" stroke-dasharray="4 3" stroke="{_GREY}"')
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><title>{words}</title>{dashed if over else ""}'
        f"{line(points, _CURVE)}{numbers}</svg>"
    )


def staircase(
    experiments: Sequence[tuple[int, str, float | None]], width: int = 640, height: int = 160
) -> str:
    """Return a small picture of a campaign as SVG: the kept line, and the others as grey dots.

    `experiments` are number, status and metric. What is far off lies at the edge. Empty while
    there is nothing to compare.
    """
    measured = [(n, status, value) for n, status, value in experiments if value is not None]
    kept = [(n, value) for n, status, value in measured if status == "keep"]
    if not kept or len(measured) < 2:
        return ""
    values = sorted(value for _, _, value in measured)
    usual = values[len(values) // 10 : -(len(values) // 10) or None]
    low, high = min(usual + [v for _, v in kept]), max(usual + [v for _, v in kept])
    last = max(n for n, _, _ in experiments) or 1

    def place(n: int, value: float) -> tuple[float, float]:
        share = (min(max(value, low), high) - low) / ((high - low) or 1.0)
        return 6 + n / last * (width - 12), 6 + (1 - share) * (height - 12)

    corners = [place(n, value) for n, value in kept]
    steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners)
    line = f"M{corners[0][0]:.1f},{corners[0][1]:.1f}{steps}H{width - 6}"
    dots = ""
    for n, status, value in measured:
        x, y = place(n, value)
        dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_DOT.get(status, _GREY)}"/>'
    words = f"{len(experiments)} experiments, {len(kept)} kept"
    return (
        f'<svg role="img" aria-label="{words}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><title>{words}</title><path d="{line}" fill="none" {_CURVE}/>{dots}'
        "</svg>"
    )


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
