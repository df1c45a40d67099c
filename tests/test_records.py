"""Records are read once, and none is missed."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from autoresearch_kit import errors, git, records
from tests.recorded import record, write

NIGHT = [record(0, "keep", 2.3), record(1, "discard", 2.4)]


def decide(lab: Path, n: int) -> None:
    name = records.tag_name("nov23", n)
    oid = git.write_tag(lab, name, git.head(lab), record(n, "discard", 2.4).message())
    git.update_refs(lab, [git.RefUpdate(records.tag_ref("nov23", n), oid, git.ABSENT)])


def numbers(lab: Path) -> list[int]:
    return [each.n for each in records.read_all(lab, "nov23")]


def test_a_record_is_seen_at_once(tmp_path: Path) -> None:
    lab = write(tmp_path / "lab", NIGHT)
    for n in range(2, 7):  # several within one tick of a file system's clock
        assert numbers(lab) == list(range(n))
        decide(lab, n)
    git.call(lab, "pack-refs", "--all")
    assert numbers(lab) == list(range(7))
    decide(lab, 7)
    assert numbers(lab) == list(range(8))


def test_a_record_that_somebody_replaced_is_read_again(tmp_path: Path) -> None:
    lab = write(tmp_path / "lab", NIGHT)
    ref = records.tag_ref("nov23", 1)
    for value in (2.5, 2.6):
        before = git.refs(lab, ref)[ref]
        body = record(1, "discard", value).message()
        oid = git.write_tag(lab, records.tag_name("nov23", 1), git.head(lab), body)
        git.update_refs(lab, [git.RefUpdate(ref, oid, before)])
        assert [each.value for each in records.read_all(lab, "nov23")] == [2.3, value]


def test_a_record_made_again_between_two_looks_is_read_again(tmp_path: Path) -> None:
    lab = write(tmp_path / "lab", NIGHT)
    ref = records.tag_ref("nov23", 1)
    assert numbers(lab) == [0, 1]
    for value in (2.5, 2.6, 2.7):  # a new file often has the inode of the one before
        git.update_refs(lab, [git.RefUpdate(ref, None, None)])
        body = record(1, "discard", value).message()
        oid = git.write_tag(lab, records.tag_name("nov23", 1), git.head(lab), body)
        git.update_refs(lab, [git.RefUpdate(ref, oid, git.ABSENT)])
        time.sleep(0.02)  # a file system's clock may tick that slowly
        assert records.read_all(lab, "nov23")[1].value == value


@pytest.mark.parametrize("curve", ["0.1:2.31:2.2", "1:11" + ":111" * 40 + "x"])
def test_an_odd_curve_is_refused_at_once(curve: str) -> None:
    body = record(1, "discard", 2.4).message().replace('"curve": ""', f'"curve": "{curve}"')
    assert curve in body
    with pytest.raises(errors.AutoresearchError, match="curve"):
        records.parse(body, "0" * 40)


def test_a_number_that_is_taken_has_no_record_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = write(tmp_path / "lab", NIGHT)
    found = records.read_all(lab, "nov23")
    free = git.RefUpdate(records.tag_ref("nov23", 2), git.ABSENT, git.ABSENT)
    pin = git.RefUpdate("refs/autoresearch/nov23/0002", git.head(lab), git.ABSENT)
    git.update_refs(lab, [free, pin])  # git locks the tag for that
    monkeypatch.setattr(subprocess, "Popen", None)
    assert records.read_all(lab, "nov23") is found
