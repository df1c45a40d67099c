"""The folders, environments and traces of a run's processes: what they are given, what they leave.

In a run's folder: ``code/`` the experiment's files while it trains, ``out/`` its RUN_DIR,
``score/`` the scorer's SCORE_DIR.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import git, keys, sandbox
from autoresearch_kit.files import read_untrusted
from autoresearch_kit.task import Task

PACKAGE = Path(__file__).parent
GUARD = PACKAGE / "guard"
REASON_CHARACTERS = 300

ESCAPES = re.compile(
    r"\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)"  # colours, titles, ...
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Interrupt|Exit)\b.*")


def start_training(
    part: Path,
    spec: Mapping[str, Any],
    task: Task,
    env: Mapping[str, str],
    popen: Mapping[str, Any],
) -> subprocess.Popen[bytes]:
    """Export ``spec["commit"]`` into ``part/code`` and start its training in the sandbox.

    Parameters
    ----------
    part
        Folder of which ``code/`` and ``out/`` are made and writable for the training.
    env, popen
        Environment and keywords of `subprocess.Popen` to add: the clock, the output.
    """
    code, out, host = part / "code", part / "out", Path(spec["host"])
    git.export(Path(spec["repo"]), spec["commit"], code)
    out.mkdir(parents=True, exist_ok=True)
    shown = [link_data(code, host, name) for name in task.data]
    variables = _environment(spec, task, code, out)
    if shown:
        variables["DATA_DIR"] = str(shown[0])
    if task.clock in ("cpu", "relative"):
        variables |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if task.clock == "relative":
        popen = {**popen, "preexec_fn": _same_addresses()}
    most = min(sandbox.TMP_SIZE, sandbox.limits.machine_memory() // 8)
    path = [code, code / "src", GUARD] if (code / "src").is_dir() else [code, GUARD]
    return sandbox.untrusted(
        task.command(host),
        read=[*shown, GUARD],
        write=[code, out],
        cwd=code,
        env=variables | {"PYTHONPATH": os.pathsep.join(map(str, path))} | dict(env),
        home_cache=not task.score,
        tmp_size=int(min(most, task.memory_gb * 1e9 or most)),
        **popen,
    )


def start_scorer(
    run: Path, spec: Mapping[str, Any], env: Mapping[str, str], popen: Mapping[str, Any]
) -> subprocess.Popen[bytes]:
    """Start the task's scorer from the baseline's files; it is trusted, so there is no sandbox."""
    fields = dict(spec["task"])
    argv, data = list(fields["score"]), list(fields.get("data", ()))
    if argv[0] in ("python", "python3"):
        argv[0] = sys.executable
    code, baseline, score = run / "score-code", run / "score-baseline", run / "score"
    git.export(Path(spec["repo"]), spec["commit"], code)
    git.export(Path(spec["repo"]), spec["baseline_commit"], baseline)
    score.mkdir(exist_ok=True)
    variables = os.environ | {
        "CODE_DIR": str(code),
        "RUN_DIR": str(run / "out"),
        "SCORE_DIR": str(score),
        "SEED": str(spec["seed"]),
        "SPLIT": spec.get("split", "val"),
        "AUTORESEARCH_DEVICE": spec["device"],
        "PYTHONPATH": str(PACKAGE.parent),
    }
    if data:
        variables["DATA_DIR"] = str(Path(spec["host"], data[0]))
    # Without bubblewrap the monitor still ends what a killed supervisor leaves.
    return sandbox.untrusted(argv, sandbox=False, cwd=baseline, env=variables | dict(env), **popen)


def _environment(spec: Mapping[str, Any], task: Task, code: Path, out: Path) -> dict[str, str]:
    names = ("CUDA_VISIBLE_DEVICES", *task.env)
    return {name: os.environ[name] for name in names if name in os.environ} | {
        "CODE_DIR": str(code),
        "RUN_DIR": str(out),
        "SEED": str(spec["seed"]),
        "HOST_DIR": str(spec["host"]),
        "EDIT_FILES": json.dumps(list(task.edit)),
        "AUTORESEARCH_DEVICE": str(spec["device"]),
        "BUDGET_SECONDS": f"{task.budget_seconds:g}",
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads cost four times the time on a busy machine
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
    }


def _same_addresses() -> Callable[[], object] | None:
    """Return what makes a new process use the same memory addresses each time, if possible.

    Where its memory happens to lie makes a process up to 6 % dearer or cheaper for all its life:
    more than the differences in cost that are to be measured.
    """
    if not sys.platform.startswith("linux"):
        return None
    import ctypes  # 10 ms, so only where it is needed

    personality = ctypes.CDLL(None).personality
    return lambda: personality(0x0040000)  # ADDR_NO_RANDOMIZE; containers may refuse, no harm


def link_data(code: Path, host: Path, name: str) -> Path:
    """Make the training part of a data folder reachable at its place in `code`, and return it."""
    folder = Path(host, name)
    part = folder / "train" if (folder / "train").is_dir() else folder
    with contextlib.suppress(ValueError):  # Data outside of the host has no place in its code.
        place = code / part.relative_to(host)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(part.resolve())
    return part.resolve()


def disk_used(folder: Path, most_files: int) -> tuple[int, int]:
    """Return bytes and number of files below `folder`; gives up after `most_files`.

    It steps from folder to folder, because a path to one that lies deep may be too long to be
    opened. Where somebody moves a folder meanwhile it gives up too.
    """
    size = count = 0
    try:
        here = os.open(folder, _FOLDER)
    except OSError:
        return 0, 0
    way: list[tuple[tuple[int, int], list[str]]] = []  # from the top: which folder, what is left
    try:
        while True:
            more, files, below = _entries(here, most_files - count)
            size, count = size + more, count + files
            if count >= most_files:
                return size, count
            way.append((_identity(here), below))
            while (deeper := _step(here, way[-1][1])) is None:
                way.pop()
                if not way:
                    return size, count
                above = os.open("..", _FOLDER, dir_fd=here)
                os.close(here)
                here = above
                if _identity(here) != way[-1][0]:
                    return size, count
            os.close(here)
            here = deeper
    except OSError:
        return size, count
    finally:
        os.close(here)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _entries(folder: int, most: int) -> tuple[int, int, list[str]]:
    """Return the bytes in an open folder, the number of its entries, and which are folders."""
    size, count, folders = 0, 0, []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in itertools.islice(entries, most):
            count += 1
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
    return size, count, folders


def _step(here: int, below: list[str]) -> int | None:
    """Open the next of the folders in `here` that can be opened, and take it from the list."""
    while below:
        with contextlib.suppress(OSError):
            return os.open(below.pop(), _FOLDER, dir_fd=here)
    return None


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


def last_error(text: str) -> str:
    """Return the line that says best why a process failed: one line, printable, bounded."""
    lines = [line.strip() for line in ESCAPES.sub("", text[-20_000:]).splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if _EXCEPTION.match(line)]
    return _clean((errors or lines or [""])[-1])


def missing_module_hint(line: str, host: Path) -> str:
    """Return what to say about a module that the checkout has but the experiment's copy hasn't."""
    found = re.search(r"No module named '(\w+)", line)
    if found is None:
        return ""
    name = found.group(1)
    for pattern in (name, f"{name}.py", f"*/{name}", f"*/{name}.py"):
        for path in host.glob(pattern):
            if not path.relative_to(host).parts[0].startswith("."):
                return (
                    f" ({path} is in the checkout, but a run sees only what the commit has, its "
                    "top folder and src first on the path: commit it, or set the path in train)"
                )
    return ""


def foreign_imports(out: Path) -> str:
    """Return a file that the training imported instead of the experiment's, or ``""``."""
    try:
        names = json.loads(read_untrusted(out / "foreign-imports.json", 4096))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        return ""
    return _clean(names[0])


def remove_odd(out: Path) -> str:
    """Remove links, pipes and sockets that a run left, and return the names of some, printable.

    Whoever reads weights must not be led to another file, nor be made to wait for ever. ``find``
    follows no link and copes with folders nested thousands deep.
    """
    command = [
        "find",
        str(out),
        "!",
        "-type",
        "f",
        "!",
        "-type",
        "d",
        "-printf",
        "%P\\0",
        "-delete",
    ]
    done = subprocess.run(command, capture_output=True, check=False, env=keys.without(os.environ))
    return _clean(", ".join(map(repr, done.stdout.decode(errors="replace").split("\0")[:-1])))


def _clean(text: str) -> str:
    """Return text of untrusted code on one line, printable, bounded."""
    line = " ".join(ESCAPES.sub("", text[:20_000]).split())
    return line if len(line) <= REASON_CHARACTERS else line[: REASON_CHARACTERS - 4] + " ..."
