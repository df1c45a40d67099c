"""Everything that a history can be read from, as records: the kit's own and those of others."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from autoresearch_kit import campaign as campaigns
from autoresearch_kit import git, records
from autoresearch_kit.errors import CampaignError, GitError, LabError
from autoresearch_kit.foreign import branches, commits, documents, exported, journal
from autoresearch_kit.foreign.documents import MOST_BYTES as MOST_BYTES
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

_DEFAULT = ("main", "master")
_NAMED = 8  # tags that notes name one by one


@dataclasses.dataclass(frozen=True)
class Loaded:
    """Records in order of campaign and number, and where they come from.

    Attributes
    ----------
    repo
        The repository; None for a file alone. A bundle's lasts as long as this process.
    source
        For each record ``tags``, ``results``, ``git``, ``journal`` or ``table`` (one of this kit
        in a file).
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
    odd: list[str] = []
    if isinstance(x, HasTag):
        with collector_paused():
            found = records.read_all(x.path, x.tag, odd)
        if not found:
            raise _undecided([x.tag])
        return _own(x.path, found, ref, str(x.path), odd)
    if not isinstance(x, HasPath | str | os.PathLike):
        raise LabError(
            f"{str(x)[:60]!r} is a {type(x).__name__}; expected a campaign, a lab, or the path of "
            "a lab, a clone, a git bundle or a results file"
        )
    path = Path(x if isinstance(x, str | os.PathLike) else x.path).expanduser()
    if not path.exists():
        raise LabError(
            f"{path} does not exist; expected a lab, a clone, a git bundle or a results file"
        )
    bundled = path.is_file() and git.is_bundle(path)
    if path.is_file() and not bundled:
        stem = path.stem.removeprefix(".")
        name = path.resolve().parent.name if f"{stem}.tsv" in documents.RESULTS else stem
        documents.check_size(str(path), path.stat().st_size)
        data = path.read_bytes()
        whole = _document(path.name, data, name, goal, _clone_of(path))
        if whole.repo is not None and not any(whole.present):  # it only lies there
            whole = _document(path.name, data, name, goal, None)
        return _chosen(whole, ref, str(path))
    repo = git.unbundled(path) if bundled else _repository(path)
    where = str(path if bundled else repo)
    with collector_paused():
        found = records.read_all(repo, None, odd)
    if found and (ref is None or branches.campaign(ref) in {r.campaign for r in found}):
        return _own(repo, found, ref, where, odd)
    return _foreign(repo, where, ref, goal, found)


def _own(
    repo: Path, found: Sequence[Record], ref: str | None, where: str, odd: Sequence[str]
) -> Loaded:
    """Return the kit's own records, and name the tags that are none."""
    others = [name for name in (*journal.PATHS, *documents.RESULTS) if (repo / name).is_file()]
    notes = [f"{name} is here too; the tags of this kit were read instead" for name in others]
    notes += [records.clean(sentence) for sentence in odd[:_NAMED]]
    if len(odd) > _NAMED:
        notes.append(f"{len(odd) - _NAMED:,} more tags are no records and left out")
    # git has no tag without its commit
    every = Loaded(repo, found, ["tags"] * len(found), [True] * len(found), {}, notes)
    return _chosen(every, ref, where)


def _repository(path: Path) -> Path:
    try:
        return git.root(path)
    except LabError as error:
        there = [path / name for name in (*documents.RESULTS, *journal.PATHS)]
        such = next((f", such as {str(file)!r}" for file in there if file.is_file()), "")
        raise LabError(
            f"{error} A history is read from a lab, a clone, a git bundle or a results file{such}."
        ) from error


def _clone_of(path: Path) -> Path | None:
    """Return the repository that a file lies in."""
    try:
        return git.root(path.resolve().parent)
    except LabError:
        return None


