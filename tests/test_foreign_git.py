"""Histories of others that are in git: joined by hash, told by messages alone, or by a journal."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import git
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.exports import export
from autoresearch_kit.foreign import commits, journal, messages
from autoresearch_kit.foreign.tables import Row, Table
from autoresearch_kit.git import Logged
from autoresearch_kit.histories import history
from tests.upstream import TRAIN, commit_all


def read(repo: Path, made: list[str], **more: object) -> list[tuple[str, float | None, str]]:
    """Status, value and description of what the commits tell, told as a branch of experiments."""
    table = commits.read(repo, made[-1], "mar8", **more)  # type: ignore[arg-type]
    return [(row.status, row.value, row.description) for row in table.rows]


REVERTED = 'Revert "exp 2: b"\n\nThis reverts commit {1}.\n'
HISTORIES = {
    "a revert that names its commit": (
        ["exp 1: a", "exp 2: b", REVERTED, "exp 3: c"],
        ["keep", "discard", "keep"],
    ),
    "a revert that names a subject alone": (
        ["exp 1: a", "exp 2: b", 'Revert "exp 1: a"'],
        ["discard", "keep"],
    ),
    "a revert of a revert": (
        ["exp 1: a", "exp 2: b", REVERTED, 'Reapply "exp 2: b"\n\nThis reverts commit {2}.'],
        ["keep", "keep"],
    ),
    "restored in words": (
        ["exp 1: a", "exp 2: b", "restore softcap=15", "exp 3: c", "roll back: no gain"],
        ["keep", "discard", "discard"],
    ),
    "words that name a commit take back all since": (
        ["exp 1: a", "exp 2: b", "exp 3: c", "reset to {0}"],
        ["keep", "discard", "discard"],
    ),
    "two restores in a row take back one": (
        ["exp 1: a", "exp 2: b", "revert to softcap=15", "restore again"],
        ["keep", "discard"],
    ),
    "verdicts in commits of their own": (
        ["experiment: a", "keep: a (0.91)", "experiment: b", "discard: b", "experiment: c"],
        ["keep", "discard", "keep"],
    ),
    "each commit says its own verdict": (["keep: a", "discard: b", "crash: c"], None),
    "programs between experiments": (
        ["initial commit", "exp 1: a", "docs: how", "fix: loader", "Merge branch 'x'", "exp 2: b"],
        ["keep", "keep"],
    ),
    "no word for an experiment": (["a lower rate", "wider", "revert wider"], ["keep", "discard"]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_reverts_and_restores_are_discards(tmp_path: Path, name: str):
    told, statuses = HISTORIES[name]
    made: list[str] = []
    for message in told:
        text = message.format(*made)
        made += commit_all(tmp_path / "r", [text], "main", "main" if made else "")
    expected = statuses or [word.partition(":")[0] for word in told]
    assert [status for status, _, _ in read(tmp_path / "r", made)] == expected


def test_how_a_status_was_inferred_is_said(tmp_path: Path):
    made = commit_all(tmp_path / "r", ["exp 1: a", "exp 2: b", "restore it", "docs: x"])
    table = commits.read(tmp_path / "r", made[-1], "mar8")

    how = [row.extra["inferred"] for row in table.rows]
    assert how == [commits.PENDING, f"taken back by the words of {made[2][:7]}"]
    assert "mar8: 1 other commits (documents, merges, …) are left out" in table.notes
    assert "mar8: no message states a metric" in table.notes
    assert table.metric == ""


def test_documents_and_results_are_no_experiments(tmp_path: Path):
    told = ["wider", ("log", {"results.tsv": "a\n"}), ("ideas", {"program.md": "b\n"}), "deeper"]
    made = commit_all(tmp_path / "r", told)
    assert [what for _, _, what in read(tmp_path / "r", made)] == ["wider", "deeper"]


def test_an_unknown_branch_needs_commits_that_say_so(tmp_path: Path):
    made = commit_all(tmp_path / "r", ["a", "b", "exp 1: c"])
    with pytest.raises(CampaignError, match="don't look like experiments"):
        read(tmp_path / "r", made, sure=False)
    made = commit_all(tmp_path / "r", ["exp 2: d"], "main", "main")
    found = read(tmp_path / "r", made, sure=False)
    assert [what for _, _, what in found] == ["exp 1: c", "exp 2: d"]


MESSAGES = {
    "lower the rate: val_loss 0.9921": {"val_loss": 0.9921},
    "lower the rate (val_loss: 0.9921)": {"val_loss": 0.9921},
    "lower the rate, val_loss=0.9921, 44 GB": {"val_loss": 0.9921},
    "discard: LR 0.04->0.03 — val_loss regressed 1.710->1.735": {"val_loss": 1.735},
    "exp: LR 0.04 -> 0.03 (prev val_loss=1.710)": {},
    "halve the batch: 0.9979 -> 0.9860": {"": 0.9860},
    "halve the batch 0.9979 → 0.9860": {},  # may be a setting
    "two changes: 0.9979 -> 0.9860, 0.123 -> 0.456": {},
    "BATCH_SIZE: 64 -> 32": {},
    "batch_size=32": {},
    "accuracy 0.91 (best accuracy 0.95)": {"accuracy": 0.91},
    "log (125 experiments, best val_loss=0.969686)": {},
    "a\n\nval_loss: 1.5e-1": {"val_loss": 0.15},
    "depth 2**4, loss 2^19": {},
    'x\n\nResult: {"status":"keep","render_ns":5.5,"feed_ns":4}': {"render_ns": 5.5},
    'x\n\nResult: {"status":"keep",': {},
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_metric_is_read_where_a_message_states_it(message: str):
    commit = Logged("a" * 40, (), "", "", message, {})
    assert messages.read(commit).values == MESSAGES[message]


def test_the_metric_is_the_one_that_most_messages_state(tmp_path: Path):
    told = ["exp 1: a, val_loss 2.5, acc 0.1", "exp 2: b, val_loss 2.4", "exp 3: c, acc 0.2"]
    made = commit_all(tmp_path / "r", told)
    table = commits.read(tmp_path / "r", made[-1], "mar8")
    assert [row.value for row in table.rows] == [2.5, 2.4, None]
    assert (table.metric, table.goal) == ("val_loss", "minimize")
    assert "mar8: 2 of 3 state val_loss; the others have no metric" in table.notes


@given(st.text(max_size=200))
def test_any_message_can_be_read(message: str):
    said = messages.read(Logged("a" * 40, (), "", "", message, {}))
    assert all(isinstance(value, float) for value in said.values.values())


def test_an_ambiguous_prefix_is_not_joined_and_noted(tmp_path: Path):
    repo = tmp_path / "r"
    made = commit_all(repo, [f"commit {n}" for n in range(400)])
    short = sorted(name[:4] for name in made)
    twice = next(a for a, b in itertools.pairwise(short) if a == b)  # dates are fixed: it's there
    found = git.find_commits(repo, [made[0][:9], "ffffffff", twice])
    assert found == {made[0][:9]: made[0], twice: None}

    rows = [Row(2, commit="abcd", value=1.0, status="keep")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(git, "find_commits", lambda *_: {"abcd": None})
        joined = commits.join(Table(rows, "val_loss", "minimize"), "night", repo)
    assert joined.present == [False]
    assert any("several commits begin with abcd" in note for note in joined.notes)


def test_dirty_doubled_and_missing_hashes_are_noted(tmp_path: Path):
    made = commit_all(tmp_path / "r", ["a", "b"])
    rows = [
        Row(2, "baseline", "", value=2.0, status="keep"),
        Row(3, f"{made[1][:7]}-dirty", made[1][:7], dirty=True, value=1.0, status="keep"),
        Row(4, made[1][:7], made[1][:7], value=1.5, status="discard"),
    ]
    joined = commits.join(Table(rows, "val_loss", "minimize"), "n", tmp_path / "r")
    assert joined.present == [False, True, True]
    assert joined.extra["commit"] == [row.label for row in rows]
    assert [note.partition(": ")[2] for note in joined.notes] == [
        "1 of 3 rows names no commit",
        "1 of 3 rows ran with uncommitted changes, which the commit lacks",
        f"several rows name {made[1][:7]}",
        "2 of 3 rows have their commit here",
    ]


def test_results_and_notes_do_not_count_as_changed_lines(tmp_path: Path):
    files = {"train.py": TRAIN.format(lr=9), "results.tsv": "a\nb\n", "notes.md": "c\n"}
    made = commit_all(tmp_path / "r", ["a", ("b", files)])
    rows = [Row(2, commit=name, value=1.0, status="keep") for name in made]
    joined = commits.join(Table(rows, "val_loss", "minimize"), "n", tmp_path / "r")
    assert (joined.records[1].lines_added, joined.records[1].lines_removed) == (1, 1)
    assert joined.changed == ["", "LR"]


def test_a_message_with_control_characters_does_not_break_a_log(tmp_path: Path):
    made = commit_all(tmp_path / "r", ["a \x01 b \x02", "c"])
    log = git.log(tmp_path / "r", made[-1])
    assert [commit.commit for commit in log] == made
    assert log[0].message == "a \x01 b \x02"


CONFIG = {"type": "config", "name": "Faster", "metricName": "total_ms", "metricUnit": "ms"}


def run(n: int, metric: object, status: str = "keep", **more: object) -> dict[str, object]:
    when = 1_773_348_490_227 + 1000 * n
    fields = {"commit": f"abc000{n}", "description": f"idea {n}", "timestamp": when, "metrics": {}}
    return {"run": n, "metric": metric, "status": status, **fields, **more}


def text(*entries: object) -> str:
    return "".join(f"{e if isinstance(e, str) else json.dumps(e)}\n" for e in entries)


def test_a_journal_names_metric_unit_and_direction():
    config = {**CONFIG, "bestDirection": "higher"}
    table = journal.read(text(config, run(1, 5, metrics={"b": 2}), run(2, 7, "discard")), "log")

    assert (table.metric, table.unit, table.goal) == ("total_ms", "ms", "maximize")
    assert [(row.value, row.status, row.commit) for row in table.rows] == [
        (5.0, "keep", "abc0001"),
        (7.0, "discard", "abc0002"),
    ]
    assert table.rows[0].extra == {"run": 1, "b": 2}
    assert table.rows[0].decided == "2026-03-12T20:48:11.227000+00:00"
    assert "log: higher total_ms is better, as the journal says" in table.notes


CASES = {
    "a crash has no metric": ([run(1, 0, "crash")], (None, "crash"), "line 1 is a crash with a"),
    "failed checks are discards": ([run(1, 3, "checks_failed")], (3.0, "discard"), "checks_failed"),
    "null is no metric": ([run(1, None)], (None, "keep"), ""),
    "a number in quotes": ([run(1, "3.5")], (3.5, "keep"), ""),
    "hooks are left out": (
        [{"type": "hook"}, run(1, 3)],
        (3.0, "keep"),
        "1 lines that are no runs",
    ),
    "seconds since 1970": ([run(1, 3, timestamp=1_780_700_150)], (3.0, "keep"), ""),
    "a later file's run without a number": ([{"metric": 3, "status": "keep"}], (3.0, "keep"), ""),
    "a second head before the first run": ([CONFIG, CONFIG, run(1, 3)], (3.0, "keep"), "total_ms"),
}


@pytest.mark.parametrize("name", CASES)
def test_lines_of_a_journal(name: str):
    entries, expected, note = CASES[name]
    table = journal.read(text(*entries), "log")
    assert [(row.value, row.status) for row in table.rows] == [expected]
    assert any(note in said for said in table.notes)


def test_a_broken_line_is_kept_as_a_row_and_noted():
    table = journal.read(text(CONFIG, run(1, 3), '{"run": 2, "metr', run(3, 2)), "log")
    assert [(row.line, row.value) for row in table.rows] == [(2, 3.0), (3, None), (4, 2.0)]
    assert table.rows[1].description == '{"run": 2, "metr'
    assert any("line 3 is no JSON" in note for note in table.notes)


def test_what_a_journal_writes_in_odd_types_is_kept_and_noted(tmp_path: Path):
    odd = [
        {"metric": "fast", "timestamp": "soon"},
        {"status": 3, "description": 7, "commit": 1234567},
        {"status": None, "description": "\ud800", "metrics": {"size": 10**400}},
    ]
    lines = [json.dumps({"run": 1, "metric": 1.0, "status": "keep", **more}) for more in odd]
    config = '{"type": "config", "metricName": "wobble", "bestDirection": "maximize"}'
    table = journal.read("\n".join([config, *lines]), "log.jsonl")
    first, second, third = table.rows
    assert (first.value, first.extra["metric_as_written"]) == (None, "fast")
    assert (first.decided, first.extra["timestamp_as_written"]) == ("", "soon")
    assert (second.status, second.description, second.commit) == ("3", "7", "1234567")
    assert (third.status, third.description, third.extra["size"]) == ("", "?", str(10**400))
    assert table.goal == "maximize"
    for words in (
        "line 2 is a run with a metric that is no number",
        "line 2 is a run with no time",
    ):
        assert any(words in note for note in table.notes)
    assert any("line 4 is a run without a verdict" in note for note in table.notes)


def test_a_direction_that_says_nothing_is_named():
    config = '{"type": "config", "metricName": "wobble", "bestDirection": "sideways"}'
    notes = journal.read(f'{config}\n{{"run": 1, "metric": 1.0}}', "log.jsonl").notes
    assert "log.jsonl: bestDirection is 'sideways', which says neither lower nor higher" in notes


def test_a_journal_of_thousands_of_entries_is_refused():
    lines = [json.dumps({"run": i, "metric": 1.0, f"a{i}": 1}) for i in range(1100)]
    with pytest.raises(CampaignError, match=r"1,101 different entries; expected at most 1,000"):
        journal.read("\n".join(lines), "log.jsonl")


def test_a_column_of_several_types_is_text_in_parquet(tmp_path: Path):
    runs = [{"run": i, "metric": 1.0, "metrics": {"how": how}} for i, how in enumerate((1, "x"))]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, runs)))
    [done] = export(tmp_path / "log.jsonl", tmp_path / "t.parquet")
    assert done.holds.endswith("; how as text")
    assert list(history(tmp_path / "t.parquet")["how"]) == ["1", "x"]


def test_each_segment_of_a_journal_is_a_campaign():
    other = {**CONFIG, "metricName": "mb"}
    tables = journal.segments(text(CONFIG, run(1, 3), other, run(1, 9), other), "log")
    assert [(t.metric, [row.value for row in t.rows]) for t in tables] == [
        ("total_ms", [3.0]),
        ("mb", [9.0]),
    ]
    with pytest.raises(CampaignError, match="has no runs yet"):
        journal.read(text(CONFIG), "log")


def test_json_lines_of_another_form_are_read_by_their_keys():
    lines = text(
        {"sha": "abc1234", "val_loss": 2.0, "decision": "accepted", "idea": "a, b"},
        {"sha": "abc1235", "val_loss": 2.5, "decision": "rejected", "config": {"lr": 0.1}},
    )
    table = journal.read(lines, "log")
    assert [(r.line, r.value, r.status) for r in table.rows] == [
        (1, 2.0, "keep"),
        (2, 2.5, "discard"),
    ]
    assert table.rows[1].extra["config.lr"] == 0.1


def test_what_a_journal_did_not_keep_has_no_commit_of_its_own(tmp_path: Path):
    made = commit_all(tmp_path / "r", ["a", "b"])
    rows = [
        Row(1, made[0][:7], made[0][:7], value=3.0, status="keep"),
        Row(2, made[0][:7], made[0][:7], value=4.0, status="discard"),
        Row(3, made[1][:7], made[1][:7], value=2.0, status="keep"),
    ]
    joined = commits.join(Table(rows, "ms", "minimize"), "n", tmp_path / "r", journal=True)
    assert joined.present == [True, False, True]
    assert [record.commit for record in joined.records] == [made[0], "", made[1]]
    assert joined.records[1].parent_commit == made[0]
    assert joined.extra["commit"][1] == made[0][:7]
    assert any("their own code is in no commit" in note for note in joined.notes)


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.dictionaries(
                st.sampled_from(["run", "metric", "type", "status", "commit", "timestamp", "asi"]),
                st.one_of(
                    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
                    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
                ),
            ).map(json.dumps),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_no_journal_is_too_odd(lines: list[str]):
    try:
        tables = journal.segments("\n".join([json.dumps(CONFIG), *lines]), "log")
    except CampaignError:
        return
    for row in (row for table in tables for row in table.rows):
        assert row.value is None or math.isfinite(row.value)
