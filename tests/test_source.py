"""Reading and rewriting constants, hints, and equality of code."""

from __future__ import annotations

import ast
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError

numbers = st.one_of(
    st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    st.one_of(numbers, st.booleans(), st.text()), lambda v: st.lists(v, max_size=4).map(tuple)
)
names = st.from_regex(r"[A-Z][A-Z0-9_]{0,6}", fullmatch=True)
comments = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
endings = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, object]]:
    """Draw a Python file with constants among other code, and what the constants are."""
    ending = draw(endings)
    wanted = draw(st.dictionaries(names, values, min_size=1, max_size=5))
    lines: list[str] = []
    for name, value in wanted.items():
        note = draw(st.sampled_from(["", ": object", ":tuple"]))
        space = draw(st.sampled_from(["", " ", "\t", "  "]))
        tail = draw(st.sampled_from(["", ";", "  ; other = 1", f"\t# {draw(comments)}"]))
        lines.append(f"{name}{note}{space}={space}{source.spell(value)}{tail}")
        filler = [
            "",
            "\f",
            f"# {name} = 7",
            f'text = "é {name} = 7"',
            f"def f():\n    {name} = 7",
            f"if f:\n\t{name} = 'no'",
            'q = """\n' + name + ' = 3\n"""',
        ]
        lines.append(draw(st.sampled_from(filler)))
    text = "\n".join(lines).replace("\n", ending) + draw(st.sampled_from(["", ending]))
    return draw(st.sampled_from(["", "\ufeff"])) + text, wanted


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)


@given(files())
def test_constants_are_found_whatever_surrounds_them(drawn: tuple[str, dict[str, object]]) -> None:
    text, wanted = drawn
    found = source.constants(text)
    assert list(found) == list(wanted)
    assert all(same(found[name].value, value) for name, value in wanted.items())


@given(files(), st.data())
def test_setting_then_reading_gives_the_value(
    drawn: tuple[str, dict[str, object]], data: st.DataObject
) -> None:
    text, wanted = drawn
    new = {name: data.draw(values) for name in data.draw(st.sets(st.sampled_from(list(wanted))))}
    changed = source.set_constants(text, new)
    after = source.constants(changed)
    for name, value in {**wanted, **new}.items():
        assert same(after[name].value, value)
    assert {n: c.hint for n, c in after.items()} == {
        n: c.hint for n, c in source.constants(text).items()
    }


@given(files(), st.data())
def test_setting_changes_no_other_byte(
    drawn: tuple[str, dict[str, object]], data: st.DataObject
) -> None:
    text, wanted = drawn
    name = data.draw(st.sampled_from(list(wanted)))
    marker = "Ω_new_Ω"
    changed = source.set_constants(text, {name: marker})
    spelled = repr(marker) if repr(marker) in changed else f'"{marker}"'
    before, _, after = changed.partition(spelled)
    assert text.startswith(before)
    assert text.endswith(after)
    literal = text[len(before) : len(text) - len(after)]
    assert same(source.parse_value(literal), wanted[name])
    back = source.set_constants(changed, {name: wanted[name]})
    assert same(source.parse_value(back[len(before) : len(back) - len(after)]), wanted[name])


@given(files())
def test_setting_what_is_there_already_changes_nothing(
    drawn: tuple[str, dict[str, object]],
) -> None:
    text, wanted = drawn
    assert source.set_constants(text, wanted) == text


@given(files(), comments, endings)
def test_code_is_the_same_with_other_comments_and_layout(
    drawn: tuple[str, dict[str, object]], comment: str, ending: str
) -> None:
    text, _ = drawn
    other = f"# {comment}{ending}{ending}" + text.removeprefix("\ufeff")
    other += f"{ending}{ending}# {comment}"
    assert source.same_code(text, text)
    assert source.same_code(text, other)
    assert source.digest({"a.py": text}) == source.digest({"a.py": other})
    assert not source.same_code(text, other + f"{ending}pass")


