"""The kernels that the task knows: exact results, bounds, and what has to fail them.

Torch runs in this process, through the very gates of the scorer; only its sandbox is left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoresearch_kit import lab
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import DataError, TaskError
from autoresearch_kit.tasks.kernel import closeness, draws, references
from autoresearch_kit.tasks.kernel import score as scorer
from autoresearch_kit.tasks.kernel.gates import Gates, inputs
from autoresearch_kit.tasks.kernel.layout import Layout

SMALL = {
    "rmsnorm": ((24, 96), (4, 700)),
    "softmax": ((24, 96), (4, 700)),
    "cross_entropy": ((24, 96), (4, 700)),
    "matmul": ((24, 96, 40), (8, 300, 5)),
}
Kernel = Callable[..., None]


class InProcess:
    """Stands in for the scorer's `Child`: the same arrays, no process."""

    device = "cpu"

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def arrange(self, layout: Layout, slots: int, seconds: float) -> None:
        self.layout = layout
        self.slots = [
            [np.empty(shape, draws.kept_as(dtype)) for dtype, shape, _ in layout.arrays]
            for _ in range(slots)
        ]

    def fill(self, slot: int, given: list[np.ndarray]) -> None:
        for array, values in zip(self.slots[slot], given, strict=False):
            array[...] = values
        self.slots[slot][-1].view(np.uint8).fill(0xFF)

    def given(self, index: int, slot: int) -> np.ndarray:
        return self.slots[slot][index]

    def taken(self, slot: int) -> np.ndarray:
        return self.slots[slot][-1]

    def call(self, doing: str, seconds: float, kernel: str, slots: list[int]) -> None:
        for slot in slots:
            self.kernel(*map(self._tensor, self.slots[slot], self.layout.arrays))

    def _tensor(self, array: np.ndarray, described: tuple[str, Any, int]) -> torch.Tensor:
        if described[0] == "bfloat16":
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(array)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, shapes in SMALL.items():
        monkeypatch.setattr(references.load(name), "TIMED", {"cpu": shapes, "cuda": shapes})


def pass_gates(name: str, kernel: Kernel, device: str = "cpu") -> None:
    """Send a kernel through all gates."""
    child: Any = InProcess(kernel)
    Gates(child, references.load(name), draws.Draw(), device, 10.0).all()


def ways(name: str) -> list[Kernel]:
    return references.load(name).builtins(torch)


@pytest.mark.parametrize(
    ("name", "way"), [(name, way.__name__) for name in SMALL for way in ways(name)]
)
def test_each_way_to_call_torch_passes_all_gates(small, name: str, way: str):
    pass_gates(name, next(each for each in ways(name) if each.__name__ == way))


# Torch's cross_entropy rounds bfloat16 in between, on a CPU alone.
@pytest.mark.parametrize("name", ["rmsnorm", "softmax", "matmul"])
def test_the_gates_of_a_gpus_types_let_torch_through(small, name: str):
    pass_gates(name, ways(name)[0], "cuda")


