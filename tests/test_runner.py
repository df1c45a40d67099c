"""Runs as real processes: small fake trainers that speak the clock protocol, and worse ones."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from autoresearch_kit import git, runner, sandbox, task
from autoresearch_kit.runner import Run

PACKAGE = Path(runner.__file__).parents[1]

PROTOCOL = """
import json, os, sys, time
from pathlib import Path
replies, requests = (os.fdopen(int(f), m) for f, m in zip(os.environ["CLOCK_FDS"].split(","), "rw"))
def ask(**message):
    print(json.dumps(message), file=requests, flush=True)
    return json.loads(replies.readline())["progress"]
def burn(seconds, clock=time.thread_time):
    end = clock() + seconds
    while clock() < end:
        pass
def save():
    Path(os.environ["RUN_DIR"], "weights.safetensors").write_bytes(b"weights")
"""

HONEST = """
ask(start=True, parameters=1000)
step = progress = 0
while progress < 1:
    burn(0.02)
    step += 1
    progress = ask(tokens=64, loss=5 / step)
save()
"""

SLOW = "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"


class Lab:
    """A host with one mutable file, and runs of it."""

    def __init__(self, folder: Path) -> None:
        self.host, self.runs = folder / "host", folder / "runs"
        self.host.mkdir()
        git.init(self.host)
        for key, value in {"user.name": "A Tester", "user.email": "tester@example.org"}.items():
            subprocess.run(["git", "-C", self.host, "config", key, value], check=True)

    def commit(self, files: dict[str, str]) -> str:
        for name, content in files.items():
            path = self.host / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(content))
        subprocess.run(["git", "-C", self.host, "add", "-A"], check=True)
        subprocess.run(
            ["git", "-C", self.host, "commit", "-qm", "state", "--allow-empty"], check=True
        )
        return git.head(self.host)

    def run(
        self,
        script: str,
        *,
        clock: str = "cpu",
        baseline: str = "",
        spec: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Run:
        """Return a run of `script`, not started yet; without `baseline` it is its own."""
        base = {
            "name": "fake",
            "edit": ["train.py"],
            "train": ["python", "train.py"],
            "score": ["python", "score.py"] if clock else [],
            "metric": "val_loss",
            "budget_seconds": 0.3,
            "setup_seconds": 20,
            "timeout_seconds": 60,
            "clock": clock,
        }
        made = task.make(base | fields)
        texts = [(PROTOCOL if clock else "") + text for text in (baseline or script, script)]
        first, commit = (self.commit({"train.py": text}) for text in texts)
        number = len(list(self.runs.glob("*"))) if self.runs.exists() else 0
        folder = self.runs / f"{number:04d}"
        folder.mkdir(parents=True)
        document = {
            "tag": "nov23",
            "experiment": number,
            "commit": commit,
            "baseline_commit": first,
            "repo": str(git.common_dir(self.host)),
            "host": str(self.host),
            "seed": 7,
            "replicate": 0,
            "device": "cpu",
            "task": made.as_dict(),
            "baseline_tokens": None,
            "ratio": None,
            "seed_injected": True,
            "kind": "candidate",
        }
        (folder / "run.json").write_text(json.dumps(document | (spec or {})))
        return Run(folder, number, "nov23", 7, 0)

    def ended(self, script: str, **kwargs: Any) -> dict[str, Any]:
        """Return the final state of a run of `script`."""
        run = self.run(script, **kwargs)
        runner.launch(run.dir, "train")
        state = runner.wait(run.dir, "train", progress=False)
        assert not (run.dir / "supervisor.txt").read_text()
        return state | {"run": run}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def until(condition: Any, seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def of(run: Run) -> list[psutil.Process]:
    """Processes of a run: its supervisor and all that were given its RUN_DIR."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = process.environ().get("RUN_DIR", "").startswith(str(run.dir))
            if (inside or str(run.dir) in process.cmdline()) and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            pass
    return found


def started(lab: Lab, script: str = SLOW, **kwargs: Any) -> Run:
    run = lab.run(script, **({"clock": ""} | kwargs))
    runner.launch(run.dir, "train")
    until(lambda: "begun" in run.log)
    return run


