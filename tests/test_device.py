"""The queue before a device, between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoresearch_kit import device

HOLDER = """
import sys, time
from autoresearch_kit import device
name, what, priority, seconds = sys.argv[1:]
with device.hold(name, what=what, expected_seconds=100, priority=priority,
                 on_wait=lambda line: print("waits", line, flush=True)):
    print("has it", flush=True)
    if seconds == "0":
        sys.stdin.readline()
print("gave it back", flush=True)
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def holder(what: str, priority: str = "manual", name: str = "cpu") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, name, what, priority, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(device.__file__).parents[1])},
    )


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def give_back(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()
    assert says(process) == "gave it back"


def test_one_has_it_and_the_next_is_told_who_and_how_long():
    first = holder("first lab #1")
    assert says(first) == "has it"
    second = holder("second lab #2")
    assert says(second) == "waits behind first lab #1, about 2 min left"
    give_back(first)
    assert says(second) == "has it"
    end(first, second)


def test_a_person_goes_ahead_of_the_night():
    running = holder("running")
    assert says(running) == "has it"
    night = holder("night", "night")
    assert says(night).startswith("waits behind running")
    person = holder("person")
    assert says(person).startswith("waits behind running,")
    assert says(night).startswith("waits behind running and 1 more")
    give_back(running)
    assert says(person) == "has it"
    give_back(person)
    while "has it" not in (line := says(night)):
        assert line.startswith("waits behind")
    end(running, night, person)


def test_killed_processes_hold_nothing_and_wait_for_nothing():
    killed, waiting, last = holder("killed"), None, None
    assert says(killed) == "has it"
    waiting = holder("waiting")
    assert says(waiting).startswith("waits")
    last = holder("last")
    assert says(last).startswith("waits behind killed and 1 more")
    for process in (waiting, killed):
        os.kill(process.pid, signal.SIGKILL)
    while "has it" not in (line := says(last)):
        assert line.startswith("waits behind")
    end(killed, waiting, last)


def test_devices_do_not_wait_for_each_other():
    first, other = holder("first", name="cuda:0"), holder("other", name="cuda:1")
    assert says(first) == says(other) == "has it"
    end(first, other)


def test_the_waiting_time_is_yielded(tmp_path: Path):
    first = holder("first")
    assert says(first) == "has it"
    began = time.monotonic()
    timer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {first.pid}"])
    with device.hold("cpu", what="me") as waited:
        assert 0.2 < waited <= time.monotonic() - began
    timer.wait()
    end(first)
    with device.hold("cpu", what="me") as waited:
        assert waited < 0.2
    assert (tmp_path / f"autoresearch-{os.getuid()}").stat().st_mode & 0o077 == 0


def test_the_environment_overrides_the_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cuda:3")
    assert device.pick() == "cuda:3"
    monkeypatch.delenv("AUTORESEARCH_DEVICE")
    assert device.pick() in ("cpu", "mps", "cuda:0")


def test_cuda_numbers_count_what_is_visible(monkeypatch: pytest.MonkeyPatch):
    """Two kernels that see different cards as cuda:0 don't wait for each other."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with device.hold("cuda:0", what="card 2"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
        with device.hold("cuda:0", what="card 3") as waited:
            assert waited < 1
