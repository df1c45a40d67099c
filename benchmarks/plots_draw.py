"""Time to draw the staircase of generated campaigns, beside the same points in plain matplotlib.

    python benchmarks/plots_draw.py --sizes 10 126 1000 --rounds 5

Plain is a scatter and a step line, without labels, bars, noise or legend. Both are drawn on a
canvas; they take turns in one process, and the first round of each isn't counted. CPU seconds say
what a drawing costs, wall seconds what it takes on a machine as busy as this one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd

import autoresearch_kit as ark


def campaign(n: int) -> pd.DataFrame:
    """Return a table of `n` experiments: gains grow rarer, some crash, good ones run twice."""
    chance = random.Random(n)
    best, rows = 2.4, []
    for i in range(n):
        value = best + chance.gauss(0.01, 0.012)
        keep = i == 0 or (value < best - 0.004 and chance.random() < 1 / (1 + i / 60))
        status = "keep" if keep else "crash" if chance.random() < 0.06 else "discard"
        best = value if keep else best
        words = f"raise the learning rate of the matrices for the {i}. time"
        runs = 2 if value < best + 0.003 else 1
        rows.append((i, status, value if status != "crash" else None, words, runs, 0.003))
    names = ["experiment", "status", "metric", "hypothesis", "n_replicates", "noise"]
    df = pd.DataFrame(rows, columns=names)
    df.attrs = {"metric": "val_loss", "unit": "nats", "goal": "minimize"}
    return df


def ours(df: pd.DataFrame) -> None:
    ark.plots.progress(df).figure.canvas.draw()


def plain(df: pd.DataFrame) -> None:
    figure, ax = plt.subplots(figsize=(10, 5.5), layout="constrained")
    kept = df[df["status"] == "keep"]
    ax.scatter(df["experiment"], df["metric"])
    ax.step(kept["experiment"], kept["metric"], where="post")
    figure.canvas.draw()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 126, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for n in args.sizes:
        df = campaign(n)
        wall: dict[str, list[float]] = {"ours": [], "plain": []}
        cpu: dict[str, list[float]] = {"ours": [], "plain": []}
        for _ in range(args.rounds + 1):
            for name, draw in (("ours", ours), ("plain", plain)):
                start = time.perf_counter(), time.process_time()
                draw(df)
                wall[name].append(time.perf_counter() - start[0])
                cpu[name].append(time.process_time() - start[1])
                plt.close("all")
        own, other = (statistics.median(cpu[name][1:]) for name in ("ours", "plain"))
        print(
            f"{n} experiments: staircase {own:.3f} CPU s, plain {other:.3f}, ratio "
            f"{own / other:.1f}; wall {statistics.median(wall['ours'][1:]):.3f} s, most "
            f"{max(wall['ours'][1:]):.3f} s, the first {wall['ours'][0]:.3f} s"
        )


if __name__ == "__main__":
    main()
