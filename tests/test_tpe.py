"""The optimiser: what it may change, what it is told, and that it never repeats itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import source
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import NoChange, ProposalError
from autoresearch_kit.proposal import finish
from autoresearch_kit.proposers import TPE
from autoresearch_kit.proposers.knobs import knob
from tests.conftest import git
from tests.decided import decide

FIT = """\
RATE = 0.04  # search: 0.01 to 0.2 log
DEPTH = 4  # layers; search: 2 to 8
BATCH = 2**19
BETAS = (0.8, 0.95)
ACT = "relu"  # search: relu | gelu | silu
NAME = "fit"
FLAG = True
FIXED = 3  # search: off
SEED = 1
DATA_SEED = 1
print("loss:", RATE)
"""
TUNED = {"RATE", "DEPTH", "BATCH", "ACT", "FLAG"}

Host = Callable[..., Path]


class Spy(optuna.samplers.RandomSampler):
    """Remember what the study knows when it is asked."""

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed)
        self.trials: list[optuna.trial.FrozenTrial] = []
        self.running: list[optuna.trial.FrozenTrial] = []

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        states = (optuna.trial.TrialState.COMPLETE,)
        self.trials = study.get_trials(states=states)
        running = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        self.running = [other for other in running if other.params]


def begin(host: Path, *edit: str, goal: str = "minimize", value: float = 1.0) -> Campaign:
    campaign = open_campaign(
        host, tag="one", edit=edit, train="python fit.py", metric="loss", goal=goal
    )
    decide(campaign, {}, "keep", value)
    return campaign


def experiment(campaign: Campaign, status: str, value: float | None, **new: Any) -> None:
    decide(campaign, {"fit.py": source.set_constants(FIT, new)}, status, value)


def values_of(text: str) -> dict[str, source.Value]:
    return {name: constant.value for name, constant in source.constants(text).items()}


def changes(old: str, new: str) -> dict[str, source.Value]:
    return {n: v for n, v in values_of(new).items() if v != values_of(old)[n]}


@pytest.fixture
def campaign(make_host: Host) -> Campaign:
    return begin(make_host({"fit.py": FIT}), "fit.py")


@pytest.mark.parametrize("startup", [0, 5])
def test_a_few_constants_change_and_nothing_else_does(campaign: Campaign, startup: int) -> None:
    touched: set[str] = set()
    for seed in range(12):
        proposal = TPE(seed=seed, startup=startup)(campaign)
        new = proposal.files["fit.py"]
        changed = changes(FIT, new)
        assert 1 <= len(changed) <= 3
        assert new == source.set_constants(FIT, changed)
        assert all(f"{name} " in proposal.hypothesis for name in changed)
        assert proposal.author == "TPE"
        assert proposal.status == "open"
        touched |= changed.keys()
    # Asked with nothing but the baseline, TPE holds on to the middle of short integer ranges.
    assert touched == TUNED if startup else touched <= TUNED


def test_the_hypothesis_reads_like_a_change(campaign: Campaign) -> None:
    said = TPE(seed=3)(campaign).hypothesis
    assert re.fullmatch(r"TPE: [A-Z]+ \S+ -> \S+(, [A-Z]+ \S+ -> \S+)*", said)


def test_the_same_history_gives_the_same_proposal_also_in_a_clone(
    campaign: Campaign, tmp_path: Path
) -> None:
    for i in range(7):
        experiment(campaign, "discard", 1.1 + i / 10, RATE=0.05 + i / 100, DEPTH=2 + i)
    git(tmp_path, "clone", "-q", str(campaign.path), "copy")
    clone = open_campaign(tmp_path / "copy", tag="one")
    here, there = TPE()(campaign), TPE()(clone)
    assert here.files == there.files
    assert TPE(seed=1)(campaign).files != here.files
    experiment(campaign, "discard", 1.5, RATE=0.19)
    assert TPE()(campaign).files != here.files


def test_each_number_draws_afresh(campaign: Campaign) -> None:
    for _ in range(3):
        proposal = TPE(seed=5)(campaign)
        assert proposal.rejected == 0
        decide(campaign, proposal.files, "discard", 2.0)


def test_an_open_proposal_is_not_proposed_again(campaign: Campaign) -> None:
    seen = [TPE()(campaign).files["fit.py"] for _ in range(4)]
    assert len(set(seen)) == 4


def test_an_exhausted_space_says_so(make_host: Host) -> None:
    text = "A = True\nB = 'x'  # search: x | y\nprint('loss:', A, B)\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    tried = set()
    for _ in range(3):
        proposal = TPE(startup=2)(campaign)
        tried.add(tuple(values_of(proposal.files["fit.py"]).values()))
        decide(campaign, proposal.files, "discard", 2.0)
    assert tried == {(True, "y"), (False, "x"), (False, "y")}
    with pytest.raises(ProposalError, match=r"each was tried before \(4 experiments\)") as caught:
        TPE(startup=2)(campaign)
    assert caught.value.kind == "lasting"


def test_repeats_that_were_drawn_are_counted(make_host: Host) -> None:
    text = "A = 'p'  # search: p | q | r\nprint('loss:', A)\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    decide(campaign, {"fit.py": text.replace("'p'", "'q'")}, "discard", 2.0)
    rejected = set()
    for seed in range(8):
        proposal = TPE(seed=seed)(campaign)
        assert values_of(proposal.files["fit.py"]) == {"A": "r"}
        rejected.add(proposal.rejected)
        finish(campaign, proposal.id)
    assert rejected == {0, 1}


@pytest.mark.parametrize(
    "sampler", [optuna.samplers.QMCSampler, optuna.samplers.RandomSampler(seed=1), Spy]
)
def test_any_sampler_of_optuna_will_do(campaign: Campaign, sampler: Any) -> None:
    before = optuna.logging.get_verbosity()
    proposal = TPE(sampler=sampler, startup=0, most=None)(campaign)
    assert changes(FIT, proposal.files["fit.py"]).keys() <= TUNED
    assert optuna.logging.get_verbosity() == before


def test_proposers_are_told_apart_by_what_differs(campaign: Campaign) -> None:
    assert repr(TPE()) == "TPE()"
    assert repr(TPE(sampler=Spy(), seed=3)) == repr(TPE(sampler=Spy(), seed=3))
    assert repr(TPE(sampler=Spy, seed=3)) == "TPE(sampler=Spy, seed=3)"
    assert TPE(sampler=Spy)(campaign).author == "Spy"


def test_the_far_end_of_a_short_range_is_found(make_host: Host) -> None:
    text = "A = 2  # search: 2 to 8\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    for value in range(3, 8):
        decide(campaign, {"fit.py": text.replace("= 2", f"= {value}")}, "discard", 2.0)
    assert values_of(TPE()(campaign).files["fit.py"]) == {"A": 8}


def test_it_is_silent(campaign: Campaign, capfd: pytest.CaptureFixture[str]) -> None:
    TPE(startup=0)(campaign)
    assert capfd.readouterr() == ("", "")


def test_a_bowl_is_descended(make_host: Host) -> None:
    """A real campaign of 30 experiments whose results are computed here."""
    text = "".join(f"C{i} = {value}\n" for i, value in enumerate((1.5, 0.3, 20, 0.05)))
    optimum = {"C0": 2.6, "C1": 0.2, "C2": 26, "C3": 0.03}

    def loss(new: str) -> float:
        now = values_of(new)
        return sum(math.log2(float(now[k]) / v) ** 2 for k, v in optimum.items())  # type: ignore[arg-type]

    campaign = begin(make_host({"fit.py": text}), "fit.py", value=loss(text))
    best = start = loss(text)
    for _ in range(30):
        new = TPE(seed=0)(campaign).files
        value = loss(new["fit.py"])
        decide(campaign, new, "keep" if value < best else "discard", value)
        best = min(best, value)
    assert best < 0.3 * start


def test_constants_of_several_files_are_told_apart(make_host: Host) -> None:
    conf = "RATE = 8\nMORE = 2.0\n"
    host = make_host({"fit.py": "RATE = 0.1\n", "conf.py": conf, "a.md": "A = 1"})
    campaign = begin(host, "fit.py", "conf.py", "a.md")
    proposal = TPE()(campaign, idea="conf.py:RATE = 9\nMORE=3")
    assert proposal.files == {"conf.py": "RATE = 9\nMORE = 3.0\n"}
    assert proposal.hypothesis == "as asked: conf.py:RATE 8 -> 9, conf.py:MORE 2.0 -> 3.0"
    assert TPE()(campaign, idea="RATE = 0.2").files == {"fit.py": "RATE = 0.2\n"}
    spy = Spy()
    TPE(sampler=spy, startup=0)(campaign)
    assert spy.trials[0].params == {"RATE": 0.1, "conf.py:RATE": 8, "conf.py:MORE": 2.0}


@pytest.mark.parametrize(
    ("idea", "changed"),
    [
        ("RATE = 0.03", {"RATE": 0.03}),
        ("RATE=3e-2, DEPTH=5", {"RATE": 0.03, "DEPTH": 5}),
        (" DEPTH = 100\n\nRATE = 1\n", {"DEPTH": 100, "RATE": 1.0}),
        ("BETAS = (0.9, 0.99), BATCH = 2**18", {"BETAS": (0.9, 0.99), "BATCH": 2**18}),
        ("ACT = gelu; NAME = 'a, b'", {"ACT": "gelu", "NAME": "a, b"}),
        ("FLAG = False", {"FLAG": False}),
        ("FIXED = -3", {"FIXED": -3}),
    ],
)
def test_an_idea_of_values_is_done_exactly(
    campaign: Campaign, idea: str, changed: dict[str, object]
) -> None:
    proposal = TPE()(campaign, idea=idea)
    assert changes(FIT, proposal.files["fit.py"]) == changed


@pytest.mark.parametrize(
    ("idea", "said"),
    [
        ("DEPTH = 100", "DEPTH 4 -> 100; DEPTH is outside its hint 2 to 8"),
        (
            "RATE = 1, ACT = tanh",
            "RATE 0.04 -> 1.0, ACT 'relu' -> 'tanh'; RATE is outside its hint 0.01 to 0.2 log, "
            "ACT is outside its hint relu | gelu | silu",
        ),
        ("DEPTH = 8, ACT = silu", "DEPTH 4 -> 8, ACT 'relu' -> 'silu'"),
        ("FIXED = 9, BATCH = 2**18", "FIXED 3 -> 9, BATCH 524288 -> 262144"),
    ],
)
def test_an_idea_beyond_a_hint_is_done_and_said(campaign: Campaign, idea: str, said: str) -> None:
    assert TPE()(campaign, idea=idea).hypothesis == f"as asked: {said}"


def test_an_example_is_another_value_of_a_constant_that_may_be_tuned(make_host: Host) -> None:
    text = "SEED = 3\nFIXED = 5  # search: off\nBAD = 2  # search: ?\nACT = 'a'  # search: a | b\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    with pytest.raises(ProposalError, match="'NAME = value' only, such as 'ACT = 'b''"):
        TPE()(campaign, idea="less is more")
    assert "BAD = 9" in TPE()(campaign, idea="BAD = 9").files["fit.py"]


@pytest.mark.parametrize(
    ("idea", "words"),
    [
        ("try a deeper net", r"'try a deeper net'.*'RATE = 0.085'.*LLM.*ark.Human"),
        ("", "NAME = value"),
        ("RATE == 0.03", "NAME = value"),
        ("LR = 0.03", r"LR, which is no constant here. Expected one of: RATE, DEPTH"),
        ("RATE = high", "RATE can't become 'high'"),
        ("DEPTH = 'deep'", r"DEPTH can't become.*it is 4 now.*such as 'DEPTH = 6'\."),
        ("FIXED = high", r"FIXED can't become.*such as 'FIXED = 5'\."),
        ("BETAS = 3", r"BETAS can't become.*of that kind\."),
        ("FLAG = 3", "FLAG can't become"),
        ("DEPTH = True", "DEPTH can't become"),
        ("SEED = 7", "SEED stays as it is"),
    ],
)
def test_an_idea_that_it_cannot_use_is_refused(campaign: Campaign, idea: str, words: str) -> None:
    with pytest.raises(ProposalError, match=words):
        TPE()(campaign, idea=idea)


def test_an_idea_that_changes_nothing_is_refused(campaign: Campaign) -> None:
    with pytest.raises(NoChange):
        TPE()(campaign, idea="RATE = 0.04")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate = 0.1\nprint('loss: 1')\n", r"no constant for TPE.*ark.Human\(edit"),
        ("SEED = 1\nNAME = 'x'\nBETAS = (1, 2)\n", "SEED, NAME, BETAS it may change none"),
        ("RATE = 0.1  # search: 1 - 2\n", "Can't read the hint 'search: 1 - 2'"),
    ],
)
def test_without_anything_to_tune_it_says_what_to_do(
    make_host: Host, text: str, words: str
) -> None:
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    with pytest.raises(ProposalError, match=words) as caught:
        TPE()(campaign)
    assert caught.value.kind == "lasting"


@pytest.mark.parametrize(
    ("line", "low", "high"),
    [
        ("A = 8", 4, 16),
        ("A = 1", 1, 2),
        ("A = 0", 0, 1),
        ("A = -4", -8, -2),
        ("A = 0.04", 0.01, 0.16),
        ("A = 0.5", 0.125, 1.0),
        ("A = 0.95", 0.8, 0.9875),
        ("A = 1.0", 0.25, 4.0),
        ("A = 0.0", 0.0, 0.1),
        ("A = -10.0", -20.0, -5.0),
        ("A = 30.0  # search: 1 to 20", 1.0, 20.0),
    ],
)
def test_ranges_come_from_the_hint_or_the_value(line: str, low: float, high: float) -> None:
    made = knob("A", source.constants(line)["A"])
    assert made is not None
    assert (made.low, made.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("A = 2**19", {2**18, 2**19, 2**20}),
        ("A = 64  # search: 16 to 128", {16, 32, 64, 128}),
        ("A = 8  # search: 6 | 8 | 12", {6, 8, 12}),
        ("A = False", {True, False}),
        ("A = 4  # search: 3 to 5", {3, 4, 5}),
    ],
)
def test_what_is_discrete_stays_so(line: str, allowed: set[source.Value]) -> None:
    made = knob("A", source.constants(line)["A"])
    assert made is not None
    near = made.near()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {made.write(study.ask({"A": near.distribution()}).params["A"]) for _ in range(60)}
    assert drawn <= allowed
    assert len(drawn) > 1


@given(
    st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-9)),
    st.integers(0, 100),
)
def test_a_value_stays_in_its_range_on_the_way_through_the_sampler(
    value: int | float, seed: int
) -> None:
    import numpy as np

    made = knob("A", source.Constant("A", value, 1))
    if made is None:
        assert value == -1
        return
    rng = np.random.default_rng(seed)
    ends = [2**end if made.powers else end for end in (made.low, made.high)]
    near = made.near()
    for new in (
        made.moved(rng, 0.15),
        near.write(near.low),
        near.write(near.high),
        made.write(made.low),
    ):
        assert ends[0] <= new <= ends[1]  # type: ignore[operator]
        assert type(new) is type(value)
        assert made.low <= made.read(new) <= made.high
        assert (new > 0) == (value > 0) or value == 0  # type: ignore[operator]
    made.distribution(), near.distribution()