def _foreign(
    repo: Path, where: str, ref: str | None, goal: str | None, own: Sequence[Record]
) -> Loaded:
    """Return a history that others recorded in a clone: a journal, a results file, or commits."""
    known = git.branches(repo)
    notes: list[str] = []
    name, _, path = (ref or "").partition(":")
    if name and not path and branches.campaign(name) in _opened(repo, own):
        raise _undecided([branches.campaign(name)])
    at = branches.resolve(repo, known, name, notes) if ref is not None else None
    if at is None and ref is not None and (own or path):
        there = sorted({r.campaign for r in own}) + [n for n in branches.names(known) if path]
        raise CampaignError(
            f"no campaign {name!r} in {where}, nor a branch or another ref; there are: "
            f"{', '.join(there)}"
        )
    clone = _Clone(repo, Path(where), known, goal, notes)
    parts: list[Loaded | None]
    if at is not None and path:
        parts = [clone.file(at, path)]
    elif at is not None:
        # A lab's own branches are of campaigns by their tags, or of a program.
        parts = [clone.files(at) or clone.log(at, sure=not own)]
    else:
        here = next((b for b in known if b.current), git.Branch("", "HEAD", True))
        theirs = branches.of_experiments(known)
        parts = [clone.files(here, checkout=(repo / ".git").exists())]
        if parts[0] is None:
            opened = _opened(repo, own)  # their branches have the kit's own commits
            theirs = [b for b in theirs if branches.campaign(branches.short(b.ref)) not in opened]
            parts = [clone.files(b) or clone.log(b) for b in theirs]
        elif others := [b.ref for b in theirs if b != here]:
            notes.append(f"not read: {', '.join(others)} (ref= reads another branch)")
        if not any(parts) and here not in theirs:
            parts = [clone.log(here, sure=False)]
    found = [part for part in parts if part is not None]
    if not found:
        if ref is not None and at is None:
            notes.insert(0, f"{ref!r} is no branch, tag or commit")
        if ref is None and (opened := _opened(repo, own)):
            raise _undecided(opened)
        if others := branches.names(known):
            notes.append(f"its branches: {', '.join(others[:8])}")
        raise _nothing(where, notes)
    return _chosen(_together(found, notes), ref if at is None else None, where)


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
        short = branches.short(branch.ref)
        if short in ("", *_DEFAULT, "HEAD"):
            return self.where.name.removesuffix(".git").removesuffix(".bundle")
        return branches.campaign(short)

    def files(self, branch: git.Branch, *, checkout: bool = False) -> Loaded | None:
        """Return what the journal or results file of a branch, or of the checkout, tells."""
        try:
            tracked = git.list_files(self.repo, branch.commit)
        except GitError:
            tracked = []  # no commit yet
        paths = [*(p.name for p in self.repo.iterdir()), *journal.PATHS] if checkout else []
        found = documents.candidates([*paths, *tracked])
        for path in found:
            if checkout and not (self.repo / path).is_file():
                continue
            try:
                data = self._in_checkout(path) if checkout else self._in_tree(branch, path)
                loaded = _document(path, data, self.name(branch), self.goal, self.repo)
            except CampaignError as error:
                self.notes.append(str(error))
                continue
            words = "in the checkout" if checkout else f"in {branches.short(branch.ref)}"
            how = f", {'tracked' if path in tracked else 'not tracked'} by git" if checkout else ""
            self.notes.append(f"read from {path} {words}{how}")
            if others := [other for other in found if other != path and self._has(other, tracked)]:
                way = f"its path as x, as {self.where / others[0]}"
                if not checkout:
                    way = f"ref='{branches.short(branch.ref)}:{others[0]}'"
                self.notes.append(f"not read: {', '.join(others[:5])} (to read one, give {way})")
            return loaded
        return None

    def file(self, branch: git.Branch, path: str) -> Loaded:
        """Return what the file at `path` of a commit tells.

        Raises
        ------
        CampaignError
            When there is no such file, or it is no history.
        """
        short, tracked = branches.short(branch.ref), git.list_files(self.repo, branch.commit)
        if path not in tracked:
            others = (
                ", ".join(documents.candidates(tracked)[:8]) or "none that looks like a history"
            )
            raise CampaignError(f"{short} has no file {path}; there are: {others}")
        data = self._in_tree(branch, path)
        self.notes.append(f"read from {path} in {short}")
        return _document(path, data, self.name(branch), self.goal, self.repo)

    def _in_checkout(self, path: str) -> bytes:
        file, top = (self.repo / path).resolve(), self.repo.resolve()
        inside = file.is_relative_to(top) and ".git" not in file.relative_to(top).parts
        if not inside:  # whoever made the clone would choose a file of the reader's
            raise CampaignError(
                f"{path} is a link that leads out of the repository, so it is not read; to read "
                "what it leads to, give that file"
            )
        documents.check_size(path, file.stat().st_size)
        try:
            return file.read_bytes()
        except OSError as error:
            raise CampaignError(f"{path} can't be read: {error.strerror}") from error

    def _in_tree(self, branch: git.Branch, path: str) -> bytes:
        try:
            documents.check_size(path, git.size(self.repo, branch.commit, path))
        except GitError as error:
            raise CampaignError(f"{path} can't be read: {error}") from error
        return git.read_bytes(self.repo, branch.commit, path) or b""

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
        default = next(
            (b for n in _DEFAULT for b in self.branches if branches.short(b.ref) == n), None
        )
        if default is None or branches.short(branch.ref) in _DEFAULT:
            return None
        base = git.merge_base(self.repo, default.commit, branch.commit)
        return None if base in (branch.commit, "") else base


def _document(path: str, data: bytes, name: str, goal: str | None, repo: Path | None) -> Loaded:
    """Return what a file holds as records; each of several tables is a campaign of its own."""
    if own := exported.read(path, data, goal, repo):
        sources = ["table"] * len(own.records)
        return Loaded(
            repo, own.records, sources, own.present, own.extra, own.notes, "", own.changed
        )
    tables, source = documents.tables(path, data, goal)
    return _joined(tables, name, source, repo)


def _joined(tables: Sequence[Table], name: str, source: str, repo: Path | None) -> Loaded:
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
    wanted = branches.campaign(ref)
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


def _opened(repo: Path, own: Sequence[Record]) -> list[str]:
    """Return the campaigns of this kit in which nothing is decided."""
    return sorted(campaigns.tags(repo) - {record.campaign for record in own})


def _undecided(opened: Sequence[str]) -> CampaignError:
    return CampaignError(
        f"nothing is decided yet in {', '.join(opened)}; type ark.baseline(campaign), with the "
        f"campaign that ark.open_campaign(..., tag={opened[0]!r}) returned"
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
