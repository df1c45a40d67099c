"""Whole files in the fences of a reply: which fence holds one, and whether it is complete."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import re
import symtable
import warnings
from collections.abc import Iterator, Mapping, Sequence

from autoresearch_kit.errors import ReplyError
from autoresearch_kit.replies import markup, matching, paths
from autoresearch_kit.replies.markup import Fence

_SMALL = 30  # lines; of smaller code a third may be all that is left
_TINY = 4  # lines; of a smaller text that is no code, half
_ALIASES = {
    ".py": {"python", "python3", "py", "plaintext", "code"},
    ".md": {"markdown", "md"},
    ".toml": {"toml"},
    ".json": {"json"},
    ".yaml": {"yaml", "yml"},
    ".yml": {"yaml", "yml"},
}
_OTHERS = {"bash", "sh", "shell", "console", "diff", "patch", "output", "log"}
_BODIES = ("body", "orelse", "finalbody")
_LEFT_OUT = re.compile(
    r"(?:\w+ ){0,2}(?:rest|remainder) of (?:the |this |your )?(?:\w+ ){0,2}(?:code|file|script|"
    r"function|class|method|module|program|implementation)(?: \w+){0,4}"
    r"|(?:keep |the |all ){0,2}(?:rest|remaining|existing|previous|other|unchanged)(?: \w+){0,3}"
    r" (?:unchanged|same|before|omitted|here|is)"
)
_LEFT_OUT_WORDS = {
    *("rest", "unchanged", "existing", "same", "remaining", "previous", "omitted", "code", "before")
}
_COMMENTS = {".md": "<!--", ".txt": "<!--", ".c": "//", ".cu": "//", ".cpp": "//", ".h": "//"}


def found(
    fences: Sequence[Fence], files: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[tuple[str, Fence]]:
    """Yield the fences that hold a whole file; the others are examples. `new` has the blocks'."""
    claims: dict[str, list[Fence]] = {}
    for fence in fences:
        lines = fence.lines
        title = paths.path_of(lines[0], files) if lines else ""
        path = fence.path or (title if title in files else "")
        path = path or (next(iter(files)) if len(files) == 1 else "")
        if path and path not in files:
            if fence.info in _OTHERS:
                continue
            raise ReplyError(
                f"The fence in line {fence.line} is for {path}. Only {', '.join(files)} may "
                "change; name the file by exactly that path on the line before the fence."
            )
        if fence.info in {"diff", "patch"} or (lines[:1] and lines[0].startswith(("--- ", "@@ "))):
            if new:
                continue
            raise ReplyError(
                "The reply has a diff, which can't be applied safely. Send search/replace blocks:\n"
                "<<<<<<< SEARCH\nold lines\n=======\nnew lines\n>>>>>>> REPLACE"
            )
        if not path:
            if new and all(_inked(lines) * 2 < _inked_text(text) for text in files.values()):
                continue
            if fence.info in _OTHERS:
                continue
            raise ReplyError(
                f"The fence in line {fence.line} does not say which file it is. Write the path "
                f"alone on the line before it: {', '.join(files)}."
            )
        suffix = "." + path.rpartition(".")[2]
        fits = fence.info in _ALIASES[suffix] if suffix in _ALIASES else fence.info not in _OTHERS
        if not (fits or not fence.info or "." + fence.info == suffix):
            continue
        if _is_quoted(lines, files[path]):
            continue
        top = matching.lined(files[path]).lines[:3]
        if title == path and suffix != ".md" and lines[0] not in top:
            fence = dataclasses.replace(fence, lines=lines[1:])
        if all(fence.lines != other.lines for other in claims.setdefault(path, [])):
            claims[path].append(fence)
    for path, given in claims.items():
        large = [f for f in given if _inked(f.lines) * 2 >= _inked_text(files[path])]
        if path in new and not large:
            continue
        if len(given) > 1 and len(large) != 1:
            raise ReplyError(
                f"The reply has {len(given)} fences that may be {path}, in lines "
                f"{', '.join(str(fence.line) for fence in given[:10])}. Send one fence, with the "
                "complete file, and no examples in others. If the file has fences itself, put a "
                "longer one around it: ````."
            )
        yield path, (large if len(given) > 1 else given)[0]


def check(path: str, fence: Fence, old: str) -> None:
    """Raise when a fence is no whole file, or its end is not certain."""
    before, lines = matching.lined(old).lines, fence.lines
    if not any(line.strip() for line in lines):
        raise ReplyError(f"The fence in line {fence.line} is empty. It has to hold all of {path}.")
    marks = [m[2] for line in before if (m := markup.FENCE.match(line))]
    nested = any(m[0] == fence.mark[0] and len(m) >= len(fence.mark) for m in marks)
    if not path.endswith(".py") and (nested or not fence.alone):
        longer = fence.mark[0] * (max([len(fence.mark), *map(len, marks)]) + 1)
        raise ReplyError(
            f"It is not certain where the fence in line {fence.line} ends, since other lines look "
            f"like its end. Send {path} in a fence of {longer}, and no other fence."
        )
    stray = [line for line in lines if markup.RULE.fullmatch(line) and line.strip() == "=" * 7]
    first = next(line.strip() for line in lines if line.strip())
    begins = next((line.strip() for line in before if line.strip()), "")
    if any(line not in before for line in stray) or (markup.is_marker(first) and first != begins):
        raise ReplyError(
            f"The fence in line {fence.line} has markers of a block in it, so it is not clear what "
            "is meant. Send blocks without a fence, or the whole file without such lines."
        )
    if why := _excerpt(path, lines, old):
        raise ReplyError(
            f"The fence in line {fence.line} seems to hold a part of {path} only: {why}. Send all "
            "lines of it, also those that stay as they are. To delete lines on purpose, send "
            "search/replace blocks: those lines in SEARCH, and nothing in REPLACE."
        )


