"""A copy of the best state for a coding agent: a repository of its own, and what became of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autoresearch_kit import (
    duplicates,
    files,
    git,
    grain,
    keys,
    records,
    texts,
    workplace,
)
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.task import MAX_BYTES

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

PATCHES = 30  # of the last experiments, as files
NAMED = 12  # dropped files that are named
_PREFIX = "autoresearch-proposal-"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Make a folder for one proposal and remove it afterwards.

    What a killed process left is removed by the next one: its lock is free.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's
            if time.time() - left.stat().st_mtime > 60:  # a fresh one may not be locked yet
                with files.try_lock(left / "lock") as lock:
                    if lock is not None:
                        files.remove_tree(left)
    place = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    try:
        with files.try_lock(place / "lock"):
            yield place
    finally:
        files.remove_tree(place)


class Checkout:
    """A copy of the best state in a repository of its own, with what an agent should know.

    Attributes
    ----------
    work
        The agent's working directory.
    prompt_file
        The prompt; it lies in the copy, for some agents read nothing else, and in its commit, so
        that no diff shows it.
    """

    def __init__(self, campaign: Campaign, place: Path) -> None:
        self.campaign, self.best = campaign, campaign.best
        self.work = place / (campaign.path.name or "checkout")
        self._before: dict[str, str] = {}
        git.export(campaign.path, self.best.commit, self.work)
        for path, text in self.best.files.items():  # whatever filters of the user's made of it
            (self.work / path).write_bytes(text.encode("utf-8", errors="surrogateescape"))
        self._notes = _free(self.work, ".autoresearch")
        self._said = _free(self.work, "HYPOTHESIS.md")
        self.prompt_file = self.work / self._notes / "prompt.md"
        host = campaign.path
        self.read = [workplace.link_data(self.work, host, name) for name in campaign.task.data]
        self.read += _interpreter(campaign)
        out = place / "run"
        out.mkdir()
        self.env = {"RUN_DIR": str(out), "CODE_DIR": str(self.work), "SEED": "0", "NO_COLOR": "1"}
        if campaign.task.data:
            self.env["DATA_DIR"] = str(self.read[0])

    def instructions(self) -> str:
        """Return the section of the prompt that says how to answer."""
        edit, task = ", ".join(f"`{path}`" for path in self.campaign.task.edit), self.campaign.task
        more = ""
        if task.train:
            command = shlex.join(task.command(self.campaign.path))
            more = (
                f"- To see that it runs, try it for a few seconds: `{command}`. Don't train it "
                "out: that is done for you afterwards, under a clock.\n"
            )
        return (
            "You work in a checkout of the best state, in your current directory. Make one change "
            f"there, by editing {edit} in place, and then end.\n\n"
            f"- Only {edit} may change. Whatever else you change is dropped.\n"
            f"- `{self._notes}/ledger.tsv` lists all experiments so far, and `{self._notes}/"
            "patches/` has the last ones' patches.\n"
            f"{more}"
            "- Validation and test data are not for you; looking for them is disqualification.\n"
            f"- Write what you expect and why into `{self._said}`, in this form:\n\n"
            "<hypothesis>What the change is, and why it should help.</hypothesis>\n"
            "<expected>the signed change of the metric that you expect, such as -0.01</expected>\n"
            "<again>only if an earlier change is tried again: why now</again>\n"
        )

    def seal(self, prompt: str) -> None:
        """Write the prompt and what was tried, and commit all of it."""
        notes = self.prompt_file.parent
        (notes / "patches").mkdir(parents=True)
        self.prompt_file.write_text(prompt, encoding="utf-8", errors="replace")
        known = self.campaign.records()
        (notes / "ledger.tsv").write_text(_ledger(known), encoding="utf-8", errors="replace")
        last = [record for record in known if record.n][-PATCHES:]
        for record, diff in zip(last, duplicates.diffs(self.campaign, last), strict=True):
            data = diff.encode("utf-8", errors="surrogateescape")
            (notes / "patches" / f"{record.n:04d}.diff").write_bytes(data)
        git.init(self.work)
        who, _, address = git.identity(self.campaign.path).rpartition(" <")
        git.call(self.work, "config", "user.name", who)
        git.call(self.work, "config", "user.email", address.rstrip(">"))
        git.call(self.work, "add", "--all", "--force")
        message = f"The best state of {self.campaign.tag}: experiment {self.best.n:04d}"
        quiet = ("--quiet", "--no-gpg-sign", "--no-verify", "--allow-empty")
        git.call(self.work, "commit", *quiet, "-m", message)
        self._before = self._state({})

    def hidden(self) -> list[Path]:
        """Return what an agent must not see, as far as it can be hidden."""
        campaign = self.campaign
        found = [git.common_dir(campaign.path), campaign.state]
        # The home and the checkout have to stay, also where somebody keeps the home in git.
        if not any(p.is_relative_to(campaign.path) for p in (Path.home().resolve(), self.work)):
            found.append(campaign.path)
        for name in campaign.task.data:
            folder = Path(campaign.path, name).resolve()
            if (folder / "train").is_dir():  # a run sees no more of it either
                found.append(folder)
        # Where labs share what was prepared, also for other sizes of the same text.
        kept = [os.environ.get("AUTORESEARCH_DATA"), "~/.cache/autoresearch-kit"]
        own = workplace.PACKAGE.parent
        if (own / "pyproject.toml").exists():
            kept.append(str(own / "data"))
        return [*found, *(Path(path).expanduser() for path in kept if path)]

    def changed(self, agent: str) -> dict[str, str]:
        """Return path → new text of the mutable files that are no longer as the parent has them.

        Raises
        ------
        ProposalError
            When one is gone, is no file of its own, or is no text.
        """
        old = self.best.files
        new = {path: _text(self.work, path, text, agent) for path, text in old.items()}
        return {path: text for path, text in new.items() if text != old[path]}

    def hypothesis(self) -> str:
        """Return what the agent wrote about its change, bounded; "" when it wrote nothing."""
        try:
            return files.read_untrusted(self.work / self._said, 10_000).decode(errors="replace")
        except OSError:
            return ""

    def dropped(self) -> str:
        """Say which other files the agent changed; "" when there are none."""
        after = self._state(self._before)
        ours = {*self.best.files, self._said}
        paths = sorted(
            path
            for path in self._before.keys() | after.keys()
            if self._before.get(path) != after.get(path) and path not in ours
        )
        if not paths:
            return ""
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        listed = ", ".join(records.clean(path, 80) for path in paths[:NAMED])
        return keys.redact(f"[dropped, not mutable: {listed}{more}]")

    def _state(self, known: Mapping[str, str]) -> dict[str, str]:
        """Return path → what tells a change of it; of new folders only their name.

        `known` is an earlier state: what is new is not read.
        """
        found: dict[str, str] = {}
        folders = {str(parent) for path in known for parent in Path(path).parents}
        for top, names, plain in os.walk(self.work):
            here = Path(top).relative_to(self.work)
            for name in list(names):
                path = str(here / name)
                if path in (".git", self._notes) or name == "__pycache__":
                    names.remove(name)
                elif known and path not in folders and not Path(top, name).is_symlink():
                    names.remove(name)
                    found[f"{path}/"] = "new"
                elif Path(top, name).is_symlink():
                    found[path] = _fingerprint(Path(top, name))
            for name in plain:
                path = str(here / name)
                is_new = bool(known) and path not in known
                found[path] = "new" if is_new else _fingerprint(Path(top, name))
        return found


def _ledger(known: Sequence[records.Record]) -> str:
    """Return a line for each experiment, its score as coarse as in the prompt."""
    step = grain.of(known)
    rows = ["experiment\tstatus\tparent\tscore\thypothesis\treason"]
    for record in known:
        words = (records.clean(text, 400) for text in (record.hypothesis, grain.reason(record)))
        value = step.score(record.value)
        cells = (f"{record.n:04d}", record.status, str(record.parent), value, *words)
        rows.append("\t".join(cells))
    return "\n".join(rows) + "\n"


def _free(work: Path, name: str) -> str:
    """Return `name`, or one like it, that nothing in the checkout has."""
    while os.path.lexists(work / name):
        stem, dot, ending = name.rpartition(".")
        name = f"{stem}_{dot}{ending}" if stem else f"{name}_"
    return name


def _interpreter(campaign: Campaign) -> list[Path]:
    """Return the Python environment that the task runs in, if it lies in the host."""
    command = campaign.task.command(campaign.path)
    program = Path(command[0]) if command else Path()
    inside = program.is_absolute() and program.is_relative_to(campaign.path)
    return [program.parents[1]] if inside and program.exists() else []


def _text(work: Path, path: str, old: str, agent: str) -> str:
    """Return what is in a mutable file now, with the line endings of the old text.

    Raises
    ------
    ProposalError
        When it is gone, is no file of its own, or is no text.
    """
    place = work / path
    try:
        if place.parent.resolve() != place.parent:
            raise OSError("its folder is a link")
        data = files.read_untrusted(place, MAX_BYTES + 1)
    except OSError as error:
        raise ProposalError(
            f"{agent} left no {path} that could be read ({error.strerror or error}): a mutable "
            "file has to stay where it is, as an ordinary file."
        ) from error
    if data == old.encode("utf-8", errors="surrogateescape"):
        return old
    if len(data) > MAX_BYTES:
        raise ProposalError(
            f"{agent} made {path} larger than {MAX_BYTES} bytes, the most that a "
            "mutable file may have."
        )
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ProposalError(
            f"{agent} left bytes in {path} that are no UTF-8 text (at byte {error.start}: "
            f"{data[error.start : error.start + 8]!r})."
        ) from error
    if "\0" in text:
        raise ProposalError(f"{agent} left a zero byte in {path}, which is no text then.")
    return texts.restored(texts.shown(text), old)


def _fingerprint(path: Path) -> str:
    """Return what changes when a file, link or anything else changes."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"link {path.readlink()}"
        if not stat.S_ISREG(mode):
            return f"special {mode}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()
    except OSError as error:
        return f"unreadable {error.errno}"
