"""Everything that a history can be read from, as records: the kit's own and those of others."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from autoresearch_kit import git, records
from autoresearch_kit.errors import CampaignError, GitError, LabError
from autoresearch_kit.foreign import commits, journal, results
from autoresearch_kit.foreign.tables import Table
from autoresearch_kit.records import Record


@runtime_checkable
class HasTag(Protocol):
    """A campaign, seen from here."""

    @property
    def path(self) -> Path:
        """Its repository."""
        ...

    @property
    def tag(self) -> str:
        """Its name."""
        ...


@runtime_checkable
class HasPath(Protocol):
    """A lab, seen from here."""

    @property
    def path(self) -> Path:
        """Its repository."""
        ...


Source = HasTag | HasPath | str | os.PathLike[str]

_RESULTS = ("results.tsv", "results.csv")
_LIKE_RESULTS = re.compile(r"[\w.-]*(?:results?|experiments?)[\w.-]*\.(?:tsv|csv|jsonl)")
_DEFAULT = ("main", "master")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Records in order of campaign and number, and where they come from.

    Attributes
    ----------
    repo
        The repository; None for a file alone. A bundle's lasts as long as this process.
    source
        For each record ``tags``, ``results``, ``git`` or ``journal``.
    present
        For each record whether its commit is in the repository.
    extra
        Further columns of a foreign file by name, a value for each record.
    notes
        What was read, joined, guessed and left out.
    where
        The path that was read: of the repository, the bundle or the file.
    changed
        For each foreign record the names of the constants that its commit changes; empty when the
        records hold the constants themselves.
    """

    repo: Path | None
    records: Sequence[Record]
    source: Sequence[str]
    present: Sequence[bool]
    extra: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()
    where: str = ""
    changed: Sequence[str] = ()


def load(x: Source, ref: str | None = None, goal: str | None = None) -> Loaded:
    """Return what `x` holds; parameters and exceptions are those of `history`."""
    if isinstance(x, HasTag):
        with collector_paused():
            found = records.read_all(x.path, x.tag)
        return _own(x.path, found, ref, str(x.path))
    path = x.path if isinstance(x, HasPath) else Path(x).expanduser()
    if not path.exists():
        raise LabError(
            f"{path} does not exist; expected a lab, a clone, a git bundle or a results file"
        )
    bundled = path.is_file() and git.is_bundle(path)
    if path.is_file() and not bundled:
        stem = path.stem.removeprefix(".")
        name = path.resolve().parent.name if f"{stem}.tsv" in _RESULTS else stem
        tables, source = _tables(path.name, path.read_bytes(), goal)
        return _chosen(_joined(tables, name, source), ref, str(path))
    repo = git.unbundled(path) if bundled else git.root(path)
    where = str(path if bundled else repo)
    with collector_paused():
        found = records.read_all(repo)
    if found and (ref is None or _campaign(ref) in {r.campaign for r in found}):
        return _own(repo, found, ref, where)
    return _foreign(repo, where, ref, goal, found)


def _own(repo: Path, found: Sequence[Record], ref: str | None, where: str) -> Loaded:
    """Return the kit's own records."""
    others = [name for name in (*journal.PATHS, *_RESULTS) if (repo / name).is_file()]
    notes = [f"{name} is here too; the tags of this kit were read instead" for name in others]
    # git has no tag without its commit
    every = Loaded(repo, found, ["tags"] * len(found), [True] * len(found), {}, notes)
    if not found:
        raise _nothing(where, ())
    return _chosen(every, ref, where)


