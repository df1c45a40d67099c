"""The widgets' JavaScript that is shipped is what its sources give."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "autoresearch_kit" / "static"
SOURCES = ROOT / "frontend"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in which npm has installed the bundler and the editor; slow, 10 s."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs npm: apt-get install nodejs npm")
        pytest.skip("there is no npm; type sudo apt-get install nodejs npm")
    copy = tmp_path_factory.mktemp("npm") / "frontend"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    run(copy, "npm", "ci")
    return copy


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_the_shipped_bundles_are_what_the_sources_give(installed: Path, tmp_path: Path):
    run(installed, "node", "build.mjs", str(tmp_path / "built"))
    built = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    shipped = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    differing = {name for name in built | shipped if built.get(name) != shipped.get(name)}
    assert not differing, "build them again: cd frontend && npm ci && npm run build"


@pytest.mark.timeout(600)
def test_the_diff_of_the_review_is_right_on_thousands_of_texts(installed: Path):
    run(installed, "npm", "test")


def test_users_need_neither_node_nor_a_network():
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert "import(" not in text, path.name
        assert "https://" not in text.replace("http://www.w3.org", ""), path.name
