"""Changes that were tried before in other words are refused; other values and code are not."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

import autoresearch_kit as ark
from autoresearch_kit import duplicates, git, ledger, records, source
from autoresearch_kit.errors import Duplicate
from autoresearch_kit.proposal import draft
from tests.recorded import record, write

CODE = '''\
"""Fit something."""
import math

RATE = 0.1  # search: 0.01 to 1
STEPS = 40
BETAS = (0.9, 0.99)


class Layer:
    """A layer."""

    def __init__(self, width):
        self.width = width
        self.up = [0.0] * width

    def forward(self, x):
        return [relu(value) for value in x]


class Head:
    def forward(self, x):
        return sum(x) / len(x)


def relu(x):
    return max(0.0, x)


def main():
    layer, head = Layer(4), Head()
    loss = 0.0
    for step in range(STEPS):
        loss += RATE * head.forward(layer.forward([step, 1.0, 2.0, 3.0]))
    print(f"val_loss: {loss:.4f}")


main()
'''
FORWARD = "        return [relu(value) for value in x]\n"
SHIFTED = """\
        shifted = [0.0, *x[:-1]]
        half = len(x) // 2
        x = [*x[:half], *shifted[half:]]
"""
WITH_SHIFT = CODE.replace(FORWARD, SHIFTED + FORWARD)
CLASS = """\
class Average:
    def __init__(self, decay):
        self.decay = decay
        self.kept = None

    def __call__(self, value):
        self.kept = value if self.kept is None else self.kept * self.decay + value * 0.5
        return self.kept


"""


def with_class(block: str, name: str = "Average", made: str = "average") -> str:
    """Return the script with another class, which the loop uses."""
    return (
        CODE.replace("def relu", block + "def relu")
        .replace("    loss = 0.0\n", f"    loss = 0.0\n    {made} = {name}(0.9)\n")
        .replace("loss += RATE * head.forward(", f"loss += RATE * {made}(head.forward(")
        .replace("3.0]))", "3.0])))")
    )


WITH_CLASS = with_class(CLASS)


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a host with a baseline on record, made once and never changed."""
    toml = (
        'name = "d"\nedit = ["fit.py", "notes.md"]\ntrain = ["python", "fit.py"]\n'
        'metric = "val_loss"\n'
    )
    files = {"fit.py": CODE, "notes.md": "# Notes\n\nOne.\n", "task.toml": toml}
    constants = {"RATE": 0.1, "STEPS": 40, "BETAS": (0.9, 0.99)}
    base = record(0, "keep", 1.0, campaign="d", constants=constants)
    return write(tmp_path_factory.mktemp("d") / "host", [base], {0: files})


@pytest.fixture
def campaign(_made: Path, tmp_path: Path) -> ark.Campaign:
    """Return a campaign with a baseline on record."""
    shutil.copytree(_made, tmp_path / "host")
    return ark.open_campaign(tmp_path / "host", tag="d")


def decided(
    c: ark.Campaign, commit: str, parent: str | None, status: str, value: float | None, **more: str
) -> None:
    """Record a commit as an experiment on the best state."""
    best = c.best_record
    made = ledger.record(
        c,
        ledger.pin(c, commit),
        commit,
        best.n if best else None,
        parent,
        status=status,
        value=value,
        delta=None if value is None or best is None else value - (best.value or 0.0),
        hypothesis=more.get("hypothesis", "an idea"),
        reason=more.get("reason", ""),
    )
    ledger.write(c, made, {})


def tried(c: ark.Campaign, code: str, status: str = "discard", **more: str) -> None:
    """Record an experiment with the script `code` on the best state."""
    parent = c.best.commit
    commit = git.commit_files(c.path, parent, {"fit.py": code}, "try")
    value = {"keep": 0.9, "discard": 1.2345678}.get(status)
    decided(c, commit, parent, status, value, **more)


def check(c: ark.Campaign, code: str, again: str = "") -> None:
    """Check a script as a proposal on the best state; the exact same code is another's affair."""
    assert source.digest({"fit.py": code}) not in {r.code for r in c.records()}
    duplicates.check(c, c.best.commit, {"fit.py": code}, again)


