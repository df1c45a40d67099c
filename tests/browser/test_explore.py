"""The interactive staircase, and pages about experiments, in JupyterLab."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

from autoresearch_kit import records
from tests.browser.lab import Lab, Notebook
from tests.browser.looks import check_looks, check_quiet
from tests.browser.test_cards import CONTRASTS
from tests.browser.test_watching import restart_kernel
from tests.recorded import record, write

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s

EVIL = "<img src=x onerror=\"document.title='taken'\">"
CELLS = (
    "from autoresearch_kit.explorer import explore; explore('../{name}')",
    "from autoresearch_kit.comparisons import compare; compare('../{name}', 0, 90)",
    "from autoresearch_kit.blames import blame; blame('../{name}')",
)


def campaign(repo: Path, n: int) -> Path:
    """Make a campaign in which every tenth experiment was kept and the last one is hostile."""
    curve = records.curve((i / 20, 6 - 0.1 * i) for i in range(21))
    decided, code, best = [record(0, "keep", 2.4, curve=curve)], {}, 0
    for i in range(1, n):
        status = "keep" if i % 10 == 0 else "crash" if i % 17 == 0 else "discard"
        value = None if status == "crash" else 2.4 - i / 500 + (status == "discard") * i % 7 / 50
        more = {"hypothesis": EVIL, "author": EVIL} if i == n - 1 else {}
        if i % 3 == 0 and not more:
            more = {"author": "LLM a-model"}
        delta = None if value is None else -0.02
        decided.append(
            record(i, status, value, parent=best, delta=delta, noise=0.01, curve=curve, **more)
        )
        text = "".join(f"A{k} = {i if k == i // 10 else k}\n" for k in range(14))
        code[i] = {"train.py": text}
        best = i if status == "keep" else best
    return write(repo, decided, code)


def opened(lab: Lab, open_notebook: Callable[[str], Notebook], name: str, n: int) -> Notebook:
    campaign(lab.root / name, n)
    path = lab.root / "notebooks" / f"{name}.ipynb"
    cells = [new_code_cell(cell.format(name=name)) for cell in CELLS]
    nbformat.write(new_notebook(cells=cells), path)
    notebook = open_notebook(path.name)
    for i in range(len(cells)):
        notebook.run_cell(i)
    assert notebook.errors() == []
    return notebook


def test_an_experiment_is_found_by_pointer_and_keyboard_and_its_card_opens(
    lab: Lab, open_notebook: Callable[[str], Notebook]
):
    notebook = opened(lab, open_notebook, "explored", 126)
    page, plot = notebook.page, notebook.page.get_by_test_id("plot")
    said = lambda: plot.get_attribute("aria-valuetext")  # noqa: E731
    notebook.scroll_to(0)

    plot.focus()
    page.keyboard.press("Home")
    assert said() == "0000 keep 2.4, by TPE()\nbaseline"
    page.keyboard.press("End")
    assert EVIL in said()
    page.keyboard.press("Home")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert said() == "0010 keep 2.38 (−0.02), by TPE()\nidea 10"
    page.keyboard.press("Enter")
    card = page.locator("[data-testid=card][data-n='10']")
    expect(card).to_contain_text("+A1 = 10")
    notebook.screenshot("card")

    box = plot.bounding_box()
    assert box is not None
    place = page.locator(".ark-here").bounding_box()  # around the mark of the open card
    assert place is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 40)
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page.locator(".ark-tip")).to_have_text("0010 keep 2.38 (−0.02), by TPE()\nidea 10")

    count = page.get_by_test_id("count")
    expect(count).to_have_text("125 experiments")  # the starting point is none
    expect(page.locator("label", has=page.locator("[data-status=keep]"))).to_have_text("keep (12)")
    page.locator("[data-testid=show-status][data-status=discard]").uncheck()
    kept_and_crashed = 13 + len([i for i in range(1, 126) if i % 17 == 0 and i % 10])
    expect(count).to_have_text(f"{kept_and_crashed} of 126 shown")
    page.get_by_test_id("show-author").select_option("LLM a-model")
    expect(count).to_have_text(re.compile(r"^\d+ of 126 shown$"))
    plot.focus()
    page.keyboard.press("Home")
    assert said().startswith("0030 keep")

    page.get_by_test_id("show-author").select_option("")
    page.locator("[data-testid=show-status][data-status=discard]").check()
    plot.focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.locator("[data-testid=card][data-n='125']")).to_contain_text(EVIL)
    assert page.title() != "taken"
    check_looks(notebook, "explore", "explore")
    check_quiet(notebook)

    # What a closed notebook shows: a picture with words, in place of the widget.
    (output,) = notebook.outputs(0)
    assert "<svg" in output["data"]["text/html"]
    assert "0010 " in output["data"]["text/plain"]

    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.theme(theme)
        page.wait_for_timeout(200)  # a theme's colours come a moment after its name
        for i in (1, 2):
            notebook.scroll_to(i)
            notebook.screenshot(f"{('explore', 'compare', 'blame')[i]}-{theme[11:].lower()}")
        shown = page.evaluate(CONTRASTS)
        assert {"SPAN", "TH", "TD", "text"} <= {tag for _, tag, _ in shown}
        assert not [(round(ratio, 1), text) for ratio, _, text in shown if ratio < 3]

    # Lines of the winner tell whose they are to who comes by with the Tab key.
    block = page.locator(".ark-blame span[tabindex]").first
    block.focus()
    assert "idea 10" in block.evaluate("e => getComputedStyle(e, '::after').content")

    restart_kernel(notebook)
    notebook.scroll_to(0)
    status = page.get_by_test_id("explore").get_by_test_id("status")
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(status).to_contain_text("The kernel is gone")
    expect(page.get_by_test_id("card")).to_contain_text("0000 keep 2.4: baseline")
