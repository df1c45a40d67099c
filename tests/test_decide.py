"""Keep or discard: what the rules say of which evidence, in which words; whole campaigns of it."""

from __future__ import annotations

import dataclasses
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import decide
from autoresearch_kit.comparison import compare
from autoresearch_kit.decide import Evidence, Verdict, greedy, two_stage
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.noise import Noise
from benchmarks import decisions

KNOWN = Noise(0.01, 4.0)


def runs(*values: float, **more: object) -> list[dict[str, object]]:
    return [{"seed": 1 + i, "value": value, **more} for i, value in enumerate(values)]


def against(best: float, *values: float, noise: Noise = KNOWN, **more: object) -> Evidence:
    """Return evidence on a candidate; the best state was run a hundred times, so it is known."""
    kind: dict[str, object] = {"goal": "minimize", **more}
    return Evidence(runs(*values), runs(*[best] * 100), noise=noise, **kind)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "status", "more", "reason"),
    [
        ((1.02,), "discard", 0, "2.0 sigma worse with one run"),
        ((1.0,), "discard", 0, "no change with one run"),
        ((0.992,), "discard", 0, "0.8 sigma better with one run, under the bar of 1.3"),
        ((0.987,), "discard", 0, "1.29 sigma better with one run, under the bar of 1.3"),
        (
            (0.98,),
            "discard",
            1,
            "2.0 sigma better with one run: a second one, on a new seed, decid",
        ),
        ((0.96,), "keep", 0, "4.0 sigma better with one run, over the bar of 3"),
        (
            (0.98, 0.99),
            "keep",
            0,
            "2.1 sigma better with two runs, over the bar of 2, and the secon",
        ),
        ((0.98, 0.999), "discard", 0, "1.5 sigma better with two runs, under the bar of 2"),
        (
            (0.96, 1.001),
            "discard",
            0,
            "2.7 sigma better with two runs, but the second alone is not",
        ),
        ((0.98, 1.03), "discard", 0, "0.7 sigma worse with two runs"),
        (
            (0.98, 0.98, 0.99),
            "keep",
            0,
            "2.8 sigma better with three runs, over the bar of 2, and th",
        ),
    ],
)
def test_one_run_screens_and_a_second_confirms(
    values: tuple[float, ...], status: str, more: int, reason: str
):
    said = two_stage(against(1.0, *values))
    assert (said.status, said.more) == (status, more)
    assert said.reason.startswith(reason)


def test_the_noise_of_the_best_state_counts_too():
    one = Evidence(runs(0.968), runs(1.0), "minimize", KNOWN)
    assert compare(one).z == pytest.approx(3.2 / 2**0.5)
    assert two_stage(one).more == 1
    assert two_stage(against(1.0, 0.968)).status == "keep"


def test_the_error_over_rows_counts_too():
    sure = against(1.0, 0.98, 0.985)
    assert two_stage(sure).status == "keep"
    unsure = two_stage(against(1.0, 0.98, 0.985, rows_error=0.01))
    assert unsure.status == "discard"
    assert unsure.numbers["error"] == pytest.approx((0.01**2 * (1 / 2 + 1 / 100 + 1)) ** 0.5)


@given(
    st.floats(-1e3, 1e3),
    st.lists(st.floats(-5, 5), min_size=1, max_size=4),
    st.lists(st.floats(-5, 5), min_size=1, max_size=4),
    st.integers(-50, 50),
)
def test_to_maximise_is_to_minimise_the_negative(
    start: float, new: list[float], old: list[float], lines: int
):
    more = {"noise": Noise(0.7, 9.0), "lines": lines, "suspicious": 0.1}
    down = Evidence(
        runs(*(start + x for x in new)), runs(*(start + x for x in old)), "minimize", **more
    )  # type: ignore[arg-type]
    up = Evidence(
        runs(*(-start - x for x in new)), runs(*(-start - x for x in old)), "maximize", **more
    )  # type: ignore[arg-type]
    for rule in (two_stage, greedy):
        a, b = rule(down), rule(up)
        assert (a.status, a.more) == (b.status, b.more)
        assert a.gain == pytest.approx(b.gain)
        assert a.delta == pytest.approx(-b.delta if b.delta is not None else None)


