"""The trusted scorer of kernels with real sandboxed processes.

Each process imports torch, two seconds of CPU time; so they are few, and shapes and rounds small.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoresearch_kit import sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.tasks.kernel import draws, limits, references, timing
from autoresearch_kit.tasks.kernel import score as scorer
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.gates import inputs
from autoresearch_kit.tasks.kernel.layout import Layout
from autoresearch_kit.tasks.kernel.timing import Player, Timed
from tests import kernels

SHAPE = (64, 256)
TASK = {"options": {"kernel": "rmsnorm"}, "setup_seconds": 60}
RMSNORM = references.load("rmsnorm")
HONEST = references.first_kernel(RMSNORM)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RMSNORM, "TIMED", {"cpu": (SHAPE,)})
    monkeypatch.setattr(timing, "ROUNDS", 5)
    monkeypatch.setattr(timing, "TURN_SECONDS", 0.002)
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "kernel.py").write_text(HONEST)
    return tmp_path / "code"


@pytest.fixture
def child(code: Path) -> Iterator[Child]:
    """A candidate's process that has imported torch, and nothing else yet."""
    with Child("kernel", Crash, [code], TASK) as child:
        child.started(60)
        yield child


def load(child: Child, code: Path, text: str, seconds: float = 60.0) -> None:
    (code / "kernel.py").write_text(text)
    child.load(code / "kernel.py", "kernel", seconds, builtins=False)


def arrange(child: Child, slots: int = 4) -> list[int]:
    """Fill slots with inputs, and return their numbers."""
    layout = Layout.of(RMSNORM, SHAPE, "float32")
    child.arrange(layout, slots, 10)
    for slot in range(slots):
        child.fill(slot, inputs(RMSNORM, draws.Draw(), layout, "normal"))
    return list(range(slots))


