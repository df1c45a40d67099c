"""Campaigns of which the truth is known: ideas and runs are drawn, the kit's rules decide."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pandas as pd

from autoresearch_kit import decide, noise
from autoresearch_kit.decide import Evidence

SD = 0.001

WORLDS: dict[str, Callable[[random.Random], float]] = {
    "none": lambda rng: 0.0,
    "early": lambda rng: rng.gauss(-1, 2),
    "late": lambda rng: rng.expovariate(1 / 2) if rng.random() < 1 / 12 else -rng.expovariate(1),
}


def campaign(
    world: str = "early",
    rule: str = "two_stage",
    experiments: int = 100,
    seed: int = 0,
    goal: str = "minimize",
    **columns: Any,
) -> pd.DataFrame:
    """Return a table like that of `history`, and the true gain of each change in `truth`."""
    rng, sign = random.Random(f"{world} {seed}"), 1.0 if goal == "maximize" else -1.0
    decide_ = decide.RULES[rule]

    def run(worth: float, seed: int) -> dict[str, Any]:
        return {"seed": seed, "value": 1.0 + sign * SD * (worth + rng.gauss(0, 1))}

    best = [run(0.0, i) for i in range(3 if rule == "two_stage" else 1)]
    groups, numbers, worth, parent = [best], {}, 0.0, 0
    rows: list[dict[str, Any]] = [_row(0, "keep", best, None, None, 0.0)]
    for n in range(1, experiments + 1):
        effect = WORLDS[world](rng)
        known = noise.pooled([[r["value"] for r in g] for g in groups], SD)
        replicates: list[dict[str, Any]] = []
        more = 1
        while more:
            replicates.append(run(worth + effect, len(replicates)))
            shown = Evidence(replicates, best, goal, known, believed=numbers)
            verdict = decide_(shown)
            more = verdict.more
        rows.append(_row(n, verdict.status, replicates, verdict, parent, SD * effect))
        if len(replicates) > 1:
            groups.append(replicates)
        if verdict.status == "keep":
            best, numbers, parent = replicates, verdict.numbers, n
            worth += effect
    df = pd.DataFrame(rows).assign(campaign="sim", **columns)
    df["parent"] = df["parent"].astype("Int64")
    df.attrs = {"metric": "loss", "unit": "", "goal": goal, "notes": []}
    return df


def _row(
    n: int, status: str, runs: list[dict[str, Any]], verdict: Any, parent: int | None, truth: float
) -> dict[str, Any]:
    numbers = verdict.numbers if verdict else {}
    return {
        "experiment": n,
        "status": status,
        "metric": decide.mean(runs),
        "delta": verdict.delta if verdict else None,
        "gain": verdict.gain if verdict else None,
        "noise": verdict.noise if verdict else None,
        "error": numbers.get("error"),
        "sigma": numbers.get("z"),
        "parent": parent,
        "replicates": " ".join(f"{r['seed']}:{r['value']!r}" for r in runs),
        "n_replicates": len(runs),
        "lines_added": 1,
        "lines_removed": 1,
        "truth": truth,
    }
