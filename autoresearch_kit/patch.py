"""A static look at a patch: what it touches, and what a person should look at twice.

Everything here reads text; nothing is imported or run, and no text is too odd for it. `old` and
`new` map paths to texts; `new` holds the files that change.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from autoresearch_kit import scan, source
from autoresearch_kit import values as tunable

MAX_PATCH = 20_000
"""Bytes in the lines that a patch adds beyond which nobody reads it in full."""

KINDS = {
    "outside": "a file that may not change does",
    "syntax": "text that Python can't read, so that nothing in it is checked",
    "size": "more text than anybody reads with care",
    "seed": "nothing but the seed changes",
    "dynamic": "code that is made, unpacked or found at run time",
    "literal": "data in the source",
    "network": "names of the network",
    "paths": "a path outside of the experiment's folder is opened",
    "imports": "modules that reach further than the experiment",
    "files": "files are opened",
    "clock": "other modules' attributes are replaced, the clock's among them",
    "deleted": "most of a file goes",
}
"""Every kind of `Concern`, and what it is about."""

_SEED_WORD = re.compile("seed|random|rng", re.IGNORECASE)  # saves most patches a longer look
LONGEST = 60  # characters of a constant's value
_CONTEXT = 3  # lines around a change, as git and difflib have it


@dataclass(frozen=True)
class Concern:
    """Something in a patch that a person should look at: one of `KINDS` and one sentence.

    `admission` says which kinds can't become an experiment and which are only shown.
    """

    kind: str
    text: str


def touches(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return what a patch changes, in a few words each.

    Constants first (``LR 0.04 → 0.02``), then functions and classes (``GPT.forward() changed``),
    imports, and the rest: code outside functions, and files that are no Python by their lines.
    With several files each item names its own.
    """
    found: list[tuple[int, str]] = []
    changed = _changed(old, new)
    for path, before, after in changed:
        prefix = f"{path}: " if len(changed) > 1 else ""
        try:
            items = _items(before, after) if path.endswith(".py") else _values(path, before, after)
        except scan.UNREADABLE:
            items = []
        if not items:
            added, removed = _count(hunks(before, after))
            items, prefix = [(3, f"{path}: +{added} −{removed} lines")], ""
        found += [(place, prefix + words) for place, words in items]
    return [words for _, words in sorted(found, key=lambda item: item[0])]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return which constants got another value, came or went, by name → value of both texts."""
    both = [name for name in new if name in old and not source.identical(old[name], new[name])]
    return [
        *(f"{name} {' → '.join(_spell_both(old[name], new[name]))}" for name in both),
        *(f"{name} = {_spell(new[name])} (new)" for name in new if name not in old),
        *(f"{name} (gone)" for name in old if name not in new),
    ]


def warnings(
    old: Mapping[str, str], new: Mapping[str, str], edit: Collection[str]
) -> list[Concern]:
    """Return what a person should look at twice before approving a patch.

    Only what the patch adds counts: what the old text does already is no warning.

    Parameters
    ----------
    edit
        The paths that a proposal may change.
    """
    found: list[Concern] = []
    changed = _changed(old, new)
    size = 0
    seeds = True
    for path, before, after in changed:
        parts = hunks(before, after)
        seeds = seeds and all(any(map(_SEED_WORD.search, part)) for part in parts)
        plus = [x[1:] for part in parts for x in part if x[0] == "+"]
        size += sum(len(line.encode("utf-8", "surrogatepass")) for line in plus)
        added, removed = _count(parts)
        total = len(before.splitlines())
        if path not in edit:
            allowed = ", ".join(edit) or "no file"
            found.append(Concern("outside", f"{path} changes, where only {allowed} may change."))
        if 2 * (removed - added) > total:
            words = f"{path} loses {removed - added} of its {total} lines: see what goes with them."
            found.append(Concern("deleted", words))
        if path.endswith(".py"):
            found += _concerns(path, before, after)
    if size > MAX_PATCH:
        words = f"The patch adds {size:,} bytes, above {MAX_PATCH:,}: too much to read with care."
        found.append(Concern("size", words))
    if seeds and _only_seeds(changed):
        names = " and ".join(path for path, _, _ in changed)
        words = f"The patch changes nothing but the seed in {names}: what it gains is luck."
        found.append(Concern("seed", words))
    return found


def hunks(old: str, new: str) -> list[tuple[str, ...]]:
    """Return the hunks of a text's change: lines with ``-``, ``+`` or a space before them."""
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    found = []
    for group in difflib.SequenceMatcher(None, a, b).get_grouped_opcodes(_CONTEXT):
        hunk: list[str] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                hunk += [f" {line}" for line in a[i1:i2]]
            else:
                hunk += [f"-{line}" for line in a[i1:i2]] + [f"+{line}" for line in b[j1:j2]]
        found.append(tuple(hunk))
    return found