def rms_norm_one_by_one(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
    squares = np.add.accumulate(np.square(x.numpy()), axis=1)[:, -1:]  # left to right
    size = x.numpy().dtype.type(x.shape[1])
    out.numpy()[...] = x.numpy() / np.sqrt(squares / size + size.dtype.type(1e-6)) * weight.numpy()


def matmul_column_by_column(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    out.zero_()
    for k in range(a.shape[1]):
        out += a[:, k : k + 1] * b[k]


def softmax_one_by_one(x: torch.Tensor, out: torch.Tensor) -> None:
    powers = torch.exp(x - x.amax(1, keepdim=True))
    out.copy_(powers / torch.from_numpy(np.add.accumulate(powers.numpy(), axis=1)[:, -1:]))


def cross_entropy_by_log_softmax(
    logits: torch.Tensor, targets: torch.Tensor, out: torch.Tensor
) -> None:
    out.copy_(-torch.log_softmax(logits, 1).gather(1, targets[:, None])[:, 0])


HONEST = {
    "rmsnorm": rms_norm_one_by_one,
    "matmul": matmul_column_by_column,
    "softmax": softmax_one_by_one,
    "cross_entropy": cross_entropy_by_log_softmax,
}


@pytest.mark.parametrize("name", HONEST)
def test_the_worst_honest_order_of_summation_passes(small, name: str):
    with np.errstate(all="ignore"):
        pass_gates(name, HONEST[name])


def shorter(kernel: Kernel, dtype: torch.dtype) -> Kernel:
    """Return the kernel with float32 numbers rounded to a shorter type before it computes."""

    def rounded(*arrays: torch.Tensor) -> None:
        if arrays[-1].dtype == torch.float32:
            kept = [a.to(dtype).to(a.dtype) if a.is_floating_point() else a for a in arrays[:-1]]
            arrays = (*kept, arrays[-1])
        kernel(*arrays)

    return rounded


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_shorter_types_inside_fail_at_the_first_gate(small, name: str, dtype: torch.dtype):
    with pytest.raises(Crash, match=r"gate 1 \(smoke\): .*float32, normal: .* allowed error"):
        pass_gates(name, shorter(ways(name)[0], dtype))


@pytest.mark.parametrize(
    ("name", "shape"), [(n, shape) for n in SMALL for shape in references.load(n).TIMED["cpu"]]
)
def test_16_bits_inside_fail_beside_torch_at_a_timed_shape(name: str, shape: tuple[int, ...]):
    reference, (own, *_, other) = references.load(name), ways(name)
    child: Any = InProcess(own)
    layout = Layout.of(reference, shape, "float32")
    child.arrange(layout, 3, 1.0)
    given = inputs(reference, draws.Draw(), layout, "normal")
    for slot, child.kernel in enumerate((own, other, shorter(own, torch.float16))):
        child.fill(slot, given)
        child.call("", 1.0, "kernel", [slot])
    first, second, short = map(child.taken, range(3))
    assert not closeness.against_torch(reference, shape, second, first, "float32")
    assert closeness.against_torch(reference, shape, short, first, "float32")


def test_a_scale_rounded_to_16_bits_fails(small):
    def kernel(x: torch.Tensor, weight: torch.Tensor, out: torch.Tensor) -> None:
        scale = (x.square().mean(1, keepdim=True) + 1e-6).rsqrt()
        torch.mul(x, scale.half().to(x.dtype), out=out).mul_(weight)

    with pytest.raises(Crash, match="smoke"):
        pass_gates("rmsnorm", kernel)


def unshifted(x: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(x.exp() / x.exp().sum(1, keepdim=True))


def rows_of_24(x: torch.Tensor, out: torch.Tensor) -> None:
    if x.shape[1] % 2:
        raise ValueError(f"only even rows, got {tuple(x.shape)}")
    torch.softmax(x, 1, out=out)


def forgetful(x: torch.Tensor, out: torch.Tensor) -> None:
    torch.softmax(x, 1, out=out)
    if x.shape == (24, 96) and x.dtype == torch.float32:
        out[torch.randint(24, ())] *= 1 + 1e-7


def greedy(x: torch.Tensor, out: torch.Tensor) -> None:
    torch.softmax(x, 1, out=out)
    x.zero_()


def swallowing(x: torch.Tensor, out: torch.Tensor) -> None:
    torch.softmax(x.nan_to_num(0, 0, 0), 1, out=out)


def single(x: torch.Tensor, out: torch.Tensor) -> None:
    out.copy_(torch.softmax(x.float(), 1))


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (lambda x, out: None, r"gate 1 \(smoke\).*= nan, expected"),
        (greedy, r"gate 1 \(smoke\): .*wrote into its inputs"),
        (single, r"gate 2 \(shapes and types\): shape \(3, 96\), float64"),
        (unshifted, r"gate 3 \(adversarial values\): .*near max"),
        (swallowing, r"gate 3 \(adversarial values\): .*infinities"),
        (forgetful, r"gate 4 \(repeats\): .*numbers differ"),
    ],
    ids=["nothing", "greedy", "single", "unshifted", "swallowing", "forgetful"],
)
def test_a_failed_gate_says_which_and_by_how_much(small, kernel: Kernel, said: str):
    with pytest.raises(Crash, match=said):
        pass_gates("softmax", kernel)


def test_a_kernel_that_fails_at_odd_sizes_fails_the_last_gate(small):
    child: Any = InProcess(rows_of_24)
    gates = Gates(child, references.load("softmax"), draws.Draw(), "cpu", 10.0)
    with pytest.raises(ValueError, match=r"only even rows, got \(1, 1\)"):
        gates.all()
    assert list(gates.seconds) == ["smoke", "shapes and types", "adversarial values", "repeats"]


@pytest.mark.parametrize("name", SMALL)
def test_exact_agrees_with_torch_in_float64(name: str):
    reference = references.load(name)
    given = reference.inputs(draws.Draw(), SMALL[name][0])
    out = torch.empty(reference.output(SMALL[name][0]), dtype=torch.float64)
    wide = [torch.from_numpy(a if a.dtype.kind == "i" else a.astype(float)) for a in given]
    ways(name)[0](*wide, out)
    exact, _ = reference.exact(*(each.numpy() for each in wide))
    np.testing.assert_allclose(out.numpy(), exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["normal", *draws.KINDS])
def test_inputs_are_of_their_kind_and_new_each_time(kind: str):
    draw = draws.Draw().of(kind, 1e18)
    first, second = draw((40, 60)), draw((40, 60))
    assert first.shape == (40, 60)
    what = {
        "normal": lambda x: abs(x.std() - 1) < 0.2,
        "near max": lambda x: (np.abs(x) >= 5e17).all() and (np.abs(x) <= 1e18).all(),
        "1e-6": lambda x: 0 < np.abs(x).max() < 1e-5,
        "mixed scales": lambda x: np.abs(x).max() / np.abs(x[x != 0]).min() > 1e6,
        "zeros": lambda x: not x.any(),
        "constant": lambda x: x.min() == x.max() != 0,
        "one large": lambda x: (np.abs(x) > 50).sum() == 1,
        "few that count": lambda x: 40 <= (x > -4).sum() <= 8 * 40 and (x == 0).sum() == 40,
        "infinities": lambda x: 0 < (~np.isfinite(x)).sum() <= 20,
    }
    assert what[kind](first)
    if kind not in ("zeros", "constant"):
        assert first.tobytes() != second.tobytes()
        assert draws.Draw().of(kind, 1e18)((40, 60)).tobytes() != first.tobytes()


def test_an_array_larger_than_the_pool_is_drawn_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(draws, "POOL", 20_000)
    drawn = draws.Draw()((30, 8_000))
    assert len({row.tobytes() for row in drawn}) == 30


def test_bfloat16_is_stored_as_torch_stores_it():
    values = np.array([1.0, -2.7, 3.14159, 1e38, -1e-40, np.inf, -np.inf, np.nan, 1.00390625])
    stored = draws.stored(values, "bfloat16")
    torch_own = torch.from_numpy(values).float().to(torch.bfloat16)
    np.testing.assert_array_equal(draws.read(stored, "bfloat16"), torch_own.double().numpy())


@pytest.mark.parametrize("name", references.names())
def test_a_lab_of_each_kernel_has_its_file_and_its_name(tmp_path: Path, name: str):
    made = lab.new_lab(tmp_path / "lab", task="kernel", profile=name)
    assert made.task.options == {"kernel": name, "threads": 1}
    assert made.task.profile == name
    assert not made.task.train
    assert "def kernel(" in (made.path / "kernel.py").read_text()


def test_a_lab_takes_no_data_and_no_unknown_kernel(tmp_path: Path):
    with pytest.raises(TaskError, match="no kernel 'sort'; there are: cross_entropy, matmul"):
        lab.new_lab(tmp_path / "lab", task="kernel", profile="sort")
    with pytest.raises(DataError, match="leave data= out"):
        lab.new_lab(tmp_path / "lab", task="kernel", data="wiki")
    assert not (tmp_path / "lab").exists()


def test_without_numba_a_lab_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TaskError, match=r"type: pip install 'autoresearch-kit\[kernel\]'"):
        lab.new_lab(tmp_path / "lab", task="kernel")
    assert not (tmp_path / "lab").exists()


