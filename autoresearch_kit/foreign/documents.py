"""Files as they come: their bytes as tables of rows, or why they are no history."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import journal, results
from autoresearch_kit.foreign.tables import Table

MOST_BYTES = 32 << 20
"""Size of a file up to which it is taken for a history: some 100,000 experiments."""

RESULTS = ("results.tsv", "results.csv")
_LIKE_RESULTS = re.compile(r"[\w.-]*(?:results?|experiments?)[\w.-]*\.(?:tsv|csv|jsonl)")
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


def tables(name: str, data: bytes, goal: str | None) -> tuple[list[Table], str]:
    """Return what a file holds, and ``journal`` or ``results``.

    Raises
    ------
    CampaignError
        When it is no text, one JSON document, or has nothing that could be an experiment.
    """
    text = _decoded(name, data)
    begins = text.lstrip()[:1]
    if begins in ("{", "[") and (whole := _document(text)) is not None:
        kind = "a notebook" if isinstance(whole, dict) and "cells" in whole else "a JSON document"
        raise CampaignError(
            f"{name} is {kind}, not a history. {results.EXPECTED}; or JSON lines: one object on "
            "each line"
        )
    if begins == "{":
        found, source = journal.segments(text, name, goal), "journal"
    else:
        found, source = [results.read(text, name, goal)], "results"
    if not any(table.rows for table in found):
        raise CampaignError(f"{name} has no rows yet; expected one for each experiment")
    return found, source


def candidates(paths: Sequence[str]) -> list[str]:
    """Return the paths that may hold a history, the likeliest first."""
    ranked = []
    for path in dict.fromkeys(paths):
        place = PurePosixPath(path)
        deep = len(place.parts) - 1
        if path in journal.PATHS:
            rank = journal.PATHS.index(path)
        elif place.name == "autoresearch.jsonl" or path.endswith("/.auto/log.jsonl"):
            rank = 2
        elif place.name in RESULTS:
            rank = 3
        elif not deep and len(path) < 256 and _LIKE_RESULTS.fullmatch(place.name.lower()):
            rank = 4
        else:
            continue
        ranked.append((rank, deep, path))
    return [path for _, _, path in sorted(ranked)]


def check_size(name: str, size: int) -> None:
    """Raise when a file is much larger than a history can be."""
    if size > MOST_BYTES:
        raise CampaignError(
            f"{name} has {size >> 20:,} MiB, so it is not read; expected a line for each "
            f"experiment, at most {MOST_BYTES >> 20} MiB. Cut it down to its last lines."
        )


def _document(text: str) -> Any:
    """Return what a text of several lines is as one JSON document; None when it is none."""
    if "\n" not in text.strip() and not text.lstrip().startswith("["):
        return None  # a journal of one line
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _decoded(name: str, data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    data = data.rstrip(b"\0")  # what a crash of the machine leaves at the end of a file
    if b"\0" in data or 50 * len(_CONTROL.findall(data)) > len(data):
        raise CampaignError(f"{name} is no text: it has binary content. {results.EXPECTED}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
