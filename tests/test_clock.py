"""The budget's arithmetic, on machines that are simulated: nothing here starts a process."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit.account import round_ratio
from autoresearch_kit.clock import BASELINE, CANDIDATE, Clock

BASE_COST = 100e-6  # CPU seconds a token
STEP = 1024


class Machine:
    """Trains a candidate beside a baseline; every step costs what `cost` says.

    `cost` gets the seconds that the candidate has used and tells its price a token relative to the
    baseline's; `neighbour` gets all seconds that have passed and makes everything dearer.
    """

    def __init__(
        self,
        clock: Clock,
        cost: Callable[[float], float] = lambda _: 1.0,
        neighbour: Callable[[float], float] = lambda _: 1.0,
        noise: float = 0.05,
        seed: int = 0,
    ) -> None:
        self.clock, self.cost, self.neighbour, self.noise = clock, cost, neighbour, noise
        self.random = random.Random(seed)
        self.used = {CANDIDATE: 0.0, BASELINE: 0.0}
        self.progress: list[tuple[int, float]] = []

    def run(self) -> Machine:
        clock = self.clock
        for who in (BASELINE, CANDIDATE) if clock.companion else (CANDIDATE,):
            assert not clock.ready
            clock.start(who)
        for _ in range(100_000):
            if clock.finished or clock.failure:
                return self
            who = clock.turn
            price = BASE_COST * STEP * self.neighbour(sum(self.used.values()))
            price *= math.exp(self.random.gauss(0, self.noise))
            if who == CANDIDATE:
                price *= self.cost(self.used[CANDIDATE])
            self.used[who] += price
            clock.step(who, STEP, self.used[who])
            if who == CANDIDATE:
                self.progress.append((clock.candidate.tokens, clock.progress))
        raise AssertionError("the budget never ended")


def relative(ratio: float | None = None, tokens: int | None = 204_800, seed: int = 1) -> Clock:
    return Clock("relative", 20, baseline_tokens=tokens, ratio=ratio, seed=seed)


@pytest.mark.parametrize("kind", ["wall", "cpu"])
def test_a_budget_of_seconds_ends_after_so_many(kind: str):
    machine = Machine(Clock(kind, 20), noise=0).run()
    assert machine.used[CANDIDATE] == pytest.approx(20, abs=2 * BASE_COST * STEP)
    assert [p for _, p in machine.progress] == sorted(p for _, p in machine.progress)


def test_the_baselines_rate_is_measured_once_and_in_whole_steps():
    clock = relative(ratio=1.0, tokens=None)
    machine = Machine(clock).run()
    assert clock.baseline_tokens
    assert clock.baseline_tokens % STEP == 0
    assert clock.baseline_tokens == pytest.approx(20 / BASE_COST, rel=0.1)
    assert clock.candidate.tokens == clock.baseline_tokens
    assert machine.used[BASELINE] < 4


def test_the_baselines_rate_is_that_of_the_quiet_moments():
    clock = relative(ratio=1.0, tokens=None)
    Machine(clock, neighbour=lambda t: 1.5 if t % 1 < 0.6 else 1.0).run()
    assert clock.baseline_tokens == pytest.approx(20 / BASE_COST, rel=0.15)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("busy", [1.0, 1.6])
def test_the_same_code_costs_exactly_the_same(seed: int, busy: float):
    clock = relative()
    Machine(clock, neighbour=lambda t: busy if int(t) % 2 else 1.0, seed=seed).run()
    assert clock.ratio == 1.0
    assert clock.candidate.tokens == 204_800


@pytest.mark.parametrize("cost", [0.3, 0.45, 0.8, 1.3, 2.8, 6.0])
def test_a_dearer_candidate_gets_fewer_tokens(cost: float):
    clock = relative()
    machine = Machine(clock, lambda _: cost).run()
    assert clock.failure is None
    assert clock.ratio == pytest.approx(cost, rel=0.06)
    assert machine.used[CANDIDATE] == pytest.approx(20, rel=0.12)


@pytest.mark.parametrize("cost", [0.45, 1.0, 2.8])
def test_a_repeat_with_the_known_ratio_has_the_same_schedule(cost: float):
    first = Machine(relative(), lambda _: cost, seed=1).run()
    again = Machine(relative(ratio=first.clock.ratio), lambda _: cost, seed=2).run()
    assert not again.clock.companion
    known = dict(again.progress)
    assert [known[tokens] for tokens, _ in first.progress] == [p for _, p in first.progress]


@given(st.floats(0.05, 20), st.floats(2, 600))
def test_progress_never_goes_back_and_ends_at_one(ratio: float, budget: float):
    clock = Clock("relative", budget, baseline_tokens=100_000, ratio=ratio)
    clock.start(CANDIDATE)
    seen = [0.0]
    while not clock.finished:
        clock.step(CANDIDATE, 500, clock.candidate.tokens * ratio * budget / 100_000)
        seen.append(clock.progress)
        assert clock.failure is None
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert clock.candidate.tokens == pytest.approx(100_000 / ratio, abs=501)


def test_cheap_only_while_measured_is_a_timeout():
    clock = relative()
    machine = Machine(clock, lambda used: 1.0 if used < 4.5 else 1.8).run()
    assert clock.failure
    assert clock.failure.startswith("timeout: it used ")
    assert machine.used[CANDIDATE] < 16


def test_cheap_only_beside_the_baseline_is_a_timeout():
    """It guesses that a probe comes every 5 seconds and is cheap around it."""
    clock = relative()
    Machine(clock, lambda used: 1.0 if used < 4.5 or used % 5 < 1 else 2.0).run()
    assert clock.failure


def test_work_behind_the_back_of_the_turns_is_charged():
    """Half of its work happens while it should wait: it shows in its own next turn."""
    clock = relative()
    clock.start(BASELINE)
    clock.start(CANDIDATE)
    used = 0.0
    base = 0.0
    while clock.calibrating:
        if clock.turn == BASELINE:
            base += BASE_COST * STEP
            used += BASE_COST * STEP  # spins meanwhile
            clock.step(BASELINE, STEP, base)
        else:
            used += BASE_COST * STEP
            clock.step(CANDIDATE, STEP, used)
    assert clock.ratio == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_a_neighbour_that_comes_and_goes_is_no_timeout(seed: int):
    moments = random.Random(seed)
    busy = [moments.random() < 0.5 for _ in range(200)]
    clock = relative(seed=seed)
    Machine(clock, neighbour=lambda t: 1.5 if busy[int(t / 2)] else 1.0, seed=seed).run()
    assert clock.failure is None


def test_without_a_baseline_beside_it_a_busy_machine_is_no_timeout():
    clock = relative(ratio=1.0)
    Machine(clock, neighbour=lambda _: 1.6).run()
    assert clock.failure is None
    cheat = relative(ratio=1.0)
    Machine(cheat, lambda used: 1.0 if used < 2 else 4.0).run()
    assert cheat.failure


@given(st.floats(0.01, 100))
def test_ratios_are_rounded_by_at_most_half_a_step(ratio: float):
    rounded = round_ratio(ratio)
    assert abs(math.log(rounded / ratio)) <= (0.05 if rounded == 1.0 else 0.03) + 1e-9
    assert round_ratio(rounded) == pytest.approx(rounded)


@pytest.mark.parametrize(
    ("ratio", "rounded"), [(0.96, 1.0), (1.05, 1.0), (1.09, 1.083), (0.9, 0.887)]
)
def test_small_differences_are_none(ratio: float, rounded: float):
    assert round_ratio(ratio) == pytest.approx(rounded, abs=0.001)


def test_a_noisy_measurement_has_to_differ_more():
    assert round_ratio(1.07) > 1.05
    assert round_ratio(1.07, error=0.02) == 1.0
    assert round_ratio(1.12, error=0.02) > 1.05


@pytest.mark.parametrize("later", [1.15, 1.24])
def test_steps_that_become_dearer_after_they_were_measured_are_charged(later: float):
    clock = relative()
    machine = Machine(clock, lambda used: 1.0 if used < 4.5 else later).run()
    assert clock.failure is None
    assert machine.used[CANDIDATE] == pytest.approx(20.5, abs=1.6)
    assert clock.candidate.tokens < 0.95 * 204_800
    # What the first run found holds for its repeats, so that they train for as many tokens.
    again = Machine(relative(ratio=clock.ratio), lambda _: 1.0).run()
    assert again.clock.candidate.tokens == pytest.approx(clock.candidate.tokens, abs=STEP)


def test_a_neighbour_that_comes_and_goes_is_hardly_ever_charged():
    charged = 0
    for seed in range(40):
        moments = random.Random(seed)
        busy = [moments.random() < 0.5 for _ in range(200)]
        clock = relative(seed=seed)
        Machine(clock, neighbour=lambda t, b=busy: 1.5 if b[int(t / 2)] else 1.0, seed=seed).run()
        charged += clock.candidate.tokens != 204_800
    assert charged <= 2


@pytest.mark.parametrize(
    ("own", "beside", "before", "charged"),
    [
        (2.4, 2.4, 3.3, 0.0),
        (3.2, 2.4, None, 0.0),
        (3.4, None, 2.4, 0.0),
        (8.0, 2.4, 3.3, 4.75),
        (8.0, None, 2.4, 4.15),
        (8.0, None, None, 0.0),
    ],
)
def test_set_up_far_beyond_the_baselines_is_charged(
    own: float, beside: float | None, before: float | None, charged: float
):
    for kind in ("cpu", "relative"):
        clock = Clock(kind, 20, baseline_tokens=200_000, ratio=1.0)
        clock.set_up(own, beside, before)
        assert clock.setup_charged == pytest.approx(charged)
        Machine(clock, noise=0).run()
        assert clock.candidate.seconds == pytest.approx(20 - charged, abs=2 * BASE_COST * STEP)
    wall = Clock("wall", 20)
    wall.set_up(own, beside, before)
    assert wall.setup_charged == 0


@pytest.mark.parametrize("kind", ["cpu", "relative"])
def test_set_up_that_eats_half_of_the_budget_is_a_timeout(kind: str):
    clock = Clock(kind, 20, baseline_tokens=200_000, ratio=1.0)
    clock.set_up(13.2, 2.4, None)
    assert clock.failure is None
    clock.set_up(13.3, 2.4, None)
    assert clock.failure
    assert clock.failure.startswith(
        "timeout: set-up used 13.30 CPU seconds, of which 3.25 are free (the baseline's took 2.40)"
    )


def test_a_slow_import_is_charged_but_no_timeout_however_short_the_budget_is():
    clock = Clock("cpu", 0.3)
    clock.set_up(0.7, 0.06, None)
    assert clock.setup_charged > 0.3
    steps(clock, [0.1])
    assert (clock.finished, clock.failure) == (True, None)


def steps(clock: Clock, sizes: list[float], tokens: list[int] | None = None) -> Clock:
    """Take steps of so many seconds; where tokens aren't given, at the baseline's price."""
    clock.start(CANDIDATE)
    used = 0.0
    for i, size in enumerate(sizes):
        assert not clock.finished
        assert clock.failure is None
        used += size
        clock.step(CANDIDATE, tokens[i] if tokens else round(size * 10_240), used)
    return clock


KINDS = ["wall", "cpu", "relative"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sizes", "fine"),
    [
        ([1.0] * 19 + [1.9], True),
        ([3.0] * 7, True),  # few and long ones
        ([4.9] * 5, True),
        ([4.9, 4.9, 4.9, 4.9, 7.0], False),
        ([1.0] * 19 + [3.2], False),
        ([0.1] * 199 + [2.4], False),
        ([9.9, 9.9, 9.9], False),  # a step may not be as long as one likes
        ([30.0], False),
    ],
)
def test_the_last_step_goes_beyond_the_budget_by_a_usual_step_at_most(
    kind: str, sizes: list[float], fine: bool
):
    clock = steps(Clock(kind, 20, baseline_tokens=204_800, ratio=1.0), sizes)
    assert clock.finished
    assert (clock.failure is None) == fine
    if clock.failure:
        assert clock.failure.startswith("timeout: its last step went ")


def test_a_last_step_that_is_dearer_than_its_tokens_is_a_timeout():
    """Where tokens are the budget it ends on time, but has cost more than it was paid for."""
    known = steps(relative(ratio=1.0), [1.0] * 19 + [3.5], [10_240] * 20)
    assert known.failure
    assert known.failure.startswith("timeout: its last step went 2.50 CPU seconds beyond")
    # A dear step for hardly any token makes the next one no cheaper.
    inflated = steps(relative(ratio=1.0), [1.9, 45.0], [1, 204_800])
    assert inflated.failure


@pytest.mark.parametrize("early", [0, 1, 2])
def test_a_long_step_just_before_the_end_is_a_timeout(early: int):
    """The baseline is looked at once more, but never three times."""
    clock = relative()
    end = 204_800 - (early + 1) * STEP
    Machine(clock, lambda _: 1000.0 if clock.candidate.tokens == end else 1.0).run()
    assert clock.failure


@pytest.mark.parametrize("seed", range(8))
def test_a_noisy_machine_makes_no_last_step_a_timeout(seed: int):
    moments = random.Random(seed)
    busy = [moments.random() < 0.5 for _ in range(200)]
    for clock in (relative(seed=seed), relative(ratio=1.0), Clock("cpu", 20)):
        Machine(clock, neighbour=lambda t: 1.6 if busy[int(t)] else 1.0, noise=0.2, seed=seed).run()
        assert clock.failure is None
