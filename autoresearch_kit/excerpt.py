"""A function as text, and back: so that a rule from a notebook holds in any process.

The text goes into a campaign's baseline, so it must stand alone: no names from around it but a few
that whoever runs it provides.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import linecache
import symtable
import textwrap
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from autoresearch_kit.errors import CampaignError


def of(function: Callable[..., Any], provided: Iterable[str]) -> str:
    """Return the source text of a plain function of one argument.

    Parameters
    ----------
    function
        A ``def`` or a ``lambda``.
    provided
        The names that it may use besides its own and those of Python.

    Raises
    ------
    CampaignError
        When it is something else, its source is nowhere, or it uses what stands around it.
    """
    if not isinstance(function, types.FunctionType):
        raise CampaignError(
            f"{function!r:.200} is no plain function; expected a def or a lambda of one argument, "
            "so that its text can be kept with the campaign: write def rule(evidence): ..."
        )
    name = function.__name__
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise CampaignError(
            f"{name} is a coroutine or a generator; write a plain def that returns a verdict"
        )
    try:
        inspect.signature(function).bind(None)
    except TypeError as error:
        raise CampaignError(
            f"{name} can't be called with one argument ({error}); write def {name}(evidence): ..."
        ) from error
    if around := sorted({*function.__code__.co_freevars} - {name}):
        _refuse(name, around, provided)
    text = _text(function)
    if outside := sorted(_outside(text) - {*provided, name}):
        _refuse(name, outside, provided)
    return text


def function(text: str, provided: Mapping[str, Any], file: str) -> Callable[..., Any]:
    """Return the function that a text from `of` defines; `file` is what tracebacks call it.

    Raises
    ------
    SyntaxError
        When the text is no single function.
    """
    lines = text.splitlines(keepends=True)
    linecache.cache[file] = (len(text), None, lines, file)
    space = {"__name__": "autoresearch_kit.campaign_rule", **provided}
    tree = _parse(text)
    # Annotations are words for a reader: their names need not exist where the function runs.
    flags = __future__.annotations.compiler_flag
    code = compile(tree, file, _mode(tree), flags=flags, dont_inherit=True)
    if isinstance(tree, ast.Expression):
        made: Callable[..., Any] = eval(code, space)
        return made
    exec(code, space)
    defined: Callable[..., Any] = space[tree.body[0].name]  # type: ignore[attr-defined]
    return defined


def _refuse(name: str, names: Iterable[str], provided: Iterable[str]) -> None:
    ready = f" ({there} are there)" if (there := ", ".join(provided)) else ""
    raise CampaignError(
        f"{name} uses {', '.join(names)} from outside itself, which no other process has: its text "
        f"is all that is kept with the campaign. Write values into it and import inside it{ready}."
    )


def _parse(text: str) -> ast.Expression | ast.Module:
    """Return the tree of a text: an expression for a lambda, a module of one ``def``."""
    try:
        tree: ast.Expression | ast.Module = ast.parse(f"({text}\n)", mode="eval")
    except SyntaxError:
        tree = ast.parse(text)
    one = tree.body if isinstance(tree, ast.Expression) else tree.body[0] if tree.body else None
    whole = isinstance(tree, ast.Expression) or len(tree.body) == 1
    if not whole or not isinstance(one, ast.Lambda | ast.FunctionDef):
        raise SyntaxError("expected one def or one lambda, and nothing else")
    return tree


def _mode(tree: ast.Expression | ast.Module) -> str:
    return "eval" if isinstance(tree, ast.Expression) else "exec"


def _text(function: types.FunctionType) -> str:
    """Return the text of a function's own definition, without what stands around it."""
    name, code = function.__name__, function.__code__
    try:
        lines, _ = inspect.findsource(function)
        tree = ast.parse("".join(lines))
    except (OSError, SyntaxError) as error:
        raise CampaignError(
            f"the source of {name} can't be read ({error}), and its text is what is kept with the "
            "campaign; define it in a cell of a notebook or in a file"
        ) from error
    node = _node(tree, code)
    if node is None:
        raise CampaignError(
            f"the source of {name} in {code.co_filename} is another one now; run the cell or "
            "import the file that defines it again"
        )
    if isinstance(node, ast.FunctionDef) and node.decorator_list:
        raise CampaignError(f"{name} has a decorator, which its text can't take along; remove it")
    source = "".join(lines)
    text = textwrap.dedent(ast.get_source_segment(source, node, padded=True) or "").strip()
    try:
        same = ast.dump(_parse(text)) == ast.dump(_parse(ast.unparse(node)))
    except SyntaxError:
        same = False  # a string or a comment further left than the code
    return text if same else ast.unparse(node)


def _node(tree: ast.Module, code: types.CodeType) -> ast.FunctionDef | ast.Lambda | None:
    """Return the definition that a code object was compiled from: the smallest around its code."""
    starts = [  # what stands for no text, such as a lambda's return, has a width of 0
        (line, column)
        for line, _, column, end in code.co_positions()
        if line is not None and column is not None and column != end
    ]
    first = min(starts, default=(code.co_firstlineno, 0))
    last = max(starts, default=(code.co_firstlineno, 0))
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.Lambda)
        and getattr(node, "name", "<lambda>") == code.co_name
        and (node.lineno, node.col_offset) <= first
        and last <= (node.end_lineno or 0, node.end_col_offset or 0)
    ]
    return max(around, key=lambda node: (node.lineno, node.col_offset), default=None)


def _outside(text: str) -> set[str]:
    """Return the names that a function's text takes from around it, those of Python left out."""
    tree = _parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    bare = ast.unparse(tree)
    tables, found = [symtable.symtable(bare, "<rule>", _mode(tree))], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            # A module's own names are those that it defines: here, the function.
            own = table.get_type() == "module" and symbol.is_assigned()
            if symbol.is_global() and not own:
                found.add(symbol.get_name())
    return found - set(dir(builtins))
