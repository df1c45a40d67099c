"""How many tokens a text is, without the network.

tiktoken downloads a vocabulary when one is first used, which a proposal must not wait for. So one
counts when it lies in tiktoken's cache already; otherwise pieces of the text are counted. To have
one: ``python -c "import tiktoken; tiktoken.get_encoding('o200k_base')"``.

Either way it is an estimate, since every model has a vocabulary of its own: `traits` holds how
much more or less a server reports.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tiktoken

_log = logging.getLogger(__name__)

# SHA-1 of its URL, which is its name in the cache, and SHA-256 of what it holds: tiktoken fetches
# a file anew when that differs.
VOCABULARIES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}
SPLIT = 1.04  # tokens for each piece, since some words fall into more
WIDE = 0.75  # tokens for each Chinese, Japanese or Korean character

_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef]")
_PIECE = re.compile(
    r"(?:[^\w\r\n]|_)?(?:[A-Z]?[a-z]{1,10}|[A-Z]{1,5})"  # a word and the sign before it
    r"|[^\W\d_A-Za-z\u2e80-\U0003ffff]{1,4}"  # a part of a word of other letters
    r"|([!-/:-@\[-`{-~])\1{3,31}[\r\n]*"  # a line of dashes
    r"|\d{1,3}| ?[!-/:-@\[-`{-~]{1,5}[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"  # numbers, signs, space
    r"|[^\s\w]|\w"  # anything else is a token for each character, Chinese and emoji too
)


def count(text: str) -> int:
    """Return about how many tokens `text` is to a language model; never uses the network."""
    if (encoding := _encoding()) is not None:
        try:
            return len(encoding.encode_ordinary(text))
        except Exception as error:  # a panic of tiktoken's Rust code is no reason to stop
            _log.warning("tiktoken can't count a text: %s", error)
    return pieces(text)


def pieces(text: str) -> int:
    """Return the estimate of `count` that needs no vocabulary.

    Notes
    -----
    Against o200k_base and cl100k_base it is 0.94 to 1.04 of their count for Python, Markdown,
    diffs, JSON, logs and tables; for English prose 1.2, German 0.8 to 1.1, Chinese 0.7 to 1.3,
    Russian 0.95 to 1.9: as far apart as the vocabularies are themselves.
    """
    found = SPLIT * sum(1 for _ in _PIECE.finditer(text))
    wide = 0 if text.isascii() else len(text) - len(_WIDE.sub("", text))
    return round(found - (SPLIT - WIDE) * wide)


@functools.lru_cache(maxsize=1)
def _encoding() -> tiktoken.Encoding | None:
    """Return an encoding whose vocabulary is on this machine, None when there is none."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    cache = Path(tempfile.gettempdir(), "data-gym-cache") if folder is None else Path(folder)
    for name, (file, digest) in VOCABULARIES.items():
        try:
            content = (cache / file).read_bytes() if folder != "" else b""
            if hashlib.sha256(content).hexdigest() == digest:
                import tiktoken

                return tiktoken.get_encoding(name)
        except Exception as error:  # whatever is wrong with it: there is an estimate without
            if not isinstance(error, FileNotFoundError):
                _log.info("the vocabulary %s is of no use: %s", name, error)
    return None
