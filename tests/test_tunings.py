"""The constants of every experiment as a tidy table."""

from __future__ import annotations

from pathlib import Path

from autoresearch_kit.tunings import COLUMNS, constants
from tests.recorded import record, write
from tests.upstream import TRAIN, commit_all


def test_each_constant_of_each_experiment_is_a_row(tmp_path: Path):
    tried = [
        record(0, "keep", 2.0, constants={"LR": 0.1, "BETAS": [0.8, 0.9]}),
        record(1, "keep", 1.5, delta=-0.5, constants={"LR": 0.2, "BETAS": [0.8, 0.9], "NEW": 1}),
        record(2, "crash", parent=1, constants={"LR": 0.2, "NEW": 1}),
        record(3, "keep", 1.5, parent=1, about=1, kind="repeat", constants={}),
    ]
    table = constants(write(tmp_path / "lab", tried))

    assert list(table) == list(COLUMNS)
    assert {name: str(table[name].dtype) for name in COLUMNS} == COLUMNS
    assert table["experiment"].tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    changed = table[table["changed"]]
    assert changed[["experiment", "name", "value", "before"]].to_numpy().tolist() == [
        [1, "LR", 0.2, 0.1],
        [1, "NEW", 1, None],
        [2, "BETAS", None, (0.8, 0.9)],
    ]
    assert table.groupby("value", sort=False).size()[(0.8, 0.9)] == 2
    assert table.attrs["metric"] == "val_loss"
    assert table.loc[2, ["metric", "delta"]].tolist() == [1.5, -0.5]


def test_constants_of_others_are_read_from_their_commits(tmp_path: Path):
    repo = tmp_path / "theirs"
    commit_all(repo, ["program"])
    tried = [("a", {"train.py": TRAIN.format(lr=7)}), ("b", {"lib/net.py": "WIDTH = 3\n"})]
    made = commit_all(repo, tried, "autoresearch/x", "main")
    lines = [f"{made[0]}\t2.0\tkeep\ta", f"{made[1]}\t1.0\tkeep\tb", "fff0fff\t3.0\tdiscard\tc"]
    (repo / "results.tsv").write_text("commit\tval_loss\tstatus\tdescription\n" + "\n".join(lines))
    table = constants(repo)

    found = table[["experiment", "name", "value", "before", "changed"]].to_numpy().tolist()
    name = "" if found[0][1] == "LR" else "train.py:"  # the first file has no prefix
    other = "lib/net.py:" if not name else ""
    assert sorted(found, key=str) == sorted(
        [
            [0, f"{name}LR", 7, None, False],
            [0, f"{name}DEPTH", 4, None, False],
            [1, f"{name}LR", 7, 7, False],
            [1, f"{name}DEPTH", 4, 4, False],
            [1, f"{other}WIDTH", 3, None, True],
        ],
        key=str,
    )
    notes = table.attrs["notes"]
    assert "the constants of 1 of 3 experiments aren't known" in notes
    assert any(note.endswith(" of 2 commits") and "lib/net.py" in note for note in notes)


def test_a_file_alone_has_no_constants_and_says_so(tmp_path: Path):
    (tmp_path / "night.tsv").write_text("commit\tval_loss\tstatus\nabc1234\t2.0\tkeep\n")
    table = constants(tmp_path / "night.tsv")
    assert table.empty
    assert table.attrs["notes"][-1] == "the constants of 1 of 1 experiments aren't known"


def test_what_is_better_may_be_said(tmp_path: Path):
    lab = write(tmp_path / "lab", [record(0, "keep", 2.0)])
    assert constants(lab).attrs["goal"] == "minimize"
    assert constants(lab, goal="maximize").attrs["goal"] == "maximize"
