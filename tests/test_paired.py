"""The data's part of an error: two experiments on the same rows."""

from __future__ import annotations

import io

import numpy as np
import pytest

from autoresearch_kit import paired


def npz(values: object, weights: object, **more: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, values=values, weights=weights, **more)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_error_is_what_other_rows_of_the_same_kind_would_show():
    rng = np.random.default_rng(0)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = rng.integers(50, 300, n).astype(float)
        hard = rng.normal(1.0, 0.3, n)  # both models find the same rows hard
        return hard - 0.01 + rng.normal(0, 0.05, n), hard, weights

    new, old, weights = draw(400)
    told = paired.error([npz(new, weights)], [npz(old, weights)])
    others = []
    for _ in range(2000):
        a, b, w = draw(400)
        others.append(((a - b) * w).sum() / w.sum())
    assert told == pytest.approx(np.std(others), rel=0.1)
    alone = 0.3 / 400**0.5
    assert told is not None
    assert told < alone / 3


def test_replicates_of_a_side_are_averaged_first():
    weights = np.ones(6)
    base = np.arange(6.0)
    wiggle = np.array([0.2, -0.2, 0.1, -0.1, 0.3, -0.3])
    both = [npz(base + wiggle, weights), npz(base - wiggle, weights)]
    assert paired.error(both, [npz(base, weights)]) == pytest.approx(0.0, abs=1e-12)
    one = paired.error(both[:1], [npz(base, weights)])
    assert one == pytest.approx(np.std(wiggle, ddof=1) / 6**0.5)


def test_a_shift_of_all_rows_has_no_error_from_the_data():
    rows = np.linspace(0.5, 3.0, 50)
    weights = np.full(50, 7)
    assert paired.error([npz(rows - 0.25, weights)], [npz(rows, weights)]) == pytest.approx(0.0)


def test_rows_without_weight_do_not_count():
    values, weights = np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0])
    padded = [np.append(values, [9.0, -9.0]), np.append(weights, [0.0, 0.0])]
    old = npz(np.zeros(3), weights)
    old_padded = npz(np.zeros(5), padded[1])
    plain = paired.error([npz(values, weights)], [old])
    assert plain == pytest.approx(paired.error([npz(*padded)], [old_padded]))
    assert paired.error([npz([1.0], [1.0])], [npz([2.0], [1.0])]) is None  # one row has no spread


GOOD = npz([1.0, 2.0, 3.0], [1, 1, 1])


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"no zip at all",
        GOOD[:-40],
        GOOD[:60] + b"\0" * 20 + GOOD[80:],
        npz([1.0, 2.0], [1, 1]),
        npz([1.0, 2.0, 3.0], [1, 1, 2]),
        npz([[1.0, 2.0, 3.0]], [[1, 1, 1]]),
        npz([1.0, np.nan, 3.0], [1, 1, 1]),
        npz([1.0, 2.0, 3.0], [1, -1, 1]),
        npz([1.0, 2.0, 3.0], [0, 0, 0]),
        npz(np.array(["a", "b", "c"]), [1, 1, 1]),
        npz(np.array([{}, {}, {}], dtype=object), [1, 1, 1]),
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "damaged",
        "fewer rows",
        "other weights",
        "two dimensions",
        "not finite",
        "negative weight",
        "no weight",
        "words",
        "pickled",
    ],
)
def test_what_is_not_the_same_rows_has_no_error(other: bytes):
    assert paired.error([GOOD], [GOOD]) == 0.0
    assert paired.error([other], [GOOD]) is None
    assert paired.error([GOOD], [other]) is None
    assert paired.error([GOOD, other], [GOOD]) is None


def test_without_files_there_is_no_error():
    assert paired.error([], [GOOD]) is None
    assert paired.error([GOOD], []) is None


def test_a_file_of_another_kind_inside_the_archive_is_unreadable():
    file = io.BytesIO()
    np.savez(file, other=np.ones(3))
    assert paired.error([file.getvalue()], [GOOD]) is None
