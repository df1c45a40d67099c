"""Keep the machine from falling asleep, where the system has a way to ask for that."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from autoresearch_kit import keys

_TRY_SECONDS = 1.0


@contextlib.contextmanager
def inhibited(why: str) -> Iterator[str]:
    """Keep the machine awake meanwhile; yields what there is to say when that can't be done.

    The helper process ends with this one, however it ends.
    """
    command = _command(why)
    if command is None:
        yield "the machine may fall asleep: this system has no way to prevent it"
        return
    try:
        helper = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=keys.without(os.environ),
        )
    except OSError as error:
        yield f"the machine may fall asleep: {error}"
        return
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            helper.wait(_TRY_SECONDS)
        if helper.returncode is None:
            yield ""
        else:
            said = (helper.stderr.read() if helper.stderr else b"").decode(errors="replace")
            reason = said.strip().splitlines()[-1:] or [f"exit code {helper.returncode}"]
            yield f"the machine may fall asleep: {command[0]} failed ({reason[0]})"
    finally:
        helper.kill()
        helper.communicate()


def _command(why: str) -> list[str] | None:
    if sys.platform == "darwin":
        return ["caffeinate", "-i", "-w", str(os.getpid())]
    if shutil.which("systemd-inhibit"):
        words = ["--what=idle:sleep", "--who=autoresearch-kit", f"--why={why}", "--mode=block"]
        return ["systemd-inhibit", *words, "cat"]  # cat ends when our end of its input closes
    return None
