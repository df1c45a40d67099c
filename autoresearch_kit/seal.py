"""What a campaign's numbers depend on beside the code: pinned at the start, checked at each score.

The task and a host's own scorer are in the baseline commit and can't change. The kit, its scorer
and the data are outside; here they get fingerprints. Files are read in full once, later only when
their size or times have changed; of those above 1 GiB the ends and the size count.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import files, git
from autoresearch_kit._version import __version__
from autoresearch_kit.errors import CampaignError, TaskError
from autoresearch_kit.task import Task

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

PACKAGE = Path(__file__).parent
WHOLE_BYTES, END_BYTES = 1 << 30, 16 << 20
MOST_FILES = 100_000
CHUNK_BYTES = 16 << 20
BAR_BYTES, BAR_SECONDS = 256 << 20, 1.0
"""A bar is shown when so much is read, or more, and it takes longer than this."""

_TASK = re.compile(r"\bautoresearch_kit\.tasks(?:\.|\s+import\s+)(\w+)")


def of(host: Path, task: Task, known: Path | None = None) -> dict[str, str]:
    """Return the fingerprints of everything outside of git that decides.

    Parameters
    ----------
    known
        Where the fingerprints of single files are remembered; None reads all of them.

    Returns
    -------
    dict
        ``kit``: its version; ``scorer`` and ``sandbox``: of the kit's scorer, when the task uses
        it, with the other tasks that it imports, and of what it starts candidates in; and one
        ``data/<name>`` for each data folder. Hexadecimal SHA-256 but for the version.

    Raises
    ------
    TaskError
        When a data folder is missing or has more than 100,000 files.
    """
    before = (files.read_json(known) if known else None) or {}
    seen: dict[str, Any] = {}
    found = {"kit": __version__}
    if scorer := _scorer(task):
        code = itertools.chain.from_iterable(map(_modules, _with_named(scorer)))
        found["scorer"] = _folder(scorer, code, before, seen)
        box = PACKAGE / "sandbox"  # that the scorer starts the candidate in
        found["sandbox"] = _folder(box, box.glob("*.py"), before, seen)
    for name in task.data:
        place = Path(host, name)
        if not place.exists():
            raise TaskError(f"data names {name!r}, but there is no {place}; make it, or correct it")
        whole = place.resolve()
        found[f"data/{name}"] = _folder(whole, _below(whole), before, seen)
    if known and seen != before:
        files.write_json(known, seen)
    return found


def check(campaign: Campaign) -> None:
    """Raise unless everything that decides is as it was when the campaign began.

    Raises
    ------
    CampaignError
        When something changed; it says what, and how to go on under another tag.
    """
    pinned: Mapping[str, str] = campaign.settings.get("sealed") or {}
    if not pinned:
        return  # begun by a version that pinned nothing
    now = of(campaign.path, campaign.task, campaign.state / "seal.json")
    changed = [
        f"{_said(name)} ({pinned.get(name, 'absent')[:12]} -> {now.get(name, 'absent')[:12]})"
        for name in sorted({*pinned, *now})
        if pinned.get(name) != now.get(name)
    ]
    if changed:
        raise CampaignError(
            f"since campaign {campaign.tag} began there was a change of {' and '.join(changed)}, "
            "and numbers from before and after can't be compared. Bring it back as it was and "
            "repeat the call; or go on from the best state in a campaign of its own:\n"
            f"{_elsewhere(campaign)}\n"
            "    ark.baseline(campaign)"
        )


def _elsewhere(campaign: Campaign) -> str:
    """Return the Python that starts a campaign where another one stands."""
    names = (f"{campaign.tag}-{i}" for i in itertools.count(2))
    tag = next(name for name in names if not _is_taken(campaign.path, name))
    words = {"tag": repr(tag), "start": "campaign.best"}
    rule = campaign.settings.get("decide", "greedy")
    if rule != "two_stage":
        words["decide"] = (
            "campaign.settings" if "decide_source" in campaign.settings else repr(rule)
        )
    if campaign.by is not None:
        words["by"] = "campaign.by"
    given = ", ".join(f"{name}={value}" for name, value in words.items())
    return f"    campaign = ark.open_campaign({str(campaign.path)!r}, {given})"


def _is_taken(path: Path, tag: str) -> bool:
    return bool(git.refs(path, f"refs/autoresearch/{tag}/", f"refs/tags/autoresearch/{tag}/"))


def _said(name: str) -> str:
    """Return what a fingerprint is of, in words."""
    known = {
        "kit": "the kit's version",
        "scorer": "the kit's scorer",
        "sandbox": "the kit's sandbox",
    }
    return known.get(name) or f"the data in {name.removeprefix('data/')}"


def _scorer(task: Task) -> Path | None:
    """Return the folder of the kit's own scorer; None when the task has another or none."""
    name = next((w for w in task.score if w.startswith("autoresearch_kit.tasks.")), "")
    folder = PACKAGE.joinpath(*name.split(".")[1:-1])
    return folder if name and folder.is_dir() else None


