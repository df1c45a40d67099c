"""Honest models of unusual kinds have the score that torch computes in one process.

Slow (2 to 3 s each, at the size of smoke 20 s): the scorer starts two processes that import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoresearch_kit.tasks.language_model import packing, rows
from autoresearch_kit.tasks.language_model.model import LOGITS_BYTES
from autoresearch_kit.tasks.language_model.score import score
from tests import scored
from tests.scored import T, V

BEGIN = """
import torch
import torch.nn.functional as F
from torch import nn

class Model(nn.Module):
    def __init__(self, vocab_size, width=24):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        nn.init.normal_(self.embed.weight, std=0.2)
        self.out = nn.Linear(width, vocab_size)
        self.make(width)

    def make(self, width):
        pass

    def forward(self, x):
        return self.out(F.rms_norm(self.mix(self.embed(x)), (self.out.in_features,)))

def build_model(vocab_size, sequence_len):
    return Model(vocab_size)

def causal(T):
    return torch.ones(T, T, dtype=torch.bool).tril()
"""

EXOTIC = {
    "the best two of eight experts": """
class Model(Model):
    def make(self, width):
        self.route = nn.Linear(width, 8)
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(8))

    def mix(self, h):
        weight, which = self.route(h).softmax(-1).topk(2)
        every = torch.stack([expert(h) for expert in self.experts], -2)
        chosen = every.gather(-2, which[..., None].expand(*which.shape, h.size(-1)))
        return h + (weight[..., None] * chosen).sum(-2)
""",
    "experts with a capacity for each batch": """
class Model(Model):
    def make(self, width):
        self.register_buffer("route", torch.randn(width, 4))  # balanced, as it never learns
        self.shared = nn.Linear(width, width)  # for whom finds its expert full
        self.experts = nn.ModuleList(nn.Linear(width, width) for _ in range(4))

    def mix(self, h):
        flat = h.flatten(0, 1)
        weight, which = (F.rms_norm(flat, (flat.size(1),)) @ self.route).softmax(-1).max(-1)
        mixed = torch.zeros_like(flat)
        for e, expert in enumerate(self.experts):
            at = (which == e).nonzero()[: int(1.25 * len(flat) / 4), 0]
            mixed[at] = weight[at, None] * expert(flat[at])
        return h + self.shared(h) + 0.5 * mixed.view_as(h)
""",
    "convolution in time": """
class Model(Model):
    def make(self, width):
        self.conv = nn.Conv1d(width, width, 5)

    def mix(self, h):
        return h + self.conv(F.pad(h.mT, (4, 0))).mT
""",
    "recurrent": """
class Model(Model):
    def make(self, width):
        self.gru = nn.GRU(width, width, batch_first=True)

    def mix(self, h):
        return self.gru(h)[0]
""",
    "state space": """
class Model(Model):
    def make(self, width):
        self.decay = nn.Parameter(torch.randn(width))

    def mix(self, h):
        states, state = [], torch.zeros_like(h[:, 0])
        for at in range(h.size(1)):
            state = self.decay.sigmoid() * state + h[:, at]
            states.append(state)
        return torch.stack(states, 1)
""",
    "tied weights": """
class Model(Model):
    def make(self, width):
        self.out.weight = self.embed.weight

    def mix(self, h):
        return h.cumsum(1)
""",
    "dropout": """
class Model(Model):
    def make(self, width):
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(width)  # with the statistics of training

    def mix(self, h):
        return self.drop(self.norm(h.mT).mT.cumsum(1))
""",
    "another kernel for every batch size": """
class Model(Model):
    def mix(self, h):
        if len(h) == 1:
            return h.cumsum(1)
        if len(h) % 2:
            return torch.stack([row.cumsum(0) for row in h])
        return causal(h.size(1)).float() @ h
""",
    "attention in chunks with a cache": """
