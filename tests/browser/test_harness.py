"""The harness itself, on a notebook of three cells."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.browser.lab import Lab, Notebook

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s


def write(lab: Lab, name: str, *code: str) -> str:
    cells = [new_markdown_cell("# A notebook"), *map(new_code_cell, code)]
    nbformat.write(new_notebook(cells=cells), lab.root / "notebooks" / name)
    return name


def test_cells_run_in_a_real_kernel_and_show_their_output(
    lab: Lab, open_notebook: Callable[[str], Notebook]
):
    code = ("import os; x = 6 * 7; x", "import autoresearch_kit; os.path.basename(os.getcwd())")
    notebook = open_notebook(write(lab, "two.ipynb", *code))
    (output,) = notebook.run_cell(1)
    assert output["data"]["text/plain"] == "42"
    (output,) = notebook.run_cell(2)
    assert output["data"]["text/plain"] == "'notebooks'"
    picture = notebook.screenshot().read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


@pytest.mark.acceptance
def test_run_all_waits_for_slow_cells(lab: Lab, open_notebook: Callable[[str], Notebook]):
    code = ("import time; time.sleep(2)", "print('slept'); 'done'")
    notebook = open_notebook(write(lab, "slow.ipynb", *code))
    notebook.run_all()
    assert notebook.errors() == []
    assert "slept" in notebook.text()
    assert "'done'" in notebook.text()
    notebook.run_all()
    assert [cell["execution_count"] for cell in notebook.cells()[1:]] == [3, 4]


def test_run_all_stops_at_an_error_and_tells_it(lab: Lab, open_notebook: Callable[[str], Notebook]):
    notebook = open_notebook(write(lab, "broken.ipynb", "1 / 0", "'never'"))
    notebook.run_all()
    assert notebook.errors() == ["cell 1: ZeroDivisionError: division by zero"]
    assert notebook.outputs(2) == []
