"""What code inside the sandbox can't see, change or outlive; each with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from autoresearch_kit import sandbox
from tests.untrusted import as_nobody, both, needs_sandbox, python, shell, wait_for


def running(mark: str) -> list[int]:
    """Return the processes whose command line ends with `mark`, zombies not among them."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[-1] == mark
    ]


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> Iterator[str]:
    """An argument to find a test's processes by; what is left of them at the end is killed."""
    text = f"mark-{os.getpid()}-{request.node.name}"
    yield text
    for pid in running(text):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@needs_sandbox
def test_the_sandbox_works_here() -> None:
    assert sandbox.unavailable() is None


@needs_sandbox
def test_a_server_of_the_host_is_out_of_reach(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket\n"
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=5)"
        )
        assert python(code, boxed=False)[0] == 0
        status, output = python(code)
    assert status == 1
    assert "ConnectionRefusedError" in output or "unreachable" in output


@needs_sandbox
def test_home_and_keys_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text("canary")
    (home / ".cache" / "huggingface").mkdir(parents=True)
    (home / ".cache" / "huggingface" / "token").write_text("canary")
    (home / ".cache" / "data").write_text("cached")
    monkeypatch.setenv("HOME", str(home))
    look = f"cat {home}/.ssh/id_ed25519; cat {home}/.cache/huggingface/token; ls -A {home} $HOME"
    assert "canary" in shell(look, boxed=False)[1]
    for home_cache in (False, True):
        output = shell(look, home_cache=home_cache)[1]
        assert "canary" not in output
        assert ".ssh\n" not in output
    output = shell("echo $HOME; cat $HOME/.cache/data; touch $HOME/x", home_cache=True)[1]
    assert output == f"{home}\ncached"
    assert shell("touch $HOME/.cache/x", home_cache=True)[0] != 0
    assert sorted(path.name for path in home.iterdir()) == [".cache", ".ssh"]


@needs_sandbox
def test_only_what_write_names_can_be_written(tmp_path: Path) -> None:
    read, write = tmp_path / "read", tmp_path / "write"
    read.mkdir()
    (write / "fixed").mkdir(parents=True)
    (tmp_path / "neighbour").write_text("unseen")
    status, output = shell(
        f"echo 1 > {write}/new; "
        f"for place in {read} {write}/fixed {tmp_path} / /usr /etc {sys.prefix} /proc/sys/kernel;"
        "do touch $place/new 2>/dev/null && echo $place; done; ls " + str(tmp_path),
        read=[read, write / "fixed"],
        write=[write],
    )
    # The folder above is part of the empty /tmp when it lies there: written, and gone with it.
    assert output.replace(f"{tmp_path}\n", "").replace("new\n", "") == "read\nwrite\n"
    assert status == 0
    assert (write / "new").read_text() == "1\n"
    assert sorted(path.name for path in tmp_path.rglob("new")) == ["new"]


@needs_sandbox
def test_processes_of_the_host_are_invisible() -> None:
    code = "import os; print(sum(name.isdigit() for name in os.listdir('/proc')))"
    assert int(python(code)[1]) <= 3
    status, output = shell(f"kill -0 {os.getpid()}")
    assert status != 0 or os.getpid() < 4, output


@both
def test_the_environment_is_an_allow_list(boxed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    names = {
        line.split("=")[0]
        for line in shell("cat /proc/self/environ | tr '\\0' '\\n'", boxed, env={"SEED": "1"})[
            1
        ].split()
    }
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "LANG", "HOME", "TMPDIR", "SEED"}
    if boxed:  # Nor does any other process inside keep what the host's had.
        assert "canary" not in shell("cat /proc/*/environ")[1]


@both
def test_values_of_the_environment_are_in_no_command_line(boxed: bool) -> None:
    process = sandbox.untrusted(["sleep", "60"], sandbox=boxed, env={"TOKEN": "canary-value"})
    try:
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert not any("canary-value" in part for each in tree for part in each.cmdline())
    finally:
        sandbox.kill(process)


@both
def test_pipes_carry_json_lines_both_ways(boxed: bool) -> None:
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    code = (
        "import json, os\n"
        "fds = os.environ['CLOCK_FDS'].split(',')\n"
        "source, sink = open(int(fds[0])), open(int(fds[1]), 'w', buffering=1)\n"
        "for line in source: print(json.dumps({'twice': 2 * json.loads(line)['n']}), file=sink)\n"
        "sink.close()\n"
        "import time; time.sleep(1000)\n"
    )
    process = sandbox.untrusted(
        [sys.executable, "-c", code],
        sandbox=boxed,
        env={"CLOCK_FDS": f"{to_read},{from_write}"},
        pass_fds=(to_read, from_write),
    )
    os.close(to_read)
    os.close(from_write)
    with os.fdopen(to_write, "w", buffering=1) as sink, os.fdopen(from_read) as source:
        for n in (1, 21):
            sink.write(json.dumps({"n": n}) + "\n")
            assert json.loads(source.readline()) == {"twice": 2 * n}
        sink.close()
        # The ends are seen although both processes live: nothing in between holds the pipes.
        assert source.readline() == ""
        assert process.poll() is None
    sandbox.kill(process)