SAME = {
    "names": (
        WITH_SHIFT,
        WITH_SHIFT.replace("shifted", "back").replace("half", "middle"),
    ),
    "order": (
        WITH_SHIFT,
        CODE.replace(
            FORWARD, "".join(SHIFTED.splitlines(keepends=True)[i] for i in (1, 0, 2)) + FORWARD
        ),
    ),
    "layout, comments and names": (
        WITH_SHIFT,
        CODE.replace(
            FORWARD,
            "        # half of the values come from one step before\n"
            "        before = [\n            0.0,\n            *x[:-1],\n        ]\n\n"
            "        n = len(x)//2  # the middle\n"
            "        x = [*x[:n], *before[n:]]\n" + FORWARD,
        ),
    ),
    "an extra line that prints": (
        WITH_CLASS,
        with_class(CLASS, made="smooth").replace(
            "    loss = 0.0\n", '    loss = 0.0\n    print("this run begins")\n'
        ),
    ),
    "a class of another name": (
        WITH_CLASS,
        with_class(
            CLASS.replace("Average", "Smoothed")
            .replace("kept", "mean")
            .replace("decay", "beta")
            .replace("value", "item"),
            "Smoothed",
            "smooth",
        ),
    ),
    "a number spelt differently": (
        WITH_CLASS,
        with_class(CLASS.replace("0.5", "5e-1"), made="smooth"),
    ),
}

OTHER = {
    "another value of a constant": (
        CODE.replace("RATE = 0.1", "RATE = 0.2"),
        CODE.replace("RATE = 0.1", "RATE = 0.3"),
    ),
    "another constant to the same value": (
        CODE.replace("RATE = 0.1", "RATE = 0.5"),
        CODE.replace("(0.9, 0.99)", "(0.5, 0.99)"),
    ),
    "two values of a tuple exchanged": (
        CODE.replace("(0.9, 0.99)", "(0.8, 0.95)"),
        CODE.replace("(0.9, 0.99)", "(0.95, 0.8)"),
    ),
    "another number inside a long patch": (
        WITH_CLASS,
        with_class(CLASS.replace("0.5", "0.25")),
    ),
    "another operator inside a long patch": (
        WITH_CLASS,
        with_class(CLASS.replace("* self.decay +", "* self.decay -")),
    ),
    "another function called": (
        CODE.replace("max(0.0, x)", "math.tanh(x)"),
        CODE.replace("max(0.0, x)", "math.atan(x)"),
    ),
    "another place": (
        WITH_SHIFT,
        CODE.replace("        return sum(x)", SHIFTED + "        return sum(x)"),
    ),
    "half of it": (
        WITH_CLASS,
        CODE.replace("def relu", CLASS + "def relu"),
    ),
    "the other direction": (
        CODE.replace("sum(x) / len(x)", "sum(x) * len(x)"),
        CODE.replace("sum(x) / len(x)", "sum(x) / len(x) ** 2"),
    ),
}


@pytest.mark.parametrize(
    ("case", "status"),
    [*((case, "discard") for case in SAME), ("names", "keep"), ("names", "refused")],
)
def test_the_same_change_in_other_words_is_refused(campaign: ark.Campaign, case: str, status: str):
    first, second = SAME[case]
    best = campaign.best.commit
    tried(campaign, first, status)
    with pytest.raises(Duplicate, match=rf"experiment 0001.* already \({status}"):
        duplicates.check(campaign, best, {"fit.py": second})


@pytest.mark.parametrize("case", OTHER)
def test_another_change_is_let_through(campaign: ark.Campaign, case: str):
    first, second = OTHER[case]
    tried(campaign, first)
    check(campaign, second)
    check(campaign, first.replace("STEPS = 40", "STEPS = 41"))


