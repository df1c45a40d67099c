"""What a night does besides experiments: audits that are due, repeats while the device is idle."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator

from autoresearch_kit import audits, files, repeats, runs
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import AutoresearchError

ENOUGH_RUNS = 4
"""Runs of the best state after which further ones tell little."""

LEAST_SECONDS = 10.0
"""A pause this short is no idle time, however short the runs are."""


class SpareTime:
    """The spare time of a night's device.

    Attributes
    ----------
    doing
        What it is used for now, in words; "" while it isn't.
    """

    def __init__(self, campaign: Campaign, note: Callable[[str], None]) -> None:
        self.campaign, self.note = campaign, note
        self.doing = ""
        self._stopped = False
        self._tried: set[str] = set()  # what failed and is not begun again
        self._idle_since = time.monotonic()

    def worked(self) -> None:
        """Note that the device has just been used."""
        self._idle_since = time.monotonic()

    def audit(self) -> bool:
        """Audit the best state when that is due; tell whether anything was done."""
        best = self.campaign.best_record
        if best is None or not audits.due(self.campaign):
            return False
        doing = f"audit of {best.n:04d}"
        if doing in self._tried:
            return False
        with self._use(doing):
            self.note(repr(audits.audit(self.campaign)))
        return True

    def repeat(self) -> bool:
        """Run the best state once more when the device was idle for as long as a run takes.

        Its luck when it was chosen wears off, and the noise is known better. A proposal that comes
        meanwhile has waited for at most twice as long as without.
        """
        best, seconds = self.campaign.best_record, runs.expected_seconds(self.campaign)
        if best is None or seconds is None:
            return False
        doing = f"repeat of {best.n:04d}"
        if doing in self._tried:
            return False
        seeded = all(run.get("seed_injected") is not False for run in best.replicates)
        if not seeded or not 0 < len(best.replicates) < ENOUGH_RUNS:
            return False
        if time.monotonic() - self._idle_since < max(seconds, LEAST_SECONDS):
            return False
        if runs.under_way(self.campaign):
            return False
        with self._use(doing):
            score = repeats.repeat(self.campaign, best.n, times=1)
            now = self.campaign.experiment(best.n).record
            if now is None or len(now.replicates) == len(best.replicates):
                self._tried.add(doing)  # it crashed
            else:
                self.note(f"{best.n:04d} was run once more: {score.metric} {score.value:.6g} now")
        return True

    def stop(self) -> None:
        """End what is being done; when it is asked for again it goes on."""
        self._stopped = True
        if self.doing:
            for run in runs.extra(self.campaign):
                spec = files.read_json(run.dir / "run.json") or {}
                if spec.get("priority") == "night":  # a person's own go on
                    run.stop()

    @contextlib.contextmanager
    def _use(self, doing: str) -> Iterator[None]:
        """Do something that the night doesn't depend on: what goes wrong is a note, once."""
        self.doing, self._stopped = doing, False
        try:
            yield
        except Exception as error:
            if self._stopped:
                return
            self._tried.add(doing)
            self.note(f"no {doing}: {error}")
            if not isinstance(error, AutoresearchError):
                traceback.print_exc()
        finally:
            self.doing, self._idle_since = "", time.monotonic()