@pytest.mark.parametrize("best", [0.0, -1.0, 1e-9])
def test_a_metric_of_zero_or_less_is_a_number_like_any_other(best: float):
    assert two_stage(against(best, best - 0.05, suspicious=0.03)).numbers["z"] == pytest.approx(
        5, rel=0.01
    )
    assert two_stage(against(0.0, -0.05, suspicious=0.03)).status == "keep"


@pytest.mark.parametrize(
    ("values", "status", "more"),
    [
        ((1.003,), "discard", 1),  # no worse than noise: look again
        ((1.003, 1.002), "keep", 0),
        ((1.003, 1.012), "discard", 0),  # together half a sigma worse or more
        ((1.02,), "discard", 0),
        ((0.98, 1.02), "keep", 0),
    ],
)
def test_what_removes_lines_and_costs_nothing_is_kept(
    values: tuple[float, ...], status: str, more: int
):
    said = two_stage(against(1.0, *values, lines=-12))
    assert (said.status, said.more) == (status, more)
    same = two_stage(against(1.0, *values, lines=0))
    assert (same.status, same.more) == ("discard", 0) or values[0] < 1
    if status == "keep":
        assert said.reason.startswith("12 lines less, and ")
        assert said.reason.endswith("no more than noise")
        assert abs(said.gain or 0.0) < 0.002


@pytest.mark.parametrize(
    ("values", "status", "reason"),
    [
        ((0.98, 0.99), "keep", "2.1 sigma better with two runs, over the bar of 2, and the second"),
        ((0.96, 1.001), "discard", "2.7 sigma better with two runs, but the second alone is not"),
        ((0.5, 1.01), "discard", "34.3 sigma better with two runs, but the second alone is not"),
        ((0.88, 0.88), "quarantine", "better by 0.12 (1 to 0.88), 12 times the noise of a run"),
    ],
)
def test_fewer_lines_lower_no_bar_of_a_gain(values: tuple[float, ...], status: str, reason: str):
    """Beyond the bar, a patch that removes lines is judged as any other one, in the same words."""
    said = two_stage(against(1.0, *values, lines=-3))
    assert (said.status, said.more) == (status, 0)
    assert said.reason.startswith(reason)
    assert said == dataclasses.replace(
        two_stage(against(1.0, *values)), numbers={**said.numbers, "lines": -3}
    )


def test_fewer_lines_do_not_excuse_a_suspicious_gain_below_the_bar():
    coarse = {"noise": Noise(0.05, 40.0), "suspicious": 0.03}
    said = two_stage(against(1.0, 0.95, 0.95, lines=-3, **coarse))
    assert said.numbers["z"] < 2
    assert said.status == "quarantine"
    assert said.reason.startswith("better by 0.05 (1 to 0.95), 5.0 % in one step, in two runs")
    assert two_stage(against(1.0, 0.95, 0.95, **coarse)).status == "discard"
    assert two_stage(against(1.0, 0.98, 0.98, lines=-3, **coarse)).status == "keep"


def test_many_lines_have_to_be_worth_the_noise_of_a_run():
    little = two_stage(against(1.0, 0.984, 0.986, lines=40))
    assert little.status == "discard"
    assert "40 lines more have to be worth the noise of a run" in little.reason
    assert two_stage(against(1.0, 0.984, 0.986, lines=19)).status == "keep"
    assert two_stage(against(1.0, 0.95, lines=400)).status == "keep"


def test_ten_times_the_noise_in_one_step_waits_for_a_person_once_it_is_confirmed():
    first = two_stage(against(1.0, 0.88))
    assert (first.status, first.more) == ("discard", 1)
    said = two_stage(against(1.0, 0.88, 0.885))
    assert said.status == "quarantine"
    assert "12 times the noise of a run" in said.reason
    assert said.reason.endswith("in two runs: a person must look")
    assert said.gain == pytest.approx(0.11, abs=0.01)
    assert two_stage(against(1.0, 0.80, 1.001)).status == "discard"  # a fluke wakes nobody


def test_a_share_that_the_task_calls_suspicious_waits_for_a_person():
    shares = {"noise": Noise(0.01, 40.0), "suspicious": 0.03}
    assert two_stage(against(1.0, 0.975, 0.975, **shares)).status == "keep"
    said = two_stage(against(1.0, 0.965, 0.965, **shares))
    assert said.status == "quarantine"
    assert "3.5 % in one step" in said.reason


