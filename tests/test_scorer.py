"""What a scorer of one's own is made of: a candidate that is asked, and what comes of the answer.

Hostile candidates end as a crash or with their honest score, in real processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from autoresearch_kit import sandbox, scorer
from autoresearch_kit.scorer import Crash, ask, take
from tests.untrusted import needs_sandbox, wait_for

pytestmark = pytest.mark.filterwarnings("ignore:code under experiment runs without a sandbox")
ROOT = Path(__file__).parents[1]
HIDDEN = "the hidden text 8b1d6f"


class Bench:
    """The folders of a scoring, and what they hold."""

    def __init__(self, path: Path) -> None:
        self.code, self.run, self.data = path / "code", path / "run", path / "data"
        for folder in (self.code, self.run, self.data):
            folder.mkdir()
        (self.data / "val.txt").write_text(HIDDEN)
        self.folders = {
            "CODE_DIR": str(self.code),
            "RUN_DIR": str(self.run),
            "DATA_DIR": str(self.data),
        }

    def candidate(self, text: str) -> None:
        (self.code / "solve.py").write_text(text)

    def says(self, text: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the text of a scorer as the kit would."""
        script = self.code.parent / "score.py"
        script.write_text(f"from autoresearch_kit.scorer import *\nimport pathlib\n{text}")
        return subprocess.run(
            [sys.executable, script],
            env=os.environ | {"PYTHONPATH": str(ROOT)} | self.folders | env,
            capture_output=True,
            text=True,
            check=False,
        )

    def result(self, text: str, **env: str) -> dict[str, Any]:
        done = self.says(text, **env)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, dict)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path)
    for name, folder in made.folders.items():
        monkeypatch.setenv(name, folder)
    return made


BACKWARDS = "import sys\nprint(sys.stdin.read()[::-1], end='')\n"
FAR_TOO_MUCH = "import sys\nwhile True: sys.{}.write('x' * 65536)\n"
OWN_ERROR = f"class E{HIDDEN[-6:]}Error(Exception): pass\nraise E{HIDDEN[-6:]}Error"
DAEMON = """
import os, sys, time
text = sys.stdin.read()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("/dev/shm/mark", "w").close()
        time.sleep(600)
    os._exit(0)
os.wait()
print(text[::-1], end="", flush=True)
"""


def judged(**limits: Any) -> str:
    """Return what a scorer with a hidden text makes of solve.py, a value or the reason."""
    given = {"seconds": 30.0, "most_bytes": 1 << 20, "memory": 300 << 20, **limits}
    solve = f"{os.environ['CODE_DIR']}/solve.py"  # a name that no other test's processes have
    if ask(["python", solve], input=HIDDEN.encode(), **given) != HIDDEN[::-1].encode():
        raise Crash("it isn't the text backwards")
    return "honest"


@pytest.mark.parametrize(
    ("candidate", "ends"),
    [
        (BACKWARDS, "honest"),
        pytest.param(DAEMON, "honest", marks=needs_sandbox),
        ("import sys\nsys.stdin.close()\n" + "print('')", "it isn't the text backwards"),
        ("pass", "it isn't the text backwards"),
        (FAR_TOO_MUCH.format("stdout"), "solve.py printed more than 1,048,576 bytes to stdout"),
        (FAR_TOO_MUCH.format("stderr"), "solve.py printed more than 1,048,576 bytes to stderr"),
        ("while True: pass", "solve.py took more than 0.5 s"),
        ("import os, time\nos.close(1)\nos.close(2)\ntime.sleep(60)", "took more than 0.5 s"),
        ("raise SystemExit(3)", "solve.py ended with status 3"),
        ("import os\nos.kill(os.getpid(), 11)", "solve.py was ended by SIGSEGV"),
        ("x = bytearray(1 << 30)", "status 1: MemoryError at line 1 of solve.py"),
        ("def (", "solve.py ended with status 1: SyntaxError at line 1 of solve.py"),
        (f"raise ValueError({HIDDEN!r})", "status 1: ValueError at line 1 of solve.py"),
        (OWN_ERROR, "at line 2 of solve.py"),
        ("import os\nos.kill(os.getppid(), 9)\nos.kill(0, 9)", "solve.py was ended by SIGKILL"),
    ],
    ids=lambda x: re.sub(r"\W+", " ", x)[:40],
)  # fmt: skip
def test_a_candidate_ends_as_a_crash_or_honestly(bench: Bench, candidate: str, ends: str) -> None:
    bench.candidate(candidate)
    try:
        said = judged(**({"seconds": 0.5} if "more than 0.5 s" in ends else {}))
    except Crash as crash:
        said = str(crash)
        assert HIDDEN[-6:] not in said
    assert said.endswith(ends)
    running = [p.info["cmdline"] or () for p in psutil.process_iter(["cmdline"])]
    assert not [words for words in running if any(str(bench.code) in word for word in words)]


