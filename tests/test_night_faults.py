"""What can go wrong in a night: kills, full disks, files in pieces, proposers that misbehave."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sys
import threading
import time
import types
from pathlib import Path

import psutil
import pytest

import autoresearch_kit as ark
from autoresearch_kit import files, ledger, nights, proposal
from autoresearch_kit.evening import MARK
from tests import nightly as n
from tests.conftest import git
from tests.nightly import Worse, until
from tests.test_faults import mounted
from tests.test_kills import processes_of


def start(campaign: ark.Campaign, **more) -> ark.Night:
    return ark.overnight(campaign, **{"approve": "everything", "by": Worse(), **more})


def test_a_killed_night_goes_on_where_it_was(nightly) -> None:
    by = n.List((("B", 8), ("SECONDS", 2), ("B", 9)))
    night = start(nightly, experiments=3, by=by)
    until(lambda: len(n.decided(nightly, night)) == 1 and n.doing(night, "training")())
    n.kill(night)
    assert "was killed" in night.state["reason"]
    assert night.wait(progress=False) == night  # nothing to wait for
    assert start(nightly, experiments=3, by=by) == night
    assert n.ended(night)["reason"] == "3 experiments are made"
    assert [r.hypothesis for r in nightly.records()[1:]] == ["B = 8", "SECONDS = 2", "B = 9"]
    run = files.read_table(nightly.state / "runs" / "0002-0" / "status.json")
    assert run["attempt"] == 1  # it trained on meanwhile
    assert n.made(nightly) == 3


def test_what_a_killed_night_was_testing_comes_before_what_was_proposed_earlier(nightly) -> None:
    by = n.List((("A", 4), ("SECONDS", 2)))
    night = start(nightly, by=by, approve=ark.policies.ask(), queue=2, experiments=2)
    first, second = until(lambda: found if len(found := nightly.pending()) == 2 else None)
    second.approve()
    until(n.doing(night, "training"))
    n.kill(night)
    first.approve()
    ark.overnight(nightly)
    assert n.ended(night)["reason"] == "2 experiments are made"
    found = [(r.n, r.hypothesis, r.status) for r in n.decided(nightly, night)]
    assert found == [(1, "SECONDS = 2", "discard"), (2, "A = 4", "keep")]
    assert n.parents_are_right(nightly)


def test_the_next_night_takes_over_what_a_killed_one_left(nightly) -> None:
    night = start(nightly, approve=ark.policies.ask(minutes=60))
    until(lambda: nightly.pending() and nightly.pending()[0].asked)
    n.kill(night)
    later = start(nightly, experiments=1, again=True)
    n.ended(later)
    assert [r.hypothesis for r in n.decided(nightly, later)] == ["B = 10"]


def test_what_cannot_be_loaded_ends_the_night_with_the_reason(nightly, monkeypatch) -> None:
    module = types.ModuleType("nowhere_else")
    exec("def propose(campaign, *, idea, revises): ...", module.__dict__)
    monkeypatch.setitem(sys.modules, "nowhere_else", module)
    night = start(nightly, by=module.propose, experiments=1)
    state = n.ended(night)
    assert state["phase"] == "died"
    assert "could not begin: ModuleNotFoundError: No module named 'nowhere_else'" in state["reason"]
    assert start(nightly) == night  # with another proposer the same night goes on
    assert n.ended(night)["reason"] == "1 experiments are made"


def test_a_night_finds_its_repository_after_a_move(nightly, tmp_path: Path) -> None:
    night = start(nightly, experiments=2)
    until(lambda: n.decided(nightly, night))
    n.kill(night)
    assert n.quiet(nightly.path)
    nightly.path.rename(tmp_path / "moved")
    moved = ark.open_campaign(tmp_path / "moved", tag="n")
    night = start(moved)
    assert n.ended(night)["reason"] == "2 experiments are made"
    assert night.asked["host"] == str(tmp_path / "moved")


def test_a_night_ends_when_its_repository_is_removed(nightly) -> None:
    night = start(nightly, by=Worse(seconds=60))
    until(lambda: night.state.get("proposing"))
    process = psutil.Process(night.state["pid"])
    shutil.rmtree(nightly.path)
    until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert not nightly.path.exists()


def test_no_process_of_a_proposer_is_left(nightly) -> None:
    night = start(nightly, by=n.messy, experiments=2)

    def left() -> list[psutil.Process]:
        found = psutil.process_iter(["environ"])
        return [p for p in found if (p.info["environ"] or {}).get(MARK) == str(night.dir)]

    until(lambda: len(left()) > 1)
    n.ended(night)
    until(lambda: not left())


@pytest.mark.acceptance
def test_copies_of_a_killed_night_are_not_taken_for_it(nightly) -> None:
    night = start(nightly, by=n.forking, experiments=3)
    until(lambda: n.decided(nightly, night))
    n.kill(night)  # the copies live on, and could hold its lock
    start(nightly, experiments=3)
    assert n.ended(night)["reason"] == "3 experiments are made"
    assert n.quiet(nightly.path)


@pytest.mark.acceptance
def test_a_proposer_that_prints_without_end_fills_no_disk(nightly) -> None:
    night = start(nightly, by=n.talkative, experiments=2)
    n.ended(night)
    assert (night.dir / "log.txt").stat().st_size < 16e6  # of 2 x 12 MB, and what comes last
    assert "the log was cut here" in (night.dir / "log.txt").read_text()[:100]


def test_no_secret_of_the_environment_is_written_down(nightly, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    night = start(nightly, by=n.indiscreet, failures=1)
    assert "the key $OPENAI_API_KEY is wrong" in n.ended(night)["reason"]
    texts = [path.read_bytes() for path in night.dir.rglob("*") if path.is_file()]
    assert len(texts) > 3
    assert not any(b"sk-very-secret" in text for text in texts)


@pytest.mark.parametrize("content", ["[1, 2]", '{"pha'])
def test_files_in_pieces_confuse_nobody(nightly, content: str) -> None:
    night = start(nightly)
    until(lambda: n.decided(nightly, night))
    (night.dir / "wish.json").write_text(content)
    (night.dir / "status.json").write_text(content)
    assert night.status in ("starting", "running")
    until(lambda: night.status == "running")
    n.kill(night)
    (night.dir / "status.json").write_text(content)
    assert night.status == "died"
    assert "ended before its first word" in night.state["reason"]
    (night.dir / "night.json").write_text(content)
    assert nights.latest(nightly) is None


def test_a_full_disk_ends_the_night_with_the_reason(nightly, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "300m") as disk:
        host = shutil.copytree(nightly.path, disk / "host", symlinks=True)
        campaign = ark.open_campaign(host, tag="n")
        night = start(campaign, min_free_gb=0, by=Worse(seconds=0.2))
        until(lambda: n.decided(campaign, night))
        with contextlib.suppress(OSError), (disk / "big").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        state = n.ended(night)
        assert state["phase"] == "stopped"
        assert re.search("no room|No space", state["reason"])
        assert state["counts"] == {"discard": len(n.decided(campaign, night))}
        assert n.quiet(disk)


def faults(campaign: ark.Campaign, count: int, seed: int) -> None:
    """Run a night of `count` experiments in which everything fails at times, and check the books.

    Repeated, it goes on where it was.
    """
    dice = random.Random(seed)
    night = call(campaign, count)
    killed = {"night": 0, "supervisor": 0, "trainer": 0}
    memory: dict[int, list[int]] = {}
    while night.status not in ("finished", "stopped"):
        time.sleep(dice.uniform(0.1, 0.8))
        watch_memory(night, memory)
        if night.status == "died":
            night = call(campaign, count)
        for waiting in campaign.pending():
            answer(waiting, dice)
        kinds = {p: kind(p) for p in processes_of(campaign.path)}
        # The second half of the night is one process, for its memory to be watched.
        first_half = len(n.decided(campaign, night)) < count / 2
        wanted = dice.choice(["night"] * first_half + ["supervisor", "trainer"] + [""] * 6)
        if victims := [p for p, found in kinds.items() if found == wanted]:
            with contextlib.suppress(psutil.NoSuchProcess):
                dice.choice(victims).kill()
                killed[wanted] += 1
    check_books(campaign, night, count)
    growth = max((max(rss) - rss[0]) / 1e6 for rss in memory.values())
    print(f"{count} experiments, killed {killed}, memory growth {growth:.1f} MB")
    assert growth < 50
    assert n.quiet(campaign.path)
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("lends to")])


def call(campaign: ark.Campaign, count: int) -> ark.Night:
    limits = {"experiments": count, "failures": 1000, "queue": 2, "min_free_gb": 0}
    return ark.overnight(campaign, by=n.Faulty(), approve=n.hesitating, **limits)


def watch_memory(night: ark.Night, memory: dict[int, list[int]]) -> None:
    with contextlib.suppress(psutil.Error, KeyError):
        pid = night.state["pid"]
        if sum(night.state["counts"].values()) and night.status == "running":
            memory.setdefault(pid, []).append(psutil.Process(pid).memory_info().rss)


def answer(waiting: proposal.Proposal, dice: random.Random) -> None:
    with contextlib.suppress(ark.errors.CampaignError):  # the night was faster, or moved it
        if waiting.asked and dice.random() < 0.3:
            waiting.approve() if dice.random() < 0.7 else waiting.refuse("not today")


def kind(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        if "autoresearch_kit.shift" in words:
            return "night"
        if "autoresearch_kit.supervisor" in words:
            return "supervisor"
        if words[-1:] == ["fit.py"]:
            return "trainer"
    return "other"


def check_books(campaign: ark.Campaign, night: ark.Night, count: int) -> None:
    """Every experiment and every proposal is accounted for, once."""
    assert night.state["reason"] == f"{count} experiments are made"
    mine = n.decided(campaign, night)
    assert [record.n for record in mine] == list(range(1, count + 1))
    assert len({record.code for record in mine}) == count
    assert n.parents_are_right(campaign)
    assert all((record.value is None) == (record.status in ("crash", "refused")) for record in mine)
    assert ledger.pins(campaign) == {}
    assert list(proposal.unfinished(campaign)) == []
    used = {record.proposal["id"] for record in mine}
    done = {path.name: path for path in (campaign.state / "proposals" / "done").glob("[0-9]*")}
    assert len(used) == count
    assert used <= done.keys()
    for id in done.keys() - used:  # replaced, or in conflict with what was kept meanwhile
        left = proposal.load(campaign, id)
        assert left.successor or left.parent != campaign.best_record.n
    assert sum(night.state["counts"].values()) == count


@pytest.mark.acceptance
def test_a_night_of_faults_keeps_its_books(make_host) -> None:
    host = make_host({"fit.py": n.FIT.replace("SECONDS = 0.0", "SECONDS = 0.2")})
    faults(ark.open_campaign(host, tag="n", **n.CONTRACT), 20, seed=1)


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
def test_a_long_night_of_faults_keeps_its_books() -> None:
    """200 experiments; the host stays, so that a test that was interrupted goes on."""
    host = Path(__file__).parents[1] / "labs" / "acceptance" / "night"
    if not host.exists():
        making = host.with_name(".night")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        (making / "fit.py").write_text(n.FIT.replace("SECONDS = 0.0", "SECONDS = 0.2"))
        git(making, "init", "-q")
        for key, value in (("user.name", "Ada Tester"), ("user.email", "ada@example.org")):
            git(making, "config", key, value)  # a later call goes on without today's settings
        git(making, "add", ".")
        git(making, "commit", "-qm", "first")
        making.rename(host)
    faults(ark.open_campaign(host, tag="n", **n.CONTRACT), 200, seed=2)
