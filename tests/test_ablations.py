"""Kept changes left out of the stack, one by one, with real runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, git
from tests.stacked import (
    CHECK,
    FIT,
    PRINTED,
    SCORED,
    TRAIN,
    Kernel,
    add,
    run_folders,
    start,
    tag_objects,
)


@pytest.fixture
def make(make_host: Callable[..., Path]) -> Callable[..., ark.Campaign]:
    def make(text: str = FIT, **contract: object) -> ark.Campaign:
        return start(make_host({"fit.py": text}), **{**PRINTED, **contract})

    return make


def code(campaign: ark.Campaign, words: str, value: float) -> None:
    """Keep a change of the function `loss`."""
    text = campaign.best.files["fit.py"].replace("return A + A2 + B", f"return {words}")
    add(campaign, text, "keep", value)


def test_each_change_is_left_out_and_told_what_it_is_worth(make, capsys) -> None:
    """A and A2 are neighbours, so that a merge by lines would find a conflict."""
    campaign = make(noise=0.1)
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"A2": 1}, "keep", 8.5)  # in truth it costs 1
    code(campaign, "A + A2 + B - 2", 8.0)
    best, before = campaign.best.commit, tag_objects(campaign)
    df = ark.ablate(campaign, seeds=1)
    assert "Ablation: the best state 0003 without 0002, 2 of 3." in capsys.readouterr().out
    assert list(df) == ["experiment", "hypothesis", "claimed", "worth", "error", "finding"]
    assert list(df["experiment"]) == [1, 2, 3]
    assert list(df["hypothesis"]) == ["{'A': 4}", "{'A2': 1}", "new code"]
    assert list(df["claimed"]) == [1.0, 0.5, 0.5]
    assert list(df["worth"]) == [1.0, -1.0, 2.0]
    assert df["finding"][1].startswith("harmful")
    assert campaign.best.commit == best
    assert before.items() <= tag_objects(campaign).items()


def test_a_finding_is_a_record_with_its_code(make) -> None:
    campaign = make()
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"B": 3}, "keep", 7.0)
    ark.ablate(campaign, seeds=1)
    first, second = campaign.standing().later
    assert (first.n, first.kind, first.about, first.parent) == (3, "ablation", 1, 2)
    assert (second.n, second.about, second.status, second.value) == (4, 2, "discard", 9.0)
    assert second.hypothesis == "0002 without 0002: {'B': 3}"
    assert second.constants["B"] == 5
    assert (second.lines_added, second.lines_removed) == (1, 1)
    assert git.read_file(campaign.path, second.commit, "fit.py").count("B = 5") == 1
    assert git.refs(campaign.path, "refs/autoresearch-variants/") == {}
    df = ark.history(campaign)
    assert list(df["kind"]) == ["", "", "", "ablation", "ablation"]
    assert list(df["best_so_far"]) == [10.0, 9.0, 7.0, 7.0, 7.0]
    assert "without 0001" in str(ark.show(campaign, 3))


def test_what_can_not_be_taken_out_says_why_and_costs_no_run(make) -> None:
    campaign = make(noise=0.1)
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"A": 3}, "keep", 8.0)
    add(campaign, {"A2": -1}, "keep", 7.0)
    add(campaign, {"A2": 0, "B": 3}, "keep", 6.0)
    df = ark.ablate(campaign, seeds=1).set_index("experiment")
    assert df["finding"][1] == "can't be taken out: A would go from 4 to 5, but here it is 3"
    assert df["finding"][2].startswith("holds")
    assert df["finding"][3] == "can't be taken out: nothing of it is left in the best state"
    assert df["worth"].isna().tolist() == [True, False, True, False]
    assert run_folders(campaign) == ["without0002-0004-1", "without0004-0004-1"]


def test_code_that_others_build_on_stays(make) -> None:
    campaign = make()
    code(campaign, "A + A2 + B - 1", 9.0)
    text = campaign.best.files["fit.py"].replace("A + A2 + B - 1", "A + A2 + B - 3")
    add(campaign, text, "keep", 7.0)
    df = ark.ablate(campaign, seeds=1)
    assert "other changes of the same lines of fit.py" in df["finding"][0]
    assert df["worth"][1] == 2.0


def test_what_crashes_alone_is_a_finding(make) -> None:
    campaign = make()
    text = campaign.best.files["fit.py"].replace("SECONDS = 0.0\n", "SECONDS = 0.0\nGAIN = 2\n")
    add(campaign, text, "keep", 10.0)
    code(campaign, "A + A2 + B - GAIN", 8.0)
    df = ark.ablate(campaign, seeds=1)
    assert df["finding"][0].startswith("the best state crashes without it: ")
    assert "GAIN" in df["finding"][0]
    assert math.isnan(df["worth"][0])
    assert campaign.standing().later[0].status == "crash"


def test_noise_decides_whether_a_change_holds(make) -> None:
    campaign = make(FIT.replace("NOISE = 0.0", "NOISE = 0.01"), noise=0.5)
    add(campaign, {"A": 4.9}, "keep", 9.9)
    add(campaign, {"B": 0}, "keep", 4.9)
    df = ark.ablate(campaign, seeds=2)
    assert df["finding"][0].startswith("doubtful: hardly a difference")
    assert df["finding"][1] == "holds"
    assert 0.1 < df["error"][1] < 0.6


def test_the_luck_that_the_best_state_was_picked_for_is_not_each_changes_worth(make) -> None:
    campaign = make(noise=0.5)
    worth = {"worth": 9.5, "worth_error": 0.3, "runs": 1}
    add(campaign, {"A": 4.5}, "keep", 8.0, evidence=worth)  # 9.5, had it not been picked
    df = ark.ablate(campaign, seeds=1)
    assert df["claimed"][0] == 2.0
    assert df["worth"][0] == pytest.approx(0.5)
    assert df["finding"][0].startswith("doubtful")


def test_a_wild_variant_does_not_take_the_starting_points_place_in_the_noise(make_host) -> None:
    """The starting point always counts; what is much wilder tells of itself alone."""
    host = make_host({"fit.py": FIT.replace("NOISE = 0.0", "NOISE = 3.0")})
    campaign = ark.open_campaign(host, tag="s", decide="greedy", **PRINTED)
    calm = [{"seed": i, "value": 10 + i / 100, "run": ""} for i in (1, 2, 3, 4)]
    add(campaign, {}, "keep", 10.025, replicates=tuple(calm))
    add(campaign, {"NOISE": 0.0}, "keep", 9.0)
    assert ark.ablate(campaign, seeds=2)["error"][0] < 0.05


def test_what_its_scorer_finds_odd_of_a_variant_is_told(make_host) -> None:
    odd = CHECK.replace('"split": split', '"split": split, "quarantine": "odd"')
    campaign = start(make_host({"train.py": TRAIN, "check.py": odd}), noise=0.1, **SCORED)
    add(campaign, {"A": 1}, "keep", 6.0)
    assert ark.ablate(campaign, seeds=1)["finding"][0] == "holds; a person must look: odd"


def test_unknown_noise_is_no_certainty(make) -> None:
    campaign = make(FIT.replace("NOISE = 0.0", "NOISE = 0.01"))
    add(campaign, {"A": 4}, "keep", 9.0)
    df = ark.ablate(campaign, seeds=1)
    assert df["finding"][0].startswith("doubtful: how much runs")
    assert df["worth"][0] == pytest.approx(1.0, abs=0.1)
    assert ark.ablate(campaign, seeds=2)["finding"][0] == "holds"


def test_higher_may_be_better(make) -> None:
    campaign = make(goal="maximize", noise=0.1)
    add(campaign, {"A": 7}, "keep", 12.0)
    df = ark.ablate(campaign, seeds=1)
    assert (df["claimed"][0], df["worth"][0], df["finding"][0]) == (2.0, 2.0, "holds")


@pytest.mark.acceptance
def test_a_killed_ablation_goes_on_and_a_finished_one_stays(make) -> None:
    campaign = make(FIT.replace("SECONDS = 0.0", "SECONDS = 0.6"))
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"B": 3}, "keep", 7.0)
    kernel = Kernel(campaign, "ark.ablate(campaign, seeds=1)")
    kernel.kill(lambda: len(run_folders(campaign)) == 2)
    assert [r.about for r in campaign.standing().later] == [1]
    variant = git.refs(campaign.path, "refs/autoresearch-variants/")
    df = ark.ablate(campaign, seeds=1)
    assert list(df["worth"]) == [1.0, 2.0]
    assert campaign.standing().later[1].commit in variant.values()
    folders, tags = run_folders(campaign), tag_objects(campaign)
    assert folders == ["without0001-0002-1", "without0002-0002-1"]
    assert ark.ablate(campaign, seeds=1).equals(df)
    assert run_folders(campaign) == folders
    assert tag_objects(campaign) == tags


def test_another_best_state_is_measured_anew(make) -> None:
    campaign = make()
    add(campaign, {"A": 4}, "keep", 9.0)
    assert list(ark.ablate(campaign, seeds=1)["worth"]) == [1.0]
    add(campaign, {"B": 4}, "keep", 8.0)
    ark.rewind(campaign, to=1, reason="no")
    assert len(ark.ablate(campaign, seeds=1)) == 1
    assert len(run_folders(campaign)) == 1


def test_nothing_kept_is_nothing_to_leave_out(make) -> None:
    campaign = make()
    with pytest.raises(errors.CampaignError, match="nothing was kept yet"):
        ark.ablate(campaign)
    with pytest.raises(errors.CampaignError, match="seeds=0; expected 1 or more"):
        ark.ablate(campaign, seeds=0)
