"""What one cell of a results file says: a number, a hash, a verdict, a moment."""

from __future__ import annotations

import email.utils
import functools
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

VERDICTS = ("keep", "discard", "crash", "refused", "quarantine")
BLANK = frozenset(
    ("", "-", "--", "—", "–", "?", "na", "n/a", "none", "null", "nil", "tbd", "pending", "unknown")
)

_WORDS = {
    "keep": "keep keeps kept accept accepts accepted improve improved improvement improves better "
    "win advance advanced adopt adopted merged 保留 ✓ ✔ ✅ 👍",
    "discard": "discard discards discarded reject rejects rejected revert reverts reverted "
    "rollback rolledback drop dropped regress regressed regression worse kill undo undone "
    "abandon abandoned unchanged 回滚 ✗ ✘ ❌ 👎",
    "crash": "crash crashes crashed fail fails failed failure error errored oom timeout timedout "
    "nan exception broken diverged",
    "refused": "refused",
    "quarantine": "quarantine quarantined",
}
_VERDICT = {word: verdict for verdict, words in _WORDS.items() for word in words.split()}
_YES_NO = dict.fromkeys(("yes", "y", "true", "1", "1.0"), "keep")
_YES_NO |= dict.fromkeys(("no", "n", "false", "0", "0.0"), "discard")
_PHRASES = (
    (re.compile(r"\b(?:no|not|without|never|n't|failed to|fails to|didn'?t)\b.*"
                r"\b(?:improv|better|gain|change|kept|keep|accept|adopt)"), "discard"),
    (re.compile(r"\brolled back\b"), "discard"),
    (re.compile(r"\bout of memory\b|\btimed out\b"), "crash"),
)  # fmt: skip
_TOKEN = re.compile(r"[^\W_]+|[✓✔✅✗✘❌👍👎]")

_DIGITS = r"[+-]?(?:[0-9][0-9,_]*(?:\.[0-9]*)*(?:,[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_UNIT = (
    r"%|[a-zµμ]{1,8}/[a-z]{1,8}|(?:[mnuµμ]?s|secs?|seconds?|mins?|minutes?|h|hours?|x|×|pct|pp"
    r"|[kmgt]i?b|bytes?|bits?|[kmgtp]?flops?/?s?|fps|tps|qps|w|j)\b"
)
_NUMBER = re.compile(
    rf"(?P<about>[~≈<>≤≥=$€£]*)\s*(?P<digits>{_DIGITS})(?P<scale>[kKMGBT](?![A-Za-z]))?\s*"
    rf"(?P<unit>(?i:{_UNIT}))?(?P<rest>.*)",
    re.DOTALL,
)
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?")
_SCALE = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_ARROW = re.compile(r"->|→|=>|⇒")
_NO_NUMBER = re.compile(r"[+-]?(?:nan|inf|infinity|∞)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?(?:0,[0-9]+|[0-9]+,(?:[0-9]{1,2}|[0-9]{4,}))%?")
_THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+")
_EITHER_COMMA = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}%?")
_BEST = re.compile(r"(?:new[ _-]?)?best(?:[ _-](?:so[ _-]far|yet|ever))?\W*", re.IGNORECASE)
_START = re.compile(
    r"\W*(?:the[ _-])?(?:base[ _-]?line|base|start(?:ing[ _-]?point)?|initial)(?![^\W_])|基线|基準",
    re.IGNORECASE,
)

_MOST = 300
"""Characters of a cell in which a hash or a verdict is looked for: searching takes their square."""

_COMMON = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{7,40}")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_IN_WORDS = re.compile(r"(?<![0-9a-z])(?:g)?([0-9a-f]{7,64})(?![0-9a-z])")
_LINKED = re.compile(r"/commits?/([0-9a-f]{4,64})\b")
_DIRTY = re.compile(r"[-+ (.]*(?:dirty|modified)\)?$|\+$")


class Number(NamedTuple):
    """A number and what stands beside it.

    Attributes
    ----------
    value
        None for nan, infinity and what overflows.
    unit
        As it is written: ``%``, ``ms``, ``x``; "" without one.
    rest
        Words beside the number that say more or something else.
    comma
        Whether a comma was taken for the decimal point.
    """

    value: float | None
    unit: str = ""
    rest: str = ""
    comma: bool = False