def test_while_the_noise_is_unknown_a_better_candidate_is_run_three_times():
    unknown = {"noise": Noise(None)}
    first, best = [0.9, 0.905, 0.895], [1.0]
    for count in (1, 2):
        said = two_stage(Evidence(runs(*first[:count]), runs(*best), "minimize", **unknown))
        assert said.more == 1
        assert "not known yet" in said.reason
    said = two_stage(Evidence(runs(*first), runs(*best), "minimize", **unknown))
    assert said.status == "keep"
    assert said.noise == pytest.approx(0.005)
    # Two differences tell little of the noise: the bar is higher.
    assert said.numbers["bar"] == pytest.approx(2 * 2**0.5)
    wide = two_stage(Evidence(runs(0.9, 0.99, 0.96), runs(*best), "minimize", **unknown))
    assert wide.status == "discard"


def test_a_noise_without_degrees_of_freedom_has_the_highest_bar():
    said = two_stage(against(1.0, 0.9, noise=Noise(0.05)))
    assert (said.status, said.more) == ("discard", 0)
    assert said.numbers["bar"] == pytest.approx(1.3 * 2)
    assert two_stage(against(1.0, 0.6, 0.6, noise=Noise(0.05))).status == "keep"


def test_while_the_noise_is_unknown_what_is_not_better_is_not_run_again():
    said = two_stage(Evidence(runs(1.1), runs(1.0), "minimize", Noise(None)))
    assert (said.status, said.more) == ("discard", 0)
    assert said.reason == "worse by 0.1 (1 to 1.1) with one run"
    gone = two_stage(Evidence(runs(0.9, 1.3), runs(1.0), "minimize", Noise(None)))
    assert (gone.status, gone.more) == ("discard", 0)


def test_where_every_repeat_gives_the_same_number_strictly_better_is_a_keep():
    exact = Noise(0.0, 2.0)
    said = two_stage(Evidence(runs(0.999), runs(1.0), "minimize", exact))
    assert said.status == "keep"
    assert said.gain == pytest.approx(0.001)
    assert "every repeat gives exactly the same number, so this is no luck" in said.reason
    for value in (1.0, 1.001):
        said = two_stage(Evidence(runs(value), runs(1.0), "minimize", exact))
        assert (said.status, said.more) == ("discard", 0)
    shorter = two_stage(Evidence(runs(1.0), runs(1.0), "minimize", exact, lines=-3))
    assert shorter.status == "keep"
    assert shorter.reason.startswith("3 lines less")
    odd = two_stage(Evidence(runs(0.5), runs(1.0), "minimize", exact, suspicious=0.03))
    assert odd.status == "quarantine"


def test_a_script_without_a_seed_needs_two_equal_runs_and_one_with_a_seed_three():
    for injected, needed in ((False, 2), (True, 3)):
        best = runs(1.0, seed_injected=injected)
        for count in range(1, needed + 1):
            candidate = runs(*[0.9] * count, seed_injected=injected)
            said = two_stage(Evidence(candidate, best, "minimize", Noise(None)))
            assert said.more == (count < needed)
        assert said.status == "keep"


def test_the_same_run_again_confirms_nothing():
    again = runs(0.98, 0.98, seed_injected=False)
    best = runs(*[1.0] * 100)
    assert two_stage(Evidence(again, best, "minimize", KNOWN)).numbers["z"] == pytest.approx(
        2.0, rel=0.01
    )
    seeded = Evidence(runs(0.98, 0.98), best, "minimize", KNOWN)
    assert two_stage(seeded).numbers["z"] == pytest.approx(2 * 2**0.5, rel=0.01)


def test_a_gain_is_shrunk_by_as_much_as_it_is_uncertain():
    believed = [
        (two_stage(against(1.0, 1.0 - 0.01 * z)).gain or math.nan) / (0.01 * z) for z in (3.1, 5, 9)
    ]
    assert believed == sorted(believed)
    assert believed[0] == pytest.approx(0.6, abs=0.05)
    assert believed[2] == pytest.approx(0.92, abs=0.03)