def _foreign(
    repo: Path, where: str, ref: str | None, goal: str | None, own: Sequence[Record]
) -> Loaded:
    """Return a history that others recorded in a clone: a journal, a results file, or commits."""
    branches = git.branches(repo)
    at = _resolve(repo, branches, ref) if ref is not None else None
    if ref is not None and at is None and own:
        names = ", ".join(sorted({r.campaign for r in own}))
        raise CampaignError(
            f"no campaign {ref!r} in {where}, nor a branch or another ref; there are: {names}"
        )
    notes: list[str] = []
    clone = _Clone(repo, Path(where), branches, goal, notes)
    if at is not None:
        # A lab's own branches are of campaigns by their tags, or of a program.
        parts = [clone.files(at) or clone.log(at, sure=not own)]
    else:
        here = next((b for b in branches if b.current), git.Branch("", "HEAD", True))
        theirs = _theirs(branches)
        parts = [clone.files(here, checkout=(repo / ".git").exists())]
        if parts[0] is None:
            parts = [clone.files(b) or clone.log(b) for b in theirs]
        elif others := [b.ref for b in theirs if b != here]:
            notes.append(f"not read: {', '.join(others)} (ref= reads another branch)")
        if not any(parts) and here not in theirs:
            parts = [clone.log(here, sure=False)]
    found = [part for part in parts if part is not None]
    if not found:
        if ref is not None and at is None:
            notes.insert(0, f"{ref!r} is no branch, tag or commit")
        if others := [_short(b.ref) for b in branches]:
            notes.append(f"its branches: {', '.join(others[:8])}")
        raise _nothing(where, notes)
    return _chosen(_together(found, notes), ref if at is None else None, where)


def _resolve(repo: Path, branches: Sequence[git.Branch], ref: str) -> git.Branch | None:
    """Return what `ref` stands for: a branch, also by its tag or of a remote; or any commit."""
    short = ref.removeprefix("refs/heads/")
    for name in (short, f"autoresearch/{short}"):
        for branch in branches:  # those of this repository come first
            if _short(branch.ref) == name or branch.ref == ref:
                return branch
    commit = None if ref.startswith("-") else git.resolve(repo, ref)
    return git.Branch(ref, commit, False) if commit else None


def _theirs(branches: Sequence[git.Branch]) -> list[git.Branch]:
    """Return the branches ``autoresearch/<tag>``, each once."""
    named: dict[str, git.Branch] = {}
    for branch in branches:
        if _short(branch.ref).startswith("autoresearch/"):
            named.setdefault(_short(branch.ref), branch)
    return list(named.values())


def _short(ref: str) -> str:
    """Return the name of a branch, without its remote."""
    if ref.startswith("refs/remotes/"):
        return ref.split("/", 3)[-1]
    return ref.removeprefix("refs/heads/")


def _campaign(ref: str) -> str:
    return ref.removeprefix("refs/heads/").rpartition("autoresearch/")[2]


@dataclasses.dataclass(frozen=True)
class _Clone:
    """A clone of a repository in which others worked."""

    repo: Path
    where: Path
    branches: Sequence[git.Branch]
    goal: str | None
    notes: list[str]

    def name(self, branch: git.Branch) -> str:
        """Return how the campaign on a branch is called."""
        short = _short(branch.ref)
        if short in ("", *_DEFAULT, "HEAD"):
            return self.where.name.removesuffix(".git").removesuffix(".bundle")
        return _campaign(short)

    def files(self, branch: git.Branch, *, checkout: bool = False) -> Loaded | None:
        """Return what the journal or results file of a branch, or of the checkout, tells."""
        try:
            tracked = git.list_files(self.repo, branch.commit)
        except GitError:
            tracked = []  # no commit yet
        paths = [*(p.name for p in self.repo.iterdir()), *journal.PATHS] if checkout else []
        found = _candidates([*paths, *tracked])
        for path in found:
            file = self.repo / path
            if checkout and not file.is_file():
                continue
            data = file.read_bytes() if checkout else git.read_bytes(self.repo, branch.commit, path)
            try:
                tables, source = _tables(path, data or b"", self.goal)
            except CampaignError as error:
                self.notes.append(str(error))
                continue
            words = "in the checkout" if checkout else f"in {_short(branch.ref)}"
            how = f", {'tracked' if path in tracked else 'not tracked'} by git" if checkout else ""
            self.notes.append(f"read from {path} {words}{how}")
            if others := [other for other in found if other != path and self._has(other, tracked)]:
                self.notes.append(f"not read: {', '.join(others[:5])}")
            return _joined(tables, self.name(branch), source, self.repo)
        return None

    def _has(self, path: str, tracked: Sequence[str]) -> bool:
        return path in tracked or (self.repo / path).is_file()

    def log(self, branch: git.Branch, *, sure: bool = True) -> Loaded | None:
        """Return what the commits of a branch tell by themselves."""
        name, base = self.name(branch), self._base(branch)
        try:
            table = commits.read(self.repo, branch.commit, name, base, self.goal, sure=sure)
        except CampaignError as error:
            self.notes.append(str(error))
            return None
        except GitError:
            return None  # no commit yet
        return _joined([table], name, "git", self.repo)

    def _base(self, branch: git.Branch) -> str | None:
        """Return where a branch leaves the default one; None when it is that itself."""
        default = next((b for n in _DEFAULT for b in self.branches if _short(b.ref) == n), None)
        if default is None or _short(branch.ref) in _DEFAULT:
            return None
        base = git.merge_base(self.repo, default.commit, branch.commit)
        return None if base in (branch.commit, "") else base


