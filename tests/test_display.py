"""Cards, diffs and the review, as text and as HTML."""

from __future__ import annotations

import html.parser
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import patch, records
from autoresearch_kit.blames import blame
from autoresearch_kit.campaign import open_campaign
from autoresearch_kit.comparisons import compare
from autoresearch_kit.display import diff, show
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.histories import history
from autoresearch_kit.proposal import draft
from autoresearch_kit.render import Page, visible
from autoresearch_kit.reviews import review
from tests.conftest import PRINTED, git
from tests.decided import decide
from tests.recorded import TRAIN, record, write

CURVE = records.curve((i / 20, 6 - 0.15 * i) for i in range(21))


class Tags(html.parser.HTMLParser):
    """Collects the elements of a page and checks that they close."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    decided = [
        record(0, "keep", 2.3),
        record(
            1,
            "keep",
            2.1,
            delta=-0.2,
            hypothesis="a higher rate\nmay help",
            reason="strictly better",
            curve=CURVE,
            lines_added=1,
            lines_removed=1,
            training_seconds=20.04,
            device="cpu",
        ),
        record(2, "crash", parent=1, reason="loss is nan", edited_by_human=True),
        record(3, "discard", 2.1, parent=0, about=1, reason="it did not repeat"),
    ]
    return write(tmp_path / "lab", decided)


def test_a_card_tells_hypothesis_verdict_curve_and_diff(lab: Path):
    card = show(lab, 1)
    assert isinstance(card, Page)
    assert repr(card) == str(card) == card.text
    for part in (
        "nov23 0001, commit ",
        "discard (was keep), val_loss 2.1 nats (-0.2)",
        "why          strictly better",
        "a higher rate\n             may help",
        "LR 0.04 → 0.041",
        "TPE(), approved by Ada <ada@example.org>",
        "1 line added, 1 removed, 20.0 s training on cpu",
        "0003 discard: it did not repeat",
        "█",
        "6 → 3",
        "-LR = 0.04\n+LR = 0.041\n",
    ):
        assert part in card.text
    assert {"table", "svg", "polyline", "pre"} <= Tags(card._repr_html_()).seen
    assert "Ada &lt;ada@example.org&gt;" in card.html


def test_a_card_tells_what_the_proposal_took_and_where_prompt_and_reply_are(
    host: Path, contract: dict[str, str]
):
    campaign = open_campaign(host, tag="nov23", **contract)
    decide(campaign, {}, "keep", 0.5)
    evil = "<script>alert(1)</script> \x1b[2J"
    proposal = draft(
        campaign,
        files={"fit.py": PRINTED.replace("STEPS = 40", "STEPS = 41")},
        hypothesis="more",
        author="LLM",
        cost={"money": 0.01339, "tokens": 4310, "cached": 1200, "seconds": 2.57, "estimated": 1},
        rejected=1,
        attachments={"prompt.md": f"{evil}\n" + "x" * 120_000, "reply.md": f"{evil} reply"},
    )
    proposal.refuse("no")
    card = show(campaign, 1)
    assert (
        "proposal     about 0.0134, about 4,310 tokens, 1,200 of them cached, 2.6 s, "
        "1 reply sent back\n" in card.text
    )
    command = re.search(r"prompt +(git show .*):prompt\.md \(and reply\.md\)", card.text)
    assert command
    printed = subprocess.run(
        [*command[1].split()[:2], f"{command[1].split()[2]}:reply.md"],
        cwd=host, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert printed.stdout == f"{evil} reply"
    assert "alert" not in card.text
    assert "details" in Tags(card.html).seen
    assert "script" not in Tags(card.html).seen
    assert "␛[2J reply</pre></details>" in card.html
    assert "… all of it: git show autoresearch-files/nov23/0001:prompt.md</pre>" in card.html
    assert len(card.html) < 110_000


def test_a_card_names_the_program_and_counts_tries_where_no_model_replied(tmp_path: Path):
    made = {"program": "8211ec5f2682", "rejected": 3, "seconds": 0.01, "cost": 0.0}
    tried = record(1, "keep", 2.1, proposal=made, lines_added=1)
    repo = write(tmp_path / "lab", [record(0, "keep", 2.3), tried])
    card = show(repo, 1)
    assert "proposal     3 tries put aside\nprogram.md   8211ec5f2682\nrun  " in card.text
    assert "<details" not in card.html


def test_a_word_on_an_earlier_experiment_changes_no_constant(tmp_path: Path):
    decided = [
        record(0, "keep", 2.3),
        record(1, "quarantine", 2.1, delta=-0.2),
        record(2, "keep", about=1, kind="override", constants={}, reason="two runs agree"),
        record(3, "keep", 2.11, about=1, kind="audit", constants={}),
    ]
    lab = write(tmp_path / "lab", decided)
    for n in (2, 3):
        assert "changed" not in show(lab, n).text.partition("diff --git")[0]
    assert history(lab).set_index("experiment")["changed"].to_dict() == {
        0: "",
        1: "LR",
        2: "",
        3: "",
    }
    assert "keep (was quarantine), val_loss 2.1 nats" in show(lab, 1).text


def test_what_a_rewind_took_back_says_so_on_its_card(tmp_path: Path):
    decided = [
        record(0, "keep", 2.3),
        record(1, "keep", 2.1, delta=-0.2),
        record(2, "keep", about=0, kind="rewind", constants={}, reason="another way"),
    ]
    text = show(write(tmp_path / "lab", decided), 1).text
    assert "discard (was keep), val_loss 2.1 nats" in text
    assert "later        discard: rewound to 0000: another way" in text


def test_long_constants_are_cut_to_where_they_differ(tmp_path: Path):
    values = [[8.156554524902461 + i, -22.48329292557795 - i] for i in range(5)]
    decided = [
        record(0, "keep", 2.3, constants={"POLAR": values}),
        record(1, "keep", 2.1, delta=-0.2, constants={"POLAR": values[:3]}),
    ]
    lab = write(tmp_path / "lab", decided)
    (line,) = [line for line in show(lab, 1).text.splitlines() if line.startswith("changed")]
    old, _, new = line.removeprefix("changed      POLAR ").partition(" → ")
    assert old != new
    assert max(len(old), len(new)) <= patch.LONGEST
    (row,) = [line for line in compare(lab, 0, 1).text.splitlines() if line.startswith("POLAR")]
    first, second = row.split("  ")[-2:]
    assert first.strip() != second.strip()


def test_a_crash_has_a_reason_and_no_metric(lab: Path):
    card = show(lab, 2)
    assert "verdict      crash\n" in card.text
    assert "loss is nan" in card.text
    assert "edited by a person" in card.text
    assert "<svg" not in card.html


def test_the_baseline_has_no_diff(lab: Path):
    assert "changes nothing" in show(lab, 0).text
    assert "changes nothing" in diff(lab, 0).text


def test_a_diff_applies_with_git(lab: Path, tmp_path: Path):
    patch = diff(lab, 1).text
    subprocess.run(["git", "-C", lab, "checkout", "-q", "main"], check=True)
    done = subprocess.run(["git", "-C", lab, "apply", "--check", "-"], input=patch, text=True)
    assert done.returncode == 0
    assert patch.startswith("diff --git a/train.py b/train.py\n")


def test_a_diff_in_html_keeps_its_signs_and_has_no_style_sheet(lab: Path):
    page = diff(lab, 1).html
    assert "-LR = 0.04" in page
    assert "+LR = 0.041" in page
    assert Tags(page).seen == {"pre", "span"}
    assert "--jp-" in page


def test_a_missing_number_is_said(lab: Path):
    with pytest.raises(CampaignError, match=r"no decided experiment 7 in nov23.*from 0 to 3"):
        show(lab, 7)


def test_one_of_several_campaigns_is_chosen_by_ref(tmp_path: Path):
    both = [record(0, "keep", v, campaign=c) for c, v in (("a", 1.5), ("b", 2.5))]
    repo = write(tmp_path / "lab", both)
    with pytest.raises(CampaignError, match=r"several campaigns .* a, b.*ref='a'"):
        show(repo, 0)
    assert "2.5" in show(repo, 0, ref="b").text


def test_hostile_text_is_harmless_in_terminal_and_notebook(tmp_path: Path):
    evil = "<script>alert(1)</script> \x1b[2J \u202e gnp.exe"
    code = TRAIN.format(lr=1) + f"# {evil}\n"
    decided = [
        record(0, "keep", 1.0),
        record(1, "keep", 0.9, hypothesis=evil, reason=evil, author=evil, device=evil),
    ]
    repo = write(tmp_path / "lab", decided, {1: {"train.py": code}})
    for page in (show(repo, 1), diff(repo, 1)):
        assert "\x1b" not in page.text + page.html
        assert "\u202e" not in page.text + page.html
        assert "␛[2J <U+202E> gnp.exe" in page.text
        assert "script" not in Tags(page.html).seen


TSV = """commit\tval_bpb\tmemory_gb\tstatus\tdescription
{start}\t0.9979\t44.0\tkeep\tbaseline
{kept}\t0.9900\t44.0\tkeep\thigher rate
abcdef1\t0.9950\t44.0\tdiscard\tGeLU activation
"""


def foreign(make_host: Callable[..., Path]) -> Path:
    """A clone with a branch, two commits and a results.tsv beside them, as the original has it."""
    repo = make_host({"train.py": "LR = 1\nDEPTH = 4\n"})
    git(repo, "checkout", "-qb", "autoresearch/mar8")
    (repo / "train.py").write_text("LR = 2\nDEPTH = 4\n")
    git(repo, "commit", "-qam", "higher rate")
    start, kept = (git(repo, "rev-parse", "--short", name) for name in ("HEAD~", "HEAD"))
    (repo / "results.tsv").write_text(TSV.format(start=start, kept=kept))
    return repo


def test_a_foreign_clone_has_cards_with_diffs_where_commits_are_left(
    make_host: Callable[..., Path],
):
    repo = foreign(make_host)
    kept = show(repo, 1)
    assert "keep, val_bpb 0.99" in kept.text
    assert "hypothesis   higher rate" in kept.text
    assert "-LR = 1\n+LR = 2\n" in kept.text
    gone = show(repo, 2)
    assert "discard, val_bpb 0.995" in gone.text
    assert "(no diff: " in gone.text
    assert "0001 -0.0079" in blame(repo).text
    assert "| LR = 2" in blame(repo).text
    assert "0001 is 0.0079 val_bpb better than 0000" in compare(repo, 0, 1).text


def test_a_results_file_alone_has_cards_that_say_so(tmp_path: Path):
    table = tmp_path / "results.tsv"
    table.write_text(TSV.format(start="1111111", kept="2222222"))
    for page in (show(table, 1), diff(table, 1), compare(table, 0, 1)):
        assert "(no diff: this was read from a file, without a repository)" in page.text
    with pytest.raises(CampaignError, match="a file without its repository"):
        blame(table)


def test_what_was_guessed_stands_beside_what_was_measured(tmp_path: Path):
    guessed = record(
        1, "keep", 2.1, delta=-0.2, evidence={"error": 0.013},
        proposal={"expected": -0.05, "guess": 0.01},
    )  # fmt: skip
    crashed = record(2, "crash", proposal={"expected": -0.05})
    repo = write(tmp_path / "lab", [record(0, "keep", 2.3), guessed, crashed])
    assert (
        "effect       -0.05 expected by TPE(), +0.01 guessed by Ada <ada@example.org>, "
        "-0.2 ± 0.013 measured\n" in show(repo, 1).text
    )
    assert "-0.05 expected by TPE(), no metric\n" in show(repo, 2).text
    assert "effect" not in show(repo, 0).text


def test_a_huge_diff_is_cut_in_the_card_and_whole_in_the_diff(tmp_path: Path):
    code = {1: {"train.py": "".join(f"A{i} = {i}\n" for i in range(20_000))}}
    repo = write(tmp_path / "lab", [record(0, "keep", 2.3), record(1, "keep", 2.1)], code)
    assert "… all of it: print(ark.diff(..., 1))" in show(repo, 1).html
    assert "+A19999 = 19999" in diff(repo, 1).html


@given(st.text())
def test_visible_text_holds_nothing_that_a_terminal_obeys(text: str):
    shown = visible(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert len(shown) >= len(text)
    assert visible(shown) == shown


def test_a_review_says_what_changes_and_what_to_type(
    host: Path, contract: dict[str, str], make_host: Callable[..., Path]
):
    campaign = open_campaign(host, tag="nov23", **contract)
    decide(campaign, {}, "keep", 0.5)
    text = PRINTED.replace("LEARNING_RATE = 0.05", "LEARNING_RATE = 1e-5")
    proposal = draft(
        campaign,
        files={"fit.py": text + "\n--x\n"},
        hypothesis="slower is steadier",
        author="TPE()",
        expected=-0.01,
    )

    page = review(proposal)
    for part in (
        "proposal     on nov23 0000, open\n",
        "slower is steadier",
        "author       TPE()\n",
        "expects      -0.01 val_loss\n",
        "changes      LEARNING_RATE 0.05 → 1e-5, ",
        "fit.py: 3 lines added, 1 removed\n",
        "proposal.approve() or proposal.refuse('why')",
        "-LEARNING_RATE = 0.05",
    ):
        assert part in page.text
    assert {"table", "pre"} <= Tags(page.html).seen

    proposal.approve()
    assert "ark.apply(proposal)" in review(proposal).text
    assert "approved by Ada Tester" in review(proposal).text


def test_a_refused_proposal_shows_the_reason(host: Path, contract: dict[str, str]):
    campaign = open_campaign(host, tag="nov23", **contract)
    decide(campaign, {}, "keep", 0.5)
    files = {"fit.py": PRINTED.replace("STEPS = 40", "STEPS = 41\nMORE = 2")}
    proposal = draft(campaign, files=files, hypothesis="more", author="me")
    assert "STEPS 40 → 41, MORE = 2 (new)" in review(proposal).text
    proposal.refuse("too slow")
    assert "refused by Ada Tester <ada@example.org>: too slow" in review(proposal).text
