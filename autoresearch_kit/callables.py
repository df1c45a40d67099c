"""Functions on their way from a notebook to the night's process.

What can be pickled travels. A function of the notebook itself can't: it stays in its kernel, and
the night asks for its answers through files, for as long as that kernel lives.
"""

from __future__ import annotations

import contextlib
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from autoresearch_kit import files, succession
from autoresearch_kit import proposal as proposals
from autoresearch_kit.campaign import Campaign
from autoresearch_kit.errors import AutoresearchError, ProposalError
from autoresearch_kit.policies import Ask
from autoresearch_kit.proposal import Proposal

LOOK_SECONDS = 0.2


def pack(function: Callable[..., Any]) -> bytes | None:
    """Return a function or object as bytes that another process can load; None if it can't."""
    try:
        packed = pickle.dumps(function)
    except Exception:  # pickling runs code of the object
        return None
    # What a notebook or a script defines lies in __main__, which is another one over there.
    return None if b"__main__" in packed else packed


def unpack(path: Path) -> Any:
    """Load what `pack` returned; the folder of a night is as private as the repository."""
    return pickle.loads(path.read_bytes())


class Lent:
    """Stands in the night's process for a function that a kernel keeps."""

    def __init__(self, folder: Path, name: str, said: str, ended: Callable[[], bool]) -> None:
        self._folder, self._name, self._said, self._ended = folder, name, said, ended

    def __repr__(self) -> str:
        return self._said

    def propose(self, campaign: Campaign, *, idea: str | None, revises: Any) -> Proposal:
        """Return the proposal that the kernel's function makes."""
        asked = {"idea": idea, "revises": revises.id if revises else None}
        return proposals.load(campaign, self._ask(asked)["proposal"])

    def decide(self, proposal: Proposal) -> Any:
        """Return what the kernel's policy says of a proposal."""
        answer = self._ask({"proposal": proposal.id})["answer"]
        return Ask(answer["minutes"], answer["then"]) if isinstance(answer, dict) else answer

    def is_lent(self) -> bool:
        """Tell whether a kernel is there to answer."""
        return files.is_locked(self._folder / "lent.lock")

    def _ask(self, question: Mapping[str, Any]) -> Any:
        name = f"{time.time_ns():019d}-{secrets.token_hex(3)}.json"
        files.write_json(self._folder / "asked" / name, {"of": self._name, **question})
        answered = self._folder / "answered" / name
        try:
            while (answer := files.read_json(answered)) is None:
                if self._ended():
                    raise ProposalError("the night ended before the notebook answered")
                time.sleep(LOOK_SECONDS)
        finally:
            (self._folder / "asked" / name).unlink(missing_ok=True)
            answered.unlink(missing_ok=True)
        if "error" in answer:
            raise ProposalError(answer["error"])
        return answer


def lend(
    folder: Path,
    campaign: Campaign,
    functions: Mapping[str, Callable[..., Any]],
    ended: Callable[[], bool],
) -> threading.Thread:
    """Answer for `functions` in a thread of this kernel until the night has ended."""

    def serve() -> None:
        with contextlib.suppress(OSError), files.try_lock(folder / "lent.lock") as lock:
            while lock is not None and not ended():
                for asked in _questions(folder):
                    question = files.read_json(asked)
                    if question is not None:
                        answer = _answer(campaign, functions, question)
                        files.write_json(folder / "answered" / asked.name, answer)
                        asked.unlink(missing_ok=True)
                time.sleep(LOOK_SECONDS)

    thread = threading.Thread(target=serve, name=f"lends to {folder.name}", daemon=True)
    thread.start()
    return thread


def _questions(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / "asked").glob("[0-9]*.json"))


def _answer(
    campaign: Campaign, functions: Mapping[str, Callable[..., Any]], question: Mapping[str, Any]
) -> dict[str, Any]:
    function = functions[question["of"]]
    try:
        if question["of"] == "approve":
            said = function(proposals.load(campaign, question["proposal"]))
            if isinstance(said, Ask):
                said = {"minutes": said.minutes, "then": said.then}
            if said is not None and not isinstance(said, bool | str | dict):
                return {"error": f"the policy returned {said!r}; expected True, False, text, None"}
            return {"answer": said}
        earlier = question["revises"]
        revises = succession.latest(proposals.load(campaign, earlier)) if earlier else None
        made = function(campaign, idea=question["idea"], revises=revises)
        if not isinstance(made, Proposal):
            return {"error": f"the proposer returned {made!r}; expected a Proposal"}
        return {"proposal": made.id}
    except AutoresearchError as error:
        return {"error": str(error)}
    except Exception as error:  # anybody's code
        return {"error": f"{type(error).__name__}: {error}"}