def _candidates(paths: Sequence[str]) -> list[str]:
    """Return the paths that may hold a history, the likeliest first."""
    ranked = []
    for path in dict.fromkeys(paths):
        place = PurePosixPath(path)
        deep = len(place.parts) - 1
        if path in journal.PATHS:
            rank = journal.PATHS.index(path)
        elif place.name == "autoresearch.jsonl" or path.endswith("/.auto/log.jsonl"):
            rank = 2
        elif place.name in _RESULTS:
            rank = 3
        elif not deep and _LIKE_RESULTS.fullmatch(place.name.lower()):
            rank = 4
        else:
            continue
        ranked.append((rank, deep, path))
    return [path for _, _, path in sorted(ranked)]


def _tables(name: str, data: bytes, goal: str | None) -> tuple[list[Table], str]:
    """Return what a file holds, and ``journal`` or ``results``."""
    text = _decoded(data)
    if text.lstrip().startswith("{"):
        tables, source = journal.segments(text, name, goal), "journal"
    else:
        tables, source = [results.read(text, name, goal)], "results"
    if not any(table.rows for table in tables):
        raise CampaignError(f"{name} has no rows yet; expected one for each experiment")
    return tables, source


def _decoded(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _joined(tables: Sequence[Table], name: str, source: str, repo: Path | None = None) -> Loaded:
    """Return tables as records; each of several is a campaign of its own."""
    parts = []
    for i, table in enumerate(tables, start=1):
        campaign = name if len(tables) == 1 else f"{name}-{i}"
        j = commits.join(table, campaign, repo, journal=source == "journal")
        sources = [source] * len(j.records)
        parts.append(Loaded(repo, j.records, sources, j.present, j.extra, j.notes, "", j.changed))
    return _together(parts, [])


def _together(parts: Sequence[Loaded], notes: Sequence[str]) -> Loaded:
    names = dict.fromkeys(name for part in parts for name in part.extra)
    extra = {
        name: [v for p in parts for v in p.extra.get(name) or [None] * len(p.records)]
        for name in names
    }
    return Loaded(
        parts[0].repo,
        [record for part in parts for record in part.records],
        [source for part in parts for source in part.source],
        [here for part in parts for here in part.present],
        extra,
        [*notes, *(note for part in parts for note in part.notes)],
        "",
        [names for part in parts for names in part.changed],
    )


def _chosen(every: Loaded, ref: str | None, where: str) -> Loaded:
    """Return the campaign that `ref` names, or all."""
    if ref is None:
        return dataclasses.replace(every, where=where)
    wanted = _campaign(ref)
    at = [i for i, r in enumerate(every.records) if r.campaign in (wanted, ref)]
    if not at:
        names = ", ".join(sorted({r.campaign for r in every.records}))
        raise CampaignError(f"no campaign {wanted!r} in {where}; there are: {names}")
    return Loaded(
        every.repo,
        [every.records[i] for i in at],
        [every.source[i] for i in at],
        [every.present[i] for i in at],
        {name: [values[i] for i in at] for name, values in every.extra.items()},
        every.notes,
        where,
        [every.changed[i] for i in at] if every.changed else (),
    )


def _nothing(where: str, notes: Sequence[str]) -> CampaignError:
    tried = f" ({'; '.join(notes)})" if notes else ""
    return CampaignError(
        f"no autoresearch campaign here: {where} has no tags autoresearch/<tag>/<nnnn>, no "
        f"journal, no results file and no branch autoresearch/<tag>{tried}. Expected a campaign, a "
        "lab, a clone with its tags (type git fetch --tags there), a bundle or a results file; "
        "ref= names a branch. A new campaign begins with ark.open_campaign(...) and "
        "ark.baseline(campaign)."
    )


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Parse without garbage collection, which takes as long as the parsing of 10,000 records.

    Each record is a tree of small objects that all stay, so every pass would be in vain.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
