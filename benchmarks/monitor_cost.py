"""What watching a run for five minutes costs, in a real JupyterLab and a real Chromium.

A run that sleeps and reports a step four times a second is watched by the monitor; the CPU time of
the kernel, and of all processes of the browser (which draws without a GPU), is read from outside.
The same of an idle notebook is measured first, in the same session.

    python benchmarks/monitor_cost.py --seconds 300
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page, sync_playwright

import autoresearch_kit as ark
from autoresearch_kit import runs
from tests.browser.conftest import CHROMIUM, CHROMIUM_OPTIONS, lab_server
from tests.browser.lab import Lab, Notebook
from tests.conftest import git

LIMIT = 0.02  # of one core

TRAIN = """\
import json, math, os, time
PACE = 0.25
replies, requests = (int(fd) for fd in os.environ["CLOCK_FDS"].split(","))
replies, requests = os.fdopen(replies), os.fdopen(requests, "w")
def ask(message):
    print(json.dumps(message), file=requests, flush=True)
    return json.loads(replies.readline())["progress"]
ask({"start": True, "parameters": 1})
progress = 0.0
while progress < 1:
    time.sleep(PACE)
    progress = ask({"tokens": 1000, "loss": 6 * math.exp(-2 * progress)})
    print("progress", progress, flush=True)
print("loss: 1.0")
"""


def make_host(folder: Path) -> Path:
    host = folder / "host"
    host.mkdir()
    (host / "train.py").write_text(TRAIN)
    git(folder, "init", "-q", str(host))
    git(host, "config", "user.name", "Benchmark")
    git(host, "config", "user.email", "benchmark@example.org")
    git(host, "add", ".")
    git(host, "commit", "-qm", "first")
    return host


def started(*words: str) -> psutil.Process:
    """Return the process below this one whose command has all `words`."""
    for process in psutil.Process().children(recursive=True):
        command = " ".join(process.cmdline())
        if all(word in command for word in words):
            return process
    raise SystemExit(f"no process with {words} was found")


def busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def spent(kernel: psutil.Process, browser: psutil.Process, seconds: float) -> list[float]:
    """Return the shares of a core that the kernel and the browser use while `seconds` pass."""
    parts = [[kernel], [browser, *browser.children(recursive=True)]]
    before = [sum(map(busy, part)) for part in parts]
    began = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [(sum(map(busy, part)) - old) / passed for part, old in zip(parts, before, strict=True)]


def measure(lab: Lab, page: Page, folder: Path, seconds: float) -> None:
    campaign = ark.open_campaign(
        make_host(folder),
        tag="t",
        edit="train.py",
        train=[sys.executable, "train.py"],
        metric="loss",
        clock="wall",
        budget_seconds=seconds + 15,
        timeout_seconds=3 * seconds + 60,
    )
    cells = [
        "import autoresearch_kit as ark\n"
        f"campaign = ark.open_campaign({str(campaign.path)!r}, tag='t')",
        "experiment = campaign.experiment(0)\nrun = ark.train_5min(experiment)",
    ]
    path = lab.root / "notebooks" / "cost.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    page.goto(f"{lab.url}/lab/tree/notebooks/cost.ipynb?reset&token={lab.token}")
    notebook = Notebook(page, folder)
    notebook.wait_ready()
    notebook.run_cell(0)
    kernel, chromium = started("ipykernel_launcher"), started("--remote-debugging-pipe")
    idle = spent(kernel, chromium, min(30.0, seconds))
    notebook.run_cell(1)
    page.wait_for_selector("[data-testid=monitor][data-phase=training]")
    live = spent(kernel, chromium, seconds)
    runs.newest(campaign.experiment(0)).stop()
    for who, without, with_it in zip(("kernel", "browser"), idle, live, strict=True):
        extra = with_it - without
        print(
            f"{who:<7} idle {100 * without:.2f} % of a core, watching {100 * with_it:.2f} %: "
            f"{100 * extra:.2f} % more, {extra / LIMIT:.2f} of the limit of {100 * LIMIT:.0f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        for part in ("home", "root"):
            (folder / part).mkdir()
        with lab_server(folder / "home", folder / "root") as lab:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
            try:
                page = browser.new_page(viewport={"width": 1280, "height": 1000})
                measure(lab, page, folder, args.seconds)
            finally:
                browser.close()
                lab.end_sessions()


if __name__ == "__main__":
    main()
