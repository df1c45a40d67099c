"""The best state's lines, each with the experiment that wrote it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch_kit import git, records
from autoresearch_kit.blames import blame
from autoresearch_kit.errors import CampaignError
from tests.recorded import record, write
from tests.test_display import Tags

FILES = {
    0: {"train.py": "A = 1\nB = 1\nC = 1\n", "notes.md": "same\n"},
    1: {"train.py": "A = 1\nB = 2\nC = 1\n", "results.tsv": "a\tb\n", "w.bin": "\0\1"},
    2: {"train.py": "A = 9\nB = 2\nC = 1\n"},
    3: {"train.py": "A = 1\nB = 2\nC = 1\nD = 1"},
}


def decided(**more: object):
    return [
        record(0, "keep", 2.3),
        record(1, "keep", 2.1, delta=-0.2, hypothesis="two\nof B", evidence={"error": 0.013}),
        record(2, "discard", 2.2, parent=1),
        record(3, "keep", 2.0, parent=1, delta=-0.1, **more),
    ]


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    return write(tmp_path / "lab", decided(hypothesis="a D"), FILES)


def test_each_line_has_the_number_and_the_change_of_who_wrote_it(lab: Path):
    page = blame(lab)
    assert (
        "train.py\n"
        "               | A = 1\n"
        "0001 -0.2      | B = 2\n"
        "               | C = 1\n"
        "0003 -0.1      | D = 1\n"
    ) in page.text
    assert "0001         -0.2 ± 0.013 val_loss: two of B\n" in page.text
    assert "kept         2 changes, 2 of them with lines in it" in page.text
    assert "A = 9" not in page.text  # it was discarded


def test_hypothesis_and_gain_show_without_a_script_by_pointer_and_keyboard(lab: Path):
    page = blame(lab).html
    assert "tabindex='0' title='0001 -0.2 ± 0.013 val_loss: two of B'" in page
    assert "0001 -0.2      │ B = 2\n</span>" in page
    assert "script" not in Tags(page).seen
    assert "<span>" in page  # the starting point's lines have no tint


def test_data_and_binary_files_are_named_and_left_out(lab: Path):
    text = blame(lab).text
    assert "left out     results.tsv (data); w.bin (binary)\n" in text
    assert "notes.md" not in text


def test_long_stretches_that_nobody_changed_are_folded(tmp_path: Path):
    before = "".join(f"x{i} = {i}\n" for i in range(30))
    files = {0: {"train.py": before}, 1: {"train.py": f"{before}B = 2\n"}}
    page = blame(write(tmp_path / "lab", decided()[:2], files))
    assert (
        "               | x2 = 2\n"
        "               … 24 lines of the starting point\n"
        "               | x27 = 27\n"
    ) in page.text
    assert "x15" not in page.text
    assert "details" in Tags(page.html).seen
    assert "│ x15 = 15\n" in page.html


def test_the_starting_point_alone_has_nothing_to_show(tmp_path: Path):
    page = blame(write(tmp_path / "lab", [record(0, "keep", 2.3)]))
    assert "no line differs from the starting point" in page.text


def test_lines_that_were_rewound_are_gone_and_tinted_anew(tmp_path: Path):
    back = record(4, "keep", 2.3, parent=3, about=1, kind="rewind", reason="3 was luck")
    repo = write(tmp_path / "lab", [*decided(), back], FILES)
    assert "best state   nov23 0001" in blame(repo).text
    assert "D = 1" not in blame(repo).text


def test_without_a_kept_experiment_it_says_what_is_expected(tmp_path: Path):
    repo = write(tmp_path / "lab", [record(0, "crash")])
    with pytest.raises(CampaignError, match="no best state with a commit"):
        blame(repo)


def test_hostile_code_and_hypotheses_are_harmless(tmp_path: Path):
    evil = "'><script>alert(1)</script> \x1b[2J \u202e"
    files = {**FILES, 3: {"train.py": f"A = 1\n\tB = 2  # {evil}\r\n"}}
    page = blame(write(tmp_path / "lab", decided(hypothesis=evil), files))
    assert "script" not in Tags(page.html).seen
    for text in (page.text, page.html):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "\r" not in text


def test_a_users_git_settings_change_nothing(lab: Path, tmp_path: Path):
    before = blame(lab).text
    passed_over = tmp_path / "passed-over"
    passed_over.write_text(git.resolve(lab, records.tag_ref("nov23", 3)) + "\n")
    settings = ("blame.showEmail=true", "blame.blankBoundary=true", "core.abbrev=5")
    for setting in (*settings, f"blame.ignoreRevsFile={passed_over}"):
        subprocess.run(["git", "-C", lab, "config", *setting.split("=")], check=True)
    assert blame(lab).text == before
    everywhere = ["git", "config", "--global", "blame.ignoreRevsFile", ".git-blame-ignore-revs"]
    subprocess.run(everywhere, check=True)
    assert blame(lab).text == before


@settings(max_examples=25, deadline=None)
@given(
    lines=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\n\0")), min_size=1, max_size=6
    )
)
def test_every_line_comes_back_as_it_is(tmp_path_factory: pytest.TempPathFactory, lines: list[str]):
    repo = tmp_path_factory.mktemp("any") / "repo"
    text = "".join(f"{line}\n" for line in lines)
    write(repo, [record(0, "keep", 1.0)], {0: {"f.py": text}})
    found = git.blame(repo, "main", "f.py")
    assert [line for _, line in found] == lines
    assert {commit for commit, _ in found} == {git.resolve(repo, "main")}
