"""The language model in MLX: its template as the kit runs it, its scorer, and a step of a campaign.

Slow (1 to 4 s a test): each starts processes that import MLX.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import autoresearch_kit as ark
from autoresearch_kit import sandbox, source, task
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import TaskError
from autoresearch_kit.tasks import language_model, language_model_mlx
from autoresearch_kit.tasks.language_model import score as scorer
from autoresearch_kit.tasks.language_model_mlx.score import MLX

mx = pytest.importorskip("mlx.core", reason="MLX is not installed: pip install 'mlx[cpu]'")

TEMPLATE = Path(language_model_mlx.__file__).parent / "template"
V, T = 512, 64

# Runs before train.py and says which modules it loaded.
WATCHED = """
import atexit, json, runpy, sys

tried = []

class Watch:
    def find_spec(self, name, path=None, target=None):
        tried.append(name)

sys.meta_path.insert(0, Watch())
loaded = lambda: [name for name, module in sys.modules.items() if module is not None]
atexit.register(lambda: print(json.dumps([tried, loaded()])))
runpy.run_path("train.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one lab of profile tiny, on text that is here already."""
    folder = tmp_path_factory.mktemp("mlx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTORESEARCH_DATA", str(folder / "cache"))
        patch.setenv("AUTORESEARCH_DEVICE", "cpu")
        shutil.copytree(TEMPLATE, folder / "lab")
        text = str(Path(json.__file__).parents[1] / "[a-m]*.py")
        given = language_model_mlx.prepare_lab(folder / "lab", profile="tiny", data=text)
        assert given == "tiny"
    return folder / "lab"


@pytest.fixture
def lab(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    monkeypatch.setenv("DEVICE", "cpu")
    shutil.copytree(made, tmp_path / "lab", symlinks=True)
    return tmp_path / "lab"


@dataclass
class Trained:
    status: int
    stdout: str
    stderr: str
    messages: list[dict[str, Any]]
    run: Path


def train(lab: Path, *, steps: int, seed: int = 0, command: str = "") -> Trained:
    """Run train.py, or other Python beside it, with a kit that ends the budget after `steps`."""
    answers, answer = os.pipe()
    asked, asks = os.pipe()
    run = lab.parent / f"run-{seed}-{steps}"
    run.mkdir(exist_ok=True)
    env = {
        **os.environ,
        "CLOCK_FDS": f"{answers},{asks}",
        "DATA_DIR": str(lab / "data" / "train"),
        "RUN_DIR": str(run),
        "SEED": str(seed),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    messages: list[dict[str, Any]] = []

    def kit() -> None:
        with os.fdopen(asked) as requests, os.fdopen(answer, "w") as replies:
            for line in requests:
                messages.append(json.loads(line))
                share = (len(messages) - 1) / steps
                print(json.dumps({"progress": share}), file=replies, flush=True)

    process = subprocess.Popen(
        [sys.executable, *(["-c", command] if command else ["train.py"])],
        cwd=lab,
        env=env,
        pass_fds=(answers, asks),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(answers)
    os.close(asks)
    thread = threading.Thread(target=kit)
    thread.start()
    stdout, stderr = process.communicate(timeout=120)
    thread.join()
    return Trained(process.returncode, stdout, stderr, messages, run)


def score(lab: Path, run: Path, **more: Any) -> dict[str, Any]:
    told = tomllib.loads((lab / "task.toml").read_text())
    data = (lab / "data").resolve()
    return scorer.score(lab, run, data, run, told, framework=MLX, **more)


@pytest.fixture
def module(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import train.py of the lab, and forget it again."""
    monkeypatch.setenv("DATA_DIR", str(lab / "data" / "train"))
    monkeypatch.syspath_prepend(str(lab))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setitem(sys.modules, "torch", sys.modules.get("torch"))
    __import__("train")
    yield sys.modules["train"]
    for name in ("train", "prepare"):
        del sys.modules[name]


def test_train_py_fits_in_5000_tokens_and_has_the_constants_of_the_other_task() -> None:
    text = (TEMPLATE / "train.py").read_text()
    other = Path(language_model.__file__).parent / "template" / "train.py"
    assert len(text) / 3.5 <= 5_000
    assert source.constants(text).keys() == source.constants(other.read_text()).keys()
    for constant in source.constants(text).values():
        assert constant.hint == "off" or source.parse_hint(constant.hint, constant.value)


@pytest.mark.parametrize("profile", ["tiny", "smoke", "cpu", "gpu"])
def test_a_profile_sets_constants_that_exist(profile: str) -> None:
    text = (TEMPLATE / "train.py").read_text()
    wanted = language_model_mlx.constants(profile)
    made = source.constants(source.set_constants(text, wanted))
    assert wanted == {name: made[name].value for name in wanted}
    sizes = language_model_mlx.sizes(profile)
    assert wanted["BATCH"] % (wanted["MICRO_ROWS"] * sizes["sequence_len"]) == 0
    theirs = language_model.sizes(profile)
    same = ("sequence_len", "vocab_size", "score_tokens", "budget_seconds", "clock")
    assert [sizes[name] for name in same] == [theirs[name] for name in same]


def test_an_unknown_profile_names_the_known_ones(lab: Path) -> None:
    with pytest.raises(TaskError, match="no profile 'huge'; there are: tiny, smoke, cpu, gpu"):
        language_model_mlx.prepare_lab(lab, profile="huge", data=None)


@pytest.mark.parametrize(
    ("chosen", "gpu", "profile", "clock"),
    [
        ("cpu", False, "cpu", "relative"),
        ("mps", True, "cpu", "wall"),
        ("cpu", True, "cpu", "relative"),
        ("cuda:0", True, "gpu", "wall"),
        ("cuda:0", False, "cpu", "relative"),
    ],
)
def test_the_device_chooses_profile_and_clock(
    lab: Path, chosen: str, gpu: bool, profile: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_DEVICE", chosen)
    monkeypatch.setattr(language_model_mlx, "_has_gpu", lambda: gpu)
    monkeypatch.setattr(language_model, "make_data", lambda folder: "")
    assert language_model_mlx.prepare_lab(lab, profile=None, data=None) == profile
    assert task.parse((lab / "task.toml").read_text()).clock == clock


def test_without_mlx_no_lab_is_made_and_it_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mlx", "mlx.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TaskError, match=r"type: pip install 'autoresearch-kit\[mlx\]'"):
        ark.new_lab(tmp_path / "lab", task="language_model_mlx", profile="tiny")
    assert not (tmp_path / "lab").exists()


def test_the_clock_is_told_every_step_without_pytorch_and_the_score_is_that_of_the_weights(
    lab: Path, module: Any
) -> None:
    done = train(lab, steps=4, command=WATCHED)
    assert done.status == 0, done.stderr
    tried, loaded = json.loads(done.stdout.splitlines()[-1])
    assert not [name for name in (*tried, *loaded) if name.split(".")[0] in ("torch", "jax")]
    assert "mlx.core" in loaded
    assert [m["tokens"] for m in done.messages[1:]] == [512] * 4
    assert 6.0 < done.messages[1]["loss"] < 6.5, "untrained: about ln 512"
    assert done.messages[-1]["loss"] < done.messages[1]["loss"]
    assert {path.name for path in done.run.iterdir()} == {"weights.safetensors"}

    result = score(lab, done.run)
    assert "quarantine" not in result
    assert result["parameters"] == done.messages[0]["parameters"]
    assert (result["tokens"], result["device"]) == (8192, "cpu")
    assert result["sandboxed"] is (sandbox.unavailable() is None)
    assert result["value"] == pytest.approx(in_process(module, lab, done.run), abs=1e-5)


def in_process(module: Any, lab: Path, run: Path) -> float:
    """Return bits per byte of the weights in `run`, as MLX computes them here."""
    model = module.build_model(V, T)
    model.load_weights(str(run / "weights.safetensors"))
    rows = np.fromfile(lab / "data/val/rows.bin", np.uint16).reshape(-1, T + 1)
    canaries = json.loads((lab / "data/val/meta.json").read_text())["canaries"]
    rows = np.delete(rows, np.ravel(canaries), axis=0)[: 8192 // T].astype(np.int32)
    inputs, targets = mx.array(rows[:, :-1]), mx.array(rows[:, 1:])
    counts = np.load(lab / "data/token_bytes.npy")[rows[:, 1:]]
    nats = np.array(module.nn.losses.cross_entropy(model(inputs), targets, reduction="none"))
    return float((nats.astype(np.float64) * (counts > 0)).sum() / np.log(2) / counts.sum())


def test_same_seed_and_steps_give_the_same_weights_to_the_bit(lab: Path) -> None:
    weights = []
    for seed in (3, 3, 4):
        done = train(lab, steps=2, seed=seed)
        assert done.status == 0, done.stderr
        weights.append((done.run / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_a_diverging_run_ends_at_once_without_weights(lab: Path) -> None:
    text = (lab / "train.py").read_text()
    worse = text.replace("    return SOFTCAP * mx", "    return float('nan') * mx")
    (lab / "train.py").write_text(worse)
    done = train(lab, steps=50)
    assert done.status == 1
    assert "training has diverged" in done.stderr
    assert not list(done.run.iterdir())


def test_to_import_pytorch_is_an_error(lab: Path) -> None:
    text = (lab / "train.py").read_text()
    done = train(lab, steps=1, command="import train, torch")
    assert done.status == 1
    assert "ModuleNotFoundError: import of torch halted" in done.stderr
    (lab / "train.py").write_text(f"import sys\nsys.modules['torch'] = sys\n{text}")
    done = train(lab, steps=1)
    assert done.status == 1
    assert "this lab trains with MLX alone" in done.stderr


def test_logits_depend_on_no_later_token(module: Any) -> None:
    model = module.build_model(V, T)
    weights = dict(module.tree_flatten(model.parameters()))  # zeros at the start would hide a leak
    moved = [(name, w + 0.1 * mx.random.normal(w.shape)) for name, w in weights.items()]
    model.load_weights(moved)
    tokens = mx.random.randint(0, V, (2, T))
    other = mx.concatenate([tokens[:, :40], mx.random.randint(0, V, (2, T - 40))], axis=1)
    before, after = np.array(model(tokens)), np.array(model(other))
    np.testing.assert_array_equal(before[:, :40], after[:, :40])
    assert not np.array_equal(before[:, 40:], after[:, 40:])


def test_orthogonal_keeps_directions_and_evens_out_sizes(module: Any) -> None:
    g = np.random.default_rng(0).normal(size=(3, 48, 32)).astype(np.float32)
    made = np.array(module.orthogonal(mx.array(g)))
    u, _, v = np.linalg.svd(g, full_matrices=False)
    values = np.linalg.svd(made, compute_uv=False)
    assert 0.6 < values.min() < values.max() < 1.3
    assert ((made * (u @ v)).sum((-2, -1)) / 32).min() > 0.85


# What the sandboxed side says of candidates

MODEL = """
import mlx.core as mx
from mlx import nn

class Model(nn.Module):
    def __init__(self, vocab_size):
        super().__init__()
        self.table = mx.zeros((vocab_size, 8))
        self.seen = 0

    def __call__(self, x):
        self.seen += 1
        LINE

def build_model(vocab_size, sequence_len):
    return Model(vocab_size)
"""
HONEST = MODEL.replace("LINE", "return self.table[x] @ self.table.T")

FAULTS = {
    "another kind of model": (
        HONEST.replace("return Model(vocab_size)", "return [1]"),
        "build_model returned list, expected a mlx.nn.Module",
    ),
    "weights of another shape": (
        HONEST.replace(", 8)", ", 9)"),
        "weights have the wrong shape: table (512, 8), expected (512, 9)",
    ),
    "weights lacking": (
        HONEST.replace("        self.seen = 0\n", "        self.more = mx.zeros(2)\n"),
        "weights lack more",
    ),
    "an error of MLX": (
        MODEL.replace("LINE", "return self.table @ self.table"),
        "forward failed: ValueError: [matmul]",
    ),
    "an array of another kind": (
        MODEL.replace("LINE", "import numpy; return numpy.zeros((1, 1))"),
        "the model returned ndarray, expected logits (B, T, V)",
    ),
    "whole numbers": (
        MODEL.replace("LINE", "return mx.zeros((*x.shape, 512), mx.int32)"),
        "logits are mlx.core.int32, expected floating point numbers",
    ),
    "no numbers": (
        MODEL.replace("LINE", "return mx.full((*x.shape, 512), float('nan'))"),
        "the logits are not finite, first in row 0 at position 0",
    ),
    "the rows in an error": (
        MODEL.replace(
            "LINE",
            "if self.seen > 1: int(str(x.tolist()))\n        return mx.zeros((*x.shape, 512))",
        ),
        "forward failed: ValueError (train.py, line 13) while computing rows 0 to 63; with random "
        "tokens it did not fail, and what a model says after its first row is not quoted",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_candidate_is_a_crash_with_its_reason(lab: Path, name: str) -> None:
    text, reason = FAULTS[name]
    (lab / "train.py").write_text(text)
    run = lab.parent / "run"
    run.mkdir()
    mx.save_safetensors(str(run / "weights.safetensors"), {"table": mx.zeros((V, 8))})
    with pytest.raises(Crash) as caught:
        score(lab, run, check=False)
    assert str(caught.value).startswith(reason)


@pytest.mark.timeout(600)
def test_a_step_of_a_campaign(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTORESEARCH_DATA", str(made.parent / "cache"))
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    text = task.parse((made / "task.toml").read_text()).options["corpus"]
    lab = ark.new_lab(tmp_path / "host", task="language_model_mlx", profile="tiny", data=text)
    campaign = ark.open_campaign(lab, tag="m", budget_seconds=0.4, decide="greedy")
    first = ark.baseline(campaign)
    assert first.value is not None
    change = ark.Human(edit=lambda text: text.replace("HEAD_LR = 0.02", "HEAD_LR = 0.0001"))
    proposal = ark.propose(campaign, by=change, idea="a slower head")
    second = ark.score(ark.train_5min(ark.apply(proposal)))
    assert (second.status, second.n) == ("discard", 1)
    record = campaign.records()[0]
    assert (record.scored_by, record.metric) == ("kit", "val_bpb")


DEFERRING = """
if __name__ == "__main__":
    _eval, _both, _start, _tick, _ticks = mx.eval, mx.value_and_grad, Clock.start, Clock.tick, []

    class Late:
        def item(self):
            return 4.0

    def start(self, model):
        mx.eval = lambda *what: _eval(*what[1:]) if len(_ticks) > 8 else None
        return _start(self, model)

    def tick(self, *said):
        _ticks.append(said)
        return _tick(self, *said)

    def lazy(function):
        return lambda *given: (Late(), _both(function)(*given)[1])

    mx.value_and_grad, Clock.start, Clock.tick = lazy, start, tick
"""


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_what_is_put_off_while_the_cost_of_a_step_is_measured_ends_the_run(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_DATA", str(made.parent / "cache"))
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    text = task.parse((made / "task.toml").read_text()).options["corpus"]
    lab = ark.new_lab(tmp_path / "host", task="language_model_mlx", profile="tiny", data=text)
    campaign = ark.open_campaign(lab, tag="m", clock="relative", budget_seconds=6)
    ark.baseline(campaign)
    main = '\n\nif __name__ == "__main__":\n'
    change = ark.Human(edit=lambda text: text.replace(main, f"\n\n{DEFERRING}{main}"))
    proposal = ark.propose(campaign, by=change, idea="later")
    run = ark.train_5min(ark.apply(proposal))
    told = json.loads((campaign.state / "runs" / "0001-0" / "status.json").read_text())
    assert told["ratio"] < 0.5, "the clock was not deceived at first"
    assert ark.score(run).status == "crash"


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_mlx_and_pytorch_from_the_same_weights_agree_within_the_smallest_of_gains() -> None:
    benchmark = Path(__file__).parents[1] / "benchmarks" / "mlx_parity.py"
    command = [sys.executable, benchmark, "--profile", "tiny", "--steps", "40", "--seeds"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "shared: 20,480 tokens" in done.stdout
    assert "(within 0.02)" in done.stdout