def test_a_candidate_whose_processes_share_the_work_shares_the_memory(bench: Bench) -> None:
    bench.candidate(
        "import os, time\n"
        "for _ in range(6):\n"
        "    if os.fork() == 0: break\n"
        "x = os.urandom(1 << 20) * 100\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(Crash, match=r"solve\.py used more than 0\.315 GB of memory"):
        judged(seconds=30)


@needs_sandbox
@pytest.mark.parametrize("what", ["data", "network", "files", "environment"])
def test_what_is_hidden_stays_hidden(
    bench: Bench, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", HIDDEN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        tries = {
            "data": f"open({str(bench.data / 'val.txt')!r}).read()",
            "network": f"__import__('socket').create_connection({server.getsockname()!r})",
            "files": "open('written.txt', 'w')",
            "environment": "__import__('os').environ['OPENAI_API_KEY']",
        }
        bench.candidate(tries[what])
        with pytest.raises(Crash, match=r"status 1(: \w+Error)? at line 1 of solve\.py$"):
            judged()
        with pytest.raises(TimeoutError):
            server.accept()
    assert [path.name for path in bench.code.iterdir()] == ["solve.py"]


def test_a_crash_is_quoted_only_where_that_is_asked_for(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    bench.candidate("raise ValueError('\\x1b[31mtoo\\n' + 'long' * 1000)")
    with pytest.raises(Crash, match=r"status 1: ValueError at line 1 of solve\.py$"):
        ask(["python", "solve.py"])
    assert "| ValueError: too" in capfd.readouterr().err  # for a person, in score.txt
    with pytest.raises(Crash, match="status 1: ValueError: too") as caught:
        ask(["python", "solve.py"], quote=True)
    bench.candidate("raise ValueError('x' * 100_000)")
    with pytest.raises(Crash) as caught:
        ask(["python", "solve.py"], quote=True)
    assert len(str(caught.value)) < 350
    assert "\x1b" not in str(caught.value)


def test_places_that_a_candidate_makes_up_are_not_told(bench: Bench) -> None:
    said = 'File "/etc/passwd", line 7\nFile "solve.py", line 99\nFile "other.py", line 1\nKeyError'
    bench.candidate(f"import sys\nsys.stderr.write({said!r})\nsys.exit(1)")
    with pytest.raises(Crash) as caught:
        ask(["python", "solve.py"])
    assert str(caught.value) == "solve.py ended with status 1: KeyError"


@needs_sandbox
def test_a_candidate_that_leaves_links_leads_nobody_to_the_data(bench: Bench) -> None:
    bench.candidate(
        "import os, sys\n"
        f"os.symlink({str(bench.data / 'val.txt')!r}, sys.argv[1] + '/model')\n"
        f"os.symlink({str(bench.data)!r}, sys.argv[1] + '/folder')\n"
        "os.mkfifo(sys.argv[1] + '/pipe')\n"
        "open(sys.argv[1] + '/plain', 'w').write('mine')\n"
    )
    ask(["python", "solve.py", str(bench.run)], write=[bench.run])
    assert [path.name for path in bench.run.iterdir()] == ["plain"]
    assert take(bench.run / "plain") == b"mine"
    for name in ("model", "folder", "pipe"):
        with pytest.raises(Crash, match=f"left no regular file {name}"):
            take(bench.run / name)
        with pytest.raises(Crash, match=f"left no {name}"):
            ask(["python", "solve.py"], read=[bench.run / name])


def test_a_link_that_training_left_is_followed_by_nobody(bench: Bench) -> None:
    (bench.run / "model").symlink_to(bench.data / "val.txt")
    (bench.run / "deep").symlink_to(bench.data)
    bench.candidate("import sys\nprint(open(sys.argv[1]).read())")
    for path in (bench.run / "model", bench.run / "deep" / "val.txt"):
        with pytest.raises(Crash, match="it left no"):
            ask(["python", "solve.py", str(path)], read=[path])
    with pytest.raises(Crash, match="left no regular file model"):
        take(bench.run / "model")


def test_what_one_program_should_leave_for_the_next_and_does_not_is_a_crash(
    bench: Bench, tmp_path: Path
) -> None:
    (out := tmp_path / "out").mkdir()
    bench.candidate("import sys\nif sys.argv[1:]: open(sys.argv[1] + '/built', 'w')")
    with pytest.raises(FileNotFoundError):  # nobody could have made it
        ask(["python", "solve.py"], read=[out / "built"])
    ask(["python", "solve.py"], write=[out])
    with pytest.raises(Crash, match=r"^it left no built$"):
        ask(["python", "solve.py"], read=[out / "built"])
    ask(["python", "solve.py", str(out)], write=[out])
    assert ask(["python", "solve.py"], read=[out / "built"]) == b""


def test_no_question_goes_on_beyond_the_time_of_the_whole_scoring(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.candidate("import time\ntime.sleep(300)")
    monkeypatch.setenv("SCORE_UNTIL", str(time.time() + 0.5))
    with pytest.raises(Crash, match=r"solve.py took more than 0\.\d+ s"):
        ask(["python", "solve.py"])


def test_a_file_that_is_taken_has_a_limit(bench: Bench) -> None:
    (bench.run / "model").write_bytes(b"12345")
    assert take(bench.run / "model", most_bytes=5) == b"12345"
    with pytest.raises(Crash, match="model that it left has more than 4 bytes"):
        take(bench.run / "model", most_bytes=4)


def test_large_input_and_output_pass_at_the_same_time(bench: Bench) -> None:
    bench.candidate("import sys\nfor line in sys.stdin.buffer: sys.stdout.buffer.write(line)")
    text = (b"x" * 1000 + b"\n") * 5000
    assert ask(["python", "solve.py"], input=text) == text
    numbers = np.arange(500_000.0).reshape(500, 1000)  # more than a pipe holds, eight bytes each
    assert ask(["python", "solve.py"], input=numbers.data) == numbers.tobytes()


def test_a_candidate_gets_its_seed_and_its_variables_and_a_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEED", "7")
    bench.candidate("import os\nprint(os.environ['SEED'], os.environ['MORE'], os.listdir())")
    assert ask(["python", "solve.py"], env={"MORE": "x"}) == b"7 x ['solve.py']\n"
    assert ask(["cat", "solve.py"]) == (bench.code / "solve.py").read_bytes()


def test_mistakes_of_the_scorer_are_no_crash(bench: Bench) -> None:
    with pytest.raises(TypeError, match=r"expected a list, such as \['python', 'main\.py'\]"):
        ask("python solve.py")
    with pytest.raises(TypeError, match="input is str; expected bytes"):
        ask(["python", "solve.py"], input="text")  # type: ignore[arg-type]
    for wrong in ({"seconds": -1}, {"seconds": float("nan")}, {"most_bytes": 0}, {"memory": 0}):
        with pytest.raises(ValueError, match=r"\w+ = \S+; expected more than 0"):
            ask(["python", "solve.py"], **wrong)  # type: ignore[arg-type]
    for one in ("data", bench.data):
        with pytest.raises(TypeError, match=r"read = .*data.*; expected a list, such as \["):
            ask(["python", "solve.py"], read=one)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="no program 'no-such-program'"):
        ask(["no-such-program"])
    with pytest.raises(FileNotFoundError):
        ask(["python", "solve.py"], read=[bench.data / "missing"])


@pytest.mark.parametrize(
    ("returns", "value"),
    [
        ("3", 3.0),
        ("{'value': 0.5, 'more': [1]}", 0.5),
        ("__import__('numpy').float32(1.5)", 1.5),
        ("__import__('fractions').Fraction(1, 4)", 0.25),
    ],
)
def test_a_number_is_a_score(
    returns: str, value: float, capsys: pytest.CaptureFixture[str]
) -> None:
    scorer.main(lambda: eval(returns))
    said = json.loads(capsys.readouterr().out)
    assert said["value"] == value
    assert said.get("more") == ([1] if "more" in returns else None)


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), Fraction(10) ** 400])
def test_a_number_that_is_not_finite_is_a_crash(
    value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    scorer.main(lambda: value)
    assert re.fullmatch(
        r"its score is (nan|inf), expected a finite number",
        json.loads(capsys.readouterr().out)["crash"],
    )


@pytest.mark.parametrize(
    ("returns", "says"),
    [
        (None, "TypeError: score returned None; expected a number, or a dict with 'value'"),
        (True, "TypeError: score returned True; expected a number"),
        ("0.5", "TypeError: score returned '0.5'; expected a number"),
        ({"crash": "x"}, "TypeError: score returned a dict without 'value': crash"),
        ({"value": 1, "more": {1, 2}}, "TypeError: Object of type set is not JSON serializable"),
    ],
)
def test_what_is_no_number_is_the_scorers_own_fault(
    returns: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        scorer.main(lambda: returns)
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert says in said.err
    assert said.out == ""


def test_an_error_is_one_line_that_says_what_and_where(bench: Bench) -> None:
    done = bench.says(
        "def score():\n    return helper()\n\ndef helper():\n    1 / 0\n\nmain(score)"
    )
    assert done.returncode == 1
    assert done.stderr == "score.py, line 7: ZeroDivisionError: division by zero\n"
    assert done.stdout == ""


def test_a_score_gets_what_it_asks_for_by_name(bench: Bench) -> None:
    said = bench.result(
        "def score(seed, split, data, code, run, other=2):\n"
        "    print('chatter', end='')\n"
        "    return {'value': seed + other, 'seen': [split, str(data), str(code), str(run)]}\n"
        "main(score)",
        SEED="3",
        SPLIT="test",
    )
    assert said["value"] == 5
    assert said["seen"] == ["test", str(bench.data), str(bench.code), str(bench.run)]
    assert said["split"] == "test"  # so that an audit knows which data it was


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        ("answers", "it asks for 'answers'; there are code, run, data, out, split, seed"),
        ("data", 'it asks for data, but DATA_DIR is not set; data = ["data"] in task.toml sets'),
    ],
)
def test_a_score_that_asks_for_what_is_not_there_is_told(
    bench: Bench, asks: str, says: str
) -> None:
    done = bench.says(f"def score({asks}): return 1\nmain(score)", DATA_DIR="")
    assert done.returncode == 1
    assert says in done.stderr


