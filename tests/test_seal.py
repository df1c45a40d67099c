"""What numbers depend on beside the code: fingerprints, and what a change of them does."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, records, seal, task
from tests.stacked import CHECK, FIT, PRINTED, SCORED, TRAIN, start

KIT = "autoresearch_kit.tasks.puzzle.score"


@pytest.fixture
def host(make_host: Callable[..., Path]) -> Path:
    files = {"train.py": TRAIN, "check.py": CHECK, "fit.py": FIT, ".gitignore": "data\n"}
    host = make_host(files)
    (host / "data" / "more").mkdir(parents=True)
    (host / "data" / "shift.txt").write_text("0.5")
    (host / "data" / "more" / "rows.txt").write_text("rows")
    return host


@pytest.fixture
def campaign(host: Path) -> ark.Campaign:
    return start(host, value=10.51, data="data", **SCORED)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read from now on."""
    seen: list[str] = []
    real = seal._digest

    def digest(path: Path, size: int, advance: Callable[[int], object]) -> str:
        seen.append(path.name)
        return real(path, size, advance)

    monkeypatch.setattr(seal, "_digest", digest)
    return seen


def run(campaign: ark.Campaign, a: int) -> ark.Score:
    text = re.sub(r"^A = .*", f"A = {a}", campaign.best.files["train.py"], flags=re.MULTILINE)
    by = ark.Human(edit=text)
    proposal = ark.propose(campaign, by=by, idea=str(a))
    return ark.score(ark.train_5min(ark.apply(proposal)))


def goes_on(error: errors.CampaignError, campaign: ark.Campaign) -> ark.Campaign:
    """Type what an error says, and return the campaign that it makes."""
    lines = [line.strip() for line in str(error).splitlines() if line.startswith("    ")]
    names = {"ark": ark, "campaign": campaign}
    exec("\n".join(lines), names)
    made = names["campaign"]
    assert isinstance(made, ark.Campaign)
    return made


def test_a_changed_data_file_stops_the_campaign_and_the_way_on_works(campaign) -> None:
    assert run(campaign, 4).status == "keep"
    shift = campaign.path / "data" / "shift.txt"
    before = shift.read_text()
    shift.write_text("0.1")
    with pytest.raises(errors.CampaignError, match="a change of the data in data") as caught:
        run(campaign, 3)
    assert "can't be compared" in str(caught.value)
    assert [r.n for r in campaign.records()] == [0, 1]
    with pytest.raises(errors.CampaignError, match="a change of the data"):
        ark.repeat(campaign, 0, times=1)
    other = goes_on(caught.value, campaign)
    assert (other.tag, other.settings["decide"]) == ("s-2", "greedy")
    assert other.best.files == campaign.best.files
    assert other.best_record.value == pytest.approx(9.11)
    assert run(other, 3).status == "keep"

    shift.write_text(before)  # the other way: as it was
    assert run(campaign, 3).status == "keep"


def test_the_way_on_names_a_campaign_that_is_not_there_yet(campaign) -> None:
    ark.open_campaign(campaign.path, tag="s-2", data="data", **SCORED)
    (campaign.path / "data" / "new.txt").write_text("more")
    with pytest.raises(errors.CampaignError, match=r"tag='s-3', start=campaign\.best, decide="):
        seal.check(campaign)


def test_a_rule_and_a_proposer_go_along(host) -> None:
    by = ark.TPE()
    campaign = start(host, data="data", by=by, decide=lambda e: "discard", **SCORED)
    (host / "data" / "new.txt").write_text("more")
    with pytest.raises(errors.CampaignError) as caught:
        seal.check(campaign)
    other = goes_on(caught.value, campaign)
    assert other.settings["decide_source"] == campaign.settings["decide_source"]
    assert other.by is campaign.by


def test_the_usual_rule_is_not_spelt_out(host) -> None:
    campaign = ark.open_campaign(host, tag="s", data="data", **SCORED)
    (host / "data" / "new.txt").write_text("more")
    with pytest.raises(errors.CampaignError, match=r"start=campaign\.best\)\n    ark\.baseline"):
        seal.check(campaign)


