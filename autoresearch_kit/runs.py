"""The runs of an experiment: their folders, what they measured, and what is kept of them."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import device, files, git, ledger, runner, sandbox, seal, stopping
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
        _move_along(run, campaign)
        if experiment.record is not None:
            _restore(run, experiment)
            return run
        _make_room(run, again=again)
        if not folder.exists():
            sandbox.warn()
            seal.check(campaign)  # rather before the training than after it
            _make(run, _spec(experiment, replicate))
    runner.launch(folder, "train")
    return run


def measure(
    experiment: Experiment,
    seed: int,
    *,
    name: str = "",
    commit: str = "",
    splits: Sequence[str] = ("val",),
) -> tuple[Run, Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Train once more, beside the verdict, and score it; return run, final state and results.

    What was measured is found again; what was stopped or lost is started again.

    Parameters
    ----------
    experiment
        Whose run it is; the code as well, unless `commit` names another.
    name
        What the run is for: the first part of its folder's name, before the seed.
    splits
        The data that the scorer measures on: ``val``, the sealed ``test``, or one after the other.

    Raises
    ------
    CampaignError
        When a person stopped the run.
    """
    campaign = experiment.campaign
    folder = campaign.state / "runs" / f"{name or f'again-{experiment.n:04d}'}-{seed}"
    run = Run(folder, experiment.n, campaign.tag, seed, seed - 1)
    with _alone(folder):
        while True:
            with files.locked(campaign.state / "runs.lock"):
                _make_room(run, again=True)
                if not folder.exists():
                    spec = _spec(experiment, run.replicate) | {"seed": seed, "early": None}
                    spec["slow_before"] = _slow_before(campaign, folder.name)
                    if commit and commit != experiment.commit:
                        ratio = _known_ratio(folder)
                        spec |= {"commit": commit, "kind": "candidate", "ratio": ratio}
                    _make(run, spec)
            runner.launch(folder, "train")
            state, results = _measured(run, campaign, splits)
            if state["phase"] == "stopped":
                raise CampaignError(f"the run in {folder} was stopped; the same call goes on")
            if state["phase"] != "lost":
                return run, state, results


def _measured(
    run: Run, campaign: Campaign, splits: Sequence[str]
) -> tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]:
    """Wait for a run, score it on each of the splits once, and remove its weights then."""
    known: dict[str, Any] = files.read_table(run.dir / "measured.json")
    state: Mapping[str, Any] = {}
    results: dict[str, Mapping[str, Any]] = {}
    for split in splits:
        state = runner.wait(run.dir, "train")
        if split not in known:
            state, known[split] = _finish(run, campaign, split)
        results[split] = known[split]
        if "error" in results[split]:
            return state, results  # the scorer is repaired, and asked again
        if state["phase"] != "done":
            break
        files.write_json(run.dir / "measured.json", known)
    for part in ("out", "code"):  # nobody asks for its weights
        files.remove_tree(run.dir / part)
    return state, results


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep others, such as a night that audits the same, from measuring the same run meanwhile."""
    lock = folder.with_name(f".{folder.name}.lock")
    with files.try_lock(lock) as mine:
        if mine is not None:
            yield
            return
    print("Another process measures the same; its result is waited for.")
    with files.locked(lock):
        yield


def extra(campaign: Campaign) -> list[Run]:
    """Return the runs that train beside the verdicts: of repeats, audits and ablations."""
    folders = (campaign.state / "runs").glob("[a-z]*-[0-9]*")
    alive = [folder for folder in folders if runner.is_alive(folder, "train")]
    specs = [(folder, files.read_json(folder / "run.json") or {}) for folder in alive]
    return [
        Run(folder, spec["experiment"], campaign.tag, spec["seed"], spec["replicate"])
        for folder, spec in specs
    ]


def _make_room(run: Run, *, again: bool) -> None:
    if not run.dir.exists():
        return
    if run.status == "stopped" and not again:
        raise CampaignError(
            f"the run of experiment {run.experiment:04d} was stopped; type "
            "run = ark.train_5min(experiment) to start it again."
        )
    if run.status in ("lost", "stopped"):
        _put_aside(run)


def _make(run: Run, spec: Mapping[str, Any]) -> None:
    making = run.dir.parent / f".{secrets.token_hex(6)}"
    files.write_json(making / "run.json", spec)
    making.rename(run.dir)


def _move_along(run: Run, campaign: Campaign) -> None:
    """Tell a run whose repository was moved since it was made where that is now."""
    spec = files.read_json(run.dir / "run.json")
    if spec and not Path(spec["host"]).exists():
        here = {"host": str(campaign.path), "repo": str(git.common_dir(campaign.path))}
        command = campaign.task.command(campaign.path)
        files.write_json(run.dir / "run.json", {**spec, **here, "command": command})


def finish(run: Run, experiment: Experiment) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Wait until a run is trained and measured; return its final state and what was measured.

    A run that the machine loses on the way is repeated.
    """
    state, result = _finish(run, experiment.campaign)
    while state["phase"] in ("lost", "stopped"):
        start(experiment, run.replicate)  # when it was stopped: raises, and says what to type
        state, result = _finish(run, experiment.campaign)
    return state, result


