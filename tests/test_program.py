"""program.md of a checkout: found, read, and one bullet longer when a person says never again."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoresearch_kit import program
from autoresearch_kit.errors import ProposalError
from tests.conftest import git

BULLET = "- Never again: dropout"


@pytest.fixture
def bare(host: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "-q", "--bare", str(host), "bare.git")
    return tmp_path / "bare.git"


def write(repo: Path, content: bytes) -> Path:
    (repo / "program.md").write_bytes(content)
    return repo / "program.md"


# Where it is and what it says


def test_it_stands_at_the_top_of_a_checkout_whether_it_is_there_or_not(host: Path):
    (host / "inner").mkdir()
    assert program.path(host) == program.path(host / "inner") == host / "program.md"
    assert not (host / "program.md").exists()
    assert program.read(host) == ""


def test_a_worktree_has_one_of_its_own(host: Path, tmp_path: Path):
    git(host, "worktree", "add", "-q", "--detach", str(tmp_path / "second"))
    program.forbid(tmp_path / "second", "dropout")
    assert program.path(tmp_path / "second") == tmp_path / "second" / "program.md"
    assert program.read(tmp_path / "second") == f"{BULLET}\n"
    assert program.read(host) == ""


def test_a_bare_repository_has_none(bare: Path):
    assert program.path(bare) is None
    assert program.read(bare) == ""
    with pytest.raises(ProposalError, match=r"bare repository.*git clone"):
        program.forbid(bare, "dropout")


def test_the_text_is_that_of_the_checkout_uncommitted_edits_included(
    make_host: Callable[..., Path],
):
    repo = make_host({"program.md": "committed\n"})
    write(repo, "\ufeffedited é\r\n".encode())
    assert program.read(repo) == "edited é\r\n"


def test_a_text_in_another_encoding_can_be_read_but_is_not_appended_to(host: Path):
    file = write(host, b"caf\xe9\n")
    assert program.read(host) == "caf\ufffd\n"
    with pytest.raises(ProposalError, match=r"not in UTF-8 .* at byte 3.*Save it as UTF-8"):
        program.forbid(host, "dropout")
    assert file.read_bytes() == b"caf\xe9\n"


def test_a_version_tells_one_text_from_another(host: Path):
    assert program.version(program.read(host)) == ""
    write(host, b"Try everything.\n")
    first = program.version(program.read(host))
    assert re.fullmatch("[0-9a-f]{12}", first)
    write(host, b"\xef\xbb\xbfTry everything.\n")  # a mark that no reader sees
    assert program.version(program.read(host)) == first
    program.forbid(host, "dropout")
    assert program.version(program.read(host)) not in ("", first)


# The bullet


@pytest.mark.parametrize(
    ("line", "bullet"),
    [
        ("dropout", BULLET),
        ("  drop\tout\r\n\nnow ", "- Never again: drop out now"),
        ("\x1b[31mdrop\x00out\x07", BULLET),
        ("- dropout", BULLET),
        ("Never again: dropout", BULLET),
        ("* never again dropout", BULLET),
        ("-0.5 as a rate", "- Never again: -0.5 as a rate"),
        ("nevertheless", "- Never again: nevertheless"),
        ("drop\u202eout", "- Never again: dropout"),
        ("\ud800", "- Never again: ?"),
        ("", ""),
        (" \n\x00", ""),
        ("- ", ""),
        ("Never again:", ""),
    ],
)
def test_a_line_becomes_one_clean_bullet(line: str, bullet: str):
    assert program.preview(line) == bullet


def test_a_page_of_text_becomes_a_bullet_of_five_hundred_characters():
    bullet = program.preview("word " * 1_000)
    assert len(bullet) == len("- Never again: ") + 500
    assert bullet.endswith("…")


@given(st.text())
def test_a_preview_is_one_printable_line_and_its_own_preview(line: str):
    bullet = program.preview(line)
    assert bullet.isprintable()
    assert program.preview(bullet) == bullet


@pytest.mark.parametrize("line", ["", "  \n", "- Never again: "])
def test_a_line_that_says_nothing_is_refused(host: Path, line: str):
    with pytest.raises(ProposalError, match=r"nothing to append.*Expected what to avoid"):
        program.forbid(host, line)
    assert not (host / "program.md").exists()


# Appending it


@pytest.mark.parametrize(
    ("before", "added"),
    [
        ("", f"{BULLET}\n"),
        ("# Title\n\nWords.\n", f"\n{BULLET}\n"),
        ("# Title\n\nWords.", f"\n\n{BULLET}\n"),
        ("Words.\n\n", f"{BULLET}\n"),
        ("Words.\n   \n", f"{BULLET}\n"),
        ("Words.\n  ", f"\n{BULLET}\n"),
        ("- a\n", f"{BULLET}\n"),
        ("* a\n  goes on", f"\n{BULLET}\n"),
        ("1. a\n", f"{BULLET}\n"),
        ("- a\n\nWords.\n", f"\n{BULLET}\n"),
        ("-a\n", f"\n{BULLET}\n"),
        ("Words.\r\nMore.\r\n", f"\r\n{BULLET}\r\n"),
        ("- a\r\n- b", f"\r\n{BULLET}\r\n"),
        ("mixed\nWords.\r\n\r\n", f"{BULLET}\r\n"),
        ("\ufeff", f"{BULLET}\n"),
        ("\ufeff- a\n", f"{BULLET}\n"),
        ("old\rMac\r", f"\r{BULLET}\r"),
    ],
)
def test_the_bullet_follows_what_is_there_in_a_list(host: Path, before: str, added: str):
    file = write(host, before.encode())
    assert program.forbid(host, "dropout") == BULLET
    assert file.read_bytes().decode() == before + added


def test_bullets_gather_in_one_list_and_none_comes_twice(host: Path):
    for line in ("dropout", "two layers", "Never again:  dropout"):
        program.forbid(host, line)
    assert program.read(host) == f"{BULLET}\n- Never again: two layers\n"


def test_a_bullet_that_only_begins_like_another_is_appended(host: Path):
    program.forbid(host, "dropout of 0.5")
    program.forbid(host, "dropout")
    assert program.read(host).splitlines() == ["- Never again: dropout of 0.5", BULLET]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(before=st.text(st.sampled_from("a-* \t\r\n\ufeff\x0b\u2028é")), line=st.text(min_size=1))
def test_what_was_there_stays_byte_for_byte(host: Path, before: str, line: str):
    file = write(host, before.encode())
    bullet = program.preview(line)
    if not bullet:
        return
    program.forbid(host, line)
    once = file.read_bytes().decode()
    assert once.startswith(before)
    assert re.split(r"\r\n|\r|\n", once.removeprefix("\ufeff"))[-2:] == [bullet, ""]
    program.forbid(host, line)
    assert file.read_bytes().decode() == once


def test_the_index_other_files_and_the_mode_stay(make_host: Callable[..., Path]):
    repo = make_host({"program.md": "Words.\n", "fit.py": "x = 1\n"})
    (repo / "fit.py").write_text("x = 2\n")
    git(repo, "add", "fit.py")
    (repo / "program.md").chmod(0o640)
    index = (repo / ".git" / "index").read_bytes()
    program.forbid(repo, "dropout")
    assert (repo / ".git" / "index").read_bytes() == index
    assert git(repo, "status", "--porcelain").split("\n") == ["M  fit.py", " M program.md"]
    assert (repo / "program.md").stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_mode_of_the_persons_other_files(host: Path):
    program.forbid(host, "dropout")
    modes = [(host / name).stat().st_mode for name in ("program.md", "notes.md")]
    assert modes[0] == modes[1]
    assert git(host, "status", "--porcelain") == "?? program.md"


def test_a_link_inside_the_checkout_is_written_through(make_host: Callable[..., Path]):
    repo = make_host({"docs/direction.md": "Words.\n"})
    (repo / "program.md").symlink_to("docs/direction.md")
    program.forbid(repo, "dropout")
    assert (repo / "program.md").is_symlink()
    assert (repo / "docs/direction.md").read_text() == f"Words.\n\n{BULLET}\n"
    assert program.read(repo) == f"Words.\n\n{BULLET}\n"


@pytest.mark.parametrize("target", ["../secret.md", ".git/config"])
def test_a_link_that_leads_out_of_the_checkout_is_neither_read_nor_written(host: Path, target: str):
    (host.parent / "secret.md").write_text("secret\n")
    before = (host / target).read_bytes()
    (host / "program.md").symlink_to(target)
    with pytest.raises(ProposalError, match=r"outside the checkout.*Type: rm"):
        program.read(host)
    with pytest.raises(ProposalError, match=r"outside the checkout.*Type: rm"):
        program.forbid(host, "dropout")
    assert (host / target).read_bytes() == before


def test_what_is_no_file_is_refused(host: Path):
    file = host / "program.md"
    makers: list[Callable[[], None]] = [
        file.mkdir,
        lambda: os.mkfifo(file),
        lambda: file.symlink_to("nowhere.md"),
        lambda: file.symlink_to("program.md"),
    ]
    for make in makers:
        make()
        for call in (program.read, lambda repo: program.forbid(repo, "dropout")):
            with pytest.raises(ProposalError, match=r"is no file.*move it away"):
                call(host)
        file.rename(Path(tempfile.mkdtemp(dir=host.parent), "away"))


def test_two_kernels_that_append_at_once_lose_nothing(host: Path):
    lines = [f"idea {i}" for i in range(12)]
    with get_context("spawn").Pool(3) as pool:
        pool.starmap(program.forbid, [(host, line) for line in lines], chunksize=1)
    assert sorted(program.read(host).splitlines()) == sorted(map(program.preview, lines))
