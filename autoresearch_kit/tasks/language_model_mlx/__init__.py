"""Train a small language model with MLX, without PyTorch; lower val_bpb is better.

Data, profiles, scorer and checks are those of the task language_model; here are

score.py       that scorer, with models of MLX
serve_mlx.py   what its sandboxed side has to know of MLX
profiles.toml  in what a profile differs from language_model's
template/      what a lab starts with: train.py is the file that experiments change
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from autoresearch_kit import device
from autoresearch_kit.errors import TaskError
from autoresearch_kit.tasks import language_model
from autoresearch_kit.tasks.language_model import make_data

__all__ = ["constants", "make_data", "prepare_lab", "sizes"]


def prepare_lab(folder: Path, *, profile: str | None, data: str | list[str] | None) -> str:
    """Turn a copy of the template into a lab of one profile, with its data; return the profile.

    Writes ``task.toml``, sets the constants of ``train.py``, makes the data and links ``data/``.

    Raises
    ------
    TaskError
        There is no such profile, or no MLX.
    DataError
        The data can't be had.
    """
    accelerator = _has_gpu() and device.pick() != "cpu"
    cuda = device.pick().startswith("cuda")
    profile = profile or ("gpu" if accelerator and cuda else "cpu")
    chosen = sizes(profile)
    if accelerator:  # a GPU's time can't be counted in CPU seconds
        chosen["clock"] = "wall"
    language_model.fill(folder, profile, chosen, data)
    return profile


def constants(profile: str) -> dict[str, Any]:
    """Return the constants of ``train.py`` that a profile sets, by name.

    Raises
    ------
    TaskError
        There is no such profile.
    """
    return dict(sizes(profile)["train"])


def sizes(profile: str) -> dict[str, Any]:
    """Return the sizes of a profile: those of language_model, but for what differs here.

    Raises
    ------
    TaskError
        There is no such profile.
    """
    own = tomllib.loads((Path(__file__).parent / "profiles.toml").read_text()).get(profile, {})
    theirs = language_model.sizes(profile)
    return {**theirs, **own, "train": {**theirs["train"], **own.get("train", {})}}


def _has_gpu() -> bool:
    """Return whether MLX computes on a GPU here; a `TaskError` when there is no MLX."""
    try:
        import mlx.core as mx

        return bool(mx.default_device() == mx.Device(mx.gpu))
    except ImportError as error:
        raise TaskError(
            f"this task trains with MLX, which can't be imported here ({error}). Expected on Macs "
            "with Apple Silicon and on Linux; type: pip install 'autoresearch-kit[mlx]'"
        ) from error
