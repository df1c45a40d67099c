"""A person decides: what the widget shows, and what each message of its page does on disk."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autoresearch_kit import files, pages, progress, reviews, steps, succession
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import ApprovalPending, ProposalError
from autoresearch_kit.pages import page_of
from autoresearch_kit.proposal import Proposal, draft
from autoresearch_kit.reviews import Desk, review
from autoresearch_kit.texts import restored, shown
from tests.conftest import PRINTED, git
from tests.decided import decide

# Lines with every ending, a byte order mark, and bytes that are no UTF-8 (lone surrogates).
PIECES = st.text("ab \t\ufeff\udc80\x00\u2028é", max_size=4)
LINES = st.lists(st.tuples(PIECES, st.sampled_from(["\n", "\r\n", "\r"])), max_size=8)
TEXTS = st.one_of(st.text(), LINES.map(lambda lines: "".join(map("".join, lines))))


@settings(deadline=None)
@given(TEXTS, st.text("ab\ufeff\udcff", max_size=3))
def test_what_an_editor_leaves_alone_comes_back_byte_for_byte(text: str, last: str):
    original = text + last  # with and without a final line end
    assert restored(shown(original), original) == original
    assert "\r" not in shown(original)
    assert json.loads(json.dumps(shown(original)).encode()) == shown(original)


@settings(deadline=None)
@given(LINES.filter(bool), st.data())
def test_an_edit_changes_no_other_line(lines: list[tuple[str, str]], data: st.DataObject):
    k = data.draw(st.integers(0, len(lines) - 1))
    original = "".join(map("".join, lines))
    assume(shown(original).count("\n") == len(lines))  # a \r and a \n didn't become one end
    edited = shown(original).split("\n")
    edited[k] = "edited"
    back = restored("\n".join(edited), original)
    before = "".join(map("".join, lines[:k]))
    after = "".join(map("".join, lines[k + 1 :]))
    assert back.startswith(before + "edited")
    assert back.endswith(after)
    assert back[len(before) + len("edited") : len(back) - len(after)] in {"\n", "\r\n", "\r"}


def test_new_lines_end_as_most_of_the_old_ones():
    original = "a\r\nb\r\nc\nd"
    assert restored("a\nnew\nb\nc\nd\nlast\n", original) == "a\r\nnew\r\nb\r\nc\nd\r\nlast\r\n"
    assert restored("", original) == ""
    assert restored("x\ny", "one line \udc80") == "x\ny"


def test_a_hundred_thousand_equal_lines_with_two_edits_are_restored_at_once():
    original = "\r\n" * 100_000
    edited = shown(original).split("\n")
    edited[1] = edited[-2] = "x"
    began = time.monotonic()
    back = restored("\n".join(edited), original)
    print(f"{time.monotonic() - began:.2f} s")
    assert back == "\r\nx" + "\r\n" * 99_997 + "\r\nx\r\n"


class Scripted:
    """A proposer that says what a test wants, piece by piece, before it answers."""

    def __init__(self, answer: Callable[[Campaign, Proposal], Any], pieces: int = 1) -> None:
        self.answer, self.pieces = answer, pieces
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.asked: list[str] = []

    def __call__(self, campaign: Campaign, *, idea: Any = None, revises: Any = None) -> Any:
        self.asked.append(revises.feedback)
        for i in range(self.pieces):
            progress.say(f"{i} ")
            time.sleep(0.01)
        self.may_go_on.wait(10)
        return self.answer(campaign, revises)


class Page:
    """The browser's side of a review: sends messages and keeps what comes back."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.widget = desk, desk.widget
        self.got: list[dict[str, Any]] = []
        desk.widget.send = lambda content, buffers=None: self.got.append(content)

    def __getitem__(self, name: str) -> Any:
        return self.widget.page[name]

    def say(self, type: str, **more: Any) -> dict[str, Any]:
        """Send a message about the proposal in sight and return the answer to it."""
        before = len(self.got)
        self.widget._heard(None, {"type": type, "id": self["id"], **more})
        answers = [m for m in self.got[before:] if m["type"] == "answer"]
        return answers[0] if answers else {}

    def wait(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not what():
            assert time.monotonic() < deadline, self.got
            time.sleep(0.01)

    def answer(self) -> dict[str, Any]:
        """Wait for the answer of a thread."""
        self.wait(lambda: any(m["type"] == "answer" for m in self.got))
        return next(m for m in self.got if m["type"] == "answer")


@pytest.fixture
def campaign(host: Path, contract: dict[str, str]) -> Campaign:
    campaign = open_campaign(host, tag="t", **contract)
    decide(campaign, {}, "keep", 1.0)
    return campaign


def rate(value: object, steps: int = 40) -> str:
    text = PRINTED.replace("LEARNING_RATE = 0.05", f"LEARNING_RATE = {value}")
    return text.replace("STEPS = 40", f"STEPS = {steps}")


@pytest.fixture
def propose(campaign: Campaign) -> Callable[..., Proposal]:
    def make(value: object = 0.07, **more: Any) -> Proposal:
        given = {"hypothesis": f"rate {value}", "author": "scripted"} | more
        return draft(campaign, files={"fit.py": rate(value)}, **given)

    return make


@pytest.fixture
def sit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    """A function that puts proposals before a person; no thread may outlive the decisions."""
    monkeypatch.setattr(reviews, "LOOK_SECONDS", 0.05)
    desks = []

    def make(*given: Proposal, by: Any = None) -> Page:
        desks.append(Desk(given, by))
        return Page(desks[-1])

    yield make
    for desk in desks:
        for proposal in desk._proposals:
            if succession.latest(proposal).status == "open":
                succession.latest(proposal).approve()
    deadline = time.monotonic() + 10
    while left := [t.name for t in threading.enumerate() if t.name in ("review", "revision")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_a_click_on_approve_is_a_decision_on_disk(propose, sit):
    proposal = propose(expected=-0.01, cost={"money": 0.021, "tokens": 1234, "seconds": 12.3})
    page = sit(proposal)
    assert page["status"] == "open"
    assert page["expected"] == "-0.01 val_loss"
    assert page["cost"] == "0.021 spent, 1,234 tokens, 12 s"
    assert page["touches"] == ["LEARNING_RATE 0.05 → 0.07"]
    assert page["files"] == [
        {"path": "fit.py", "old": PRINTED, "new": rate(0.07), "draft": None},
    ]
    answer = page.say("approve", files={"fit.py": rate(0.07)}, guess=" −0.02 ")
    assert answer["ok"]
    assert answer["to"] == "approve"
    assert "ark.apply(proposal)" in answer["text"]
    assert proposal.status == page["status"] == "approved"
    assert not proposal.edited_by_human
    assert proposal.decision["guess"] == -0.02
    assert page["decided"]["by"] == "Ada Tester <ada@example.org>"
    assert steps.apply(proposal).n == 1


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (
            {"money": 0.0213, "tokens": 12345, "cached": 9000, "seconds": 14.2},
            "0.0213 spent, 12,345 tokens (9,000 cached), 14 s",
        ),
        (
            {"money": 0.02, "tokens": 12345, "cached": 0, "estimated": True},
            "about 0.02 spent, about 12,345 tokens",
        ),
        ({"tokens": 900, "seconds": 0.2}, "900 tokens"),
        ({}, ""),
    ],
)
def test_what_a_proposal_took_is_told_in_words(propose, cost: dict[str, Any], words: str):
    proposal = propose(cost=cost)
    assert page_of(proposal)["cost"] == words
    assert (f"cost         {words}\n" in pages.still(proposal).text) is bool(words)


