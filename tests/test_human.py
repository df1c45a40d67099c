"""A person's edits, in all the forms that `Human` takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autoresearch_kit.campaign import Campaign, open_campaign
from autoresearch_kit.errors import Duplicate, NoChange, PatchConflict, ProposalError
from autoresearch_kit.proposers import Human
from tests.conftest import git
from tests.decided import decide

FIT = """\
WIDTH = 4
RATE = 0.05

a = WIDTH
b = a + 1
c = b + RATE
print(f"loss: {c}")
"""

Host = Callable[..., Path]


def begin(host: Path, *edit: str) -> Campaign:
    campaign = open_campaign(
        host, tag="one", edit=edit, train="python fit.py", metric="loss", goal="minimize"
    )
    decide(campaign, {}, "keep", 1.0)
    return campaign


@pytest.fixture
def campaign(make_host: Host) -> Campaign:
    return begin(make_host({"fit.py": FIT}), "fit.py")


def test_new_text_becomes_an_approved_proposal_of_the_git_user(campaign: Campaign) -> None:
    new = FIT.replace("WIDTH = 4", "WIDTH = 5")
    proposal = Human(edit=new)(campaign, idea="wider is better")
    assert proposal.files == {"fit.py": new}
    assert proposal.hypothesis == "wider is better"
    assert proposal.author == "Ada Tester <ada@example.org>"
    assert proposal.status == "approved"
    assert (campaign.path / "fit.py").read_text() == FIT


@pytest.mark.parametrize("form", ["mapping", "path", "name", "function"])
def test_every_form_of_the_edit_gives_the_same_text(
    campaign: Campaign, tmp_path: Path, form: str
) -> None:
    new = FIT.replace("0.05", "0.06")
    file = tmp_path / "new.py"
    file.write_text(new)
    forms = {
        "mapping": {"fit.py": new},
        "path": file,
        "name": str(file),
        "function": lambda old: old.replace("0.05", "0.06"),
    }
    assert Human(edit=forms[form])(campaign).files == {"fit.py": new}


def test_the_default_hypothesis_names_constants_or_counts_lines(campaign: Campaign) -> None:
    tune = Human(edit=lambda old: old.replace("0.05", "1e-5").replace("WIDTH = 4", "WIDTH = 8 # !"))
    assert tune(campaign).hypothesis == "WIDTH 4 -> 8, RATE 0.05 -> 1e-5"
    code = Human(edit=lambda old: old.replace("b = a + 1", "b = a\nb += 2").replace("0.05", "0.1"))
    assert code(campaign).hypothesis == "edit of fit.py: +3 -2 lines"
    assert Human(edit=lambda old: old + "a = 1\n", hypothesis="why")(campaign).hypothesis == "why"


def test_uncommitted_edits_are_taken_and_left_alone(campaign: Campaign) -> None:
    mine = FIT.replace("b = a + 1", "b = a + 2")
    (campaign.path / "fit.py").write_text(mine)
    before = git(campaign.path, "status", "--porcelain")
    assert Human()(campaign).files == {"fit.py": mine}
    assert (campaign.path / "fit.py").read_text() == mine
    assert git(campaign.path, "status", "--porcelain") == before


def test_uncommitted_edits_are_merged_onto_the_best_state(campaign: Campaign) -> None:
    decide(campaign, {"fit.py": FIT.replace("WIDTH = 4", "WIDTH = 6")}, "keep", 0.9)
    (campaign.path / "fit.py").write_text(FIT.replace("{c}", "{c:.3f}"))
    proposal = Human()(campaign)
    merged = FIT.replace("WIDTH = 4", "WIDTH = 6").replace("{c}", "{c:.3f}")
    assert proposal.files == {"fit.py": merged}
    assert proposal.parent == 1


def test_a_conflict_names_the_file_the_line_and_both_sides(campaign: Campaign) -> None:
    decide(campaign, {"fit.py": "# new\n" + FIT.replace("+ RATE", "+ 2 * RATE")}, "keep", 0.9)
    (campaign.path / "fit.py").write_text(FIT.replace("+ RATE", "- RATE"))
    with pytest.raises(PatchConflict) as caught:
        Human()(campaign)
    told = str(caught.value)
    assert "fit.py" in told
    assert "line 6: yours `c = b - RATE`, best `c = b + 2 * RATE`" in told
    assert "experiment 0001" in told
    assert campaign.pending() == []


def test_each_of_two_like_conflicts_has_its_own_line(make_host: Host) -> None:
    text = "a = 0\n" + "".join(f"b = {i}\n" for i in range(8)) + "a = 0\n"
    campaign = begin(make_host({"fit.py": text}), "fit.py")
    decide(campaign, {"fit.py": text.replace("a = 0", "a = 8")}, "keep", 0.9)
    (campaign.path / "fit.py").write_text(text.replace("a = 0", "a = 9"))
    with pytest.raises(PatchConflict, match=r"(?s)line 1: yours `a = 9`.*line 10: yours `a = 9`"):
        Human()(campaign)


def test_lines_deleted_in_a_conflict_are_told(campaign: Campaign) -> None:
    decide(campaign, {"fit.py": FIT.replace("+ RATE", "+ 2 * RATE")}, "keep", 0.9)
    (campaign.path / "fit.py").write_text(FIT.replace("c = b + RATE\n", ""))
    with pytest.raises(PatchConflict, match=r"deleted: yours .nothing., best `c = b"):
        Human()(campaign)


def test_without_an_edit_it_says_what_to_do(campaign: Campaign) -> None:
    with pytest.raises(NoChange, match=r"fit.py in .* is as in HEAD .*Edit and save"):
        Human()(campaign)
    edited = FIT.replace("WIDTH = 4", "WIDTH = 6")
    (campaign.path / "fit.py").write_text(edited)
    decide(campaign, {"fit.py": edited}, "keep", 0.9)
    with pytest.raises(NoChange, match=r"in the best state \(experiment 0001\) already"):
        Human()(campaign)
    with pytest.raises(NoChange):
        Human(edit=lambda old: old + "# a comment\n")(campaign)


def test_what_was_tried_before_is_refused(campaign: Campaign) -> None:
    new = FIT.replace("WIDTH = 4", "WIDTH = 6")
    decide(campaign, {"fit.py": new}, "discard", 1.1)
    with pytest.raises(Duplicate, match="0001"):
        Human(edit=new)(campaign)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("no-such-file.py", "neither text of several lines nor an existing file"),
        ("x = 1; " * 1000, "neither text"),
        (Path("/"), "neither text"),
        (lambda old: None, r"returned NoneType.*return"),
        ({"fit.py": None}, "'fit.py' is a NoneType"),
        ({"other.py": "x = 1\n"}, "'other.py'"),
        ("x = = 1\n", "fit.py is no valid Python in line 1"),
        (3, "neither"),
    ],
)
def test_an_edit_that_cannot_be_used_is_refused(
    campaign: Campaign, edit: object, words: str
) -> None:
    with pytest.raises(ProposalError, match=words):
        Human(edit=edit)(campaign)  # type: ignore[arg-type]
    assert campaign.pending() == []


def test_line_endings_of_the_host_survive_every_form(make_host: Host) -> None:
    host = make_host({"fit.py": ""})
    (host / "fit.py").write_bytes(FIT.replace("\n", "\r\n").encode())
    git(host, "-c", "core.autocrlf=false", "commit", "-qam", "crlf")
    campaign = begin(host, "fit.py")
    new = FIT.replace("0.05", "0.06")
    proposal = Human(edit=new)(campaign)
    assert proposal.files == {"fit.py": new.replace("\n", "\r\n")}
    assert proposal.hypothesis == "RATE 0.05 -> 0.06"


def test_a_checkout_with_other_line_endings_is_not_an_edit(campaign: Campaign) -> None:
    git(campaign.path, "config", "core.autocrlf", "true")
    file = campaign.path / "fit.py"
    file.write_bytes(FIT.replace("\n", "\r\n").encode())
    with pytest.raises(NoChange, match="is as in HEAD"):
        Human()(campaign)
    mine = FIT.replace("0.05", "0.07")
    file.write_bytes(mine.replace("\n", "\r\n").encode())
    assert Human()(campaign).files == {"fit.py": mine}
    assert file.read_bytes() == mine.replace("\n", "\r\n").encode()


def test_several_files_are_edited_by_mapping_function_or_checkout(make_host: Host) -> None:
    host = make_host({"fit.py": FIT, "conf/a b.md": "# é\n"})
    campaign = begin(host, "fit.py", "conf/a b.md")

    def change(old: dict[str, str]) -> dict[str, str]:
        return {**old, "conf/a b.md": old["conf/a b.md"] + "more\n"}

    proposal = Human(edit=change)(campaign)
    assert proposal.files == {"conf/a b.md": "# é\nmore\n"}
    assert proposal.hypothesis == "edit of conf/a b.md: +1 -0 lines"
    with pytest.raises(ProposalError, match=r"several mutable files .*say which one"):
        Human(edit=FIT.replace("4", "5"))(campaign)
    (host / "conf/a b.md").write_text("# è\n")
    (host / "fit.py").write_text(FIT.replace("4", "5"))
    taken = Human()(campaign)
    assert taken.files == {"fit.py": FIT.replace("4", "5"), "conf/a b.md": "# è\n"}
    assert taken.hypothesis == "WIDTH 4 -> 5, edit of conf/a b.md: +1 -1 lines"


def test_a_file_that_head_lacks_is_taken_whole(campaign: Campaign) -> None:
    git(campaign.path, "rm", "-q", "--cached", "fit.py")
    git(campaign.path, "commit", "-qm", "no longer tracked here")
    mine = FIT.replace("4", "5")
    (campaign.path / "fit.py").write_text(mine)
    assert Human()(campaign).files == {"fit.py": mine}


def test_the_repr_is_short_and_stays_the_same_when_a_cell_runs_again() -> None:
    def made(new: str) -> Human:
        return Human(edit=lambda old: old.replace("4", new))

    assert repr(made("5")) == repr(made("5"))
    assert repr(made("5")) != repr(made("6"))
    assert repr(Human(edit=FIT)) == repr(Human(edit=str(FIT))) != repr(Human(edit=FIT + "\n"))
    assert len(repr(Human(edit=FIT * 100))) < 60
    assert repr(Human()) == "Human()"


def test_a_guess_is_a_number(campaign: Campaign) -> None:
    by = Human(edit=lambda old: old + "a = 1\n", guess="much")  # type: ignore[arg-type]
    with pytest.raises(ProposalError, match="expected='much'; give a number such as"):
        by(campaign)
