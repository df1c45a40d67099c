"""What the optimiser learns from a campaign's history: results, crashes, what is under way."""

from __future__ import annotations

import itertools

import pytest

from autoresearch_kit import source
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposers import TPE, tpe
from autoresearch_kit.proposers.knobs import knob
from tests.decided import decide
from tests.test_tpe import FIT, TUNED, Host, Spy, begin, experiment, values_of


@pytest.fixture
def campaign(make_host: Host) -> Campaign:
    return begin(make_host({"fit.py": FIT}), "fit.py")


def test_the_sampler_is_told_crashes_as_worse_than_all_and_skips_the_rest(
    campaign: Campaign,
) -> None:
    experiment(campaign, "discard", 1.5, RATE=0.05)
    experiment(campaign, "crash", None, DEPTH=5)
    experiment(campaign, "refused", None, DEPTH=3)
    experiment(campaign, "quarantine", 0.001, RATE=0.03)
    spy = Spy()
    TPE(sampler=spy, startup=0)(campaign)
    told = [(trial.value, trial.params["RATE"], trial.params["DEPTH"]) for trial in spy.trials]
    assert told == [(1.0, 0.04, 4), (1.5, 0.05, 4), (2.0, 0.04, 5)]


def test_a_crash_is_worse_when_the_goal_is_to_maximize(make_host: Host) -> None:
    campaign = begin(make_host({"fit.py": FIT}), "fit.py", goal="maximize", value=0.5)
    experiment(campaign, "crash", None, DEPTH=5)
    experiment(campaign, "discard", 0.3, RATE=0.05)
    spy = Spy()
    TPE(sampler=spy, startup=0)(campaign)
    assert [trial.value for trial in spy.trials] == [0.5, pytest.approx(0.1), 0.3]


def test_what_was_learned_later_of_an_experiment_counts(campaign: Campaign) -> None:
    experiment(campaign, "discard", 1.5, RATE=0.05)
    again = {"fit.py": source.set_constants(FIT, {"RATE": 0.05}) + "# again\n"}
    decide(campaign, again, "discard", 1.2, about=1, kind="repeat")
    spy = Spy()
    TPE(sampler=spy, startup=0)(campaign)
    assert [trial.value for trial in spy.trials] == [1.0, pytest.approx(1.35)]
    doubted = {"fit.py": again["fit.py"] + "print()\n"}
    decide(campaign, doubted, "quarantine", 0.1, about=1)
    TPE(sampler=spy, startup=0)(campaign)
    assert [trial.value for trial in spy.trials] == [1.0]


def test_experiments_with_other_constants_count_as_far_as_these_exist(campaign: Campaign) -> None:
    other = FIT.replace("BATCH = 2**19\n", "").replace("FLAG", "NEW").replace("= 4 ", "= 30 ")
    decide(campaign, {"fit.py": other}, "discard", 1.5)
    spy = Spy()
    proposal = TPE(sampler=spy, startup=0, most=None)(campaign)
    assert spy.trials[-1].params == {"RATE": 0.04, "DEPTH": 6, "ACT": "relu"}
    assert values_of(proposal.files["fit.py"]).keys() == values_of(FIT).keys()


def test_the_first_experiments_come_without_the_sampler(campaign: Campaign) -> None:
    spy = Spy()
    experiment(campaign, "discard", 1.5, RATE=0.05)
    TPE(sampler=spy, startup=2)(campaign)
    assert spy.trials == []
    experiment(campaign, "crash", None, DEPTH=5)
    TPE(sampler=spy, startup=2)(campaign)
    assert len(spy.trials) == 3


def test_proposals_in_a_row_differ_while_none_has_a_result(campaign: Campaign) -> None:
    for i in range(8):
        experiment(campaign, "discard", 1.1 + i / 10, RATE=0.05 + i / 100, DEPTH=2 + i % 6)
    liar = Spy()
    knob_of = {name: knob(name, constant) for name, constant in source.constants(FIT).items()}
    proposals = [TPE(seed=1)(campaign) for _ in range(4)]
    for one, other in itertools.combinations(proposals, 2):
        assert one.code != other.code
    TPE(sampler=liar, startup=0)(campaign)
    told = [trial.params for trial in liar.running]
    assert told == [
        {
            k: knob_of[k].near().read(v)
            for k, v in values_of(p.files["fit.py"]).items()
            if k in TUNED
        }
        for p in proposals
    ]


def test_it_is_told_the_latest_of_a_long_history(
    campaign: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tpe, "LATEST", 2)
    for i in range(3):
        experiment(campaign, "discard", 1.1 + i / 10, RATE=0.05 + i / 100)
    experiment(campaign, "refused", None, DEPTH=3)
    spy = Spy()
    TPE(sampler=spy, startup=0)(campaign)
    assert [trial.params["RATE"] for trial in spy.trials] == pytest.approx([0.06, 0.07])


