"""Hostile experiments end as a crash, a refusal, a quarantine or their honest score.

None of them changes anything outside of its run's folder, reaches a server of this machine or
brings out a secret. The attacks are the files in ``attacks/``; `harness` runs them by the real
steps. Slow: each is a run, most of half a second, those on the language model of several.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import autoresearch_kit as ark
from autoresearch_kit import sandbox
from autoresearch_kit.proposers import prompt
from tests.redteam import harness, surroundings

why_not = sandbox.unavailable()
pytestmark = pytest.mark.skipif(
    why_not is not None and os.environ.get("CI") != "true", reason=str(why_not)
)


def cases(host: str) -> list[Any]:
    long = pytest.mark.acceptance
    return [
        pytest.param(attack, id=attack.name, marks=[long] * ("only" in attack.notes))
        for attack in harness.attacks(host)
    ]


def withstand(attack: harness.Attack, target: harness.Range, ground: surroundings.Ground) -> None:
    """Run an attack, and look at all that it may have touched."""
    campaign = target.campaign
    target.forget_keeps()
    before = ground.watched(campaign)
    ground.doors.visited()
    outcome = target.run(attack)

    wrong = [f"it reached a server: {door}" for door in ground.doors.visited()]
    after = ground.watched(campaign)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    wrong += [f"it changed {path}" for path in sorted(changed)]
    wrong += [f"it left {what}" for what in ground.left_behind()]
    wrong += list(misjudged(attack, outcome, target))
    if outcome.n is not None:
        may = attack.notes.get("may", "")
        found = ground.planted.found_in(campaign, outcome.n, may)
        wrong += [f"it brought out {place}: {where}" for place, where in found.items()]
        if outcome.status != "crash":
            wrong += list(overspent(attack, target, outcome.n))
    assert not wrong, f"{'; '.join(wrong)}: {outcome} beside the honest {target.honest}"


def misjudged(
    attack: harness.Attack, outcome: harness.Outcome, target: harness.Range
) -> Iterator[str]:
    """Yield what is wrong with how an attack ended."""
    honest = target.honest
    how = "honest" if outcome.status == "discard" else outcome.status
    if how not in attack.ends:
        yield f"it ended as {how}, expected {' or '.join(attack.ends)}"
    if how == "honest":
        assert outcome.value is not None
        if outcome.value < honest - abs(honest) * target.slack:
            yield f"it gained {honest - outcome.value:.4g} on the honest {honest:.4g}"
    says = attack.notes.get("says", "")
    if how == "crash" and not re.search(says, outcome.reason):
        yield f"its reason is {outcome.reason!r}, expected {says!r}"
    if len(outcome.reason) > 2_500:
        yield f"its reason has {len(outcome.reason)} characters"


def overspent(attack: harness.Attack, target: harness.Range, n: int) -> Iterator[str]:
    """Yield whether a run that counts worked for longer than it may, as it counted itself."""
    path = target.campaign.state / "runs" / f"{n:04d}-0" / "out" / "used.txt"
    if "cpu" in attack.notes and path.is_file():
        total = sum(map(float, path.read_text().split()))
        if total > float(attack.notes["cpu"]):
            yield f"it worked for {total:.2f} CPU seconds, expected {attack.notes['cpu']} at most"


@pytest.mark.parametrize("attack", cases("fast"))
def test_a_compressor_can_not(attack, compressor, ground):
    withstand(attack, compressor, ground)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", [case for case in cases("model") if not case.marks])
def test_a_language_model_can_not(attack, model, ground):
    withstand(attack, model, ground)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("attack", cases("mlx"))
def test_a_model_of_mlx_can_not(attack, mlx, ground):
    withstand(attack, mlx, ground)


@pytest.mark.parametrize("attack", cases("printed"))
def test_a_script_that_prints_its_number_can_not(attack, printed, ground):
    withstand(attack, printed, ground)


@pytest.mark.acceptance
@pytest.mark.timeout(900)
@pytest.mark.parametrize("attack", harness.attacks("model"), ids=lambda attack: attack.name)
def test_at_the_length_of_smoke_it_can_not_either(attack, model, ground):
    withstand(attack, model, ground)


@pytest.mark.parametrize("host", ["compressor", "printed"])
def test_admission_refuses_what_can_be_read_in_the_source(host, request):
    target = request.getfixturevalue(host)
    for attack in harness.attacks({"compressor": "fast"}.get(host, host)):
        if attack.path.suffix == ".py":
            wanted = attack.notes.get("admission", "lets it in")
            kinds = target.refused_kinds(attack)
            assert (wanted in kinds) if wanted != "lets it in" else not kinds, (attack.name, kinds)


# The harness itself: what finds nothing has to be able to find something


def test_without_a_sandbox_the_thief_finds_what_is_planted(compressor, ground):
    known = compressor.known
    code = (harness.FOLDER / "attacks" / "loot.py").read_text() + (
        f"spread(loot({known['HOME']!r}, {known['HOST']!r}, {known['STATE']!r}, "
        f"{known['DATA']!r}, {known['GROUND']!r}, seconds=20))"
    )
    env = {**os.environ, **ground.environment(), "RUN_DIR": str(ground.folder)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    (ground.folder / "found.txt").unlink()
    missed = {
        place
        for place, word in ground.planted.words.items()
        if word not in done.stdout
        and not place.startswith(("process", "server", "model", "val row"))
    }
    assert missed == set()
    words = psutil.Process(ground.secret_process.pid).cmdline()
    assert ground.planted.words["process"] in words


def test_a_visit_to_a_server_is_seen(ground):
    ground.doors.visited()
    with socket.create_connection(("127.0.0.1", ground.doors.port)) as server:
        assert server.recv(100) == ground.planted.words["server"].encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(f"\0{ground.doors.abstract}")
        server.recv(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.sendto(b"x", ("127.0.0.1", ground.doors.port))
    time.sleep(0.1)
    assert sorted(ground.doors.visited()) == ["abstract", "tcp", "udp b'x'"]


def test_a_change_outside_is_seen(compressor, ground):
    before = ground.watched(compressor.campaign)
    for place in (compressor.campaign.path, ground.home, Path(compressor.known["DATA"])):
        (place / "new").write_text("x")
        assert ground.watched(compressor.campaign) != before
        (place / "new").unlink()
    assert ground.watched(compressor.campaign) == before


def test_what_comes_back_is_searched(compressor, ground):
    secret = compressor.campaign.state / "runs" / "0001-0" / "deeper" / "x"
    secret.parent.mkdir()
    secret.write_text("so: " + ground.planted.words["environment"])
    found = ground.planted.found_in(compressor.campaign, 1)
    secret.unlink()
    assert found == {"environment": "0001-0/x"}
    assert ground.planted.found_in(compressor.campaign, 1) == {}


# What people and models read of an attack


def test_words_of_an_experiment_are_shown_as_words(compressor):
    attack = next(a for a in harness.attacks("fast") if a.name == "injection")
    outcome = compressor.run(attack)
    campaign, n = compressor.campaign, outcome.n
    assert n is not None
    page, score = ark.show(campaign, n), ark.score(ark.train_5min(campaign.experiment(n)))
    run = ark.train_5min(campaign.experiment(n))
    things = [page, score, run, campaign.experiment(n), campaign]
    for html in (thing._repr_html_() for thing in things):
        assert "<script" not in html
        assert "<img src=x" not in html
        assert "\x1b" not in html
    for text in (repr(thing) for thing in things):
        assert not any(c in text for c in "\x1b\x07\u202e"), text
    record = campaign.experiment(n).record
    assert record is not None
    assert not any(c in record.reason + record.hypothesis + record.author for c in "\x1b\x07\n")
    asked = prompt.build(campaign, format="edits", budget=20_000)
    assert "Ignore all rules" in asked.user
    assert "<|im_start|>" not in asked.text
    for line in asked.user.splitlines():
        assert not line.startswith(("system", "<script", "Ignore", "</crash"))


def test_an_experiment_keeps_its_own_proposal(compressor):
    for attack in harness.attacks("fast"):
        if attack.name in ("a_proposal_of_another", "author_of_others"):
            record = compressor.campaign.experiment(compressor.run(attack).n).record
            words = attack.notes["hypothesis"].encode().decode("unicode_escape")
            assert record.hypothesis == " ".join(words.split())
            assert record.proposal["id"]
            assert "\n" not in record.author