def test_a_run_trains_for_its_budget_and_leaves_weights(lab: Lab):
    state = lab.ended(HONEST)
    assert state["phase"] == "done", state["reason"]
    assert (state["run"].dir / "out" / "weights.safetensors").read_bytes() == b"weights"
    assert state["exit_code"] == 0
    assert state["parameters"] == 1000
    assert state["tokens"] % 64 == 0
    assert 64 <= state["tokens"] <= 64 * 16
    assert 0.3 <= state["cpu_seconds"] < 3
    assert state["curve"][-1][0] == 1.0
    assert state["sandboxed"] is (sandbox.unavailable() is None)


def test_a_script_without_clock_prints_its_result(lab: Lab):
    state = lab.ended("print('val_loss: 3')\nprint('val_loss: 0.25 (best)')\n", clock="")
    assert (state["phase"], state["printed"]) == ("done", 0.25)
    state = lab.ended("print('The last val_loss: 2., acc: 1. Before, val_loss=5.0.')", clock="")
    assert state["printed"] == 5.0


@pytest.mark.parametrize(
    "script",
    [
        "print('loss: 1')",
        "print('best_val_loss: 1')",
        "print('val_loss:0.x val_loss: 0..x val_loss: 1.2.3 val_loss: 0,5 val_loss: 1e')",
        "",
    ],
)
def test_a_script_that_prints_no_result_crashes(lab: Lab, script: str):
    state = lab.ended(script, clock="")
    assert state["phase"] == "crash"
    assert "expected 'val_loss: 1.23'" in state["reason"]


def test_a_printed_nan_is_no_result(lab: Lab):
    state = lab.ended("print('val_loss: nan')", clock="")
    assert state["phase"] == "crash"
    assert "the last one is nan" in state["reason"]


def test_a_traceback_becomes_one_clean_line(lab: Lab):
    state = lab.ended("raise ValueError('\\x1b[31mNaN loss\\x1b[0m ' + 'x' * 1000)")
    assert state["phase"] == "crash"
    assert state["reason"].startswith("ValueError: NaN loss xxx")
    assert len(state["reason"]) <= 300
    assert state["exit_code"] == 1


def test_a_run_that_ends_before_its_budget_crashes(lab: Lab):
    state = lab.ended("ask(start=True, parameters=1)\nask(tokens=1, loss=1.0)\nsave()")
    assert state["phase"] == "crash"
    assert "before the budget was used" in state["reason"]


def test_late_weights_are_a_timeout(lab: Lab):
    state = lab.ended(HONEST.replace("save()", "burn(30)\nsave()"))
    assert state["phase"] == "crash"
    assert state["reason"].startswith("timeout: the weights came late")


def test_a_hang_between_steps_is_a_timeout(lab: Lab):
    state = lab.ended("ask(start=True, parameters=1)\ntime.sleep(100)")
    assert state["phase"] == "crash"
    assert "no training step ended" in state["reason"]


def test_set_up_is_capped(lab: Lab):
    state = lab.ended("burn(100)", setup_seconds=0.5)
    assert state["phase"] == "crash"
    assert "set-up took more" in state["reason"]


def test_a_whole_run_is_capped(lab: Lab):
    state = lab.ended("import time\ntime.sleep(100)", clock="", timeout_seconds=0.5)
    assert state["phase"] == "crash"
    assert state["reason"].startswith("timeout: it ran for more")


@pytest.mark.parametrize(
    "line",
    [
        "print('no json', file=requests, flush=True)",
        "ask(tokens=1)",
        "ask(start=1, parameters='x')",
    ],
)
def test_what_is_no_clock_message_is_a_crash(lab: Lab, line: str):
    state = lab.ended(line + "\ntime.sleep(100)")
    assert state["phase"] == "crash"
    assert state["reason"].startswith("clock protocol: ")


def test_patched_time_functions_do_not_lengthen_the_budget(lab: Lab):
    patch = "zero = lambda *a: 0.0\nreal = time.thread_time\n"
    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        patch += f"time.{name} = zero\n"
    state = lab.ended(patch + HONEST.replace("burn(0.02)", "burn(0.02, real)"))
    assert state["phase"] == "done", state["reason"]
    assert state["cpu_seconds"] < 3


def test_work_in_helper_processes_counts(lab: Lab):
    """A helper burns 0.12 CPU seconds for each step in which the trainer itself only waits."""
    burner = "import time\nwhile time.process_time() < 0.12: pass"
    script = HONEST.replace("burn(0.02)", f"subprocess.run([sys.executable, '-c', {burner!r}])")
    state = lab.ended("import subprocess\n" + script)
    assert state["phase"] == "done", state["reason"]
    assert state["tokens"] <= 3 * 64


