"""The number of tokens of a text, estimated without a network."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import tokens

CODE = """\
class Block(nn.Module):
    def __init__(self, config: GPTConfig, layer_idx: int) -> None:
        super().__init__()
        self.attn = CausalSelfAttention(config, layer_idx)
        self.mlp = MLP(config.n_embd, hidden=4 * config.n_embd)

    def forward(self, x, cos_sin, kv_cache=None):
        x = x + self.attn(norm(x), cos_sin, kv_cache)  # (B, T, C)
        return x + self.mlp(norm(x))

EMBEDDING_LR = 0.6  # search: 0.05 to 2 log
DEVICE_BATCH_SIZE = 2**5
"""
PROSE = """\
Autoresearch is a loop: read a training script, form a hypothesis, change the code, train for a
fixed five minutes, read one number, keep or discard, again. The human writes `program.md`, which
says what to explore, what to avoid and what counts as progress.
"""
LEDGER = """\
| n | status | val_loss | change | hypothesis |
| --- | --- | --- | --- | --- |
| 0007 | discard | 2.1143 | +0.0031 | a smaller learning rate for the embedding |
| 0008 | crash | | | twice the width (out of memory after 12 s) |
| 0009 | keep | 2.0972 | -0.0171 | MATRIX_LR 0.04 -> 0.03, warm-up over 10 % of the budget |
"""
DIFF = """\
@@ -14,7 +14,7 @@ class Muon(torch.optim.Optimizer):
-        g = zeropower_via_newtonschulz5(g, steps=5)
+        g = zeropower_via_newtonschulz5(g, steps=group["ns_steps"])
         p.add_(g, alpha=-group["lr"] * max(1, p.size(-2) / p.size(-1)) ** 0.5)
"""
GERMAN = "Die Lernrate bestimmt, wie schnell das Modell lernt; zu große Schritte schaden ihm.\n"
CHINESE = "机器学习模型在训练过程中需要大量的数据，学习率的选择非常重要。\n"

# Text, and its tokens in the vocabulary o200k_base (tiktoken 0.14)
COUNTED = {
    "code": (CODE, 150),
    "prose": (PROSE, 62),
    "ledger": (LEDGER, 114),
    "diff": (DIFF, 97),
    "german": (GERMAN, 19),
    "chinese": (CHINESE, 17),
}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder in place of tiktoken's cache; any use of the network is an error."""

    def connect(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    tokens._encoding.cache_clear()
    yield tmp_path
    tokens._encoding.cache_clear()


@pytest.mark.parametrize("name", COUNTED)
def test_the_estimate_is_near_what_a_vocabulary_gives(name: str, cache: Path):
    text, real = COUNTED[name]
    least, most = {"german": (0.8, 1.2), "chinese": (0.8, 2.0)}.get(name, (0.85, 1.1))
    assert least * real <= tokens.count(text * 20) / 20 <= most * real


def test_a_vocabulary_in_the_cache_counts(cache: Path, monkeypatch: pytest.MonkeyPatch):
    content = b"the words of a vocabulary"
    (cache / "name").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(tokens, "VOCABULARIES", {"small": ("name", digest)})
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    small = tiktoken.Encoding("small", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={})
    monkeypatch.setattr(tiktoken, "get_encoding", {"small": small}.__getitem__)
    assert tokens.count("abab <|endoftext|>") == 2 + 1 + 13


@pytest.mark.parametrize("name", tokens.VOCABULARIES)
def test_a_damaged_vocabulary_is_neither_used_nor_fetched_anew(name: str, cache: Path):
    """tiktoken itself would delete it and download another."""
    file = cache / tokens.VOCABULARIES[name][0]
    file.write_bytes(b"half a download")
    assert tokens.count(CODE) == tokens.pieces(CODE)
    assert file.read_bytes() == b"half a download"


@pytest.mark.parametrize("name", tokens.VOCABULARIES)
def test_the_names_in_the_cache_are_those_of_tiktoken(name: str):
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    assert tokens.VOCABULARIES[name][0] == hashlib.sha1(url.encode()).hexdigest()


@given(st.text())
def test_every_character_is_counted(text: str):
    """No text is for free, whatever its script, and none costs more than its bytes and a bit."""
    count = tokens.pieces(text)
    assert count >= len(text) // 40
    assert count <= 1.04 * len(text.encode("utf-8", "surrogatepass")) + 1


@given(st.text(), st.text())
def test_texts_together_cost_about_what_they_cost_apart(one: str, two: str):
    assert abs(tokens.pieces(one + two) - tokens.pieces(one) - tokens.pieces(two)) <= 3
