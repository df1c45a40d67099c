"""Run code that nobody trusts: the one door through which candidates start, and one for agents.

On Linux the door is bubblewrap: no network, its own process namespace, an empty home and /tmp, and
of the file system only what the caller names. Where it doesn't work, the same command runs under a
small monitor (this file, run as a script) that ends everything the command started, but hides
nothing; callers record that as ``sandboxed = False``. Memory is not limited here: who starts a run
watches it.

A person's coding agent needs that person's network and home. Its door is wider: `agent`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

FILE_SIZE = 8 << 30

# Of /etc only what the loader, locales, user names and TLS need: as root, all of it has keys.
_ETC = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "locale.alias", "localtime", "mime.types", "nsswitch.conf", "OpenCL", "passwd", "pki/tls/certs",
    "ssl/certs", "ssl/openssl.cnf", "vulkan",
)  # fmt: skip
_SYSTEM = [
    Path("/", name)
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store")
]


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
    **popen: Any,
) -> subprocess.Popen[Any]:
    """Start `argv` in the sandbox and return its process, a session of its own.

    Inside there is no network, no other process, no device but the NVIDIA ones, and of the file
    system only the system's programs, the Python installations of this process and of ``argv[0]``,
    `read` and `write`, each at the path it has outside.

    Parameters
    ----------
    argv
        Command and arguments. When ``argv[0]`` is the python of a virtual environment, that and the
        installation below it are visible.
    read, write
        Existing files and folders that are visible, read-only or writable; the deeper path wins.
    cwd
        Working directory, read-only unless `read` or `write` says otherwise; default ``/tmp``.
    env
        Environment beside PATH, LANG, HOME and TMPDIR. Nothing else is inherited.
    home_cache
        Show ``~/.cache`` read-only, without Hugging Face's tokens, and let HOME be the usual path.
    sandbox
        False runs the command as if bubblewrap were missing.
    file_size
        Size in bytes that no written file can exceed.
    **popen
        Passed to `subprocess.Popen`: ``stdin`` (default: nothing), ``stdout``, ``pass_fds``, ...

    Raises
    ------
    FileNotFoundError
        If the command or a path to show does not exist.

    Notes
    -----
    A command that a signal ended returns 128 + the signal's number. It is killed when the *thread*
    that started it ends, so call this from a thread that stays. When the command ends, all that it
    started ends too. Passing NVIDIA devices through was not run: no such machine was at hand.
    """
    folder = _absolute(cwd or "/tmp")
    command = [os.fspath(part) for part in argv]
    command[0] = str(_program(command[0], folder))
    home = Path.home()
    boxed = sandbox and unavailable() is None
    inside = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": os.environ.get("LANG", "C.UTF-8"),
        "TMPDIR": "/tmp",
        "HOME": str(home) if home_cache else "/tmp/home" if boxed else "/nonexistent",
        **(env or {}),
    }
    if boxed:
        command = [
            *_bubblewrap(Path(command[0]), read, write, folder, home if home_cache else None),
            # In blocks of 512 bytes; inside, so that bubblewrap itself is as it always is.
            *("/bin/sh", "-c", f'ulimit -c 0; ulimit -f {file_size // 512}; exec "$@"', "sh"),
            *command,
        ]
        folder = Path("/")
    else:
        command = [*_monitored(file_size), *command]
    popen = {"stdin": subprocess.DEVNULL, **popen, "start_new_session": True}
    # The environment is inherited, not given as arguments, which every user could read in `ps`.
    return subprocess.Popen(command, cwd=folder, env=inside, **popen)


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
    the kit and its Python, which judge what the agent made. Where bubblewrap doesn't work nothing
    is hidden. In both cases it ends, with all that it started, as in `untrusted`.

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
    if sandbox and unavailable() is None:
        argv = [*_wide_view(folder, hide, read), *argv]
    else:
        argv = [*_monitored(FILE_SIZE), *argv]
    popen = {"stdin": subprocess.DEVNULL, **popen, "start_new_session": True}
    return subprocess.Popen(argv, cwd=folder, env=dict(env), **popen)


def _wide_view(
    cwd: Path, hide: Iterable[str | os.PathLike[str]], read: Iterable[str | os.PathLike[str]]
) -> list[str]:
    """Return bubblewrap's command line for an agent, up to the program."""
    args = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session"]
    args += ["--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL"]
    args += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    homes = (Path.home(), Path("/tmp"), Path(tempfile.gettempdir()))
    mounts = {Path(os.path.realpath(p)): "--bind" for p in homes if p != p.parent and p.is_dir()}
    hidden = {place for p in hide if (place := Path(os.path.realpath(p))).exists()}
    hidden -= {place for place in hidden if hidden & {*place.parents}}  # they are gone with it
    mounts |= dict.fromkeys((*_prefixes(Path(sys.executable)), Path(__file__).parent), "--ro-bind")
    mounts |= {place: "--tmpfs" if place.is_dir() else "" for place in hidden}
    shown = {Path(os.path.realpath(p)): "--ro-bind" for p in read if Path(p).exists()}
    mounts |= shown | {cwd: "--bind"}
    for place, how in sorted(mounts.items(), key=lambda mount: len(mount[0].parts)):
        source = {"--tmpfs": (), "": ("/dev/null",)}.get(how, (str(place),))
        args += [how or "--ro-bind", *source, str(place)]
    for place in sorted(hidden):  # now that all below it is in place
        if mounts[place] == "--tmpfs":
            args += ["--remount-ro", str(place)]
    return [*args, "--chdir", str(cwd), "--"]


