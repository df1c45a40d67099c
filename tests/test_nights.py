"""Nights in processes of their own: how they begin, end, and obey their owner."""

from __future__ import annotations

import _thread
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, files, git, nights
from tests import nightly as n
from tests.nightly import Worse, until

STARTER = """\
import os, sys
import autoresearch_kit as ark
from tests.nightly import Worse
os.mkdir("gone"); os.chdir("gone"); os.rmdir(os.getcwd())
night = ark.overnight(
    ark.open_campaign(sys.argv[1], tag="n"), approve="everything", experiments=3,
    by=Worse(seconds=0.3, cost={"money": 0.5, "tokens": 10}),
)
print(night.id, flush=True)
os.kill(os.getpid(), 9)
"""


def start(campaign: ark.Campaign, **more) -> ark.Night:
    return ark.overnight(campaign, **{"approve": "everything", "by": Worse(), **more})


def test_a_night_outlives_the_process_that_started_it(nightly, tmp_path: Path) -> None:
    """The starter, a script without a file, is killed at once and its folder is gone."""
    command = [sys.executable, "-c", STARTER, str(nightly.path)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env) as it:
        assert it.wait(30) == -signal.SIGKILL
        assert it.stdout is not None
        id = it.stdout.read().split()[-1]
    night = ark.overnight(nightly)  # its handle comes back, whoever asks
    assert night.id == id
    assert n.ended(night)["reason"] == "3 experiments are made"
    assert [record.status for record in nightly.records()[1:]] == ["discard"] * 3
    facts = nightly.records()[1].proposal
    assert (facts["night"], facts["cost"], facts["tokens"]) == (id, 0.5, 10)
    assert facts["seconds"] >= 0.3
    assert nightly.records()[1].approver == "policy: everything"
    assert (night.state["cost"], night.state["tokens"]) == (1.5, 30)
    assert n.quiet(nightly.path)


def test_the_same_call_returns_the_running_and_the_finished_night(nightly, capsys) -> None:
    night = start(nightly, experiments=1)
    assert night.status not in nights.ENDED
    assert start(nightly, experiments=1) == night
    assert capsys.readouterr().out == ""
    assert start(nightly, experiments=2, hours=3) == night
    assert "as it was started, without hours=3, experiments=2. night.stop()" in (
        capsys.readouterr().out
    )
    with pytest.raises(errors.CampaignError, match="one night at a time"):
        start(nightly, experiments=1, again=True)
    night.wait(progress=False)
    assert start(nightly, experiments=1) == night
    assert "1 experiments are made. again=True starts another." in capsys.readouterr().out
    other = start(nightly, experiments=1, again=True).wait(progress=False)
    assert other.id > night.id
    assert len(nightly.records()) == 3
    assert "1 of 1 experiments (1 discarded)" in repr(other)


def test_two_calls_at_the_same_moment_make_one_night(nightly) -> None:
    barrier, found = threading.Barrier(4), []

    def call() -> None:
        barrier.wait()
        found.append(start(nightly, experiments=1, by=n.SlowToPack()).id)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    n.ended(nights.latest(nightly))
    assert len(nightly.records()) == 2


def test_a_night_pauses_goes_on_and_stops(nightly) -> None:
    night = start(nightly)
    until(lambda: n.decided(nightly, night))
    night.pause()
    until(lambda: night.status == "paused" and night.state["experiment"] is None)
    before = len(nightly.records())
    time.sleep(1)
    assert len(nightly.records()) == before
    night.resume()
    until(lambda: len(nightly.records()) > before)
    night.stop()
    assert n.ended(night)["reason"] == "on request"
    assert night.status == "stopped"
    assert nightly.records()[-1].status == "discard"  # the last one was brought to its end
    assert n.quiet(nightly.path)


@pytest.mark.parametrize("who", ["a later night", "a person"])
def test_stop_now_leaves_the_experiment_undecided_for_later(nightly, who: str) -> None:
    night = start(nightly, by=n.List((("SECONDS", 2),)))
    run = until(lambda: ark.Run(nightly.state / "runs" / "0001-0", 1, "n", 1, 0))
    until(lambda: run.status == "training")
    night.stop(now=True)
    assert n.ended(night)["reason"] == "on request"
    assert run.status == "stopped"
    assert nightly.experiment(1).status == "undecided"
    if who == "a person":
        assert ark.score(ark.train_5min(nightly.experiment(1))).status == "discard"
        return
    later = start(nightly, experiments=1, again=True).wait(progress=False)
    (record,) = n.decided(nightly, later)
    assert (record.n, record.hypothesis, record.status) == (1, "SECONDS = 2", "discard")
    assert n.made(nightly) == 1


@pytest.mark.acceptance
def test_a_campaign_without_a_baseline_gets_one_also_after_a_stop(make_host) -> None:
    host = make_host({"fit.py": n.FIT.replace("SECONDS = 0.0", "SECONDS = 2.0")})
    campaign = ark.open_campaign(host, tag="n", **n.CONTRACT)
    night = start(campaign, experiments=1)
    until(n.doing(night, "baseline"))
    until(lambda: ark.Run(campaign.state / "runs" / "0000-0", 0, "n", 1, 0).status == "training")
    night.stop(now=True)
    assert n.ended(night)["reason"] == "on request"
    assert campaign.records() == []
    later = start(campaign, experiments=1, again=True, by=n.List((("SECONDS", 0.0), ("B", 6))))
    assert n.ended(later)["phase"] == "finished"
    assert [record.n for record in campaign.records()] == [0, 1]


