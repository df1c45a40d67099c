"""Statistics of a table: against campaigns of which the truth is known, and by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoresearch_kit import stats
from autoresearch_kit.stats import rates, smoothing, tables
from tests import simulated

NAN = math.nan


def table(goal: str = "minimize", **columns: Any) -> pd.DataFrame:
    """Return a table of experiments in order; the first one is the starting point."""
    count = len(next(iter(columns.values())))
    df = pd.DataFrame({"experiment": range(count), **columns})
    df.attrs = {"metric": "loss", "unit": "nats", "goal": goal, "notes": ["how it was read"]}
    return df


def night(goal: str = "minimize") -> pd.DataFrame:
    """Return a small night by hand: 2 keeps of 5 tries, a refusal, a repeat, an audit."""
    sign = 1 if goal != "maximize" else -1
    values = [1.0, 0.9, 0.95, NAN, NAN, 0.8, 0.91, 0.79, 0.5]
    return table(
        goal,
        status=["keep", "keep", "discard", "crash", "refused", "keep", "discard", "keep", "keep"],
        metric=[sign * value for value in values],
        kind=["", "", "", "", "", "", "", "repeat", "audit"],
        about=pd.array([None] * 7 + [5, 5], "Int64"),
        parent=pd.array([None, 0, 1, 1, 1, 1, 5, 1, 1], "Int64"),
        author=["", "TPE", "TPE", "Ada", "Ada", "Ada", "", "", ""],
        program=["", "a", "a", "a", "b", "b", "b", "", ""],
        changed=["", "LR", "LR, WD", "", "", "LR", "", "", ""],
        lines_added=[0, 1, 2, 5, 3, 4, 1, 0, 0],
        lines_removed=[0, 1, 2, 0, 0, 4, 9, 0, 0],
        replicates=[" ".join(f"{i}:{sign * x}" for i, x in enumerate((1.0, 1.02, 0.98)))]
        + [""] * 8,
        run_seconds=[3 * 360, 360, 360, 180, NAN, 720, 360, 360, 720],
        cost=[NAN, 0.0, 0.0, 1.5, 0.5, 1.0, NAN, NAN, NAN],
        decided=pd.to_datetime([f"2026-11-23T{h:02d}:00Z" for h in range(9)], utc=True),
    )


# Rates


def test_a_try_is_what_ran_and_crashes_are_tries():
    df = stats.keep_rate(night(), window=3)
    assert list(df["experiment"]) == [1, 2, 3, 5, 6]
    assert list(df["n"]) == [1, 2, 3, 3, 3]
    assert list(df["keeps"]) == [1, 1, 1, 1, 1]
    assert df["rate"].tolist() == pytest.approx([1, 1 / 2, 1 / 3, 1 / 3, 1 / 3])
    assert (df["low"] <= df["rate"]).all()
    assert (df["rate"] <= df["high"]).all()


def test_nothing_is_counted_across_campaigns():
    two = pd.concat([night().assign(campaign="a"), night().assign(campaign="b")])
    df = stats.keep_rate(two, window=100)
    assert list(df["n"]) == [1, 2, 3, 4, 5] * 2
    assert stats.hit_rate(two, "campaign")["keeps"].tolist() == [2, 2]
    worth = stats.gains(two.set_axis(range(18)).set_axis([0] * 18), noise=0.02)
    assert list(worth["campaign"]) == ["a", "a", "b", "b"]
    assert worth["cumulative"][1] == pytest.approx(worth["cumulative"][3])


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("author", {"TPE": (2, 1), "Ada": (2, 1), "unknown": (1, 0)}),
        ("program", {"a": (3, 1), "b": (2, 1)}),
        ("kind", {"constants": (2, 1), "code": (1, 0), "both": (1, 1), "simplification": (1, 0)}),
    ],
)
def test_hits_are_counted_for_each_group(by: str, expected: dict[str, tuple[int, int]]):
    df = stats.hit_rate(night(), by)
    assert dict(zip(df[by], zip(df["n"], df["keeps"], strict=True), strict=True)) == expected
    assert list(df) == [by, "n", "keeps", "rate", "low", "high"]


def test_what_changed_follows_from_constants_and_lines():
    kinds = stats.kind_of_change(night())
    assert list(kinds[:7]) == [
        "unknown", "constants", "constants", "code", "code", "both", "simplification"
    ]  # fmt: skip


def test_intervals_of_rates_cover_the_truth():
    """Exact coverage of Jeffreys' interval over all outcomes, averaged over rates."""
    n = 30
    low, high = rates.interval(np.arange(n + 1.0), float(n))
    covered = []
    for p in np.linspace(0.02, 0.98, 97):
        chances = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
        covered.append(np.dot(chances, (low <= p) & (p <= high)))
    assert 0.94 < np.mean(covered) < 0.96
    assert (low[0], high[-1]) == (0.0, 1.0)


