"""How finely scores are shown to proposers: steps of half the noise, or three digits."""

from __future__ import annotations

import pytest

from autoresearch_kit import grain
from tests.recorded import record


def runs(*values: float, **more: object) -> tuple[dict[str, object], ...]:
    return tuple({"seed": i, "value": value, **more} for i, value in enumerate(values))


def test_the_noise_is_pooled_over_all_experiments_with_several_runs():
    known = [
        record(0, "keep", 1.0, replicates=runs(0.99, 1.0, 1.01)),  # sd 0.01, 2 degrees of freedom
        record(1, "discard", 1.2, replicates=runs(1.2)),
        record(2, "keep", 0.9, replicates=runs(0.88, 0.92)),  # sd 0.0283, 1 degree
    ]
    scores = grain.of(known)
    assert scores.noise == pytest.approx(((2 * 0.01**2 + 0.04**2 / 2) / 3) ** 0.5)
    assert scores.unit == 0.0091
    assert scores.score(1.23456) == "1.2376"  # 136 units
    assert "0.0091" in str(scores)
    assert "0.018" in str(scores)


def test_without_replicates_the_newest_noise_on_record_counts():
    known = [record(0, "keep", 1.0, noise=0.5), record(1, "discard", 1.1, noise=0.02)]
    assert grain.of(known) == grain.Grain(0.01, 0.02)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.99791, "0.998"), (1.8412, "1.84"), (312.4, "312"), (0.0012345, "0.00123")],
)
def test_without_any_noise_scores_have_three_digits(value: float, shown: str):
    assert grain.of([record(0, "keep", value)]).score(value) == shown


def test_runs_that_ignore_the_seed_tell_nothing_of_the_noise():
    same = record(0, "keep", 1.0, replicates=runs(1.0, 1.0))
    unseeded = record(1, "keep", 1.0, replicates=runs(1.0, 1.1, seed_injected=False))
    assert grain.of([same, unseeded]).noise is None


def test_changes_have_a_sign_unless_they_are_too_small_to_be_seen():
    scores = grain.Grain(0.01, 0.02)
    changes = (0.0141, -0.026, 0.004, -0.004, None)
    assert [scores.change(delta) for delta in changes] == ["+0.01", "-0.03", "0", "0", "-"]
    assert scores.score(-0.001) == "0.00"


def test_a_campaign_without_a_score_shows_three_digits_of_whatever_comes():
    scores = grain.of([record(0, "crash", None, replicates=())])
    assert (scores.score(None), scores.score(12.345)) == ("-", "12.3")
    assert "three digits" in str(scores)


def test_a_metric_of_zero_has_a_grain_too():
    assert grain.of([record(0, "keep", 0.0)]).score(0.0) == "0"


def test_the_words_of_a_verdict_show_no_score_finer_than_its_grain():
    odd = "better by 0.123 (0.99791 to 0.874912), 12 times the noise of a run: a person must look"
    for status in ("keep", "discard", "quarantine"):
        assert grain.reason(record(1, status, 0.874912, reason=odd)) == ""
    said = "it read the answers"
    assert grain.reason(record(1, "quarantine", 0.9, reason=said)) == said
    assert grain.reason(record(1, "crash", None, reason="loss 12.5 is not finite")) != ""


@pytest.mark.parametrize(
    ("value", "shown"), [(1e308, "1e+308"), (float("inf"), "inf"), (float("nan"), "nan")]
)
def test_a_number_out_of_all_proportion_stays_short(value: float, shown: str):
    assert grain.Grain(0.001, 0.002).score(value) == shown
    assert grain.Grain(0.001, 0.002).change(-1e300) == "-1e+300"
