"""A model's reply in plain text: a hypothesis, and blocks or whole files that become new texts.

Either form is read whichever was asked for. The result is what the reply says, to the byte, or a
`ReplyError` whose text is the request for a better reply.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError, ReplyError
from autoresearch_kit.replies import edits, markup, matching, wholes
from autoresearch_kit.replies.edits import Block
from autoresearch_kit.replies.markup import Body
from autoresearch_kit.task import MAX_BYTES

thoughtless = markup.thoughtless

_EXAMPLE = "What you change and why it should help, in a few sentences."
_LENGTH = 2_000  # characters of an error
_NUMBER = re.compile(
    r"[~≈]?\s*([+-]?(?:\d{1,30}\.?\d{0,30}|\.\d{1,30})(?:e[+-]?\d{1,4})?)(?![\d%])"
)


@dataclass(frozen=True)
class Reply:
    """What a reply says.

    Attributes
    ----------
    files
        Path → the whole new text of each file that changes.
    expected
        The change of the metric that it expects, with its sign, if it is a number.
    again
        Why something that was tried before is tried again; empty if it isn't.
    notes
        The new scratchpad, if the reply has one.
    form
        ``blocks``, or ``file`` when there are only whole files.
    """

    hypothesis: str
    files: Mapping[str, str]
    expected: float | None = None
    again: str = ""
    notes: str = ""
    form: Literal["blocks", "file"] = "blocks"


def parse(text: str, files: Mapping[str, str]) -> Reply:
    """Read a reply as a change of `files`, the mutable ones (path → text as it is now).

    Raises
    ------
    ReplyError
        When the hypothesis or the change is missing, can't be read one way only, doesn't fit the
        files, changes nothing, or leaves no valid Python. Nothing is applied in part. The text
        has at most 2,000 characters and says what to send instead.
    """
    try:
        return _read(_joined_surrogates(text), files)
    except ReplyError as error:
        words = str(error).encode("utf-8", "replace").decode().replace("\0", "?")
        end = "\nNothing was changed. Send the complete reply again with this corrected."
        if len(words) > _LENGTH - len(end):
            words = words[: _LENGTH - len(end) - 2] + " …"
        raise ReplyError(words + end) from None


def instructions(
    form: Literal["blocks", "file"],
    paths: Sequence[str] | Mapping[str, str],
    *,
    notes: bool = False,
) -> str:
    """Return the section of a prompt that says how to reply, with an example.

    Parameters
    ----------
    paths
        The mutable files. With their texts (path → text) the markers and fences get a length
        that no line of the texts has.
    notes
        Whether to ask for the scratchpad too.
    """
    texts = list(paths.values()) if isinstance(paths, Mapping) else []
    path, several = next(iter(paths)), len(paths) > 1
    which = " or ".join(f"`{path}`" for path in paths)
    tags = [
        "Reply in plain text, without JSON. Begin with these tags:",
        "",
        f"<hypothesis>{_EXAMPLE}</hypothesis>",
        "<expected>The change of the metric that you expect, with its sign: -0.01</expected>",
        "",
        "If an earlier experiment tried the same and you have a reason to try again, add",
        "<again>the reason</again>.",
    ]
    if notes:
        tags.append("Add <notes>…</notes> with the new text of your notes, all of it.")
    how = (
        _blocks_wanted(texts, path, which, several)
        if form == "blocks"
        else _file_wanted(texts, path, which, several)
    )
    return "\n".join([*tags, "", *how]) + "\n"


def _blocks_wanted(texts: Sequence[str], path: str, which: str, several: bool) -> list[str]:
    lines = [line.strip() for text in texts for line in matching.lines(text)]
    used = {len(line) for line in lines if markup.RULE.fullmatch(line)}
    used |= {
        len(m[1]) for line in lines if (m := markup.HEAD.match(line) or markup.TAIL.match(line))
    }
    n = next((n for n in (7, 9, 8, 6, 5) if n not in used), 7)
    return [
        f"Then change {which} with search/replace blocks like this one:",
        "",
        path,
        "<" * n + " SEARCH",
        "lines as they are in the file now",
        "=" * n,
        "the lines that take their place",
        ">" * n + " REPLACE",
        "",
        "- SEARCH repeats whole lines exactly, indentation included, and enough of them to be "
        "found once only in the file.",
        "- Write one block for each place that changes, each as small as it can be. All of them "
        "refer to the file as it is now, and no two change the same lines.",
        "- To insert, repeat a neighbouring line in SEARCH and in REPLACE. To delete, leave "
        "REPLACE empty.",
        "- Each marker stands alone on its line. No fences, no line numbers, no diff signs."
        + (" The path of the file stands before each block." if several else ""),
    ]


def _file_wanted(texts: Sequence[str], path: str, which: str, several: bool) -> list[str]:
    marks = [
        m for text in texts for line in matching.lines(text) if (m := markup.FENCE.match(line))
    ]
    fence = "`" * max([3, *(len(m[2]) + 1 for m in marks)])
    kind = {".py": "python", ".md": "markdown"}.get("." + path.rpartition(".")[2], "")
    return [
        f"Then write {which} as a whole, with your change, in one fence:",
        "",
        path,
        fence + kind,
        "every line of the file",
        fence,
        "",
        "- The fence holds the complete file, also the lines that stay as they are. Nothing is "
        "left out or abbreviated.",
        "- Write one such fence for each file that changes, with its path on the line before it, "
        "and no other fence."
        if several
        else "- There is no other fence in the reply.",
    ]


def _joined_surrogates(text: str) -> str:
    """Return text that can be encoded: surrogate pairs as one character, single ones as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _read(text: str, files: Mapping[str, str]) -> Reply:
    said = markup.read(text, files)
    problems = []
    hypotheses = list(dict.fromkeys(filter(None, said.tags.get("hypothesis", []))))
    if not hypotheses or hypotheses == [_EXAMPLE]:  # weak models copy the example
        problems.append(
            "The reply has no <hypothesis>…</hypothesis> of its own: say what you change and why."
        )
    elif len(hypotheses) > 1:
        problems.append("The reply has several hypotheses. Make one change, with one hypothesis.")
    changed: dict[str, str] = {}
    try:
        changed = _changed(said, files)
    except ReplyError as error:
        problems.append(str(error))
    if problems:
        raise ReplyError("\n".join(problems))
    return Reply(
        hypothesis=hypotheses[0],
        files=changed,
        expected=_number(_last(said.tags, "expected")),
        again=_last(said.tags, "again"),
        notes=_last(said.tags, "notes"),
        form="blocks" if said.bodies else "file",
    )