def test_what_a_keep_is_believed_to_be_worth_is_what_the_next_one_has_to_beat():
    first = two_stage(Evidence(runs(0.96), runs(1.0, 1.0, 1.0), "minimize", KNOWN))
    assert first.status == "keep"
    assert first.gain is not None
    worth = first.numbers["worth"]
    assert worth == pytest.approx(1.0 - first.gain)
    assert 0.96 < worth < 0.98
    believed = json.loads(json.dumps(first.numbers))  # as a record holds it
    same = Evidence(runs(0.96), runs(0.96), "minimize", KNOWN, believed=believed)
    assert compare(same).old == worth
    assert compare(same).gain > 0
    unbelieved = Evidence(runs(0.96), runs(0.96), "minimize", KNOWN)
    assert compare(unbelieved).gain == 0


def test_what_a_keep_is_worth_is_less_sure_where_the_rows_are_few():
    """A Kalman filter: as unsure as before the runs, were there no more than one row."""
    errors = [
        compare(against(1.0, 0.99, 0.99, rows_error=rows)).worth_error
        for rows in (0.0, 0.005, 0.02, 1e6)
    ]
    assert errors == sorted(errors)
    assert errors[-1] == pytest.approx((0.25 * 0.01**2 + 0.01**2 / 100) ** 0.5)


def test_who_beats_only_what_the_best_state_is_worth_reads_so():
    first = two_stage(Evidence(runs(0.96), runs(1.0, 1.0, 1.0), "minimize", KNOWN))
    shown = Evidence(runs(0.961), runs(0.96), "minimize", KNOWN, believed=first.numbers)
    assert "(the best state measured 0.96; without its luck it is worth 0.97" in (
        two_stage(shown).reason
    )
    better = Evidence(runs(0.95), runs(0.96), "minimize", KNOWN, believed=first.numbers)
    assert "luck" not in two_stage(better).reason


def test_later_runs_of_the_best_state_replace_the_belief_in_it():
    first = two_stage(Evidence(runs(0.96), runs(1.0, 1.0, 1.0), "minimize", KNOWN))
    seen = [
        compare(
            Evidence(
                runs(0.95), runs(0.96, *[0.99] * count), "minimize", KNOWN, believed=first.numbers
            )
        ).old
        for count in (0, 1, 3, 300)
    ]
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(0.99, abs=1e-3)


def test_all_numbers_that_went_in_are_there_and_json_can_hold_them():
    said = two_stage(against(1.0, 0.98, 0.985, rows_error=0.002, lines=3, suspicious=0.05))
    numbers = json.loads(json.dumps(said.numbers))
    assert numbers["runs"] == 2
    assert numbers["best_runs"] == 100
    assert numbers["value"] == pytest.approx(0.9825)
    assert numbers["old"] == 1.0
    assert numbers["rows_error"] == 0.002
    assert (numbers["noise"], numbers["freedom"], numbers["bar"]) == (0.01, 4.0, 2.0)
    assert numbers["z"] == pytest.approx(numbers["measured"] / numbers["error"])
    assert said.delta == pytest.approx(-0.0175)
    assert "gain" not in two_stage(against(1.0, 1.1)).numbers


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=10),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=10),
    st.one_of(st.none(), st.floats(0, 1e6)),
    st.floats(1, 100),
    st.integers(-1000, 1000),
    st.booleans(),
)
def test_any_finite_evidence_gets_a_verdict(
    new: list[float], old: list[float], sd: float | None, freedom: float, lines: int, seeded: bool
):
    known = Noise(sd, freedom if sd is not None else 0.0)
    shown = Evidence(
        runs(*new, seed_injected=seeded), runs(*old), "minimize", known, lines, None, 0.1
    )
    said = two_stage(shown)
    assert said.status in decide.STATUSES
    assert said.reason
    assert said.more in (0, 1)
    assert not (said.more and len(new) >= 3)
    assert said.gain is None or math.isfinite(said.gain)
    json.dumps(said.numbers, allow_nan=False)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(FINITE, min_size=1, max_size=4),
    st.lists(FINITE, min_size=1, max_size=4),
    st.one_of(st.none(), st.floats(0, 1e300)),
)
def test_numbers_out_of_all_proportion_get_a_verdict_too(
    new: list[float], old: list[float], sd: float | None
):
    known = Noise(sd, 4.0 if sd is not None else 0.0)
    shown = Evidence(runs(*new), runs(*old), "maximize", known, -1, 0.1, 0.1)
    for rule in (two_stage, greedy):
        said = rule(shown)
        assert said.status in decide.STATUSES
        assert not (said.more and len(new) >= 3)


