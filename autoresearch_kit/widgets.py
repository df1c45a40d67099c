"""The only file that talks to a notebook's front end: five widgets, and who is there to see them.

A widget here knows nothing of campaigns: it holds what is shown, hands messages to a function and
sends answers back. The JavaScript is built from ``frontend/`` and shipped in ``static/``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from autoresearch_kit.errors import AutoresearchError

STATIC = Path(__file__).parent / "static"

STREAM_SECONDS = 0.1

Hear = Callable[[Mapping[str, Any]], str]
"""Takes a message and returns what to tell the person; an error of the kit is told as well."""

_log = logging.getLogger(__name__)


class Shown(anywidget.AnyWidget):
    """A widget that is a page of text and HTML as well, where no widget can be shown.

    Parameters
    ----------
    still
        Returns text and HTML of the present state: for GitHub, exports and closed kernels.
    hear
        What to do about a message from the page. Messages may come on any thread, one at a time.
    """

    def __init__(self, still: Callable[[], tuple[str, str]], hear: Hear, **traits: Any) -> None:
        self._still, self._hear = still, hear
        self._one_at_a_time = threading.Lock()
        self.displayed = False
        super().__init__(**traits)
        self.on_msg(self._heard)

    def _heard(self, _: Any, message: Mapping[str, Any], __: Any = None) -> None:
        with self._one_at_a_time:
            answer = {"type": "answer", "to": message.get("type"), "ok": True}
            try:
                answer["text"] = self._hear(message)
            except AutoresearchError as error:
                answer |= {"ok": False, "text": str(error)}
            except Exception as error:
                _log.exception("a message of a widget failed: %s", message.get("type"))
                answer |= {"ok": False, "text": f"{type(error).__name__}: {error}"}
            if answer["text"] or not answer["ok"]:
                self.send(answer)

    def __repr__(self) -> str:
        return self._still()[0]

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        self.displayed = True
        text, html = self._still()
        return {**bundle[0], "text/plain": text, "text/html": html}, bundle[1]


class ReviewWidget(Shown):
    """A patch to approve, edit, refuse or send back; `page` is all that it shows."""

    _esm = STATIC / "review.js"
    _css = STATIC / "review.css"
    page = traitlets.Dict().tag(sync=True)

    def __await__(self) -> Any:
        """Wait for the decision where somebody looks; see `autoresearch_kit.reviews`."""
        return self.decided().__await__()

    decided: Callable[[], Any]


class MonitorWidget(Shown):
    """A run while it trains: `run` never changes, `now`, `curve` and `log` do."""

    _esm = STATIC / "monitor.js"
    _css = STATIC / "monitor.css"
    run = traitlets.Dict().tag(sync=True)
    now = traitlets.Dict().tag(sync=True)
    curve = traitlets.List(traitlets.Any()).tag(sync=True)
    log = traitlets.Unicode().tag(sync=True)


class DashboardWidget(Shown):
    """A campaign and its night: `board` is the state now, `rows` the ledger."""

    _esm = STATIC / "dashboard.js"
    _css = STATIC / "dashboard.css"
    board = traitlets.Dict().tag(sync=True)
    rows = traitlets.List(traitlets.Any()).tag(sync=True)
    review = traitlets.Unicode().tag(sync=True)
    desk: Any  # keeps the proposals that the embedded review shows


class ExplorerWidget(Shown):
    """The staircase of a campaign: `board` names its metric, `rows` are as in the dashboard."""

    _esm = STATIC / "explore.js"
    _css = STATIC / "explore.css"
    board = traitlets.Dict().tag(sync=True)
    rows = traitlets.List(traitlets.Any()).tag(sync=True)


class PasteWidget(Shown):
    """A prompt to copy and a box for the reply: `page` never changes, `now` does."""

    _esm = STATIC / "paste.js"
    _css = STATIC / "paste.css"
    page = traitlets.Dict().tag(sync=True)
    now = traitlets.Dict().tag(sync=True)


class Stream:
    """Sends a text while it grows, in at most ten pieces a second."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._held: list[str] = []
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        send({"type": "stream", "state": "begin"})

    def add(self, text: str) -> None:
        """Take a piece of the text; it is on its way within a tenth of a second."""
        with self._lock:
            self._held.append(text)
            if self._timer is None:
                self._timer = threading.Timer(STREAM_SECONDS, self._flush)
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """Send what is left."""
        if (timer := self._timer) is not None:
            timer.cancel()
        self._flush()
        self._send({"type": "stream", "state": "end"})

    def _flush(self) -> None:
        with self._lock:
            held, self._held, self._timer = self._held, [], None
            if held:
                self._send({"type": "append", "text": "".join(held)})
