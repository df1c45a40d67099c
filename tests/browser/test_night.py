"""A night seen from JupyterLab: its dashboard steers it, and it outlives the kernel."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import autoresearch_kit as ark
from autoresearch_kit import nights
from tests.browser.lab import Lab, Notebook
from tests.browser.reviewing import wait_for
from tests.browser.test_watching import complaints, restart_kernel
from tests.conftest import PRINTED, git

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s

OPEN = "import autoresearch_kit as ark\ncampaign = ark.open_campaign({host!r}, tag='t')"
NIGHT = "night = ark.overnight(campaign, experiments=200, approve={approve})\nnight"
DASHBOARD = "ark.dashboard(campaign)"


class Dashboard:
    """The dashboard in a notebook, by the marks that its elements carry."""

    def __init__(self, notebook: Notebook) -> None:
        self.page = notebook.page

    def part(self, mark: str):
        return self.page.get_by_test_id(mark).last

    def wait_night(self, phase: str) -> None:
        self.page.wait_for_selector(f"[data-testid=night][data-phase={phase}]", timeout=30_000)


@pytest.fixture
def campaign(
    lab: Lab, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ark.Campaign]:
    """A script of a third of a second in a repository beside the notebooks."""
    host = lab.root / request.node.name
    host.mkdir()
    (host / "fit.py").write_text(f"import time\n\ntime.sleep(0.3)\n{PRINTED}")
    git(lab.root, "init", "-q", str(host))
    git(host, "add", ".")
    git(host, "commit", "-qm", "first")
    campaign = ark.open_campaign(
        host,
        tag="t",
        edit="fit.py",
        train=[sys.executable, "fit.py"],
        metric="val_loss",
        decide="greedy",
    )
    ark.baseline(campaign)
    yield campaign
    if (night := nights.latest(campaign)) is not None:
        night.stop(now=True).wait(progress=False)


def opened(
    lab: Lab, open_notebook: Callable[[str], Notebook], campaign: ark.Campaign, approve: str
) -> Notebook:
    """Open a notebook whose cells open the campaign, start a night and show the dashboard."""
    cells = [OPEN.format(host=str(campaign.path)), NIGHT.format(approve=approve), DASHBOARD]
    path = lab.root / "notebooks" / f"{campaign.path.name}.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    notebook = open_notebook(path.name)
    for i in range(len(cells)):
        notebook.run_cell(i)
    return notebook


def test_the_dashboard_of_a_live_night_shows_it_and_steers_it(
    lab: Lab, open_notebook: Callable[[str], Notebook], campaign: ark.Campaign
):
    notebook = opened(lab, open_notebook, campaign, "'everything'")
    board = Dashboard(notebook)
    board.wait_night("running")
    rows = notebook.page.get_by_test_id("ledger-row")
    rows.nth(3).wait_for(state="attached")

    board.part("pause").click()
    board.wait_night("paused")
    notebook.page.wait_for_timeout(1500)  # the present run ends first
    done = len(campaign.records())
    notebook.page.wait_for_timeout(1500)
    assert len(campaign.records()) == done
    board.part("resume").click()
    board.wait_night("running")
    wait_for(lambda: len(campaign.records()) > done)

    board.part("tab-ledger").click()
    notebook.page.locator("[data-testid=ledger-row][data-n='1']").get_by_text("0001").click()
    card = notebook.page.locator("[data-testid=card][data-n='1']")
    card.locator("pre").wait_for()
    assert "LEARNING_RATE" in card.inner_text()
    notebook.screenshot("card")

    board.part("stop").click()
    board.part("stop-after").click()
    board.wait_night("stopped")
    assert "on request" in board.part("night").inner_text()
    notebook.theme("JupyterLab Dark")
    notebook.screenshot("dark")
    assert nights.latest(campaign).status == "stopped"
    assert complaints(notebook) == []


def test_a_person_approves_and_refuses_in_the_dashboard(
    lab: Lab, open_notebook: Callable[[str], Notebook], campaign: ark.Campaign
):
    notebook = opened(lab, open_notebook, campaign, "ark.policies.ask()")
    board = Dashboard(notebook)
    board.part("tab-waiting").click()
    board.part("approve").click()
    wait_for(lambda: [r.n for r in campaign.records()] == [0, 1], 30)
    assert campaign.records()[1].approver == "Ada Tester <ada@example.org>"

    # It was kept, so what else waits is moved onto it or made again.
    board.page.get_by_test_id("review").filter(has_text="on top of 0001").wait_for()
    board.part("refuse").click()
    board.part("refuse-reason").fill("not this way")
    board.part("refuse-send").click()
    wait_for(lambda: len(campaign.records()) > 2, 30)
    (refused,) = [r for r in campaign.records() if r.status == "refused"]
    assert refused.reason == "not this way"
    notebook.screenshot("waiting")
    assert complaints(notebook) == []


def test_a_night_goes_on_when_its_kernel_is_killed_and_its_handle_comes_back(
    lab: Lab, open_notebook: Callable[[str], Notebook], campaign: ark.Campaign
):
    notebook = opened(lab, open_notebook, campaign, "'everything'")
    board = Dashboard(notebook)
    board.wait_night("running")
    night = nights.latest(campaign)
    restart_kernel(notebook)  # the server kills the old kernel
    board.page.get_by_test_id("status").filter(has_text="The kernel is gone").last.wait_for()
    done = len(campaign.records())
    wait_for(lambda: len(campaign.records()) > done + 1, 30)

    for i in range(3):
        notebook.run_cell(i)
    (handle,) = notebook.outputs(1)
    assert "running" in handle["data"]["text/plain"]
    board.wait_night("running")
    assert nights.latest(campaign).id == night.id
    assert len(list((campaign.state / "nights").iterdir())) == 1

    with urllib.request.urlopen(lab.api("sessions"), timeout=30) as answer:
        (session,) = json.load(answer)
    request = urllib.request.Request(lab.api(f"sessions/{session['id']}"), method="DELETE")
    urllib.request.urlopen(request, timeout=30).close()
    done = len(campaign.records())
    wait_for(lambda: len(campaign.records()) > done + 1, 30)
    assert night.status == "running"
