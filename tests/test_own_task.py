"""The README's own task is made and run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import autoresearch_kit as ark
from autoresearch_kit import sandbox
from tests.conftest import git

README = (Path(__file__).parents[1] / "README.md").read_text()
SQUEEZE = Path(__file__).parents[1] / "notebooks" / "squeeze"


def blocks(language: str) -> list[str]:
    page = README.split("<!-- own-task -->", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def in_shell(lines: str, folder: Path) -> None:
    python = Path(sys.executable).parent
    subprocess.run(
        [
            "sh",
            "-e",
            "-c",
            lines.replace("~/squeeze", str(folder)).replace(
                "~/autoresearch-kit", str(SQUEEZE.parents[1])
            ),
        ],
        cwd=folder,
        env=os.environ | {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}"},
        check=True,
    )


def alike(text: str, folder: object) -> list[str]:
    """Return lines without what differs from machine to machine and from day to day."""
    text = re.sub(r"tag='\w+'", "tag=...", text.replace(str(folder), "~/squeeze"))
    if sandbox.unavailable() is not None:
        text = re.sub(r"(?m)^sandboxed .*", "sandboxed    yes", text)
    return re.sub(r"\d+\.?\d*", "N", text).strip().splitlines()


def test_a_task_of_ones_own_works_as_shown(tmp_path: Path) -> None:
    host = tmp_path / "squeeze"
    host.mkdir()
    scorer, new_task, calls = blocks("python")
    made, committed = blocks("sh")
    shutil.copy(SQUEEZE / "squeeze.py", host)
    in_shell(made, host)
    assert scorer == (SQUEEZE / "score.py").read_text()
    (host / "score.py").write_text(scorer)

    tried = eval(new_task.replace("~/squeeze", str(host)), {"ark": ark})
    assert alike(repr(tried), host) == alike(blocks("text")[0], "/srv/squeeze")
    toml = (host / "task.toml").read_text()
    assert len(toml.splitlines()) == 5
    assert len(toml.splitlines()) + len(scorer.splitlines()) < 20
    assert tomllib.loads(toml)["score"] == ["python", "score.py"]

    in_shell(committed, host)
    assert git(host, "status", "--porcelain") == ""
    scope: dict[str, object] = {"ark": ark}
    exec(calls.replace("~/squeeze", str(host)), scope)
    campaign = scope["campaign"]
    assert isinstance(campaign, ark.Campaign)
    first, second = campaign.records()
    assert first.value == tried.values[0]
    assert second.status in ("keep", "discard")
    assert set(second.constants) == {"ORDER", "LIMIT", "TRUST"}
    assert second.scored_by == "kit"
    assert second.sandboxed is (sandbox.unavailable() is None)
