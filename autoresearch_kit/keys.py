"""API keys: which environment variables hold them, environments without them, texts without them.

Only two kinds of process of the kit need keys: the one in which a model is asked, and a coding
agent, which gets those that its caller names. All others start with `without`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

_SHORTEST = 8
"""Characters of a value worth replacing: a shorter one would be found in innocent words."""

_NAME = re.compile(
    # As a word of the name: OPENAI_API_KEY, AWS_ACCESS_KEY_ID, HF_TOKEN, MYSQL_PWD; but not
    # TOKENIZERS_PARALLELISM, MAX_TOKENS, SSH_AUTH_SOCK or PWD.
    r"(?:^|_)(?:KEY|TOKEN|PAT|PASS|CREDENTIALS?)(?:_|$)|_(?:AUTH|PWD)$"
    # Also inside a word: APIKEY, DBPASSWORD, AZURE_CLIENT_SECRET_ID.
    r"|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|AUTHTOKEN|SECRET|PASSWO?R?D|PASSPHRASE"
)

_SHAPES = re.compile(
    # A header in a message: its name stays. A digit tells a key from a name in a line of code.
    r"(?P<header>(?:authorization|api[-_ ]?key)[\"']?\s*[:=]\s*[\"']?"
    r"(?:(?:bearer|basic|token)\s+)?)(?=\S{0,300}\d)[^\s\"',;)}\]]{12,300}"
    # https://name:password@host, and a token in the place of the name
    r"|(?P<login>://[^\s:/@\"']*:)[^\s/@\"']+(?=@)|(?<=://)[^\s:/@\"']{20,}(?=@)"
    # What the large providers give out, wherever it comes from.
    r"|\b(?:sk-(?=[\w-]*\d)[\w-]{16,}|gh[pousr]_\w{30,}|github_pat_\w{30,}|hf_\w{30,}|xox[abp]-[\w-]{20,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{35})",
    re.IGNORECASE,
)

_told: set[str] = set()


def names(environ: Mapping[str, str]) -> list[str]:
    """Return the variables of `environ` that hold keys, tokens or passwords, by their names."""
    return sorted(name for name in environ if _NAME.search(name.upper()))


def without(environ: Mapping[str, str], but: Iterable[str] = ()) -> dict[str, str]:
    """Return `environ` without keys, tokens and passwords, except the variables named in `but`."""
    secret = {*names(environ)} - {*but}
    return {
        name: value
        for name, value in environ.items()
        if name not in secret and (value not in _told or name in but)
    }


def remember(key: str | None) -> None:
    """Let `redact` and `without` know a key that no variable's name gives away."""
    if key and len(key) >= _SHORTEST:
        _told.add(key)


def redact(words: str) -> str:
    """Return `words` with keys replaced: by the name of their variable, or by ``(key)``.

    Found are the values of secret variables of this process, keys that `remember` was told of,
    and what looks like a key, a password in a URL or a header that carries one.
    """
    values = {os.environ[name]: f"${name}" for name in names(os.environ)}
    values = {**dict.fromkeys(_told, "(key)"), **values}
    for value in sorted(values, key=len, reverse=True):  # one may be the beginning of another
        if len(value) >= _SHORTEST:
            words = words.replace(value, values[value])
    return _SHAPES.sub(_shape, words)


def within(data: bytes | str) -> bool:
    """Tell whether a key that `redact` would find is part of `data`."""
    words = data.decode(errors="replace") if isinstance(data, bytes) else data
    return redact(words) != words


def _shape(found: re.Match[str]) -> str:
    return f"{found['header'] or found['login'] or ''}(key)"


class Redacted:
    """A text stream whose writer can't leak a key: what is written goes through `redact`.

    All else is the stream's own.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, words: str) -> int:
        """Write `words` without keys; return how many characters were taken."""
        self._stream.write(redact(words))
        return len(words)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all `lines` without keys."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
