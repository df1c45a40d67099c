"""Two experiments beside each other: what differs, and how sure that is."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autoresearch_kit import (
    display,
    git,
    goals,
    noise,
    paired,
    patch,
    records,
    render,
    source,
    standing,
)
from autoresearch_kit.display import Records
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page
from autoresearch_kit.sources import Source

BARS = 31  # of the histogram
CELL = 28  # characters of a value in the text form


class Row(NamedTuple):
    """A line of the table: both values, and the second less the first."""

    name: str
    first: str
    second: str
    difference: str = ""


class Rows(NamedTuple):
    """What the losses row by row say: `b` less `a`, as a mean with its standard error.

    `better` is the share of rows on which `b` is the better one, `counts` a histogram from `low`
    to `high` that leaves out the outermost hundredth on either side.
    """

    n: int
    mean: float
    error: float
    better: float
    counts: Sequence[int]
    low: float
    high: float


def compare(x: Source, a: int, b: int, ref: str | None = None, goal: str | None = None) -> Page:
    """Return two experiments beside each other: metric, rows, constants, curves, cost, diff.

    All runs count, those of repeats too. The difference of the metric comes with its standard
    error; where the losses row by row of both were kept, so does their mean difference over the
    same rows.

    Parameters
    ----------
    x
        Whatever `history` reads.
    a, b
        Their numbers; differences are ``b`` less ``a``.
    ref
        Which campaign of a lab or clone, where it has several; or which branch.
    goal
        ``"minimize"`` or ``"maximize"``, where no record of this kit says so.

    Raises
    ------
    CampaignError
        When there is no experiment of such a number, or several campaigns have both.

    Notes
    -----
    ``SE² = s²/m_a + s²/m_b + rows²`` with the noise s of one run, as the campaign knew it last,
    m runs and the error of the difference that comes from the rows (see `paired`). A kept
    experiment was picked for its result, so its own gain is a little too large; see the column
    ``gain`` of `history` for what to believe of it.
    """
    repo, found = display.choose(x, ref, a, b, goal=goal)
    now = {record.n: record for record in standing.of(list(found.values())).experiments}
    first, second = now.get(a, found[a]), now.get(b, found[b])
    rows = _paired(repo, found, first, second)
    error = _error(found, first, second, rows)
    table = _table(first, second, error)
    constants = [
        Row(name, _spelt(first.constants, name), _spelt(second.constants, name))
        for name in dict.fromkeys((*first.constants, *second.constants))
        if _spelt(first.constants, name) != _spelt(second.constants, name)
    ]
    facts = {
        "compared": f"{first.campaign} {a:04d} and {b:04d}",
        "in short": _gist(first, second, error),
        f"{a:04d}": _told(first),
        f"{b:04d}": _told(second),
        "rows": _words(rows, second),
    }
    curves = {f"loss {r.n:04d}": render.sparkline(r.points) for r in (first, second)}
    changes = display.changes(repo, first.commit, second.commit)
    names = ("", f"{a:04d}", f"{b:04d}", "difference")
    text = "\n".join(
        part
        for part in (
            render.table(facts),
            _text([Row(*names), *table]),
            _text([Row("constants", *names[1:3]), *map(_apart, constants)]) if constants else "",
            render.table(curves),
            changes,
        )
        if part
    )
    page = render.card(facts) + _html(names, table)
    if constants:
        page += _html(("constants", *names[1:3]), constants)
    page += _picture(rows, first, second)
    page += render.overlay({f"{r.n:04d}": r.points for r in (first, second)})
    return Page(text, page + render.diff(changes))


def _told(record: Record) -> str:
    who = f" (by {record.author})" if record.author else ""
    return f"{record.status}: {' '.join(record.hypothesis.split())}{who}"


def _table(first: Record, second: Record, error: float | None) -> list[Row]:
    """Return the numbers of both, without those that neither has."""
    difference = ""
    if first.value is not None and second.value is not None:
        difference = f"{second.value - first.value:+.4g}" + (f" ± {error:.2g}" if error else "")
    name = f"{second.metric}{f' ({second.unit})' if second.unit else ''}"
    table = [
        Row("verdict", first.status, second.status),
        Row(name, _number(first.value, ".6g"), _number(second.value, ".6g"), difference),
        Row("runs", str(len(first.replicates) or ""), str(len(second.replicates) or "")),
    ]
    numbers: Sequence[tuple[str, str, Callable[[Record], Any]]] = (
        ("training, s", ".1f", lambda r: r.training_seconds),
        ("all runs, s", ".1f", lambda r: r.run_seconds),
        ("memory, MB", ",.0f", lambda r: r.peak_memory_mb),
        ("tokens", ",.0f", lambda r: r.tokens),
        ("parameters", ",.0f", lambda r: r.parameters),
        ("cost", ".3g", lambda r: r.proposal.get("cost") or None),
        ("proposal tokens", ",.0f", lambda r: r.proposal.get("tokens") or None),
    )
    for name, form, of in numbers:
        one, other = of(first), of(second)
        apart = "" if one is None or other is None else f"{other - one:+{form}}"
        table.append(Row(name, _number(one, form), _number(other, form), apart))
    return [row for row in table if row.first or row.second]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def _gist(first: Record, second: Record, error: float | None) -> str:
    for record in (first, second):
        if record.value is None:
            return f"{record.n:04d} has no {record.metric or 'metric'}: it is a {record.status}"
    assert first.value is not None  # for mypy: the loop has looked
    assert second.value is not None
    apart = second.value - first.value
    if not apart:
        return f"both have the same {second.metric}"
    word = "better" if goals.sign(second.goal) * apart > 0 else "worse"
    size = f"{abs(apart):.4g}" + (f" ± {error:.2g}" if error else "")
    sigma = f" ({abs(apart) / error:.1f} standard errors)" if error else ", the noise is unknown"
    return f"{second.n:04d} is {size} {second.metric} {word} than {first.n:04d}{sigma}"


def _error(found: Records, first: Record, second: Record, rows: Rows | None) -> float | None:
    """Return the standard error of the difference of two means; None without known noise."""
    told = [r.noise for r in sorted(found.values(), key=lambda r: (r.decided, r.n)) if r.noise]
    spread = told[-1] if told else noise.of(found.values()).sd
    if not spread:
        return None
    runs = sum(1 / max(1, len(record.replicates)) for record in (first, second))
    return math.hypot(spread * math.sqrt(runs), rows.error if rows else 0.0)


def _paired(repo: Path | None, found: Records, first: Record, second: Record) -> Rows | None:
    """Compare the losses row by row; None unless both sides have them, of the same rows."""
    if repo is None:
        return None
    sides = [_losses(repo, found, record) for record in (second, first)]
    if not all(sides) or (apart := paired.differences(*sides)) is None:
        return None
    import numpy as np

    values, weights = apart
    error = paired.spread(values, weights)
    if error is None:
        return None
    counted = values[weights > 0]
    low, high = (float(np.quantile(counted, share)) for share in (0.01, 0.99))
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        return None  # the same numbers on every row
    counts, _ = np.histogram(counted, bins=BARS, range=(low, high))
    mean = float(weights @ values / weights.sum())
    better = float(np.mean(goals.sign(second.goal) * counted > 0))
    return Rows(len(counted), mean, error, better, counts.tolist(), low, high)


def _losses(repo: Path, found: Records, record: Record) -> list[bytes]:
    """Return the ``rows.npz`` of an experiment's runs, those of its repeats too."""
    repeats = [r.n for r in found.values() if r.about == record.n and r.kind == "repeat"]
    kept: list[bytes] = []
    for n in (record.n, *repeats):
        ref = records.files_ref(record.campaign, n)
        if tree := git.refs(repo, ref).get(ref):
            names = [name for name in git.list_files(repo, tree) if name.startswith("rows-")]
            kept += [content for name in names if (content := git.read_bytes(repo, tree, name))]
    return kept