def test_what_a_person_edited_is_committed_and_the_proposed_patch_is_kept(propose, sit):
    proposal = propose()
    answer = sit(proposal).say("approve", files={"fit.py": rate(0.06, steps=50)}, guess="")
    assert answer["text"].startswith("Approved with your edits.")
    experiment = steps.apply(proposal)
    assert experiment.files["fit.py"] == rate(0.06, steps=50)
    assert proposal.edited_by_human
    assert b"+LEARNING_RATE = 0.07" in proposal.attachments()["proposed.patch"]
    assert "guess" not in proposal.decision


def test_edits_keep_the_line_ends_and_the_bytes_of_the_rest(make_host, contract, sit):
    path = make_host({"fit.py": PRINTED.replace("\n", "\r\n")})
    latin, more = "caf\udce9\r\nrate 5\nsteps 40\r\n", "sure"
    (path / "table.txt").write_bytes((latin + more).encode("utf-8", "surrogateescape"))
    (path / "fit.py").write_bytes(PRINTED.replace("\n", "\r\n").encode())
    git(path, "add", ".")
    git(path, "commit", "-qm", "odd")
    campaign = open_campaign(path, tag="t", **contract | {"edit": ("fit.py", "table.txt")})
    decide(campaign, {}, "keep", 1.0)
    old = campaign.mutable(campaign.best.commit)
    changed = {"fit.py": old["fit.py"].replace("40", "50"), "table.txt": latin + "unsure"}
    proposal = draft(campaign, files=changed, hypothesis="h", author="a")
    page = sit(proposal)
    json.dumps(page.widget.page).encode()
    texts = {file["path"]: file["new"] for file in page["files"]}
    assert "\r" not in "".join(texts.values())
    texts["fit.py"] = texts["fit.py"].replace("0.05", "0.06")
    texts["table.txt"] = texts["table.txt"].replace("rate 5", "rate 6")
    page.say("approve", files=texts, guess="")
    assert proposal.files["fit.py"] == changed["fit.py"].replace("0.05", "0.06")
    assert proposal.files["table.txt"] == "caf\udce9\r\nrate 6\r\nsteps 40\r\nunsure"
    experiment = steps.apply(proposal)
    blob = subprocess.check_output(["git", "-C", path, "show", f"{experiment.commit}:table.txt"])
    assert blob == b"caf\xe9\r\nrate 6\r\nsteps 40\r\nunsure"


