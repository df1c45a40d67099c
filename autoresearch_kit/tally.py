"""What a night has come to: its experiments, what they cost, and whether a limit is reached.

All of it is counted from git and from the proposals' folders, each time anew, so that a night
that was killed goes on with the same figures.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autoresearch_kit import files
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.proposers import submission
from autoresearch_kit.records import STATUSES, Record

# It runs on while the machine sleeps, and nobody can set it.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


class Tally:
    """Counts what belongs to one night.

    Parameters
    ----------
    folder
        The night's folder; its name is the night's id.
    asked
        What ``night.json`` says.
    """

    def __init__(self, campaign: Campaign, folder: Path, asked: Mapping[str, Any]) -> None:
        self.campaign, self.asked, self.night = campaign, asked, folder.name
        self.key = f"night|{folder.name}"
        self._put_away: dict[str, Mapping[str, float]] = {}
        self._seen: set[str] = set()
        self._changed = -1
        self._began = datetime.now(UTC), _elapsed()

    def adopt(self) -> int:
        """Take over what earlier nights left undecided; return how many proposals that is."""
        left = [
            proposal
            for proposal in proposals.unfinished(self.campaign)
            if proposal.key.startswith("night|") and proposal.key != self.key
        ]
        for proposal in left:
            (proposal.folder / "asked.json").unlink(missing_ok=True)  # by another policy
            proposals.claim(proposal, self.key)
        submission.adopt(self.campaign, self.key)
        return len(left)

    def records(self) -> list[Record]:
        """Return the night's decided experiments, by number."""
        found = self.campaign.records()
        return [record for record in found if record.proposal.get("night") == self.night]

    def unfinished(self) -> list[Proposal]:
        """Return this night's proposals that are neither decided in git nor put away."""
        found = proposals.unfinished(self.campaign)
        return [p for p in found if p.key == self.key and not p.successor]

    def spent(self, what: str) -> float:
        """Return what the night's proposals have cost, in ``money`` or ``tokens``.

        Those count too that came to nothing: put away, replaced by another try, or never made.
        """
        costs: dict[str, Mapping[str, float]] = {
            **self._lost(),
            **{p.id: p.cost for p in self.unfinished()},
        }
        for record in self.records():
            made = record.proposal
            cost = {"money": made.get("cost", 0.0), "tokens": made.get("tokens", 0)}
            costs[str(made.get("id"))] = cost
        costs[""] = submission.lost(self.campaign, self.key)
        return float(sum(cost.get(what) or 0.0 for cost in costs.values()))

    def _lost(self) -> Mapping[str, Mapping[str, float]]:
        """Return the cost by id of this night's proposals in ``done/``, each read once."""
        folder = self.campaign.state / "proposals" / "done"
        changed = folder.stat().st_mtime_ns if folder.exists() else 0
        if changed == self._changed:
            return self._put_away
        # Another change may follow within the same tick of the file system's clock.
        self._changed = changed if time.time_ns() - changed > 1e8 else -1
        for path in folder.glob("[0-9]*"):
            if path.name in self._seen:
                continue
            table = files.read_json(path / "proposal.json") or {}
            after = files.read_json(path / "successor.json") or {}
            # One that was moved to another parent lives on, cost and all.
            if table.get("key") == self.key and after.get("why") != "rebased":
                self._put_away[path.name] = table.get("cost") or {}
            self._seen.add(path.name)
        return self._put_away

    def limit(self) -> str:
        """Return which limit is reached; empty when none is."""
        asked, mine = self.asked, self.records()
        if asked["experiments"] and len(mine) >= asked["experiments"]:
            return f"{len(mine)} experiments are made"
        if asked["deadline"] and self._now() >= datetime.fromisoformat(asked["deadline"]):
            return "the time is over"
        ran = [record for record in mine if record.status != "refused"]
        crashes = ran[-asked["failures"] :]
        if len(crashes) == asked["failures"] and all(r.status == "crash" for r in crashes):
            return f"{len(crashes)} crashes in a row; the last one: {crashes[-1].reason}"
        recent = ran[-asked["patience"] :] if asked["patience"] else []
        tired = bool(recent) and len(recent) == asked["patience"]
        if tired and not any(record.status == "keep" for record in recent):
            return f"no keep in {len(recent)} experiments"
        free = shutil.disk_usage(self.campaign.state).free
        if free < asked["min_free_gb"] * 1e9:
            return f"the disk has {free / 1e9:.1f} GB left, under {asked['min_free_gb']:g} GB"
        return ""

    def _now(self) -> datetime:
        """Return the time by a clock that nobody sets: eight hours stay eight hours."""
        began, elapsed = self._began
        return began + timedelta(seconds=_elapsed() - elapsed)

    def broke(self) -> str:
        """Return which budget is spent, so that no further proposal is made; empty if none is."""
        for name, what in (("max_cost", "money"), ("max_tokens", "tokens")):
            if self.asked[name] is not None and self.spent(what) >= self.asked[name]:
                return f"{name}={self.asked[name]} is spent"
        return ""

    def figures(self) -> dict[str, Any]:
        """Return what ``status.json`` says of what was done and spent."""
        mine = self.records()
        return {
            "counts": {s: n for s in STATUSES if (n := sum(r.status == s for r in mine))},
            "cost": self.spent("money"),
            "tokens": int(self.spent("tokens")),
            "busy": _busy(mine),
            "deadline": self.asked["deadline"],
            "finish": self._finish(mine),
        }

    def _finish(self, mine: Sequence[Record]) -> str | None:
        """Return when the night is likely to end; None when nobody can tell."""
        wanted: int | None = self.asked["experiments"]
        deadline: str | None = self.asked["deadline"]
        if not wanted:
            return deadline
        if len(mine) < 2:
            return None
        first, last = (datetime.fromisoformat(r.decided) for r in (mine[0], mine[-1]))
        left = (last - first) / (len(mine) - 1) * (wanted - len(mine))
        finish = (last + left).isoformat()
        return min(finish, deadline) if deadline else finish


def _elapsed() -> float:
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.time()


def _busy(mine: Sequence[Record]) -> float | None:
    """Return the share of the time since the first run began in which a run was at work."""
    ran = [record for record in mine if record.status != "refused"]
    if not ran:
        return None
    seconds = [_seconds(record) for record in ran]
    first, last = (datetime.fromisoformat(r.decided) for r in (ran[0], ran[-1]))
    whole = (last - first).total_seconds() + seconds[0]
    return min(1.0, sum(seconds) / whole) if whole > 0 else None


def _seconds(record: Record) -> float:
    """Return how long the runs of an experiment took, all its seeds together."""
    trained = [replicate.get("training_seconds") or 0.0 for replicate in record.replicates]
    training = sum(trained) or record.training_seconds or 0.0
    others = (record.setup_seconds or 0.0) + (record.scoring_seconds or 0.0)
    return float(training + others * max(1, len(trained)))
