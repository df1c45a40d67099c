"""A person takes the prompt to a model elsewhere and brings its reply back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import git, progress, records, scratchpad, steps, succession
from autoresearch_kit.behalf import of
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import ProposalError, ReplyError, ReplyPending
from autoresearch_kit.proposers.paste import Paste
from tests.conftest import PRINTED
from tests.decided import decide


def blocks(old: str, new: str, why: str = "a larger rate converges sooner") -> str:
    return (
        f"Here you are.\n\n<hypothesis>{why}</hypothesis>\n<expected>-0.02</expected>\n\n"
        f"fit.py\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"
    )


def whole(text: str) -> str:
    return f"<hypothesis>all of it anew</hypothesis>\n\n```python\n{text}```\n"


GOOD = blocks(
    "LEARNING_RATE = 0.05  # search: 0.001 to 0.5 log",
    "LEARNING_RATE = 0.08  # search: 0.001 to 0.5 log",
)
BROKEN = blocks("LEARNING_RATE = 0.5", "LEARNING_RATE = 0.08")
FASTER = PRINTED.replace("LEARNING_RATE = 0.05", "LEARNING_RATE = 0.08")


@pytest.fixture
def campaign(host: Path, contract: dict[str, str]) -> Campaign:
    campaign = open_campaign(host, tag="t", **contract)
    decide(campaign, {}, "keep", 1.0)
    return campaign


class Box:
    """The browser's side of the box that a call has shown."""

    def __init__(self, widget: Any) -> None:
        self.widget = widget
        self.got: list[dict[str, Any]] = []
        widget.send = lambda content, buffers=None: self.got.append(content)

    def say(self, type: str, **more: Any) -> dict[str, Any]:
        before = len(self.got)
        self.widget._heard(None, {"type": type, "id": self.widget.page["id"], **more})
        return (self.got[before:] or [{}])[0]


@pytest.fixture
def ask(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Box]:
    """A function that runs the cell as a front end would, and returns the box under it."""
    shown: list[Any] = []
    monkeypatch.setattr(progress, "in_front_end", lambda: True)
    monkeypatch.setattr(progress, "display", shown.append)

    def run(**more: Any) -> Box:
        with pytest.raises(ReplyPending) as pending:
            steps.propose(campaign, **{"by": Paste(), **more})
        assert str(pending.value).startswith("paste the model's reply into the box above")
        assert len(pending.value._render_traceback_()) == 1
        return Box(shown.pop())

    return run


def test_a_pasted_reply_becomes_the_proposal_of_the_cell_that_is_run_again(campaign, ask):
    box = ask()
    page = box.widget.page
    assert "LEARNING_RATE = 0.05" in page["prompt"]
    assert "<hypothesis>" in page["prompt"]
    assert page["tokens"] > 500
    answer = box.say("use", reply=GOOD.replace("\n", "\r\n"), model="  a large\n one\x1b[2J ")
    assert answer["ok"], answer
    assert "Run this cell again" in answer["text"]
    assert box.widget.now["made"] == "a larger rate converges sooner"

    proposal = steps.propose(campaign, by=Paste())
    assert dict(proposal.files) == {"fit.py": FASTER}
    assert proposal.author == "a pasted reply of a large one␛[2J"
    assert proposal.expected == -0.02
    assert proposal.rejected == 0
    assert steps.propose(campaign, by=Paste()) == proposal
    proposal.refuse("not today")
    kept = git.read_tree(campaign.path, records.files_ref("t", 1))
    assert kept["prompt.md"].decode() == page["prompt"]
    assert kept["reply.md"].decode() == f"# Reply\n\n{GOOD}\n"
    assert box.say("use", reply=GOOD, model="")["text"].startswith("Taken already")
    assert ask().widget.now["made"] == ""  # decided: the next call asks for the next one


def test_what_cannot_be_used_comes_with_words_for_the_model(campaign, ask):
    box = ask()
    answer = box.say("use", reply=BROKEN, model="m")
    assert not answer["ok"]
    assert answer["text"].startswith("This reply can't be used yet: ")
    now = box.widget.now
    assert now["tries"] == 1
    assert "LEARNING_RATE = 0.5" in now["repair"]
    assert "corrected" in now["repair"]
    assert campaign.pending() == []

    again = ask()  # after a restart of the kernel nothing is lost
    assert again.widget.now == now
    assert now["reply"] == BROKEN
    assert now["model"] == "m"
    again.say("use", reply=whole(PRINTED + "# the end\n"), model="m")
    assert "leaves the code" in again.widget.now["repair"]
    assert again.widget.now["repair"].endswith("Answer again, in the same format.")
    again.say("use", reply=whole(PRINTED + "("), model="m")
    assert again.widget.now["tries"] == 3
    assert "```" in again.widget.now["repair"]  # now the whole file is asked for
    assert again.say("use", reply=GOOD, model="m")["ok"]
    proposal = steps.propose(campaign, by=Paste())
    assert proposal.rejected == 3
    told = proposal.attachments()["reply.md"].decode()
    assert told.count("# Reply\n") == 4
    assert told.count("# Asked to try again\n") == 3
    assert told.index(BROKEN) < told.index(GOOD)


