"""Run code that nobody trusts: the one door through which candidates start, and one for agents.

On Linux the door is bubblewrap (`boxes` writes its command line, `syscalls` a filter of system
calls), on macOS ``sandbox-exec`` (`seatbelt`): no network, an empty home and /tmp, of the file
system only what the caller names, and on Linux no other process. Where neither works, the same
command runs under a small monitor (`warden`) that ends everything the command started, but hides
nothing; callers record that as ``sandboxed = False``.

What a run uses in total is watched by who starts it; here are the limits that the kernel enforces.

A person's coding agent needs that person's network and home. Its door is wider: `agent`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from autoresearch_kit.sandbox import boxes, limits, obstacles, seatbelt, syscalls, warden

FILE_SIZE = 8 << 30
TMP_SIZE = 2 << 30
PROCESSES = max(2048, 32 * (os.cpu_count() or 1))  # libraries start a thread a core
AGENT = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": FILE_SIZE}
PROBE_SECONDS = 20
LOOK_MILLISECONDS = 200


def untrusted(
    argv: Sequence[str | os.PathLike[str]],
    *,
    read: Iterable[str | os.PathLike[str]] = (),
    write: Iterable[str | os.PathLike[str]] = (),
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    home_cache: bool = False,
    sandbox: bool = True,
    file_size: int = FILE_SIZE,
    tmp_size: int | None = None,
    memory: int | None = None,
    processes: int = PROCESSES,
    **popen: Any,
) -> subprocess.Popen[Any]:
    """Start `argv` in the sandbox and return its process, a session of its own.

    Inside there is no network, no other process, no device but GPUs, and of the file system only
    the system's programs, the Python installations of this process and of ``argv[0]``, `read` and
    `write`, each at the path it has outside. ``/tmp``, ``/dev/shm`` and the home are empty folders
    in memory that are gone with it.

    Parameters
    ----------
    argv
        Command and arguments. When ``argv[0]`` is the python of a virtual environment, that and the
        installation below it are visible.
    read, write
        Existing files and folders that are visible, read-only or writable; the deeper path wins.
        Links are followed: name no path that untrusted code may have made without looking
        (``os.lstat``) first, nor open one that it left behind.
    cwd
        Working directory, read-only unless `read` or `write` says otherwise; default TMPDIR.
    env
        Environment beside PATH, LANG, HOME and TMPDIR. Nothing else is inherited.
    home_cache
        Show ``~/.cache`` read-only, without Hugging Face's tokens, and let HOME be the usual path.
    sandbox
        False runs the command as if there were no sandbox here.
    file_size
        Size in bytes that no written file can exceed.
    tmp_size
        Bytes that fit into each of ``/tmp``, ``/dev/shm`` and the empty home (default: 2 GiB, but
        an eighth of the machine's memory at most).
    memory
        Bytes of private memory that each single process can get (default: nine tenths of the
        machine's); more is a ``MemoryError`` inside. Not enforced where GPUs pass through, whose
        drivers reserve more than they use. When the machine runs out, the kernel ends code in the
        sandbox first.
    processes
        Processes and threads at the same time (default: 2048, or 32 a core where that is more); one
        more can't be started. As root it takes Linux 6.14, else 5.14, and is never under 400.
    **popen
        Passed to `subprocess.Popen`: ``stdin`` (default: nothing), ``stdout``, ``pass_fds``, ...
        Let ``stdout`` and ``stderr`` be pipes: code inside can open a file again that it was given.

    Raises
    ------
    FileNotFoundError
        If the command or a path to show does not exist.
    TypeError, ValueError
        If `argv` is one string or empty, `read` or `write` is one string or holds ``/``, or a limit
        is not positive.

    Warns
    -----
    RuntimeWarning
        Once a process, when there is no sandbox here.

    Notes
    -----
    A command that a signal ended returns 128 + the signal's number. It is killed when the *thread*
    that started it ends, so call this from a thread that stays. When the command ends, all that it
    started ends too; `kill` ends it at once.

    Not run, for there was no such machine: GPUs (NVIDIA, WSL, AMD) inside, and macOS. On macOS no
    limit but `file_size` is enforced, and a process that leaves its process group lives on.

    Examples
    --------
    >>> process = untrusted([sys.executable, "solve.py"], read=[data], write=[out], cwd=code,
    ...                     stdout=subprocess.PIPE, memory=4 << 30)  # doctest: +SKIP
    >>> answer = process.communicate(timeout=60)[0][:10_000]  # doctest: +SKIP
    """
    folder = boxes.absolute(cwd or "/tmp")
    command, seen, written = _command(argv), _paths("read", read), _paths("write", write)
    command[0] = str(_program(command[0], folder))
    bounds = limits.table(file_size, memory, processes)
    tmp_size = min(TMP_SIZE, limits.machine_memory() // 8) if tmp_size is None else tmp_size
    if tmp_size < 1:
        raise ValueError(f"tmp_size must be a positive number of bytes, not {tmp_size}")
    boxed = sandbox and unavailable() is None
    if sandbox:
        warn()
    home = Path.home()
    inside = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TMPDIR": "/tmp",
        "HOME": str(home) if home_cache else "/tmp/home" if boxed else "/nonexistent",
    }
    popen = _defaults(popen)
    shown = home if home_cache else None
    if not boxed:
        command = [*_monitored(limits.alone(bounds)), *command]
    elif _on_linux():
        view = boxes.narrow(Path(command[0]), seen, written, folder, shown, tmp_size)
        everything = inside | dict(env or {})
        return _boxed(view, command, bounds, everything, popen, syscalls.program())
    else:
        scratch = Path(os.path.realpath(tempfile.mkdtemp(prefix="autoresearch-")))
        inside |= {"TMPDIR": str(scratch)} | ({} if shown else {"HOME": str(scratch)})
        folder = folder if cwd else scratch
        seen += [*boxes.prefixes(Path(command[0])), Path(command[0]), folder]
        profile = seatbelt.narrow(seen, [*written, scratch], shown)
        command = [seatbelt.PROGRAM, "-p", profile, *command]
        command = [*_monitored(limits.alone(bounds), scratch), *command]
    # The environment is inherited, not given as arguments, which every user could read in `ps`.
    return subprocess.Popen(command, cwd=folder, env=inside | dict(env or {}), **popen)


def agent(
    command: str,
    *,
    cwd: str | os.PathLike[str],
    env: Mapping[str, str],
    hide: Iterable[str | os.PathLike[str]] = (),
    read: Iterable[str | os.PathLike[str]] = (),
    sandbox: bool = True,
    **popen: Any,
) -> subprocess.Popen[Any]:
    """Start a coding agent, a shell `command`, and return its process, a session of its own.

    It has the network and sees the file system as the user does, without other processes and
    without `hide`. Writable are only `cwd`, the home and the temporary folders, and in these not
    the kit and its Python, which judge what the agent made. Where there is no sandbox nothing is
    hidden. In both cases it ends, with all that it started, as in `untrusted`.

    Parameters
    ----------
    cwd
        Its working directory, visible and writable wherever it lies.
    env
        The whole environment; nothing is inherited.
    hide
        Files and folders that look empty, as far as they exist.
    read
        What is visible, read-only, although it lies in a hidden folder.
    sandbox, **popen
        As in `untrusted`.

    Notes
    -----
    This keeps an agent from what it isn't meant to see; it is no prison for one that is set on
    getting out, for it may talk to the user's services over their sockets.
    """
    argv, folder = ["/bin/sh", "-c", command], Path(os.path.realpath(cwd))
    popen = _defaults(popen)
    if not sandbox or unavailable() is not None:
        argv = [*_monitored(AGENT), *argv]
    elif _on_linux():
        return _boxed(boxes.wide(folder, hide, read), argv, AGENT, env, popen)
    else:
        profile = seatbelt.wide(boxes.views(folder, hide, read))
        argv = [*_monitored(AGENT), seatbelt.PROGRAM, "-p", profile, *argv]
    return subprocess.Popen(argv, cwd=folder, env=dict(env), **popen)


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill `process` and everything it started, and wait until all of it is gone."""
    if process.poll() is not None:
        return  # Namespace or monitor have ended the rest already.
    import psutil  # Here, because starting a run must not wait for it.

    root = psutil.Process(process.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        root.suspend()  # A stopped root still inherits orphans, so nothing can slip away.
        for attempt in range(500):
            # The first child of bubblewrap takes its namespace along, however full that is.
            tree = [child for child in root.children(recursive=attempt > 0) if _lives(child)]
            if attempt and not tree:
                break
            for child in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            psutil.wait_procs(tree, timeout=0.02)
    process.kill()
    process.wait()


def _lives(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@functools.cache
def unavailable() -> str | None:
    """Return None when there is a sandbox here, else one line: why not, and what to type.

    The first call tries it for real (about 50 ms); later calls return what that one found.
    """
    if sys.platform == "darwin":
        said = _said_of_failure([sys.executable, "-c", ""])
        return f"sandbox-exec doesn't work here ({said})" if said else None
    if not _on_linux():
        return f"there is no sandbox for {sys.platform}, only for Linux (also WSL2) and macOS"
    if shutil.which("bwrap") is None:
        return (
            "bubblewrap is not installed; on Debian and Ubuntu type: sudo apt install bubblewrap, "
            "on Fedora: sudo dnf install bubblewrap"
        )
    said = _said_of_failure(["/bin/sh", "-c", "true"])
    return obstacles.explain(said) if said else None


@functools.cache
def warn() -> None:
    """Warn when there is no sandbox here: once a process, however often this is called."""
    if reason := unavailable():
        warnings.warn(
            f"code under experiment runs without a sandbox here: {reason}. It can read your files "
            "and keys, use the network and touch other experiments; records say sandboxed = false",
            RuntimeWarning,
            stacklevel=3,
        )


def _said_of_failure(command: list[str]) -> str:
    """Run `command` in the sandbox; return "" when that works, else what was said."""
    bounds = limits.table(FILE_SIZE, None, PROCESSES)
    popen = _defaults({"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT})
    try:
        if _on_linux():
            view = boxes.narrow(Path(command[0]), (), (), Path("/tmp"), None, 1 << 20)
            process = _boxed(view, command, bounds, {}, popen, syscalls.program())
        else:
            profile = seatbelt.narrow(boxes.prefixes(Path(command[0])), (), None)
            process = subprocess.Popen([seatbelt.PROGRAM, "-p", profile, *command], env={}, **popen)
        try:
            output = process.communicate(timeout=PROBE_SECONDS)[0].decode(errors="replace")
        except subprocess.TimeoutExpired:
            kill(process)
            return f"it did not end within {PROBE_SECONDS} s"
    except OSError as error:
        return str(error)
    if process.returncode == 0:
        return ""
    return (output.strip() or f"exit status {process.returncode}").splitlines()[0]


def _boxed(
    view: list[str],
    command: list[str],
    bounds: Mapping[str, int],
    env: Mapping[str, str],
    popen: dict[str, Any],
    program: bytes | None = None,
) -> subprocess.Popen[Any]:
    """Start `command` in bubblewrap, behind two doors that only this process opens.

    At the first one bubblewrap waits until its limits are set. The second one is a shell inside:
    from there on all of it ends with this process, which bubblewrap sees to rather late. Should
    this process end before, both find the pipe closed, and nothing is run.
    """
    told, tells = os.pipe()
    waits, opens = os.pipe()
    # bubblewrap closes what it was told of; the shell can't, but nothing comes through any more.
    theirs = [tells, waits, os.dup(tells), os.dup(waits)]
    argv = [*view, "--info-fd", str(tells), "--block-fd", str(waits)]
    if program:
        theirs.append(syscalls.readable(program))
        argv += ["--seccomp", str(theirs[-1])]
    argv += ["--", "/bin/sh", "-c", _GATE, "sh", *map(str, theirs[2:4]), *command]
    popen = popen | {"pass_fds": (*popen.get("pass_fds", ()), *theirs), "cwd": "/", "env": env}
    with os.fdopen(told, "rb", buffering=0) as said, os.fdopen(opens, "wb", buffering=0) as door:
        try:
            # The environment is inherited, not given as arguments: every user can read those.
            process = subprocess.Popen(argv, **popen)
        finally:
            for handle in theirs:
                os.close(handle)
        try:
            # Where something fails, bubblewrap says so itself, and its status tells.
            if found := re.search(rb'"child-pid": *(\d+)', _heard(said, b"}", process)):
                limits.impose(int(found[1]), bounds)
                with contextlib.suppress(BrokenPipeError):
                    door.write(b"!")
                    if b"inside" in _heard(said, b"inside", process) and process.poll() is None:
                        door.write(b"\n")
        except BaseException:
            kill(process)
            raise
    return process


_GATE = 'echo inside > /dev/fd/$1 && read -r go < /dev/fd/$2 && shift 2 && exec "$@"'


def _heard(pipe: IO[bytes], last: bytes, process: subprocess.Popen[Any]) -> bytes:
    """Return what comes through `pipe` up to `last`, or up to the end of it or of `process`."""
    text, poll = b"", select.poll()
    poll.register(pipe, select.POLLIN)
    while last not in text:
        if poll.poll(LOOK_MILLISECONDS):
            text += (more := pipe.read(4096))
            if not more:
                break
        elif process.poll() is not None:
            break
    return text


def _monitored(bounds: Mapping[str, int], scratch: str | Path = "") -> list[str]:
    """Return the command line of the monitor, up to the program."""
    monitor = [sys.executable, "-I", "-S", str(Path(warden.__file__).absolute())]
    monitor += [str(os.getpid())]
    return [*monitor, ",".join(f"{k}={v}" for k, v in bounds.items()), str(scratch)]


def _defaults(popen: dict[str, Any]) -> dict[str, Any]:
    return {"stdin": subprocess.DEVNULL, **popen, "start_new_session": True}


def _on_linux() -> bool:
    return sys.platform.startswith("linux")


def _command(argv: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(argv, str | bytes):
        raise TypeError(f"argv must be a list, not one string; try shlex.split({argv!r})")
    if not argv:
        raise ValueError("argv is empty; its first part is the program to start")
    return [os.fspath(part) for part in argv]


def _paths(name: str, places: Iterable[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(places, str | bytes | os.PathLike):
        raise TypeError(f"{name} must be a list of paths, not one; write {name}=[{places!r}]")
    return [boxes.existing(place) for place in places]


def _program(name: str, cwd: Path) -> Path:
    found = str(cwd / name) if "/" in name else shutil.which(name)
    if found is None or not Path(found).exists():
        raise FileNotFoundError(f"no program {name!r} on PATH or in {cwd}")
    return boxes.absolute(found)
