"""Values of Python, TOML and Markdown files: what is found, and that nothing else is rewritten."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import patch, source, values
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.values import constants, set_constants

CONF = """\
# All settings.
title = 'a run'   # free text
steps = 1_000
[optimizer]       # search: 1 to 2
lr = 1e-3         # per step; search: 1e-4 to 1e-2 log
momentum = {value = 0.9, nesterov = true}
warm.up = 0x10
kind = "adam" # search: adam | sgd
"odd key" = 3
since = 2026-11-25
nothing = nan
betas = [0.9, 0.95]
many = [
  1, # the first
  2,
]

[[layers]]
width = 64 # search: 32 to 128

[[layers]]
width = 32 # search: off
one = {rate = 0.5} # search: 0.1 to 0.9
two = {a = 1, b = 2} # search: off
"""

PAGE = """\
# How to answer

<!-- search tone: Be brief. | Be friendly,
and explain
every step. -->
Be friendly, and explain
every step.

<!-- search: one | two -->

Something else that nobody listed.
# Next
<!-- search last: x | y --> x

```
<!-- search shown: an | example -->
an
```
"""


def found(path: str, text: str) -> dict[str, source.Value]:
    return {name: constant.value for name, constant in constants(path, text).items()}


def test_toml_leaves_go_by_their_path() -> None:
    assert found("conf.toml", CONF) == {
        "title": "a run",
        "steps": 1000,
        "optimizer.lr": 0.001,
        "optimizer.momentum.value": 0.9,
        "optimizer.momentum.nesterov": True,
        "optimizer.warm.up": 16,
        "optimizer.kind": "adam",
        'optimizer."odd key"': 3,
        "optimizer.betas": (0.9, 0.95),
        "layers.0.width": 64,
        "layers.1.width": 32,
        "layers.1.one.rate": 0.5,
        "layers.1.two.a": 1,
        "layers.1.two.b": 2,
    }


def test_toml_hints_stand_in_the_comment_behind_the_value() -> None:
    hints = {name: c.hint for name, c in constants("conf.toml", CONF).items() if c.hint}
    assert hints == {
        "optimizer.lr": "1e-4 to 1e-2 log",
        "optimizer.kind": "adam | sgd",
        "layers.0.width": "32 to 128",
        "layers.1.width": "off",
        "layers.1.one.rate": "0.1 to 0.9",
        "layers.1.two.a": "off",
        "layers.1.two.b": "off",
    }
    lines = CONF.splitlines()
    for name, constant in constants("conf.toml", CONF).items():
        assert name.rpartition(".")[2].strip('"') in lines[constant.line - 1]


@pytest.mark.parametrize(
    ("name", "value", "old", "new"),
    [
        ("optimizer.lr", 0.00002, "lr = 1e-3  ", "lr = 2e-5  "),
        ("optimizer.momentum.value", 0.95, "{value = 0.9,", "{value = 0.95,"),
        ("optimizer.momentum.nesterov", False, "nesterov = true", "nesterov = false"),
        ("optimizer.warm.up", 17, "0x10", "17"),
        ("optimizer.kind", "sgd", '"adam" #', '"sgd" #'),
        ("title", "an 'odd' \"run\"", "'a run'", '"an \'odd\' \\"run\\""'),
        ("title", "b", "'a run'", "'b'"),
        ('optimizer."odd key"', 4, "= 3\n", "= 4\n"),
        ("optimizer.betas", (0.8, 0.9), "[0.9, 0.95]", "[0.8, 0.9]"),
        ("layers.1.width", 33, "= 32 #", "= 33 #"),
    ],
)
@pytest.mark.parametrize("dress", [str, lambda t: "\ufeff" + t.replace("\n", "\r\n"), str.rstrip])
def test_setting_a_toml_leaf_changes_no_other_byte(
    name: str, value: Any, old: str, new: str, dress: Any
) -> None:
    text, ends = dress(CONF), "\r\n" if "\r\n" in dress(CONF) else "\n"
    old, new = old.replace("\n", ends), new.replace("\n", ends)
    assert text.count(old) == 1
    assert set_constants("conf.toml", text, {name: value}) == text.replace(old, new)
    assert set_constants("conf.toml", text, found("conf.toml", text)) == text


def test_markdown_blocks_are_the_paragraph_after_the_comment() -> None:
    assert found("page.md", PAGE) == {
        "tone": "Be friendly, and explain every step.",
        "block2": "Something else that nobody listed.",
        "last": "x",
    }
    tone = constants("page.md", PAGE)["tone"]
    assert source.parse_hint(tone.hint, tone.value) == ("Be brief.", tone.value)
    assert PAGE.splitlines()[tone.line - 1].startswith("Be friendly")


def test_a_choice_is_written_as_the_comment_has_it() -> None:
    brief = set_constants("page.md", PAGE, {"tone": "Be brief."})
    before, after = "-->\nBe friendly, and explain\nevery step.\n", "-->\nBe brief.\n"
    assert brief == PAGE.replace(before, after)
    crlf = brief.replace("\n", "\r\n")
    back = set_constants("page.md", crlf, {"tone": "Be friendly, and explain every step."})
    long = "-->\r\nBe friendly,\r\nand explain\r\nevery step.\r\n"
    assert back == crlf.replace("-->\r\nBe brief.\r\n", long)
    two = set_constants("page.md", PAGE, {"block2": "two", "last": "y"})
    assert two == PAGE.replace("Something else that nobody listed.", "two").replace("> x", "> y")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<!-- search: a | b -->", {}),
        ("<!-- search: a | b -->\n\n", {}),
        ("<!-- search: a | b -->\n```\na\n```\n", {}),
        ("<!-- search: a | b -->\n<!-- search: c | d -->\nc", {"block2": "c"}),
        ("<!-- searching: a | b -->\na", {}),
        ("<!-- search x: a | b -->\na\n\n<!-- search x: c | d -->\nc", {"x": "a", "block2": "c"}),
        ("<!-- search: a | b -->\n## a\nmore\n", {"block1": "## a more"}),
        ("<!-- search: a | b -->\na\n```\ncode\n```\n", {"block1": "a"}),
        ("~~~\n<!-- search: a | b -->\na", {}),
        ("<!-- search: off -->\nkeep", {"block1": "keep"}),
    ],
)
def test_where_a_block_begins_and_ends(text: str, expected: dict[str, str]) -> None:
    assert found("page.md", text) == expected


@pytest.mark.parametrize("path", ["a.toml", "a.md", "a.py", "a.json", "a"])
@pytest.mark.parametrize(
    "text", ["", "\ufeff", "a = = 1", "[[", "a.b = 1\na = 2\n", "\0", "[a]\n[a]"]
)
def test_rubbish_has_no_values(path: str, text: str) -> None:
    assert constants(path, text) == {}
    with pytest.raises(ProposalError, match=r"(no value|no constant) A to set|valid Python"):
        set_constants(path, text, {"A": 1})


@given(st.text(st.sampled_from("ab=.[]{}\"'#\n\r\t 1-\\_é,"), max_size=40))
def test_no_text_is_too_odd(text: str) -> None:
    for path in ("a.toml", "a.md", "a.py"):
        for name, value in found(path, text).items():
            assert set_constants(path, text, {name: value}) == text


_KEYS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=6)
_SCALARS = st.one_of(
    st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)


def _tables(values: Any) -> Any:
    return st.dictionaries(_KEYS, values, min_size=1, max_size=3)


_TABLES: Any = st.recursive(
    _tables(_SCALARS),
    lambda inner: _tables(st.one_of(_SCALARS, inner, st.lists(inner, min_size=1, max_size=2))),
    max_leaves=6,
)


@given(_TABLES, st.data())
def test_what_was_set_is_what_toml_reads(table: dict[str, Any], data: st.DataObject) -> None:
    import tomlkit

    text = tomlkit.dumps(table)
    names = found("a.toml", text)
    name = data.draw(st.sampled_from(sorted(names)))
    value = data.draw(st.one_of(_SCALARS, st.text(max_size=5)))
    new = set_constants("a.toml", text, {name: value})
    assert found("a.toml", new) == {**names, name: value}
    tomllib.loads(new)
    same = [a == b for a, b in zip(text.split("\n"), new.split("\n"), strict=True)]
    assert same.count(False) <= 1


@pytest.mark.parametrize(
    ("path", "name", "value", "words"),
    [
        ("conf.toml", "optimizer.rate", 1, "no value optimizer.rate.*optimizer.lr"),
        ("conf.toml", "steps", float("nan"), "steps can't be set to nan"),
        ("page.md", "tone", 3, "can't become 3"),
        ("page.md", "tone", " ", "Expected some words"),
        ("page.md", "tone", "a <!-- b", "Expected some words"),
    ],
)
def test_what_cannot_be_set_is_an_error(path: str, name: str, value: Any, words: str) -> None:
    with pytest.raises(ProposalError, match=words):
        set_constants(path, CONF if path == "conf.toml" else PAGE, {name: value})


def test_a_block_keeps_its_bounds_when_the_words_would_move_them() -> None:
    text = "<!-- search: a | b\n# c -->\na\n"
    with pytest.raises(ProposalError, match="would read differently"):
        set_constants("page.md", text, {"block1": "b # c"})
    assert set_constants("page.md", text, {"block1": "b\nc"}) == text.replace("\na\n", "\nb c\n")


def test_values_of_several_files_are_told_apart() -> None:
    files = {
        "a.py": "LR = 1.0\n",
        "b.toml": 'lr = 2.0\n"x:y" = 3\n',
        "c.md": PAGE,
        "d.txt": "Q = 1",
    }
    keys = ["LR", "b.toml:lr", 'b.toml:"x:y"', "c.md:tone", "c.md:block2", "c.md:last"]
    assert list(values.of_files(files)) == keys
    new = {"LR": 1.5, 'b.toml:"x:y"': 4, "c.md:last": "y"}
    assert values.set_in_files(files, new) == {
        "a.py": "LR = 1.5\n",
        "b.toml": 'lr = 2.0\n"x:y" = 4\n',
        "c.md": PAGE.replace("> x", "> y"),
    }


def test_a_patch_of_values_alone_is_told_by_them() -> None:
    new = set_constants("conf.toml", CONF, {"optimizer.lr": 0.002})
    assert patch.touches({"conf.toml": CONF}, {"conf.toml": new}) == ["optimizer.lr 0.001 → 0.002"]
    assert patch.touches({"conf.toml": CONF}, {"conf.toml": new + "# more\n"}) == [
        "conf.toml: +2 −1 lines"
    ]
    brief = set_constants("page.md", PAGE, {"last": "y"})
    assert patch.touches({"page.md": PAGE}, {"page.md": brief}) == ["last 'x' → 'y'"]
