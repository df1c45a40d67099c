"""The runs of an experiment: their folders, what they measured, and what is kept of them."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import device, files, git, ledger, records, runner
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import CampaignError, RunLost
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.runner import Run

PRIORITY = "AUTORESEARCH_PRIORITY"
"""Environment variable of a process whose runs let others go first: a night sets it to night."""

MAX_LOST = 5
"""How often one run may be lost, by a killed process or a full disk, before it counts."""

MOMENT = 2.0
"""Seconds that whoever waits for a run may take to go on when it has ended."""

KEPT_WEIGHTS = 5
LOG_TAIL = 20_000


def start(experiment: Experiment, replicate: int, *, again: bool = False) -> Run:
    """Return the run of an experiment on its `replicate`-th seed, started if it isn't there.

    Parameters
    ----------
    again
        Start it again when a person stopped it.

    Raises
    ------
    RunLost
        When it was lost `MAX_LOST` times for a reason that is not the experiment's.
    CampaignError
        When a person stopped it and `again` is False.
    """
    campaign = experiment.campaign
    folder = campaign.state / "runs" / f"{experiment.n:04d}-{replicate}"
    run = Run(folder, experiment.n, campaign.tag, _seed(replicate), replicate)
    with files.locked(campaign.state / "runs.lock"):
        if experiment.record is not None:
            _restore(run, experiment)
            return run
        if folder.exists():
            if run.status == "stopped" and not again:
                raise CampaignError(
                    f"the run of experiment {experiment.n:04d} was stopped; type "
                    "run = ark.train_5min(experiment) to start it again."
                )
            if run.status in ("lost", "stopped"):
                _put_aside(run)
        if not folder.exists():
            making = folder.parent / f".{secrets.token_hex(6)}"
            files.write_json(making / "run.json", _spec(experiment, replicate))
            making.rename(folder)
    runner.launch(folder, "train")
    return run


def finish(run: Run, experiment: Experiment) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Wait until a run is trained and measured; return its final state and what was measured.

    A run that the machine loses on the way is repeated.
    """
    state = runner.wait(run.dir, "train")
    while state["phase"] == "lost":
        start(experiment, run.replicate)
        state = runner.wait(run.dir, "train")
    if state["phase"] == "stopped":
        start(experiment, run.replicate)  # raises, and says what to type
    if state["phase"] == "crash" or not experiment.campaign.task.score:
        return state, {"value": state.get("printed")}
    for _ in range(MAX_LOST):
        runner.launch(run.dir, "score")
        result = runner.wait(run.dir, "score")
        if not result.get("lost"):
            return state, _checked(result)
    raise RunLost(
        f"scoring experiment {run.experiment:04d} was killed {MAX_LOST} times; is the machine "
        "out of memory? Then type ark.score(run) again."
    )


def _checked(result: Mapping[str, Any]) -> Mapping[str, Any]:
    value = result.get("value")
    number = isinstance(value, int | float) and math.isfinite(value)
    if number or "crash" in result or "error" in result:
        return result
    return {"error": f"it gave {value!r} as value; expected a finite number, or a crash"}


def expected_seconds(campaign: Campaign) -> float | None:
    """Return how long the best experiment's run took here; None while nothing has run."""
    best = campaign.best_record
    if best is None or best.training_seconds is None:
        return None
    return (best.setup_seconds or 0.0) + best.training_seconds


