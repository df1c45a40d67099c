"""A run to score, in miniature: text of a little grammar, its folders, and a candidate for it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.language_model import model as served
from autoresearch_kit.tasks.language_model import score as scorer

V, T, ROWS, BATCH = 64, 32, 96, 6
CANARIES = [[3, 40, 77], [11, 50, 99]]  # places in rows.bin

# Every token has four successors, one of them likely: 1.5 bits a token, if one knows them.
SUCCESSORS = np.stack([np.random.default_rng(i).permutation(V - 1)[:4] for i in range(V)])
CHANCES = (0.7, 0.1, 0.1, 0.1)


def text(rows: int, seed: int) -> np.ndarray:
    """Return rows (N, T + 1) of the grammar; the last token of the vocabulary begins each."""
    random = np.random.default_rng(seed)
    tokens = np.full((rows, T + 1), V - 1, np.uint16)
    for at in range(1, T + 1):
        which = random.choice(4, rows, p=CHANCES)
        tokens[:, at] = SUCCESSORS[tokens[:, at - 1], which]
    return tokens


def table() -> torch.Tensor:
    """Return the logits (V, V) of the grammar: what a model learns from much of its text."""
    chances = np.full((V, V), 1e-4)
    for token in range(V):
        chances[token, SUCCESSORS[token]] = CHANCES
    return torch.tensor(np.log(chances), dtype=torch.float32)


HONEST = """
import torch
import torch.nn.functional as F
from torch import nn

class Model(nn.Module):
    def __init__(self, vocab_size, sequence_len):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(vocab_size, vocab_size))

    def forward(self, x):
        return self.table[x]

def build_model(vocab_size, sequence_len):
    return Model(vocab_size, sequence_len)
"""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread in this process: for small models more only wait."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def imported(code: str, model: str = "build_model") -> Any:
    """Run the text of a train.py in this process and return its `build_model`."""
    names: dict[str, Any] = {}
    exec(compile(code, "train.py", "exec"), names)
    return names[model]


class InProcess:
    """Stands in for the scorer's `Model` without a process: hundreds of draws take seconds."""

    batch = BATCH

    def __init__(self, code: str) -> None:
        self.model = imported(code)(V, T)
        self.model.table.data = table()
        self.model.eval()

    def build(self, vocab_size: int, length: int) -> None:
        assert (vocab_size, length) == (V, T)

    def end(self) -> None:
        del self.model  # whoever asks again fails

    @torch.no_grad()
    def nats(self, inputs: np.ndarray, targets: np.ndarray, alone: int = 0) -> np.ndarray:
        sizes = [1] * alone + [BATCH] * ((len(inputs) - alone) // BATCH)
        sizes += [len(inputs) - sum(sizes)] * (sum(sizes) < len(inputs))
        tokens = torch.from_numpy(inputs.astype(np.int64)).split(sizes)
        logits = torch.cat([self.model(part) for part in tokens])
        wanted = torch.from_numpy(targets.astype(np.int64))
        return nn.functional.cross_entropy(logits.mT, wanted, reduction="none").double().numpy()


@dataclass
class Bench:
    """Folders of a run to score, as the kit lays them out."""

    path: Path
    task: dict[str, Any] = field(default_factory=lambda: {"options": {}})

    def folder(self, name: str) -> Path:
        return self.path / name

    def rows(self, split: str = "val") -> np.ndarray:
        """Return the rows that count (N, T + 1)."""
        whole = np.fromfile(self.path / f"data/{split}/rows.bin", np.uint16).reshape(-1, T + 1)
        return np.delete(whole, np.ravel(CANARIES), axis=0)

    def write(self, text: np.ndarray, split: str = "val") -> None:
        """Put other rows (N, T + 1) in the place of those that count."""
        path = self.path / f"data/{split}/rows.bin"
        whole = np.fromfile(path, np.uint16).reshape(-1, T + 1)
        whole[np.delete(np.arange(len(whole)), np.ravel(CANARIES))] = text
        whole.tofile(path)

    def candidate(self, text: str, model: nn.Module | None = None) -> None:
        """Write train.py and weights; default are those that know the grammar."""
        (self.path / "code/train.py").write_text(text)
        if model is None:
            model = nn.Module()
            model.table = nn.Parameter(table())
        save_model(model, str(self.path / "run/weights.safetensors"))

    def score(self, **more: Any) -> dict[str, Any]:
        folders = map(self.folder, ("code", "run", "data", "out"))
        return scorer.score(*folders, self.task, **more)

    def crash(self, text: str) -> Crash:
        """Score a candidate with the weights of the grammar and return why it failed."""
        self.candidate(text)
        with pytest.raises(Crash) as caught:
            self.score()
        assert not (self.path / "out" / "rows.npz").exists()
        return caught.value

    def in_process(self, model: nn.Module) -> float:
        """Return bits per byte as torch computes them here, in the scorer's batches."""
        return evaluate(model, self.rows(), np.load(self.path / "data/token_bytes.npy"), BATCH)


def evaluate(model: nn.Module, text: np.ndarray, token_bytes: np.ndarray, batch: int) -> float:
    """Return bits per byte of rows (N, T + 1), as torch computes them here."""
    rows = torch.from_numpy(text.astype(np.int64))
    counts = torch.from_numpy(token_bytes)[rows[:, 1:]]
    model.eval()
    nats = 0.0
    with torch.no_grad():
        for part, count in zip(rows.split(batch), counts.split(batch), strict=True):
            logits = model(part[:, :-1]).float()
            loss = nn.functional.cross_entropy(logits.mT, part[:, 1:], reduction="none")
            nats += float((loss.double() * (count > 0)).sum())
    return nats / math.log(2) / float(counts.sum())


def make(path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Make the folders, with another text in each split; batches are of `BATCH` rows."""
    for name in ("code", "run", "out", "data/val", "data/test"):
        (path / name).mkdir(parents=True)
    random = np.random.default_rng(5)
    token_bytes = random.integers(1, 5, V).astype(np.int32)
    token_bytes[-1] = 0
    np.save(path / "data/token_bytes.npy", token_bytes)
    for seed, split in enumerate(("val", "test")):
        places = np.ravel(CANARIES)
        whole = np.empty((ROWS + places.size, T + 1), np.uint16)
        for one in CANARIES:
            whole[one] = random.integers(0, V - 1, T + 1)
        whole[np.delete(np.arange(len(whole)), places)] = text(ROWS, seed)
        whole.tofile(path / "data" / split / "rows.bin")
        meta = {"T": T, "vocab_size": V, "rows": len(whole), "split": split, "canaries": CANARIES}
        (path / "data" / split / "meta.json").write_text(json.dumps(meta))
    monkeypatch.setitem(served.LOGITS_BYTES, "cpu", BATCH * T * V * 4)
    monkeypatch.setenv("DEVICE", "cpu")
    return Bench(path)
