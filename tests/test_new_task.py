"""A repository of one's own becomes a task: what is checked, what is tried, what is written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import autoresearch_kit as ark
from autoresearch_kit import adoption, cli, errors, git, intake, runner, sandbox
from autoresearch_kit import task as tasks
from tests.conftest import PRINTED
from tests.conftest import git as run_git
from tests.shell import in_shell

pytestmark = pytest.mark.filterwarnings("ignore:code under experiment runs without a sandbox")
GUESS = "GUESS = 3.0\nprint(GUESS)\n"
SCORE = """\
from autoresearch_kit.scorer import ask, main

def score(data):
    return abs(float(ask(["python", "guess.py"])) - float((data / "val.txt").read_text()))

main(score)
"""
FIELDS = {"edit": "guess.py", "metric": "error", "score": "python score.py", "data": "data"}
BOXED = sandbox.unavailable() is None


@pytest.fixture
def host(make_host: Callable[..., Path]) -> Path:
    """Return a repository with a program in git, hidden data and a scorer that isn't in it yet."""
    repo = make_host({"guess.py": GUESS, ".gitignore": "data/\n"})
    (repo / "data").mkdir()
    (repo / "data" / "val.txt").write_text("10")
    (repo / "score.py").write_text(SCORE)
    return repo


def example_in(text: str) -> str:
    """Return the scorer that a message shows."""
    _, found, rest = text.partition('    """')
    lines = (found + rest).partition("main(score)")
    return textwrap.dedent("".join(lines[:2])) + "\n"


def test_a_repository_becomes_a_task(host: Path) -> None:
    head, refs = git.head(host), run_git(host, "for-each-ref")
    made = ark.new_task(host, **FIELDS, unit="units")
    assert (host / "task.toml").read_text() == (
        'name = "host"\nedit = ["guess.py"]\nscore = ["python", "score.py"]\n'
        'metric = "error"\nunit = "units"\ndata = ["data"]\n'
    )
    assert made.values == (7.0, 7.0)
    assert made.sandboxed is BOXED
    assert made.to_commit == ("score.py", "task.toml")
    said = repr(made)
    for words in ("error 7 units, to minimize (goal='maximize' if higher is better)",
                  "the same number", "nothing reads SEED:", "suspicious = 0.5"):  # fmt: skip
        assert words in said
    assert f"git -C {host} add score.py task.toml" in said
    assert f"ark.open_campaign({str(host)!r}, tag=" in said
    assert "error 7 units" in made._repr_html_()
    # Nothing was committed, and there is nothing new but the one file.
    assert (git.head(host), run_git(host, "for-each-ref")) == (head, refs)
    assert run_git(host, "status", "--porcelain") == "?? score.py\n?? task.toml"
    assert not (host / ".git" / "autoresearch").exists()
    # What it says to type begins a campaign, and the same call is no mistake.
    shell, python = made.todo.split("campaign = ")
    for line in shell.splitlines():
        subprocess.run(shlex.split(line), check=True, capture_output=True)
    campaign = eval(python.splitlines()[0], {"ark": ark})
    assert campaign.task == made.task
    again = ark.new_task(host, **FIELDS, unit="units")
    assert again.to_commit == ()
    assert "git" not in again.todo
    assert ark.baseline(campaign).value == made.values[0]
    assert campaign.records()[0].scored_by == "kit"
    assert campaign.records()[0].sandboxed is BOXED
    # Whoever would rather look the answer up is told no more than that it isn't there.
    parts = ("", *(host / "data" / "val.txt").parts[1:])  # a whole path would be refused
    peek = f"print(open('/'.join({parts})).read())\n"
    if BOXED:
        proposal = ark.propose(campaign, by=ark.Human(edit=peek), idea="look")
        crash = ark.score(ark.train_5min(ark.apply(proposal)))
        assert crash.status == "crash"
        said = "guess.py ended with status 1: FileNotFoundError at line 1 of guess.py"
        assert crash.reason == said


def test_another_task_is_never_overwritten(host: Path) -> None:
    other = 'name = "host"\nedit = ["guess.py"]\ntrain = ["python", "guess.py"]\n'
    (host / "task.toml").write_text(other)
    with pytest.raises(errors.TaskError) as caught:
        ark.new_task(host, **FIELDS)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    assert lines[1:5] == [
        'there       train = ["python", "guess.py"]',
        "this call   train = []",
        "there       score = []",
        'this call   score = ["python", "score.py"]',
    ]
    assert (host / "task.toml").read_text() == other