class Model(Model):
    def make(self, width):
        self.qkv = nn.Linear(width, 3 * width)

    def mix(self, h):
        keys, values, mixed = [], [], []
        for part in h.split(8, 1):
            q, k, v = self.qkv(part).chunk(3, -1)
            keys.append(k)
            values.append(v)
            past, n = torch.cat(keys, 1), part.size(1)
            mask = causal(past.size(1))[-n:]
            mixed.append(F.scaled_dot_product_attention(q, past, torch.cat(values, 1), mask))
        return h + torch.cat(mixed, 1)
""",
    "bfloat16, other sizes": """
class Model(Model):
    def make(self, width):
        layer = dict(nhead=5, dim_feedforward=40, batch_first=True, dropout=0.1)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(width, **layer) for _ in range(3))

    def mix(self, h):
        for layer in self.layers:
            h = layer(h, ~causal(h.size(1)))
        return h

def build_model(vocab_size, sequence_len):
    return Model(vocab_size, width=40).bfloat16()
""",
    "half precision, tables made when they are needed": """
class Model(Model):
    def mix(self, h):
        if not hasattr(self, "fading"):
            back = torch.arange(h.size(1))[:, None] - torch.arange(h.size(1))
            table = torch.where(back < 0, 0.0, 0.8 ** back.clamp(min=0))
            self.register_buffer("fading", table.half(), persistent=False)
        return self.fading @ h

def build_model(vocab_size, sequence_len):
    return Model(vocab_size).half()
""",
}


def learnt(code: str, texts: Iterable[np.ndarray], sizes: tuple[int, int] = (V, T)) -> nn.Module:
    """Return a model after a step on each of `texts`, rows (N, T + 1)."""
    torch.manual_seed(0)
    model: nn.Module = scored.imported(code)(*sizes)
    steps = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-4)
    for text in texts:
        tokens = torch.from_numpy(text.astype(np.int64))
        logits = model(tokens[:, :-1]).float()
        loss = nn.functional.cross_entropy(logits.mT, tokens[:, 1:])
        model.zero_grad()
        loss.backward()
        steps.step()
    assert loss < np.log(sizes[0]) - 0.2, "it has learnt nothing"
    return model


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[scored.Bench]:
    with scored.one_thread():
        yield scored.make(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", EXOTIC)
def test_an_honest_model_scores_as_in_process(name: str, bench: scored.Bench) -> None:
    code = BEGIN + EXOTIC[name]
    model = learnt(code, (scored.text(24, 100 + seed) for seed in range(12)))
    bench.candidate(code, model)
    result = bench.score()
    assert "quarantine" not in result, result["quarantine"]
    assert result["value"] == pytest.approx(bench.in_process(model), abs=1e-4)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", EXOTIC)
def test_an_honest_model_scores_as_in_process_at_the_size_of_smoke(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEVICE", "cpu")
    data = packing.prepare("classics", sequence_len=256, vocab_size=2048)
    train = np.memmap(data / "train/rows.bin", np.uint16, mode="r").reshape(-1, 257)
    code = BEGIN.replace("width=24", "width=96") + EXOTIC[name].replace("width=40", "width=160")
    model = learnt(code, (train[8 * i : 8 * i + 8] for i in range(40)), (2048, 256))
    for folder in ("code", "run", "out"):
        (tmp_path / folder).mkdir()
    bench = scored.Bench(tmp_path)
    bench.candidate(code, model)
    task = {"options": {"score_tokens": 65536}}
    result = score(bench.folder("code"), bench.folder("run"), data, bench.folder("out"), task)
    assert "quarantine" not in result, (result["quarantine"], result["checks"])
    held_out = rows.read(data, "val", 65536)
    batch = LOGITS_BYTES["cpu"] // (4 * 2048 * 256)
    value = scored.evaluate(model, held_out.tokens, np.load(data / "token_bytes.npy"), batch)
    assert result["value"] == pytest.approx(value, abs=1e-4)
