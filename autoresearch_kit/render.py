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
_WARN = "var(--jp-warn-color1,#d9822b)"
_BAD = "var(--jp-error-color1,#d13438)"
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
        f"<tr><th style='text-align:left;white-space:nowrap;{_MUTED}'>{html.escape(name)}</th>"
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
    over = " over the best run's (dashed)" if len(best) > 1 else ""
    words = f"training loss from {points[0][1]:.4g} to {points[-1][1]:.4g}{over}"
    dashed = line(best, f'stroke-width="1.2" stroke-dasharray="4 3" stroke="{_GREY}"')
    parts = [
        *([dashed] if over else []),
        line(points, _CURVE),
        _label(58, first, f"{points[0][1]:.4g}", "end"),
        _label(end + 6, last, f"{points[-1][1]:.4g}"),
    ]
    return _svg(words, width, height, parts)


def overlay(curves: Mapping[str, Points], width: int = 480, height: int = 150) -> str:
    """Return up to two named loss curves over progress in one picture with a legend, as SVG.

    The first is dashed, so that they differ without colours too. Empty where none has two points.
    """
    drawn = {name: points for name, points in curves.items() if len(points) > 1}
    losses = [loss for points in drawn.values() for _, loss in points]
    if not drawn:
        return ""
    low, high = min(losses), max(losses)
    words = "; ".join(f"{name}: {p[0][1]:.4g} to {p[-1][1]:.4g}" for name, p in drawn.items())
    parts = [_label(58, 12, f"{high:.4g}", "end"), _label(58, height - 30, f"{low:.4g}", "end")]
    parts += [_label(64, height - 16, "0 %"), _label(width - 8, height - 16, "100 %", "end")]
    parts += [_label((64 + width - 8) / 2, height - 16, "training loss over the budget", "middle")]
    styles = (
        f'stroke="{_WARN}" stroke-width="1.7" stroke-dasharray="5 3"',
        f'stroke="{_BRAND}" stroke-width="1.7"',
    )
    for i, (name, style) in enumerate(zip(curves, styles, strict=False)):
        if name not in drawn:
            continue
        rise = (height - 42) / ((high - low) or 1.0)
        at = " ".join(
            f"{64 + progress * (width - 72):.1f},{8 + (high - loss) * rise:.1f}"
            for progress, loss in drawn[name]
        )
        y = 14 + 15 * i
        parts.append(f'<polyline points="{at}" fill="none" {style}/>')
        parts.append(f'<path d="M{width - 122},{y}h26" fill="none" {style}/>')
        parts.append(_label(width - 90, y, name))
    return _svg(f"training loss over progress; {words}", width, height, parts)


def histogram(
    counts: Sequence[int],
    low: float,
    high: float,
    words: str,
    goal: str = "minimize",
    width: int = 480,
    height: int = 120,
) -> str:
    """Return bars of equal width over a range that holds 0, as SVG; `words` say what they show.

    A line stands at 0, and the bars on its better side have the colour of what is kept.
    """
    most, step = max(counts), (width - 16) / len(counts)
    parts = []
    for i, count in enumerate(counts):
        tall = count / most * (height - 34)
        below = low + (i + 0.5) * (high - low) / len(counts) < 0
        colour = _BRAND if below == (goal == "minimize") else _WARN
        parts.append(
            f'<rect x="{8 + i * step + 0.5:.1f}" y="{height - 26 - tall:.1f}" '
            f'width="{step - 1:.1f}" height="{tall:.1f}" fill="{colour}"/>'
        )
    zero = 8 - low / (high - low) * (width - 16)
    parts.append(f'<path d="M{zero:.1f},4V{height - 22}" stroke="currentColor" fill="none"/>')
    parts.append(_label(zero, height - 12, "0", "middle"))
    if low < 0:
        parts.append(_label(8, height - 12, f"{low:+.3g}"))
    if high > 0:
        parts.append(_label(width - 8, height - 12, f"{high:+.3g}", "end"))
    return _svg(words, width, height, parts)


def staircase(
    experiments: Sequence[tuple[int, str, float | None]],
    goal: str = "minimize",
    hints: Mapping[int, str] | None = None,
    width: int = 640,
    height: int = 160,
) -> str:
    """Return a small picture of a campaign as SVG: the kept line, and the others as grey dots.

    `experiments` are number, status and metric. What is far off lies at the edge, and what has no
    metric is a cross at the worse one. `hints` are shown where the pointer rests on a mark, by its
    number. Empty while there is nothing to compare.
    """
    measured = [(n, status, value) for n, status, value in experiments if value is not None]
    kept = [(n, value) for n, status, value in measured if status == "keep"]
    if not kept or len(measured) < 2:
        return ""
    values = sorted(value for _, _, value in measured)
    usual = values[len(values) // 10 : -(len(values) // 10) or None]
    low, high = min(usual + [v for _, v in kept]), max(usual + [v for _, v in kept])
    last = max(n for n, _, _ in experiments) or 1

    def place(n: int, value: float | None) -> tuple[float, float]:
        if value is None:
            value = high if goal == "minimize" else low
        share = (min(max(value, low), high) - low) / ((high - low) or 1.0)
        return 62 + n / last * (width - 70), 8 + (1 - share) * (height - 30)

    corners = [place(n, value) for n, value in kept]
    steps = "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners)
    parts = [
        f'<path d="M{corners[0][0]:.1f},{corners[0][1]:.1f}{steps}H{width - 8}" '
        f'fill="none" {_CURVE}/>',
        _label(54, 8, f"{high:.4g}", "end"),
        _label(54, height - 22, f"{low:.4g}", "end"),
        _label(62, height - 8, "0"),
        _label(width - 8, height - 8, f"experiment {last}", "end"),
    ]
    for n, status, value in sorted(experiments, key=lambda one: one[1] == "keep"):
        hint = (hints or {}).get(n, "")
        title = f"<title>{html.escape(visible(hint))}</title>" if hint else ""
        parts.append(_mark("lost" if value is None else status, *place(n, value), title))
    return _svg(f"{len(experiments)} experiments, {len(kept)} kept", width, height, parts)


def _mark(status: str, x: float, y: float, inside: str) -> str:
    if status == "lost":
        return (
            f'<path d="M{x - 3:.1f},{y - 3:.1f}l6,6m0-6l-6,6" fill="none" stroke="{_BAD}" '
            f'stroke-width="1.3">{inside}</path>'
        )
    if status == "quarantine":
        return (
            f'<path d="M{x:.1f},{y - 4.5:.1f}l4.5,4.5l-4.5,4.5l-4.5-4.5z" fill="none" '
            f'stroke="{_WARN}" stroke-width="1.7">{inside}</path>'
        )
    r, fill = (3.5, _BRAND) if status == "keep" else (2.3, _GREY)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{fill}">{inside}</circle>'


def _label(x: float, y: float, words: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="middle" '
        f'font-size="11" fill="currentColor">{html.escape(visible(words))}</text>'
    )


def _svg(words: str, width: int, height: int, parts: Sequence[str]) -> str:
    told = html.escape(visible(words))
    return (
        f'<svg role="img" aria-label="{told}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" style="max-width:100%"><title>{told}</title>{"".join(parts)}</svg>'
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
