"""Which branch or commit of a clone a word means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from autoresearch_kit import git
from autoresearch_kit.errors import CampaignError


def resolve(
    repo: Path, branches: Sequence[git.Branch], ref: str, notes: list[str]
) -> git.Branch | None:
    """Return what `ref` stands for: a branch, also by its tag or of a remote; or any commit.

    A word that is nothing of this may be the end of one branch's name, which is noted.

    Raises
    ------
    CampaignError
        When several branches end with it.
    """
    wanted = ref.removeprefix("refs/heads/")
    for name in (wanted, f"autoresearch/{wanted}"):
        for branch in branches:  # those of this repository come first
            if short(branch.ref) == name or branch.ref == ref:
                return branch
    if commit := None if ref.startswith("-") else git.resolve(repo, ref):
        return git.Branch(ref, commit, False)
    ends = [b for b in branches if wanted and short(b.ref).endswith(f"/{wanted}")]
    found = names(ends)
    if len(found) > 1:
        raise CampaignError(
            f"{ref!r} is the end of several branches: {', '.join(found)}. Give one of them as ref="
        )
    if found:
        notes.append(f"ref {ref!r} is no branch, tag or commit: taken for the branch {found[0]}")
    return ends[0] if ends else None


def of_experiments(branches: Iterable[git.Branch]) -> list[git.Branch]:
    """Return the branches ``autoresearch/<tag>``, each once."""
    named: dict[str, git.Branch] = {}
    for branch in branches:
        if short(branch.ref).startswith("autoresearch/"):
            named.setdefault(short(branch.ref), branch)
    return list(named.values())


def names(branches: Iterable[git.Branch]) -> list[str]:
    """Return the names of branches, each once: a remote's may be here too."""
    return list(dict.fromkeys(short(branch.ref) for branch in branches))


def short(ref: str) -> str:
    """Return the name of a branch, without its remote."""
    if ref.startswith("refs/remotes/"):
        return ref.split("/", 3)[-1]
    return ref.removeprefix("refs/heads/")


def campaign(ref: str) -> str:
    """Return the tag of the campaign whose branch `ref` is, or `ref`."""
    return ref.removeprefix("refs/heads/").rpartition("autoresearch/")[2]
