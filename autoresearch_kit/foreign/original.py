"""The original's results.tsv, as karpathy/autoresearch prescribes it (program.md, commit 228791f).

Five columns: a commit of 7 digits, the metric with 6 decimals, memory in GB (MB/1024) with one, a
status and what was tried; a crash has 0.000000 and 0.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from autoresearch_kit import records
from autoresearch_kit.records import Record

HEADER = "commit\t{metric}\tmemory_gb\tstatus\tdescription"
STATUSES = ("keep", "discard", "crash")
WORDS = 10_000  # characters of a description


def write(found: Iterable[Record], metric: str, labels: Mapping[int, str]) -> str:
    """Return the text of a results file with the records that it has a status for.

    `labels` are what stands in place of a commit where a record has none, by number.
    """
    rows = [HEADER.format(metric=metric or "metric")]
    for record in found:
        if record.status in STATUSES:
            label = record.commit[:7] or records.clean(labels.get(record.n, "")) or "none"
            rows.append("\t".join((label, *_cells(record))))
    return "".join(f"{row}\n" for row in rows)


def is_part(text: str, found: Iterable[Record], labels: Mapping[int, str]) -> bool:
    """Tell whether a file is a results file with no row but those of the records `found`."""
    head, *rows = text.splitlines() or [""]
    known = {record.commit[:7] for record in found} | {*labels.values(), "none"}
    return head.count("\t") == 4 and {row.partition("\t")[0] for row in rows} <= known


def _cells(record: Record) -> tuple[str, str, str, str]:
    value, memory = record.value, (record.peak_memory_mb or 0.0) / 1024
    if record.status == "crash":
        value, memory = 0.0, 0.0
    # What ran and has no number must look neither like a crash nor like a very good one.
    number = "nan" if value is None else f"{value:.6f}"
    words = records.clean(record.hypothesis, WORDS)
    if words.startswith('"'):  # readers of tables would look for its end on the lines below
        words = words.replace('"', "'")
    return number, f"{memory:.1f}", record.status, words