def test_the_same_task_stays_as_it_is_written(host: Path) -> None:
    task = tasks.make({"name": "x", "edit": ("guess.py",), "score": ("x",)})
    text = f"# mine\n{task.toml()}"
    (host / "task.toml").write_text(text)
    assert intake.agreed_text(host, task) == text


@pytest.mark.parametrize("given", [{}, {"score": "python judge.py"}])
def test_without_a_scorer_the_error_shows_one_that_works(
    make_host: Callable[..., Path], given: dict[str, str]
) -> None:
    program = "import sys\nprint('\\n'.join(sorted(sys.stdin.read().split(), key=int)))\n"
    host = make_host({"sort.py": program})
    with pytest.raises(errors.TaskError) as caught:
        ark.new_task(host, edit="sort.py", metric="seconds", **given)
    assert [path.name for path in host.iterdir()] != ["score.py"]
    if given:
        assert "score names judge.py, which is not in" in str(caught.value)
        return
    (host / "score.py").write_text(example_in(str(caught.value)))
    made = ark.new_task(host, edit="sort.py", metric="seconds", unit="s")
    assert made.task.score == ("python", "score.py")
    assert all(0 < value < 60 for value in made.values)
    assert made.values[0] != made.values[1]
    assert "apart" in repr(made)
    assert "differ although nothing reads SEED" in repr(made)


def test_where_there_is_data_the_example_compares_with_it(
    make_host: Callable[..., Path],
) -> None:
    host = make_host({"up.py": "print(input().upper())\nprint(input().title())\n"})
    given = {"edit": "up.py", "metric": "right", "goal": "maximize", "data": "data"}
    (host / "data").mkdir()
    (host / "data" / "val.in").write_text("one\ntwo\n")
    (host / "data" / "val.out").write_text("ONE\nTWO\n")
    with pytest.raises(errors.TaskError) as caught:
        ark.new_task(host, **given)
    (host / "score.py").write_text(example_in(str(caught.value)))
    made = ark.new_task(host, **given)
    assert made.values == (0.5, 0.5)
    assert "to maximize\n" in repr(made)
    # It asks for a split, and there is no data of the other one.
    audits = next(note for note in made.notes if note.startswith("Audits have nothing"))
    assert re.search(r"SPLIT=test .*FileNotFoundError.*data/test\.in.*before the camp", audits)


@pytest.mark.parametrize(
    ("said", "tells"),
    [
        ({"value": 1.5, "split": "test"}, ""),
        ({"value": "?", "split": "test"}, "it gave '?' as value"),
        ({"value": 1.5, "split": "val"}, "it measured the split 'val'"),
        (
            {"crash": "too \x1b[1mbad", "split": "test"},
            "with SPLIT=test too bad. Add the test data",
        ),
    ],
)
def test_a_test_split_that_gives_no_number_is_pointed_out(said: dict[str, Any], tells: str) -> None:
    notes = " ".join(adoption._of_test(said))
    assert tells in notes
    assert bool(notes) is bool(tells)


def test_a_script_that_prints_its_number_is_told_that_it_is_trusted(
    make_host: Callable[..., Path],
) -> None:
    host = make_host({"fit.py": PRINTED})
    command = f"{sys.executable} fit.py"
    made = ark.new_task(host, edit="fit.py", metric="val_loss", train=command)
    assert len(made.values) == 1
    assert "scored_by: printed" in repr(made)
    assert "The script measures itself" in repr(made)
    assert 'ask(["python", "fit.py"]' in example_in(repr(made))
    assert made.sandboxed is BOXED
    assert made.task.score == ()
    (host / "fit.py").write_text(PRINTED.replace("val_loss", "other"))
    run_git(host, "commit", "-qam", "another name")
    with pytest.raises(errors.TaskError, match=r"can't be measured: .*expected 'val_loss: 1.23'"):
        ark.new_task(host, edit="fit.py", metric="val_loss", train=command)


