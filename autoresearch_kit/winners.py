"""The winner as clean commits: each change that stands, on the user's own history."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autoresearch_kit import git, goals, records
from autoresearch_kit.campaign import BASELINE_SUBJECT
from autoresearch_kit.errors import CampaignError, GitError
from autoresearch_kit.records import Record

WIDTH = 72  # columns of a message
_RAW_DATE = re.compile(r"> \d{1,10} [-+]\d{4}$")
_ASIDE = "refs/autoresearch-winner"  # where git is told to build; the same call forgets it again


class Winner(NamedTuple):
    """Clean commits: the last one, how many, and the commit of the user's that they stand on."""

    tip: str
    commits: int
    base: str


def build(repo: Path, start: str, kept: Sequence[Record], paths: Sequence[str]) -> Winner:
    """Make a commit for each change of a line of kept states, with the files at `paths` alone.

    They stand on `start`, or on the user's commit below it where that is the kit's own. No ref
    moves. Author, committer and both times are those of the experiment's commit, so the same
    line always gives the same commits. A state that changes nothing in `paths` gets none.
    """
    base = _below(repo, start)
    entries = _entries(repo, [base, *(record.commit for record in kept[1:])], paths)
    people = _people(repo, [record.commit for record in kept[1:]])
    stream, count, before = [], 0, entries[base]
    for last, record in itertools.pairwise(kept):
        if not (changed := set(entries[record.commit]) - set(before)):
            continue
        count, before = count + 1, entries[record.commit]
        author, committer = people[record.commit]
        text = message(record, last).encode()
        stream += [
            f"commit {_ASIDE}\nmark :{count}\nauthor {author}\ncommitter {committer}\n".encode(),
            b"data %d\n%b\n" % (len(text), text),
            f"from {base if count == 1 else f':{count - 1}'}\n".encode(),
            *(
                f"M {mode} {blob} {_quoted(path)}\n".encode()
                for mode, blob, path in sorted(changed)
            ),
        ]
    if not count:
        return Winner(base, 0, base)
    end = f"get-mark :{count}\nreset {_ASIDE}\nfrom {'0' * len(base)}\n\ndone\n".encode()
    said = git.call(repo, "fast-import", "--quiet", "--done", input=b"".join([*stream, end]))
    return Winner(said.decode().strip(), count, base)


def place(repo: Path, branch: str, winner: Winner) -> str:
    """Make a branch of a winner, and return how: new, moved on from an earlier one, or there.

    Raises
    ------
    CampaignError
        When git refuses the name, or the branch is there and is something else.
    """
    try:
        git.call(repo, "check-ref-format", "--branch", branch)
    except GitError as error:
        raise CampaignError(f"git refuses {branch!r} as a branch; try branch='winner'") from error
    ref = f"refs/heads/{branch}"
    at = git.resolve(repo, ref)
    if at == winner.tip:
        return "there already"
    if at is not None and not _is_earlier(repo, at, winner):
        raise CampaignError(
            f"the branch {branch} exists and is not what would be made ({at[:7]} instead of "
            f"{winner.tip[:7]}), so it stays. Give another name; or, if it may go, type: "
            f"git branch -D {branch}"
        )
    if at is not None and (worktree := git.checked_out(repo, branch)):
        raise CampaignError(
            f"the branch {branch} is checked out in {worktree}, so it stays at an earlier winner. "
            f"To follow, type there: git merge --ff-only {winner.tip[:7]}"
        )
    try:
        git.update_refs(repo, [git.RefUpdate(ref, winner.tip, at or git.ABSENT)])
    except git.RefsMoved as error:
        raise CampaignError(f"git can't make the branch {branch}: {error}") from error
    return "new" if at is None else "moved on"


def _is_earlier(repo: Path, at: str, winner: Winner) -> bool:
    """Tell whether a commit is one of the clean ones; below them begins what is the user's."""
    above = at != winner.base and git.is_ancestor(repo, winner.base, at)
    return above and git.is_ancestor(repo, at, winner.tip)


