"""On whose behalf a proposal is made: a cell's, or a night's.

The caller's key goes into the proposal's folder with its first byte, so that a kill right after
leaves nothing that is nobody's.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_key: contextvars.ContextVar[str] = contextvars.ContextVar("key", default="")


def key() -> str:
    """Return the key of the present caller; empty when nobody said."""
    return _key.get()


@contextlib.contextmanager
def of(key: str) -> Iterator[None]:
    """Let what is drafted in this thread meanwhile belong to the caller that `key` describes."""
    before = _key.set(key)
    try:
        yield
    finally:
        _key.reset(before)
