"""Bubblewrap's command lines: what code in the sandbox sees of this machine, and an agent's view.

Only text is made here; `sandbox` starts it. Everything is mounted at the path it has outside.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

# Of /etc only what the loader, locales, user names and TLS need: as root, all of it has keys.
_ETC = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "locale.alias", "localtime", "mime.types", "nsswitch.conf", "OpenCL", "passwd", "pki/tls/certs",
    "ssl/certs", "ssl/openssl.cnf", "vulkan",
)  # fmt: skip
SYSTEM = [
    Path("/", name)
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix/store")
]
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
# Of a Python that is installed in a checkout itself; the rest there is nobody's business.
_INSTALLED = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
_SECRETS = ("pip.conf", ".condarc", "condarc")  # in an installation: addresses with passwords
# Parts of /sys that tell of other processes, or that root could trace them with.
_SYS_HIDDEN = ("fs/bpf", "fs/cgroup", "fs/pstore", "kernel/debug", "kernel/security",
               "kernel/tracing")  # fmt: skip


def narrow(
    program: Path,
    read: Iterable[Path],
    write: Iterable[Path],
    cwd: Path,
    home: Path | None,
    tmp_size: int,
) -> list[str]:
    """Return bubblewrap's command line, up to the program, for code that nobody trusts.

    Parameters
    ----------
    program
        Whose installation is shown beside this Python's.
    home
        Shows this home's ``.cache``, without tokens, in a home that is otherwise empty.
    tmp_size
        Bytes that fit into each of /tmp, /dev/shm and an empty home.
    """
    args = [bubblewrap(), "--unshare-all", "--die-with-parent", "--new-session"]
    args += ["--cap-drop", "ALL"]
    if _knows("--disable-userns"):  # A namespace of its own would give it root's powers in there.
        args += ["--unshare-user", "--disable-userns"]
    empty = ["--size", str(tmp_size), "--tmpfs"] if _knows("--size") else ["--tmpfs"]
    args += ["--proc", "/proc", *_guard_proc(), "--dev", "/dev", *empty, "/dev/shm"]
    args += [*empty, "/tmp", "--dir", "/tmp/home"]
    for place in SYSTEM:
        if place.is_symlink():
            args += ["--symlink", str(place.readlink()), str(place)]
        else:
            args += ["--ro-bind-try", str(place), str(place)]
    for name in _ETC:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    args += _devices()

    mounts = dict.fromkeys(prefixes(program), "--ro-bind")
    secrets = [place / name for place in mounts for name in _SECRETS]
    if home is not None:
        mounts[home] = "--tmpfs"
        if (home / ".cache").is_dir():
            mounts[home / ".cache"] = "--ro-bind"
        secrets += [home / ".cache/huggingface" / name for name in ("token", "stored_tokens")]
    mounts |= dict.fromkeys(read, "--ro-bind")
    mounts |= dict.fromkeys(write, "--bind")
    shown = [*SYSTEM, *(place for place, how in mounts.items() if how != "--tmpfs")]
    if not any(program.is_relative_to(place) for place in shown):
        mounts[program] = "--ro-bind"
    if cwd != Path("/tmp") and not any(cwd.is_relative_to(place) for place in shown):
        mounts[existing(cwd)] = "--ro-bind"
    # Shallow first: whatever lies deeper must be mounted on top, also below the home or /tmp.
    for place, how in sorted(mounts.items(), key=lambda mount: len(mount[0].parts)):
        args += [*empty, str(place)] if how == "--tmpfs" else [how, *[str(place)] * 2]
    for secret in secrets:
        if secret.is_file():
            args += ["--ro-bind", "/dev/null", str(secret)]
    # Both are memory, and without a limit.
    args += ["--remount-ro", "/dev", "--remount-ro", "/"]
    return [*args, "--chdir", str(cwd)]


def wide(
    cwd: Path, hide: Iterable[str | os.PathLike[str]], read: Iterable[str | os.PathLike[str]]
) -> list[str]:
    """Return bubblewrap's command line, up to the program, for an agent: see `sandbox.agent`."""
    args = [bubblewrap(), "--die-with-parent", "--new-session"]
    args += ["--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL"]
    args += ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", *_guard_proc()]
    mounts = views(cwd, hide, read)
    for place, how in mounts.items():
        source = {"--tmpfs": (), "": ("/dev/null",)}.get(how, (str(place),))
        args += [how or "--ro-bind", *source, str(place)]
    for place, how in mounts.items():  # now that all below it is in place
        if how == "--tmpfs":
            args += ["--remount-ro", str(place)]
    return [*args, "--chdir", str(cwd)]


