"""How much runs of the same code differ: pooled over a campaign, with a weak prior."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import noise
from autoresearch_kit.noise import Noise
from tests.recorded import record


def runs(*values: float, first: int = 1, **more: object) -> tuple[dict[str, object], ...]:
    return tuple({"seed": first + i, "value": value, **more} for i, value in enumerate(values))


def test_nothing_is_known_without_a_prior_and_without_repeats():
    assert noise.of([], 0.0) == Noise(None, 0.0)
    assert noise.of([record(0, "keep", 1.0)], 0.0) == Noise(None, 0.0)


def test_a_prior_counts_as_much_as_five_runs_of_one_code():
    prior = noise.of([record(0, "keep", 1.0)], 0.01)
    assert prior == Noise(pytest.approx(0.01), 4.0)
    measured = noise.of([record(0, "keep", 1.0, replicates=runs(0.96, 1.0, 1.04))], 0.01)
    assert measured.freedom == 6.0
    assert measured.sd == pytest.approx(((4 * 0.01**2 + 2 * 0.04**2) / 6) ** 0.5)


def test_many_runs_outweigh_a_wrong_prior():
    rng = random.Random(1)
    drawn = [
        record(n, "discard", 1.0, replicates=runs(*(rng.gauss(n, 0.01) for _ in range(3))))
        for n in range(200)
    ]
    found = noise.of(drawn, 0.03)
    assert found.sd == pytest.approx(0.01, rel=0.15)
    assert found.freedom == 404


def test_a_repeat_belongs_to_the_code_that_it_repeats():
    first = record(3, "keep", 1.0, replicates=runs(1.0))
    again = record(7, "keep", 1.02, kind="repeat", about=3, replicates=runs(1.02, first=2))
    assert noise.of([first, again]) == Noise(pytest.approx(0.02 / 2**0.5), 1.0)


def test_the_same_run_on_two_records_counts_once():
    first = record(3, "keep", 1.0, replicates=runs(1.0, 1.02))
    again = record(7, "keep", 1.0, kind="repeat", about=3, replicates=runs(1.0, 1.02, 1.01))
    assert noise.of([first, again]).freedom == 2.0


@pytest.mark.parametrize("kind", ["audit", "transfer", "override", "rewind"])
def test_records_that_are_no_runs_of_one_code_here_say_nothing(kind: str):
    other = record(5, "keep", 1.0, kind=kind, about=0, replicates=runs(1.0, 3.0))
    assert noise.of([record(0, "keep", 1.0), other]) == Noise(None, 0.0)


def test_a_script_without_a_seed_that_gives_the_same_number_did_the_same_again():
    same = record(1, "keep", 1.0, replicates=runs(1.0, 1.0, seed_injected=False))
    assert noise.of([same]) == Noise(None, 0.0)
    other = record(1, "keep", 1.0, replicates=runs(1.0, 1.1, seed_injected=False))
    assert noise.of([other]) == Noise(pytest.approx(0.1 / 2**0.5), 1.0)


def test_the_same_number_on_every_seed_is_no_noise_at_all():
    # 0.1 three times: its mean as computed is another number.
    found = noise.of([record(1, "keep", 0.1, replicates=runs(0.1, 0.1, 0.1, seed_injected=True))])
    assert found == Noise(0.0, 2.0)


def test_the_first_code_with_a_run_is_the_starting_point_though_it_was_run_once():
    start = record(0, "keep", 1.0)
    wild = record(3, "discard", 1.0, replicates=runs(1.0, 7.3))
    calm = [record(n, "discard", 1.0, replicates=runs(1.0, 1.01)) for n in (4, 5, 6)]
    assert noise.of([*calm, wild, start]).sd == pytest.approx(0.01 / 2**0.5)
    crashed = record(0, "crash", None)
    assert noise.of([crashed, wild, *calm]).sd == pytest.approx(((6.3**2 + 3e-4) / 8) ** 0.5)


@given(
    st.lists(
        st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5, unique=True), min_size=1, max_size=6
    ),
    st.floats(0.5, 1e3),
)
def test_pooling_is_the_formula_while_no_code_is_unstable(
    groups: Sequence[Sequence[float]], sd: float
):
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several) + 4
    squares = sum(statistics.variance(group) * (len(group) - 1) for group in several)
    found = noise.pooled(groups, sd)
    assert found.freedom == freedom
    assert found.sd == pytest.approx(((squares + 4 * sd**2) / freedom) ** 0.5, rel=1e-6)


def test_a_code_that_diverges_on_some_seeds_does_not_hide_the_gains_of_others():
    calm = [record(0, "keep", 1.0, replicates=runs(0.99, 1.0, 1.01))]
    calm += [record(n, "discard", 1.0, replicates=runs(1.0, 1.01)) for n in (1, 2)]
    wild = [
        record(3, "discard", 1.0, replicates=runs(0.98, 7.3)),
        record(4, "discard", 1.0, replicates=runs(0.97, 1e200)),
    ]
    assert noise.of([*calm, *wild], 0.01) == noise.of(calm, 0.01)
    assert noise.of([*calm, *wild], 0.0) == noise.of(calm, 0.0)


def test_what_the_starting_point_shows_is_believed_whatever_the_prior_says():
    start = record(0, "keep", 1.0, replicates=runs(0.9, 1.0, 1.1))
    later = [record(n, "discard", 1.0, replicates=runs(1.0, 1.15)) for n in (1, 2, 3)]
    assert noise.of([start], 0.001).sd == pytest.approx((2 * 0.1**2 / 6) ** 0.5, rel=0.01)
    found = noise.of([start, *later], 0.001)
    assert found.freedom == 9
    assert found.sd == pytest.approx(0.077, abs=0.002)


def test_equal_numbers_of_a_coarse_metric_do_not_rule_out_that_others_differ():
    coarse = [record(n, "keep", 0.5, replicates=runs(0.5, 0.5)) for n in range(5)]
    other = record(5, "keep", 0.5, replicates=runs(0.5, 0.51))
    assert noise.of([*coarse, other]).sd == pytest.approx((0.01**2 / 2 / 6) ** 0.5)
