"""The best state line by line: which experiment wrote what, and what it gained."""

from __future__ import annotations

import html
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit import display, git, render, standing
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.records import Record
from autoresearch_kit.render import Page
from autoresearch_kit.sources import Source

DATA = {".csv", ".ipynb", ".json", ".jsonl", ".log", ".tsv"}  # kept in git beside code
LONGEST = 5_000  # lines of a file
FOLD, CONTEXT = 12, 3  # of lines that nobody changed: more are folded, but those at the ends

# Okabe and Ito's colours, which colour-blind people tell apart; as tints they suit light and dark.
TINTS = ("0,114,178", "230,159,0", "0,158,115", "204,121,167", "86,180,233", "213,94,0")

# What the pointer shows, the keyboard's focus shows too; without this it is in the list above.
STYLE = """<style>
.ark-blame pre{white-space:pre;overflow-x:auto;line-height:1.35}
.ark-blame summary{cursor:pointer}
.ark-blame pre span{display:block;width:max-content;min-width:100%;
border-left:4px solid transparent}
.ark-blame pre span[tabindex]:focus::after{content:attr(title);display:block;
white-space:pre-wrap;max-width:90ch;padding:2px 6px;font-family:var(--jp-ui-font-family,sans-serif);
border:1px solid currentColor}
</style>"""


def blame(x: Source, ref: str | None = None) -> Page:
    """Return the best state's files, each line with the experiment that wrote it.

    Number and change of the metric stand beside each line, and in a notebook a tint; the hypothesis
    shows where the pointer or the keyboard's focus rests. Lines of the starting point have neither.

    Parameters
    ----------
    x
        Whatever `history` reads that has commits: a campaign, a lab, a clone, a bundle.
    ref
        Which campaign of a lab or clone, where it has several; or which branch.

    Raises
    ------
    CampaignError
        When there is no repository, several campaigns, or no kept experiment with a commit.

    Notes
    -----
    It is git's blame of the best state's commit, whose history is the line of kept experiments. The
    files are those that differ between the starting point and the best state; data files (such as
    a results.tsv that is committed beside the code), binary ones and those in which no experiment
    has a line are named and left out.
    """
    repo, found = display.choose(x, ref)
    now = standing.of(list(found.values()))
    best = now.best
    known = {record.n: record for record in now.experiments}
    kept = [known[n] for n in now.line if known[n].commit]
    if repo is None or best not in kept or git.resolve(repo, kept[-1].commit) is None:
        why = "a file without its repository" if repo is None else "no best state with a commit"
        raise CampaignError(
            f"there are no lines to show: this is {why}. Expected a campaign or a clone with the "
            "commits of its kept experiments; ark.history(...) has a column present."
        )
    best = kept[-1]
    # Whatever was tried first is where the campaign started, and so nobody's change.
    first = next(record for record in kept if git.resolve(repo, record.commit))
    start, changes = first.commit, kept[kept.index(first) + 1 :]
    if first.parent_commit and first is not now.experiments[0]:
        start, changes = first.parent_commit, [first, *changes]
    writers = {record.commit: record for record in changes}
    paths = git.changed_files(repo, start, best.commit)
    files, left_out = _annotated(repo, best.commit, paths, writers)
    seen = {commit for lines in files.values() for commit, _ in lines}
    wrote = [record for record in changes if record.commit in seen]
    rows = {
        "best state": f"{best.campaign} {best.n:04d}, commit {best.commit[:7]}",
        "kept": f"{len(changes)} changes, {len(wrote)} of them with lines in it",
        "left out": "; ".join(f"{', '.join(some)} ({why})" for why, some in left_out.items()),
        "files": "" if files else "no line differs from the starting point",
    }
    text = f"{render.table(rows)}\n{render.table({f'{r.n:04d}': _told(r) for r in wrote})}"
    page = f"{STYLE}<div class='ark-blame'>{render.card(rows)}"
    tints = dict(zip((r.n for r in wrote), itertools.cycle(TINTS), strict=False))
    page += _legend(wrote, tints)
    for path, lines in files.items():
        name, stretches = render.visible(path), _stretches(lines, writers)
        text += f"\n{name}\n" + "".join(map(_plain, stretches))
        blocks = "".join(_block(stretch, tints) for stretch in stretches)
        page += f"<p><code>{html.escape(name)}</code></p><pre>{blocks}</pre>"
    return Page(text, page + "</div>")


