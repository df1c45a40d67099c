"""What somebody says of a task of their own: each mistake is named, before anything runs."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from autoresearch_kit import git
from autoresearch_kit import task as tasks
from autoresearch_kit.errors import LabError, TaskError
from autoresearch_kit.task import Task

SCORER, MOST_NAMED = "score.py", 5
TIMED = '''\
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
COMPARED = '''\
"""Share of the hidden questions, a line each, that {program} gets {which}."""
from autoresearch_kit.scorer import Crash, ask, main


def score(data, split):  # "val", and "test" in audits: data/val.in, data/val.out, data/test.in ...
    questions = (data / f"{{split}}.in").read_bytes()
    expected = (data / f"{{split}}.out").read_text().splitlines()
    said = ask(["python", "{program}"], input=questions).decode(errors="replace").splitlines()
    if len(said) != len(expected):
        raise Crash(f"{{len(said)}} lines came back for {{len(expected)}}")
    return sum(one {sign} other for one, other in zip(said, expected)) / len(expected)


main(score)
'''
_EXPECTED = {
    "edit": "the name of a file, such as 'main.py', or a list of them",
    "metric": "the name of the number that decides, such as 'seconds'",
    "goal": "'minimize' or 'maximize'",
    "unit": "a word, such as 's'",
    "score": "a command, such as 'python score.py'",
    "train": "a command, such as 'python train.py'",
    "data": "the name of a folder, such as 'data', or a list of them",
    "name": "a word, such as 'squeeze'",
}
_LISTS = ("edit", "data", "score", "train")


def fields(host: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as keys of a task, without those that are None.

    Raises
    ------
    TypeError
        When one is of another kind than expected, such as a function for a command.
    TaskError
        When there is no such key, or one is missing.
    """
    known = [field.name for field in dataclasses.fields(Task)]
    found = {key: value for key, value in given.items() if value is not None}
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            instead = f"did you mean {near[0]}=?" if near else f"there are {', '.join(known)}."
            raise TaskError(f"new_task has no argument {key!r}; {instead}")
    for key in ("edit", "metric"):
        if not found.get(key):
            raise TaskError(f"{key}= is missing; expected {_EXPECTED[key]}.")
    for key in (key for key in _EXPECTED if key in found):
        found[key] = _typed(host, key, found[key])
    return found


def _typed(host: Path, key: str, value: Any) -> Any:
    several = key in _LISTS and isinstance(value, list | tuple)
    paths = key in ("edit", "data") or several
    for one in value if several else [value]:
        if isinstance(one, str) or (paths and isinstance(one, os.PathLike)):
            continue
        what = f"{key} = {value!r:.80}"
        more = ""
        if callable(value):
            name = getattr(value, "__name__", "score")
            what = f"{key} is the function {name}" if key in _LISTS else f"{key} is a function"
            if key == "score":
                more = (
                    f": write it into a score.py that ends with main({name}), "
                    "from autoresearch_kit.scorer"
                )
        raise TypeError(f"{what}; expected {_EXPECTED[key]}{more}")
    if key not in _LISTS:
        return value
    if isinstance(value, str) and key in ("score", "train"):
        try:
            value = shlex.split(value)
        except ValueError as error:
            raise TaskError(f"{key}={value!r} is no command: {error}") from None
    words = [value] if isinstance(value, str | os.PathLike) else value
    named = tuple(_home(host, os.fspath(word)) for word in words)
    # "./main.py" is compared with names of files in git, which have no dot.
    return tuple(str(PurePosixPath(word)) for word in named) if key == "edit" else named


def _home(host: Path, word: str) -> str:
    """Return a word with its ``~`` expanded, relative to the host if it lies there."""
    if not word.startswith("~"):
        return word
    try:
        place = str(Path(word).expanduser())
    except RuntimeError:
        return word  # nobody's home
    inside = _inside(host, place)
    return place if inside is None else str(inside)


def _inside(host: Path, name: str) -> PurePosixPath | None:
    """Return the path of what a host's key names in the host; None when it lies elsewhere."""
    place = Path(os.path.normpath(host / name))
    for one in (place, place.resolve()):
        if one.is_relative_to(host):
            return PurePosixPath(one.relative_to(host))
    return None


