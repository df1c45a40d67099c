"""What TPE leaves of the gap on synthetic bowls: no training, no git, some minutes.

A bowl has 14 constants, each 0.7 octaves away from its optimum, and a result is the mean squared
distance in octaves, as a share of the baseline's, with noise. With `--crash` three of the
constants crash the run when they get too large together, in front of the optimum (`before`) or
just behind it (`behind`); or every seventh run crashes by `chance`. With `--slots` so many
proposals are open at once.

    python benchmarks/tpe_bowl.py --seeds 60
    python benchmarks/tpe_bowl.py --seeds 60 --crash before
    python benchmarks/tpe_bowl.py --seeds 20 --experiments 100 --slots 4
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from autoresearch_kit import source, values
from autoresearch_kit.proposers import tpe
from autoresearch_kit.records import Record

CONSTANTS = 14
AWAY = 0.7  # octaves from each constant to its optimum
NOISE = 0.05  # standard deviation, as a share of the gap
CHANCE = 1 / 7  # of a crash that no constant is to blame for
WALL = {
    "chance": np.inf,
    "before": 0.5,
    "behind": 2.4,
}  # octaves that three constants may grow together

PROPOSERS: dict[str, Callable[[int], tpe.TPE]] = {
    "TPE": lambda seed: tpe.TPE(seed=seed),
    "random": lambda seed: tpe.TPE(
        sampler=optuna.samplers.RandomSampler, startup=0, most=3, seed=seed
    ),
    "perturbed": lambda seed: tpe.TPE(startup=10**6, seed=seed),
}


@dataclasses.dataclass(frozen=True)
class Open:
    """A proposal that has no result yet, as far as TPE looks at it."""

    files: dict[str, str]

    @property
    def code(self) -> str:
        """The hash of the files, as records have it."""
        return source.digest(self.files)


class Bowl:
    """A campaign without a repository: `step` proposes, evaluates and decides greedily."""

    def __init__(self, seed: int, crash: str) -> None:
        self.rng = np.random.default_rng([seed, 17])
        starts = self.rng.choice([0.02, 0.3, 1.5, 8.0, 40.0], CONSTANTS)
        self.start = {f"C{i}": float(value) for i, value in enumerate(starts)}
        ups = self.rng.choice([-1.0, 1.0], CONSTANTS)
        self.wall = self.rng.choice(CONSTANTS, 3, replace=False)
        if crash in ("before", "behind"):
            ups[self.wall] = 1.0  # more is better, until it crashes
        self.crash, self.limit = crash, WALL.get(crash, np.inf)
        self.optimum = {
            name: v * 2 ** (AWAY * up)
            for up, (name, v) in zip(ups, self.start.items(), strict=True)
        }
        self.tag, self.state = f"bowl-{seed}", Path("/nonexistent")
        self.task = types.SimpleNamespace(goal="minimize")
        self.told: list[Record] = []
        self.files = {"fit.py": "".join(f"{k} = {v!r}\n" for k, v in self.start.items())}
        self.open: list[Open] = []
        self.best = 1.0
        self.true = 1.0
        self.kept = 0
        self.decide(self.files)

    def records(self) -> list[Record]:
        """Return what was decided so far."""
        return self.told

    def decide(self, files: dict[str, str]) -> None:
        """Evaluate a configuration and record the verdict."""
        now = {k: c.value for k, c in source.constants(files["fit.py"]).items()}
        octaves = np.array([np.log2(now[k] / v) for k, v in self.start.items()])  # type: ignore[operator]
        crashed = bool(octaves[self.wall].sum() > self.limit)
        crashed |= self.crash == "chance" and bool(self.told) and self.rng.random() < CHANCE
        off = [np.log2(now[k] / v) for k, v in self.optimum.items()]  # type: ignore[operator]
        true = float(np.mean(np.square(off))) / AWAY**2
        value = true + NOISE * float(self.rng.normal())
        first = not self.told
        keep = not crashed and (first or value < self.best)
        status = "crash" if crashed else "keep" if keep else "discard"
        n = len(self.told)
        record = Record(
            self.tag,
            n,
            status,
            str(n),
            "",
            None if first else self.kept,
            value=None if crashed else value,
            constants=now,
            code=source.digest(files),
        )
        self.told.append(record)
        if keep:
            self.best, self.true, self.kept, self.files = value, true, n, files


@contextlib.contextmanager
def without_folders() -> Iterator[None]:
    """Let TPE find open proposals in the bowl instead of on disk."""
    before = tpe.unfinished
    tpe.unfinished = lambda campaign: iter(campaign.open)  # type: ignore[attr-defined,assignment]
    try:
        yield
    finally:
        tpe.unfinished = before  # type: ignore[attr-defined]


def descend(job: tuple[str, int, int, str, int]) -> tuple[list[float], int]:
    """Return the true share of the gap left after each experiment, and the number of crashes."""
    name, seed, experiments, crash, slots = job
    by, bowl = PROPOSERS[name](seed), Bowl(seed, crash)
    left = []
    stand_in: Any = bowl
    with without_folders():
        while len(left) < experiments:
            while len(bowl.open) < slots:
                found = values.of_files(bowl.files)
                new, _ = by._suggest(stand_in, bowl.files, found)
                bowl.open.append(Open({**bowl.files, **values.set_in_files(bowl.files, new)}))
            bowl.decide(bowl.open.pop(0).files)
            left.append(bowl.true)
    return left, sum(record.status == "crash" for record in bowl.told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--experiments", type=int, default=25)
    parser.add_argument("--crash", choices=sorted(WALL), default="")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--by", nargs="*", choices=PROPOSERS, default=["TPE"])
    args = parser.parse_args()
    for name in args.by:
        jobs = [(name, s, args.experiments, args.crash, args.slots) for s in range(args.seeds)]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            results = pool.map(descend, jobs, chunksize=1)
        left = np.array([line for line, _ in results])
        crashes = [count for _, count in results]
        for after in sorted({min(25, args.experiments), args.experiments}):
            at = left[:, after - 1]
            error = at.std(ddof=1) / len(at) ** 0.5
            print(f"{name}: {at.mean():.3f} ± {error:.3f} left after {after}", end="; ")
        print(f"{np.mean(crashes):.1f} crashes")


if __name__ == "__main__":
    main()