GELU = '''
"""GELU by tanh: elementwise, ``x`` (N, D), ``out`` (N, D)."""

import importlib.util
import math
import numpy as np

TIMED = {"cpu": ((64, 512),), "cuda": ((4096, 1024),)}
ODD = ((1, 1), (3, 17))
LIMIT = "copy"
ATOMICS = False

def inputs(draw, shape):
    return [draw(shape)]

def output(shape):
    return shape

def largest(shape, most):
    return most ** 0.25

def exact(x):
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    result = 0.5 * x * (1 + np.tanh(inner))
    return result, 8 * np.abs(x) * (1 + np.abs(x))

def slack(shape):
    return 0.0, 400.0

def moved(shape):
    return 2 * math.prod(shape)

def operations(shape):
    return 20 * math.prod(shape)

def builtins(torch):
    def gelu(x, out):
        out.copy_(torch.nn.functional.gelu(x, approximate="tanh"))

    return [gelu]
'''


def test_adding_a_kernel_is_adding_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "gelu.py").write_text(GELU)
    monkeypatch.setattr(references, "__path__", [*references.__path__, str(tmp_path / "more")])
    made = lab.new_lab(tmp_path / "lab", task="kernel", profile="gelu")
    assert (made.path / "kernel.py").read_text() == (
        "import torch\n\n\ndef kernel(x, out):\n"
        '    out.copy_(torch.nn.functional.gelu(x, approximate="tanh"))\n'
    )
    result = scorer.score(made.path, made.task.as_dict())
    assert result["kernel"] == "gelu"
    assert result["value"] > 0
    assert result["shapes"][0]["fastest"] == "gelu"