@given(st.text())
def test_any_text_has_constants_or_none_but_never_a_traceback(text: str) -> None:
    found = source.constants(text)
    assert source.set_constants(text, {n: c.value for n, c in found.items()}) == text
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return
    assert source.same_code(text, text + "\n# end\n")


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ("2**19", 524288),
        ("2 ** 19", 524288),
        ("1e-3", 0.001),
        ("-4", -4),
        ("-2.5e-1", -0.25),
        ("64 * 1024", 65536),
        ("1 << 10", 1024),
        ("1_000", 1000),
        ("0x10", 16),
        ("1 / 4", 0.25),
        ("(0.8, 0.95)", (0.8, 0.95)),
        ("'a' 'b'", "ab"),
        ("True", True),
        ("()", ()),
    ],
)
def test_literals_that_people_write_are_constants(literal: str, value: object) -> None:
    assert same(source.constants(f"A = {literal}\n")["A"].value, value)


@pytest.mark.parametrize(
    "line",
    [
        "A = B = 3",
        "A, B = 1, 2",
        "A: int",
        "A += 1",
        "A = f(3)",
        "A = None",
        "A = [1]",
        "A = 9**9**9",
        "A = 1 << 10**9",
        "A = 1e999",
        "A = 1 / 0",
        "A = (-1)**0.5",
        "A = not True",
        "a = 3",
        "Ab = 3",
        "_A = 3",
        "if x:\n    A = 3",
        "try:\n    A = 3\nexcept E:\n    pass",
        "class C:\n    A = 3",
        "A = 3 +",
        "A = 3\x00",
    ],
)
def test_what_is_no_constant_is_skipped(line: str) -> None:
    assert "A" not in source.constants(line + "\n")


def test_of_several_assignments_the_last_counts_and_is_set() -> None:
    text = "A = 1  # search: off\nB = 2\nA = 3  # search: 1 to 4\n"
    found = source.constants(text)
    assert (found["A"].value, found["A"].line, found["A"].hint) == (3, 3, "1 to 4")
    assert list(found) == ["B", "A"]
    assert source.set_constants(text, {"A": 4}) == text.replace("A = 3", "A = 4")


def test_a_constant_that_is_computed_later_is_none() -> None:
    assert "A" not in source.constants("A = 1\nA = f()\n")
    assert source.constants("A = 1\nA = min(A, 8)\n")["A"].value == 1


def test_several_statements_in_a_line_have_the_comment_at_the_last() -> None:
    found = source.constants("A = 1; B = 2;  # search: 1 to 4\n")
    assert (found["A"].hint, found["B"].hint) == ("", "1 to 4")


@pytest.mark.parametrize(
    ("comment", "hint"),
    [
        ("# layers; search: 2 to 8", "2 to 8"),
        ("#search: 2 to 8; layers", "2 to 8"),
        ("# research: deep", ""),
        ("# how we search", ""),
        ("", ""),
    ],
)
def test_the_hint_is_what_follows_search_in_the_comment(comment: str, hint: str) -> None:
    assert source.constants(f"A = 4  {comment}\r\n")["A"].hint == hint


def test_a_hash_in_a_string_is_no_comment() -> None:
    assert source.constants('A = "# search: off"\n')["A"].hint == ""


