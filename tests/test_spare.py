"""What a night does besides experiments, in nights of their own and, for the details, by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, nights, repeats, runs, spare
from tests import nightly as n
from tests.stacked import FIT, PRINTED, Kernel, add, run_folders, start
from tests.test_kills import processes_of

SLOW = FIT.replace("SECONDS = 0.0", "SECONDS = 4.0")


@pytest.fixture
def make(make_host: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., ark.Campaign]]:
    made: list[ark.Campaign] = []

    def make(text: str = FIT, keeps: int = 1, **more: object) -> ark.Campaign:
        made.append(start(make_host({"fit.py": text}), **PRINTED))
        for i in range(keeps):
            add(made[-1], {"A": 4 - i}, "keep", 9.0 - i, **{"training_seconds": 0.0, **more})
        return made[-1]

    yield make
    for campaign in made:
        night = nights.latest(campaign)
        if night is not None and night.status not in nights.ENDED:
            night.stop(now=True)
    for process in processes_of(tmp_path):
        process.kill()


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spare, "LEAST_SECONDS", 0.0)


def night_of(campaign: ark.Campaign, **more: object) -> ark.Night:
    return ark.overnight(campaign, **{"approve": "everything", "by": n.Worse(), **more})


def kinds(campaign: ark.Campaign) -> list[str]:
    return [record.kind for record in campaign.standing().later]


@pytest.mark.acceptance
def test_a_night_that_waits_for_a_person_repeats_the_best_state(make) -> None:
    """Slow: a pause counts as idle from ten seconds on."""
    campaign = make()
    night = night_of(campaign, approve="ask", experiments=1)
    n.until(lambda: kinds(campaign), 60)
    assert kinds(campaign)[0] == "repeat"
    assert campaign.standing().later[0].about == 1
    assert campaign.pending()
    assert not any(r.proposal.get("night") for r in campaign.records())
    campaign.pending()[0].approve()
    assert n.ended(night)["reason"] == "1 experiments are made"
    assert "0001 was run once more: loss 9 now" in "\n".join(night.state["notes"])


def test_a_due_audit_comes_before_the_next_experiment(make) -> None:
    campaign = make(keeps=10)
    night = night_of(campaign, experiments=1)
    assert n.ended(night)["reason"] == "1 experiments are made"
    (audit,) = campaign.standing().later
    assert (audit.kind, audit.about) == ("audit", 10)
    tried = next(r for r in campaign.records() if r.proposal.get("night"))
    assert audit.decided < tried.decided
    assert any(note[6:].startswith("<Audit 001") for note in night.state["notes"])


@pytest.mark.acceptance
def test_an_audit_that_crashes_is_a_note_and_the_night_goes_on(make) -> None:
    text = FIT.replace("time.sleep", 'assert int(os.environ["SEED"]) < 1000, "odd"\ntime.sleep')
    campaign = make(text, keeps=10)
    night = night_of(campaign, experiments=2, failures=1)
    assert n.ended(night)["reason"] == "2 experiments are made"
    told = [note for note in night.state["notes"] if "no audit of 0010" in note]
    assert len(told) == 1
    assert "crashed on seed" in told[0]
    assert kinds(campaign) == []


@pytest.mark.parametrize("now", [False, True])
def test_stop_ends_an_audit_at_once_and_a_persons_own_run_goes_on(make, now) -> None:
    campaign = make(SLOW, keeps=10)
    night = night_of(campaign, experiments=2)
    n.until(lambda: night.state.get("doing") == "audit of 0010")
    assert "audit of 0010" in night.state["line"]
    n.until(lambda: any(run.status == "training" for run in runs.extra(campaign)))
    began = time.monotonic()
    night.stop(now=now)
    assert n.ended(night)["reason"] == "on request"
    assert time.monotonic() - began < 3.5
    assert kinds(campaign) == []
    assert len(campaign.records()) == 11
    assert runs.extra(campaign) == []
    assert len([name for name in run_folders(campaign) if "stopped" in name]) <= 1


@pytest.mark.acceptance
def test_an_audit_goes_on_after_a_pause(make) -> None:
    campaign = make(FIT.replace("SECONDS = 0.0", "SECONDS = 0.5"), keeps=10)
    night = night_of(campaign, experiments=1)
    n.until(lambda: any(run.status == "training" for run in runs.extra(campaign)))
    night.pause()
    n.until(lambda: night.status == "paused" and not night.state.get("doing"))
    assert runs.extra(campaign) == []
    assert kinds(campaign) == []
    night.resume()
    assert n.ended(night)["reason"] == "1 experiments are made"
    assert kinds(campaign) == ["audit"]
    assert not any("no audit" in note for note in night.state["notes"])


@pytest.mark.acceptance
def test_only_runs_of_the_night_are_stopped(make, notes) -> None:
    campaign = make(SLOW)
    own = Kernel(campaign, "print(ark.repeat(campaign, 1, times=1))")
    n.until(lambda: any(run.status == "training" for run in runs.extra(campaign)))
    spare_time = spare.SpareTime(campaign, notes.append)
    spare_time.doing = "audit of 0001"
    spare_time.stop()
    assert len(runs.extra(campaign)) == 1
    assert "<Score 0001 keep" in own.said()


def test_repeats_end_when_there_are_enough(make, notes, idle) -> None:
    campaign = make()
    spare_time = spare.SpareTime(campaign, notes.append)
    while spare_time.repeat():
        pass
    assert len(campaign.best_record.replicates) == spare.ENOUGH_RUNS == 4
    assert kinds(campaign) == ["repeat"] * 3
    assert spare_time.doing == ""


def test_no_repeat_before_the_device_was_idle_as_long_as_a_run_takes(make, notes) -> None:
    campaign = make()
    spare_time = spare.SpareTime(campaign, notes.append)
    assert not spare_time.repeat()
    assert kinds(campaign) == []


@pytest.mark.parametrize(
    "replicates", [(), ({"seed": 1, "value": 9.0, "seed_injected": False},)], ids=["none", "fixed"]
)
def test_what_gives_the_same_number_is_not_repeated(make, notes, idle, replicates) -> None:
    campaign = make(replicates=replicates)
    assert not spare.SpareTime(campaign, notes.append).repeat()


def test_a_run_under_way_is_not_disturbed(make, notes, idle) -> None:
    campaign = make(SLOW)
    runs.start(ark.apply(ark.propose(campaign).approve()), 0)
    assert not spare.SpareTime(campaign, notes.append).repeat()
    assert notes == []


def test_before_the_first_score_nothing_is_done(make_host, notes, idle) -> None:
    campaign = ark.open_campaign(make_host({"fit.py": FIT}), tag="s", **PRINTED)
    spare_time = spare.SpareTime(campaign, notes.append)
    assert not spare_time.repeat()
    assert not spare_time.audit()


def test_a_seed_that_crashes_is_not_followed_by_others(make, notes, idle) -> None:
    campaign = make(FIT.replace("time.sleep", 'assert os.environ["SEED"] == "1"\ntime.sleep'))
    spare_time = spare.SpareTime(campaign, notes.append)
    assert spare_time.repeat()
    assert not spare_time.repeat()
    assert [r.status for r in campaign.standing().later] == ["crash"]
    assert notes == []


@pytest.mark.parametrize("error", [ValueError("a bug"), errors.CampaignError("odd")])
def test_no_error_leaves_the_spare_time(make, notes, idle, monkeypatch, error) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(repeats, "repeat", broken)
    spare_time = spare.SpareTime(make(), notes.append)
    assert spare_time.repeat()
    assert notes == [f"no repeat of 0001: {error}"]
    assert not spare_time.repeat()