def message(record: Record, before: Record) -> str:
    """Return the message of a kept change: hypothesis, numbers, and where they come from."""
    whole = records.clean(record.hypothesis, 10_000) or "no hypothesis"
    subject = textwrap.shorten(whole, WIDTH, placeholder=" …")
    parts = [
        subject,
        *([_wrapped(whole)] if subject != whole else []),
        _wrapped(_numbers(record, before)),
    ]
    if record.parent != before.n:
        parts.append(
            _wrapped(
                f"It was measured on {_name(record, record.parent)}, not on "
                f"{_name(record, before.n)}; this commit holds what was measured."
            )
        )
    author = records.clean(record.author, 200) or "unknown"
    parts.append(f"Experiment: {_name(record, record.n)}\nProposed-by: {author}")
    return "\n\n".join(parts) + "\n"


def _numbers(record: Record, before: Record) -> str:
    """Return what a change did to the metric, and how sure that is."""
    if record.value is None:
        return f"{record.metric or 'The metric'} is not known."
    unit = f" {record.unit}" if record.unit else ""
    was = "" if before.value is None else f"{before.value:.6f} → "
    words = f"{record.metric} {was}{record.value:.6f}{unit}."
    if record.delta is None:
        return words
    gain = goals.sign(record.goal) * record.delta
    error, sigma = record.evidence.get("error"), record.evidence.get("z")
    runs = max(1, len(record.replicates))
    sure = [f"{abs(sigma):.1f} sigma"] if sigma is not None else []
    sure.append(f"{runs} run{'s' * (runs > 1)}")
    words += f" {'Gain' if gain >= 0 else 'Cost'} {abs(gain):.3g}"
    words += f" ± {error:.2g} ({', '.join(sure)})" if error else f" ({', '.join(sure)})"
    old = record.value - record.delta
    if before.value is not None and f"{old:.6f}" != f"{before.value:.6f}":
        words += f" over {old:.6f}, what the state before is worth without its luck"
    if error and record.gain is not None:
        words += f"; {record.gain:.3g} of it is believed"
    return f"{words}."


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _name(record: Record, n: int | None) -> str:
    return f"{record.campaign}/{n:04d}" if n is not None else "another state"


def _below(repo: Path, first: str) -> str:
    """Return the user's commit that a campaign began on: below the kit's own, if that is one."""
    subject = git.commit_info(repo, first).subject
    below = git.resolve(repo, f"{first}^") if subject.startswith(f"{BASELINE_SUBJECT} ") else None
    return below or first


def _entries(
    repo: Path, commits: Sequence[str], paths: Sequence[str]
) -> dict[str, list[tuple[str, str, str]]]:
    """Return mode, blob and path of the files at `paths` in each commit."""
    names = list(dict.fromkeys(f"{commit}:{path}" for commit in commits for path in paths))
    ask = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
    out = git.call(repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", input=ask)
    blobs = dict(zip(names, out.decode(errors="replace").splitlines(), strict=True))
    listed = git.call(repo, "ls-tree", "-z", "-r", commits[0], "--", *paths)
    rows = listed.decode("utf-8", "surrogateescape").split("\0")[:-1]
    modes = {row.partition("\t")[2]: row.split(" ", 1)[0] for row in rows}
    return {
        commit: [
            (modes.get(path, "100644"), found.split(" ")[0], path)
            for path in paths
            if (found := blobs[f"{commit}:{path}"]).endswith(" blob")
        ]
        for commit in commits
    }


def _people(repo: Path, commits: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return author and committer of commits, with their times, in git's raw form."""
    if not commits:
        return {}
    ask = "".join(f"{commit}\n" for commit in commits).encode()
    form = "--format=%H%x00%an <%ae> %ad%x00%cn <%ce> %cd"
    words = ("--no-walk=unsorted", "--stdin", "--date=raw", "--no-show-signature", form)
    rows = git.call(repo, "log", *words, input=ask).decode(errors="replace").split("\n")
    found = (row.split("\0") for row in rows if row)
    return {commit: (_dated(author), _dated(who)) for commit, author, who in found}


def _dated(who: str) -> str:
    """Return a person with a time that git takes: a commit may claim any, or none."""
    return who if _RAW_DATE.search(who) else f"{who[: who.rfind('>') + 1]} 0 +0000"


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
