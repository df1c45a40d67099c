"""What an optimiser knows of a campaign, as a short page of Markdown for a language model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit import goals, grain, source
from autoresearch_kit.proposers.knobs import Knob
from autoresearch_kit.proposers.quotes import quoted
from autoresearch_kit.records import clean
from autoresearch_kit.source import Constant, Value

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.records import Record

BEST, RANGES, CRASHES = 4, 8, 5  # lines of each part
DIFFERENCES = 5  # constants in a line
LINE = 160  # characters
ENOUGH = 6  # results before a range or a rank correlation says anything


def changes(found: Mapping[str, Constant], values: Mapping[str, Value]) -> str:
    """Return ``NAME old -> new`` for each value that differs."""
    return ", ".join(
        f"{key} {_short(source.spell(found[key].value))} -> {_short(source.spell(value))}"
        for key, value in values.items()
        if not source.identical(value, found[key].value)
    )


def page(campaign: Campaign, knobs: Sequence[Knob], trials: Sequence[Record], wish: str) -> str:
    """Return the page.

    Parameters
    ----------
    wish
        What the optimiser would change next, in words.
    """
    goal, metric = campaign.task.goal, campaign.task.metric
    scored = [r for r in trials if r.status != "crash" and r.value is not None]
    scored.sort(key=lambda record: _rank(record, goal))
    crashed = [record for record in trials if record.status == "crash"]
    better = goals.better(goal)
    parts = [
        f"{len(scored)} results and {len(crashed)} crashes are known of {len(knobs)} constants "
        f"that may be tuned; {better} {metric} is better."
    ]
    step = grain.of(campaign.records())
    if scored:
        rows = [
            f"- {metric} {step.score(record.value)} (experiment {record.n:04d}, {record.status}): "
            f"{_differences(knobs, record) or 'the constants of the best state'}"
            for record in scored[:BEST]
        ]
        parts.append("Best results, with what differs from the present best state:\n" + _join(rows))
    if ranges := _ranges(knobs, scored, goal):
        parts.append(
            "Where the best third of the results lies (middle 80 % of them), what matters most "
            "first; rank correlation of the constant with the result, + when more is better:\n"
            + _join(ranges)
        )
    elif len(scored) >= ENOUGH:
        parts.append("No constant stands out in the results by itself.")
    if crashed:
        rows = [
            f"- experiment {record.n:04d}: {_differences(knobs, record) or 'no other constants'} "
            f"({clean(record.reason, 60) or 'no reason known'})"
            for record in crashed[: -CRASHES - 1 : -1]
        ]
        parts.append("Crashed, the latest first:\n" + _join([*rows, *_blamed(knobs, trials)]))
    wish = quoted(wish, LINE) or "nothing, all within reach is tried"
    parts.append(f"The optimiser would change now: {wish}.")
    return "\n\n".join(parts)


def _rank(record: Record, goal: str) -> float:
    return -goals.sign(goal) * float(record.value or 0.0)


def _differences(knobs: Sequence[Knob], record: Record) -> str:
    """Return which constants of a record differ from the present ones."""
    told = [
        f"{k.key} {_spell(record.constants[k.key])}"
        for k in knobs
        if k.key in record.constants and not source.identical(record.constants[k.key], k.value)
    ]
    more = f" and {len(told) - DIFFERENCES} more" if len(told) > DIFFERENCES else ""
    return ", ".join(told[:DIFFERENCES]) + more


def _ranges(knobs: Sequence[Knob], scored: Sequence[Record], goal: str) -> list[str]:
    """Return a line for each of the constants that matter most; `scored` has the best first."""
    if len(scored) < ENOUGH:
        return []
    found: list[tuple[float, str]] = []
    for k in knobs:
        known = [record for record in scored if k.read(record.constants.get(k.key)) is not None]
        values = [record.constants[k.key] for record in known]
        if len(known) < ENOUGH or len({repr(value) for value in values}) < 2:
            continue
        good = values[: max(2, len(values) // 3)]
        if k.choices:
            counts = [(sum(source.identical(v, c) for v in good), c) for c in k.choices]
            most = max(counts, key=lambda pair: pair[0])
            share = most[0] / len(good)
            usual = sum(source.identical(v, most[1]) for v in values) / len(values)
            if (share - usual) ** 2 * len(good) < 4 * usual * (1 - usual):
                continue  # less than two standard errors
            line = f"- {k.key} {_spell(most[1])} in {share:.0%} (of all results {usual:.0%})"
            found.append((share - usual, line))
            continue
        correlation = -_spearman(values, [_rank(record, goal) for record in known])
        if not _is_clear(correlation, len(known)):
            continue
        low, high = (k.write(k.read(v)) for v in np.quantile(good, (0.1, 0.9)).tolist())
        line = (
            f"- {k.key} {_spell(low)} to {_spell(high)}, now {_spell(k.value)}: {correlation:+.1f}"
        )
        found.append((abs(correlation), line))
    found.sort(key=lambda pair: -pair[0])
    return [line for _, line in found[:RANGES]]


def _blamed(knobs: Sequence[Knob], trials: Sequence[Record]) -> list[str]:
    """Return in which directions crashes get likelier, as far as that is no chance."""
    pulls = []
    for k in knobs:
        known = [r for r in trials if k.read(r.constants.get(k.key)) is not None]
        if k.choices or len(known) < ENOUGH:
            continue
        pull = _spearman([r.constants[k.key] for r in known], [r.status == "crash" for r in known])
        if _is_clear(pull, len(known)):
            pulls.append((abs(pull), f"{k.key} {'up' if pull > 0 else 'down'}"))
    words = [word for _, word in sorted(pulls, reverse=True)[:3]]
    return [f"- likelier to crash: {', '.join(words)}"] if words else []


def _is_clear(correlation: float, count: int) -> bool:
    return abs(correlation) > 2 / math.sqrt(count)  # about two standard errors


def _spearman(a: Sequence[Any], b: Sequence[float]) -> float:
    x, y = (np.unique(np.asarray(each, float), return_inverse=True)[1] for each in (a, b))
    if x.max() == 0 or y.max() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _spell(value: object) -> str:
    return _short(source.spell(float(f"{value:.3g}") if isinstance(value, float) else value))


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"


def _join(rows: Sequence[str]) -> str:
    return "\n".join(quoted(row, LINE) for row in rows)