def same_hunks(old_a: str, new_a: str, old_b: str, new_b: str) -> bool:
    """Tell whether two changes remove and add the same lines in the same surroundings.

    That is what a re-base has to leave alone for an approval to survive it: the changed lines,
    the three lines of context around each, and their order. Line numbers may differ.
    """
    return hunks(old_a, new_a) == hunks(old_b, new_b)


def unified(path: str, old: str, new: str) -> str:
    """Return the change of one file as a unified diff, as git writes it."""
    parts = []
    for line in difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    ):
        parts.append(line)
        if not line.endswith("\n"):
            parts.append("\n\\ No newline at end of file\n")
    return "".join(parts)


def lines(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[int, int]:
    """Return how many lines a patch adds and removes."""
    counts = [_count(hunks(before, after)) for _, before, after in _changed(old, new)]
    return sum(added for added, _ in counts), sum(removed for _, removed in counts)


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(p, old.get(p, ""), text) for p, text in new.items() if text != old.get(p, "")]


def _count(parts: Sequence[Sequence[str]]) -> tuple[int, int]:
    signs = [line[0] for part in parts for line in part]
    return signs.count("+"), signs.count("-")


def _spell(value: object) -> str:
    return _cut(source.spell(value), LONGEST)


def _spell_both(old: object, new: object) -> tuple[str, str]:
    return apart(source.spell(old), source.spell(new), LONGEST)


