"""What a scorer of one's own is made of: `main`, `ask`, `take` and `Crash`.

    from autoresearch_kit.scorer import Crash, ask, main

    def score(data):
        text = (data / "val.txt").read_bytes()
        packed = ask(["python", "squeeze.py", "pack"], input=text)
        if ask(["python", "squeeze.py", "unpack"], input=packed) != text:
            raise Crash("what was unpacked is another text")
        return 8 * len(packed) / len(text)

    main(score)

Such a script is trusted: it comes from the baseline, runs outside the sandbox and sees the hidden
data. So the candidate's code runs in `ask` and nowhere else: nothing here imports it, and whatever
comes back is a claim to be checked.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import numbers
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import records, sandbox
from autoresearch_kit.crash import Crash
from autoresearch_kit.files import read_untrusted
from autoresearch_kit.talk import WRITTEN, Talk
from autoresearch_kit.workplace import remove_odd

__all__ = ["Crash", "ask", "main", "take"]

MOST_BYTES = 16 << 20
MEMORY = 4 << 30
REASON_CHARACTERS = 300

_GIVEN = {"code": "CODE_DIR", "run": "RUN_DIR", "data": "DATA_DIR", "out": "SCORE_DIR",
          "split": "SPLIT", "seed": "SEED"}  # fmt: skip
_boxed: list[bool] = []  # of each program that `ask` has started: was it in the sandbox?
_theirs: list[Path] = []  # folders that such programs could write


def main(score: Callable[..., Any]) -> None:
    """Call `score`, print its result as one JSON object, and end the process when it fails.

    Parameters
    ----------
    score
        A function that asks by name for what it needs: `code` (the candidate's files, read-only by
        contract), `run` (what its training left), `data` (the first data folder, whole), `out` (for
        files of its own), all of them a `Path`; `split` (``val``, or ``test`` in an audit), `seed`
        (1, 2, 3, ...: anybody can guess it, so what a candidate must not foresee comes from
        ``random.SystemRandom``). It returns the metric, or a dict with it as ``value``; anything
        else in the dict stays in the run's ``score.json``.

    Raises
    ------
    SystemExit
        With status 1 and one line on stderr, when anything but `Crash` was raised, or the result is
        no number: that is the scorer's own fault and no verdict. A number that isn't finite is the
        candidate's: a crash.

    Notes
    -----
    The result says ``sandboxed``: whether all that `ask` started was in the sandbox. A score that
    asked nobody is that of a sandboxed training, if there was one; a scorer that starts candidates
    by `ark.untrusted` itself returns its own ``"sandboxed": True``. With `split` among what it asks
    for, the result says which split was measured, so that audits use the sealed one.

    In a shell: ``DATA_DIR=data python score.py``; `ask` then shows the checkout, its data too.
    """
    _boxed.clear()
    _theirs.clear()
    trained = Path(os.environ.get("RUN_DIR", "")).is_dir() and "RUN_DIR" in os.environ
    try:
        given = _given(score)
        result = {"split": given["split"]} if "split" in given else {}
        try:
            result |= _checked(score(**given))
        except Crash as crash:
            result["crash"] = records.clean(str(crash), REASON_CHARACTERS) or "no reason was given"
        result.setdefault("sandboxed", all(_boxed) if _boxed else trained)
        line = json.dumps(result)
    except Exception as error:
        said = f"{_place(error, score)}{type(error).__name__}: {error}"
        print(records.clean(said), file=sys.stderr, flush=True)
        raise SystemExit(1) from None
    print(f"\n{line}", flush=True)  # on a line of its own, whatever was printed before


def ask(
    argv: Sequence[str | os.PathLike[str]],
    *,
    input: bytes = b"",
    seconds: float = 60.0,
    read: Iterable[str | os.PathLike[str]] = (),
    write: Iterable[str | os.PathLike[str]] = (),
    env: Mapping[str, str] | None = None,
    most_bytes: int = MOST_BYTES,
    memory: int = MEMORY,
    quote: bool = False,
) -> bytes:
    """Run a candidate's program in the sandbox and return what it prints.

    It starts in its own files, which it can read and not write, and sees nothing else: no data, no
    network, no other process, no earlier `ask`. When it has ended, or is to be ended, nothing of it
    is left.

    Parameters
    ----------
    argv
        Program and arguments; ``python`` is the interpreter that runs the scorer.
    input
        What it reads from stdin.
    seconds
        Wall-clock limit; less where `timeout_seconds` of the task is over sooner.
    read, write
        Files and folders that it may see, or change, beside its own. Never name hidden data. After
        the call links, pipes and sockets are gone from `write`.
    env
        Environment variables beside SEED.
    most_bytes
        Bytes that it may print, to stdout and to stderr each.
    memory
        Bytes that it may use, all its processes together.
    quote
        Put its last line of stderr into the reason of a crash, printable and at most 300
        characters. False because reasons go into the history and into the prompts of proposers,
        and code that has seen hidden input can write it there: 300 characters for each crash. A
        crash then says only the exit status, which of Python's own exceptions it was, and the line
        in one of its own files: some 20 bits. A person finds the rest in ``score.txt`` in the run's
        folder. True is right where `input` is no secret.

    Raises
    ------
    Crash
        When it can't be started from its files, ends with another status than 0, takes too long,
        prints too much or uses too much memory; and when there is nothing at a path of `read` or
        `write` in the folder of its training, or in one that an earlier program could write.
    FileNotFoundError
        When there is no such program on this machine, or nothing at another path.
    TypeError, ValueError
        When an argument makes no sense.
    """
    if isinstance(argv, str) or not argv:
        raise TypeError(f"argv = {argv!r}; expected a list, such as ['python', 'main.py']")
    if not isinstance(input, bytes | bytearray | memoryview):
        raise TypeError(f"input is {type(input).__name__}; expected bytes, such as text.encode()")
    for name, paths in {"read": read, "write": write}.items():
        if isinstance(paths, str | os.PathLike):
            raise TypeError(f"{name} = {paths!r}; expected a list, such as [{paths!r}]")
    for name, most in {"seconds": seconds, "most_bytes": most_bytes, "memory": memory}.items():
        if not most > 0:
            raise ValueError(f"{name} = {most!r}; expected more than 0")
    code = Path(os.environ.get("CODE_DIR") or ".").resolve()
    words = [os.fspath(word) for word in argv]
    program = next((Path(word).name for word in words if word.endswith(".py")), words[0])
    if words[0] in ("python", "python3"):
        words[0] = sys.executable
    shown, written = [_given_to(path) for path in read], [_given_to(path) for path in write]
    _boxed.append(sandbox.unavailable() is None)
    variables = {"SEED": os.environ.get("SEED", "0"), "PYTHONHASHSEED": "0"}
    process = sandbox.untrusted(
        words,
        read=[code, *shown],
        write=written,
        cwd=code,
        env=variables | dict(env or {}),
        file_size=WRITTEN,
        memory=memory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    talk = Talk(process, program, memoryview(input).cast("B"), most_bytes)
    folders = [path for path in written if path.is_dir()]
    _theirs.extend(folders)
    try:
        talk.hold(_until(seconds), memory, folders)
    finally:
        sandbox.kill(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        for folder in folders:
            remove_odd(folder)
    if process.returncode:
        raise Crash(f"{program} {talk.ending(code, quote=quote)}")
    return bytes(talk.said)


def _until(seconds: float) -> float:
    """Return the seconds that a program may take, for the whole scoring ends as well."""
    left = float(os.environ.get("SCORE_UNTIL") or "inf") - time.time()
    return min(seconds, max(0.0, left))


def take(path: str | os.PathLike[str], *, most_bytes: int = MOST_BYTES) -> bytes:
    """Return the content of a file that a candidate left; never that of a file elsewhere.

    Raises
    ------
    Crash
        When there is no regular file (a link is none), or it is larger than `most_bytes`.
    """
    name = Path(path).name
    try:
        content = read_untrusted(Path(path), most_bytes + 1)
    except OSError:
        raise Crash(f"it left no regular file {name}") from None
    if len(content) > most_bytes:
        raise Crash(f"the file {name} that it left has more than {most_bytes:,} bytes")
    return content


def _given(score: Callable[..., Any]) -> dict[str, Any]:
    """Return what a function asks for by the names of its parameters."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(score).parameters.items():
        rest = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if name in _GIVEN and not rest:
            found[name] = _value_of(name)
        elif parameter.default is parameter.empty and not rest:
            raise TypeError(f"it asks for {name!r}; there are {', '.join(_GIVEN)}")
    return found