def number(text: str, *, comma: bool = False) -> Number | None:
    """Return the number that `text` begins with, or the last one behind arrows; None without one.

    Parameters
    ----------
    text
        Such as ``0.98``, ``1.23%``, ``151K``, ``1,234.5``, ``12.3 ms``, ``0.98 (±0.01)``.
    comma
        Whether ``1,025`` is a little more than one, not more than a thousand.
    """
    if _PLAIN.fullmatch(text):
        return Number(_finite(text))
    text = text.strip().strip("*`'\"").replace("−", "-").strip()
    if _NO_NUMBER.fullmatch(text):
        return Number(None)
    *before, last = _ARROW.split(text)
    match = _NUMBER.match(last.strip())
    if match is None or any(number(part, comma=comma) is None for part in before):
        return None
    digits, decimal = _plain_digits(match["digits"], comma)
    if not digits:
        return None
    value = _finite(digits)
    if value is not None and match["scale"]:
        value = _finite(repr(value * _SCALE[match["scale"]]))
    rest = match["rest"].strip()
    if before or match["about"].strip("$€£="):
        rest = text
    elif rest and (rest[0].isalnum() or rest[0] in "._,:/-") and not match["unit"]:
        # 3x2 or 2026-03-08 or v1.2.3 is a word that begins with a digit.
        spaced = last.strip()[match.end("digits")].isspace()
        if not spaced:
            return None
    return Number(value, match["unit"] or "", rest, decimal)


def is_plain(text: str) -> bool:
    """Return whether a cell is a number as Python writes it, with nothing beside it."""
    return bool(_PLAIN.fullmatch(text))


def decimal_commas(texts: Iterable[str]) -> bool:
    """Return whether commas are decimal points in a column of numbers."""
    found = [text for text in texts if "," in text]
    return any(_DECIMAL_COMMA.fullmatch(text) for text in found) and not any(
        "." in text for text in found
    )


def either_comma(texts: Iterable[str]) -> bool:
    """Return whether commas may be decimal points or part thousands: all are as in ``3,214``."""
    found = [text.strip() for text in texts if "," in text]
    return bool(found) and all(map(_EITHER_COMMA.fullmatch, found))


def _plain_digits(digits: str, comma: bool) -> tuple[str, bool]:
    """Return digits as Python has them, "" for no number, and if a comma was the decimal point."""
    digits = digits.replace("_", "")
    if "," not in digits and digits.count(".") < 2:
        return digits, False
    mantissa, mark, exponent = digits.replace("E", "e").partition("e")
    whole, _, part = mantissa.rpartition(",")
    if mantissa.count(".") > 1:  # 1.234.567,8; without a comma it is a version
        return (f"{whole.replace('.', '')}.{part}{mark}{exponent}", True) if whole else ("", False)
    if mantissa.rfind(",") < mantissa.rfind("."):
        return digits.replace(",", ""), False
    if "." in mantissa:  # 1.234,5
        return f"{whole.replace('.', '')}.{part}{mark}{exponent}", True
    thousands = _THOUSANDS.fullmatch(mantissa)
    if mantissa.count(",") > 1:
        return (digits.replace(",", ""), False) if thousands else ("", False)
    if thousands and not comma and not mantissa.lstrip("+-").startswith("0"):
        return digits.replace(",", ""), False
    return f"{whole}.{part}{mark}{exponent}", True


def _finite(digits: str) -> float | None:
    try:
        value = float(digits)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_blank(text: str) -> bool:
    """Return whether a cell is empty or says that there is nothing to say."""
    return text.strip(" *`_()[]").lower() in BLANK


@functools.lru_cache(maxsize=4096)
def status(text: str, *, yes_no: bool = False) -> str:
    """Return the verdict that `text` means, or the text in lower case when it is none.

    Parameters
    ----------
    text
        Such as ``KEEP ✓``, ``rejected``, ``no improvement``, ``oom``; also in a phrase.
    yes_no
        Whether a bare yes, true or 1 means that the experiment was kept.
    """
    words = " ".join(text.lower().strip(" \t*`_'\"").split())
    if yes_no and words in _YES_NO:
        return _YES_NO[words]
    if _BEST.fullmatch(words):
        return "keep"
    spaced = words[:_MOST].replace("_", " ").replace("-", " ")
    for pattern, verdict in _PHRASES:
        if pattern.search(spaced):
            return verdict
    for token in _TOKEN.findall(words[:_MOST]):
        if token in _VERDICT:
            return _VERDICT[token]
        if token[:2] in {"保留", "回滚"}:
            return _VERDICT[token[:2]]
    return words


def is_start(text: str) -> bool:
    """Return whether a cell says that its row is what all others are compared with."""
    return bool(_START.match(text))


def is_verdict(text: str) -> bool:
    """Return whether a cell is nothing but a verdict."""
    return text.strip(" *`'\"").lower() in _VERDICT


