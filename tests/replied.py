"""Random files, edits of them, and the many ways in which a model may write one down."""

from __future__ import annotations

import re
from dataclasses import dataclass

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

    `sure` is whether its fence has another length than any in the text. `part` is whether it is a
    file of which so much is gone that it has to be taken for an excerpt.
    """

    path: str
    old: str
    new: str
    reply: str
    clear: bool
    blocks: bool
    sure: bool
    several: bool
    part: bool

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
    part = not blocks and is_part(old, new, (pieces, replaced(pieces, runs)) if code else None)
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
        clear=clear and told != made and not part,
        blocks=blocks,
        sure=sure,
        several=several,
        part=part,
    )


def replaced(pieces: list[str], runs: list[tuple[int, int, list[str]]]) -> list[str]:
    made: list[str] = []
    done = 0
    for at, stop, added in runs:
        made += [*pieces[done:at], *added]
        done = stop
    return made + pieces[done:]


def is_part(old: list[str], new: list[str], code: tuple[list[str], list[str]] | None) -> bool:
    """Tell whether what is left of a file is an excerpt, from the pieces of it that are `code`."""
    was, size = (sum(bool(line.strip()) for line in lines) for lines in (old, new))
    if not code:
        return was >= 4 and size < was / 2
    names = [
        {m[1] for x in pieces if (m := re.match(r"(?:def |class |if )?(\w+)", x))}
        for pieces in code
    ]
    asks = [any(x.startswith("if x") for x in pieces) for pieces in code]
    if "x" in names[0] - names[1] and any(x.startswith("def g") for x in code[1]):
        return True
    lost = bool(names[0] - names[1]) or asks[0] > asks[1]
    few = size < was * 0.8 or (
        names[1] <= names[0]
        and asks[1] <= asks[0]
        and len(names[1]) + asks[1] < (len(names[0]) + asks[0]) / 2
    )
    return (lost and few) or (was >= 30 and size < was / 3)


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
