"""A model's reply becomes new texts of files, or an error that can be sent back to the model."""

from __future__ import annotations

import re

import pytest

from autoresearch_kit import replies
from autoresearch_kit.errors import ReplyError

FILE = '''\
"""Fit a line.

Title
=======

```python
fit()
```
"""
LR = 0.04
STEPS = 40


def loss(slope):
    total = 0.0
    for x, y in POINTS:
        total += (slope * x - y) ** 2
    return total
'''
SMALLER = FILE.replace("LR = 0.04", "LR = 0.02")
WHY = "<hypothesis>smaller steps</hypothesis>\n"
BLOCK = """\
<<<<<<< SEARCH
LR = 0.04
=======
LR = 0.02
>>>>>>> REPLACE
"""


def parsed(text: str, files: dict[str, str] | None = None, why: str = WHY) -> dict[str, str]:
    return dict(replies.parse(why + text, files or {"fit.py": FILE}).files)


def refused(text: str, files: dict[str, str] | None = None, why: str = WHY) -> str:
    with pytest.raises(ReplyError) as caught:
        replies.parse(why + text, files or {"fit.py": FILE})
    words = str(caught.value)
    assert len(words) <= 2_000
    words.encode()  # it travels as JSON
    assert words.endswith("Send the complete reply again with this corrected.")
    return words


# Blocks


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(BLOCK, id="as asked for"),
        pytest.param("fit.py\n" + BLOCK, id="path"),
        pytest.param("\n`fit.py`\n\n" + BLOCK, id="path in backticks"),
        pytest.param("**fit.py**\n" + BLOCK, id="bold path"),
        pytest.param("### `fit.py`:\n" + BLOCK, id="path as a heading"),
        pytest.param("**File:** `./fit.py`\n" + BLOCK, id="labelled path"),
        pytest.param("File: fit.py (line 10)\n" + BLOCK, id="path and line"),
        pytest.param("# fit.py\n" + BLOCK, id="path as a comment"),
        pytest.param(f"```python\n{BLOCK}```\n", id="in a fence"),
        pytest.param(f"fit.py\n```python\n{BLOCK}```\n", id="path before the fence"),
        pytest.param(f"```python\n# fit.py\n{BLOCK}```\n", id="path within the fence"),
        pytest.param(f"~~~~ fit.py\n{BLOCK}~~~~\n", id="path behind the mark"),
        pytest.param(f"```\n# smaller steps\n{BLOCK}\n```", id="comment in the fence"),
        pytest.param(BLOCK.replace("SEARCH", "SEARCH  ").replace("=\n", "= \t\n"), id="blanks"),
        pytest.param(BLOCK.replace("SEARCH", "SEARCH fit.py"), id="path in the marker"),
        pytest.param(BLOCK.replace("SEARCH", "SEARCH:"), id="colon"),
        pytest.param(BLOCK.replace("< ", "<"), id="no blank in the marker"),
        pytest.param(BLOCK.replace("<" * 7, "<" * 5).replace(">" * 7, ">" * 6), id="5 and 6"),
        pytest.param(BLOCK.replace("=" * 7, "=" * 9), id="9"),
        pytest.param("".join(f"  {x}\n" for x in BLOCK.splitlines()), id="indented, in a list"),
        pytest.param(BLOCK.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("Sure!\n\n" + BLOCK + "\nThis halves the steps.\n", id="text around"),
        pytest.param(BLOCK + "Again:\n" + BLOCK, id="twice"),
        pytest.param(BLOCK + "Then run\n```bash\npython fit.py\n```\n", id="an example of use"),
        pytest.param(
            BLOCK + f"The file is then\n```python\n{SMALLER}```\n", id="and the whole file"
        ),
        pytest.param(
            BLOCK.replace("LR = 0.04", "```python\nLR = 0.04\n```").replace(
                "LR = 0.02", "```python\nLR = 0.02\n```"
            ),
            id="fences inside the block",
        ),
        pytest.param(
            BLOCK.replace("LR = 0.04", "LR = 0.04\n...\n    return total").replace(
                "LR = 0.02", "LR = 0.02\n...\n    return total"
            ),
            id="a gap",
        ),
        pytest.param(BLOCK[:-1] + "<|im_end|>\n", id="last token"),
    ],
)
def test_blocks_are_read_however_they_are_dressed(text: str):
    assert parsed(text) == {"fit.py": SMALLER}