@pytest.mark.parametrize("guess", ["much", "nan", "inf", "1,5"])
def test_a_guess_that_is_no_number_leaves_the_proposal_open(propose, sit, guess: str):
    proposal = propose()
    page = sit(proposal)
    answer = page.say("approve", files={}, guess=guess)
    assert not answer["ok"]
    assert repr(guess) in answer["text"]
    assert "such as -0.01" in answer["text"]
    assert proposal.status == page["status"] == "open"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PRINTED, "change something that runs"),
        (PRINTED.replace("STEPS", "STEPS (("), "fit.py"),
        ("#" * 300_000, "make it smaller"),
    ],
    ids=["all reverted", "no Python", "too large"],
)
def test_an_edit_that_is_no_experiment_is_told_and_decides_nothing(
    propose, sit, text: str, words: str
):
    proposal = propose()
    page = sit(proposal)
    answer = page.say("approve", files={"fit.py": text}, guess="")
    assert not answer["ok"]
    assert words in answer["text"]
    assert page["status"] == "open"


def test_files_that_are_not_proposed_cannot_be_smuggled_in(propose, sit, campaign):
    proposal = propose()
    texts = {"fit.py": rate(0.07), "/etc/passwd": "x"}
    assert sit(proposal).say("approve", files=texts, guess="")["ok"]
    assert dict(proposal.files) == {"fit.py": rate(0.07)}


def test_a_refusal_is_recorded_with_its_reason_and_never_again_goes_to_program_md(
    propose, sit, campaign
):
    proposal = propose()
    page = sit(proposal)
    assert page["program"] == "program.md"
    reason = "it diverges\nat 0.07"
    answer = page.say("refuse", reason=reason, never_again="rates above 0.06")
    assert answer["ok"]
    assert answer["text"].endswith("- Never again: rates above 0.06")
    assert page["status"] == "refused"
    assert page["decided"]["reason"] == reason
    record = campaign.records()[-1]
    assert (record.status, record.reason) == ("refused", reason)
    assert "- Never again: rates above 0.06\n" in (campaign.path / "program.md").read_text()


def test_a_refusal_without_a_reason_leaves_the_proposal_open(propose, sit):
    page = sit(propose())
    answer = page.say("refuse", reason=" \n", never_again="x")
    assert not answer["ok"]
    assert "needs a reason" in answer["text"]
    assert page["status"] == "open"
    assert not (page.desk._proposal.campaign.path / "program.md").exists()


