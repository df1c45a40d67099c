"""What a campaign leaves to others, read again by what others have: git, pandas, csv."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest

import autoresearch_kit as ark
from autoresearch_kit import git, ledger
from autoresearch_kit.errors import CampaignError, LabError
from autoresearch_kit.exports import export
from tests.conftest import git as run
from tests.kept import kept_campaign
from tests.recorded import record, write
from tests.stacked import FIT, PRINTED, add, start

campaign = pytest.fixture(kept_campaign)


@pytest.fixture
def host(campaign: ark.Campaign) -> Path:
    return campaign.path


def test_results_are_in_the_originals_exact_form(tmp_path: Path) -> None:
    """The example of karpathy/autoresearch (program.md, commit 228791f), as the kit records it."""
    said = ["first", "increase LR to 0.04", "switch to GeLU\tactivation\n", '"double" width (OOM)']
    numbers = [(0.9979, 45056), (0.9932, 45261), (1.005, 45056), (None, 90000)]
    statuses = ("keep", "keep", "discard", "crash")
    found = [
        record(n, status, value, hypothesis=words, metric="val_bpb", peak_memory_mb=memory)
        for n, (status, words, (value, memory)) in enumerate(
            zip(statuses, said, numbers, strict=True)
        )
    ]
    repo = write(tmp_path / "repo", found)
    [done] = export(repo, tmp_path / "out" / "results.tsv")
    text = (tmp_path / "out" / "results.tsv").read_text()
    short = [row[:7] for row in ark.history(repo)["commit"]]
    assert text == (
        "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
        f"{short[0]}\t0.997900\t44.0\tkeep\tbaseline\n"
        f"{short[1]}\t0.993200\t44.2\tkeep\tincrease LR to 0.04\n"
        f"{short[2]}\t1.005000\t44.0\tdiscard\tswitch to GeLU activation\n"
        f"{short[3]}\t0.000000\t0.0\tcrash\t'double' width (OOM)\n"
    )
    assert repr(done) == f"<Export {tmp_path}/out/results.tsv: 4 rows>"
    rows = pd.read_csv(io.StringIO(text), sep="\t")  # as the original's analysis.ipynb does
    assert list(rows["val_bpb"]) == [0.9979, 0.9932, 1.005, 0.0]


def test_results_hold_each_experiment_once_as_it_stands_and_count_what_is_left_out(
    tmp_path: Path,
) -> None:
    found = [
        record(0, "keep", 1.0),
        record(1, "keep", 0.5, replicates=({"seed": 1, "value": 0.5},)),
        record(2, "refused"),
        record(3, "quarantine", 0.1),
        record(4, "keep", 0.7, about=1, kind="repeat", replicates=({"seed": 2, "value": 0.7},)),
        record(5, "discard", None, hypothesis="stopped early"),
        record(6, "keep", 0.4),
        record(7, "discard", 0.4, about=6, kind="override"),
        record(8, "keep", 0.4, about=6, kind="audit"),
        record(9, "refused"),
    ]
    repo = write(tmp_path / "repo", found)
    [done] = export(repo, tmp_path / "r.tsv")
    assert done.holds == (
        "5 rows; left out: 1 audit, 1 override, 1 quarantine, 2 refused, 1 repeat"
    ).replace("5 rows", "4 rows")
    lines = [row.split("\t") for row in (tmp_path / "r.tsv").read_text().splitlines()[1:]]
    assert [(line[1], line[3]) for line in lines] == [
        ("1.000000", "keep"),
        ("0.600000", "keep"),
        ("nan", "discard"),
        ("0.400000", "discard"),
    ]


def test_what_is_exported_as_results_reads_back_the_same(campaign, tmp_path: Path) -> None:
    export(campaign, tmp_path / "results.tsv")
    here, there = ark.history(campaign), ark.history(tmp_path / "results.tsv", goal="minimize")
    for name in ("status", "metric", "best_so_far"):
        assert here[name].equals(there[name])
    assert list(there["hypothesis"]) == ["baseline", *here["hypothesis"][1:]]
    assert there.attrs["metric"] == "loss"


@pytest.mark.parametrize("several", [False, True])
def test_a_parquet_table_is_the_history_exactly(campaign, contract, tmp_path, several) -> None:
    if several:
        add(ark.open_campaign(campaign.path, tag="t", **PRINTED), {}, "keep", 3.0)
    x = campaign.path if several else campaign
    export(x, tmp_path / "h.parquet", tmp_path / "h.csv")
    want, got = ark.history(x), pd.read_parquet(tmp_path / "h.parquet")
    pd.testing.assert_frame_equal(got, want, check_exact=True)
    assert got.attrs == want.attrs
    assert pd.read_csv(tmp_path / "h.csv").shape == want.shape


def test_the_winners_file_and_patch_apply_to_the_start(campaign, host, tmp_path) -> None:
    run(host, "config", "diff.context", "0")  # whatever the user's settings are
    run(host, "config", "diff.noprefix", "true")
    done = export(campaign, tmp_path / "fit.py", tmp_path / "winner.patch")
    assert [one.kind for one in done] == ["file", "patch"]
    winner = (tmp_path / "fit.py").read_text()
    assert ("A = 4" in winner, "B = 3" in winner) == (True, True)
    at = tmp_path / "start"
    run(tmp_path, "clone", "-q", "-b", "main", str(host), str(at))
    assert not (at / "task.toml").exists()
    run(at, "apply", "--whitespace=nowarn", str(tmp_path / "winner.patch"))
    assert (at / "fit.py").read_text() == winner
    assert run(at, "status", "--porcelain").split() == ["M", "fit.py"]


def test_a_campaign_that_kept_nothing_exports_its_start(make_host, tmp_path: Path) -> None:
    host = make_host({"fit.py": FIT})
    campaign = start(host, **PRINTED)
    add(campaign, {"A": 9}, "discard", 14.0)
    done = export(campaign, tmp_path / "fit.py", tmp_path / "w.patch", branch="winner")
    assert (tmp_path / "fit.py").read_text() == FIT
    assert (tmp_path / "w.patch").read_text() == ""
    assert "nothing, for" in done[1].holds
    assert "no branch" in done[2].holds
    assert git.resolve(host, "winner") is None


def test_a_bundle_is_the_whole_campaign_and_nothing_else(campaign, host, tmp_path) -> None:
    git.update_refs(
        host,
        [
            git.RefUpdate("refs/tags/mine", campaign.start),
            git.RefUpdate("refs/heads/x", campaign.start),
        ],
    )
    ledger.pin(campaign, git.commit_files(host, campaign.start, {"fit.py": "B = 1\n"}, "pinned"))
    path = tmp_path / "out" / "night.bundle"
    [done] = export(campaign, path)
    assert "s with 5 records" in done.holds
    run(tmp_path, "clone", "-q", str(path), "clone")
    clone = tmp_path / "clone"
    assert run(clone, "rev-parse", "HEAD") == campaign.best.commit
    assert (clone / "notes.md").read_text() == "mine\n"
    for corner in ("refs/tags/autoresearch/", "refs/tags/autoresearch-files/"):
        assert git.refs(clone, corner) == git.refs(host, corner)
    assert set(run(clone, "tag").split()) == {
        f"{corner}/s/{n:04d}" for corner in ("autoresearch", "autoresearch-files") for n in range(5)
    }
    assert run(clone, "rev-list", "--all", "--grep=pinned") == ""
    for x in (clone, path):
        pd.testing.assert_frame_equal(ark.history(x), ark.history(campaign))
    again = ark.open_campaign(clone, tag="s")
    assert (again.note, again.best.n) == ("opened", 4)
    export(path, tmp_path / "from.tsv", tmp_path / "fit.py")
    assert (tmp_path / "fit.py").read_text() == campaign.best.files["fit.py"]


def test_a_bundle_of_a_clone_without_the_branch_ends_at_the_best_state(campaign, tmp_path) -> None:
    run(tmp_path, "clone", "-q", "--bare", str(campaign.path), "bare.git")
    run(tmp_path / "bare.git", "branch", "-D", "autoresearch/s")
    export(tmp_path / "bare.git", tmp_path / "x.bundle")
    heads = run(tmp_path, "bundle", "list-heads", str(tmp_path / "x.bundle"))
    assert f"{campaign.best.commit} refs/heads/autoresearch/s" in heads


def test_files_of_the_same_name_are_told_apart_by_their_folders(make_host, tmp_path) -> None:
    files = {"one/fit.py": FIT, "two/fit.py": FIT.replace("B = 5", "B = 6")}
    host = make_host(files)
    edit = ["one/fit.py", "two/fit.py"]
    campaign = start(host, **{**PRINTED, "edit": edit, "train": f"{sys.executable} one/fit.py"})
    with pytest.raises(CampaignError, match=r"could be each of .*one/fit.py, two/fit.py"):
        export(campaign, tmp_path / "fit.py")
    export(campaign, tmp_path / "two" / "fit.py")
    assert (tmp_path / "two" / "fit.py").read_text() == files["two/fit.py"]


@pytest.mark.parametrize(
    ("name", "there", "is_ours"),
    [
        ("r.tsv", "commit\tloss\tmemory_gb\tstatus\tdescription\n", True),
        ("r.tsv", "commit\tloss\tmemory_gb\tstatus\tdescription\nabc1234\t1\t1\tkeep\tx\n", False),
        ("r.tsv", "my notes\n", False),
        ("r.tsv", "", True),
        ("h.csv", "campaign,experiment,status\n", True),
        ("h.csv", "a,b\n", False),
        ("h.parquet", "PAR1 of somebody", False),
        ("w.patch", "diff --git a/fit.py b/fit.py\n", True),
        ("w.patch", "diff --git a/notes.md b/notes.md\n", False),
        ("w.patch", "From: somebody\n", False),
        ("x.bundle", f"# v2 git bundle\n{'0' * 40} refs/heads/autoresearch/s\n\nPACK", True),
        ("x.bundle", f"# v2 git bundle\n{'0' * 40} refs/heads/main\n\nPACK", False),
        ("x.bundle", "my own\n", False),
        ("fit.py", FIT, True),
        ("fit.py", FIT + "# mine\n", False),
    ],
)
def test_only_what_an_export_wrote_is_replaced(campaign, tmp_path, name, there, is_ours) -> None:
    path = tmp_path / name
    path.write_text(there)
    if is_ours:
        export(campaign, path)
        fresh = path.read_bytes()
        assert fresh != there.encode()
        export(campaign, path)
        assert name.endswith("bundle") or path.read_bytes() == fresh
    else:
        with pytest.raises(CampaignError, match="exists and is no earlier export of this"):
            export(campaign, path, tmp_path / "other.tsv", branch="winner")
        assert path.read_text() == there
        assert not (tmp_path / "other.tsv").exists()
        assert git.resolve(campaign.path, "winner") is None


def test_an_export_grows_with_the_campaign(campaign, tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("r.tsv", "h.parquet", "fit.py", "w.patch", "x.bundle")]
    export(campaign, *names)
    before = [path.read_bytes() for path in names]
    add(campaign, {"A": 3}, "keep", 6.0)
    export(campaign, *names)
    assert all(path.read_bytes() != old for path, old in zip(names, before, strict=True))


def test_the_files_of_a_checkout_are_the_users(campaign, host: Path) -> None:
    with pytest.raises(CampaignError, match=r"git checkout autoresearch/s -- fit\.py"):
        export(campaign, host / "fit.py")
    assert (host / "fit.py").read_text() == FIT
    export(campaign, host / "results.tsv")  # where the original has it
    assert (host / "results.tsv").exists()


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ((), "needs to be told what"),
        (("winner.txt",), "'winner.txt' is none of the files that campaign s may change; expected"),
        (("folder/",), "is a folder"),
        (("there",), "is none of"),
        (("there.tsv",), "is a folder"),
        (("file/x.tsv",), "can't be written: Not a directory"),
    ],
)
def test_a_name_that_says_nothing_writes_nothing(
    campaign, tmp_path, monkeypatch, paths: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.tsv").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CampaignError, match=said):
        export(campaign, *paths, *(["good.tsv"] if paths else []))
    assert sorted(tmp_path.iterdir()) == before


def test_what_x_has_not_is_told(campaign, tmp_path: Path) -> None:
    export(campaign, tmp_path / "results.tsv", tmp_path / "x.bundle")
    for name in ("fit.py", "w.patch", "x2.bundle"):
        with pytest.raises(CampaignError, match=r"says nothing to export|is a table without code"):
            export(tmp_path / "results.tsv", tmp_path / name)
    with pytest.raises(CampaignError, match="clone it first"):
        export(tmp_path / "x.bundle", branch="winner")
    add(ark.open_campaign(campaign.path, tag="t", **PRINTED), {}, "keep", 3.0)
    with pytest.raises(CampaignError, match=r"2 campaigns: s, t\. Say which, for example ref='s'"):
        export(campaign.path, tmp_path / "r.tsv")
    export(campaign.path, tmp_path / "two.bundle")
    assert set(ark.history(tmp_path / "two.bundle")["campaign"]) == {"s", "t"}
    with pytest.raises((LabError, CampaignError)):
        export(tmp_path / "nowhere", tmp_path / "r.tsv")


def test_a_clone_of_the_originals_has_a_winner_too(make_host, tmp_path: Path) -> None:
    """Its baseline has no hash, its discards are gone, its keeps are on a branch."""
    repo = make_host({"train.py": "LR = 1\n", "prepare.py": "", "program.md": ""})
    run(repo, "checkout", "-q", "-b", "autoresearch/mar8")
    rows = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription"]
    rows.append("baseline\t0.997900\t44.0\tkeep\tbaseline")
    for lr, value in ((2, "0.986041"), (3, "0.981773")):
        (repo / "train.py").write_text(f"LR = {lr}\n")
        run(repo, "commit", "-qam", f"LR {lr}")
        rows.append(f"{run(repo, 'rev-parse', 'HEAD')[:7]}\t{value}\t43.9\tkeep\tLR to {lr}")
        rows.append(f"abcdef{lr}\t0.990000\t44.0\tdiscard\tthis and that")
        rows.append(f"abcde1{lr}\t0.000000\t0.0\tcrash\ttoo wide (OOM)")
    text = "".join(f"{row}\n" for row in rows)
    (repo / "results.tsv").write_text(text)
    out = tmp_path / "out"
    export(repo, out / "r.tsv", out / "train.py", out / "w.patch", branch="winner")
    assert (out / "r.tsv").read_text() == text
    assert (out / "train.py").read_text() == "LR = 3\n"
    run(repo, "stash", "-q", "--include-untracked")
    run(repo, "checkout", "-q", "main")
    run(repo, "apply", str(out / "w.patch"))
    assert (repo / "train.py").read_text() == "LR = 3\n"
    said = run(repo, "log", "--format=%s|%(trailers:key=Experiment,valueonly)", "main..winner")
    assert said.replace("\n\n", "\n").splitlines() == ["LR to 3|mar8/0004", "LR to 2|mar8/0001"]
    assert "val_bpb 0.997900 → 0.986041" in run(repo, "log", "-1", "--format=%b", "winner~1")
    with pytest.raises(CampaignError, match="has no campaign of this kit; git bundles it as it is"):
        export(repo, out / "x.bundle")


def test_a_repository_with_longer_hashes_has_a_winner_too(tmp_path: Path) -> None:
    repo = tmp_path / "long"
    git.call(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(repo))
    rows = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription"]
    for lr in (1, 2):
        (repo / "train.py").write_text(f"LR = {lr}\n")
        commit = git.commit_all(repo, f"LR {lr}")
        rows.append(f"{commit[:9]}\t0.{9 - lr}\t44.0\tkeep\tLR {lr}")
    (repo / "results.tsv").write_text("\n".join(rows))
    export(repo, branch="winner")
    assert run(repo, "log", "--format=%s", "main~1..winner") == "LR 2"


def test_a_record_of_a_later_version_is_counted_by_its_own_word(tmp_path: Path) -> None:
    later = record(2, "keep", 0.9, about=1, kind="rehearsal")
    repo = write(tmp_path / "repo", [record(0, "keep", 1.0), record(1, "keep", 0.9), later])
    [done] = export(repo, tmp_path / "results.tsv")
    assert done.holds == "2 rows; left out: 1 rehearsal"
