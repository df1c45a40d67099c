"""What holds after records about earlier experiments; numbers alone, no repository."""

from __future__ import annotations

import dataclasses

from autoresearch_kit import standing
from autoresearch_kit.records import Record
from tests.recorded import record


def later(n: int, about: int, kind: str, **more: object) -> Record:
    status = str(more.pop("status", "keep"))
    return record(n, status, about=about, kind=kind, **{"replicates": (), **more})


KEPT = [record(0, "keep", 10.0), *(record(n, "keep", 10.0 - n, parent=n - 1) for n in (1, 2, 3))]


def statuses(found: list[Record]) -> list[str]:
    return [r.status for r in standing.of(found).experiments]


def test_kept_experiments_are_the_line_and_the_last_one_is_the_best() -> None:
    found = [*KEPT, record(4, "discard", 8.0, parent=3), record(5, "crash", parent=3)]
    now = standing.of(found)
    assert now.line == [0, 1, 2, 3]
    assert now.best == KEPT[3]
    assert now.later == []
    assert statuses(found) == ["keep"] * 4 + ["discard", "crash"]


def test_nothing_stands_before_the_baseline() -> None:
    assert standing.of([]).best is None
    assert standing.of([]).line == []


def test_the_keep_that_was_decided_last_is_the_best_whatever_its_number() -> None:
    late = record(1, "keep", 9.0, decided="2026-11-23T12:00:00+00:00")
    early = record(2, "keep", 8.0, decided="2026-11-23T11:00:00+00:00")
    assert standing.of([KEPT[0], late, early]).line == [0, 2, 1]


def test_an_override_takes_the_best_state_away_and_gives_it_back() -> None:
    no = later(4, 3, "override", status="discard", reason="a cheat")
    now = standing.of([*KEPT, no])
    assert now.line == [0, 1, 2]
    assert now.experiments[3].status == "discard"
    assert now.experiments[3].reason == "was keep: a cheat"
    assert now.experiments[3].value == 7.0
    yes = later(5, 3, "override", status="keep", reason="it was fine")
    assert standing.of([*KEPT, no, yes]).line == [0, 1, 2, 3]


def test_an_override_releases_from_quarantine() -> None:
    found = [KEPT[0], record(1, "quarantine", 2.0), later(2, 1, "override", reason="looked at it")]
    now = standing.of(found)
    assert now.line == [0, 1]
    assert now.best is not None
    assert now.best.n == 1


def test_a_verdict_on_what_others_stand_on_takes_them_along() -> None:
    """Only an older version wrote such records, so they are read and no longer written."""
    found = [*KEPT, later(4, 2, "", status="discard", reason="did not repeat")]
    assert standing.of(found).line == [0, 1]
    assert statuses(found) == ["keep", "keep", "discard", "discard"]
    assert "0002 below it is discard" in standing.of(found).experiments[3].reason


def test_a_rewind_ends_what_was_kept_since() -> None:
    found = [*KEPT, later(4, 1, "rewind", reason="a dead end")]
    now = standing.of(found)
    assert now.line == [0, 1]
    assert statuses(found) == ["keep", "keep", "discard", "discard"]
    assert now.experiments[3].reason == "was keep: rewound to 0001: a dead end"
    other = record(5, "keep", 5.0, parent=1)
    assert standing.of([*found, other]).line == [0, 1, 5]


def test_a_repeat_adds_its_runs_and_keeps_the_comparison() -> None:
    best = dataclasses.replace(KEPT[1], delta=-1.0)
    runs = ({"seed": 2, "value": 9.3}, {"seed": 3, "value": 9.6})
    again = later(2, 1, "repeat", status="discard", value=9.45, replicates=runs)
    now = standing.of([KEPT[0], best, again]).experiments[1]
    assert [run["value"] for run in now.replicates] == [9.0, 9.3, 9.6]
    assert now.value == (9.0 + 9.3 + 9.6) / 3
    assert now.value - now.delta == 10.0
    assert now.status == "keep"


def test_the_same_seed_counts_once() -> None:
    runs = ({"seed": 2, "value": 9.5},)
    twice = [later(n, 1, "repeat", value=9.5, replicates=runs) for n in (2, 3)]
    now = standing.of([*KEPT[:2], *twice]).experiments[1]
    assert [run["seed"] for run in now.replicates] == [1, 2]
    assert now.value == 9.25


def test_a_repeat_gives_no_metric_to_what_has_none() -> None:
    crash = record(1, "crash", replicates=())
    runs = later(2, 1, "repeat", replicates=({"seed": 2, "value": 1.0},))
    assert standing.of([KEPT[0], crash, runs]).experiments[1] == crash


def test_findings_change_nothing() -> None:
    kinds = ("audit", "ablation", "transfer")
    found = [later(4 + i, 1, kind, status="discard", value=1.0) for i, kind in enumerate(kinds)]
    now = standing.of([*KEPT, *found])
    assert list(now.experiments) == KEPT
    assert now.line == [0, 1, 2, 3]
    assert [r.kind for r in now.later] == list(kinds)


def test_what_is_about_a_missing_experiment_is_left_out() -> None:
    """A clone of single tags has some of the records only."""
    found = [KEPT[0], KEPT[2], later(4, 1, "rewind"), later(5, 3, "override", status="discard")]
    now = standing.of(found)
    assert now.line == [0, 2]
    assert [r.n for r in now.later] == [4, 5]


def test_a_clock_that_is_behind_does_not_hide_a_verdict() -> None:
    """Two machines with one repository: the second one's clock is an hour slow."""
    slow = later(4, 3, "override", status="discard", decided="2026-11-23T09:00:00+00:00")
    assert standing.of([*KEPT, slow]).line == [0, 1, 2]
