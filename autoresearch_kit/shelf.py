"""Where proposals lie: a folder for each, among the open ones or put away."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import files


def new_id() -> str:
    """Return an id for a proposal; later ones sort behind earlier ones."""
    return f"{time.time_ns():019d}-{secrets.token_hex(4)}"


def place(state: Path, id: str) -> Path:
    """Return the folder of a proposal in a campaign's `state` folder."""
    opened = state / "proposals" / "open" / id
    return opened if (opened / "proposal.json").exists() else state / "proposals" / "done" / id


def opened(state: Path) -> list[str]:
    """Return the ids of the proposals that aren't put away, oldest first."""
    found = (state / "proposals" / "open").glob("[0-9]*/proposal.json")
    return sorted(path.parent.name for path in found)


def put(
    state: Path,
    id: str,
    table: Mapping[str, Any],
    attachments: Mapping[str, str | bytes],
    decision: Mapping[str, Any] | None = None,
) -> None:
    """Write a new proposal in one step, decided already when a `decision` is given."""
    making = state / "proposals" / f".{id}"
    for name, content in attachments.items():
        files.write_text(making / "attachments" / name, content)
    if decision:
        files.write_json(making / "decision.json", decision)
    files.write_json(making / "proposal.json", table)
    target = state / "proposals" / "open" / id
    target.parent.mkdir(parents=True, exist_ok=True)
    making.rename(target)


def put_away(state: Path, id: str) -> None:
    """Move a proposal out of the open ones; a repeat does nothing."""
    target = state / "proposals" / "done" / id
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (state / "proposals" / "open" / id).rename(target)
