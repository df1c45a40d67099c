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
from pathlib import Path
from typing import Any

from autoresearch_kit import contract as contracts
from autoresearch_kit import device, files, git, intake, records, render, runner, sandbox
from autoresearch_kit import task as tasks
from autoresearch_kit.errors import LabError, ScorerError, TaskError
from autoresearch_kit.task import Task

TAIL_LINES, NOTE_WIDTH = 12, 86
MORE = "goal='maximize'"


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
    to_hide
        Shell lines that take hidden data out of git, where it is in there.
    assumed
        Whether the goal is ``minimize`` because nobody said which.
    """

    path: Path
    task: Task
    values: tuple[float, ...]
    seconds: float
    sandboxed: bool
    notes: tuple[str, ...]
    to_commit: tuple[str, ...]
    to_hide: tuple[str, ...] = ()
    assumed: bool = False

    @property
    def todo(self) -> str:
        """What to type next: shell lines where something is to be committed, then Python."""
        tag = time.strftime("%b%d").lower()
        opens = f"campaign = ark.open_campaign({str(self.path)!r}, tag={tag!r})"
        return "\n".join([*self._commits(), opens, "ark.baseline(campaign)"])

    def in_shell(self) -> str:
        """Return the same card for a terminal: what to type next are shell lines alone."""
        place, tag = shlex.quote(str(self.path)), time.strftime("%b%d").lower()
        night = (
            f"autoresearch-kit overnight {place} --tag {tag} --experiments 20 --approve small:20"
        )
        return self._card("--goal maximize", "\n".join([*self._commits(), night]))

    def _commits(self) -> list[str]:
        lines = [*self.to_hide]
        if self.to_commit:
            at, message = f"git -C {shlex.quote(str(self.path))}", f"A task: {self.task.metric}"
            lines.append(f"{at} add {shlex.join(self.to_commit)}")
            lines.append(f"{at} commit -m {shlex.quote(message)}")
        return lines

    def _summary(self, other: str) -> dict[str, object]:
        hint = f" ({other} if higher is better)" if self.assumed else ""
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
            "metric": f"{task.metric} {self.values[0]:.6g}{unit}, to {task.goal}{hint}",
            "tried again": _difference(self.values) if len(self.values) > 1 else "",
            "a try takes": f"{self.seconds:.2g} s",
            "measured by": trust[task.scored_by],
            "sandboxed": boxed,
            "note": "\n".join(textwrap.fill(note, NOTE_WIDTH) for note in self.notes),
        }

    def _text(self, todo: str) -> str:
        text = f"To type next:\n\n{intake.indented(todo)}"
        if not self.task.score:
            why = "The script measures itself, so code can win by what it prints"
            text += f"\n{intake.no_scorer(why, self.task.as_dict())}"
        return text

    def _card(self, other: str, todo: str) -> str:
        return f"{render.table(self._summary(other))}\n{self._text(todo)}"

    def __repr__(self) -> str:
        return self._card(MORE, self.todo)

    def _repr_html_(self) -> str:
        text = html.escape(self._text(self.todo))
        return f"{render.card(self._summary(MORE))}<pre>{text}</pre>"


def new_task(
    path: str | Path,
    *,
    edit: str | Path | Sequence[str | Path] | None = None,
    metric: str | None = None,
    score: str | Sequence[str] | None = None,
    train: str | Sequence[str] | None = None,
    goal: str | None = None,
    unit: str = "",
    data: str | Path | Sequence[str | Path] | None = None,
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
        The file that may change, or several; committed. Always needed.
    metric, goal, unit
        The number that decides, which is always needed, whether to ``minimize`` (unless you say)
        or to ``maximize`` it, and its unit.
    score
        The trusted command that measures it, such as ``"python score.py"`` (the default where
        there is a score.py and no `train`); `autoresearch_kit.scorer` is what it is made of. It
        runs twice, on two seeds, and once more on the test split if it measures splits.
    train
        The untrusted command that runs before it, once. Without a scorer it prints
        ``<metric>: number`` itself, and is trusted to tell the truth.
    data
        Folders outside of git, which the scorer sees whole and a training only the part ``train``
        of, where there is one. Here and in commands ``~`` is your home.
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
    TypeError
        When an argument is of another kind, such as a function as `score`.

    Examples
    --------
    >>> ark.new_task("squeeze", edit="squeeze.py", metric="bits_per_byte",
    ...              score="python score.py", data="data")  # doctest: +SKIP
    """
    host = git.root(Path(path).expanduser().resolve())
    known = {"edit": edit, "metric": metric, "goal": goal, "unit": unit, "train": train}
    fields = intake.fields(host, {**known, "score": score, "data": data, "name": name, **contract})
    if host == git.common_dir(host):
        raise LabError(f"{host} is a bare repository; give a checkout, for files are written there")
    intake.check(host, git.resolve(host, "HEAD"), fields)
    head = git.head(host)
    git.identity(host)
    by_habit = not fields.get("score") and not fields.get("train")
    if by_habit:
        fields["score"] = ("python", intake.SCORER)
    task = contracts.make({"name": host.name, **contracts.given(fields)})
    if by_habit and not (host / intake.SCORER).is_file():
        raise TaskError(intake.no_scorer(f"{host} has no {intake.SCORER} yet", fields))
    text = intake.agreed_text(host, task)

    def lies(file: str) -> bytes | None:
        place = host / file
        return place.read_bytes() if place.is_file() else git.read_bytes(host, head, file)

    if (script := contracts.script(task.score, lies)) and lies(script) is None:
        raise TaskError(intake.no_scorer(f"score names {script}, which is not in {host}", fields))
    if script and (folder := intake.in_data(host, task.data, script)):
        raise TaskError(
            f"score runs {script}, which lies in the data folder {folder}. A scorer is in git, and "
            "hidden data is not: move the scorer out of there."
        )
    parts = [*contracts.files_of(task.score, lies, deep=True)]
    parts += contracts.files_of(task.command(host), lies, deep=True)
    parts = [file for file in parts if not intake.in_data(host, task.data, file)]
    now = {file: lies(file) for file in parts if file not in task.edit}
    added = {f: c for f, c in now.items() if c is not None and c != git.read_bytes(host, head, f)}
    if text.encode() != git.read_bytes(host, head, tasks.FILE):
        added[tasks.FILE] = text.encode()

    def would_be(file: str) -> bytes | None:
        return added[file] if file in added else git.read_bytes(host, head, file)

    contracts.check(host, task, would_be, "the last commit")
    shown, to_hide = intake.hiding(host, task, head)
    tried = _tried(host, task, head, added)
    code = [would_be(file) or b"" for file in {*parts, *task.edit}]
    seeds = _of_seeds(task, tried.values, code) if task.score else ()
    notes = [*shown, *seeds, *tried.notes, *intake.of_edits(host, task)]
    if not (host / tasks.FILE).exists():
        files.write_text(host / tasks.FILE, text)
    return dataclasses.replace(
        tried,
        notes=tuple(notes),
        to_commit=tuple(sorted(added)),
        to_hide=to_hide,
        assumed=goal is None,
    )


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
    values, took, result = list[float](), list[float](), dict[str, Any]()
    for seed in (1, 2):
        result = _scored(run, {**spec, "seed": seed})
        if "error" in result:
            said = result["error"]
            raise ScorerError(f"the scorer gave no number: {said}.{_tail(run, said)}")
        if "crash" in result:
            raise TaskError(
                f"the scorer finds the code as it is at fault: {result['crash']}. Expected a "
                f"number: repair the code and commit it, or the scorer.{_tail(run)}"
            )
        value = result["value"]
        if not _is_number(value):
            raise ScorerError(f"the scorer gave {value!r} as value; expected a finite number")
        values.append(float(value))
        took.append(float(result["scoring_seconds"]))
        boxed = boxed and bool(result.get("sandboxed", bool(task.train)))
        if quarantine := result.get("quarantine"):
            notes.append(f"The scorer is suspicious of the code as it is: {quarantine}")
    if "split" in result:
        notes += _of_test(_scored(run, {**spec, "split": "test"}))
    seconds = sum(took) / len(took)
    return Adoption(host, task, tuple(values), seconds, boxed, tuple(dict.fromkeys(notes)), ())


