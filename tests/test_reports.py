"""Reports: what they say, that they run, that nothing in a record is obeyed."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.filters import markdown2html

from autoresearch_kit import records, reports
from autoresearch_kit.errors import AutoresearchError, CampaignError
from autoresearch_kit.records import Record
from autoresearch_kit.reports import chapters, digests, leads, markdown, report, webpages
from autoresearch_kit.reports.markdown import Part
from tests import recorded

EVIL = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> ![p](http://evil/p.png) "
    "[a](http://evil) $x$ | a | `b` \x1b[31m\u202e"
)


def experiment(n: int, status: str, value: float | None = None, **more: object) -> Record:
    """Return a record with the evidence that a verdict of `two_stage` leaves."""
    delta = None if value is None or not n else value - 2.0
    facts: dict[str, object] = {
        "reason": f"reason {n}",
        "delta": delta,
        "noise": 0.01,
        "curve": records.curve([(0.1 * i, 3 - 0.1 * i) for i in range(1, 10)]),
        "setup_seconds": 1.0,
        "training_seconds": 20.0,
        "scoring_seconds": 4.0,
        "rule": "two_stage",
    }
    if delta is not None:
        facts["evidence"] = {"z": -delta / 0.014, "error": 0.014, "old": 2.0}
    return recorded.record(n, status, value, **{**facts, **more})


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with an experiment of each kind; never changed."""
    sure = {"z": 7.1, "error": 0.014, "old": 2.0, "worth": 1.92, "worth_error": 0.006}
    found = {"claimed": 0.1, "fresh": 0.08, "sealed": 0.06, "error": 0.01}
    runs = ({"seed": 1, "value": 1.91}, {"seed": 2, "value": 1.89})
    again = {"replicates": runs, "gain": 0.08, "evidence": sure}
    model = {"cost": 0.25, "tokens": 5000, "expected": -0.1}
    decided = [
        experiment(0, "keep", 2.0, baseline={"decide": "two_stage"}, curve=""),
        experiment(1, "discard", 1.985, constants={"LR": 0.02, "DEPTH": 4}),
        experiment(2, "keep", 1.9, constants={"LR": 0.08, "DEPTH": 4}, **again),
        experiment(3, "crash", reason="exit code 1: CUDA out of memory, 1.2 GiB"),
        experiment(4, "crash", reason="exit code 1: CUDA out of memory, 3.4 GiB"),
        experiment(5, "refused", reason="it only changes the seed"),
        experiment(6, "quarantine", 0.4, reason="too good: a person must look"),
        experiment(7, "discard", 2.3, author="a model", proposal=model),
        experiment(8, "discard", about=2, kind="audit", reason="60 % is there", evidence=found),
    ]
    return recorded.write(tmp_path_factory.mktemp("report") / "night", decided)


@pytest.fixture(scope="module")
def executed(night: Path) -> Path:
    """Return its report, for all tests that look into one: a kernel takes seconds."""
    return report(night, night.parent / "reports" / "night.ipynb")


def text_of(x: Path) -> str:
    """Return all that a report of `x` says, without running it."""
    return "\n\n".join(part.text for part in chapters.of(digests.of(x), "."))


