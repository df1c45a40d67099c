"""A branch of clean commits: what was kept, on the user's own history."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import git, ledger, records
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.exports import export
from autoresearch_kit.records import Record
from tests.conftest import git as run
from tests.kept import kept_campaign
from tests.recorded import record, write
from tests.stacked import PRINTED, add

campaign = pytest.fixture(kept_campaign)


@pytest.fixture
def host(campaign: ark.Campaign) -> Path:
    return campaign.path


def test_a_branch_has_one_clean_commit_for_each_change_that_stands(campaign, host) -> None:
    (host / "notes.md").write_text("being edited\n")
    before = git.refs(host, "refs/"), (host / ".git" / "HEAD").read_text()
    [done] = export(campaign, branch="winner")
    assert "2 commits on" in done.holds
    assert git.refs(host, "refs/") == {**before[0], "refs/heads/winner": done.commit}
    assert ((host / ".git" / "HEAD").read_text(), (host / "notes.md").read_text()) == (
        before[1],
        "being edited\n",
    )
    assert run(host, "rev-parse", "winner~2") == run(host, "rev-parse", "main")
    for commit, n in (("winner~1", 1), ("winner", 4)):
        made = campaign.experiment(n).commit
        assert git.changed_files(host, f"{commit}~1", commit) == ["fit.py"]
        assert git.read_file(host, commit, "fit.py") == git.read_file(host, made, "fit.py")
        people = "--format=%an %ae %at %cn %ce %ct"
        assert run(host, "log", "-1", people, commit) == run(host, "log", "-1", people, made)
    assert run(host, "log", "-1", "--format=%B", "winner~1") == (
        "{'A': 4}\n\n"
        "loss 10.000000 → 9.000000. Gain 1 ± 0.25 (4.0 sigma, 1 run); 0.5 of it\nis believed.\n\n"
        "Experiment: s/0001\nProposed-by: TPE"
    )
    trailers = "--format=%(trailers:key=Experiment,valueonly)%(trailers:key=Proposed-by,valueonly)"
    assert run(host, "log", "-1", trailers, "winner") == "s/0004\nAda <ada@example.org>"


def test_a_branch_may_be_made_again_and_moves_on_with_the_campaign(campaign, host) -> None:
    [first] = export(campaign, branch="winner")
    [again] = export(campaign.path, branch="winner", ref="s")
    assert again.commit == first.commit
    assert again.holds.endswith("there already")
    add(campaign, {"A": 3}, "keep", 6.0)
    [more] = export(campaign, branch="winner")
    assert more.holds.endswith("moved on")
    assert run(host, "rev-parse", "winner~1") == first.commit
    run(host, "checkout", "-q", "winner")
    add(campaign, {"A": 2}, "keep", 5.0)
    with pytest.raises(CampaignError, match=r"is checked out in .*type there: git merge --ff-only"):
        export(campaign, branch="winner")
    assert run(host, "rev-parse", "HEAD") == more.commit


@pytest.mark.parametrize("name", ["main", "theirs", "older"])
def test_a_branch_of_the_users_is_never_moved(campaign, host: Path, name: str) -> None:
    if name == "theirs":
        commit = git.commit_files(host, campaign.start, {"fit.py": "mine\n"}, "mine")
        run(host, "branch", name, commit)
    if name == "older":  # than the start
        run(host, "commit", "-q", "--allow-empty", "-m", "second")
        run(host, "branch", name, "main~1")
        campaign = start_at(campaign, "main")
    before = git.refs(host, "refs/heads/")
    with pytest.raises(CampaignError, match=f"the branch {name} exists and is not what would be"):
        export(campaign, branch=name)
    assert git.refs(host, "refs/heads/") == before


def start_at(campaign: ark.Campaign, ref: str) -> ark.Campaign:
    other = ark.open_campaign(campaign.path, tag="later", start=ref, **PRINTED)
    add(other, {}, "keep", 10.0)
    add(other, {"A": 1}, "keep", 9.0)
    return other


def test_only_the_line_that_stands_is_on_the_branch(campaign, host: Path) -> None:
    best = campaign.best_record
    ledger.append(campaign, ledger.later(campaign, campaign.records()[1], "rewind", reason="x"), {})
    add(campaign, {"A": 3}, "keep", 8.0)
    export(campaign, branch="winner")
    assert run(host, "log", "--format=%s", "main..winner").splitlines() == ["{'A': 3}", "{'A': 4}"]
    assert best is not None
    ledger.append(
        campaign, ledger.later(campaign, best, "override", status="keep", reason="after all"), {}
    )
    export(campaign, branch="again")
    said = " ".join(run(host, "log", "-1", "--format=%b", "again").split())
    assert "It was measured on s/0001, not on s/0006; this commit holds what was measured" in said
    assert git.read_file(host, "again", "fit.py") == campaign.read(best.commit, "fit.py")


def test_a_long_hypothesis_is_cut_in_the_subject_only(campaign, host: Path) -> None:
    long = "value embeddings in every layer\n\nExperiment: s/0001 and many more words " + "w " * 40
    add(campaign, {"A": 2}, "keep", 5.0, hypothesis=long)
    export(campaign, branch="winner")
    subject, _, body = run(host, "log", "-1", "--format=%B", "winner").partition("\n")
    assert len(subject) <= 72
    assert subject.endswith(" …")
    assert " ".join(long.split()) in " ".join(body.split())
    assert run(host, "log", "-1", "--format=%(trailers:key=Experiment,valueonly)", "winner") == (
        "s/0005"
    )


@pytest.mark.parametrize("name", ["-d", "a b", "a..b", "refs/heads/x.lock", ""])
def test_a_branch_needs_a_name_that_git_takes(campaign, name: str) -> None:
    with pytest.raises(CampaignError):
        export(campaign, branch=name)


def test_a_message_tells_only_what_is_known() -> None:
    from autoresearch_kit.winners import message

    old = Record("s", 0, "keep", "c", hypothesis="baseline")
    new = Record("s", 1, "keep", "d", hypothesis="", author="", parent=0, metric="loss")
    assert message(new, old) == (
        "no hypothesis\n\nloss is not known.\n\nExperiment: s/0001\nProposed-by: unknown\n"
    )
    fields = {"value": 3.0, "delta": 0.5, "goal": "maximize", "unit": "points"}
    known = records.Record("s", 1, "keep", "d", hypothesis="x", parent=0, metric="f", **fields)
    assert "\nf 3.000000 points. Gain 0.5 (1 run).\n" in message(known, old)


def test_the_commits_are_made_by_few_git_processes(tmp_path, monkeypatch) -> None:
    """One for each keep and file would be hundreds."""
    found = [record(n, "keep", 1 - n / 100, parent=n - 1 if n else None) for n in range(60)]
    repo = write(tmp_path / "repo", found)
    real, count = subprocess.Popen, []

    def counted(*args, **more):
        count.append(args)
        return real(*args, **more)

    monkeypatch.setattr(subprocess, "Popen", counted)
    [done] = export(repo, branch="winner")
    assert "59 commits" in done.holds
    assert len(count) < 20