def test_everything_in_one_fence_is_read():
    assert parsed(f"```\n{WHY}\n{BLOCK}```\n", why="") == {"fit.py": SMALLER}
    assert parsed(f"````markdown\n{WHY}\n```python\n{SMALLER}```\n````", why="") == {
        "fit.py": SMALLER
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no change that can be read"),
        ("I'm sorry, but I can't help with that.", "no change that can be read"),
        ("LR = 0.02", "no change that can be read"),
        (BLOCK.partition("=======")[0], "Line 2 .*has no >>>>>>> REPLACE.*cut off"),
        (BLOCK.partition(">>>>")[0], "has no >>>>>>> REPLACE.*cut off"),
        (BLOCK[:-9], "damaged marker|has no >>>>>>> REPLACE"),
        (BLOCK + "<<<<<<< SEA", "looks like a marker"),
        (BLOCK + "<<", "looks like a marker"),
        (BLOCK + "```python\n", "never closed"),
        (f"```python\n{BLOCK}", "never closed"),
        (BLOCK.replace("=======\n", ""), "no line of ======= between"),
        (BLOCK.replace("<<<<<<< SEARCH\n", ""), "looks like a marker"),
        (BLOCK.replace("SEARCH", "HEAD"), "looks like a marker"),
        (BLOCK.replace(">>>>>>> REPLACE\n", "") + BLOCK, "before the next one"),
        (BLOCK[:-1] + "D\n" + BLOCK.replace("SEARCH", "SEACH"), "damaged marker"),
        (BLOCK + "======= \n" + BLOCK, "outside of a block"),
        (BLOCK.replace("SEARCH", "SEARCH lines 3-4"), "more than SEARCH"),
        (BLOCK.replace("LR = 0.02", "LR = 0.04"), "changes nothing"),
        (BLOCK.replace("LR = 0.02", "LR = = 2"), r"no valid Python in line 10.*LR = = 2"),
        (BLOCK.replace("LR = 0.02", "# ... rest of the code unchanged"), "were left out"),
        ("other.py\n" + BLOCK, "begins a change of other.py. Only fit.py may change"),
        (BLOCK.replace("SEARCH", "SEARCH src/fit.py"), "Only fit.py may change"),
        (BLOCK + BLOCK.replace("0.02", "0.01"), "Block 1 .* and Block 2 .* change the same place"),
        (BLOCK + f"```python\n{FILE.replace('40', '50')}```\n", "blocks or the whole file"),
        (f"```python\n{FILE}\n{BLOCK}```\n", "in a fence among other lines"),
        (f"```python\n{BLOCK}LR = 3\n```\n", "in a fence beside a block"),
        (f"```python\n{BLOCK}```python\n{BLOCK}```\n", "never closed"),
        (BLOCK.replace("LR = 0.04", ""), "found 4 times"),
        (BLOCK.replace("LR = 0.04\n", ""), "empty SEARCH, but fit.py has 18 lines"),
        ("<notes>" + BLOCK, "not closed"),
        (BLOCK + "<think>" + BLOCK, "thoughts in the middle"),
    ],
)
def test_blocks_that_are_damaged_or_do_not_fit_are_refused(text: str, words: str):
    assert re.search(words, refused(text), re.DOTALL)


@pytest.mark.parametrize(
    ("search", "replace", "readable"),
    [
        pytest.param("Title\n=======\n\n", "Name\n=======\n\n", False, id="on both sides"),
        pytest.param("Title\n", "Name\n", False, id="right behind"),
        pytest.param("=======\n\n", "-------\n\n", False, id="at the beginning"),
        pytest.param("fit()\n", "fit()\n=======\n", False, id="a new one"),
        pytest.param("LR = 0.04\n", "LR = 0.02\n", True, id="elsewhere"),
    ],
)
def test_a_rule_line_of_the_text_is_never_taken_for_the_marker(
    search: str, replace: str, readable: bool
):
    """Where it could be, the way out are markers of another length."""
    wanted = {"fit.py": FILE.replace(search, replace)}
    same = f"<<<<<<< SEARCH\n{search}=======\n{replace}>>>>>>> REPLACE\n"
    if readable:
        assert parsed(same) == wanted
    else:
        assert "<<<<<<<<< SEARCH, =========, >>>>>>>>> REPLACE" in refused(same)
    longer = f"<<<<<<<<< SEARCH\n{search}=========\n{replace}>>>>>>>>> REPLACE\n"
    assert parsed(longer) == wanted