def test_greedy_keeps_whatever_is_better():
    assert greedy(against(1.0, 0.9999)).status == "keep"
    assert greedy(against(1.0, 0.9999)).reason == "better by 0.0001 (1.0000 to 0.9999)"
    assert greedy(against(1.0, 1.0)).reason == "no change (1.0000 to 1.0000)"
    assert greedy(against(1.0, 1.1)).reason == "worse by 0.1 (1.0000 to 1.1000)"
    assert greedy(against(1.0, 1.1, goal="maximize")).gain == pytest.approx(0.1)


def thirds(evidence: Evidence) -> Verdict:
    """Keep when every third run is better; `json` is imported here, and nothing is from outside."""
    import json

    bar = 3
    if len(evidence.candidate) < bar:
        return Verdict("discard", f"run {len(evidence.candidate)} of {bar}", more=1)
    best = statistics.median(r["value"] for r in evidence.best)  # type: ignore[name-defined]  # noqa: F821
    better = sum(r["value"] < best for r in evidence.candidate)
    return Verdict("keep" if better == bar else "discard", json.dumps({"better": better}))


def travel(rule: object) -> decide.Rule:
    """Return a rule as another process reads it from the baseline."""
    return decide.read(json.loads(json.dumps(decide.spell(rule))))  # type: ignore[arg-type]


def test_names_stand_for_the_rules_of_the_kit():
    assert decide.spell("two_stage") == {"decide": "two_stage"}
    assert decide.spell(greedy) == {"decide": "greedy"}
    assert decide.read({"decide": "two_stage"}) is two_stage
    assert decide.read({}) is greedy  # campaigns from before there was a choice
    with pytest.raises(CampaignError, match="is no rule; known are two_stage, greedy"):
        decide.spell("gredy")
    with pytest.raises(CampaignError, match="no rule of this kit"):
        decide.read({"decide": "gredy"})


def test_a_function_decides_from_its_text_alone():
    settings = decide.spell(thirds)
    assert settings["decide"] == "thirds"
    assert settings["decide_source"].startswith("def thirds(evidence")
    assert "every third run" in settings["decide_source"]
    rule = travel(thirds)
    assert rule(against(1.0, 0.9)).more == 1
    said = rule(against(1.0, 0.9, 0.91, 0.92))
    assert (said.status, said.reason) == ("keep", '{"better": 3}')
    assert said.numbers["rule"] == "thirds"
    assert said.gain is not None
    assert said.delta == pytest.approx(-0.09)
    assert decide.spell(settings) == settings  # for a campaign that takes over another's rule


def test_a_rule_may_bring_a_noise_of_its_own():
    def mine(e):
        own = Evidence(e.candidate, e.best, e.goal, Noise(0.05))  # every name is provided
        return "keep" if (own.z or 0) > 1 else "discard"

    rule = travel(mine)
    assert [rule(against(1.0, value)).status for value in (0.9, 0.97)] == ["keep", "discard"]


def test_a_lambda_decides_with_a_word_or_a_word_and_a_reason():
    rule = travel(lambda e: "keep" if (e.z or 0) > 2 else ("discard", f"only {e.gain:.3f}"))
    kept = rule(against(1.0, 0.9))
    assert kept.status == "keep"
    assert kept.reason == "better by 0.1 (1 to 0.9) with one run, says lambda"
    assert rule(against(1.0, 0.99)).reason == "only 0.010"


def test_each_of_two_lambdas_on_one_line_keeps_its_own_text():
    both = (lambda e: "keep"), (lambda e: "discard")
    assert [travel(rule)(against(1.0, 0.9)).status for rule in both] == ["keep", "discard"]


def outer(bar: float) -> decide.Rule:
    def inside(evidence):
        return "keep" if evidence.z > bar else "discard"

    return inside


LIMIT = 3


def uses_a_global(evidence):
    return "keep" if evidence.z > LIMIT else "discard"


def has_a_default(evidence, bar=LIMIT):
    return "keep" if evidence.z > bar else "discard"


async def waits(evidence):
    return "keep"