def _with_named(scorer: Path) -> list[Path]:
    """Return a task's folder and those of the tasks that its modules import, and so on."""
    folders = [scorer]
    for folder in folders:
        for module in _modules(folder):
            text = module.read_text(encoding="utf-8")
            named = {scorer.parent / name for name in _TASK.findall(text)}
            folders += sorted(f for f in named - set(folders) if (f / "__init__.py").exists())
    return folders


def _modules(folder: Path) -> Iterator[Path]:
    template = folder / "template"
    return (p for p in _below(folder) if p.suffix == ".py" and template not in p.parents)


def _folder(
    folder: Path, paths: Iterable[Path], before: Mapping[str, Any], seen: dict[str, Any]
) -> str:
    """Return the fingerprint of files below `folder`, by path and content."""
    stamps = {}
    for path in paths:
        found = path.stat()
        stamps[str(path)] = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
        if len(stamps) > MOST_FILES:
            raise TaskError(f"{folder} has over {MOST_FILES:,} files; pack them into fewer")
    known = {p: before[p][1] for p, stamp in stamps.items() if before.get(p, [None])[0] == stamp}
    unread = sum(_read_bytes(stamp[0]) for path, stamp in stamps.items() if path not in known)
    whole = hashlib.sha256()
    with _bar(folder, unread) as advance:
        for name in sorted(stamps):
            digest = known.get(name) or _digest(Path(name), stamps[name][0], advance)
            seen[name] = [stamps[name], digest]
            line = f"{os.path.relpath(name, folder)}\0{digest}\n"
            whole.update(line.encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, or the file itself; links are followed, each folder once."""
    if folder.is_file():
        yield folder
    visited = set()
    for at, folders, names in os.walk(folder, followlinks=True):
        found = Path(at).stat()
        if (found.st_dev, found.st_ino) in visited:
            folders.clear()
            continue
        visited.add((found.st_dev, found.st_ino))
        folders[:] = sorted(set(folders) - {"__pycache__"})
        yield from (path for name in names if (path := Path(at, name)).is_file())


@contextlib.contextmanager
def _bar(folder: Path, unread: int) -> Iterator[Callable[[int], object]]:
    """Show a bar where reading takes long; yield what is told the bytes that were read."""
    if unread < BAR_BYTES:
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    words = f"fingerprint of {folder.name}"
    with tqdm(
        desc=words, total=unread, unit="B", unit_scale=True, delay=BAR_SECONDS, leave=False
    ) as bar:
        yield bar.update


def _read_bytes(size: int) -> int:
    return size if size <= WHOLE_BYTES else 2 * END_BYTES


def _digest(path: Path, size: int, advance: Callable[[int], object]) -> str:
    parts = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            while chunk := file.read(CHUNK_BYTES):
                parts.update(chunk)
                advance(len(chunk))
            return parts.hexdigest()
        parts.update(f"{size}\n".encode())
        for place in (0, size - END_BYTES):
            file.seek(place)
            parts.update(file.read(END_BYTES))
            advance(END_BYTES)
        return parts.hexdigest()
