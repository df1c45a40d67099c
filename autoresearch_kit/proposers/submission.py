"""From new files to a proposal, for proposers whose replies may be wrong.

A try that comes to nothing has a cost too. It is kept beside the proposals, under the caller that
it was made for, until the caller's next proposal takes it over: so no record and no night's budget
misses it, whatever is killed in between.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from autoresearch_kit import admission, behalf, duplicates, keys
from autoresearch_kit import files as store
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposal import Proposal, claim, draft

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.experiment import Experiment

Cost = Mapping[str, float]


def submit(
    campaign: Campaign,
    *,
    files: Mapping[str, str],
    hypothesis: str,
    author: str,
    parent: Experiment,
    expected: float | None = None,
    again: str = "",
    cost: Cost | None = None,
    attachments: Mapping[str, str] | None = None,
    rejected: int = 0,
) -> Proposal:
    """Draft a proposal, unless it is nearly that of an earlier experiment; return it.

    Parameters
    ----------
    parent
        The experiment that `files` were made from: the one that the proposer was shown.
    again
        Why a change that was tried on another parent deserves a second try.
    cost, rejected
        As in `draft`; what earlier tries for the same caller have taken is added.

    Raises
    ------
    ProposalError, NoChange, Duplicate
        As `draft` does.
    """
    changed = admission.changed(campaign, parent.commit, files)
    before = parent.files
    if leaky := [p for p in changed if keys.within(changed[p]) and not keys.within(before[p])]:
        raise ProposalError(
            f"the new text of {leaky[0]} holds something that looks like a key; git would keep it "
            "for ever. Read a key from the environment, where it is needed at all."
        )
    duplicates.check(campaign, parent.commit, changed, again)
    with _failures(campaign) as failures:
        earlier = failures.get(behalf.key(), {})
        made = draft(
            campaign,
            files=files,
            hypothesis=keys.redact(f"{hypothesis} (again: {again})" if again else hypothesis),
            author=author,
            expected=expected,
            cost=added(cost or {}, _without_count(earlier)),
            attachments={name: keys.redact(text) for name, text in (attachments or {}).items()},
            rejected=rejected + int(earlier.get("rejected", 0)),
            parent=parent,
        )
        failures.pop(behalf.key(), None)
        return made


def settle(campaign: Campaign, made: Proposal) -> Proposal:
    """Let a proposal by somebody else pay for the caller's failed tries; return it."""
    with _failures(campaign) as failures:
        earlier = failures.pop(behalf.key(), {})
        return claim(
            dataclasses.replace(
                made,
                cost=added(made.cost, _without_count(earlier)),
                rejected=made.rejected + int(earlier.get("rejected", 0)),
            ),
            made.key,
        )


def fail(campaign: Campaign, cost: Cost, rejected: int) -> None:
    """Remember what a try took that has come to no proposal, or not yet."""
    if not cost and not rejected:
        return
    with _failures(campaign) as failures:
        _charge(failures, behalf.key(), {**cost, "rejected": rejected})


def adopt(campaign: Campaign, key: str) -> None:
    """Let the night `key` take over what the failed tries of earlier nights have taken."""
    with _failures(campaign) as failures:
        for other in [name for name in failures if name.startswith("night|") and name != key]:
            _charge(failures, key, failures.pop(other))


def _charge(failures: dict[str, dict[str, float]], key: str, failed: Cost) -> None:
    before = failures.get(key, {})
    count = failed.get("rejected", 0) + before.get("rejected", 0)
    total = added(_without_count(failed), _without_count(before))
    failures[key] = {**total, "rejected": count}


def lost(campaign: Campaign, key: str) -> Cost:
    """Return what the tries of the caller `key` have taken that no proposal accounts for yet."""
    return _without_count(store.read_table(campaign.state / _FILE).get(key, {}))


def all_lost(campaign: Campaign) -> list[Cost]:
    """Return the same for all callers."""
    return [_without_count(failed) for failed in store.read_table(campaign.state / _FILE).values()]


def added(one: Cost, other: Cost) -> dict[str, float]:
    """Return the sum of two costs; what one of two real costs doesn't know stays unknown."""
    if not one or not other:
        return dict(one or other)
    total = {name: one[name] + other[name] for name in one.keys() & other.keys()}
    if "estimated" in one or "estimated" in other:
        total["estimated"] = True
    return total


_FILE = "failed-tries.json"


def _without_count(failed: Cost) -> dict[str, float]:
    return {name: amount for name, amount in failed.items() if name != "rejected"}


@contextlib.contextmanager
def _failures(campaign: Campaign) -> Iterator[dict[str, dict[str, float]]]:
    """Yield what failed by caller, to be changed; kept when the block ends without an error."""
    path = campaign.state / _FILE
    with store.locked(path.with_suffix(".lock")):
        table = store.read_table(path)
        before = repr(table)
        yield table
        if repr(table) != before:
            store.write_json(path, table)
