"""Run a campaign with the default proposer, and draw or export it.

Every proposal is approved. An interrupted call goes on where it was.

    python benchmarks/campaign.py labs/picture --experiments 16 --picture picture.png
    python benchmarks/campaign.py labs/kernel --task kernel --profile rmsnorm --export kernel.bundle
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

import autoresearch_kit as ark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lab", type=Path)
    parser.add_argument("--task", default="language_model")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--seeds", type=int, default=1, help="runs of the starting point")
    parser.add_argument("--tag", default="picture")
    parser.add_argument("--experiments", type=int, default=16)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--export", type=Path, metavar="FILE.bundle")
    args = parser.parse_args()
    lab = ark.new_lab(args.lab, task=args.task, profile=args.profile)
    campaign = ark.open_campaign(lab, tag=args.tag)
    print(ark.baseline(campaign, seeds=args.seeds))
    while len(campaign.records()) <= args.experiments:
        proposal = ark.propose(campaign)
        if proposal.status == "open":
            proposal.approve()
        print(ark.score(ark.train_5min(ark.apply(proposal))))
    table = ark.history(campaign)
    columns = ["experiment", "status", "metric", "delta", "hypothesis"]
    print(table[columns].to_string(index=False))
    if args.picture:
        figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
        ark.plots.progress(table, ax=axes)
        figure.savefig(args.picture, dpi=110)
    if args.export:
        ark.export(campaign, args.export)


if __name__ == "__main__":
    main()
