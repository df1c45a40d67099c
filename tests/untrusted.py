"""Helpers of the sandbox's tests: the same attack, tried inside and outside."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from autoresearch_kit import sandbox

why_not = sandbox.unavailable()
needs_sandbox = pytest.mark.skipif(
    why_not is not None and os.environ.get("CI") != "true", reason=str(why_not)
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has what is attacked here")
BOXED = pytest.param(True, id="boxed", marks=needs_sandbox)
both = pytest.mark.parametrize("boxed", [BOXED, pytest.param(False, id="plain")])


def run(argv: list[str], boxed: bool, **options: Any) -> tuple[int, str]:
    process = sandbox.untrusted(
        argv,
        sandbox=boxed,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, **options},
    )
    try:
        output = process.communicate(timeout=60)[0]
    finally:
        sandbox.kill(process)
    return process.returncode, output


def shell(script: str, boxed: bool = True, **options: Any) -> tuple[int, str]:
    """Run a shell script as untrusted code; return its exit status and what it printed."""
    return run(["sh", "-c", script], boxed, **options)


def python(code: str, boxed: bool = True, **options: Any) -> tuple[int, str]:
    """Run Python text as untrusted code; return its exit status and what it printed."""
    return run([sys.executable, "-I", "-c", code], boxed, **options)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, f"waited 30 s for: {what}"
        time.sleep(0.02)


def as_nobody(check: Callable[[], None]) -> None:
    """Run `check` as an ordinary user, in a fork that has everything imported.

    That user may not be able to read this Python.
    """
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no user 'nobody' here")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            os.environ["HOME"] = "/nonexistent"
            sandbox.unavailable.cache_clear()
            check()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