def apart(old: str, new: str, most: int) -> tuple[str, str]:
    """Return two texts of at most `most` characters, cut so that it is seen where they differ."""
    if max(len(old), len(new)) > most:
        pairs = enumerate(zip(old, new, strict=False))
        same = next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))
        if same > most // 2:
            old, new = (f"…{text[same - most // 4 :]}" for text in (old, new))
    return _cut(old, most), _cut(new, most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _concerns(path: str, before: str, after: str) -> list[Concern]:
    earlier, _ = scan.findings(before)
    seen = {(finding.kind, finding.key) for finding in earlier}
    there = Counter(leaf for f in earlier if f.kind == "literal" for leaf in _leaves(f))
    found, error = scan.findings(after)
    concerns = []
    if error is not None:
        line = getattr(error, "lineno", None)
        where = f"{path} line {line}" if line else path
        why = getattr(error, "msg", "") or str(error) or type(error).__name__
        words = f"{where} can't be read as Python, so the file is unchecked: {why}."
        concerns.append(Concern("syntax", words))
    for finding in sorted(found, key=lambda finding: finding.line):
        if finding.kind == "literal":  # a number that changes in a long table is no new table
            more = Counter(_leaves(finding)) - there
            if sum(scan.weight(value) * n for (_, value), n in more.items()) <= scan.MAX_LITERAL:
                continue
        if (finding.kind, finding.key) not in seen:
            seen.add((finding.kind, finding.key))
            words = f"{path} line {finding.line} {finding.words}."
            concerns.append(Concern(finding.kind, words))
    return concerns


def _leaves(finding: scan.Finding) -> tuple[Any, ...]:
    """Return the constants of a literal, each with its type."""
    return finding.key if isinstance(finding.key, tuple) else ()


def _only_seeds(changed: Sequence[tuple[str, str, str]]) -> bool:
    differ = False
    try:
        for path, before, after in changed:
            if path.endswith(".py"):
                (code, seeds), (new_code, new_seeds) = scan.unseeded(before), scan.unseeded(after)
                same, other = code == new_code, seeds != new_seeds
            else:
                values = tunable.only_changes(path, before, after)
                same = other = bool(values) and all(map(_names_seed, values))
            if not same:
                return False
            differ |= other
    except scan.UNREADABLE:
        return False
    return differ


def _names_seed(name: str) -> bool:
    return scan.is_seed(name.rpartition(".")[2])


class _Definition(NamedTuple):
    owner: str  # the label of the class that a method stands in
    code: str


class _Outline(NamedTuple):
    values: dict[str, source.Value]
    definitions: dict[str, _Definition]  # by label, as a person would name them
    imports: list[str]
    rest: list[str]


def _items(before: str, after: str) -> list[tuple[int, str]]:
    """Return what changes from one Python text to another, each with its place in the order."""
    old, new = _outline(before), _outline(after)
    items = [(0, words) for words in differences(old.values, new.values)]
    # A class that comes or goes as a whole is one item, whatever is in it.
    for name, definition in new.definitions.items():
        if name not in old.definitions:
            if not definition.owner or definition.owner in old.definitions:
                items.append((1, f"{name} added"))
        elif definition.code != old.definitions[name].code:
            items.append((1, f"{name} changed"))
    for name, definition in old.definitions.items():
        there = not definition.owner or definition.owner in new.definitions
        if name not in new.definitions and there:
            items.append((1, f"{name} removed"))
    items += [(2, f"imports {name}") for name in new.imports if name not in old.imports]
    items += [(2, f"no longer imports {name}") for name in old.imports if name not in new.imports]
    if old.rest == new.rest and not items and source.same_code(before, after):
        return [(3, "comments, docstrings or layout")]
    if old.rest != new.rest or not items:  # the order alone may have changed
        items.append((3, "code outside functions changed"))
    return items


def _values(path: str, before: str, after: str) -> list[tuple[int, str]]:
    """Return which values of a file that is no Python changed, if nothing else did."""
    new = tunable.only_changes(path, before, after)
    old = {name: constant.value for name, constant in tunable.constants(path, before).items()}
    return [(0, words) for words in differences({name: old[name] for name in new}, new)]


def _outline(text: str) -> _Outline:
    tree = scan.parse(text)
    nodes = list(ast.walk(tree))
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not scan.is_text(s)]  # type: ignore[attr-defined]
    constants = source.constants(text)
    definitions: dict[str, _Definition] = {}
    rest = [
        ast.dump(statement)
        for statement in _split(tree.body, "", "", definitions)
        if not isinstance(statement, ast.Import | ast.ImportFrom)
        and not _defines(statement, constants)
    ]
    imports = [item.label for node in nodes for item in scan.imports(node)]
    values = {name: constant.value for name, constant in constants.items()}
    return _Outline(values, definitions, list(dict.fromkeys(imports)), rest)


def _defines(statement: ast.stmt, constants: Mapping[str, source.Constant]) -> bool:
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return False
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    name = target.id if isinstance(target, ast.Name) else ""
    return name in constants and constants[name].line == statement.lineno


def _split(
    body: Sequence[ast.stmt], prefix: str, owner: str, found: dict[str, _Definition]
) -> list[ast.stmt]:
    """Add the functions and classes of a block to `found`, and return its other statements."""
    others = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            label = f"{prefix}{node.name}()"
        elif isinstance(node, ast.ClassDef):
            label = f"class {prefix}{node.name}"
            found.setdefault(label, _Definition(owner, ""))  # a class stands before its methods
            node.body = _split(node.body, f"{prefix}{node.name}.", label, found)
        else:
            others.append(node)
            continue
        earlier = found.get(label, _Definition(owner, ""))  # a property has several of one name
        found[label] = _Definition(owner, earlier.code + ast.dump(node))
    return others
