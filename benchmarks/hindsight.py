"""What `stats.gains` and `stats.false_keeps` are worth: simulated campaigns of which all is known.

Ideas and rules as in decisions.py. Printed are, as means over campaigns: keeps, how many of them
are worth nothing, how many are expected to be; then over all keeps the share of true gains within
the interval, and the error (root mean square, in deviations of one run) of the gain in hindsight
and of the one that was recorded with the verdict.

    python -m benchmarks.hindsight                     # 40 campaigns each: a minute
    python -m benchmarks.hindsight --experiments 20
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from autoresearch_kit import stats
from tests import simulated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=40)
    parser.add_argument("--experiments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=100, help="of the first campaign")
    args = parser.parse_args()
    print("| ideas | rule | keeps | false | expected | inside | error | recorded |")
    print("| --- " * 8 + "|")
    for world, rule in itertools.product(simulated.WORLDS, ("two_stage", "greedy")):
        counts, inside, errors, recorded = np.zeros(3), [], [], []
        for seed in range(args.seed, args.seed + args.campaigns):
            df = simulated.campaign(world, rule, args.experiments, seed).set_index("experiment")
            told = stats.gains(df.reset_index()).set_index("experiment")
            truth = df["truth"][told.index]
            expected = stats.false_keeps(df.reset_index()).attrs["expected"]
            counts += [len(told), (truth <= 0).sum(), expected]
            inside += list(truth.between(told["low"], told["high"]))
            errors += list((told["shrunk"] - truth) / simulated.SD)
            recorded += list((df["gain"][told.index] - truth) / simulated.SD)
        keeps, false, expected = counts / args.campaigns
        error, before = (np.sqrt(np.mean(np.square(some))) for some in (errors, recorded))
        print(
            f"| {world} | {rule} | {keeps:.2f} | {false:.2f} | {expected:.2f} | "
            f"{np.mean(inside):.0%} | {error:.2f} | {before:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