def test_slots_spread_over_the_values_of_one_constant(make_host: Host) -> None:
    """Asked again and again with the same results, TPE alone would stay near one value."""
    text = "RATE = 0.1\nprint('loss:', RATE)\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    for value in (0.05, 0.07, 0.13, 0.16, 0.2):
        made = {"fit.py": source.set_constants(text, {"RATE": value})}
        decide(campaign, made, "discard", 1 + abs(value - 0.1))
    rates = [values_of(TPE(seed=2)(campaign).files["fit.py"])["RATE"] for _ in range(6)]
    assert len(set(rates)) == 6
    assert max(rates) / min(rates) > 1.5  # type: ignore[type-var,operator]


def test_what_is_likely_to_crash_is_not_proposed(make_host: Host) -> None:
    text = "A = 1.0\nB = 2.0\nprint('loss:', A, B)\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    for a, status in ((1.4, "crash"), (1.5, "crash"), (1.8, "crash"), (0.7, "discard")):
        made = {"fit.py": source.set_constants(text, {"A": a})}
        decide(campaign, made, status, None if status == "crash" else 1.2)
    proposed = [values_of(TPE(seed=s)(campaign).files["fit.py"]) for s in range(20)]
    assert max(float(new["A"]) for new in proposed) < 1.4  # type: ignore[arg-type]
    assert min(float(new["A"]) for new in proposed) < 1  # type: ignore[arg-type]


def test_when_all_is_likely_to_crash_the_least_likely_is_proposed(make_host: Host) -> None:
    text = "A = 2  # search: 1 to 4\nprint('loss:', A)\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    decide(campaign, {"fit.py": text.replace("= 2", "= 1")}, "crash", None)
    decide(campaign, {"fit.py": text.replace("= 2", "= 4")}, "crash", None)
    assert values_of(TPE()(campaign).files["fit.py"]) == {"A": 3}


def test_toml_and_markdown_are_tuned_too(make_host: Host) -> None:
    conf = "[fit]\nrate = 0.04  # search: 0.01 to 0.2 log\nseed = 3\n"
    page = "<!-- search tone: Be brief. | Be kind. -->\nBe brief.\n"
    host = make_host({"conf.toml": conf, "page.md": page, "fit.py": ""})
    campaign = begin(host, "conf.toml", "page.md")
    assert campaign.records()[0].constants == {
        "fit.rate": 0.04,
        "fit.seed": 3,
        "page.md:tone": "Be brief.",
    }
    kind = TPE()(campaign, idea="tone = 'Be kind.', fit.rate = 5e-2")
    assert kind.files == {
        "conf.toml": conf.replace("0.04", "0.05"),
        "page.md": page.replace("-->\nBe brief.", "-->\nBe kind."),
    }
    touched: set[str] = set()
    for seed in range(8):
        touched |= TPE(seed=seed)(campaign).files.keys()
    assert touched == {"conf.toml", "page.md"}
    with pytest.raises(ProposalError, match=r"fit\.seed stays"):
        TPE()(campaign, idea="fit.seed = 4")


def test_its_state_tells_a_model_what_it_learned(campaign: Campaign) -> None:
    for i in range(9):
        experiment(campaign, "discard", 1.1 + i / 10, RATE=0.05 + i / 100)
    experiment(campaign, "crash", None, DEPTH=8, BATCH=2**20)
    state = TPE(seed=1).state(campaign)
    wish = TPE(seed=1)(campaign).hypothesis.removeprefix("TPE: ")
    assert state.startswith("10 results and 1 crashes are known of 5 constants")
    assert "lower loss is better" in state
    assert "- loss 1.00 (experiment 0000, keep): the constants of the best state\n" in state
    assert "- loss 1.10 (experiment 0001, discard): RATE 0.05\n" in state
    assert "- RATE 0.042 to 0.058, now 0.04: -1.0" in state
    assert "- experiment 0010: DEPTH 8, BATCH 1048576 (" in state
    assert state.endswith(f"The optimiser would change now: {wish}.")


def test_its_state_stays_short_and_needs_no_constants(make_host: Host) -> None:
    many = "".join(f"CONSTANT_{i:03d} = {1.5 + i}\n" for i in range(60)) + "print('loss: 1')\n"
    campaign = begin(make_host({"fit.py": many}), "fit.py")
    for i in range(12):
        new = {f"CONSTANT_{(7 * i + j) % 60:03d}": 2.0 + i for j in range(40)}
        status = "crash" if i % 3 else "discard"
        made = source.set_constants(many, new)
        decide(campaign, {"fit.py": made}, status, None if i % 3 else 2.0 + i)
    assert len(TPE().state(campaign)) < 4 * 800
    bare = begin(make_host({"fit.py": "print('loss: 1')\n"}, "bare"), "fit.py")
    assert "0 constants" in TPE().state(bare)
