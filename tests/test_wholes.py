"""Whole files in the fences of a reply: which one counts, where it ends, whether it is complete."""

from __future__ import annotations

import pytest

from autoresearch_kit import replies
from tests.test_replies import FILE, SMALLER, WHY, parsed, refused


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"```python\n{SMALLER}```\n", id="as asked for"),
        pytest.param(f"fit.py\n```\n{SMALLER}```", id="path and no language"),
        pytest.param(f"````py\n{SMALLER}````\n", id="a longer fence"),
        pytest.param(f"~~~~python\n{SMALLER}~~~~\nDone.\n", id="tildes"),
        pytest.param(f"```python\n# fit.py\n{SMALLER}```\n", id="path as first line"),
        pytest.param(f"```python\n{SMALLER}```\n".replace("\n", "\r\n"), id="CRLF"),
        pytest.param(f"```bash\npython fit.py\n```\n```python\n{SMALLER}```\n", id="bash before"),
        pytest.param(f"From\n```python\nLR = 0.04\n```\nto\n```python\n{SMALLER}```\n", id="part"),
        pytest.param(f"```python\n{SMALLER}```\nNow\n```text\nloss: 3\n```\n", id="output behind"),
        pytest.param(
            "".join(f"   {x}\n" for x in f"```python\n{SMALLER}```".splitlines()), id="in a list"
        ),
    ],
)
def test_a_whole_file_is_read_whatever_is_around_it(text: str):
    assert parsed(text) == {"fit.py": SMALLER}
    assert replies.parse(WHY + text, {"fit.py": FILE}).form == "file"


LONG = "".join(f"x{n} = {n}\n" for n in range(60))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"```python\n{SMALLER}", "never closed"),
        (f"```python\n{SMALLER.partition('    for')[0]}", "never closed"),
        (f"```python\n{SMALLER.partition('fit()')[0]}", "never closed"),
        (f"```python\n{FILE}```\n", "changes nothing: fit.py"),
        ("```python\n\n```\n", "is empty"),
        (f"```python\n{SMALLER.replace('0.02', '= 2')}```\n", "no valid Python in line 10"),
        (f"```diff\n-{FILE}```\n", "has a diff"),
        ("```\n--- a/fit.py\n+++ b/fit.py\n@@ -1 +1 @@\n-a\n+b\n```\n", "has a diff"),
        (f"other.py\n```python\n{SMALLER}```\n", "is for other.py. Only fit.py may change"),
        (
            f"```python\n{SMALLER}```\nor\n```python\n{SMALLER + 'x = 1'}\n```\n",
            "2 fences that may",
        ),
        ("```python\nLR = 0.04\n=======\nLR = 0.02\n>>>>>>> REPLACE\n```\n", "among other lines"),
        ("```bash\npython fit.py\n```\n", "no change that can be read"),
        (SMALLER, "no change that can be read"),  # not the fence within it
        (f"```python\n{SMALLER[:-5]}\n# rest of the code unchanged\n```\n", "were left out"),
        (f"```python\n{SMALLER}    ...\n```\n", "were left out"),
    ],
)
def test_a_whole_file_that_is_not_certain_is_refused(text: str, words: str):
    assert words in refused(text)


SMALL = """\
import math

A = 5
B = math.pi


def step(x):
    return x * A + B


print(step(B))
"""
FUNCTIONS = [f"def f{n}(x):\n    y = x + {n}\n    return y\n" for n in range(14)]
NOTES = "# Notes\n\n- one\n- two\n- three\n- four\n"


@pytest.mark.parametrize(
    ("old", "part", "words"),
    [
        pytest.param(SMALL, "A = 4\n", "1 of 6 lines, without B, math", id="one constant"),
        pytest.param(SMALL, "A = 4\nB = 3\n", "2 of 6 lines", id="constants"),
        pytest.param(
            SMALL, SMALL.partition("\n\ndef")[0].replace("5", "4"), "3 of 6", id="the beginning"
        ),
        pytest.param(
            SMALL,
            "def step(x):\n    y = x * x\n    z = y * A\n    z += B\n    return z\n\n",
            "it uses A, B without defining it any more",
            id="one function, as long as the file",
        ),
        pytest.param(
            SMALL,
            SMALL.replace("A = 5\n", "").replace("x *", "2 * x *"),
            "uses A",
            id="one is lost",
        ),
        pytest.param("A = 1\nB = 2\nprint(A + B)\n", "A = 3\nB = 2\n", "2 of 3", id="no use"),
        pytest.param(
            "\n".join(FUNCTIONS),
            "\n".join(FUNCTIONS[:5]).replace("+", "*"),
            "15 of 42 lines, without f10, f11, f12, f13, f5 and 4 more",
            id="five functions",
        ),
        pytest.param(
            "\n".join(FUNCTIONS),
            "\n".join(FUNCTIONS[:5]).replace("    y", "    x += 1\n" * 8 + "    y"),
            "only: no f10, f11",
            id="five longer functions",
        ),
        pytest.param(LONG, LONG.partition("x45")[0], "45 of 60 lines, without x45", id="cut off"),
        pytest.param(
            "def fit():\n" + "    step()\n" * 40, "def fit():\n    step(2)\n", "2 of 41", id="long"
        ),
    ],
)
def test_a_part_of_a_file_is_no_whole_file(old: str, part: str, words: str):
    fence = f"I change this:\n```python\n{part}```\n"
    told = refused(fence, {"fit.py": old})
    assert "seems to hold a part of fit.py only: " in told
    assert words in told