def test_a_refusal_stands_when_program_md_cannot_be_written(propose, sit, campaign):
    page = sit(propose())
    (campaign.path / "program.md").mkdir()
    answer = page.say("refuse", reason="no", never_again="rates above 0.06")
    assert answer["ok"]
    assert answer["text"].startswith("Refused, but program.md stays as it was: ")
    assert page["status"] == "refused"


def test_a_revision_streams_in_and_its_page_appears(propose, sit, campaign):
    def another(campaign: Campaign, revises: Proposal) -> Proposal:
        text = {"fit.py": rate(0.06)}
        return draft(campaign, files=text, hypothesis=revises.feedback, author="scripted")

    by, proposal = Scripted(another, pieces=50), propose()
    page = sit(proposal, by=by)
    assert page.say("revise", feedback="half of it") == {}
    answer = page.answer()
    assert answer == {"type": "answer", "to": "revise", "ok": True, "text": answer["text"]}
    kinds = [m["type"] for m in page.got]
    assert page.got[0] == {"type": "stream", "state": "begin"}
    assert page.got[-2] == {"type": "stream", "state": "end"}
    pieces = [m["text"] for m in page.got if m["type"] == "append"]
    assert "".join(pieces) == "".join(f"{i} " for i in range(50))
    assert 1 < len(pieces) < 25  # batches: half a second holds five or so
    assert kinds.count("answer") == 1
    assert page["hypothesis"] == "half of it"
    assert page["status"] == "open"
    assert page["feedback"] == ["half of it"]
    assert page["id"] != proposal.id
    assert proposal.status == "revised"

    page.say("approve", files={"fit.py": rate(0.06)}, guess="")
    assert steps.apply(proposal).files["fit.py"] == rate(0.06)  # the old variable follows


def test_what_a_proposer_says_is_shown_before_it_goes_silent(propose, sit):
    by = Scripted(lambda c, r: None, pieces=3)
    by.may_go_on.clear()
    page = sit(propose(), by=by)
    page.say("revise", feedback="x")
    said = lambda: "".join(m["text"] for m in page.got if m["type"] == "append")  # noqa: E731
    page.wait(lambda: said() == "0 1 2 ")
    by.may_go_on.set()
    page.answer()


def raises(campaign: Campaign, revises: Proposal) -> Any:
    raise ZeroDivisionError("no idea")


def gives_up(campaign: Campaign, revises: Proposal) -> Any:
    raise ProposalError("nothing left to try")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (raises, "the proposer failed: ZeroDivisionError: no idea"),
        (gives_up, "nothing left to try"),
        (lambda c, r: "rubbish", "the proposer returned 'rubbish'; expected a Proposal"),
        (lambda c, r: None, "the proposer returned None"),
    ],
)
def test_a_proposer_that_fails_is_told_and_the_proposal_stays_open(propose, sit, behaviour, words):
    proposal = propose()
    page = sit(proposal, by=Scripted(behaviour))
    page.say("revise", feedback="again")
    answer = page.answer()
    assert not answer["ok"]
    assert words in answer["text"]
    assert page.got[-2] == {"type": "stream", "state": "end"}
    assert page["status"] == proposal.status == "open"
    assert page.say("approve", files={}, guess="")["ok"]


def test_feedback_is_needed_and_a_second_click_asks_no_second_time(propose, sit):
    by = Scripted(lambda c, r: None)
    page = sit(propose(), by=by)
    page.say("revise", feedback="  ")
    assert "say what should be different" in page.answer()["text"]
    assert by.asked == []
    page.got.clear()
    by.may_go_on.clear()
    page.say("revise", feedback="less")
    page.wait(lambda: by.asked == ["less"])
    answer = page.say("revise", feedback="less")
    assert not answer["ok"]
    assert "at work on it already" in answer["text"]
    by.may_go_on.set()
    page.wait(lambda: sum(m["type"] == "answer" for m in page.got) == 2)
    assert by.asked == ["less"]


