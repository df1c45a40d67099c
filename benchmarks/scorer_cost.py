"""What the scorer's checks for leaks cost: wall and CPU seconds of scoring with and without them.

Both kinds take turns on the same untrained weights, whose cost is that of trained ones.

    python benchmarks/scorer_cost.py --profile smoke --rounds 7
    python benchmarks/scorer_cost.py --profile cpu --tokens 163840
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from autoresearch_kit.tasks import language_model

SCORE = """
import sys, tomllib
from pathlib import Path
from autoresearch_kit.tasks.language_model.score import score
lab = Path(sys.argv[1])
task = tomllib.loads((lab / "task.toml").read_text())
score(lab, lab, (lab / "data").resolve(), lab, task, check=sys.argv[2] == "with")
"""
UNTRAINED = "import train, prepare; prepare.save(train.build_model(*prepare.sizes()))"


def make_lab(folder: Path, profile: str, tokens: int) -> Path:
    """Return a lab of `profile` with untrained weights, to be scored on `tokens`; 0: as usual."""
    lab = folder / "lab"
    shutil.copytree(Path(language_model.__file__).parent / "template", lab)
    language_model.prepare_lab(lab, profile=profile, data=None)
    if tokens:
        task = (lab / "task.toml").read_text()
        task = re.sub(r"score_tokens = \d+", f"score_tokens = {tokens}", task)
        (lab / "task.toml").write_text(task)
    env = {**os.environ, "RUN_DIR": str(lab), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", UNTRAINED], cwd=lab, env=env, check=True)
    return lab


def cost(lab: Path, how: str) -> tuple[float, float]:
    """Return wall and CPU seconds of one scoring and all its processes."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", SCORE, str(lab), how])
    root, seen = psutil.Process(process.pid), dict[psutil.Process, float]()
    while process.poll() is None:  # nobody waits for a killed child's child, so look all the time
        with contextlib.suppress(psutil.Error):
            for each in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    seen[each] = sum(each.cpu_times()[:2])
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"scoring {how} checks failed with status {process.returncode}")
    return time.perf_counter() - began, sum(seen.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    seen: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        lab = make_lab(Path(folder), args.profile, args.tokens)
        cost(lab, "with")  # warms the file cache
        for _ in range(args.rounds):
            for how, costs in seen.items():
                costs.append(cost(lab, how))
    print(f"profile {args.profile}, medians of {args.rounds} rounds in turns")
    for at, name in enumerate(("wall", "CPU")):
        without, checked = (
            statistics.median(each[at] for each in seen[how]) for how in ("without", "with")
        )
        ratio = statistics.median(
            b[at] / a[at] for a, b in zip(seen["without"], seen["with"], strict=True)
        )
        print(f"{name:5}{without:7.2f} s without, {checked:7.2f} s with checks: {ratio - 1:+.0%}")


if __name__ == "__main__":
    main()