WORK = """
ask(start=True, parameters=1000)
step = progress = 0
while progress < 1:
    for _ in range(LOOPS):
        pass
    step += 1
    progress = ask(tokens=100, loss=5 / step)
save()
"""
LIGHT, HEAVY = (WORK.replace("LOOPS", str(loops)) for loops in (400_000, 800_000))
LATER = WORK.replace("LOOPS", "400_000 if progress < 0.4 else 2_000_000")


def test_the_baseline_measures_what_the_budget_buys(lab: Lab):
    state = lab.ended(LIGHT, clock="relative", budget_seconds=3, spec={"kind": "baseline"})
    assert state["phase"] == "done", state["reason"]
    assert state["ratio"] == 1.0
    assert state["tokens"] == state["baseline_tokens"]
    assert [path.name for path in lab.runs.iterdir()] == ["0000"]
    again = lab.ended(
        LIGHT,
        clock="relative",
        budget_seconds=3,
        spec={"kind": "baseline", "baseline_tokens": state["tokens"]},
    )
    assert again["tokens"] == state["tokens"]
    assert [p for p, _ in again["curve"]] == [p for p, _ in state["curve"]]


def test_a_candidate_pays_for_its_cost_relative_to_the_baseline(lab: Lab):
    """Slow, because costs are compared by training both for a while."""
    state = lab.ended(
        HEAVY,
        baseline=LIGHT,
        clock="relative",
        budget_seconds=4,
        spec={"baseline_tokens": 20_000},
    )
    assert state["phase"] == "done", state["reason"]
    assert 1.6 < state["ratio"] < 2.5
    assert state["tokens"] == pytest.approx(20_000 / state["ratio"], abs=101)
    assert len(state["calibration"]["turns"]) >= 3  # all that a busy machine leaves time for
    until(lambda: not of(state["run"]))


def test_a_candidate_that_is_cheap_only_while_measured_is_a_timeout(lab: Lab):
    state = lab.ended(
        LATER,
        baseline=LIGHT,
        clock="relative",
        budget_seconds=4,
        spec={"baseline_tokens": 20_000},
    )
    assert state["phase"] == "crash"
    assert state["reason"].startswith("timeout: it used ")
    until(lambda: not of(state["run"]))


def test_a_baseline_that_no_longer_runs_is_not_the_candidates_fault(lab: Lab):
    state = lab.ended(
        LIGHT,
        baseline="raise RuntimeError('no such file')",
        clock="relative",
        spec={"baseline_tokens": 20_000},
    )
    assert state["phase"] == "lost"
    assert "RuntimeError: no such file" in state["reason"]


def test_endless_output_stays_small(lab: Lab):
    flood = "for _ in range(220):\n    print('spam' * 262_144)\nprint('val_loss: 0.5')\n"
    state = lab.ended(flood, clock="")
    log = state["run"].dir / "log.txt"
    assert (state["phase"], state["printed"]) == ("done", 0.5)
    assert state["log_bytes"] > 220_000_000
    assert log.stat().st_size < 300_000
    assert "MB left out ..." in log.read_text()
    assert log.read_text().endswith("val_loss: 0.5\n")


def test_a_memory_hog_crashes(lab: Lab):
    hog = "x = []\nwhile True:\n    x.append(bytearray(10_000_000))\n    time.sleep(0.01)"
    state = lab.ended(hog, memory_gb=0.2)
    assert state["phase"] == "crash"
    assert state["reason"].startswith("out of memory: ")
    assert state["peak_memory_mb"] > 200


def test_a_fork_bomb_crashes(lab: Lab):
    bomb = "import time\nfor _ in range(600):\n    os.fork() or time.sleep(100)\ntime.sleep(100)"
    state = lab.ended("import os\n" + bomb, clock="")
    assert state["phase"] == "crash"
    assert "processes" in state["reason"]
    until(lambda: not of(state["run"]))


