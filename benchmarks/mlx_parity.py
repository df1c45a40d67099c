"""MLX and PyTorch, the same model at equal tokens: val_bpb and CPU seconds a token.

Both templates train with the constants of the task language_model, on the same rows in the same
order, and the kit's scorer measures both. First both start from the same weights, converted; then
each starts as its own seed says.

    python benchmarks/mlx_parity.py --steps 200 --seeds 1 2
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import psutil
from safetensors.torch import load_file, save_file

from autoresearch_kit import source
from autoresearch_kit.tasks import language_model, language_model_mlx
from autoresearch_kit.tasks.language_model import score
from autoresearch_kit.tasks.language_model.model import TORCH
from autoresearch_kit.tasks.language_model_mlx.score import MLX

WITHIN = 0.02  # bits per byte
BEGIN = "import train, prepare; prepare.save(train.build_model(*prepare.sizes()))"
# Train as the template does, but from weights that lie in RUN_DIR/start.safetensors.
FROM_THERE = {
    "torch": """
import prepare, train
from safetensors.torch import load_model

def build(*sizes, fresh=train.build_model):
    model = fresh(*sizes)
    load_model(model, str(prepare.RUN_DIR / "start.safetensors"))
    return model

train.build_model = build
train.main()
""",
    "mlx": """
import prepare, train

def build(*sizes, fresh=train.build_model):
    model = fresh(*sizes)
    model.load_weights(str(prepare.RUN_DIR / "start.safetensors"))
    return model

train.build_model = build
train.main()
""",
}
FRAMEWORKS = {"torch": (language_model, TORCH), "mlx": (language_model_mlx, MLX)}


@dataclass(frozen=True)
class Trained:
    """What a training came to: bits per byte, tokens, CPU seconds of all its steps."""

    value: float
    tokens: int
    seconds: float


def make_lab(folder: Path, name: str, profile: str) -> Path:
    """Return a lab for `name`, torch or mlx, with the constants of the task language_model."""
    package, _ = FRAMEWORKS[name]
    lab = folder / name
    shutil.copytree(Path(package.__file__).parent / "template", lab)
    package.prepare_lab(lab, profile=profile, data=None)
    train = lab / "train.py"
    constants = language_model.constants(profile)
    train.write_text(source.set_constants(train.read_text(), constants))
    return lab


def train(lab: Path, run: Path, name: str, seed: int, steps: int) -> Trained:
    """Train for `steps`, from ``start.safetensors`` when that lies in `run`, and measure."""
    answers, answer = os.pipe()
    asked, asks = os.pipe()
    env = {
        **os.environ,
        "CLOCK_FDS": f"{answers},{asks}",
        "DATA_DIR": str(lab / "data" / "train"),
        "RUN_DIR": str(run),
        "SEED": str(seed),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    there = (run / "start.safetensors").exists()
    command = ["-c", FROM_THERE[name]] if there else ["train.py"]
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=lab,
        env=env,
        pass_fds=(answers, asks),
        stdout=subprocess.DEVNULL,
    )
    os.close(answers)
    os.close(asks)
    seen = psutil.Process(process.pid)
    done = tokens = 0
    began = ended = 0.0
    with os.fdopen(asked) as requests, os.fdopen(answer, "w") as replies:
        for line in requests:
            said = json.loads(line)
            ended = sum(seen.cpu_times()[:2])
            if "start" in said:
                began = ended
            else:
                tokens, done = tokens + said["tokens"], done + 1
            print(json.dumps({"progress": done / steps}), file=replies, flush=True)
    if process.wait():
        raise SystemExit(f"{name} ended with status {process.returncode}")
    task = tomllib.loads((lab / "task.toml").read_text())
    data = (lab / "data").resolve()
    result = score.score(lab, run, data, run, task, framework=FRAMEWORKS[name][1])
    return Trained(result["value"], tokens, ended - began)


def convert(torch_lab: Path, run: Path, seed: int) -> None:
    """Write weights that PyTorch begins with to ``run/<framework>/start.safetensors`` of both."""
    (first := run / "torch").mkdir(parents=True)
    (second := run / "mlx").mkdir()
    env = {**os.environ, "RUN_DIR": str(first), "PYTHONDONTWRITEBYTECODE": "1"}
    seeded = f"import torch; torch.manual_seed({seed}); {BEGIN}"
    subprocess.run([sys.executable, "-c", seeded], cwd=torch_lab, env=env, check=True)
    (first / "weights.safetensors").rename(first / "start.safetensors")
    weights = load_file(first / "start.safetensors")
    # A module of MLX is a dict, which has `values` already.
    renamed = {name.replace(".values.", ".value_embed."): w for name, w in weights.items()}
    save_file(renamed, second / "start.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2])
    args = parser.parse_args()
    os.environ |= {"AUTORESEARCH_DEVICE": "cpu", "DEVICE": "cpu"}
    with tempfile.TemporaryDirectory() as folder:
        labs = {name: make_lab(Path(folder), name, args.profile) for name in FRAMEWORKS}
        runs = Path(folder) / "runs"
        convert(labs["torch"], runs / "shared", 0)
        print(f"profile {args.profile}, {args.steps} steps, {time.strftime('%Y-%m-%d')}")
        for start, seed in [("shared", 0), *((f"seed {seed}", seed) for seed in args.seeds)]:
            made = {}
            for name, lab in labs.items():
                (runs / start / name).mkdir(parents=True, exist_ok=True)
                made[name] = train(lab, runs / start / name, name, seed, args.steps)
            torch, mlx = made["torch"], made["mlx"]
            assert torch.tokens == mlx.tokens, (torch.tokens, mlx.tokens)
            difference = mlx.value - torch.value
            cost = {name: each.seconds / each.tokens * 1e6 for name, each in made.items()}
            print(
                f"{start}: {torch.tokens:,} tokens, val_bpb {torch.value:.4f} PyTorch, "
                f"{mlx.value:.4f} MLX, difference {difference:+.4f} "
                f"({'within' if abs(difference) <= WITHIN else 'NOT within'} {WITHIN}); "
                f"CPU microseconds a token {cost['torch']:.0f} and {cost['mlx']:.0f}, "
                f"ratio {cost['mlx'] / cost['torch']:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
