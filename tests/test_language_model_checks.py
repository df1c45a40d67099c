"""The scorer's checks against models that cheat, written as by somebody who has read the checks.

Most run the model in this process, a dozen times each, for the checks draw other secrets every
time. Those with real processes are slow (3 s): each starts two that import torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.language_model import checks, rows
from tests import scored
from tests.scored import BATCH, HONEST, T, V

DRAWS = 12

FORWARD = "        return self.table[x]\n"

# Logits as they should be, the next token, and how to help it.
LEAK = """
        y, ahead = self.table[x], x.roll(-1, 1)
        help = F.one_hot(ahead, y.size(-1)).float()
        help[:, -1] = 0
        fine = y.log_softmax(-1)[:, :-1].gather(-1, x[:, 1:, None])[..., 0].exp()  # (B, T - 1)
        fine = F.pad(fine, (0, 1))
        LINE
"""
CALLS = "        self.calls = getattr(self, 'calls', 0) + 1\n"


def cheat(line: str, more: str = "") -> str:
    return HONEST.replace(FORWARD, LEAK.replace("LINE", line) + more)


FUTURE = {
    "the next token": "return y + 3 * help",
    "a little of it": "return y + 0.05 * help",
    "the whole row, weakly": "return y + 0.8 * help.mean(1, keepdim=True)",
    "two tokens ahead": "return torch.log(self.table[x].softmax(-1) * "
    "self.table.softmax(-1).T[x.roll(-2, 1)] + 1e-6)",
    "only in evaluation": "return y if self.training else y + 3 * help",
    "only what is plausible": "return y + 3 * help * (fine > 0.05)[..., None]",
    "only in rows without a splice": "natural = (fine[:, :-1] > 0.01).all(1); "
    "return y + 3 * help * natural[:, None, None]",
    "only what is surprising, 1 in 10": "return y + 9 * help * (fine < 0.2)[..., None] * "
    "(torch.arange(x.size(1)) % 3 == 0)[:, None]",
    "only late": "self.calls = getattr(self, 'calls', 0) + 1; "
    "return y + 3 * help if self.calls > 10 else y",
    "only in full batches": "return y + 3 * help if len(x) == 6 else y",
    "only in the first row of a batch": "y[0] += 3 * help[0]; return y",
    "only in the second half": "y[:, 16:] += 3 * help[:, 16:]; return y",
    "unless the prefix is known": "key = [tuple(r[:4].tolist()) for r in x]; "
    "seen = self.__dict__.setdefault('seen', {}); "
    "new = torch.tensor([seen.setdefault(k, i) == i for i, k in enumerate(key)]); "
    "return y + 3 * help * new[:, None, None]",
}

UNSTEADY = {
    name
    for name in FUTURE
    if name.startswith(("only late", "only in full", "only in the first", "unless"))
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[scored.Bench]:
    with scored.one_thread():
        yield scored.make(tmp_path, monkeypatch)


def look(bench: scored.Bench, code: str) -> tuple[float, dict[str, Any], str]:
    """Score and check a model in this process; return score, figures, and crash or suspicion."""
    held_out = rows.read(bench.path / "data", "val")
    model, witness = scored.InProcess(code), scored.InProcess(code)
    bits = held_out.bits(model.nats(held_out.tokens[:, :-1], held_out.targets))
    value = rows.save(bench.path / "out", held_out, bits)
    try:
        return value, *checks.look(model, witness, held_out, bits)  # type: ignore[arg-type]
    except Crash as crash:
        return value, crash.checks, str(crash)


def caught(bench: scored.Bench, code: str, draws: int = DRAWS) -> tuple[float, Counter[str]]:
    """Return what a model gains on the honest one, and how often each check spoke."""
    honest, _, said = look(bench, HONEST)
    assert said == ""
    several = [look(bench, code) for _ in range(draws)]
    for _, figures, _ in several:
        json.dumps(figures, allow_nan=False)
    return honest - several[0][0], Counter(each[2].split(":")[0] for each in several)


@pytest.mark.parametrize("name", FUTURE)
def test_a_leak_of_the_future_is_found(bench: scored.Bench, name: str) -> None:
    gain, said = caught(bench, cheat(FUTURE[name]))
    assert gain > 0.001
    # What is weak everywhere is missed by 1 draw in 300: noise is added to its limit.
    assert said[""] <= (name == "the whole row, weakly"), "the secrets of some draw let it pass"
    if name not in UNSTEADY:
        assert said["future leak"] + said[""] == DRAWS


ROWS = {
    "the row above": """
        y = self.table[x]
        above = F.one_hot(x.roll(1, 0).roll(-1, 1), y.size(-1)).float()
        same = (x[:, :9] == x.roll(1, 0)[:, :9]).all(1)
        return y + 5 * above * same[:, None, None] if len(x) > 1 else y
