"""A static look at a patch: what it touches, what to look at twice, and whether hunks moved."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoresearch_kit import patch

BASE = '''\
"""A small model."""
import time

import numpy as np
import torch
from torch import nn

LR = 0.04
DEPTH = 4  # layers
BETAS = (0.8, 0.95)
SEED = 3


def norm(x):
    """Scale to one."""
    return x / x.norm()


class GPT(nn.Module):
    """Layers on layers."""

    width = 128

    def forward(self, x):
        return norm(x)

    def loss(self, x):
        return self(x).mean()


torch.manual_seed(SEED)
model = GPT()
for step in range(10):
    model.loss(step)
'''

LINE = BASE[: BASE.index("model = GPT()")].count("\n") + 1


def touched(*changes: tuple[str, str], base: str = BASE) -> list[str]:
    return patch.touches({"train.py": base}, {"train.py": edited(*changes, base=base)})


def warned(*changes: tuple[str, str], base: str = BASE) -> list[tuple[str, str]]:
    new = {"train.py": edited(*changes, base=base)}
    return [(c.kind, c.text) for c in patch.warnings({"train.py": base}, new, ["train.py"])]


def kinds(*changes: tuple[str, str], base: str = BASE) -> list[str]:
    return [kind for kind, _ in warned(*changes, base=base)]


def edited(*changes: tuple[str, str], base: str) -> str:
    for old, new in changes:
        assert old in base
        base = base.replace(old, new, 1)
    return base


def before_model(code: str) -> tuple[str, str]:
    """A change that adds `code` to BASE at `LINE`."""
    return "model = GPT()\n", f"{code}\nmodel = GPT()\n"


# What it touches


def test_constants_show_both_values_and_what_came_and_went():
    assert touched(("LR = 0.04", "LR = 1e-3")) == ["LR 0.04 → 0.001"]
    assert touched(("DEPTH = 4", "DEPTH = 4.0")) == ["DEPTH 4 → 4.0"]
    assert touched(("DEPTH = 4  # layers", "HEADS = 2")) == ["HEADS = 2 (new)", "DEPTH (gone)"]
    assert touched(("(0.8, 0.95)", "(0.8, 0.99)")) == ["BETAS (0.8, 0.95) → (0.8, 0.99)"]


def test_functions_methods_and_classes_have_their_full_names():
    assert touched(("x / x.norm()", "x")) == ["norm() changed"]
    assert touched(("return norm(x)", "return x")) == ["GPT.forward() changed"]
    assert touched(("width = 128", "width = 64")) == ["class GPT changed"]
    assert touched(("def loss", "def cost")) == [
        "GPT.cost() added",
        "GPT.loss() removed",
    ]


def test_a_new_class_is_one_item_whatever_it_holds():
    block = "class Block:\n    def forward(self):\n        return 1\n\n\nclass GPT("
    assert touched(("class GPT(", block)) == ["class Block added"]
    with_block = edited(("class GPT(", block), base=BASE)
    assert touched((block, "class GPT("), base=with_block) == ["class Block removed"]


def test_a_setter_counts_beside_the_getter_of_its_name():
    base = (
        "class A:\n    @property\n    def x(self): return 1\n"
        "    @x.setter\n    def x(self, v): self.y = v\n"
    )
    assert touched(("self.y = v", "self.z = v"), base=base) == ["A.x() changed"]
    assert touched(("return 1", "return 2"), base=base) == ["A.x() changed"]


def test_classes_inside_classes_have_their_full_names_too():
    base = "class A:\n    class B:\n        class C:\n            def f(self): return 1\n"
    assert touched(("return 1", "return 2"), base=base) == ["A.B.C.f() changed"]
    assert touched(("class C:", "class C(int):"), base=base) == ["class A.B.C changed"]


def test_imports_are_named_as_they_are_written():
    assert touched(("import time\n", "import os.path\n")) == [
        "imports os.path",
        "no longer imports time",
    ]
    assert touched(("from torch import nn", "from torch import nn, optim as o")) == [
        "imports torch.optim as o"
    ]


def test_constants_come_first_then_functions_imports_and_the_rest():
    changes = [
        ("range(10)", "range(20)"),
        ("import time", "import math"),
        ("x / x.norm()", "x"),
        ("LR = 0.04", "LR = 0.02"),
    ]
    assert touched(*changes) == [
        "LR 0.04 → 0.02",
        "norm() changed",
        "imports math",
        "no longer imports time",
        "code outside functions changed",
    ]


@pytest.mark.parametrize(
    "change",
    [
        ("# layers", "# more layers"),
        ("Scale to one.", "Scale to unit length."),
        ("A small model.", "A model."),
        ("LR = 0.04", "LR  =  0.04"),
    ],
)
def test_comments_docstrings_and_layout_are_said_to_be_just_that(change: tuple[str, str]):
    assert touched(change) == ["comments, docstrings or layout"]


def test_a_docstring_that_changes_with_other_things_is_no_item():
    assert touched(("Scale to one.", "Scale."), ("LR = 0.04", "LR = 0.02")) == ["LR 0.04 → 0.02"]


def test_statements_in_another_order_are_a_change():
    base = "def f():\n    return 1\n\n\ndef f2():\n    return 2\n"
    new = "def f2():\n    return 2\n\n\ndef f():\n    return 1\n"
    found = patch.touches({"a.py": base}, {"a.py": new})
    assert found == ["code outside functions changed"]


def test_several_files_are_told_apart_and_other_files_counted_by_lines():
    old = {"train.py": BASE, "notes.md": "a\nb\n", "same.py": "x = 1\n"}
    new = {
        "notes.md": "a\nc\nd\n",
        "train.py": BASE.replace("LR = 0.04", "LR = 0.02"),
        "same.py": "x = 1\n",
    }
    assert patch.touches(old, new) == ["train.py: LR 0.04 → 0.02", "notes.md: +2 −1 lines"]
    assert patch.lines(old, new) == (3, 2)


def test_text_that_is_no_python_is_counted_by_lines():
    assert touched(("LR = 0.04", "LR = = 0.04")) == ["train.py: +1 −1 lines"]


def test_a_long_value_is_cut():
    (item,) = touched(("LR = 0.04", f"LR = {'x' * 500!r}"))
    assert len(item) < 100
    assert item.endswith("…")


# What to look at twice


def test_a_small_clean_patch_raises_no_warning():
    assert warned(("LR = 0.04", "LR = 0.02"), ("x / x.norm()", "x * x.norm()")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import os",
        "import os.path as p",
        "from subprocess import run",
        "import socket",
        "import urllib.request",
        "from pickle import loads",
        "def f():\n    import ctypes",
    ],
)
def test_new_imports_that_reach_far_are_warnings(code: str):
    words = {"socket": "network", "urllib": "network", "pickle": "dynamic"}
    words |= dict.fromkeys(("os", "subprocess", "ctypes"), "imports")
    module = next(word for word in words if word in code)
    ((kind, text),) = warned(before_model(code))
    assert kind == words[module]
    line = LINE + code.count("\n")
    assert text.startswith(f"train.py line {line} imports {module}: ")


@pytest.mark.parametrize("code", ["import math", "from torch import optim", "from .os import x"])
def test_other_imports_are_none(code: str):
    assert warned(before_model(code)) == []


@pytest.mark.parametrize(
    "code",
    [
        "exec(text)",
        "eval('1')",
        "x = compile('1', '', 'eval')",
        "__import__('os')",
        "run = exec",
        "import base64\nx = base64.b64decode('aGk=')",
        "from zlib import decompress as d\nx = d(b'x')",
        "x = bytes.fromhex('00')",
        "x = norm.__globals__",
        "x = object.__subclasses__()",
        "x = open_me(__file__)",
    ],
)
def test_code_that_is_made_or_unpacked_at_run_time_is_a_warning(code: str):
    assert kinds(before_model(code)) == ["dynamic"]


@pytest.mark.parametrize(
    "code",
    [
        "model = torch.compile(model)",
        "import re\nx = re.compile('a')",
        "model.eval()",
        "compile = True\nif compile:\n    x = 1",
        "def eval(x):\n    return x\n\n\neval(model)",
        "from torch import compile\nx = compile(model)",
        "from torch import compile\nx = compile",
    ],
)
def test_names_that_only_look_like_it_are_none(code: str):
    assert warned(before_model(code)) == []


def test_a_built_in_under_another_name_is_found():
    code = "from builtins import exec as e\ne(text)"
    assert kinds(before_model(code)) == ["imports", "dynamic"]


@pytest.mark.parametrize(
    "literal",
    [
        repr("x" * 1_001),
        repr(b"x" * 1_001),
        str([1234] * 300),
        repr(["ab"] * 600),
        "(" + " ".join(["'abcdefgh'"] * 130) + ")",
        " + ".join(["'abcdefgh'"] * 130),
        "0x" + "f" * 9_000,
        f"f'{'x' * 1_001}{{LR}}'",
    ],
    ids=["str", "bytes", "numbers", "strings", "joined", "sum", "integer", "f-string"],
)
def test_embedded_data_is_a_warning(literal: str):
    ((kind, text),) = [w for w in warned(before_model(f"x = {literal}")) if w[0] != "syntax"]
    assert kind == "literal"
    assert text.startswith(f"train.py line {LINE} holds a literal of about ")


@pytest.mark.parametrize("literal", [repr("x" * 900), str([1234] * 100)])
def test_literals_of_an_ordinary_size_are_none(literal: str):
    assert warned(before_model(f"x = {literal}")) == []


def test_a_long_docstring_is_no_data_but_reading_it_is_a_warning():
    long = f'def f():\n    """{"word " * 300}"""'
    assert warned(before_model(long)) == []
    assert kinds(before_model(f"{long}\n\n\nx = f.__doc__")) == ["dynamic"]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("open('log.txt', 'w')", "opens 'log.txt'"),
        ("open(name)", "opens a file by open()"),
        ("x = np.load('w.npy')", "opens 'w.npy' by numpy.load()"),
        ("torch.save(model, 'w.pt')", "opens a file by torch.save()"),
        ("open('/etc/passwd')", "names '/etc/passwd': it lies outside"),
        ("open(f'../{LR}')", "names '../': it lies outside"),
        ("open(b'~/x')", "names '~/x': it lies outside"),
        ("from pathlib import Path\nx = Path('a/../../b')", "names 'a/../../b'"),
        ("from pathlib import Path\nPath('a').write_text('/etc')", "opens a file by write_text"),
    ],
)
def test_files_that_are_opened_are_warnings(code: str, says: str):
    ((kind, text),) = warned(before_model(code))
    assert kind == ("paths" if "it lies outside" in text else "files")
    assert says in text


def test_a_path_inside_the_folder_that_is_only_named_is_none():
    assert warned(before_model("from pathlib import Path\nx = Path('a/b')")) == []


def test_an_address_is_a_warning():
    assert kinds(before_model("x = 'https://example.org/weights'")) == ["network"]
    assert kinds(before_model("'see https://example.org/paper'")) == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("time.perf_counter = lambda: 0", "time.perf_counter"),
        ("from time import perf_counter as p\np.x = 0", "time.perf_counter.x"),
        ("torch.cuda.synchronize = print", "torch.cuda.synchronize"),
        ("nn.Linear.forward = print", "torch.nn.Linear.forward"),
        ("setattr(time, 'sleep', print)", "time by setattr()"),
        ("time.__dict__['sleep'] = print", "time.__dict__[…]"),
        ("del time.sleep", "time.sleep"),
        ("x, time.sleep = 1, 2", "time.sleep"),
        ("for torch.x in []: pass", "torch.x"),
    ],
)
def test_replacing_what_belongs_to_other_modules_is_a_warning(code: str, name: str):
    ((kind, text),) = warned(before_model(code))
    assert kind == "clock"
    assert f" replaces {name}: " in text
    assert ("told by the clock" in text) == name.startswith("time.")


@pytest.mark.parametrize(
    "code",
    [
        "model.time = 3",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch._dynamo.config.cache_size_limit = 8",
        "x = time.perf_counter()",
    ],
)
def test_settings_and_own_attributes_are_none(code: str):
    assert warned(before_model(code)) == []


SEEDED = {
    "the constant": ("SEED = 3", "SEED = 4"),
    "a computed constant": ("SEED = 3", "SEED = int('4')"),
    "a seeding call": ("torch.manual_seed(SEED)", "torch.manual_seed(SEED + 1)"),
    "one more call": ("model = GPT()", "import random\nrandom.seed(5)\nmodel = GPT()"),
    "one call less": ("torch.manual_seed(SEED)\n", ""),
    "a generator": ("model = GPT()", "rng = np.random.default_rng(7)\nmodel = GPT()"),
}


@pytest.mark.parametrize("name", [name for name in SEEDED if name != "a generator"])
def test_a_patch_that_changes_the_seed_alone_is_a_warning(name: str):
    assert kinds(SEEDED[name]) == ["seed"]


def test_the_seed_of_a_generator_and_of_an_argument_counts_too():
    base = edited(SEEDED["a generator"], base=BASE) + "split(x, random_state=1)\n"
    assert kinds(("default_rng(7)", "default_rng(8)"), base=base) == ["seed"]
    assert kinds(("random_state=1", "random_state=2"), base=base) == ["seed"]


def test_a_seed_that_changes_with_other_things_is_none():
    assert warned(SEEDED["the constant"], ("LR = 0.04", "LR = 0.02")) == []
    assert warned(("# layers", "# the seed")) == []
    new = {"train.py": BASE.replace("SEED = 3", "SEED = 4"), "notes.md": "seed 4\n"}
    assert patch.warnings({"train.py": BASE, "notes.md": "seed 3\n"}, new, list(new)) == []


ODD = """\
import os
exec(x)
open('/etc/passwd')
x = 'DATA'
os.x = 1
y = 'http://a'
z = 1
""".replace("DATA", "d" * 2_000)


def test_what_the_old_text_did_already_is_none_wherever_it_stands_now():
    assert warned(("z = 1", "z = 2"), base=ODD) == []
    moved = "".join(f"    {line}\n" for line in ODD.splitlines())
    assert patch.warnings({"a.py": ODD}, {"a.py": f"\n\nif 1:\n{moved}"}, ["a.py"]) == []
    assert set(kinds(("z = 1", ODD), base="z = 1")) == {
        *("imports", "dynamic", "paths", "literal", "clock", "network")
    }


def test_warnings_stand_in_the_order_of_the_lines():
    new = "x = 1\nopen('a')\nexec(x)\nopen('b')\nimport os\ny = 1\n"
    assert kinds(("x = 1\ny = 1\n", new), base="x = 1\ny = 1\n") == [
        *("files", "dynamic", "files", "imports")
    ]


def test_another_call_of_what_was_there_is_a_warning():
    assert kinds(("exec(x)", "exec(x)\nexec(y)"), base=ODD) == ["dynamic"]


def test_a_path_outside_edit_is_a_warning():
    (concern,) = patch.warnings({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"}, ["train.py"])
    assert concern == patch.Concern("outside", "a.py changes, where only train.py may change.")


def test_a_patch_too_long_to_read_is_a_warning_however_many_files_share_it():
    line = "x = norm(x)\n"
    half = line * (10_200 // len(line))
    assert kinds((BASE, BASE + half)) == []
    old = {"a.txt": "", "b.txt": ""}
    found = patch.warnings(old, {"a.txt": half, "b.txt": half}, list(old))
    assert [concern.kind for concern in found] == ["size"]
    assert patch.warnings({"a.txt": half}, {"a.txt": half + line}, ["a.txt"]) == []


def test_long_code_that_goes_is_no_long_patch():
    old = BASE + "x = norm(x)\n" * 3_000
    assert kinds((old, BASE), base=old) == ["deleted"]


def test_a_value_that_changes_in_a_long_literal_is_none_and_many_are():
    table = [f"{n:05d}" for n in range(300)]
    base = edited(before_model(f"x = {table}"), base=BASE)
    assert kinds(("'00007'", "'70000'"), base=base) == []
    assert kinds(("x = [", "y = ["), base=base) == []
    longer = [*table, *(f"{n:05d}" for n in range(300, 550))]
    assert kinds((str(table), str(longer)), base=base) == ["literal"]


def test_a_seed_alone_in_a_file_that_is_no_python_is_a_warning():
    old = {"conf.toml": "lr = 0.1\n[data]\nseed = 3\n"}
    seed = {"conf.toml": "lr = 0.1\n[data]\nseed = 4\n"}
    both = {"conf.toml": "lr = 0.2\n[data]\nseed = 4\n"}
    assert [c.kind for c in patch.warnings(old, seed, list(old))] == ["seed"]
    assert patch.warnings(old, both, list(old)) == []


def test_removing_most_of_a_file_is_a_warning_and_rewriting_it_is_none():
    (concern,) = patch.warnings({"a.txt": "a\n" * 10}, {"a.txt": "a\n" * 4}, ["a.txt"])
    assert concern.kind == "deleted"
    assert "loses 6 of its 10 lines" in concern.text
    assert patch.warnings({"a.txt": "a\n" * 10}, {"a.txt": "a\n" * 5}, ["a.txt"]) == []
    assert patch.warnings({"a.txt": "a\n" * 10}, {"a.txt": "b\n" * 10}, ["a.txt"]) == []


def test_text_that_is_no_python_is_a_warning_with_its_line():
    ((kind, text),) = warned(("LR = 0.04", "LR = = 0.04"))
    assert kind == "syntax"
    assert text.startswith("train.py line 8 can't be read as Python, so the file is unchecked: ")


# Hunks

TWENTY = [f"line {i}\n" for i in range(20)]


def changed_in_the_middle(lines: list[str]) -> str:
    return "".join(lines).replace("line 10\n", "line ten\n")


def same(old_a: list[str], old_b: list[str]) -> bool:
    a, b = "".join(old_a), "".join(old_b)
    return patch.same_hunks(a, changed_in_the_middle(old_a), b, changed_in_the_middle(old_b))


def test_a_hunk_that_only_moved_is_the_same():
    assert same(TWENTY, ["new\n"] * 5 + TWENTY)
    assert not same(TWENTY, [*TWENTY[:6], *TWENTY[8:18]])  # line 7 is context
    assert same(TWENTY, [*TWENTY[:6], *TWENTY[7:]])  # line 6 is none


def test_a_hunk_with_other_lines_or_context_is_another():
    old = "".join(TWENTY)
    new = changed_in_the_middle(TWENTY)
    assert not patch.same_hunks(old, new, old, new.replace("line ten", "line 10.0"))
    assert not patch.same_hunks(old, new, old, new.replace("line 19", "line nineteen"))
    assert not patch.same_hunks(old, new, old, old)
    near = [*TWENTY[:8], "line eight\n", *TWENTY[9:]]
    assert not same(TWENTY, near)


def test_two_hunks_in_another_order_are_others():
    a, b = ["a\n"] * 8, ["b\n"] * 8
    one = "".join([*a, "x\n", *a, *b, "y\n", *b])
    other = "".join([*b, "y\n", *b, *a, "x\n", *a])
    edits = str.maketrans("xy", "XY")
    assert not patch.same_hunks(one, one.translate(edits), other, other.translate(edits))


# Odd input

PIECES = [
    *("LR = 0.04\n", "def f():\n", "    pass\n", "class A:\n", "    def g(self): pass\n"),
    *("exec(x)\n", "import os\n", "open('/x')\n", "SEED = 1\n", "time.x = 1\n", '"""doc"""\n'),
    *(
        "\r\n",
        "\ufeff",
        "\x00",
        "\udcff",
        "(",
        "'\\ud800'\n",
        "if 1:\n",
        "\t",
        "x = [\n",
        "é = 1\n",
    ),
    *("\f", "\u2028", "\r", "x: int\n", "f'{x!r:>{y}}'\n", "del a.b, c[0]\n", "open()\n", "0x"),
    *("lambda: 0\n", "from . import a\n", "Path(b'..')\n", "setattr()\n", "async def h(): 1\n"),
]
texts = st.one_of(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text())
DEEP = ["(" * 5_000, "-" * 20_000 + "1", "x = " + "1+" * 20_000 + "1", "x" + ".a" * 20_000]
BIG = "X = 0x" + "f" * 9_000 + "\nexec(X, 0x" + "f" * 9_000 + ")\n"


@given(texts, texts, st.sampled_from(["a.py", "a.md", ""]))
@example("", BIG, "a.py")
@example(BIG, BIG.replace("f", "e"), "a.py")
def test_every_change_is_described_and_nothing_raises(old: str, new: str, path: str):
    items = patch.touches({path: old}, {path: new})
    assert bool(items) == (old != new)
    concerns = patch.warnings({path: old}, {path: new}, [path])
    assert all("\n" not in concern.text for concern in concerns)
    assert {concern.kind for concern in concerns} <= patch.KINDS.keys()
    assert patch.warnings({path: new}, {path: new}, []) == []
    added, removed = patch.lines({path: old}, {path: new})
    assert len(new.splitlines()) - len(old.splitlines()) == added - removed
    assert patch.same_hunks(old, new, old, new)


@pytest.mark.parametrize("text", DEEP, ids=lambda text: text[:5])
def test_code_nested_without_end_is_said_to_be_unreadable(text: str):
    assert patch.touches({}, {"a.py": text}) == ["a.py: +1 −0 lines"]
    assert "syntax" in {c.kind for c in patch.warnings({}, {"a.py": text}, ["a.py"])}


@given(st.lists(texts, min_size=2, max_size=4))
def test_hunks_turn_the_old_text_into_the_new(versions: list[str]):
    for old, new in pairwise(versions):
        for hunk in patch.hunks(old, new):
            assert "".join(line[1:] for line in hunk if line[0] != "+") in old
            assert "".join(line[1:] for line in hunk if line[0] != "-") in new


def test_line_endings_and_a_mark_at_the_start_change_no_finding():
    plain = warned(before_model("import os\nexec(x)"))
    crlf = {"train.py": "\ufeff" + edited(before_model("import os\nexec(x)"), base=BASE)}
    crlf = {path: text.replace("\n", "\r\n") for path, text in crlf.items()}
    found = patch.warnings({"train.py": BASE}, crlf, ["train.py"])
    assert [(c.kind, c.text) for c in found] == plain