def _scored(run: Path, spec: Mapping[str, Any]) -> dict[str, Any]:
    files.write_json(run / "run.json", spec)
    (run / "score.json").unlink(missing_ok=True)
    return dict(_waited(run, "score"))


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # type: ignore[arg-type]


def _of_test(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield a note when the try on the test split came to nothing."""
    said = result.get("error") or result.get("crash")
    if not said and not _is_number(result.get("value")):
        said = f"it gave {result.get('value')!r} as value"
    if not said and result.get("split") != "test":
        said = f"it measured the split {result.get('split')!r}"
    if said:
        yield (
            f"Audits have nothing to measure on: with SPLIT=test {records.clean(str(said))}. Add "
            "the test data before the campaign begins; afterwards it would be a change of the data."
        )


def _waited(run: Path, job: str) -> Mapping[str, Any]:
    while runner.is_alive(run, job):
        time.sleep(0.01)  # the last try has written its result, and is about to end
    runner.launch(run, job)
    try:
        return runner.wait(run, job)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # without the words on a run that goes on


def _tail(place: Path, said: str = "") -> str:
    """Return the end of what a process printed, for a person; "" when all of it was `said`."""
    log = place / "score.txt" if place.is_dir() else place
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line for line in render.visible(text).splitlines() if line.strip()][-TAIL_LINES:]
    if all(line in said for line in lines):
        return ""
    return "\nIts last lines:\n" + intake.indented("\n".join(lines))


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
        if not task.suspicious:
            does = "halves the number" if task.goal == "minimize" else "adds half to the number"
            yield (
                "Then no gain is too good to be true either: suspicious = 0.5 in task.toml has a "
                f"person look at what {does} in one step."
            )
    elif values[0] != values[1] and not reads:
        yield (
            "The tries differ although nothing reads SEED. How much runs differ is learned from "
            "repeats: ark.baseline(campaign, seeds=3) begins with three."
        )
    if task.train:
        yield "It was trained once and scored twice; trainings on other seeds may differ more."
