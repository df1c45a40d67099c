"""What code in the sandbox can use up: processes, memory, files; with real processes."""

from __future__ import annotations

import errno
import functools
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoresearch_kit import sandbox
from autoresearch_kit.sandbox import boxes, limits
from tests.untrusted import as_nobody, both, needs_root, needs_sandbox, python, shell, wait_for

MB = 1 << 20
KERNEL = tuple(int(part) for part in platform.release().split(".")[:2])
FORKS = """\
import os, signal, sys
children = []
try:
    for _ in range(600):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError:
    pass
print(len(children))
"""
no_gpu = pytest.mark.skipif(bool(boxes.gpus()), reason="GPUs' drivers reserve without using")


def lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(processes: list[psutil.Process]) -> bool:
    return not any(map(lives, processes))


@needs_sandbox
@needs_root
@pytest.mark.skipif(KERNEL < (6, 14), reason="Linux before 6.14 can't limit root's processes")
def test_roots_processes_are_limited_and_the_machines_are_not() -> None:
    before = Path("/proc/sys/kernel/pid_max").read_text()
    assert python(FORKS, boxed=False)[1] == "600\n"
    assert 300 < int(python(FORKS, processes=400)[1]) < 400
    assert Path("/proc/sys/kernel/pid_max").read_text() == before


@needs_sandbox
@pytest.mark.skipif(KERNEL < (5, 14), reason="Linux before 5.14 counts all that the user runs")
def test_an_ordinary_users_processes_are_limited() -> None:
    def check() -> None:
        script = (
            "n=0; while [ $n -lt 600 ]; do sleep 3 >/dev/null 2>&1 & n=$((n + 1)); "
            "[ $((n % 50)) = 0 ] && echo $n; done"
        )
        free = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert free.stdout.split()[-1] == "600"
        counts = [int(word) for word in shell(script, processes=400)[1].split() if word.isdigit()]
        assert counts[-1] == 350

    if os.geteuid() == 0:
        as_nobody(check)
    else:
        check()


@needs_sandbox
def test_a_fork_bomb_is_ended_by_one_kill() -> None:
    bomb = "import os\nprint(os.getpid(), flush=True)\nwhile True:\n  try: os.fork()\n"
    bomb += "  except OSError: pass\n"
    process = sandbox.untrusted(
        [sys.executable, "-I", "-S", "-c", bomb], stdout=subprocess.PIPE, text=True, processes=400
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        root = psutil.Process(process.pid)
        for _ in range(400):
            if len(born := root.children(recursive=True)) > 200:
                break
            time.sleep(0.05)
        assert len(born) > 200
    finally:
        began = time.monotonic()
        sandbox.kill(process)
    assert time.monotonic() - began < 20
    assert gone(born)


@both
@no_gpu
def test_a_process_gets_no_more_memory_than_it_may(boxed: bool) -> None:
    code = "print(len(bytearray(300 << 20)))"
    assert python(code, boxed)[1] == f"{300 * MB}\n"
    status, output = python(code, boxed, memory=200 * MB)
    assert status == 1
    assert "MemoryError" in output


@needs_sandbox
@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/tmp/home"])
def test_folders_in_memory_are_bounded(place: str) -> None:
    code = (
        f"file = open('{place}/big', 'wb', buffering=0)\n"
        f"for _ in range(30):\n  assert file.write(bytes({MB})) == {MB}\n"
    )
    assert python(code, tmp_size=40 * MB) == (0, "")
    status, output = python(code, tmp_size=20 * MB)
    assert status == 1
    assert os.strerror(errno.ENOSPC) in output or "AssertionError" in output


@needs_sandbox
def test_the_empty_home_beside_a_cache_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".cache").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    script = "head -c 3000000 /dev/zero > ~/big"
    assert shell(script, home_cache=True)[0] == 0
    assert shell(script, home_cache=True, tmp_size=MB)[0] != 0
    assert not (tmp_path / "big").exists()


