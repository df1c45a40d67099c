"""What a person does in JupyterLab, as functions: open, run, wait, look."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

# The toolbar's idle mark is not enough: it shows before the kernel is connected.
READY = """() => {
    const w = window.jupyterapp?.shell?.currentWidget;
    const kernel = w?.sessionContext?.session?.kernel;
    return w?.content?.widgets?.length > 0 && w.sessionContext.isReady
        && kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
        && !document.querySelector('#jupyterlab-splash');
}"""

FINISHED = """() => {
    const cells = window.jupyterapp.shell.currentWidget.content.widgets
        .map(c => c.model.toJSON()).filter(c => c.cell_type === 'code' && c.source.length);
    return cells.every(c => c.execution_count !== null)
        || cells.some(c => c.outputs.some(o => o.output_type === 'error'));
}"""


@dataclasses.dataclass(frozen=True)
class Lab:
    """A running server."""

    url: str
    token: str
    root: Path
    log: Path

    def api(self, path: str) -> str:
        """Return the address of something in the server's REST interface."""
        return f"{self.url}/api/{path}?token={self.token}"

    def end_sessions(self) -> None:
        """Shut all kernels down."""
        with urllib.request.urlopen(self.api("sessions"), timeout=30) as answer:
            sessions = json.load(answer)
        for session in sessions:
            address = self.api(f"sessions/{session['id']}")
            request = urllib.request.Request(address, method="DELETE")
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request, timeout=30).close()


@dataclasses.dataclass(frozen=True)
class Notebook:
    """A notebook that is open in the browser; cells are counted from 0, markdown included."""

    page: Page
    folder: Path
    console: list[str] = dataclasses.field(default_factory=list)
    """What the browser's console said: the kind, then the text; and the errors of scripts."""

    def wait_ready(self, seconds: float = 90) -> None:
        """Wait until the notebook is shown and its kernel idle."""
        self.page.wait_for_function(READY, timeout=seconds * 1000)

    wait_idle = wait_ready

    def command(self, name: str, **arguments: object) -> None:
        """Execute one of JupyterLab's commands."""
        self.page.evaluate(
            "([n, a]) => window.jupyterapp.commands.execute(n, a)", [name, arguments]
        )

    def run_cell(self, index: int, seconds: float = 60) -> list[dict[str, Any]]:
        """Run one cell, wait for the kernel and return the cell's outputs."""
        self.page.evaluate(
            """async i => {
                window.jupyterapp.shell.currentWidget.content.activeCellIndex = i;
                await window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )
        self.wait_idle(seconds)
        return self.outputs(index)

    def run_all(self, seconds: float = 300) -> None:
        """Run all cells and wait until the last one is done or one fails."""
        self.command("editmenu:clear-all")
        # Not awaited: the command's promise lasts as long as the cells do.
        self.page.evaluate("() => { window.jupyterapp.commands.execute('runmenu:run-all'); }")
        self.page.wait_for_function(
            f"() => ({FINISHED})() && ({READY})()", timeout=seconds * 1000, polling=200
        )

    def cells(self) -> list[dict[str, Any]]:
        """Return the notebook's cells as nbformat has them, outputs included."""
        found: list[dict[str, Any]] = self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.toJSON())"
        )
        return found

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return the outputs of one cell."""
        found: list[dict[str, Any]] = self.cells()[index].get("outputs", [])
        return found

    def errors(self) -> list[str]:
        """Return the errors of all cells."""
        return [
            f"cell {i}: {output['ename']}: {output['evalue']}"
            for i, cell in enumerate(self.cells())
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def text(self) -> str:
        """Return all that the notebook's cells show, as text."""
        return str(self.page.inner_text(".jp-Notebook"))

    def scroll_to(self, index: int) -> None:
        """Bring the top of a cell to the top of the window."""
        self.page.locator(".jp-Notebook .jp-Cell").nth(index).evaluate("c => c.scrollIntoView()")

    def theme(self, name: str) -> None:
        """Change to ``JupyterLab Light`` or ``JupyterLab Dark``."""
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")

    def screenshot(self, name: str = "notebook") -> Path:
        """Take a picture of the window and return its path."""
        path = self.folder / f"{name}.png"
        self.page.screenshot(path=path)
        return path
