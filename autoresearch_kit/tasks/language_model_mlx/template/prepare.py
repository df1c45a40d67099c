"""What an experiment may count on: the data, the clock and the way out. Fixed; not for editing.

`python prepare.py` makes this lab's data, as task.toml says; a second call finds it made.
train.py takes from here ``SEED``, `sizes`, `loader`, `Clock` and `save`.
The validation and test splits are read by the kit's scorer alone: training gets neither.
``import torch`` is an error: this lab is for MLX, and on a CPU PyTorch would be a faster race.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx import nn
from mlx.utils import tree_flatten

HERE = Path(__file__).resolve().parent
DATA_DIR = Path(os.environ.get("DATA_DIR", HERE / "data" / "train"))
RUN_DIR = Path(os.environ.get("RUN_DIR", HERE))
SEED = int(os.environ.get("SEED", "0"))

if "torch" not in sys.modules:
    sys.modules["torch"] = None  # an ImportError for whoever tries
if os.environ.get("AUTORESEARCH_DEVICE") == "cpu":  # a GPU would cost no CPU seconds
    mx.set_default_device(mx.cpu)

# glibc gives freed megabytes back to the system and faults them in again every step. Keep them
# (mallopt: M_MMAP_THRESHOLD -3, M_TRIM_THRESHOLD -1); others have no mallopt.
with contextlib.suppress(OSError, AttributeError):
    ctypes.CDLL(None).mallopt(-3, 32 << 20)
    ctypes.CDLL(None).mallopt(-1, 1 << 30)


def sizes() -> tuple[int, int]:
    """Return ``(V, T)``: tokens in the vocabulary, tokens in a row."""
    try:
        meta = json.loads((DATA_DIR / "meta.json").read_text())
    except FileNotFoundError:
        raise SystemExit(f"no prepared data in {DATA_DIR}; type: python prepare.py") from None
    return meta["vocab_size"], meta["T"]


def loader(rows: int, seed: int = SEED) -> Iterator[tuple[mx.array, mx.array]]:
    """Yield ``(x, y)`` for ever, both ``(rows, T)`` int32; y is x one token later.

    Every epoch is another permutation of all rows, decided by `seed`.
    """
    _, T = sizes()
    data = np.memmap(DATA_DIR / "rows.bin", dtype=np.uint16, mode="r").reshape(-1, T + 1)
    for chosen in _order(len(data), rows, seed):
        block = mx.array(data[chosen].astype(np.int32))
        yield block[:, :-1], block[:, 1:]


def _order(count: int, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield `rows` row numbers at a time, epoch after epoch; a batch may end one and begin one."""
    left = np.empty(0, dtype=np.int64)
    epoch = 0
    while True:
        while len(left) < rows:
            left = np.concatenate([left, np.random.default_rng([seed, epoch]).permutation(count)])
            epoch += 1
        yield left[:rows]
        left = left[rows:]


class Clock:
    """The share of the budget that is spent, 0 to 1. The kit measures it; this only asks.

    Without the kit (a person typed ``python train.py``) it is task.toml's budget in wall seconds.
    """

    def __init__(self) -> None:
        self._pipes = None
        if fds := os.environ.get("CLOCK_FDS"):
            replies, requests = (int(fd) for fd in fds.split(","))
            self._pipes = os.fdopen(replies), os.fdopen(requests, "w")

    def start(self, model: nn.Module) -> float:
        """Begin the budget: everything is loaded, compiled and warm. Return 0.0."""
        if sys.modules.get("torch") is not None:
            raise SystemExit("PyTorch was imported; this lab trains with MLX alone: remove it")
        self._begin = time.perf_counter()
        parameters = sum(p.size for _, p in tree_flatten(model.parameters()))
        return self._ask({"start": True, "parameters": parameters})

    def tick(self, tokens: int, loss: float) -> float:
        """Report one optimiser step and return the progress; at 1 or more, save and stop.

        MLX computes when somebody asks for a result: let it, with ``mx.eval``, before.
        """
        return self._ask({"tokens": tokens, "loss": loss})

    def _ask(self, message: dict[str, float]) -> float:
        if self._pipes is None:
            budget = tomllib.loads((HERE / "task.toml").read_text()).get("budget_seconds", 300)
            return 0.0 if "start" in message else (time.perf_counter() - self._begin) / budget
        replies, requests = self._pipes
        try:
            print(json.dumps(message), file=requests, flush=True)
            reply = replies.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise SystemExit("the clock has stopped answering: the kit has ended this run")
        return float(json.loads(reply)["progress"])


def save(model: nn.Module) -> Path:
    """Write the weights to ``RUN_DIR/weights.safetensors`` in one step, and return its path."""
    path = RUN_DIR / "weights.safetensors"
    partial = RUN_DIR / ".partial.safetensors"
    mx.save_safetensors(str(partial), dict(tree_flatten(model.parameters())))
    partial.replace(path)
    return path


if __name__ == "__main__":
    from autoresearch_kit.tasks.language_model_mlx import make_data

    print(make_data(HERE))
