"""Real repositories to experiment on: a script that prints its number, and a lab in miniature."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# A job in the background ignores Ctrl+C, and so would everything that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

PRINTED = """\
\"\"\"Fit a line to noisy points by gradient descent.\"\"\"
import os
import random

LEARNING_RATE = 0.05  # search: 0.001 to 0.5 log
STEPS = 40  # search: 10 to 200
SEED = int(os.environ.get("SEED", 0))

random.seed(SEED)
points = [(x / 10, 3 * x / 10 + random.gauss(0, 0.1)) for x in range(20)]
slope = 0.0
for _ in range(STEPS):
    slope -= LEARNING_RATE * sum(2 * (slope * x - y) * x for x, y in points) / len(points)
loss = sum((slope * x - y) ** 2 for x, y in points) / len(points)
print(f"val_loss: {loss:.6f}")
"""


def git(repo: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repo), *args], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own git identity and device queue, and no keys."""
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\n\tname = Ada Tester\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    for name in list(os.environ):
        if name.endswith("_API_KEY") or name == "OPENAI_BASE_URL":
            monkeypatch.delenv(name)


@pytest.fixture
def make_host(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a repository from path → text."""

    def make(files: dict[str, str], name: str = "host") -> Path:
        repo = tmp_path / name
        for path, text in files.items():
            (repo / path).parent.mkdir(parents=True, exist_ok=True)
            (repo / path).write_text(text)
        git(tmp_path, "init", "-q", str(repo))
        git(repo, "add", ".")
        git(repo, "commit", "-qm", "first")
        return repo

    return make


@pytest.fixture
def host(make_host: Callable[..., Path]) -> Path:
    """Return a repository whose script prints ``val_loss: number`` in a few milliseconds."""
    return make_host({"fit.py": PRINTED, "notes.md": "notes\n"})


@pytest.fixture
def contract() -> dict[str, str]:
    """Return what `open_campaign` needs to know of `host`."""
    return {
        "edit": "fit.py",
        "train": f"{sys.executable} fit.py",
        "metric": "val_loss",
        "goal": "minimize",
        "decide": "greedy",
    }


@pytest.fixture(scope="session")
def _scored_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository of `tests.nightly` whose campaign "n" has its baseline; never changed."""
    import autoresearch_kit as ark
    from tests.nightly import CONTRACT, FIT

    folder = tmp_path_factory.mktemp("nightly")
    (folder / "config").write_text("[user]\n\tname = Ada Tester\n\temail = ada@example.org\n")
    (folder / "runtime").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "config"))
        patch.setenv("XDG_RUNTIME_DIR", str(folder / "runtime"))
        host = folder / "host"
        host.mkdir()
        (host / "fit.py").write_text(FIT)
        git(folder, "init", "-q", "-b", "main", str(host))
        git(host, "add", ".")
        git(host, "commit", "-qm", "first")
        ark.baseline(ark.open_campaign(host, tag="n", **CONTRACT))
    return host


@pytest.fixture
def nightly(_scored_once: Path, tmp_path: Path) -> Iterator[Any]:
    """Return a campaign with a scored baseline; whatever works on it at the end is ended."""
    import autoresearch_kit as ark
    from autoresearch_kit import nights
    from tests.test_kills import processes_of

    host = tmp_path / "nightly"
    shutil.copytree(_scored_once, host, symlinks=True)
    campaign = ark.open_campaign(host, tag="n")
    yield campaign
    night = nights.latest(campaign) if host.exists() else None
    if night is not None and night.status not in nights.ENDED:
        night.stop(now=True)
    for process in processes_of(tmp_path):
        process.kill()
