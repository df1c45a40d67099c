"""Hostile experiments, run through the real steps, and what to look at when they have ended.

An attack is a file in ``attacks/<host>/``: a docstring that says what it tries, comments
``# name: value``, then code that is put in front of the host's ``__main__`` (``# whole: yes`` takes
its place). ``@NAME@`` stands for what an attacker may know: paths, a port.

    # ends: honest | crash | quarantine | refused, several with "or"
    # says: a regular expression that the reason of a crash matches
    # admission: the kind for which a campaign that allows nothing refuses it; "lets it in" if none
    # stage: score, for what happens when it is measured: the weights are those of the honest run
    # cpu: CPU seconds that it may have used unless it crashed, as it counts in RUN_DIR/used.txt
    # may: places of secrets that the contract of its host lets it read
    # only: acceptance, for what takes long
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import autoresearch_kit as ark
from autoresearch_kit import admission, files, git, patch, proposal, records, runs
from tests.redteam.surroundings import Planted

FOLDER = Path(__file__).parent
MAIN = '\n\nif __name__ == "__main__":\n'
AUTHOR = "Mallory <mallory@example.org>"


_ATTEMPTS = itertools.count()


@dataclasses.dataclass(frozen=True)
class Attack:
    """A hostile experiment as its file describes it."""

    path: Path
    tries: str
    notes: Mapping[str, str]
    code: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def ends(self) -> list[str]:
        return self.notes["ends"].split(" or ")

    def text(self, honest: str, known: Mapping[str, str]) -> str:
        """Return the file of the host with this attack in it."""
        # So that it isn't the code of an earlier experiment, when it is run again.
        code = f"{self.code}\n\nATTEMPT = {next(_ATTEMPTS)}"
        if "loot(" in code or "tell(" in code:
            code = (FOLDER / "attacks" / "loot.py").read_text() + code
        for name, value in known.items():
            code = code.replace(f"@{name}@", value)
        if "whole" in self.notes:
            return code
        head, found, tail = honest.partition(MAIN)
        return f"{head}\n\n{code}{found}{tail}"


def attacks(host: str) -> list[Attack]:
    """Return the attacks on a host, by name."""
    return [_read(path) for path in sorted((FOLDER / "attacks" / host).glob("*.*"))]


def _read(path: Path) -> Attack:
    text = path.read_text()
    tries = re.match(r'"""(.*?)"""\n', text, re.DOTALL)
    assert tries, f"{path} does not begin with what it tries"
    notes = dict(re.findall(r"^# (\w+): (.*)$", text, re.MULTILINE))
    return Attack(path, tries[1], notes, text[tries.end() :])


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an attack ended."""

    status: str
    value: float | None
    reason: str
    n: int | None = None


@dataclasses.dataclass
class Range:
    """A campaign with its baseline and an honest, slightly worse experiment to compare with.

    The attacks are changes of that worse one, so whatever is kept has cheated.
    """

    campaign: ark.Campaign
    path: str
    worse: str
    planted: Planted
    known: dict[str, str]
    honest: float = 0.0
    slack: float = 0.02  # of the honest score: two honest runs of the language model differ by less

    def begin(self) -> None:
        """Measure the honest code, and leave a secret in the folder of its run."""
        ark.baseline(self.campaign)
        first = self.campaign.state / "runs" / "0000-0"
        self.planted.write(first / "out" / "secret.txt", "run")
        self.planted.write(first / "notes.txt", "run-folder")
        score = self._steps({self.path: self.worse}, "an honest experiment", AUTHOR)
        assert score.status == "discard", score
        assert score.value is not None
        self.honest = score.value
        # The kit keeps only the last runs' files, so what attacks are given lies elsewhere.
        shutil.copytree(self.campaign.state / "runs" / "0001-0", self.honest_run)

    @property
    def honest_run(self) -> Path:
        return self.campaign.state.parent / f"honest-{self.campaign.tag}"

    def run(self, attack: Attack) -> Outcome:
        """Return how an attack ends, from its proposal to its verdict."""
        path = attack.notes.get("file", self.path)
        given = {self.path: self.worse}
        if path == self.path:
            given[path] = attack.text(self.worse, self.known)
        else:
            given[path] = attack.code
        words = attack.notes.get("hypothesis", f"attack {attack.name}")
        words, author = (
            text.encode().decode("unicode_escape")
            for text in (words, attack.notes.get("author", AUTHOR))
        )
        try:
            score = self._steps(given, words, author, attack)
        except ark.errors.ProposalError as error:
            return Outcome("refused", None, str(error))
        said = files.read_table(self.campaign.state / "runs" / f"{score.n:04d}-0" / "score.json")
        # A suspicion is no verdict while the value is worse than the best: here it always is.
        doubted = score.status == "discard" and "quarantine" in said
        status = "quarantine" if doubted else score.status
        return Outcome(status, score.value, score.reason, score.n)

    def _steps(
        self, given: Mapping[str, str], words: str, author: str, attack: Attack | None = None
    ) -> ark.Score:
        made = proposal.draft(
            self.campaign,
            files=given,
            hypothesis=words,
            author=author,
            approved_by=AUTHOR,
            parent=self.campaign.experiment(0),
        )
        experiment = ark.apply(made)
        if attack and attack.notes.get("stage") == "score":
            self._train_honestly(experiment, attack)
        return ark.score(ark.train_5min(experiment))

    def _train_honestly(self, experiment: Any, attack: Attack) -> None:
        """Give an experiment the honest run as its own, before it is measured."""
        folder = self.campaign.state / "runs" / f"{experiment.n:04d}-0"
        shutil.copytree(self.honest_run / "out", folder / "out")
        shutil.copy(self.honest_run / "status.json", folder / "status.json")
        files.write_json(folder / "run.json", runs._spec(experiment, 0))
        if "forges" in attack.notes:
            scope: dict[str, Any] = {}
            exec(attack.code.split("# the rest runs in the kit's sandbox")[0], scope)
            scope["forge"](folder / "out" / "weights.safetensors")

    def forget_keeps(self) -> None:
        """Take keeps back, so that the next attack is compared with the honest code too."""
        tag, repo = self.campaign.tag, self.campaign.path
        for n in [r.n for r in self.campaign.records() if r.n and r.status == "keep"]:
            gone = records.tag_ref(tag, n), records.files_ref(tag, n)
            branch = f"refs/heads/{self.campaign.branch}"
            updates = [*(git.RefUpdate(ref, None) for ref in gone)]
            git.update_refs(repo, [*updates, git.RefUpdate(branch, self.campaign.start)])
            for folder in (self.campaign.state / "runs").glob(f"{n:04d}-*"):
                files.remove_tree(folder)

    def refused_kinds(self, attack: Attack) -> list[str]:
        """Return for which kinds of concern a campaign that allows nothing refuses an attack."""
        before = self.campaign.experiment(0).files[self.path]
        text = attack.text(self.worse, self.known)
        concerns = patch.warnings({self.path: before}, {self.path: text}, self.campaign.task.edit)
        return [c.kind for c in concerns if c.kind in admission.REFUSED]