def test_what_was_trained_is_scored_twice(make_host: Callable[..., Path]) -> None:
    write = "import os\nopen(os.environ['RUN_DIR'] + '/model', 'w').write(os.environ['SEED'])\n"
    score = (
        "from autoresearch_kit.scorer import main, take\n"
        "def score(run, seed): return 10 * float(take(run / 'model')) + seed\n"
        "main(score)\n"
    )
    host = make_host({"fit.py": write, "score.py": score})
    made = ark.new_task(
        host, edit="fit.py", metric="x", train=f"{sys.executable} fit.py", score="python score.py"
    )
    assert made.values == (11.0, 12.0)
    assert "trained once and scored twice" in repr(made)
    assert "nothing reads SEED" not in repr(made)
    assert made.sandboxed is BOXED


def test_a_candidate_that_ran_outside_the_sandbox_is_not_called_sandboxed(host: Path) -> None:
    (host / "score.py").write_text(
        "import subprocess, sys, os\nfrom autoresearch_kit.scorer import main\n"
        "def score(code):\n"
        "    return float(subprocess.check_output([sys.executable, code / 'guess.py']))\n"
        "main(score)\n"
    )
    made = ark.new_task(host, edit="guess.py", metric="x", score="python score.py")
    assert made.sandboxed is False
    if BOXED:
        assert "no: nothing ran in ask or ark.untrusted" in repr(made)


@pytest.mark.parametrize(
    ("score", "error", "says"),
    [
        ("raise Crash('too bad')", errors.TaskError, "the code as it is at fault: too bad"),
        ("return 1 / 0", errors.ScorerError, r"score\.py, line 3: ZeroDivisionError"),
        ("return float(ask(['python', 'gone.py']))", errors.TaskError, "can't open file"),
        ("pass", errors.ScorerError, r"^(?!.*last lines)(?s:.)*score returned None; expected a n"),
    ],
)
def test_a_try_that_fails_says_why_and_writes_nothing(
    host: Path, score: str, error: type[Exception], says: str
) -> None:
    head = "from autoresearch_kit.scorer import *\ndef score():\n"
    (host / "score.py").write_text(f"{head}    {score}\nmain(score)\n")
    with pytest.raises(error, match=says):
        ark.new_task(host, **FIELDS)
    assert not (host / "task.toml").exists()


@pytest.mark.parametrize("value", ["NaN", "1" + 400 * "0", "true"], ids=["nan", "huge", "bool"])
def test_a_scorer_of_any_make_that_gives_no_number_is_no_scorer(host: Path, value: str) -> None:
    (host / "score.py").write_text(f"print('{{\"value\": {value}}}')\n")
    with pytest.raises(errors.ScorerError, match="as value; expected a finite number"):
        ark.new_task(host, **FIELDS)
    assert not (host / "task.toml").exists()


