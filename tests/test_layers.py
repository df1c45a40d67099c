"""The shape of the package: who may import whom, and what only one file may do."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autoresearch_kit

PACKAGE = Path(__file__).parents[1] / "autoresearch_kit"

# From the ground up. A module imports from its own row or from a row above it in this table
# (below it in the house), and never in a circle. A folder stands for the modules in it.
ROWS = (
    {
        "_version",
        "behalf",
        "crash",
        "endpoint",
        "errors",
        "excerpt",
        "files",
        "git",
        "goals",
        "grain",
        "keys",
        "noise",
        "paired",
        "patch",
        "program",
        "progress",
        "records",
        "render",
        "replies",
        "scan",
        "shelf",
        "source",
        "stacks",
        "standing",
        "task",
        "texts",
        "tokens",
        "traits",
        "values",
        "widgets",
    },
    {
        "account",
        "child",
        "clock",
        "curve",
        "device",
        "guard",
        "memory",
        "outcome",
        "runner",
        "sandbox",
        "scorer",
        "supervisor",
        "talk",
        "training",
        "tree",
        "workplace",
    },
    {"tasks"},
    {
        "ablations",
        "admission",
        "adoption",
        "audits",
        "campaign",
        "comparison",
        "contract",
        "decide",
        "duplicates",
        "evidence",
        "experiment",
        "intake",
        "lab",
        "ledger",
        "monitor",
        "proposal",
        "repeats",
        "results",
        "runs",
        "scratchpad",
        "seal",
        "shingles",
        "stopping",
        "succession",
        "verdicts",
    },
    {"proposers"},
    {"steps"},
    {
        "awake",
        "callables",
        "evening",
        "foreign",
        "histories",
        "nights",
        "policies",
        "shift",
        "sources",
        "spare",
        "supply",
        "tally",
        "transfers",
        "tunings",
    },
    {"replays", "stats"},
    {
        "blames",
        "comparisons",
        "dashboards",
        "display",
        "explorer",
        "exports",
        "lineage",
        "pages",
        "plots",
        "remotes",
        "reviews",
        "winners",
    },
    {"reports"},
    {"terminal", "named", "lookups", "commands", "cli", "__main__"},
    {"__init__"},
)
LONGEST = 420  # lines of a file

LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}

SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if "template" not in p.parts)
MODULES = {p.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): p for p in SOURCES}


def kit_imports(name: str, *, for_types: bool = True) -> set[str]:
    """Modules of the kit that `name` imports anywhere, also inside functions."""
    tree = ast.parse(MODULES[name].read_text())
    found: set[str] = set()
    for node in walk(tree, for_types=for_types):
        if isinstance(node, ast.Import):
            found |= {module_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}, line {node.lineno}: import by the full name"
            found |= {module_of(f"{node.module}.{alias.name}") for alias in node.names}
    return found - {name, ""}


def module_of(dotted: str) -> str:
    """Return the kit's module that a dotted name is, or lies in; "" when it is another's."""
    package, _, inside = dotted.partition(".")
    if package != "autoresearch_kit":
        return ""
    outside, _, _ = inside.rpartition(".")
    names = (inside, f"{inside}.__init__", outside, f"{outside}.__init__".lstrip("."))
    return next((name for name in names if name in MODULES), "")


def walk(tree: ast.AST, *, for_types: bool) -> Iterator[ast.AST]:
    """Like `ast.walk`, with or without what stands under ``if TYPE_CHECKING``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        only_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if for_types or not only_types:
            yield from walk(child, for_types=for_types)


def row_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_down(name: str):
    assert row_of(name) in LEVEL, f"{name} has no place in ROWS yet"
    level = LEVEL[row_of(name)]
    upward = {i for i in kit_imports(name) if LEVEL.get(row_of(i), level) > level}
    assert not upward, f"{name} imports {sorted(upward)}, which stand above it"


