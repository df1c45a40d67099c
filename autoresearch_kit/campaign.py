"""A campaign: the line of kept experiments from one starting commit, under one fixed task.

The baseline commit holds all that is fixed: ``task.toml`` in its tree, the rest as JSON in its
message. The best state, the next parent and every verdict come from the records in git.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit import contract as contracts
from autoresearch_kit import decide as rules
from autoresearch_kit import git, ledger, records, render, seal, standing, task, values
from autoresearch_kit import proposal as proposals
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.experiment import Experiment
from autoresearch_kit.proposal import Proposal
from autoresearch_kit.records import Record
from autoresearch_kit.standing import Standing
from autoresearch_kit.task import Task

BASELINE_SUBJECT = "Baseline of the campaign"


@dataclasses.dataclass(frozen=True)
class Campaign:
    """One tag and one branch ``autoresearch/<tag>`` in a host.

    Attributes
    ----------
    path
        The host's checkout (or bare repository). The kit never changes files in it.
    tag
        The campaign's name.
    task
        The contract, as fixed in the baseline commit.
    start
        The baseline commit.
    settings
        What else was fixed at the start: decision rule, kit version, fingerprints.
    note
        Whether it was opened or started, and what other tags there are.
    by
        The proposer that `propose` uses unless told otherwise.
    """

    path: Path
    tag: str
    task: Task = dataclasses.field(repr=False)
    start: str = dataclasses.field(repr=False)
    settings: Mapping[str, Any] = dataclasses.field(repr=False)
    note: str = dataclasses.field(default="", repr=False, compare=False)
    by: Any = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def branch(self) -> str:
        """The branch of kept experiments."""
        return f"autoresearch/{self.tag}"

    @property
    def state(self) -> Path:
        """Where runs, locks and pending decisions live; shared by all worktrees."""
        return git.common_dir(self.path) / "autoresearch" / self.tag

    @property
    def best(self) -> Experiment:
        """The state that is to be beaten: the parent of the next experiment."""
        return self._experiment(self.best_record) if self.best_record else self.experiment(0)

    @property
    def best_record(self) -> Record | None:
        """The record of the best state; None while the baseline is not scored."""
        return self.standing().best

    def records(self) -> Sequence[Record]:
        """Return the records of all decided experiments, by number, as they stand now."""
        return self.standing().experiments

    def standing(self) -> Standing:
        """Return the experiments, the line of the kept ones and what was found out later."""
        found = records.read_all(self.path, self.tag)
        key = self.path, self.tag
        if _stood.get(key, (None,))[0] is not found:
            _stood[key] = found, standing.of(found)
        return _stood[key][1]

    def experiment(self, n: int | Experiment) -> Experiment:
        """Return experiment `n`, a number or an experiment of this campaign as it is now.

        Raises
        ------
        CampaignError
            When there is none with this number, or it is an experiment of another campaign.
        """
        if isinstance(n, Experiment):
            if n.campaign.state != self.state:
                raise CampaignError(
                    f"experiment {n.n:04d} is of campaign {n.campaign.tag} in {n.campaign.path}, "
                    f"not of {self.tag} in {self.path}; type campaign.experiment({n.n}) for the "
                    "one with this number here"
                )
            n = n.n
        known = self.records()
        for record in known:
            if record.n == n:
                return self._experiment(record)
        for record in self.standing().later:
            if record.n == n:
                what = records.KINDS.get(record.kind, f"a record ({record.kind})")
                raise CampaignError(
                    f"{n:04d} is no experiment but {what} of "
                    f"{record.about:04d}; type campaign.experiment({record.about}), or "
                    f"ark.show(campaign, {n}) to look at it."
                )
        pinned = ledger.pins(self)
        if n not in pinned:
            numbers = sorted({record.n for record in known} | set(pinned))
            raise CampaignError(
                f"campaign {self.tag} has no experiment {n}; it has "
                f"{numbers[0]:04d} to {numbers[-1]:04d}."
            )
        commit = pinned[n]
        if n == 0:
            return Experiment(self, 0, commit, None, None)
        parent = next(iter(git.commit_info(self.path, commit).parents), None)
        at = next((r.n for r in known if r.commit == parent), 0)
        return Experiment(self, n, commit, at, parent, self._proposal_id(commit))

    def pending(self) -> list[Proposal]:
        """Return the proposals that nobody has decided yet, oldest first."""
        return [p for p in proposals.unfinished(self) if p.status == "open"]

    def read(self, commit: str, path: str) -> str:
        """Return the text of `path` in `commit`.

        Raises
        ------
        CampaignError
            When there is no such file in that commit.
        """
        content = git.read_file(self.path, commit, path)
        if content is None:
            raise CampaignError(f"{path} is not in commit {commit[:7]} of {self.path}")
        return content

    def mutable(self, commit: str) -> dict[str, str]:
        """Return the text of the mutable files in `commit`, by path."""
        return {path: self.read(commit, path) for path in self.task.edit}

    def constants(self, commit: str) -> dict[str, Any]:
        """Return the tunable values of the mutable files; beyond the first as ``path:NAME``."""
        found = values.of_files(self.mutable(commit))
        return {key: constant.value for key, constant in found.items()}

    def subject(self, commit: str) -> str:
        """Return the first line of a commit's message."""
        return git.commit_info(self.path, commit).subject

    def _experiment(self, record: Record) -> Experiment:
        return Experiment(
            self,
            record.n,
            record.commit,
            record.parent,
            record.parent_commit,
            str(record.proposal.get("id", "")),
        )

    def _proposal_id(self, commit: str) -> str:
        message = git.commit_info(self.path, commit).message
        # The last one is the trailer: a hypothesis may hold such a line too.
        if found := re.findall(r"^Proposal: (\S+)$", message, re.MULTILINE):
            return str(found[-1])
        # A person's own commit has no trailer: the proposal remembers it instead.
        return next((p.id for p in proposals.unfinished(self) if p.commit == commit), "")

    def _summary(self) -> dict[str, object]:
        known = self.records()
        counts = {s: sum(r.status == s for r in known) for s in records.STATUSES}
        best = self.best_record
        rows: dict[str, object] = {
            "campaign": f"{self.tag} in {self.path.name} ({self.note})",
            "task": f"{self.task.name}, edit {', '.join(self.task.edit)}",
            "experiments": ", ".join(f"{n} {s}" for s, n in counts.items() if n) or "none yet",
        }
        if best is not None and best.value is not None:
            rows["best"] = f"{best.n:04d} {best.metric} {best.value:.4f} {best.unit}".strip()
        if spent := _spent(known):
            rows["spent"] = spent
        return rows

    def __repr__(self) -> str:
        rows = self._summary()
        best = f", best {rows['best']}" if "best" in rows else ""
        spent = f"; {rows['spent']}" if "spent" in rows else ""
        return f"<Campaign {rows['campaign']}: {rows['experiments']}{best}{spent}>"

    def _repr_html_(self) -> str:
        return render.card(self._summary())