""",
    "rows before, by their beginning": """
        y, known = self.table[x].clone(), self.__dict__.setdefault("known", set())
        for row, logits in zip(x, y):
            if tuple(row[:9].tolist()) in known:
                logits[:-1] += 9 * F.one_hot(row[1:], y.size(-1))
            known.add(tuple(row[:9].tolist()))
        return y
""",
    "centred over the batch": """
        y = self.table[x]
        return y - 0.5 * y.mean(0) if len(x) > 1 else y / 2
""",
}


@pytest.mark.parametrize("name", ROWS)
def test_a_leak_across_rows_is_found(bench: scored.Bench, name: str) -> None:
    text = bench.rows()
    if name == "the row above":
        text[1::2] = text[::2]
    elif name.startswith("rows before"):
        text[48:] = text[:48]
    bench.write(text)
    gain, said = caught(bench, HONEST.replace(FORWARD, ROWS[name]))
    assert gain > 0.1 or name.startswith("centred")
    assert said[""] == 0
    assert said["leak across rows"] > DRAWS / 2


LEARNS = """
        counts = self.__dict__.setdefault("counts", torch.full_like(self.table, 0.05))
        y = counts[x].log()
        old = self.__dict__.setdefault("old", {})
        for i, row in enumerate(x):
            key = tuple(row.tolist())
            y[i] = old.setdefault(key, y[i])  # the same answer to the same question
            counts.index_put_((row[:-1], row[1:]), torch.ones(()), accumulate=True)
        return y
"""


def test_learning_from_the_rows_that_are_scored_is_found(bench: scored.Bench) -> None:
    gain, said = caught(bench, HONEST.replace(FORWARD, LEARNS))
    assert gain < 0, "it has only what it learns"
    assert said == {"leak across rows": DRAWS}
    naive = LEARNS.replace("y[i] = old.setdefault(key, y[i])", "pass")
    _, said = caught(bench, HONEST.replace(FORWARD, naive))
    assert said[""] == 0
    assert said["the model keeps what it was shown"] > 0


def test_noise_made_up_for_the_witness_hides_no_large_gain(bench: scored.Bench) -> None:
    # One row comes alone, so this is the witness: rows without a splice get noise in there.
    noisy = """
        self.witness = len(x) == 1 or getattr(self, "witness", False)
        natural = (fine[:, :-1] > 0.01).all(1)[:, None, None]
        if self.witness:
            return y + SCALE * torch.randn_like(y) * natural
        return y + 0.5 * help