def _last(tags: Mapping[str, Sequence[str]], name: str) -> str:
    return tags[name][-1] if name in tags else ""


def _number(words: str) -> float | None:
    found = _NUMBER.match(words.replace("−", "-").replace("–", "-").lower())
    value = float(found[1]) if found else math.nan
    return value if math.isfinite(value) else None


def _changed(said: markup.Markup, files: Mapping[str, str]) -> dict[str, str]:
    """Return the new text of each file that changes."""
    blocks: dict[str, list[tuple[int, Block]]] = {}
    for number, body in enumerate(said.bodies, 1):
        block = _block(number, body, files)
        blocks.setdefault(block.path, []).append((number, block))
    new = {
        path: edits.apply(files[path], [b for _, b in given], numbers=[n for n, _ in given])
        for path, given in blocks.items()
    }
    for path, fence in wholes.found(said.fences, files, new):
        if path not in new:
            wholes.check(path, fence, files[path])
            new[path] = edits.rewritten(files[path], fence.lines)
        elif new[path] != edits.rewritten(files[path], fence.lines):
            raise ReplyError(
                f"The reply has blocks for {path}, and in line {fence.line} a fence with another "
                "text of it. Send blocks or the whole file, not both."
            )
    if not new:
        raise ReplyError(
            "The reply has no change that can be read. Expected a search/replace block:\n"
            "<<<<<<< SEARCH\nlines as they are in the file now\n=======\nthe lines that take their "
            "place\n>>>>>>> REPLACE\nor the complete file in one fence (```)."
        )
    changed = {path: text for path, text in new.items() if text != files[path]}
    if not changed:
        raise ReplyError(
            f"The reply changes nothing: {', '.join(new)} would stay exactly as it is now. Make "
            "the change that the hypothesis describes."
        )
    for path, text in changed.items():
        if (size := len(text.encode("utf-8", "surrogateescape"))) > MAX_BYTES:
            raise ReplyError(
                f"{path} would have {size:,} bytes; at most {MAX_BYTES:,} are allowed."
            )
        wholes.check_complete(path, text, files[path])
        _check_syntax(path, text)
    return changed