_stood: dict[tuple[Path, str], tuple[Sequence[Record], Standing]] = {}


def _spent(known: Sequence[Record]) -> str:
    """Say what a campaign's experiments took, and what another hundred of them would."""
    tried = [record for record in known if record.n]
    if not tried:
        return ""
    seconds = sum(record.run_seconds or 0.0 for record in tried)
    costs = [cost for r in tried if (cost := r.proposal.get("cost")) is not None]
    words, more = f"{_time(seconds)} of runs", _time(100 * seconds / len(tried))
    if any(costs):
        words += f" and {sum(costs):.2f} for proposals"
        more += f" and {100 * sum(costs) / len(costs):.2f}"
    return f"{words}, another hundred about {more}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def open_campaign(
    host: Any,
    *,
    tag: str,
    start: Any = None,
    by: Any = None,
    decide: str | Callable[..., Any] | Mapping[str, Any] | None = None,
    **contract: Any,
) -> Campaign:
    """Open the campaign `tag` of a host, or start it.

    Parameters
    ----------
    host
        A lab, or the path of any git repository.
    tag
        The campaign's name; the branch is ``autoresearch/<tag>``.
    start
        Where a new campaign starts: a ref, commit, experiment or campaign; default the branch
        when it exists already, else HEAD.
    by
        The proposer that `propose` uses unless told otherwise.
    decide
        The decision rule, fixed at the start: ``"two_stage"`` (default: a gain that may be luck is
        confirmed on another seed), ``"greedy"``, a function of yours (see `decide.spell`), or the
        `settings` of another campaign: the same rule as there.
    **contract
        Keys of ``task.toml``, for a host that has none: ``edit="model.py"``,
        ``train="python train.py"``, ``metric="val_loss"``, ``goal="minimize"``,
        ``timeout_seconds=900`` and so on. They are written into the baseline commit.

    Raises
    ------
    LabError
        When the host is no git repository.
    CampaignError
        When git refuses the tag, or an existing campaign has another task.
    TaskError
        When the host has no task and none is given.
    """
    path = git.root(Path(getattr(host, "path", host)).expanduser().resolve())
    git.check_tag(path, tag)
    others = sorted(tags(path) - {tag})
    others_note = f"; other tags: {', '.join(others)}" if others else ""
    given = contracts.given(contract)
    at = _baseline_commit(path, tag)
    if at is None:
        at = _begin(path, tag, start, decide, given)
        note = "started" + others_note
    else:
        note = "opened" + others_note
        if start is not None:
            raise CampaignError(
                f"campaign {tag} exists already, and a campaign starts only once; leave out "
                "start=, or start another one: ark.open_campaign(..., tag='another', start=...)"
            )
    content = git.read_file(path, at, task.FILE)
    if content is None:
        raise CampaignError(f"the baseline {at[:7]} of campaign {tag} has no {task.FILE}")
    fixed = task.parse(content)
    if note.startswith("started") and start is None:
        changed = ", ".join(git.uncommitted(path, [*fixed.edit, task.FILE]))
        note += f"; without what is not committed in {changed}" if changed else ""
    settings = _settings(git.commit_info(path, at).message)
    _check_same(tag, fixed, given, settings, decide)
    return Campaign(path, tag, fixed, at, settings, note, by)


