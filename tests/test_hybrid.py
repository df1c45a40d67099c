"""An optimiser and a model in turns: whose turn it is, who is asked what, who stands in."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import errors, progress, source, succession
from autoresearch_kit.proposal import draft, finish
from autoresearch_kit.proposers.hybrid import SECTION
from tests.decided import decide
from tests.llm_server import Server, Status, llm_server
from tests.test_tpe import FIT, Host, begin

Asked = list[tuple[str | None, Any, Mapping[str, str] | None]]

REPLY = (
    "<hypothesis>wider</hypothesis>\nfit.py\n"
    "<<<<<<< SEARCH\nprint\n=======\nTWICE = 2 * DEPTH\nprint\n>>>>>>> REPLACE\n"
).replace("print", 'print("loss:", RATE)')


@pytest.fixture
def campaign(make_host: Host) -> ark.Campaign:
    return begin(make_host({"fit.py": FIT}), "fit.py")


@pytest.fixture
def server() -> Iterator[Server]:
    with llm_server(REPLY) as running:
        yield running


def model(asked: Asked, error: Exception | None = None) -> Callable[..., ark.Proposal]:
    """Return a proposer that adds a line of code, or fails; it notes what it was asked."""

    def words(
        campaign: ark.Campaign,
        *,
        idea: str | None = None,
        revises: Any = None,
        sections: Mapping[str, str] | None = None,
    ) -> ark.Proposal:
        asked.append((idea, revises, sections))
        if error is not None:
            raise error
        code = campaign.best.files["fit.py"] + f"Z{len(asked)} = print()\n"
        return draft(campaign, files={"fit.py": code}, hypothesis="code", author="words")

    return words


def authors(campaign: ark.Campaign, by: ark.Hybrid, turns: int) -> list[str]:
    return [by(campaign).author for _ in range(turns)]


@pytest.mark.parametrize(
    ("share", "turns"), [(0.3, [2, 5, 8]), (0, []), (1, list(range(10))), (0.5, [0, 2, 4, 6, 8])]
)
def test_the_models_turns_are_spread_evenly(
    campaign: ark.Campaign, share: float, turns: list[int]
) -> None:
    made = authors(campaign, ark.Hybrid(model([]), share=share), 10)
    assert [i for i, author in enumerate(made) if author == "words"] == turns


def test_a_turn_stays_the_same_when_an_open_proposal_becomes_an_experiment(
    campaign: ark.Campaign,
) -> None:
    asked: Asked = []
    made = []
    for _ in range(6):  # one open proposal at a time, scored before the next
        proposal = ark.Hybrid(model(asked))(campaign)
        made.append(proposal.author)
        finish(campaign, proposal.id)
        decide(campaign, proposal.files, "discard", 2.0)
    assert [i for i, author in enumerate(made) if author == "words"] == [2, 5]


def test_the_model_sees_what_the_optimiser_knows(campaign: ark.Campaign, server: Server) -> None:
    for i in range(6):
        edit = {"fit.py": source.set_constants(FIT, {"RATE": 0.05 + i / 100})}
        decide(campaign, edit, "discard", 1.1 + i / 10)
    optimiser = ark.TPE(seed=1)
    state = optimiser.state(campaign)
    by = ark.Hybrid(ark.LLM("tiny", server.url, "no-secret"), optimiser, share=1)
    made = ark.propose(campaign, by=by)
    assert made.author == "LLM tiny"
    assert "TWICE = 2 * DEPTH" in made.files["fit.py"]
    prompt = made.attachments()["prompt.md"].decode()
    assert SECTION in prompt
    assert state in prompt
    assert state in server.asked[0].text


def test_the_optimiser_learns_from_the_models_results(campaign: ark.Campaign) -> None:
    optimiser = ark.TPE(seed=1)
    before = optimiser.state(campaign)
    proposal = ark.Hybrid(model([]), optimiser, share=1)(campaign)
    decide(campaign, proposal.files, "keep", 0.5)
    assert "experiment 0001, keep" in optimiser.state(campaign)
    assert optimiser.state(campaign) != before


def test_a_model_that_takes_no_sections_is_asked_without(campaign: ark.Campaign) -> None:
    def plain(campaign: ark.Campaign, *, idea: Any = None, revises: Any = None) -> ark.Proposal:
        return model([])(campaign)

    assert ark.Hybrid(plain, share=1)(campaign).author == "words"
    assert ark.Hybrid(ark.Human(FIT + "Y = print()\n"), share=1)(campaign).author.startswith("Ada")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.EndpointError("no such key", "unauthorized"), "endpoint, unauthorized"),
        (errors.ReplyError("can't read it"), "no usable reply"),
        (errors.Duplicate("0003 was the same"), "a duplicate"),
        (errors.ProposalError("nothing"), "no proposal"),
    ],
)
def test_a_model_without_an_answer_loses_no_turn(
    campaign: ark.Campaign,
    error: errors.ProposalError,
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said: list[str] = []
    by = ark.Hybrid(model([], error), ark.TPE(seed=1), share=1)
    with progress.listening(said.append):
        made = ark.propose(campaign, by=by)
    assert made.author == "TPE"
    again = campaign.pending()[0]  # as it is on disk
    assert again.hypothesis == made.hypothesis
    assert again.hypothesis.endswith(f"(in place of {by.llm.__qualname__}: {words})")
    assert again.attachments()["llm-error.txt"].decode() == f"{error}\n"
    assert str(error) in caplog.text
    assert str(error) in "".join(said)


def test_a_dead_server_loses_no_turn(campaign: ark.Campaign, server: Server) -> None:
    server.say(Status(401, "wrong key"))
    made = ark.Hybrid(ark.LLM("tiny", server.url, "no-secret-key"), share=1)(campaign)
    assert made.author == "TPE"
    assert "LLM('tiny', base_url=" in made.hypothesis
    assert "no-secret-key" not in repr(made.attachments()) + made.hypothesis


def test_when_neither_has_a_proposal_the_models_error_counts(make_host: Host) -> None:
    bare = begin(make_host({"fit.py": "print('loss: 1')\n"}), "fit.py")
    broken = errors.EndpointError("no such key", "unauthorized")
    with pytest.raises(errors.EndpointError, match="no such key"):
        ark.Hybrid(model([], broken), share=1)(bare)
    with pytest.raises(errors.ProposalError, match="no constant for TPE"):
        ark.Hybrid(model([]), share=0)(bare)


def test_with_nothing_to_tune_the_model_takes_every_turn(make_host: Host) -> None:
    bare = begin(make_host({"fit.py": "print('loss: 1')\n"}), "fit.py")
    assert authors(bare, ark.Hybrid(model([]), share=0.1), 3) == ["words"] * 3


def test_an_interrupt_is_no_failed_answer(campaign: ark.Campaign) -> None:
    def interrupted(campaign: ark.Campaign, **asked: Any) -> ark.Proposal:
        raise KeyboardInterrupt

    def pending(campaign: ark.Campaign, **asked: Any) -> ark.Proposal:
        raise errors.ReplyPending("paste it")

    with pytest.raises(KeyboardInterrupt):
        ark.Hybrid(interrupted, share=1)(campaign)
    with pytest.raises(errors.ReplyPending):
        ark.Hybrid(pending, share=1)(campaign)
    assert campaign.pending() == []


def test_values_go_to_the_optimiser_and_words_to_the_model(campaign: ark.Campaign) -> None:
    asked: Asked = []
    by = ark.Hybrid(model(asked), share=1)
    made = by(campaign, idea="RATE = 0.05, ACT = gelu")
    assert made.hypothesis == "as asked: RATE 0.04 -> 0.05, ACT 'relu' -> 'gelu'"
    assert asked == []
    none = ark.Hybrid(model(asked), share=0)
    assert none(campaign, idea="try a deeper net with RATE = 0.05 or so").author == "words"
    assert asked[0][0] == "try a deeper net with RATE = 0.05 or so"
    with pytest.raises(errors.ProposalError, match="no constant here"):
        by(campaign, idea="LEARNING_RATE = 0.05")


def test_what_a_person_asks_of_the_model_is_not_done_by_the_optimiser(
    campaign: ark.Campaign,
) -> None:
    by = ark.Hybrid(model([], errors.ReplyError("can't read it")))
    with pytest.raises(errors.ReplyError):
        by(campaign, idea="try a deeper net")
    assert campaign.pending() == []


def test_a_revision_goes_to_whoever_made_the_proposal(campaign: ark.Campaign) -> None:
    asked: Asked = []
    tuned = ark.propose(campaign, by=ark.Hybrid(model(asked), share=0))
    by = ark.Hybrid(model(asked))
    half = succession.revise(tuned, "RATE = 0.02", by)
    assert (half.author, asked) == ("TPE", [])
    other = succession.revise(half, "rather change the code", by)
    assert other.author == "words"
    again = succession.revise(other, "RATE = 0.02", by)
    assert again.author == "words"
    assert [revised.id for _, revised, _ in asked] == [half.id, other.id]
    assert all(sections and SECTION in sections for _, _, sections in asked)


def test_it_is_told_apart_by_its_parts_and_travels() -> None:
    by = ark.Hybrid(ark.LLM("tiny", "http://127.0.0.1:1/v1", "sk-secret"), ark.TPE(seed=3), 0.5)
    same = ark.Hybrid(ark.LLM("tiny", "http://127.0.0.1:1/v1", "sk-other"), ark.TPE(seed=3), 0.5)
    assert repr(by) == repr(same)
    assert "secret" not in repr(by)
    assert repr(ark.Hybrid(model([]))) == f"Hybrid({model([]).__qualname__})"
    travelled = pickle.loads(pickle.dumps(ark.Hybrid(ark.LLM("tiny"), share=0.5)))
    assert repr(travelled) == "Hybrid(LLM('tiny'), share=0.5)"


def test_it_reports_what_both_parts_report() -> None:
    priced = ark.LLM("tiny", price={"input": 1, "output": 2})
    assert ark.Hybrid(priced).reports == {"tokens", "money"}
    assert ark.Hybrid(ark.LLM("tiny")).reports == {"tokens"}
    assert not hasattr(ark.Hybrid(model([])), "reports")


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"llm": ark.LLM}, {"optimiser": None}])
def test_wrong_parts_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.ProposalError, match=next(iter(wrong))):
        ark.Hybrid(**{"llm": model([]), **wrong})
