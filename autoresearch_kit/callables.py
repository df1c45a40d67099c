"""Functions on their way from a notebook to the night's process.

What can be pickled travels. A function of the notebook itself can't: it stays in its kernel, and
the night asks for its answers through files, for as long as that kernel lives.
"""

from __future__ import annotations

import pickle
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import behalf, files, keys, succession
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import AutoresearchError, ProposalError
from autoresearch_kit.policies import Answer, Ask, settle
from autoresearch_kit.proposal import Proposal

LOOK_SECONDS = 0.2

_lent: dict[tuple[Path, str], Callable[..., Any]] = {}


def pack(function: Callable[..., Any]) -> bytes | None:
    """Return a function or object as bytes that another process can load; None if it can't."""
    try:
        packed = pickle.dumps(function)
    except Exception:  # pickling runs code of the object
        return None
    # What a notebook or a script defines lies in __main__, which is another one over there. And a
    # night's folder is no place for a key: its owner keeps it, and is asked instead.
    return None if b"__main__" in packed or keys.within(packed) else packed


def unpack(path: Path) -> Any:
    """Load what `pack` returned; the folder of a night is as private as the repository."""
    return pickle.loads(path.read_bytes())


class Lent:
    """Stands in the night's process for a function that a kernel keeps."""

    def __init__(self, folder: Path, name: str, said: str, ended: Callable[[], bool]) -> None:
        self._folder, self._name, self._said, self._ended = folder, name, said, ended

    def __repr__(self) -> str:
        return self._said

    def propose(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Return the proposal that the kernel's function makes."""
        asked = {"idea": idea, "revises": revises.id if revises else None}
        return proposals.load(campaign, self._ask(asked, self._ended)["proposal"])

    def decide(self, proposal: Proposal) -> Answer:
        """Return what the kernel's policy says of a proposal; None when a person was faster."""

        def settled() -> bool:
            return self._ended() or proposal.status != "open"

        answer = self._ask({"proposal": proposal.id}, settled)["answer"]
        return Ask(answer["minutes"], answer["then"]) if isinstance(answer, dict) else answer

    def is_lent(self) -> bool:
        """Tell whether a kernel is there to answer."""
        return files.is_locked(_lock(self._folder, self._name))

    def _ask(self, question: Mapping[str, Any], given_up: Callable[[], bool]) -> Any:
        folder = self._folder / "asked" / self._name
        # A night that was killed may have asked the same: the kernel is at work on it.
        left = (
            p.name for p in sorted(folder.glob("[0-9]*.json")) if files.read_json(p) == question
        )
        name = next(left, f"{time.time_ns():019d}-{secrets.token_hex(3)}.json")
        place = folder / name
        answered = self._folder / "answered" / name
        files.write_json(place, question)
        try:
            while (answer := files.read_json(answered)) is None:
                if given_up():
                    raise ProposalError("the question was settled before the notebook answered")
                time.sleep(LOOK_SECONDS)
        finally:
            place.unlink(missing_ok=True)
            answered.unlink(missing_ok=True)
        if "error" in answer:
            raise ProposalError(answer["error"], answer.get("kind") or "")
        return answer


def kept(folder: Path, name: str) -> Any:
    """Return a night's function as this process has it: lent from here, or packed; else None."""
    if (folder, name) in _lent:
        return _lent[folder, name]
    packed = folder / f"{name}.pickle"
    return unpack(packed) if packed.exists() else None


def lend(
    folder: Path,
    campaign: Campaign,
    name: str,
    function: Callable[..., Any],
    ended: Callable[[], bool],
) -> None:
    """Answer for `function` in a thread of this process until the night has ended.

    Repeated, the newest function answers: a cell that was corrected may be run again.
    """
    serving = (folder, name) in _lent
    _lent[folder, name] = function
    if serving:
        return

    def serve() -> None:
        try:
            while not ended():
                # Another kernel may be lending; when it goes away, this one is asked.
                with files.try_lock(_lock(folder, name)) as lock:
                    while lock is not None and not ended():
                        _answer_all(folder, campaign, name)
                        time.sleep(LOOK_SECONDS)
                time.sleep(LOOK_SECONDS)
        except OSError:
            pass  # the night's folder is gone, or the disk is full: the night says so
        finally:
            del _lent[folder, name]

    thread = threading.Thread(target=serve, name=f"lends to {folder.name}", daemon=True)
    thread.start()


def _lock(folder: Path, name: str) -> Path:
    return folder / f"{name}.lent"


def _answer_all(folder: Path, campaign: Campaign, name: str) -> None:
    for asked in sorted((folder / "asked" / name).glob("[0-9]*.json")):
        question = files.read_json(asked)
        if question is not None:  # or it was taken back
            key = f"night|{folder.name}"
            # One that was drafted since, by a kernel that was killed before it could say so.
            made = (p.id for p in proposals.unfinished(campaign) if _is_unsaid(p, key, asked.stem))
            wants_any = "proposal" not in question and not question["revises"]
            if wants_any and (unsaid := next(made, None)):
                answer: dict[str, Any] = {"proposal": unsaid}
            else:
                answer = _answer(campaign, key, _lent[folder, name], question)
            files.write_json(folder / "answered" / asked.name, answer)
            asked.unlink(missing_ok=True)


def _is_unsaid(proposal: Proposal, key: str, since: str) -> bool:
    new = proposal.key == key and proposal.id > since and "seconds" not in proposal.cost
    return new and proposal.status == "open" and not proposal.asked


def _answer(
    campaign: Campaign, key: str, function: Callable[..., Any], question: Mapping[str, Any]
) -> dict[str, Any]:
    try:
        if "proposal" in question:
            said = settle(function, proposals.load(campaign, question["proposal"]))
            return {"answer": {**vars(said)} if isinstance(said, Ask) else said}
        earlier = question["revises"]
        revises = succession.latest(proposals.load(campaign, earlier)) if earlier else None
        with behalf.of(key, campaign.best):
            made = function(campaign, idea=question["idea"], revises=revises)
        if not isinstance(made, Proposal):
            return {"error": f"the proposer returned {made!r:.200}; expected a Proposal"}
        return {"proposal": made.id}
    except AutoresearchError as error:
        return {"error": keys.redact(str(error)), "kind": getattr(error, "kind", None)}
    except (Exception, SystemExit) as error:  # anybody's code
        return {"error": keys.redact(f"{type(error).__name__}: {error}")}