def test_a_baseline_that_crashes_ends_the_night_with_the_reason(make_host) -> None:
    host = make_host({"fit.py": n.FIT.replace("SECONDS = 0.0", "SECONDS = 1 / 0")})
    night = start(ark.open_campaign(host, tag="n", **n.CONTRACT))
    state = n.ended(night)
    assert state["phase"] == "stopped"
    assert "the baseline crashed" in state["reason"]
    assert "ZeroDivisionError" in state["reason"]


def test_interrupted_waiting_leaves_the_night_alone(nightly, capsys) -> None:
    night = start(nightly, by=Worse(seconds=30))
    threading.Timer(0.5, _thread.interrupt_main).start()
    with pytest.raises(nights.NightGoesOn, match="the night goes on"):
        night.wait()
    assert night.status in ("starting", "running")
    night.stop()
    assert n.ended(night)["phase"] == "stopped"  # and doesn't wait for the slow proposer
    assert n.quiet(nightly.path)


@pytest.mark.parametrize(
    ("limits", "reason", "count"),
    [
        ({"hours": 1 / 3600}, "the time is over", None),
        ({"max_cost": 0.5, "by": Worse(cost={"money": 0.4})}, "max_cost=0.5 is spent", 2),
        ({"max_tokens": 4, "by": Worse(cost={"tokens": 4})}, "max_tokens=4 is spent", 1),
        ({"max_cost": 1.0}, "tester doesn't say how much money a proposal takes", 0),
        ({"patience": 2}, "no keep in 2 experiments", 2),
        (
            {"failures": 2, "by": n.crashing},
            "2 crashes in a row; the last one: Zero",
            2,
        ),
        ({"failures": 2, "by": n.raising}, r"2 proposals in a row failed.*no idea", 0),
        ({"failures": 2, "by": n.leaving}, r"2 proposals in a row failed.*wants to leave", 0),
        ({"failures": 2, "by": n.rubbish}, "returned 42; expected a Proposal", 0),
        ({"min_free_gb": 1e9}, "GB left, under 1e.09 GB", 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_night_ends_at_its_limit_and_says_which(nightly, limits, reason, count) -> None:
    night = start(nightly, **limits)
    state = n.ended(night)
    assert state["phase"] in ("finished", "stopped")
    assert re.search(reason, state["reason"])
    if count is not None:
        assert len(n.decided(nightly, night)) == count
    assert n.quiet(nightly.path)


def test_a_night_ends_at_once_when_asking_again_cannot_help(nightly) -> None:
    (nightly.path / "fit.py").write_text("print('loss: 5')\n")
    git.call(nightly.path, "commit", "-aqm", "no constants")
    flat = ark.open_campaign(nightly.path, tag="flat", start="HEAD", **n.CONTRACT)
    ark.baseline(flat)
    state = n.ended(start(flat, by=ark.TPE()))
    assert state["reason"].startswith("no proposal can be made: There is no constant for TPE")
    assert "2 times" not in " ".join(state["notes"])


def test_a_keep_gives_a_proposer_that_was_at_its_end_another_state(nightly) -> None:
    night = start(nightly, by=n.satisfied, experiments=3)
    assert n.ended(night)["reason"] == "3 experiments are made"
    assert [record.status for record in n.decided(nightly, night)] == ["keep"] * 3


@pytest.mark.parametrize("wrong", [{"hours": 0}, {"hours": float("inf")}, {"queue": -1}])
def test_a_limit_that_makes_no_sense_is_refused(nightly, wrong) -> None:
    with pytest.raises(errors.CampaignError, match="expected"):
        start(nightly, **wrong)
    assert nights.latest(nightly) is None


def test_somebody_has_to_approve(nightly) -> None:
    with pytest.raises(errors.CampaignError, match="somebody has to decide"):
        ark.overnight(nightly)


def test_a_file_of_the_host_does_not_stand_in_for_a_module(nightly, monkeypatch) -> None:
    (nightly.path / "secrets.py").write_text("raise ImportError('the wrong one')\n")
    monkeypatch.chdir(nightly.path)
    assert n.ended(start(nightly, experiments=1))["phase"] == "finished"


def test_a_terminated_night_goes_on_with_the_same_call(nightly) -> None:
    by = n.List((("SECONDS", 2), ("B", 9)))
    night = start(nightly, experiments=2, by=by)
    until(lambda: n.doing(night, "training")())
    psutil.Process(night.state["pid"]).terminate()
    state = n.ended(night, 10)
    assert state["phase"] == "died"
    assert "was asked to end" in state["reason"]
    assert n.quiet(nightly.path)
    assert start(nightly, by=by) == night
    assert n.ended(night)["reason"] == "2 experiments are made"
    assert [record.hypothesis for record in nightly.records()[1:]] == ["SECONDS = 2", "B = 9"]


@pytest.mark.acceptance
def test_two_nights_take_turns_on_the_device(nightly) -> None:
    second = ark.open_campaign(nightly.path, tag="m", start=nightly)
    both = [start(c, experiments=2) for c in (nightly, second)]
    for night in both:
        assert n.ended(night)["reason"] == "2 experiments are made"
    spans = []
    for campaign in (nightly, second):
        for folder in (campaign.state / "runs").glob("000[12]-0"):
            state = files.read_table(folder / "status.json")
            spans.append((n.moment(state["started"]), n.moment(state["ended"])))
    spans.sort()
    assert len(spans) == 4
    assert all(a[1] <= b[0] + 0.05 for a, b in itertools.pairwise(spans))
