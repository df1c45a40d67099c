"""Everything that the kit raises on purpose.

    AutoresearchError
    ├── LabError            a folder that can't be (or become) a host
    ├── GitError            git refused; carries its own words
    ├── TaskError           task.toml, a profile or a task name is wrong
    ├── DataError           a corpus that can't be fetched, verified or read
    ├── CampaignError       a tag, a branch or a campaign in the wrong state
    ├── ProposalError       a proposal that can't become an experiment
    │   ├── NoChange        ... because it changes nothing
    │   ├── PatchConflict   ... because it no longer applies
    │   ├── Duplicate       ... because the same code was tried before
    │   ├── ReplyError      ... because a model's reply can't be read or applied
    │   └── EndpointError   ... because the server of a model gave no usable answer
    ├── ApprovalPending     a person (or a policy) has to decide first
    │   └── ReplyPending    ... or paste a model's reply
    ├── RunLost             a run was lost too often to go on, and not by its own fault
    ├── DiskFull            nothing more can be written
    └── ScorerError         the trusted scorer failed; says nothing about the experiment

Messages say what happened, with its values, what was expected, and what to type next.
A candidate's own failure is never an exception: it is an experiment with status ``crash``.
"""

from __future__ import annotations

from typing import Any


class AutoresearchError(Exception):
    """Base of all errors that the kit raises on purpose; in notebooks without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython prints instead of a traceback.

        The messages say what to do; frames of the kit would only push them out of sight.
        """
        return f"{type(self).__name__}: {self}".splitlines()


class LabError(AutoresearchError):
    """A folder that can't be, or become, a host of experiments."""


class GitError(AutoresearchError):
    """A git command failed; the message ends with git's own words."""


class TaskError(AutoresearchError):
    """A task name, a profile or a ``task.toml`` is unknown or malformed."""


class DataError(AutoresearchError):
    """A corpus can't be fetched, verified or read."""


class CampaignError(AutoresearchError):
    """A tag, a branch or a campaign is not in the state that a call needs."""


class ProposalError(AutoresearchError):
    """A proposal can't become an experiment.

    Attributes
    ----------
    kind
        ``lasting`` when asking again can't help while the best state stays what it is and nobody
        changes anything, such as where nothing is left to tune: then a night ends at once. Else
        empty, but for an `EndpointError`.
    """

    def __init__(self, message: str = "", kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class NoChange(ProposalError):
    """A proposal leaves the code as it is (comments and layout don't count)."""


class PatchConflict(ProposalError):
    """A patch no longer applies to the campaign's best state."""


class Duplicate(ProposalError):
    """The same code was an earlier experiment already."""


class ReplyError(ProposalError):
    """A model's reply can't be read or applied."""


class EndpointError(ProposalError):
    """The server of a model gave no usable answer.

    Attributes
    ----------
    kind
        ``unauthorized``, ``model`` (unknown, or none chosen), ``rate``, ``quota``, ``server``,
        ``connection``, ``stalled``, ``truncated`` (the reply), ``refused``, ``empty``,
        ``context`` (the prompt is too long, or was cut) or ``request`` (any other objection).
    answer
        What came nevertheless, an `endpoint.Answer` whose tokens have to be paid; or None.
    """

    def __init__(self, message: str, kind: str = "request", answer: Any = None) -> None:
        super().__init__(message, kind)
        self.answer = answer


class ApprovalPending(AutoresearchError):
    """A proposal waits for a person."""


class ReplyPending(ApprovalPending):
    """A model's reply has to be pasted first."""


class RunLost(AutoresearchError):
    """A run was lost several times for a reason that is not the experiment's."""


class DiskFull(AutoresearchError):
    """The disk has no room for a small file; whatever was there before still is."""


class ScorerError(AutoresearchError):
    """The trusted scorer itself failed, so there is no verdict."""