DAEMON = (
    "(setsid sh -c 'sleep 1000; :' {mark} >/dev/null 2>&1 &) ; exec sh -c 'sleep 1000; :' {mark}"
)


@both
def test_kill_leaves_nothing_alive_not_even_a_daemon(boxed: bool, mark: str) -> None:
    process = sandbox.untrusted(["sh", "-c", DAEMON.format(mark=mark)], sandbox=boxed)
    wait_for(lambda: len(running(mark)) >= 2, "daemon and command")
    sandbox.kill(process)
    assert running(mark) == []
    assert process.returncode is not None
    sandbox.kill(process)


@both
def test_what_a_finished_command_started_is_gone(boxed: bool, mark: str) -> None:
    script = f"(setsid sh -c 'sleep 1000; :' {mark} >/dev/null 2>&1 &) ; sleep 0.3; exit 5"
    assert shell(script, boxed)[0] == 5
    wait_for(lambda: running(mark) == [], "the end of the daemon")


@both
def test_killing_the_parent_kills_the_whole_tree(boxed: bool, mark: str) -> None:
    script = DAEMON.format(mark=mark)
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time; from autoresearch_kit import sandbox;"
            f"sandbox.untrusted(['sh', '-c', {script!r}], sandbox={boxed}); time.sleep(1000)",
        ],
        env={**os.environ, "PYTHONPATH": str(Path(sandbox.__file__).parents[2])},
    )
    wait_for(lambda: len(running(mark)) >= 2, "daemon and command")
    parent.kill()
    parent.wait()
    wait_for(lambda: running(mark) == [], "the end of the tree")


@both
def test_a_signal_gives_the_same_exit_status(boxed: bool) -> None:
    assert shell("kill -9 $$", boxed)[0] == 128 + 9


@both
def test_files_are_bounded_and_cores_are_off(boxed: bool, tmp_path: Path) -> None:
    status, output = shell(
        f"ulimit -c; head -c 2000000 /dev/zero > {tmp_path}/big",
        boxed,
        write=[tmp_path],
        file_size=1 << 20,
    )
    assert status != 0
    assert output.startswith("0\n")
    assert (tmp_path / "big").stat().st_size == 1 << 20


@needs_sandbox
@pytest.mark.parametrize("place", ["tmp", "home"])
def test_a_run_folder_works_below_tmp_and_below_home(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "lab" / "run"
    run.mkdir(parents=True)
    (tmp_path / "lab" / "secret").write_text("canary")
    if place == "home":
        monkeypatch.setenv("HOME", str(tmp_path))
    for home_cache in (False, True):
        status, output = shell(
            "pwd; ls -A ..; echo done > result", write=[run], cwd=run, home_cache=home_cache
        )
        assert (status, output) == (0, f"{run}\nrun\n")
        assert (run / "result").read_text() == "done\n"


@needs_sandbox
def test_a_virtual_environment_below_home_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = tmp_path / "project" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (venv.parent / "secret").write_text("canary")
    monkeypatch.setenv("HOME", str(tmp_path))
    process = sandbox.untrusted(
        [venv / "bin" / "python", "-c", "import sys, os; print(sys.prefix, os.listdir('..'))"],
        cwd=venv,
        home_cache=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.communicate(timeout=60)[0] == f"{venv} ['.venv']\n"


@needs_sandbox
def test_a_program_in_home_does_not_make_home_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "secret").write_text("canary")
    monkeypatch.setenv("HOME", str(tmp_path))
    process = sandbox.untrusted(
        [tmp_path / "bin" / "python", "-c", f"import os; print(os.listdir({str(tmp_path)!r}))"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "secret" not in process.communicate(timeout=60)[0]


@needs_sandbox
def test_torch_can_be_imported() -> None:
    status, output = python("import torch; print(torch.ones(2).sum().item())")
    assert (status, output) == (0, "2.0\n")


def test_a_missing_program_or_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no program 'no-such-program'"):
        sandbox.untrusted(["no-such-program"])
    with pytest.raises(FileNotFoundError, match=r"absent does not exist"):
        sandbox.untrusted(["true"], read=[tmp_path / "absent"])


@needs_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="runs as an ordinary user already")
def test_it_works_as_an_ordinary_user(tmp_path: Path) -> None:
    def check() -> None:
        assert sandbox.unavailable() is None
        result, output = shell("id -u; ls /proc | grep -c '^[0-9]*$'; touch /x || exit 7")
        assert result == 7
        assert output.split()[0] == str(os.getuid())
        assert int(output.split()[1]) <= 5

    as_nobody(check)