# What keeps are worth


@pytest.mark.parametrize(
    ("world", "rule", "campaigns"),
    [
        ("none", "greedy", 3),
        ("late", "greedy", 3),
        ("early", "greedy", 3),
        ("late", "two_stage", 6),
        ("early", "two_stage", 4),
    ],
)
def test_expected_false_keeps_are_near_the_truth(world: str, rule: str, campaigns: int):
    """The sum over several campaigns, within a factor of two and of what luck does to the count."""
    expected = false = 0.0
    inside, errors = [], []
    for seed in range(campaigns):
        df = simulated.campaign(world, rule, seed=seed)
        truth = df.set_index("experiment")["truth"]
        told = stats.false_keeps(df)
        expected += told.attrs["expected"]
        false += (truth[told["experiment"]] <= 0).sum()
        worth = stats.gains(df).set_index("experiment")
        own = truth[worth.index]
        inside += list((worth["low"] <= own) & (own <= worth["high"]))
        errors += list((worth["shrunk"] - own) / simulated.SD)
    luck = 2 * math.sqrt(false + 1)
    assert false / 2 - luck <= expected <= 2 * false + luck
    assert np.mean(inside) > 0.85
    assert abs(np.mean(errors)) < 0.35
    assert np.std(errors) < 1.3


def test_gains_and_chances_are_the_same_for_a_metric_that_should_rise():
    down, up = (simulated.campaign("late", "greedy", goal=g) for g in ("minimize", "maximize"))
    for one, two in itertools.pairwise([stats.gains(df) for df in (down, up)]):
        pd.testing.assert_frame_equal(one, two, atol=1e-9)
        assert (one["measured"] > 0).all()


def test_one_row_for_each_kept_change_and_they_add_up():
    df = stats.gains(night(), noise=0.02)
    assert list(df["experiment"]) == [1, 5]
    assert df["measured"].tolist() == pytest.approx([0.1, 0.1])
    assert (df["low"] < df["shrunk"]).all()
    assert (df["shrunk"] < df["high"]).all()
    assert df["cumulative"].tolist() == pytest.approx(df["shrunk"].cumsum().tolist())
    assert df.attrs["notes"] == ["noise of a run 0.02, as given"]
    assert "notes" in night().attrs


def test_the_noise_is_taken_from_recorded_runs():
    (note,) = stats.false_keeps(night()).attrs["notes"]
    assert note == "noise of a run 0.02, from the records (2 degrees of freedom)"
    twice = night()
    twice.loc[0, "replicates"] = "0:1.0 1:1.02"
    (note,) = stats.false_keeps(twice).attrs["notes"]
    assert note.endswith("from the records (1 degree of freedom)")


def test_without_any_noise_nothing_is_said_of_luck():
    df = night().drop(columns=["replicates"])
    told = stats.false_keeps(df)
    assert math.isnan(told.attrs["expected"])
    assert told["chance"].isna().all()
    assert told["measured"].notna().all()
    assert "pass noise=" in told.attrs["notes"][0]
    assert "nobody knows" in told.attrs["says"]


def test_a_foreign_noise_is_guessed_and_said_so():
    df = simulated.campaign("late", "greedy")[["experiment", "metric", "status"]]
    told = stats.false_keeps(df)
    (note,) = told.attrs["notes"]
    assert "guessed from how far" in note
    guessed = float(note.removeprefix("noise of a run about ").partition(" ")[0])
    assert 0.8 < guessed / simulated.SD < 2  # effects are in it too
    commits = [f"{i:07x}" for i in range(len(df))]
    commits[3] = commits[2]
    again = stats.false_keeps(df.assign(commit=commits))
    assert "guessed from 1 commit run again" in again.attrs["notes"][0]


