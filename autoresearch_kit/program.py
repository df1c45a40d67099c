"""program.md of a checkout: the research direction, which people edit and proposers read.

It is read as it lies there, uncommitted edits included. The kit adds one thing to it, when a
person asks: a bullet that says what never to propose again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from autoresearch_kit import files, git, records, render
from autoresearch_kit.errors import ProposalError

NAME = "program.md"

_ENDING = re.compile(r"\r\n|\r|\n")
_BULLET = re.compile(r"\s*([-*+]|\d+[.)])\s")
_SAID_ALREADY = re.compile(r"\A([-*+](\s+|\Z)|never again\b:?\s*)+", re.IGNORECASE)


def path(repo: Path) -> Path | None:
    """Return where program.md of a checkout is or would be; None for a bare repository."""
    bare, _, up = git.text(repo, "rev-parse", "--is-bare-repository", "--show-cdup").partition("\n")
    return None if bare == "true" else (repo / up).resolve() / NAME


def read(repo: Path) -> str:
    """Return the text of program.md as it lies in the checkout, "" when there is none.

    Raises
    ------
    ProposalError
        When it is a link that leads out of the checkout, or no file.
    """
    file = path(repo)
    if file is None or not os.path.lexists(file):
        return ""
    return _inside(file).read_bytes().decode("utf-8-sig", errors="replace")


def version(text: str) -> str:
    """Return a short hash of a program.md, by which records name it; "" for none."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text.strip() else ""


def preview(line: str) -> str:
    """Return the bullet that `forbid` would append for a line, "" when the line says nothing."""
    words = _SAID_ALREADY.sub("", render.visible(records.clean(line, len(line))))
    return f"- Never again: {records.clean(words)}" if words else ""


def forbid(repo: Path, line: str) -> str:
    """Append one bullet to program.md that says what never to propose again, and return it.

    What the file holds already stays byte for byte, and so do its line endings and its mode. A
    bullet that it has is not appended again. Nothing is staged or committed.

    Parameters
    ----------
    line
        What to avoid and why, such as ``"dropout: every run of this length got worse"``.

    Raises
    ------
    ProposalError
        When the line says nothing, when the repository is bare, or when program.md is a link
        that leads out of the checkout, no file, or not in UTF-8.
    """
    bullet = preview(line)
    if not bullet:
        raise ProposalError(
            f"There is nothing to append to {NAME}: the line is {line!r}. Expected what to avoid "
            "and why, such as 'dropout: every run of this length got worse'."
        )
    file = path(repo)
    if file is None:
        raise ProposalError(
            f"{repo} is a bare repository: it has no checkout with a {NAME} to append to. Refuse "
            f"with the reason alone, or append to {NAME} of a clone: git clone {repo}"
        )
    with files.locked(git.common_dir(repo) / "autoresearch" / "program.lock"):
        if not os.path.lexists(file):
            file.touch()  # with the mode that the person's files have
        file = _inside(file)
        content = file.read_bytes()
        try:
            text = content.decode().removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise ProposalError(
                f"{file} is not in UTF-8 ({error.reason} at byte {error.start}), and nothing was "
                "appended. Save it as UTF-8 in your editor and repeat the call."
            ) from None
        if bullet not in (before.strip() for before in _ENDING.split(text)):
            mode = stat.S_IMODE(file.stat().st_mode)
            files.write_text(file, content + _added(text, bullet).encode())
            file.chmod(mode)
    return bullet


def _added(text: str, bullet: str) -> str:
    """Return what has to follow `text` for a new item of its last list, or of a list of its own."""
    endings = _ENDING.findall(text)
    ending = endings[-1] if endings else "\n"
    *before, open_line = _ENDING.split(text)  # what stands after the last line ending
    block = []  # lines of the last paragraph or list
    for line in reversed([*before, open_line] if open_line else before):
        if not line.strip():
            break
        block.append(line)
    # Not every Markdown starts a list right under a paragraph.
    apart = bool(block) and not any(map(_BULLET.match, block))
    return f"{ending if open_line else ''}{ending if apart else ''}{bullet}{ending}"


def _inside(file: Path) -> Path:
    """Return the regular file that `file` is or links to, which has to lie in the checkout."""
    top, target = file.parent.resolve(), Path(os.path.realpath(file))
    if not target.is_relative_to(top) or ".git" in target.relative_to(top).parts:
        raise ProposalError(
            f"{file} is a link to {target}, which lies outside the checkout. Expected a file that "
            f"a clone has too. Type: rm {file} && cp {target} {file}"
        )
    if not target.is_file():
        leads = f" (it leads to {target})" if file.is_symlink() else ""
        raise ProposalError(
            f"{file} is no file{leads}. Expected a page of Markdown there: move it away, and "
            "repeat the call."
        )
    return target