def _excerpt(path: str, lines: Sequence[str], old: str) -> str:
    """Return why these lines seem to be a part of the file, not all of it; "" if they don't.

    Code that is rewritten as a whole may be shorter, or have other names. An excerpt is shorter
    and lacks names, or has few of the old names and no new ones, or needs one that it lacks.
    """
    size, was = _inked(lines), _inked_text(old)
    count = f"{size} of {was} lines"
    then, now = (_Names.of(text) if path.endswith(".py") else None for text in (old, _text(lines)))
    if not then or not now:
        return count if was >= _TINY and size * 2 < was else ""
    if missing := (then.defined - now.defined) & now.needed:
        return f"it uses {_listed(missing)} without defining it any more"
    lost = then.top - now.top
    if lost and (size * 5 < was * 4 or (now.top < then.top and len(now.top) * 2 < len(then.top))):
        gone = then.defined - now.defined
        what = _listed(gone) if gone else f"use of {_listed({name for name, _ in lost})}"
        return f"{f'{count}, without' if size < was else 'no'} {what}"
    return count if was >= _SMALL and size * 3 < was else ""


@dataclasses.dataclass(frozen=True)
class _Names:
    """The names in a file of code.

    Attributes
    ----------
    top
        Those at its top level, each with whether it is given a value there or used.
    defined, needed
        Those that it gives a value to as global ones, and those that it uses as such.
    """

    top: set[tuple[str, bool]]
    defined: set[str]
    needed: set[str]

    @classmethod
    def of(cls, text: str) -> _Names | None:
        """Return the names, or nothing when the text can't be compiled."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = symtable.symtable(text.removeprefix("\ufeff"), "reply.py", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        top: set[tuple[str, bool]] = set()
        for name in table.get_symbols():
            bound = name.is_assigned() or name.is_imported() or name.is_namespace()
            top |= {(name.get_name(), True)} if bound else set()
            top |= {(name.get_name(), False)} if name.is_referenced() else set()
        defined = {name for name, bound in top if bound}
        needed = {name for name, bound in top if not bound}
        scopes = list(table.get_children())
        while scopes:
            scope = scopes.pop()
            scopes += scope.get_children()
            names = [name for name in scope.get_symbols() if name.is_global()]
            defined |= {name.get_name() for name in names if name.is_assigned()}
            needed |= {name.get_name() for name in names if name.is_referenced()}
        return cls(top, defined, set() if "import *" in text else needed - {*dir(builtins)})


def _listed(names: set[str]) -> str:
    first = sorted(names)[:5]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(name[:60] for name in first) + more


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def check_complete(path: str, new: str, old: str) -> None:
    """Raise when a new line stands for lines that were left out."""
    suffix = "." + path.rpartition(".")[2]
    sign = _COMMENTS.get(suffix, "#")
    had = {line.strip() for line in matching.lined(old).lines}
    added = [(n, line.strip()) for n, line in enumerate(matching.lines(new), 1)]
    added = [(n, text) for n, text in added if text not in had and len(text) <= 200]
    python = suffix == ".py" and any(text == "..." for _, text in added)
    gaps = _ellipses(new) if python else set()
    for number, text in added:
        if (text == "..." and number in gaps) or (
            text.startswith(sign) and _is_left_out(text.strip(sign + "->* \t"))
        ):
            raise ReplyError(
                f"Line {number} of the new {path} is {text!r}, which stands for lines that were "
                "left out. Write them out, or use search/replace blocks and leave them alone."
            )


def _is_left_out(comment: str) -> bool:
    plain = comment.lower().replace("…", "...")
    words = re.findall(r"[\w']+", plain)
    dotted = plain.startswith(("...", "[...", "(...")) or plain.endswith(("...", "...]", "...)"))
    if dotted and (not words or _LEFT_OUT_WORDS & set(words)):
        return True
    return len(words) <= 12 and bool(_LEFT_OUT.fullmatch(" ".join(words)))


def _ellipses(text: str) -> set[int]:
    """Return the lines where ``...`` is a statement among others; alone it is an empty body."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    bodies = [getattr(node, name, None) for node in ast.walk(tree) for name in _BODIES]
    return {
        statement.lineno
        for body in bodies
        if isinstance(body, list) and sum(not _is_string(statement) for statement in body) > 1
        for statement in body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and statement.value.value is ...
    }


def _is_string(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_quoted(lines: Sequence[str], old: str) -> bool:
    """Tell whether a fence is one that the file has inside; its outer one was forgotten then."""
    file = matching.lined(old)
    return any(
        match.starts[0] > 0
        and match.end < len(file.lines)
        and markup.fence(file.lines[match.starts[0] - 1])
        and markup.fence(file.lines[match.end])
        for match in matching.find(file, lines)
    )


def _inked(lines: Sequence[str]) -> int:
    return sum(1 for line in lines if line.strip())


def _inked_text(text: str) -> int:
    return _inked(matching.lined(text).lines)
