"""What the sandbox costs a training run: the same script with and without, in turns.

The script imports torch and trains a small transformer for a fixed number of steps; each run is the
same work. Two things are measured, because on a shared machine wall seconds of 20 s runs differ by
more than what is looked for: CPU seconds of the script's process (what each of its system calls and
page faults costs more), and wall seconds from the start to its first line (the sandbox's set-up and
Python's start). "Without" is the bare command.

    python benchmarks/sandbox_cost.py --rounds 7 --steps 400
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from autoresearch_kit import sandbox

SCRIPT = """\
import sys, time
print(time.monotonic(), flush=True)
import torch
torch.manual_seed(1)
torch.set_num_threads(1)
layer = torch.nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
head = torch.nn.Linear(128, 512)
embed = torch.nn.Embedding(512, 128)
parts = torch.nn.ModuleList([embed, layer, head])
optimizer = torch.optim.AdamW(parts.parameters(), 1e-3)
for step in range(int(sys.argv[1])):
    rows = torch.randint(512, (8, 129))
    loss = torch.nn.functional.cross_entropy(
        head(layer(embed(rows[:, :-1]))).flatten(0, 1), rows[:, 1:].flatten()
    )
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(f"{loss.item():.6f}", time.process_time())
"""


Figures = tuple[float, float, float]


def measure(steps: int, boxed: bool) -> tuple[Figures, str]:
    """Run the script; return its CPU, wall and start-up seconds, and its last loss."""
    argv = [sys.executable, "-c", SCRIPT, str(steps)]
    env = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    began = time.monotonic()
    if boxed:
        process = sandbox.untrusted(argv, env=env, stdout=subprocess.PIPE, text=True)
    else:
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    output = process.communicate()[0]
    wall = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"the script failed with exit status {process.returncode}")
    first, loss, cpu = output.split()
    return (float(cpu), wall, float(first) - began), loss


def main() -> None:
    """Print medians of both ways, their ratio, and what it comes to in a run of 20 seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    if reason := sandbox.unavailable():
        raise SystemExit(f"there is no sandbox here to measure: {reason}")

    measure(1, boxed=True)  # warms the disk's cache
    found: dict[bool, list[Figures]] = {True: [], False: []}
    losses = set()
    for i in range(args.rounds):
        for boxed in ((True, False), (False, True))[i % 2]:
            figures, loss = measure(args.steps, boxed)
            found[boxed].append(figures)
            losses.add(loss)
    if len(losses) != 1:
        raise SystemExit(f"the runs did not do the same work: their losses are {losses}")

    print(f"{args.rounds} rounds of {args.steps} steps   CPU s   wall s   start-up s   (medians)")
    middle = {b: [statistics.median(r[i] for r in found[b]) for i in range(3)] for b in found}
    for boxed, name in ((True, "sandbox"), (False, "without")):
        cpu, wall, start = middle[boxed]
        print(f"{name:<28} {cpu:7.2f} {wall:8.2f} {start:12.3f}")
    pairs = zip(found[True], found[False], strict=True)
    ratio = statistics.median(a[0] / b[0] for a, b in pairs)
    start = middle[True][2] - middle[False][2]
    print(f"CPU, median of the ratios of neighbours: {ratio:.4f}")
    print(f"start-up: {1000 * start:+.0f} ms, {start / 20:+.2%} of 20 s")


if __name__ == "__main__":
    main()
