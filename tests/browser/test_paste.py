"""A person takes the prompt to a model and brings its reply back, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.lab import Lab, Notebook
from tests.browser.looks import check_looks, check_quiet
from tests.browser.reviewing import campaign_for, wait_for, write_notebook

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s

PROPOSE = "proposal = ark.propose(campaign, by=ark.Paste()); proposal"
REPLY = """\
<hypothesis>A larger rate needs fewer steps</hypothesis>

fit.py
<<<<<<< SEARCH
LEARNING_RATE = {old}  # search: 0.001 to 0.5 log
=======
LEARNING_RATE = 0.08  # search: 0.001 to 0.5 log
>>>>>>> REPLACE
"""

WORK = """
import time
from autoresearch_kit import progress
with progress.streaming("LLM proposes"):
    for i in range(60):
        progress.say(f"line {i} <b>of</b> a reply\\n")
        time.sleep(0.03)
"""


def test_a_prompt_is_copied_a_broken_reply_sent_back_and_a_good_one_used(
    lab: Lab, open_notebook: Callable[[str], Notebook]
):
    campaign = campaign_for(lab, "paste")
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, WORK))
    page = notebook.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    clipboard = "() => navigator.clipboard.readText()"

    def part(mark: str) -> Locator:
        return page.get_by_test_id("paste").last.get_by_test_id(mark)

    notebook.run_all()
    (error,) = notebook.errors()
    assert error.startswith("cell 1: ReplyPending: paste the model's reply into the box above")
    assert notebook.outputs(2) == []
    prompt = (campaign.state / "paste" / "prompt.md").read_text()
    part("copy-prompt").focus()
    page.keyboard.press("Enter")
    expect(part("status")).to_have_text("It is on the clipboard.")
    assert page.evaluate(clipboard) == prompt

    part("use").click()
    expect(part("status")).to_contain_text("There is no reply yet")
    part("reply").fill(REPLY.format(old=0.5))
    page.keyboard.press("Control+Enter")
    expect(part("status")).to_contain_text("This reply can't be used yet")
    expect(part("repair")).to_contain_text("LEARNING_RATE = 0.5")
    check_looks(notebook, "repair", "paste")

    # A page without https has no clipboard, and may not use the old way: the text is selected.
    page.evaluate(
        "() => { Object.defineProperty(navigator, 'clipboard', {value: undefined,"
        " configurable: true}); document.execCommand = () => false; }"
    )
    part("copy-repair").click()
    expect(part("status")).to_contain_text("press Ctrl+C")
    page.keyboard.press("Control+c")
    page.evaluate("() => { delete navigator.clipboard; delete document.execCommand; }")
    assert page.evaluate(clipboard) == part("repair").inner_text()

    part("reply").fill("half a reply")
    kept = campaign.state / "paste"
    wait_for(lambda: any("half a reply" in file.read_text() for file in kept.glob("*.json")))
    notebook.command("docmanager:save")
    page.reload()
    notebook.wait_ready()
    expect(part("reply")).to_have_value("half a reply")
    expect(part("repair")).to_contain_text("LEARNING_RATE = 0.5")
    part("use").click()
    expect(part("status")).to_contain_text("This reply can't be used yet")
    page.evaluate("text => navigator.clipboard.writeText(text)", REPLY.format(old=0.05))
    part("reply").focus()
    page.keyboard.press("Control+v")  # takes the place of the one that was no good
    part("model").fill("a large model")
    part("use").click()
    expect(part("made")).to_have_text("A larger rate needs fewer steps")
    expect(part("status")).to_contain_text("Run this cell again")

    notebook.run_cell(1)
    assert notebook.errors() == []
    (proposal,) = campaign.pending()
    assert "LEARNING_RATE = 0.08" in proposal.files["fit.py"]
    assert proposal.author == "a pasted reply of a large model"
    assert proposal.rejected == 2
    assert "A larger rate needs fewer steps" in notebook.text()
    check_streaming(notebook, 2)
    check_quiet(notebook)


def check_streaming(notebook: Notebook, cell: int) -> None:
    """Run `WORK`: what a model writes is in sight while it writes, and is folded away then."""
    page = notebook.page
    notebook.theme("JupyterLab Dark")
    page.evaluate(
        "i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i;"
        " window.jupyterapp.commands.execute('notebook:run-cell'); }",
        cell,
    )
    output = page.locator(".jp-OutputArea-output").last
    expect(output).to_contain_text("line 25 <b>of</b> a reply")
    # The end of the last line is in sight, the beginning of the first one is not.
    above, below = page.evaluate(
        "() => { const pre = [...document.querySelectorAll('.jp-OutputArea-output pre')].at(-1);"
        " const [a, b] = [pre, pre.parentElement].map(e => e.getBoundingClientRect());"
        " return [b.top - a.top, a.bottom - b.bottom]; }"
    )
    assert above > 100
    assert abs(below) < 10
    notebook.screenshot("streaming")
    expect(output.locator("summary")).to_contain_text("LLM proposes: 1,550 characters")
    expect(output.locator("pre")).to_be_hidden()
    output.locator("summary").click()
    expect(output.locator("pre")).to_contain_text("line 0 <b>of</b> a reply\nline 1 ")
    expect(output.locator("pre")).to_be_visible()