def test_a_duplicate_is_named_and_something_else_is_asked_for(campaign, ask):
    decide(campaign, {"fit.py": FASTER}, "discard", 2.0)
    box = ask()
    box.say("use", reply=GOOD, model="")
    assert "experiment 0001" in box.widget.now["repair"]
    assert box.widget.now["repair"].endswith("Propose something else, in the same format.")


def test_what_is_typed_is_there_again_after_a_reload_and_a_restart(campaign, ask):
    box = ask()
    assert box.say("draft", reply="half a rep\ud800", model="m") == {}
    assert box.widget.now["reply"] == "half a rep?"
    json.dumps(box.widget.now, ensure_ascii=False).encode()
    assert ask().widget.now["reply"] == "half a rep?"
    assert ask(idea="another").widget.now["reply"] == ""
    box.say("use", reply=GOOD, model="m")
    box.say("draft", reply="late", model="m")
    assert steps.propose(campaign, by=Paste()).files["fit.py"] == FASTER


def test_new_asks_for_another_one_and_then_returns_it(campaign, ask):
    ask().say("use", reply=GOOD, model="")
    first = steps.propose(campaign, by=Paste())
    assert steps.propose(campaign, by=Paste(), new=True).id == first.id  # nobody had collected it
    box = ask(new=True)
    other = GOOD.replace("0.08", "0.06")
    assert box.say("use", reply=other, model="")["ok"]
    second = steps.propose(campaign, by=Paste(), new=True)
    assert "0.06" in second.files["fit.py"]
    assert {one.id for one in campaign.pending()} == {first.id, second.id}


def test_what_was_kept_meanwhile_is_not_undone_by_a_whole_file(campaign, ask):
    box = ask()
    kept = PRINTED.replace("import os\n", "import os  # kept\n").replace("3 * x / 10", "3 * x / 9")
    decide(campaign, {"fit.py": kept}, "keep", 0.9)
    assert box.say("use", reply=whole(FASTER), model="")["ok"]
    proposal = steps.propose(campaign, by=Paste())
    assert proposal.parent == 1
    assert proposal.files["fit.py"] == kept.replace("RATE = 0.05", "RATE = 0.08")


def test_what_was_kept_is_not_undone_by_the_answer_to_a_prompt_before_the_last(campaign, ask):
    ask()
    kept = PRINTED.replace("import os\n", "import os  # kept\n").replace("3 * x / 10", "3 * x / 9")
    decide(campaign, {"fit.py": kept}, "keep", 0.9)
    box = ask()  # the cell is run again, and the answer to its first prompt is pasted
    assert box.say("use", reply=whole(FASTER), model="")["ok"]
    proposal = steps.propose(campaign, by=Paste())
    assert proposal.files["fit.py"] == kept.replace("RATE = 0.05", "RATE = 0.08")
    proposal.refuse("another one first")
    answer = ask().say("use", reply=whole(PRINTED), model="")  # what the first prompt had
    assert "changes nothing" in answer["text"]


def test_the_answer_to_the_newest_prompt_may_change_again_what_was_kept(campaign, ask):
    ask()
    decide(campaign, {"fit.py": PRINTED.replace("RATE = 0.05", "RATE = 0.07")}, "keep", 0.9)
    assert ask().say("use", reply=whole(FASTER), model="")["ok"]
    assert steps.propose(campaign, by=Paste()).files["fit.py"] == FASTER


def test_a_block_for_a_prompt_before_the_last_is_merged_with_what_was_kept(campaign, ask):
    ask()
    kept = PRINTED.replace("import os\n", "import os  # kept\n")
    decide(campaign, {"fit.py": kept}, "keep", 0.9)
    rate = "LEARNING_RATE = 0.05  # search: 0.001 to 0.5 log"
    pasted = blocks(f"import os\n...\n{rate}", f"import os\n...\n{rate.replace('0.05', '0.08')}")
    assert ask().say("use", reply=pasted, model="")["ok"]
    proposal = steps.propose(campaign, by=Paste())
    assert proposal.files["fit.py"] == kept.replace("RATE = 0.05", "RATE = 0.08")


def test_many_failed_tries_stay_few_and_short_on_disk(campaign, ask):
    box = ask()
    for n in range(6):
        box.say("use", reply=f"{BROKEN}\nreply {n}\n" + "x " * 50_000, model="")
    assert ask().widget.now["tries"] == 6
    box.say("draft", reply="", model="")
    (kept,) = (path for path in (campaign.state / "paste").glob("*.json") if path.stem != "prompt")
    assert kept.stat().st_size < 100_000
    assert box.say("use", reply=GOOD, model="")["ok"]
    proposal = steps.propose(campaign, by=Paste())
    assert proposal.rejected == 6
    told = proposal.attachments()["reply.md"].decode()
    assert told.startswith("(3 earlier replies could not be used and are left out.)")
    assert [n for n in range(6) if f"reply {n}\n" in told] == [3, 4, 5]


