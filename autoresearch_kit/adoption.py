"""One's own repository as a task: checked, tried, and written down in ``task.toml``."""

from __future__ import annotations

import dataclasses
import html
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from autoresearch_kit import contract as contracts
from autoresearch_kit import device, files, git, render, runner, sandbox
from autoresearch_kit import task as tasks
from autoresearch_kit.errors import LabError, ScorerError, TaskError
from autoresearch_kit.task import Task

SCORER = "score.py"
TAIL_LINES, NOTE_WIDTH = 12, 86
EXAMPLE = '''\
"""Seconds that {program} takes to sort numbers which it can't foresee."""
import random
import time

from autoresearch_kit.scorer import Crash, ask, main


def score():
    numbers = [str(n) for n in random.SystemRandom().sample(range(10**9), 50_000)]
    began = time.perf_counter()
    said = ask(["python", "{program}"], input="\\n".join(numbers).encode(), seconds=60)
    seconds = time.perf_counter() - began
    if said.decode(errors="replace").split() != sorted(numbers, key=int):
        raise Crash("these are not the numbers in order")
    return seconds


main(score)
'''


@dataclasses.dataclass(frozen=True, repr=False)
class Adoption:
    """A repository that became a host, and what its number was when that was tried.

    Attributes
    ----------
    path, task
        The repository and its contract, which now lies in its ``task.toml``.
    values
        The metric of the code as it is, of each try.
    seconds
        What a try took, on average.
    sandboxed
        Whether the code under experiment ran in the sandbox.
    notes
        What to know before the first experiment.
    to_commit
        The files that a campaign needs and the last commit has not.
    """

    path: Path
    task: Task
    values: tuple[float, ...]
    seconds: float
    sandboxed: bool
    notes: tuple[str, ...]
    to_commit: tuple[str, ...]

    @property
    def todo(self) -> str:
        """What to type next: shell lines where something is to be committed, then Python."""
        place, lines = str(self.path), []
        if self.to_commit:
            at, message = f"git -C {shlex.quote(place)}", f"A task: {self.task.metric}"
            lines = [f"{at} add {' '.join(map(shlex.quote, self.to_commit))}"]
            lines.append(f"{at} commit -m {shlex.quote(message)}")
        tag = time.strftime("%b%d").lower()
        lines.append(f"campaign = ark.open_campaign({place!r}, tag={tag!r})")
        return "\n".join([*lines, "ark.baseline(campaign)"])

    def _summary(self) -> dict[str, object]:
        task, unit = self.task, f" {self.task.unit}" if self.task.unit else ""
        trust = {
            "kit": f"{' '.join(task.score)}, which no experiment can change",
            "printed": "the script itself (records say scored_by: printed)",
        }
        boxed = "yes"
        if not self.sandboxed:
            boxed = f"no: {sandbox.unavailable() or 'nothing ran in ask or ark.untrusted'}"
        return {
            "task": f"{task.name} in {self.path}, edits {', '.join(task.edit)}",
            "metric": f"{task.metric} {self.values[0]:.6g}{unit}, to {task.goal}",
            "tried again": _difference(self.values) if len(self.values) > 1 else "",
            "a try takes": f"{self.seconds:.2g} s",
            "measured by": trust[task.scored_by],
            "sandboxed": boxed,
            "note": "\n".join(textwrap.fill(note, NOTE_WIDTH) for note in self.notes),
        }

    def _text(self) -> str:
        text = f"To type next:\n\n{_indented(self.todo)}"
        if not self.task.score:
            why = "The script measures itself, so code can win by what it prints"
            text += f"\n{_no_scorer(why, _program(self.task.as_dict()))}"
        return text

    def __repr__(self) -> str:
        return f"{render.table(self._summary())}\n{self._text()}"

    def _repr_html_(self) -> str:
        return f"{render.card(self._summary())}<pre>{html.escape(self._text())}</pre>"


