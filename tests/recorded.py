"""A repository with any number of decided experiments, made by one `git fast-import`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from autoresearch_kit import records
from autoresearch_kit.records import Record

TRAIN = "LR = {lr}\nDEPTH = 4\nprint('training')\n"


def record(n: int, status: str, value: float | None = None, **more: object) -> Record:
    """Return a record with the fields that every decided experiment has."""
    fields: dict[str, object] = {
        "campaign": "nov23",
        "commit": "",
        "hypothesis": "baseline" if n == 0 else f"idea {n}",
        "parent": None if n == 0 else 0,
        "author": "TPE()",
        "approver": "Ada <ada@example.org>",
        "metric": "val_loss",
        "unit": "nats",
        "value": value,
        "replicates": () if value is None else ({"seed": 1, "value": value},),
        "constants": {"LR": 0.04 + n / 1000, "DEPTH": 4},
        "decided": f"2026-11-23T10:{n // 60 % 60:02d}:{n % 60:02d}+00:00",
        "versions": {"kit": "0.1.0"},
    }
    return Record(n=n, status=status, **{**fields, **more})  # type: ignore[arg-type]


def write(
    repo: Path, decided: Iterable[Record], files: Mapping[int, Mapping[str, str]] | None = None
) -> Path:
    """Make `repo` with a commit and a tag for each record and return it.

    A commit holds `files` of its number, by default a ``train.py`` whose constant changes; it
    stands on the commit of its parent in the same campaign.
    """
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    stream = bytearray()

    def put(line: str, text: str | None = None) -> None:
        stream.extend(line.encode())
        if text is not None:
            data = text.encode()
            stream.extend(b"data %d\n%b\n" % (len(data), data))

    marks: dict[tuple[str, int], int] = {}
    for mark, item in enumerate(decided, start=1):
        who = f"A <a@example.org> {1_700_000_000 + mark} +0000\n"
        marks[item.campaign, item.n] = mark
        put(f"commit refs/autoresearch/{item.campaign}/{item.n:04d}\nmark :{mark}\ncommitter {who}")
        put("", item.hypothesis)
        if item.parent is not None:
            put(f"from :{marks[item.campaign, item.parent]}\n")
        default = {"train.py": TRAIN.format(lr=0.04 + item.n / 1000)}
        for path, text in (files or {}).get(item.n, default).items():
            put(f"M 100644 inline {path}\n", text)
        put(f"tag {records.tag_name(item.campaign, item.n)}\nfrom :{mark}\ntagger {who}")
        put("", item.message())
    put("reset refs/heads/main\nfrom :1\n\n")
    import_ = ["git", "-C", str(repo), "fast-import", "--quiet"]
    subprocess.run(import_, input=bytes(stream), check=True)
    return repo