def test_markers_that_a_file_has_are_text_for_markers_of_another_length():
    decoy = f'HELP = """\n{BLOCK}"""\nLR = 0.04\n'
    files = {"fit.py": decoy}
    change = BLOCK.replace("LR = 0.04", '"""\nLR = 0.04').replace("LR = 0.02", '"""\nLR = 0.02')
    wanted = {"fit.py": decoy.replace('"""\nLR = 0.04', '"""\nLR = 0.02')}
    assert "is a line of the file itself" in refused(change, files)
    longer = change.replace("<" * 7, "<" * 9).replace("=" * 7, "=" * 9).replace(">" * 7, ">" * 9)
    assert parsed(longer, files) == wanted
    assert parsed(f"```python\n{wanted['fit.py']}```\n", files) == wanted
    tail = {"fit.py": 'HELP = """\n>>>>>>> REPLACE\n"""\nLR = 0.04\n'}
    assert "is a line of the file itself" in refused(BLOCK, tail)
    whole = decoy.partition("=======")
    quoting = f"<<<<<<<<< SEARCH\n{whole[0]}{whole[1]}\n=========\nX = 1\n>>>>>>>>> REPLACE\n"
    assert "no valid Python" in refused(quoting, files)  # found, applied, and only then looked at


# Several files


FILES = {"a.py": "x = 1\nboth = 1\n", "lib/b.py": "y = 2\nboth = 1\n"}


def block(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


@pytest.mark.parametrize(
    "text",
    [
        "a.py\n" + block("x = 1", "x = 3") + "lib/b.py\n" + block("y = 2", "y = 4"),
        block("x = 1", "x = 3") + block("y = 2", "y = 4"),
        "In `a.py`, the x:\n" + block("x = 1", "x = 3") + "and\n" + block("y = 2", "y = 4"),
        "a.py\n```python\nx = 3\nboth = 1\n```\nlib/b.py\n" + block("y = 2", "y = 4"),
        "a.py\n```\nx = 3\nboth = 1\n```\n`lib/b.py`:\n```python\ny = 4\nboth = 1\n```\n",
        "```python a.py\nx = 3\nboth = 1\n```\n```python:lib/b.py\ny = 4\nboth = 1\n```\n",
        "```python\n# a.py\nx = 3\nboth = 1\n```\n```python\n# lib/b.py\ny = 4\nboth = 1\n```\n",
    ],
)
def test_several_files_are_changed_in_one_reply(text: str):
    wanted = {"a.py": "x = 3\nboth = 1\n", "lib/b.py": "y = 4\nboth = 1\n"}
    assert parsed(text, FILES) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (block("both = 1", "both = 2"), "stands in a.py and in lib/b.py. Write the path"),
        (block("z = 1", "z = 2"), "is in none of them exactly. Write the path"),
        ("b.py\n" + block("y = 2", "y = 3"), "Only a.py, lib/b.py may change"),
        ("```python\nx = 3\nboth = 1\n```\n", "does not say which file"),
        ("c.py\n```python\nx = 3\nboth = 1\n```\n", "is for c.py. Only a.py, lib/b.py may change"),
        ("a.py\n" + block("x = 1", "x = 3") + "lib/b.py\n" + block("y = 1", "y = 3"), "Block 2"),
        ("a.py\n" + block("x = 1", "x = 1"), "changes nothing: a.py"),
        *(
            (f"{prose}\n" + block("both = 1", "both = 2"), "stands in a.py and in lib/b.py.")
            for prose in (
                "I raise it in the trainer; lib/b.py has the same constant and stays.",
                "lib/b.py has the same constant and stays.",
                "`lib/b.py` (which has the same constant) stays.",
                "lib/b.py:\nIt stays. In a.py I raise it.",
                "I change a.py and lib/b.py:",
                f"lib/b.py stays, {'and stays, ' * 40}as it is.",
            )
        ),
    ],
)
def test_a_change_of_an_uncertain_or_a_wrong_file_is_refused(text: str, words: str):
    assert words in refused(text, FILES)


@pytest.mark.parametrize(
    "before",
    [
        "lib/b.py",
        "**`lib/b.py`** (the step):",
        "In `lib/b.py`, for the step:",
        "### File: lib/b.py",
    ],
)
def test_a_heading_or_a_colon_says_which_file_is_meant(before: str):
    text = f"{before}\n\nFor the reason above.\n" + block("both = 1", "both = 2")
    assert parsed(text, FILES) == {"lib/b.py": "y = 2\nboth = 2\n"}


# The rest of a reply


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("-0.01", -0.01),
        ("−0.01 bpb", -0.01),
        ("+1e-3", 0.001),
        ("~ -.5", -0.5),
        ("lower", None),
        ("-1%", None),
        ("-12%", None),
        ("1e999", None),
        ("nan", None),
        ("", None),
    ],
)
def test_the_expected_change_is_a_number_or_nothing(said: str, expected: float | None):
    reply = replies.parse(f"{WHY}<expected>{said}</expected>{BLOCK}", {"fit.py": FILE})
    assert reply.expected == expected