def test_another_version_of_the_kit_stops_it_too(campaign, monkeypatch) -> None:
    old = campaign.settings["sealed"]["kit"]
    monkeypatch.setattr(seal, "__version__", "99.1")
    with pytest.raises(
        errors.CampaignError, match=rf"the kit's version \({old} -> 99\.1\)"
    ) as caught:
        run(campaign, 4)
    other = goes_on(caught.value, campaign)
    assert other.settings["sealed"]["kit"] == "99.1"
    assert run(other, 4).status == "keep"


def test_a_script_that_prints_its_number_is_checked_as_well(host, monkeypatch) -> None:
    campaign = start(host, data="data", **PRINTED)
    (host / "data" / "more" / "rows.txt").write_text("other rows")
    with pytest.raises(errors.CampaignError, match="a change of the data in data"):
        ark.repeat(campaign, 0, times=1)


def test_all_changes_are_told_at_once(campaign, monkeypatch) -> None:
    (campaign.path / "data" / "new.txt").write_text("more")
    monkeypatch.setattr(seal, "__version__", "99.1")
    with pytest.raises(errors.CampaignError, match=r"the data in data .* and the kit's version "):
        seal.check(campaign)


def test_the_hosts_own_scorer_is_that_of_the_baseline(campaign) -> None:
    """It can't change: a run is scored with the commit that the campaign began at."""
    (campaign.path / "check.py").write_text("raise SystemExit('not asked')\n")
    assert run(campaign, 4).value == pytest.approx(9.51)


