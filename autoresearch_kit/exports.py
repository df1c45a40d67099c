"""What a campaign leaves to others: tables, the winning code, clean commits, a bundle."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import shlex
from collections import Counter
from pathlib import Path

from autoresearch_kit import (
    files,
    git,
    histories,
    lineage,
    records,
    render,
    sources,
    standing,
    winners,
)
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.foreign import original
from autoresearch_kit.lineage import Lineage
from autoresearch_kit.records import Record
from autoresearch_kit.sources import Loaded, Source

_BY_SUFFIX = {
    ".tsv": "results",
    ".parquet": "table",
    ".csv": "table",
    ".patch": "patch",
    ".bundle": "bundle",
}


@dataclasses.dataclass(frozen=True)
class Export:
    """One thing that `export` has written.

    Attributes
    ----------
    name
        The path as it was given, or the name of a branch.
    kind
        ``results``, ``table``, ``file``, ``patch``, ``bundle`` or ``branch``.
    holds
        What is in it, and what was left out, in words.
    commit
        The commit that it shows: of the best state, or the last one of a branch.
    """

    name: str
    kind: str
    holds: str
    commit: str = ""

    def __repr__(self) -> str:
        return f"<Export {self.name}: {self.holds}>"

    def _repr_html_(self) -> str:
        return render.card({self.kind: self.name, "holds": self.holds})


def export(
    x: Source,
    *paths: str | os.PathLike[str],
    branch: str | None = None,
    ref: str | None = None,
) -> list[Export]:
    """Write what the names of `paths` ask for, and say what is in it.

    Parameters
    ----------
    x
        All that `history` takes.
    *paths
        - ``results.tsv``, or any ``.tsv``: the original's five columns, see *Notes*;
        - ``.parquet`` or ``.csv``: the table of `history`, in parquet with its ``attrs``;
        - the name of a mutable file, such as ``train.py``: the best state's text;
        - ``.patch``: the best state against the baseline, for ``git apply`` on the starting commit;
        - ``.bundle``: a repository in one file that ``git clone`` and `history` take. In it are
          branch, records, attachments and all commits of the campaigns (of `x`, or of `ref`), and
          what the branch was built on; no run folders, no weights, no other branches.

        Folders are made. A file that is there is replaced only when it is an earlier export or,
        where it is code, when the repository has that text anyway.
    branch
        The name of a new branch: a commit for each change that stands, on the commit that the
        campaign started from. Only the mutable files change, no checkout does; who made them and
        when are the experiments' own, so that the same call makes the same commits.
    ref
        Which campaign of a lab or clone, where it has several.

    Returns
    -------
    list of Export

    Raises
    ------
    CampaignError
        When a name says nothing, a file in the way is no export, the branch is another one, or `x`
        has no such campaign. Nothing is written then.

    Notes
    -----
    ``results.tsv`` has the form of karpathy/autoresearch (program.md, commit 228791f): a header;
    commits of 7 digits; the metric with 6 decimals; memory in GB (MB/1024) with one; keep, discard
    or crash; the hypothesis on one line; the first row is the ``baseline``. A crash has 0.000000
    and 0.0 there. Each experiment has one row, as it stands now: repeats are in its metric,
    overrides and rewinds in its status. Left out, and counted in what is returned, are refused
    proposals (they never ran), experiments in quarantine (nobody has decided) and the records about
    earlier ones (audits and the like), for which the original has no words.
    """
    if not paths and branch is None:
        raise CampaignError(
            "export needs to be told what: export(x, 'results.tsv', 'history.parquet', "
            "'train.py', 'winner.patch', 'night.bundle', branch='winner')"
        )
    loaded, told = sources.load(x, ref), [os.fspath(path) for path in paths]
    kinds = {name: _kind(loaded, name) for name in told}
    made = {
        name: _table(x, name, ref) if kind == "table" else _made(lineage.of(loaded), name, kind)
        for name, kind in kinds.items()
        if kind != "bundle"
    }
    for name, kind in kinds.items():
        _check_place(loaded, name, kind, made[name][0] if name in made else b"")
    exported = {}
    if branch is not None:
        exported[branch, "branch"] = _branch(lineage.of(loaded), branch, is_file=_is_file(x))
    for name, kind in kinds.items():
        try:
            if name in made:
                _write(name, made[name][0])
            holds = made[name][1] if name in made else _bundle(loaded, name)
        except OSError as error:
            raise CampaignError(
                f"{name} can't be written: {error.strerror}; give a path in a folder of yours"
            ) from error
        exported[name, kind] = Export(name, kind, holds)
    order = [(name, kinds[name]) for name in dict.fromkeys(told)]
    return [exported[key] for key in (*order, *([(branch, "branch")] if branch else []))]


def _is_file(x: Source) -> bool:
    return isinstance(x, str | os.PathLike) and Path(x).expanduser().is_file()


def _kind(loaded: Loaded, name: str) -> str:
    """Return what a path asks for by its name."""
    if Path(name).expanduser().is_dir() or name.endswith("/"):
        raise CampaignError(f"{name} is a folder; give the name of a file in it")
    if kind := _BY_SUFFIX.get(Path(name).suffix.lower()):
        return kind
    known = ".tsv, .csv, .parquet, .patch, .bundle"
    if loaded.repo is None:
        raise CampaignError(f"{name!r} says nothing to export; expected one of {known}")
    lineage.of(loaded).mutable(name, known)
    return "file"


def _made(one: Lineage, name: str, kind: str) -> tuple[bytes, str]:
    """Return what a file about one campaign gets, and what that is in words."""
    if kind == "results":
        return _results(one)
    return _patch(one) if kind == "patch" else _file(one, name)


def _results(one: Lineage) -> tuple[bytes, str]:
    first, *others = one.standing.experiments
    if one.loaded.source[0] == "tags":
        first = dataclasses.replace(first, hypothesis="baseline")
    text = original.write([first, *others], first.metric, _labels(one))
    kinds = (
        records.KINDS.get(r.kind, f"a {records.clean(r.kind, 40)}") for r in one.standing.later
    )
    left = Counter(kind.split(" ", 1)[1] for kind in kinds)
    left.update(r.status for r in (first, *others) if r.status not in original.STATUSES)
    words = ", ".join(f"{count} {what}" for what, count in sorted(left.items()))
    holds = _rows(text.count("\n") - 1) + (f"; left out: {words}" if words else "")
    return text.encode("utf-8", "replace"), holds


def _labels(one: Lineage) -> dict[int, str]:
    """Return what a foreign file has where a commit is expected, by number."""
    said = one.loaded.extra.get("commit", ())
    return {record.n: str(word) for record, word in zip(one.loaded.records, said, strict=False)}


def _table(x: Source, name: str, ref: str | None) -> tuple[bytes, str]:
    df = histories.history(x, ref)
    holds = f"{_rows(len(df))} and {df.shape[1]} columns of history"
    if name.lower().endswith(".csv"):
        return df.to_csv(index=False).encode(), holds
    for column in (name for name in df if str(df[name].dtype) == "object"):  # of a stranger's file
        known = df[column].notna()
        kinds = {type(value) for value in df[column][known]}
        if len(kinds) > 1 and kinds != {int, float}:  # a column of parquet has one type
            df[column] = df[column].map(str).where(known, None)
            holds += f"; {records.clean(str(column), 40)} as text"
    file = io.BytesIO()
    df.to_parquet(file, index=False)
    return file.getvalue(), holds


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _file(one: Lineage, name: str) -> tuple[bytes, str]:
    best, path = one.best, one.mutable(name)
    data = git.read_bytes(one.repo, best.commit, path)
    if data is None:
        raise CampaignError(f"{path} is not in commit {best.commit[:7]} of {one.loaded.where}")
    return data, f"{path} of {_state(best)}"


def _patch(one: Lineage) -> tuple[bytes, str]:
    best = one.best
    data = git.diff(one.repo, one.start, best.commit, one.edited)
    holds = f"{_state(best)} against {one.campaign}/{one.first.n:04d}, for git apply"
    words = holds if data else f"nothing, for {_state(best)} is the starting point"
    return data.encode("utf-8", "surrogateescape"), words


def _state(record: Record) -> str:
    value = f", {record.metric} {record.value:.6g}" if record.value is not None else ""
    return f"{record.campaign}/{record.n:04d}{value}"


def _check_place(loaded: Loaded, name: str, kind: str, data: bytes) -> None:
    """Raise when a file can't be written at a path, or what is there would be lost."""
    path = Path(name).expanduser()
    if kind == "file" and loaded.repo and _in_checkout(loaded, path):
        tag = loaded.records[0].campaign
        raise CampaignError(
            f"{name} is the lab's own file, and the kit changes nothing in a checkout. Type there: "
            f"git checkout {shlex.quote(f'autoresearch/{tag}')} -- {shlex.quote(path.name)}; "
            "or export to another folder."
        )
    try:
        there = path.read_bytes() if kind != "bundle" else _head(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise CampaignError(f"{name} can't be written: {error.strerror}") from error
    if there != data and not _is_export(loaded, kind, path, there):
        raise CampaignError(
            f"{name} exists and is no earlier export of this, so it stays; move it away, or give "
            "another name."
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(65536)


def _in_checkout(loaded: Loaded, path: Path) -> bool:
    repo = lineage.repo_of(loaded).resolve()
    inside = path.resolve().is_relative_to(repo)
    return inside and path.resolve().relative_to(repo).as_posix() in lineage.of(loaded).edited


def _is_export(loaded: Loaded, kind: str, path: Path, there: bytes) -> bool:
    """Tell whether nothing is lost with a file: it holds what an earlier export wrote."""
    if not there:
        return True
    if kind == "bundle":
        return there.startswith(b"# v") and b" refs/heads/autoresearch/" in there
    if kind == "patch":
        heads = [line for line in there.splitlines() if line.startswith(b"diff --git ")]
        ours = {f"diff --git a/{path} b/{path}".encode() for path in lineage.of(loaded).edited}
        return there.startswith(b"diff --git ") and set(heads) <= ours
    if kind == "file":  # the text of some experiment, or of any commit
        blob = hashlib.sha1(b"blob %d\0%b" % (len(there), there), usedforsecurity=False)
        with contextlib.suppress(GitError):
            git.call(lineage.repo_of(loaded), "cat-file", "-e", blob.hexdigest())
            return True
        return False
    if kind == "results":
        one = lineage.of(loaded)
        return original.is_part(there.decode(errors="replace"), loaded.records, _labels(one))
    if path.suffix.lower() == ".csv":
        return there.startswith(b"campaign,experiment,")
    return there.startswith(b"PAR1") and b"PANDAS_ATTRS" in there


def _write(name: str, data: bytes) -> None:
    path = Path(name).expanduser()
    files.write_text(path, data)
    path.chmod(0o644)  # it is for others


def _bundle(loaded: Loaded, name: str) -> str:
    repo = lineage.repo_of(loaded)
    if loaded.source[0] != "tags":
        raise CampaignError(
            f"{loaded.where} has no campaign of this kit; git bundles it as it is: "
            f"git -C {shlex.quote(str(repo))} bundle create {shlex.quote(name)} --all"
        )
    campaigns = sorted({record.campaign for record in loaded.records})
    corners = ("refs/tags/autoresearch/", "refs/tags/autoresearch-files/")
    refs = git.refs(repo, *(f"{corner}{tag}/" for corner in corners for tag in campaigns))
    for tag in campaigns:
        branch = f"refs/heads/autoresearch/{tag}"
        best = standing.of([r for r in loaded.records if r.campaign == tag]).best
        at = git.resolve(repo, branch) or (best.commit if best else None)
        refs |= {branch: at} if at else {}
    path = Path(name).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    git.bundle(repo, refs, f"refs/heads/autoresearch/{campaigns[0]}", path)
    size = path.stat().st_size / 1024
    return f"{', '.join(campaigns)} with {len(loaded.records):,} records, {size:,.0f} KiB"


def _branch(one: Lineage, branch: str, *, is_file: bool) -> Export:
    """Make the commits and the branch, if it isn't there already."""
    repo = one.repo
    if is_file:
        raise CampaignError(
            f"branch= needs a repository to make it in, and {one.loaded.where} is a file; "
            "clone it first: git clone FILE FOLDER"
        )
    if missing := [f"{record.n:04d}" for record in one.kept[1:] if not one.has(record)]:
        raise CampaignError(
            f"the commits of {', '.join(missing)} are not in {one.loaded.where}, so the kept "
            "changes can't be told apart; .patch shows them together"
        )
    found = winners.build(repo, one.start, one.kept, one.edited)
    if not found.commits:
        return Export(branch, "branch", "nothing was kept since the start, so there is no branch")
    how = winners.place(repo, branch, found)
    many = f"{found.commits} commit{'s' * (found.commits > 1)} on {found.base[:7]}"
    return Export(branch, "branch", f"{many}, {_state(one.best)}; {how}", found.tip)
