"""Python text as data: constants at the top of a file, their search hints, and equality of code.

Everything here reads and rewrites text; nothing is imported or run. Positions come from the AST,
so strings, comments and layout can't confuse it, and what isn't rewritten stays byte for byte.
The grammar is that of the running interpreter, not that of a host's own Python.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from autoresearch_kit.errors import ProposalError

Value: TypeAlias = int | float | str | bool | tuple[Any, ...]

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_NEWLINE = re.compile(rb"\r\n|\r|\n")
_TRAILING_COMMENT = re.compile(r"[ \t\f]*;?[ \t\f]*#(.*)")
_HINT = re.compile(r"\bsearch:([^;]*)")
_MAX_BITS = 1024  # 9**9**9 in a candidate must not hang the kit

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
}


@dataclass(frozen=True)
class Constant:
    """A module-level ``ALL_CAPS = literal``: its name, value, line (from 1) and search hint."""

    name: str
    value: Value
    line: int
    hint: str = ""


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`, both included; whole numbers when both are ``int``."""

    low: int | float
    high: int | float
    log: bool = False


def constants(text: str) -> dict[str, Constant]:
    """Return the constants of a Python file by name, in the order of their lines.

    A constant is ``NAME = literal`` or ``NAME: type = literal`` at module level with a name in
    capitals: a number, string, bool or tuple of these, or plain arithmetic on numbers (``2**19``,
    ``1e-3``, ``-4``, ``64 * 1024``). Chained assignments (``A = B = 3``), computed values and
    anything inside ``if``, ``try`` or a function are skipped. Of several assignments to a name
    the last one counts. A text that is no Python has no constants.
    """
    return {name: constant for name, (constant, _) in _located(text).items()}


def set_constants(text: str, values: Mapping[str, object]) -> str:
    """Return `text` with the literals of the named constants replaced, all else byte for byte.

    A constant that has the value already keeps its spelling; ``2**19`` set to another power of
    two stays in that form. Floats are written as Python does (``0.031``, ``1e-5``): round first.

    Raises
    ------
    ProposalError
        A name that is no constant of this text, or a value that has no literal (NaN, a list).
    """
    located = _located(text)
    edits: list[tuple[int, int, bytes]] = []
    body = _encoded(text) if located else b""
    for name, given in values.items():
        if name not in located:
            check_syntax("the file", text)
            raise ProposalError(
                f"There is no constant {name} to set. Expected one of: "
                f"{', '.join(located) or 'none (the file has no ALL_CAPS = literal at its top)'}."
            )
        constant, (start, end) = located[name]
        value = plain(name, given)
        if identical(value, constant.value):
            continue
        edits.append((start, end, _spelled(value, body[start:end].decode()).encode()))
    if not edits:
        return text
    for start, end, new in sorted(edits, reverse=True):
        body = body[:start] + new + body[end:]
    return _bom(text) + body.decode()


