"""A person decides in JupyterLab: mouse and keyboard, reload and restart, light and dark."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from autoresearch_kit import git, records
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.histories import history
from autoresearch_kit.proposal import draft
from tests.browser.lab import Lab, Notebook
from tests.browser.looks import check_looks, check_quiet
from tests.browser.reviewing import (
    PRINTED,
    TWO_HUNKS,
    Review,
    campaign_for,
    wait_for,
    write_notebook,
)

pytestmark = pytest.mark.timeout(300)  # a server and a browser start first: about 15 s

Open = Callable[[str], Notebook]

PROPOSE = "proposal = ark.propose(campaign, by=by)"
REVIEW = "ark.review(proposal)"
APPLY = "experiment = ark.apply(proposal); experiment"
SCORE = "ark.score(ark.train_5min(experiment))"


def test_run_all_stops_at_the_undecided_patch_and_goes_on_after_the_click(
    lab: Lab, open_notebook: Open
):
    campaign = campaign_for(lab, "approve")
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, REVIEW, APPLY, "'the end'"))
    notebook.run_all()
    review = Review(notebook)
    (error,) = notebook.errors()
    assert error.startswith("cell 3: ApprovalPending: nobody has decided on this proposal yet.")
    (output,) = notebook.outputs(3)
    assert len(output["traceback"]) == 1
    assert notebook.outputs(4) == []

    review.part("approve").wait_for()
    assert review.text("badge") == "waits for you"
    assert review.text("touches").splitlines()[:2] == [
        "LEARNING_RATE 0.05 → 0.07",
        "imports subprocess",
    ]
    assert "imports subprocess" in review.text("warnings")
    check_looks(notebook, "open")
    before = review.box("bar"), review.box("status")
    review.click("approve")
    review.wait_badge("approved")
    review.wait_status("Next: ark.apply(proposal)")
    assert (review.box("bar"), review.box("status")) == before
    assert "Approved by Ada Tester <ada@example.org>" in review.text("decided")
    check_looks(notebook, "approved")

    notebook.run_all()
    assert notebook.errors() == []
    assert "'the end'" in notebook.text()
    assert len(campaign.pending()) == 0
    check_quiet(notebook)


def test_edits_survive_a_reload_and_are_what_is_committed(lab: Lab, open_notebook: Open):
    campaign = campaign_for(lab, "edit")
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, REVIEW, APPLY, SCORE))
    for cell in (0, 1, 2):
        notebook.run_cell(cell)
    review = Review(notebook)
    review.editor_line("import subprocess").wait_for()
    review.type_at_end_of("LEARNING_RATE = 0.07", ", a person's words")
    wait_for(lambda: review.text("counter") == "3 changes, 1 by you")
    (proposal,) = campaign.pending()
    wait_for((proposal.folder / "draft.json").exists)
    notebook.command("docmanager:save")
    notebook.page.reload()
    notebook.wait_ready()
    review.wait_status("Your edits of fit.py were restored.")
    check_looks(notebook, "restored")
    assert review.text("counter") == "3 changes, 1 by you"

    review.click("view-toggle")
    review.page.locator("[data-testid=editor][data-view=unified]").wait_for()
    check_looks(notebook, "unified")
    review.part("hunk-revert").click()  # the last of three
    wait_for(lambda: review.text("counter") == "2 changes, 2 by you")
    review.click("view-toggle")
    review.page.locator("[data-testid=editor][data-view=split]").wait_for()
    review.part("guess").fill("-0.002")
    review.click("approve")
    review.wait_status("Approved with your edits.")
    check_looks(notebook, "approved-edited")
    assert "edited by hand" in review.text("decided")
    notebook.run_cell(3)
    notebook.run_cell(4)
    assert notebook.errors() == []

    record = campaign.records()[-1]
    text = git.read_file(campaign.path, record.commit, "fit.py")
    expected = PRINTED.replace("import os", "import os\nimport subprocess").replace(
        "LEARNING_RATE = 0.05  # search: 0.001 to 0.5 log",
        "LEARNING_RATE = 0.07  # search: 0.001 to 0.5 log, a person's words",
    )
    assert text == expected
    assert record.edited_by_human
    assert record.proposal["guess"] == -0.002
    assert list(history(campaign.path)["edited_by_human"]) == [False, True]
    kept = git.read_tree(campaign.path, records.files_ref("t", 1))
    assert b"range(30)" in kept["proposed.patch"]
    assert b"a person's words" not in kept["proposed.patch"]
    check_quiet(notebook)


def test_a_refusal_teaches_the_next_proposer_who_is_then_asked_to_revise(
    lab: Lab, open_notebook: Open
):
    campaign = campaign_for(lab, "refuse")
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, REVIEW, PROPOSE, REVIEW, APPLY))
    for cell in (0, 1, 2):
        notebook.run_cell(cell)
    review = Review(notebook)
    review.click("refuse")
    review.click("refuse-send")
    review.wait_status("A refusal needs a reason")
    review.part("refuse-reason").fill("rates above 0.06 diverge")
    review.part("never-again").check()
    preview = "- Never again: rates above 0.06 diverge"
    assert review.text("never-again-preview") == f"+ {preview}"
    check_looks(notebook, "refuse")
    review.click("refuse-send")
    review.wait_badge("refused")
    review.wait_status(f"added to program.md: {preview}")
    check_looks(notebook, "refused")
    assert (campaign.path / "program.md").read_text().endswith(f"- Keep it short\n{preview}\n")
    record = campaign.records()[-1]
    assert (record.status, record.reason) == ("refused", "rates above 0.06 diverge")
    assert "refused" in list(history(campaign.path)["status"])

    notebook.run_cell(3)
    notebook.run_cell(4)
    review = Review(notebook)
    wait_for(lambda: "rates above 0.06 diverge" in review.text("hypothesis"))
    review.click("revise")
    review.part("revise-feedback").fill("half of that")
    review.click("revise-send")
    reply = review.part("revise-reply")
    wait_for(lambda: "word 3" in reply.inner_text())
    assert "word 79" not in reply.inner_text()  # it streams
    assert review.text("status") == "The proposer writes…"
    assert review.part("approve").get_attribute("aria-disabled") == "true"
    check_looks(notebook, "revising")
    review.wait_status("Revised: here is the next try.")
    wait_for(lambda: review.text("hypothesis") == "As asked: half of that")
    review.click("revise")
    assert review.text("earlier-feedback") == "half of that"
    check_looks(notebook, "revised")
    review.click("approve")
    review.wait_badge("approved")
    notebook.run_cell(5)
    assert notebook.errors() == []
    (experiment,) = (notebook.outputs(5)[0]["data"]["text/plain"],)
    assert re.match("<Experiment 0002 .*: As asked: half of that>", experiment)
    assert "LEARNING_RATE = 0.06" in campaign.experiment(2).files["fit.py"]
    check_quiet(notebook)


def test_after_a_restart_of_the_kernel_the_review_comes_back_with_the_edits(
    lab: Lab, open_notebook: Open
):
    campaign = campaign_for(lab, "restart")
    again = "ark.review(campaign.pending())"
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, REVIEW, again, APPLY))
    for cell in (0, 1, 2):
        notebook.run_cell(cell)
    review = Review(notebook)
    review.type_at_end_of("LEARNING_RATE = 0.07", ", mine")
    (proposal,) = campaign.pending()
    wait_for((proposal.folder / "draft.json").exists)
    # Not awaited, and without the dialog that asks whether to.
    notebook.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    notebook.wait_ready()
    review.click("approve")
    review.wait_status(again)
    assert "nothing you typed is lost" in review.text("status")
    check_looks(notebook, "dead")
    assert proposal.status == "open"

    notebook.run_cell(0)
    notebook.run_cell(3)
    review = Review(notebook)
    review.wait_status("Your edits of fit.py were restored.")
    assert review.editor_line("LEARNING_RATE =").inner_text().endswith(", mine")
    review.click("approve")
    review.wait_status("Approved with your edits.")
    notebook.run_cell(1)
    notebook.run_cell(4)
    assert notebook.errors() == []
    assert ", mine" in campaign.experiment(1).files["fit.py"]
    check_quiet(notebook)


def several(campaign: Campaign) -> None:
    for rate in (0.06, 0.07, 0.08):
        text = TWO_HUNKS.replace("0.07", str(rate))
        words = f"A rate of {rate} is worth a try, and these words are many enough to wrap"
        draft(campaign, files={"fit.py": text}, hypothesis=words, author="a proposer", expected=-1)


def test_several_proposals_are_gone_through_in_900_pixels(lab: Lab, open_notebook: Open):
    campaign = campaign_for(lab, "several")
    several(campaign)
    notebook = open_notebook(write_notebook(lab, campaign, "ark.review(campaign.pending())"))
    notebook.page.set_viewport_size({"width": 900, "height": 1000})
    notebook.run_cell(0)
    notebook.run_cell(1)
    review = Review(notebook)
    assert review.text("position") == "1 of 3"
    review.type_at_end_of("LEARNING_RATE = 0.06", ", mine")
    review.click("next")
    wait_for(lambda: review.text("position") == "2 of 3")
    assert "0.07" in review.text("hypothesis")
    review.click("approve")
    review.wait_badge("approved")
    review.click("next")
    wait_for(lambda: review.text("position") == "3 of 3")
    assert review.text("badge") == "waits for you"
    assert review.part("next").is_disabled()
    review.click("previous")
    review.click("previous")
    wait_for(lambda: review.text("position") == "1 of 3")
    assert ", mine" in review.editor_line("LEARNING_RATE =").inner_text()
    check_looks(notebook, "narrow")
    check_quiet(notebook)


def test_the_keyboard_is_enough(lab: Lab, open_notebook: Open):
    campaign = campaign_for(lab, "keys")
    notebook = open_notebook(write_notebook(lab, campaign, PROPOSE, REVIEW, APPLY))
    for cell in (0, 1, 2):
        notebook.run_cell(cell)
    review, keys = Review(notebook), notebook.page.keyboard
    review.part("approve").wait_for()
    focused = "() => document.activeElement?.closest('[data-testid]')?.dataset.testid ?? ''"
    for _ in range(40):
        keys.press("Tab")
        if notebook.page.evaluate(focused):
            break
    assert notebook.page.evaluate(focused)
    keys.press("Alt+n")
    keys.press("Alt+n")
    keys.press("End")
    keys.press("End")
    keys.type(", by key")
    wait_for(lambda: review.text("counter") == "3 changes, 1 by you")
    keys.press("Escape")
    assert notebook.page.evaluate(focused) == "approve"
    keys.press("Alt+r")
    assert notebook.page.evaluate(focused) == "refuse-reason"
    keys.press("Escape")
    assert notebook.page.evaluate(focused) == "refuse"
    keys.press("Alt+v")
    assert notebook.page.evaluate(focused) == "revise-feedback"
    keys.press("Escape")
    keys.press("Control+Enter")
    review.wait_status("Approved with your edits.")
    notebook.run_cell(3)
    assert "log, by key" in campaign.experiment(1).files["fit.py"]
    check_quiet(notebook)
