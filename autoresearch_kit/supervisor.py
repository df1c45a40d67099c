"""The process that owns a run: ``python -m autoresearch_kit.supervisor train|score RUN_DIR``.

It waits for the device, runs the untrusted training or the trusted scorer, and says in
``status.json`` or ``score.json`` what happened. It outlives whoever started it, who only reads
these files.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from autoresearch_kit import device, sandbox, task
from autoresearch_kit.child import Child, Log
from autoresearch_kit.files import read_json, remove_tree, write_json
from autoresearch_kit.outcome import Stopped
from autoresearch_kit.training import Training
from autoresearch_kit.workplace import last_error, start_scorer

STATUS_SECONDS = 0.2
SCORER_EXTRA_SECONDS = 120


class Status:
    """What ``status.json`` says, rewritten at most five times a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0.0
        before = read_json(path) or {}
        self.fields: dict[str, Any] = {
            "phase": "queued",
            "attempt": before.get("attempt", 1),
            "pid": os.getpid(),
            "created": _now(),
        }

    def set(self, **fields: Any) -> None:
        """Change fields, and write them soon, at once when the phase or the queue changes."""
        before, now = self.fields, self.fields | fields
        urgent = any(now.get(name) != before.get(name) for name in ("phase", "queue"))
        self.fields.update(fields)
        if urgent or time.monotonic() - self._written > STATUS_SECONDS:
            self.write()

    def write(self) -> None:
        """Write now."""
        self._written = time.monotonic()
        write_json(self._path, self.fields)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def main(job: str, run: Path) -> int:
    """Do one job in one run's folder; the lock that says so came with this process."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Ignoring it is inherited, and then nobody can wait for a process.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    spec = read_json(run / "run.json")
    if spec is None:
        raise SystemExit(f"{run} has no run.json")
    (_train if job == "train" else _score)(run, spec)
    return 0


def _stop(*_: object) -> NoReturn:
    raise Stopped


def _train(run: Path, spec: dict[str, Any]) -> None:
    status = Status(run / "status.json")
    try:
        refused = sandbox.unavailable()
        status.set(sandboxed=refused is None, sandbox_reason=refused or "", device=spec["device"])
        began = time.monotonic()
        with _device(spec, "training", lambda line: status.set(queue=line)):
            queued = round(time.monotonic() - began, 3)
            status.set(phase="setup", started=_now(), queued_seconds=queued, queue="")
            for name in ("code", "out", "score"):
                remove_tree(run / name)
            train = Training(run, spec, status.set)
            final = train() if spec["task"]["train"] else {"phase": "done", "reason": ""}
        remove_tree(run / "code")
    except Stopped:
        final = {"phase": "stopped", "reason": "stopped on request"}
    except Exception as error:
        traceback.print_exc()
        final = {"phase": "lost", "reason": f"the kit failed: {type(error).__name__}: {error}"}
    status.fields.update(final, ended=_now())
    status.write()


def _score(run: Path, spec: dict[str, Any]) -> None:
    result: dict[str, Any]
    began = time.monotonic()
    try:
        with _device(spec, "scoring", lambda line: write_json(run / "queue.json", line)):
            (run / "queue.json").unlink(missing_ok=True)
            began = time.monotonic()
            result = _scorer_says(run, spec)
    except Stopped:
        result = {"error": "stopped on request", "lost": True}
    except Exception as error:
        traceback.print_exc()
        result = {"error": f"{type(error).__name__}: {error}"}
    write_json(run / "score.json", result | {"scoring_seconds": round(time.monotonic() - began, 3)})


def _scorer_says(run: Path, spec: dict[str, Any]) -> dict[str, Any]:
    """Run the scorer and return its verdict, or why there is none."""
    seconds = task.make(spec["task"]).timeout_seconds
    limit = seconds + SCORER_EXTRA_SECONDS
    # Until then what takes long is the candidate's fault, if the scorer says so.
    until = {"SCORE_UNTIL": str(time.time() + seconds)}
    log = Log(run / "score.txt")
    with selectors.DefaultSelector() as selector:
        child = Child(
            "scorer", lambda env, popen: start_scorer(run, spec, env | until, popen), selector, log
        )
        late = time.monotonic() + limit
        try:
            while not child.ended() and time.monotonic() < late:
                for key, _ in selector.select(0.005 if child.silent else 0.1):
                    key.data(key.fd)
            ended = child.ended()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child.kill()
            for name in ("score-code", "score-baseline"):
                remove_tree(run / name)
    if not ended:
        return {"error": f"the scorer took more than {limit:g} s"}
    code, text = child.process.returncode, log.text()
    if code in (137, -signal.SIGKILL):
        return {"error": "somebody killed the scorer", "lost": True}
    lines = text.strip().splitlines()
    with contextlib.suppress(ValueError, IndexError):
        said = json.loads(lines[-1])
        if code == 0 and isinstance(said, dict) and ("value" in said or "crash" in said):
            return said
    if code == 0:
        return {
            "error": f"the scorer printed no result; its last line: {last_error(text)!r}. Expected "
            'one JSON object such as {"value": 0.5}; a scorer in Python ends with main(score), '
            "from autoresearch_kit.scorer"
        }
    return {"error": f"the scorer failed with exit code {code}: {last_error(text)}"}


def _device(
    spec: dict[str, Any], doing: str, on_wait: Any
) -> contextlib.AbstractContextManager[float]:
    # In a lab the first campaign often has its name.
    names = dict.fromkeys((Path(spec["host"]).name, spec["tag"]))
    who = f"{' '.join(names)} #{spec['experiment']}, {doing}"
    return device.hold(
        spec["device"],
        what=who,
        expected_seconds=spec.get("expected_seconds") or spec["task"]["budget_seconds"],
        priority=spec.get("priority", "manual"),
        on_wait=on_wait,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
