"""Cards and diffs can be read in JupyterLab's light and its dark theme."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from autoresearch_kit import records
from tests.browser.lab import Lab, Notebook
from tests.recorded import record, write

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s

# WCAG 2.1: the ratio of relative luminances of each piece of text and the page behind it.
CONTRASTS = """() => {
    const parts = c => c.match(/[\\d.]+/g).map(Number);
    const light = c => parts(c).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (parts(c).length === 3 || parts(c)[3] === 1) return c;
        }
    };
    const shown = document.querySelectorAll('.jp-RenderedHTML :is(span, th, td, pre, text)');
    return [...shown].map(e => {
        const style = getComputedStyle(e);
        const [a, b] = [light(e.tagName === 'text' ? style.fill : style.color), light(behind(e))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName, e.textContent];
    });
}"""


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_part_of_a_card_stands_out(
    lab: Lab, open_notebook: Callable[[str], Notebook], theme: str
):
    name = theme.replace(" ", "")
    curve = records.curve((i / 20, 6 - 0.1 * i) for i in range(21))
    decided = [
        record(0, "keep", 2.3),
        record(1, "keep", 2.1, delta=-0.2, reason="strictly better", curve=curve),
    ]
    write(lab.root / name, decided)
    code = f"import autoresearch_kit as ark; ark.show('../{name}', 1)"
    cells = [
        new_code_cell(code),
        new_code_cell("ark.plots.progress(ark.history('../" + name + "'));"),
    ]
    nbformat.write(new_notebook(cells=cells), lab.root / "notebooks" / f"{name}.ipynb")
    notebook = open_notebook(f"{name}.ipynb")
    notebook.theme(theme)
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.scroll_to(0)
    notebook.screenshot(name)

    assert notebook.errors() == []
    contrasts = notebook.page.evaluate(CONTRASTS)
    assert {"SPAN", "TH", "TD", "text"} <= {tag for _, tag, _ in contrasts}
    faint = [(round(ratio, 1), text) for ratio, _, text in contrasts if ratio < 3]
    assert not faint
