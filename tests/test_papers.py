"""The paragraph on methods, and text that LaTeX sets without obeying it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoresearch_kit import records
from autoresearch_kit.reports import latex
from autoresearch_kit.reports.papers import methods
from tests import recorded

# All that an escaped text may consist of.
PIECES = re.compile(
    r"\\text[a-z]+\{\}|\\[{}$&#_%]|\$\\[A-Za-z]+\$|\$-\$|\\ldots\{\}|[-,']\{\}(?=[-,'])"
    r"|[^\\{}$&#_%~^<>|\"`]"
)
EXAMPLE = Path(__file__).parents[1] / "data" / "example-campaign.bundle"
TASK = """\
name = "fit"
edit = ["train.py"]
train = ["python", "train.py"]
score = ["python", "score.py"]
metric = "val_loss"
budget_seconds = 300
clock = "wall"
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    runs = tuple({"seed": seed, "value": 2.0 + seed / 100} for seed in (-1, 0, 1))
    settings = {"decide": "two_stage", "sealed": {"kit": "0.1.0"}}
    sure = {"z": 7.1, "error": 0.014, "old": 2.0}
    found = {"fresh": 0.08, "sealed": 0.061, "error": 0.01, "seeds": [5, 6, 7]}
    common = {"device": "cuda:0", "training_seconds": 300.0, "noise": 0.01}
    decided = [
        recorded.record(0, "keep", 2.0, replicates=runs, baseline=settings, **common),
        recorded.record(
            1, "keep", 1.9, hypothesis=r"50% of \LR_A & {B}", evidence=sure, delta=-0.1
        ),
        recorded.record(2, "crash", proposal={"cost": 1.5, "tokens": 4000}),
        recorded.record(3, "discard", 2.2, delta=0.3, parent=1),
        recorded.record(4, "discard", about=1, kind="audit", evidence=found),
    ]
    files = {n: {"train.py": f"LR = {n}\n", "task.toml": TASK} for n in range(5)}
    return recorded.write(tmp_path / "host", decided, files)


def test_methods_name_what_the_records_hold(campaign: Path) -> None:
    told = methods(campaign).text
    for words in (
        r"\citet{karpathy2026autoresearch}",
        r"changes of \texttt{train.py} were proposed",
        r"measured val\_loss in nats (lower is better)",
        "The budget of a run was 300 seconds since the first step.",
        "The starting point was run with 3 seeds",
        "The standard deviation of a run between seeds was 0.01 (",
        "a change below 1.3 after one run was discarded and one from 3 on kept",
        "Of 3 experiments, 1 was kept, 1 was discarded, 1 crashed.",
        "expected number of kept changes that are worth nothing",
        r"val\_loss went from 2 to 1.9, a gain of 0.1 as measured",
        r"an audit with 3 fresh seeds of either found 0.08 on validation data and $0.061 \pm 0.01$",
        "models read and wrote 4,000 tokens for proposals, proposals cost 1.5",
        "Device: cuda:0",
        "Recorded with autoresearch-kit 0.1.0.",
        r"1 & 50\% of \textbackslash{}LR\_A \& \{B\} & 1 & 1.9 & 7.1 &",
        "@misc{karpathy2026autoresearch,",
    ):
        assert words in told


def test_methods_say_who_proposed_and_what_a_person_decided() -> None:
    told = methods(EXAMPLE).text
    assert "Proposed: 28 by TPE, 16 by autoresearch-kit maintainers." in told
    assert "Number 6 is keep by the word of a person: three constants, nothing else" in told


def test_the_goal_may_be_given() -> None:
    assert "(lower is better)" in methods(EXAMPLE).text
    told = methods(EXAMPLE, goal="maximize").text
    assert "(higher is better)" in told
    assert "a gain of -0.374 as measured" in told


def test_methods_of_a_results_file_claim_nothing_that_it_does_not_say(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    rows = "\tkeep\tbaseline\nb\t0.98\t1.0\tkeep\tone\n"
    path.write_text("commit\tval_bpb\tmemory_gb\tstatus\tdescription\na\t0.99\t1.0" + rows)
    told = methods(path).text
    assert "The rule by which changes were kept is not on record." in told
    assert "How much runs differ between seeds was not measured." in told
    for word in ("budget", "expected number", "Device", "took", "cost", "autoresearch-kit"):
        assert word not in told


def test_a_table_has_as_many_cells_in_each_row(campaign: Path) -> None:
    rows = methods(campaign).text.partition("\\toprule")[2].partition("\\bottomrule")[0]
    cells = [len(re.findall(r"(?<!\\)&", row)) for row in rows.split("\\\\")[:-1]]
    assert cells == [5, 5, 5]


@given(st.text(max_size=80) | st.text("\\{}$&#_%~^<>|\"`'-,→ a", max_size=40))
def test_escaped_text_has_no_command_and_no_open_group(text: str) -> None:
    told = latex.escape(text)
    assert "".join(PIECES.findall(told)) == told
    assert told.replace("\\{", "").count("{") == told.replace("\\}", "").count("}")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_escaped_ascii_reads_back(text: str) -> None:
    back = latex.escape(text).replace(r"$\rightarrow$", "->")
    for sign, spelt in latex.SPELT.items():
        if spelt.startswith("\\text"):
            back = back.replace(spelt, f"\\{ord(sign)};")
    back = re.sub(r"([-,'])\{\}", r"\1", back)
    back = re.sub(r"\\(\d+);|\\(.)", lambda m: chr(int(m[1])) if m[1] else m[2], back)
    assert back == records.clean(text)
