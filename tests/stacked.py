"""Campaigns with a stack of kept changes, made without training, on hosts that train in no time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import autoresearch_kit as ark
from autoresearch_kit import git, ledger, records, values
from autoresearch_kit.records import Record
from tests.shell import environment

FIT = """\
import os
import random
import time

A = 5
A2 = 0
B = 5
NOISE = 0.0
SECONDS = 0.0


def loss():
    return A + A2 + B


time.sleep(SECONDS)
dice = random.Random(int(os.environ["SEED"]))
print(f"loss: {loss() + NOISE * dice.gauss(0, 1)}")
"""

TRAIN = """\
import os
import time

A = 5
B = 5
LUCK = 0.0  # what fits the validation data and nothing else
SECONDS = 0.0
time.sleep(SECONDS)
with open(os.path.join(os.environ["RUN_DIR"], "weights.safetensors"), "w") as file:
    file.write(f"{A + B} {LUCK} {int(os.environ['SEED']) % 7 / 100}")
"""

CHECK = """\
import json, os, pathlib
value, luck, noise = map(float, pathlib.Path(os.environ["RUN_DIR"], "weights.safetensors")
                         .read_text().split())
split = os.environ["SPLIT"]
held_out = pathlib.Path(os.environ.get("DATA_DIR", "."), "shift.txt")
shift = float(held_out.read_text()) if held_out.exists() else 0.0
luck = {"val": luck, "test": 1000.0}[split]
print(json.dumps({"value": value + noise + shift + luck, "split": split}))
"""

PRINTED = {"edit": "fit.py", "train": f"{sys.executable} fit.py", "metric": "loss"}
SCORED = {
    "edit": "train.py",
    "train": f"{sys.executable} train.py",
    "score": f"{sys.executable} check.py",
    "metric": "loss",
}


def start(host: Path, value: float = 10.0, **contract: Any) -> ark.Campaign:
    """Open the campaign ``s`` of a host with a baseline that was not trained."""
    campaign = ark.open_campaign(host, tag="s", **{"decide": "greedy", **contract})
    add(campaign, {}, "keep", value)
    return campaign


def add(
    campaign: ark.Campaign,
    change: Mapping[str, object] | str,
    status: str,
    value: float | None,
    **more: Any,
) -> Record:
    """Record an experiment on the best state; `change` is constants, or the new text."""
    best = campaign.best_record
    if best is None:
        commit, parent = campaign.start, (None, None)
    else:
        before = campaign.best.files
        new = {next(iter(before)): change}
        new = new if isinstance(change, str) else values.set_in_files(before, change)
        told = "new code" if isinstance(change, str) else f"{dict(change)}"
        commit = git.commit_files(campaign.path, best.commit, new, told)
        parent = (best.n, best.commit)
    fields = {
        "status": status,
        "hypothesis": "baseline" if best is None else campaign.subject(commit),
        "value": value,
        "replicates": () if value is None else ({"seed": 1, "value": value, "run": ""},),
        "delta": None if best is None or value is None else value - (best.value or 0.0),
        "reason": "by hand",
        **more,
    }
    record = ledger.record(campaign, ledger.pin(campaign, commit), commit, *parent, **fields)
    ledger.write(campaign, record, {})
    return record


def tag_objects(campaign: ark.Campaign) -> dict[str, str]:
    """Return the tag object of every record, to see that none moves."""
    found = git.refs(campaign.path, f"refs/tags/autoresearch/{campaign.tag}/")
    assert all(name == records.tag_ref(campaign.tag, int(name[-4:])) for name in found)
    return found


def run_folders(campaign: ark.Campaign, pattern: str = "[a-z]*-[0-9]*") -> list[str]:
    return sorted(p.name for p in (campaign.state / "runs").glob(pattern))


class Kernel:
    """A process of its own that runs Python on a campaign, to be killed."""

    def __init__(self, campaign: ark.Campaign, code: str) -> None:
        opened = f"campaign = ark.open_campaign({str(campaign.path)!r}, tag={campaign.tag!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import autoresearch_kit as ark\n{opened}\n{code}"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def kill(self, when: Callable[[], object], sign: int = signal.SIGKILL) -> str:
        """Send a signal once `when` is true, and return what it printed."""
        until(when)
        os.kill(self.process.pid, sign)
        return self.said()

    def said(self) -> str:
        out, _ = self.process.communicate(timeout=60)
        return out


def until(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    late = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < late, f"waited {seconds:g} s in vain"
        time.sleep(0.03)
    return found
