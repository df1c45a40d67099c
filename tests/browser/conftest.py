"""One JupyterLab server for each test module, and a page on one of its notebooks."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.lab import Lab, Notebook

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REPOSITORY = Path(__file__).parents[2]

# No animation frames decide what is in the page: every cell is rendered at once.
SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {
        "windowingMode": "none",
        "autoStartDefaultKernel": True,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": True, "autosaveInterval": 5},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}
# A sandbox of its own fails for root; a small /dev/shm in containers.
CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server of the module's own.

    A fresh one because one that has opened some twenty notebooks no longer gets ready.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Chromium: apt-get install chromium")
        pytest.skip("there is no chromium; type sudo apt-get install chromium")
    folders = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("root")
    with lab_server(*folders) as running:
        yield running


@contextlib.contextmanager
def lab_server(home: Path, root: Path) -> Iterator[Lab]:
    """Run JupyterLab with a configuration in `home` and the root folder `root`.

    Notebooks lie in ``root / "notebooks"``, as in a checkout.
    """
    (root / "notebooks").mkdir()
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(SETTINGS))
    (home / "run").mkdir(mode=0o700)
    token, port = secrets.token_hex(16), free_port()
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "XDG_RUNTIME_DIR": "run",
    }
    environment = os.environ | {name: str(home / folder) for name, folder in names.items()}
    (home / "gitconfig").write_text("[user]\n\tname = Ada Tester\n\temail = ada@example.org\n")
    environment["GIT_CONFIG_GLOBAL"] = str(home / "gitconfig")
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"),
                *("--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"),
                *(f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}"),
                *("--LabApp.news_url=", "--LabApp.expose_app_in_browser=True"),
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.extension_manager=readonly",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Lab(f"http://127.0.0.1:{port}", token, root, log)
    try:
        wait_for(running, server)
        yield running
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture
def open_notebook(lab: Lab, tmp_path: Path) -> Iterator[Callable[..., Notebook]]:
    """A function that opens ``notebooks/<name>`` in a fresh browser and waits for its kernel.

    The browser and the kernels end with the test.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        console: list[str] = []
        page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
        page.on(
            "pageerror", lambda error: console.append(f"pageerror: {error.stack or error.message}")
        )

        def open_it(name: str) -> Notebook:
            page.goto(f"{lab.url}/lab/tree/notebooks/{name}?reset&token={lab.token}")
            notebook = Notebook(page, tmp_path, console)
            notebook.wait_ready()
            return notebook

        try:
            yield open_it
        finally:
            browser.close()
            lab.end_sessions()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(lab: Lab, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(lab.api("status"), timeout=5):
            return
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{lab.log.read_text(errors='replace')[-3000:]}")