def check(host: Path, head: str | None, found: Mapping[str, Any]) -> None:
    """Raise unless `edit`, `data` and the commands name what they should.

    Parameters
    ----------
    head
        The last commit, None when there is none yet: that is an error too, which says what to
        commit, for everything would take the data along.
    """
    _check_data(host, found.get("data", ()))
    if head is None:
        listed = git.call(host, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        there = listed.decode(errors="surrogateescape").split("\0")[:-1]
    else:
        there = git.list_files(host, head)
    for name in found["edit"]:
        if wrong := _wrong_edit(host, head, there, name, found):
            raise TaskError(f"edit names {name!r}, {wrong}")
    if head is None:
        raise LabError(_first_commit(host, there, found))
    for key in ("score", "train"):
        words = found.get(key) or ("",)
        runs = "/" in words[0] and os.access(host / words[0], os.X_OK)
        if words[0].endswith(".py") and not runs:
            command = shlex.join(words)
            raise TaskError(f"{key}={command!r} names no program; say {key}='python {command}'")


def _check_data(host: Path, data: Sequence[str]) -> None:
    for name in data:
        place = host / name
        if not place.exists():
            raise TaskError(f"data names {name!r}, but there is no {place}; make it, or correct it")
        if not place.is_dir():
            raise TaskError(
                f"data names {name!r}, which is a file; it has to be a folder. Put the file into "
                "one, such as data, and say data='data'."
            )
        if host.is_relative_to(place.resolve()):
            raise TaskError(
                f"data names {name!r}, which holds the repository itself. Put the data into a "
                "folder of its own, such as data, and say data='data'."
            )


def _wrong_edit(
    host: Path, head: str | None, there: Sequence[str], name: str, found: Mapping[str, Any]
) -> str:
    """Return what is wrong with a name in `edit`; "" when it is a file that may change."""
    inside = _inside(host, name)
    if inside is None:
        return f"which is outside of {host}; expected a file in it."
    if holder := in_data(host, found.get("data", ()), str(inside)):
        what = "a data folder" if holder == inside else f"which lies in the data folder {holder}"
        return f"{what}, and no experiment may change data. {_singles(host, there, found)}"
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        return f"expected its path in the repository: {str(inside)!r}."
    if str(inside) in there:
        return ""
    within = [file for file in there if inside in PurePosixPath(file).parents]
    if within or (host / name).is_dir():
        return f"a folder. {_singles(host, within, found)}"
    if set(name) & set("*?["):
        matching = [file for file in there if PurePosixPath(file).match(name)]
        return f"a pattern. {_singles(host, matching, found)}"
    if head is None:
        return f"but there is no {host / name}, or git ignores it."
    said = f"which is not in the last commit of {host}"
    if (host / name).is_file():
        return f"{said}: git -C {shlex.quote(str(host))} add {shlex.quote(name)}, and git commit."
    if near := difflib.get_close_matches(name, there, 1):
        return f"{said}; did you mean {near[0]!r}?"
    return f"{said}. {_singles(host, there, found)}"


def _singles(host: Path, files: Sequence[str], found: Mapping[str, Any]) -> str:
    """Return in words what `edit` may name, of some files."""
    own, data = {*found.get("score", ()), SCORER, tasks.FILE}, found.get("data", ())
    code = [file for file in files if file not in own and not file.startswith(".")]
    code = [file for file in code if not in_data(host, data, file)]
    if not code:
        return "edit names single files, and there is none in git."
    code.sort(key=lambda file: not file.endswith(".py"))
    named = code[0] if len(code) == 1 else code[:MOST_NAMED]
    more = f", and {len(code) - MOST_NAMED} more are there" if len(code) > MOST_NAMED else ""
    return f"edit names single files: edit={named!r}{more}."


def in_data(host: Path, data: Sequence[str], file: str) -> PurePosixPath | None:
    """Return the data folder that a file of the host is, or lies in."""
    path = PurePosixPath(file)
    folders = filter(None, (_inside(host, name) for name in data))
    return next((one for one in folders if one == path or one in path.parents), None)


def _first_commit(host: Path, there: Sequence[str], found: Mapping[str, Any]) -> str:
    at, lines = _git(host), [*_ignoring(host, found.get("data", ()))]
    names = [*found["edit"]]
    if lines or ".gitignore" in there:
        names.append(".gitignore")
    lines += [f"{at} add {shlex.join(names)}", f"{at} commit -m 'The code'"]
    return (
        f"{host} has no commit yet. Commit the code that may change, with what it needs and "
        "without data, which each experiment could read in git:\n    " + "\n    ".join(lines)
    )


def hiding(host: Path, task: Task, head: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return notes on hidden data that candidates can read, and the shell lines that hide it."""
    if not task.score:
        return (), ()  # the script measures itself, so nothing can be hidden from it
    tracked, notes, lines = git.list_files(host, head), list[str](), list[str]()
    for name in task.data:
        split, folder = (host / name / "train").is_dir(), _inside(host, name)
        if folder is not None:
            inside = [PurePosixPath(f) for f in tracked if folder in PurePosixPath(f).parents]
            shown = [f for f in inside if not (split and folder / "train" in f.parents)]
            if shown:
                depth = len(folder.parts) + split  # the part for training may stay in git
                parts = sorted({str(PurePosixPath(*f.parts[:depth])) for f in shown})
                lines.append(f"{_git(host)} rm -r --quiet --cached {shlex.join(parts)}")
                notes.append(
                    f"{shown[0]} is in git, so each experiment's code can read it. The first lines "
                    "below take it out of git, and leave the file where it is."
                )
            elif not inside and not _ignored(host, folder):
                notes.append(
                    f"{folder} is not in .gitignore: the next git add . would put it into each "
                    f"experiment's code. Add a line {folder}/ there."
                )
        if task.train and not split:
            notes.append(
                f"{name} has no part {folder or name}/train, so training sees all that the scorer "
                "sees."
            )
    if lines:
        ignoring = _ignoring(host, task.data)
        lines += [*ignoring, *([f"{_git(host)} add .gitignore"] if ignoring else [])]
        lines.append(f"{_git(host)} commit -m 'Hidden data is not in git'")
    return tuple(notes), tuple(lines)


def _git(host: Path) -> str:
    return f"git -C {shlex.quote(str(host))}"


def _ignoring(host: Path, data: Sequence[str]) -> list[str]:
    """Return the shell lines after which git ignores data folders."""
    file, lines = host / ".gitignore", list[str]()
    text = file.read_bytes() if file.is_file() else b""
    for name in data:
        folder = _inside(host, name)
        if folder is not None and not _ignored(host, folder):
            open_end = not lines and text and not text.endswith(b"\n")
            add = "printf '\\n%s\\n'" if open_end else "echo"
            lines.append(f"{add} {shlex.quote(f'{folder}/')} >> {shlex.quote(str(file))}")
    return lines


def _ignored(host: Path, folder: PurePosixPath) -> bool:
    # A rule "data/" is one for folders only, and holds for what is in them.
    asked = f"{folder}\0{folder}/x".encode()
    return bool(git.call(host, "check-ignore", "-z", "--stdin", input=asked, accept=(0, 1)))


def agreed_text(host: Path, task: Task) -> str:
    """Return the text of the task.toml that is to be there; another one is an error."""
    there = host / tasks.FILE
    if not there.exists():
        return task.toml()
    text = there.read_text(encoding="utf-8")
    old, new = _lines(tasks.parse(text)), _lines(task)
    changed = [key for key in old | new if old.get(key) != new.get(key)]
    if changed:
        pairs = "".join(
            f"    there       {old.get(key, f'no {key}')}\n"
            f"    this call   {new.get(key, f'no {key}')}\n"
            for key in changed
        )
        raise TaskError(
            f"{there} says something else:\n{pairs}It is never overwritten: edit or remove it, or "
            "call with what it says."
        )
    return text


def _lines(task: Task) -> dict[str, str]:
    """Return all lines of a task's TOML by their key, those that say the default too."""
    plain = task.as_dict()
    plain |= {f"options.{key}": value for key, value in plain.pop("options").items()}
    return {key: f"{key} = {_toml(value)}" for key, value in plain.items()}


def _toml(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str)  # such values look alike in TOML


def of_edits(host: Path, task: Task) -> Iterator[str]:
    """Yield which files to edit are others than what is tried."""
    for file in git.uncommitted(host, task.edit):
        yield f"{file} has changes that are not committed; what was tried is the last commit's."


def _program(fields: Mapping[str, Any]) -> str:
    """Return which file an example should start."""
    words = [*fields.get("train", ()), *fields.get("edit", ())]
    return next((word for word in words if word.endswith(".py")), "main.py")


def no_scorer(what: str, fields: Mapping[str, Any]) -> str:
    """Return an error's words with a scorer to adapt, for the program that `fields` name."""
    which, sign = ("right", "==") if fields.get("goal") == "maximize" else ("wrong", "!=")
    shape = COMPARED if fields.get("data") else TIMED
    example = indented(shape.format(program=_program(fields), which=which, sign=sign))
    return (
        f"{what}.\nA number that can be trusted comes from a script of yours that runs the code in "
        f"the sandbox\nand checks what comes back. Adapt this {SCORER}, and call again with "
        f"score='python {SCORER}':\n\n{example}"
    )


def indented(text: str) -> str:
    """Return a text as a block in another one."""
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())
