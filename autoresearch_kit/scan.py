"""What a Python text does that a reviewer should know of: read from its syntax, never run.

A help for the eye and no wall: code that means to hide something can. What it imports, opens,
decodes, replaces or carries with it is found where it is written plainly.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

MAX_LITERAL = 1_000
"""Bytes of a literal beyond which it may be data rather than code."""

UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser raises for text that is no Python, or is nested too deeply."""

_REASONS = {
    ("imports", "it reaches files, programs and settings beyond the experiment"): (
        "os posix shutil mmap fcntl"
    ),
    ("imports", "what it starts may go on outside the budget"): (
        "subprocess multiprocessing threading _thread concurrent asyncio pty"
    ),
    ("network", "an experiment has no network"): (
        "socket ssl requests urllib urllib3 http httpx aiohttp ftplib smtplib xmlrpc "
        "huggingface_hub"
    ),
    ("imports", "it can get in the way of how the kit stops a run"): "signal atexit",
    ("dynamic", "it loads code that can't be read here"): (
        "pickle dill cloudpickle marshal shelve importlib runpy code codeop zipimport"
    ),
    ("imports", "it runs native code past every check"): "ctypes cffi",
    ("imports", "it can look into other code, or replace it"): "builtins inspect gc sys",
}
_WATCHED = {name: reason for reason, names in _REASONS.items() for name in names.split()}
_MAKERS = {"exec", "eval", "compile", "__import__"}
_DECODERS = {
    *(f"base64.{kind}decode" for kind in ("b64", "b32", "b16", "b85", "a85", "urlsafe_b64")),
    *("base64.decodebytes", "binascii.unhexlify", "binascii.a2b_base64", "codecs.decode"),
    *(f"{name}.decompress" for name in ("zlib", "gzip", "bz2", "lzma")),
    *(
        f"{name}.load{s}"
        for name in ("marshal", "pickle", "dill", "cloudpickle")
        for s in ("", "s")
    ),
    *("pickle.Unpickler", "importlib.import_module", "runpy.run_path", "runpy.run_module"),
    *("types.CodeType", "types.FunctionType"),
}
_BACK_DOORS = {
    *("__builtins__", "__code__", "__doc__", "__file__", "__globals__", "__loader__"),
    *("__spec__", "__subclasses__"),
}
_OPENERS = {
    *("open", "io.open", "os.open", "codecs.open", "glob.glob", "glob.iglob"),
    *("torch.load", "torch.save", "safetensors.torch.load_file", "safetensors.torch.save_file"),
    *(f"numpy.{name}" for name in ("load", "save", "savez", "memmap", "fromfile", "loadtxt")),
    *(f"mlx.core.{name}" for name in ("load", "save", "savez", "save_safetensors", "save_gguf")),
    *("mlx.core.import_function", "mlx.core.export_function"),
}
_FILE_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "rglob"}
_SEEDERS = {
    *("seed", "seed_all", "manual_seed", "manual_seed_all", "set_seed", "seed_everything"),
    *("default_rng", "RandomState", "SeedSequence", "Random", "PRNGKey"),
}
_SEEDED = {"random", "numpy", "torch", "mlx"}  # to import them is part of seeding them


class Finding(NamedTuple):
    """Something of note: its `kind` (see `patch.Concern`), what it is, its line, and words.

    The `key` is the same wherever in a text it stands, so that two texts can be compared.
    """

    kind: str
    key: Hashable
    line: int
    words: str


class Import(NamedTuple):
    """An import as a person would name it, the name it binds, and what that stands for."""

    label: str
    local: str
    origin: str