def test_where_runs_do_not_differ_a_gain_is_what_was_measured():
    df = night().assign(replicates=["1:1.0 2:1.0 3:1.0"] + [""] * 8)
    told = stats.false_keeps(df)
    assert told["shrunk"].tolist() == told["measured"].tolist()
    assert told.attrs["expected"] == 0


def test_a_state_that_was_run_again_is_known_better():
    df = simulated.campaign("early", seed=3)
    best = stats.gains(df).iloc[-1]
    row = df[df["experiment"] == best["experiment"]].iloc[0]
    runs = [row["metric"] + simulated.SD * (-1) ** i for i in range(20)]
    df.loc[row.name, "replicates"] += "".join(f" {100 + i}:{x}" for i, x in enumerate(runs))
    again = stats.gains(df).iloc[-1]
    assert again["high"] - again["low"] < 0.9 * (best["high"] - best["low"])


def test_effects_far_off_and_enormous_numbers_are_no_matter():
    values = [(0.0, 0, None), (40.0, 1, 0), (1e300, 2, 1), (-1e300, None, 2), (39.0, None, 1)]
    tried = (smoothing.Tried(v, 1, state, parent) for v, state, parent in values)
    start, first, second = smoothing.effects(tuple(tried))
    assert start is None
    assert first is not None
    assert first.gain == pytest.approx(40, abs=1)
    assert first.false < 1e-6
    assert second is not None
    assert second.gain > 1e5


# Effort


def test_yields_by_campaign_count_runs_money_and_waiting():
    df = stats.yields(night().assign(campaign="n"), noise=0.02).iloc[0]
    assert (df["campaign"], df["n"], df["keeps"]) == ("n", 5, 2)
    assert df["hours"] == pytest.approx((360 + 360 + 180 + 720 + 360) / 3600)
    assert df["cost"] == 3.0  # that of the refused one too
    assert df["gain"] == pytest.approx(stats.gains(night(), noise=0.02)["shrunk"].sum())
    assert df["gain_per_hour"] == pytest.approx(df["gain"] / df["hours"])
    assert df["gain_per_coin"] == pytest.approx(df["gain"] / 3)
    assert df["elapsed"] == pytest.approx(8.3)
    assert df["idle"] == pytest.approx(1 - 4140 / 3600 / 8.3)


def test_days_between_nights_are_no_waiting():
    df = night()
    df["decided"] += pd.to_timedelta([0] * 4 + [72] * 5, "h")
    assert stats.yields(df, noise=0.02)["elapsed"][0] == pytest.approx(3.3 + 4)


def test_a_word_during_a_run_is_no_waiting():
    df = night()
    before = stats.yields(df, noise=0.02)["idle"][0]
    word = df.iloc[[7]].assign(experiment=9, kind="override", run_seconds=NAN)
    word["decided"] = df["decided"][5] - pd.Timedelta(minutes=3)  # its run took 12 minutes
    df = pd.concat([df, word], ignore_index=True)
    assert stats.yields(df, noise=0.02)["idle"][0] == pytest.approx(before)


def test_yields_by_author_and_of_tables_without_times():
    df = stats.yields(night(), "author", noise=0.02).set_index("author")
    assert list(df.index) == ["unknown", "TPE", "Ada"]
    assert df.loc["Ada", "hours"] == pytest.approx(0.25)
    assert math.isnan(df.loc["TPE", "gain_per_coin"])  # it cost nothing
    bare = stats.yields(night()[["experiment", "status", "metric"]][:7])
    assert bare[["hours", "cost", "elapsed", "idle", "gain_per_hour"]].isna().all(axis=None)
    assert bare["gain"][0] == pytest.approx(0.2)
    assert [note.partition(":")[0] for note in bare.attrs["notes"][1:]] == [
        "gain is as measured, luck included, where no noise is known",
        "no hours",
        "no cost",
    ]


# Contests


def test_campaigns_of_one_kind_are_not_told_apart():
    tables_ = [simulated.campaign("early", experiments=40, seed=s) for s in range(6)]
    rows = [stats.versus(a, b) for a, b in itertools.combinations(tables_, 2)]
    for at in (0, 1):
        inside = [row["low"][at] <= 0 <= row["high"][at] for row in rows]
        assert np.mean(inside) >= 0.85


