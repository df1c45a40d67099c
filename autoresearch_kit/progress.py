"""A progress bar for whoever waits for a run; the run itself doesn't need one."""

from __future__ import annotations

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tqdm.auto import tqdm


class Bar:
    """A tqdm bar over a run's budget, with phase, loss, tokens a second and time left."""

    def __init__(self) -> None:
        self._state: Mapping[str, Any] = {}
        self._said: tuple[str, int, str] | None = None
        self._bar: Any = tqdm(total=100, bar_format="{desc} |{bar}| {percentage:3.0f}%{postfix}")

    def show(self, state: Mapping[str, Any]) -> None:
        """Draw what a ``status.json`` says."""
        self._state = state
        share = round(100 * float(state.get("progress") or 0.0))
        now = (str(state.get("phase", "")), share, describe(state))
        if now != self._said:
            self._said = now
            self._draw(*now)

    def close(self, phase: str) -> None:
        """Leave the bar as it is, with its last word."""
        share = 100 if phase in ("done", "scored") else (self._said or ("", 0))[1]
        self._draw(phase, share, describe({**self._state, "phase": phase}))
        self._bar.close()

    def _draw(self, phase: str, share: int, line: str) -> None:
        self._bar.n = share
        self._bar.set_description_str(phase, refresh=False)
        self._bar.set_postfix_str(line, refresh=True)


def counter(total: int | None) -> Any:
    """Return a bar that counts experiments; without a total it only counts."""
    form = "{desc} |{bar}| {n_fmt}/{total_fmt} experiments{postfix}"
    return tqdm(total=total, bar_format=form if total else "{desc}: {n_fmt} experiments{postfix}")


def describe(state: Mapping[str, Any]) -> str:
    """Return one line on a run's state: queue, loss, tokens a second, time left."""
    if state.get("queue"):
        return f"queued {state['queue']}"
    parts = []
    if state.get("loss") is not None:
        parts.append(f"loss {state['loss']:.3f}")
    if state.get("tokens_per_second"):
        parts.append(f"{state['tokens_per_second']:,.0f} tokens/s")
    progress, seconds = state.get("progress") or 0.0, state.get("training_seconds") or 0.0
    if state.get("phase") == "training" and progress > 0.01:
        parts.append(f"{seconds * (1 - progress) / progress:.0f} s left")
    elif not parts and state.get("seconds"):
        parts.append(f"{state['seconds']:.0f} s")
    return ", ".join(parts)


def in_front_end() -> bool:
    """Tell whether a person looks at this kernel, and so whether a cell may return early.

    Notebook front ends accept input requests; nbclient, papermill and scripts don't.
    """
    kernel = _kernel()
    request = kernel.get_parent("shell") if kernel is not None else {}
    return bool(request.get("content", {}).get("allow_stdin", False))


def in_notebook() -> bool:
    """Tell whether this is a notebook's kernel, whether or not somebody looks at it."""
    return _kernel() is not None


def display(what: object) -> Any:
    """Show something in the present cell and return a handle whose `update` replaces it."""
    from IPython.display import display as show

    return show(what, display_id=True)  # type: ignore[no-untyped-call]


def _kernel() -> Any:
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None)


_sink: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar(
    "sink", default=None
)


def say(text: str) -> None:
    """Pass on a piece of what a proposer is told or thinks, to whoever listens.

    Nobody has to: without a listener this does nothing.
    """
    if (sink := _sink.get()) is not None:
        sink(text)


@contextlib.contextmanager
def listening(sink: Callable[[str], None]) -> Iterator[None]:
    """Hand `sink` all that is said in this thread meanwhile."""
    before = _sink.set(sink)
    try:
        yield
    finally:
        _sink.reset(before)
