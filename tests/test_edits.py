"""Search/replace blocks on a text: what is found, what is kept, and what an error says."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autoresearch_kit.errors import ReplyError
from autoresearch_kit.replies import edits, matching
from autoresearch_kit.replies.edits import Block

FILE = """\
import math

LR = 0.04


def area(r):
    x = math.pi
    return x * r


def ring(r):
    x = 2 * math.pi

    return x * r
"""


@pytest.mark.parametrize(
    ("search", "replace", "before", "after"),
    [
        pytest.param("LR = 0.04\n", "LR = 0.02\n", "LR = 0.04", "LR = 0.02", id="a line"),
        pytest.param("LR = 0.04", "LR = 0.02", "LR = 0.04", "LR = 0.02", id="without line end"),
        pytest.param("LR = 0.04\r\n", "LR = 0.02\r\n", "LR = 0.04", "LR = 0.02", id="CRLF"),
        pytest.param("LR = 0.04  \n", "LR = 0.02\n", "LR = 0.04", "LR = 0.02", id="blanks behind"),
        pytest.param("LR = 0.04\n", "", "LR = 0.04\n", "", id="a deletion"),
        pytest.param("LR = 0.04\n", "LR = 0.04\nB = 1\n", "0.04\n", "0.04\nB = 1\n", id="insert"),
        pytest.param("\ufeffimport math\n", "\ufeffimport os\n", "math\n\n", "os\n\n", id="BOM"),
        pytest.param("x = math.pi\n", "x = 3\n", "x = math.pi", "x = 3", id="less indented"),
        pytest.param(
            "  x = math.pi\n  return x * r\n",
            "  if r:\n    x = 3\n\n  return x * r\n",
            "    x = math.pi\n    return",
            "    if r:\n      x = 3\n\n    return",
            id="less indented block",
        ),
        pytest.param(
            "        x = math.pi\n        return x * r\n",
            "        return r\n    return 0\n",
            "    x = math.pi\n    return x * r\n",
            "    return r\nreturn 0\n",
            id="more indented block",
        ),
        pytest.param(
            "def ring(r):\n...\n    return x * r\n",
            "def ring(q):\n...\n    return x * q\n",
            "def ring(r):\n    x = 2 * math.pi\n\n    return x * r",
            "def ring(q):\n    x = 2 * math.pi\n\n    return x * q",
            id="gap",
        ),
        pytest.param(
            "import math\n# ... existing code ...\ndef area(r):\n",
            "import os\n# ... existing code ...\ndef area(q):\n",
            "import math\n\nLR = 0.04\n\n\ndef area(r)",
            "import os\n\nLR = 0.04\n\n\ndef area(q)",
            id="gap in a comment",
        ),
        pytest.param(
            "def area(r):\n    ...\n",
            "def disc(r):\n    ...\n",
            "area",
            "disc",
            id="gap at the end",
        ),
    ],
)
def test_a_block_replaces_what_it_finds(search: str, replace: str, before: str, after: str):
    assert FILE.count(before) == 1
    assert edits.apply(FILE, [Block(search, replace)]) == FILE.replace(before, after)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        pytest.param("LR = 0.4\n", r"not in the file.*3 \| LR = 0.04", id="another number"),
        pytest.param("LR = 0.04 # x\n", "not in the file", id="a comment more"),
        pytest.param("lr = 0.04\n", "not in the file", id="case"),
        pytest.param("R = 0.04\n", "not in the file", id="a part of a line"),
        pytest.param("\nLR = 0.04\n\n\n\ndef", "not in the file", id="a blank line more"),
        pytest.param("    return x * r\n", "found 2 times, at lines 8, 14", id="twice"),
        pytest.param("return x * r\n", "found 2 times, at lines 8, 14", id="twice, indented"),
        pytest.param("\n", "found 6 times", id="blank lines"),
        pytest.param(
            "def area(r):\n...\n    return x * r\n",
            "found 2 times, at lines 6 to 8, 6 to 14",
            id="a gap with two ends",
        ),
        pytest.param("...\n", "not in the file", id="nothing but a gap"),
        pytest.param("", "empty SEARCH, but the file has 14 lines", id="nothing"),
        pytest.param("x = math.pi\n  return x * r\n", "not in the file", id="crooked"),
        pytest.param(
            "\tx = math.pi\n\treturn x\n", r"only white space differs.*'\\tx = math.pi'", id="tab"
        ),
        pytest.param("zzz\n", "No line of the file resembles", id="nothing like it"),
    ],
)
def test_a_block_that_is_not_found_once_is_an_error(search: str, words: str):
    with pytest.raises(ReplyError, match=f"(?s)Block 1.*{words}"):
        edits.apply(FILE, [Block(search, "new\n")])


@pytest.mark.parametrize(
    ("replace", "words"),
    [
        ("def ring(q):\n    return x * q\n", "1 lines of ... in SEARCH and 0 in REPLACE"),
        ("...\ndef ring(q):\n...\n", "1 lines of ... in SEARCH and 2 in REPLACE"),
    ],
)
def test_gaps_have_to_be_the_same_on_both_sides(replace: str, words: str):
    with pytest.raises(ReplyError, match=words):
        edits.apply(FILE, [Block("def ring(r):\n...\n    return x * r\n", replace)])


def test_a_line_beside_a_gap_without_a_neighbour_has_no_place():
    block = Block("def area(r):\n...\n", "def area(r):\n...\n    return 7\n")
    with pytest.raises(ReplyError, match="their place is unknown"):
        edits.apply(FILE, [block])


def test_dots_that_the_file_has_are_no_gap():
    text = "class A:\n    ...\n\n\nclass B:\n    x = 1\n"
    block = Block("class A:\n    ...\n", "class A:\n    y = 2\n")
    assert edits.apply(text, [block]) == text.replace("...", "y = 2")


def test_replacements_that_cannot_follow_the_indentation_are_an_error():
    text = "if a:\n\tx = 1\n"
    with pytest.raises(ReplyError, match=r"indented by '    ' where the file has '\\t'"):
        edits.apply(text, [Block("    x = 1\n", "    x = 2\n  y = 3\n")])


def test_an_exact_find_counts_where_looser_ones_would_be_two():
    assert edits.apply("a\na \n", [Block("a\n", "b\n")]) == "b\na \n"
    assert edits.apply("  a\na\n", [Block("a\n", "b\n")]) == "  a\nb\n"
    assert edits.apply("a\na \n", [Block("a \n", "b\n")]) == "a\nb\n"


def test_what_a_block_repeats_keeps_the_files_own_bytes():
    text = "a\t \r\nb \nc\udc80\rd\r\ne"
    block = Block("a\nb\nc?\nd\n", "a\nb\nnew\nc?\nmore\n")
    assert edits.apply(text, [block]) == "a\t \r\nb \nnew\r\nc\udc80\rmore\r\ne"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_mark_and_last_end_are_the_files(end: str, bom: str, last: bool):
    text = bom + end.join(["a", "b", "c"]) + (end if last else "")
    wanted = bom + end.join(["x", "b", "y", "z"]) + (end if last else "")
    assert edits.apply(text, [Block("a\n", "x\n"), Block("c\n", "y\nz\n")]) == wanted
    assert edits.rewritten(text, ["x", "b", "y", "z"]) == wanted
    assert edits.rewritten(text, ["\ufeffx", "b", "y", "z"]) == wanted
    assert edits.apply(text, [Block("b\nc\n", "")]) == bom + "a" + (end if last else "")


def test_an_empty_file_is_filled_by_an_empty_search():
    for empty in ("", "\ufeff"):
        assert edits.apply(empty, [Block("", "a = 1\nb = 2\n")]) == empty + "a = 1\nb = 2\n"
    with pytest.raises(ReplyError, match="empty SEARCH, but the file has 1 lines"):
        edits.apply("\n", [Block("", "a = 1\n")])


def test_a_rewritten_file_keeps_ends_and_bytes_of_lines_that_stay():
    text = "a\r\nb\udc80\nc\nd\nd\r\nf\n"
    new = ["a", "new", "b?", "c", "d", "?", "f"]
    assert edits.rewritten(text, new) == "a\r\nnew\nb\udc80\nc\nd\n?\nf\n"
    assert edits.rewritten("a?\nb\n", ["a\ufffd", "b"]) == "a\ufffd\nb\n"


@pytest.mark.parametrize(
    ("blocks", "wanted"),
    [
        pytest.param([("a", "A"), ("b", "B")], "ABcde", id="neighbours"),
        pytest.param([("ab", "aB"), ("bc", "")], None, id="the same line"),
        pytest.param([("abc", "Abc"), ("cde", "cdE")], "AbcdE", id="shared context"),
        pytest.param([("abc", "aBc"), ("c", "C")], None, id="another's context"),
        pytest.param([("a", "A"), ("a", "A")], "Abcde", id="the same block twice"),
        pytest.param([("a", "A"), ("a", "B")], None, id="two minds"),
        pytest.param([("a", "ax"), ("a", "ay")], None, id="two insertions"),
        pytest.param([("a", "ax"), ("b", "yb")], "axybcde", id="insertions between two"),
        pytest.param([("ab", "axb"), ("b", "B")], None, id="beside an insertion"),
        pytest.param([("ab", "aB"), ("c", "xc")], "aBxcde", id="an insertion behind a change"),
        pytest.param([("bcd", "bxd"), ("c", "c")], None, id="one keeps what one changes"),
        pytest.param([("e", "E"), ("a", "")], "bcdE", id="in any order"),
        pytest.param([("a", "b"), ("b", "c")], "bccde", id="not one after the other"),
        pytest.param([("a", "A"), ("z", "Z")], None, id="one is not found"),
    ],
)
def test_all_blocks_look_at_the_file_as_it_was(blocks: list[tuple[str, str]], wanted: str | None):
    def lines(letters: str) -> str:
        return "".join(f"{letter}\n" for letter in letters)

    given = [Block(lines(old), lines(new)) for old, new in blocks]
    for order in (given, given[::-1]):
        if wanted is None:
            with pytest.raises(ReplyError):
                edits.apply(lines("abcde"), order)
        else:
            assert edits.apply(lines("abcde"), order) == lines(wanted)


def test_an_error_names_every_block_that_does_not_fit():
    blocks = [Block("LR = 0.04\n", ""), Block("no\n", "", "a.py", 12), Block("nope\n", "")]
    with pytest.raises(ReplyError) as caught:
        edits.apply(FILE, blocks)
    assert "Block 2 (a.py, line 12 of the reply): its SEARCH text is not in a.py" in str(
        caught.value
    )
    assert "Block 3: its SEARCH text is not in the file" in str(caught.value)


LETTERS = st.lists(
    st.sampled_from(["a", "b", " a", "  a", "\tb", "a ", "", "...", "é"]), max_size=9
)


@settings(max_examples=300, deadline=None)
@given(LETTERS, LETTERS, LETTERS)
@example(["a", "a"], ["a", "..."], ["b", "..."])
def test_applying_replaces_one_run_of_lines_or_fails(
    file: list[str], search: list[str], replace: list[str]
):
    """Compare with the plainest reading of the first two rungs: try every place."""
    text, block = "".join(f"{x}\n" for x in file), Block("\n".join(search), "\n".join(replace))
    old, new = matching.lines(block.search), matching.lines(block.replace)
    runs = {k: file[k : k + len(old)] for k in range(len(file) - len(old) + 1) if old}
    exact = [k for k, run in runs.items() if run == old]
    loose = [k for k, run in runs.items() if stripped(run) == stripped(old)]
    places = exact or loose
    if len(places) == 1:
        made = matching.lines(edits.apply(text, [block]))
        plain = [*file[: places[0]], *new, *file[places[0] + len(old) :]]
        assert stripped(made) == stripped(plain)
        assert made == plain or not exact
    elif places:
        with pytest.raises(ReplyError, match=f"found {len(places)} times"):
            edits.apply(text, [block])


def stripped(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12)
)
def test_kept_lines_are_the_same_and_in_order(old: list[str], new: list[str]):
    kept = matching.kept(old, new)
    assert all(new[i] == old[at] for i, at in kept.items())
    pairs = sorted(kept.items())
    assert all(a < b for (_, a), (_, b) in itertools.pairwise(pairs))
    if old == new:
        assert len(kept) == len(old)