def test_a_better_campaign_is_told_from_a_worse_one():
    early, late = simulated.campaign("early", "greedy"), simulated.campaign("late")
    df = stats.versus(late, early).set_index("what")
    assert list(df.index) == ["keep rate", "gain per experiment", "gain per hour"]
    assert df.loc["keep rate", "low"] > 0
    assert df.loc["keep rate", "difference"] == pytest.approx(
        df.loc["keep rate", "b"] - df.loc["keep rate", "a"]
    )
    assert df.loc["gain per hour"].isna().all()  # no times in the table
    assert df.attrs["says"].startswith("b (sim) kept ")
    assert "chance alone" not in df.attrs["says"]
    again = stats.versus(late, early).set_index("what")
    pd.testing.assert_frame_equal(df, again)  # the draws have a fixed seed


def test_gains_of_different_metrics_are_not_compared():
    a, b = simulated.campaign(), simulated.campaign(seed=1)
    b.attrs["metric"] = "accuracy"
    df = stats.versus(a, b)
    assert df.loc[1:, "a":].isna().all(axis=None)
    assert df.loc[0].notna().all()
    assert "gains can't be compared: loss" in df.attrs["notes"][-1]


def test_nothing_tried_or_nothing_kept_is_no_error():
    none = simulated.campaign("none", experiments=5)
    assert (none["status"] == "keep").sum() == 1
    for df in (stats.versus(none, none), stats.versus(none[:1], none)):
        assert df.loc[0, "low"] <= 0 <= df.loc[0, "high"]
        assert math.isnan(df.loc[1, "low"])
    for function in (stats.gains, stats.false_keeps, stats.keep_rate, stats.hit_rate, stats.yields):
        assert len(function(none[:1].assign(author="x"))) == 0
    assert stats.false_keeps(none[:1]).attrs["expected"] == 0


def test_versions_of_program_md_stand_in_order_with_what_changed():
    df = stats.programs(night(), noise=0.02)
    assert list(df["program"]) == ["a", "b"]
    assert list(df["first"]) == [1, 5]
    assert list(df["last"]) == [3, 6]
    assert list(df["n"]) == [3, 2]
    assert math.isnan(df.loc[0, "rate_difference"])
    assert df.loc[1, "rate_difference"] == pytest.approx(1 / 2 - 1 / 3)
    assert df.loc[1, "rate_low"] < 0 < df.loc[1, "rate_high"]
    assert df["gain"].dot(df["n"]) == pytest.approx(stats.gains(night(), 0.02)["shrunk"].sum())
    assert df.attrs["says"].startswith("b kept 1 of 2 and a 1 of 3: +17 points")
    assert "a later version starts from a better state" in df.attrs["notes"][-1]


# Guesses


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_each_guess_stands_beside_what_came(goal: str):
    sign = 1 if goal == "minimize" else -1
    df = night(goal).assign(
        expected=[NAN, -0.2 * sign, -0.1 * sign, -0.1, NAN, -0.3 * sign, NAN, NAN, NAN],
        guess=[NAN, -0.1 * sign, NAN, NAN, NAN, NAN, 0.1 * sign, NAN, NAN],
        approver="Bo",
    )
    told = stats.calibration(df)
    assert list(zip(told["experiment"], told["who"], told["role"], strict=True)) == [
        (1, "TPE", "author"),
        (1, "Bo", "approver"),
        (2, "TPE", "author"),
        (5, "Ada", "author"),
        (6, "Bo", "approver"),
    ]
    came = [-0.1, -0.1, 0.05, -0.1, 0.11]
    assert (told["measured"] * sign).tolist() == pytest.approx(came)
    assert told["error"].tolist() == pytest.approx(
        [0.02 * math.sqrt(1 + 1 / 3)] * 2 + [0.02 * math.sqrt(2)] * 3
    )
    people = told.attrs["people"]
    assert people["TPE"]["n"] == 2
    assert people["TPE"]["bias"] == pytest.approx(np.median([0.1, 0.15]))  # it promised too much
    assert people["TPE"]["sign"] == 0.5
    assert math.isnan(people["TPE"]["slope"])
    assert told.attrs["notes"] == ["1 guesses on what has no metric are left out"]


