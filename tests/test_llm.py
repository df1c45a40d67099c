"""A language model proposes: the conversation, from the prompt to a drafted proposal."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import autoresearch_kit as ark
from autoresearch_kit import (
    errors,
    files,
    git,
    keys,
    progress,
    proposers,
    records,
    reviews,
    scratchpad,
    succession,
)
from autoresearch_kit.proposal import unfinished
from autoresearch_kit.proposers import submission
from tests import nightly as n
from tests.llm_server import Say, Server, Status, llm_server


def blocks(old: str, new: str, hypothesis: str = "smaller is better") -> str:
    return (
        f"<hypothesis>{hypothesis}</hypothesis>\n<expected>-1</expected>\n"
        f"fit.py\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"
    )


def whole(text: str) -> str:
    return f"<hypothesis>all of it</hypothesis>\nfit.py\n```python\n{text}```\n"


BETTER = blocks("B = 5", "B = 4")
ABSENT = blocks("C = 5", "C = 4")


@pytest.fixture
def server() -> Iterator[Server]:
    with llm_server(BETTER) as running:
        yield running


def model(server: Server, **more: Any) -> ark.LLM:
    return ark.LLM("tiny", server.url, "no-secret", **more)


def attached(proposal: ark.Proposal) -> dict[str, str]:
    return {name: text.decode() for name, text in proposal.attachments().items()}


def test_a_reply_becomes_a_proposal_and_a_record(nightly, server):
    (nightly.path / "program.md").write_text("Make B small.\n")
    made = ark.propose(nightly, by=model(server))
    assert made.hypothesis == "smaller is better"
    assert "B = 4" in made.files["fit.py"]
    assert (made.author, made.expected, made.status) == ("LLM tiny", -1.0, "open")
    assert made.cost["tokens"] > 100
    assert "money" not in made.cost
    assert server.asked[0].text.index("Make B small.") < server.asked[0].text.index("B = 5")
    kept = attached(made)
    assert "Make B small." in kept["prompt.md"]
    assert BETTER.strip() in kept["reply.md"]
    assert kept["program.md"] == "Make B small.\n"
    ark.score(ark.train_5min(ark.apply(made.approve())))
    record = nightly.records()[-1]
    assert record.status == "keep"
    assert len(record.proposal["program"]) == 12
    assert record.proposal["tokens"] == made.cost["tokens"]
    assert record.proposal["seconds"] > 0
    assert {"prompt.md", "reply.md", "program.md"} <= records.read_attachments(
        nightly.path, nightly.tag, record.n
    ).keys()


def test_a_whole_file_is_taken_as_well(nightly, server):
    server.say(whole(n.edited(nightly, "A", 1)))
    assert "A = 1" in ark.propose(nightly, by=model(server)).files["fit.py"]


def test_a_block_that_does_not_match_goes_back_with_what_is_there(nightly, server):
    server.say(ABSENT, BETTER)
    made = ark.propose(nightly, by=model(server))
    assert made.rejected == 1
    first, second = server.asked
    assert [message["role"] for message in second.messages][-2:] == ["assistant", "user"]
    assert second.messages[-2]["content"] == ABSENT
    assert "C = 5" in second.messages[-1]["content"]
    assert len(second.messages) == len(first.messages) + 2
    assert "C = 5" in attached(made)["reply.md"]


def test_after_two_repairs_the_whole_file_is_asked_for(nightly, server):
    server.say(ABSENT, ABSENT, ABSENT, whole(n.edited(nightly, "A", 1)))
    made = ark.propose(nightly, by=model(server))
    assert made.rejected == 3
    asked = [request.messages[-1]["content"] for request in server.asked[1:]]
    assert [("whole file" in words or "complete file" in words) for words in asked] == [
        False,
        False,
        True,
    ]


def test_a_model_that_never_gets_it_right_is_an_error_and_its_cost_is_not_forgotten(
    nightly, server
):
    server.say(ABSENT)
    by = model(server, price={"input": 1, "output": 1})
    with pytest.raises(errors.ReplyError, match="tiny gave no usable reply in 4 tries") as caught:
        ark.propose(nightly, by=by)
    assert len(server.asked) == 4
    (replies,) = (nightly.state / "failed-replies").iterdir()
    assert str(replies) in str(caught.value)
    assert replies.read_text().count(ABSENT.strip()) == 4
    assert list(unfinished(nightly)) == []
    key = f"cell|{by!r}|"
    lost = submission.lost(nightly, key)
    assert lost["tokens"] > 400
    server.say(BETTER)
    made = ark.propose(nightly, by=by)
    assert made.rejected == 4
    assert made.cost["tokens"] > lost["tokens"]
    assert made.cost["money"] == pytest.approx(made.cost["tokens"] / 1e6)
    assert submission.lost(nightly, key) == {}


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (blocks("B = 5", "B = = 4"), "no valid Python"),
        (blocks("B = 5", "B = 5  # five"), "as it is"),
        ("I would lower B.", "hypothesis"),
    ],
)
def test_what_can_not_be_an_experiment_goes_back(nightly, server, bad, words):
    server.say(bad, BETTER)
    made = ark.propose(nightly, by=model(server))
    assert "B = 4" in made.files["fit.py"]
    assert words in server.asked[1].messages[-1]["content"]


def test_a_repeated_experiment_goes_back_once_with_the_earlier_result(nightly, server):
    n.manual(nightly, "B", 9)
    server.say(blocks("B = 5", "B = 9"), BETTER)
    made = ark.propose(nightly, by=model(server))
    assert made.rejected == 1
    told = server.asked[1].messages[-1]["content"]
    assert "0001" in told
    assert "discard" in told
    made.refuse("enough")
    server.say(blocks("B = 5", "B = 9"))
    with pytest.raises(errors.Duplicate, match="0001"):
        ark.propose(nightly, by=model(server))
    assert len(server.asked) == 4


def test_a_prompt_that_is_too_long_is_made_shorter_and_the_limit_remembered(nightly, server):
    more = {"What others think": "It is a matter of taste.\n" * 2_000}
    server.context = 4_000
    made = model(server)(nightly, sections=more)
    assert len(server.asked) >= 2
    assert len(server.asked[-1].text) < len(server.asked[0].text)
    assert "B = 5" in server.asked[-1].text
    made.refuse("next")
    server.asked = []
    server.say(blocks("A2 = 0", "A2 = -1"))
    model(server)(nightly, sections=more)
    assert len(server.asked) == 1


def test_a_server_that_cuts_prompts_without_a_word_gets_shorter_ones(nightly, server):
    server.truncates = 3_000
    more = {"What others think": "It is a matter of taste.\n" * 2_000}
    made = model(server)(nightly, sections=more)
    assert "B = 4" in made.files["fit.py"]
    assert len(server.asked) >= 2
    assert len(server.asked[-1].text) < len(server.asked[0].text) / 2


def test_a_reply_that_was_cut_off_is_asked_for_again_and_paid_for(nightly, server):
    server.say(Say("<hypothesis>a very long", finish="length"), BETTER)
    made = ark.propose(nightly, by=model(server))
    assert len(server.asked) == 2
    assert made.cost["tokens"] > 2 * server.asked[0].text.count(" ")


def test_a_server_that_refuses_the_key_ends_it_at_once(nightly, server):
    server.say(Status(401, "no such key"))
    with pytest.raises(errors.EndpointError) as caught:
        ark.propose(nightly, by=model(server))
    assert caught.value.kind == "unauthorized"
    assert len(server.asked) == 1


def test_cached_tokens_are_counted_and_cost_less(nightly, server):
    server.say(Say(BETTER, prompt_tokens=3_000, completion_tokens=100, cached=2_000))
    price = {"input": 10, "cached": 1, "output": 100}
    made = ark.propose(nightly, by=model(server, price=price))
    assert made.cost["cached"] == 2_000
    assert made.cost["tokens"] == 3_100
    assert made.cost["money"] == pytest.approx((1_000 * 10 + 2_000 * 1 + 100 * 100) / 1e6)


def test_an_idea_and_feedback_reach_the_model(nightly, server):
    first = ark.propose(nightly, by=model(server), idea="think of prime numbers")
    assert "prime numbers" in server.asked[0].text
    server.say(blocks("B = 5", "B = 3"))
    second = succession.revise(first, "rather three", model(server))
    assert "B = 3" in second.files["fit.py"]
    assert "rather three" in server.asked[1].text
    assert "+B = 4" in server.asked[1].text


def test_a_model_that_fails_at_blocks_is_asked_for_whole_files(nightly, server):
    for value in (1, 2):
        server.say(ABSENT, ABSENT, ABSENT, whole(n.edited(nightly, "A", value)))
        ark.propose(nightly, by=model(server), new=True)
    server.asked = []
    server.say(whole(n.edited(nightly, "A", 3)))
    ark.propose(nightly, by=model(server), new=True)
    assert "<<<<<<< SEARCH" not in server.asked[0].text


def test_every_ten_experiments_the_notes_are_written_anew(nightly, server):
    for value in range(20, 30):
        n.decided_by_hand(nightly, "B", value)
    server.say("<notes>B must not grow.</notes>\n" + BETTER)
    made = ark.propose(nightly, by=model(server))
    assert "<notes>" in server.asked[0].text
    assert scratchpad.read(nightly).strip() == "B must not grow."
    ark.score(ark.train_5min(ark.apply(made.approve())))
    assert nightly.records()[-1].proposal["notes"] is True
    server.say(blocks("B = 4", "B = 3"))
    ark.propose(nightly, by=model(server))
    assert "B must not grow." in server.asked[1].text
    assert "<notes>" not in server.asked[1].text


def test_the_reply_is_heard_as_it_comes(nightly, server):
    heard: list[str] = []
    with progress.listening(heard.append):
        ark.propose(nightly, by=model(server))
    assert "".join(heard).startswith("<hypothesis>")
    assert len(heard) > 3


def test_a_server_in_the_environment_is_the_default(nightly, server, monkeypatch, capsys):
    assert isinstance(proposers.choose(nightly, None), ark.TPE)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    made = ark.propose(nightly)
    assert made.author == "LLM tiny"
    assert "OPENAI_BASE_URL is set" in capsys.readouterr().out


def test_a_key_travels_by_the_name_of_its_variable_or_not_at_all(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canary-1234")
    packed = pickle.dumps(ark.LLM("m", api_key="canary-1234"))
    assert b"canary" not in packed
    assert pickle.loads(packed).endpoint().api_key == "canary-1234"
    with pytest.raises(TypeError, match="no environment variable"):
        pickle.dumps(ark.LLM("m", api_key="canary-5678"))
    assert "canary" not in repr(ark.LLM("m", "http://u:canary@h/v1", api_key="canary-5678"))
    monkeypatch.delenv("SOME_API_KEY")
    with pytest.raises(errors.EndpointError, match="SOME_API_KEY"):
        pickle.loads(packed).endpoint()


def test_a_budget_of_money_needs_a_price(nightly, server):
    with pytest.raises(errors.CampaignError, match="price="):
        ark.overnight(nightly, by=model(server), approve="everything", max_cost=1.0)


def test_a_night_asks_the_model_and_stops_at_its_budget(nightly, server):
    server.say(*(blocks("B = 5", f"B = {20 + i}", f"try {i}") for i in range(9)))
    by = model(server, price={"input": 1, "output": 1})
    night = ark.overnight(nightly, by=by, approve="everything", experiments=9, max_cost=0.003)
    last = n.ended(night)
    assert "max_cost" in last["reason"]
    assert 0 < last["counts"]["discard"] < 9
    assert last["cost"] >= 0.003


def test_models_that_are_known_are_remembered_without_keys(nightly, server):
    ark.propose(nightly, by=model(server))
    table = git.common_dir(nightly.path) / "autoresearch" / "models.json"
    assert files.read_table(table)
    assert "no-secret" not in table.read_text()


def test_what_is_kept_while_the_model_thinks_is_not_undone(nightly, server, monkeypatch):
    from autoresearch_kit import endpoint

    complete = endpoint.complete

    def slow(*args: Any, **more: Any) -> endpoint.Answer:
        answer = complete(*args, **more)
        n.manual(nightly, "A", 1)
        return answer

    monkeypatch.setattr(endpoint, "complete", slow)
    server.say(whole(n.edited(nightly, "B", 4)))
    made = ark.propose(nightly, by=model(server))
    assert made.parent == 1
    assert "A = 1" in made.files["fit.py"]
    assert "B = 4" in made.files["fit.py"]


def test_a_prompt_that_can_not_be_shortened_is_an_error_and_no_repair(nightly, server):
    server.context = 300
    with pytest.raises(errors.EndpointError) as caught:
        ark.propose(nightly, by=model(server))
    assert caught.value.kind == "context"
    assert all(len(request.messages) == 2 for request in server.asked)


def test_what_was_paid_is_on_the_account_before_the_conversation_ends(nightly, server):
    by, seen = model(server), []

    def look(text: str) -> None:
        if "asked to try again" in text:
            seen.append(dict(submission.lost(nightly, f"cell|{by!r}|")))

    server.say(ABSENT, BETTER)
    with progress.listening(look):
        made = ark.propose(nightly, by=by)
    assert 0 < seen[0]["tokens"] < made.cost["tokens"]
    assert submission.lost(nightly, f"cell|{by!r}|") == {}


def test_the_next_night_takes_over_what_failed_tries_have_cost(nightly):
    from autoresearch_kit import behalf

    for night, tokens in (("1", 100.0), ("2", 20.0)):
        with behalf.of(f"night|{night}"):
            submission.fail(nightly, {"tokens": tokens}, 1)
    submission.adopt(nightly, "night|3")
    assert submission.lost(nightly, "night|3") == {"tokens": 120.0}
    assert submission.lost(nightly, "night|1") == {}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"price": {"input": 3}}, "a million tokens"),
        ({"price": {"input": "3", "output": 15}}, "a million tokens"),
        ({"price": {"input": 3, "output": -1}}, "a million tokens"),
        ({"price": 3}, "a million tokens"),
        ({"max_tokens": 0}, "above 0"),
        ({"stall_seconds": "1"}, "above 0"),
        ({"options": ["temperature"]}, "by name"),
        ({"form": "diff"}, "'blocks', 'file'"),
    ],
)
def test_an_argument_that_makes_no_sense_is_told_at_once(wrong, words):
    with pytest.raises(errors.ProposalError, match=words):
        ark.LLM("m", **wrong)


def test_a_key_that_is_refused_ends_a_night_at_once(nightly, server):
    server.say(Status(401, "no such key"))
    night = ark.overnight(nightly, by=model(server), approve="everything", experiments=3)
    last = n.ended(night)
    assert "no proposal can be made" in last["reason"]
    assert len(server.asked) == 1


def test_keys_in_headers_and_oddly_named_variables_are_known(monkeypatch):
    monkeypatch.setenv("DEEP_THOUGHT", "canary-in-a-variable")
    ark.LLM("m", api_key="$DEEP_THOUGHT")
    ark.LLM("m", options={"extra_headers": {"X-Auth": "Bearer canary-in-a-header"}})
    said = keys.redact("canary-in-a-variable canary-in-a-header")
    assert "canary" not in said
    assert "DEEP_THOUGHT" not in keys.without({"DEEP_THOUGHT": "canary-in-a-variable"})


def test_a_person_asks_the_model_of_a_night_to_revise(nightly, server):
    server.say(BETTER, blocks("B = 5", "B = 3"))
    night = ark.overnight(nightly, by=model(server), approve=ark.policies.ask(), experiments=1)
    waiting = n.until(lambda: [p for p in nightly.pending() if p.asked])[0]
    made = reviews.revise(waiting, "three is a lucky number", None)
    assert "B = 3" in made.files["fit.py"]
    assert "three is a lucky number" in server.asked[-1].text
    night.stop(now=True)
    n.ended(night)