def new_task(
    path: str | Path,
    *,
    edit: str | Sequence[str],
    metric: str,
    score: str | Sequence[str] | None = None,
    train: str | Sequence[str] | None = None,
    goal: str = "minimize",
    unit: str = "",
    data: str | Sequence[str] | None = None,
    name: str | None = None,
    **contract: Any,
) -> Adoption:
    """Check a repository of one's own as a task, try it as it is, and write its ``task.toml``.

    Nothing is committed and no other file is touched; the same call may be repeated. What is tried
    is what the last commit would be with ``task.toml`` and the scorer's files in it.

    Parameters
    ----------
    path
        A git repository with a commit.
    edit
        The file that may change, or several; committed.
    metric, goal, unit
        The number that decides, whether to ``minimize`` or to ``maximize`` it, and its unit.
    score
        The trusted command that measures it, such as ``"python score.py"`` (the default where
        there is a score.py and no `train`); `autoresearch_kit.scorer` is what it is made of. It
        runs twice, on two seeds.
    train
        The untrusted command that runs before it, once. Without a scorer it prints
        ``<metric>: number`` itself, and is trusted to tell the truth.
    data
        Folders outside of git, which the scorer sees whole and a training only the part ``train``
        of, where there is one.
    name
        What the task is called; default the folder's name.
    **contract
        Other keys of ``task.toml``, as in `Task`: ``timeout_seconds=60``, ``suspicious=0.5``, ...

    Raises
    ------
    LabError
        When there is no git repository, or no commit yet.
    TaskError
        When something that is named is missing, `edit` names a file of the scorer, there is
        another task.toml, or the code as it is crashes; and, with a complete example, when there
        is no scorer.
    ScorerError
        When the scorer failed.

    Examples
    --------
    >>> ark.new_task("squeeze", edit="squeeze.py", metric="bits_per_byte",
    ...              score="python score.py", data="data")  # doctest: +SKIP
    """
    host = git.root(Path(path).expanduser().resolve())
    head = git.head(host)
    if host == git.common_dir(host):
        raise LabError(f"{host} is a bare repository; give a checkout, for files are written there")
    git.identity(host)
    known = {"edit": edit, "metric": metric, "goal": goal, "unit": unit, "train": train}
    fields = contracts.given({**known, "score": score, "data": data, **contract})
    program = _program(fields)
    if not fields.get("score") and not fields.get("train"):
        if not (host / SCORER).is_file():
            raise TaskError(_no_scorer(f"{host} has no {SCORER} yet", program))
        fields["score"] = ("python", SCORER)
    task = tasks.make({"name": name or host.name, **fields})
    text = _agreed_text(host, task)

    def lies(file: str) -> bytes | None:
        place = host / file
        return place.read_bytes() if place.is_file() else git.read_bytes(host, head, file)

    if (script := contracts.script(task.score, lies)) and lies(script) is None:
        raise TaskError(_no_scorer(f"score names {script}, which is not in {host}", program))
    parts = [*contracts.files_of(task.score, lies, deep=True)]
    parts += contracts.files_of(task.command(host), lies, deep=True)
    now = {file: lies(file) for file in parts if file not in task.edit}
    added = {f: c for f, c in now.items() if c is not None and c != git.read_bytes(host, head, f)}
    if text.encode() != git.read_bytes(host, head, tasks.FILE):
        added[tasks.FILE] = text.encode()

    def would_be(file: str) -> bytes | None:
        return added[file] if file in added else git.read_bytes(host, head, file)

    contracts.check(host, task, would_be, "the last commit")
    notes = [*_of_data(host, task, head), *_of_edits(host, task)]
    tried = _tried(host, task, head, added)
    code = [would_be(file) or b"" for file in {*parts, *task.edit}]
    seeds = _of_seeds(task, tried.values, code) if task.score else ()
    notes = [*seeds, *tried.notes, *notes]
    if not (host / tasks.FILE).exists():
        files.write_text(host / tasks.FILE, text)
    return dataclasses.replace(tried, notes=tuple(notes), to_commit=tuple(sorted(added)))


def _program(fields: Mapping[str, Any]) -> str:
    """Return which file an example should start."""
    words = [*fields.get("train", ()), *fields.get("edit", ())]
    return next((word for word in words if word.endswith(".py")), "main.py")


def _no_scorer(what: str, program: str) -> str:
    example = _indented(EXAMPLE.format(program=program))
    return (
        f"{what}.\nA number that can be trusted comes from a script of yours that runs the code in "
        f"the sandbox\nand checks what comes back. Adapt this {SCORER}, and call again with "
        f"score='python {SCORER}':\n\n{example}"
    )


def _agreed_text(host: Path, task: Task) -> str:
    """Return the text of the task.toml that is to be there; another one is an error."""
    there = host / tasks.FILE
    if not there.exists():
        return task.toml()
    text = there.read_text(encoding="utf-8")
    old = tasks.parse(text).as_dict()
    changed = [f"{key} = {old[key]!r}, not {new!r}" for key, new in task.as_dict().items()
               if old[key] != new]  # fmt: skip
    if changed:
        raise TaskError(
            f"{there} says {'; '.join(changed)}. It is never overwritten: edit or remove it, or "
            "call with what it says."
        )
    return text


def _tried(host: Path, task: Task, head: str, added: Mapping[str, bytes]) -> Adoption:
    """Run the code as it is and measure it, in a repository that is gone afterwards."""
    with git.borrowing(host) as aside:
        for key, value in (("name", "new_task"), ("email", "new_task@localhost")):
            git.call(aside, "config", f"user.{key}", value)
        # Bytes that are no UTF-8 survive as surrogates.
        texts = {file: text.decode("utf-8", "surrogateescape") for file, text in added.items()}
        commit = git.commit_files(aside, head, texts, "As it would be")
        run = aside / "try"
        spec = {
            "tag": "new_task",
            "experiment": 0,
            "kind": "baseline",
            "commit": commit,
            "baseline_commit": commit,
            "repo": str(aside),
            "host": str(host),
            "seed": 1,
            "device": device.pick(),
            "task": task.as_dict(),
            "command": task.command(host),
        }
        try:
            return _measured(host, task, run, spec)
        finally:
            for job in ("train", "score"):
                runner.stop(run, job)  # where the waiting was interrupted
            files.remove_tree(run)