def test_a_crash_is_the_verdict_and_its_reason_is_bounded(bench: Bench) -> None:
    said = bench.result("def score(): raise Crash('\\x1b[1mwrong\\n' * 1000)\nmain(score)")
    assert said["crash"].startswith("wrong wrong")
    assert len(said["crash"]) <= 300
    assert "value" not in said


def test_the_record_says_whether_the_candidate_was_in_the_sandbox(bench: Bench) -> None:
    boxed = sandbox.unavailable() is None
    bench.candidate(BACKWARDS)
    asks = "def score():\n    ask(['python', 'solve.py'])\n    return 1\nmain(score)"
    assert bench.result(asks)["sandboxed"] is boxed
    plain = "def score(): return 1\nmain(score)"
    assert bench.result(plain)["sandboxed"] is True  # it measures what a training left
    assert bench.result(plain, RUN_DIR=str(bench.run / "none"))["sandboxed"] is False
    own = "def score(): return {'value': 1, 'sandboxed': True}\nmain(score)"
    assert bench.result(own, RUN_DIR=str(bench.run / "none"))["sandboxed"] is True


def test_whoever_interrupts_a_scorer_ends_the_candidate(bench: Bench, tmp_path: Path) -> None:
    bench.candidate("import time\ntime.sleep(600)  # interrupted")
    script = tmp_path / "score.py"
    script.write_text(
        "from autoresearch_kit.scorer import ask, main\n"
        "main(lambda: ask(['python', 'solve.py', 'interrupted'], seconds=600))\n"
    )

    def candidates() -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.cmdline()[-2:] == ["solve.py", "interrupted"]:
                    yield process

    with subprocess.Popen(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as p:
        wait_for(lambda: any(candidates()), "the candidate")
        time.sleep(0.1)
        p.kill()
    wait_for(lambda: not any(candidates()), "its end")
