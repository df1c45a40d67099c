"""A progress bar for whoever waits for a run; the run itself doesn't need one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
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
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent("shell") if kernel is not None else {}
    return bool(request.get("content", {}).get("allow_stdin", False))