def test_a_good_guesser_has_slope_and_rank_one():
    guesses = [NAN, -0.1, 0.05, -0.2, 0.1]
    df = table(
        status=["keep", *["discard"] * 4],
        metric=[1.0, 0.9, 1.05, 0.8, 1.1],
        expected=guesses,
        author="Ada",
    )
    ada = stats.calibration(df).attrs["people"]["Ada"]
    assert (ada["n"], ada["sign"]) == (4, 1.0)
    assert [ada[key] for key in ("bias", "slope", "rank")] == pytest.approx([0, 1, 1], abs=1e-9)


# Every function

FUNCTIONS = [
    (stats.false_keeps, "metric"),
    (stats.gains, "status"),
    (stats.keep_rate, "experiment"),
    (stats.hit_rate, "author"),
    (stats.kind_of_change, "changed"),
    (stats.yields, "metric"),
    (stats.programs, "program"),
    (stats.calibration, "expected"),
    (lambda df: stats.versus(df, df), "status"),
]


@pytest.mark.parametrize(("function", "column"), FUNCTIONS)
def test_a_missing_column_is_named(function: Any, column: str):
    df = night().drop(columns=column, errors="ignore")
    with pytest.raises(ValueError, match=f"no column '{column}'"):
        function(df)


@pytest.mark.parametrize("function", [stats.gains, stats.false_keeps, stats.yields])
def test_different_goals_are_refused(function: Any):
    with pytest.raises(ValueError, match="different goals"):
        function(night(goal=""))
    with pytest.raises(ValueError, match="noise=-1"):
        function(night(), noise=-1)


def test_a_lost_goal_is_read_from_the_column():
    one = night("maximize").assign(goal="maximize", metric_name="score", unit="points")
    wanted = stats.gains(one)["measured"].tolist()
    both = pd.concat([one.assign(campaign="a"), one.iloc[:7].assign(campaign="b")])
    both.attrs = {}
    found = stats.gains(both)
    assert found["measured"].tolist()[: len(wanted)] == wanted
    assert {found.attrs[name] for name in ("goal", "metric", "unit")} == {
        "maximize",
        "score",
        "points",
    }
    assert tables.assumed(tables.check(both)) == []
    mixed = pd.concat([one, one.assign(campaign="b", goal="minimize")])
    mixed.attrs = {"goal": ""}
    with pytest.raises(ValueError, match="different goals"):
        stats.gains(mixed)
    # One campaign of a lab in which they differ.
    own = mixed[mixed["goal"] == "maximize"]
    assert stats.gains(own)["measured"].tolist() == wanted


def test_without_a_goal_lower_is_better_and_the_notes_say_so():
    df = night()
    df.attrs = {}
    assert stats.gains(df)["measured"].tolist() == stats.gains(night())["measured"].tolist()
    for function in (stats.gains, stats.false_keeps, stats.yields, stats.programs):
        assert tables.NO_GOAL in function(df).attrs["notes"]
        assert tables.NO_GOAL not in function(night()).attrs["notes"]
    assert df.attrs == {}


def test_what_is_no_table_is_answered_with_what_to_type():
    functions: list[Any] = [stats.gains, stats.keep_rate, stats.kind_of_change, stats.yields]
    for function in [*functions, lambda x: stats.versus(night(), x)]:
        with pytest.raises(TypeError, match=r"a dict.*expected the table of ark\.history"):
            function({})


def test_without_verdicts_no_rate_is_made_up():
    df = night().assign(status="")
    for table in (stats.keep_rate(df), stats.hit_rate(df)):
        assert table["rate"].isna().all()
        assert tables.NO_VERDICTS in table.attrs["notes"]
    false = stats.false_keeps(df).attrs
    assert math.isnan(false["expected"])
    assert false["says"] == tables.NO_VERDICTS
    assert stats.false_keeps(night().assign(status="discard")).attrs["expected"] == 0


@pytest.mark.parametrize(("function", "column"), FUNCTIONS)
def test_the_table_that_was_given_stays_as_it_was(function: Any, column: str):
    df = night().assign(expected=0.1)
    before = df.copy(deep=True)
    function(df)
    pd.testing.assert_frame_equal(df, before)
    assert df.attrs == before.attrs


@pytest.mark.parametrize("parent", [1, 5])
def test_a_parent_that_was_decided_later_is_no_matter(parent: int):
    df = night()
    df["parent"] = df["parent"].where(df["experiment"] != 1, parent).astype("Int64")
    assert list(stats.gains(df)["experiment"]) == list(stats.gains(night())["experiment"])