def _words(rows: Rows | None, second: Record) -> str:
    if rows is None:
        return ""
    return (
        f"{second.n:04d} is better on {100 * rows.better:.0f} % of {rows.n:,} rows; mean "
        f"difference {rows.mean:+.4g} ± {rows.error:.2g} (of the rows alone, not of the seeds)"
    )


def _picture(rows: Rows | None, first: Record, second: Record) -> str:
    if rows is None:
        return ""
    side = "right" if second.goal == "maximize" else "left"
    what = (
        f"{second.metric} of each of {rows.n:,} rows, {second.n:04d} less {first.n:04d}: "
        f"{side} of 0 it is better (the outermost 2 % are left out)"
    )
    bars = render.histogram(rows.counts, rows.low, rows.high, what, second.goal)
    return f"<p>{html.escape(what)}</p>{bars}"


def _spelt(constants: Any, name: str) -> str:
    return source.spell(constants[name]) if name in constants else ""


def _apart(row: Row) -> Row:
    """Return a row of constants whose long values are cut to where they differ."""
    return Row(row.name, *patch.apart(row.first, row.second, CELL))


def _text(table: Sequence[Row]) -> str:
    """Return aligned columns: names to the left, numbers to the right."""
    cells = [[_cut(render.visible(word)) for word in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        f"{row[0]:<{max(12, widths[0])}} "
        + "  ".join(f"{word:>{width}}" for word, width in zip(row[1:], widths[1:], strict=True))
        for row in cells
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


def _cut(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= CELL else line[: CELL - 1] + "…"


def _html(names: Sequence[str], table: Sequence[Row]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag if i else 'th'} style='text-align:{'right' if i else 'left'}'>"
            f"{html.escape(render.visible(word))}</{tag if i else 'th'}>"
            for i, word in enumerate(row[: len(names)])
        )

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table)
    return f"<table><tr>{cells(names, 'th')}</tr>{rows}</table>"
