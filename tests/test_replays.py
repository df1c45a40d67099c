"""Nights decided again: the own rule gives its own verdicts, another one says where it parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import autoresearch_kit as ark
from autoresearch_kit import decide, ledger, noise
from autoresearch_kit.decide import Evidence, Verdict
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.replays import what_if
from tests import simulated
from tests.stacked import FIT, PRINTED, add, start

EXAMPLE = Path(__file__).parents[1] / "data" / "example-campaign.bundle"


def table(*rows: tuple[Any, ...], goal: str = "minimize", **columns: Any) -> pd.DataFrame:
    """Return a campaign: number, status, and the values of its runs."""
    df = pd.DataFrame(
        {
            "experiment": [n for n, _, _ in rows],
            "status": [status for _, status, _ in rows],
            "metric": [sum(v) / len(v) if v else math.nan for _, _, v in rows],
            "replicates": [" ".join(f"{i}:{x}" for i, x in enumerate(v, 1)) for _, _, v in rows],
            **columns,
        }
    )
    df.attrs = {"metric": "loss", "goal": goal}
    return df


NIGHT = (
    (0, "keep", [1.0, 1.02, 0.98]),
    (1, "discard", [0.99]),
    (2, "keep", [0.9, 0.91]),
    (3, "crash", []),
    (4, "discard", [0.93]),
)


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("rule", ["two_stage", "greedy"])
@pytest.mark.parametrize("world", ["early", "late"])
def test_the_own_rule_gives_its_own_verdicts(world: str, rule: str, goal: str):
    df = simulated.campaign(world, rule, goal=goal)
    again = what_if(df, rule)
    assert list(again["would_be"]) == list(again["status"]) == list(df["status"])
    assert again["value"].tolist() == pytest.approx(df["metric"].tolist())
    assert again["on_path"].all()
    assert (again["needs"] == 0).all()
    assert again.attrs["diverged"] is None
    assert again.attrs["notes"][0].endswith("0 verdicts differ")


def test_greedy_parts_at_the_first_gain_that_was_not_believed():
    greedy = what_if(table(*NIGHT), "greedy").set_index("experiment")
    assert list(greedy["would_be"]) == ["keep", "keep", "keep", "crash", "discard"]
    assert list(greedy["on_path"]) == [True, True, False, False, False]
    assert greedy.attrs["diverged"] == 1
    first, second = greedy.attrs["notes"][:2]
    assert first == (
        "greedy would have kept 2 of 3 experiments with a metric, the starting point not counted, "
        "where 1 was kept then; 1 verdict differs"
    )
    assert "the first one is 0001: keep instead of discard; 3 experiments" in second
    assert greedy.loc[2, "runs"] == 1
    assert greedy.loc[2, "value"] == 0.9
    assert math.isnan(greedy.loc[3, "value"])


def test_nobody_is_asked_about_what_came_before_the_first_keep():
    early = ((0, "discard", [1.2]), (1, "discard", [1.1]), (2, "keep", [1.0]), (3, "keep", [0.9]))
    greedy = what_if(table(*early), "greedy")
    assert list(greedy["reason"][:3]) == ["nothing was kept yet"] * 2 + ["the starting point"]
    assert (
        "kept 1 of 1 experiment with a metric, the starting point not" in greedy.attrs["notes"][0]
    )


def test_another_verdict_that_keeps_the_same_states_stays_on_the_path():
    def careful(evidence: Evidence) -> tuple[str, str]:
        return ("keep" if evidence.gain > 0.05 else "quarantine"), "a person looks at the rest"

    again = what_if(table(*NIGHT), careful)
    assert list(again["would_be"]) == ["keep", "quarantine", "keep", "crash", "quarantine"]
    assert again["on_path"].all()
    assert again.attrs["diverged"] == 1


def test_runs_that_nobody_made_leave_it_undecided_and_are_counted():
    def thorough(evidence: Evidence) -> Verdict:
        if evidence.gain > 0 and len(evidence.candidate) < 4:
            return Verdict("discard", "once more", more=4 - len(evidence.candidate))
        return Verdict("keep" if evidence.gain > 0 else "discard", "four runs")

    again = what_if(table(*NIGHT), thorough).set_index("experiment")
    assert list(again["would_be"]) == ["keep", "undecided", "undecided", "crash", "discard"]
    assert list(again["needs"]) == [0, 3, 2, 0, 0]
    assert again.attrs["diverged"] is None
    assert again["on_path"].all()
    assert "2 are undecided, the first one 0001: the rule asks for 5 more runs" in "".join(
        again.attrs["notes"]
    )


def test_a_rule_sees_the_best_state_with_the_runs_that_it_asked_for_itself():
    seen: list[Evidence] = []

    def greedy(evidence: Evidence) -> Verdict:
        seen.append(evidence)
        return decide.greedy(evidence)

    what_if(table(*NIGHT), greedy)
    assert [run["value"] for run in seen[-1].best] == [0.9]
    assert [run["value"] for run in seen[0].best] == [1.0, 1.02, 0.98]


def test_a_foreign_table_counts_each_metric_as_one_run():
    df = table(*NIGHT)[["experiment", "status", "metric"]]
    again = what_if(df, "greedy")
    assert again.loc[2, "value"] == pytest.approx(0.905)
    assert (
        "the table has no column replicates: each metric counts as one run"
        in (again.attrs["notes"])
    )
    unsure = what_if(df, "two_stage")
    assert list(unsure["would_be"]) == ["keep", "undecided", "undecided", "crash", "discard"]
    known = what_if(df, "two_stage", noise=0.02)
    assert list(known["would_be"]) == ["keep", "discard", "keep", "crash", "discard"]


def test_several_campaigns_are_decided_each_by_itself():
    one, two = simulated.campaign(seed=1), simulated.campaign(seed=2).assign(campaign="other")
    df = pd.concat([one, two], ignore_index=True)
    df.attrs = one.attrs
    again = what_if(df, "greedy")
    assert again.attrs["diverged"] == {
        name: what_if(own, "greedy").attrs["diverged"]
        for name, own in (("sim", one), ("other", two))
    }
    assert {note.partition(":")[0] for note in again.attrs["notes"]} == {"sim", "other"}


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        ("bold", "no rule of this kit; known are: two_stage, greedy"),
        (3, "decide=3 is no rule"),
        (lambda e: "perhaps", "expected one of keep, discard, quarantine"),
    ],
)
def test_what_is_no_rule_is_refused(decide: Any, words: str):
    with pytest.raises(CampaignError, match=words):
        what_if(table(*NIGHT), decide)


def test_a_rule_that_fails_is_named_with_the_experiment():
    def odd(evidence: Any) -> str:
        return "keep" if evidence.improvement > 0 else "discard"

    words = r"the rule odd failed on experiment 0001: AttributeError: .*'improvement'.*gain, goal"
    with pytest.raises(CampaignError, match=words):
        what_if(table(*NIGHT), odd)


def test_what_was_kept_then_and_as_of_now_are_both_told():
    told = what_if(ark.history(EXAMPLE), "two_stage").attrs["notes"][0]
    assert "where 5 were kept then, before later verdicts; as of now 6;" in told
    assert "later verdicts" not in what_if(table(*NIGHT), "greedy").attrs["notes"][0]


def test_a_missing_column_and_mixed_goals_are_told():
    with pytest.raises(ValueError, match="no column 'status'"):
        what_if(table(*NIGHT).drop(columns="status"))
    with pytest.raises(ValueError, match="different goals"):
        what_if(table(*NIGHT, goal=""))


def judged(campaign: ark.Campaign, change: dict[str, int], *values: float) -> str:
    """Record what the default rule says of an experiment with these runs, as `score` would."""
    best, runs = campaign.best_record, []
    known = noise.of(campaign.records(), campaign.task.noise)
    for seed, value in enumerate(values, 1):
        runs.append({"seed": seed, "value": value})
        verdict = decide.two_stage(
            Evidence(runs, best.replicates, "minimize", known, believed=best.evidence)
        )
        if not verdict.more:
            break
    told = {"delta": verdict.delta, "noise": verdict.noise, "gain": verdict.gain}
    told |= {"evidence": verdict.numbers, "reason": verdict.reason, "replicates": tuple(runs)}
    return add(campaign, change, verdict.status, decide.mean(runs), **told).status


def test_repeats_count_from_when_they_were_made_and_later_words_at_their_time(
    make_host: Callable[..., Path],
):
    campaign = ark.open_campaign(make_host({"fit.py": FIT}), tag="s", **PRINTED)
    runs = tuple({"seed": i, "value": v} for i, v in enumerate((10.0, 10.4, 9.6), 1))
    add(campaign, {}, "keep", 10.0, replicates=runs)
    said = [judged(campaign, {"B": 6}, 10.3), judged(campaign, {"A": 4}, 8.8, 9.1)]
    again = ({"seed": 7, "value": 9.8}, {"seed": 8, "value": 9.7})
    more = {"status": "keep", "reason": "2 further runs", "replicates": again, "value": 9.75}
    ledger.append(campaign, ledger.later(campaign, campaign.best_record, "repeat", **more), {})
    said.append(judged(campaign, {"B": 4}, 8.3, 8.2))
    ark.override(campaign.best, "discard", reason="it reads what it should not")
    said += [judged(campaign, {"A2": -1}, 9.1, 9.3), judged(campaign, {"A2": -2}, 7.0, 7.1)]
    assert said == ["discard", "keep", "keep", "discard", "keep"]

    df = ark.history(campaign)
    told = what_if(df, "two_stage").set_index("experiment")
    assert list(told["status"][1:]) == said
    assert list(told["would_be"]) == list(told["status"])
    assert told["on_path"].all()
    own = df[df["about"].isna()].set_index("experiment")["reason"][1:]
    own = own[~own.str.startswith("was ")]
    assert list(told["reason"][own.index]) == list(own)
    assert len(own) == 4


def test_what_the_scorer_found_odd_stays_in_quarantine(make_host: Callable[..., Path]):
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    add(campaign, {"A": 3}, "quarantine", 8.0, reason="the losses don't add up")
    add(campaign, {"A": 4}, "keep", 9.0)
    again = what_if(ark.history(campaign), "greedy")
    assert list(again["would_be"]) == ["keep", "quarantine", "keep"]
    assert "the scorer" in again["reason"][1]


def test_the_example_campaign_gives_its_own_verdicts_word_by_word():
    df = ark.history(EXAMPLE)
    again = what_if(df, "two_stage").set_index("experiment")
    assert list(again["would_be"]) == list(again["status"])
    own = df[df["about"].isna() & df["noise"].notna()].set_index("experiment")["reason"]
    own = own[~own.str.startswith("was ")]
    assert list(again["reason"][own.index]) == list(own)