def test_a_revision_is_asked_of_the_one_who_proposed(campaign, sit):
    asked = []

    def by(campaign: Campaign, *, idea: Any = None, revises: Any = None) -> Proposal:
        asked.append(revises and revises.feedback)
        text = {"fit.py": rate(0.06 if revises else 0.07)}
        return draft(campaign, files=text, hypothesis="h", author="a")

    page = sit(steps.propose(campaign, by=by))
    page.say("revise", feedback="again")
    page.answer()
    assert asked == [None, "again"]


def test_unsaved_edits_survive_a_restart_and_are_gone_once_decided(propose, sit, campaign):
    proposal = propose()
    page = sit(proposal)
    page.say("draft", files={"fit.py": rate(0.065), "other": "x"})
    assert page["files"][0]["draft"] == rate(0.065)  # what a page that is loaded again gets
    after_restart = proposals.load(campaign, proposal.id)
    page = sit(after_restart)
    assert page["files"][0]["draft"] == rate(0.065)
    assert page["files"][0]["new"] == rate(0.07)
    page.say("draft", files={"fit.py": rate(0.07)})  # all taken back
    assert page_of(proposal)["files"][0]["draft"] is None
    page.say("draft", files={"fit.py": rate(0.065)})
    page.say("approve", files={"fit.py": rate(0.066)}, guess="")
    page.say("draft", files={"fit.py": rate(0.065)})
    assert page["files"] == page_of(proposal)["files"]
    (file,) = page["files"]
    assert file == {"path": "fit.py", "old": PRINTED, "new": rate(0.066), "draft": None}


def test_a_late_draft_of_a_refused_proposal_leaves_no_folder_behind(propose, sit, campaign):
    proposal = propose()
    page = sit(proposal)
    page.say("refuse", reason="no")
    assert page.say("draft", files={"fit.py": rate(0.065)}) == {}
    assert list((campaign.state / "proposals").rglob("draft.json")) == []
    assert list((campaign.state / "proposals" / "open").glob("*")) == []


def test_several_proposals_are_gone_through_in_a_circle(propose, sit):
    three = [propose(value) for value in (0.06, 0.07, 0.08)]
    page = sit(*three)
    assert page["position"] == [1, 3]
    page.say("go", step=1)
    assert (page["position"], page["hypothesis"]) == ([2, 3], "rate 0.07")
    page.say("approve", files={"fit.py": rate(0.07)}, guess="")
    assert page["status"] == "approved"
    page.say("go", step=1)
    page.say("refuse", reason="too much")
    page.say("go", step=1)
    assert (page["position"], page["status"]) == ([1, 3], "open")
    page.say("go", step=-1)
    assert [proposal.status for proposal in three] == ["open", "approved", "refused"]


def test_one_who_comes_late_is_told_what_was_decided_meanwhile(propose, sit, monkeypatch):
    monkeypatch.setattr(Desk, "_follow", lambda self: None)
    refused, approved, edited = propose(0.06), propose(0.07), propose(0.08)
    pages = [sit(one) for one in (refused, approved, edited)]
    refused.refuse("first come", by="Bea")
    approved.approve(by="Bea")
    edited.approve(by="Bea", files={"fit.py": rate(0.09)})

    answer = pages[0].say("approve", files={"fit.py": rate(0.06)}, guess="")
    assert not answer["ok"]
    assert "refused by Bea already" in answer["text"]
    assert pages[0]["status"] == "refused"
    assert pages[0]["decided"]["by"] == "Bea"
    assert pages[1].say("approve", files={"fit.py": rate(0.07)}, guess="")["ok"]
    assert pages[1]["decided"]["by"] == "Bea"
    assert not pages[1].say("refuse", reason="no")["ok"]
    assert not pages[2].say("approve", files={"fit.py": rate(0.085)}, guess="")["ok"]
    assert pages[2]["decided"]["edited"]
    assert pages[2]["files"][0]["new"] == rate(0.09)
    pages[1].got.clear()
    pages[1].say("revise", feedback="again")
    assert "only an open one can be revised" in pages[1].answer()["text"]


