"""Whoever has seen the rows that are scored can't bring them into the reason of its crash.

Slow (3 s a test): each runs the scorer with processes that import torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import scored
from tests.scored import HONEST


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[scored.Bench]:
    with scored.one_thread():
        yield scored.make(tmp_path, monkeypatch)


# The random tokens that come first go well.
TELLER = """
import json, os, sys, time

def say(text):
    os.write(int(sys.argv[2]), text.encode() + b"\\n")

class Model(Model):
    seen = 0

    def forward(self, x):
        self.seen += COUNTED
        words = " ".join(map(str, x[0].tolist()))
        if self.seen > 1:
            LINE
        return super().forward(x)
"""
AT = f"(train.py, line {(HONEST + TELLER[: TELLER.index('LINE')]).count(chr(10)) + 1})"

# What it does, and what is said of it.
TALES = {
    "an error's text": ("int(words)", f"forward failed: ValueError {AT} while "),
    "an error's name": (
        "raise type(words, (ArithmeticError,), {'__module__': words})(words)",
        f"forward failed: ArithmeticError {AT} while ",
    ),
    "the name and the lines of a file": (
        "exec(compile('\\n' * x[0, 1] + '1 / 0', os.environ['CODE_DIR'] + '/' + words, 'exec'))",
        f"forward failed: ZeroDivisionError {AT} while ",
    ),
    "a shape": (
        "return torch.zeros(()).expand(*x[0, 1:9].tolist())",
        "the logits have a shape other than (B, T, V) while ",
    ),
    "its last words": (
        "print(words, flush=True); os._exit(1)",
        "the model's process exited with status 1 while ",
    ),
    "a reply of its own": (
        "say(json.dumps({'fault': words, 'kind': words, 'line': 10 ** 9})); time.sleep(9)",
        "forward failed: an error while ",
    ),
    "a reply of other types": (
        "say(json.dumps({'fault': [words], 'kind': [words], 'line': words})); time.sleep(9)",
        "forward failed: an error while ",
    ),
}


# Each starts two processes that import torch: two of them in CI, all in `make acceptance`.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.acceptance] * (n not in ("a shape", "its last words")))
        for n in TALES
    ],
)
def test_who_has_seen_the_rows_can_not_tell_of_them_by(bench: scored.Bench, name: str) -> None:
    line, reason = TALES[name]
    crash = bench.crash(HONEST + TELLER.replace("COUNTED", "1").replace("LINE", line))
    said = str(crash).removeprefix(reason)
    assert said in (
        "computing rows 0 to 5",
        "computing rows 0 to 5; with random tokens it did not fail, and what a model says after "
        "its first row is not quoted",
    )
    assert crash.checks == {}


def test_neither_can_the_second_process(bench: scored.Bench) -> None:
    # Only there a row comes alone: first a random one, then others.
    tale = TELLER.replace("COUNTED", "len(x) == 1").replace("LINE", "int(words)")
    said = str(bench.crash(HONEST + tale))
    assert said.startswith(f"forward failed: ValueError {AT} while computing rows 0 to 0; with ")


def test_who_fails_with_a_single_row_is_told_why(bench: scored.Bench) -> None:
    squeezed = "return self.table[x].squeeze(0)"
    said = str(bench.crash(HONEST.replace("return self.table[x]", squeezed)))
    assert said == "logits have the shape (32, 64), expected (1, 32, 64)"
