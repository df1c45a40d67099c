"""What the columns of a results file are, from their names or, without names, from their cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from autoresearch_kit.foreign import cells, direction
from autoresearch_kit.foreign.direction import key

ORIGINAL = ("commit", "val_bpb", "memory_gb", "status", "description")
"""The columns that karpathy/autoresearch prescribes, in its order."""

_NAMES = {
    "commit": "commit commit_hash commit_id commit_sha hash sha git_commit git_sha git_hash git "
    "short_hash short_sha rev revision changeset",
    "label": "experiment exp id run run_id run_name name tag iter iteration trial version no n "
    "index config_id gen generation round cycle attempt exp_id exp_name experiment_id label step "
    "number num",
    "status": "status verdict decision kept keep accepted accept is_kept keep_discard disposition "
    "outcome result action state judgement judgment",
    "description": "description desc hypothesis idea change changes change_description summary "
    "experiment_description what notes note comment comments message commit_message msg title "
    "strategy details reason insight",
    "time": "timestamp ts datetime date when created created_at started started_at start_time "
    "finished finished_at end_time logged_at time",
}
_ROLE = {name: role for role, names in _NAMES.items() for name in names.split()}
_ORDER = {name: place for names in _NAMES.values() for place, name in enumerate(names.split())}
_SAMPLE = 400  # cells of a column that tell what it holds
_LONGEST = 40  # characters of a cell with a number, and of several words that name a column
_UNNAMED = re.compile(r"column_[0-9]+")
_YES_NO = {"kept", "keep", "accepted", "accept", "is_kept"}
_MEMORY = {"mem", "memory", "vram", "ram"}
_OTHER_HASH = {"parent", "base", "message", "msg", "data", "config", "prev", "previous", "before"}
_HELD_OUT = {"val", "valid", "validation", "test", "eval", "dev", "heldout", "holdout", "official"}
_FIRST = {"metric", "metrics", "primary", "objective", "score", "primary_metric", "fitness"}
_BESIDE = frozenset(
    word
    for words in (
        "delta diff change improvement before baseline prev previous old threshold target budget",
        "std stdev stddev sigma noise stderr ci low high",
        "seconds secs sec elapsed wall minutes hours duration usd cost",
        "steps step params parameters seed seeds epoch epochs tokens batch rank depth layers lr",
        "n num iter iteration guard width heads",
    )
    for word in words.split()
)
_HASHES = {"commit", "sha", "hash", "rev", "revision", "parent", "branch", "ref", "tag", "version"}


def role(name: str) -> str:
    """Return what a column's name says it is: a key of the roles, ``memory`` or ""."""
    words = key(name)
    tokens = set(words.split("_"))
    if words in _ROLE:
        return _ROLE[words]
    if tokens & {"commit", "sha", "hash"} and not tokens & _OTHER_HASH:
        return "commit"
    return "memory" if tokens & _MEMORY else ""


def takes_yes(name: str) -> bool:
    """Return whether a bare yes or 1 in this column means that something was kept."""
    return key(name) in _YES_NO


def holds_text(name: str) -> bool:
    """Return whether digits in this column are a name, not a quantity."""
    return bool(set(key(name).split("_")) & _HASHES)


def is_header(found: Sequence[str], *, known: bool) -> bool:
    """Return whether cells are names of columns.

    Parameters
    ----------
    found
        The cells of a line.
    known
        Whether a header was there already; then it takes more to be another.
    """
    names = [cell for cell in found if cell.strip()]
    if not _are_names(names):
        return False
    roles = [role(name) for name in names]
    metrics = [r for r, name in zip(roles, names, strict=True) if not r and _is_metric(name)]
    told = len(set(roles) - {""}) + bool(metrics)
    if len(names) == 1:
        return told == 1 and not known and len(names[0].split()) == 1
    return told >= (3 if known else 2)