def same_code(a: str, b: str) -> bool:
    """Tell whether two Python texts differ in comments, layout or docstrings at most."""
    if a == b:
        return True
    try:
        return _normal(a) == _normal(b)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def digest(files: Mapping[str, str]) -> str:
    """Return a hash of `files` (path → text) that comments, layout and docstrings don't change."""
    parts = []
    for path, text in sorted(files.items()):
        try:
            parts.append((path, _normal(text) if path.endswith(".py") else text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            parts.append((path, text))
    return hashlib.sha256(repr(parts).encode(errors="surrogateescape")).hexdigest()[:16]


def check_syntax(path: str, text: str) -> None:
    """Raise a ProposalError with line and text if `text` can't be compiled; run nothing.

    A `path` with another ending than ``.py`` is not looked at.
    """
    if "." in path and not path.endswith(".py"):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(_without_bom(text), path, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = (error.text or "").rstrip("\r\n")
        caret = (error.offset or 1) - 1
        quoted = f"\n    {line}\n    {' ' * caret}^" if line.strip() and len(line) <= 200 else ""
        where = f" in line {error.lineno}" if error.lineno else ""
        raise ProposalError(
            f"{path} is no valid Python{where}: {error.msg}.{quoted}\n"
            "Correct that and propose again."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProposalError(
            f"{path} is no valid Python: {str(error) or type(error).__name__}. "
            "Expected UTF-8 text without null bytes that Python can compile."
        ) from None


def parse_hint(hint: str, value: Value) -> Range | tuple[Value, ...] | None:
    """Return what a search hint allows for a constant that is now `value`.

    ``"2 to 8"`` and ``"0.01 to 0.2 log"`` give a `Range`, ``"relu | gelu"`` and ``"8 | 16"`` the
    choices, ``"off"`` no choice at all (an empty tuple), and no hint ``None``. Whole numbers are
    a range of integers unless `value` is a float.

    Raises
    ------
    ProposalError
        Anything else, with the grammar in the message.
    """
    if not hint:
        return None
    if hint == "off":
        return ()
    if "|" in hint:
        options = [_choice(word.strip(), value) for word in hint.split("|")]
        if len(options) > 1 and None not in options:
            return tuple(dict.fromkeys(option for option in options if option is not None))
    elif is_number(value) and (match := re.fullmatch(r"(.+?)\s+to\s+(.+?)(\s+log)?", hint)):
        low, high = _number(match[1]), _number(match[2])
        log = match[3] is not None
        if low is not None and high is not None and low < high and not (log and low <= 0):
            whole = isinstance(value, int) and isinstance(low, int) and isinstance(high, int)
            return Range(low, high, log) if whole else Range(float(low), float(high), log)
    raise ProposalError(
        f"Can't read the hint 'search: {hint}' of a constant that is {value!r}. Expected "
        "'search: 2 to 8', 'search: 0.01 to 0.2 log' (both ends above 0), "
        "'search: relu | gelu' or 'search: off'.",
        "lasting",
    )


def parse_value(text: str) -> Value | None:
    """Return the value of one literal as `constants` would read it, or None."""
    try:
        return _literal(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def identical(a: object, b: object) -> bool:
    """Tell whether two values are equal and of one type (``1``, ``1.0`` and ``True`` differ)."""
    return type(a) is type(b) and repr(a) == repr(b)


def spell(value: object) -> str:
    """Return the literal of a value the way a person writes it: ``1e-5``, not ``1e-05``."""
    if isinstance(value, float):
        return re.sub(r"e([+-])0*(\d)", lambda m: f"e{m[1].strip('+')}{m[2]}", repr(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(spell, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def _located(text: str) -> dict[str, tuple[Constant, tuple[int, int]]]:
    """Find the constants with the byte span of each literal in the text after its BOM."""
    try:
        tree = _parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    body = _encoded(text)
    # str.splitlines would also split at form feeds and U+2028, where Python's tokeniser doesn't.
    starts = [0, *(match.end() for match in _NEWLINE.finditer(body)), len(body)]
    found: dict[str, tuple[Constant, tuple[int, int]]] = {}
    for statement in tree.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        assigned = _assigned(statement)
        if assigned is None:
            # A name that is bound anew to something computed no longer has the earlier value.
            for name in _rebound(statement):
                found.pop(name, None)
            continue
        name, node, value = assigned
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        last = (statement.end_lineno or 0) - 1
        rest = body[starts[last] + (statement.end_col_offset or 0) : starts[last + 1]].decode()
        comment = _TRAILING_COMMENT.match(rest)
        hint = _HINT.search(comment[1]) if comment else None
        found.pop(name, None)  # so that the order is that of the lines that count
        constant = Constant(name, value, statement.lineno, hint[1].strip() if hint else "")
        found[name] = constant, (start, end)
    return found


def _assigned(statement: ast.Assign | ast.AnnAssign) -> tuple[str, ast.expr, Value] | None:
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    if len(targets) != 1 or statement.value is None:
        return None
    target = targets[0]
    if not isinstance(target, ast.Name) or not _NAME.fullmatch(target.id):
        return None
    value = _literal(statement.value)
    return None if value is None else (target.id, statement.value, value)


def _rebound(statement: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    if statement.value is None:
        return
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    yield from (n.id for n in names if isinstance(n.ctx, ast.Store) and n.id not in read)


def _literal(node: ast.expr) -> Value | None:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value if isinstance(value, int | float | str) else None
    if isinstance(node, ast.Tuple):
        items = [_literal(item) for item in node.elts]
        return None if None in items else tuple(items)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _literal(node.operand)
        if is_number(operand):
            return -operand if isinstance(node.op, ast.USub) else operand
        return None
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _arithmetic(node.op, _literal(node.left), _literal(node.right))
    return None


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Value | None:
    if not is_number(left) or not is_number(right):
        return None
    if isinstance(op, ast.Pow) and isinstance(left, int) and isinstance(right, int):
        if left.bit_length() * abs(right) > _MAX_BITS:
            return None
    elif isinstance(op, ast.LShift) and not (isinstance(right, int) and 0 <= right <= _MAX_BITS):
        return None
    try:
        result = _OPERATORS[type(op)](left, right)
        return result if is_number(result) and math.isfinite(result) else None
    except (ArithmeticError, TypeError, ValueError):
        return None


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is an ``int`` or ``float``; a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> int | float | None:
    value = parse_value(text)
    return value if is_number(value) else None


def _choice(word: str, now: Value) -> Value | None:
    value = parse_value(word)
    if isinstance(now, str):  # names of functions and patterns are written without quotes
        return value if isinstance(value, str) else word or None
    if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def plain(name: str, value: Any) -> Value:
    """Return a value with NumPy's scalars as Python's.

    Raises
    ------
    ProposalError
        When it has no literal (NaN, a list); `name` is who should get it.
    """
    if hasattr(value, "item") and not isinstance(value, int | float | str | tuple):
        value = value.item()
    elif isinstance(value, float):
        value = float(value)  # np.float64 is a float whose repr is no literal
    if isinstance(value, tuple):
        return tuple(plain(name, item) for item in value)
    if isinstance(value, int | float | str) and (
        not isinstance(value, float) or math.isfinite(value)
    ):
        return value
    raise ProposalError(
        f"{name} can't be set to {value!r}. Expected a finite number, a string, a bool or a "
        "tuple of these."
    )


def _spelled(value: Value, before: str) -> str:
    """Spell a value in the style of the literal that it replaces."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        power = re.fullmatch(r"2(\s*\*\*\s*)\d+", before)
        if power and value & (value - 1) == 0:
            return f"2{power[1]}{value.bit_length() - 1}"
    spelled = spell(value)
    if isinstance(value, str) and before.startswith('"') and spelled[0] == "'" and '"' not in value:
        return f'"{spelled[1:-1]}"'
    return spelled


def _parse(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes are the candidate's affair
        return ast.parse(_without_bom(text))


@functools.lru_cache(maxsize=32)  # a proposal is compared with each open one, time and again
def _normal(text: str) -> str:
    tree = _parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
            and isinstance(node.body[0].value, ast.Constant)
            and isinstance(node.body[0].value.value, str)
        ):
            del node.body[0]
    return ast.dump(tree)


def _bom(text: str) -> str:
    return "\ufeff" if text.startswith("\ufeff") else ""


def _without_bom(text: str) -> str:
    return text.removeprefix("\ufeff")


def _encoded(text: str) -> bytes:
    return _without_bom(text).encode()