def test_what_changes_nothing_that_runs_is_no_duplicate(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    for text in (CODE, CODE.replace("STEPS = 40", "STEPS = 40  # steps")):
        duplicates.check(campaign, campaign.best.commit, {"fit.py": text})


def test_the_message_names_the_experiment_its_result_and_what_to_do(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT, hypothesis="a step\x1b[31m back\nhelps")
    with pytest.raises(Duplicate) as caught:
        check(campaign, SAME["names"][1])
    message = str(caught.value)
    assert "experiment 0001 already (discard, val_loss 1.23 (+0.23)): a step back helps." in message
    assert "1.2345" not in message  # digits that are noise
    assert "Propose something that runs differently" in message
    assert "again" not in message.removeprefix("this")  # nothing has changed since


def test_a_refusal_tells_why(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT, "refused", reason="it looks at the future")
    with pytest.raises(Duplicate, match="refused, because: it looks at the future"):
        check(campaign, SAME["names"][1])


def test_a_change_that_crashed_may_be_repaired_but_not_repeated(campaign: ark.Campaign):
    broken = with_class(CLASS.replace("return self.kept", "return self.missing"))
    tried(campaign, broken, "crash", reason="AttributeError: missing")
    check(campaign, WITH_CLASS)
    renamed = broken.replace("average", "smooth")
    with pytest.raises(Duplicate, match=r"crash, because: AttributeError.*<again>"):
        check(campaign, renamed)
    check(campaign, renamed, again="the cause was a full disk")


def test_on_another_parent_the_same_change_needs_a_reason(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    tried(campaign, CODE.replace("STEPS = 40", "STEPS = 60"), "keep")
    again = SAME["names"][1].replace("STEPS = 40", "STEPS = 60")
    with pytest.raises(Duplicate, match=r"0001 on 0000 already.*<again>why</again>"):
        check(campaign, again)
    with pytest.raises(Duplicate):
        check(campaign, again, again="  ")
    check(campaign, again, again="there are more steps now")


def test_on_the_same_parent_no_reason_helps(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    with pytest.raises(Duplicate):
        check(campaign, SAME["names"][1], again="please")


def test_what_is_approved_and_has_no_result_yet_counts(campaign: ark.Campaign):
    ahead = draft(campaign, files={"fit.py": WITH_SHIFT}, hypothesis="a step back", author="me")
    check(campaign, SAME["names"][1])  # still open: this may be its revision
    ahead.approve("me")
    with pytest.raises(Duplicate, match=r"approved already and has no result yet: a step back"):
        check(campaign, SAME["names"][1])


def test_text_that_is_no_python_is_compared_by_its_words(campaign: ark.Campaign):
    best = campaign.best.commit
    new = "# Notes\n\nOne.\n\n# Two\n\nThink step by step before you answer.\n"
    commit = git.commit_files(campaign.path, best, {"notes.md": new}, "try")
    decided(campaign, commit, best, "discard", 1.2)
    laid_out = new.replace("step by step", "step   by step").replace(".\n\n#", ".\n\n\n#")
    with pytest.raises(Duplicate):
        duplicates.check(campaign, best, {"notes.md": laid_out})
    duplicates.check(campaign, best, {"notes.md": new.replace("before", "after")})


def test_a_verdict_that_was_overridden_is_the_one_that_is_told(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    first = campaign.records()[-1]
    commit = git.commit_files(campaign.path, first.commit, {}, "override")
    about = records.Record(
        campaign="d", n=ledger.pin(campaign, commit), status="quarantine", commit=commit,
        hypothesis="", about=1, metric="val_loss",
    )  # fmt: skip
    ledger.write(campaign, about, {})
    with pytest.raises(Duplicate, match=r"0001 already \(quarantine"):
        check(campaign, SAME["names"][1])


def test_the_patches_of_experiments_come_in_their_order(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    tried(campaign, CODE.replace("# search: 0.01 to 1", "# " + "0" * 40))
    first, second = (r for r in campaign.records() if r.n)
    patches = duplicates.diffs(campaign, [second, first, campaign.records()[0]])
    assert ["0" * 40 in p for p in patches] == [True, False, False]
    assert ["shifted" in p for p in patches] == [False, True, False]
    assert patches[2] == ""


def test_a_clone_without_the_earlier_commits_can_still_propose(campaign: ark.Campaign):
    tried(campaign, WITH_SHIFT)
    gone = dataclasses.replace(campaign.records()[-1], commit="1" * 40)
    assert duplicates.diffs(campaign, [gone]) == [""]
