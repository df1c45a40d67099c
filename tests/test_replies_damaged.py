"""Random files, edits, ways of writing a reply, and damages of it: the intended file or an error.

Stated precisely. A reply that nothing happened to gives the intended file when

- each SEARCH stands once in the file,
- the markers (or, unless the file is Python, the fence) have a length that no such line of the old
  or new text has, and the new text brings no other lines that look like markers,

and otherwise the intended file or a `ReplyError`. A damaged reply gives a `ReplyError`, or what
the complete blocks in it (or one complete fence) say, with no marker left over. One that was cut
off gives a `ReplyError` unless all that it had begun is complete.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from autoresearch_kit import replies
from autoresearch_kit.errors import ReplyError

# Statements that may follow each other in any order and number, so any of them makes a file.
CODE = (
    "x = 1",
    "x = 1  ",
    "y = [\n\t1,\n\n\t2,\n]",
    "def f(a):\n    b = a\n\n    return b",
    "def g():\n\tif x:\n\t\treturn 1\n\treturn 2",
    "class A:\n    x = 1\n\n    def m(self):\n        pass",
    "if x:\n    x = 1",
    "def stub():\n    ...",
    "# é — ≤ \U0001f600",
    "u = 'a\u2028b\x85c'",
    "\f",
    "",
    'D = """\nTitle\n=======\n\n```python\nfit()\n```\n"""',
    'E = """\n```\n\n```\n=====\n"""',
    'F = """\n<<<<<<< SEARCH\nx = 1\n=======\nx = 2\n>>>>>>> REPLACE\n"""',
    'G = """\n~~~\n<think>\n</think>\n<hypothesis>no</hypothesis>\n"""',
    'H = """\n>>>>>>> theirs\n"""',
    *(f"z{n} = {n}" for n in range(12)),
)
# Lines of a file that is no code. Surrogates are bytes that are no UTF-8.
PROSE = (
    *("a", "b", "a ", "  a", "\ta", "", "\udc80", "b\udcff", "é\u2028", "...", "# a", "x.py"),
    *("=======", "=====", "```", "```py", "~~~~", "<<<<<<< SEARCH", ">>>>>>> REPLACE", "<think>"),
    *("</think>", "<hypothesis>no</hypothesis>", "- a", "\ufeffa"),
    *(f"line {n}" for n in range(12)),
)
WHY = "<hypothesis>because</hypothesis>"
HEAD = re.compile(r"\s*(<{5,9}) ?SEARCH:?\s*")
RULE = re.compile(r"\s*(={5,9})\s*")
TAIL = re.compile(r"\s*(>{5,9}) ?REPLACE\s*")
FENCE = re.compile(r"\s*(`{3,}|~{3,})")
OTHER = {"other.txt": "only here\n"}


RUNS = [
    st.tuples(st.integers(0, 2), st.lists(st.sampled_from(pool), max_size=2), st.integers(1, 3))
    for pool in (PROSE, CODE)
]


@dataclass(frozen=True)
class Case:
    """An edit, a reply that describes it, and whether the reply has to be understood.

    `sure` is whether its fence has another length than any in the text.
    """

    path: str
    old: str
    new: str
    reply: str
    clear: bool
    blocks: bool
    sure: bool
    several: bool

    def parsed(self, reply: str) -> str | None:
        files = {self.path: self.old} | (OTHER if self.several else {})
        try:
            said = replies.parse(reply, files)
        except ReplyError as error:
            words = str(error)
        else:
            assert list(said.files) == [self.path]
            assert said.files[self.path] != self.old
            return said.files[self.path]
        assert 0 < len(words.encode().decode()) <= 2_000
        return None


def plain(text: str) -> str:
    """Return what a model is shown, and can write."""
    return re.sub("[\ud800-\udfff]", "?", text)


def lines_of(text: str) -> list[str]:
    lines = re.split(r"\r\n|\r|\n", text)
    return lines if lines[-1] else lines[:-1]


def windows(lines: list[str], part: list[str]) -> list[int]:
    return [k for k in range(len(lines) - len(part) + 1) if lines[k : k + len(part)] == part]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    code, blocks, final, first, crlf, several = (draw(st.booleans()) for _ in range(6))
    pool = st.sampled_from(CODE if code else PROSE)
    pieces = draw(st.lists(pool, max_size=9))
    # Runs of pieces that are replaced, with at least one between them that stays.
    runs: list[tuple[int, int, list[str]]] = []
    at = draw(st.integers(0, len(pieces)))
    for size, added, gap in draw(st.lists(RUNS[code], min_size=1, max_size=3)):
        if at <= len(pieces):
            runs.append((at, min(at + size, len(pieces)), added))
            at += size + gap
    old, changes = laid_out(pieces, runs)
    old[:1] = [line.lstrip("\ufeff") for line in old[:1]]  # a mark of the file, or none
    final = final or not old or not old[-1]
    ends = ["\n", "\r\n", "\r"] if old[1 - final :] else ["\n"]
    end, bom = draw(st.sampled_from(ends)), draw(st.sampled_from(["", "\ufeff"]))
    new: list[str] = []
    done = 0
    for at, stop, lines in changes:
        new += [*old[done:at], *lines]
        done = stop
    new += old[done:]
    new[:1] = [line.lstrip("\ufeff") for line in new[:1]]  # and a reply brings none
    path = "fit.py" if code else "notes.txt"
    told, made = list(map(plain, old)), list(map(plain, new))
    known = {line.strip() for line in told}
    fair = all(line.strip() in known for line in made if re.match(r"\s*[<>]{4}", line))
    wrote = (
        as_blocks(draw, told, changes, path) if blocks else as_file(draw, told, made, path, several)
    )
    body, clear, sure = wrote
    head = draw(st.sampled_from(["", "<think>\nhm <<<<<<< SEARCH\n</think>\n", "Sure.\n\n"]))
    tail = draw(st.sampled_from(["", "\nThat is all.\n", "\n<expected>-0.1</expected>\n"]))
    reply = f"{head}{WHY}\n{body}{tail}" if first else f"{head}{body}{tail}{WHY}"
    # The end of thoughts that the prompt began looks the same, where a hypothesis comes after it.
    clear = clear and fair and (head[:1] == "<" or not re.search(r"\n\s*</think>", body))
    return Case(
        path=path,
        old=bom + end.join(old) + (end if final and old else ""),
        new=bom + end.join(new) + (end if final and new else ""),
        reply=reply.replace("\n", "\r\n") if crlf else reply,
        clear=clear and told != made,
        blocks=blocks,
        sure=sure,
        several=several,
    )


def laid_out(
    pieces: list[str], runs: list[tuple[int, int, list[str]]]
) -> tuple[list[str], list[tuple[int, int, list[str]]]]:
    """Return the lines of the pieces, and the runs in lines instead of pieces."""
    starts = [0]
    lines: list[str] = []
    for piece in pieces:
        lines += piece.split("\n")
        starts.append(len(lines))
    return lines, [
        (starts[a], starts[b], [plain(line) for piece in new for line in piece.split("\n")])
        for a, b, new in runs
    ]


def as_blocks(
    draw: st.DrawFn, old: list[str], changes: list[tuple[int, int, list[str]]], path: str
) -> tuple[str, bool, bool]:
    texts = [*old, *(line for _, _, lines in changes for line in lines)]
    n = draw(st.sampled_from([7, 9]))
    found = (m for line in texts for kind in (HEAD, RULE, TAIL) if (m := kind.fullmatch(line)))
    clear = sure = n not in {len(match[1]) for match in found}
    before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    shift = draw(st.sampled_from(["", "", "    "]))
    dress = draw(st.sampled_from(["", f"{path}\n", f"**`{path}`**\n", "Then:\n", "```python\n"]))
    blank = draw(st.sampled_from(["", " "]))
    written = []
    taken = 0
    for k, (at, stop, lines) in enumerate(changes):
        low = taken
        high = changes[k + 1][0] if k + 1 < len(changes) else len(old)
        if before or after < 4 or len(windows(old, old[at:stop])) == 1:  # otherwise all there is
            low, high = max(low, at - before), min(high, stop + after)
        taken = high
        search, replace = old[low:high], [*old[low:at], *lines, *old[stop:high]]
        once = len(windows(old, search)) == 1 if search else not old
        clear = clear and once and not {"...", "…"} & {line.strip() for line in search}
        bare, sought = (
            ["".join(line.split("\ufeff")).strip() for line in x] for x in (old, search)
        )
        if len(windows(bare, sought)) == 1 and any(x == x.lstrip() != "" for x in search):
            search, replace = ([x and shift + x for x in part] for part in (search, replace))
        marks = ["<" * n + " SEARCH" + blank, "=" * n + blank, ">" * n + " REPLACE"]
        block = "\n".join([marks[0], *search, marks[1], *replace, marks[2], ""])
        written.append(dress + block + ("```\n" if dress[:1] == "`" else ""))
    return "\n".join(draw(st.permutations(written))), clear, sure


def as_file(
    draw: st.DrawFn, old: list[str], new: list[str], path: str, several: bool
) -> tuple[str, bool, bool]:
    mark = draw(st.sampled_from(["```", "````", "`````", "~~~~~"]))
    fences = [m[1] for line in [*old, *new] if (m := FENCE.match(line))]
    sure = all(other[0] != mark[0] or len(other) < len(mark) for other in fences)
    code = path.endswith(".py")
    info = draw(st.sampled_from(["", "python", f"python {path}"])) if code else ""
    dress = draw(st.sampled_from(["", f"{path}\n", f"### `{path}`\n", f"The new {path}:\n"]))
    first = next((x for line in new if (x := line.strip()) not in {"", "x.py"}), "")
    clear = (
        bool("".join(new).strip())
        and (code or sure)
        and (not several or path in dress + info)
        and not first.startswith(("<", ">"))  # a fence around a reply
        and all(line in old for line in new if line.strip() == "=======")
    )
    return "\n".join([f"{dress}{mark}{info}", *new, mark, ""]), clear, sure


def intact(case: Case) -> None:
    result = case.parsed(case.reply)
    form = "blocks" if case.blocks else "file"
    event(
        f"{form}, {'clear' if case.clear else 'unclear'}, {'refused' if result is None else 'read'}"
    )
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
        found = [applied(old, blocks) for blocks in readings(lines) if blocks]
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