class Stretch(NamedTuple):
    """Lines below each other by one experiment, or by none; `folded` when they are one too many."""

    record: Record | None
    lines: Sequence[str]
    folded: bool = False


def _annotated(
    repo: Path, commit: str, paths: Sequence[str], writers: Mapping[str, Record]
) -> tuple[dict[str, list[tuple[str, str]]], dict[str, list[str]]]:
    """Return the lines of each file that is shown, and by reason which files are left out."""
    files: dict[str, list[tuple[str, str]]] = {}
    left_out: dict[str, list[str]] = {}
    for path in paths:
        content = git.read_bytes(repo, commit, path)
        if content is None:
            why = "removed"
        elif Path(path).suffix.lower() in DATA:
            why = "data"
        elif b"\0" in content[:8000]:
            why = "binary"
        elif content.count(b"\n") > LONGEST:
            why = f"more than {LONGEST:,} lines"
        else:
            lines = git.blame(repo, commit, path)
            if writers.keys() & dict(lines).keys():
                files[path] = lines
                continue
            why = "no line by a kept experiment"
        left_out.setdefault(why, []).append(path)
    return files, left_out


def _stretches(lines: Sequence[tuple[str, str]], writers: Mapping[str, Record]) -> list[Stretch]:
    """Cut a file into stretches, and fold the middle of long ones that nobody changed."""
    stretches = []
    for commit, group in itertools.groupby(lines, lambda one: one[0] if one[0] in writers else ""):
        shown = [render.visible(words.rstrip("\r")) for _, words in group]
        if commit or len(shown) <= FOLD:
            stretches.append(Stretch(writers.get(commit), shown))
        else:
            stretches += [
                Stretch(None, shown[:CONTEXT]),
                Stretch(None, shown[CONTEXT:-CONTEXT], folded=True),
            ]
            stretches.append(Stretch(None, shown[-CONTEXT:]))
    return stretches


def _plain(stretch: Stretch) -> str:
    if stretch.folded:
        return f"{_gutter(None)} … {len(stretch.lines)} lines of the starting point\n"
    return "".join(f"{_gutter(stretch.record)} | {words}\n" for words in stretch.lines)


def _block(stretch: Stretch, tints: Mapping[int, str]) -> str:
    """Return a stretch as HTML that the keyboard's focus stops at, when an experiment wrote it."""
    rows = html.escape("".join(f"{_gutter(stretch.record)} │ {words}\n" for words in stretch.lines))
    if stretch.folded:
        return f"<details><summary>{_plain(stretch)}</summary><span>{rows}</span></details>"
    if stretch.record is None:
        return f"<span>{rows}</span>"
    title = html.escape(
        render.visible(f"{stretch.record.n:04d} {_told(stretch.record)}"), quote=True
    )
    style = _style(tints[stretch.record.n])
    return f"<span tabindex='0' title='{title}' style='{style}'>{rows}</span>"


def _legend(wrote: Sequence[Record], tints: Mapping[int, str]) -> str:
    rows = "".join(
        f"<tr><td style='{_style(tints[r.n])}'>{r.n:04d}</td><td style='text-align:left'>"
        f"{html.escape(render.visible(_told(r)))}</td></tr>"
        for r in wrote
    )
    return f"<table>{rows}</table>" if rows else ""


def _style(colour: str) -> str:
    return f"background:rgba({colour},.25);border-left:4px solid rgb({colour})"


def _gutter(record: Record | None) -> str:
    if record is None:
        return " " * 14
    return f"{record.n:04d} {'' if record.delta is None else f'{record.delta:+.3g}':<9}"[:14]


def _told(record: Record) -> str:
    change = "" if record.delta is None else f"{display.change_of(record)} {record.metric}: "
    return change + " ".join(record.hypothesis.split())
