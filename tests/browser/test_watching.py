"""A run is watched live: through a reload, a restart of the kernel, to its end, or stopped."""

from __future__ import annotations

from collections.abc import Callable

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import expect

import autoresearch_kit as ark
from tests.browser.lab import Lab, Notebook
from tests.decided import decide

# A server and a browser, the text, and runs that are long enough to be looked at.
pytestmark = pytest.mark.timeout(400)

SECONDS = 15
OPEN = """\
import autoresearch_kit as ark
campaign = ark.open_campaign({host!r}, tag="t")
experiment = ark.apply(ark.propose(campaign, idea="HEAD_LR = {rate}").approve())
"""
CELLS = ("run = ark.train_5min(experiment)", "ark.score(run)")

PROGRESS = """() => {
    const bar = document.querySelector('[data-testid=monitor-progress]');
    return Number(bar?.getAttribute('aria-valuenow') ?? 0);
}"""


@pytest.fixture(scope="module")
def campaign(lab: Lab) -> ark.Campaign:
    """A language model that trains for some seconds, and a best run that was better."""
    made = ark.new_lab(lab.root / "labs" / "watched", task="language_model", profile="tiny")
    campaign = ark.open_campaign(made, tag="t", budget_seconds=SECONDS)
    decide(campaign, {}, "keep", 9.0, curve="0.01:6.2 0.2:5.2 0.5:4.6 0.8:4.3 1:4.2")
    return campaign


@pytest.fixture
def watch(
    lab: Lab, campaign: ark.Campaign, open_notebook: Callable[[str], Notebook]
) -> Callable[[float], Notebook]:
    """A function that opens a notebook in which a run with this learning rate has begun."""

    def begin(rate: float) -> Notebook:
        cells = [OPEN.format(host=str(campaign.path), rate=rate), *CELLS]
        path = lab.root / "notebooks" / f"watching-{rate}.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
        notebook = open_notebook(path.name)
        notebook.run_cell(0)
        notebook.run_cell(1)
        return notebook

    return begin


def wait_phase(notebook: Notebook, phase: str, seconds: float = 60) -> None:
    mark = f"[data-testid=monitor][data-phase={phase}]"
    notebook.page.wait_for_selector(mark, timeout=seconds * 1000)


def wait_progress(notebook: Notebook, more_than: float) -> float:
    notebook.page.wait_for_function(f"() => ({PROGRESS})() > {more_than}", timeout=60_000)
    return float(notebook.page.evaluate(PROGRESS))


def restart_kernel(notebook: Notebook) -> None:
    """Restart the kernel, as a person does, without the dialog that asks again."""
    notebook.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    notebook.wait_ready()


def complaints(notebook: Notebook) -> list[str]:
    """Return the errors in the browser's console that are not JupyterLab's own."""
    errors = [line for line in notebook.console if line.startswith(("error", "pageerror"))]
    # It speaks of its debugger at each restart, and of requests that a restart or a reload cut off
    # it throws nothing at all: no Error, as one of the widget's would be, with its stack.
    return [line for line in errors if "debugger state" not in line and line != "pageerror: "]


def wait_picture(notebook: Notebook, words: str) -> str:
    """Wait until a picture has taken the widget's place in the second cell."""
    output = notebook.page.locator(".jp-Cell").nth(1).locator(".jp-RenderedHTML", has_text=words)
    output.wait_for(timeout=90_000)
    (shown,) = (o for o in notebook.outputs(1) if o["output_type"] == "display_data")
    assert "application/vnd.jupyter.widget-view+json" not in shown["data"]
    return str(shown["data"]["text/html"])


def test_a_run_is_live_through_reload_and_restart_and_leaves_its_picture(
    watch: Callable[[float], Notebook], campaign: ark.Campaign
):
    notebook = watch(0.006)
    wait_phase(notebook, "training")
    before = wait_progress(notebook, 0)
    lines = notebook.page.locator("[data-testid=monitor-plot] :is(path[d^=M], polyline[points])")
    expect(lines).to_have_count(2)  # the best run's, and this one's as soon as it has one
    box = notebook.page.get_by_test_id("monitor").bounding_box()

    notebook.command("docmanager:save")
    notebook.page.wait_for_timeout(1000)
    notebook.page.reload()
    notebook.wait_ready()
    wait_progress(notebook, before)
    after = notebook.page.get_by_test_id("monitor").bounding_box()
    assert box is not None
    assert after is not None
    assert after["height"] == box["height"]
    notebook.screenshot("light")

    restart_kernel(notebook)
    notebook.page.get_by_test_id("status").filter(has_text="The kernel is gone").last.wait_for()
    notebook.run_cell(0)
    notebook.run_cell(1)
    notebook.theme("JupyterLab Dark")
    wait_phase(notebook, "training")
    notebook.screenshot("dark")
    assert "<polyline" in wait_picture(notebook, "done")
    notebook.theme("JupyterLab Light")

    notebook.run_cell(2)
    assert notebook.errors() == []
    assert [record.n for record in campaign.records()] == [0, 1]
    assert complaints(notebook) == []


def test_a_run_is_stopped_from_the_monitor_and_trains_again(watch: Callable[[float], Notebook]):
    notebook = watch(0.007)
    wait_phase(notebook, "training")
    stop = notebook.page.get_by_test_id("stop")
    stop.click()
    stop.click()
    wait_picture(notebook, "stopped")
    notebook.run_cell(2)
    assert "was stopped; type run = ark.train_5min(experiment)" in notebook.errors()[0]
    notebook.run_cell(1)
    wait_picture(notebook, "done")
    assert complaints(notebook) == []
