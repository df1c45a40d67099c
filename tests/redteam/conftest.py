"""Campaigns to attack, made once a session, with secrets and servers around them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import autoresearch_kit as ark
from autoresearch_kit import admission, git, source
from tests.conftest import PRINTED
from tests.redteam import harness, surroundings

# The machine's temporary folder looks empty from inside of the sandbox, whatever lies in it; so
# what is to be attacked lies elsewhere.
PLACES = (Path("/var/tmp"), Path.home())

OF_TORCH, MORE_OF_TORCH = (
    [str(Path(find_spec("torch").origin).parent / name / "*.py") for name in names]
    for names in (("nn/modules", "optim"), ("_dynamo", "_inductor"))
)


@contextlib.contextmanager
def surrounded(ground: surroundings.Ground) -> Iterator[None]:
    """Be the user whose machine it is, while a campaign is made or attacked."""
    runtime = ground.folder / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    config = ground.folder / "gitconfig"
    config.write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in ground.environment().items():
            patch.setenv(variable, value)
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield


@pytest.fixture(scope="session")
def ground() -> Iterator[surroundings.Ground]:
    place = next(p for p in PLACES if os.access(p, os.W_OK))
    made = surroundings.ground(Path(tempfile.mkdtemp(prefix="redteam-", dir=place)))
    yield made
    made.close()


@pytest.fixture(scope="session")
def compressor(ground: surroundings.Ground) -> harness.Range:
    """A task of this folder: a text compressor, judged on texts that it never saw."""
    host = ground.folder / "hosts" / "compressor"
    shutil.copytree(harness.FOLDER / "host", host)
    texts = sorted(Path(contextlib.__file__).parent.glob("[a-s]*.py"))
    for i, path in enumerate(texts[:60]):
        split = "val" if i % 5 == 4 else "train"
        content = path.read_bytes()[: 1_500 if split == "val" else 20_000]
        (host / "data" / split).mkdir(parents=True, exist_ok=True)
        (host / "data" / split / f"{i // 5:02d}.txt").write_bytes(content)
    ground.planted.write(host / "data" / "test" / "00.txt", "test-texts")
    ground.planted.write(host / "data" / "val" / "99.txt", "val-texts")
    (host / ".gitignore").write_text("data/\n.env\n")
    with surrounded(ground):
        git_here(host, "init", "-q", "-b", "main")
        git_here(host, "add", ".")
        git_here(host, "commit", "-qm", "first")
        surroundings.plant_in(host, ground.planted, "compressor")
        campaign = ark.open_campaign(host, tag="r", allow=tuple(admission.REFUSED))
        worse = (host / "fast.py").read_text().replace("SIZE = 8192", "SIZE = 256")
        known = ground.known(host, campaign.state, host / "data")
        made = harness.Range(campaign, "fast.py", worse, ground.planted, known)
        made.begin()
    return made


@pytest.fixture(scope="session")
def model(ground: surroundings.Ground, request: pytest.FixtureRequest) -> harness.Range:
    """A lab of the language model; its profile is tiny, and smoke in the acceptance suite."""
    long = "not acceptance" not in request.config.getoption("-m")
    data = [*OF_TORCH, *MORE_OF_TORCH] if long else OF_TORCH
    worse = {"EMBED_LR": 0.01, "MATRIX_LR": 0.01}
    return lab(ground, "model", "language_model", "smoke" if long else "tiny", data, worse)


@pytest.fixture(scope="session")
def mlx(ground: surroundings.Ground) -> harness.Range:
    """A lab of the language model in MLX; its profile is tiny."""
    pytest.importorskip("mlx.core", reason="MLX is not installed: pip install 'mlx[cpu]'")
    worse = {"EMBED_LR": 0.01, "HEAD_LR": 0.001}
    made = lab(ground, "model-mlx", "language_model_mlx", "tiny", OF_TORCH, worse)
    made.slack = 0.06  # a run is a dozen steps, and its seconds buy more or fewer of them
    return made


def lab(
    ground: surroundings.Ground,
    name: str,
    task: str,
    profile: str,
    data: list[str],
    worse: dict[str, float],
) -> harness.Range:
    """Make a lab, a campaign and its baseline; `worse` are the constants of the honest change."""
    with surrounded(ground):
        folder = ground.folder / "hosts" / name
        made = ark.new_lab(folder, task=task, profile=profile, data=data)
        surroundings.plant_in(folder, ground.planted, name)
        campaign = ark.open_campaign(made, tag="r", allow=tuple(admission.REFUSED))
        changed = source.set_constants((folder / "train.py").read_text(), worse)
        prepared = (folder / "data").resolve()
        for split in ("val", "test"):
            plant_rows(prepared, split, ground.planted)
        known = ground.known(folder, campaign.state, prepared)
        target = harness.Range(campaign, "train.py", changed, ground.planted, known)
        target.begin()
    return target


@pytest.fixture(scope="session")
def printed(ground: surroundings.Ground) -> harness.Range:
    """A host that prints its number itself: the weakest contract that there is."""
    host = ground.folder / "hosts" / "printed"
    host.mkdir(parents=True)
    (host / "fit.py").write_text(PRINTED)
    with surrounded(ground):
        git_here(host, "init", "-q", "-b", "main")
        git_here(host, "add", ".")
        git_here(host, "commit", "-qm", "first")
        surroundings.plant_in(host, ground.planted, "printed")
        campaign = ark.open_campaign(
            host,
            tag="r",
            edit="fit.py",
            train="python fit.py",
            metric="val_loss",
            goal="minimize",
            noise=0.0001,
            timeout_seconds=15,
            allow=tuple(admission.REFUSED),
        )
        worse = PRINTED.replace("STEPS = 40", "STEPS = 10")
        known = ground.known(host, campaign.state, host)
        made = harness.Range(campaign, "fit.py", worse, ground.planted, known)
        made.begin()
    return made


def plant_rows(prepared: Path, split: str, planted: surroundings.Planted) -> None:
    """Take every row of a split as a secret: as bytes, and as numbers in a text."""
    content = np.fromfile(prepared / split / "rows.bin", np.uint16)
    meta = (prepared / split / "meta.json").read_text()
    width = int(re.search(r'"T": (\d+)', meta)[1]) + 1
    rows = content.reshape(-1, width)[:256]
    for i, row in enumerate(rows):
        planted.raw[f"{split} row {i} as bytes"] = row[1:13].tobytes()
        planted.raw[f"{split} row {i} as int64"] = row[1:13].astype(np.int64).tobytes()
        for between in (", ", " "):
            words = between.join(map(str, row[1:9].tolist()))
            planted.raw[f"{split} row {i} with {between!r}"] = words.encode()


def git_here(repo: Path, *args: str) -> None:
    git.call(repo, *args)


@pytest.fixture(autouse=True)
def _surrounded(ground: surroundings.Ground, _alone: None) -> Iterator[None]:
    with surrounded(ground):
        yield
