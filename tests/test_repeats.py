"""Further runs of what was decided, with real processes on a script that prints its number."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, evidence, files, ledger, noise, records, runs
from tests.conftest import git
from tests.nightly import until
from tests.stacked import (
    CHECK,
    FIT,
    PRINTED,
    SCORED,
    TRAIN,
    Kernel,
    add,
    run_folders,
    start,
    tag_objects,
)

NOISY = FIT.replace("NOISE = 0.0", "NOISE = 0.5")


@pytest.fixture
def campaign(make_host: Callable[..., Path]) -> ark.Campaign:
    """0 <- 1 (A = 3), kept, whose runs differ by half a unit."""
    campaign = start(make_host({"fit.py": NOISY}), **PRINTED)
    add(campaign, {"A": 3}, "keep", 8.0)
    return campaign


@pytest.fixture
def slow(make_host: Callable[..., Path]) -> ark.Campaign:
    """The same, with runs that take long enough to be killed."""
    campaign = start(
        make_host({"fit.py": NOISY.replace("SECONDS = 0.0", "SECONDS = 0.8")}), **PRINTED
    )
    add(campaign, {"A": 3}, "keep", 8.0)
    return campaign


def training(campaign: ark.Campaign) -> list[ark.Run]:
    return [run for run in runs.extra(campaign) if run.status == "training"]


def test_a_repeat_is_counted_as_the_experiments_own(campaign, capsys) -> None:
    before = tag_objects(campaign)
    score = ark.repeat(campaign, 1)
    assert "Repeat of 0001: run 1 of 3, seed 2." in capsys.readouterr().out
    record = campaign.experiment(1).record
    assert [run["seed"] for run in record.replicates] == [1, 2, 3, 4]
    values = [run["value"] for run in record.replicates]
    assert len(set(values)) == 4
    assert score.value == record.value == pytest.approx(statistics.fmean(values))
    assert (score.n, score.status, score.best) == (1, "keep", 10.0)
    assert score.delta == pytest.approx(score.value - 10.0)
    assert noise.of(campaign.records()).freedom == 3
    (later,) = campaign.standing().later
    assert (later.n, later.about, later.kind, later.status) == (2, 1, "repeat", "keep")
    assert later.value == pytest.approx(statistics.fmean(values[1:]))
    assert later.noise == pytest.approx(statistics.stdev(values))
    assert later.reason.startswith("3 further runs: ")
    assert "where 1 before gave 8" in later.reason
    assert b"loss: " in records.read_attachments(campaign.path, "s", 2)["log.txt"]
    assert before.items() <= tag_objects(campaign).items()
    assert git(campaign.path, "rev-parse", campaign.branch) == campaign.best.commit


def test_repeats_go_on_to_new_seeds_and_history_folds_them(campaign) -> None:
    ark.repeat(campaign, campaign.experiment(1), times=1)
    ark.repeat(campaign, 1, times=2)
    df = ark.history(campaign)
    assert list(df["n_replicates"]) == [1, 4, 1, 2]
    assert df.loc[1, "metric"] == df.loc[1, "loss"] == campaign.experiment(1).record.value
    assert list(df["kind"]) == ["", "", "repeat", "repeat"]
    assert df.attrs["notes"] == []
    seeds = [run["seed"] for run in campaign.experiment(1).record.replicates]
    assert seeds == [1, 2, 3, 4]


def test_the_starting_point_and_a_discard_can_be_repeated(campaign) -> None:
    add(campaign, {"A": 7}, "discard", 12.0)
    assert ark.repeat(campaign, 0, times=1).best is None
    assert ark.repeat(campaign, 2, times=1).status == "discard"
    assert [len(r.replicates) for r in campaign.records()] == [2, 1, 2]
    assert campaign.best.n == 1


def test_later_decisions_use_the_repeats_of_the_best(campaign) -> None:
    ark.repeat(campaign, 1, times=3)
    worth = campaign.best_record.value
    by = ark.Human(edit=campaign.best.files["fit.py"].replace("A = 3", "A = 2"))
    score = ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=by))))
    assert score.n == 3
    assert score.best == pytest.approx(worth)


def test_a_killed_repeat_goes_on_where_it_was(slow) -> None:
    code = "ark.repeat(campaign, 1, times=3)"
    Kernel(slow, code).kill(lambda: "again-0001-3" in run_folders(slow))
    assert slow.standing().later == []
    first = (slow.state / "runs" / "again-0001-2" / "status.json").read_bytes()
    ark.repeat(slow, 1, times=3)
    assert (slow.state / "runs" / "again-0001-2" / "status.json").read_bytes() == first
    assert run_folders(slow) == ["again-0001-2", "again-0001-3", "again-0001-4"]
    assert [run["seed"] for run in slow.experiment(1).record.replicates] == [1, 2, 3, 4]
    assert len(slow.standing().later) == 1


def test_an_interrupted_repeat_says_that_the_run_goes_on(slow) -> None:
    kernel = Kernel(slow, "ark.repeat(campaign, 1, times=1)")
    said = kernel.kill(lambda: training(slow), signal.SIGINT)
    assert "only the waiting was interrupted, the run goes on" in said
    assert len(runs.extra(slow)) == 1
    ark.repeat(slow, 1, times=1)
    assert run_folders(slow) == ["again-0001-2"]
    assert runs.extra(slow) == []


def test_a_stopped_repeat_starts_that_run_again(slow) -> None:
    kernel = Kernel(slow, "ark.repeat(campaign, 1, times=1)")
    until(lambda: training(slow))[0].stop()
    assert "the same call goes on" in kernel.said()
    ark.repeat(slow, 1, times=1)
    assert run_folders(slow) == ["again-0001-2", "again-0001-2.stopped1"]
    assert len(slow.experiment(1).record.replicates) == 2


@pytest.mark.acceptance
def test_two_kernels_that_repeat_the_same_make_each_run_once(slow) -> None:
    code = "print(ark.repeat(campaign, 1, times=2))"
    kernels = [Kernel(slow, code), Kernel(slow, code)]
    said = [kernel.said() for kernel in kernels]
    assert all("<Score 0001 keep" in words for words in said)
    assert any("Another process measures the same" in words for words in said)
    assert [run["seed"] for run in slow.experiment(1).record.replicates] == [1, 2, 3]
    assert run_folders(slow) == ["again-0001-2", "again-0001-3"]
    assert len(slow.standing().later) == 1


def test_a_seed_that_crashes_is_told_and_not_tried_again(make_host) -> None:
    text = FIT.replace("time.sleep", 'assert os.environ["SEED"] != "2", "unlucky"\ntime.sleep')
    campaign = start(make_host({"fit.py": text}), **PRINTED)
    score = ark.repeat(campaign, 0, times=1)
    assert (score.status, score.value) == ("keep", 10.0)
    (later,) = campaign.standing().later
    assert (later.status, later.value, later.replicates) == ("crash", None, ())
    assert "no further value; seed 2 crashed" in later.reason
    assert "unlucky" in later.reason
    ark.repeat(campaign, 0, times=1)
    assert [run["seed"] for run in campaign.experiment(0).record.replicates] == [1, 3]


def test_a_broken_scorer_leaves_no_record_and_the_run_is_scored_later(make_host) -> None:
    """The scorer works again when a file that it needs is there."""
    host = make_host({"train.py": TRAIN, "check.py": CHECK})
    key = host / "key"
    text = f"import pathlib\nassert pathlib.Path({str(key)!r}).exists(), 'no key'\n{CHECK}"
    (host / "check.py").write_text(text)
    git(host, "commit", "-qam", "a key")
    campaign = start(host, **SCORED)
    with pytest.raises(errors.ScorerError, match="no key"):
        ark.repeat(campaign, 0, times=1)
    assert campaign.standing().later == []
    key.touch()
    assert ark.repeat(campaign, 0, times=1).value == pytest.approx((10 + 10.02) / 2)
    assert run_folders(campaign) == ["again-0000-2"]
    assert not list((campaign.state / "runs").glob("*/out"))


def test_what_the_scorer_finds_odd_is_told_of_the_starting_point_and_its_repeats(make_host) -> None:
    odd = CHECK.replace('"split": split', '"split": split, "quarantine": "far too\\nlow"')
    host = make_host({"train.py": TRAIN, "check.py": odd})
    campaign = ark.open_campaign(host, tag="s", **SCORED)
    assert ark.baseline(campaign).status == "keep"
    words = "a person must look at seed 1: far too low"
    assert campaign.records()[0].reason == f"the starting point, 1 run; {words}"
    ark.repeat(campaign, 0, times=1)
    assert campaign.standing().later[0].reason.endswith("look at seed 2: far too low")
    assert len(campaign.best_record.replicates) == 2


def test_a_repeat_that_was_lost_for_its_slowness_is_told_so(campaign) -> None:
    """When a second attempt is as slow, it is the code and no busy machine."""
    lost = {"phase": "lost", "slow": True, "tokens_per_second": 70.0}
    files.write_json(campaign.state / "runs" / "again-0001-2.lost1" / "status.json", lost)
    ark.repeat(campaign, 1, times=1)
    spec = files.read_json(campaign.state / "runs" / "again-0001-2" / "run.json")
    assert spec["slow_before"] == [70.0]


def test_losses_row_by_row_of_repeats_are_kept_for_later_decisions(make_host) -> None:
    rows = (
        "import numpy as np\n"
        "np.savez(os.environ['SCORE_DIR'] + '/rows.npz', values=[value], weights=[1.0])\n"
    )
    campaign = start(make_host({"train.py": TRAIN, "check.py": CHECK + rows}), **SCORED)
    ark.repeat(campaign, 0, times=2)
    kept = records.read_attachments(campaign.path, "s", 1)
    assert {"rows-0.npz", "rows-1.npz", "score.json"} <= set(kept)
    best = campaign.best_record
    assert evidence.rows_of(campaign, best) == [kept["rows-0.npz"], kept["rows-1.npz"]]


@pytest.mark.parametrize(
    ("n", "times", "words"),
    [
        (1, 0, "times=0; expected 1 or more"),
        (2, 3, "0002 is crash and has no metric"),
        (3, 3, r"0003 is undecided; type ark\.score\(ark\.train_5min\(experiment\)\) first"),
        (9, 3, "campaign s has no experiment 9; it has 0000 to 0003"),
    ],
)
def test_what_can_not_be_repeated_is_refused(campaign, n, times, words) -> None:
    add(campaign, {"A": "x"}, "crash", None)
    ark.apply(ark.propose(campaign).approve())
    with pytest.raises(errors.CampaignError, match=words):
        ark.repeat(campaign, n, times=times)
    assert run_folders(campaign) == []


def test_a_later_record_is_no_experiment(campaign) -> None:
    ark.repeat(campaign, 1, times=1)
    with pytest.raises(errors.CampaignError, match=r"0002 is no experiment but a repeat of 0001"):
        ark.repeat(campaign, 2)


def test_an_experiment_of_another_campaign_is_not_the_one_with_its_number(campaign) -> None:
    other = ark.open_campaign(campaign.path, tag="t", **PRINTED)
    with pytest.raises(errors.CampaignError, match=r"0001 is of campaign s in .*, not of t in"):
        ark.repeat(other, campaign.experiment(1))
    with pytest.raises(errors.CampaignError, match=r"type campaign\.experiment\(1\)"):
        ark.rewind(other, to=campaign.experiment(1), reason="why not")


def test_a_later_record_of_a_kind_that_only_a_newer_kit_knows_is_no_experiment(campaign) -> None:
    note = ledger.later(campaign, campaign.best_record, "prophecy", reason="none")
    ledger.append(campaign, note, {})
    with pytest.raises(errors.CampaignError, match=r"but a record \(prophecy\) of 0001"):
        campaign.experiment(2)


def test_a_baseline_without_a_score_is_no_starting_point(make_host) -> None:
    campaign = ark.open_campaign(make_host({"fit.py": FIT}), tag="s", **PRINTED)
    with pytest.raises(errors.CampaignError, match=r"type ark\.baseline\(campaign\) first"):
        ark.repeat(campaign, 0)


def test_a_clone_repeats_what_it_never_trained(campaign, tmp_path) -> None:
    git(tmp_path, "clone", "-q", str(campaign.path), "copy")
    copy = ark.open_campaign(tmp_path / "copy", tag="s")
    assert ark.repeat(copy, 1, times=1).n == 1
    assert len(copy.experiment(1).record.replicates) == 2
    assert len(campaign.experiment(1).record.replicates) == 1
