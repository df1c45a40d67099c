"""How fast a review is, in a real JupyterLab and a real Chromium on one machine.

From the click on Approve in the page to the decision on disk, and from running the cell to the
editor of a file of 1,500 lines, each time of another proposal. Run it on a machine that does
nothing else.

    python benchmarks/review_latency.py --proposals 20 --openings 5
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import sync_playwright

from autoresearch_kit.campaign import Campaign
from autoresearch_kit.proposal import draft
from tests.browser.conftest import CHROMIUM, CHROMIUM_OPTIONS, lab_server
from tests.browser.lab import Lab, Notebook
from tests.browser.reviewing import Review, campaign_for, wait_for, write_notebook
from tests.conftest import PRINTED

CLICK_LIMIT = 0.3  # seconds, of the median
OPEN_LIMIT = 1.0
LINES = 1_500

NOTE_CLICKS = """() => {
    window.clicks = [];
    document.addEventListener('click', event => {
        if (event.target.closest('[data-testid=approve]')) window.clicks.push(Date.now() / 1000);
    }, true);
}"""

# The milliseconds from running the active cell until an editor that was not there is seen.
OPEN = """index => new Promise(resolve => {
    for (const old of document.querySelectorAll('[data-testid=editor]')) old.dataset.old = '';
    window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
    const began = performance.now();
    window.jupyterapp.commands.execute('notebook:run-cell');
    const look = () => {
        const line = document.querySelector('[data-testid=editor]:not([data-old]) .cm-line');
        if (line?.getBoundingClientRect().height > 0) resolve(performance.now() - began);
        else requestAnimationFrame(look);
    };
    look();
})"""


def many(lab: Lab, count: int) -> Campaign:
    campaign = campaign_for(lab, "many")
    for i in range(count):
        text = PRINTED.replace("0.05", f"{0.06 + i / 1000:.3f}")
        draft(campaign, files={"fit.py": text}, hypothesis=f"rate {i}", author="benchmark")
    return campaign


def large(lab: Lab, count: int) -> Campaign:
    body = "".join(
        f"def step{i}(x, y):\n    z = x * {i} + y\n    return z\n\n" for i in range(LINES // 4)
    )
    campaign = campaign_for(lab, "large", PRINTED + body)
    old = campaign.best.files["fit.py"]
    for i in range(count):
        new = old.replace("0.05", f"0.07{i}").replace("x * 200 +", "x +").replace("x * 9 +", "x +")
        draft(campaign, files={"fit.py": new}, hypothesis="three hunks", author="benchmark")
    return campaign


def clicks(lab: Lab, notebook: Notebook, campaign: Campaign, count: int) -> list[float]:
    """Approve each proposal with the mouse; return seconds from the click to the file."""
    review, proposals = Review(notebook), campaign.pending()
    for cell in (0, 1):
        notebook.run_cell(cell)
    review.part("approve").wait_for()
    notebook.page.evaluate(NOTE_CLICKS)
    found = []
    for i, proposal in enumerate(proposals):
        wait_for(lambda place=f"{i + 1} of {count}": review.text("position") == place)
        review.click("approve")
        review.wait_badge("approved")
        clicked = notebook.page.evaluate("() => window.clicks.at(-1)")
        found.append((proposal.folder / "decision.json").stat().st_mtime - clicked)
        if i + 1 < count:
            review.click("next")
    return found


def report(what: str, seconds: Sequence[float], limit: float) -> None:
    median, worst = statistics.median(seconds), max(seconds)
    print(
        f"{what}: median {median * 1000:.0f} ms, max {worst * 1000:.0f} ms of {len(seconds)}; "
        f"the median is {median / limit:.2f} of the limit of {limit * 1000:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proposals", type=int, default=20)
    parser.add_argument("--openings", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        config = Path(folder) / "gitconfig"
        config.write_text("[user]\n\tname = Benchmark\n\temail = benchmark@example.org\n")
        os.environ["GIT_CONFIG_GLOBAL"] = str(config)
        home, root = Path(folder) / "home", Path(folder) / "root"
        home.mkdir()
        root.mkdir()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        notebook = Notebook(page, Path(folder))
        with lab_server(home, root) as lab:
            campaign = many(lab, args.proposals)
            each = [f"ark.review(campaign.pending()[{i}])" for i in range(args.openings)]
            for made, cells in (
                (campaign, ["ark.review(campaign.pending())"]),
                (large(lab, args.openings), each),
            ):
                name = write_notebook(lab, made, *cells)
                page.goto(f"{lab.url}/lab/tree/notebooks/{name}?reset&token={lab.token}")
                notebook.wait_ready()
                if made is campaign:
                    found = clicks(lab, notebook, campaign, args.proposals)
                    report("click to decision on disk", found, CLICK_LIMIT)
            notebook.run_cell(0)
            opened = []
            for i in range(args.openings):
                opened.append(page.evaluate(OPEN, i + 1) / 1000)
                notebook.wait_idle()
            print(f"the first opening of a session, with the widget's code: {opened[0]:.2f} s")
            report(f"opening a review of {LINES:,} lines", opened, OPEN_LIMIT)
            lab.end_sessions()
        browser.close()


if __name__ == "__main__":
    main()