@pytest.mark.parametrize(
    ("hint", "value", "allowed"),
    [
        ("", 4, None),
        ("off", 4, ()),
        ("2 to 8", 4, source.Range(2, 8)),
        ("2 to 8", 4.0, source.Range(2.0, 8.0)),
        ("2 to 8 log", 4, source.Range(2, 8, log=True)),
        ("0.01 to 0.2 log", 0.04, source.Range(0.01, 0.2, log=True)),
        ("-1 to 1", 0.0, source.Range(-1.0, 1.0)),
        ("2**4 to 2**8", 32, source.Range(16, 256)),
        ("relu | gelu|silu", "relu", ("relu", "gelu", "silu")),
        ('"a b" | c', "c", ("a b", "c")),
        ("8 | 16 | 32", 16, (8, 16, 32)),
        ("8 | 16", 8.0, (8.0, 16.0)),
        ("True | False", True, (True, False)),
        ("(0.8, 0.95) | (0.9, 0.99)", (0.8, 0.95), ((0.8, 0.95), (0.9, 0.99))),
    ],
)
def test_hints_are_read(hint: str, value: source.Value, allowed: object) -> None:
    assert same(source.parse_hint(hint, value), allowed)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("8 to 2", 4),
        ("2-8", 4),
        ("0 to 1 log", 0.5),
        ("a | b", 4),
        ("2 to 8", "relu"),
        ("2 to 8", True),
        ("2 to", 4),
        ("relu", "relu"),
        ("8 |", 8),
        ("2 to 8 step 2", 4),
    ],
)
def test_a_hint_that_cannot_be_read_is_named_with_the_grammar(hint: str, value: object) -> None:
    with pytest.raises(ProposalError, match=r"search: 2 to 8"):
        source.parse_hint(hint, value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("A = 2**19", 2**18, "A = 2**18"),
        ("A = 2 ** 19", 8, "A = 2 ** 3"),
        ("A = 2**19", 100, "A = 100"),
        ("A = 0.04", 0.031, "A = 0.031"),
        ("A = 0.04", 1e-05, "A = 1e-5"),
        ("A = 0.04", 1e20, "A = 1e20"),
        ('A = "x"', "it's", 'A = "it\'s"'),
        ("A = 'x'", "y", "A = 'y'"),
        ('A = "x"', "y", 'A = "y"'),
        ("A = (3)", -3, "A = (-3)"),
        ("A = 1, 2", (1e-05, 3), "A = (1e-5, 3)"),
        ("A = 1, 2", (1,), "A = (1,)"),
        ("A = 0x10", 16, "A = 0x10"),
        ("A = 1.50e-3", 0.0015, "A = 1.50e-3"),
        ("A = 1", 1.0, "A = 1.0"),
    ],
)
def test_values_are_written_as_a_person_would(before: str, value: object, after: str) -> None:
    assert source.set_constants(before, {"A": value}) == after


def test_numpy_numbers_become_plain_literals() -> None:
    np = pytest.importorskip("numpy")
    new = {"A": np.float64(0.5), "B": np.int64(3), "C": np.bool_(True)}
    assert source.set_constants("A = 1.0\nB = 2\nC = False\n", new) == "A = 0.5\nB = 3\nC = True\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, [1], None, 1j, (1, None)])
def test_a_value_without_a_literal_is_refused(value: object) -> None:
    with pytest.raises(ProposalError, match="A can't be set to"):
        source.set_constants("A = 1\n", {"A": value})


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ProposalError, match=r"no constant C to set. Expected one of: A, B\."):
        source.set_constants("A = 1\nB = 2\n", {"C": 3})
    with pytest.raises(ProposalError, match="no valid Python in line 1"):
        source.set_constants("A = = 1\n", {"A": 3})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\ny = = 2\n", r"train.py is no valid Python in line 2: .*\n    y = = 2\n +\^"),
        ("return 3\n", "line 1: 'return' outside function"),
        ("def f():\n\tx\n        y\n", "line 3"),
        ("x = 1\x00", "null bytes"),
        ("x = '\udc80'\n", "UTF-8"),
        ("(" * 5000, "no valid Python"),
        ("-" * 200_000 + "1", "no valid Python"),
    ],
)
def test_a_syntax_error_is_named_with_its_line(text: str, words: str) -> None:
    with pytest.raises(ProposalError, match=words):
        source.check_syntax("train.py", text)


def test_valid_python_and_other_files_pass_the_syntax_check() -> None:
    source.check_syntax("train.py", '\ufeffx = "\\d"\r\n')
    source.check_syntax("notes.md", "# not = = Python")


def test_docstrings_do_not_count_as_code_but_strings_do() -> None:
    assert source.same_code('def f():\n    """a"""\n    return 1\n', "def f():\n    return 1\n")
    assert not source.same_code('x = "a"\n', 'x = "b"\n')
    assert not source.same_code("x = = 1", "x = = 1 # broken, so only equal text is the same")
