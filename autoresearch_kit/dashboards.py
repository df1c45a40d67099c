"""A campaign as it is now: what happens, what waits for a person, what was found, what it cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import display, nights, progress, render, runner
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.nights import Night
from autoresearch_kit.records import Record
from autoresearch_kit.reviews import Desk
from autoresearch_kit.runner import Run

if TYPE_CHECKING:
    from autoresearch_kit.widgets import DashboardWidget

LOOK_SECONDS = 0.5
RECENT = 3  # run folders that may be at work
LAST_ROWS = 20  # of the ledger, in the text form

_open: dict[tuple[Path, str, str], DashboardWidget] = {}


def dashboard(campaign: Campaign) -> DashboardWidget | render.Page:
    """Show a campaign and its night, live: state, staircase, ledger, cost, and what waits for you.

    Pause, resume and stop the night, decide on proposals in place, and click an experiment to see
    its hypothesis, patch, curve and verdict. Where no widget can be shown the result is a page of
    text as of now.

    Notes
    -----
    A kernel has one dashboard of a campaign, which may be displayed in several cells. It only
    reads; the night neither needs nor notices it.
    """
    if not isinstance(campaign, Campaign):
        raise TypeError(
            f"expected a Campaign, got {campaign!r}; type campaign = ark.open_campaign(lab, "
            "tag=...) first"
        )
    if not progress.in_front_end():
        return page(campaign)
    key = campaign.path, campaign.tag, campaign.start
    if key not in _open:
        _open[key] = _live(campaign)
    return _open[key]


def page(campaign: Campaign) -> render.Page:
    """Return the dashboard as text and HTML, as of now."""
    board, rows = board_of(campaign), rows_of(campaign.records())
    best, night, waiting = board["best"], nights.latest(campaign), board["steps"]["approval"]
    facts = {
        "campaign": f"{board['campaign']} in {board['host']}",
        "best": f"{best}{' ' if best else ''}{board['unit'] if best else ''}",
        "now": board["state"],
        "for you": f"{waiting} open: ark.review(campaign.pending())" if waiting else "",
        "in quarantine": quarantined(campaign),
    }
    shown = rows[-LAST_ROWS:]
    ledger = "\n".join(_line(row) for row in shown)
    left_out = f"{len(rows) - len(shown)} earlier ones are left out\n" if len(rows) > 20 else ""
    of_night = f"{night}\n\n" if night else ""
    text = f"{render.table(facts)}\n{of_night}{left_out}{ledger}"
    html = render.card(facts) + (night._repr_html_() if night else "")
    html += render.staircase([row[:3] for row in rows], campaign.task.goal) + f"<p>{left_out}</p>"
    html += render.card({f"{row[0]:04d}": _line(row)[5:] for row in shown})
    return render.Page(text.rstrip(), html)


def quarantined(campaign: Campaign) -> str:
    """Name the experiments that are too good to be true until a person has looked."""
    found = [f"{r.n:04d}" for r in campaign.records() if r.status == "quarantine"]
    return f"{', '.join(found)}: look at each, then override it" if found else ""


def board_of(campaign: Campaign) -> dict[str, Any]:
    """Return the state of a campaign and of its night, ready for JSON."""
    best, night, run = campaign.best_record, nights.latest(campaign), _running(campaign)
    state = run.state if run else {}
    of_night = _night(night) if night else None
    now = night.state if night else {}
    proposing = now.get("proposing")
    training = ""
    if run and state["phase"] not in runner.FINAL:
        training = ", ".join(filter(None, [f"{run.experiment:04d}", progress.describe(state)]))
    elif run:
        training = f"{run.experiment:04d} is being scored"
    pending = len(campaign.pending())
    return {
        "campaign": campaign.tag,
        "host": campaign.path.name,
        "metric": campaign.task.metric,
        "unit": campaign.task.unit,
        "goal": campaign.task.goal,
        "best": f"{best.n:04d} {best.metric} {best.value:.5g}"
        if best and best.value is not None
        else "",
        "state": _state(now, training, pending),
        "steps": {
            "proposing": f"{night.asked.get('by')}, {proposing:.0f} s"
            if night and proposing is not None
            else "",
            "training": training,
            "approval": pending,
        },
        "run": {
            "title": f"Experiment {run.experiment:04d}, seed {run.seed}",
            "progress": state.get("progress"),
            "phase": state["phase"] if state["phase"] not in runner.FINAL else "scoring",
            "loss": state.get("loss"),
            "line": progress.describe(state),
        }
        if run
        else None,
        "night": of_night,
    }


def rows_of(found: Sequence[Record]) -> list[Any]:
    """Return the ledger of experiments as they stand, oldest first."""
    return [
        [
            record.n,
            record.status,
            record.value,
            record.delta,
            render.visible(record.hypothesis),
            render.visible(record.author),
            record.decided,
            record.run_seconds,
            record.proposal.get("cost"),
        ]
        for record in found
    ]


def _live(campaign: Campaign) -> DashboardWidget:
    from autoresearch_kit.widgets import DashboardWidget

    desk = Desk([])

    def still() -> tuple[str, str]:
        now = page(campaign)
        return now.text, now.html

    def hear(message: Mapping[str, Any]) -> str:
        kind = message.get("type")
        if kind == "card":
            n = int(message["n"])
            widget.send(
                {"type": "card", "n": n, "html": display.show(campaign.path, n, campaign.tag).html}
            )
            return ""
        if kind not in ("pause", "resume", "stop"):
            return ""
        answer = _control(campaign, str(kind), bool(message.get("now")))
        widget.board = board_of(campaign)
        return answer

    widget = DashboardWidget(
        still,
        hear,
        board=board_of(campaign),
        rows=rows_of(campaign.records()),
        review=f"IPY_MODEL_{desk.widget.model_id}",
    )
    widget.desk = desk
    threading.Thread(target=_follow, args=(campaign, widget, desk), daemon=True).start()
    return widget


def _follow(campaign: Campaign, widget: DashboardWidget, desk: Desk) -> None:
    """Keep the widget up to date for as long as it is open."""
    waiting: list[tuple[str, str]] = []
    decided: Sequence[Record] = ()
    while widget.comm is not None:
        widget.board = board_of(campaign)
        found = campaign.records()
        if found is not decided:
            decided = found
            widget.rows = rows_of(found)
        pending = campaign.pending()
        now = [(proposal.id, str(proposal.asked)) for proposal in pending]
        if now != waiting:
            waiting = now
            desk.lay(pending)
        time.sleep(LOOK_SECONDS)


def _control(campaign: Campaign, wish: str, at_once: bool) -> str:
    night = nights.latest(campaign)
    if night is None or night.status in nights.ENDED:
        raise CampaignError("no night is at work; ark.overnight(campaign, ...) starts one")
    if wish == "pause":
        night.pause()
        return "Pausing: the present run ends first."
    if wish == "resume":
        night.resume()
        return "Going on."
    night.stop(now=at_once)
    return "Stopping now." if at_once else "Stopping after the present experiment."


def _running(campaign: Campaign) -> Run | None:
    """Return the run that trains or is scored now, in whatever process."""
    folders = sorted((campaign.state / "runs").glob("[0-9]*-[0-9]"), key=lambda path: path.name)
    for folder in reversed(folders[-RECENT:]):
        if any(runner.is_alive(folder, job) for job in ("train", "score")):
            n, replicate = (int(part) for part in folder.name.split("-"))
            return Run(folder, n, campaign.tag, 1 + replicate, replicate)
    return None


def _night(night: Night) -> dict[str, Any]:
    now, asked = night.state, night.asked
    counts = now.get("counts") or {}
    return {
        "id": night.id,
        "phase": now["phase"],
        "reason": now.get("reason") or "",
        "done": sum(counts.values()),
        "of": asked.get("experiments"),
        "kept": counts.get("keep", 0),
        "discarded": counts.get("discard", 0),
        "crashed": counts.get("crash", 0),
        "refused": counts.get("refused", 0),
        "quarantined": counts.get("quarantine", 0),
        "failures": now.get("failures", 0),
        "started": asked.get("started"),
        "deadline": asked.get("deadline"),
        "finish": now.get("finish"),
        "busy": now.get("busy"),
        "cost": now.get("cost"),
        "max_cost": asked.get("max_cost"),
        "tokens": now.get("tokens"),
        "policy": asked.get("policy", ""),
        "notes": list(now.get("notes") or ()),
    }


def _state(night: Mapping[str, Any], training: str, pending: int) -> str:
    if night and night["phase"] not in nights.ENDED:
        return f"night {night['phase']}: {night.get('line') or 'between two steps'}"
    if training:
        return f"training {training}" if "scored" not in training else training
    waiting = [f"{pending} wait{'s' * (pending == 1)} for you"] if pending else []
    ended = [f"night {night['phase']}: {night['reason']}"] if night else []
    return "; ".join(ended + waiting) or "nothing happens"


def _line(row: Sequence[Any]) -> str:
    n, status, value, delta, hypothesis, *_ = row
    number = "" if value is None else f"{value:.5g}"
    change = "" if delta is None else f"{delta:+.3g}"
    return f"{n:04d} {status:<10} {number:>9} {change:>9}  {' '.join(hypothesis.split())[:80]}"
