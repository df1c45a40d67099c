"""The trusted scorer with honest and hostile candidates, in real processes.

Slow (2 to 3 s a test): each candidate's process imports torch. Where the checks for leaks make no
difference they are left out, which spares a second process.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.tasks.language_model import model as served
from autoresearch_kit.tasks.language_model import score as scorer

V, T, ROWS, SCORED = 300, 16, 60, 48

HONEST = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 8)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(8, vocab_size)

    def forward(self, x):
        return self.out(self.drop(self.embed(x).cumsum(1)))

def build_model(vocab_size, sequence_len):
    return Tiny(vocab_size)
"""


class Tiny(nn.Module):
    """The honest candidate's model, for evaluation in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, 8)
        self.out = nn.Linear(8, V)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.embed(x).cumsum(1))
        return logits


@dataclass(frozen=True)
class Bench:
    """Folders of a run to score; the weights are the honest model's."""

    path: Path
    task: dict[str, Any]

    def folder(self, name: str) -> Path:
        return self.path / name

    def candidate(self, text: str, **files: str) -> None:
        for name, content in {"train": text, **files}.items():
            (self.path / "code" / f"{name}.py").write_text(content)

    def score(self, **more: Any) -> dict[str, Any]:
        return scorer.score(*map(self.folder, ("code", "run", "data", "out")), self.task, **more)

    def crash(self, text: str) -> str:
        self.candidate(text)
        with pytest.raises(Crash) as caught:
            self.score(check=False)
        assert not (self.path / "out" / "rows.npz").exists()
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for name in ("code", "run", "out", "data/val", "data/test"):
        (tmp_path / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        rows = random.integers(0, V - 1, (ROWS + 2, T + 1)).astype(np.uint16)
        rows.tofile(tmp_path / f"data/{split}/rows.bin")
        meta = {"T": T, "vocab_size": V, "rows": ROWS + 2, "split": split}
        meta["canaries"] = [[0], [ROWS]]
        (tmp_path / f"data/{split}/meta.json").write_text(json.dumps(meta))
    token_bytes = random.integers(1, 9, V).astype(np.int32)
    token_bytes[:40] = 0
    np.save(tmp_path / "data/token_bytes.npy", token_bytes)
    torch.manual_seed(0)
    save_file(Tiny().state_dict(), tmp_path / "run/weights.safetensors")
    return Bench(tmp_path, {"options": {"score_tokens": SCORED * T, "score_batch_seconds": 20}})


def in_process(bench: Bench, split: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Bits per byte, the same of each row, and its bytes, evaluated in this process by torch."""
    torch.manual_seed(0)
    model = Tiny()
    rows = np.fromfile(bench.path / f"data/{split}/rows.bin", np.uint16).reshape(-1, T + 1)
    rows = np.delete(rows, [0, ROWS], axis=0)[:SCORED]
    tokens = torch.from_numpy(rows.astype(np.int64))
    with torch.no_grad():
        logits = model(tokens[:, :-1])
    nats = nn.functional.cross_entropy(logits.mT, tokens[:, 1:], reduction="none").double().numpy()
    counts = np.load(bench.path / "data/token_bytes.npy")[rows[:, 1:]]
    row_nats, row_bytes = (nats * (counts > 0)).sum(1), counts.sum(1)
    bits = row_nats / math.log(2)
    return bits.sum() / row_bytes.sum(), bits / row_bytes, row_bytes


@pytest.fixture
def honest(bench: Bench) -> tuple[float, np.ndarray, np.ndarray]:
    return in_process(bench, "val")


def test_an_honest_model_scores_as_in_process(bench, honest, monkeypatch):
    # Several batches, the last one shorter, so that both buffers and the remainder are used.
    monkeypatch.setitem(served.LOGITS_BYTES, "cpu", 9 * T * V * 4)
    monkeypatch.setenv("DEVICE", "cpu")
    bench.candidate(HONEST)
    result = bench.score()
    value, values, counts = honest
    assert result["value"] == pytest.approx(value, abs=1e-6)
    arrays = np.load(bench.path / "out/rows.npz")
    assert (arrays["values"].dtype, arrays["weights"].dtype) == (np.float64, np.int64)
    np.testing.assert_allclose(arrays["values"], values, atol=1e-5)
    np.testing.assert_array_equal(arrays["weights"], counts)
    total = np.sum(arrays["values"] * arrays["weights"])
    assert result["value"] == total / np.sum(arrays["weights"])
    assert {key: result[key] for key in ("rows", "tokens", "bytes", "parameters", "device")} == {
        "rows": "rows.npz",
        "tokens": SCORED * T,
        "bytes": counts.sum(),
        "parameters": V * 8 + 8 * V + V,
        "device": "cpu",
    }
    assert (result["scored_rows"], result["split"]) == (SCORED, "val")
    assert "quarantine" not in result
    assert 0 < result["check_seconds"] < result["seconds"]
    assert result["sandboxed"] is (sandbox.unavailable() is None)


def run_module(bench: Bench, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run the scorer as the kit does: a process in the baseline's export."""
    folders = {"CODE_DIR": "code", "RUN_DIR": "run", "DATA_DIR": "data", "SCORE_DIR": "out"}
    env: dict[str, str | None] = {
        **os.environ,
        **{name: str(bench.folder(folder)) for name, folder in folders.items()},
        "PYTHONPATH": str(Path(sandbox.__file__).parents[2]),
        **changes,
    }
    baseline = bench.folder("baseline")
    baseline.mkdir(exist_ok=True)
    (baseline / "task.toml").write_text(
        f"setup_seconds = 60\n[options]\nscore_tokens = {SCORED * T}\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "autoresearch_kit.tasks.language_model.score"],
        cwd=baseline,
        env={name: value for name, value in env.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


LIAR = """
import builtins, json, os, sys, time
import torch
import torch.nn.functional as F
print("val_bpb: 0.001")
print(json.dumps({"value": 0.001}), flush=True)
zeros = lambda *a, **k: torch.zeros(())
F.cross_entropy = F.log_softmax = torch.log_softmax = torch.Tensor.log_softmax = zeros
torch.nn.functional.nll_loss = torch.logsumexp = zeros
time.monotonic = time.perf_counter = time.time = lambda: 0.0
json.dumps = lambda *a, **k: '{"value": 0.001, "device": "cpu", "done": true, "built": true}'
for place in (os.environ["CODE_DIR"], "/tmp", os.environ.get("SCORE_DIR", "/x"), "/work", "OUT"):
    for name in ("rows.npz", "score.json", "result.json"):
        try:
            open(os.path.join(place, name), "w").write('{"value": 0.001}')
        except OSError:
            pass
"""


def test_a_liar_gets_its_honest_score(bench, honest):
    bench.candidate(
        LIAR.replace("OUT", str(bench.folder("out"))) + HONEST,
        # Named as the scorer's own modules and what they import.
        score="raise SystemExit('value: 0.001')",
        serve="raise SystemExit('value: 0.001')",
        numpy="raise SystemExit('value: 0.001')",
        safetensors="raise SystemExit('value: 0.001')",
        autoresearch_kit="raise SystemExit('value: 0.001')",
    )
    done = run_module(bench)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert json.loads(done.stdout)["value"] == pytest.approx(honest[0], abs=1e-6)
    assert [path.name for path in bench.folder("out").iterdir()] == ["rows.npz"]
    np.testing.assert_array_equal(np.load(bench.folder("out") / "rows.npz")["weights"], honest[2])


def test_the_test_split_is_scored_when_it_is_asked_for(bench):
    bench.candidate(HONEST)
    done = run_module(bench, SPLIT="test")
    result = json.loads(done.stdout)
    assert result["split"] == "test"
    assert result["value"] == pytest.approx(in_process(bench, "test")[0], abs=1e-6)
    done = run_module(bench, SPLIT="train")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "score: SPLIT is 'train', expected val or test\n"


def test_a_crash_is_a_result_and_trouble_is_not(bench):
    bench.candidate("def build_model(vocab_size, sequence_len)\n    pass")
    done = run_module(bench)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(done.stdout)) == ["crash"]
    bench.candidate(HONEST)
    (bench.path / "data/val/rows.bin").unlink()
    done = run_module(bench)
    assert (done.returncode, done.stdout) == (1, "")
    assert "rows.bin" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_module(bench, DATA_DIR=None)
    assert (done.returncode, done.stdout) == (1, "")
    assert "DATA_DIR not set" in done.stderr


FORWARD = HONEST.replace(
    "        return self.out", "        import os, time\n        {line}\n        return self.out"
)

# name: (the candidate's train.py, the beginning of the reason)
FAULTS = {
    "syntax error": (
        "x = (\n",
        "import of train.py failed: SyntaxError: '(' was never closed",
    ),
    "import error": (
        "\nimport no_such_module\n",
        "import of train.py failed: ModuleNotFoundError: No module named 'no_such_module' "
        "(train.py, line 2)",
    ),
    "exit at import": ("import os\nos._exit(0)", "the model's process exited with status 0 while"),
    "killed": (
        "import os, signal\nprint('the last \\x1b[31mwords', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
        "the model's process was killed by signal 9; out of memory? while building the model\n"
        "last output:\nthe last [31mwords",
    ),
    "no build_model": ("", "train.py has no function build_model(vocab_size, sequence_len)"),
    "build_model raises": (
        "def build_model(vocab_size, sequence_len):\n    raise ValueError('no')",
        "build_model failed: ValueError: no (train.py, line 2)",
    ),
    "wrong shape of weights": (
        HONEST.replace("(vocab_size, 8)", "(vocab_size, 9)").replace("(8, vocab", "(9, vocab"),
        "weights have the wrong shape: embed.weight (300, 8), expected (300, 9); out.weight",
    ),
    "weights lacking": (
        HONEST.replace("self.out =", "self.extra = nn.Linear(2, 2)\n        self.out ="),
        "weights lack extra.bias; extra.weight",
    ),
    "too many weights": (
        HONEST.replace("nn.Linear(8, vocab_size)", "nn.Linear(8, vocab_size, bias=False)"),
        "weights have tensors that the model does not: out.bias",
    ),
    "loss instead of logits": (
        FORWARD.format(line="return torch.zeros(())"),
        "logits have the shape (), expected (48, 16, 300)",
    ),
    "logits of the last position": (
        FORWARD.format(line="return self.out(self.embed(x))[:, -1:]"),
        "logits have the shape (48, 1, 300), expected (48, 16, 300)",
    ),
    "NaN": (
        FORWARD.format(
            line="y = self.out(self.embed(x)); y[40, 3, 7] = float('nan'); return y",
        ),
        "the logits are not finite, first in row 40 at position 3",
    ),
    "minus infinity": (
        FORWARD.format(
            line="y = self.out(self.embed(x)); y[:, 5, 0] = -float('inf'); return y",
        ),
        "the logits are not finite, first in row 0 at position 5",
    ),
    "exit in forward": (
        FORWARD.format(line="os._exit(3)"),
        "the model's process exited with status 3 while computing random tokens",
    ),
    "no JSON": (
        "import os, sys\nos.write(int(sys.argv[2]), b'[' * 50000 + b'\\n')",
        "the model's process sent no JSON object while building the model",
    ),
    "a flood in the pipe": (
        "import os, sys\nwhile True: os.write(int(sys.argv[2]), b'x' * 4096)",
        "the model's process flooded its pipe while building the model",
    ),
    "shared memory cut short": (
        FORWARD.format(
            line="import sys; os.ftruncate(int(sys.argv[3]), 0); "
            "os.write(int(sys.argv[2]), b'{}\\n{}\\n'); time.sleep(1000)",
        ),
        "the model's process cut the shared memory short",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_candidate_is_a_crash_with_its_reason(bench, name):
    text, reason = FAULTS[name]
    assert bench.crash(text).startswith(reason)


def test_a_candidate_without_train_py_is_a_crash(bench):
    with pytest.raises(Crash, match="No module named 'train'"):
        bench.score()


def test_a_hang_ends_at_its_limit(bench, monkeypatch):
    monkeypatch.setitem(served.LOGITS_BYTES, "cpu", 24 * T * V * 4)
    bench.task["options"]["score_batch_seconds"] = 0.5
    bench.task["setup_seconds"] = 20
    # The second batch of rows hangs, the third in all: the first has longer, as it may compile.
    text = FORWARD.format(line="seen.append(x); time.sleep(1000 * len(seen[2:]))") + (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nseen = []\n"
    )
    assert bench.crash(text).startswith("hang: time ran out while computing rows 24 to 47")


def test_endless_output_fills_nothing_and_stops_nobody(bench, honest):
    noise = "import sys\nfor _ in range(1000): sys.stdout.write('x' * 1_000_000)\n"
    bench.candidate(noise + HONEST)
    assert bench.score(check=False)["value"] == pytest.approx(honest[0], abs=1e-6)


def test_too_much_memory_is_a_crash(bench):
    bench.task["memory_gb"] = 1.0
    text = (
        "import time\nkeep = [bytearray(b'x') * 300_000_000 for _ in range(4)]\n"
        "while True: time.sleep(1)"
    )
    assert bench.crash(text).startswith("out of memory: the model's process used 1.")


def test_weights_that_are_no_weights_are_a_crash(bench):
    weights = bench.path / "run/weights.safetensors"
    content = weights.read_bytes()
    for bad in (b"", content[:100], b"\xff" * 8 + content[8:], b"\x02\0\0\0\0\0\0\0[]", b"x" * 99):
        weights.write_bytes(bad)
        assert bench.crash(HONEST) == "weights.safetensors is no safetensors file"
    weights.unlink()
    assert bench.crash(HONEST) == "training ended without weights.safetensors"
    # The trainer may have left a link to what the model must not see.
    weights.symlink_to(bench.path / "data/val/rows.bin")
    assert bench.crash(HONEST) == "weights.safetensors is not a regular file"


@pytest.mark.skipif(
    sandbox.unavailable() is not None and os.environ.get("CI") != "true",
    reason=str(sandbox.unavailable()),
)
def test_the_model_sees_neither_data_nor_the_run_nor_the_environment(bench, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    (bench.path / "run/log.txt").write_text("unseen")
    seen = ("data", "data/val/rows.bin", "data/token_bytes.npy", "out", "run/log.txt")
    paths = [str(bench.path / name) for name in seen]
    text = (
        f"import os\nfound = [path for path in {paths} if os.path.exists(path)]\n"
        "found += [name for name in os.environ if 'KEY' in name or name.endswith('DATA_DIR')]\n"
        "raise Exception(str(found))"
    )
    assert bench.crash(text) == "import of train.py failed: Exception: [] (train.py, line 4)"


def test_tied_weights_are_stored_once_and_load(bench):
    text = HONEST.replace("return Tiny(vocab_size)", "return tied(Tiny(vocab_size))") + (
        "def tied(model):\n    model.out.weight = model.embed.weight\n    return model\n"
    )
    model = Tiny()
    model.out.weight = model.embed.weight
    save_model(model, str(bench.path / "run/weights.safetensors"))
    bench.candidate(text)
    result = bench.score(check=False)
    assert math.isfinite(result["value"])
    assert result["parameters"] == V * 8 + V


@pytest.mark.parametrize("change", ["rows", "vocabulary", "tokens", "too few", "old"])
def test_data_that_are_not_as_recorded_are_no_verdict(bench, change):
    bench.candidate(HONEST)
    if change == "rows":
        with (bench.path / "data/val/rows.bin").open("ab") as file:
            file.write(b"\0\0")
    elif change == "vocabulary":
        np.save(bench.path / "data/token_bytes.npy", np.ones(V - 1, np.int32))
    elif change == "old":
        meta = {"T": T, "vocab_size": V, "rows": ROWS, "split": "val"}
        (bench.path / "data/val/meta.json").write_text(json.dumps(meta))
    elif change == "tokens":
        np.full((ROWS + 2, T + 1), V, np.uint16).tofile(bench.path / "data/val/rows.bin")
    else:
        bench.task["options"]["score_tokens"] = (ROWS + 1) * T
    with pytest.raises(ScorerError, match=r"expected|are \d+|ends at|prepare"):
        bench.score()
