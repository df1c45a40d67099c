"""A repository with the habits of karpathy/autoresearch (228791f) works as it is.

The stand-in shares its contract, not its code: a training script that prints a summary, data and
tokenizer in ``~/.cache/autoresearch``, a ``.venv`` with packages of its own, the campaign's branch
checked out, and an untracked, half-finished ``results.tsv``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from tests.conftest import git

TRAIN = '''\
"""Trains something."""
import pathlib
import time

import only_in_venv
from prepare import CACHE_DIR, TIME_BUDGET

DEPTH = 8
MATRIX_LR = 0.04

text = (CACHE_DIR / "data" / "shard_06542.txt").read_text()
try:
    (CACHE_DIR / "data" / "written.txt").write_text("x")
    print("cache: writable")
except OSError:
    print("cache: read-only")
begun = time.time()
while time.time() - begun < TIME_BUDGET:
    print(f"\\rstep {time.time() - begun:.3f} | loss: 3.0    ", end="", flush=True)
    time.sleep(0.02)
pathlib.Path("checkpoint.bin").write_bytes(b"0" * 1000)
print()
print("---")
print(f"val_bpb:          {1.0 - 0.001 * DEPTH + only_in_venv.OFFSET + len(text) * 1e-9:.6f}")
print(f"training_seconds: {time.time() - begun:.1f}")
print("peak_vram_mb:     45060.2")
'''

PREPARE = """\
import pathlib
CACHE_DIR = pathlib.Path.home() / ".cache" / "autoresearch"
TIME_BUDGET = 0.2
"""


@pytest.fixture
def clone(make_host: Callable[..., Path], tmp_path: Path, monkeypatch) -> Path:
    home = tmp_path / "home"
    (home / ".cache" / "autoresearch" / "data").mkdir(parents=True)
    (home / ".cache" / "autoresearch" / "data" / "shard_06542.txt").write_text("some text")
    monkeypatch.setenv("HOME", str(home))
    host = make_host(
        {
            "train.py": TRAIN,
            "prepare.py": PREPARE,
            "program.md": "explore\n",
            ".gitignore": ".venv\nresults.tsv\n__pycache__/\n",
        },
        name="autoresearch",
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", host / ".venv"], check=True)
    packages = next((host / ".venv" / "lib").glob("python3*")) / "site-packages"
    (packages / "only_in_venv.py").write_text("OFFSET = 0.0\n")
    git(host, "checkout", "-qb", "autoresearch/mar5")
    (host / "results.tsv").write_text("commit\tval_bpb\tmemory_gb\tstatus\tdescription\n")
    return host


def test_an_unmodified_clone_with_its_branch_checked_out(clone: Path) -> None:
    campaign = ark.open_campaign(clone, tag="mar5")
    first = ark.baseline(campaign)
    assert first.value == pytest.approx(0.992, abs=1e-6)
    assert first.scored_by == "printed"

    deeper = ark.Human(edit=lambda old: old.replace("DEPTH = 8", "DEPTH = 9"))
    score = ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=deeper))))

    assert score.status == "keep"
    assert score.note == ""
    assert "DEPTH = 9" in (clone / "train.py").read_text()
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "rev-parse", "HEAD") == campaign.best.commit
    assert (clone / "results.tsv").read_text().startswith("commit\tval_bpb")
    assert not (clone / "checkpoint.bin").exists()


def test_its_cache_is_read_only_where_there_is_a_sandbox(clone: Path) -> None:
    campaign = ark.open_campaign(clone, tag="mar5")
    ark.baseline(campaign)
    record = campaign.records()[0]
    log = (campaign.state / "runs" / "0000-0" / "log.txt").read_text()
    if not record.sandboxed and not os.environ.get("CI"):
        pytest.skip("bubblewrap is not available here, so the cache is as writable as it was")
    assert "cache: read-only" in log
    assert not list((Path.home() / ".cache" / "autoresearch" / "data").glob("written*"))


def test_seeds_are_not_claimed_to_be_injected(clone: Path) -> None:
    campaign = ark.open_campaign(clone, tag="mar5")
    ark.baseline(campaign)
    assert campaign.records()[0].replicates[0]["seed_injected"] is False