def test_a_daemon_is_gone_when_its_run_is(lab: Lab):
    daemon = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
    time.sleep(0.2)
    print("val_loss: 1")
    """
    state = lab.ended(textwrap.dedent(daemon), clock="")
    assert state["phase"] == "done", state["reason"]
    until(lambda: not of(state["run"]))


def test_an_editable_install_that_hides_the_experiment_crashes(lab: Lab):
    lab.commit({"pkg/__init__.py": "", "pkg/model.py": "WIDTH = 1\n"})
    script = (
        f"import sys\nsys.path.insert(0, {str(lab.host)!r})\nimport pkg.model\nprint('val_loss: 1')"
    )
    fields = {"edit": ["pkg/model.py", "train.py"], "data": ["pkg"]}
    state = lab.ended(script, clock="", **fields)
    assert state["phase"] == "crash"
    assert f"it imported {lab.host}/pkg/model.py instead" in state["reason"]


def test_a_module_that_only_the_checkout_has_is_named(lab: Lab):
    (lab.host / ".gitignore").write_text("local/\n")
    (lab.host / "local" / "helpers").mkdir(parents=True)
    state = lab.ended("import helpers", clock="")
    assert state["phase"] == "crash"
    assert state["reason"].startswith("ModuleNotFoundError: No module named 'helpers' (")
    assert str(lab.host / "local" / "helpers") in state["reason"]


def test_training_sees_only_the_training_part_of_the_data(lab: Lab):
    (lab.host / ".gitignore").write_text("data/\n")
    for part in ("train", "val"):
        (lab.host / "data" / part).mkdir(parents=True)
        (lab.host / "data" / part / "text").write_text(part)
    script = """
    import os
    from pathlib import Path
    assert Path("data/train/text").read_text() == "train"
    assert Path(os.environ["DATA_DIR"], "text").read_text() == "train"
    assert not Path("data/val").exists()
    print("hidden:", not Path(os.environ["HOST_DIR"], "data/val").exists())
    print("val_loss: 1")
    """
    state = lab.ended(textwrap.dedent(script), clock="", data=["data"])
    assert state["phase"] == "done", state["reason"]
    assert f"hidden: {state['sandboxed']}" in state["run"].log


def test_a_killed_trainer_is_lost_and_says_nothing_about_the_experiment(lab: Lab):
    run = started(lab)
    python = next(p for p in of(run) if p.cmdline()[-1:] == ["train.py"] and not p.children())
    python.kill()
    state = runner.wait(run.dir, "train", progress=False)
    assert (state["phase"], state["signal"]) == ("lost", 9)
    until(lambda: not of(run))


def test_a_killed_supervisor_leaves_a_lost_run_and_no_process(lab: Lab):
    run = started(lab)
    os.kill(run.state["pid"], signal.SIGKILL)
    assert runner.wait(run.dir, "train", progress=False)["phase"] == "lost"
    assert run.status == "lost"
    until(lambda: not of(run))
    runner.launch(run.dir, "train")
    until(lambda: run.status == "training")
    assert run.state["attempt"] == 2
    run.stop()


def test_waiting_for_a_run_that_nobody_started_does_not_hang(lab: Lab):
    run = lab.run(SLOW, clock="")
    assert run.status == "queued"
    assert runner.wait(run.dir, "train", progress=False)["phase"] == "lost"


def test_stop_ends_everything(lab: Lab):
    run = started(lab)
    run.stop()
    assert run.status == "stopped"
    until(lambda: not of(run))
    run.stop()
    assert "stopped on request" in repr(run)


def test_a_run_outlives_the_process_that_launched_it(lab: Lab):
    run = lab.run(HONEST, budget_seconds=1.5)
    code = (
        "import sys, time; from pathlib import Path; from autoresearch_kit import runner\n"
        "runner.launch(Path(sys.argv[1]), 'train'); print('ok', flush=True); time.sleep(100)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, run.dir],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(PACKAGE)},
    ) as kernel:
        assert kernel.stdout
        assert kernel.stdout.readline() == b"ok\n"
        os.killpg(kernel.pid, signal.SIGKILL)
    assert run.status not in runner.FINAL
    assert runner.wait(run.dir, "train", progress=False)["phase"] == "done"


def test_two_launchers_start_one_run(lab: Lab):
    run = lab.run(HONEST)
    threads = [threading.Thread(target=runner.launch, args=(run.dir, "train")) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runner.wait(run.dir, "train", progress=False)["phase"] == "done"
    runner.launch(run.dir, "train")
    state = run.state
    assert (state["attempt"], state["phase"]) == (1, "done")


def test_runs_of_one_device_take_turns(lab: Lab):
    first = started(lab)
    second = lab.run("print('val_loss: 1')", clock="")
    runner.launch(second.dir, "train")
    waiting = until(lambda: second.state.get("queue"))
    assert waiting.startswith("behind host nov23 #0, training")
    first.stop()
    state = runner.wait(second.dir, "train", progress=False)
    assert state["phase"] == "done"
    assert state["queued_seconds"] > 0


def test_a_queued_run_can_be_stopped(lab: Lab):
    first, second = started(lab), lab.run(SLOW, clock="")
    runner.launch(second.dir, "train")
    until(lambda: second.state.get("queue"))
    second.stop()
    assert second.status == "stopped"
    first.stop()


def test_a_full_disk_says_nothing_about_the_experiment(lab: Lab, tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        lab.runs = small
        state = lab.ended(SLOW, clock="")
        assert state["phase"] == "lost"
        assert "make room" in state["reason"]
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def scored(lab: Lab, scorer: str, **kwargs: Any) -> tuple[Run, dict[str, Any]]:
    lab.commit({"score.py": scorer})
    run = lab.run(HONEST, **kwargs)
    runner.launch(run.dir, "train")
    assert runner.wait(run.dir, "train", progress=False)["phase"] == "done"
    runner.launch(run.dir, "score")
    return run, runner.wait(run.dir, "score", progress=False)


def test_the_scorer_gets_weights_and_code_and_gives_a_value(lab: Lab):
    scorer = """
    import json, os
    from pathlib import Path
    import autoresearch_kit
    assert Path(os.environ["CODE_DIR"], "train.py").exists() and Path("train.py").exists()
    assert Path(os.environ["RUN_DIR"], "weights.safetensors").read_bytes() == b"weights"
    Path(os.environ["SCORE_DIR"], "rows.npz").write_bytes(b"rows")
    print("warming up")
    print(json.dumps({"value": 2.5, "rows": "rows.npz"}))
    """
    run, result = scored(lab, scorer)
    assert result["value"] == 2.5
    assert result["scoring_seconds"] > 0
    assert (run.dir / "score" / "rows.npz").read_bytes() == b"rows"
    before = (run.dir / "score.json").stat().st_mtime_ns
    runner.launch(run.dir, "score")
    assert (run.dir / "score.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("scorer", "error"),
    [
        ("raise RuntimeError('no data')", "exit code 1: RuntimeError: no data"),
        ("print('hello')", "printed no result; its last line: 'hello'"),
        ("import os\nos.kill(os.getpid(), 9)", "killed"),
    ],
)
def test_a_failing_scorer_is_an_error_and_no_verdict(lab: Lab, scorer: str, error: str):
    _, result = scored(lab, scorer)
    assert error in result["error"]
    assert "value" not in result


def test_a_killed_scoring_supervisor_is_lost_and_can_be_repeated(lab: Lab):
    lab.commit({"score.py": "import time\nprint('begun', flush=True)\ntime.sleep(300)\n"})
    run = lab.run(HONEST)
    runner.launch(run.dir, "score")
    supervisor = until(lambda: next((p for p in of(run) if "score" in p.cmdline()), None))
    until(lambda: any("score.py" in p.cmdline() for p in of(run)))
    supervisor.kill()
    result = runner.wait(run.dir, "score", progress=False)
    assert result["lost"]
    until(lambda: not of(run))


def test_an_interrupt_only_stops_waiting(lab: Lab):
    run = started(lab)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt, match="the run goes on") as caught:
        runner.wait(run.dir, "train", progress=False)
    assert len(caught.value._render_traceback_()) == 1
    assert run.status == "training"
    run.stop()


def test_a_run_shows_itself_as_text_and_escaped_html(lab: Lab):
    state = lab.ended("raise SystemExit('<script>alert(1)</script>')", clock="")
    assert "<Run 0000 seed 7: crash" in repr(state["run"])
    assert "<script>" not in state["run"]._repr_html_()


def test_waiting_draws_a_bar(lab: Lab, capsys: pytest.CaptureFixture[str]):
    run = lab.run(HONEST, budget_seconds=1)
    runner.launch(run.dir, "train")
    runner.wait(run.dir, "train")
    shown = capsys.readouterr().err
    assert "tokens/s" in shown
    assert re.search(r"done \|█+\| 100%", shown)
