"""Opening and starting campaigns, and the errors on the way."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors
from tests.conftest import PRINTED, git


def test_a_campaign_starts_without_touching_the_checkout(host: Path, contract) -> None:
    (host / "fit.py").write_text(PRINTED + "# half an idea\n")
    (host / "scratch.txt").write_text("mine\n")
    before = git(host, "status", "--porcelain")

    campaign = ark.open_campaign(host, tag="nov23", **contract)

    assert git(host, "status", "--porcelain") == before
    assert git(host, "rev-parse", "--abbrev-ref", "HEAD") == "main"
    assert campaign.task.metric == "val_loss"
    assert "edit" in git(host, "show", "autoresearch/nov23:task.toml")
    assert campaign.best.n == 0
    assert campaign.best.files["fit.py"] == PRINTED


def test_opening_again_returns_the_same_campaign_and_names_other_tags(host, contract) -> None:
    first = ark.open_campaign(host, tag="a", **contract)
    ark.open_campaign(host, tag="b", **contract)
    again = ark.open_campaign(host, tag="a")
    assert again == first
    assert "started" in first.note
    assert again.note == "opened; other tags: b"
    assert "other tags: b" in repr(again)


def test_another_contract_needs_another_tag(host, contract) -> None:
    ark.open_campaign(host, tag="a", **contract)
    with pytest.raises(errors.CampaignError, match=r"metric = 'val_loss', not 'other'.*tag="):
        ark.open_campaign(host, tag="a", **{**contract, "metric": "other"})
    with pytest.raises(errors.CampaignError, match="starts only once"):
        ark.open_campaign(host, tag="a", start="HEAD")


def test_a_campaign_starts_where_it_is_told_to(host, contract) -> None:
    first = git(host, "rev-parse", "HEAD")
    (host / "fit.py").write_text(PRINTED.replace("STEPS = 40", "STEPS = 50"))
    git(host, "commit", "-qam", "second")
    old = ark.open_campaign(host, tag="old", start=first, **contract)
    assert "STEPS = 40" in old.best.files["fit.py"]
    new = ark.open_campaign(host, tag="new", **contract)
    assert "STEPS = 50" in new.best.files["fit.py"]
    from_other = ark.open_campaign(host, tag="from", start=old, **contract)
    assert "STEPS = 40" in from_other.best.files["fit.py"]


def test_the_original_needs_no_contract(make_host: Callable[..., Path]) -> None:
    files = dict.fromkeys(("train.py", "prepare.py", "program.md"), "pass\n")
    campaign = ark.open_campaign(make_host(files), tag="mar5")
    assert campaign.task.edit == ("train.py",)
    assert campaign.task.metric == "val_bpb"
    assert campaign.task.scored_by == "printed"


@pytest.mark.parametrize("tag", ["two words", "a/b", "x..y", "", "~", "end.lock"])
def test_a_tag_that_git_refuses(host, contract, tag: str) -> None:
    with pytest.raises(errors.CampaignError, match="tag='nov23'"):
        ark.open_campaign(host, tag=tag, **contract)


def test_hosts_that_are_none(tmp_path: Path, host, contract) -> None:
    with pytest.raises(errors.LabError, match=r"does not exist.*new_lab"):
        ark.open_campaign(tmp_path / "nowhere", tag="a", **contract)
    with pytest.raises(errors.LabError, match="is a file"):
        ark.open_campaign(host / "fit.py", tag="a", **contract)
    (tmp_path / "plain").mkdir()
    with pytest.raises(errors.LabError, match="git init"):
        ark.open_campaign(tmp_path / "plain", tag="a", **contract)
    git(tmp_path, "init", "-q", "empty")
    with pytest.raises(errors.LabError, match="no commit yet"):
        ark.open_campaign(tmp_path / "empty", tag="a", **contract)


def test_a_host_without_a_contract_is_told_what_to_type(host) -> None:
    with pytest.raises(errors.TaskError, match=r"edit='train.py'.*metric="):
        ark.open_campaign(host, tag="a")
    with pytest.raises(errors.TaskError, match="metric= is missing"):
        ark.open_campaign(host, tag="a", edit="fit.py", train="python fit.py")
    with pytest.raises(errors.TaskError, match=r"'gone.py', which is not in commit"):
        ark.open_campaign(host, tag="a", edit="gone.py", train="python x.py", metric="m")
    with pytest.raises(errors.TaskError, match="expected 'minimize' or 'maximize'"):
        ark.open_campaign(host, tag="a", edit="fit.py", train="x", metric="m", goal="down")
    with pytest.raises(errors.TaskError, match="unknown key 'budget'; did you mean 'budget_sec"):
        ark.open_campaign(host, tag="a", edit="fit.py", train="x", metric="m", budget=3)
    with pytest.raises(errors.TaskError, match=r"^unknown key 'wood'; known are name, edit,"):
        ark.open_campaign(host, tag="a", edit="fit.py", train="x", metric="m", wood=3)
    assert git(host, "for-each-ref", "refs/heads").count("\n") == 0


def test_no_git_identity_says_what_to_type(host, contract, monkeypatch, tmp_path) -> None:
    (tmp_path / "gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    with pytest.raises(errors.GitError, match=r"git config --global user\.name"):
        ark.open_campaign(host, tag="a", **contract)


def test_a_bare_clone_is_a_host(host, contract, tmp_path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(host), "bare.git")
    campaign = ark.open_campaign(tmp_path / "bare.git", tag="a", **contract)
    assert campaign.best.files["fit.py"] == PRINTED


def test_a_checked_out_campaign_branch_is_fast_forwarded(host, contract) -> None:
    git(host, "checkout", "-qb", "autoresearch/mar5")
    campaign = ark.open_campaign(host, tag="mar5", **contract)
    assert git(host, "rev-parse", "HEAD") == campaign.start
    assert git(host, "status", "--porcelain") == ""


def test_a_dirty_checkout_of_the_branch_is_left_alone(host, contract) -> None:
    git(host, "checkout", "-qb", "autoresearch/mar5")
    (host / "notes.md").write_text("changed\n")
    at = git(host, "rev-parse", "HEAD")
    ark.open_campaign(host, tag="mar5", **contract)
    assert git(host, "rev-parse", "HEAD") == at
    assert (host / "notes.md").read_text() == "changed\n"


def test_labs_in_the_way(tmp_path: Path, host) -> None:
    with pytest.raises(errors.TaskError, match="kernel, language_model, language_model_mlx"):
        ark.new_lab(tmp_path / "x", task="no_such_task")
    with pytest.raises(errors.LabError, match="is a file"):
        ark.new_lab(host / "fit.py", task="language_model")
    with pytest.raises(errors.LabError, match="not a lab"):
        ark.new_lab(host, task="language_model")
    (host / "task.toml").write_text('name = "fit"\nedit = ["fit.py"]\ntrain = ["x"]\n')
    git(host, "add", "task.toml")
    git(host, "commit", "-qm", "A task of its own")
    with pytest.raises(errors.LabError, match=r"task of its own, fit\..*ark\.open_campaign\("):
        ark.new_lab(host, task="language_model")
    with pytest.raises(errors.TaskError, match="tiny"):
        ark.new_lab(tmp_path / "y", task="language_model", profile="huge")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(
    ("word", "typed"),
    [("{host}/judge.py", "type score='python judge.py'"), ("../judge.py", "Copy it there and t")],
)
def test_a_scorer_is_a_file_of_the_repository(host, contract, word: str, typed: str) -> None:
    (host.parent / "judge.py").write_text("print(1)\n")
    (host / "judge.py").write_text("print(1)\n")
    score = f"python {word.format(host=host)}"
    with pytest.raises(errors.TaskError, match=rf"(?i)read from the disk.*{re.escape(typed)}"):
        ark.open_campaign(host, tag="a", score=score, **contract)


@pytest.mark.parametrize(
    ("wrong", "typed"),
    [
        ('edits = ["fit.py"]', "unknown key 'edits'; did you mean 'edit'?"),
        ('edit = "fit.py"', 'expected a list of strings: edit = ["fit.py"]'),
        ('edit = ["fit.py"]\nscore = "python a.py"', 'score = ["python", "a.py"]'),
        ('edit = ["fit.py"', "not valid TOML"),
    ],
)
def test_a_mistake_in_a_committed_task_says_how_to_mend_it(host, wrong: str, typed: str) -> None:
    (host / "task.toml").write_text(f'name = "x"\ntrain = ["x"]\n{wrong}\n')
    git(host, "add", "task.toml")
    git(host, "commit", "-qm", "A task")
    (host / "task.toml").write_text('name = "x"\nedit = ["fit.py"]\ntrain = ["x"]\n')
    with pytest.raises(errors.TaskError, match=rf"{re.escape(typed)}.*commit [0-9a-f]{{7}} of"):
        ark.open_campaign(host, tag="a")


def test_a_campaign_says_what_it_starts_without(host, contract) -> None:
    (host / "fit.py").write_text("print('another')\n")
    campaign = ark.open_campaign(host, tag="a", **contract)
    assert "(started; without what is not committed in fit.py)" in repr(campaign)
    assert campaign.best.files["fit.py"] == PRINTED
    assert "without" not in repr(ark.open_campaign(host, tag="b", start="HEAD", **contract))


def test_what_short_runs_took_is_told_in_minutes(host, contract) -> None:
    campaign = ark.open_campaign(host, tag="a", **contract)
    ark.baseline(campaign)
    edited = ark.Human(edit=lambda old: old + "print('more')\n")
    ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=edited))))
    assert re.search(r"0\.\d min of runs, another hundred about [\d.]+ min", campaign._repr_html_())


def test_a_task_that_is_not_committed_is_named(host, contract) -> None:
    (host / "task.toml").write_text('name = "x"\nedit = ["fit.py"]\ntrain = ["x"]\n')
    with pytest.raises(errors.TaskError, match=r"task.toml is not in commit .* git add task.toml"):
        ark.open_campaign(host, tag="a")
