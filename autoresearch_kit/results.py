"""What runs came to: their part of the evidence and of the record, and what is kept of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import files, records
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.runner import Run

KEPT_WEIGHTS = 5
LOG_TAIL = 20_000


def crash_reason(state: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """Return why an experiment crashed, in training or when it was scored; empty if it didn't.

    Raises
    ------
    ScorerError
        When the scorer failed, which is not the experiment's fault.
    """
    if state["phase"] == "crash":
        return str(state["reason"])
    if "error" in result:
        raise ScorerError(
            f"the trusted scorer failed, so there is no verdict: {result['error']}. Repair what "
            "it names and type ark.score(run) again; the run itself is kept."
        )
    return str(result.get("crash", ""))


def suspicion(result: Mapping[str, Any]) -> str:
    """Return what the scorer wants a person to look at; empty when there is nothing."""
    return records.clean(str(result.get("quarantine") or ""))


def note(result: Mapping[str, Any]) -> dict[str, str]:
    """Return what the scorer tells beside the metric, for people and proposers, as evidence."""
    said = records.clean(str(result.get("note") or ""))
    return {"note": said} if said else {}


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
        "tokens_per_second": state.get("tokens_per_second"),
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
        "stopped_early": state.get("stopped_early"),
    }


def attachments(run: Run, replicates: Sequence[Mapping[str, Any]] = ()) -> dict[str, bytes]:
    """Return what is kept of runs in git: the last one's log, the losses row by row, program.md."""
    kept = {}
    spec = files.read_json(run.dir / "run.json") or {}
    places = {
        "log.txt": run.dir / "log.txt",
        "score.json": run.dir / "score.json",
        "program.md": Path(spec.get("host", "")) / "program.md",
    }
    for index, one in enumerate(replicates):
        places[f"rows-{index}.npz"] = run.dir.parent / str(one["run"]) / "score" / "rows.npz"
    for name, path in places.items():
        with contextlib.suppress(OSError):
            content = path.read_bytes()
            kept[name] = content[-LOG_TAIL:] if name == "log.txt" else content
    return kept


def rows(experiment: Experiment, replicates: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Return the losses row by row of an experiment's runs, as their scorer wrote them."""
    folder = experiment.campaign.state / "runs"
    places = [folder / str(one["run"]) / "score" / "rows.npz" for one in replicates]
    return [place.read_bytes() for place in places if place.is_file()]


def calibrated(campaign: Campaign, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the campaign's settings with what the baseline's first run measured."""
    measured = {name: state.get(name) for name in ("baseline_tokens", "setup_cpu_seconds")}
    return {**campaign.settings, **measured}


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
