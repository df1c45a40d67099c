"""What was learned of a model on a server: one small JSON file, shared by kernels and nights.

It holds no secret and nothing that can't be learned again: deleting it is always safe.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from autoresearch_kit import files
from autoresearch_kit.errors import DiskFull

Form = Literal["blocks", "file"]

_log = logging.getLogger(__name__)

FORGOTTEN = 12 * 3600.0  # seconds after which what a server refused may be another thing
CALIBRATING = 100  # tokens of a prompt that is long enough to learn from
LEARNING = 0.3  # weight of the latest prompt in `ratio`
RATIOS = (0.55, 3.0)  # what a tokenizer does to an estimate; beyond, numbers mean another thing
FADING, IDLE = 0.95, 0.98  # what is left of a form's record after a reply in it, in the other
MARGIN, FAILURES = 0.2, 1.5  # how much more, and how often at least, blocks have to fail


@dataclass(frozen=True)
class Traits:
    """What is known of one model on one server.

    Attributes
    ----------
    dropped
        Request parameters that it doesn't take (``"system"`` is the role). Forgotten after half a
        day, for a server may have been unwell only.
    dropped_since
        When the last of them was learned, in seconds since 1970.
    ratio
        Prompt tokens that it reports for each one that `tokens.count` estimates.
    context
        Tokens of prompt and reply together that it has room for. Forgotten after half a day, for
        servers are started anew with more.
    context_since
        When that was learned, in seconds since 1970.
    seen
        Prompt tokens of the longest prompt that it took.
    replies
        Replies that could be read and applied, and that could not, by form. Old ones fade.
    """

    dropped: tuple[str, ...] = ()
    dropped_since: float = 0.0
    ratio: float | None = None
    context: int | None = None
    context_since: float = 0.0
    seen: int | None = None
    replies: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def server(base_url: str) -> str:
    """Return what a server is remembered and named by: its URL without user, query and slash."""
    try:
        url = urlsplit(base_url.strip())
        host, port = url.hostname or "", url.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{host}{f':{port}' if port else ''}{url.path.rstrip('/')}"


def read(memory: Path, server: str, model: str) -> Traits:
    """Return what is remembered; all unknown when nothing is, or the file is damaged."""
    return _traits(_entry(_table(memory), server, model))


def update(
    memory: Path,
    server: str,
    model: str,
    *,
    dropped: tuple[str, ...] = (),
    prompt: tuple[int, int] | None = None,
    context: int | None = None,
    reply: tuple[str, bool] | None = None,
) -> Traits:
    """Add to what is remembered and return it. Never raises: what can't be written is forgotten.

    Parameters
    ----------
    dropped
        Parameters to leave out from now on.
    prompt
        Tokens of a whole prompt as estimated and as reported, which calibrates `Traits.ratio`
        unless it is a short one.
    context
        Tokens that the model has room for.
    reply
        The form of a reply (``"blocks"`` or ``"file"``), and whether it could be read and applied.
    """
    changed = _changed(Traits(), dropped, prompt, context, reply)
    try:
        with files.locked(memory.with_name(f"{memory.name}.lock")):
            table = _table(memory)
            old = _traits(_entry(table, server, model))
            changed = _changed(old, dropped, prompt, context, reply)
            models = table.get(server)
            models = models if isinstance(models, dict) else {}
            if changed != old:
                table[server] = {**models, model: asdict(changed)}
                files.write_json(memory, table)
    except (OSError, DiskFull) as error:
        _log.warning("What was learned of %s on %s is not remembered: %s", model, server, error)
    return changed


def preferred(traits: Traits) -> Form:
    """Return the form to ask for: search/replace blocks, or the whole file where blocks fail.

    Blocks cost fewer tokens, so they have to be clearly worse, at least twice. Whole files are
    what weak models write best; since the record of an unused form fades, blocks get another
    chance after a dozen whole files.
    """
    _, failures = traits.replies.get("blocks", (0, 0))
    worse = _failing(traits, "blocks") - _failing(traits, "file")
    return "file" if failures >= FAILURES and worse > MARGIN else "blocks"


def _failing(traits: Traits, form: str) -> float:
    """Return the share of replies that fail, with a tenth of two replies as what to expect."""
    good, bad = traits.replies.get(form, (0.0, 0.0))
    return (bad + 0.2) / (good + bad + 2)


def _changed(
    old: Traits,
    dropped: tuple[str, ...],
    prompt: tuple[int, int] | None,
    context: int | None,
    reply: tuple[str, bool] | None,
) -> Traits:
    new = replace(old, dropped=tuple(dict.fromkeys((*old.dropped, *dropped))))
    if new.dropped != old.dropped:
        new = replace(new, dropped_since=round(time.time()))
    if context is not None:
        new = replace(new, context=context, context_since=round(time.time()))
    if prompt is not None and prompt[0] >= CALIBRATING:
        estimated, reported = prompt
        new = replace(new, seen=max(old.seen or 0, reported))
        if new.context is not None and reported > new.context:
            new = replace(new, context=None, context_since=0.0)
        ratio = reported / estimated
        if RATIOS[0] <= ratio <= RATIOS[1]:
            was = old.ratio if old.ratio is not None else ratio
            new = replace(new, ratio=round(was + LEARNING * (ratio - was), 4))
    if reply is not None:
        form, read = reply
        replies = {name: _faded(counts, IDLE) for name, counts in old.replies.items()}
        good, bad = _faded(old.replies.get(form, (0.0, 0.0)), FADING)
        replies[form] = (good + read, bad + (not read))
        new = replace(new, replies=replies)
    return new


def _faded(counts: tuple[float, float], left: float) -> tuple[float, float]:
    good, bad = counts
    return round(good * left, 3), round(bad * left, 3)


def _table(memory: Path) -> dict[str, Any]:
    try:
        return files.read_table(memory)
    except (OSError, RecursionError):
        return {}


def _entry(table: Mapping[str, Any], server: str, model: str) -> Mapping[str, Any]:
    models = table.get(server)
    entry = models.get(model) if isinstance(models, dict) else None
    return entry if isinstance(entry, dict) else {}


def _traits(entry: Mapping[str, Any]) -> Traits:
    """Return what an entry of the file says, as far as it makes sense."""
    dropped, replies = entry.get("dropped"), entry.get("replies")
    counts = {}
    for form, pair in (replies if isinstance(replies, dict) else {}).items():
        if form in ("blocks", "file") and isinstance(pair, list) and len(pair) == 2:
            good, bad = (_number(count, 0, 1e6) for count in pair)
            if good is not None and bad is not None:
                counts[form] = (good, bad)
    now = time.time()
    context, seen = _number(entry.get("context"), 1, 1e9), _number(entry.get("seen"), 0, 1e9)
    since, dropped_since = (
        _number(entry.get(f"{name}_since"), now - FORGOTTEN, now + FORGOTTEN)
        for name in ("context", "dropped")
    )
    if since is None:
        context = None
    if dropped_since is None or not isinstance(dropped, list):
        dropped = []
    names = tuple(name for name in dropped if isinstance(name, str))
    return Traits(
        dropped=names,
        dropped_since=dropped_since or 0.0 if names else 0.0,
        ratio=_number(entry.get("ratio"), *RATIOS),
        context=None if context is None else int(context),
        context_since=0.0 if context is None else since or 0.0,
        seen=None if seen is None else int(seen),
        replies=counts,
    )


def _number(value: Any, low: float, high: float) -> float | None:
    fits = isinstance(value, int | float) and isfinite(value) and low <= value <= high
    return float(value) if fits and not isinstance(value, bool) else None
