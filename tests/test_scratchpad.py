"""The campaign's notes: written, read, due every ten experiments, and found again in git."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import autoresearch_kit as ark
from autoresearch_kit import git, records, scratchpad
from tests.recorded import TRAIN, record, write

TOML = 'name = "fit"\nedit = ["train.py"]\ntrain = ["python", "train.py"]\nmetric = "val_loss"\n'


def campaign(folder: Path, size: int, notes: tuple[int, ...] = ()) -> ark.Campaign:
    """Return a campaign with `size` experiments beside the baseline, some of which have notes."""
    decided = [record(0, "keep", 1.0)]
    for n in range(1, size + 1):
        proposal = {"id": str(n), "notes": True} if n in notes else {"id": str(n)}
        decided.append(record(n, "discard", 1.1, proposal=proposal))
    repo = write(folder, decided, {0: {"train.py": TRAIN.format(lr=0.04), "task.toml": TOML}})
    for n in notes:
        tree = git.write_tree(repo, {"scratchpad.md": f"notes of {n}\n".encode()})
        git.update_refs(repo, [git.RefUpdate(records.files_ref("nov23", n), tree)])
    return ark.open_campaign(repo, tag="nov23")


def test_there_are_none_at_first(tmp_path: Path):
    assert scratchpad.read(campaign(tmp_path / "r", 0)) == ""


def test_they_are_read_as_they_were_written_and_as_a_person_edits_them(tmp_path: Path):
    c = campaign(tmp_path / "r", 3)
    assert scratchpad.write(c, "- lower rates help\n  - below 0.01 nothing moves\n") != ""
    assert scratchpad.read(c) == "- lower rates help\n  - below 0.01 nothing moves"
    file = c.state / "scratchpad.md"
    file.write_text(file.read_text() + "- mine\n")
    assert scratchpad.read(c).endswith("nothing moves\n- mine")
    file.write_text("only mine")
    assert scratchpad.read(c) == "only mine"


@pytest.mark.parametrize(("size", "due"), [(0, False), (9, False), (10, True), (25, True)])
def test_they_are_due_after_ten_experiments(tmp_path: Path, size: int, due: bool):
    c = campaign(tmp_path / "r", size)
    assert scratchpad.is_due(c) == due
    scratchpad.write(c, "so far so good")
    assert not scratchpad.is_due(c)


def test_another_ten_experiments_make_them_due_again(tmp_path: Path):
    c = campaign(tmp_path / "r", 19)
    (c.state).mkdir(parents=True, exist_ok=True)
    (c.state / "scratchpad.md").write_text("<!-- after 10 experiments -->\nold\n")
    assert not scratchpad.is_due(c)
    (c.state / "scratchpad.md").write_text("<!-- after 9 experiments -->\nold\n")
    assert scratchpad.is_due(c)


def test_a_clone_has_the_newest_ones_from_git(tmp_path: Path):
    c = campaign(tmp_path / "r", 25, notes=(5, 17))
    assert scratchpad.read(c) == "notes of 17"
    assert not scratchpad.is_due(c)
    assert scratchpad.is_due(campaign(tmp_path / "s", 28, notes=(5, 17)))


def test_an_attachment_that_is_gone_is_no_notes(tmp_path: Path):
    c = campaign(tmp_path / "r", 3, notes=(2,))
    git.update_refs(c.path, [git.RefUpdate(records.files_ref("nov23", 2), None)])
    assert scratchpad.read(c) == ""


def test_a_text_that_says_nothing_leaves_them_as_they_are(tmp_path: Path):
    c = campaign(tmp_path / "r", 12)
    scratchpad.write(c, "something")
    for empty in ("", " \n\n", "\x00\x1b[31m"):
        assert scratchpad.write(c, empty) == ""
    assert scratchpad.read(c) == "something"


def test_nothing_of_a_terminal_or_unseen_stays_in_them(tmp_path: Path):
    c = campaign(tmp_path / "r", 0)
    scratchpad.write(c, "a\x1b[31mb\x00\r\n\r\n\n\nc\u202ed\te")
    assert scratchpad.read(c) == "ab\n\ncd e"


def test_a_long_text_is_cut_at_a_line(tmp_path: Path):
    c = campaign(tmp_path / "r", 0)
    scratchpad.write(c, "\n".join(f"- line {i}" for i in range(2_000)))
    notes = scratchpad.read(c)
    assert scratchpad.MAX_CHARACTERS - 20 < len(notes) <= scratchpad.MAX_CHARACTERS
    *lines, last = notes.splitlines()
    assert lines == [f"- line {i}" for i in range(len(lines))]
    assert last == "…"
    assert scratchpad.write(c, notes) == notes


@given(st.text(max_size=300))
def test_cleaning_twice_is_cleaning_once(text: str):
    once = scratchpad.clean(text)
    assert scratchpad.clean(once) == once
    assert all(line.isprintable() for line in once.split("\n"))
