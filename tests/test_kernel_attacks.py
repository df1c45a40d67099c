"""Hostile kernels: each ends as a crash, in quarantine, or with what its work is worth.

The shapes are small, so that a scoring takes seconds. Honest work here is what torch's own fastest
way does, a speed-up of 1; cheating would be worth ten times that and more.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.kernel import draws, references
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.gates import Gates
from tests import kernels

pytestmark = pytest.mark.skipif(
    sandbox.unavailable() is not None, reason="hostile code runs in a sandbox alone"
)

SECRET = "xylophone-7431"
NUMBERS = ("memory_gb", "setup_seconds")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("code")


@pytest.fixture(scope="module")
def child(folder: Path) -> Iterator[Child]:
    """A process for those that do no harm to it: what a gate finds needs no rival."""
    with Child("kernel", Crash, [folder], {}) as child:
        child.started(120)
        yield child


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("attack", kernels.attacks("gates"))
def test_a_gate_stops(
    attack: kernels.Attack, child: Child, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kernels.small(monkeypatch)
    child.load(kernels.written(folder, attack.text), "kernel", 60, builtins=False)
    with pytest.raises(Crash) as crash:
        Gates(child, references.load("rmsnorm"), draws.Draw(), "cpu", 60).all()
    assert re.search(attack.notes["says"], str(crash.value))


def test_an_honest_kernel_passes_the_gates_that_stop_others(
    child: Child, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    kernels.small(monkeypatch)
    child.load(kernels.written(folder, kernels.PLAIN), "kernel", 60, builtins=False)
    gates = Gates(child, references.load("rmsnorm"), draws.Draw(), "cpu", 60)
    gates.all()
    assert len(gates.seconds) == 5


@pytest.mark.parametrize("attack", kernels.attacks("score"))
def test_the_scorer_withstands(
    attack: kernels.Attack, tmp_path: Path, listening: int, monkeypatch: pytest.MonkeyPatch
):
    kernels.small(monkeypatch)
    planted = tmp_path / "secret.txt"
    planted.write_text(SECRET)
    monkeypatch.setenv("KERNEL_KEY", SECRET)
    # Turned round, for the attack's own text may be read by it.
    known = {"PLANTED": str(planted), "SECRET": SECRET[::-1], "PORT": str(listening)}
    file = kernels.written(tmp_path / "code", attack.text, known)
    task: dict[str, Any] = {k: float(attack.notes[k]) for k in NUMBERS if k in attack.notes}
    before = _children()
    threads = int(attack.notes.get("threads", 1))
    if threads > kernels.cores():
        pytest.skip(f"needs {threads} cores")
    said = kernels.scored(file, threads=threads, **task)
    assert not _children() - before, "the attack left a process behind"
    assert SECRET not in str(said)
    assert _ended(said) in attack.notes["ends"].split(" or "), said
    if "crash" in said:
        assert re.search(attack.notes["says"], said["crash"]), said["crash"]
        assert len(said["crash"]) < 4000
        assert all(each.isprintable() or each in "\n\t" for each in said["crash"])
    else:
        assert said["value"] < float(attack.notes.get("worth", 2)), said


def _ended(said: dict[str, Any]) -> str:
    return next((end for end in ("crash", "quarantine") if end in said), "honest")


def _children() -> set[int]:
    return {each.pid for each in psutil.Process().children(recursive=True)}
