"""Hopeless runs end early: when the loss says so, and not when it only scatters."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import runner
from autoresearch_kit.curve import Comparison, Curve
from tests.test_runner import HONEST, Lab, lab

__all__ = ["lab"]

SCATTER = 0.03  # of the loss of a step: in the profile smoke, batches of 1024 tokens


def typical(progress: float) -> float:
    return 2.3 + 4 * math.exp(-6 * progress)


def baseline(seed: int = 0, steps: int = 300) -> list[list[float]]:
    """Return the curve of a run of `steps` steps, as its record has it."""
    curve, noise = Curve(), random.Random(seed)
    for step in range(1, steps + 1):
        at = step / steps
        curve.add(at, typical(at) * math.exp(noise.gauss(0, SCATTER)))
    return curve.points()


def stopped(
    times: float, *, limit: float = 1.014, seed: int = 1, steps: int = 300, begin: float = 0.3
) -> float | None:
    """Return where a run whose loss is `times` the baseline's is stopped, or None."""
    comparison = Comparison({"curve": baseline(), "limit": limit, "from": begin})
    noise = random.Random(seed)
    for step in range(1, steps + 1):
        at = step / steps
        if comparison.add(at, times * typical(at) * math.exp(noise.gauss(0, SCATTER))):
            return at
    return None


@pytest.mark.parametrize("times", [0.95, 1.0, 1.01])
def test_a_run_within_the_limit_is_hardly_ever_stopped(times: float) -> None:
    assert sum(stopped(times, seed=seed) is not None for seed in range(200)) <= 1


@pytest.mark.parametrize("steps", [40, 300, 3000])
def test_a_run_far_above_it_is_stopped_at_the_second_look(steps: int) -> None:
    found = [stopped(1.15, seed=seed, steps=steps) for seed in range(50)]
    assert all(at is not None and 0.45 < at < 0.75 for at in found)


@pytest.mark.parametrize("begin", [0.3, 0.75])
def test_no_run_is_stopped_before_two_looks_have_passed(begin: float) -> None:
    at = stopped(2.0, begin=begin)
    assert at is not None
    assert begin + 0.15 < at < begin + 0.2


def test_bad_looks_count_only_in_a_row() -> None:
    comparison = Comparison({"curve": baseline(), "limit": 1.05, "from": 0.3})
    for step in range(1, 301):
        at = step / 300
        bad = 0.30 < at < 0.37 or 0.47 < at < 0.53 or 0.63 < at < 0.69
        assert not comparison.add(at, (1.5 if bad else 1.0) * typical(at))


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e200])
def test_a_loss_that_is_no_number_is_hopeless(loss: float) -> None:
    comparison = Comparison({"curve": baseline(), "limit": 1.05, "from": 0.3})
    said = [comparison.add(step / 100, loss) for step in range(1, 101)]
    assert "is not a number" in next(filter(None, said))


@given(
    st.lists(st.floats(0, 1), max_size=200).map(sorted),
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=20),
    st.lists(st.floats(-10, 10), max_size=64),
)
def test_whatever_a_run_says_ends_in_words_or_in_nothing(
    moments: list[float], losses: list[float], curve: list[float]
) -> None:
    points = [[(i + 1) / len(curve), loss] for i, loss in enumerate(curve)]
    comparison = Comparison({"curve": points, "limit": 1.01, "from": 0.3})
    for i, at in enumerate(moments):
        why = comparison.add(at, losses[i % len(losses)])
        assert why == "" or why.startswith("hopeless: from progress ")
        assert at >= 0.3 + 0.16 or why == ""


def early(**changes: Any) -> dict[str, Any]:
    curve = [[(i + 1) / 50, 5 / (i + 1)] for i in range(50)]
    return {"early": {"curve": curve, "limit": 1.05, "from": 0.3} | changes}


def run(lab: Lab, loss: str, **changes: Any) -> dict[str, Any]:
    """Train for 50 steps of 0.02 CPU seconds each; the baseline's loss is 5 / step."""
    script = HONEST.replace("5 / step", loss).replace("step = progress", "at = step = progress")
    return lab.ended(script, budget_seconds=1, spec=early(**changes))


def test_a_hopeless_run_ends_early_and_for_good(lab: Lab) -> None:
    state = run(lab, "9 / step")
    assert state["phase"] == "hopeless"
    assert 0.45 < state["stopped_early"] < 0.6
    assert state["cpu_seconds"] < 0.75
    assert state["reason"].startswith("hopeless: from progress 0.3")
    assert "1.05 times the baseline's, in the end 1." in state["reason"]
    assert json.loads((state["run"].dir / "status.json").read_text())["phase"] in runner.FINAL
    runner.launch(state["run"].dir, "train")
    assert state["run"].status == "hopeless"
    assert not (state["run"].dir / "out" / "weights.safetensors").exists()


def test_a_run_that_is_as_good_goes_on_to_its_end(lab: Lab) -> None:
    state = run(lab, "5 / step")
    assert state["phase"] == "done", state["reason"]
    assert "stopped_early" not in state


def test_without_the_bar_nothing_is_stopped(lab: Lab) -> None:
    state = lab.ended(HONEST.replace("5 / step", "float('nan')"), spec={"early": None})
    assert state["phase"] == "done", state["reason"]


def test_a_late_look_waits_for_three_quarters(lab: Lab) -> None:
    state = run(lab, "9 / step", **{"from": 0.75})
    assert (state["phase"], state["stopped_early"] > 0.9) == ("hopeless", True)


def test_a_lie_only_lets_a_run_go_on(lab: Lab) -> None:
    state = run(lab, "0.001")
    assert state["phase"] == "done", state["reason"]
    assert state["tokens"] <= 64 * 52
