"""TPE against random search on real training runs, from one and the same scored baseline.

One lab with one baseline, and so one measured budget, is copied for each arm and seed. Random
search makes the same moves without a model of the results: within half of each range around the
best state, three constants at a time. An interrupted call goes on where it was.

    python benchmarks/tpe_random.py labs/tpe-random --seeds 4 --experiments 25
    python benchmarks/tpe_random.py labs/tpe-random --seeds 4 --experiments 25 --arm random
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from scipy import stats

import autoresearch_kit as ark
from autoresearch_kit import files
from autoresearch_kit.proposers import TPE

ARMS = ("random", "tpe")
TAG = "arm"
BASELINE = "baseline"


def proposer(arm: str, seed: int) -> TPE:
    """Return what proposes in an arm; by seed, the series of its proposals."""
    if arm == "random":
        return TPE(sampler=optuna.samplers.RandomSampler, startup=0, seed=seed)
    return TPE(seed=seed)


def campaign_of(
    folder: Path, arm: str, seed: int, *, task: str = "language_model", profile: str = "smoke"
) -> ark.Campaign:
    """Return the campaign of one arm and seed: a copy of the scored baseline, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    # Names of equal length: the length of a path shifts a process's memory and so its speed.
    place = folder / f"{arm[:3]}-{seed:03d}"
    with files.locked(folder / "baseline.lock"):  # arms may run side by side
        lab = ark.new_lab(folder / BASELINE, task=task, profile=profile)
        ark.baseline(ark.open_campaign(lab, tag=TAG))
        if not place.exists():
            making = folder / f".{place.name}"
            shutil.rmtree(making, ignore_errors=True)
            shutil.copytree(lab.path, making, symlinks=True)
            making.rename(place)
    return ark.open_campaign(place, tag=TAG)


def run(folder: Path, arm: str, seed: int, experiments: int) -> None:
    """Bring the campaign of one arm and seed to this many experiments."""
    campaign, by = campaign_of(folder, arm, seed), proposer(arm, seed)
    while (done := len(campaign.records()) - 1) < experiments:
        proposal = ark.propose(campaign, by=by)
        if proposal.status == "open":
            proposal.approve()
        score = ark.score(ark.train_5min(ark.apply(proposal)))
        print(f"{arm} {seed}, {done + 1}/{experiments}: {score}", flush=True)


def best_values(folder: Path, arm: str, seed: int, experiments: int) -> list[float]:
    """Return the best value after each of the experiments that are decided by now."""
    campaign = campaign_of(folder, arm, seed)
    better = min if campaign.task.goal == "minimize" else max
    best: list[float] = []
    for record in campaign.records()[: experiments + 1]:
        kept = record.value if record.status == "keep" else None
        best.append(better([v for v in (*best[-1:], kept) if v is not None]))
    return best


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean difference a - b with its 95 % interval (Welch's t)."""
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(np.mean(a) - np.mean(b)), float(interval.low), float(interval.high)


def report(folder: Path, seeds: int, experiments: int) -> str:
    """Return the best values of each seed that is finished and how the arms differ."""
    ends: dict[str, list[float]] = {}
    lines = [f"best value after 0, 5, 10, ... {experiments} experiments"]
    for arm in ARMS:
        ends[arm] = []
        for seed in range(seeds):
            if not (folder / f"{arm[:3]}-{seed:03d}").exists():
                continue
            values = best_values(folder, arm, seed, experiments)
            shown = " ".join(f"{value:.4f}" for value in values[::5])
            finished = len(values) > experiments
            lines.append(f"{arm:>6} {seed}: {shown}{'' if finished else '  (not finished)'}")
            if finished:
                ends[arm].append(values[-1])
        if ends[arm]:
            spread = f" ± {np.std(ends[arm], ddof=1):.4f}" if len(ends[arm]) > 1 else ""
            lines.append(f"{arm:>6} mean: {np.mean(ends[arm]):.4f}{spread} (standard deviation)")
    if min(map(len, ends.values())) > 1:
        mean, low, high = difference(ends["tpe"], ends["random"])
        counts = f"{len(ends['tpe'])} and {len(ends['random'])} seeds"
        lines.append(
            f"tpe - random: {mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, {counts}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--experiments", type=int, default=25)
    parser.add_argument("--arm", choices=ARMS, help="only this one")
    args = parser.parse_args()
    for seed in range(args.seeds):
        for arm in [args.arm] if args.arm else ARMS:
            run(args.folder, arm, seed, args.experiments)
    print(report(args.folder, args.seeds, args.experiments))


if __name__ == "__main__":
    main()
