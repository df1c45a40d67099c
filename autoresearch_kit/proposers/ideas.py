"""Ideas that name values: ``LR = 0.03, DEPTH = 5``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposers.knobs import Knob, is_seed, knob
from autoresearch_kit.source import Constant, Range, Value

_KEY = r"(?:[^\s=:,;]+:)?[A-Za-z_][\w.-]*"
_ASSIGNMENT = re.compile(rf"\s*({_KEY})\s*=(?!=)\s*(.+?)\s*", re.DOTALL)
_BETWEEN = re.compile(rf"[,;\n]\s*(?={_KEY}\s*=)")
_WORD = re.compile(r"[\w.-]+")


def is_values(idea: str) -> bool:
    """Tell whether an idea is ``NAME = value`` throughout, each value a literal or one word."""
    matches = [_ASSIGNMENT.fullmatch(part) for part in _parts(idea)]
    return all(
        match is not None
        and (source.parse_value(_python(match[2])) is not None or _WORD.fullmatch(match[2]))
        for match in matches
    )


def read(idea: str, found: Mapping[str, Constant]) -> dict[str, Value]:
    """Return the values that an idea names, by the keys of `found`.

    Raises
    ------
    ProposalError
        When it says anything but ``NAME = value``, or the value doesn't fit the constant.
    """
    values: dict[str, Value] = {}
    for part in _parts(idea):
        match = _ASSIGNMENT.fullmatch(part)
        if match is None:
            raise ProposalError(
                f"TPE can't use the idea {part.strip()!r}: it understands 'NAME = value' only"
                f"{_example(found)}. Free text is for an LLM, or for ark.Human(edit=...), which "
                "takes it as the hypothesis of your own edit."
            )
        key = _key(match[1], found)
        values[key] = _wanted(key, found[key], match[2])
    return values


def beyond(values: Mapping[str, Value], found: Mapping[str, Constant]) -> str:
    """Say which of the new values their hints don't allow; empty when all are allowed."""
    return ", ".join(
        f"{key} is outside its hint {found[key].hint}"
        for key, value in values.items()
        if not source.identical(value, found[key].value) and not _allowed(found[key], value)
    )


def _allowed(constant: Constant, value: Value) -> bool:
    try:
        allowed = source.parse_hint(constant.hint, constant.value)
    except ProposalError:
        return True  # the hint says nothing
    if isinstance(allowed, Range):
        return source.is_number(value) and allowed.low <= value <= allowed.high
    # None is no hint; (), which is "off", tells a search to leave it, not a person.
    return not allowed or any(source.identical(choice, value) for choice in allowed)


def _example(found: Mapping[str, Constant]) -> str:
    """Return ``, such as 'NAME = value'`` with another value than now, if there is one."""
    for key, constant in found.items():
        try:
            made = knob(key, constant)
        except ProposalError:
            continue
        for value in _others(made) if made else ():
            if not source.identical(value, constant.value):
                return f", such as '{key} = {source.spell(value)}'"
    return ""


def _others(made: Knob) -> Iterable[Value]:
    near = made.near()
    return made.choices or [made.write(near.high), made.write(near.low)]


def _parts(idea: str) -> list[str]:
    return _BETWEEN.split(idea.strip().strip(",;"))


def _key(name: str, found: Mapping[str, Constant]) -> str:
    keys = [key for key in found if key == name or found[key].name == name]
    if name in keys:
        keys = [name]
    if len(keys) != 1:
        raise ProposalError(
            f"The idea names {name}, which is {'ambiguous' if keys else 'no constant here'}. "
            f"Expected one of: {', '.join(keys or found)}."
        )
    if is_seed(found[keys[0]].name):
        raise ProposalError(
            f"{name} stays as it is: another seed is luck, not an improvement. The kit repeats a "
            "run with other seeds by itself."
        )
    return keys[0]


def _wanted(key: str, constant: Constant, text: str) -> Value:
    now = constant.value
    value = source.parse_value(_python(text) if isinstance(now, bool) else text)
    if value is None and isinstance(now, str) and _WORD.fullmatch(text):
        value = text  # WINDOW = SSSL, as in a hint
    if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = source.is_number(value) if source.is_number(now) else isinstance(value, type(now))
    if value is None or not fits:
        if constant.hint == "off":
            constant = dataclasses.replace(constant, hint="")
        raise ProposalError(
            f"{key} can't become {text!r}: it is {source.spell(now)} now, and the new value has "
            f"to be a literal of that kind{_example({key: constant})}."
        )
    return value


def _python(text: str) -> str:
    """Return TOML's bools as Python's."""
    return {"true": "True", "false": "False"}.get(text.strip(), text)