def _monitored(file_size: int) -> list[str]:
    """Return the command line of the monitor, up to the program."""
    monitor = [sys.executable, "-I", "-S", str(Path(__file__).absolute())]
    return [*monitor, str(os.getpid()), str(file_size)]


def kill(process: subprocess.Popen[Any]) -> None:
    """Kill `process` and everything it started, and wait until all of it is gone."""
    if process.poll() is not None:
        return  # Namespace or monitor have ended the rest already.
    import psutil  # Here, because starting a run must not wait for it.

    root = psutil.Process(process.pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        root.suspend()  # A stopped root still inherits orphans, so nothing can slip away.
        for _ in range(500):
            tree = [child for child in root.children(recursive=True) if _lives(child)]
            if not tree:
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
    """Return None when bubblewrap works here, else one line that says why not.

    The first call tries it for real (about 10 ms); later calls return what that one found.
    """
    if not sys.platform.startswith("linux"):
        return f"there is no sandbox for {sys.platform} yet, only for Linux (bubblewrap)"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed; on Debian and Ubuntu: apt install bubblewrap"
    command = [*_bubblewrap(Path("/bin/sh"), (), (), Path("/tmp"), None), "/bin/sh", "-c", "true"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=20, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap can't be started: {error}"
    if done.returncode == 0:
        return None
    said = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0]
    return f"bubblewrap doesn't work here ({said}): does this system allow user namespaces?"


def _bubblewrap(
    program: Path,
    read: Iterable[str | os.PathLike[str]],
    write: Iterable[str | os.PathLike[str]],
    cwd: Path,
    home: Path | None,
) -> list[str]:
    """Return bubblewrap's command line up to the program; `home` shows that home's cache."""
    args = [shutil.which("bwrap") or "bwrap"]
    args += ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    args += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", "/tmp/home"]
    for place in _SYSTEM:
        if place.is_symlink():
            args += ["--symlink", str(place.readlink()), str(place)]
        else:
            args += ["--ro-bind-try", str(place), str(place)]
    for name in _ETC:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    devices = sorted(map(str, Path("/dev").glob("nvidia*")))
    for device in devices:
        args += ["--dev-bind", device, device]
    if devices:
        args += ["--ro-bind-try", "/sys", "/sys"]

    mounts = dict.fromkeys(_prefixes(program), "--ro-bind")
    if home is not None:
        mounts[home] = "--tmpfs"
        if (home / ".cache").is_dir():
            mounts[home / ".cache"] = "--ro-bind"
    mounts |= dict.fromkeys(map(_existing, read), "--ro-bind")
    mounts |= dict.fromkeys(map(_existing, write), "--bind")
    if not any(cwd.is_relative_to(place) for place in (*mounts, *_SYSTEM, Path("/tmp"))):
        mounts[_existing(cwd)] = "--ro-bind"
    # Shallow first: whatever lies deeper must be mounted on top, also below the home or /tmp.
    for place, how in sorted(mounts.items(), key=lambda mount: len(mount[0].parts)):
        args += [how, *[str(place)] * (1 if how == "--tmpfs" else 2)]
    if home is not None:
        for token in (home / ".cache/huggingface" / name for name in ("token", "stored_tokens")):
            if token.exists():
                args += ["--ro-bind", "/dev/null", str(token)]
    return [*args, "--remount-ro", "/", "--chdir", str(cwd), "--"]


def _absolute(path: str | os.PathLike[str]) -> Path:
    """Return `path` without ``..``; links stay, because inside they have to be found as well."""
    return Path(os.path.normpath(Path(path).absolute()))


def _existing(path: str | os.PathLike[str]) -> Path:
    found = _absolute(path)
    if not found.exists():
        raise FileNotFoundError(f"{found} does not exist, so the sandbox can't show it")
    return found


def _program(name: str, cwd: Path) -> Path:
    found = str(cwd / name) if "/" in name else shutil.which(name)
    if found is None or not Path(found).exists():
        raise FileNotFoundError(f"no program {name!r} on PATH or in {cwd}")
    return _absolute(found)


def _prefixes(program: Path) -> list[Path]:
    """Return the installations that `program` and this Python need, outside of the system's.

    A virtual environment's python is a chain of links; each step's prefix has to be there.
    """
    steps, step = [program], program
    while step.is_symlink() and len(steps) < 40:
        step = _absolute(step.parent / step.readlink())
        steps.append(step)
    prefixes = [step.parent.parent for step in steps]
    with contextlib.suppress(OSError):
        for line in (prefixes[0] / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                prefixes.append(Path(value.strip()).parent)
    prefixes += [Path(sys.prefix), Path(sys.base_prefix)]
    prefixes += [
        Path(os.path.realpath(place)) for place in (*prefixes, program.resolve().parents[1])
    ]
    # ~/bin/python must not make the whole home visible, nor /tmp/bin/python all of /tmp.
    private = [Path.home(), Path.home().resolve(), *map(Path, ("/tmp", "/var/tmp", "/dev/shm"))]
    return [
        prefix
        for prefix in dict.fromkeys(prefixes)
        if os.access(prefix, os.R_OK | os.X_OK)
        and prefix.is_dir()
        and not any(place.is_relative_to(prefix) for place in private)
        and not any(prefix.is_relative_to(place) for place in _SYSTEM)
    ]


def _monitor(parent: int, file_size: int, argv: Sequence[str]) -> int:
    """Run `argv` and, when it or `parent` has ended, end all that it started.

    Returns
    -------
    int
        Exit status as a shell gives it: 128 + number when a signal ended the command.
    """
    import resource

    def stop(*_: object) -> None:
        _end_children()
        os._exit(143)

    prctl = _prctl()
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: daemons become children of this process
    signal.signal(signal.SIGTERM, stop)
    prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        return 143
    child = os.fork()
    if child == 0:
        prctl(1, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
        for number in (signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        try:
            os.execv(argv[0], list(argv))
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
            os._exit(127)
    os.closerange(0, 1 << 16)  # Who reads a pipe of the command's must see it end with the command.
    while (ended := os.wait())[0] != child:
        pass
    status = os.waitstatus_to_exitcode(ended[1])
    _end_children()
    return status if status >= 0 else 128 - status


def _prctl() -> Any:
    """Return Linux's ``prctl(option, value)``, elsewhere a function that does nothing."""
    if not sys.platform.startswith("linux"):
        return lambda *_: None
    import ctypes

    return ctypes.CDLL(None).prctl


def _end_children() -> None:
    """Kill all children of this process, and theirs as they come up as orphans."""
    with contextlib.suppress(OSError):
        while True:
            for task in Path("/proc/self/task").iterdir():
                for child in (task / "children").read_text().split():
                    os.kill(int(child), signal.SIGKILL)
            os.wait()


if __name__ == "__main__":
    os._exit(_monitor(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
