"""MLX for the scorer's serve.py: how a model of it is recognised, loaded, moved and asked.

Runs inside the sandbox, in the same process as candidate code.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import Any, cast

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module
from mlx.utils import tree_flatten
from safetensors import safe_open

MODEL = "mlx.nn.Module"
ERRORS: tuple[type[BaseException], ...] = ()

if os.environ.get("DEVICE") == "cpu":  # before train.py, which may ask for the default
    mx.set_default_device(mx.cpu)


def device() -> str:
    """Return where models compute when nobody has said where."""
    return "gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu"


def is_model(made: object) -> bool:
    """Return whether `made` is a model."""
    return isinstance(made, Module)


def is_tensor(made: object) -> bool:
    """Return whether `made` is a tensor."""
    return isinstance(made, mx.array)


def is_floating(logits: mx.array) -> bool:
    """Return whether a tensor holds floating point numbers."""
    return bool(mx.issubdtype(logits.dtype, mx.floating))


def shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor that the model has, by name."""
    flat = cast(list[tuple[str, mx.array]], tree_flatten(model.parameters()))
    return {name: tuple(tensor.shape) for name, tensor in flat}


def read(path: str) -> dict[str, mx.array]:
    """Return the tensors of a safetensors file by name."""
    # MLX reads what the header says; only safetensors itself looks whether that can be.
    with safe_open(path, framework="numpy"):
        return cast(dict[str, mx.array], mx.load(path))


def load(model: Any, path: str) -> tuple[list[str], list[str]]:
    """Load the weights; return what the file lacks, and what it has and the model does not."""
    wanted, given = shapes(model), read(path)
    missing, unexpected = sorted(wanted.keys() - given), sorted(given.keys() - wanted)
    if not missing and not unexpected:
        model.load_weights(list(given.items()))
        mx.eval(model.parameters())
    return missing, unexpected


def place(model: Any, _on: str) -> Any:
    """Return the model for evaluation; MLX has one memory, so there is nowhere to move it."""
    return model.eval()


def share(memory: mmap.mmap, on: str) -> None:
    """Make copies between the device and the shared memory fast: Apple's GPUs share it anyway."""


def tokens(memory: mmap.mmap, start: int, shape: tuple[int, int], _on: str) -> mx.array:
    """Return a copy of the tokens that lie at byte `start`, int32 as in training."""
    given = np.frombuffer(memory, np.int64, math.prod(shape), start)
    return mx.array(given.reshape(shape).astype(np.int32))


def forward(model: Any, rows: mx.array) -> Any:
    """Return what the model makes of tokens (B, T), computed."""
    made = model(rows)
    if isinstance(made, mx.array):
        mx.eval(made)  # here, where its errors are the candidate's
    return made


def write(logits: mx.array, memory: mmap.mmap, start: int) -> None:
    """Put logits as float32 at byte `start`."""
    room = np.frombuffer(memory, np.float32, logits.size, start).reshape(logits.shape)
    room[...] = np.array(logits.astype(mx.float32), copy=False)
