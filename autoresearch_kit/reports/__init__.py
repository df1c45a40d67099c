"""A campaign as one file to read: an executed notebook, or a page of HTML."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, keys, records
from autoresearch_kit._version import __version__
from autoresearch_kit.errors import AutoresearchError, CampaignError
from autoresearch_kit.reports import chapters, digests, webpages
from autoresearch_kit.reports.markdown import Part
from autoresearch_kit.sources import Source

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = "autoresearch_report"
"""The entry in a notebook's metadata that tells a report."""

CELL_SECONDS = 600
"""Longest time that a cell may take."""

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
BAR_SECONDS = 2.0


def report(
    x: Source, path: str | os.PathLike[str], ref: str | None = None, goal: str | None = None
) -> Path:
    """Write what happened in a campaign as a notebook, or as a page, and return its path.

    The notebook is executed and holds all that there is to see: text, tables and pictures. Whoever
    opens it needs neither the repository nor this kit, also on GitHub; its cells run again where
    both are at hand. The text says what was kept with its evidence, what nearly was, what crashed,
    whether the gain is real, what it cost, and which leads the records hold.

    Parameters
    ----------
    x
        Whatever `history` reads: a campaign, a lab, a clone, a bundle, a results file.
    path
        Where to write: ``night.ipynb``, or ``night.html``. An earlier report of the same campaign
        is replaced.
    ref
        Which campaign, where `x` holds several; or which branch.
    goal
        ``minimize`` or ``maximize``, against what the history says or what is guessed of it.

    Raises
    ------
    CampaignError
        When `x` holds no campaign or several, or `path` has another ending, or is something else
        than a report of this campaign, or one that somebody has edited.
    AutoresearchError
        When a cell fails.
    """
    path = Path(path).expanduser().resolve()
    if path.suffix not in (".ipynb", ".html"):
        raise CampaignError(
            f"a report can't be written as {path.name!r}; expected a name that ends in .ipynb or "
            ".html: ark.report(campaign, 'night.ipynb')"
        )
    from tqdm.auto import tqdm

    digest = digests.of(x, ref, goal)
    _check(path, digest.name)
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    place = os.path.relpath(digest.place.resolve(), path.parent)
    with tqdm(desc="report", unit="part", delay=BAR_SECONDS, leave=False) as bar:
        parts = []
        for part in chapters.of(digest, place):
            parts.append(part)
            bar.update()
        notebook = _notebook(parts, digest.name)
        bar.reset(total=sum(part.kind == "code" for part in parts))
        _execute(notebook, path.parent, bar)
    with _writing(path):
        files.write_text(path, _text(notebook, path.suffix, digest.name))
        path.chmod(0o644)  # it is for others
    return path


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CampaignError(
            f"{path} can't be written: {error.strerror}; give a path in a folder of yours"
        ) from error


def _text(notebook: NotebookNode, suffix: str, name: str) -> str:
    import nbformat

    if suffix == ".html":
        mark = {"campaign": name, "kit": __version__}
        return webpages.of(notebook, f"{name}: what happened", mark)
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return text + "\n"


def _notebook(parts: Sequence[Part], name: str) -> NotebookNode:
    from nbformat import v4

    make: dict[str, Any] = {"markdown": v4.new_markdown_cell, "code": v4.new_code_cell}
    cells = [
        make[part.kind](part.text, metadata={"alt": part.alt} if part.alt else {}) for part in parts
    ]
    metadata = {"kernelspec": KERNEL, MARK: {"campaign": name, "kit": __version__}}
    notebook: NotebookNode = v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=cells, metadata=metadata
    )
    for i, cell in enumerate(cells):
        cell["id"] = f"part-{i}"  # random ones would make each report differ
    notebook.metadata[MARK]["text"] = _fingerprint(notebook)
    return notebook


def _fingerprint(notebook: Any) -> str:
    sources = json.dumps([(cell["cell_type"], cell["source"]) for cell in notebook.cells])
    return hashlib.sha256(sources.encode()).hexdigest()


def _check(path: Path, name: str) -> None:
    """Raise unless `path` is free, or an untouched report of the campaign `name`."""
    if not path.exists():
        return
    try:
        text = path.read_text(encoding="utf-8")
        mark = webpages.mark_of(text) if path.suffix == ".html" else _mark_of_notebook(text)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        mark = {}
    what = ""
    if "campaign" not in mark:
        what = "is no report of this kit"
    elif mark["campaign"] != name:
        what = f"is a report of another campaign, {str(mark['campaign'])[:100]!r}"
    elif mark.get("text") != mark.get("found"):
        what = "was edited since it was written"
    if what:
        raise CampaignError(
            f"{path} {what}, so it is left as it is; give the report another name, or remove the "
            "file first"
        )


def _mark_of_notebook(text: str) -> dict[str, Any]:
    import nbformat

    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return {**notebook.metadata.get(MARK, {}), "found": _fingerprint(notebook)}


def _execute(notebook: NotebookNode, folder: Path, bar: Any) -> None:
    """Run the cells in a kernel of this interpreter, so that they are known to run again."""
    if not bar.total:
        return
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    # No folder is searched: a kernel that is installed as python3 may be another interpreter's.
    specs = KernelSpecManager(kernel_dirs=[])
    # A report is read on any page, so it takes its colours from no theme.
    environment = keys.without({k: v for k, v in os.environ.items() if k != "JPY_SESSION_NAME"})
    environment["PYTHONSAFEPATH"] = "1"  # the folder may be a stranger's clone, with a pandas.py
    with tempfile.TemporaryDirectory(prefix="ark-") as sockets:
        kernel = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=specs,
            transport="ipc",  # nobody else on the machine can connect
            connection_file=f"{sockets}/kernel.json",
        )
        client = NotebookClient(
            notebook,
            km=kernel,
            timeout=CELL_SECONDS,
            extra_arguments=["--IPKernelApp.ignore_cwd=True"],
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
            on_cell_executed=lambda **_: bar.update(),
        )
        try:
            client.execute(env=environment, cleanup_kc=True)
        except CellExecutionError as error:
            raise AutoresearchError(
                f"a cell of the report failed with {error.ename}: {error.evalue}. Nothing was "
                "written; type its line in a notebook to see more."
            ) from error
        except (RuntimeError, TimeoutError) as error:  # nbclient's own words for both
            raise AutoresearchError(
                "the kernel that draws the report ended or hangs: "
                f"{records.clean(str(error), 300)}. Nothing was written; repeat the call."
            ) from error
