"""What may become an experiment: looked at before a number is taken or a second is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoresearch_kit import grain, records, source
from autoresearch_kit.errors import Duplicate, NoChange, ProposalError
from autoresearch_kit.task import MAX_BYTES

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign


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
        When a file is too large or no valid Python.
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
    if all(_same(path, text, before[path]) for path, text in files.items()):
        raise NoChange(
            f"the proposal leaves the code of {', '.join(campaign.task.edit)} as it is in its "
            f"parent {parent[:7]} (comments and layout don't count); change something that runs."
        )
    code = source.digest({**before, **files})
    known = campaign.records()
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
        raise Duplicate(
            f"this code is proposed already: {others[code]}. Look at it with "
            "ark.review(campaign.pending())."
        )


def _same(path: str, new: str, old: str) -> bool:
    return source.same_code(new, old) if path.endswith(".py") else new == old
