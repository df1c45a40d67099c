"""PyTorch for serve.py: how a model of it is recognised, loaded, moved and asked.

Runs inside the sandbox, in the same process as candidate code.
"""

from __future__ import annotations

import mmap
from typing import Any

import safetensors.torch
import torch

MODEL = "torch.nn.Module"
ERRORS = (torch.OutOfMemoryError,)


def device() -> str:
    """Return where models compute when nobody has said where."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_model(made: object) -> bool:
    """Return whether `made` is a model."""
    return isinstance(made, torch.nn.Module)


def is_tensor(made: object) -> bool:
    """Return whether `made` is a tensor."""
    return isinstance(made, torch.Tensor)


def is_floating(logits: torch.Tensor) -> bool:
    """Return whether a tensor holds floating point numbers."""
    return logits.is_floating_point()


def shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor that the model has, by name."""
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def read(path: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file by name."""
    return safetensors.torch.load_file(path)


def load(model: torch.nn.Module, path: str) -> tuple[list[str], list[str]]:
    """Load the weights; return what the file lacks, and what it has and the model does not."""
    # Tied tensors are stored once, so "missing" is for safetensors to say.
    missing, unexpected = safetensors.torch.load_model(model, path, strict=False)
    return sorted(missing), sorted(unexpected)


def place(model: torch.nn.Module, on: str) -> torch.nn.Module:
    """Return the model on its device, for evaluation."""
    return model.to(on).eval()


def share(memory: mmap.mmap, on: str) -> None:
    """Make copies between the device and the shared memory fast where that can be done."""
    if on.startswith("cuda"):
        # Pinned, a copy from the device is several times faster; where it fails, only slower.
        whole = torch.frombuffer(memory, dtype=torch.uint8)
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        runtime.cudaHostRegister(whole.data_ptr(), whole.numel(), 0)


def tokens(memory: mmap.mmap, start: int, shape: tuple[int, int], on: str) -> torch.Tensor:
    """Return a copy, on the device, of the tokens that lie at byte `start`."""
    return _view(memory, start, shape, torch.int64).to(on, copy=True)


@torch.no_grad()
def forward(model: torch.nn.Module, rows: torch.Tensor) -> Any:
    """Return what the model makes of tokens (B, T)."""
    with torch.autocast("cuda", torch.bfloat16, enabled=rows.is_cuda):
        return model(rows)


@torch.no_grad()
def write(logits: torch.Tensor, memory: mmap.mmap, start: int) -> None:
    """Put logits as float32 at byte `start`."""
    _view(memory, start, tuple(logits.shape), torch.float32).copy_(logits)


def _view(
    memory: mmap.mmap, start: int, shape: tuple[int, ...], dtype: torch.dtype
) -> torch.Tensor:
    count = torch.Size(shape).numel()
    return torch.frombuffer(memory, dtype=dtype, count=count, offset=start).view(shape)
