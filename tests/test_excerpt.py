"""A function as text, and back in another process."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoresearch_kit import excerpt
from autoresearch_kit.errors import CampaignError

PROVIDED = {"base": 10}


def back(function: Callable[..., Any]) -> Callable[..., Any]:
    return excerpt.function(excerpt.of(function, PROVIDED), PROVIDED, "<there>")


def test_a_function_inside_another_is_moved_to_the_left():
    def inner(x):
        # a comment stays
        text = """two
            lines"""
        return text, x + base  # type: ignore[name-defined]  # noqa: F821

    text = excerpt.of(inner, PROVIDED)
    assert text.startswith("def inner(x):")
    assert back(inner)(1) == ("two\n            lines", 11)


def test_what_stands_around_a_lambda_is_left_out():
    taken = [
        len,
        lambda x: (
            x  # first
            + 1
        ),
        max,
    ]
    text = excerpt.of(taken[1], ())
    assert text.startswith("lambda x:")
    assert "max" not in text
    assert back(taken[1])(1) == 2


def test_names_of_its_own_are_no_names_from_outside():
    def busy(x: NotThere, *more: AlsoNotThere, key=None, **rest) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
        import math as m

        total: Unknown = 0  # type: ignore[name-defined]  # noqa: F821
        for total in [y * 2 for y in range(x)]:  # noqa: B007
            pass
        with memoryview(b"four") as view:
            size = len(view)
        helper = lambda a: a + m.floor(total) + size  # noqa: E731
        return helper(x) if x < 3 else busy(x - 1)

    assert back(busy)(2) == 2 + 2 + 4


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def test_a_function_may_call_itself():
    def down(n):
        return 0 if n == 0 else down(n - 1)

    assert back(factorial)(5) == 120
    assert back(down)(3) == 0


def counts(x):
    global seen
    seen = x
    return seen


def of_modules(x):
    return sys.maxsize + x


@functools.cache
def cached(x):
    return x


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (counts, "uses seen from outside"),
        (of_modules, "uses sys from outside"),
        (cached, "no plain function"),
        (len, "no plain function"),
        (lambda x, y: x, "can't be called with one argument"),
    ],
)
def test_what_does_not_stand_alone_is_refused(function: Callable[..., Any], words: str):
    with pytest.raises(CampaignError, match=words):
        excerpt.of(function, PROVIDED)


def load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_file_that_was_changed_meanwhile_is_not_believed(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("def rule(x):\n    return x + 1\n")
    rule = load(path).rule
    path.write_text("print('something')\n")
    with pytest.raises(CampaignError, match="is another one now"):
        excerpt.of(rule, ())


def test_a_decorator_is_refused(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("def same(f):\n    return f\n\n@same\ndef rule(x):\n    return x\n")
    with pytest.raises(CampaignError, match="has a decorator"):
        excerpt.of(load(path).rule, ())


def test_a_cell_of_a_notebook_is_as_good_as_a_file(tmp_path: Path):
    """A process of its own: IPython is one object for each process."""
    script = tmp_path / "cells.py"
    script.write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from autoresearch_kit import excerpt\n"
        "shell = InteractiveShell.instance()\n"
        "shell.user_ns['of'] = excerpt.of\n"
        "shell.run_cell('%time x = 1\\ndef rule(e):\\n    return e\\na = of(rule, ())')\n"
        "shell.run_cell('b = of(\\n    lambda e: e\\n    + 1,\\n    (),\\n)')\n"
        "print(repr(shell.user_ns['a']), repr(shell.user_ns['b']))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert repr("def rule(e):\n    return e") in done.stdout
    assert repr("lambda e: e\n+ 1") in done.stdout


def test_an_error_shows_the_line_of_the_text():
    rule = excerpt.function("def rule(x):\n    return 1 / x\n", {}, "<rule of a campaign>")
    with pytest.raises(ZeroDivisionError) as caught:
        rule(0)
    assert "return 1 / x" in str(caught.getrepr())