def is_header_of(found: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Return whether a first line without a number stands above columns with numbers."""
    names = [cell for cell in found if cell.strip()]
    if len(names) < 2 or not _are_names(names) or len(set(names)) < len(names):
        return False
    columns = [[line[i] for line in below if i < len(line)] for i in range(len(found))]
    return any(is_numeric(column) for column in columns)


def _are_names(names: Sequence[str]) -> bool:
    """Return whether words could be names of columns: short ones that are no number or verdict."""
    if any(map(cells.is_plain, names)):
        return False
    for name in names:
        longest = _LONGEST if len(name.split()) > 1 else 2 * _LONGEST
        if len(name) > longest or len(name.split()) > 5 or name.endswith((":", ".")):
            return False
        if name.endswith("?") and len(name.split()) > 1:
            return False
        if cells.number(name) or cells.is_blank(name) or cells.commit(name)[0]:
            return False
        if cells.is_verdict(name) and key(name) not in _YES_NO:
            return False
    return bool(names)


def _is_metric(name: str) -> bool:
    tokens = set(key(name).split("_"))
    return bool(tokens & (_FIRST | _BESIDE | _HELD_OUT)) or bool(direction.of_name(name)[0])


def names_for(lines: Sequence[Sequence[str]]) -> tuple[list[str], str]:
    """Return names for columns that have none, and what they were taken for, as a sentence."""
    width = max(len(line) for line in lines)
    found = [[line[i].strip() for line in lines if i < len(line)] for i in range(width)]
    filled = [[cell for cell in column if not cells.is_blank(cell)] for column in found]
    names = [f"column_{i + 1}" for i in range(width)]
    left = [i for i in range(width) if filled[i]]

    def share(i: int, fits: Callable[[str], bool]) -> float:
        return sum(map(fits, filled[i])) / len(filled[i])

    def take(name: str, how_well: Mapping[int, float], least: float) -> None:
        best = max(how_well, key=lambda i: how_well[i], default=None)
        if best is not None and how_well[best] >= least:
            left.remove(best)
            names[best] = name

    take("status", {i: share(i, lambda c: cells.status(c) in cells.VERDICTS) for i in left}, 0.5)
    take(
        "commit", {i: share(i, lambda c: cells.commit(c, digits=False)[0] != "") for i in left}, 0.3
    )
    take("timestamp", {i: share(i, lambda c: cells.moment(c)[0] != "") for i in left}, 0.5)
    texts = [i for i in left if share(i, lambda c: cells.number(c) is None) > 0.5]
    take("description", {i: len(set(filled[i])) * sum(map(len, filled[i])) for i in texts}, 1)
    numbers = [i for i in left if i not in texts]
    if left[:1] == [0] and 0 in texts and "commit" not in names:
        take("commit", {0: 1}, 1)
    elif left[:1] == [0] and len(numbers) > 1 and _counts(filled[0]):
        take("iteration", {0: 1}, 1)
    shape = [name if i not in numbers else "" for i, name in enumerate(names)]
    if shape == ["commit", "", "", "status", "description"]:
        return list(ORIGINAL), f"the columns are taken for {', '.join(ORIGINAL)}"
    told = [f"{i + 1} for {n}" for i, n in enumerate(names) if not n.startswith("column_")]
    return names, f"columns are taken by what is in them: {', '.join(told) or 'nothing told'}"


def _counts(column: Sequence[str]) -> bool:
    """Return whether cells are the numbers of experiments: whole, mostly different."""
    whole = [int(cell) for cell in column if re.fullmatch(r"[0-9]{1,6}", cell)]
    return len(whole) == len(column) and len(set(whole)) > len(whole) // 2


def _is_index(column: Sequence[str]) -> bool:
    """Return whether cells count rows from 0 or 1, one by one."""
    return column[:1] in (["0"], ["1"]) and list(column) == [
        str(i) for i in range(int(column[0]), int(column[0]) + len(column))
    ]


def decimal_commas(columns: Mapping[str, Sequence[str]], mark: str) -> tuple[set[str], str]:
    """Return the columns in which a comma is the decimal point, and why where it may be either.

    Parameters
    ----------
    columns
        All columns by name.
    mark
        What separates cells: where it is a semicolon, commas are mostly decimal points.
    """
    numeric = {n: column for n, column in columns.items() if is_numeric(column)}
    sure = {n for n, column in numeric.items() if cells.decimal_commas(column)}
    points = any(cells.is_plain(c) and "." in c for column in numeric.values() for c in column)
    if sure:
        decimal, why = True, f"as in {min(sure)}"
    elif points:
        decimal, why = False, "for other columns have decimal points"
    elif mark == ";":
        decimal, why = True, "as where cells are separated by semicolons"
    else:
        decimal, why = False, "a guess: nothing tells"
    either = {n for n, column in numeric.items() if cells.either_comma(column)}
    return sure | (either if decimal else set()), why


def choose(columns: Mapping[str, Sequence[str]], of: str) -> str:
    """Return the column for a role: by its name and, for a verdict or a date, by its cells too."""
    found = sorted((n for n in columns if role(n) == of), key=lambda n: _ORDER.get(key(n), -1))
    filled = {n: [c for c in columns[n] if not cells.is_blank(c)] for n in found}
    if of == "status":
        shares = {
            n: sum(cells.status(c, yes_no=takes_yes(n)) in cells.VERDICTS for c in filled[n])
            / max(len(filled[n]), 1)
            for n in found
            if key(n) in {"status", "verdict", "decision"}
            or not is_numeric(columns[n])
            or takes_yes(n)
        }
        plausible = [n for n in shares if shares[n] > 0.3 or key(n) in {"status", "verdict"}]
        return max(plausible, key=lambda n: shares[n], default="")
    if of == "time":
        found = [n for n in found if any(cells.moment(c)[1] != "none" for c in filled[n][:50])]
    if of == "description":
        sure = {"description", "desc", "hypothesis"}
        found = [n for n in found if key(n) in sure or not is_numeric(columns[n])]
    return found[0] if found else ""


def is_numeric(column: Sequence[str]) -> bool:
    """Return whether at least half of what is filled in a column are numbers."""
    some = column[:: len(column) // _SAMPLE + 1]
    filled = [c for c in some if not _is_no_value(c)]
    found = [cells.number(c) for c in filled if len(c) <= _LONGEST]
    numbers = sum(n is not None and not n.rest[:1].isalpha() for n in found)
    return bool(filled) and numbers >= len(filled) / 2


def _is_no_value(cell: str) -> bool:
    return cells.is_blank(cell) or cells.status(cell) == "crash"


def metric(columns: Mapping[str, Sequence[str]], taken: set[str]) -> tuple[str, str]:
    """Return the column that verdicts are about, "" without one, and why, when there was a choice.

    Parameters
    ----------
    columns
        All columns by name.
    taken
        Those that are something else.
    """
    left = [n for n in columns if n not in taken and role(n) != "label" and not holds_text(n)]
    found = [n for n in left if is_numeric(columns[n])]
    if not found:  # all crashed, or there are no rows yet: the name has to do
        empty = [n for n in left if all(map(_is_no_value, columns[n]))]
        found = [n for n in empty if _rank(n)[0] <= 2]
    if not found:
        return "", ""
    ranked = {n: _rank(n) for n in found}
    if len(found) > 1:
        # The first column of a data frame's file has no name, and counts its rows.
        found = [n for n in found if not (_UNNAMED.fullmatch(n) and _is_index(columns[n]))] or found
        for name in found:
            told = {c for c in columns[name] if not cells.is_blank(c)}
            if len(told) == 1 and len(columns[name]) > 2:
                ranked[name] = (ranked[name][0] + 10, "")
    chosen = min(found, key=lambda n: ranked[n][0])
    others = [n for n in found if n != chosen and ranked[n][0] < 5]
    if not others:
        return chosen, ""
    equal = [n for n in others if ranked[n][0] == ranked[chosen][0]]
    why = ranked[chosen][1]
    why = f"the first {why}" if equal and why else why or "the first"
    return chosen, f"{why}; also there: {', '.join(others)}"


def _rank(name: str) -> tuple[float, str]:
    """Return how far a column of numbers is from being the metric, and what it is."""
    words = key(name)
    tokens = set(words.split("_"))
    goal, word, sure = direction.of_name(name)
    if words in _FIRST or tokens & {"primary", "objective"}:
        return 0, "named as the one that counts"
    if tokens & {"train", "training"}:
        return 4, "of training"
    beside = tokens & _BESIDE
    if tokens & {"total", "overall", "aggregate"} and not beside:
        return 1.5 if goal else 2.5, "the whole of the others"
    if goal and tokens & _HELD_OUT and not beside - {word}:
        return 1, "on held-out data"
    if goal and not beside - {*word.split(), "tokens"} and (sure or not beside):
        return (5, "") if word in {"s", "sec", "seconds", "secs"} else (2, "with a metric's name")
    return (5, "") if beside else (3, "that is no count or time")