def test_a_key_in_the_notes_of_a_reply_stays_out_of_the_scratchpad(campaign, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "canary-secret-12345")
    monkeypatch.setattr(scratchpad, "is_due", lambda campaign: True)  # after ten experiments
    steps.propose(campaign, by=Paste(f"<notes>The key is canary-secret-12345.</notes>\n{GOOD}"))
    assert scratchpad.read(campaign) == "The key is $SOME_API_KEY."


def test_a_reply_that_collides_with_what_was_kept_asks_for_a_new_prompt(campaign, ask):
    box = ask()
    decide(campaign, {"fit.py": PRINTED.replace("RATE = 0.05", "RATE = 0.07")}, "keep", 0.9)
    answer = box.say("use", reply=GOOD, model="")
    assert not answer["ok"]
    assert "experiment 0001, which was kept after the prompt was made" in answer["text"]
    assert "Run this cell again" in answer["text"]
    assert box.widget.now["repair"] == ""  # the model has done nothing wrong
    assert "0.07" in ask().widget.page["prompt"]


def test_without_a_front_end_the_prompt_lies_in_a_file_and_the_reply_comes_from_one(
    campaign, tmp_path
):
    with pytest.raises(ReplyPending, match=r"ark\.Paste\('reply\.md'\)") as pending:
        steps.propose(campaign, by=Paste())
    prompt = campaign.state / "paste" / "prompt.md"
    assert str(prompt) in str(pending.value)
    assert "LEARNING_RATE = 0.05" in prompt.read_text()
    reply = tmp_path / "reply.md"
    reply.write_text(BROKEN)
    with pytest.raises(ReplyError, match=r"LEARNING_RATE = 0\.5"):
        steps.propose(campaign, by=Paste(reply))
    reply.write_bytes(GOOD.replace("\n", "\r\n").encode("utf-8-sig"))
    proposal = steps.propose(campaign, by=Paste(reply, model="m"))
    assert dict(proposal.files) == {"fit.py": FASTER}
    assert proposal.attachments()["prompt.md"] == prompt.read_bytes()
    assert steps.propose(campaign, by=Paste(str(reply), model="m")) == proposal


def test_a_reply_needs_no_prompt_of_ours(campaign):
    proposal = steps.propose(campaign, by=Paste(GOOD))
    assert dict(proposal.files) == {"fit.py": FASTER}
    assert "prompt.md" not in proposal.attachments()
    assert repr(Paste(GOOD)) == repr(Paste(GOOD)) != repr(Paste(BROKEN))


@pytest.mark.parametrize("given", ["reply.md", ".", "I would halve the rate", "a\0b"])
def test_neither_a_reply_nor_a_file_is_told(campaign, given: str):
    with pytest.raises(ProposalError, match="neither a reply of several lines nor a file"):
        steps.propose(campaign, by=Paste(given))


def test_a_night_has_nobody_who_pastes(campaign):
    with of("night|n1"), pytest.raises(ProposalError, match="a night has none") as error:
        Paste()(campaign)
    assert not isinstance(error.value, ReplyPending)


def test_feedback_gets_into_a_prompt_together_with_the_patch(campaign, ask):
    ask().say("use", reply=GOOD, model="")
    proposal = steps.propose(campaign, by=Paste())
    with pytest.raises(ProposalError, match=r"idea='less of it'\)"):
        succession.revise(proposal, "less of it", proposal.by)
    assert proposal.status == "open"
    page = ask(idea="less of it").widget.page
    assert page["idea"] == "less of it"
    assert "less of it" in page["prompt"]
    assert "+LEARNING_RATE = 0.08" in page["prompt"]


def test_two_cells_with_other_ideas_have_boxes_of_their_own(campaign, ask):
    one, two = ask(idea="rate"), ask(idea="steps")
    assert "rate" in one.widget.page["idea"]
    one.say("use", reply=GOOD, model="")
    assert two.say("use", reply=GOOD, model="")["ok"] is False  # proposed already
    two.say(
        "use", reply=blocks("STEPS = 40  # search: 10 to 200", "STEPS = 50", "more steps"), model=""
    )
    assert steps.propose(campaign, by=Paste(), idea="rate").files["fit.py"] == FASTER
    assert steps.propose(campaign, by=Paste(), idea="steps").hypothesis == "more steps"


def test_where_no_widget_is_shown_the_page_says_where_the_prompt_is(campaign, ask):
    widget = ask().widget
    text, html = widget._still()
    assert os.fspath(campaign.state / "paste" / "prompt.md") in text
    assert "run this cell again" in html
    assert str(campaign.path) not in html  # a notebook may be published
