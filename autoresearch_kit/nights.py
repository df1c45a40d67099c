"""A night: many experiments in a row, in a process that outlives the notebook that started it.

A night is a folder: ``night.json`` says what was asked for, ``wish.json`` what its owner wants
now (run, pause, stop), ``status.json`` what happens. Whoever watches only reads.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from autoresearch_kit import evening, files, policies, progress, proposers, render, runner
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.policies import Policy
from autoresearch_kit.proposers import Proposer
from autoresearch_kit.records import STATUSES, clean

HOURS = 8.0
MOST_HOURS = 100_000
ENDED = ("finished", "stopped", "died")
LOOK_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, repr=False)
class Night:
    """A night that runs, or has run; everything is read from its folder.

    Attributes
    ----------
    dir
        The night's folder: ``log.txt`` has what its process printed.
    """

    campaign: Campaign = dataclasses.field(compare=False)
    dir: Path

    @property
    def id(self) -> str:
        """What tells this night from others."""
        return self.dir.name

    @property
    def asked(self) -> Mapping[str, Any]:
        """What it was started with: limits, policy, proposer."""
        return files.read_table(self.dir / "night.json")

    @property
    def state(self) -> Mapping[str, Any]:
        """Everything that is known of it now: phase, counts, cost, busy share, what comes next."""
        alive = files.is_locked(self.dir / "night.lock")  # before reading, or an end looks dead
        found = files.read_table(self.dir / "status.json")
        now = {"phase": "starting", "reason": "", **found}
        if now["phase"] in ENDED or alive:
            return now
        reason = "its process was killed; the same ark.overnight(...) goes on where it was"
        if not found:
            reason = f"its process ended before its first word; the log says: {self._last_line()}"
        return {**now, "phase": "died", "reason": reason}

    def _last_line(self) -> str:
        log = self.dir / "log.txt"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return next((line for line in reversed(lines) if line.strip()), "nothing")

    @property
    def status(self) -> str:
        """``starting``, ``running``, ``paused``, ``stopping``; at the end one of `ENDED`."""
        return str(self.state["phase"])

    def pause(self) -> Night:
        """Let the present run end, and start no other until `resume`; return the night."""
        return self._wish("pause")

    def resume(self) -> Night:
        """Go on after `pause`; return the night."""
        return self._wish("run")

    def stop(self, *, now: bool = False) -> Night:
        """End the night after the present experiment; return it at once (see `wait`).

        Parameters
        ----------
        now
            End the present run too. Its experiment stays undecided, and the next night (or
            ``ark.train_5min(campaign.experiment(n))``) trains it again.
        """
        return self._wish("stop now" if now else "stop")

    def _wish(self, want: str) -> Night:
        files.write_json(self.dir / "wish.json", {"want": want})
        return self

    def wait(self, *, progress: bool = True) -> Night:
        """Wait until the night has ended, with a progress bar, and return it.

        Raises
        ------
        KeyboardInterrupt
            When interrupted. The night goes on: only the waiting ends.
        """
        bar = _bar(self) if progress else None
        try:
            while self.status not in ENDED:
                if bar is not None:
                    _draw(bar, self.state)
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            raise NightGoesOn from None
        finally:
            if bar is not None:
                _draw(bar, self.state)
                bar.close()
        return self

    def _summary(self) -> dict[str, object]:
        now, asked = self.state, self.asked
        busy, cost = now.get("busy"), now.get("cost")
        return {
            "night": f"{self.campaign.tag}, {now['phase']}",
            "why": now.get("reason") or "",
            "now": now.get("line") or "",
            "done": counted(now, asked.get("experiments")),
            "policy": f"{asked.get('policy', '')}; proposals by {asked.get('by', '')}",
            "busy": "" if busy is None else f"{100 * busy:.0f} % of the time a run was at work",
            "cost": "" if cost is None else f"{cost:.2f}",
            "ends": clock(now.get("finish") or now.get("deadline"))
            if now["phase"] not in ENDED
            else "",
            "notes": "\n".join(now.get("notes") or ()),
        }

    def __repr__(self) -> str:
        now = self.state
        what = now.get("reason") or now.get("line") or ""
        done = counted(now, self.asked.get("experiments"))
        return f"<Night {self.campaign.tag} {now['phase']}: {done}{'; ' if what else ''}{what}>"

    def _repr_html_(self) -> str:
        return render.card(self._summary())

    def __str__(self) -> str:
        return render.table(self._summary()).rstrip()


class NightGoesOn(runner.WaitInterrupted):
    """Somebody interrupted the waiting for a night; shown in one line in notebooks."""

    def __str__(self) -> str:
        return "only the waiting was interrupted, the night goes on; night.wait() waits again"


def overnight(
    campaign: Campaign,
    *,
    approve: Policy | str | None = None,
    hours: float | None = None,
    experiments: int | None = None,
    by: Proposer | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
    patience: int | None = None,
    failures: int = 5,
    queue: int = 3,
    min_free_gb: float = 1.0,
    again: bool = False,
) -> Night:
    """Run experiments until a limit is reached, in a process of its own; returns at once.

    The night uses the same four steps as a notebook does and needs neither the kernel nor the
    browser. The same call finds it again; one that was killed goes on where it was.

    Parameters
    ----------
    approve
        Who decides on proposals: ``"everything"``, ``ark.policies.ask(minutes=30,
        then="approve")``, ``ark.policies.small(lines=20)``, or a function of the proposal that
        returns True, False, a reason to refuse, or None to ask a person.
    hours
        No experiment is begun after so many hours; 8 unless `experiments` is given.
    experiments
        How many experiments to make, refused ones included.
    by
        The proposer; otherwise as in `propose`.
    max_cost, max_tokens
        Make no further proposal once the night's proposals have cost so much.
    patience
        End after so many experiments in a row without a keep.
    failures
        End after so many failed proposals, or crashes, in a row.
    queue
        How many proposals may wait for a person at a time.
    min_free_gb
        End when the disk has less room, in gigabytes.
    again
        Start another night although the last one has ended.

    Raises
    ------
    CampaignError
        When nobody is named who approves, or a limit makes no sense.

    Notes
    -----
    A proposer or policy that the notebook itself defines can't leave its kernel: it runs in a
    thread there, the night waits for it, and says so. One from a module travels.
    """
    limits = {
        "experiments": experiments,
        "max_cost": max_cost,
        "max_tokens": max_tokens,
        "patience": patience,
        "failures": failures,
        "queue": queue,
        "min_free_gb": min_free_gb,
    }
    with files.locked(campaign.state / "nights.lock"):  # two cells make one night
        night = latest(campaign)
        if night is not None and not again:
            given = {name: limits[name] for name in ("experiments", "max_cost", "max_tokens")}
            return _found(night, by, approve, {"hours": hours, "patience": patience, **given})
        if night is not None and night.status not in ENDED:
            raise CampaignError(
                f"a night of {campaign.tag} is {night.status} already; night.stop() ends it. One "
                "campaign has one night at a time."
            )
        functions: dict[str, Callable[..., Any]] = {
            "approve": _policy(approve),
            "by": proposers.choose(campaign, by),
        }
        if hours is None and experiments is None:
            hours = HOURS
        _check(hours=hours, **limits)
        _check_reports(functions["by"], max_cost=max_cost, max_tokens=max_tokens)
        night = Night(
            campaign, campaign.state / "nights" / f"{time.time_ns():019d}-{secrets.token_hex(2)}"
        )
        started = datetime.now(UTC)
        deadline = None if hours is None else (started + timedelta(hours=hours)).isoformat()
        times = {"started": started.isoformat(), "hours": hours, "deadline": deadline}
        _begin(night, functions, {**times, **limits})
    return night


def latest(campaign: Campaign) -> Night | None:
    """Return the campaign's running or last night; None when there was none."""
    for file in sorted((campaign.state / "nights").glob("[0-9]*/night.json"), reverse=True):
        if (night := Night(campaign, file.parent)).asked:  # else a power cut emptied it
            return night
    return None