def commit(text: str, *, digits: bool = True) -> tuple[str, bool]:
    """Return the hash in a cell, lower case, "" without one, and whether it is marked as dirty.

    Parameters
    ----------
    text
        A hash of 4 to 64 digits, also in a link, behind ``commit`` or with ``-dirty``.
    digits
        Whether seven or more digits without a letter are a hash too.
    """
    if _COMMON.fullmatch(text):
        return text, False
    words = text.lower().strip(" \t*`'\"[]()")[:_MOST]
    linked = _LINKED.findall(words)
    dirty = _DIRTY.search(words)
    bare = words[: dirty.start()] if dirty else words
    if linked:
        return max(linked, key=len), bool(dirty)
    if _is_hash(bare, digits):
        return bare, bool(dirty)
    found = [h for h in _IN_WORDS.findall(bare) if _is_hash(h, False)]
    return (found[-1], bool(dirty)) if found else ("", False)


def _is_hash(word: str, digits: bool) -> bool:
    if not _HEX.fullmatch(word) or not word.strip("0"):
        return False
    letters = not word.isdecimal()
    # Short words of a to f are English; short numbers count experiments.
    return (letters or digits) if len(word) >= 7 else letters and any(c.isdecimal() for c in word)


_FORMS = (
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%Y-%m-%d_%H-%M-%S", "%Y-%m-%d-%H-%M-%S",
    "%Y-%m-%d_%H:%M:%S", "%Y%m%d-%H%M%S", "%Y%m%d_%H%M%S", "%Y%m%d%H%M%S", "%Y%m%d-%H%M",
    "%Y%m%d_%H%M",
    "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d.%m.%Y", "%b %d, %Y %H:%M:%S", "%b %d, %Y %H:%M",
    "%b %d, %Y", "%B %d, %Y %H:%M", "%B %d, %Y", "%b %d %Y %H:%M", "%b %d %Y", "%d %b %Y %H:%M:%S",
    "%d %b %Y %H:%M", "%d %b %Y", "%d %B %Y", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Y %z",
    "%a %b %d %H:%M:%S UTC %Y", "%Y-%m-%d %I:%M %p", "%b %d, %Y %I:%M %p",
)  # fmt: skip
_SLASHES = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})(.*)", re.DOTALL)
_EPOCH = re.compile(r"[0-9]{10}(?:\.[0-9]+)?|[0-9]{13}")
_NO_YEAR = re.compile(
    r"(?:[a-z]{3}\w* )?[a-z]{3,9}\.? [0-9]{1,2},?(?: [0-9:]{4,8})?|[0-9]{1,2} [a-z]{3,9}"
    r"(?: [0-9:]{4,8})?|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[ap]m)?|[0-9]{1,2}[-/][0-9]{1,2}"
    r"(?: [0-9:]{4,8})?",
    re.IGNORECASE,
)


def moment(text: str) -> tuple[str, str]:
    """Return a date as ISO 8601 in UTC, and what is doubtful about it.

    Returns
    -------
    tuple
        The date, "" when there is none; and ``""``, ``"zone"`` (none is written: taken for UTC),
        ``"year"`` (it is not written, so there is no date), ``"order"`` (day and month can't be
        told apart) or ``"none"`` (no date at all).
    """
    words = " ".join(text.split())
    if _EPOCH.fullmatch(words):
        seconds = float(words) / (1000 if len(words) == 13 and "." not in words else 1)
        return datetime.fromtimestamp(seconds, UTC).isoformat(), ""
    slashes = _SLASHES.fullmatch(words)
    if slashes:
        a, b, year, rest = slashes.groups()
        if int(a) <= 12 and int(b) <= 12 and a != b:
            return "", "order"
        month, day = (a, b) if int(a) <= 12 else (b, a)
        words = f"{year}/{month}/{day}{rest.replace(',', '')}"
    found = _parsed(words)
    if found is None:
        return "", "year" if _NO_YEAR.fullmatch(words) else "none"
    zone = "" if found.tzinfo else "zone"
    try:
        return (found if found.tzinfo is None else found.astimezone(UTC)).replace(
            tzinfo=UTC
        ).isoformat(), zone
    except (OverflowError, ValueError):
        return "", "none"


def _parsed(words: str) -> datetime | None:
    if not 8 <= len(words) <= 60 or not any(c.isdecimal() for c in words):
        return None
    if _PLAIN.fullmatch(words) and len(words) not in {8, 14}:
        return None
    # git writes a blank before the zone, which ISO 8601 has not.
    joined = re.sub(r" (?=[+-][0-9]{2}:?[0-9]{2}$)| (?=Z$)", "", words.replace(" UTC", "+00:00"))
    for candidate in (words, joined):
        try:
            return datetime.fromisoformat(candidate)
        except ValueError:
            continue
    for form in _FORMS:
        try:
            return datetime.strptime(words, form)  # noqa: DTZ007 (the caller says which zone)
        except ValueError:
            continue
    try:
        return email.utils.parsedate_to_datetime(words) if "," in words else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