def parse(text: str) -> ast.Module:
    """Return the syntax tree of a Python text; raises one of `UNREADABLE`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes are the candidate's affair
        return ast.parse(text.removeprefix("\ufeff"))


def is_text(statement: ast.stmt) -> bool:
    """Tell whether a statement is a string alone: a docstring, or a comment in quotes."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def imports(node: ast.AST) -> Iterator[Import]:
    """Yield what a node imports; nothing for one that is no import statement."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if alias.asname:
                yield Import(f"{alias.name} as {alias.asname}", alias.asname, alias.name)
            else:
                yield Import(alias.name, root, root)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (f"{node.module}." if node.module else "")
        for alias in node.names:
            name = module + alias.name
            label = f"{name} as {alias.asname}" if alias.asname else name
            yield Import(label, alias.asname or alias.name, name)


def findings(text: str) -> tuple[list[Finding], Exception | None]:
    """Return what a Python text does of note, and the error that ended the look too early."""
    found: list[Finding] = []
    try:
        for finding in _look(text):
            found.append(finding)  # noqa: PERF402 - what was found before an error stays
    except UNREADABLE as error:
        return found, error
    return found, None


def unseeded(text: str) -> tuple[str, list[str]]:
    """Return the code without what seeds it, and what that was; raises one of `UNREADABLE`."""
    tree = parse(text)
    seeds: list[str] = []
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                seeds += [ast.dump(s) for s in block if _seeds(s)]
                kept = [s for s in block if not (_seeds(s) or is_text(s) or _imports_seeded(s))]
                setattr(node, field, kept)
        if isinstance(node, ast.Call) and _last(node.func) in _SEEDERS:
            seeds += [ast.dump(part) for part in (*node.args, *node.keywords)]
            node.args, node.keywords = [], []
        elif isinstance(node, ast.keyword) and is_seed(node.arg or ""):
            seeds.append(ast.dump(node.value))
            node.value = ast.Constant(None)
    return ast.dump(tree), seeds


def _look(text: str) -> Iterator[Finding]:
    nodes = list(ast.walk(parse(text)))
    origins: dict[str, str] = {}
    own = set()  # functions and settings of the file that bear the name of a built-in
    for node in nodes:
        for item in imports(node):
            origins[item.local] = item.origin
            root = item.origin.partition(".")[0]
            if root in _WATCHED:
                kind, why = _WATCHED[root]
                words = f"imports {root}: {why}"
                yield Finding(kind, root, getattr(node, "lineno", 0), words)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    yield from _literals(nodes, prose)
    makers = _MAKERS - own - origins.keys()
    called: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Call):
            yield from _call(node, origins, makers)
            called.add(id(node.func))
        elif isinstance(node, ast.Constant) and id(node) not in prose:
            if isinstance(node.value, str) and "://" in node.value[:12]:
                words = f"names {_quote(node.value)}: an experiment has no network"
                yield Finding("network", node.value, node.lineno, words)
        elif isinstance(node, ast.Attribute | ast.Name | ast.Subscript):
            yield from _name(node, origins, set() if id(node) in called else makers)


def _literals(nodes: Sequence[ast.AST], prose: Collection[int]) -> Iterator[Finding]:
    sizes: dict[int, int] = {}
    together = ast.List | ast.Tuple | ast.Set | ast.Dict | ast.BinOp | ast.UnaryOp | ast.JoinedStr
    for node in reversed(nodes):  # children before parents
        if isinstance(node, ast.Constant) and id(node) not in prose:
            sizes[id(node)] = weight(node.value)
        elif isinstance(node, together):
            sizes[id(node)] = sum(sizes.get(id(c), 0) for c in ast.iter_child_nodes(node))
    inside: set[int] = set()
    for node in nodes:
        size = sizes.get(id(node), 0)
        if size > MAX_LITERAL and id(node) not in inside:
            parts = list(ast.walk(node))
            inside |= {id(part) for part in parts}
            leaves = [part.value for part in parts if isinstance(part, ast.Constant)]
            key = tuple((type(value), value) for value in leaves)
            words = f"holds a literal of about {size:,} bytes: data or weights can hide in it"
            yield Finding("literal", key, getattr(node, "lineno", 0), words)


def weight(value: object) -> int:
    """Return about how many bytes a constant takes in the source."""
    if isinstance(value, str):
        return len(value.encode("utf-8", errors="surrogatepass"))
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, int):  # never spelt out: Python refuses to print very long ones
        return value.bit_length() * 3 // 10 + 3
    return len(repr(value)) + 2


def _call(node: ast.Call, origins: Mapping[str, str], makers: Collection[str]) -> Iterator[Finding]:
    name, imported = _dotted(node.func, origins)
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name in makers or (imported and name.removeprefix("builtins.") in _MAKERS):
        words = f"calls {name}(): code that is made at run time can't be read here"
        yield Finding("dynamic", ast.unparse(node), node.lineno, words)
    elif name in _DECODERS or method == "fromhex":
        words = f"calls {name or method}(): what it unpacks can't be read here"
        yield Finding("dynamic", ast.unparse(node), node.lineno, words)
    elif name in _OPENERS or name.startswith("pathlib.") or method in _FILE_METHODS:
        yield from _file(node, name, method)
    elif name in ("setattr", "delattr") and node.args:
        base, imported = _dotted(node.args[0], origins)
        if imported:
            yield _replaced(f"{base} by {name}()", node)


def _file(node: ast.Call, name: str, method: str) -> Iterator[Finding]:
    # A method of a path has its path before the dot, and other things as its arguments.
    first = node.args[0] if name and node.args else None
    if isinstance(first, ast.JoinedStr) and first.values:
        first = first.values[0]
    value = first.value if isinstance(first, ast.Constant) else None
    path = value.decode(errors="replace") if isinstance(value, bytes) else value
    if isinstance(path, str) and _is_outside(path):
        words = f"names {_quote(path)}: it lies outside the experiment's folder"
        yield Finding("paths", path, node.lineno, words)
    elif not name.startswith("pathlib."):
        what = _quote(path) if isinstance(path, str) else "a file"
        words = f"opens {what} by {name or method}(): see what it reads or leaves behind"
        yield Finding("files", ast.unparse(node), node.lineno, words)


def _is_outside(path: str) -> bool:
    rooted = path[:1] in ("/", "\\", "~") or path[1:2] == ":"
    return bool(path) and (rooted or ".." in path.replace("\\", "/").split("/"))


def _name(
    node: ast.Attribute | ast.Name | ast.Subscript,
    origins: Mapping[str, str],
    makers: Collection[str],
) -> Iterator[Finding]:
    if isinstance(node.ctx, ast.Load):
        name = getattr(node, "id", "") or getattr(node, "attr", "")
        if name in _BACK_DOORS or (isinstance(node, ast.Name) and name in makers):
            words = f"uses {name}: it leads past the code that can be read here"
            yield Finding("dynamic", name, node.lineno, words)
    elif not isinstance(node, ast.Name):
        base, imported = _dotted(node.value, origins)
        # These are there to be set, and training scripts do it.
        within = f"{base}."
        settings = within.startswith(("torch.backends.", "os.environ.")) or ".config." in within
        if imported and not settings:
            name = f"{base}.{node.attr}" if isinstance(node, ast.Attribute) else f"{base}[…]"
            yield _replaced(name, node)


def _replaced(name: str, node: ast.expr) -> Finding:
    timed = name.startswith("time.") or "clock" in name.lower()
    why = "the budget is told by the clock" if timed else "other code counts on it as it was"
    return Finding("clock", name, node.lineno, f"replaces {name}: {why}")


def _dotted(node: ast.expr, origins: Mapping[str, str]) -> tuple[str, bool]:
    """Return what a name such as ``np.random.seed`` stands for, and whether it was imported."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or (names and node.id not in origins):
        return "", False
    return ".".join([origins.get(node.id, node.id), *reversed(names)]), node.id in origins


def _quote(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def _seeds(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Assign):
        return all(is_seed(_last(target)) for target in statement.targets)
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        return is_seed(_last(statement.target))
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Call) and _last(value.func) in _SEEDERS


def _imports_seeded(statement: ast.stmt) -> bool:
    found = list(imports(statement))
    return bool(found) and all(item.origin.partition(".")[0] in _SEEDED for item in found)


def is_seed(name: str) -> bool:
    """Tell whether a setting of this name is the seed of a random generator."""
    return name.lower() in ("seed", "random_state") or name.lower().endswith("_seed")


def _last(node: ast.expr) -> str:
    """Return the last word of a name, an attribute or ``x["word"]``."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value) if isinstance(node.slice.value, str) else ""
    return str(getattr(node, "id", "") or getattr(node, "attr", ""))