def _found(
    night: Night,
    by: Proposer | None,
    approve: Policy | str | None,
    limits: Mapping[str, float | None],
) -> Night:
    """Return a night that is there already: watched, or started again after a kill."""
    campaign, status = night.campaign, night.status
    if status in ("finished", "stopped"):
        print(
            f"This night of {campaign.tag} has {status}: {night.state['reason']}. "
            "again=True starts another."
        )
        return night
    asked = night.asked  # of an earlier version it may not tell all
    other = [f"{k}={v}" for k, v in limits.items() if v is not None and v != asked.get(k, v)]
    if other:
        print(
            f"The night of {campaign.tag} goes on as it was started, without {', '.join(other)}. "
            "night.stop() ends it; again=True then starts another."
        )
    functions: dict[str, Callable[..., Any]] = {}
    if by or campaign.by:
        functions["by"] = proposers.choose(campaign, by)
    if approve is not None:
        functions["approve"] = _policy(approve)
    if status == "died":
        print(f"The night of {campaign.tag} goes on: {night.state['reason'].partition(';')[0]}.")
        night.resume()
        _begin(night, functions, night.asked)
    else:
        here = {name: f for name, f in functions.items() if name in night.asked["lent"]}
        evening.lend(night.dir, campaign, here, lambda: night.status in ENDED)
    return night


