"""What a host and its campaigns agree on: from its task.toml, from arguments, or from habit."""

from __future__ import annotations

import ast
import dataclasses
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from autoresearch_kit import git, task
from autoresearch_kit.errors import TaskError
from autoresearch_kit.task import Task

ORIGINAL = {
    "name": "autoresearch",
    "edit": ("train.py",),
    "train": ("python", "train.py"),
    "metric": "val_bpb",
    "goal": "minimize",
    "unit": "bits/byte",
}
"""What karpathy/autoresearch (program.md, commit 228791f) prescribes in words."""


Read: TypeAlias = Callable[[str], bytes | None]
"""Returns the content of a host's file by its path in the host, None when it isn't there."""


def given(contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are not None, single words as the tuples that a task has."""
    found = {key: value for key, value in contract.items() if value is not None}
    for key in ("edit", "data", "env", "schedule", "allow"):
        if isinstance(found.get(key), str):
            found[key] = (found[key],)
    for key in ("train", "score"):
        if key in found:
            found[key] = task.words(found[key])
    return found


def typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as a task would hold them; a wrong one is a `TaskError`."""
    checked = make({"name": "x", "edit": ("x",), "train": ("x",), **given})
    return {key: getattr(checked, key) for key in given}


def make(given: Mapping[str, Any]) -> Task:
    """Return the task that arguments make; where one is wrong, no file is blamed for it."""
    try:
        return task.make(given)
    except TaskError as error:
        raise TaskError(str(error).removeprefix(f"{task.FILE}: ")) from None


def of(path: Path, commit: str, given: Mapping[str, Any]) -> Task:
    """Return the task of a new campaign that starts at `commit`, checked against its files.

    Raises
    ------
    TaskError
        When the host has no task and too little is given, or names what isn't there.
    """
    fixed = _agreed(path, commit, given)
    check(path, fixed, lambda name: git.read_bytes(path, commit, name), f"commit {commit[:7]}")
    for edited in fixed.edit:
        if git.text(path, "ls-tree", commit, "--", edited).startswith("120000"):
            raise TaskError(
                f"edit names {edited!r}, which is a link in {path}: whoever writes it could let it "
                "point at what nobody may read. Name the file that it points at."
            )
    return fixed


def check(path: Path, fixed: Task, read: Read, where: str) -> None:
    """Raise unless what a task names is there, and no proposal can change what measures it.

    Parameters
    ----------
    path
        The host.
    read, where
        What it holds, and what that is called in messages: ``commit 1a2b3c4``.

    Raises
    ------
    TaskError
        When a file or program is missing, or `edit` names a file of the scorer.
    """
    for edited in fixed.edit:
        if read(edited) is None:
            raise TaskError(
                f"edit names {edited!r}, which is not in {where} of {path}. "
                "Commit the file first, or name another one."
            )
    _check_command("train", fixed.train, fixed.command(path), read, f"{where} of {path}")
    command = fixed.score
    _check_baseline(path, command)
    _check_command("score", command, command, read, f"{where} of {path}")
    if shared := [file for file in files_of(command, read) if file in fixed.edit]:
        how = f"edit names {shared[0]!r}, which score={' '.join(command)!r} runs"
        if shared[0] != script(command, read):
            how += f" or imports at its top ({', '.join(files_of(command, read))})"
        raise TaskError(
            f"{how}. A scorer is taken from the baseline, so no proposal could change that part of "
            "it, and the number would be that of another program. Take the file out of edit; or "
            "let the scorer start it as a program: autoresearch_kit.scorer.ask(...)."
        )


def _check_baseline(path: Path, command: Sequence[str]) -> None:
    """Refuse a scorer that would be read from the disk, where anything may change it unseen."""
    for i, word in enumerate(command):
        given = Path(word).expanduser()
        place, top = Path(path, given).resolve(), path.resolve()
        outside = given.is_absolute() or ".." in given.parts
        if outside and place.suffix in (".py", ".sh") and place.is_file():
            own = place.is_relative_to(top)
            name = place.relative_to(top).as_posix() if own else place.name
            other = shlex.join([*command[:i], name, *command[i + 1 :]])
            raise TaskError(
                f"score={shlex.join(command)!r} names {word}, which is read from the disk as it is "
                "then. Expected a file of the repository: a scorer is taken from the baseline's "
                f"commit, where nothing can change it. {'T' if own else 'Copy it there and t'}ype "
                f"score={other!r}"
            )


def script(command: Sequence[str], read: Read) -> str:
    """Return the host's own file that a command of Python runs; "" when it runs something else."""
    words = [word for word in command[1:] if word == "-m" or not word.startswith("-")]
    if not words or not Path(command[0]).name.startswith("python"):
        return ""
    if words[0] != "-m":
        name = str(PurePosixPath(words[0]))
        return name if name.endswith(".py") and not name.startswith("/") else ""
    names = _places(".".join(words[1:2]), PurePosixPath())
    names += [f"{name.removesuffix('__init__.py')}__main__.py" for name in names[-2:-1]]
    return next((name for name in reversed(names) if read(name) is not None), "")


def files_of(command: Sequence[str], read: Read, *, deep: bool = False) -> list[str]:
    """Return a command's own script and the files of the host that it imports, and these again.

    Parameters
    ----------
    deep
        Also what is imported inside functions, and scripts that a text in them names: all that
        belongs to it, not only what is sure to run.
    """
    first = script(command, read)
    by_path = first in [str(PurePosixPath(word)) for word in command[1:]]
    # Python looks beside a script, but a module is looked for from the top of the host.
    top = PurePosixPath(first).parent if by_path else PurePosixPath()
    packages = [] if by_path else [str(at / "__init__.py") for at in PurePosixPath(first).parents]
    found, todo = list[str](), [*packages, first] if first else []
    while todo:
        name = todo.pop()
        if name in found or (content := read(name)) is None:
            continue
        found.append(name)
        try:
            tree = ast.parse(content)
        except (SyntaxError, ValueError):
            continue  # whoever runs it is told
        todo += _named(tree, PurePosixPath(name), top, deep=deep)
    return found


def _named(tree: ast.Module, file: PurePosixPath, top: PurePosixPath, *, deep: bool) -> list[str]:
    """Return the paths in a host that a file may import, whether they are there or not."""
    names: list[str] = []
    for node in ast.walk(tree) if deep else _at_top(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names += _places(alias.name, top)
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else top
            names += _places(node.module or "", base)
            for alias in node.names:
                names += _places(".".join(filter(None, (node.module, alias.name))), base)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            path = PurePosixPath(node.value[:500])
            if path.suffix == ".py" and not path.is_absolute() and ".." not in path.parts:
                names += [str(path), str(file.parent / path)]
    return names


def _at_top(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what runs as soon as a file is imported; a branch may be for another process."""
    yield from (node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))


def _places(module: str, base: PurePosixPath) -> list[str]:
    """Return where the files of a dotted module, and of the packages around it, may lie."""
    found, at = list[str](), base
    for part in filter(None, module.split(".")):
        at /= part
        found += [str(at / "__init__.py"), f"{at}.py"]
    return found


def _agreed(path: Path, commit: str, given: Mapping[str, Any]) -> Task:
    content = git.read_file(path, commit, task.FILE)
    if content is not None:
        try:
            agreed = task.parse(content)
        except TaskError as error:
            raise TaskError(
                f"{error}. So it is in commit {commit[:7]} of {path}, and only what is committed "
                "counts: correct the file and commit it."
            ) from error
        return dataclasses.replace(agreed, **typed(given))
    base: dict[str, Any] = {}
    if "edit" not in given:
        files = set(git.list_files(path, commit))
        if not {"train.py", "prepare.py", "program.md"} <= files:
            if (path / task.FILE).exists():
                raise TaskError(
                    f"{path / task.FILE} is not in commit {commit[:7]}, and only what is committed "
                    f"counts; type git add {task.FILE} (and the scorer that it names) and "
                    "git commit"
                )
            raise TaskError(
                f"{path} has no {task.FILE}, so say what may change and which number decides:\n"
                f"    ark.open_campaign({str(path)!r}, tag=..., edit='train.py', "
                "train='python train.py', metric='val_loss', goal='minimize')"
            )
        base = dict(ORIGINAL)
    elif "metric" not in given or not {"train", "score"} & set(given):
        missing = "train" if "metric" in given else "metric"
        raise TaskError(
            f"{missing}= is missing: a host needs edit= (what may change), metric= (the name of "
            "the number) and train= (the command that prints it) or score= (a trusted one)."
        )
    return make({"name": path.name, **base, **given})


def _check_command(
    key: str, words: Sequence[str], command: Sequence[str], read: Read, where: str
) -> None:
    """Catch a misspelt program or script now rather than after the first run."""
    if not command:
        return
    program = command[0]
    own = "/" in program and read(str(PurePosixPath(program))) is not None
    kits = key == "score" and program in ("python", "python3")
    if not (own or kits) and shutil.which(program, path=os.environ.get("PATH")) is None:
        place = f" in {where}" if "/" in program else ""
        raise TaskError(f"{key}={' '.join(words)!r}: there is no program {program!r}{place}")
    first = next((word for word in command[1:] if not word.startswith("-")), "")
    if not first.endswith(".py") or first.startswith("/"):
        return
    if read(str(PurePosixPath(first))) is None:
        raise TaskError(
            f"{key}={' '.join(words)!r}: {first} is not in {where}; correct the name, or "
            "commit the file."
        )
