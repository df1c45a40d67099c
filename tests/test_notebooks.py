"""The notebooks run from top to bottom without a person: an experiment, a short night, a look back.

Slow: real training and scoring processes, in the profile `tiny`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import autoresearch_kit as ark

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
MAX_CELLS, MAX_LINES = 12, 8


SMALL = {'profile="smoke"': 'profile="tiny"', "experiments=4": "experiments=2"}


def run(name: str, folder: Path, changes: Mapping[str, str] = SMALL) -> str:
    """Execute a notebook of the kit with `changes`; return all that it printed."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    for cell in notebook.cells:
        for old, new in changes.items():
            cell.source = cell.source.replace(old, new)
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    return "\n".join(out.get("data", {}).get("text/plain", "") for out in outputs)


@pytest.mark.timeout(600)
def test_stepping_through_and_handing_over(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shown = run("01_step_through.ipynb", folder)
    assert "<Score 0000 keep: val_bpb" in shown
    assert "<Score 0001 " in shown
    run("01_step_through.ipynb", folder)
    assert len(ark.history(tmp_path / "labs" / "first")) == 3
    shown = run("02_overnight.ipynb", folder)
    assert "2 of 2 experiments" in shown
    assert "nothing waits for a decision" in shown
    assert "policy: approve up to 20 clean lines" in shown
    run("02_overnight.ipynb", folder)
    assert len(ark.history(tmp_path / "labs" / "first")) == 5


@pytest.mark.parametrize(
    ("tag", "file"),
    [
        ("example", "example-campaign.bundle"),
        ("kernel", "kernel-campaign.bundle"),
        ("mlx", "mlx-campaign.bundle"),
        ("upstream-h100-mar8", "upstream-h100-mar8.tsv"),
    ],
)
def test_analysing_needs_nothing_but_a_recorded_campaign(
    tmp_path: Path, tag: str, file: str
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (tmp_path / "data").symlink_to(NOTEBOOKS.parent / "data")
    shown = run("03_analysis.ipynb", folder, {"example-campaign.bundle": file})
    assert re.search(rf"experiment   {tag} 0\d", shown)  # the card
    assert (tmp_path / "labs" / "example-report.html").stat().st_size > 100_000


@pytest.mark.timeout(600)
def test_a_kernel_and_a_task_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(NOTEBOOKS / "squeeze", folder / "squeeze")
    shown = run("04_any_task.ipynb", folder)
    assert "<Score 0000 keep: speedup" in shown
    assert "metric       bits_per_byte" in shown
    assert ark.history(tmp_path / "labs" / "kernel")["experiment"].tolist() == [0, 1]
    assert ark.history(tmp_path / "labs" / "squeeze")["scored_by"].tolist() == ["kit", "kit"]


def test_a_notebook_without_a_browser_prints_what_it_shows_and_no_warning(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_markdown_cell("# A title"), nbformat.v4.new_code_cell("6 * 7")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "small.ipynb")
    command = [sys.executable, NOTEBOOKS / "run.py", tmp_path / "small.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(r"# A title\n\n\[[\d:]+\] 6 \* 7\n42\n", done.stdout)
    assert "WARNING" not in done.stderr


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_stay_short_and_without_outputs(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert len(cells) <= MAX_CELLS
    for cell in cells:
        assert len(cell.source.splitlines()) <= MAX_LINES
        assert "def " not in cell.source
        assert not cell.outputs
        assert cell.execution_count is None
