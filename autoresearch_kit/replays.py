"""A night decided again by another rule, from the runs that are on record, without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoresearch_kit import decide as rules
from autoresearch_kit.comparison import compare
from autoresearch_kit.decide import Evidence, Rule, Verdict
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.stats import retelling, tables
from autoresearch_kit.stats.retelling import Step

if TYPE_CHECKING:
    import pandas as pd

UNDECIDED = "undecided"
UNASKED = ("no metric", "the starting point", "nothing was kept yet")
"""Reasons of what no rule is asked about."""


def what_if(
    df: pd.DataFrame,
    decide: str | Callable[[Evidence], Any] = "greedy",
    *,
    noise: float | None = None,
) -> pd.DataFrame:
    """Return what another rule would have said of each experiment, and where its path parts.

    Parameters
    ----------
    df
        What `history` returned, of one campaign or several; of a foreign history too, where every
        metric counts as one run.
    decide
        ``"greedy"``, ``"two_stage"``, or any function of the evidence, as for `open_campaign`
        (here it may use what stands around it).
    noise
        Standard deviation of one run that is known from elsewhere, in units of the metric; it
        counts as the task's prior. What the records imply unless given.

    Returns
    -------
    pandas.DataFrame
        One row for each experiment, in the order in which they were decided: ``campaign``,
        ``experiment``, ``status`` (as decided then, before any later word), ``would_be`` (the same
        words, or "undecided"), ``value`` (mean of the runs that the rule looked at), ``runs``
        (their number), ``needs`` (further runs that the rule asks for and nobody made),
        ``on_path`` (False from where another state would have been the best: what was tried then
        was made for a state that this rule would not have had), ``reason``.

        ``attrs["diverged"]`` is the first experiment with another verdict, or None; for several
        campaigns a mapping of them. ``attrs["notes"]`` says it in words, and what was assumed.

    Raises
    ------
    ValueError
        When a column is missing, or the campaigns have different goals.
    CampaignError
        When there is no such rule, or a function fails or returns no verdict.

    Notes
    -----
    Each experiment is shown to the rule as it was decided: against the best state of its time, with
    the noise that was known then (repeats that came later are not counted yet), one run after the
    other until the rule asks for no more. What the best state is worth follows the rule's own
    verdicts. The part of the error that comes from pairs of rows is what the recorded error leaves
    unexplained. Off the path, experiments are still compared with the states that they were made
    on. Starting points, crashes, refusals and runs that were ended early stay what they were.
    """
    import pandas as pd

    df = tables.check(df)
    goal = tables.goal(df)
    name, rule = _rule(decide)
    rows: list[tuple[Any, ...]] = []
    notes = tables.assumed(df)
    diverged: dict[str, int | None] = {}
    for campaign, own in tables.by_campaign(df):
        found = _replay(retelling.steps(own, noise), name, rule, goal)
        rows += [(campaign, *dataclasses.astuple(one)) for one in found]
        other = [one.n for one in found if one.would_be not in (one.status, UNDECIDED)]
        diverged[campaign] = other[0] if other else None
        stands = dict(zip(own["experiment"], own["status"], strict=True))
        notes += [f"{campaign}: {n}".removeprefix(": ") for n in _notes(name, found, stands)]
    if "replicates" not in df:
        notes.append("the table has no column replicates: each metric counts as one run")
    columns = ["campaign", *(f.name for f in dataclasses.fields(Replayed))]
    table = pd.DataFrame(rows, columns=columns).rename(columns={"n": "experiment"})
    one = next(iter(diverged.values()), None) if len(diverged) < 2 else diverged
    table.attrs = {**df.attrs, "rule": name, "diverged": one, "notes": notes}
    return table


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What a rule says of an experiment; `what_if` tells what the fields mean."""

    n: int
    status: str
    would_be: str
    value: float | None
    runs: int
    needs: int
    on_path: bool
    reason: str


def _rule(decide: str | Callable[[Evidence], Any]) -> tuple[str, Rule]:
    if isinstance(decide, str):
        return decide, rules.read({"decide": decide})
    for name, known in rules.RULES.items():
        if decide is known:
            return name, known
    if not callable(decide):
        raise CampaignError(
            f"decide={decide!r:.200} is no rule; known are {', '.join(rules.RULES)}, and any "
            "function of the evidence: decide=lambda e: 'keep' if (e.z or 0) > 3 else 'discard'"
        )
    name = getattr(decide, "__name__", type(decide).__name__).strip("<>")
    return name, lambda evidence: rules.judged(decide(evidence), evidence, name)