def test_the_kits_scorer_is_sealed_without_its_template(host, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(seal, "PACKAGE", tmp_path / "autoresearch_kit")
    folder = tmp_path / "autoresearch_kit" / "tasks" / "puzzle"
    (folder / "template").mkdir(parents=True)
    (folder / "score.py").write_text("def score(): ...\n")
    (folder / "template" / "train.py").write_text("A = 1\n")
    scored = task.make({"name": "puzzle", "edit": ["a.py"], "score": ["python", "-m", KIT]})
    first = seal.of(host, scored)
    assert set(first) == {"kit", "scorer", "sandbox"}
    (folder / "template" / "train.py").write_text("A = 2\n")
    (folder / "notes.md").write_text("words\n")
    assert seal.of(host, scored) == first
    (folder / "helper.py").write_text("x = 1\n")
    before = seal.of(host, scored)["scorer"]
    assert before != first["scorer"]
    other = folder.with_name("riddle")
    other.mkdir()
    (other / "__init__.py").write_text("")
    assert seal.of(host, scored)["scorer"] == before
    (folder / "helper.py").write_text("from autoresearch_kit.tasks import riddle\n")
    named = seal.of(host, scored)["scorer"]
    (other / "rows.py").write_text("ROWS = 3\n")  # read by another task's scorer
    assert seal.of(host, scored)["scorer"] not in (before, named)
    box = tmp_path / "autoresearch_kit" / "sandbox"
    box.mkdir()
    (box / "walls.py").write_text("HIGH = True\n")
    assert seal.of(host, scored)["sandbox"] != first["sandbox"]
    assert "scorer" not in seal.of(host, dataclasses.replace(scored, score=("python", "own.py")))


def test_a_changed_scorer_of_the_kit_says_so(campaign, monkeypatch) -> None:
    now = seal.of(campaign.path, campaign.task)
    monkeypatch.setattr(seal, "of", lambda *_: {**now, "scorer": "0" * 64})
    with pytest.raises(errors.CampaignError, match=r"the kit's scorer \(absent -> 000000000000\)"):
        seal.check(campaign)


def test_a_campaign_of_an_older_version_is_not_checked(campaign) -> None:
    old = {name: value for name, value in campaign.settings.items() if name != "sealed"}
    (campaign.path / "data" / "new.txt").write_text("more")
    seal.check(dataclasses.replace(campaign, settings=old))


def test_unchanged_data_is_read_once(campaign, reads) -> None:
    run(campaign, 4)
    assert reads == []
    rows = campaign.path / "data" / "more" / "rows.txt"
    os.utime(rows)  # touched: read again, and found the same
    seal.check(campaign)
    assert reads == ["rows.txt"]
    seal.check(campaign)
    assert reads == ["rows.txt"]
    (campaign.state / "seal.json").unlink()
    seal.check(campaign)
    assert sorted(reads) == ["rows.txt", "rows.txt", "shift.txt"]


def test_a_change_that_keeps_size_and_time_is_found(campaign, reads) -> None:
    rows = campaign.path / "data" / "more" / "rows.txt"
    old = rows.stat()
    rows.write_text("swor")
    os.utime(rows, ns=(old.st_atime_ns, old.st_mtime_ns))
    with pytest.raises(errors.CampaignError, match="a change of the data"):
        seal.check(campaign)


def test_names_count_and_their_places_but_not_where_the_host_is(host, tmp_path) -> None:
    sealed = task.make({"name": "x", "edit": ["a"], "train": ["true"], "data": ["data"]})
    first = seal.of(host, sealed)
    shutil.copytree(host, tmp_path / "copy")
    assert seal.of(tmp_path / "copy", sealed) == first
    (host / "data" / "more" / "rows.txt").rename(host / "data" / "rows.txt")
    assert seal.of(host, sealed) != first


def test_links_are_followed_and_loops_are_no_trap(host, tmp_path) -> None:
    sealed = task.make({"name": "x", "edit": ["a"], "train": ["true"], "data": ["data"]})
    far = tmp_path / "far"
    far.mkdir()
    (far / "big.bin").write_text("big")
    (host / "data" / "far").symlink_to(far)
    (far / "loop").symlink_to(host / "data")
    first = seal.of(host, sealed)
    (far / "big.bin").write_text("bog")
    assert seal.of(host, sealed) != first


def test_of_a_very_large_file_the_ends_and_the_size_count(host, monkeypatch) -> None:
    monkeypatch.setattr(seal, "WHOLE_BYTES", 100)
    monkeypatch.setattr(seal, "END_BYTES", 10)
    sealed = task.make({"name": "x", "edit": ["a"], "train": ["true"], "data": ["data"]})
    large = host / "data" / "large.bin"

    def of(content: bytes) -> str:
        large.write_bytes(content)
        return seal.of(host, sealed)["data/data"]

    first = of(b"a" * 200)
    assert of(b"a" * 201) != first
    assert of(b"b" + b"a" * 199) != first
    assert of(b"a" * 199 + b"b") != first
    assert of(b"a" * 100 + b"b" + b"a" * 99) == first


def test_reading_that_takes_long_shows_a_bar(host, monkeypatch, capsys) -> None:
    sealed = task.make({"name": "x", "edit": ["a"], "train": ["true"], "data": ["data"]})
    known = host / "seal.json"
    seal.of(host, sealed, known)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(seal, "BAR_BYTES", 1)
    monkeypatch.setattr(seal, "BAR_SECONDS", 0.0)
    seal.of(host, sealed, known)
    assert capsys.readouterr().err == ""
    seal.of(host, sealed)
    assert "fingerprint of data" in capsys.readouterr().err


def test_too_many_files_and_missing_folders_are_errors(host, monkeypatch) -> None:
    sealed = task.make({"name": "x", "edit": ["a"], "train": ["true"], "data": ["data"]})
    monkeypatch.setattr(seal, "MOST_FILES", 1)
    with pytest.raises(errors.TaskError, match="has over 1 files; pack them into fewer"):
        seal.of(host, sealed)
    shutil.rmtree(host / "data")
    with pytest.raises(errors.TaskError, match=r"there is no .*data; make it, or correct it"):
        seal.of(host, sealed)


def test_what_was_sealed_is_in_the_baseline_commit(campaign) -> None:
    sealed = ark.open_campaign(campaign.path, tag="s").settings["sealed"]
    assert set(sealed) == {"kit", "data/data"}
    assert sealed == seal.of(campaign.path, campaign.task)
    assert records.read_all(campaign.path, "s")[0].versions["kit"] == sealed["kit"]
