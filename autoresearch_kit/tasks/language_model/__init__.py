"""Train a small language model on text; lower val_bpb (bits per byte of unseen text) is better.

corpora.py     where text comes from, its documents, the split by hash
hub.py         one verified file from a Hugging Face hub
packing.py     tokeniser and rows
score.py       the trusted scorer: bits per byte
rows.py        what it scores
model.py       the sandboxed model as the scorer sees it; serve.py is the sandboxed side, which
               serve_torch.py lets know PyTorch
checks.py      what the scorer does to find leaks
profiles.toml  sizes and priors: tiny, smoke, cpu, gpu
template/      what a lab starts with: train.py is the file that experiments change
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import device, source, task
from autoresearch_kit.errors import DataError, TaskError
from autoresearch_kit.files import write_text
from autoresearch_kit.tasks.language_model import corpora


def prepare_lab(folder: Path, *, profile: str | None, data: str | list[str] | None) -> str:
    """Turn a copy of the template into a lab of one profile, with its data; return the profile.

    Writes ``task.toml``, sets the constants of ``train.py``, makes the data and links ``data/``.

    Raises
    ------
    TaskError
        There is no such profile.
    DataError
        The data can't be had.
    """
    accelerator = device.pick() != "cpu"
    profile = profile or ("gpu" if device.pick().startswith("cuda") else "cpu")
    chosen = sizes(profile)
    if accelerator:  # a GPU's time can't be counted in CPU seconds
        chosen["clock"] = "wall"
    fill(folder, profile, chosen, data)
    return profile


def fill(
    folder: Path, profile: str, chosen: Mapping[str, Any], data: str | list[str] | None
) -> None:
    """Write the sizes of a profile into a copy of a template; make its data and link ``data/``.

    Parameters
    ----------
    chosen
        The sizes, as in `sizes`.
    data
        A corpus or files of one's own; None: the profile's.

    Raises
    ------
    DataError
        The data can't be had.
    """
    corpus = corpora.anywhere(data or chosen["corpus"])
    same = ("clock", "noise", "suspicious", "suspicious_sigma")
    fixed = {f: chosen[f] for f in chosen if f.endswith("_seconds") or f in same}
    options = {f: chosen[f] for f in ("score_tokens", "vocab_size", "sequence_len")}
    template = task.parse((folder / task.FILE).read_text())
    made = dataclasses.replace(
        template, profile=profile, options={"corpus": corpus, **options}, **fixed
    )
    write_text(folder / task.FILE, made.toml())
    train = folder / "train.py"
    write_text(train, source.set_constants(train.read_text(), chosen["train"]))
    make_data(folder)


def constants(profile: str) -> dict[str, Any]:
    """Return the constants of ``train.py`` that a profile sets, by name.

    Raises
    ------
    TaskError
        There is no such profile.
    """
    return dict(sizes(profile)["train"])


def sizes(profile: str) -> dict[str, Any]:
    """Return what ``profiles.toml`` says of a profile.

    Raises
    ------
    TaskError
        There is no such profile.
    """
    known = tomllib.loads((Path(__file__).parent / "profiles.toml").read_text())
    if profile not in known:
        raise TaskError(f"there is no profile {profile!r}; there are: {', '.join(known)}")
    return dict(known[profile])


def make_data(folder: Path) -> str:
    """Make the data that the lab's ``task.toml`` names, link it as ``data``; return a summary.

    Prepared data is shared between labs, see `packing.cache_folder`. A second call is instant.

    Raises
    ------
    DataError
        The data can't be had, or ``data`` is a folder of somebody's own.
    """
    from autoresearch_kit.tasks.language_model import packing

    options = task.parse((folder / task.FILE).read_text()).options
    prepared = packing.prepare(
        options["corpus"],
        sequence_len=options["sequence_len"],
        vocab_size=options["vocab_size"],
        shards=options.get("shards", corpora.SHARDS),
    )
    link = folder / "data"
    if link.exists() and not link.is_symlink():
        raise DataError(f"{link} is a folder of its own, not the kit's link; move it away")
    fresh = folder / f".data.{os.getpid()}"
    fresh.symlink_to(prepared, target_is_directory=True)
    fresh.replace(link)
    return packing.summary(prepared)