def test_what_is_tried_is_what_will_be_committed(host: Path) -> None:
    (host / "answers").mkdir()
    (host / "answers" / "right.py").write_text("def right():\n    return 10\n")
    (host / "worker.py").write_text("import guess\nprint(guess.GUESS)\n")
    (host / "stray.py").write_text("")
    (host / "score.py").write_text(
        "from pathlib import Path\nfrom autoresearch_kit.scorer import ask, main\n"
        "from answers.right import right\n"
        "def score(code):\n"
        "    worker = Path(__file__).with_name('worker.py')\n"
        "    env = {'PYTHONPATH': str(code)}\n"
        "    return abs(float(ask(['python', worker], read=[worker], env=env)[4:]) - right())\n"
        "main(score)\n"
    )
    (host / "guess.py").write_text("GUESS = 9.0\n")  # not committed, and not to be
    made = ark.new_task(host, edit="guess.py", metric="error")
    assert made.values == (7.0, 7.0)
    assert made.to_commit == ("answers/right.py", "score.py", "task.toml", "worker.py")
    assert "guess.py has changes that are not committed" in repr(made)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"edit": "gone.py"}, r"edit names 'gone\.py', which is not in the last commit"),
        ({"edit": ["guess.py", "score.py"]}, "edit names 'score.py', which score"),
        ({"data": "gone"}, r"data names 'gone', but there is no"),
        ({"metric": "two words"}, "expected one word"),
        ({"goal": "best"}, "expected 'minimize' or 'maximize'"),
        ({"score": "no-such-program x"}, "there is no program 'no-such-program'$"),
        ({"score": "./no-such.sh x"}, r"there is no program '\./no-such\.sh' in the last commit"),
        ({"no_such_key": 1}, "^new_task has no argument 'no_such_key'; there are name, edit,"),
        ({"edits": "guess.py", "edit": None}, "'edits'; did you mean edit=.$"),
        ({"edit": None}, "^edit= is missing; expected the name of a file"),
        ({"edit": "gues.py"}, r"last commit of .*; did you mean 'guess\.py'.$"),
        ({"edit": "new.py"}, r"'new\.py', which is not in the last .*: git -C \S+ add new\.py,"),
        ({"edit": "{host}/guess.py"}, r"expected its path in the repository: 'guess\.py'"),
        ({"edit": "../guess.py"}, r"which is outside of \S+; expected a file in it"),
        ({"edit": "g*.py"}, r"'g\*\.py', a pattern\. edit names single .*: edit='guess\.py'\.$"),
        ({"edit": "*.txt"}, r"a pattern\. edit names single files, and there is none"),
        ({"edit": "."}, r"'\.', a folder\. edit names single files: edit='guess\.py'\.$"),
        ({"edit": "data"}, "'data', a data folder, and no experiment may change data. edit names"),
        ({"edit": "data/val.txt"}, "which lies in the data folder data, .*: edit='guess.py'.$"),
        ({"data": "data/val.txt"}, "which is a file; it has to be a folder"),
        ({"data": "."}, "which holds the repository itself"),
        ({"data": "~/no such data"}, f"no such data', but there is no {Path.home()}/no such"),
        ({"score": "score.py"}, r"names no program; say score='python score\.py'"),
        ({"score": "python '"}, "is no command: No closing quotation"),
        ({"score": "python data/val.py"}, r"lies in the data folder data\. A scorer is in git"),
        # A scorer that is missing is told last.
        ({"edit": "gues.py", "score": "python gone.py"}, "did you mean 'guess.py'"),
        ({"data": "gone", "score": "python gone.py"}, "data names 'gone'"),
        ({"score": "python gone.py"}, r"gone\.py, which is not in(.|\n)*def score\(data, split\)"),
    ],
)  # fmt: skip
def test_mistakes_are_found_before_anything_runs(
    host: Path, changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "launch", lambda *_: pytest.fail("it ran"))
    if "score.py" in (changes.get("edit") or ()):
        run_git(host, "add", "score.py")
        run_git(host, "commit", "-qm", "the scorer")
    for name in ("new.py", "data/val.py"):
        (host / name).write_text("")
    changes = {k: str(v).format(host=host) if k == "edit" and isinstance(v, str) else v
               for k, v in changes.items()}  # fmt: skip
    with pytest.raises(errors.TaskError, match=says) as caught:
        ark.new_task(host, **FIELDS | changes)
    assert "task.toml" not in str(caught.value)
    assert not (host / "task.toml").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"score": example_in}, r"score is the function example_in; expected a command, such as .*"
                                r"score\.py that ends with main\(example_in\)"),
        ({"score": 3}, "score = 3; expected a command, such as 'python score.py'"),
        ({"edit": ["guess.py", 3]}, "edit = .*; expected the name of a file, such as 'main.py'"),
        ({"metric": len}, "metric is a function; expected the name of the number"),
        ({"goal": 1}, "goal = 1; expected 'minimize' or 'maximize'"),
    ],
)  # fmt: skip
def test_another_kind_of_argument_is_told_what_is_expected(
    host: Path, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        ark.new_task(host, **FIELDS | changes)


def test_a_folder_of_many_files_shows_a_few_of_them(make_host: Callable[..., Path]) -> None:
    host = make_host({f"sub/{n}.py": "" for n in range(7)} | {"sub/0.md": "x"})
    with pytest.raises(
        errors.TaskError, match=r"'sub', a folder\..*\['sub/0\.py', .*4\.py'\], and 3"
    ):
        ark.new_task(host, edit="sub", metric="x")


def test_home_is_expanded(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(host.parent))
    given = {"edit": Path("guess.py"), "metric": "x", "data": "~/texts"}
    found = intake.fields(host, given | {"score": "python ~/host/score.py ~nobody-here"})
    assert found["data"] == (str(host.parent / "texts"),)
    assert found["score"] == ("python", "score.py", "~nobody-here")
    assert found["edit"] == ("guess.py",)
    assert intake.fields(host, given | {"edit": "./guess.py"})["edit"] == ("guess.py",)


def test_hosts_that_are_none(host: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.LabError, match="is not a git repository"):
        ark.new_task(tmp_path, **FIELDS)
    run_git(tmp_path, "init", "-q", "empty")
    empty = tmp_path / "empty"
    (empty / "data").mkdir()
    (empty / "data" / "val.txt").write_text("10")
    with pytest.raises(errors.TaskError, match=r"guess\.py', but there is no"):
        ark.new_task(empty, **FIELDS)
    (empty / "guess.py").write_text(GUESS)
    with pytest.raises(errors.LabError, match="has no commit yet") as caught:
        ark.new_task(empty, **FIELDS)
    # What it says to type commits the code and not the data.
    lines = str(caught.value).split("\n    ")[1:]
    subprocess.run(["sh", "-ec", "\n".join(lines)], check=True, capture_output=True)
    assert git.list_files(empty, git.head(empty)) == [".gitignore", "guess.py"]
    assert not run_git(empty, "status", "--porcelain")
    run_git(tmp_path, "clone", "-q", "--bare", str(host), "bare")
    with pytest.raises(errors.LabError, match="is a bare repository"):
        ark.new_task(tmp_path / "bare", **FIELDS)


@pytest.mark.parametrize(
    ("ignore", "committed", "says"),
    [
        ("data/\n", (), ""),
        ("", (), "data is not in .gitignore"),
        ("*.log", ("data",), "data/val.txt is in git, so each experiment's code can read it"),
        ("data/\n", ("data/val.txt",), "data/val.txt is in git"),
    ],
)
def test_hidden_data_that_candidates_can_read_is_hidden_first(
    host: Path, ignore: str, committed: tuple[str, ...], says: str
) -> None:
    (host / ".gitignore").write_text(ignore)
    run_git(host, "add", "--force", ".gitignore", *committed)
    run_git(host, "commit", "--quiet", "--allow-empty", "-m", "data")
    task = tasks.make({"name": "x", "edit": ("guess.py",), "score": ("x",), "data": ("data",)})
    notes, lines = intake.hiding(host, task, git.head(host))
    assert says in " ".join(notes)
    assert bool(notes) is bool(says)
    assert bool(lines) is bool(committed)
    made = adoption.Adoption(host, task, (1.0,), 1.0, True, notes, ("task.toml",), lines)
    for todo in (made.todo, made.in_shell()):
        assert not lines or todo.index(lines[-1]) < todo.index("add task.toml")
    if lines:
        subprocess.run(["sh", "-ec", "\n".join(lines)], check=True, capture_output=True)
        assert git.list_files(host, git.head(host)) == [".gitignore", "guess.py"]
        assert run_git(host, "status", "--porcelain") == "?? score.py"
        assert (host / ".gitignore").read_text().startswith(ignore)
        assert (host / "data" / "val.txt").read_text() == "10"


def test_data_outside_of_the_repository_is_out_of_reach(host: Path) -> None:
    for place in ("../elsewhere", str(host.parent / "elsewhere")):
        (host.parent / "elsewhere").mkdir(exist_ok=True)
        task = tasks.make({"name": "x", "edit": ("x",), "score": ("x",), "data": (place,)})
        assert intake.hiding(host, task, git.head(host)) == ((), ())


def test_data_of_which_a_training_sees_all_is_pointed_out(host: Path) -> None:
    task = tasks.make(
        {"name": "x", "edit": ("x",), "score": ("x",), "train": ("x",), "data": ("data",)}
    )
    notes, _ = intake.hiding(host, task, git.head(host))
    assert "data has no part data/train, so training sees all that the scorer" in notes[0]
    (host / "data" / "train").mkdir()
    (host / "data" / "train" / "x.txt").write_text("")
    assert intake.hiding(host, task, git.head(host)) == ((), ())
    # What a training may see can stay in git, beside what it may not.
    run_git(host, "add", "--force", "data")
    run_git(host, "commit", "-qm", "data")
    _, lines = intake.hiding(host, task, git.head(host))
    assert lines[0].endswith(" --cached data/val.txt")


def test_an_interrupted_try_leaves_nothing_behind(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host / "score.py").write_text("import time\ntime.sleep(600)\n")
    runs = []

    def interrupted(run: Path, job: str) -> None:
        runs.append(run)
        assert runner.is_alive(run, job)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ark.new_task(host, **FIELDS)
    assert not runs[0].exists()
    commands = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    assert not [words for words in commands if str(runs[0]) in words]
    assert not (host / "task.toml").exists()


def test_the_shell_has_the_same(
    host: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["new-task", str(host), "--edit", "guess.py", "--metric", "error", "--data", "data"]
    done = in_shell(tmp_path)(*words, "--score", "python score.py")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^metric +error 7, to minimize \(--goal max", done.stdout, re.MULTILINE)
    todo = done.stdout.split("To type next:\n\n")[1]
    assert "ark." not in todo
    *_, night = todo.strip().splitlines()
    program, *typed = shlex.split(night)
    assert program == cli.PROG
    assert cli._parser().parse_args(typed).lab == str(host)
    assert (host / "task.toml").exists()
    assert cli.main([*words, "--score", "python score.py", "--goal", "maximize"]) == 1
    assert 'this call   goal = "maximize"' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["new-task", "--help"])
    _, _, example = capsys.readouterr().out.partition("example:\n  autoresearch-kit ")
    args = cli._parser().parse_args(shlex.split(example))
    assert (args.lab, args.edit) == ("~/squeeze", ["squeeze.py"])


def open_with(host: Path, **contract: Any) -> ark.Campaign:
    return ark.open_campaign(host, tag="nov23", edit="guess.py", metric="error", **contract)


def test_the_word_that_is_missing_is_named(host: Path) -> None:
    for given, missing in {"score": "metric", "train": "metric", "metric": "train"}.items():
        with pytest.raises(errors.TaskError, match=f"^{missing}= is missing.*or score= "):
            ark.open_campaign(host, tag="a", edit="guess.py", **{given: "x"})


def test_a_campaign_needs_its_scorer_in_the_commit(host: Path) -> None:
    for command in ("python score.py", "python -u score.py"):
        with pytest.raises(errors.TaskError, match=f"score='{command}': score.py is not in com"):
            open_with(host, score=command)
    run_git(host, "add", "score.py")
    run_git(host, "commit", "-qm", "the scorer")
    assert open_with(host, score="python ./score.py", data="data").task.train == ()


@pytest.mark.parametrize(
    ("command", "files"),
    [
        ("python score.py", {"score.py": "import guess\n"}),
        ("python tools/score.py", {"tools/score.py": "import help", "tools/help.py": ""}),
        ("python -m tools.score", {"tools/score.py": "from . import help", "tools/help.py": ""}),
        ("python -m a.score", {"a/score.py": "from a.help import x", "a/help.py": ""}),
        ("python -m a.score", {"a/score.py": "", "a/__init__.py": ""}),
        ("python -m tools", {"tools/__init__.py": "", "tools/__main__.py": ""}),
        ("python score.py", {"score.py": "import a", "a.py": "from b import c", "b/c.py": ""}),
    ],
)  # fmt: skip
def test_what_a_proposal_may_change_is_no_part_of_the_scorer(
    make_host: Callable[..., Path], command: str, files: dict[str, str]
) -> None:
    host = make_host({"guess.py": GUESS, **files})
    last = "guess.py" if "guess" in str(files) else list(files)[-1]
    with pytest.raises(errors.TaskError, match=f"edit names '{last}', which score=.*baseline"):
        ark.open_campaign(host, tag="a", edit=last, metric="x", score=command)


def test_a_scorer_may_name_what_it_starts(make_host: Callable[..., Path]) -> None:
    """What is imported in a function may be meant for the sandboxed child."""
    score = "def child():\n    import guess\n\nask(['python', 'guess.py'])\n"
    host = make_host({"guess.py": GUESS, "score.py": score})
    assert open_with(host, score="python score.py").task.edit == ("guess.py",)


def test_a_link_can_not_be_edited(make_host: Callable[..., Path]) -> None:
    host = make_host({"real.py": GUESS})
    (host / "guess.py").symlink_to("real.py")
    run_git(host, "add", ".")
    run_git(host, "commit", "-qm", "a link")
    with pytest.raises(errors.TaskError, match=r"edit names 'guess\.py', which is a link"):
        open_with(host, train="python guess.py")
