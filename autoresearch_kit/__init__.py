"""autoresearch-kit: propose, apply, train five minutes, score, keep or discard, in git.

>>> import autoresearch_kit as ark
>>> lab = ark.new_lab("labs/first", task="language_model")
>>> campaign = ark.open_campaign(lab, tag="nov23")
>>> ark.baseline(campaign)
>>> proposal = ark.propose(campaign)
>>> experiment = ark.apply(proposal.approve())
>>> run = ark.train_5min(experiment)
>>> ark.score(run)

The steps are four short functions in `autoresearch_kit.steps`; read that file first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autoresearch_kit._version import __version__

if TYPE_CHECKING:
    from autoresearch_kit import errors, plots, policies, stats
    from autoresearch_kit.ablations import ablate
    from autoresearch_kit.adoption import Adoption, new_task
    from autoresearch_kit.audits import audit
    from autoresearch_kit.blames import blame
    from autoresearch_kit.campaign import Campaign, open_campaign
    from autoresearch_kit.comparisons import compare
    from autoresearch_kit.dashboards import dashboard
    from autoresearch_kit.display import diff, show
    from autoresearch_kit.experiment import Experiment, Score
    from autoresearch_kit.explorer import explore
    from autoresearch_kit.exports import export
    from autoresearch_kit.histories import history
    from autoresearch_kit.lab import Lab, new_lab
    from autoresearch_kit.nights import Night, overnight
    from autoresearch_kit.proposal import Proposal
    from autoresearch_kit.proposers import LLM, TPE, Command, Human, Hybrid, Paste
    from autoresearch_kit.remotes import pull, push
    from autoresearch_kit.repeats import repeat
    from autoresearch_kit.replays import what_if
    from autoresearch_kit.reports import report
    from autoresearch_kit.reports.papers import methods
    from autoresearch_kit.reviews import review
    from autoresearch_kit.runner import Run
    from autoresearch_kit.sandbox import untrusted
    from autoresearch_kit.steps import apply, baseline, propose, score, train_5min
    from autoresearch_kit.transfers import transfer
    from autoresearch_kit.tunings import constants
    from autoresearch_kit.verdicts import override, rewind

__all__ = [
    "LLM",
    "TPE",
    "Adoption",
    "Campaign",
    "Command",
    "Experiment",
    "Human",
    "Hybrid",
    "Lab",
    "Night",
    "Paste",
    "Proposal",
    "Run",
    "Score",
    "__version__",
    "ablate",
    "apply",
    "audit",
    "baseline",
    "blame",
    "compare",
    "constants",
    "dashboard",
    "diff",
    "errors",
    "explore",
    "export",
    "history",
    "methods",
    "new_lab",
    "new_task",
    "open_campaign",
    "overnight",
    "override",
    "plots",
    "policies",
    "propose",
    "pull",
    "push",
    "repeat",
    "report",
    "review",
    "rewind",
    "score",
    "show",
    "stats",
    "train_5min",
    "transfer",
    "untrusted",
    "what_if",
]

# Loaded on first use: a run's supervisor imports this package too and must start at once.
_HOME = {
    "ablate": "ablations",
    "Adoption": "adoption",
    "new_task": "adoption",
    "audit": "audits",
    "blame": "blames",
    "Campaign": "campaign",
    "open_campaign": "campaign",
    "compare": "comparisons",
    "dashboard": "dashboards",
    "diff": "display",
    "review": "reviews",
    "show": "display",
    "Experiment": "experiment",
    "Score": "experiment",
    "explore": "explorer",
    "export": "exports",
    "history": "histories",
    "Lab": "lab",
    "new_lab": "lab",
    "Night": "nights",
    "overnight": "nights",
    "methods": "reports.papers",
    "Proposal": "proposal",
    **dict.fromkeys(("LLM", "TPE", "Command", "Human", "Hybrid", "Paste"), "proposers"),
    "pull": "remotes",
    "push": "remotes",
    "repeat": "repeats",
    "what_if": "replays",
    "report": "reports",
    "Run": "runner",
    "untrusted": "sandbox",
    "apply": "steps",
    "baseline": "steps",
    "propose": "steps",
    "score": "steps",
    "train_5min": "steps",
    "transfer": "transfers",
    "constants": "tunings",
    "override": "verdicts",
    "rewind": "verdicts",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "plots", "policies", "stats"):
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