def test_a_report_runs_and_shows_what_it_says(executed: Path) -> None:
    notebook = nbformat.read(executed, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [out for cell in code for out in cell.outputs]
    assert all(cell.execution_count for cell in code)
    assert {out.name for out in outputs if out.output_type == "stream"} <= {"stdout"}
    assert {out.output_type for out in outputs} <= {"display_data", "execute_result", "stream"}
    assert [kind for out in outputs for kind in out.get("data", {})].count("image/png") >= 4
    # It is found from its own folder, wherever the two are moved together.
    assert "ark.history('../night')" in code[0].source


def test_what_happened_is_told_with_numbers(night: Path) -> None:
    told = text_of(night)
    assert "7 experiments on a starting point" in told
    assert "1 kept, 2 discarded, 2 crashed, 1 refused, 1 quarantined" in told
    assert "**val&#95;loss went from 2 to 1.9 nats** (lower is better): 0.1 (5.0%) as meas" in told
    assert re.search(r"as measured, 0\.0\d+ without the luck", told)
    assert re.search(r"Of the 1 keep, .+ are expected to be luck", told)
    assert "The audit 0008 found: 60 % is there." in told


def test_a_kept_change_comes_with_its_evidence_its_diff_and_its_curve(night: Path) -> None:
    parts = list(chapters.of(digests.of(night), "."))
    at = next(i for i, part in enumerate(parts) if part.text.startswith("### 0002"))
    assert "| **runs** | 2: 1.91, 1.89 |" in parts[at].text
    assert "| **how sure** | 7.1 sigma, standard error 0.014 |" in parts[at].text
    assert re.search(r"gain without its luck\*\* \| \S+ \(95 %: \S+ to \S+\)", parts[at].text)
    assert "| **later, 0008** | audit: 60 % is there |" in parts[at].text
    assert re.search(
        r"```diff\n.*^-LR = 0.04$.*^\+LR = 0.042$", parts[at].text, re.DOTALL | re.MULTILINE
    )
    assert parts[at + 1].text == "ark.plots.curves(df, [2]);"


def test_crashes_are_told_by_cause_whatever_their_figures(night: Path) -> None:
    ((reason, group),) = leads.causes(digests.of(night))
    assert "out of memory" in reason
    assert [record.n for record in group] == [3, 4]
    assert "| 2 | exit code 1: CUDA out of memory, 1.2 GiB | 0003, 0004 |" in text_of(night)


def test_near_misses_are_the_discards_that_looked_better(night: Path) -> None:
    assert [record.n for record in leads.near_misses(digests.of(night))] == [1]


def test_leads_come_from_the_records(night: Path) -> None:
    found = "\n".join(leads.of(digests.of(night)))
    assert "**0006 waits for a person**" in found
    assert "`ark.repeat(campaign, 1, times=2)`" in found
    assert "tried: <code>LR</code> 0.08, the largest of 7 values (0.02 to 0.08)" in found
    assert "audit" not in found.lower()  # one was made, and nothing was kept since


def test_an_audit_is_due_after_ten_keeps(tmp_path: Path) -> None:
    kept = [experiment(n, "keep", 2.0 - 0.05 * n, parent=n - 1 if n else None) for n in range(11)]
    lead = next(iter(leads.of(digests.of(recorded.write(tmp_path / "r", kept)))))
    assert "**An audit is due**: 10 changes were kept" in lead


def test_a_history_without_commits_and_evidence_has_fewer_chapters(tmp_path: Path) -> None:
    path = tmp_path / "results.tsv"
    rows = "\tkeep\tbaseline\nb\t0.98\t1.0\tkeep\tone\nc\t0.99\t1.0\tdiscard\ttwo\n"
    path.write_text("commit\tval_bpb\tmemory_gb\tstatus\tdescription\na\t0.99\t1.0" + rows)
    told = text_of(path)
    assert "went from 0.99 to 0.98" in told
    assert "| 0001 | one | 0.98 | -0.01 |" in told
    assert "```diff" not in told
    assert "plots.curves" not in told
    assert "What it cost" not in told
    assert "ark.audit" not in told


def test_a_campaign_that_kept_nothing_has_a_report_too(tmp_path: Path) -> None:
    crashed = recorded.write(tmp_path / "crashed", [experiment(0, "crash")])
    assert "1 experiment, 2026-11-23 10:00 to" in text_of(crashed)
    assert "Crashes by cause" in text_of(crashed)
    alone = recorded.write(tmp_path / "alone", [experiment(0, "keep", 2.0)])
    assert "no experiments on a starting point" in text_of(alone)
    assert "Nothing was kept: val&#95;loss is still 2 nats" in text_of(alone)


def test_a_report_reads_a_campaign_by_its_folder_and_its_tag(night: Path) -> None:
    parts = list(chapters.of(digests.of(SimpleNamespace(path=night, tag="nov23")), "../night"))
    assert "df = ark.history('../night', ref='nov23').head(9)" in parts[1].text


def test_a_page_holds_everything_and_loads_nothing(executed: Path) -> None:
    text = webpages.of(nbformat.read(executed, as_version=4), "night", {})
    assert text.count("data:image/png;base64,") >= 4
    assert not re.search(r"(?i)<script|<link|<iframe|https?://", text)
    assert "prefers-color-scheme: dark" in text
    assert "No description" not in text
    assert "ark.plots.progress" not in text


def test_a_report_replaces_its_own_earlier_one(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = iter(("first", "second"))
    monkeypatch.setattr(chapters, "of", lambda *_: [Part("markdown", next(words))])
    path = report(night, tmp_path / "night.html")
    assert "first" in path.read_text()
    assert report(night, path) == path
    assert "second" in path.read_text()
    assert [each.name for each in tmp_path.glob("*night*")] == ["night.html"]


def test_an_executed_report_is_known_again_and_an_edited_one_too(
    night: Path, executed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_execute", lambda *_: None)
    own, edited = tmp_path / "own.ipynb", tmp_path / "edited.ipynb"
    own.write_text(executed.read_text())
    assert report(night, own) == own
    notebook = nbformat.read(executed, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("my own thoughts"))
    nbformat.write(notebook, edited)
    with pytest.raises(CampaignError, match="was edited since it was written"):
        report(night, edited)
    assert "my own thoughts" in edited.read_text()


def test_nothing_in_a_record_is_obeyed(tmp_path: Path) -> None:
    decided = [
        experiment(0, "keep", 2.0, hypothesis=EVIL, author=EVIL),
        experiment(1, "keep", 1.9, hypothesis=EVIL, reason=EVIL, author=EVIL, approver=EVIL),
        experiment(2, "crash", hypothesis=EVIL, reason=EVIL, author="b"),
        experiment(3, "refused", hypothesis=EVIL, reason=EVIL),
        experiment(4, "discard", 2.1, about=1, kind="audit", reason=EVIL),
    ]
    fences = "```\n</pre></code><script>alert(3)</script>\n````\n"
    files = {n: {"a.md": f"{fences}\n{n}\n" if n == 1 else "\n"} for n in range(5)}
    digest = digests.of(recorded.write(tmp_path / "r", decided, files))
    cells = [
        nbformat.v4.new_markdown_cell(part.text)
        for part in chapters.of(digest, ".")
        if part.kind == "markdown"
    ]
    page = webpages.of(nbformat.v4.new_notebook(cells=cells), EVIL, {"campaign": EVIL})
    body = page.partition("<body>")[2]
    assert "alert(1)" in body
    assert "alert(3)" in body
    assert not re.search(r"(?i)<script|<img|<a[ >]|href|onerror=[^a]|\x1b|\u202e", body)
    assert webpages.mark_of(page) == {"campaign": EVIL}


MARKUP = "<b> <script <!-- < > ![a]( ]( ) http://a.b www.a.de $ | ` * _ ** ~~ &lt; \\ : # - 1. a"


@given(
    st.text(st.characters(codec="utf-8"), max_size=60)
    | st.lists(st.sampled_from([*MARKUP.split(), " "]), max_size=12).map("".join)
)
def test_escaped_text_is_shown_as_it_is_in_a_line_and_in_a_table(text: str) -> None:
    shown = records.clean(text)
    cell = markdown2html(markdown.table(("x",), [(markdown.escape(text) or "-",)]))
    assert cell.count("<td>") == 1
    for made in (
        markdown2html(markdown.escape(text)),
        markdown2html(f"**a** {markdown.escape(text)}"),
        cell,
    ):
        assert "$" not in made.replace("<span>$</span>", "")
        bare = re.sub(r"</?(p|strong|table|thead|tbody|tr|th|td|span)>|\n", "", made)
        assert "<" not in bare
        assert shown.replace(" ", "") in html.unescape(bare).replace(" ", "")


@given(st.text("`~ a\n", max_size=40))
def test_a_fence_ends_where_its_text_does(text: str) -> None:
    made = markdown2html(f"{markdown.fence(text)}\n\nafter")
    assert made.count("<pre>") == 1
    assert "<p>after</p>" in made


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("my notes", "is no report of this kit"),
        ('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is no report"),
        (
            '{"cells": [], "metadata": {"autoresearch_report": {"campaign": "other"}}, '
            '"nbformat": 4, "nbformat_minor": 5}',
            "is a report of another campaign, 'other'",
        ),
    ],
)
def test_a_file_that_is_something_else_is_left_alone(
    night: Path, tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "mine.ipynb"
    path.write_text(content)
    with pytest.raises(CampaignError, match=re.escape(words)):
        report(night, path)
    assert path.read_text() == content


def test_a_report_is_a_notebook_or_a_page(night: Path, tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match=r"ends in \.ipynb or \.html"):
        report(night, tmp_path / "night.pdf")


def test_one_of_several_campaigns_has_to_be_chosen(tmp_path: Path) -> None:
    decided = [experiment(0, "keep", 2.0), experiment(0, "keep", 2.1, campaign="dec01")]
    repo = recorded.write(tmp_path / "r", decided)
    with pytest.raises(CampaignError, match="ref='dec01'"):
        report(repo, tmp_path / "night.ipynb")
    assert digests.of(repo, "dec01").name == "dec01"


def test_a_cell_that_fails_leaves_no_file(
    night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chapters, "of", lambda *_: [Part("code", "1 / 0")])
    with pytest.raises(AutoresearchError, match="ZeroDivisionError"):
        report(night, tmp_path / "night.ipynb")
    assert not (tmp_path / "night.ipynb").exists()