def test_imports_make_no_circle():
    names = MODULES.keys() - {"__init__"}
    graph = {name: kit_imports(name, for_types=False) for name in names}
    graphlib.TopologicalSorter(graph).prepare()


def test_a_task_builds_on_another_by_its_public_names_alone():
    for name in MODULES:
        if name.startswith("tasks."):
            own = name.split(".")[1]
            for node in ast.walk(ast.parse(MODULES[name].read_text())):
                if isinstance(node, ast.ImportFrom):
                    others = module_of(f"{node.module}.{node.names[0].name}").split(".")
                    private = [alias.name for alias in node.names if alias.name.startswith("_")]
                    if others[0] == "tasks" and others[1:2] != [own]:
                        assert not private, f"{name} imports {private} of {others[1]}"


def test_the_supervisor_loads_the_standard_library_and_psutil_alone():
    """One starts with every run, beside the process that it times."""
    code = "import sys, autoresearch_kit.supervisor; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    # An environment's .pth files load what they like into every process.
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    before = {name.partition(".")[0] for name in bare.stdout.split()}
    assert loaded - before - sys.stdlib_module_names <= {"autoresearch_kit", "psutil"}


def test_public_names_are_never_hidden_by_a_submodule():
    """Importing ``autoresearch_kit.x`` binds ``x`` in the package, over a function of the name."""
    functions = set(autoresearch_kit.__all__) - {
        "errors",
        "plots",
        "policies",
        "stats",
        "__version__",
    }
    assert not functions & MODULES.keys()
    code = f"""
import autoresearch_kit as ark
ark.show, ark.plots, ark.score, ark.propose
assert all(callable(getattr(ark, name)) for name in {functions})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_importing_the_kit_loads_nothing_big():
    code = "import sys, autoresearch_kit; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert not {"torch", "numpy", "pandas", "optuna", "matplotlib"} & set(done.stdout.split())


@pytest.mark.parametrize("name", [name for name in MODULES if name != "git.process"])
def test_only_one_file_runs_git(name: str):
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.List | ast.Tuple) and node.elts:
            first = node.elts[0]
            runs_git = isinstance(first, ast.Constant) and first.value == "git"
            assert not runs_git, f"{name}, line {node.lineno}: goes through autoresearch_kit.git"


@pytest.mark.parametrize(
    ("package", "owner"),
    [("openai", "endpoint.__init__"), ("anywidget", "widgets"), ("ipywidgets", "widgets")],
)
def test_one_file_owns_each_outside_world(package: str, owner: str):
    importers = {
        name
        for name in MODULES
        for node in ast.walk(ast.parse(MODULES[name].read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and package
        in {(getattr(node, "module", "") or "").partition(".")[0]}
        | {alias.name.partition(".")[0] for alias in node.names}
    }
    assert importers <= {owner}


def test_the_kit_outside_a_tasks_folder_does_not_name_the_task():
    tasks = [p for p in (PACKAGE / "tasks").iterdir() if (p / "__init__.py").exists()]
    names = {path.name for path in tasks}
    words = {f"tasks.{name}" for name in names} | {"val_bpb", "bits/byte"}
    words |= {name for name in names if "_" in name}
    for name, path in MODULES.items():
        if name.startswith("tasks."):
            continue
        code = code_only(path.read_text())
        # Another thing may have the name too (a notebook's kernel), in a line about no task.
        lines = [line for line in code.splitlines() if "task" in line.lower()]
        named = {word for word in words if word in code}
        named |= {each for each in names for line in lines if f"'{each}'" in line}
        assert not named, f"{name} names {named}; that belongs into tasks/"


def code_only(text: str) -> str:
    """The code without comments and docstrings, where a task may serve as an example."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
        # What the repository that the kit descends from prescribes in words is a host, no task.
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORIGINAL":
            node.value = ast.Constant(None)
    return ast.unparse(tree)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_a_file_can_be_read_in_one_sitting(path: Path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST
