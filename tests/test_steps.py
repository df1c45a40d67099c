"""The four steps on a host that prints its number: idempotence, verdicts and the record in git."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, records
from tests.conftest import PRINTED, git

BETTER = PRINTED.replace("STEPS = 40", "STEPS = 80")
WORSE = PRINTED.replace("STEPS = 40", "STEPS = 5")


@pytest.fixture
def campaign(host: Path, contract) -> ark.Campaign:
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    ark.baseline(campaign)
    return campaign


def run_all(campaign: ark.Campaign, text: str, hypothesis: str = "an edit") -> ark.Score:
    proposal = ark.propose(campaign, by=ark.Human(edit=text), idea=hypothesis)
    return ark.score(ark.train_5min(ark.apply(proposal)))


def test_a_better_change_is_kept_and_moves_the_branch(campaign) -> None:
    score = run_all(campaign, BETTER, "more steps")
    assert score.status == "keep"
    assert score.delta < 0
    assert score.scored_by == "printed"
    assert campaign.best.n == 1
    assert campaign.best.files["fit.py"] == BETTER
    assert git(campaign.path, "rev-parse", campaign.branch) == campaign.best.commit
    assert git(campaign.path, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert (campaign.path / "fit.py").read_text() == PRINTED


def test_a_worse_change_is_discarded_and_stays_in_git(campaign) -> None:
    score = run_all(campaign, WORSE, "fewer steps")
    assert score.status == "discard"
    assert score.delta > 0
    assert campaign.best.n == 0
    shown = git(campaign.path, "show", "autoresearch/nov23/0001")
    assert "discard: fewer steps" in shown
    assert "+STEPS = 5" in shown
    assert git(campaign.path, "rev-parse", campaign.branch) == campaign.start
    git(campaign.path, "gc", "--prune=now", "--quiet")
    assert ark.open_campaign(campaign.path, tag="nov23").experiment(1).files["fit.py"] == WORSE


def test_every_step_returns_what_was_done_before(campaign) -> None:
    proposal = ark.propose(campaign)
    assert ark.propose(campaign).id == proposal.id
    assert ark.propose(campaign, new=True).id != proposal.id
    proposal.approve()
    experiment = ark.apply(proposal)
    assert ark.apply(proposal) == experiment
    run = ark.train_5min(experiment)
    assert ark.train_5min(experiment) == run
    score = ark.score(run)
    assert ark.score(run) == score
    assert ark.baseline(campaign) == ark.baseline(campaign)
    assert ark.propose(campaign).id != proposal.id
    assert [r.n for r in campaign.records()] == [0, 1]


def test_an_undecided_proposal_is_not_applied(campaign) -> None:
    proposal = ark.propose(campaign)
    with pytest.raises(errors.ApprovalPending, match=r"proposal\.approve\(\)") as caught:
        ark.apply(proposal)
    assert len(caught.value._render_traceback_()) == 1
    assert campaign.pending() == [proposal]


def test_a_refused_proposal_is_numbered_and_never_runs(campaign) -> None:
    proposal = ark.propose(campaign)
    with pytest.raises(errors.ProposalError, match="needs a reason"):
        proposal.refuse(" ")
    proposal.refuse("too complex")
    assert proposal.status == "refused"
    with pytest.raises(errors.CampaignError, match="was refused"):
        ark.apply(proposal)
    with pytest.raises(errors.CampaignError, match="a decision stands"):
        proposal.approve()
    record = campaign.records()[1]
    assert (record.status, record.reason, record.value) == ("refused", "too complex", None)
    assert not list((campaign.state / "runs").glob("0001*"))
    assert ark.propose(campaign).id != proposal.id


def test_the_record_holds_what_reading_needs(campaign) -> None:
    run_all(campaign, BETTER, "more steps")
    record = campaign.records()[1]
    assert record.parent == 0
    assert record.author == "Ada Tester <ada@example.org>"
    assert record.approver == record.author
    assert record.constants == {"LEARNING_RATE": 0.05, "STEPS": 80}
    assert (record.lines_added, record.lines_removed) == (1, 1)
    assert record.replicates[0]["seed"] == 1
    assert record.training_seconds > 0
    assert record.rule == "greedy"
    body = git(
        campaign.path, "for-each-ref", "--format=%(contents:body)", records.tag_ref("nov23", 1)
    )
    assert json.loads(body)["value"] == record.value
    kept = records.read_attachments(campaign.path, "nov23", 1)
    assert b"val_loss:" in kept["log.txt"]
    assert b"+STEPS = 80" in kept["proposed.patch"]


def test_a_crash_has_a_reason_and_no_metric(campaign) -> None:
    score = run_all(campaign, PRINTED.replace("slope = 0.0", "slope = None"), "break it")
    assert score.status == "crash"
    assert score.value is None
    assert "TypeError" in score.reason
    assert campaign.best.n == 0
    assert "TypeError" in repr(score)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (PRINTED, errors.NoChange, "leaves the code"),
        (PRINTED + "# a comment\n", errors.NoChange, "comments and layout don't count"),
        (PRINTED + "if\n", errors.ProposalError, "no valid Python in line"),
        (
            {"notes.md": "x\n"},
            errors.ProposalError,
            "'notes.md'; this task lets a proposal change only",
        ),
        (f"x = '{'a' * 210_000}'\n", errors.ProposalError, "make it smaller"),
    ],
)
def test_a_patch_that_cannot_be_an_experiment_costs_nothing(campaign, text, error, words) -> None:
    with pytest.raises(error, match=words):
        ark.propose(campaign, by=ark.Human(edit=text))
    assert len(campaign.records()) == 1
    assert campaign.pending() == []


def test_the_same_code_is_not_tried_twice(campaign) -> None:
    run_all(campaign, WORSE)
    with pytest.raises(errors.Duplicate, match="was experiment 0001 already"):
        ark.propose(campaign, by=ark.Human(edit=WORSE + "# again\n"), new=True)


def test_propose_needs_a_baseline(host, contract) -> None:
    campaign = ark.open_campaign(host, tag="a", **contract)
    with pytest.raises(errors.CampaignError, match=r"ark\.baseline\(campaign\)"):
        ark.propose(campaign)


def test_a_crashing_baseline_is_an_error_and_leaves_no_record(make_host, contract) -> None:
    host = make_host({"fit.py": "raise SystemExit('no data')\n"})
    campaign = ark.open_campaign(host, tag="a", **contract)
    with pytest.raises(errors.CampaignError, match="the baseline crashed"):
        ark.baseline(campaign)
    assert campaign.records() == []


def test_baseline_replicates_get_seeds_of_their_own(host, contract) -> None:
    campaign = ark.open_campaign(host, tag="a", **contract)
    score = ark.baseline(campaign, seeds=3)
    replicates = campaign.records()[0].replicates
    assert [r["seed"] for r in replicates] == [1, 2, 3]
    assert len({r["value"] for r in replicates}) == 3
    assert score.value == pytest.approx(sum(r["value"] for r in replicates) / 3)


def test_a_keep_on_a_parent_that_is_no_longer_best_is_discarded(campaign) -> None:
    slow = ark.apply(ark.propose(campaign, by=ark.Human(edit=BETTER)))
    best = PRINTED.replace("STEPS = 40", "STEPS = 60")
    assert run_all(campaign, best).status == "keep"
    late = ark.score(ark.train_5min(slow))
    assert late.status == "discard"
    assert "nobody measured the two changes together" in late.reason
    assert campaign.best.files["fit.py"] == best


def test_an_open_proposal_on_an_old_parent_is_made_again(campaign) -> None:
    stale = ark.propose(campaign)
    run_all(campaign, BETTER)
    fresh = ark.propose(campaign)
    assert fresh.id != stale.id
    assert fresh.parent == 1


def test_a_commit_on_the_branch_becomes_the_next_experiment(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    (campaign.path / "fit.py").write_text(BETTER)
    git(campaign.path, "commit", "-qam", "by hand: more steps")
    commit = git(campaign.path, "rev-parse", "HEAD")
    proposal = ark.propose(campaign)
    assert proposal.hypothesis == "by hand: more steps"
    assert proposal.status == "approved"
    score = ark.score(ark.train_5min(ark.apply(proposal)))
    assert score.status == "keep"
    assert campaign.best.commit == commit
    assert git(campaign.path, "status", "--porcelain") == ""


def test_a_keep_follows_into_a_clean_checkout_of_the_branch(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    score = run_all(campaign, BETTER)
    assert score.note == ""
    assert (campaign.path / "fit.py").read_text() == BETTER
    assert git(campaign.path, "status", "--porcelain") == ""


def test_a_keep_leaves_a_dirty_checkout_of_the_branch_alone(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    (campaign.path / "notes.md").write_text("mine\n")
    score = run_all(campaign, BETTER)
    assert "git merge --ff-only" in score.note
    assert (campaign.path / "fit.py").read_text() == PRINTED
    assert (campaign.path / "notes.md").read_text() == "mine\n"
    assert campaign.best.n == 1
    follow = ark.propose(campaign)
    assert follow.parent == 1


def _one_experiment(path: Path, tag: str, steps: int, done: multiprocessing.Queue[str]) -> None:
    campaign = ark.open_campaign(path, tag=tag)
    edit = PRINTED.replace("STEPS = 40", f"STEPS = {steps}")
    try:
        proposal = ark.propose(campaign, by=ark.Human(edit=edit))
        done.put(ark.score(ark.train_5min(ark.apply(proposal))).status)
    except Exception as error:
        done.put(repr(error))


def test_two_kernels_on_one_campaign_take_numbers_of_their_own(campaign) -> None:
    spawn = multiprocessing.get_context("spawn")
    done = spawn.Queue()
    kernels = [
        spawn.Process(target=_one_experiment, args=(campaign.path, "nov23", steps, done))
        for steps in (50, 60, 70)
    ]
    for kernel in kernels:
        kernel.start()
    outcomes = sorted(done.get(timeout=120) for _ in kernels)
    for kernel in kernels:
        kernel.join(30)
    assert set(outcomes) <= {"keep", "discard"}
    found = campaign.records()
    assert [r.n for r in found] == [0, 1, 2, 3]
    assert len({r.commit for r in found}) == 4
    keeps = [r for r in found if r.status == "keep" and r.n]
    assert git(campaign.path, "rev-parse", campaign.branch) == campaign.best.commit
    for keep in keeps:
        git(campaign.path, "merge-base", "--is-ancestor", keep.commit, campaign.best.commit)


def test_a_clone_holds_everything_that_was_decided(campaign, tmp_path) -> None:
    run_all(campaign, WORSE)
    git(tmp_path, "clone", "-q", str(campaign.path), "copy")
    copy = ark.open_campaign(tmp_path / "copy", tag="nov23")
    assert [(r.n, r.status, r.value) for r in copy.records()] == [
        (r.n, r.status, r.value) for r in campaign.records()
    ]
    again = ark.score(ark.train_5min(copy.experiment(1)))
    assert again.status == "discard"


def test_seeds_are_injected_only_where_the_script_reads_them(
    make_host: Callable[..., Path], contract
) -> None:
    fixed = PRINTED.replace('int(os.environ.get("SEED", 0))', "7")
    campaign = ark.open_campaign(make_host({"fit.py": fixed}), tag="a", **contract)
    ark.baseline(campaign, seeds=2)
    values = {r["value"] for r in campaign.records()[0].replicates}
    assert len(values) == 1
    assert campaign.records()[0].replicates[0]["seed_injected"] is False


def test_steps_work_from_a_plain_script(host, contract, tmp_path) -> None:
    script = tmp_path / "night.py"
    script.write_text(
        "import sys, autoresearch_kit as ark\n"
        f"campaign = ark.open_campaign({str(host)!r}, tag='s', edit='fit.py', metric='val_loss',\n"
        f"    train=[{sys.executable!r}, 'fit.py'], decide='greedy')\n"
        "ark.baseline(campaign)\n"
        "proposal = ark.propose(campaign, idea='STEPS = 90').approve()\n"
        "print(ark.score(ark.train_5min(ark.apply(proposal))))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "<Score 0001 keep: val_loss" in done.stdout


def test_the_same_number_again_is_no_improvement(campaign) -> None:
    third = PRINTED.replace('{loss:.6f}")', '{2e-3 / 3}")')
    assert run_all(campaign, third).value == 2e-3 / 3
    again = run_all(campaign, campaign.best.files["fit.py"].replace("2e-3 / 3", "4e-3 / 6"))
    assert again.status == "discard"
