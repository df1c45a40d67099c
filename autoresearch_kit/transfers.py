"""Replay the kept changes at another scale, and see which of them carry over."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoresearch_kit import behalf, files, git, lab, ledger, records, stacks, steps, values
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign, open_campaign, tags
from autoresearch_kit.errors import CampaignError, NoChange, PatchConflict, ProposalError
from autoresearch_kit.experiment import Experiment, Score
from autoresearch_kit.records import Record

if TYPE_CHECKING:
    import pandas as pd

KEY = "transfer"
"""Whose proposals these are, so that no cell and no night takes them for its own."""


def transfer(
    campaign: Campaign,
    *,
    profile: str | None = None,
    set: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Test each kept change again at another scale, one after the other, and say what carries over.

    The changes go into a campaign of their own, with the same rule: in the same host for ``set``,
    in a new lab beside it for another profile. May be interrupted: the same call goes on.

    Parameters
    ----------
    profile
        Another size of the lab's task: ``"cpu"``.
    set
        Constants that the starting point gets instead: ``{"DEPTH": 24}``.

    Returns
    -------
    pandas.DataFrame
        One row for each kept change: ``experiment``, ``hypothesis``, ``here`` and ``there`` (its
        gain in the two campaigns, positive when better), ``carries`` (whether it is a keep there)
        and ``reason``. ``df.attrs["campaign"]`` is the other campaign's tag, ``["host"]`` its
        host's path.

    Raises
    ------
    CampaignError
        When nothing was kept yet, not exactly one of `profile` and `set` is given, or another
        process works on the same transfer.
    """
    import pandas as pd

    standing = campaign.standing()
    line, best = standing.line, standing.best
    if best is None or len(line) < 2:
        raise CampaignError("nothing was kept yet, so there is nothing to transfer")
    if bool(profile) == bool(set):
        raise CampaignError("give either profile='cpu' or set={'DEPTH': 24}: the other scale")
    other = _with_constants(campaign, set) if set else _with_profile(campaign, str(profile))
    print(
        f"Transfer to campaign {other.tag} in {other.path}: its starting point comes first.",
        flush=True,
    )
    with files.try_lock(other.state / "transfer.lock") as mine:
        if mine is None:
            raise CampaignError(
                f"another process works on the transfer to {other.tag}; when it is done, the same "
                "call reads what it found"
            )
        steps.baseline(other)
        rows = []
        for i, n in enumerate(line[1:], 1):
            print(f"Transfer of {n:04d} to {other.tag}: {i} of {len(line) - 1}.", flush=True)
            rows.append(_row(campaign, other, campaign.experiment(n)))
        _note(campaign, best, other, rows)
    table = pd.DataFrame(rows)
    table.attrs |= {"campaign": other.tag, "host": str(other.path)}
    return table


def _with_constants(campaign: Campaign, given: Mapping[str, Any]) -> Campaign:
    words = "-".join(f"{name}-{value}" for name, value in given.items())
    tag = f"{campaign.tag}-{re.sub(r'[^A-Za-z0-9.-]+', '', words).lower()}"
    first = campaign.mutable(campaign.start)
    begun = {**first, **values.set_in_files(first, given)}
    if begun == first:
        raise CampaignError(f"set={dict(given)!r} is what the starting point has already")
    return _begun(campaign, campaign.path, tag, campaign.start, begun, words)


def _with_profile(campaign: Campaign, profile: str) -> Campaign:
    task = campaign.task
    if task.name not in lab.task_names():
        raise CampaignError(
            f"task {task.name} has no profiles; give set={{...}} with the constants to change"
        )
    if profile == task.profile:
        raise CampaignError(f"profile={profile!r} is the one that {campaign.tag} has already")
    folder = Path(f"{campaign.path}-{profile}")
    data = task.options.get("data") or task.options.get("corpus")
    made = lab.new_lab(folder, task=task.name, profile=profile, data=data)
    package = importlib.import_module(f"autoresearch_kit.tasks.{task.name}")
    sizes = package.constants(profile)
    first = campaign.mutable(campaign.start)
    known = {name: value for name, value in sizes.items() if name in values.of_files(first)}
    begun = {**first, **values.set_in_files(first, known)}
    words, parent = f"{campaign.tag} at the sizes of {profile}", git.head(made.path)
    return _begun(campaign, made.path, f"{campaign.tag}-{profile}", parent, begun, words)


