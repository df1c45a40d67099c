"""What the default rule does to real experiments: one run, a second seed, a person's look."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import records, runs, steps
from autoresearch_kit.decide import Evidence, Verdict
from autoresearch_kit.errors import CampaignError

# Seeds differ by up to one hundredth; the rule is told that this is their standard deviation.
FIT = """\
import os

A = 5.0
LUCKY = 0
SEED = int(os.environ["SEED"])
print("loss:", A + 0.01 * (SEED * 7 % 3 - 1) - (9 if SEED == LUCKY else 0))
"""


@pytest.fixture
def host(make_host: Callable[..., Path]) -> Path:
    return make_host({"fit.py": FIT})


def begin(host: Path, **more: object) -> ark.Campaign:
    contract = {"edit": "fit.py", "train": f"{sys.executable} fit.py", "metric": "loss"}
    campaign = ark.open_campaign(host, tag="t", **{**contract, "noise": 0.01, **more})
    ark.baseline(campaign)
    return campaign


def attempt(campaign: ark.Campaign, **constants: float) -> ark.Score:
    text = campaign.best.files["fit.py"]
    for name, value in constants.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{name} = "))
        text = text.replace(line, f"{name} = {value}")
    proposal = ark.propose(campaign, by=ark.Human(edit=text), idea=repr(constants))
    return ark.score(ark.train_5min(ark.apply(proposal)))


def test_one_bad_run_is_enough_to_discard(host: Path):
    campaign = begin(host)
    score = attempt(campaign, A=5.1)
    record = campaign.records()[1]
    assert score.status == "discard"
    assert "worse with one run" in score.reason
    assert len(record.replicates) == 1
    assert record.rule == "two_stage"


def test_a_gain_that_may_be_luck_is_run_on_another_seed(host: Path, capsys):
    campaign = begin(host)
    score = attempt(campaign, A=4.97)
    record = campaign.records()[1]
    assert [run["seed"] for run in record.replicates] == [1, 2]
    assert score.status == "keep"
    assert score.value == pytest.approx(4.975)
    assert "another seed" in capsys.readouterr().out
    assert f"{score.sigma:.1f} sigma)" in repr(score)
    assert record.noise == pytest.approx(0.01)
    assert 0 < (record.gain or 0) < 0.03, "shrunk towards zero"
    assert {"z", "error", "against", "freedom"} <= record.evidence.keys()
    assert campaign.best.n == 1


def test_luck_does_not_survive_the_second_seed(host: Path):
    campaign = begin(host)
    score = attempt(campaign, A=4.98, LUCKY=99)
    assert score.status in ("keep", "discard")
    worse = attempt(campaign, A=4.99, LUCKY=1) if score.status == "discard" else None
    assert worse is None or worse.status != "keep"


def test_what_is_too_good_waits_for_a_person(host: Path):
    campaign = begin(host)
    score = attempt(campaign, A=0.1)
    assert score.status == "quarantine"
    assert campaign.best.n == 0
    with pytest.raises(CampaignError, match="reason is empty"):
        ark.override(campaign.experiment(1), "keep", reason=" ")
    kept = ark.override(campaign.experiment(1), "keep", reason="the constant was a mistake")
    assert kept.status == "keep"
    assert campaign.best.n == 1
    assert campaign.records()[1].reason == "was quarantine: the constant was a mistake"
    assert ark.propose(campaign, idea="A = 0.05", by=ark.TPE()).parent == 1


def test_a_rule_of_ones_own_travels_with_the_campaign(host: Path):
    def patient(evidence: Evidence) -> Verdict | str:
        if len(evidence.candidate) < 3:
            return Verdict("discard", "three runs each", more=1)
        return "keep" if evidence.gain > 0 else "discard"

    campaign = begin(host, decide=patient)
    assert attempt(campaign, A=4.9).status == "keep"
    assert len(campaign.records()[1].replicates) == 3
    assert campaign.records()[1].rule == "patient"
    code = (
        "import autoresearch_kit as ark\n"
        f"campaign = ark.open_campaign({str(host)!r}, tag='t')\n"
        "proposal = ark.propose(campaign, by=ark.TPE(), idea='A = 4.8').approve()\n"
        "print(ark.score(ark.train_5min(ark.apply(proposal))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "<Score 0002 keep" in done.stdout, done.stderr
    with pytest.raises(CampaignError, match="another"):
        ark.open_campaign(host, tag="t", decide="greedy")


def test_a_rule_that_is_never_satisfied_gets_so_many_runs_and_no_more(host: Path, monkeypatch):
    monkeypatch.setattr(steps, "MAX_RUNS", 3)
    campaign = begin(host, decide=lambda e: Verdict("discard", "not enough", more=1))
    attempt(campaign, A=4.9)
    assert len(campaign.records()[1].replicates) == 3


def test_a_second_kernel_goes_on_with_the_second_run(host: Path, monkeypatch):
    campaign = begin(host)
    real = runs.start

    def killed(experiment: ark.Experiment, replicate: int, **more: bool) -> ark.Run:
        if replicate == 1:
            raise KeyboardInterrupt
        return real(experiment, replicate, **more)

    monkeypatch.setattr(runs, "start", killed)
    with pytest.raises(KeyboardInterrupt):
        attempt(campaign, A=4.97)
    assert campaign.experiment(1).record is None
    monkeypatch.setattr(runs, "start", real)
    score = ark.score(ark.train_5min(campaign.experiment(1)))
    assert score.status == "keep"
    first = campaign.state / "runs" / "0001-0" / "status.json"
    assert '"attempt": 1' in first.read_text(), "the first run was not made again"


def test_every_run_is_on_the_record_with_its_rows(host: Path):
    campaign = begin(host)
    attempt(campaign, A=4.97)
    kept = records.read_attachments(campaign.path, "t", 1)
    assert "log.txt" in kept
    assert not any(name.startswith("rows-") for name in kept), "a printed metric has no rows"
