"""kill -9 at random moments: nothing decided is lost, nothing is left behind, the loop goes on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import autoresearch_kit as ark
from tests.conftest import git

TRAIN = """\
import os, time
RATE = 0.05  # search: 0.001 to 0.5 log
WIDTH = 64  # search: 1 to 100000
SEED = os.environ["SEED"]
time.sleep(0.2)
open(os.path.join(os.environ["RUN_DIR"], "weights.safetensors"), "w").write(f"{RATE} {WIDTH}")
"""

CHECK = """\
import json, os, time
time.sleep(0.1)
rate, width = open(os.path.join(os.environ["RUN_DIR"], "weights.safetensors")).read().split()
print(json.dumps({"value": abs(float(rate) - 0.02) + 1 / float(width)}))
"""

LOOP = """\
import sys
import autoresearch_kit as ark
campaign = ark.open_campaign(sys.argv[1], tag="kills")
ark.baseline(campaign)
while True:
    proposal = ark.propose(campaign)
    if proposal.status == "open":
        proposal.approve()
    ark.score(ark.train_5min(ark.apply(proposal)))
"""


def processes_of(folder: Path) -> list[psutil.Process]:
    """Return living processes that have to do with a repository, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if str(folder) in words and process.pid != psutil.Process().pid:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_often(host: Path, times: int, seed: int) -> dict[str, int]:
    """Run the loop, kill a random process of it `times` times, and check what must hold."""
    dice = random.Random(seed)
    loop = None
    killed: dict[str, int] = {}
    decided = 0
    while sum(killed.values()) < times:
        if loop is None or loop.poll() is not None:
            loop = subprocess.Popen(
                [sys.executable, "-c", LOOP, str(host)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        time.sleep(dice.uniform(0.1, 1.5))
        kinds = {p: _kind(p, loop) for p in processes_of(host)}
        wanted = dice.choice(["kernel", "supervisor", "child"])
        victims = [p for p, kind in kinds.items() if kind == wanted]
        if not victims:
            continue
        dice.choice(victims).kill()
        killed[wanted] = killed.get(wanted, 0) + 1
        decided = _check(host, decided)
    assert loop is not None
    loop.kill()
    loop.wait()
    _wait_for_silence(host)
    campaign = ark.open_campaign(host, tag="kills")
    ark.baseline(campaign)
    before = len(campaign.records())
    score = ark.score(ark.train_5min(ark.apply(_approved(campaign))))
    assert score.status in ("keep", "discard")
    assert len(campaign.records()) == before + 1
    _check(host, before)
    return killed


def _approved(campaign: ark.Campaign) -> ark.Proposal:
    proposal = ark.propose(campaign)
    return proposal if proposal.status == "approved" else proposal.approve()


def _kind(process: psutil.Process, loop: subprocess.Popen[bytes]) -> str:
    if process.pid == loop.pid:
        return "kernel"
    try:
        return "supervisor" if "autoresearch_kit.supervisor" in process.cmdline() else "child"
    except psutil.Error:
        return "gone"


def _check(host: Path, decided_before: int) -> int:
    """Every decided experiment is in git, numbered without gaps, and the branch is at the best."""
    campaign = ark.open_campaign(host, tag="kills")
    found = campaign.records()
    assert [r.n for r in found] == list(range(len(found)))
    assert len(found) >= decided_before
    assert not [r for r in found if r.status == "crash"], "a kill is not the experiment's fault"
    if found:
        assert git(host, "rev-parse", campaign.branch) == campaign.best.commit
    for record in found:
        assert git(host, "cat-file", "-t", f"autoresearch/kills/{record.n:04d}") == "tag"
        assert git(host, "cat-file", "-t", f"autoresearch-files/kills/{record.n:04d}") == "tree"
    return len(found)


def _wait_for_silence(host: Path) -> None:
    deadline = time.monotonic() + 60
    while processes_of(host) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_of(host) == []


@pytest.fixture
def loop_host(make_host: Callable[..., Path]) -> Path:
    host = make_host({"fit.py": TRAIN, "check.py": CHECK})
    ark.open_campaign(
        host,
        tag="kills",
        edit="fit.py",
        train=[sys.executable, "fit.py"],
        score=[sys.executable, "check.py"],
        metric="loss",
        env=(),
    )
    return host


def test_a_few_kills_lose_nothing(loop_host: Path) -> None:
    kill_often(loop_host, times=6, seed=1)


@pytest.mark.acceptance
@pytest.mark.timeout(1200)
def test_fifty_kills_lose_nothing(loop_host: Path) -> None:
    """Slow: fifty random moments of a loop that needs about a second a round."""
    killed = kill_often(loop_host, times=50, seed=2)
    print("killed:", killed)
    assert set(killed) == {"kernel", "supervisor", "child"}
