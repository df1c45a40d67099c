"""The line of one campaign that was loaded: where it began, what it kept, which files it changed.

The records may be another kit's, and then commits may be missing here.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from autoresearch_kit import contract, git, standing
from autoresearch_kit import task as tasks
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.records import Record
from autoresearch_kit.sources import Loaded
from autoresearch_kit.standing import Standing


@dataclasses.dataclass(frozen=True)
class Lineage:
    """One campaign as it stands; asking for a commit that is not here raises `CampaignError`."""

    loaded: Loaded
    campaign: str
    standing: Standing

    @property
    def first(self) -> Record:
        """The baseline."""
        return self.standing.experiments[0]

    @property
    def start(self) -> str:
        """The baseline's commit; where a file names none, what the next keep is built on."""
        repo = self.repo
        if self.has(self.first):
            return self.first.commit
        kept = next((record.commit for record in self.kept if self.has(record)), None)
        if (at := git.resolve(repo, f"{kept}^") if kept else None) is None:
            raise CampaignError(f"no kept commit of {self.campaign} is in {self.loaded.where}")
        return at

    @property
    def repo(self) -> Path:
        """The repository; a table alone is an error."""
        return repo_of(self.loaded)

    def has(self, record: Record) -> bool:
        """Tell whether the commit of a record is here."""
        at = [known.n for known in self.loaded.records].index(record.n)
        return bool(record.commit) and self.loaded.present[at]

    @property
    def kept(self) -> list[Record]:
        """The states on the line that stands, from the baseline to the best."""
        by_number = {record.n: record for record in self.standing.experiments}
        if not self.standing.line:
            raise CampaignError(f"campaign {self.campaign} has kept nothing, so it has no winner")
        return [by_number[n] for n in self.standing.line]

    @property
    def best(self) -> Record:
        """The best state, whose commit is here."""
        best, repo = self.kept[-1], self.repo
        if not self.has(best):
            raise CampaignError(
                f"the best state of {self.campaign} is {best.n:04d}, and its commit "
                f"{best.commit[:7] or '(none is named)'} is not in {repo}"
            )
        return best

    @property
    def edited(self) -> Sequence[str]:
        """Return the paths of the mutable files."""
        repo, first = self.repo, self.start
        if self.loaded.source[0] == "tags":
            content = git.read_file(repo, first, tasks.FILE)
            if content is not None:
                return tasks.parse(content).edit
        habit = [path for path in contract.ORIGINAL["edit"] if git.read_bytes(repo, first, path)]
        return habit or git.changed_files(repo, first, self.best.commit)

    def mutable(self, name: str, known: str = "") -> str:
        """Return the mutable file that a path is named after: the one with most of its path."""
        edited = self.edited
        asked = Path(name).parts[::-1]
        alike = {
            path: sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
            for path in edited
            if (pairs := list(zip(asked, PurePosixPath(path).parts[::-1], strict=False)))
        }
        most = max(alike.values(), default=0)
        found = [path for path, same in alike.items() if same == most]
        if not most or len(found) > 1:
            kinds = f", or one of {known}" if known else ""
            raise CampaignError(
                f"{name!r} {'could be each of' if most else 'is none of'} the files that campaign "
                f"{self.campaign} may change; expected the name of one ({', '.join(edited)}){kinds}"
            )
        return found[0]


def of(loaded: Loaded) -> Lineage:
    """Return the line of the only campaign in `loaded`; several are an error that names them."""
    names = sorted({record.campaign for record in loaded.records})
    if len(names) > 1:
        raise CampaignError(
            f"{loaded.where} has {len(names)} campaigns: {', '.join(names)}. Say which, for "
            f"example ref={names[0]!r}; only .parquet, .csv and .bundle can hold several."
        )
    return Lineage(loaded, names[0], standing.of(loaded.records))


def repo_of(loaded: Loaded) -> Path:
    """Return the repository; a table alone is an error."""
    if loaded.repo is None:
        raise CampaignError(
            f"{loaded.where} is a table without code: .tsv, .csv and .parquet can be made of it. "
            "For the rest give the repository in place of the file."
        )
    return loaded.repo
