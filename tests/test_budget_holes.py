"""Ways to get more than the budget, to be believed too much, or to be judged on a slow day.

Each attack is a real process. Slow in part, because what is hidden has to go on for a while.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoresearch_kit import runner, sandbox, workplace
from autoresearch_kit.tree import Tree
from tests.test_runner import HONEST, LIGHT, Lab, lab, scored

__all__ = ["lab"]

linux = pytest.mark.skipif(sys.platform != "linux", reason="macOS doesn't tell who waited for whom")

HELPERS = """
import signal
def work(life):
    burn(life, time.process_time)
    os._exit(0)
def hidden(life):
    '''Let a child work that nobody will wait for, and sleep meanwhile.'''
    done, theirs = os.pipe()
    if os.fork() == 0:
        work(life)
    os.close(theirs)
    os.read(done, 1)
    os.close(done)
"""

IGNORED = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"

NO_ZOMBIES = """
import ctypes
class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16),
                ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]
SA_NOCLDWAIT = 2  # as if SIGCHLD were ignored, and /proc/PID/status doesn't show it
action = Action(0, (ctypes.c_ulong * 16)(), SA_NOCLDWAIT, 0)
ctypes.CDLL(None).sigaction(signal.SIGCHLD, ctypes.byref(action), None)
"""

HOPS = (
    IGNORED
    + """
import ctypes
ctypes.CDLL(None).prctl(36, 1)  # orphans come to this process, which ignores their ends
def hidden(life):
    '''Move to a new process every 2 ms: the work goes on, no process is old enough to be seen.'''
    done, theirs = os.pipe()
    if os.fork() == 0:
        for _ in range(int(life / 0.002)):
            burn(0.002, time.process_time)
            if os.fork():
                os._exit(0)
        os._exit(0)
    os.close(theirs)
    os.read(done, 1)
    os.close(done)
"""
)

COVERED = (
    IGNORED
    + """
