"""Campaigns that move between repositories: all of their records, and never over another's."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

import autoresearch_kit as ark
from autoresearch_kit import git, ledger, remotes
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.git import process
from autoresearch_kit.git.remotes import environment
from autoresearch_kit.remotes import Moved, pull, push
from tests.conftest import git as run
from tests.kept import kept_campaign
from tests.stacked import FIT, PRINTED, add

campaign = pytest.fixture(kept_campaign)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    run(tmp_path, "init", "-q", "--bare", "bare.git")
    return tmp_path / "bare.git"


def everything(repo: Path) -> dict[str, str]:
    return git.refs(repo, "refs/")


def of_the_campaign(repo: Path) -> dict[str, str]:
    return {ref: oid for ref, oid in everything(repo).items() if "autoresearch" in ref}


def another(campaign: ark.Campaign, folder: Path) -> ark.Campaign:
    """The campaign in a copy of its repository, as on a second machine."""
    run(folder.parent, "clone", "-q", "--mirror", str(campaign.path), str(folder))
    return ark.open_campaign(folder, tag=campaign.tag)


def test_push_sends_the_campaign_and_nothing_else_and_may_be_repeated(campaign, bare) -> None:
    moved = push(campaign, bare)
    assert of_the_campaign(bare) == of_the_campaign(campaign.path) == everything(bare)
    assert len(everything(bare)) == 1 + 5 + 5
    assert (moved.records, moved.total, moved.branches) == (5, 5, {"s": campaign.best.commit})
    assert repr(moved).startswith(f"<Pushed s to {bare}: 5 of 5 records new, ")
    again = push(campaign, bare)
    assert repr(again) == f"<Pushed s to {bare}: no new record, all 5 were there>"
    add(campaign, {"A": 3}, "keep", 8.0)
    assert push(campaign, bare).records == 1
    assert of_the_campaign(bare) == of_the_campaign(campaign.path)


def test_what_to_type_to_clone_an_empty_repository_after_a_push_is_told(
    campaign, bare, tmp_path
) -> None:
    moved = push(campaign, bare)
    command = moved.notes[0].partition("Type: ")[2]
    assert command == f"git clone --branch autoresearch/s {bare}"
    run(tmp_path, *shlex.split(command)[1:], "clone")
    assert (tmp_path / "clone" / "fit.py").read_text() == campaign.best.files["fit.py"]
    add(campaign, {"A": 3}, "keep", 8.0)
    run(bare, "symbolic-ref", "HEAD", "refs/heads/autoresearch/s")
    assert push(campaign, bare).notes == ()


def test_a_clone_without_the_records_gets_them_by_pull(campaign, bare, tmp_path) -> None:
    push(campaign, f"file://{bare}")
    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", "--no-tags", f"file://{bare}", str(clone))
    run(clone, "config", "remote.origin.tagOpt", "")
    run(clone, "fetch", "-q")
    alone = git.refs(clone, "refs/tags/autoresearch/")
    assert "refs/tags/autoresearch/s/0002" not in alone  # git brings no discards
    moved = pull(clone)
    assert (moved.campaigns, moved.total) == (("s",), 5)
    assert moved.records == 5 - len(alone)
    assert pull(clone).records == 0
    opened = ark.open_campaign(clone, tag="s")
    assert opened.note == "opened"
    assert opened.best.commit == git.resolve(clone, "autoresearch/s") == campaign.best.commit
    theirs, ours = ark.history(clone), ark.history(campaign)
    pd.testing.assert_frame_equal(theirs, ours)
    assert git.read_tree(clone, "autoresearch-files/s/0002") == {}


def test_a_path_begins_where_the_person_is_and_a_name_is_a_remotes(
    campaign, bare, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert push(campaign, "bare.git").remote == str(bare)
    run(campaign.path, "remote", "add", "backup", "../bare.git")
    assert push(campaign, "backup").records == 0
    add(campaign, {"A": 3}, "keep", 8.0)
    assert push(campaign, "backup").records == 1
    assert run(campaign.path, "rev-parse", "backup/autoresearch/s") == campaign.best.commit
    run(tmp_path, "init", "-q", "empty")
    assert pull("empty", "bare.git", tag="s").records == 6
    assert pull(tmp_path / "empty", "bare.git").records == 0


def test_a_server_that_takes_one_ref_after_the_other_is_enough(campaign, bare) -> None:
    run(bare, "config", "receive.advertiseAtomic", "false")
    assert push(campaign, bare).records == 5
    assert everything(bare) == of_the_campaign(campaign.path)


def test_two_repositories_that_both_went_on_move_nothing(campaign, bare, tmp_path) -> None:
    other = another(campaign, tmp_path / "other")
    push(campaign, bare)
    mine = add(campaign, {"A": 2}, "keep", 7.0)
    theirs = add(other, {"A": 1}, "discard", 17.0)
    assert mine.n == theirs.n == 5
    push(campaign, bare)
    before = everything(bare), everything(other.path)
    both = [
        git.refs(c.path, "refs/tags/autoresearch/s/0005").popitem()[1][:7]
        for c in (other, campaign)
    ]
    for move in (push, pull):
        with pytest.raises(CampaignError) as error:
            move(other, bare)
        assert f"0005 is {both[0]} here (discard: {{'A': 1}}) and {both[1]} in" in str(error.value)
        assert "nothing was moved" in str(error.value)
        assert "tag='s-<machine>'" in str(error.value)
        assert (everything(bare), everything(other.path)) == before


def test_attachments_that_differ_are_told_too(campaign, bare) -> None:
    push(campaign, bare)
    tree = git.write_tree(campaign.path, {"log.txt": b"other"})
    run(campaign.path, "update-ref", "refs/tags/autoresearch-files/s/0002", tree)
    with pytest.raises(CampaignError, match="autoresearch-files/s/0002 is"):
        push(campaign, bare)


def test_what_is_tested_here_and_decided_there_is_the_same_or_an_error(
    campaign, bare, tmp_path
) -> None:
    best = campaign.best_record
    commit = git.commit_files(campaign.path, best.commit, {"fit.py": FIT + "\n"}, "same")
    n = ledger.pin(campaign, commit)
    note = push(campaign, bare).notes[-1]
    assert note == "1 undecided here; they move once they are decided."
    other = another(campaign, tmp_path / "other")  # a mirror has the pins as well
    record = ledger.record(
        campaign, n, commit, best.n, best.commit, status="crash", hypothesis="same"
    )
    ledger.write(campaign, record, {})
    push(campaign, bare)
    moved = pull(other, bare)
    assert (moved.records, ledger.pins(other)) == (1, {})
    assert other.records()[-1].status == "crash"

    n = ledger.pin(other, git.commit_files(other.path, best.commit, {"fit.py": FIT * 2}, "mine"))
    add(campaign, {"A": 1}, "discard", 12.0)
    push(campaign, bare)
    with pytest.raises(CampaignError, match=f"{n:04d} is .{{7}} here, undecided, and .{{7}} in"):
        pull(other, bare)
    assert list(ledger.pins(other)) == [n]


def test_a_branch_goes_forward_only(campaign, bare, tmp_path) -> None:
    push(campaign, bare)
    other = another(campaign, tmp_path / "other")
    head = campaign.best.commit
    own = git.commit_files(other.path, head, {"notes.md": "mine"}, "mine")
    run(other.path, "update-ref", "refs/heads/autoresearch/s", own)
    assert pull(other, bare).notes == ()  # further here
    assert push(other, bare).branches == {"s": own}
    moved = push(campaign, bare)
    assert moved.branches == {}
    assert f"--force-with-lease=autoresearch/s:{own}" in moved.notes[0]
    add(campaign, {"A": 3}, "keep", 8.0)
    moved = push(campaign, bare)  # the record all the same
    assert (moved.records, moved.branches) == (1, {})
    run(bare, "update-ref", "refs/heads/autoresearch/s", campaign.best.commit)
    moved = pull(other, bare)
    assert (moved.records, moved.branches) == (1, {})
    assert "has gone two ways" in moved.notes[0]
    assert git.resolve(other.path, "autoresearch/s") == own


def test_a_mirror_neither_forces_nor_is_forced(campaign, tmp_path) -> None:
    other = another(campaign, tmp_path / "other")
    own = git.commit_files(other.path, campaign.best.commit, {"notes.md": "mine"}, "mine")
    run(other.path, "update-ref", "refs/heads/autoresearch/s", own)
    add(campaign, {"A": 3}, "keep", 8.0)
    moved = pull(other)
    assert (moved.records, moved.branches) == (1, {})
    assert git.resolve(other.path, "autoresearch/s") == own
    add(other, {"A": 2}, "discard", 9.0)
    moved = push(other)
    assert (moved.records, moved.branches) == (1, {})
    assert git.resolve(campaign.path, "autoresearch/s") == campaign.best.commit
    assert git.resolve(campaign.path, "main") is not None


def test_a_branch_that_is_checked_out_moves_with_its_files_when_they_are_clean(
    campaign, bare, tmp_path
) -> None:
    push(campaign, bare)
    work = tmp_path / "work"
    run(tmp_path, "clone", "-q", "-b", "autoresearch/s", str(bare), str(work))
    add(campaign, {"A": 3}, "keep", 8.0)
    push(campaign, bare)
    assert pull(work).branches == {"s": campaign.best.commit}
    assert "A = 3" in (work / "fit.py").read_text()
    assert run(work, "status", "--porcelain") == ""
    add(campaign, {"A": 2}, "keep", 7.0)
    push(campaign, bare)
    (work / "fit.py").write_text("mine\n")
    moved = pull(work)
    assert (moved.records, moved.branches) == (1, {})
    assert f"git merge --ff-only {campaign.best.commit[:7]}" in moved.notes[0]
    assert (work / "fit.py").read_text() == "mine\n"


def test_a_remote_that_is_not_there_says_what_to_type(campaign, bare, tmp_path) -> None:
    for remote in ("origin", tmp_path / "nowhere", tmp_path):
        with pytest.raises(GitError, match="remote add origin ADDRESS"):
            push(campaign, remote)
    with pytest.raises(CampaignError, match=r"has no campaign: no tags autoresearch/"):
        pull(campaign.path, bare)
    with pytest.raises(CampaignError, match=r"has no campaign s: no tags"):
        pull(campaign, bare)
    fresh = ark.open_campaign(campaign.path, tag="fresh", **PRINTED)
    with pytest.raises(CampaignError, match="no decided experiment yet"):
        push(fresh, bare)
    assert everything(bare) == {}


def test_what_is_pushed_is_a_campaign(bare) -> None:
    with pytest.raises(CampaignError, match=r"expected a campaign, got 'nov23'; type ark\.push"):
        push("nov23", bare)  # type: ignore[arg-type]


def test_tokens_go_to_servers_only_and_never_into_words(campaign, monkeypatch) -> None:
    secret = "ghp_" + "x1" * 20
    monkeypatch.setenv("GH_TOKEN", secret)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-" + "y2" * 12)
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_ASKPASS", "helper")
    server = environment(campaign.path, "https://example.org/x.git")
    assert (server["GH_TOKEN"], server["GIT_ASKPASS"]) == (secret, "helper")
    assert not {"OPENAI_API_KEY", "GIT_DIR"} & server.keys()
    here = environment(campaign.path, str(campaign.path))
    assert not {"GH_TOKEN", "GIT_ASKPASS", "OPENAI_API_KEY", "GIT_DIR"} & here.keys()
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "file")  # no name is looked up
    with pytest.raises(GitError) as error:
        push(campaign, f"https://ada:{secret}@example.invalid/x.git")
    assert "https://ada:(key)@example.invalid/x.git can't be reached" in str(error.value)
    assert secret not in str(error.value)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let ssh say that it counts, and never come to an end; return the file with its process."""
    noted = tmp_path / "pid"
    script = tmp_path / "slow_ssh"
    script.write_text(
        f"#!{sys.executable}\nimport os, pathlib, sys, time\n"
        f"pathlib.Path({str(noted)!r}).write_text(str(os.getpid()))\n"
        "print('Counting objects:  7% (1/14)', end='\\r', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    script.chmod(0o700)
    monkeypatch.setenv("GIT_SSH", str(script))
    monkeypatch.setenv("GIT_SSH_VARIANT", "simple")
    return noted


def test_an_interrupt_ends_git_and_what_it_started(campaign, slow: Path) -> None:
    def watch(line: str) -> None:
        if "7%" in line and slow.exists():
            raise KeyboardInterrupt

    where = git.Remote("x", "ssh://example.invalid/x.git")
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        git.remote_refs(campaign.path, where, watch=watch)
    assert time.monotonic() - began < 30
    assert gone(int(slow.read_text()))


def gone(pid: int) -> bool:
    """Wait for the end of a process, whether or not somebody has taken note of it."""
    late = time.monotonic() + 30
    while time.monotonic() < late:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_slow_work_is_shown_and_quick_work_is_not(campaign, bare, slow, monkeypatch) -> None:
    shown: list[str] = []

    class Bar:
        def __init__(self, **_: object) -> None:
            shown.append("opened")

        def set_description_str(self, line: str) -> None:
            shown.append(line)
            if "7%" in line:
                raise KeyboardInterrupt

        def close(self) -> None:
            shown.append("closed")

    monkeypatch.setattr(remotes, "tqdm", Bar)
    push(campaign, bare)
    assert shown == []
    monkeypatch.setattr(remotes, "QUIET_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        push(campaign, "ssh://example.invalid/x.git")
    assert shown[0] == "opened"
    assert shown[-2:] == ["Counting objects: 7% (1/14)", "closed"]


def test_git_is_told_to_ask_nothing_where_nobody_sees_it(campaign, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert environment(campaign.path, "https://example.org/x")["GIT_TERMINAL_PROMPT"] == "0"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    assert "GIT_TERMINAL_PROMPT" not in environment(campaign.path, "https://example.org/x")


def test_what_moved_is_a_line_and_a_card() -> None:
    moved = Moved("pulled", ("a", "b"), "x", 2, 1234, "5 KiB", {"a": "0" * 40}, ("stays: <b>",))
    assert repr(moved) == (
        "<Pulled a, b from x: 2 of 1,234 records new, 5 KiB, autoresearch/a now at 0000000>\n"
        "stays: <b>"
    )
    assert "stays: &lt;b&gt;" in moved._repr_html_()
    assert process.own_environment().get("PATH") == os.environ.get("PATH")