def test_a_decision_on_what_was_replaced_meanwhile_does_nothing(propose, sit, monkeypatch):
    monkeypatch.setattr(Desk, "_follow", lambda self: None)
    proposal = propose()
    page = sit(proposal)
    old = page["id"]

    def another(campaign: Campaign, *, idea: Any, revises: Any) -> Proposal:
        return draft(campaign, files={"fit.py": rate(0.06)}, hypothesis="new", author="a")

    successor = succession.revise(proposal, "again", another)
    for words in ("revised", "another proposal took the place"):  # before it is noticed, and after
        page.widget._heard(None, {"type": "approve", "id": old, "files": {}, "guess": ""})
        assert not page.got[-1]["ok"]
        assert words in page.got[-1]["text"]
    assert page["hypothesis"] == "new"
    assert successor.status == "open"
    assert page.say("draft", id=old, files={"fit.py": "x"}) == {}


def test_a_decision_in_another_cell_is_noticed_and_ends_the_watch(propose, sit):
    proposal = propose()
    page = sit(proposal)
    proposal.refuse("no", by="Bea")
    page.wait(lambda: page["status"] == "refused")
    assert page["decided"]["by"] == "Bea"
    page.wait(lambda: not any(t.name == "review" for t in threading.enumerate()))


def test_a_revision_in_another_cell_is_shown_and_watched_in_turn(propose, sit):
    proposal = propose()
    page = sit(proposal)

    def another(campaign: Campaign, *, idea: Any, revises: Any) -> Proposal:
        return draft(campaign, files={"fit.py": rate(0.06)}, hypothesis="new", author="a")

    successor = succession.revise(proposal, "again", another)
    page.wait(lambda: page["hypothesis"] == "new")
    successor.approve(by="Bea")
    page.wait(lambda: page["status"] == "approved")


def test_the_time_a_night_waits_is_shown_when_it_begins_to_wait(propose, sit):
    proposal = propose()
    page = sit(proposal)
    assert page["deadline"] is None
    asked = {"until": "2030-01-01T00:00:00Z", "then": "refuse"}
    files.write_json(proposal.folder / "asked.json", asked)
    page.wait(lambda: page["deadline"] is not None)
    assert page["deadline"] == {"at": "2030-01-01T00:00:00Z", "then": "refuse"}


def test_a_watch_that_fails_prints_nothing_and_goes_on(propose, sit, monkeypatch, caplog, capsys):
    proposal = propose()
    page = sit(proposal)
    real, failed = succession.latest, threading.Event()

    def fails_once(given: Proposal) -> Proposal:
        if not failed.is_set() and threading.current_thread().name == "review":
            failed.set()
            raise OSError("disk away")
        return real(given)

    monkeypatch.setattr(succession, "latest", fails_once)
    with caplog.at_level(logging.WARNING):
        proposal.approve(by="Bea")
        page.wait(lambda: page["status"] == "approved")
    assert failed.is_set()
    assert capsys.readouterr().err == ""
    assert page.say("go", step=1) == {}


def test_nonsense_from_a_page_is_answered_and_harms_nothing(propose, sit):
    page = sit(propose())
    assert page.say("pong") == page.say("unheard of") == {}
    assert not page.say("go")["ok"]
    assert not page.say("draft", files=None)["ok"]
    page.widget._heard(None, {})
    assert page["status"] == "open"
    empty = Desk([])
    assert empty.widget.page == {}
    assert repr(empty.widget) == ""


def test_a_page_of_odd_and_huge_files_is_plain_json(make_host, contract):
    odd = "x = 1\n" + '"""\x00\x1b[31m\u202e\ufeff\U0001f600"""\n' + "# " + "long " * 40_000 + "\n"
    path = make_host({"fit.py": odd})
    campaign = open_campaign(path, tag="t", allow=("literal", "size"), **contract)
    decide(campaign, {}, "keep", 1.0)
    files = {"fit.py": odd.replace("x = 1", "x = 2")}
    with pytest.raises(ProposalError):
        draft(campaign, files=files, hypothesis="h", author="a")  # a NUL is no Python
    files = {"fit.py": f"x = {[0] * 50_000}\n"}
    proposal = draft(
        campaign,
        files=files,
        hypothesis="\x1b[2Jevil\u202e",
        author="\u202eroot",
        attachments={"reply.md": "\x1b" + "r" * 1_000_000},
    )
    page = page_of(proposal)
    json.dumps(page, allow_nan=False).encode()
    assert page["files"][0]["old"] == odd
    assert "\x1b" not in page["hypothesis"] + page["author"] + page["reply"]
    assert len(page["reply"]) <= pages.ATTACHMENT_CHARACTERS
    assert {warning["kind"] for warning in page["warnings"]} >= {"literal", "size"}
    assert pages.still(proposal).text