def test_tags_are_read_wherever_they_stand():
    text = (
        f"<notes>\n- LR: 0.02\n- `<hypothesis>`\n</notes>\n{BLOCK}\n"
        "**<Hypothesis>** smaller\nsteps </hypothesis><AGAIN>other parent</AGAIN>\n"
    )
    text = text.replace("**<Hypothesis>**", "**<Hypothesis>")
    reply = replies.parse(text, {"fit.py": FILE})
    assert reply == replies.Reply(
        hypothesis="smaller\nsteps",
        files={"fit.py": SMALLER},
        again="other parent",
        notes="- LR: 0.02\n- `<hypothesis>`",
        form="blocks",
    )


@pytest.mark.parametrize(
    "why",
    [
        "",
        "<hypothesis> \n</hypothesis>\n",
        f"{WHY}<hypothesis>b</hypothesis>",
        replies.instructions("file", ["a"]).partition("<expected>")[0],
    ],
)
def test_one_hypothesis_is_needed(why: str):
    assert "hypothes" in refused(BLOCK, why=why)


def test_two_faults_are_told_at_once():
    words = refused(BLOCK.replace("0.04", "0.4"), why="")
    assert "no <hypothesis>" in words
    assert "10 | LR = 0.04" in words


@pytest.mark.parametrize(
    "thoughts",
    [
        f"<think>\nMaybe {BLOCK}</think>\n",
        f"<think>{WHY}{BLOCK}\n```python\n</think>",
        "\n <thinking>\n<hypothesis>\n</thinking>\n\n",
        f"Maybe\n{WHY}{BLOCK}no.\n</think>\n\n",
        f"[THINK]{BLOCK}[/THINK]",
        f"<|channel|>analysis<|message|>{WHY}{BLOCK}<|end|><|start|>assistant"
        "<|channel|>final<|message|>",
    ],
)
def test_thoughts_count_for_nothing(thoughts: str):
    text = thoughts.replace("0.02", "0.01") + WHY + BLOCK
    assert parsed(text, why="") == {"fit.py": SMALLER}
    assert replies.thoughtless(text) == WHY + BLOCK


def test_thoughts_without_an_end_are_no_reply():
    assert replies.thoughtless(f"<think>{WHY}{BLOCK}") == ""
    assert "within its thoughts" in refused(f"<think>{WHY}{BLOCK}", why="")
    assert replies.thoughtless(f"{WHY}The <think> tag.") == f"{WHY}The <think> tag."


def test_a_line_in_an_error_is_that_of_the_reply_with_its_thoughts():
    assert "line 5 of the reply" in refused(
        f"<think>\n\n</think>\n{WHY}{BLOCK[:20]}", why=""
    ).replace("Line", "line")


def test_surrogates_of_a_reply_become_text_and_those_of_a_file_stay():
    old = "# \udc80\nLR = 1\n# \udcff\n"
    files = {"fit.txt": old}
    text = block("# ?\nLR = 1", "# ?\nLR = '\ud83d\ude00\ud83d'")
    assert parsed(text, files) == {"fit.txt": "# \udc80\nLR = '\U0001f600\ufffd'\n# \udcff\n"}
    assert "1 | # ?" in refused(block("# \udc81\nLR = 2", ""), files)


@pytest.mark.parametrize("form", ["blocks", "file"])
@pytest.mark.parametrize(
    "files",
    [
        {"a.py": "lines as they are in the file now\n"},
        {"a.py": "lines as they are in the file now\n", "b.md": "=======\n```\n````\n"},
    ],
)
def test_the_example_of_the_instructions_is_a_reply(form: str, files: dict[str, str]):
    words = replies.instructions(form, files, notes=True)  # type: ignore[arg-type]
    assert "<notes>" in words
    example = words.partition("like this one:")[2] or words.partition("one fence:")[2]
    with pytest.raises(ReplyError, match=r"With this change, a\.py is no valid Python"):
        replies.parse(WHY + example, files)
    assert ("=========" in example) == (form == "blocks" and len(files) == 2)
    assert ("`````" in example) == (form == "file" and len(files) == 2)
    assert replies.instructions(form, list(files))  # type: ignore[arg-type]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "rubbish",
    [
        "<<<<<<< SEARCH\n",
        "```\n",
        "```python\nx = '''\n",
        "'''\n```\n",
        "=======\n",
        "<think>",
        "<hypothesis>",
        "`",
        " ",
        "\n",
        "<",
        "* # - ",
        "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n",
        "...\n",
        "(",
        "fit.py",
    ],
)
def test_a_megabyte_of_rubbish_is_refused(rubbish: str):
    """Each of these once took, or could take, time that grows with the square of its length."""
    much = rubbish * (1_000_000 // len(rubbish))
    refused(much)
    refused(f"```python\n{much[:500_000]}\n```\n")
    refused(f"<<<<<<< SEARCH\n{much[:500_000]}\n=======\n>>>>>>> REPLACE\n")
