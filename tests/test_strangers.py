"""Clones of strangers: reading one runs nothing of theirs, waits for nothing and leaks nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoresearch_kit import git, sources
from autoresearch_kit.blames import blame
from autoresearch_kit.display import show
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.exports import export
from autoresearch_kit.foreign import cells, messages, results
from autoresearch_kit.git import Logged
from autoresearch_kit.histories import history
from autoresearch_kit.reports import report
from autoresearch_kit.tunings import constants

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clone with two kept experiments, whose results file names missing commits too."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
    repo = tmp_path / "clone"
    repo.mkdir()
    git.init(repo)
    rows = HEADER
    for i in range(3):
        (repo / "train.py").write_text(f"LR = {i}\n")
        commit = git.commit_all(repo, f"exp {i}: a")
        rows += f"{commit[:7]}\t{1 - i / 100}\t1.0\tkeep\ttry {i}\n"
    (repo / "results.tsv").write_text(rows + f"{'d' * 40}\t0.99\t1.0\tdiscard\tmissing\n")
    return repo


def configure(repo: Path, **settings: str) -> None:
    for name, value in settings.items():
        git.call(repo, "config", name.replace("__", "."), value)


CALLS: dict[str, Callable[[Path], object]] = {
    "history": history,
    "show": lambda repo: show(repo, 1),
    "constants": constants,
    "blame": blame,
    "export": lambda repo: export(repo, branch="winner"),
}


@pytest.mark.parametrize("name", CALLS)
def test_reading_a_clone_runs_no_program_that_its_settings_name(clone, tmp_path, name) -> None:
    mark, program = tmp_path / "mark", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\nexit 1\n")
    program.chmod(0o755)
    told = str(program)
    (clone / ".gitattributes").write_text("* diff=evil filter=evil\n")
    signed = git.text(clone, "cat-file", "commit", "HEAD~2").replace(
        "\n\n",
        "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ\n -----END PGP SIGNATURE-----\n\n",
        1,
    )
    made = git.call(
        clone, "hash-object", "-t", "commit", "-w", "--stdin", input=signed.encode() + b"\n"
    )
    rows = (clone / "results.tsv").read_text().splitlines(keepends=True)
    rows[1] = f"{made.decode()[:7]}\t1.0\t1.0\tkeep\tsigned\n"
    (clone / "results.tsv").write_text("".join(rows))
    configure(
        clone,
        extensions__partialClone="origin",
        core__repositoryFormatVersion="1",
        remote__origin__promisor="true",
        remote__origin__url=f"ext::{told} x",
        protocol__ext__allow="always",
        protocol__allow="always",
        core__fsmonitor=told,
        diff__external=told,
        diff__evil__command=told,
        diff__evil__textconv=told,
        filter__evil__smudge=told,
        core__pager=told,
        log__showSignature="true",
        gpg__program=told,
    )
    CALLS[name](clone)
    assert not mark.exists()
    git.call(clone, "config", "remote.origin.url", str(clone))
    git.call(clone, "config", "remote.origin.uploadpack", told)
    CALLS[name](clone)
    assert not mark.exists()


def test_blame_ignores_settings_of_the_clone_that_would_end_it(clone) -> None:
    configure(clone, blame__ignoreRevsFile="/nowhere")
    assert "try 2" in str(blame(clone))


def test_a_report_in_a_clone_imports_nothing_from_it(clone) -> None:
    for name in ("ipykernel_launcher", "pandas", "matplotlib", "autoresearch_kit"):
        (clone / f"{name}.py").write_text("open('mark', 'w'); raise SystemExit\n")
    assert report(clone, clone / "night.ipynb").exists()
    assert not (clone / "mark").exists()


@pytest.mark.parametrize("inside", [False, True])
def test_a_link_out_of_a_clone_or_into_its_git_folder_is_not_read(clone, tmp_path, inside) -> None:
    secret = clone / ".git" / "config" if inside else tmp_path / "secret"
    secret.write_text(secret.read_text() if inside else HEADER + "a1b2c3d\t1\t1\tkeep\tmine\n")
    (clone / "results.tsv").unlink()
    (clone / "results.tsv").symlink_to(secret)
    df = history(clone, ref=None)
    assert set(df["source"]) == {"git"}
    assert any("results.tsv is a link that leads out" in note for note in df.attrs["notes"])


def test_a_link_within_a_clone_is_read(clone) -> None:
    (clone / "kept").mkdir()
    (clone / "results.tsv").rename(clone / "kept" / "results.tsv")
    (clone / "results.tsv").symlink_to("kept/results.tsv")
    assert len(history(clone)) == 4


def test_a_pipe_in_place_of_a_file_makes_nobody_wait(clone) -> None:
    (clone / "results.tsv").unlink()
    os.mkfifo(clone / "results.tsv")
    assert set(history(clone)["source"]) == {"git"}


def test_a_huge_file_is_named_not_read(clone, tmp_path) -> None:
    os.truncate(clone / "results.tsv", sources.MOST_BYTES + 1)
    assert any("has 32 MiB, so it is not read" in note for note in history(clone).attrs["notes"])
    git.call(clone, "add", "results.tsv")  # some 32 KiB, packed
    git.call(clone, "commit", "--quiet", "-m", "rows")
    git.call(clone, "branch", "autoresearch/x")
    df = history(clone, ref="autoresearch/x")
    assert any("has 32 MiB, so it is not read" in note for note in df.attrs["notes"])
    with pytest.raises(CampaignError, match="has 32 MiB"):
        history(clone / "results.tsv")


BIG = 100_000
SLOW = {
    "a rule of dashes that is none": "-" * BIG + "x",
    "bars and dashes": "|---|" * 100 + "x",
    "a mark of dirt that is none": f"a1b2c3d{'-' * BIG}x",
    "negations": "no " * BIG,
    "blanks": f"val_loss{' ' * BIG}x",
    "paths": "/commit/" * (BIG // 8),
    "words": "aB" * BIG,
}


@pytest.mark.parametrize("name", SLOW)
def test_no_text_takes_the_square_of_its_length(name) -> None:
    began, text = time.process_time(), SLOW[name]
    results.read(f"{HEADER}{text}\n{text}\t1\t1\tkeep\tx\na1b2c3d\t1\t1\t{text}\t{text}\n", "r.tsv")
    messages.read(Logged("a" * 40, (), "ada", "", f"exp: {text}\n\n{text} 0.9", {}))
    cells.status(text)
    cells.commit(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "text",
    [
        "\t".join("c" * 20_000),
        "".join(f"commit\tval_loss\tm{i}\tstatus\nx\t1\t2\tkeep\n" for i in range(2000)),
    ],
)
def test_a_table_of_thousands_of_columns_is_refused(text) -> None:
    with pytest.raises(CampaignError, match=r"columns by line \d+; expected the table"):
        results.read(text, "results.tsv")


def test_commits_that_claim_anything_are_read(clone) -> None:
    tree = git.text(clone, "rev-parse", "HEAD^{tree}")
    tip = git.head(clone)
    for message, when in (
        (b"exp 4: spoof\n\x01" + b"a" * 40, b"1700000000 +0000"),
        (b"exp 5: far\x00 away", b"99999999999999 +0000"),
        (b"x\n\nResult: {" + b'"a":' + b"[" * BIG + b"}", b"1 +0000"),
        (b'x\n\nResult: {"a":1' + b"0" * 400 + b"}", b"1 +0000"),
    ):
        raw = b"tree %b\nparent %b\nauthor a <a> %b\ncommitter a <a> %b\n\n%b" % (
            *(tree.encode(), tip.encode(), when, when, message),
        )
        words = ("hash-object", "-t", "commit", "--literally", "-w", "--stdin")
        tip = git.call(clone, *words, input=raw).decode().strip()
    git.call(clone, "update-ref", "refs/heads/autoresearch/x\u2028y\u0085z", tip)
    df = history(clone, ref="x\u2028y\u0085z")
    assert [word for word in df["hypothesis"] if word.startswith("exp")][-2:] == [
        "exp 4: spoof",
        "exp 5: far",
    ]
    git.refs(clone)


def test_file_names_may_hold_anything(clone) -> None:
    for name in (b"a\nb.py", b"\xff.py", "a\u2028b.py".encode(), b"-.py", b":(glob)*.py"):
        (clone / os.fsdecode(name)).write_text("DEPTH = 1\n")
    git.commit_all(clone, "exp 4: names")
    (clone / "results.tsv").unlink()
    assert len(history(clone, ref="main")) == 4
    assert "LR" in set(constants(clone, ref="main")["name"])


def test_a_submodules_own_settings_run_nothing(clone, tmp_path) -> None:
    mark, program = tmp_path / "mark", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    part = clone / "part"
    part.mkdir()
    git.init(part)
    for i in range(3, 5):
        (part / "part.py").write_text(f"DEPTH = {i}\n")
        git.commit_all(part, "part")
        commit = git.commit_all(clone, f"exp {i}: a")
        with (clone / "results.tsv").open("a") as rows:
            rows.write(f"{commit[:7]}\t{1 - i / 100}\t1.0\tkeep\ttry {i}\n")
    configure(clone, diff__submodule="diff")
    configure(part, diff__external=str(program), core__fsmonitor=str(program))
    assert "Subproject commit" in str(show(clone, 5))
    for call in CALLS.values():
        call(clone)
    assert not mark.exists()


def test_no_other_commit_takes_the_place_of_one(clone) -> None:
    wanted, other = git.text(clone, "rev-parse", "HEAD"), git.text(clone, "rev-parse", "HEAD~1")
    git.call(clone, "update-ref", f"refs/replace/{wanted}", other)
    assert "+LR = 2" in str(show(clone, 2))


def test_a_clone_without_the_files_of_its_commits_is_read_and_says_so(clone, tmp_path) -> None:
    git.commit_all(clone, "rows")
    configure(clone, uploadpack__allowFilter="true")
    partial, far = tmp_path / "partial", {"GIT_ALLOW_PROTOCOL": "file"}
    words = ("clone", "-q", "--filter=blob:none", clone.as_uri(), str(partial))
    git.call(tmp_path, *words, env=far)
    df = history(partial)
    assert list(df["metric"]) == [1.0, 0.99, 0.98, 0.99]
    assert list(df["present"]) == [True, True, True, False]
    assert any("not here, as in a partial clone" in note for note in df.attrs["notes"])
    assert "or a file of it, is not in" in str(show(partial, 1))
    assert any("constants can't be read" in note for note in constants(partial).attrs["notes"])
    git.call(partial, "rm", "-q", "results.tsv")
    git.call(partial, "commit", "-q", "-m", "no rows")
    alone = history(partial)
    assert set(alone["source"]) == {"git"}
    assert list(alone["hypothesis"])[:3] == ["exp 0: a", "exp 1: a", "exp 2: a"]