def test_the_page_of_a_file_of_1500_lines_is_made_in_time(make_host, contract, capsys):
    body = "".join(f"def f{i}(x):\n    y = x + {i}\n    return y * {i}\n\n" for i in range(380))
    campaign = open_campaign(make_host({"fit.py": "import os\n" + body}), tag="t", **contract)
    decide(campaign, {}, "keep", 1.0)
    new = "import subprocess\n" + body.replace("return y * 7\n", "return y * 8\n")
    proposal = draft(campaign, files={"fit.py": new}, hypothesis="h", author="a")
    began = time.perf_counter()
    page = page_of(proposal)
    seconds = time.perf_counter() - began
    with capsys.disabled():
        print(f"page_of, {new.count(chr(10))} lines: {seconds:.3f} s")
    assert "f7() changed" in page["touches"]


def test_awaiting_where_nobody_is_there_raises_at_once(propose):
    proposal = propose()
    page = review(proposal)

    async def decided() -> Proposal:
        return await page

    with pytest.raises(ApprovalPending, match=r"Type proposal\.approve\(\)"):
        asyncio.run(decided())
    proposal.approve()
    assert asyncio.run(decided()) == proposal


async def _click(page: Page, messages: list[Mapping[str, Any]]) -> Any:
    """Await a review while another thread sends what a page would."""

    def send() -> None:
        for message in messages:
            time.sleep(0.05)
            page.say(**message)

    clicks = threading.Thread(target=send)
    clicks.start()
    try:
        return await page.widget
    finally:
        clicks.join()


def test_awaiting_a_widget_returns_what_was_decided(propose, sit, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr(progress, "display", shown.append)
    proposal = propose()
    page = sit(proposal)
    messages = [{"type": "pong"}, {"type": "approve", "files": {}, "guess": ""}]
    decided = asyncio.run(_click(page, messages))
    assert decided == proposal
    assert decided.status == "approved"
    assert shown == [page.widget]
    assert {"type": "ping"} in page.got
    assert asyncio.run(_click(page, [])) == proposal
    assert shown == [page.widget]


def test_awaiting_a_widget_that_is_displayed_shows_no_second_one(propose, sit, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr(progress, "display", shown.append)
    page = sit(propose())
    page.widget._repr_mimebundle_()
    asyncio.run(_click(page, [{"type": "refuse", "reason": "no"}]))
    assert shown == []
    assert page["status"] == "refused"


def test_awaiting_a_widget_that_nobody_sees_gives_up(propose, sit, monkeypatch):
    monkeypatch.setattr(reviews, "FIRST_PONG_SECONDS", 0.1)
    monkeypatch.setattr(progress, "display", lambda what: None)
    page = sit(propose())
    with pytest.raises(ApprovalPending, match="no front end answered"):
        asyncio.run(_click(page, []))
    assert page.desk._listeners == []


def test_reviewing_nothing_and_rubbish(propose):
    assert review([]).text == "nothing waits for a decision"
    for rubbish in ("proposal", [1], [propose(), None], {"a": 1}, None, 7):
        with pytest.raises(TypeError, match=r"expected a Proposal or a list.*ark\.review\("):
            review(rubbish)


def test_a_widget_leaves_a_static_page_in_the_notebook(propose, sit):
    page = sit(propose(), propose(0.08))
    data, _ = page.widget._repr_mimebundle_()
    assert set(data) >= {"application/vnd.jupyter.widget-view+json", "text/plain", "text/html"}
    assert "proposal.approve()" in data["text/plain"]
    assert "rate 0.07" in data["text/html"]
    assert "rate 0.08" in data["text/html"]
    assert "page" in page.widget.get_state()
