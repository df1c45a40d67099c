"""The template's train.py and prepare.py, run as the kit runs them: a process and two pipes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autoresearch_kit import source, task
from autoresearch_kit.errors import DataError, TaskError
from autoresearch_kit.tasks import language_model

PACKAGE = Path(language_model.__file__).parent
TEMPLATE = PACKAGE / "template"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one lab of profile tiny, on text that is here already."""
    folder = tmp_path_factory.mktemp("module")
    text = Path(torch.__file__).parent / "nn" / "modules" / "*.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTORESEARCH_DATA", str(folder / "cache"))
        patch.setenv("AUTORESEARCH_DEVICE", "cpu")
        shutil.copytree(TEMPLATE, folder / "lab")
        assert language_model.prepare_lab(folder / "lab", profile="tiny", data=str(text)) == "tiny"
    return folder / "lab"


@pytest.fixture
def lab(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "lab", symlinks=True)
    return tmp_path / "lab"


@dataclasses.dataclass
class Trained:
    status: int
    stderr: str
    messages: list[dict[str, float]]
    weights: Path


def train(
    lab: Path, *, steps: int, seed: int = 0, progress: Callable[[int], float] | None = None
) -> Trained:
    """Run train.py with a kit that ends the budget after `steps`, or hangs up for steps = -1."""
    replies_in, replies_out = os.pipe()
    requests_in, requests_out = os.pipe()
    out = lab.parent / f"run-{seed}-{steps}"
    out.mkdir(exist_ok=True)
    env = {
        **os.environ,
        "CLOCK_FDS": f"{replies_in},{requests_out}",
        "DATA_DIR": str(lab / "data" / "train"),
        "RUN_DIR": str(out),
        "SEED": str(seed),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    messages: list[dict[str, float]] = []

    def kit() -> None:
        with os.fdopen(requests_in) as requests, os.fdopen(replies_out, "w") as replies:
            for line in requests:
                messages.append(json.loads(line))
                if steps < 0:
                    return
                n = len(messages) - 1
                share = progress(n) if progress else n / steps if steps else 1.0
                print(json.dumps({"progress": share}), file=replies, flush=True)

    process = subprocess.Popen(
        [sys.executable, "train.py"],
        cwd=lab,
        env=env,
        pass_fds=(replies_in, requests_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(replies_in)
    os.close(requests_out)
    thread = threading.Thread(target=kit)
    thread.start()
    _, stderr = process.communicate(timeout=120)
    thread.join()
    return Trained(process.returncode, stderr, messages, out / "weights.safetensors")


def change(lab: Path, **constants: object) -> None:
    path = lab / "train.py"
    path.write_text(source.set_constants(path.read_text(), constants))


@pytest.fixture
def imported(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import train.py or prepare.py of the lab as a module, and forget it again."""
    monkeypatch.setenv("DATA_DIR", str(lab / "data" / "train"))
    monkeypatch.syspath_prepend(str(lab))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    __import__("train")
    yield lambda name: sys.modules[name]
    for name in ("train", "prepare"):
        del sys.modules[name]


def test_train_py_fits_in_5000_tokens_and_its_hints_parse() -> None:
    text = (TEMPLATE / "train.py").read_text()
    assert len(text) / 3.5 <= 5_000
    constants = source.constants(text)
    assert sum(bool(constant.hint) for constant in constants.values()) >= 10
    for constant in constants.values():
        assert constant.hint == "off" or source.parse_hint(constant.hint, constant.value)


def test_profiles_set_constants_that_exist_and_are_tasks() -> None:
    profiles = tomllib.loads((PACKAGE / "profiles.toml").read_text())
    assert list(profiles) == ["tiny", "smoke", "cpu", "gpu"]
    text = (TEMPLATE / "train.py").read_text()
    for sizes in profiles.values():
        assert sizes["train"] == {
            name: constant.value
            for name, constant in source.constants(
                source.set_constants(text, sizes["train"])
            ).items()
            if name in sizes["train"]
        }
        assert sizes["clock"] in task.CLOCKS
        step = sizes["train"]["MICRO_ROWS"] * sizes["sequence_len"]
        assert sizes["train"]["BATCH"] % step == 0
        assert sizes["score_tokens"] % sizes["sequence_len"] == 0


def test_a_lab_is_set_up_for_its_profile(lab: Path) -> None:
    made = task.parse((lab / "task.toml").read_text())
    assert (made.profile, made.clock, made.budget_seconds) == ("tiny", "cpu", 2.0)
    assert made.edit == ("train.py",)
    assert made.score[-1] == "autoresearch_kit.tasks.language_model.score"
    assert made.options["score_tokens"] == 8192
    assert (made.noise, made.suspicious) == (0.009, 0.15)
    assert source.constants((lab / "train.py").read_text())["WIDTH"].value == 32
    assert (lab / "data" / "train" / "rows.bin").exists()


def test_the_task_says_what_makes_the_schedule(lab: Path) -> None:
    text = (lab / "train.py").read_text()
    names = task.parse((lab / "task.toml").read_text()).schedule
    assert len(names) == 4
    used = text[text.index("def schedule(") : text.index("def main(")]
    for name in names:
        assert name in used


def test_constants_of_a_profile_are_those_that_a_lab_is_made_with(lab: Path) -> None:
    made = source.constants((lab / "train.py").read_text())
    tiny = language_model.constants("tiny")
    assert tiny == {name: made[name].value for name in tiny}
    assert language_model.constants("gpu")["DEPTH"] == 8
    with pytest.raises(TaskError, match="no profile 'huge'"):
        language_model.constants("huge")


def test_an_unknown_profile_names_the_known_ones(lab: Path) -> None:
    with pytest.raises(TaskError, match="no profile 'huge'; there are: tiny, smoke, cpu, gpu"):
        language_model.prepare_lab(lab, profile="huge", data=None)


@pytest.mark.parametrize(
    ("chosen", "profile", "clock"),
    [("cpu", "cpu", "relative"), ("mps", "cpu", "wall"), ("cuda:0", "gpu", "wall")],
)
def test_the_device_chooses_profile_and_clock(
    lab: Path, chosen: str, profile: str, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_DEVICE", chosen)
    monkeypatch.setattr(language_model, "make_data", lambda folder: "")
    assert language_model.prepare_lab(lab, profile=None, data=None) == profile
    assert task.parse((lab / "task.toml").read_text()).clock == clock


def test_prepare_py_makes_the_data_of_a_clone(lab: Path, made: Path) -> None:
    (lab / "data").unlink()
    env = {**os.environ, "AUTORESEARCH_DATA": str(made.parent / "cache")}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "prepare.py"], cwd=lab, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("own: train ")
    assert (lab / "data" / "val" / "rows.bin").exists()
    (lab / "data").unlink()
    (lab / "data").mkdir()
    with pytest.raises(DataError, match="is a folder of its own"):
        language_model.make_data(lab)


def test_without_data_train_py_says_what_to_type(lab: Path) -> None:
    (lab / "data").unlink()
    done = subprocess.run([sys.executable, "train.py"], cwd=lab, capture_output=True, text=True)
    assert done.returncode == 1
    assert "type: python prepare.py" in done.stderr


def test_importing_train_py_trains_nothing_and_needs_no_data(lab: Path) -> None:
    (lab / "data").unlink()
    code = (
        "import torch, train; model = train.build_model(512, 64);"
        "print(model(torch.zeros(2, 64, dtype=torch.int64)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=lab, capture_output=True, text=True, check=True
    )
    assert done.stdout == "torch.Size([2, 64, 512])\n"
    assert not list(lab.glob("*.safetensors"))


def test_the_clock_is_told_every_step_and_the_weights_load(
    lab: Path, imported: Callable[[str], ModuleType]
) -> None:
    run = train(lab, steps=6)
    assert run.status == 0, run.stderr
    model = imported("train").build_model(512, 64)
    model.load_state_dict(load_file(run.weights))
    assert run.messages[0] == {
        "start": True,
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    assert [m["tokens"] for m in run.messages[1:]] == [512] * 6
    assert 6.0 < run.messages[1]["loss"] < 6.5, "untrained: about ln 512"
    assert {p.name for p in run.weights.parent.iterdir()} == {"weights.safetensors"}


@pytest.mark.parametrize("batch", [128, 1024])
def test_batch_is_the_tokens_of_a_step(lab: Path, batch: int) -> None:
    change(lab, BATCH=batch)
    assert [m["tokens"] for m in train(lab, steps=2).messages[1:]] == [batch] * 2


@pytest.mark.acceptance
def test_same_seed_and_steps_give_the_same_weights_to_the_bit(lab: Path) -> None:
    first = train(lab, steps=5, seed=3).weights.read_bytes()
    assert train(lab, steps=5, seed=3).weights.read_bytes() == first
    assert train(lab, steps=5, seed=4).weights.read_bytes() != first


def test_set_up_changes_no_weight(lab: Path, imported: Callable[[str], ModuleType]) -> None:
    weights = load_file(train(lab, steps=0).weights)
    torch.manual_seed(0)
    fresh = imported("train").build_model(512, 64).state_dict()
    assert fresh.keys() == weights.keys()
    assert all(torch.equal(fresh[name], weights[name]) for name in fresh)


def test_training_lowers_the_loss(lab: Path) -> None:
    losses = [m["loss"] for m in train(lab, steps=60).messages[1:]]
    assert losses[-1] < losses[0] - 1.0


@pytest.mark.parametrize("rate", [1e9, float("nan")])
def test_a_diverging_run_ends_at_once_without_weights(lab: Path, rate: float) -> None:
    text = (lab / "train.py").read_text()
    change(lab, HEAD_LR=1e9, SOFTCAP=1e9) if rate == 1e9 else (lab / "train.py").write_text(
        text.replace("    return SOFTCAP * torch", "    return float('nan') * torch")
    )
    run = train(lab, steps=50)
    assert run.status == 1
    assert "training has diverged" in run.stderr
    assert len(run.messages) < 10
    assert not run.weights.exists()


def test_a_kit_that_hangs_up_ends_the_run(lab: Path) -> None:
    run = train(lab, steps=-1)
    assert run.status == 1
    assert "the kit has ended this run" in run.stderr
    assert not run.weights.exists()


def test_by_hand_the_budget_of_task_toml_counts(lab: Path) -> None:
    text = (lab / "task.toml").read_text()
    (lab / "task.toml").write_text(text.replace("budget_seconds = 2", "budget_seconds = 0.3"))
    done = subprocess.run([sys.executable, "train.py"], cwd=lab, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout
    assert (lab / "weights.safetensors").exists()


def test_logits_depend_on_no_later_token(imported: Callable[[str], ModuleType]) -> None:
    module = imported("train")
    torch.manual_seed(1)
    model = module.build_model(512, 64)
    for p in model.parameters():  # zeros at the start would hide a leak
        p.data += 0.1 * torch.randn_like(p)
    tokens = torch.randint(0, 512, (2, 64))
    changed = tokens.clone()
    changed[:, 40:] = torch.randint(0, 512, (2, 24))
    with torch.no_grad():
        assert torch.equal(model(tokens)[:, :40], model(changed)[:, :40])
        assert not torch.equal(model(tokens)[:, 40:], model(changed)[:, 40:])


def test_flex_attention_of_a_gpu_is_the_same_attention(
    imported: Callable[[str], ModuleType],
) -> None:
    # FlexAttention runs on a CPU too, uncompiled and without gradients: enough to compare.
    module = imported("train")
    q, k, v = torch.randn(3, 2, 4, 256, 16).unbind()
    cpu = torch.device("cpu")
    with torch.no_grad():
        near = module.attend(q, k, v, module.window_mask(256, 128, cpu, flex=True))
        same = module.attend(q, k, v, module.window_mask(256, 128, cpu, flex=False))
        full = module.attend(q, k, v, None)
    torch.testing.assert_close(near, same, atol=1e-5, rtol=1e-4)
    assert torch.allclose(full[:, :, :128], same[:, :, :128], atol=1e-5)
    assert not torch.allclose(full[:, :, 200:], same[:, :, 200:], atol=1e-3)


def test_orthogonal_keeps_directions_and_evens_out_sizes(
    imported: Callable[[str], ModuleType],
) -> None:
    g = torch.randn(3, 48, 32)
    u, _, v = torch.linalg.svd(g, full_matrices=False)
    values = torch.linalg.svdvals(imported("train").orthogonal(g))
    assert values.min() > 0.6
    assert values.max() < 1.3
    agreement = (imported("train").orthogonal(g) * (u @ v)).sum((-2, -1)) / 32
    assert agreement.min() > 0.85


def test_loader_yields_each_row_once_an_epoch_in_an_order_of_the_seed(
    lab: Path, imported: Callable[[str], ModuleType]
) -> None:
    prepare = imported("prepare")
    count = json.loads((lab / "data" / "train" / "meta.json").read_text())["rows"]
    rows = np.fromfile(lab / "data" / "train" / "rows.bin", dtype=np.uint16).reshape(count, 65)
    batches = prepare.loader(1, seed=5)
    drawn = [next(batches) for _ in range(2 * count)]
    x, y = drawn[0]
    assert (x.shape, x.dtype, y.shape) == ((1, 64), torch.int64, (1, 64))
    assert torch.equal(x[:, 1:], y[:, :-1])
    epochs = [[x[0].tolist() for x, _ in part] for part in (drawn[:count], drawn[count:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(rows[:, :-1].tolist())
    assert epochs[0] != epochs[1]
    again, other = prepare.loader(1, seed=5), prepare.loader(1, seed=6)
    assert torch.equal(next(again)[0], x)
    assert not all(torch.equal(next(other)[0], next(again)[0]) for _ in range(3))
    wide = next(prepare.loader(count + 3, seed=5))[0]
    assert wide.shape == (count + 3, 64), "a batch may be larger than the data"
