"""The first thing a newcomer sees: notebook 01 in JupyterLab, *Run All*, a scored experiment."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from autoresearch_kit.histories import history
from tests.browser.lab import Lab, Notebook

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_step_through.ipynb"

# A server, a browser, the text, and two runs with their scores; two minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def tiny(lab: Lab) -> str:
    """The notebook with runs of 2 instead of 20 seconds, in a folder where it makes its lab."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (first,) = (cell for cell in code if 'profile="smoke"' in cell.source)
    first.source = first.source.replace('profile="smoke"', 'profile="tiny"')
    shutil.rmtree(lab.root / "labs", ignore_errors=True)
    nbformat.write(notebook, lab.root / "notebooks" / NOTEBOOK.name)
    return NOTEBOOK.name


def test_run_all_ends_with_a_scored_experiment(
    lab: Lab, open_notebook: Callable[[str], Notebook], tiny: str
):
    notebook = open_notebook(tiny)
    notebook.run_all(seconds=500)

    assert notebook.errors() == []
    sources = [cell["source"] for cell in notebook.cells()]
    notebook.scroll_to(next(i for i, text in enumerate(sources) if "ark.score" in text))
    picture = notebook.screenshot("01_step_through")
    scores = [
        output["data"]["text/plain"]
        for cell in notebook.cells()
        for output in cell.get("outputs", [])
        if "<Score " in output.get("data", {}).get("text/plain", "")
    ]
    assert re.match(r"<Score 0000 keep: val_bpb \d\.\d+", scores[0])
    assert re.match(r"<Score 0001 (keep|discard|crash): ", scores[-1])
    assert picture.stat().st_size > 10_000
    assert (lab.root / "labs" / "first" / "train.py").exists()


@pytest.mark.acceptance
def test_a_second_run_all_makes_exactly_one_more_experiment(
    lab: Lab, open_notebook: Callable[[str], Notebook], tiny: str
):
    notebook = open_notebook(tiny)
    notebook.run_all(seconds=300)
    notebook.run_all(seconds=300)

    assert notebook.errors() == []
    assert list(history(lab.root / "labs" / "first")["experiment"]) == [0, 1, 2]
