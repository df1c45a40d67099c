"""What may become an experiment: looked at before a number is taken or a second is trained.

A patch made by a person is held to the same as a model's: what is refused here is what makes a
record worthless to whoever reads it later, and a task whose experiments need it says so (`allow`).
The sandbox and the scorer hold without this; it keeps experiments readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoresearch_kit import grain, patch, records, source
from autoresearch_kit.errors import Duplicate, NoChange, ProposalError
from autoresearch_kit.task import MAX_BYTES

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

REFUSED = {
    "syntax": "Write it so that Python's parser takes it.",
    "size": "Propose a part of it first, and the rest when that was kept.",
    "seed": "Change something else beside it. How much the metric varies from seed to seed is what "
    "ark.repeat(campaign, {n}) measures.",
    "dynamic": "Write down the code itself, and read settings from the environment.",
    "literal": "Compute such numbers, or learn them within the budget.",
    "network": "Leave it out: a run has no network, and what it needs lies in DATA_DIR.",
    "paths": "Read from DATA_DIR and CODE_DIR, write to RUN_DIR: they stand in the environment.",
}
"""Kinds of `patch.Concern` that can't become an experiment, and what to do instead."""

SHOWN = {
    "imports": "honest experiments start threads and read the environment; the sandbox holds",
    "files": "honest experiments write to RUN_DIR and read their data; the sandbox holds",
    "clock": "torch is patched for good reasons too; the clock and the score are the kit's",
    "deleted": "simpler code is an aim",
    "outside": "`changed` refuses it before anybody looks",
}
"""Kinds that a review shows and that a policy may ask about, and why they are let in."""

_MOST = 3  # reasons in one refusal


def changed(campaign: Campaign, parent: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the `given` files (path → text) that differ from the commit `parent`.

    Raises
    ------
    ProposalError
        When one is not in the task's ``edit``.
    """
    if outside := sorted(set(given) - set(campaign.task.edit)):
        raise ProposalError(
            f"the proposal changes {outside[0]!r}; this task lets a proposal change only "
            f"{', '.join(campaign.task.edit)} (`edit` in task.toml)."
        )
    before = campaign.mutable(parent)
    return {path: text for path, text in given.items() if text != before[path]}


def check(
    campaign: Campaign, parent: str, files: Mapping[str, str], others: Mapping[str, str]
) -> None:
    """Raise unless the changed `files` on the commit `parent` can be an experiment.

    Parameters
    ----------
    others
        What is proposed already: the hash of its code → what to say of it.

    Raises
    ------
    ProposalError
        When a file is too large or no valid Python, or the patch adds something of the kinds in
        `REFUSED` that the task doesn't allow. What the parent has already is no reason.
    NoChange
        When the code stays the same.
    Duplicate
        When an experiment had the same code, or one of the `others` has it.
    """
    before = campaign.mutable(parent)
    for path, text in files.items():
        if len(text.encode("utf-8", errors="surrogateescape")) > MAX_BYTES:
            raise ProposalError(f"{path} would have over {MAX_BYTES} bytes; make it smaller")
        source.check_syntax(path, text)
    known = campaign.records()
    n = next((record.n for record in known if record.commit == parent), 0)
    if all(_same(path, text, before[path]) for path, text in files.items()):
        raise NoChange(
            f"the proposal leaves the code of {', '.join(campaign.task.edit)} as it is in its "
            f"parent {parent[:7]} (comments and layout don't count); change something that runs. "
            f"To learn how much the metric varies by itself: ark.repeat(campaign, {n})."
        )
    _check_kinds(campaign, before, files, n)
    code = source.digest({**before, **files})
    for record in known:
        if record.code == code:
            # A proposer reads this: with all digits it would learn the validation data.
            score = grain.of(known).score(record.value)
            raise Duplicate(
                f"this code was experiment {record.n:04d} already ({record.status}, "
                f"{record.metric} {score}): {records.clean(record.hypothesis, 100)}. "
                "Change something that runs, or look at it with "
                f"ark.show(campaign, {record.n})."
            )
    if code in others:
        raise Duplicate(f"this code is proposed already: {others[code]}")


def _check_kinds(
    campaign: Campaign, before: Mapping[str, str], files: Mapping[str, str], n: int
) -> None:
    old = {path: before[path] for path in files}
    allowed = campaign.task.allow
    concerns = [
        concern
        for concern in patch.warnings(old, files, campaign.task.edit)
        if concern.kind in REFUSED and concern.kind not in allowed
    ]
    if not concerns:
        return
    kinds = dict.fromkeys(concern.kind for concern in concerns)
    found = " ".join(records.clean(concern.text, 300) for concern in concerns[:_MOST])
    more = f" And {len(concerns) - _MOST} more like this." if len(concerns) > _MOST else ""
    instead = " ".join(REFUSED[kind].format(n=n) for kind in kinds)
    names = ", ".join(f'"{kind}"' for kind in kinds)
    raise ProposalError(
        f"the proposal can't become an experiment: {found}{more} {instead} (A task whose "
        f"experiments need it has allow = [{names}] in its task.toml.)"
    )


def _same(path: str, new: str, old: str) -> bool:
    return source.same_code(new, old) if path.endswith(".py") else new == old
