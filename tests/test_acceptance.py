"""The language-model task at full length, and how much a busy machine moves its numbers.

Slow: runs of 20 and of 300 seconds. Labs live in ``labs/acceptance`` and steps may be repeated, so
an interrupted call goes on where it was; remove that folder to measure anew. The last figures are
in benchmarks/README.md.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoresearch_kit as ark

LABS = Path(__file__).parents[1] / "labs" / "acceptance"

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(3600)]


@contextlib.contextmanager
def neighbours(count: int = 2) -> Iterator[None]:
    """Keep every core busy with an endless loop."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def lab(profile: str) -> ark.Lab:
    return ark.new_lab(LABS / profile, task="language_model", profile=profile)


def experiment(campaign: ark.Campaign, old: str, new: str, hypothesis: str) -> ark.Score:
    """Return the score of one edit on the campaign's best state, made on the first call only."""
    for record in campaign.records():
        if record.hypothesis == hypothesis:
            return ark.score(ark.train_5min(campaign.experiment(record.n)))
    edit = ark.Human(edit=lambda text: text.replace(old, new))
    proposal = ark.propose(campaign, by=edit, idea=hypothesis)
    return ark.score(ark.train_5min(ark.apply(proposal)))


def test_the_cpu_profile_beats_xz_within_twenty_seconds() -> None:
    campaign = ark.open_campaign(lab("cpu"), tag="twenty", budget_seconds=20)
    score = ark.baseline(campaign)
    print("cpu profile, 20 s:", score)
    assert score.value is not None
    assert score.value < 2.29


def test_the_cpu_profile_reaches_its_level_in_five_minutes() -> None:
    campaign = ark.open_campaign(lab("cpu"), tag="five-minutes")
    score = ark.baseline(campaign)
    print("cpu profile, 300 s:", score)
    assert score.value is not None
    assert score.value <= 1.75


def test_a_busy_machine_does_not_move_the_number() -> None:
    campaign = ark.open_campaign(lab("smoke"), tag="neighbours")
    ark.baseline(campaign)
    idle = experiment(campaign, "DEPTH = 4", "DEPTH = 5", "deeper, idle machine")
    with neighbours():
        # The same model: only a name that nothing reads tells this code from the one before.
        found = "DEPTH = 5" if idle.status == "keep" else "DEPTH = 4"
        busy = experiment(campaign, found, "NOTHING = 1\nDEPTH = 5", "deeper, busy machine")
        same = experiment(campaign, "BETAS = ", "NEITHER = 1\nBETAS = ", "as before, busy machine")
    for n in (0, 1, 2, 3):
        print(campaign.records()[n].replicates, campaign.records()[n].value)
    assert idle.value is not None
    assert busy.value is not None
    assert abs(busy.value - idle.value) < 0.01
    assert same.delta is not None
    assert abs(same.delta) < 0.01


def test_a_smoke_experiment_takes_less_than_a_minute() -> None:
    campaign = ark.open_campaign(lab("smoke"), tag=f"minute-{time.time():.0f}")
    ark.baseline(campaign)
    begun = time.perf_counter()
    proposal = ark.propose(campaign, idea="MATRIX_LR = 0.03")
    score = ark.score(ark.train_5min(ark.apply(proposal.approve())))
    seconds = time.perf_counter() - begun
    print(f"propose to verdict: {seconds:.1f} s;", score)
    assert score.status in ("keep", "discard")
    assert seconds < 60


def test_the_same_seed_gives_the_same_weights() -> None:
    campaign = ark.open_campaign(lab("smoke"), tag="neighbours")
    again = ark.open_campaign(lab("smoke"), tag="again", start=campaign.experiment(0))
    ark.baseline(campaign)
    ark.baseline(again)
    first, second = campaign.records()[0], again.records()[0]
    print(first.tokens, first.value, second.tokens, second.value)
    if first.tokens == second.tokens:
        assert first.value == second.value