really = hidden
def hidden(life):
    '''Also wait for a child that had many page faults, to hide those of one nobody waits for.'''
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        bytearray(4 << 20)
        os._exit(0)
    os.waitpid(child, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    really(life)
"""
)


@linux
@pytest.mark.parametrize(
    "how", [IGNORED, NO_ZOMBIES, HOPS, COVERED], ids=["ignored", "no-zombies", "hops", "covered"]
)
def test_children_that_nobody_waits_for_end_the_run(lab: Lab, how: str):
    script = HELPERS + how + HONEST.replace("burn(0.02)", "burn(0.002); hidden(0.15)")
    state = lab.ended(script, budget_seconds=0.2)
    assert state["phase"] == "crash"
    assert "without anybody waiting for it" in state["reason"]
    assert state["seconds"] < 15  # unnoticed, it would be 100 steps of 0.15 s: 75 budgets


@linux
def test_helpers_that_are_waited_for_or_outlive_their_parent_are_no_crime(lab: Lab):
    """Also one that is killed, one that becomes an orphan, and daemons that end with the run."""
    helpers = """
    import multiprocessing, signal, subprocess
    def orphan():
        if os.fork() == 0:
            if os.fork() == 0:
                burn(0.1)
            os._exit(0)
        os.wait()
    def killed():
        child = os.fork()
        if child == 0:
            burn(100)
        time.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    def daemon():
        if os.fork() == 0:
            time.sleep(300)
    workers = multiprocessing.get_context("fork").Pool(2)
    def work():
        workers.map(burn, [0.01] * 4)
        subprocess.run(["true"], check=True)
        orphan(), killed(), daemon()
    """
    script = textwrap.dedent(helpers) + HONEST.replace("burn(0.02)", "work()")
    state = lab.ended(script.replace("save()", "save(); os._exit(0)"), budget_seconds=1)
    assert state["phase"] == "done", state["reason"]
    assert state["tokens"] < 64 * 30


@linux
def test_who_starts_the_kit_may_ignore_the_ends_of_children(lab: Lab):
    """Ignoring SIGCHLD is inherited: the run's helpers could not be waited for."""
    helper = "import subprocess\n" + HONEST.replace("burn(0.02)", "subprocess.run(['true'])")
    run = lab.run(helper, budget_seconds=0.1)
    code = (
        "import signal, sys; from pathlib import Path; from autoresearch_kit import runner\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN); runner.launch(Path(sys.argv[1]), 'train')"
    )
    subprocess.run([sys.executable, "-c", code, run.dir], check=True)
    state = runner.wait(run.dir, "train", progress=False)
    assert state["phase"] == "done", state["reason"]


BUSY = """
import os, sys, time
end = time.monotonic() + 3
mine = [pid for pid in (os.fork() for _ in range(3)) if pid]
while time.monotonic() < end:
    pid = os.fork()
    if pid == 0:
        stop = time.process_time() + 0.003
        while time.process_time() < stop:
            pass
        os._exit(0)
    os.waitpid(pid, 0)
used = sum(os.times()[:4])
for pid in mine:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # its parent's
print(used, flush=True)
"""


@linux
@pytest.mark.parametrize("boxed", [True, False])
def test_a_thousand_short_helpers_are_counted_once_and_accuse_nobody(boxed: bool, tmp_path: Path):
    """Eight processes fork and wait as fast as they can, and are looked at all the time."""
    if boxed and sandbox.unavailable():
        pytest.skip(str(sandbox.unavailable()))
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    process = sandbox.untrusted(
        [sys.executable, str(script)], sandbox=boxed, cwd=tmp_path, stdout=subprocess.PIPE
    )
    tree, used = Tree(process.pid), 0.0
    while process.poll() is None:
        tree.scan()
        used = max(used, tree.cpu_seconds())
        time.sleep(0.002)
    assert tree.unwaited is None
    assert process.stdout
    with process.stdout as printed:
        spent = sum(float(line) for line in printed)
    # Each ends a little after it has looked at its clock. Counted twice, it would be twice as much.
    assert used == pytest.approx(spent, rel=0.2)


def test_training_before_the_clock_starts_is_charged(lab: Lab):
    early = HONEST.replace("ask(start=True", "burn(0.9)\nask(start=True")
    spec = {"baseline_setup_cpu_seconds": 0.2}
    honest, state = (lab.ended(s, budget_seconds=2, spec=spec) for s in (HONEST, early))
    assert (honest["phase"], state["phase"]) == ("done", "done")
    assert honest["setup_charged_seconds"] == 0
    assert state["setup_charged_seconds"] == pytest.approx(0.55, abs=0.3)
    assert state["cpu_seconds"] + state["setup_charged_seconds"] == pytest.approx(2.05, abs=0.15)


def test_training_for_half_of_the_budget_before_the_clock_starts_is_a_crash(lab: Lab):
    early = HONEST.replace("ask(start=True", "burn(2)\nask(start=True")
    state = lab.ended(early, budget_seconds=1, spec={"baseline_setup_cpu_seconds": 0.2})
    assert state["phase"] == "crash"
    assert re.match(r"timeout: set-up used [\d.]+ CPU seconds, of which 0.55 are", state["reason"])


def test_a_last_step_of_many_budgets_is_a_crash(lab: Lab):
    long = HONEST.replace("burn(0.02)", "burn(1.5 if progress > 0.5 else 0.02)")
    state = lab.ended(long)
    assert state["phase"] == "crash"
    assert state["reason"].startswith("timeout: its last step went 1.")


@linux
@pytest.mark.skipif(sandbox.unavailable() is not None, reason="its folders are the sandbox's own")
@pytest.mark.parametrize(
    "hide",
    [
        "for n, at in enumerate(['/tmp', '/dev/shm', '/tmp']): Path(at, str(n)).write_bytes(b)",
        "kept = [os.memfd_create('x') for _ in range(3)]\nfor f in kept: os.write(f, b)",
        # A mapped file counts once, whoever maps it and whatever else holds it open.
        "import mmap\nkept = [os.memfd_create('x') for _ in range(3)]\n"
        "for f in kept: os.write(f, b); bytes(mmap.mmap(f, 0)[:1]); os.dup(f)",
    ],
    ids=["folders", "handles", "mapped"],
)
def test_memory_in_files_counts_as_memory(lab: Lab, hide: str):
    script = f"b = b'x' * (80 << 20)\n{hide}\ntime.sleep(2)\n" + HONEST
    state = lab.ended(script, memory_gb=0.25)
    assert state["phase"] == "crash"
    assert state["reason"].startswith("out of memory: it used 0.3 GB")
    fine = lab.ended(script, memory_gb=0.5)
    assert fine["phase"] == "done", fine["reason"]
    assert fine["peak_memory_mb"] == pytest.approx(4 * 84 + 15, abs=25)


def test_a_folder_in_memory_is_no_larger_than_the_memory(lab: Lab):
    if sandbox.unavailable():
        pytest.skip(str(sandbox.unavailable()))
    script = "import os\nfor p in ('/tmp', '/dev/shm'):\n    room = os.statvfs(p)\n"
    script += "    print(room.f_blocks * room.f_frsize)\nprint('val_loss: 1')"
    state = lab.ended(script, clock="", memory_gb=0.25)
    sizes = [int(line) for line in state["run"].log.splitlines()[:2]]
    assert sizes == pytest.approx([0.25e9] * 2, abs=1 << 16)


DEEP = """
import os
os.chdir(os.environ["RUN_DIR"])
for _ in range(60):
    os.mkdir("d" * 200)
    os.mkdir("e")
    os.chdir("d" * 200)
handle = os.open("big", os.O_CREAT | os.O_WRONLY)
os.posix_fallocate(handle, 0, 2 << 20)
"""


def test_what_lies_deep_is_seen(tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run([sys.executable, "-c", DEEP], env={"RUN_DIR": str(out)}, check=True)
    (out / "small").write_bytes(b"x" * 5000)
    (out / "link").symlink_to("/usr")
    size, files = workplace.disk_used(out, 1000)
    assert files == 2 * 60 + 3
    assert size == pytest.approx((2 << 20) + 8192, abs=8192)
    assert workplace.disk_used(out, 50)[1] == 50
    assert workplace.disk_used(out / "none", 50) == (0, 0)
    subprocess.run(["rm", "-rf", str(out)], check=True)


@linux
def test_what_was_written_at_the_last_moment_is_seen(lab: Lab):
    """Room on the disk is taken, but nothing is written to it."""
    if shutil.disk_usage(lab.host).free < 20 << 30:
        pytest.skip("it needs 10 GB of the disk")
    late = "for n in 'abc': os.posix_fallocate(os.open(n, os.O_CREAT | os.O_WRONLY), 0, 3 << 30)"
    try:
        state = lab.ended(HONEST.replace("save()", f"os.chdir(os.environ['RUN_DIR'])\n{late}"))
        assert state["phase"] == "crash"
        assert state["reason"].startswith("it wrote too much: 9.7 GB in ")
    finally:
        for path in lab.runs.glob("*/out/*"):
            path.unlink()


def test_set_up_is_compared_with_that_of_the_baseline_beside_it(lab: Lab):
    fields: dict[str, Any] = {"clock": "relative", "budget_seconds": 2}
    spec = {"baseline_tokens": 10_000, "baseline_setup_cpu_seconds": 100}
    early = LIGHT.replace("ask(start=True", "burn(0.9)\nask(start=True")
    state = lab.ended(early, baseline=LIGHT, spec=spec, **fields)
    assert state["phase"] == "done", state["reason"]
    left = 1 - state["setup_charged_seconds"] / 2
    assert 0.5 < left < 0.8
    assert state["tokens"] == pytest.approx(10_000 / state["ratio"] * left, abs=101)


def test_a_link_or_a_pipe_in_the_place_of_weights_is_gone_before_anybody_reads_it(lab: Lab):
    """The scorer would show the target of a link to the model's code, or wait for the pipe."""
    secret = lab.host.parent / "secret"
    secret.write_text("secret")
    for trick in (f"os.symlink({str(secret)!r}, weights)", "os.mkfifo(weights)"):
        leave = f"weights = os.environ['RUN_DIR'] + '/weights.safetensors'\n{trick}\n"
        state = lab.ended(HONEST.replace("save()", leave))
        assert state["phase"] == "done", state["reason"]
        assert [p.name for p in (state["run"].dir / "out").iterdir()] == []
        assert "[left out of RUN_DIR" in state["run"].log
    assert secret.read_text() == "secret"


def test_names_and_numbers_of_a_run_reach_nobody_raw(lab: Lab, tmp_path: Path):
    state = lab.ended("ask(start=True, parameters='\\x1b[31m\\n' * 9)\ntime.sleep(9)")
    assert state["phase"] == "crash"
    assert state["reason"].isprintable()
    printed = lab.ended(r"print('\x1b]52;c;QUJD\x07\x9b2Jval_loss: 1')", clock="")
    assert printed["run"].log == "val_loss: 1\n"
    out = tmp_path / "out"
    out.mkdir()
    (out / "foreign-imports.json").write_text('["/a\\u001b[2J\\nval_loss: 0.1"]')
    assert workplace.foreign_imports(out) == "/a val_loss: 0.1"
    (out / "a\n\x1b[31mred").symlink_to("/")
    assert workplace.remove_odd(out).isprintable()
    assert sorted(path.name for path in out.iterdir()) == ["foreign-imports.json"]


ENVIRONMENT = """
import json, os
keys = [name for name in os.environ if "KEY" in name]
print(json.dumps({"value": 1.0, "keys": keys, "split": os.environ["SPLIT"]}))
"""


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_scorer_is_told_the_split_and_no_keys(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, split: str
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdef")
    _, result = scored(lab, ENVIRONMENT, spec={} if split == "val" else {"split": split})
    assert (result["split"], result["keys"]) == (split, [])


@pytest.fixture
def speed(lab: Lab) -> Callable[..., dict[str, Any]]:
    def run(**spec: Any) -> dict[str, Any]:
        return lab.ended(HONEST, budget_seconds=0.2, spec=spec)

    return run


def test_a_run_far_slower_than_its_peers_is_lost_until_the_repeat_agrees(
    speed: Callable[..., dict[str, Any]],
):
    first = speed()
    measured = first["tokens_per_second"]
    assert (first["phase"], first["parameters"]) == ("done", 1000)
    peers = {"peer_tokens_per_second": {"1000": 2 * measured, "999": 0.1}}
    lost = speed(**peers)
    assert (lost["phase"], lost["slow"]) == ("lost", True)
    assert f"{lost['tokens_per_second']:.4g} tokens a second" in lost["reason"]
    assert f"{2 * measured:.4g} on this device" in lost["reason"]
    # A budget of CPU seconds holds steps of 0.02 CPU seconds each, so the speed is the same again.
    assert speed(**peers, slow_before=lost["tokens_per_second"])["phase"] == "done"
    assert speed(**peers, slow_before=[measured / 3])["phase"] == "lost"
    assert speed(peer_tokens_per_second={"1000": 1.3 * measured})["phase"] == "done"
    assert speed(peer_tokens_per_second={"77": 9 * measured})["phase"] == "done"


def test_where_the_budget_is_tokens_nobody_is_lost_for_being_slow(lab: Lab):
    state = lab.ended(
        LIGHT,
        clock="relative",
        budget_seconds=1,
        spec={"baseline_tokens": 4000, "ratio": 1.0, "peer_tokens_per_second": {"1000": 1e9}},
    )
    assert state["phase"] == "done", state["reason"]


@linux
@pytest.mark.acceptance
def test_a_machine_full_of_others_makes_no_step_a_timeout(lab: Lab):
    """Slow: a step takes more than the 5 s in which a run has to say something.

    Its session has a small share of the cores, as if there were a hundred others.
    """
    if not Path("/proc/self/autogroup").exists():
        pytest.skip("this kernel doesn't share its time between sessions")
    less = "Path('/proc/self/autogroup').write_text('19')\n"
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
        for _ in range(2 * len(psutil.Process().cpu_affinity()))
    ]
    try:
        state = lab.ended(
            less + HONEST.replace("burn(0.02)", "burn(0.08)"),
            budget_seconds=0.1,
            timeout_seconds=20,
        )
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert state["phase"] == "done", state["reason"]
    assert state["training_seconds"] > 5
