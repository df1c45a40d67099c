"""What a person sees of slow work: bars over runs, and what a proposer is told and thinks."""

from __future__ import annotations

import contextlib
import contextvars
import html
import logging
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tqdm.auto import tqdm

from autoresearch_kit import keys, render

STREAM_SECONDS = 0.1
TICK_SECONDS = 1.0
LINE_SECONDS = 30.0  # between two lines of a log
KEPT = 60_000  # characters of what was said; they stay in the notebook
LIVE = 4_000  # ... of which these are shown while more comes
_FONT = "font:12px/1.45 var(--jp-code-font-family,ui-monospace,monospace)"
# JupyterLab would break inside words.
_WRAP = "white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere"
_PAPER = f"{_FONT};{_WRAP};margin:4px 0 0;overflow:auto"
# Laid out from below, so that the newest lines are in sight without a script.
_WINDOW = "display:flex;flex-direction:column-reverse;height:11em;overflow:auto"
_FIRST_WORD = re.compile(r"\A\S{1,2000}")
_SENT_BACK = "\n\n[asked to try again"  # how a piece about a reply that was sent back begins

_log = logging.getLogger(__name__)


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


@contextlib.contextmanager
def streaming(title: str) -> Iterator[None]:
    """Show what is said meanwhile to whoever looks at this process.

    In a notebook it is a window of the last lines under the cell, which is folded away when the
    work ends; in a terminal one line that counts; in a log a line now and then. Where somebody
    listens already, on other threads than the main one and in a notebook at which nobody looks
    this does nothing.

    Parameters
    ----------
    title
        What is at work, such as ``"LLM proposes"``.
    """
    view: Callable[[], _View] | None = None
    if _sink.get() is None and threading.current_thread() is threading.main_thread():
        if in_front_end():
            view = _cell
        elif not in_notebook() and sys.stderr is not None:
            view = _line if sys.stderr.isatty() else _lines
    if view is None:
        yield
        return
    said = _Said(title, view())
    try:
        with listening(said.add), said.aside() if view is _line else contextlib.nullcontext():
            yield
    except BaseException as error:
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        said.end(words)
        raise
    said.end("")


_View = Callable[["_Said", bool], None]


class _Said:
    """A text that grows, and how it is drawn: at most ten times a second, at least each second."""

    def __init__(self, title: str, draw: _View) -> None:
        self.title, self.error = render.visible(" ".join(title.split())), ""
        self.text, self.count, self.began = "", 0, time.monotonic()
        self.sent_back: list[str] = []
        self._draw, self._drawn = draw, (0, 0.0)  # how much of the text, and when
        # A proposer may speak on threads of its own; who draws may log, and so come back.
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._show()
        self._follower = threading.Thread(target=self._follow, name="streaming", daemon=True)
        self._follower.start()

    def add(self, piece: str) -> None:
        """Take a piece of the text; it is in sight within a tenth of a second."""
        with self._lock:
            self.count += len(piece)
            self.text = (self.text + piece)[-KEPT:]
            if piece.startswith(_SENT_BACK):
                self.sent_back.append(piece.strip().removeprefix("[").removesuffix("]"))

    def end(self, error: str) -> None:
        """Draw it for the last time, with the first line of what went wrong, if anything did."""
        self._over.set()
        self._follower.join()
        self.error = render.visible(keys.redact(error))
        self._show()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Let what is logged meanwhile start on a line of its own, not behind the counting."""

        def clear(_: logging.LogRecord) -> bool:
            with self._lock, contextlib.suppress(Exception):  # see `_show`
                self._drawn = self.count, time.monotonic()  # not again before it is printed
                blank = " " * (shutil.get_terminal_size().columns - 1)
                print(f"\r{blank}", end="\r", file=sys.stderr, flush=True)
            return True

        # A logger's own filter doesn't see the records of its children; that of a handler does.
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        handlers = {handler for logger in loggers for handler in getattr(logger, "handlers", ())}
        handlers |= {logging.lastResort} - {None}
        for handler in handlers:
            handler.addFilter(clear)
        try:
            yield
        finally:
            for handler in handlers:
                handler.removeFilter(clear)

    def shown(self, most: int) -> str:
        """Return the end of the text, for a notebook that is saved: without keys."""
        text = self.text[-2 * most :]
        if len(text) < self.count:
            text = _FIRST_WORD.sub("", text, count=1)  # it may be half a key
        return render.visible(keys.redact(text)[-most:].replace("\r\n", "\n"))

    @property
    def line(self) -> str:
        """The title, and what there is so far."""
        seconds = time.monotonic() - self.began
        size = f"{self.count:,} characters, " if self.count else ""
        failed = f": {self.error}" if self.error else ""
        return f"{self.title}: {size}{seconds:.0f} s{failed}"

    def _follow(self) -> None:
        while not self._over.wait(STREAM_SECONDS):
            count, at = self._drawn
            if self.count != count or time.monotonic() - at >= TICK_SECONDS:
                self._show()

    def _show(self) -> None:
        with self._lock:
            self._drawn = self.count, time.monotonic()
            try:
                self._draw(self, self._over.is_set())
            except Exception:  # a closed terminal, a kernel that ends: the work goes on
                _log.debug("nobody sees what %s", self.title, exc_info=True)


def _cell() -> _View:
    """Draw under the present cell of a notebook."""
    shown: list[Any] = []

    def draw(said: _Said, over: bool) -> None:
        kept = said.shown(KEPT if over else LIVE)
        left_out = "" if len(said.text) == said.count else "(the beginning is left out)\n"
        text = html.escape(left_out + kept if over else kept)
        title = html.escape(said.line)
        if not over:
            inner = f"<div style='{_WINDOW}'><pre style='{_PAPER};flex:none'>{text}</pre></div>"
            page = render.Page(said.line, f"<div>{title}{inner}</div>")
        elif text:
            inner = f"<pre style='{_PAPER};max-height:30em'>{text}</pre>"
            page = render.Page(said.line, f"<details><summary>{title}</summary>{inner}</details>")
        else:
            page = render.Page(said.line, f"<div>{title}</div>")
        if shown:
            shown[0].update(page)
        else:
            shown.append(display(page))

    return draw


def _line() -> _View:
    """Draw on the present line of a terminal."""

    def draw(said: _Said, over: bool) -> None:
        # Each line is at least as long as the one before it, so nothing has to be cleared.
        width = shutil.get_terminal_size().columns - 1
        line = said.line if over else said.line[:width]
        print(f"\r{line}", end="\n" if over else "", file=sys.stderr, flush=True)

    return draw


def _lines() -> _View:
    """Print a line now and then into a log."""
    at, told = 0.0, -1  # when the last one was, and how many replies that were sent back are told

    def draw(said: _Said, over: bool) -> None:
        nonlocal at, told
        now, lines = time.monotonic(), []
        if told < 0:
            lines, at, told = [said.title], now, 0
        lines += [f"{said.title}: {render.visible(keys.redact(w))}" for w in said.sent_back[told:]]
        told = len(said.sent_back)
        if now - at >= LINE_SECONDS and not over:
            at = now
            lines.append(said.line)
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    return draw