def latest_replicate(experiment: Experiment) -> int:
    """Return which seed the newest run of an experiment has; 0 when there is none."""
    folder = experiment.campaign.state / "runs"
    names = [p.name.split("-")[1] for p in folder.glob(f"{experiment.n:04d}-*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def newest(experiment: Experiment) -> Run:
    """Return the newest run of an experiment, whether it was started yet or not."""
    campaign, replicate = experiment.campaign, latest_replicate(experiment)
    folder = campaign.state / "runs" / f"{experiment.n:04d}-{replicate}"
    return Run(folder, experiment.n, campaign.tag, _seed(replicate), replicate)


def under_way(campaign: Campaign, but: str = "") -> bool:
    """Tell whether an undecided experiment is being trained or scored; not that of commit `but`."""
    for n, commit in ledger.pins(campaign).items():
        if n == 0 or commit == but:
            continue
        for folder in (campaign.state / "runs").glob(f"{n:04d}-[0-9]*"):
            if any(runner.is_alive(folder, job) for job in ("train", "score")):
                return True
            # Whoever waits for a run needs a moment to score it, or to record the verdict.
            ends = [folder / "score.json", folder / "status.json"]
            ended = max((end.stat().st_mtime for end in ends if end.exists()), default=0.0)
            phase = files.read_table(folder / "status.json").get("phase")
            if phase in ("done", "crash") and time.time() - ended < MOMENT:
                return True
    return False


def experiment_of(run: Run) -> Experiment:
    """Return the experiment that a run belongs to."""
    spec = files.read_json(run.dir / "run.json")
    if spec is None:
        raise CampaignError(f"there is no run in {run.dir}; it was removed or never started here")
    return _campaign(spec["host"], run.tag, spec["baseline_commit"]).experiment(run.experiment)


@functools.cache
def _campaign(host: str, tag: str, start: str) -> Campaign:  # noqa: ARG001 (part of the key)
    """Open a campaign once: what it holds in memory is fixed by its baseline commit `start`."""
    return open_campaign(host, tag=tag)


def replicate(run: Run, state: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return one run's part of the evidence for a decision."""
    return {
        "seed": run.seed,
        "seed_injected": (files.read_json(run.dir / "run.json") or {}).get("seed_injected"),
        "value": float(result["value"]),
        "run": run.dir.name,
        "tokens": state.get("tokens"),
        "ratio": state.get("ratio"),
        "training_seconds": state.get("training_seconds"),
    }


def facts(run: Run, state: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run adds to the record beside the metric."""
    spec = files.read_json(run.dir / "run.json") or {}
    return {
        "sandboxed": bool(state.get("sandboxed")) and bool(result.get("sandboxed", True)),
        "setup_seconds": state.get("setup_seconds"),
        "training_seconds": state.get("training_seconds"),
        "scoring_seconds": result.get("scoring_seconds"),
        "peak_memory_mb": state.get("peak_memory_mb"),
        "tokens": state.get("tokens"),
        "parameters": state.get("parameters"),
        "device": spec.get("device", ""),
        "curve": records.curve(state.get("curve") or []),
    }


def attachments(run: Run) -> dict[str, bytes]:
    """Return what is kept of a run in git: the log's tail, the losses row by row, program.md."""
    kept = {}
    spec = files.read_json(run.dir / "run.json") or {}
    places = {
        "log.txt": run.dir / "log.txt",
        "rows.npz": run.dir / "score" / "rows.npz",
        "score.json": run.dir / "score.json",
        "program.md": Path(spec.get("host", "")) / "program.md",
    }
    for name, path in places.items():
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            kept[name] = content[-LOG_TAIL:] if name == "log.txt" else content
    return kept


def calibrated(campaign: Campaign, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the campaign's settings with the budget as the baseline's first run measured it."""
    return {**campaign.settings, "baseline_tokens": state.get("baseline_tokens")}


def prune(campaign: Campaign) -> None:
    """Remove weights and code copies of all runs but the best, its parent and the last five."""
    best = campaign.best_record
    folders = sorted(p.parent for p in (campaign.state / "runs").glob("[0-9]*/out"))
    keep = {best.n, best.parent} if best else set()
    for folder in folders[:-KEPT_WEIGHTS]:
        decided = files.read_json(folder / "status.json") or {}
        if int(folder.name.split("-")[0]) not in keep and decided.get("ended"):
            for name in ("out", "code"):
                files.remove_tree(folder / name)


def _seed(replicate: int) -> int:
    return 1 + replicate


def _spec(experiment: Experiment, replicate: int) -> dict[str, Any]:
    campaign = experiment.campaign
    first = Run(campaign.state / "runs" / f"{experiment.n:04d}-0", 0, "", 0, 0)
    base = next((r for r in campaign.records() if r.n == 0), None)
    tokens = base.baseline.get("baseline_tokens") if base else None
    if tokens is None and experiment.n == 0 and replicate:
        tokens = first.state.get("baseline_tokens")
    return {
        "tag": campaign.tag,
        "experiment": experiment.n,
        "kind": "candidate" if experiment.n else "baseline",
        "commit": experiment.commit,
        "baseline_commit": campaign.start,
        "repo": str(git.common_dir(campaign.path)),
        "host": str(campaign.path),
        "seed": _seed(replicate),
        "replicate": replicate,
        # A host's own script need not read it, and then another seed changes nothing.
        "seed_injected": git.contains(campaign.path, experiment.commit, "[\"']SEED[\"']"),
        "device": device.pick(),
        "priority": os.environ.get(PRIORITY, "manual"),
        "expected_seconds": expected_seconds(campaign),
        "task": campaign.task.as_dict(),
        "command": campaign.task.command(campaign.path),
        "baseline_tokens": tokens,
        # The cost of an experiment is measured once: its repeats train for the same tokens.
        "ratio": first.state.get("ratio") if replicate else None,
    }


def _put_aside(run: Run) -> None:
    """Make room for another attempt, unless a lost run was repeated often enough."""
    state = run.state
    # A supervisor that was killed wrote no end: that is never the experiment's doing.
    kind = state["phase"] if "ended" in state else "killed"
    before = list(run.dir.parent.glob(f"{run.dir.name}.{kind}*"))
    if kind == "lost" and len(before) >= MAX_LOST - 1:
        if state.get("signal") == signal.SIGKILL:
            reason = f"killed {MAX_LOST} times in a row, by itself or by somebody on the machine"
            files.write_json(run.dir / "status.json", {**state, "phase": "crash", "reason": reason})
            return
        raise RunLost(
            f"the run of experiment {run.experiment:04d} was lost {MAX_LOST} times: "
            f"{state['reason']}. Its log is {run.dir / 'log.txt'}. When that is repaired, remove "
            f"{run.dir} and type ark.train_5min(experiment) again."
        )
    run.dir.rename(run.dir.with_name(f"{run.dir.name}.{kind}{len(before) + 1}"))


def _restore(run: Run, experiment: Experiment) -> None:
    """Give a decided experiment its run back on a machine that didn't train it."""
    record = experiment.record
    if run.dir.exists() or record is None or record.status == "refused":
        return
    state = {
        "phase": "crash" if record.status == "crash" else "done",
        "reason": record.reason,
        "ended": record.decided,
        "tokens": record.tokens,
        "curve": record.points,
    }
    files.write_json(run.dir / "status.json", state)
    campaign = experiment.campaign
    spec = {"host": str(campaign.path), "baseline_commit": campaign.start}
    files.write_json(run.dir / "run.json", spec)
