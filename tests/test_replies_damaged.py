"""Random files, edits, ways of writing a reply, and damages of it: the intended file or an error.

Stated precisely. A reply that nothing happened to gives the intended file when

- each SEARCH stands once in the file, or a whole file is no excerpt (see `replied.is_part`),
- the markers (or, unless the file is Python, the fence) have a length that no such line of the old
  or new text has, and the new text brings no other lines that look like markers,

and otherwise the intended file or a `ReplyError`; an excerpt always gives the error. A damaged
reply gives a `ReplyError`, or what the complete blocks in it (or one complete fence) say, with no
marker left over. One that was cut off gives a `ReplyError` unless all that it had begun is
complete; a whole file needs its last line, where its fence is as stated above.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from autoresearch_kit import replies
from autoresearch_kit.errors import ReplyError
from tests.replied import FENCE, HEAD, RULE, TAIL, WHY, Case, cases, lines_of, plain, windows


def intact(case: Case) -> None:
    result = case.parsed(case.reply)
    form = "blocks" if case.blocks else "part" if case.part else "file"
    event(
        f"{form}, {'clear' if case.clear else 'unclear'}, {'refused' if result is None else 'read'}"
    )
    assert result is None or not case.part
    if result is None:
        assert not case.clear
    elif plain(case.old) != case.old:
        # Of lines that look the same to a model, it can't say which of them stays.
        assert plain(result) == plain(case.new)
    else:
        assert result == case.new


@st.composite
def damages(draw: st.DrawFn) -> tuple[Case, str, bool]:
    """Draw a reply and what is left of it, and whether that is its beginning only."""
    case = draw(cases())
    reply = case.reply.replace("\r\n", "\n")
    if cut := draw(st.booleans()):
        return case, reply[: draw(st.integers(0, len(reply)))], cut
    lines = reply.split("\n")
    for _ in range(draw(st.integers(1, 2))):
        marks = [
            k for k, line in enumerate(lines) if re.match(r"\s*(<{4}|={4}|>{4}|```|~~~)", line)
        ]
        at = draw(st.sampled_from(marks if marks and draw(st.booleans()) else range(len(lines))))
        kind, line = draw(st.integers(0, 4)), lines[at]
        place = draw(st.integers(0, len(line)))
        if kind == 0:
            lines[at : at + 1] = []
        elif kind == 1:
            lines[at:at] = [line]
        elif kind == 2:
            lines[at] = line[:place] + line[place + 1 :]
        elif kind == 3:
            lines[at] = line[:place] + draw(st.sampled_from("<=> x`")) + line[place:]
        else:
            lines[at : at + 2] = lines[at : at + 2][::-1]
        lines = lines or [""]
    return case, "\n".join(lines), cut


def readings(lines: list[str], at: int = 0) -> Iterator[list[tuple[list[str], list[str]]]]:
    """Yield all ways to read lines as blocks that leave no marker outside of one."""
    begin = next((k for k in range(at, len(lines)) if re.match(r"\s*[<>]{4}", lines[k])), None)
    if begin is None:
        yield []
    elif HEAD.match(lines[begin]):
        rules = [k for k in range(begin, len(lines)) if RULE.fullmatch(lines[k])]
        tails = [k for k in range(begin, len(lines)) if TAIL.fullmatch(lines[k])]
        for rule, tail in itertools.product(rules, tails):
            if rule < tail:
                for rest in readings(lines, tail + 1):
                    yield [(lines[begin + 1 : rule], lines[rule + 1 : tail]), *rest]


def applied(old: list[str], blocks: list[tuple[list[str], list[str]]]) -> list[str] | None:
    """Return lines with blocks applied, all stripped; the plainest way there is."""
    spans: list[tuple[int, int, int, list[str]]] = []
    for k, (search, replace) in enumerate(blocks):
        if (search, replace) in blocks[:k]:
            continue
        places: list[int] = []
        for strip in (str, lambda x: x.lstrip("\ufeff").rstrip(), lambda x: x.strip("\ufeff \t")):
            places = places or windows(list(map(strip, old)), list(map(strip, search)))
        if len(places) != 1 and old:
            return None
        start = places[0] if places else 0
        head = common(search, replace)
        tail = common(search[head:][::-1], replace[head:][::-1])
        end = start + len(search) - tail
        spans.append((start + head, end, start, replace[head : len(replace) - tail]))
    made = old
    for a, b, _, lines in sorted(spans, reverse=True):
        made = [*made[:a], *lines, *made[b:]]
    return stripped(made)


def stripped(lines: list[str]) -> list[str]:
    """Return lines without marks and white space at their ends, and blank lines at the end."""
    return "\n".join(line.strip("\ufeff \t") for line in lines).rstrip("\n").split("\n")


def common(a: list[str], b: list[str]) -> int:
    return next(
        (k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


def survives(drawn: tuple[Case, str, bool]) -> None:
    case, reply, cut = drawn
    result = case.parsed(reply)
    form = "blocks" if case.blocks else "file"
    event(f"{form}, {'cut' if cut else 'damaged'}, {'refused' if result is None else 'read'}")
    if result is None or plain(result) == plain(case.new):
        return
    old, new = (lines_of(plain(text.removeprefix("\ufeff"))) for text in (case.old, result))
    lines = reply.split("\n")
    if case.blocks:
        # Up to a line that may end thoughts, with a hypothesis after it, all may be thoughts.
        ends = (m.end() for m in re.finditer(r"\n\s*</think>", reply))
        texts = [reply, *(reply[end:] for end in ends if "<hypothesis>" in reply[end:])]
        read = itertools.chain.from_iterable(readings(text.split("\n")) for text in texts)
        found = [applied(old, blocks) for blocks in read if blocks]
        assert stripped(new) in found
    else:
        fences = [k for k, line in enumerate(lines) if FENCE.match(line)]
        inside = [stripped(lines[a + 1 : b]) for a, b in itertools.combinations(fences, 2)]
        assert stripped(new) in [*inside, *(part[1:] for part in inside)]  # less a path
        assert not cut or not (case.sure or case.path.endswith(".py"))


QUICK = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
THOROUGH = settings(QUICK, max_examples=10_000)


@QUICK
@given(cases())
def test_a_reply_gives_the_intended_file(case: Case):
    intact(case)


@QUICK
@given(damages())
def test_a_damaged_reply_gives_what_is_complete_in_it_or_an_error(drawn: tuple[Case, str, bool]):
    survives(drawn)


SCRAPS = st.sampled_from(
    [
        *(
            "<<<<<<< SEARCH",
            "=======",
            ">>>>>>> REPLACE",
            "<<<<<< SEARCH a.py",
            "======",
            "```",
            "````",
        ),
        *(
            "```python",
            "~~~",
            "a.py",
            "# b.py",
            WHY,
            "<notes>",
            "</notes>",
            "<think>",
            "</think>",
            "...",
        ),
        *(
            "x = 1",
            "  x = 1",
            "\tx = 1",
            "y = (",
            "'''",
            "",
            "\ufeff",
            "\x00",
            "\ud83d",
            "# ... rest",
        ),
    ]
)
SOUP = st.one_of(st.text(), st.lists(SCRAPS, max_size=14).map("\n".join))


@QUICK
@given(SOUP, SOUP, st.booleans())
def test_whatever_a_reply_and_a_file_hold_there_is_a_change_or_an_error(
    reply: str, text: str, several: bool
):
    files = {"a.py": re.sub("[\ud800-\udc7f]", "", text)} | ({"b.py": "x = 1\n"} if several else {})
    for said in (reply, f"{WHY}\n{reply}"):
        try:
            result = replies.parse(said, files)
        except ReplyError:
            continue
        assert result.files
        assert all(new != files[path] for path, new in result.files.items())


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
@THOROUGH
@given(cases())
def test_ten_thousand_replies_give_the_intended_file(case: Case):
    intact(case)


@pytest.mark.acceptance
@pytest.mark.timeout(3600)
@THOROUGH
@given(damages())
def test_ten_thousand_damaged_replies_give_what_is_complete_or_an_error(
    drawn: tuple[Case, str, bool],
):
    survives(drawn)
