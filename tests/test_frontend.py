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


@pytest.mark.timeout(600)
def test_the_shipped_bundles_are_what_the_sources_give(tmp_path: Path):
    """Slow, 10 s and more: npm installs the bundler and the editor into a fresh folder."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs npm: apt-get install nodejs npm")
        pytest.skip("there is no npm; type sudo apt-get install nodejs npm")
    copy = tmp_path / "frontend"
    shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("node_modules"))
    for command in (["npm", "ci"], ["node", "build.mjs", str(tmp_path / "built")]):
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    built = {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()}
    shipped = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    differing = {name for name in built | shipped if built.get(name) != shipped.get(name)}
    assert not differing, "build them again: cd frontend && npm ci && npm run build"


def test_users_need_neither_node_nor_a_network():
    for path in STATIC.glob("*.js"):
        text = path.read_text()
        assert "import(" not in text, path.name
        assert "https://" not in text.replace("http://www.w3.org", ""), path.name
