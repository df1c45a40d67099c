"""The rows of a split: tokens, the bytes that its targets stand for, canaries, and bits per byte.

Nothing here knows a model. Wrong data are a `ScorerError`, never the candidate's fault.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit.errors import ScorerError

SPLITS = ("val", "test")
FEWEST = 16  # fewer rows can't be checked for leaks


@dataclass(frozen=True)
class Rows:
    """What is scored.

    Parameters
    ----------
    tokens
        (N, T + 1); the first T of a row are seen, the last T are its targets.
    bytes
        (N, T), bytes that each target stands for; 0 for special tokens.
    canaries
        (C, T + 1), rows of random tokens that are never part of a score.
    vocab_size
        V.
    """

    tokens: NDArray[np.uint16]
    bytes: NDArray[np.int64]
    canaries: NDArray[np.uint16]
    vocab_size: int

    @property
    def targets(self) -> NDArray[np.uint16]:
        """The token that each position has to predict, (N, T)."""
        return self.tokens[:, 1:]

    def bits(
        self, nats: NDArray[np.float64], which: slice | NDArray[np.int64] = slice(None)
    ) -> NDArray[np.float64]:
        """Return losses of the rows `which` in bits; targets that stand for no bytes cost 0."""
        bits: NDArray[np.float64] = np.where(self.bytes[which] > 0, nats, 0.0) / math.log(2)
        return bits


def read(data: Path, split: str, score_tokens: int | None = None) -> Rows:
    """Read the rows of ``data/<split>``, the first that make up `score_tokens`, default all.

    Raises
    ------
    ScorerError
        If there is no such split, or the files are not as their ``meta.json`` says.
    """
    if split not in SPLITS:
        raise ScorerError(f"SPLIT is {split!r}, expected {' or '.join(SPLITS)}")
    path = data / split / "meta.json"
    meta = json.loads(path.read_text(encoding="utf-8"))
    try:
        length, count, vocab_size = (int(meta[name]) for name in ("T", "rows", "vocab_size"))
        planted = [int(place) for places in meta["canaries"] for place in places]
        first = [int(places[0]) for places in meta["canaries"]]
    except (KeyError, TypeError) as error:
        raise ScorerError(f"{path} lacks {error}; prepare the data again") from None
    path = data / split / "rows.bin"
    size, expected = path.stat().st_size, count * (length + 1) * 2
    if size != expected:
        raise ScorerError(
            f"{path} has {size} bytes, but {count} rows of {length + 1} tokens are {expected}; "
            "remove the data folder and prepare the data again"
        )
    token_bytes: NDArray[np.int32] = np.load(data / "token_bytes.npy", allow_pickle=False)
    if token_bytes.shape != (vocab_size,):
        raise ScorerError(
            f"token_bytes.npy has shape {token_bytes.shape}, expected ({vocab_size},)"
        )
    real = np.delete(np.arange(count), planted)
    wanted = len(real) if score_tokens is None else score_tokens // length
    if not FEWEST <= wanted <= len(real):
        raise ScorerError(
            f"{path} has {len(real)} rows of {length} tokens and {wanted} are to be scored, "
            f"expected {FEWEST} or more and no more than there are: see options.score_tokens in "
            "task.toml, or add text"
        )
    whole = np.memmap(path, np.uint16, mode="r").reshape(count, length + 1)
    tokens, canaries = np.array(whole[real[:wanted]]), np.array(whole[first])
    if (top := max(tokens.max(), canaries.max(initial=0))) >= vocab_size:
        raise ScorerError(f"{path} has token {top}, but the vocabulary ends at {vocab_size - 1}")
    counts = token_bytes[tokens[:, 1:]].astype(np.int64)
    if not counts.any():
        raise ScorerError("the rows to score stand for no bytes at all: token_bytes.npy is wrong")
    return Rows(tokens, counts, canaries, vocab_size)


def save(folder: Path, rows: Rows, bits: NDArray[np.float64]) -> float:
    """Write ``rows.npz`` into `folder` and return the metric.

    Its arrays are ``values`` (N,), bits per byte of each row, and ``weights`` (N,), its bytes; the
    metric is ``sum(values * weights) / sum(weights)``.

    Parameters
    ----------
    bits
        Loss of each target in bits, (N, T).

    Notes
    -----
    Bits per byte after https://arxiv.org/abs/2101.00027 (section 3.1): the loss of all targets that
    stand for bytes, over those bytes; targets without bytes (specials) count nowhere.
    """
    weights = rows.bytes.sum(axis=1)
    values = bits.sum(axis=1) / np.maximum(weights, 1)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as file:
        np.savez(file, values=values, weights=weights)
    Path(file.name).replace(folder / "rows.npz")
    return float(np.sum(values * weights) / np.sum(weights))
