"""Kept changes replayed at another scale: other constants in the same host, or another profile."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, lab, source, task, transfers
from autoresearch_kit.tasks import language_model
from tests.conftest import git
from tests.stacked import FIT, PRINTED, Kernel, add, start, tag_objects, until

# A2 helps at a small scale only; the change of code helps everywhere.
SIZED = FIT.replace("NOISE = 0.0\n", "NOISE = 0.0\nDEPTH = 2\n").replace(
    "return A + A2 + B", "return A + A2 * (3 - DEPTH) + B + 0 / DEPTH"
)


@pytest.fixture
def campaign(make_host: Callable[..., Path]) -> ark.Campaign:
    return stack(start(make_host({"fit.py": SIZED}), **PRINTED))


def stack(campaign: ark.Campaign) -> ark.Campaign:
    """Keep a constant, one that is overwritten, its second value, and a line of code."""
    add(campaign, {"A": 4}, "keep", 9.0)
    add(campaign, {"A2": -1}, "keep", 8.0)
    text = campaign.best.files["fit.py"].replace("+ 0 / DEPTH", "- 2 / DEPTH")
    add(campaign, text, "keep", 7.0)
    return campaign


def test_every_kept_change_is_tried_with_other_constants(campaign, capsys) -> None:
    best, before = campaign.best, tag_objects(campaign)
    df = ark.transfer(campaign, set={"DEPTH": 4})
    assert "Transfer of 0002 to s-depth-4: 2 of 3." in capsys.readouterr().out
    assert list(df) == ["experiment", "hypothesis", "here", "there", "carries", "reason"]
    assert list(df["experiment"]) == [1, 2, 3]
    assert list(df["hypothesis"]) == ["{'A': 4}", "{'A2': -1}", "new code"]
    assert list(df["here"]) == [1.0, 1.0, 1.0]
    assert list(df["there"]) == [1.0, -1.0, 0.5]
    assert list(df["carries"]) == [True, False, True]
    assert df["reason"][1].startswith("worse by 1")
    assert df.attrs == {"campaign": "s-depth-4", "host": str(campaign.path)}
    assert campaign.best == best
    assert before.items() <= tag_objects(campaign).items()

    other = ark.open_campaign(campaign.path, tag="s-depth-4")
    assert other.settings["decide"] == "greedy"
    assert [r.status for r in other.records()] == ["keep", "keep", "discard", "keep"]
    assert other.records()[0].constants["DEPTH"] == 4
    assert other.records()[1].hypothesis == "transfer of 0001: {'A': 4}"
    assert "DEPTH = 4" in other.best.files["fit.py"]
    assert "A = 4" in other.best.files["fit.py"]
    (later,) = campaign.standing().later
    assert (later.kind, later.about) == ("transfer", 3)
    assert later.reason == "2 of 3 kept changes carry over to s-depth-4"
    assert later.evidence["rows"] == df.to_dict("records")
    assert git(campaign.path, "status", "--porcelain") == ""


def test_the_same_again_is_read_and_not_run_and_a_later_keep_is_added(campaign) -> None:
    first = ark.transfer(campaign, set={"DEPTH": 4})
    before = tag_objects(campaign)
    runs = campaign.state.parent / "s-depth-4" / "runs"
    made = sorted(runs.iterdir())
    assert ark.transfer(campaign, set={"DEPTH": 4}).equals(first)
    assert tag_objects(campaign) == before
    assert sorted(runs.iterdir()) == made
    add(campaign, {"B": 1}, "keep", 3.0)
    df = ark.transfer(campaign, set={"DEPTH": 4})
    assert list(df["there"]) == [1.0, -1.0, 0.5, 4.0]
    assert [r.about for r in campaign.standing().later] == [3, 5]


@pytest.mark.acceptance
def test_a_killed_transfer_goes_on_where_it_was(make_host) -> None:
    text = SIZED.replace("SECONDS = 0.0", "SECONDS = 0.6")
    campaign = stack(start(make_host({"fit.py": text}), **PRINTED))
    kernel = Kernel(campaign, "ark.transfer(campaign, set={'DEPTH': 4})")
    runs = campaign.state.parent / "s-depth-4" / "runs"
    until(lambda: (runs / "0001-0").exists())
    with pytest.raises(errors.CampaignError, match="another process works on the transfer to s-de"):
        ark.transfer(campaign, set={"DEPTH": 4})
    kernel.kill(lambda: (runs / "0002-0").exists())
    assert campaign.standing().later == []
    df = ark.transfer(campaign, set={"DEPTH": 4})
    assert list(df["there"]) == [1.0, -1.0, 0.5]
    other = ark.open_campaign(campaign.path, tag="s-depth-4")
    assert [r.n for r in other.records()] == [0, 1, 2, 3]
    assert sorted(p.name for p in runs.glob("[0-9]*")) == ["0000-0", "0001-0", "0002-0", "0003-0"]


def test_constants_that_spell_alike_get_campaigns_of_their_own(make_host) -> None:
    text = SIZED.replace("B = 5", "B = (1, 5)").replace("+ B", "+ sum(B)")
    campaign = start(make_host({"fit.py": text}), **PRINTED)
    add(campaign, {"A": 4}, "keep", 9.0)
    first = ark.transfer(campaign, set={"B": (1, 2)})
    other = ark.transfer(campaign, set={"B": (12,)})
    tags = [df.attrs["campaign"] for df in (first, other)]
    assert tags == ["s-b-12", "s-b-12-no2"]
    starts = [ark.open_campaign(campaign.path, tag=tag).records()[0] for tag in tags]
    assert [record.value for record in starts] == [8.0, 17.0]
    assert ark.transfer(campaign, set={"B": (12,)}).attrs == other.attrs
    assert ark.transfer(campaign, set={"B": (1, 2)}).attrs == first.attrs


def test_what_is_kept_meanwhile_is_not_told_of(campaign, monkeypatch) -> None:
    real = transfers._row

    def row(*args: Any) -> dict[str, Any]:
        if len(campaign.standing().line) == 4:
            add(campaign, {"B": 1}, "keep", 3.0)
        return real(*args)

    monkeypatch.setattr(transfers, "_row", row)
    assert len(ark.transfer(campaign, set={"DEPTH": 4})) == 3
    (later,) = campaign.standing().later
    assert later.about == 3


def test_what_can_not_be_put_there_says_why(make_host) -> None:
    campaign = start(make_host({"fit.py": SIZED}), **PRINTED)
    add(campaign, {"DEPTH": 3}, "keep", 9.0)
    add(campaign, {"A": 4}, "keep", 8.0)
    add(campaign, {"A": 3}, "keep", 7.0)
    df = ark.transfer(campaign, set={"DEPTH": 4, "A": 4})
    assert df.attrs["campaign"] == "s-depth-4-a-4"
    assert list(df["reason"][:2]) == [
        "can't be put there: DEPTH would go from 2 to 3, but here it is 4",
        "changes nothing there",
    ]
    assert list(df["carries"]) == [False, False, True]
    assert df["there"].isna().tolist() == [True, True, False]


def test_what_crashes_there_does_not_carry(make_host) -> None:
    campaign = start(make_host({"fit.py": SIZED}), **PRINTED)
    text = campaign.best.files["fit.py"].replace("+ 0 / DEPTH", "- 1 / (4 - DEPTH)")
    add(campaign, text, "keep", 9.5)
    df = ark.transfer(campaign, set={"DEPTH": 4})
    assert df["there"].isna().all()
    assert "ZeroDivisionError" in df["reason"][0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give either profile='cpu' or set="),
        ({"set": {}}, "give either profile='cpu' or set="),
        ({"set": {"DEPTH": 4}, "profile": "cpu"}, "give either profile='cpu' or set="),
        ({"set": {"DEPTH": 2}}, r"set=\{'DEPTH': 2\} is what the starting point has already"),
        ({"profile": "cpu"}, r"task host has no profiles; give set=\{...\}"),
    ],
)
def test_calls_that_make_no_sense_are_refused(campaign, given, words) -> None:
    with pytest.raises(errors.CampaignError, match=words):
        ark.transfer(campaign, **given)
    assert campaign.standing().later == []


def test_an_unknown_constant_is_told_with_those_there_are(campaign) -> None:
    with pytest.raises(errors.ProposalError, match=r"There is no constant DEPHT.*DEPTH"):
        ark.transfer(campaign, set={"DEPHT": 4})


def test_nothing_kept_is_nothing_to_transfer(make_host) -> None:
    campaign = start(make_host({"fit.py": FIT}), **PRINTED)
    with pytest.raises(errors.CampaignError, match="nothing was kept yet"):
        ark.transfer(campaign, set={"A": 1})


def test_a_rule_of_ones_own_goes_along(make_host) -> None:
    rule = lambda e: ("keep", "all are mine")  # noqa: E731
    campaign = start(make_host({"fit.py": SIZED}), **{**PRINTED, "decide": rule})
    add(campaign, {"A2": -1}, "keep", 9.0)
    df = ark.transfer(campaign, set={"DEPTH": 4})
    assert list(df["carries"]) == [True]
    assert df["reason"][0] == "all are mine"


@pytest.fixture
def puzzle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task with profiles that trains in no time: what a package below ``tasks`` consists of."""
    sizes: dict[str, dict[str, Any]] = {"small": {"DEPTH": 2}, "large": {"DEPTH": 4, "WIDTH": 9}}
    made = task.make({"name": "puzzle", **PRINTED, "edit": ["fit.py"], "train": TRAIN_WORDS})
    template = tmp_path / "tasks" / "puzzle" / "template"
    template.mkdir(parents=True)
    (template / "fit.py").write_text(SIZED)

    def prepare_lab(folder: Path, *, profile: str | None, data: object) -> None:
        options = {"corpus": data} if data else {}
        text = dataclasses.replace(made, profile=profile, options=options).toml()
        (folder / task.FILE).write_text(text)
        known = {k: v for k, v in sizes[str(profile)].items() if f"\n{k} = " in SIZED}
        (folder / "fit.py").write_text(source.set_constants(SIZED, known))

    module = types.ModuleType("autoresearch_kit.tasks.puzzle")
    module.prepare_lab = prepare_lab
    module.constants = lambda profile: sizes[profile]
    monkeypatch.setitem(sys.modules, "autoresearch_kit.tasks.puzzle", module)
    monkeypatch.setattr(lab, "TASKS", tmp_path / "tasks")


