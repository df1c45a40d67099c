"""How a night's process begins: what travels to it, what is lent to it, and the process itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from autoresearch_kit import callables, files, keys
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import CampaignError

MARK = "AUTORESEARCH_NIGHT"
"""Environment variable that all processes of a night inherit: its folder."""

WAIT_SECONDS = 20.0  # for a process that is about to end


def pack(folder: Path, functions: Mapping[str, Callable[..., Any]]) -> set[str]:
    """Write what can travel into the night's folder; return the names of what has to stay here."""
    stay = set()
    for name, function in functions.items():
        packed = callables.pack(function)
        if packed is None:
            stay.add(name)
            (folder / f"{name}.pickle").unlink(missing_ok=True)
        else:
            files.write_text(folder / f"{name}.pickle", packed)
    return stay


def lend(
    folder: Path,
    campaign: Campaign,
    functions: Mapping[str, Callable[..., Any]],
    ended: Callable[[], bool],
) -> None:
    """Answer for functions that have to stay here, and say what that means."""
    if not functions:
        return
    names = " and ".join(name_of(function) for function in functions.values())
    print(
        f"{names} can't leave this process: the night asks for answers here. While it is away the "
        "night waits; run this cell again to go on (at the end of a script: night.wait())."
    )
    for name, function in functions.items():
        callables.lend(folder, campaign, name, function, ended)


def name_of(function: Any) -> str:
    """Return what people call a policy or proposer, without a key that it may hold."""
    own = getattr(function, "__qualname__", None)
    return keys.redact(str(own) if own else str(function))


def launch(folder: Path, host: Path, has_ended: Callable[[], bool]) -> None:
    """Start the process of a night, unless one is at work.

    Raises
    ------
    CampaignError
        When the process before it does not end.
    """
    late = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < late:
        with files.try_lock(folder / "night.lock") as lock:
            if lock is not None:
                _start(folder, host, lock)
                return
        if not has_ended():
            return  # it is at work
        time.sleep(0.1)
    raise CampaignError(
        f"the process of this night has said its last word but does not end; {folder}/status.json "
        "has its pid. End it and repeat the call."
    )


def _start(folder: Path, host: Path, lock: int) -> None:
    before = files.read_json(folder / "status.json")
    if isinstance(before, dict):  # or whoever looks meanwhile takes it for ended
        files.write_json(folder / "status.json", before | {"phase": "starting", "reason": ""})
    sweep(folder)
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody removed it
        here = host
    # Modules of the notebook's own folder are found there too.
    path = [*(entry or str(here) for entry in sys.path), str(Path(__file__).parents[1])]
    more = {
        MARK: str(folder),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "TQDM_DISABLE": "1",  # nobody reads bars in a log
    }
    with (folder / "log.txt").open("ab") as log:
        subprocess.Popen(
            # -P: a file of the host named like a module must not stand in for it.
            [sys.executable, "-P", "-m", "autoresearch_kit.shift", str(folder), str(lock)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=here,
            env=os.environ | more,
            pass_fds=[lock],  # it goes with the process: there is no moment at which nobody has it
            start_new_session=True,
        )


def sweep(folder: Path) -> None:
    """End what a night's proposer or policy has started and left behind; its runs stay."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = process.uids().real == os.getuid() and process.pid != os.getpid()
            if mine and process.environ().get(MARK) == str(folder) and not _is_run(process):
                process.kill()


def _is_run(process: psutil.Process) -> bool:
    family = [process, *process.parents()]
    return any("autoresearch_kit.supervisor" in one.cmdline() for one in family)
