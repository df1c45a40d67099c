"""Clones in which others worked: branches of commits, made by one `git fast-import`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

TRAIN = "LR = {lr}\nDEPTH: int = 4\n\n\ndef train():\n    return LR\n"


def commit_all(
    repo: Path,
    messages: Iterable[str | tuple[str, Mapping[str, str]]],
    branch: str = "main",
    start: str = "",
) -> list[str]:
    """Commit each message on `branch` (from the branch `start`) and return the commits.

    A message without files changes a constant of ``train.py``. The clone has `branch` checked out.
    """
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    ref = f"refs/heads/{branch}"
    stream = b""
    for n, item in enumerate(messages):
        message, files = item if isinstance(item, tuple) else (item, None)
        parent = f"from refs/heads/{start}^0\n" if start and not n else ""
        stream += f"commit {ref}\nmark :{n + 1}\n".encode()
        stream += f"author Bo <bo@example.org> {1_772_000_000 + n} +0100\n".encode()
        stream += f"committer Bo <bo@example.org> {1_772_000_000 + 60 * n} +0100\n".encode()
        stream += _data(message) + parent.encode()
        for path, text in (files or {"train.py": TRAIN.format(lr=n / 100)}).items():
            stream += f"M 100644 inline {path}\n".encode() + _data(text)
    marks = repo / ".git" / "marks"
    command = ["git", "-C", str(repo), "fast-import", "--quiet", f"--export-marks={marks}"]
    subprocess.run(command, input=stream, check=True)
    subprocess.run(["git", "-C", str(repo), "checkout", "-qf", branch], check=True)
    marked = dict(line.split() for line in marks.read_text().splitlines())
    return [marked[f":{n + 1}"] for n in range(len(marked))]


def _data(text: str) -> bytes:
    data = text.encode()
    return b"data %d\n%b\n" % (len(data), data)
