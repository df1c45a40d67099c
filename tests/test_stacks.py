"""One change taken out of a stack, or put on another one; texts alone."""

from __future__ import annotations

import pytest

from autoresearch_kit import stacks
from autoresearch_kit.errors import PatchConflict

BASE = "A = 1\nB = 2\nC = 3\n\n\ndef f(x):\n    return x\n\n\ndef g(x):\n    return -x\n"


def merged(base: str, ours: str, theirs: str, path: str = "a.py") -> str:
    """Return the text that `ours` becomes."""
    return stacks.merge({path: base}, {path: ours}, {path: theirs}).get(path, ours)


def edit(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def test_constants_on_neighbouring_lines_are_no_conflict() -> None:
    theirs, ours = (
        edit(BASE, ("B = 2", "B = 9")),
        edit(BASE, ("A = 1", "A = 8"), ("C = 3", "C = 7")),
    )
    assert merged(BASE, ours, theirs) == edit(ours, ("B = 2", "B = 9"))


def test_a_constant_can_be_put_where_the_code_is_another() -> None:
    ours = "# a new head\nimport os\n" + edit(BASE, ("return x", "return x + os.getpid()"))
    assert merged(BASE, ours, edit(BASE, ("A = 1", "A = 5"))) == edit(ours, ("A = 1", "A = 5"))


def test_a_constant_that_was_set_since_is_a_conflict_and_says_so() -> None:
    theirs, ours = edit(BASE, ("A = 1", "A = 5")), edit(BASE, ("A = 1", "A = 6"))
    with pytest.raises(PatchConflict, match="A would go from 1 to 5, but here it is 6"):
        merged(BASE, ours, theirs)
    with pytest.raises(PatchConflict, match=r"A would become 5, but is not in a\.py here"):
        merged(BASE, edit(BASE, ("A = 1\n", "")), theirs)


def test_what_is_there_already_is_no_change() -> None:
    theirs = edit(BASE, ("A = 1", "A = 5"), ("B = 2", "B = 6"))
    assert stacks.merge({"a.py": BASE}, {"a.py": theirs}, {"a.py": theirs}) == {}
    half = edit(BASE, ("A = 1", "A = 5"), ("C = 3", "C = 9"))
    assert merged(BASE, half, theirs) == edit(half, ("B = 2", "B = 6"))
    both = edit(half, ("B = 2", "B = 6"))
    assert stacks.merge({"a.py": BASE}, {"a.py": both}, {"a.py": theirs}) == {}


def test_code_is_merged_by_lines() -> None:
    theirs, ours = (
        edit(BASE, ("return -x", "return 2 * x")),
        edit(BASE, ("return x", "return x + 1")),
    )
    assert merged(BASE, ours, theirs) == edit(ours, ("return -x", "return 2 * x"))


def test_other_code_in_the_same_lines_is_a_conflict() -> None:
    theirs, ours = edit(BASE, ("return -x", "return 2 * x")), edit(BASE, ("return -x", "return 0"))
    with pytest.raises(PatchConflict, match=r"other changes of the same lines of a\.py"):
        merged(BASE, ours, theirs)


def test_a_change_and_its_inverse_give_the_text_back() -> None:
    theirs = edit(BASE, ("B = 2", "B = 9"), ("return x", "return x + 1"))
    assert merged(theirs, theirs, BASE) == BASE
    assert merged(BASE, BASE, theirs) == theirs


def test_each_file_has_its_own_part() -> None:
    base = {"a.py": BASE, "b.toml": "lr = 1\nwd = 2\n", "c.txt": "one\n"}
    theirs = {**base, "a.py": edit(BASE, ("A = 1", "A = 5")), "b.toml": "lr = 1\nwd = 7\n"}
    ours = {**base, "b.toml": "lr = 3\nwd = 2\n", "c.txt": "two\n"}
    assert stacks.merge(base, ours, theirs) == {
        "a.py": edit(BASE, ("A = 1", "A = 5")),
        "b.toml": "lr = 3\nwd = 7\n",
    }