def _replay(steps: Any, name: str, rule: Rule, goal: str) -> list[Replayed]:
    found: list[Replayed] = []
    believed: dict[int | None, Mapping[str, Any]] = {}
    used: dict[int | None, tuple[int, int]] = {}
    on_path = True
    for step in steps:
        if step.against is None or not step.runs:
            value = rules.mean(step.runs) if step.runs else None
            words = UNASKED[0 if not step.runs else 1 if step.status == "keep" else 2]
            found.append(
                Replayed(step.n, step.status, step.status, value, len(step.runs), 0, on_path, words)
            )
            continue
        said, verdict, count = _ask(step, name, rule, goal, believed, used)
        kept = verdict.status == "keep" and said == "keep"
        # A later word may make the best state of what no rule kept, so all leave a belief.
        seen = step.evidence(goal, believed.get(step.against, {}), count if kept else None)
        told = retelling.belief(compare(seen), len(seen.candidate))
        believed[step.n] = verdict.numbers if kept else told
        used[step.n] = (count if kept else len(step.runs), len(step.runs))
        needs = count + verdict.more - len(step.runs) if said == UNDECIDED else 0
        found.append(
            Replayed(
                step.n,
                step.status,
                said,
                rules.mean(step.runs[:count]),
                count,
                needs,
                on_path,
                verdict.reason,
            )
        )
        if said != UNDECIDED and (said == "keep") != (step.status == "keep"):
            on_path = False
    return found


def _ask(
    step: Step,
    name: str,
    rule: Rule,
    goal: str,
    believed: Mapping[int | None, Mapping[str, Any]],
    used: Mapping[int | None, tuple[int, int]],
) -> tuple[str, Verdict, int]:
    """Return a rule's verdict on an experiment, the status that follows, and the runs it took."""
    # Of the best state's runs those count that the rule itself asked for, and later repeats.
    taken, made = used.get(step.against, (len(step.best), len(step.best)))
    best = [*step.best[:taken], *step.best[made:]]
    count = 1
    while True:
        shown = step.evidence(goal, believed.get(step.against, {}), count)
        try:
            verdict = rule(dataclasses.replace(shown, best=best))
        except CampaignError:
            raise
        except Exception as error:
            raise CampaignError(
                f"the rule {name} failed on experiment {step.n:04d}: {type(error).__name__}: "
                f"{error}. It is given the evidence, and may return 'keep' or 'discard'; it has "
                f"{', '.join(_seen(shown))}"
            ) from error
        if not verdict.more or count >= len(step.runs):
            break
        count = min(count + verdict.more, len(step.runs))
    promising = verdict.more > 0 or verdict.status in ("keep", "quarantine")
    if promising and step.status == "quarantine" and not step.suspect:
        words = "the scorer wanted a person to look at it, whatever the rule"
        return "quarantine", dataclasses.replace(verdict, reason=words, more=0), count
    if promising and step.parent != step.against:
        words = f"made on {step.parent}, but the best state was {step.against} when it was decided"
        return "discard", dataclasses.replace(verdict, reason=words, more=0), count
    if verdict.more:
        return UNDECIDED, verdict, count
    return verdict.status, verdict, count


def _seen(evidence: Evidence) -> list[str]:
    """Return the names of what a rule may ask for."""
    return sorted(name for name in dir(evidence) if not name.startswith("_"))


def _notes(name: str, found: list[Replayed], stands: Mapping[Any, Any]) -> list[str]:
    asked = [one for one in found if one.reason not in UNASKED]
    other = [one for one in asked if one.would_be not in (one.status, UNDECIDED)]
    open_ = [one for one in asked if one.would_be == UNDECIDED]
    kept = sum(one.would_be == "keep" for one in asked)
    was = sum(one.status == "keep" for one in asked)
    now = sum(stands[one.n] == "keep" for one in asked)
    later = f", before later verdicts; as of now {now}" if now != was else ""
    notes = [
        f"{name} would have kept {kept} of {len(asked)} experiment{'s' * (len(asked) != 1)} with a "
        f"metric, the starting point not counted, where {was} {'was' if was == 1 else 'were'} kept "
        f"then{later}; {len(other)} verdict{'s differ' if len(other) != 1 else ' differs'}"
    ]
    if other:
        first = other[0]
        words = f"the first one is {first.n:04d}: {first.would_be} instead of {first.status}"
        off = sum(not one.on_path for one in found)
        if off:
            words += (
                f"; {off} experiments were made for states that this rule would not have had "
                "(on_path is False): their verdicts only compare them with those states"
            )
        notes.append(words)
    if open_:
        runs = sum(one.needs for one in open_)
        notes.append(
            f"{len(open_)} are undecided, the first one {open_[0].n:04d}: the rule asks for "
            f"{runs} more run{'s' * (runs != 1)} in all that nobody made; the path goes on as it "
            "was recorded there"
        )
    return notes
