"""Policies as functions of a proposal; what a night makes of them is in test_night_proposals."""

from __future__ import annotations

import numpy as np
import pytest

from autoresearch_kit import errors, policies
from autoresearch_kit.policies import Ask
from autoresearch_kit.proposal import draft
from tests import nightly as n


def test_small_approves_what_is_small_and_clean_and_asks_about_the_rest(nightly) -> None:
    policy = policies.small(lines=2, minutes=30, then="approve")
    text = nightly.best.files["fit.py"]

    def says(new: str) -> policies.Answer:
        given = draft(nightly, files={"fit.py": new}, hypothesis="x", author="me")
        return policies.settle(policy, given)

    assert says(text.replace("A = 5", "A = 4")) is True
    assert says(text.replace("A = 5", "A = 4\nC = 1\nD = 1")) == Ask(30, "approve")
    assert says(text.replace("import time", "import subprocess, time")) == Ask(30, "approve")
    assert str(policy) == "approve up to 2 clean lines, else ask 30 min, then approve"


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ("everything", policies.everything),
        ("ask", Ask(None, "refuse")),
        ("ask:30", Ask(30, "refuse")),
        ("ask:0.5:approve", Ask(0.5, "approve")),
        ("small", policies.small()),
        ("small:5:30:approve", policies.small(5, 30, "approve")),
    ],
)
def test_a_policy_can_be_a_word(words: str, policy: policies.Policy) -> None:
    assert policies.parse(words) == policy


@pytest.mark.parametrize(
    "words", ["", "all", "everything:1", "ask:x", "ask:1:maybe", "ask:1:approve:2", "small:x"]
)
def test_a_word_that_is_no_policy_is_refused_with_those_that_are(words: str) -> None:
    with pytest.raises(errors.CampaignError, match="is no policy; expected 'everything'"):
        policies.parse(words)


@pytest.mark.parametrize("wrong", [{"minutes": 0}, {"minutes": -1}, {"then": "maybe"}])
def test_asking_needs_a_time_and_a_decision(wrong) -> None:
    with pytest.raises(errors.CampaignError, match="expected"):
        policies.ask(**wrong)


@pytest.mark.parametrize(
    ("says", "means"),
    [
        (True, True),
        (False, False),
        (None, None),
        ("too long", "too long"),
        (np.float64(1) > 0, True),
        (policies.everything, True),
        (policies.ask(5), Ask(5)),
        (policies.small(1), True),
    ],
)
def test_what_a_function_may_say(nightly, says, means) -> None:
    given = n.change(nightly, "A", 4)
    if says == policies.small(1):
        means = Ask()  # one line goes and one comes
    found = policies.settle(lambda _: says, given)
    assert found == means
    assert type(found) is type(means)


@pytest.mark.parametrize("says", [1, 0.5, " ", [], object()])
def test_what_it_may_not_say(nightly, says) -> None:
    with pytest.raises(errors.CampaignError, match="expected True to approve"):
        policies.settle(lambda _: says, n.change(nightly, "A", 4))
