"""The kit's own seconds in one experiment, with 100 and with 1,000 experiments in the history.

Everything but the training process counts: propose (TPE), approve, apply, launching and watching
the run, deciding and writing the record. The trainer prints its number at once. Where the machine
is busy, compare two versions by `cpu`, the CPU seconds of this process alone, and by `processes`,
those that it starts.

    python benchmarks/kit_overhead.py --sizes 100 1000 --rounds 7
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import autoresearch_kit as ark
from autoresearch_kit import git as plumbing
from autoresearch_kit import ledger, records

SCRIPT = """\
import os, time
begun = time.time()
LEARNING_RATE = 0.05  # search: 0.001 to 0.5 log
DEPTH = 4  # search: 1 to 400
WIDTH = 64  # search: 8 to 4096
DROPOUT = 0.1
WARMUP = 0.2
seed = int(os.environ["SEED"])
print("loss:", abs(LEARNING_RATE - 0.02) + 1 / DEPTH + 1e-6 * WIDTH)
"""


def make_host(folder: Path) -> ark.Campaign:
    """Return a campaign with a scored baseline in a new repository."""
    (folder / "fit.py").write_text(SCRIPT)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    campaign = ark.open_campaign(
        folder, tag="bench", edit="fit.py", train="python fit.py", metric="loss"
    )
    ark.baseline(campaign)
    return campaign


def fill(campaign: ark.Campaign, upto: int) -> None:
    """Give the campaign discarded experiments up to number `upto`, as the kit writes them."""
    base = campaign.records()[0]
    script = []
    updates = []
    for n in range(len(campaign.records()), upto):
        text = SCRIPT.replace("DEPTH = 4", f"DEPTH = {5 + n % 300}").replace(
            "0.05 ", f"{0.001 + n / 2500:.5f} "
        )
        record = records.Record(
            campaign="bench",
            n=n,
            status="discard",
            commit="",
            hypothesis=f"try number {n}",
            parent=0,
            parent_commit=base.commit,
            author="TPE",
            metric="loss",
            value=0.3 + n / 1e4,
            replicates=({"seed": 1, "value": 0.3 + n / 1e4},),
            delta=0.01,
            rule="greedy",
            reason="discard: worse",
            constants={
                "LEARNING_RATE": round(0.001 + n / 2500, 5),
                "DEPTH": 5 + n % 300,
                "WIDTH": 64,
                "DROPOUT": 0.1,
                "WARMUP": 0.2,
            },
            code=f"{n:016x}",
            curve=records.curve((i / 63, 5 - i / 20) for i in range(64)),
            versions=ledger.versions(),
            decided=f"2026-01-01T00:00:00.{n:06d}+00:00",
        )
        who = f"A <a@example.org> {1767225600 + n} +0000"
        script.append(
            f"commit refs/autoresearch-scratch\nmark :{n}\nauthor {who}\ncommitter {who}\n"
            f"data {len(str(n))}\n{n}\nfrom {base.commit}\n"
            f"M 100644 inline fit.py\ndata {len(text)}\n{text}\n"
        )
        body = record.message().encode()
        script.append(
            f"tag {records.tag_name('bench', n)}\nfrom :{n}\ntagger {who}\n"
            f"data {len(body)}\n{body.decode()}\n"
        )
    subprocess.run(
        ["git", "-C", campaign.path, "fast-import", "--quiet"],
        input="".join(script).encode(),
        check=True,
    )
    tree = plumbing.write_tree(campaign.path, {"log.txt": b"loss: 1\n"})
    updates = [
        plumbing.RefUpdate(records.files_ref("bench", n), tree) for n in range(1, upto) if n < upto
    ]
    plumbing.update_refs(campaign.path, updates)
    subprocess.run(
        ["git", "-C", campaign.path, "update-ref", "-d", "refs/autoresearch-scratch"], check=True
    )


def one_experiment(campaign: ark.Campaign) -> dict[str, float]:
    """Run the four steps and return the seconds of each, without the training process's own.

    Beside them: the CPU seconds of this process, and how many processes it started.
    """
    cpu, processes = time.process_time(), len(_started)
    marks = [time.perf_counter()]
    proposal = ark.propose(campaign, by=ark.TPE())
    marks.append(time.perf_counter())
    experiment = ark.apply(proposal.approve())
    marks.append(time.perf_counter())
    run = ark.train_5min(experiment)
    marks.append(time.perf_counter())
    ark.score(run)
    marks.append(time.perf_counter())
    steps = [b - a for a, b in itertools.pairwise(marks)]
    trainer = run.state["setup_seconds"] or 0.0
    trainer += run.state["training_seconds"] or 0.0
    names = ("propose", "apply", "train", "score")
    return {
        **dict(zip(names, steps, strict=True)),
        "trainer": trainer,
        "kit": sum(steps) - trainer,
        "cpu": time.process_time() - cpu,
        "processes": len(_started) - processes,
    }


_started: list[object] = []
sys.addaudithook(lambda event, args: _started.append(args) if event == "subprocess.Popen" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    medians = {}
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            campaign = make_host(Path(folder))
            fill(campaign, size)
            begun = time.perf_counter()
            first = one_experiment(campaign)
            rounds = [one_experiment(campaign) for _ in range(args.rounds)]
            medians[size] = {k: statistics.median(r[k] for r in rounds) for k in first}
            begun = time.perf_counter()
            rows = len(ark.history(campaign))
            cold = time.perf_counter() - begun
            shown = ", ".join(f"{k} {v:.3g}" for k, v in medians[size].items())
            print(
                f"{size:6d} experiments: {shown} s; first kit {first['kit']:.3f} s; "
                f"history() of {rows} rows {cold:.3f} s"
            )
    low, high = min(medians), max(medians)
    ratio = medians[high]["kit"] / medians[low]["kit"]
    print(f"kit seconds at {high} over {low} experiments: {ratio:.2f} (limit 1.5)")
    ratio = medians[high]["cpu"] / medians[low]["cpu"]
    print(f"CPU seconds of this process alone: {ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main())
