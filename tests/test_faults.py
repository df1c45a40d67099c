"""Faults of the machine and of the scorer: a clear error, and nothing lost."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, files
from autoresearch_kit.proposal import draft
from tests.conftest import PRINTED
from tests.test_kills import CHECK, TRAIN

SUICIDE = TRAIN.replace("time.sleep(0.2)", "os.kill(os.getpid(), 9)")


def open_scored(host: Path) -> ark.Campaign:
    """Start a campaign whose trusted scorer is ``check.py`` of the host."""
    return ark.open_campaign(
        host,
        tag="a",
        edit="fit.py",
        train=[sys.executable, "fit.py"],
        score=["python", "check.py"],
        metric="loss",
    )


@pytest.fixture
def scored(make_host: Callable[..., Path]) -> ark.Campaign:
    """Return a campaign with a trusted scorer of its own, and a scored baseline."""
    host = make_host({"fit.py": TRAIN, "check.py": CHECK})
    campaign = open_scored(host)
    ark.baseline(campaign)
    return campaign


def test_a_scorer_of_ones_own_decides(scored: ark.Campaign) -> None:
    edit = TRAIN.replace("RATE = 0.05", "RATE = 0.03") + 'print("loss: 0.0001")\n'
    score = ark.score(ark.train_5min(ark.apply(ark.propose(scored, by=ark.Human(edit=edit)))))
    assert score.status == "keep"
    assert score.value == pytest.approx(0.01 + 1 / 64)
    assert score.scored_by == "kit"


def test_a_failing_scorer_is_an_error_and_the_run_is_kept(
    make_host: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = "raise SystemExit('no validation rows')"
    first = f"import json, os, time\nif os.path.exists(os.environ['SWITCH']): {switch}"
    failing = CHECK.replace("import json, os, time", first)
    host = make_host({"fit.py": TRAIN, "check.py": failing})
    broken = tmp_path / "broken"
    monkeypatch.setenv("SWITCH", str(broken))
    campaign = open_scored(host)
    ark.baseline(campaign)
    experiment = ark.apply(ark.propose(campaign).approve())
    run = ark.train_5min(experiment)
    broken.touch()
    with pytest.raises(errors.ScorerError, match=r"no validation rows.*ark\.score\(run\)"):
        ark.score(run)
    assert experiment.status == "undecided"
    broken.unlink()
    assert ark.score(run).status in ("keep", "discard")


def test_code_that_kills_itself_is_a_crash_after_some_repeats(scored: ark.Campaign) -> None:
    proposal = ark.propose(scored, by=ark.Human(edit=SUICIDE))
    score = ark.score(ark.train_5min(ark.apply(proposal)))
    assert score.status == "crash"
    assert "killed 5 times" in score.reason


def test_a_run_goes_on_where_its_repository_was_moved_to(host, contract, tmp_path: Path) -> None:
    campaign = ark.open_campaign(host, tag="nov23", **contract)
    ark.baseline(campaign)
    text = campaign.best.files["fit.py"].replace("STEPS = 40", "STEPS = 80")
    ark.train_5min(ark.apply(ark.propose(campaign, by=ark.Human(edit=text))))
    moved = host.rename(tmp_path / "moved")
    campaign = ark.open_campaign(moved, tag="nov23")
    run = ark.train_5min(campaign.experiment(1))
    assert ark.score(run).status == "keep"


def test_a_stopped_run_is_started_again_by_train_only(host, contract) -> None:
    slow = PRINTED.replace("slope = 0.0", "slope = 0.0\nimport time; time.sleep(60)")
    campaign = ark.open_campaign(host, tag="a", **contract)
    ark.baseline(campaign)
    experiment = ark.apply(ark.propose(campaign, by=ark.Human(edit=slow)))
    code = (
        "import sys, autoresearch_kit as ark\n"
        f"ark.train_5min(ark.open_campaign({str(host)!r}, tag='a').experiment(1))\n"
    )
    watcher = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    run = ark.Run(campaign.state / "runs" / "0001-0", 1, "a", 1, 0)
    while run.status != "training":
        assert watcher.poll() is None
        time.sleep(0.05)
    run.stop()
    watcher.wait(30)
    assert run.status == "stopped"
    with pytest.raises(errors.CampaignError, match=r"was stopped.*train_5min"):
        ark.score(run)
    assert experiment.status == "undecided"


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "6m") as folder:
        yield folder


def test_a_full_disk_is_a_clear_error_and_loses_nothing(small_disk: Path, contract) -> None:
    host = small_disk / "host"
    host.mkdir()
    (host / "fit.py").write_text(PRINTED)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", "-C", host, *command], check=True)
    campaign = ark.open_campaign(host, tag="a", **contract)
    with pytest.raises(errors.AutoresearchError, match=r"MB left|no room|No space left"):
        ark.baseline(campaign)
    assert campaign.records() == []
    assert ark.open_campaign(host, tag="a").best.files["fit.py"] == PRINTED


@pytest.mark.parametrize("value", ["null", "NaN", '"0.1"', "true", "1" + 400 * "0"])
def test_a_scorer_without_a_number_is_an_error(make_host: Callable[..., Path], value: str) -> None:
    host = make_host({"fit.py": TRAIN, "check.py": f"print('{{\"value\": {value}}}')\n"})
    campaign = open_scored(host)
    with pytest.raises(errors.ScorerError, match="expected a finite number"):
        ark.baseline(campaign)
    assert campaign.records() == []


def test_what_a_scorer_tells_beside_the_number_is_on_the_card(
    make_host: Callable[..., Path],
) -> None:
    said = '{"value": 0.5, "note": "9 of 10 right\\u001b[2J"}'
    host = make_host({"fit.py": TRAIN, "check.py": f"print({said!r})\n"})
    campaign = open_scored(host)
    ark.baseline(campaign)
    assert campaign.records()[0].evidence == {"note": "9 of 10 right"}
    assert re.search("scorer +9 of 10 right", str(ark.show(campaign, 0)))


def test_what_a_run_leaves_can_neither_hang_nor_mislead_the_kit(scored: ark.Campaign) -> None:
    """A pipe where the kit reads, a link to a secret, and folders thousands deep."""
    secret = scored.path.parent / "secret.json"
    secret.write_text('["sk-secret"]')
    deep = 'os.chdir(os.environ["RUN_DIR"])\nfor _ in range(3000): os.mkdir("d"); os.chdir("d")\n'
    leave = 'left = os.environ["RUN_DIR"] + "/foreign-imports.json"\n'
    tricks = (f"os.mkfifo(left)\n{deep}", f"os.symlink({str(secret)!r}, left)\n")
    for i, trick in enumerate(tricks):
        edit = TRAIN.replace("RATE = 0.05", f"RATE = 0.0{6 + i}") + leave + trick
        score = ark.score(ark.train_5min(ark.apply(ark.propose(scored, by=ark.Human(edit=edit)))))
        assert score.status == "discard", score.reason
    files.remove_tree(scored.state / "runs" / "0001-0")
    assert not (scored.state / "runs" / "0001-0").exists()


def test_an_odd_hypothesis_can_be_refused_and_recorded(scored: ark.Campaign) -> None:
    odd = "a\0b\ud800 \x1b[31m\n--amend 🎉"
    edit = TRAIN.replace("RATE = 0.05", "RATE = 0.03")
    proposal = draft(scored, files={"fit.py": edit}, hypothesis=odd, author="me")
    proposal.refuse("no")
    assert scored.records()[1].hypothesis == "ab? --amend 🎉"
