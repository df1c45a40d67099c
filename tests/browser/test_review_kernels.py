"""Reviews on other versions of ipykernel, in cells that wait, and beside cells that block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from tests.browser.conftest import REPOSITORY
from tests.browser.lab import READY, Lab, Notebook
from tests.browser.reviewing import Review, campaign_for, write_notebook

# A server and a browser start first: about 15 s; then pip, and waits that are a part of the test.
pytestmark = pytest.mark.timeout(300)

Open = Callable[[str], Notebook]
MakeKernel = Callable[[str], str]

PROPOSE = "proposal = ark.propose(campaign, by=by)"
VERSION = "import ipykernel; ipykernel.__version__"


@pytest.fixture(scope="module")
def kernel(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> MakeKernel:
    """A function that gives the server a kernel with this ipykernel, "" for the installed one."""
    made: dict[str, str] = {"": ""}

    def make(version: str) -> str:
        if version not in made:
            made[version] = f"ipykernel-{version}"
            folder = tmp_path_factory.mktemp(made[version])
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
            packages = ["--no-deps", f"ipykernel=={version}", "nest-asyncio==1.6.0"]
            done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False)
            if done.returncode:
                why = f"pip can't fetch ipykernel {version}: {done.stderr.strip()[-300:]}"
                pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            path = os.pathsep.join([str(folder), str(REPOSITORY)])
            spec = {"argv": command, "display_name": made[version], "language": "python"}
            file = lab.log.parent / "data" / "kernels" / made[version] / "kernel.json"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(spec | {"env": {"PYTHONPATH": path}}))
        return made[version]

    return make


def run_without_waiting(notebook: Notebook, index: int) -> None:
    notebook.page.evaluate(
        """i => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = i;
            window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        index,
    )


def begin(
    lab: Lab, open_notebook: Open, name: str, *cells: str, kernel: str = ""
) -> tuple[Notebook, Review]:
    campaign = campaign_for(lab, name)
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, *cells, kernel=kernel))
    notebook.run_cell(0)
    notebook.run_cell(1)
    return notebook, Review(notebook)


def plain(notebook: Notebook, index: int) -> str:
    (output,) = notebook.outputs(index)
    return str(output["data"]["text/plain"])


@pytest.mark.parametrize("version", [pytest.param("7.3.0", marks=pytest.mark.acceptance), "6.29.5"])
def test_a_click_decides_on_older_kernels(
    lab: Lab, open_notebook: Open, kernel: MakeKernel, version: str
):
    cells = ("ark.review(proposal)", "ark.apply(proposal)", VERSION)
    name = f"click{version}"
    notebook, review = begin(lab, open_notebook, name, *cells, kernel=kernel(version))
    notebook.run_cell(2)
    notebook.run_cell(3)
    assert notebook.errors()[0].startswith("cell 3: ApprovalPending: nobody has decided")
    review.click("approve")
    review.wait_badge("approved")
    notebook.run_cell(3)
    notebook.run_cell(4)
    assert notebook.errors() == []
    assert plain(notebook, 3).startswith("<Experiment 0001 ")
    assert plain(notebook, 4) == repr(version)


@pytest.mark.parametrize("version", ["", pytest.param("7.3.0", marks=pytest.mark.acceptance)])
def test_a_cell_can_await_the_decision(
    lab: Lab, open_notebook: Open, kernel: MakeKernel, version: str
):
    cells = (
        f"{VERSION}\ndecided = await ark.review(proposal)",
        "[decided.status, decided.decision['files']]",
    )
    name = f"await{version}"
    notebook, review = begin(lab, open_notebook, name, *cells, kernel=kernel(version))
    run_without_waiting(notebook, 2)
    review.part("approve").wait_for()
    time.sleep(5)  # longer than the wait for a front end that is there already
    assert notebook.errors() == []
    review.type_at_end_of("LEARNING_RATE = 0.07", ", mine")
    review.click("approve")
    notebook.wait_idle()
    review.wait_badge("approved")
    notebook.run_cell(3)
    assert notebook.errors() == []
    assert plain(notebook, 3).startswith("['approved',")
    assert ", mine" in plain(notebook, 3)


def test_awaiting_gives_up_where_no_front_end_answers(lab: Lab, open_notebook: Open):
    # As after a reload that lost the output: displayed once, and nowhere now.
    cells = ("hidden = ark.review(proposal)\nhidden.displayed = True", "await hidden", "1 + 1")
    notebook, _ = begin(lab, open_notebook, "nobody", *cells)
    notebook.run_cell(2)
    notebook.run_cell(3, seconds=30)
    (error,) = notebook.errors()
    assert error.startswith("cell 3: ApprovalPending: no front end answered")
    (output,) = notebook.outputs(3)
    assert len(output["traceback"]) == 1
    notebook.run_cell(4)
    assert plain(notebook, 4) == "2"


def test_a_click_beside_a_cell_that_blocks_the_kernel_is_kept(lab: Lab, open_notebook: Open):
    cells = ("ark.review(proposal)", "import time; time.sleep(9); 'slept'", "ark.apply(proposal)")
    notebook, review = begin(lab, open_notebook, "busy", *cells)
    notebook.run_cell(2)
    review.part("approve").wait_for()
    before = review.box("bar"), review.box("status")
    run_without_waiting(notebook, 3)
    notebook.page.wait_for_function(f"() => !({READY})()")
    review.click("approve")
    review.wait_status("The kernel is busy with a cell. This is kept, and done when the cell ends.")
    time.sleep(6)  # longer than a kernel that does nothing is waited for
    assert "This is kept" in review.text("status")
    assert review.part("approve").get_attribute("aria-disabled") == "true"
    review.part("approve").click(force=True)
    assert (review.box("bar"), review.box("status")) == before
    assert review.text("badge") == "waits for you"
    notebook.wait_idle()
    review.wait_badge("approved")
    review.wait_status("Approved. Next: ark.apply(proposal).")
    assert plain(notebook, 3) == "'slept'"
    notebook.run_cell(4)
    assert notebook.errors() == []
    assert plain(notebook, 4).startswith("<Experiment 0001 ")


def test_an_idle_page_says_so_when_the_kernel_dies(lab: Lab, open_notebook: Open):
    notebook, review = begin(lab, open_notebook, "dies", "ark.review(proposal)", "1 + 1")
    notebook.run_cell(2)
    review.part("approve").wait_for()
    notebook.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.shutdown()"
    )
    review.click("approve")
    review.wait_status("ark.review(campaign.pending())")
    assert review.text("badge") == "waits for you"
    assert review.part("approve").get_attribute("aria-disabled") is None
