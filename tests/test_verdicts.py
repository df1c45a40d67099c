"""A person's word: other verdicts and older best states, in real repositories."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, ledger
from autoresearch_kit.git import RefsMoved
from autoresearch_kit.proposal import draft
from tests.conftest import git
from tests.shell import environment
from tests.stacked import FIT, PRINTED, add, start, tag_objects


@pytest.fixture
def campaign(make_host: Callable[..., Path]) -> ark.Campaign:
    """0 <- 1 (A = 4) <- 2 (B = 4) <- 3 (A2 = -1), all kept."""
    campaign = start(make_host({"fit.py": FIT, "notes.md": "notes\n"}), **PRINTED)
    for change, value in (({"A": 4}, 9.0), ({"B": 4}, 8.0), ({"A2": -1}, 7.0)):
        add(campaign, change, "keep", value)
    return campaign


def branch(campaign: ark.Campaign) -> str:
    return git(campaign.path, "rev-parse", campaign.branch)


def reopened(campaign: ark.Campaign) -> ark.Campaign:
    return ark.open_campaign(campaign.path, tag="s")


def test_rewind_makes_an_earlier_keep_the_best_and_moves_the_branch(campaign) -> None:
    before = tag_objects(campaign)
    score = ark.rewind(campaign, to=1, reason="a dead end")
    assert (score.n, score.status, score.value, score.note) == (1, "keep", 9.0, "")
    assert campaign.best.n == 1
    assert branch(campaign) == campaign.best.commit
    assert [r.status for r in campaign.records()] == ["keep", "keep", "discard", "discard"]
    assert campaign.records()[3].reason == "was keep: rewound to 0001: a dead end"
    (later,) = campaign.standing().later
    assert (later.n, later.about, later.kind, later.reason) == (4, 1, "rewind", "a dead end")
    assert later.author == later.approver == "Ada Tester <ada@example.org>"
    assert before.items() <= tag_objects(campaign).items()
    assert reopened(campaign).best.n == 1
    git(campaign.path, "gc", "--prune=now", "--quiet")
    assert campaign.experiment(3).files["fit.py"].count("A2 = -1") == 1


@pytest.mark.parametrize(
    ("say", "best"),
    [
        (lambda c: ark.rewind(c, to=1, reason="a dead end"), 1),
        (lambda c: ark.override(c.best, "discard", reason="a cheat"), 2),
        (lambda c: ark.override(c.experiment(4), "keep", reason="fine"), 4),
    ],
)
def test_a_kill_after_the_record_leaves_the_branch_at_the_best(
    campaign, monkeypatch, say, best
) -> None:
    """Both are in one transaction: there is no moment between them."""
    add(campaign, {"A": -50}, "quarantine", -47.0)
    real = ledger.git.update_refs

    def killed(*args: object) -> None:
        real(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger.git, "update_refs", killed)
    with pytest.raises(KeyboardInterrupt):
        say(campaign)
    assert campaign.best.n == best
    assert branch(campaign) == campaign.best.commit


def test_the_same_rewind_again_does_nothing(campaign) -> None:
    first = ark.rewind(campaign, to=campaign.experiment(1), reason="a dead end")
    assert ark.rewind(campaign, to=1, reason="again") == first
    assert len(campaign.standing().later) == 1


def test_the_loop_goes_on_from_where_it_was_rewound_to(campaign) -> None:
    ark.rewind(campaign, to=1, reason="a dead end")
    text = campaign.best.files["fit.py"].replace("A2 = 0", "A2 = -2")
    proposal = ark.propose(campaign, by=ark.Human(edit=text), idea="another way")
    assert proposal.parent == 1
    score = ark.score(ark.train_5min(ark.apply(proposal)))
    assert (score.n, score.status, score.value) == (5, "keep", 7.0)
    assert branch(campaign) == campaign.best.commit
    assert list(campaign.standing().line) == [0, 1, 5]


def test_rewind_leaves_a_branch_that_is_checked_out_and_says_what_to_type(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    at = branch(campaign)
    score = ark.rewind(campaign, to=1, reason="a dead end")
    assert branch(campaign) == at
    assert campaign.best.n == 1
    command = score.note.rpartition("type there: ")[2]
    assert command.startswith("git reset --keep ")
    git(campaign.path, *command.split()[1:])
    assert branch(campaign) == campaign.best.commit
    assert "B = 5" in (campaign.path / "fit.py").read_text()


def test_rewind_leaves_a_branch_with_commits_of_a_person(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    git(campaign.path, "commit", "-qm", "mine", "--allow-empty")
    git(campaign.path, "checkout", "-q", "main")
    at = branch(campaign)
    assert "has other commits" in ark.rewind(campaign, to=1, reason="a dead end").note
    assert branch(campaign) == at


@pytest.mark.parametrize("n", [4, 5])
def test_only_the_line_of_kept_experiments_can_be_rewound_to(campaign, n) -> None:
    add(campaign, {"A": 9}, "discard", 12.0)
    add(campaign, {"A": "x"}, "crash", None)
    with pytest.raises(errors.CampaignError, match=r"line of kept .*: 0000, 0001, 0002, 0003"):
        ark.rewind(campaign, to=n, reason="why not")


def test_a_baseline_that_is_not_scored_can_not_be_rewound_to(make_host) -> None:
    campaign = ark.open_campaign(make_host({"fit.py": FIT}), tag="s", **PRINTED)
    with pytest.raises(errors.CampaignError, match=r"0000 \(undecided\).*nothing yet"):
        ark.rewind(campaign, to=0, reason="why not")


def test_an_override_puts_the_best_state_away_and_back_again(campaign) -> None:
    best = campaign.experiment(3)
    before = tag_objects(campaign)
    score = ark.override(best, "discard", reason="it trains on the validation data")
    assert (score.n, score.status, score.best, score.value) == (3, "discard", 8.0, 7.0)
    assert best.status == "discard"
    assert campaign.best.n == 2
    assert branch(campaign) == campaign.best.commit
    assert ark.override(best, "discard", reason="again").status == "discard"
    back = ark.override(best, "keep", reason="it does not")
    assert (back.status, back.note) == ("keep", "")
    assert campaign.best.n == 3
    assert branch(campaign) == best.commit
    assert [r.kind for r in campaign.standing().later] == ["override", "override"]
    assert before.items() <= tag_objects(campaign).items()


def test_a_kept_quarantine_is_the_best_and_what_is_proposed_on_next(campaign) -> None:
    add(campaign, {"A": -50}, "quarantine", -47.0)
    assert campaign.best.n == 3
    score = ark.override(campaign.experiment(4), "keep", reason="the unit changed")
    assert score.status == "keep"
    assert reopened(campaign).best.n == 4
    proposal = ark.propose(campaign)
    assert proposal.parent == 4
    assert "A = -50" in campaign.best.files["fit.py"]
    assert ark.apply(proposal.approve()).parent == 4


def test_a_kept_quarantine_follows_into_a_clean_checkout(campaign) -> None:
    add(campaign, {"A": -50}, "quarantine", -47.0)
    git(campaign.path, "checkout", "-q", campaign.branch)
    assert ark.override(campaign.experiment(4), "keep", reason="a person looked").note == ""
    assert "A = -50" in (campaign.path / "fit.py").read_text()


def test_a_quarantine_can_be_given_too(campaign) -> None:
    assert ark.override(campaign.best, "quarantine", reason="odd").status == "quarantine"
    assert campaign.best.n == 2


def test_what_was_not_measured_on_the_best_state_can_not_be_kept(campaign) -> None:
    add(campaign, {"A": 1}, "quarantine", 3.0)
    ark.rewind(campaign, to=1, reason="a dead end")
    with pytest.raises(errors.CampaignError, match=r"made on 0003, but the best state is 0001"):
        ark.override(campaign.experiment(4), "keep", reason="please")
    assert campaign.best.n == 1


def test_the_way_to_keep_it_all_the_same_works_when_typed(campaign) -> None:
    add(campaign, {"A": 1}, "quarantine", 3.0)
    add(campaign, {"A": 2}, "keep", 5.0)
    with pytest.raises(errors.CampaignError) as caught:
        ark.override(campaign.experiment(4), "keep", reason="please")
    command = str(caught.value).rpartition("or go back first: ")[2].replace("...", "'to keep 4'")
    exec(command, {"ark": ark, "campaign": campaign})
    assert ark.override(campaign.experiment(4), "keep", reason="please").status == "keep"
    assert campaign.best.n == 4


def test_what_others_build_on_is_rewound_instead(campaign) -> None:
    with pytest.raises(errors.CampaignError, match=r"ark\.rewind\(campaign, to=1, "):
        ark.override(campaign.experiment(2), "discard", reason="a cheat")


@pytest.mark.parametrize(
    ("n", "verdict", "words"),
    [
        (0, "discard", "0000 is the starting point"),
        (4, "keep", r"0004 has no metric \(crash\)"),
        (3, "crash", "verdict='crash'; expected one of: keep, discard, quarantine"),
        (3, "discard", "reason is empty"),
    ],
)
def test_verdicts_that_make_no_sense_are_refused(campaign, n, verdict, words) -> None:
    add(campaign, {"A": "x"}, "crash", None)
    reason = "" if words.startswith("reason") else "because"
    with pytest.raises(errors.CampaignError, match=words):
        ark.override(campaign.experiment(n), verdict, reason=reason)
    assert campaign.standing().later == []


def test_an_undecided_experiment_needs_a_score_first(campaign) -> None:
    experiment = ark.apply(ark.propose(campaign).approve())
    with pytest.raises(errors.CampaignError, match=r"0004 is undecided; run = ark\.train_5min"):
        ark.override(experiment, "keep", reason="please")


def test_history_shows_what_holds_and_notes_who_said_so(campaign) -> None:
    ark.rewind(campaign, to=2, reason="3 was a cheat")
    ark.override(campaign.experiment(2), "discard", reason="that one too")
    df = ark.history(campaign)
    assert list(df["status"][:4]) == ["keep", "keep", "discard", "discard"]
    assert list(df["kind"]) == ["", "", "", "", "rewind", "override"]
    assert list(df["about"][4:]) == [2, 2]
    assert list(df["best_so_far"])[-1] == 9.0
    assert df.attrs["notes"] == [
        "s 0002 was keep; 0005 made it discard: that one too",
        "s 0003 was keep; it is now discard: rewound to 0002: 3 was a cheat",
    ]


def test_a_second_kernel_sees_it_at_once(campaign, tmp_path) -> None:
    loop = (
        "import sys, time, autoresearch_kit as ark\n"
        "campaign = ark.open_campaign(sys.argv[1], tag='s')\n"
        "while True:\n"
        "    print(campaign.best.n, flush=True); sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", loop, str(campaign.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as other:  # fmt: skip
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "3\n"
        ark.rewind(campaign, to=1, reason="a dead end")
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "1\n"
        other.kill()


APPEND = """
import sys, time, autoresearch_kit as ark
from autoresearch_kit import ledger
from autoresearch_kit.git import RefsMoved
from autoresearch_kit.proposal import draft
campaign = ark.open_campaign(sys.argv[1], tag="s")
print("ready", flush=True)
sys.stdin.readline()
for i in range(8):
    if sys.argv[2] == "refuse":
        text = campaign.best.files["fit.py"].replace("A2 = -1", f"A2 = {100 + i}")
        draft(campaign, files={"fit.py": text}, hypothesis="x", author="x").refuse("no")
    else:
        record = campaign.records()[1]
        ledger.append(campaign, ledger.later(campaign, record, "audit", reason=sys.argv[2]), {})
