"""The staircase of a campaign to walk along: what each experiment was, and its card at a click."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autoresearch_kit import dashboards, display, progress, records, render, standing
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page
from autoresearch_kit.sources import Source

if TYPE_CHECKING:
    from autoresearch_kit.widgets import ExplorerWidget

HINTS = 300  # experiments up to which each mark of the still picture says what it is


def explore(x: Source, ref: str | None = None, goal: str | None = None) -> ExplorerWidget | Page:
    """Show a campaign's staircase: hover or arrow keys tell an experiment, click or Enter opens it.

    Verdicts and authors can be left out. Where no widget can be shown the result is a page with
    the picture and what was kept; so is what a saved notebook shows.

    Parameters
    ----------
    x
        Whatever `history` reads: a campaign, a lab, a clone, a bundle, a results file.
    ref
        Which campaign of a lab or clone, where it has several; or which branch.
    goal
        ``"minimize"`` or ``"maximize"``, where no record of this kit says so.

    Raises
    ------
    CampaignError
        When there is no experiment, or there are several campaigns.

    Notes
    -----
    It shows what was decided when it was called; `dashboard` follows a campaign that goes on.
    """
    repo, found = display.choose(x, ref, goal=goal)
    experiments = standing.of(list(found.values())).experiments
    still = page(experiments)
    if not progress.in_front_end():
        return still
    from autoresearch_kit.widgets import ExplorerWidget

    def hear(message: Mapping[str, Any]) -> str:
        if message.get("type") != "card":
            return ""
        n = int(message["n"])
        if n not in found:
            raise CampaignError(f"there is no experiment {n} here; run the cell again")
        widget.send({"type": "card", "n": n, "html": display.card(repo, found, n).html})
        return ""

    newest = experiments[-1]
    widget = ExplorerWidget(
        lambda: (still.text, still.html),
        hear,
        board={
            "campaign": newest.campaign,
            "metric": newest.metric,
            "unit": newest.unit,
            "goal": newest.goal,
        },
        rows=dashboards.rows_of(experiments),
    )
    return widget


def page(experiments: Sequence[Record]) -> Page:
    """Return the staircase without a widget: a picture, and the kept experiments as a table."""
    kept = [r for r in experiments if r.status == "keep"]
    start = next((r for r in kept if r.value is not None), None)
    tries = [r for r in experiments if r is not start]
    counts = Counter(r.status or "no verdict" for r in tries)
    words = [f"{count} {status}" for status, count in counts.most_common()]
    facts = {
        "campaign": experiments[-1].campaign,
        "experiments": ", ".join(
            [*words, "beside the starting point"] if start and words else words
        )
        or "only the starting point",
        "by": ", ".join(f"{who} {count}" for who, count in _authors(tries).most_common(8)),
        "look closer": "ark.show(..., n) is the card of each",
    }
    table = {f"{r.n:04d}": _line(r) for r in kept}
    hinted = experiments if len(experiments) <= HINTS else kept
    picture = render.staircase(
        [(r.n, r.status, r.value) for r in experiments],
        goal=experiments[-1].goal,
        hints={r.n: f"{r.n:04d} {r.status}, {_line(r)}"[:200] for r in hinted},
        height=220,
    )
    text = f"{render.table(facts)}\n{render.table(table)}"
    return Page(text, render.card(facts) + picture + render.card(table))


def _authors(experiments: Sequence[Record]) -> Counter[str]:
    return Counter(records.who(r.author) for r in experiments if r.author)


def _line(record: Record) -> str:
    value = "no metric" if record.value is None else f"{record.value:.5g}"
    change = "" if record.delta is None else f" ({record.delta:+.3g})"
    return f"{value}{change}: {records.clean(record.hypothesis, 160)}"