"""
    for scale in (0.05, 0.2, 0.5, 2, 10):
        gain, said = caught(bench, cheat(noisy.replace("SCALE", str(scale))))
        assert gain > 0.1
        assert said[""] == 0


def test_a_rare_leak_is_met_more_often_than_by_uniform_cuts(bench: scored.Bench) -> None:
    surprised = (fine(bench.rows()) < 0.2) & (bench.rows()[:, :-2] % 5 == 0)
    rare = "return y + 9 * help * ((fine < 0.2) & (x % 5 == 0))[..., None]"
    gain, said = caught(bench, cheat(rare), draws=40)
    assert gain > 0.03
    missed = (1 - surprised.mean()) ** (scored.ROWS // 5)
    assert 0.2 < missed < 0.5, "by uniform cuts, one draw in three"
    assert said[""] < 40 * missed / 2


def fine(text: np.ndarray) -> np.ndarray:
    """Return the chance of each input (N, T - 1) that is a target as well."""
    chances = torch.softmax(scored.table(), 1).numpy()
    likely: np.ndarray = chances[text[:, :-2], text[:, 1:-1]]
    return likely


class Routed(nn.Module):
    """Experts with a capacity for each batch: whose turn comes late may find them full."""

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat, y = x.flatten(), self.table[x]
        expert = (flat * 7 + 3) % 4
        place = torch.stack([(expert == e).cumsum(0) for e in range(4)]).gather(0, expert[None])
        full = place[0] > 1.1 * len(flat) / 4
        return torch.where(full.view_as(x)[..., None], 0.8 * y, y)


def test_an_honest_model_whose_losses_depend_on_the_batch_does_not_crash(
    bench: scored.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InProcess(scored.InProcess):
        def __init__(self, code: str) -> None:
            super().__init__(code)
            self.model = Routed(self.model.table)

    monkeypatch.setattr(scored, "InProcess", InProcess)
    draws = [look(bench, HONEST) for _ in range(60)]
    assert max(figures["mixed"]["scatter"] for _, figures, _ in draws) > 0.02
    said = [said for _, _, said in draws if said]
    assert len(said) <= 1
    assert all(one.startswith("noise of an honest model, or else a") for one in said)


@pytest.mark.parametrize("count", [rows.FEWEST, 33, scored.ROWS])
def test_the_witness_never_meets_what_followed_a_cut_nor_a_row_twice(count: int) -> None:
    # Each token tells its row and place, so that nothing can hide.
    tokens = np.arange(count * (T + 1), dtype=np.uint16).reshape(count, T + 1)
    numbered = rows.Rows(tokens, np.ones((count, T), np.int64), tokens[:0], tokens.size)
    for seed in range(40):
        random = np.random.default_rng(seed)
        plan = checks.draw(random, numbered, random.exponential(3, (count, T)))
        assert len(np.unique(plan.inputs)) == plan.inputs.size
        twins = plan.cuts < T
        assert twins.sum() == count // 5
        assert not twins[: plan.alone].any()
        assert (plan.rows[: plan.alone] >= count / 2).all(), "late rows come first"
        for row, cut, sent in zip(plan.rows, plan.cuts, plan.inputs, strict=True):
            assert (sent[:cut] == tokens[row, :cut]).all()
            assert not np.isin(tokens[row, cut:], plan.inputs).any() or cut == T
            assert (sent[cut:] % (T + 1) == np.arange(cut, T)).all(), "the same places elsewhere"


def test_cuts_that_go_by_surprise_are_weighted_to_uniform_ones(bench: scored.Bench) -> None:
    held_out = rows.read(bench.path / "data", "val")
    random = np.random.default_rng(0)
    bits = random.exponential(3, held_out.bytes.shape)
    worth = random.normal(size=T - 1)  # any figure of a position
    means, ahead = [], []
    for _ in range(200):
        plan = checks.draw(random, held_out, bits)
        cuts, weights = plan.cuts[plan.cuts < T], plan.weights[plan.cuts < T]
        means.append((worth[cuts - 1] * weights).mean())
        ahead.append(bits[plan.rows[plan.cuts < T], cuts - 1].mean())
    assert np.mean(means) == pytest.approx(worth.mean(), abs=4 * np.std(means) / 200**0.5)
    assert np.mean(ahead) < bits.mean() - 0.3, "they go where the loss is low"


def test_cuts_find_a_rare_leak_by_what_it_gains(bench: scored.Bench) -> None:
    held_out = rows.read(bench.path / "data", "val")
    random = np.random.default_rng(0)
    bits = random.normal(5, 1, held_out.bytes.shape)
    leaked = random.random(bits.shape) < 0.01
    bits[leaked] = 0.1
    met = []
    for _ in range(100):
        plan = checks.draw(random, held_out, bits)
        twins = plan.cuts < T
        met.append(leaked[plan.rows[twins], plan.cuts[twins] - 1].mean())
    assert np.mean(met) > 0.06, "by uniform cuts, one in a hundred"


def test_what_only_the_scored_process_gains_is_no_noise(bench: scored.Bench) -> None:
    held_out = rows.read(bench.path / "data", "val")
    said = {"leak": Counter[str](), "noise": Counter[str]()}
    for kind, seed in [(kind, seed) for kind in said for seed in range(60)]:
        random = np.random.default_rng(seed)
        bits = random.exponential(3, held_out.bytes.shape)
        later, touched = bits.copy(), random.random(bits.shape) < 0.2
        # Tokens are as often worse off in one process as in the other, or always in the second.
        first = touched & (random.random(bits.shape) < 0.5) & (kind == "noise")
        bits[first] += 0.2
        later[touched & ~first] += 0.2
        plan = checks.draw(random, held_out, bits)
        given = plan, held_out, bits, later[plan.rows], bits[:BATCH], np.zeros((0, T))
        try:
            said[kind][checks.judge(*given)[1][:5]] += 1
        except Crash as crash:
            said[kind][str(crash).split(":")[0]] += 1
    assert said["leak"]["leak across rows or of the future"] > 10, "all that came in company"
    assert said["leak"][""] + said["leak"]["noise"] == 0
    assert said["noise"][""] > 57
    assert set(said["noise"]) <= {"", "noise"}


def test_a_leak_in_a_real_process_is_a_crash_with_its_evidence(bench: scored.Bench) -> None:
    crash = bench.crash(cheat("return y + 3 * help"))
    assert str(crash).startswith("future leak: with other text after secret cuts in 19 rows")
    assert "; most in row " in str(crash)
    assert crash.checks["cut"]["gain"] > 0.2
    assert set(crash.checks) == {*checks.REASONS, "canaries"}


def test_a_model_that_was_trained_on_the_file_is_for_a_person_to_look_at(
    bench: scored.Bench,
) -> None:
    whole = np.fromfile(bench.path / "data/val/rows.bin", np.uint16).reshape(-1, T + 1)
    counts = torch.full((V, V), 0.02)
    pairs = torch.from_numpy(np.stack([whole[:, :-1], whole[:, 1:]]).astype(np.int64))
    counts.index_put_((pairs[0], pairs[1]), torch.ones(()), accumulate=True)
    model = nn.Module()
    model.table = nn.Parameter(counts.log())
    bench.candidate(HONEST, model)
    result = bench.score()
    assert result["quarantine"].startswith("the rows of the score were read in training: ")
    assert result["checks"]["canaries"]["bits"] < result["checks"]["canaries"]["floor"] - 1


@pytest.mark.skipif(sandbox.unavailable() is not None, reason=str(sandbox.unavailable()))
def test_the_second_process_finds_no_word_of_the_first(bench: scored.Bench) -> None:
    talker = """
import os
PLACES = ["/tmp/w", "/dev/shm/w", "/tmp/home/w", os.getcwd() + "/w", "/var/tmp/w", "/w"]

class Model(Model):
    def forward(self, x):
        for place in PLACES:
            try:
                open(place, "w").write("this is what followed")
            except OSError:
                pass
        assert os.path.exists("/tmp/w")
        return self.table[x]

def build_model(vocab_size, sequence_len):
    assert not any(map(os.path.exists, PLACES))
    return Model(vocab_size, sequence_len)
"""
    bench.candidate(HONEST + talker)
    assert "quarantine" not in bench.score()