def _block(number: int, body: Body, files: Mapping[str, str]) -> Block:
    """Find out which rule line divides a block, and which file it is for, if both are certain."""
    name = f"Block {number} (line {body.line} of the reply)"
    rules = [(at, m[1]) for at, x in enumerate(body.lines) if (m := markup.RULE.fullmatch(x))]
    rules = [rule for rule in rules if len(rule[1]) == body.size] or rules
    if not rules:
        raise ReplyError(f"{name} has no line of {'=' * body.size} between SEARCH and REPLACE.")
    paths = [body.path] if body.path else list(files)
    readings = [
        (path, at, any(e < len(file.lines) and file.lines[e].strip() == rule for e in ends))
        for path in paths
        for file in [matching.lined(files[path])]
        for at, rule in rules[: matching.MOST]
        if (ends := [match.end for match in matching.find(file, body.lines[:at])])
        or (not at and (len(rules) > 1 or not file.lines))
    ]
    found = list(dict.fromkeys(path for path, _, _ in readings))
    if len(paths) > 1 and len(found) != 1:
        where = f"stands in {' and in '.join(found)}" if found else "is in none of them exactly"
        raise ReplyError(
            f"{name} does not say which file it changes, and its SEARCH text {where}. Write the "
            f"path alone on the line before each block: {', '.join(files)}."
        )
    path, cut, doubtful = readings[0] if readings else (paths[0], rules[0][0], False)
    rest = [at for at, _ in rules if at > cut]
    if len(readings) > 1 or doubtful or (rest and readings):
        raise ReplyError(
            f"{name} can be read in more than one way, because the text itself has lines of "
            f"{rules[0][1]}. Write all three markers with another length: "
            + ", ".join(
                (sign * n + word)
                for n in [9 if body.size != 9 else 8]
                for sign, word in (("<", " SEARCH"), ("=", ""), (">", " REPLACE"))
            )
            + "."
        )
    old: Sequence[str] = body.lines[:cut]
    new: Sequence[str] = body.lines[cut + 1 :]
    inner, made = _unfenced(old), _unfenced(new)
    fenced = inner != old and (made != new or not new)
    if not readings and fenced and matching.find(matching.lined(files[path]), inner):
        old, new = inner, made
    return Block(_text(old), _text(new), path, body.line)


def _unfenced(lines: Sequence[str]) -> Sequence[str]:
    """Return what is in a fence, when that is all there is."""
    first, last = (markup.fence(lines[0]), markup.fence(lines[-1])) if lines else (None, None)
    return lines[1:-1] if len(lines) > 1 and first and last and not last[2] else lines


def _check_syntax(path: str, text: str) -> None:
    try:
        source.check_syntax(path, text)
    except ProposalError as error:
        words = str(error).replace("\nCorrect that and propose again.", "")
        raise ReplyError(f"With this change, {words}") from None


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
