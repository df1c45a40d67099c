"""Which device a run uses, and the machine-wide queue before it: one device runs one run at a time.

A place in the queue is a file with a lock on it, so a process that was killed has no place.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autoresearch_kit.files import locked

POLL_SECONDS = 0.05


def pick() -> str:
    """Return the device that runs on this machine use: ``"cuda:0"``, ``"mps"`` or ``"cpu"``.

    Notes
    -----
    AUTORESEARCH_DEVICE overrides it. PyTorch isn't imported: its version file and the driver's
    device nodes are looked at, which takes about a millisecond instead of seconds.
    """
    if chosen := os.environ.get("AUTORESEARCH_DEVICE", ""):
        return chosen
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mps"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip()
    nodes = [Path("/dev/dxg"), *Path("/dev").glob("nvidia[0-9]*")]  # dxg: the GPU inside WSL2
    if visible not in ("", "-1") and any(node.exists() for node in nodes) and _torch_has_cuda():
        return "cuda:0"
    return "cpu"


def _torch_has_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    with contextlib.suppress(OSError):
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
        return re.search(r"^cuda\b[^=\n]*=\s*['\"]", text, re.MULTILINE) is not None
    return False


@contextlib.contextmanager
def hold(
    name: str,
    *,
    what: str,
    expected_seconds: float = 0.0,
    priority: str = "manual",
    on_wait: Callable[[str], None] | None = None,
) -> Iterator[float]:
    """Have device `name` alone on this machine; waits for its turn and yields the seconds waited.

    Parameters
    ----------
    name
        ``"cpu"``, ``"mps"``, ``"cuda:0"``, ...
    what
        Who holds it, as others are told: ``"first nov23 #7, training"``.
    expected_seconds
        About how long; only for what others are told.
    priority
        ``"manual"`` goes ahead of every waiting ``"night"``, never ahead of a run that has begun.
    on_wait
        Called with a line such as ``"behind first nov23 #7, about 40 s left"`` when it changes.
    """
    folder = _runtime() / f"device-{_physical(name)}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    began = time.monotonic()
    rank = 0 if priority == "manual" else 1
    mine: Path | None = None
    said = ""
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context((folder / "holder").open("a+"))
        while True:
            with locked(folder / "mutex"):
                if mine is None:
                    # Boot-wide clock: the order survives a change of the date.
                    mine = folder / f"ticket-{rank}-{time.monotonic_ns():020}-{os.getpid()}"
                    stack.callback(mine.unlink, missing_ok=True)
                    _flock(stack.enter_context(mine.open("w")))
                waiting = _tickets(folder, mine)
                if waiting[0] == mine and _flock(holder):
                    mine.unlink()
                    break
            line = _behind(folder, waiting.index(mine))
            if on_wait and line != said:
                on_wait(said := line)
            time.sleep(POLL_SECONDS)
        info = {"what": what, "began": time.time(), "expected_seconds": expected_seconds}
        holder.truncate(0)
        holder.write(json.dumps(info))
        holder.flush()
        yield time.monotonic() - began


def _tickets(folder: Path, mine: Path) -> list[Path]:
    """Return the places in the queue, first come first; those of dead processes are removed."""
    alive = []
    for ticket in sorted(folder.glob("ticket-*")):
        if ticket != mine:
            with contextlib.suppress(OSError), ticket.open("r+") as file:
                if _flock(file):
                    ticket.unlink()
                    continue
        alive.append(ticket)
    return alive


def _flock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _behind(folder: Path, ahead: int) -> str:
    try:
        info = json.loads((folder / "holder").read_text(encoding="utf-8"))
        left = info["began"] + info["expected_seconds"] - time.time()
        line = f"behind {info['what']}"
    except (OSError, ValueError, KeyError):
        line, left = "behind another run", 0.0
    if ahead:
        line += f" and {ahead} more"
    if left > 90:
        line += f", about {left / 60:.0f} min left"
    elif left > 0:
        line += f", about {max(10, round(left, -1)):.0f} s left"
    return line


def _physical(name: str) -> str:
    """Return a file name for the device behind `name`: CUDA numbers only what is visible."""
    kind, _, index = name.partition(":")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if kind == "cuda" and index.isdigit() and int(index) < len(visible) and visible != [""]:
        index = visible[int(index)].strip()
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{kind}-{index}" if index else kind)


def _runtime() -> Path:
    """Return this user's private folder for what lives as long as the machine is up."""
    # Also without the variable (ssh, cron), or one machine would have two queues.
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    if not os.access(base, os.W_OK):
        base = tempfile.gettempdir()
    folder = Path(base, f"autoresearch-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR")
    folder.chmod(0o700)
    return folder
