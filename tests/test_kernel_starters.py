"""What labs of the kernel task begin with: right, and with constants that are worth a search."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import sandbox, source
from autoresearch_kit.crash import Crash
from autoresearch_kit.proposers.knobs import Knob, knob
from autoresearch_kit.tasks.kernel import draws, references
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.gates import Gates
from tests import kernels

NAMES = [path.stem for path in sorted(kernels.STARTERS.glob("*.py"))]


def text(name: str) -> str:
    return (kernels.STARTERS / f"{name}.py").read_text()


def knobs(name: str) -> dict[str, Knob]:
    found = {key: knob(key, each) for key, each in source.constants(text(name)).items()}
    return {key: each for key, each in found.items() if each is not None}


def variants(name: str) -> list[dict[str, Any]]:
    """Return the starter as it is, and with each other choice of each constant."""
    return [{}] + [
        {key: choice}
        for key, each in knobs(name).items()
        for choice in each.choices or range(int(each.low), int(each.high) + 1)
        if choice != each.value
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code")


@pytest.fixture(scope="module")
def child(folder: Path) -> Iterator[Child]:
    with Child("kernel", Crash, [folder], {}) as child:
        child.started(120)
        yield child


def pass_gates(child: Child, name: str, file: Path) -> None:
    child.load(file, "kernel", 120, builtins=False)
    gates = Gates(child, references.load(name), draws.Draw(), "cpu", 240)
    gates.all()
    assert len(gates.seconds) == 5


def test_each_kernel_has_a_starter():
    assert set(NAMES) == {"rmsnorm", "softmax", "cross_entropy", "matmul"}
    assert set(NAMES) <= set(references.names())


@pytest.mark.parametrize("name", NAMES)
def test_an_optimiser_finds_the_constants(name: str):
    assert 5 <= len(knobs(name)) <= 10
    assert {"MATH"} < set(knobs(name))
    for key, each in knobs(name).items():
        assert not each.choices or each.value in each.choices, key


@pytest.mark.parametrize("name", NAMES)
def test_unsafe_flags_are_no_choice(name: str):
    assert not re.search(r"nnan|ninf|fastmath=True|parallel=True|cache=True", text(name))


@pytest.mark.parametrize(
    "name",
    [n if n == "rmsnorm" else pytest.param(n, marks=pytest.mark.acceptance) for n in NAMES],
)
def test_a_starter_passes_the_gates(
    name: str, child: Child, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kernels.small(monkeypatch)
    pass_gates(child, name, kernels.written(folder, text(name)))


@pytest.mark.acceptance
@pytest.mark.parametrize(("name", "chosen"), [(n, v) for n in NAMES for v in variants(n)], ids=str)
def test_each_choice_passes_the_gates(
    name: str, chosen: dict[str, Any], child: Child, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kernels.small(monkeypatch)
    file = kernels.written(folder, source.set_constants(text(name), chosen))
    if chosen.get("TERMS", 7) < 7:  # the only ones that may fail: too few terms of a series
        with contextlib.suppress(Crash):
            pass_gates(child, name, file)
    else:
        pass_gates(child, name, file)


@pytest.mark.acceptance
@pytest.mark.skipif(sandbox.unavailable() is not None, reason="as candidates are scored")
@pytest.mark.parametrize("name", NAMES)
def test_a_starter_is_scored(name: str, tmp_path: Path):
    said = kernels.scored(kernels.written(tmp_path / "code", text(name)), name)
    assert said["value"] > 0.02, said
    assert "quarantine" not in said
    assert said["sandboxed"]
    assert 0 < said["limit"] < 1
