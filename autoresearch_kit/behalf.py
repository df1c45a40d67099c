"""On whose behalf a proposal is made: a cell's, or a night's; and on which state of the campaign.

The caller's key goes into the proposal's folder with its first byte, so that a kill right after
leaves nothing that is nobody's. The state is the one that was the best when the proposer was
asked: what is kept while a slow one thinks must not be undone by the text that it brings.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

_caller: contextvars.ContextVar[tuple[str, Any]] = contextvars.ContextVar(
    "caller", default=("", None)
)


def key() -> str:
    """Return the key of the present caller; empty when nobody said."""
    return _caller.get()[0]


def parent() -> Any:
    """Return the experiment that was the best when the proposer was asked; None if nobody said."""
    return _caller.get()[1]


@contextlib.contextmanager
def of(key: str, parent: Any = None) -> Iterator[None]:
    """Let what is drafted in this thread meanwhile belong to the caller that `key` describes."""
    before = _caller.set((key, parent))
    try:
        yield
    finally:
        _caller.reset(before)
