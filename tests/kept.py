"""A small campaign that is made once and copied for each test: nothing is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import autoresearch_kit as ark
from tests.conftest import git
from tests.stacked import FIT, PRINTED, add, start

EVIDENCE = {"error": 0.25, "z": 4.0}


_made: list[Path] = []


def kept_campaign(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> ark.Campaign:
    """A baseline of 10, a keep of 9, a discard of 13, a crash, and a keep of 7 on top."""
    if not _made:
        _made.append(_make(tmp_path_factory.mktemp("kept") / "host"))
    shutil.copytree(_made[0], tmp_path / "host", symlinks=True)
    return ark.open_campaign(tmp_path / "host", tag="s")


def _make(host: Path) -> Path:
    host.mkdir()
    (host / "fit.py").write_text(FIT)
    (host / "notes.md").write_text("mine\n")
    git(host, "init", "-q")
    git(host, "add", ".")
    git(host, "commit", "-qm", "first")
    campaign = start(host, **PRINTED)
    add(campaign, {"A": 4}, "keep", 9.0, author="TPE", gain=0.5, evidence=EVIDENCE)
    add(campaign, {"B": 9}, "discard", 13.0)
    add(campaign, {"B": 0}, "crash", None)
    add(campaign, {"B": 3}, "keep", 7.0, author="Ada <ada@example.org>")
    return host