def test_a_part_of_a_text_that_is_no_code_is_no_whole_file():
    files = {"notes.md": NOTES}
    assert "2 of 5 lines" in refused("```\n# Notes\n\n- four\n```\n", files)
    shorter = "# Notes\n\n- 1 to 3\n- four\n"
    assert parsed(f"```\n{shorter}```\n", files) == {"notes.md": shorter}


@pytest.mark.parametrize(
    "new",
    [
        pytest.param("def step(x):\n    return x\n\n\nfor n in range(9):\n    print(n)\nstep(2)\n"),
        pytest.param(SMALL.replace("import math\n\n", "").replace("math.pi", "3")),
        pytest.param(SMALL.replace("    return", "    x = max(x, 0)\n    return") + "step(1)\n"),
        pytest.param("def main():\n    a = 5\n    b = 3\n    print(b * a + b)\n\n\nmain()\n"),
    ],
    ids=["anew", "without an import", "longer", "in one function"],
)
def test_a_short_file_may_be_rewritten_as_a_whole(new: str):
    assert parsed(f"```python\n{new}```\n", {"fit.py": SMALL}) == {"fit.py": new}


def test_what_a_refused_part_leaves_out_can_be_deleted_as_the_error_says():
    rest = "\n".join(FUNCTIONS[:5])
    files = {"fit.py": "\n".join(FUNCTIONS)}
    words = refused(f"```python\n{rest}```\n", files)
    assert "To delete lines on purpose, send search/replace blocks" in words
    gone = "\n" + "\n".join(FUNCTIONS[5:])
    assert parsed(f"<<<<<<< SEARCH\n{gone}=======\n>>>>>>> REPLACE\n", files) == {"fit.py": rest}


@pytest.mark.parametrize(
    ("line", "left_out"),
    [
        ("# ...", True),
        ("# ... (rest of the code unchanged)", True),
        ("# [... existing code ...]", True),
        ("# rest unchanged", True),
        ("# The rest of the file remains the same.", True),
        ("# existing code here", True),
        ("# keep the existing code…", True),
        ("# ... and then the loss", False),
        ("# the rest goes to the CPU", False),
        ("# same as before, but smaller", False),
        ("def stub(): ...", False),
        ("def stub():\n    ...", False),
        ('def stub():\n    """Wait."""\n    ...', False),
        ("def stub():\n    x = 1\n    ...", True),
        ('TEXT = """\n...\n"""', False),
    ],
)
def test_lines_that_stand_for_others_are_refused(line: str, left_out: bool):
    new = f"{FILE}{line}\n"
    fence = f"```python\n{new}```\n"
    if left_out:
        assert "stands for lines that were left out" in refused(fence)
        assert parsed(f"```python\n{new}y = 1\n```\n", {"fit.py": new}) == {
            "fit.py": new + "y = 1\n"
        }
    else:
        assert parsed(fence) == {"fit.py": new}


def test_a_fence_within_text_that_is_no_code_needs_a_longer_one_around_it():
    old = "# Notes\n\n```\nx = 1\n```\n\nEnd.\n"
    new = old.replace("x = 1", "x = 2")
    assert parsed(f"````markdown\n{new}````\n", {"notes.md": old}) == {"notes.md": new}
    assert parsed(f"~~~\n{new}~~~\n", {"notes.md": old}) == {"notes.md": new}
    for cut in range(len(new) + 1):  # also where what is left would look complete
        refused(f"```markdown\n{new[:cut]}\n```\n", {"notes.md": old})
    assert "````" in refused(f"```markdown\n{new}```\n", {"notes.md": old})


def test_a_fence_that_the_new_text_brings_is_not_its_end():
    new = "p\nq\n```\ncode\n```\n"
    assert "not certain where the fence" in refused(f"```\n{new}\n```\n", {"a.txt": "x\ny\n"})
    assert parsed(f"````\n{new}````\n", {"a.txt": "x\ny\n"}) == {"a.txt": new}


def test_fences_within_strings_of_code_do_not_end_it():
    new = 'A = """\n```\na\n```\n"""\n' * 5
    assert parsed(f"```python\n{new}```\n") == {"fit.py": new}
    for line in range(1, new.count("\n")):
        cut = "".join(new.splitlines(keepends=True)[:line])
        refused(f"```python\n{cut}")
