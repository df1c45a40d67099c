"""What a long history costs a proposer: the prompt's size, and the seconds before a model is asked.

A campaign with 10,000 experiments in git, seven of ten on constants and three on code, a keep in
fifty, some crashed and some refused. The two parts together must stay below one second.

    python benchmarks/propose_cost.py --sizes 100 10000 --budget 24000
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import autoresearch_kit as ark
from autoresearch_kit import duplicates, ledger, records
from autoresearch_kit.proposers import prompt
from autoresearch_kit.records import Record

TEMPLATE = Path(ark.__file__).parent / "tasks" / "language_model" / "template"
CONSTANTS = ("MATRIX_LR", "EMBED_LR", "HEAD_LR", "SOFTCAP", "WEIGHT_DECAY", "WARMDOWN")
HOOK = "    def forward(self, x):\n"
STEPS = (
    "        x = x + {a} * torch.tanh(x)\n",
    "        x = F.pad(x, (0, 0, 1, -1)).lerp(x, {a})\n",
    "        x = x * (1 + {a} * torch.sigmoid(x.mean(-1, keepdim=True)))\n",
    "        x = F.dropout(x, {a}, self.training)\n",
)


def start(folder: Path) -> ark.Campaign:
    """Return a new campaign on the training script of a template; nothing is decided yet."""
    for name in ("train.py", "program.md"):
        (folder / name).write_text((TEMPLATE / name).read_text())
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    return ark.open_campaign(
        folder, tag="bench", edit="train.py", train="python train.py", metric="loss", clock="wall"
    )


def changed(text: str, n: int, rng: random.Random) -> str:
    """Return the script with another value of a constant, or with a few other lines."""
    if rng.random() < 0.7:
        name = rng.choice(CONSTANTS)
        old = re.compile(rf"^({name} = )(\S+)", re.MULTILINE)
        return old.sub(lambda m: f"{m[1]}{float(m[2]) * rng.uniform(0.5, 2):.4g}", text)
    lines = "".join(rng.choice(STEPS).format(a=f"0.{rng.randrange(1, 999):03d}") for _ in range(6))
    return text.replace(HOOK, f"{HOOK}        # idea {n}\n{lines}", 1)


def values(text: str) -> dict[str, float]:
    """Return the constants by a quick look: parsing 10,000 scripts would take minutes."""
    found = re.findall(r"^([A-Z_]+) = ([0-9.]+)\b", text, re.MULTILINE)
    return {name: float(value) if "." in value else int(value) for name, value in found}


def fill(campaign: ark.Campaign, size: int) -> None:
    """Give the campaign `size` decided experiments, as the kit writes them."""
    rng = random.Random(1)
    best, text, value = 0, campaign.mutable(campaign.start)["train.py"], 3.0
    plan: list[Record] = []
    commits = bytearray()
    for n in range(size):
        status = rng.choices(["discard", "crash", "refused"], [8, 1, 1])[0]
        status = "keep" if n % 50 == 0 else status
        new = changed(text, n, rng) if n else text
        delta = -0.01 if status == "keep" else rng.uniform(0, 0.02)
        plan.append(record(n, status, value + delta if n else value, best, delta, new, text))
        if n:
            code = new.encode()
            parent = f":{best}" if best else campaign.start
            commits += (
                f"commit refs/autoresearch-scratch\nmark :{n}\ncommitter {_who(n)}\n".encode()
            )
            commits += f"data 1\nx\nfrom {parent}\nM 100644 inline train.py\n".encode()
            commits += b"data %d\n%b\n" % (len(code), code)
        if status == "keep" and n:
            best, text, value = n, new, value + delta
    with tempfile.NamedTemporaryFile() as marks:
        _import(campaign, commits, f"--export-marks={marks.name}")
        found = dict(line.split() for line in Path(marks.name).read_text().splitlines())
    shas = {0: campaign.start} | {int(mark[1:]): sha for mark, sha in found.items()}
    tags = bytearray()
    for made in plan:
        whole = made
        if made.parent is not None:
            whole = dataclasses.replace(made, parent_commit=shas[made.parent])
        body = whole.message().encode()
        tags += f"tag {records.tag_name('bench', made.n)}\nfrom {shas[made.n]}\n".encode()
        tags += f"tagger {_who(made.n)}\ndata {len(body)}\n".encode() + body + b"\n"
    _import(campaign, tags)
    git = ["git", "-C", str(campaign.path)]
    for words in (["update-ref", "-d", "refs/autoresearch-scratch"], ["pack-refs", "--all"]):
        subprocess.run([*git, *words], check=True)


def record(
    n: int, status: str, value: float, best: int, delta: float, new: str, old: str
) -> Record:
    """Return the record of an experiment that turned `old` into `new`."""
    scored = status in ("keep", "discard")
    lines = new.count("\n") - old.count("\n")
    return Record(
        campaign="bench",
        n=n,
        status=status,
        commit="",
        hypothesis=f"idea {n}: this mixes what a layer sees with what it saw one token before",
        parent=best if n else None,
        author="LLM('some-model')",
        metric="loss",
        value=value if scored else None,
        replicates=tuple({"seed": i, "value": 3 + i / 300} for i in range(1 if n else 3)),
        delta=delta if scored and n else None,
        rule="greedy",
        reason="" if scored else "too slow for what it gains, and the lines are hard to read",
        constants=values(new),
        code=f"{n:016x}",
        lines_added=max(1, lines),
        lines_removed=0 if lines else 1,
        curve=records.curve((i / 63, 5 - i / 20) for i in range(64)),
        setup_seconds=3.0,
        training_seconds=300.0,
        tokens=12_000_000,
        parameters=1_900_000,
        peak_memory_mb=812.0,
        device="cpu",
        versions=ledger.versions(),
        decided=f"2026-01-01T00:00:00.{n:06d}+00:00",
    )


def _who(n: int) -> str:
    return f"A <a@example.org> {1767225600 + n} +0000"


def _import(campaign: ark.Campaign, stream: bytearray, *options: str) -> None:
    words = ["git", "-C", str(campaign.path), "fast-import", "--quiet", *options]
    subprocess.run(words, input=bytes(stream), check=True)


@dataclasses.dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of the processor, which a busy machine changes less."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.3f} s ({self.cpu:.3f} s of CPU)"


def spent(work: Callable[[], object]) -> Spent:
    """Run `work` and return what it took."""
    wall, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return Spent(time.perf_counter() - wall, sum(after[:4]) - sum(before[:4]))


def measure(campaign: ark.Campaign, budget: int) -> tuple[list[Spent], prompt.Prompt]:
    """Return what the records, the prompt and the check took; and the prompt."""
    text = campaign.best.files["train.py"]
    # The hardest case: code, a dozen lines, and no earlier experiment is the same.
    new = text.replace(HOOK, HOOK + "".join(step.format(a=0.5) for step in STEPS * 2), 1)
    made: list[prompt.Prompt] = []
    took = [
        spent(lambda: made.append(prompt.build(campaign, format="Answer.", budget=budget))),
        spent(lambda: duplicates.check(campaign, campaign.best.commit, {"train.py": new})),
    ]
    return took, made[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--budget", type=int, default=24_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cold:
        campaign = ark.open_campaign(args.cold, tag="bench")
        reading = spent(campaign.records)
        rounds = [measure(campaign, args.budget) for _ in range(args.rounds)]
        made = rounds[0][1]
        print(
            f"prompt {made.tokens:,} of {args.budget:,} tokens; in a new process records {reading},"
            f" prompt {rounds[0][0][0]}, duplicates {rounds[0][0][1]}"
        )
        for i, name in enumerate(("prompt", "duplicates")):
            wall = statistics.median(took[i].wall for took, _ in rounds)
            cpu = statistics.median(took[i].cpu for took, _ in rounds)
            print(f"    {name}: median {Spent(wall, cpu)}")
        return
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            fill(start(Path(folder)), size)
            print(f"{size:6,d} experiments: ", end="", flush=True)
            words = [sys.executable, __file__, "--cold", folder, "--budget", str(args.budget)]
            subprocess.run([*words, "--rounds", str(args.rounds)], check=True)


if __name__ == "__main__":
    sys.exit(main())