def _value_of(name: str) -> Any:
    said = os.environ.get(_GIVEN[name], "")
    if name == "split":
        return said or "val"
    if name == "seed":
        return int(said or 1)
    if name == "code":
        return Path(said or ".").resolve()
    if not said:
        hint = 'data = ["data"] in task.toml sets it, or ' if name == "data" else ""
        raise LookupError(
            f"it asks for {name}, but {_GIVEN[name]} is not set; {hint}by hand: "
            f"{_GIVEN[name]}=FOLDER python {Path(sys.argv[0]).name}"
        )
    folder = Path(said).absolute()
    if name in ("run", "out"):
        folder.mkdir(parents=True, exist_ok=True)  # where nothing was trained there is none
    return folder


def _checked(said: Any) -> dict[str, Any]:
    """Return a result with a finite number as its value."""
    result = dict(said) if isinstance(said, Mapping) else {"value": said}
    if "value" not in result:
        raise TypeError(f"score returned a dict without 'value': {', '.join(map(str, result))}")
    value = result["value"]
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"score returned {value!r:.80}; expected a number, or a dict with 'value'")
    number = math.inf
    with contextlib.suppress(OverflowError):
        number = float(value)
    if not math.isfinite(number):
        raise Crash(f"its score is {number}, expected a finite number")
    return result | {"value": number}


def _given_to(path: str | os.PathLike[str]) -> Path:
    """Return a path that may be shown; what a candidate should have left and didn't is a crash."""
    place, run = Path(path).absolute(), os.environ.get("RUN_DIR")
    for theirs in (*_theirs, *([Path(run)] if run else [])):
        if place == theirs or not place.is_relative_to(theirs):
            continue
        parts = [place, *(above for above in place.parents if above.is_relative_to(theirs))]
        if not place.exists() or any(part.is_symlink() for part in parts[:-1]):
            raise Crash(f"it left no {place.relative_to(theirs)}")
    return place


def _place(error: Exception, score: Callable[..., Any]) -> str:
    """Return where in the scorer's own file an error came up."""
    file = getattr(getattr(score, "__code__", None), "co_filename", "")
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f", line {frame.lineno}" for frame in frames if frame.filename == file]
    return f"{Path(file).name}{lines[-1] if lines else ''}: " if file else ""