def _begin(
    night: Night, functions: Mapping[str, Callable[..., Any]], asked: Mapping[str, Any]
) -> None:
    """Write what a night needs, start its process, and answer for what can't travel."""
    campaign, folder = night.campaign, night.dir
    stay = evening.pack(folder, functions)
    names = {
        "by" if name == "by" else "policy": clean(evening.name_of(function), 100)
        for name, function in functions.items()
    }
    lent = stay | (set(asked.get("lent", ())) - set(functions))
    where = {"host": str(campaign.path), "tag": campaign.tag, "lent": sorted(lent)}
    files.write_json(folder / "night.json", {**asked, **names, **where})
    evening.launch(folder, campaign.path, lambda: night.status in ENDED)
    lending = {name: function for name, function in functions.items() if name in stay}
    evening.lend(folder, campaign, lending, lambda: night.status in ENDED)


def _policy(approve: Policy | str | None) -> Policy:
    if isinstance(approve, str):
        return policies.parse(approve)
    if not callable(approve):
        raise CampaignError(
            f"approve={approve!r}: while nobody looks, somebody has to decide. Give "
            "approve='everything', ark.policies.ask(minutes=30, then='approve'), "
            "ark.policies.small(lines=20), or a function of the proposal."
        )
    return approve


def _check(**limits: float | None) -> None:
    for name, value in limits.items():
        if value is None:
            continue
        zero = name in ("max_cost", "max_tokens", "min_free_gb")  # 0 is a limit too
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise CampaignError(f"{name}={value!r}; expected a number above 0")
        if name == "hours" and value > MOST_HOURS:
            raise CampaignError(f"hours={value!r}; expected at most {MOST_HOURS:,}")


def _check_reports(by: Proposer, **limits: float | None) -> None:
    """Raise when a limit counts what the proposer is known not to report."""
    reports = getattr(by, "reports", None)
    for (name, value), what in zip(limits.items(), ("money", "tokens"), strict=True):
        if value is not None and reports is not None and what not in reports:
            instead = "experiments="
            if "tokens" in reports:
                instead = "max_tokens=, or the proposer a price={'input': ..., 'output': ...},"
            raise CampaignError(
                f"{name}={value!r}, but {by!r} can't say how much {what} a proposal takes; give "
                f"{instead} instead"
            )


def counted(now: Mapping[str, Any], of: int | None = None) -> str:
    """Return how many experiments there were, by verdict, in words."""
    found = now.get("counts") or {}
    names = {"keep": "kept", "discard": "discarded", "crash": "crashed"}
    words = [f"{found[name]} {names.get(name, name)}" for name in STATUSES if found.get(name)]
    done = f"{sum(found.values())} of {of}" if of else f"{sum(found.values())}"
    return f"{done} experiments" + (f" ({', '.join(words)})" if words else "")


def clock(iso: str | None) -> str:
    """Return a moment as the wall clock here shows it; empty for None."""
    return datetime.fromisoformat(iso).astimezone().strftime("%a %H:%M") if iso else ""


def _bar(night: Night) -> Any:
    return progress.counter(night.asked.get("experiments"))


def _draw(bar: Any, now: Mapping[str, Any]) -> None:
    done = sum((now.get("counts") or {}).values())
    bar.n = done
    bar.set_description_str(str(now["phase"]), refresh=False)
    bar.set_postfix_str(str(now.get("line") or now.get("reason") or ""), refresh=True)