def _measured(host: Path, task: Task, run: Path, spec: dict[str, Any]) -> Adoption:
    files.write_json(run / "run.json", spec)
    boxed, notes, began = True, list[str](), time.monotonic()
    if task.train:
        state = _waited(run, "train")
        if state["phase"] != "done":
            raise TaskError(
                f"the code as it is can't be measured: {state['reason']}. Repair that, commit, and "
                f"call again.{_tail(run / 'log.txt')}"
            )
        boxed = bool(state.get("sandboxed"))
        if not task.score:
            seconds = time.monotonic() - began
            return Adoption(host, task, (float(state["printed"]),), seconds, boxed, (), ())
    values, took = [], []
    for seed in (1, 2):
        files.write_json(run / "run.json", {**spec, "seed": seed})
        (run / "score.json").unlink(missing_ok=True)
        result = _waited(run, "score")
        if "error" in result:
            raise ScorerError(f"the scorer gave no number: {result['error']}.{_tail(run)}")
        if "crash" in result:
            raise TaskError(
                f"the scorer finds the code as it is at fault: {result['crash']}. Expected a "
                f"number: repair the code and commit it, or the scorer.{_tail(run)}"
            )
        value = result["value"]
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise ScorerError(f"the scorer gave {value!r} as value; expected a finite number")
        values.append(float(value))
        took.append(float(result["scoring_seconds"]))
        boxed = boxed and bool(result.get("sandboxed", bool(task.train)))
        if quarantine := result.get("quarantine"):
            notes.append(f"The scorer is suspicious of the code as it is: {quarantine}")
    seconds = sum(took) / len(took)
    return Adoption(host, task, tuple(values), seconds, boxed, tuple(dict.fromkeys(notes)), ())


def _waited(run: Path, job: str) -> Mapping[str, Any]:
    while runner.is_alive(run, job):
        time.sleep(0.01)  # the last try has written its result, and is about to end
    runner.launch(run, job)
    try:
        return runner.wait(run, job)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # without the words on a run that goes on


def _tail(place: Path) -> str:
    """Return the end of what a process printed, for a person."""
    log = place / "score.txt" if place.is_dir() else place
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in render.visible(text).splitlines() if line.strip()][-TAIL_LINES:]
    return "\nIts last lines:\n" + _indented("\n".join(lines)) if lines else ""


def _difference(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    if low == high:
        return "the same number"
    share = f" ({100 * (high - low) / abs(values[0]):.2g} %)" if values[0] else ""
    return f"{values[1]:.6g}: {high - low:.2g} apart{share}"


def _of_seeds(task: Task, values: Sequence[float], code: Sequence[bytes]) -> Iterator[str]:
    reads = any(re.search(rb"\b(SEED|seed)\b", text) for text in code)
    if values[0] == values[1] and not reads:
        yield (
            "Both tries gave the same number, and nothing reads SEED: so each change that is "
            "better at all is kept. If chance plays a part, let the code or the scorer read SEED."
        )
    elif values[0] != values[1] and not reads:
        yield (
            "The tries differ although nothing reads SEED. How much runs differ is learned from "
            "repeats: ark.baseline(campaign, seeds=3) begins with three."
        )
    if task.train:
        yield "It was trained once and scored twice; trainings on other seeds may differ more."


def _of_data(host: Path, task: Task, head: str) -> Iterator[str]:
    """Check data folders; yield which of them candidates can read although they are hidden."""
    tracked = git.list_files(host, head)
    for name in task.data:
        place = Path(host, name)
        if not place.exists():
            raise TaskError(f"data names {name!r}, but there is no {place}; make it, or correct it")
        if not task.score:
            continue  # the script measures itself, so nothing can be hidden from it
        folder, split = PurePosixPath(name), (place / "train").is_dir()
        inside = [file for file in tracked if folder in PurePosixPath(file).parents]
        shown = [f for f in inside if not (split and f.startswith(f"{folder}/train/"))]
        if shown:
            yield (
                f"{shown[0]} is in git, so each experiment's code can read it. If it is hidden "
                f"data: git rm -r --cached {shlex.quote(name)}, and a line {folder}/ in .gitignore."
            )
        elif not inside and not _ignored(host, folder):
            yield (
                f"{folder} is not in .gitignore: the next git add . would put it into each "
                f"experiment's code. Add a line {folder}/ there."
            )
        if task.train and not split:
            yield f"{name} has no part {folder}/train, so training sees all that the scorer sees."


def _ignored(host: Path, folder: PurePosixPath) -> bool:
    if folder.is_absolute() or ".." in folder.parts:
        return True  # it lies elsewhere
    # A rule "data/" is one for folders only, and holds for what is in them.
    asked = f"{folder}\0{folder}/x".encode()
    return bool(git.call(host, "check-ignore", "-z", "--stdin", input=asked, accept=(0, 1)))


def _of_edits(host: Path, task: Task) -> Iterator[str]:
    for file in git.uncommitted(host, task.edit):
        yield f"{file} has changes that are not committed; what was tried is the last commit's."


def _indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
