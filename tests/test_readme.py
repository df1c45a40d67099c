"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import autoresearch_kit as ark
from tests.conftest import git

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_file_tree_names_every_module_and_only_those() -> None:
    tree = README.split("## Files", 1)[1].split("```")[1]
    named = set(re.findall(r"^  (\w+\.py) ", tree, re.MULTILINE))
    there = {p.name for p in (ROOT / "autoresearch_kit").glob("*.py")} - {
        "__init__.py",
        "_version.py",
    }
    assert named == there


def test_the_eight_lines_use_the_public_api() -> None:
    code = README.split("## The loop in eight lines", 1)[1].split("```python\n")[1].split("```")[0]
    for name in re.findall(r"ark\.(\w+)", code):
        assert hasattr(ark, name)
    statements = [line for line in code.splitlines() if line and not line.startswith("import")]
    assert len(statements) == 7


def test_ones_own_repository_works_as_shown(tmp_path: Path) -> None:
    page = README.split("<!-- own-repository -->", 1)[1]
    script, calls = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:2]
    assert len(script.splitlines()) < 60
    host = tmp_path / "pi"
    host.mkdir()
    (host / "pi.py").write_text(script)
    git(tmp_path, "init", "-q", str(host))
    git(host, "add", ".")
    git(host, "commit", "-qm", "first")
    scope: dict[str, object] = {"ark": ark}
    exec(calls.replace("~/pi", str(host)), scope)
    campaign = scope["campaign"]
    assert isinstance(campaign, ark.Campaign)
    record = campaign.records()[1]
    assert record.status in ("keep", "discard")
    assert set(record.constants) == {"THROWS", "STRATA", "ANTITHETIC"}
    assert record.constants["THROWS"] == 20_000
    assert record.replicates[0]["seed_injected"]
    assert git(host, "status", "--porcelain") == ""