def _begun(
    campaign: Campaign, host: Path, tag: str, parent: str, begun: Mapping[str, str], words: str
) -> Campaign:
    """Open the campaign of a host whose starting point has the files `begun`, or start it.

    Other constants may have given the same `tag`; then the next one that is free, or its own, gets
    a number.
    """
    same: dict[str, Any] = {"by": campaign.by, "decide": campaign.settings}
    for name in itertools.chain([tag], (f"{tag}-no{i}" for i in itertools.count(2))):
        if name not in tags(host):
            message = f"Start of {name}: {words}\n"
            start = git.commit_files(host, parent, begun, message)
            return open_campaign(host, tag=name, start=start, **same)
        start = open_campaign(host, tag=name).start
        if all(git.read_file(host, start, path) == text for path, text in begun.items()):
            return open_campaign(host, tag=name, **same)
    raise AssertionError  # there is always a next number


def _row(campaign: Campaign, other: Campaign, kept: Experiment) -> dict[str, Any]:
    gain = campaign.task.gain
    record = kept.record
    assert record is not None  # it is on the line
    row: dict[str, Any] = {
        "experiment": kept.n,
        "hypothesis": kept.hypothesis,
        "here": None if record.delta is None else gain(record.delta),
        "there": None,
        "carries": False,
    }
    try:
        score = _try(campaign, other, kept)
    except PatchConflict as conflict:
        return {**row, "reason": f"can't be put there: {conflict}"}
    except NoChange:
        return {**row, "reason": "changes nothing there"}
    except ProposalError as error:
        return {**row, "reason": records.clean(str(error))}
    there = None if score.delta is None else gain(score.delta)
    return {**row, "there": there, "carries": score.status == "keep", "reason": score.reason}


def _try(campaign: Campaign, other: Campaign, kept: Experiment) -> Score:
    """Make a kept change an experiment of the other campaign, once, and return its score."""
    hypothesis = f"transfer of {kept.n:04d}: {kept.hypothesis}"
    for record in other.records():
        if record.hypothesis == records.clean(hypothesis, proposals.MAX_HYPOTHESIS):
            return steps.score(steps.train_5min(other.experiment(record.n)))
    for mine in steps.ready(other, KEY):
        if mine.hypothesis.startswith(f"transfer of {kept.n:04d}:"):
            return steps.score(steps.train_5min(steps.apply(mine)))
    assert kept.parent_commit  # only the baseline has none
    best = other.best
    changed = stacks.merge(campaign.mutable(kept.parent_commit), best.files, kept.files)
    if not changed:
        raise NoChange("the best state there has it")
    person = git.identity(campaign.path)
    with behalf.of(KEY, best):
        made = proposals.draft(
            other, files=changed, hypothesis=hypothesis, author=person, approved_by=person
        )
    return steps.score(steps.train_5min(steps.apply(made)))


def _note(campaign: Campaign, best: Record, other: Campaign, rows: list[dict[str, Any]]) -> None:
    """Record once what was found about the changes up to `best`."""
    carried = sum(row["carries"] for row in rows)
    later = ledger.later(
        campaign,
        best,
        "transfer",
        reason=f"{carried} of {len(rows)} kept changes carry over to {other.tag}",
        evidence={"campaign": other.tag, "host": str(other.path), "rows": rows},
    )
    with files.locked(campaign.state / "decide.lock"):
        for record in campaign.standing().later:
            told = record.kind == "transfer" and record.about == best.n
            if told and record.evidence.get("campaign") == other.tag:
                return
        ledger.append(campaign, later, {})
