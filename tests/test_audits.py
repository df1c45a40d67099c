"""The whole gain measured again, with a scorer of the host's own that knows a test split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import autoresearch_kit as ark
from autoresearch_kit import audits, errors, files, records, runs
from autoresearch_kit.proposers import prompt
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

LUCKY = {"B": 4, "LUCK": -3.0}


@pytest.fixture
def campaign(make_host: Callable[..., Path]) -> ark.Campaign:
    """0 <- 1, kept: better by 4, of which 3 are luck with the validation data."""
    campaign = start(make_host({"train.py": TRAIN, "check.py": CHECK}), **SCORED)
    add(campaign, LUCKY, "keep", 6.0)
    return campaign


def test_an_audit_compares_on_fresh_seeds_and_on_the_sealed_split(campaign, capsys) -> None:
    before = tag_objects(campaign)
    add(campaign, {"A": 9}, "discard", 11.0)
    found = ark.audit(campaign, seeds=2)
    assert "Audit of 0001: start 0000, run 1 of 2." in capsys.readouterr().out
    assert (found.n, found.best) == (3, 1)
    assert found.claimed == 4.0
    assert found.fresh == pytest.approx(4.0)
    assert found.sealed == pytest.approx(1.0)
    assert 0 < found.error < 0.1
    assert found.alarm
    assert "of the claimed gain of 4 over the starting point, 1 ± " in found.reason
    assert "(25 %) is there on the sealed test data" in found.reason
    assert "ark.ablate(campaign)" in found.reason
    assert repr(found).startswith("<Audit 0003 of 0001, alarm: of the claimed")
    assert ">alarm<" in found._repr_html_()
    assert before.items() <= tag_objects(campaign).items()
    assert campaign.best.n == 1
    holds_every_number(campaign, found)
    (row,) = ark.history(campaign).query("kind == 'audit'").itertuples()
    assert row.run_seconds > 0
    assert row.run_seconds == row.setup_seconds + row.training_seconds + row.scoring_seconds


def holds_every_number(campaign: ark.Campaign, found: audits.Audit) -> None:
    (later,) = campaign.standing().later
    assert (later.kind, later.about, later.n, later.value) == ("audit", 1, 3, None)
    assert later.reason == found.reason
    values, seeds = later.evidence["values"], later.evidence["seeds"]
    assert [len(values[who][split]) for who in values for split in ("val", "test")] == [2] * 4
    assert min(seeds) > 1000
    assert values["best"]["val"][0] == pytest.approx(6.0 + seeds[0] % 7 / 100)
    assert values["best"]["test"][0] == pytest.approx(1009.0 + seeds[0] % 7 / 100)
    df = ark.history(campaign)
    assert (df["kind"][3], df["about"][3]) == ("audit", 1)
    assert df["n_replicates"].tolist() == [1, 1, 1, 0]
    assert records.read_attachments(campaign.path, "s", 3) == {}
    assert runs.extra(campaign) == []


@pytest.mark.acceptance
def test_the_same_audit_is_not_made_twice_but_more_seeds_are(campaign) -> None:
    first = ark.audit(campaign, seeds=1)
    folders = run_folders(campaign)
    assert ark.audit(campaign, seeds=1) == first
    assert run_folders(campaign) == folders
    more = ark.audit(campaign, seeds=2)
    assert more.n == first.n + 1
    assert set(folders) < set(run_folders(campaign))
    assert ark.audit(campaign, seeds=1) == more


def test_a_real_gain_is_fine(campaign) -> None:
    add(campaign, {"A": -20}, "keep", -19.0)
    found = ark.audit(campaign, seeds=1)
    assert not found.alarm
    assert found.sealed == pytest.approx(26.0)
    assert "(90 %) is there on the sealed test data" in found.reason


def test_a_script_that_prints_its_number_is_audited_on_fresh_seeds_alone(make_host) -> None:
    noisy = FIT.replace("NOISE = 0.0", "NOISE = 0.2")
    campaign = start(make_host({"fit.py": noisy}), **PRINTED)
    add(campaign, {"A": 1}, "keep", 6.0)
    found = ark.audit(campaign)
    assert found.sealed is None
    assert found.fresh == pytest.approx(4.0)
    assert "is there with fresh seeds" in found.reason
    assert not found.alarm
    assert "none" in found._repr_html_()


def test_a_scorer_that_knows_no_test_split_is_not_taken_for_one(make_host) -> None:
    plain = CHECK.replace('"split": split', '"note": 1').replace("1000.0", "luck")
    campaign = start(make_host({"train.py": TRAIN, "check.py": plain}), **SCORED)
    add(campaign, {"A": 1}, "keep", 6.0)
    assert ark.audit(campaign, seeds=1).sealed is None


def test_higher_may_be_better(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), goal="maximize", **PRINTED)
    add(campaign, {"A": 9}, "keep", 14.0)
    found = ark.audit(campaign, seeds=1)
    assert (found.claimed, found.fresh, found.error, found.alarm) == (4.0, 4.0, 0.0, False)


def test_a_gain_around_zero_is_no_division_by_zero(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), value=0.0, **PRINTED)
    add(campaign, {"A": 6}, "keep", 0.0)  # claimed nothing, and is worse
    found = ark.audit(campaign, seeds=1)
    assert found.claimed == 0.0
    assert found.fresh == -1.0
    assert found.alarm
    assert "%" not in found.reason


@pytest.mark.acceptance
def test_a_killed_audit_goes_on_where_it_was(make_host) -> None:
    slow = TRAIN.replace("SECONDS = 0.0", "SECONDS = 0.6")
    campaign = start(make_host({"train.py": slow, "check.py": CHECK}), **SCORED)
    add(campaign, LUCKY, "keep", 6.0)
    kernel = Kernel(campaign, "ark.audit(campaign, seeds=2)")
    kernel.kill(lambda: len(run_folders(campaign)) == 2)
    assert campaign.standing().later == []
    done = campaign.state / "runs" / next(n for n in run_folders(campaign) if "start" in n)
    first = (done / "status.json").read_bytes()
    found = ark.audit(campaign, seeds=2)
    assert found.sealed == pytest.approx(1.0)
    assert (done / "status.json").read_bytes() == first
    assert len(run_folders(campaign)) == 4
    assert len(campaign.standing().later) == 1


@pytest.mark.acceptance
def test_two_kernels_make_one_audit(campaign) -> None:
    code = "print(ark.audit(campaign, seeds=1).n)"
    kernels = [Kernel(campaign, code), Kernel(campaign, code)]
    assert [kernel.said().split()[-1] for kernel in kernels] == ["2", "2"]
    assert len(campaign.standing().later) == 1


def test_a_run_that_crashes_is_an_error_and_no_finding(make_host) -> None:
    text = FIT.replace("time.sleep", 'assert int(os.environ["SEED"]) < 1000, "odd"\ntime.sleep')
    campaign = start(make_host({"fit.py": text}), **PRINTED)
    add(campaign, {"A": 1}, "keep", 6.0)
    with pytest.raises(errors.CampaignError, match=r"0000 crashed on seed \d+, so the audit"):
        ark.audit(campaign)
    assert campaign.standing().later == []


def test_a_best_state_that_crashes_on_a_fresh_seed_is_an_alarm_once(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    text = FIT.replace("time.sleep", 'assert int(os.environ["SEED"]) < 1000, "odd"\ntime.sleep')
    add(campaign, text.replace("A = 5", "A = 1"), "keep", 6.0)
    found = ark.audit(campaign)
    assert found.alarm
    assert (found.claimed, found.fresh, found.sealed, found.error) == (4.0, None, None, None)
    assert "the claimed gain of 4 over the starting point is not there" in found.reason
    assert "the best state crashes on seed" in found.reason
    assert "odd" in found.reason
    assert "none" in found._repr_html_()
    folders = run_folders(campaign)
    assert ark.audit(campaign) == found
    assert (run_folders(campaign), len(campaign.standing().later)) == (folders, 1)


def test_what_its_scorer_finds_odd_of_the_best_state_is_an_alarm(make_host) -> None:
    odd = '"split": split, "quarantine": value < 9 and "too low"'
    text = CHECK.replace('"split": split', odd).replace("1000.0", "0.0")
    campaign = start(make_host({"train.py": TRAIN, "check.py": text}), **SCORED)
    add(campaign, {"A": 1}, "keep", 6.0)
    found = ark.audit(campaign, seeds=1)
    assert found.alarm
    assert found.sealed == pytest.approx(4.0)
    assert found.reason.endswith("a person must look at the best state: too low")


def test_the_luck_that_the_best_state_was_picked_for_is_not_claimed(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), noise=1.0, **PRINTED)
    worth = {"worth": 8.0, "worth_error": 0.7, "runs": 1}
    add(campaign, {"A": 2.5}, "keep", 5.0, evidence=worth)
    found = ark.audit(campaign, seeds=1)
    assert found.claimed == pytest.approx(2.0)
    assert found.fresh == pytest.approx(2.5)
    assert not found.alarm
    assert "of the claimed gain of 2 (5 with its luck) over the starting point" in found.reason


def test_a_result_of_another_split_is_never_taken_for_the_sealed_one(campaign, monkeypatch) -> None:
    """Killed when only the first of its two files is written; and left so by an older version."""
    real = files.write_json

    def killed(path: Path, table: object) -> None:
        if path.name == "run.json" and path.parent.name.startswith("audit"):
            raise KeyboardInterrupt
        real(path, table)

    monkeypatch.setattr(files, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        ark.audit(campaign, seeds=1)
    monkeypatch.setattr(files, "write_json", real)
    (folder,) = (campaign.state / "runs").glob("audit*")
    assert not (folder / "score.json").exists()
    known = files.read_json(folder / "measured.json")["val"]
    real(folder / "score.json", known)
    real(folder / "run.json", {**files.read_json(folder / "run.json"), "split": "test"})
    assert ark.audit(campaign, seeds=1).sealed == pytest.approx(1.0)


def test_nothing_kept_is_nothing_to_audit(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    with pytest.raises(errors.CampaignError, match=r"ark\.repeat\(campaign, 0\)"):
        ark.audit(campaign)
    with pytest.raises(errors.CampaignError, match="seeds=0; expected 1 or more"):
        ark.audit(campaign, seeds=0)
    assert not audits.due(campaign)


def test_an_audit_is_due_after_ten_keeps_and_the_score_says_so(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    for n in range(1, 10):
        add(campaign, {"A": 5 - n}, "keep", 10.0 - n)
    assert not audits.due(campaign)
    by = ark.Human(edit=campaign.best.files["fit.py"].replace("A = -4", "A = -9"))
    score = ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=by))))
    assert score.note == "10 keeps since the last audit: ark.audit(campaign) is due."
    assert audits.due(campaign)
    ark.audit(campaign, seeds=1)
    assert not audits.due(campaign)
    ark.rewind(campaign, to=3, reason="a dead end")
    assert not audits.due(campaign)


@pytest.mark.acceptance
def test_an_audit_below_a_rewound_one_still_counts(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    for n in range(1, 11):
        add(campaign, {"A": 5 - n}, "keep", 10.0 - n)
    ark.audit(campaign, seeds=1)
    for value in (-0.5, -1.0):
        add(campaign, {"A": value - 5}, "keep", value)
    ark.audit(campaign, seeds=1)
    ark.rewind(campaign, to=10, reason="a dead end")
    assert not audits.due(campaign)
    folders = run_folders(campaign)
    assert ark.audit(campaign, seeds=1).best == 10
    assert run_folders(campaign) == folders


def test_no_proposer_sees_a_figure_of_the_test_split(campaign) -> None:
    """Neither in the prompt nor in what an agent finds in its checkout."""
    found = ark.audit(campaign, seeds=1)
    values = campaign.standing().later[0].evidence["values"]
    assert f"{values['best']['test'][0]:.2f}".startswith("1009.")
    add(campaign, {"A": 3}, "discard", 7.0)
    shown = prompt.build(campaign, format="", budget=100_000).text
    assert "0003" in shown
    for word in ("1009", "audit", "sealed", found.reason):
        assert word not in shown
    look = "grep -rE '1009|sealed' . {prompt_file} | wc -l"
    made = ark.Command(f"echo FOUND = $({look}) >> train.py")(campaign)
    assert made.files["train.py"].endswith("FOUND = 0\n")


@pytest.mark.acceptance
def test_a_language_model_has_a_sealed_split(tmp_path, monkeypatch) -> None:
    """Slow: four real trainings of a few seconds each, and their scoring on two splits."""
    monkeypatch.setenv("AUTORESEARCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    text = str(Path(torch.__file__).parent / "nn" / "modules" / "*.py")
    lab = ark.new_lab(tmp_path / "lab", task="language_model", profile="tiny", data=text)
    campaign = ark.open_campaign(lab, tag="s", decide="greedy")
    ark.baseline(campaign)
    add(campaign, {"BATCH": 1024}, "keep", campaign.best_record.value - 0.1)
    found = ark.audit(campaign, seeds=1)
    (values,) = (record.evidence["values"] for record in campaign.standing().later)
    for who in ("start", "best"):
        assert 0 < abs(values[who]["val"][0] - values[who]["test"][0]) < 1
    assert found.sealed == pytest.approx(values["start"]["test"][0] - values["best"]["test"][0])
    assert found.claimed == pytest.approx(0.1)