def no_argument():
    return "keep"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (outer(3.0), "inside uses bar from outside itself"),
        (uses_a_global, r"uses LIMIT from outside itself.*Verdict, math, statistics are there"),
        (has_a_default, "uses LIMIT from outside"),
        (waits, "coroutine"),
        (no_argument, "can't be called with one argument"),
        (math.sqrt, "no plain function"),
        (Verdict, "no plain function"),
        (3, "decide=3 is no rule"),
        (eval("lambda evidence: 'keep'"), "source of <lambda> can't be read"),
    ],
)
def test_what_cannot_be_kept_as_text_is_refused_at_the_start(rule: object, words: str):
    with pytest.raises(CampaignError, match=words):
        decide.spell(rule)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lambda e: None", "returned None; expected one of keep, discard, quarantine, a pair"),
        ("lambda e: True", "returned True"),
        ("lambda e: 'kept'", "returned 'kept'"),
        ("lambda e: 'crash'", "returned 'crash'"),
        ("lambda e: ('keep', 3)", "returned"),
        ("lambda e: ('keep', 'a', 'b')", "returned"),
        ("lambda e: Verdict('keep', 'x', more=-1)", "more=-1"),
        ("lambda e: Verdict('keep', 'x', more=0.5)", "more=0.5"),
        ("lambda e: Verdict('keep', 'x', gain='much')", "no number"),
        ("lambda e: Verdict('keep', 'x', numbers={'a': {1, 2}})", "no number"),
        ("lambda e: 1 / 0", "failed with ZeroDivisionError"),
        ("lambda e: exit(1)", "failed with SystemExit"),
    ],
)
def test_what_is_no_verdict_is_an_error_that_says_so(text: str, words: str):
    rule = decide.read({"decide": "mine", "decide_source": text})
    with pytest.raises(CampaignError, match=words):
        rule(against(1.0, 0.9))


@pytest.mark.parametrize("text", ["def", "x = 1", "lambda e: (", "def a(e): pass\ndef b(e): pass"])
def test_a_damaged_text_in_the_baseline_is_an_error_that_says_so(text: str):
    with pytest.raises(CampaignError, match="can't be used"):
        decide.read({"decide": "mine", "decide_source": text})


def test_a_rule_that_asks_for_runs_is_given_its_own_reason():
    rule = decide.read({"decide": "m", "decide_source": "lambda e: Verdict('discard', '', more=2)"})
    said = rule(against(1.0, 0.9))
    assert said.more == 2
    assert said.reason.endswith("says m")


@pytest.mark.parametrize("world", ["none", "early", "late"])
def test_over_whole_campaigns_keeps_mean_something(world: str):
    """Sixty campaigns of a hundred ideas; benchmarks/decisions.py has the figures of thousands."""
    how = decisions.Set()
    ours = decisions.mean_of("two_stage", world, how, 3, 60)
    greed = decisions.mean_of("greedy", world, how, 3, 60)
    assert ours.extra < 13
    if world == "none":
        assert ours.false < 0.8
        assert ours.false < 0.2 * greed.false
        return
    assert ours.false / ours.keeps < 0.4 * greed.false / greed.keeps
    assert ours.true > 0.6 * greed.true
    assert 0.85 < ours.reported / ours.true < 1.15


def test_the_benchmark_measures_as_it_says():
    draws = random.Random(0)
    early = [decisions.WORLDS["early"](draws) for _ in range(4000)]
    assert sum(x > 0 for x in early) / 4000 == pytest.approx(0.31, abs=0.03)
    late = [decisions.WORLDS["late"](draws) for _ in range(4000)]
    assert sum(x > 0 for x in late) / 4000 == pytest.approx(1 / 12, abs=0.02)
    one = decisions.campaign(greedy, lambda rng: 1.0, random.Random(1), decisions.Set(seeds=1))
    assert one.true == one.keeps
    assert one.extra == 0
    assert one.false == 0


def test_a_task_whose_every_gain_is_many_deviations_says_so_and_has_its_own_bar():
    speeds = {"noise": Noise(0.01, 40.0), "suspicious_sigma": 0.0, "suspicious": 1.0}
    faster = Evidence(runs(1.5, 1.5), runs(1.0), "maximize", **speeds)  # type: ignore[arg-type]
    assert two_stage(faster).status == "keep"
    assert two_stage(dataclasses.replace(faster, suspicious_sigma=10.0)).status == "quarantine"
    twice = dataclasses.replace(faster, candidate=runs(2.1, 2.1))
    assert two_stage(twice).status == "quarantine"
