"""Run a notebook without a browser and print what each cell shows: ``make demo``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient


def started(cell: Any, **_: Any) -> None:
    """Print a cell's code, or its heading."""
    if cell.cell_type == "code":
        indent = " " * 11
        print(f"\n[{time.strftime('%H:%M:%S')}]", cell.source.replace("\n", f"\n{indent}"))
    else:
        print(f"\n{cell.source}")


def executed(cell: Any, **_: Any) -> None:
    """Print what a cell printed and returned; pictures and progress bars are left out."""
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        shown = output.get("name") != "stderr" and not any("widget" in kind for kind in data)
        if shown and "image/png" not in data:
            print((output.get("text") or data.get("text/plain", "")).rstrip())


def main(path: Path) -> None:
    """Execute the notebook at `path` in its own folder; its file stays as it is."""
    with tempfile.TemporaryDirectory(prefix="ark-") as sockets:
        NotebookClient(
            nbformat.read(path, as_version=4),
            # Nobody else on the machine can connect, so no kernel warns that somebody could.
            km=AsyncKernelManager(
                kernel_name="python3", transport="ipc", connection_file=f"{sockets}/kernel.json"
            ),
            timeout=None,
            resources={"metadata": {"path": str(path.parent)}},
            on_cell_start=started,
            on_cell_executed=executed,
        ).execute(cleanup_kc=True)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main(Path(sys.argv[1]))
