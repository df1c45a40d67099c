"""What `history` reads besides a lab: clones of others, bundles, files; and which of several."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import autoresearch_kit as ark
from autoresearch_kit import git
from autoresearch_kit.display import show
from autoresearch_kit.errors import CampaignError, LabError
from autoresearch_kit.exports import export
from autoresearch_kit.foreign import exported, messages
from autoresearch_kit.histories import DTYPES, history
from tests.recorded import record, write
from tests.stacked import FIT, PRINTED
from tests.test_history import NIGHT, git_calls
from tests.upstream import commit_all

HEAD = "commit\tval_loss\tmemory_gb\tstatus\tdescription\n"


def rows(commits: list[str]) -> str:
    """A results file in the original's form: a baseline, a keep, a lost discard, a crash."""
    return HEAD + "".join(
        f"{name}\t{value}\t1.0\t{status}\t{what}\n"
        for name, value, status, what in (
            (commits[0][:7], "2.000000", "keep", "baseline"),
            (commits[1][:7], "1.900000", "keep", "lower LR"),
            ("fff0fff", "1.950000", "discard", "higher LR"),
            (commits[2][:7], "0.000000", "crash", "no LR"),
        )
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with a branch of three experiments and an untracked results file."""
    repo = tmp_path / "theirs"
    commit_all(repo, ["program"])
    made = commit_all(repo, ["baseline", "lower LR", "no LR"], "autoresearch/mar8", "main")
    (repo / "results.tsv").write_text(rows(made))
    return repo


def tracked(repo: Path) -> None:
    subprocess.run(["git", "-C", repo, "add", "results.tsv"], check=True)
    subprocess.run(["git", "-C", repo, "commit", "-qm", "results"], check=True)


def test_rows_of_a_results_file_are_joined_to_the_commits_of_their_clone(clone: Path):
    df = history(clone)

    assert df["campaign"].unique().tolist() == ["mar8"]
    assert df["status"].tolist() == ["keep", "keep", "discard", "crash"]
    assert df["metric"].fillna(-1).tolist() == [2.0, 1.9, 1.95, -1]
    assert df["present"].tolist() == [True, True, False, True]
    assert df["parent"].fillna(-1).tolist() == [-1, 0, 1, 1]
    assert df["delta"].round(6).fillna(0).tolist() == [0, -0.1, 0.05, 0]
    assert df["commit"].str.len().tolist() == [40, 40, 7, 40]
    assert df["parent_commit"].tolist()[1] == df["commit"][0]
    assert df["author"].tolist() == ["Bo <bo@example.org>"] * 2 + ["", "Bo <bo@example.org>"]
    assert df["changed"].tolist() == ["", "LR", "", "LR"]
    assert df["lines_added"].tolist() == [0, 1, 0, 1]
    assert df["decided"][1] == pd.Timestamp("2026-02-25 06:14:20", tz="UTC")
    assert df["source"].unique().tolist() == ["results"]
    assert {name: str(df[name].dtype) for name in DTYPES} == DTYPES
    notes = "\n".join(df.attrs["notes"])
    assert "read from results.tsv in the checkout, not tracked by git" in notes
    assert "3 of 4 rows have their commit here" in notes
    assert df.attrs["goal"] == "minimize"
    assert df.attrs["repo"] == str(clone)


def test_the_checkouts_file_wins_and_ref_reads_the_committed_one(clone: Path):
    tracked(clone)
    with (clone / "results.tsv").open("a") as file:
        file.write("abc1234\t1.8\t1.0\tkeep\tnot committed yet\n")

    assert len(history(clone)) == 5
    for ref in ("mar8", "autoresearch/mar8", "refs/heads/autoresearch/mar8", "HEAD"):
        assert len(history(clone, ref=ref)) == 4
    assert history(clone, ref="HEAD~1").attrs["notes"][0].startswith("HEAD~1: read from 3 commits")


def test_bare_clones_remote_branches_and_bundles_give_the_committed_file(
    clone: Path, tmp_path: Path
):
    tracked(clone)
    expected = history(clone, ref="mar8")
    bare, far, bundle = tmp_path / "bare.git", tmp_path / "far", tmp_path / "night.bundle"
    subprocess.run(["git", "clone", "-q", "--mirror", clone, bare], check=True)
    subprocess.run(["git", "clone", "-q", "-b", "main", clone, far], check=True)
    subprocess.run(["git", "-C", clone, "bundle", "create", "-q", bundle, "--all"], check=True)

    for place in (bare, far, bundle):
        df = history(place)
        pd.testing.assert_frame_equal(df, expected)
        assert df.attrs["repo"] == str(place)
        pd.testing.assert_frame_equal(history(place, ref="mar8"), expected)


def test_a_bundle_of_a_lab_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lab, bundle = write(tmp_path / "lab", NIGHT), tmp_path / "lab.bundle"
    subprocess.run(["git", "-C", lab, "bundle", "create", "-q", bundle, "--all"], check=True)

    pd.testing.assert_frame_equal(history(bundle), history(lab))
    calls = git_calls(monkeypatch)
    history(bundle)
    assert len(calls) == 1  # the tags
    (tmp_path / "half.bundle").write_bytes(bundle.read_bytes()[:-100])
    with pytest.raises(LabError, match=r"half\.bundle can't be opened"):
        history(tmp_path / "half.bundle")


def test_a_results_file_alone_is_read_without_a_repository(clone: Path, tmp_path: Path):
    alone = tmp_path / "alone" / "results.tsv"
    alone.parent.mkdir()
    alone.write_bytes((clone / "results.tsv").read_bytes())
    df = history(alone)

    assert df["campaign"].unique().tolist() == ["alone"]
    assert not df["present"].any()
    assert df.attrs["repo"] == ""
    assert history(alone, goal="maximize").attrs["goal"] == "maximize"
    with pytest.raises(CampaignError, match="no campaign 'mar8'"):
        history(alone, ref="mar8")


def test_a_results_file_in_a_clone_is_joined_to_its_commits(clone: Path, make_host):
    (clone / "notes").mkdir()
    other = clone / "notes" / "dojo.tsv"
    other.write_bytes((clone / "results.tsv").read_bytes())
    df = history(other)
    assert df["present"].tolist() == [True, True, False, True]
    assert df["campaign"].unique().tolist() == ["dojo"]
    assert df.attrs["repo"] == str(other)

    elsewhere = make_host({"a.txt": "a"}) / "results.tsv"  # which has none of these commits
    elsewhere.write_bytes(other.read_bytes())
    assert history(elsewhere).attrs["repo"] == ""
    assert "have their commit here" not in "".join(history(elsewhere).attrs["notes"])


def test_ref_with_a_path_reads_that_file_of_a_commit(clone: Path):
    tracked(clone)
    (clone / "dojo_results.tsv").write_text(HEAD + "abc1234\t3\t1\tkeep\tx\nb\t2\t1\tkeep\ty\n")
    subprocess.run(["git", "-C", clone, "add", "."], check=True)
    subprocess.run(["git", "-C", clone, "commit", "-qm", "more"], check=True)
    subprocess.run(["git", "-C", clone, "update-ref", "refs/pull/9/head", "HEAD"], check=True)
    subprocess.run(["git", "-C", clone, "reset", "-q", "--hard", "HEAD~1"], check=True)

    for ref in ("refs/pull/9/head", "refs/pull/9/head:results.tsv"):
        assert len(history(clone, ref=ref)) == 4
    notes = "\n".join(history(clone, ref="refs/pull/9/head").attrs["notes"])
    assert (
        "not read: dojo_results.tsv (to read one, give ref='refs/pull/9/head:dojo_results.tsv')"
        in notes
    )
    df = history(clone, ref="refs/pull/9/head:dojo_results.tsv")
    assert df["metric"].tolist() == [3, 2]
    assert "read from dojo_results.tsv in refs/pull/9/head" in df.attrs["notes"]
    with pytest.raises(CampaignError, match=r"mar8 has no file x\.tsv; there are: results\.tsv"):
        history(clone, ref="mar8:x.tsv")
    with pytest.raises(CampaignError, match=r"no campaign 'no' in .*; there are: .*mar8"):
        history(clone, ref="no:results.tsv")


def test_ref_may_be_the_end_of_one_branchs_name(clone: Path):
    tracked(clone)
    for name in ("exp/H100/apr1", "exp/H100/apr2", "exp/A100/apr2"):
        subprocess.run(["git", "-C", clone, "branch", name], check=True)
    df = history(clone, ref="apr1")
    assert df["campaign"].unique().tolist() == ["exp/H100/apr1"]
    assert "taken for the branch exp/H100/apr1" in "\n".join(df.attrs["notes"])
    assert len(history(clone, ref="H100/apr2")) == 4
    with pytest.raises(CampaignError, match=r"several branches: exp/A100/apr2, exp/H100/apr2"):
        history(clone, ref="apr2")


def test_a_branch_here_and_at_a_remote_is_named_once(clone: Path, tmp_path: Path):
    far = tmp_path / "far"
    subprocess.run(["git", "clone", "-q", "-b", "main", clone, far], check=True)
    subprocess.run(["git", "-C", clone, "branch", "-qM", "autoresearch/mar8", "mar8"], check=True)
    subprocess.run(["git", "-C", far, "remote", "prune", "origin"], check=True)
    subprocess.run(["git", "-C", far, "branch", "-qrD", "origin/autoresearch/mar8"], check=False)
    with pytest.raises(CampaignError, match=r"its branches: main[.;)]"):
        history(far)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("dashboard.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "no text: it has binary content"),
        ("bin.csv", bytes(range(1, 256)) * 3, "no text: it has binary content"),
        ("night.ipynb", b'{\n "cells": [],\n "nbformat": 4\n}\n', "a notebook, not a history"),
        ("x.json", b'[{"val_loss": 2},\n {"val_loss": 1}]', "a JSON document.*JSON lines"),
        ("README.md", b"# A kit\n\n| one | two |\n", "no file of experiments"),
        ("words.csv", b"nothing here\n", "no file of experiments"),
        ("x.parquet", b"PAR1 of somebody", "can't be read as parquet"),
    ],
)
def test_a_file_that_is_no_history_is_an_error(tmp_path: Path, name: str, data: bytes, words: str):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CampaignError, match=f"{name} .*{words}"):
        history(tmp_path / name)


def test_zeros_that_a_crash_of_the_machine_left_at_the_end_are_no_binary_content(tmp_path: Path):
    (tmp_path / "night.tsv").write_bytes(f"{HEAD}abc1234\t2\t1\tkeep\ta\n".encode() + b"\0" * 99)
    assert len(history(tmp_path / "night.tsv")) == 1


@pytest.mark.parametrize("x", [42, None, 1.5, ["a"], pd.DataFrame({"metric": [1.0]})])
def test_what_is_no_source_at_all_is_said(x: object):
    with pytest.raises(LabError, match=f"is a {type(x).__name__}; expected a campaign, a lab, or"):
        history(x)  # type: ignore[arg-type]


def test_a_campaign_without_a_decision_says_what_is_next(make_host):
    host = make_host({"fit.py": FIT})
    campaign = ark.open_campaign(host, tag="t", **PRINTED)
    for x, ref in ((campaign, None), (host, None), (host, "t")):
        with pytest.raises(
            CampaignError, match=r"nothing is decided yet in t; .*ark\.baseline\(ca"
        ):
            history(x, ref)


MORE = [
    *NIGHT,
    record(6, "discard", 2.26, parent=3, replicates=({"seed": 1, "value": 2.26},), delta=0.16),
    record(
        7, "discard", 2.2, about=6, kind="repeat", decided="2026-11-23T11:00:00+00:00",
        replicates=({"seed": 2, "value": 2.2}, {"seed": 3, "value": 2.21}), training_seconds=3.0,
        evidence={"z": 1.5, "error": 0.01}, proposal={"guess": -0.1, "night": "n1"},
    ),
    record(
        8, "keep", about=6, kind="override", reason="simpler",
        decided="2026-11-23T12:00:00+00:00", constants={},
    ),
    record(0, "keep", 0.5, campaign="nov24", metric="acc", goal="maximize", unit=""),
    record(1, "crash", campaign="nov24", metric="acc", goal="maximize", unit="", replicates=()),
]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_the_kit_is_read_back_as_the_history_it_is(tmp_path: Path, suffix: str):
    lab, path = write(tmp_path / "lab", MORE), tmp_path / f"night.{suffix}"
    export(lab, path)
    want, got = history(lab), history(path)

    assert got["source"].unique().tolist() == ["table"]
    assert not got["present"].any()
    same = [n for n in want if n not in {"source", "present", "delta"}]
    pd.testing.assert_frame_equal(got[same], want[same], check_exact=True)
    pd.testing.assert_series_equal(got["delta"], want["delta"])
    for name in ("metric", "unit", "goal", "campaigns", "kit"):
        assert got.attrs[name] == want.attrs[name]
    assert f"read back from night.{suffix}, a table of this kit" in got.attrs["notes"]
    if suffix == "parquet":
        assert set(want.attrs["notes"]) <= set(got.attrs["notes"])
    (lab / path.name).write_bytes(path.read_bytes())
    assert history(lab / path.name)["present"].tolist() == want["present"].tolist()


def test_a_table_of_a_foreign_history_keeps_its_further_columns(clone: Path, tmp_path: Path):
    export(clone, tmp_path / "night.csv")
    want, got = history(clone), history(tmp_path / "night.csv")
    same = [n for n in want if n not in {"source", "present"}]
    pd.testing.assert_frame_equal(got[same], want[same])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_words_that_could_be_numbers_stay_words_in_a_table_that_is_read_back(
    tmp_path: Path, suffix: str
):
    rows = ["commit\tval_bpb\tstatus\tparent_commit", "a1b2c3d\t1.0\tkeep\t0012345"]
    (tmp_path / "r.tsv").write_text("\n".join([*rows, "b2c3d4e\t1e400\tdiscard\t1234567"]))
    df = history(tmp_path / "r.tsv")
    assert list(df["val_bpb_as_written"]) == ["1.0", "1e400"]
    export(tmp_path / "r.tsv", tmp_path / f"t{suffix}")
    again = history(tmp_path / f"t{suffix}")
    for name in ("val_bpb_as_written", "parent_commit_in_file", "metric"):
        assert list(map(str, again[name])) == list(map(str, df[name]))


def test_a_table_without_a_metric_is_read_back_without_one(tmp_path: Path):
    (tmp_path / "r.tsv").write_text("commit\tstatus\na1b2c3d\tkeep\nb2c3d4e\tdiscard\n")
    export(tmp_path / "r.tsv", tmp_path / "t.csv")
    assert history(tmp_path / "t.csv").attrs["metric"] == ""


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_verdicts_is_read_back(tmp_path: Path, suffix: str):
    (tmp_path / "r.csv").write_text("step,val_loss\n1,3.2\n2,3.1\n")
    export(tmp_path / "r.csv", tmp_path / f"t{suffix}")
    df = history(tmp_path / f"t{suffix}")
    assert (list(df["status"]), list(df["metric"])) == (["", ""], [3.2, 3.1])


def test_a_table_with_words_in_a_curve_has_cards(tmp_path: Path):
    write(tmp_path / "lab", [record(0, "keep", 1.0, curve="0:2 1:1")])
    export(tmp_path / "lab", tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text().replace("0:2 1:1", "0:2 half:1.5 1:1")
    (tmp_path / "t.csv").write_text(text)
    assert "2 → 1" in str(show(tmp_path / "t.csv", 0))


def test_the_columns_of_the_kits_tables_are_those_of_history():
    assert set(DTYPES) == exported.COLUMNS


def test_a_damaged_table_of_the_kit_is_an_error(tmp_path: Path):
    path = tmp_path / "night.csv"
    export(write(tmp_path / "lab", NIGHT), path)
    path.write_text(path.read_text().replace("nov23,1,", "nov23,one,"))
    with pytest.raises(CampaignError, match="has the columns of history, but a row"):
        history(path)


def test_a_metric_in_a_message_is_a_whole_word():
    said = messages.read(git.Logged("a", (), "", "", "exp: inline f16_to_f32/f32_to_f16", {}))
    assert said.values == {}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_files_of_other_encodings_are_read(tmp_path: Path, encoding: str):
    text = HEAD + "abc1234\t2.0\t1.0\tkeep\tgrö\u00dfer\n"
    (tmp_path / "night.tsv").write_bytes(text.encode(encoding))
    assert history(tmp_path / "night.tsv")["hypothesis"].tolist() == ["größer"]


def test_further_columns_keep_their_names_and_clashes_are_renamed(tmp_path: Path):
    text = "commit\tval_loss\tstatus\tdescription\tkit\tane_util_pct\nabc1234\t2\tkeep\ta\tx\t7\n"
    (tmp_path / "night.tsv").write_text(text)
    df = history(tmp_path / "night.tsv")
    assert df[["kit", "kit_in_file", "ane_util_pct"]].loc[0].tolist() == ["", "x", 7]


def test_of_several_sources_the_first_is_read_and_the_others_are_named(clone: Path):
    run = {"run": 1, "commit": "", "metric": 5, "status": "keep", "description": "a"}
    (clone / "autoresearch.jsonl").write_text(json.dumps(run))
    df = history(clone)
    assert df["source"].tolist() == ["journal"]
    way = f"not read: results.tsv (to read one, give its path as x, as {clone / 'results.tsv'})"
    assert way in df.attrs["notes"]

    lab = write(clone.parent / "lab", NIGHT)
    (lab / "results.tsv").write_text(HEAD)
    assert history(lab)["source"].unique().tolist() == ["tags"]
    assert "results.tsv is here too" in history(lab).attrs["notes"][0]


def test_a_file_without_rows_gives_way_to_the_next_source(clone: Path):
    (clone / "results.tsv").write_text(HEAD)
    df = history(clone)
    assert df["source"].unique().tolist() == ["git"]
    assert "results.tsv has no rows yet" in df.attrs["notes"][0]


def test_several_branches_without_a_file_in_the_checkout_are_several_campaigns(tmp_path: Path):
    repo = tmp_path / "theirs"
    commit_all(repo, ["program"])
    for tag in ("mar8", "mar9"):
        commit_all(repo, ["a", "b"], f"autoresearch/{tag}", "main")
    subprocess.run(["git", "-C", repo, "checkout", "-q", "main"], check=True)

    assert history(repo)["campaign"].tolist() == ["mar8"] * 2 + ["mar9"] * 2
    assert history(repo, ref="mar9")["campaign"].unique().tolist() == ["mar9"]


def test_a_ref_that_is_not_there_is_said_with_what_is(clone: Path, tmp_path: Path):
    with pytest.raises(CampaignError, match=r"no campaign 'apr1' in .*; there are: mar8"):
        history(clone, ref="apr1")
    bare = tmp_path / "bare.git"
    subprocess.run(["git", "clone", "-q", "--bare", "-b", "main", clone, bare], check=True)
    subprocess.run(["git", "-C", bare, "branch", "-qD", "autoresearch/mar8"], check=True)
    with pytest.raises(CampaignError, match=r"'mar8' is no branch, tag or commit.*branches: main"):
        history(bare, ref="mar8")
    lab = write(tmp_path / "lab", NIGHT)
    with pytest.raises(CampaignError, match=r"no campaign 'dec9'.*there are: nov23"):
        history(lab, ref="dec9")
    with pytest.raises(CampaignError, match="don't look like experiments"):
        history(lab, ref="main")


def test_an_ordinary_repository_is_no_history(make_host):
    host = make_host({"a.py": "A = 1\n"})
    (host / "a.py").write_text("A = 2\n")
    subprocess.run(["git", "-C", host, "commit", "-qam", "Faster: 3.1 s instead of 4"], check=True)
    with pytest.raises(CampaignError, match="don't look like experiments"):
        history(host)


def test_the_number_of_git_processes_does_not_grow_with_the_rows(
    clone: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = git_calls(monkeypatch)
    history(clone)
    few = len(calls)
    made = git.text(clone, "rev-parse", "HEAD")
    (clone / "results.tsv").write_text(HEAD + f"{made}\t2\t1\tkeep\ta\n" * 300)
    calls.clear()
    assert len(history(clone)) == 300
    assert len(calls) == few <= 8


def test_a_metric_of_a_campaign_of_others_may_rise(tmp_path: Path):
    text = HEAD.replace("val_loss", "accuracy") + "a\t0.5\t1\tkeep\tx\nb\t0.7\t1\tkeep\ty\n"
    (tmp_path / "night.tsv").write_text(text)
    df = history(tmp_path / "night.tsv")
    assert df["best_so_far"].tolist() == [0.5, 0.7]
    assert df.attrs["goal"] == "maximize"


def test_a_record_of_an_older_version_is_read_with_its_defaults(tmp_path: Path):
    old = record(1, "keep", 2.0)
    body = json.loads(old.message().partition("\n\n")[2])
    del body["stopped_early"], body["proposal"]
    lab = write(tmp_path / "lab", NIGHT[:1])
    tag = git.write_tag(lab, "autoresearch/nov23/0001", git.head(lab), f"x\n\n{json.dumps(body)}")
    git.update_refs(lab, [git.RefUpdate("refs/tags/autoresearch/nov23/0001", tag)])
    df = history(lab)
    assert df["metric"].tolist() == [2.3, 2.0]
    assert df["cost"].isna().all()