def _finish(
    run: Run, campaign: Campaign, split: str = "val"
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    state = runner.wait(run.dir, "train")
    if state["phase"] == "done":
        seal.check(campaign)
    if state["phase"] != "done" or not campaign.task.score:
        return state, {"value": state.get("printed")}
    spec = files.read_json(run.dir / "run.json") or {}
    said = files.read_table(run.dir / "score.json").get("split", split)
    if spec.get("split", "val") != split or said != split:
        # First, so that a kill between leaves no result that passes for one of this split.
        (run.dir / "score.json").unlink(missing_ok=True)
        files.write_json(run.dir / "run.json", {**spec, "split": split})
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
    number = (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max
    )
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
            if phase in ("done", "crash", "hopeless") and time.time() - ended < MOMENT:
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


def _seed(replicate: int) -> int:
    return 1 + replicate


def _spec(experiment: Experiment, replicate: int) -> dict[str, Any]:
    campaign = experiment.campaign
    first = Run(campaign.state / "runs" / f"{experiment.n:04d}-0", 0, "", 0, 0)
    base = next((r for r in campaign.records() if r.n == 0), None)
    measured = base.baseline if base else first.state if not experiment.n and replicate else {}
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
        "baseline_tokens": measured.get("baseline_tokens"),
        "baseline_setup_cpu_seconds": measured.get("setup_cpu_seconds"),
        # The cost of an experiment is measured once: its repeats train for the same tokens.
        "ratio": first.state.get("ratio") if replicate else None,
        "peer_tokens_per_second": _peers(campaign),
        "slow_before": _slow_before(campaign, f"{experiment.n:04d}-{replicate}"),
        "early": stopping.bar(experiment) if experiment.n else None,
        "split": "val",
    }


def _peers(campaign: Campaign) -> dict[str, float]:
    """Return the usual speed of runs here, tokens a second, by their number of parameters."""
    here, speeds = device.pick(), dict[str, list[float]]()
    standing = campaign.standing()
    for record in standing.experiments:  # what was discarded may have lied about its work
        if record.n in standing.line and record.parameters and record.device == here:
            found = [run.get("tokens_per_second") for run in record.replicates]
            speeds.setdefault(str(record.parameters), []).extend(speed for speed in found if speed)
    return {parameters: statistics.median(all_) for parameters, all_ in speeds.items() if all_}


def _slow_before(campaign: Campaign, name: str) -> list[float]:
    """Return the speeds of attempts at a run that were lost because they were slow."""
    states = [
        files.read_json(folder / "status.json") or {}
        for folder in (campaign.state / "runs").glob(f"{name}.lost*")
    ]
    return [float(state["tokens_per_second"]) for state in states if state.get("slow")]


def _known_ratio(folder: Path) -> float | None:
    """Return what an earlier run of the same purpose, on another seed, was found to cost."""
    others = folder.parent.glob(f"{folder.name.rpartition('-')[0]}-[0-9]*")
    ratios = ((files.read_json(o / "status.json") or {}).get("ratio") for o in sorted(others))
    return next((float(ratio) for ratio in ratios if ratio), None)


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