@needs_sandbox
def test_no_other_folder_in_memory_is_writable() -> None:
    """A file in /dev or / would be memory without a limit."""
    script = "for f in /x /dev/x /etc/x /proc/x; do touch $f 2>/dev/null && echo $f; done; true"
    assert shell(script) == (0, "")


@both
def test_open_files_are_bounded(boxed: bool) -> None:
    status, output = shell("ulimit -n; ulimit -Hn", boxed)
    assert (status, set(output.split())) == (0, {str(limits.OPEN_FILES)})


@needs_sandbox
def test_the_kernel_ends_it_first_when_memory_runs_out() -> None:
    ours = int(Path("/proc/self/oom_score_adj").read_text())
    assert ours < 1000
    assert shell("cat /proc/self/oom_score_adj")[1] == "1000\n"


@needs_sandbox
@needs_root
def test_roots_code_cant_take_back_that_it_is_ended_first() -> None:
    look = "(echo 0 > /proc/self/oom_score_adj) 2>/dev/null; cat /proc/self/oom_score_adj"
    assert shell(look, boxed=False)[1] == "0\n"
    assert shell(look)[1] == "1000\n"


@pytest.mark.parametrize("name", ["file_size", "memory", "processes", "tmp_size"])
def test_a_limit_that_is_not_positive_is_named(name: str) -> None:
    nothing: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=rf"{name} must be a positive number.*not 0"):
        sandbox.untrusted(["true"], **nothing)


def test_a_command_in_one_string_is_refused() -> None:
    with pytest.raises(TypeError, match=r"try shlex.split\('ls -l'\)"):
        sandbox.untrusted("ls -l")
    with pytest.raises(ValueError, match="argv is empty"):
        sandbox.untrusted([])


def test_one_path_in_place_of_a_list_and_all_of_the_system_are_refused() -> None:
    with pytest.raises(TypeError, match=r"write write=\['/data'\]"):
        sandbox.untrusted(["true"], write="/data")
    with pytest.raises(ValueError, match="not all of /"):
        sandbox.untrusted(["true"], read=["/"])


@needs_sandbox
def test_a_sandbox_that_cant_be_set_up_ends_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, output = shell("echo ran", read=[tmp_path / "file"], cwd=tmp_path / "file")
    assert status != 0
    assert "ran" not in output
    assert str(tmp_path / "file") in output


@needs_sandbox
def test_a_command_never_runs_without_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def fail(pid: int, _: object) -> None:
        begun.append(psutil.Process(pid))
        raise PermissionError("no limits here")

    monkeypatch.setattr(limits, "impose", fail)
    with pytest.raises(PermissionError, match="no limits here"):
        shell(f"touch {tmp_path}/ran", write=[tmp_path])
    assert len(begun) == 1
    assert not lives(begun[0])
    assert not (tmp_path / "ran").exists()


@needs_sandbox
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_at_once_ends_all_of_it(number: signal.Signals) -> None:
    for _ in range(10):
        process = sandbox.untrusted(["sleep", "1000"])
        born = psutil.Process(process.pid).children(recursive=True)
        assert len(born) >= 2
        process.send_signal(number)
        process.wait(timeout=30)
        wait_for(functools.partial(gone, born), "the end of the tree")


@needs_sandbox
def test_nothing_runs_when_the_parent_ends_while_the_sandbox_is_made(tmp_path: Path) -> None:
    """The parent is killed after 0 to 45 ms, so at several stages of making it."""
    command = ["sh", "-c", f"sleep 1; touch {tmp_path}/ran"]
    code = (
        "from autoresearch_kit import sandbox; sandbox.unavailable(); print(flush=True);"
        f"sandbox.untrusted({command!r}, write=[{str(tmp_path)!r}]).wait()"
    )
    for delay in range(6):
        parent = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(sandbox.__file__).parents[2])},
        )
        assert parent.stdout is not None
        parent.stdout.readline()
        time.sleep(0.009 * delay)
        parent.kill()
        parent.wait()
    time.sleep(2)
    assert not (tmp_path / "ran").exists()
