"""What the tests of the review widget share: a campaign with proposals, and hands on the widget."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator

from autoresearch_kit.campaign import Campaign, open_campaign
from tests.browser.lab import Lab, Notebook
from tests.conftest import PRINTED, git
from tests.decided import decide

TWO_HUNKS = PRINTED.replace("= 0.05", "= 0.07").replace("range(20)", "range(30)")

# A proposer in the notebook: what it makes depends on what was refused, and on feedback.
SETUP = """\
import time
import autoresearch_kit as ark
from autoresearch_kit import progress
from autoresearch_kit.proposal import draft

campaign = ark.open_campaign({host!r}, tag="t")
old = campaign.best.files["fit.py"]

def by(campaign, *, idea=None, revises=None):
    refused = [record.reason for record in campaign.records() if record.status == "refused"]
    words = f"A larger learning rate converges in fewer steps (refused so far: {{refused}})"
    rate = 0.07 + 0.01 * len(refused)
    if revises:
        for i in range(80):
            progress.say(f"word {{i}} ")
            time.sleep(0.05)
        words, rate = f"As asked: {{revises.feedback}}", 0.06
    new = old.replace("= 0.05", f"= {{rate}}").replace("range(20)", "range(30)")
    return draft(
        campaign,
        files={{"fit.py": new.replace("import os", "import os\\nimport subprocess")}},
        hypothesis=words,
        author="scripted",
        expected=-0.01,
        cost={{"money": 0.021, "tokens": 1234}},
        attachments={{"prompt.md": "Make it *better*", "reply.md": "Try a larger rate."}},
    )
"""


def campaign_for(lab: Lab, name: str, text: str = PRINTED) -> Campaign:
    """Make a repository beside the notebooks, and a campaign in it with a decided baseline."""
    host = lab.root / name
    host.mkdir()
    (host / "fit.py").write_text(text)
    (host / "program.md").write_text("# Directions\n\n- Keep it short\n")
    git(lab.root, "init", "-q", str(host))
    git(host, "add", ".")
    git(host, "commit", "-qm", "first")
    campaign = open_campaign(
        host,
        tag="t",
        edit="fit.py",
        train=f"{sys.executable} fit.py",
        metric="val_loss",
        goal="minimize",
        decide="greedy",
    )
    decide(campaign, {}, "keep", 1.0)
    return campaign


def write_notebook(lab: Lab, campaign: Campaign, *cells: str, kernel: str = "") -> str:
    """Write a notebook whose first cell is `SETUP` and return its name."""
    name = f"{campaign.path.name}.ipynb"
    code = [SETUP.format(host=str(campaign.path)), *cells]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in code])
    if kernel:
        notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel}
    nbformat.write(notebook, lab.root / "notebooks" / name)
    return name


class Review:
    """The review widget in a notebook, by the marks that its elements carry."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook, self.page = notebook, notebook.page

    def part(self, mark: str) -> Locator:
        return self.page.get_by_test_id(mark).last

    def click(self, mark: str) -> None:
        self.part(mark).click()

    def text(self, mark: str) -> str:
        return self.part(mark).inner_text()

    def wait_status(self, words: str) -> None:
        """Wait until the status line holds these words."""
        self.page.locator("[data-testid=status]", has_text=words).last.wait_for()

    def wait_badge(self, words: str) -> None:
        self.page.locator("[data-testid=badge]", has_text=words).last.wait_for()

    def editor_line(self, words: str) -> Locator:
        """Return a line of the side that can be edited."""
        line = ".cm-merge-b .cm-line"
        return self.part("review").locator(line, has_text=words).first

    def type_at_end_of(self, line: str, text: str) -> None:
        self.editor_line(line).click()
        for _ in range(2):  # to the end of the row, then of the line
            self.page.keyboard.press("End")
        self.page.keyboard.type(text)

    def box(self, mark: str) -> tuple[float, float, float, float]:
        """Return where a part is within the widget, and how large."""
        outer, inner = self.part("review").bounding_box(), self.part(mark).bounding_box()
        assert outer is not None
        assert inner is not None
        left, top = inner["x"] - outer["x"], inner["y"] - outer["y"]
        return left, top, inner["width"], inner["height"]


def wait_for(
    what: Callable[[], object], seconds: float = 15, or_tell: Callable[[], object] = str
) -> None:
    """Wait until something is true on this side of the browser."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, or_tell()
        time.sleep(0.02)
