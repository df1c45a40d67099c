"""The campaign's running notes: what its proposers hold true, rewritten every ten experiments.

They are a file that a person may read and edit. A copy lies in git with the experiment whose
proposal rewrote them, so that a clone has them too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autoresearch_kit import files, git, records, render

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign

NAME = "scratchpad.md"

EVERY = 10
"""Decided experiments after which the notes are due to be rewritten."""

MAX_CHARACTERS = 4_000
"""What is longer is cut: notes of about a thousand tokens are read, longer ones only paid for."""

_MAX_LINE = 400
_HEAD = re.compile(r"<!-- after (\d+) experiments -->\n?")


def read(campaign: Campaign) -> str:
    """Return the notes, from this machine or else as git has them; "" while there are none."""
    own = _own(campaign)
    if own is None:
        n = _newest(campaign)
        ref = records.files_ref(campaign.tag, n or 0)
        kept = None if n is None else git.read_bytes(campaign.path, ref, NAME)
        own = (kept or b"").decode(errors="replace")
    return clean(_HEAD.sub("", own))


def is_due(campaign: Campaign) -> bool:
    """Tell whether ten or more experiments were decided since the notes were written."""
    own, n = _own(campaign), _newest(campaign)
    head = _HEAD.match(own) if own else None
    if head:
        then = int(head[1])
    else:
        then = 0 if n is None else sum(1 for r in campaign.records() if 0 < r.n < n)
    return _decided(campaign) - then >= EVERY


def write(campaign: Campaign, text: str) -> str:
    """Replace the notes by `text`, cleaned and at most `MAX_CHARACTERS` long; return them.

    A text that says nothing leaves the notes as they are.
    """
    notes = clean(text)
    if notes:
        head = f"<!-- after {_decided(campaign)} experiments -->\n"
        files.write_text(campaign.state / NAME, f"{head}{notes}\n")
    return notes


def clean(text: str) -> str:
    """Return notes without control characters, long lines or more than `MAX_CHARACTERS`."""
    lines: list[str] = []
    for line in re.split(r"\r\n|\r|\n", _HEAD.sub("", text)):
        words = render.visible(records.clean(line, _MAX_LINE))
        indent = min(len(line) - len(line.lstrip(" ")), 8)
        if words or (lines and lines[-1]):  # one empty line between paragraphs
            lines.append(" " * indent + words if words else "")
    notes = "\n".join(lines).strip("\n")
    if len(notes) <= MAX_CHARACTERS:
        return notes
    whole = notes[: MAX_CHARACTERS - 2].rpartition("\n")[0]
    return f"{whole or notes[: MAX_CHARACTERS - 2]}\n…"


def _own(campaign: Campaign) -> str | None:
    try:
        content = (campaign.state / NAME).read_bytes()
    except OSError:
        return None
    return content.decode(errors="replace") if content.strip() else None


def _newest(campaign: Campaign) -> int | None:
    """Return the experiment whose proposal rewrote the notes last; its record says so."""
    found = (record.n for record in reversed(campaign.records()) if record.proposal.get("notes"))
    return next(found, None)


def _decided(campaign: Campaign) -> int:
    return sum(1 for record in campaign.records() if record.n > 0)