"""


def test_numbers_are_unique_when_several_processes_write_at_once(campaign) -> None:
    """Two that append and one whose refusals get numbers on another way."""
    before = tag_objects(campaign)
    others = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(campaign.path), what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
        )
        for what in ("one", "two", "refuse")
    ]  # fmt: skip
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    for other in others:
        other.communicate("\n", timeout=120)
        assert other.returncode == 0
    standing = campaign.standing()
    told = [record.reason for record in standing.later]
    assert (told.count("one"), told.count("two")) == (8, 8)
    assert sum(r.status == "refused" for r in standing.experiments) == 8
    assert len(tag_objects(campaign)) == len(before) + 24
    assert ledger.pins(campaign) == {}
    numbers = sorted(r.n for r in (*standing.experiments, *standing.later))
    assert numbers == list(range(28))
    assert before.items() <= tag_objects(campaign).items()


def test_a_number_that_was_pinned_a_moment_before_is_not_taken(campaign) -> None:
    pinned = ark.apply(ark.propose(campaign).approve())
    late = ledger.later(campaign, campaign.records()[1], "audit", reason="late")
    with pytest.raises(RefsMoved):
        ledger.write(campaign, dataclasses.replace(late, n=pinned.n), {}, is_later=True)
    assert ledger.pins(campaign) == {pinned.n: pinned.commit}
    assert ledger.append(campaign, late, {})[0].n == pinned.n + 1


def test_a_keep_after_a_rewind_tells_a_checkout_how_to_follow(campaign) -> None:
    git(campaign.path, "checkout", "-q", campaign.branch)
    ark.rewind(campaign, to=1, reason="a dead end")
    add(campaign, {"A2": -9}, "quarantine", 1.0)
    score = ark.override(campaign.experiment(5), "keep", reason="fine")
    command = score.note.rpartition("type: ")[2]
    git(campaign.path, *command.split()[1:])
    assert branch(campaign) == campaign.best.commit


def test_what_was_rewound_stays_tried(campaign) -> None:
    text = campaign.experiment(3).files["fit.py"]
    ark.rewind(campaign, to=2, reason="a dead end")
    with pytest.raises(errors.Duplicate, match="0003"):
        draft(campaign, files={"fit.py": text}, hypothesis="again", author="me")