def views(
    cwd: Path, hide: Iterable[str | os.PathLike[str]], read: Iterable[str | os.PathLike[str]]
) -> dict[Path, str]:
    """Return how an agent sees the places that matter, shallow ones first.

    ``--bind`` is writable, ``--ro-bind`` only readable, ``--tmpfs`` an empty folder and "" an empty
    file. What isn't named is read-only.
    """
    homes = (Path.home(), Path("/tmp"), Path(tempfile.gettempdir()))
    mounts = {Path(os.path.realpath(p)): "--bind" for p in homes if p != p.parent and p.is_dir()}
    hidden = {place for p in hide if (place := Path(os.path.realpath(p))).exists()}
    hidden -= {place for place in hidden if hidden & {*place.parents}}  # they are gone with it
    judges = (*prefixes(Path(sys.executable)), Path(__file__).parents[1])
    mounts |= dict.fromkeys(judges, "--ro-bind")
    mounts |= {place: "--tmpfs" if place.is_dir() else "" for place in hidden}
    shown = {Path(os.path.realpath(p)): "--ro-bind" for p in read if Path(p).exists()}
    mounts |= shown | {cwd: "--bind"}
    return dict(sorted(mounts.items(), key=lambda mount: len(mount[0].parts)))


def bubblewrap() -> str:
    """Return the program to start."""
    return shutil.which("bwrap") or "bwrap"


@functools.cache
def _knows(option: str) -> bool:
    """Tell whether this bubblewrap takes an option that came late (0.8 has all).

    One that is installed with root's rights (an old way to do without user namespaces) refuses it.
    """
    program = bubblewrap()
    if Path(program).stat().st_mode & stat.S_ISUID:
        return False
    told = subprocess.run([program, "--help"], env={}, capture_output=True, text=True, check=False)
    return option in told.stdout + told.stderr


def _guard_proc() -> list[str]:
    """Return what takes root's rights from the files in /proc that belong to the whole machine.

    The kernel asks there for the user alone, not for capabilities: root in the sandbox could set
    the program that the kernel starts, outside, for a process that crashes.
    """
    args: list[str] = []
    if os.geteuid() != 0:
        return args
    with os.scandir("/proc") as entries:
        shared = [entry for entry in entries if not (entry.name.isdigit() or entry.is_symlink())]
    for entry in shared:
        mode = entry.stat().st_mode
        if stat.S_ISDIR(mode) or mode & 0o222:
            args += ["--ro-bind-try", entry.path, entry.path]
        elif not mode & 0o004:
            args += ["--ro-bind", "/dev/null", entry.path]
    return args


def gpus() -> list[Path]:
    """Return the device nodes that compute on a GPU needs: NVIDIA's, WSL's, AMD's."""
    nodes = [*Path("/dev").glob("nvidia*"), *Path("/dev").glob("dxg")]
    if Path("/dev/kfd").exists():
        nodes += [Path("/dev/kfd"), *Path("/dev/dri").glob("renderD*")]
    return sorted(nodes)


def _devices() -> list[str]:
    nodes = gpus()
    args = [arg for node in nodes for arg in ("--dev-bind", str(node), str(node))]
    if nodes:  # The drivers' libraries look there for what is installed.
        args += ["--ro-bind-try", "/sys", "/sys"]
        for name in _SYS_HIDDEN:
            if Path("/sys", name).is_dir():
                args += ["--tmpfs", f"/sys/{name}", "--remount-ro", f"/sys/{name}"]
    return args


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return `path` without ``..``; links stay, because inside they have to be found as well."""
    return Path(os.path.normpath(Path(path).absolute()))


def existing(path: str | os.PathLike[str]) -> Path:
    """Return what can be shown of `path`.

    Raises
    ------
    FileNotFoundError, ValueError
        If it isn't there, or is all of the system.
    """
    found = absolute(path)
    if not found.exists():
        raise FileNotFoundError(f"{found} does not exist, so the sandbox can't show it")
    if found == Path("/"):
        raise ValueError("the sandbox shows named folders, not all of /; name what is needed")
    return found


def prefixes(program: Path) -> list[Path]:
    """Return the installations that `program` and this Python need, outside of the system's.

    A virtual environment's python is a chain of links; each step's prefix has to be there.
    """
    steps, step = [program], program
    while step.is_symlink() and len(steps) < 40:
        step = absolute(step.parent / step.readlink())
        steps.append(step)
    steps.append(program.resolve())
    # A script beside other things is no installation.
    found = [step.parent.parent for step in steps if step.parent.name in ("bin", "Scripts")]
    with contextlib.suppress(OSError):
        configured = program.parent.parent / "pyvenv.cfg"
        for line in configured.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                found.append(Path(value.strip()).parent)
    found += [Path(sys.prefix), Path(sys.base_prefix)]
    found += [Path(os.path.realpath(place)) for place in found]
    # ~/bin/python must not make the whole home visible, nor /tmp/bin/python all of /tmp.
    private = [Path.home(), Path.home().resolve(), *map(Path, _TEMPORARY)]
    return [
        part
        for prefix in dict.fromkeys(found)
        if os.access(prefix, os.R_OK | os.X_OK)
        and prefix.is_dir()
        and not any(place.is_relative_to(prefix) for place in private)
        and not any(prefix.is_relative_to(place) for place in SYSTEM)
        for part in _parts(prefix)
    ]


def _parts(prefix: Path) -> list[Path]:
    """Return what to show of an installation: all, unless somebody works in the same folder."""
    if not (prefix / ".git").exists():
        return [prefix]
    return [place for name in _INSTALLED if (place := prefix / name).exists()]