TRAIN_WORDS = [sys.executable, "fit.py"]


def test_another_profile_gets_a_lab_of_its_own(puzzle, tmp_path) -> None:
    made = ark.new_lab(tmp_path / "lab", task="puzzle", profile="small", data="words")
    campaign = ark.open_campaign(made, tag="s", decide="greedy")
    add(campaign, {}, "keep", 10.0)
    stack(campaign)
    df = ark.transfer(campaign, profile="large")
    assert list(df["there"]) == [1.0, -1.0, 0.5]
    assert df.attrs == {"campaign": "s-large", "host": f"{campaign.path}-large"}
    other = ark.open_campaign(df.attrs["host"], tag="s-large")
    assert (other.task.profile, other.task.options) == ("large", {"corpus": "words"})
    assert other.records()[0].constants["DEPTH"] == 4
    assert other.settings["decide"] == "greedy"
    assert campaign.standing().later[0].evidence["host"] == df.attrs["host"]
    assert ark.transfer(campaign, profile="large").equals(df)
    with pytest.raises(errors.CampaignError, match="profile='small' is the one that s has"):
        ark.transfer(campaign, profile="small")


def test_a_lab_is_not_opened_for_other_data(puzzle, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    wanted = {"task": "puzzle", "profile": "small"}
    made = ark.new_lab(tmp_path / "lab", data=str(tmp_path / "words.txt"), **wanted)
    for same in (None, "words.txt", str(tmp_path / "words.txt")):
        assert ark.new_lab(tmp_path / "lab", data=same, **wanted) == made
    with pytest.raises(errors.LabError, match=r"was made with data='.*words.txt'; give another"):
        ark.new_lab(tmp_path / "lab", data="other.txt", **wanted)


def test_the_starting_point_there_is_this_ones_at_the_other_sizes(puzzle, tmp_path) -> None:
    """A campaign that began with changed code carries that code, not the template's."""
    made = ark.new_lab(tmp_path / "lab", task="puzzle", profile="small")
    text = (made.path / "fit.py").read_text().replace("B = 5", "B = 1")
    (made.path / "fit.py").write_text(text)
    git(made.path, "commit", "-qam", "mine")
    campaign = ark.open_campaign(made, tag="s", decide="greedy")
    add(campaign, {}, "keep", 6.0)
    add(campaign, {"A": 4}, "keep", 5.0)
    df = ark.transfer(campaign, profile="large")
    other = ark.open_campaign(df.attrs["host"], tag="s-large")
    assert other.records()[0].constants == campaign.records()[0].constants | {"DEPTH": 4}
    assert other.records()[0].value == 6.0


@pytest.mark.acceptance
def test_a_language_model_is_transferred_to_another_size(tmp_path, monkeypatch) -> None:
    """Slow: five real trainings of a few seconds each, and their scoring."""
    import torch

    monkeypatch.setenv("AUTORESEARCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTORESEARCH_DEVICE", "cpu")
    real = language_model.sizes

    def sizes(profile: str) -> dict[str, Any]:
        tiny = real("tiny")
        return tiny | {"train": tiny["train"] | {"DEPTH": 1}} if profile == "flat" else tiny

    monkeypatch.setattr(language_model, "sizes", sizes)
    text = str(Path(torch.__file__).parent / "nn" / "modules" / "*.py")
    made = ark.new_lab(tmp_path / "lab", task="language_model", profile="tiny", data=text)
    campaign = ark.open_campaign(made, tag="s", decide="greedy")
    ark.baseline(campaign)
    by = ark.Human(edit=campaign.best.files["train.py"].replace("BATCH = 512", "BATCH = 1024"))
    score = ark.score(ark.train_5min(ark.apply(ark.propose(campaign, by=by))))
    if score.status != "keep":
        ark.override(campaign.experiment(1), "keep", reason="to have something to transfer")
    df = ark.transfer(campaign, profile="flat")
    other = ark.open_campaign(df.attrs["host"], tag="s-flat")
    assert other.task.options["corpus"] == campaign.task.options["corpus"]
    assert other.records()[0].constants["DEPTH"] == 1
    assert other.records()[1].constants["BATCH"] == 1024
    assert df["there"].notna().all()
    assert ark.transfer(campaign, profile="flat").equals(df)