def tags(path: Path) -> set[str]:
    """Return the tags of all campaigns that a repository holds."""
    refs = git.refs(path, "refs/autoresearch/", "refs/tags/autoresearch/")
    return {ref.split("autoresearch/", 1)[1].split("/")[0] for ref in refs}


def _baseline_commit(path: Path, tag: str) -> str | None:
    pin, decided = f"refs/autoresearch/{tag}/0000", records.tag_ref(tag, 0)
    # In this order: the decision replaces the pin by the tag, never the other way round.
    return git.resolve(path, pin) or git.resolve(path, decided)


def _begin(path: Path, tag: str, start: Any, decide: Any, given: Mapping[str, Any]) -> str:
    git.identity(path)
    branch = f"refs/heads/autoresearch/{tag}"
    at_branch = git.resolve(path, branch)
    first = _start_commit(path, start, at_branch)
    fixed = contracts.of(path, first, given)
    settings = {
        "campaign": tag,
        **rules.spell(decide or "two_stage"),
        "sealed": seal.of(path, fixed, git.common_dir(path) / "autoresearch" / tag / "seal.json"),
        "started": ledger.now(),
        "versions": ledger.versions(),
    }
    message = f"{BASELINE_SUBJECT} {tag}\n\n{json.dumps(settings, indent=2)}\n"
    content = git.read_file(path, first, task.FILE)
    same = content is not None and task.parse(content) == fixed
    changes = {} if same else {task.FILE: fixed.toml()}
    commit = git.commit_files(path, first, changes, message)
    updates = [git.RefUpdate(f"refs/autoresearch/{tag}/0000", commit, git.ABSENT)]
    worktree = git.checked_out(path, f"autoresearch/{tag}")
    if worktree is None and at_branch in (None, first):
        updates.append(git.RefUpdate(branch, commit, at_branch or git.ABSENT))
    try:
        git.update_refs(path, updates)
    except git.RefsMoved as error:
        time.sleep(0.1)  # another kernel started the same campaign: take what it made
        if (theirs := _baseline_commit(path, tag)) is None:
            raise CampaignError(
                f"git can't make the branch autoresearch/{tag}: {error}. A branch in the way can "
                "be renamed: git branch -m autoresearch another-name"
            ) from error
        return theirs
    if worktree is not None and at_branch == first:
        git.fast_forward(worktree, commit)
    return commit


def _start_commit(path: Path, start: Any, at_branch: str | None) -> str:
    if isinstance(start, Campaign):
        return start.best.commit
    if isinstance(start, Experiment):
        return start.commit
    if start is None:
        return at_branch or git.head(path)
    commit = git.resolve(path, str(start))
    if commit is None:
        raise CampaignError(
            f"start={start!r} is no commit, branch or tag of {path}; look at `git log --all`."
        )
    return commit


def _settings(message: str) -> dict[str, Any]:
    _, _, body = message.partition("\n\n")
    try:
        table = json.loads(body)
    except ValueError:
        return {"decide": "greedy"}
    return table if isinstance(table, dict) else {"decide": "greedy"}


def _check_same(
    tag: str,
    fixed: Task,
    given: Mapping[str, Any],
    settings: Mapping[str, Any],
    decide: Any,
) -> None:
    fixed_values = {key: getattr(fixed, key) for key in contracts.typed(given)} if given else {}
    asked = contracts.typed(given) if given else {}
    if decide is not None:
        spelt = rules.spell(decide)
        asked |= spelt
        fixed_values |= {key: settings.get(key) for key in spelt}
    for key, value in asked.items():
        if value != fixed_values[key] and key == "decide_source":
            raise CampaignError(
                f"campaign {tag} was started with another text of the rule {asked['decide']}; look "
                "at it with git show, or start another campaign: tag=..."
            )
        if value != fixed_values[key]:
            raise CampaignError(
                f"campaign {tag} was started with {key} = {fixed_values[key]!r}, not {value!r}; "
                "numbers under two contracts can't be compared. Start another campaign: tag=..."
            )