def test_one_json_object_with_the_score_is_printed(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "task.toml").write_text('setup_seconds = 60\n[options]\nkernel = "rmsnorm"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("CODE_DIR", "RUN_DIR", "SCORE_DIR"):
        monkeypatch.setenv(name, str(code))
    assert scorer.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert result["value"] > 0
    assert 0 < result["noise"] < math.inf
    assert result["sandboxed"] == (sandbox.unavailable() is None)
    assert (result["kernel"], result["device"], result["threads"]) == ("rmsnorm", "cpu", 1)
    assert list(result["gates"]) == [
        "smoke", "shapes and types", "adversarial values", "repeats", "odd sizes"
    ]  # fmt: skip
    (shape,) = result["shapes"]
    assert shape["shape"] == list(SHAPE)
    assert set(shape["ms"]) == {"kernel", "rms_norm", "in_steps", "copy"}
    assert shape["fastest"] in ("rms_norm", "in_steps")
    assert result["value"] == pytest.approx(shape["speedup"], abs=1e-4)
    assert result["limit"] == shape["limit"] > 0
    sides = "x".join(map(str, SHAPE))
    said = rf"{sides}: \d+\.\d\d in [\d.e+-]+ ms; \d+\.\d\d of a copy's speed"
    assert re.fullmatch(said, result["note"])


def test_what_is_missing_is_said(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CODE_DIR", raising=False)
    assert scorer.main() == 1
    assert "CODE_DIR" in capsys.readouterr().err
    for name in ("CODE_DIR", "RUN_DIR", "SCORE_DIR"):
        monkeypatch.setenv(name, str(code))
    (tmp_path / "task.toml").write_text('[options]\nkernel = "sort"\n')
    assert scorer.main() == 1
    assert "no kernel 'sort'; there are: cross_entropy" in capsys.readouterr().err
    (tmp_path / "task.toml").write_text('[options]\nkernel = "rmsnorm"\n')
    (code / "kernel.py").unlink()
    assert scorer.main() == 0
    assert "there is no kernel.py" in json.loads(capsys.readouterr().out)["crash"]


COMPILED = r"""
made = ["[1/2] c++ " + "-isystem include " * 100, "a.cpp:1: error: no such name", "1 | x = y;"]
raise RuntimeError("Error building extension: " + "\n".join(made))
"""


def test_a_file_that_is_no_kernel_is_a_crash_with_its_place(child: Child, code: Path):
    for text, said in {
        "x = 1\n\ny = x / 0": r"ZeroDivisionError: .* \(kernel.py, line 3\) while importing",
        "\ndef kernel(:": r"SyntaxError: .* \(kernel.py, line 2\) while importing kernel.py",
        "def colonel(x): ...": r"kernel.py has no function kernel",
        "raise SystemExit('bye')": r"SystemExit: bye",
        "raise ValueError('x' * 5000)": r"ValueError: x{800,900} \(kernel.py, line 1\) while",
        COMPILED: r"Error building[^\n]{,100} \(kernel.*3\)\na.cpp:1: error: no such name while",
    }.items():
        with pytest.raises(Crash, match=said):
            load(child, code, text)
    sleepy = "import time\nprint('still here', flush=True)\ntime.sleep(60)"
    with pytest.raises(Crash, match=r"hang: 1 s ran out .* kernel.py\nlast output:\nstill here"):
        load(child, code, sleepy, 1.0)


def test_inputs_can_not_be_written_and_no_memory_be_taken_away(child: Child, code: Path):
    tries = """
        import mmap, os
        def kernel(x, weight, out):
            done = []
            for name in os.listdir("/proc/self/fd"):
                try:
                    if "memfd" not in os.readlink(f"/proc/self/fd/{name}"):
                        continue
                    handle = os.open(f"/proc/self/fd/{name}", os.O_RDWR)
                except OSError:
                    continue
                for what in (lambda: os.truncate(handle, 0), lambda: mmap.mmap(handle, 4096)):
                    try:
                        what()
                        done.append(os.readlink(f"/proc/self/fd/{handle}"))
                    except OSError:
                        pass
            out.fill_(len(done))
            if x.shape[0] == 64:
                x.zero_()
    """
    load(child, code, "\n".join(line[8:] for line in tries.splitlines()))
    layout = Layout.of(RMSNORM, (2, 8), "float32")
    child.arrange(layout, 1, 10)
    child.fill(0, [np.ones((2, 8)), np.ones(8)])
    child.call("trying", 10, "kernel", [0])
    # The file for outputs is written, that is what it is for; by its descriptor and by ours.
    mapped = child.taken(0)[0, 0]
    assert mapped <= 2
    slots = arrange(child)
    with pytest.raises(Crash, match=r"signal 11; the inputs are read-only.* while zeroing"):
        child.call("zeroing", 10, "kernel", slots)


def test_a_reply_that_was_not_asked_for_is_a_crash(child: Child, code: Path):
    stuffed = """
import os, torch
def kernel(x, weight, out):
    out.copy_(torch.nn.functional.rms_norm(x, x.shape[-1:], weight, 1e-6))
    for name in os.listdir("/proc/self/fd"):
        try:
            if "pipe" in os.readlink(f"/proc/self/fd/{name}"):
                os.write(int(name), b'{"nonce": "0"}' + bytes([10]))
        except OSError:
            pass
"""
    load(child, code, stuffed)
    with pytest.raises(Crash, match="something wrote to the kernel's pipe"):
        child.call("computing", 10, "kernel", arrange(child))


def test_whatever_a_reply_holds_is_a_crash_or_no_harm(child: Child, code: Path):
    forged = """
import __main__, json
from pathlib import Path
def told():
    said = json.loads(Path(__file__).with_name("said.json").read_text())
    return {"fault": said} if isinstance(said, list) else said
__main__.Server.load = lambda self, **_: told()
def kernel(x, weight, out): ...
"""
    load(child, code, forged)
    for said in ({"kernels": 5}, {"kernels": None, "device": []}, {}):
        (code / "said.json").write_text(json.dumps(said))
        assert child.load(code / "kernel.py", "kernel", 10, builtins=False) == []
    (code / "said.json").write_text("[" * 400 + "]" * 400)
    with pytest.raises(Crash, match=r"^\[{400}\]{400} while importing"):
        child.load(code / "kernel.py", "kernel", 10, builtins=False)


def test_the_time_for_all_of_it_is_the_candidates_alone(child: Child, code: Path):
    load(child, code, HONEST)
    slots = arrange(child)
    child.deadline = time.monotonic()
    with pytest.raises(Crash, match=r"hang: the 600 s of the whole scoring .* ran out while"):
        child.call("computing", 10, "kernel", slots)


@pytest.mark.parametrize("threads", [0, "two", 10_000, True])
def test_threads_that_the_machine_has_not_are_the_scorers_trouble(threads: object, code: Path):
    task = TASK | {"options": {"kernel": "rmsnorm", "threads": threads}}
    with pytest.raises(
        ScorerError, match=r"options.threads = .*; expected 1 to \d+, this machine's"
    ):
        scorer.score(code, task)


def test_time_between_turns_and_asleep_counts(child: Child, code: Path):
    deferring = """
import queue, threading, time
todo = queue.SimpleQueue()
def later():
    while True:
        end = todo.get() + time.thread_time()
        while time.thread_time() < end:
            pass
threading.Thread(target=later, daemon=True).start()
def kernel(x, weight, out):
    time.sleep(0.05)
    if x[0, 0] > 100:
        todo.put(0.05)
"""
    load(child, code, deferring)
    slots = arrange(child)
    player = Player(child)
    assert player.turn("kernel", slots, "sleeping") > 0.1  # of 0.2; who waits may queue too
    player.idle()
    child.given(0, slots[-1])[0, 0] = 200.0
    player.turn("kernel", slots, "putting work off")
    until = time.monotonic() + 20
    with pytest.raises(Crash, match=r"works while it is not its turn: \d+\.\d ms"):
        idle_until(player, until)


def idle_until(player: Player, until: float) -> None:
    while time.monotonic() < until:
        time.sleep(0.02)
        player.idle()


FORKS = """
import os, signal, subprocess, threading
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nobody learns what it has used
assert subprocess.run(["true"]).returncode == 0
def kernel(x, weight, out):
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    if x[0, 0] > 100 and not os.fork():
        os._exit(0)
"""


def test_a_process_started_while_it_is_timed_is_a_crash_however_short(child: Child, code: Path):
    if not child.forks.filter:
        pytest.skip("no filter of system calls here")
    load(child, code, FORKS)
    slots = arrange(child)
    player = Player(child)
    child.given(0, slots[0])[0, 0] = 200.0
    player.turn("kernel", slots, "getting warm")
    player.settle()
    child.given(0, slots[0])[0, 0] = 0.0
    player.turn("kernel", slots, "starting threads alone")
    child.given(0, slots[0])[0, 0] = 200.0
    with pytest.raises(Crash, match="started a process while it was timed"):
        player.turn("kernel", slots, "forking")


SERIAL = """
import os, threading, time, torch
torch.set_num_threads(1)
BUSY, WANTED = torch.ones(300, 300), threading.Event()
def wait_for_a_core():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while WANTED.wait():
        BUSY @ BUSY
for _ in range(4):
    threading.Thread(target=wait_for_a_core, daemon=True).start()
def kernel(x, weight, out):
    WANTED.set()
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        BUSY @ BUSY
    WANTED.clear()
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="nobody waits for ever here")
@pytest.mark.skipif(kernels.cores() < 2, reason="needs two cores")
def test_threads_that_only_wait_for_a_core_make_nothing_faster(code: Path):
    task = TASK | {"options": {"kernel": "rmsnorm", "threads": 2}}
    with Child("kernel", Crash, [code], task) as child:
        child.started(60)
        load(child, code, SERIAL)
        slots = arrange(child, 2)
        child.tree.find()
        child.tree.pin([min(os.sched_getaffinity(0))])
        assert Player(child).turn("kernel", slots, "waiting") > 0.2  # CPU seconds of one thread


def test_where_memory_runs_out_the_candidate_is_ended_before_torch(child: Child):
    adjusted = Path("/proc/self/oom_score_adj")
    if not adjusted.exists() or sandbox.unavailable():
        pytest.skip("nobody here is ended before others")

    def scores() -> set[int]:
        child.tree.find()
        names = [Path(f"/proc/{pid}/oom_score_adj") for pid in child.processes()]
        return {int(name.read_text()) for name in names}

    assert 1000 in scores()
    child.spare()
    assert scores() == {int(adjusted.read_text())}


def test_torchs_failure_beside_a_candidate_that_was_ended_is_the_candidates(
    child: Child, monkeypatch: pytest.MonkeyPatch
):
    def failing(*_: object) -> None:
        raise ScorerError("torch's process was killed")

    monkeypatch.setattr(timing.Timing, "shape", failing)
    time_it = timing.Timing(child, child, [], RMSNORM, draws.Draw(), "cpu")
    with pytest.raises(ScorerError, match="torch's process was killed"):
        time_it.all()
    child.memory = 1e6
    with pytest.raises(Crash, match=r"out of memory: the kernel's process used 0\.\d GB while"):
        time_it.all()
    sandbox.kill(child.process)
    with pytest.raises(Crash, match="killed by signal 9; out of memory"):
        time_it.all()


WRONG = """
def builtins(torch):
    def half(x, weight, out):
        out.copy_(torch.nn.functional.rms_norm(x.bfloat16(), x.shape[-1:], weight.bfloat16()))
    return [half]
"""


def test_torchs_own_failure_is_no_crash_of_the_candidates(code: Path):
    own = Path(RMSNORM.__file__)
    yardsticks = Path(limits.__file__)
    with Child("reference", ScorerError, [own, yardsticks, code], TASK) as rival:
        assert scorer.rival_ways(rival, own, yardsticks, 60) == ["rms_norm", "in_steps"]
        (code / "wrong.py").write_text(WRONG)
        wrong = rival.load(code / "wrong.py", "builtins", 10, builtins=True)
        timing_it = timing.Timing(rival, rival, wrong, RMSNORM, draws.Draw(), "cpu")
        with pytest.raises(
            ScorerError, match=r"torch's own half is wrong here, shape \(64, 256\): "
        ):
            timing_it.shape(SHAPE)
        (code / "broken.py").write_text("1 / 0")
        with pytest.raises(ScorerError, match="ZeroDivisionError"):
            rival.load(code / "broken.py", "builtins", 10, builtins=True)


def timed(speedup: float, seconds: float, rate: float, error: float = 0.01) -> Timed:
    return Timed(SHAPE, 8, "in_steps", speedup, error, {"kernel": seconds}, rate)


def test_the_value_is_the_geometric_mean_and_the_error_its_own():
    work = RMSNORM.moved(SHAPE)
    value = scorer._value(RMSNORM, [timed(2.0, 1e-3, 4e3 * work), timed(8.0, 1e-3, 2e3 * work)])
    assert value["value"] == pytest.approx(4.0)
    relative = math.sqrt((0.01 / 2) ** 2 + (0.01 / 8) ** 2) / 2
    assert value["noise"] == pytest.approx(4.0 * relative)
    assert [shape["limit"] for shape in value["shapes"]] == [0.25, 0.5]
    assert "quarantine" not in value


def test_faster_than_the_machine_is_for_a_person_to_look_at():
    work = RMSNORM.moved(SHAPE)
    value = scorer._value(RMSNORM, [timed(2.0, 1e-3, 1e3 * work), timed(9.0, 1e-3, 5e2 * work)])
    assert "memory allows: 2.00 of the measured limit at shape (64, 256)" in value["quarantine"]


def test_of_arithmetic_the_best_rate_of_all_shapes_is_the_limit():
    assert limits.shares("arithmetic", [10, 10], [1.0, 2.0], [10.0, 5.0]) == [1.0, 0.5]
    assert limits.shares("copy", [10, 10], [1.0, 2.0], [10.0, 5.0]) == [1.0, 1.0]


def test_the_median_and_its_error():
    assert timing._median([1.0, 1.0, 1.0]) == (1.0, 0.0)
    middle, error = timing._median([0.9, 1.0, 1.1, 7.0, 1.0])
    assert middle == 1.0
    assert error == pytest.approx(1.2533 * 1.4826 * 0.1 / math.sqrt(5))


INLINE = '''
from torch.utils.cpp_extension import load_inline

SOURCE = """
#include <torch/extension.h>
void rms(torch::Tensor x, torch::Tensor w, torch::Tensor out) {
  const auto n = x.size(0), d = x.size(1);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "rms", [&] {
    const scalar_t *from = x.data_ptr<scalar_t>(), *weight = w.data_ptr<scalar_t>();
    scalar_t *to = out.data_ptr<scalar_t>();
    for (int64_t i = 0; i < n; i++, from += d, to += d) {
      double sum = 0;
      for (int64_t j = 0; j < d; j++) sum += double(from[j]) * from[j];
      const scalar_t scale = 1 / std::sqrt(sum / d + 1e-6);
      for (int64_t j = 0; j < d; j++) to[j] = from[j] * scale * weight[j];
    }
  });
}
"""
module = load_inline("rms", SOURCE, functions=["rms"], extra_cflags=["-O3", "-march=native"])


def kernel(x, weight, out):
    module.rms(x, weight, out)
'''


@pytest.mark.acceptance
def test_cpp_through_load_inline_is_compiled_in_the_sandbox(code: Path):
    (code / "kernel.py").write_text(INLINE)
    result: dict[str, Any] = scorer.score(code, TASK | {"setup_seconds": 300})
    assert result["value"] > 0
    assert result["import_seconds"] > 5  # it was compiled here, for nobody else
