"""The optimiser as the proposer: it tunes the constants and needs no key and no network.

It sees numbers only: no code, no idea in words, no reason why an experiment failed.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposal import Proposal, draft, unfinished
from autoresearch_kit.proposers import ideas, outlook, space
from autoresearch_kit.proposers.knobs import Knob, knob
from autoresearch_kit.source import Constant, Value
from autoresearch_kit.values import of_files, set_in_files

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.records import Record

LATEST = 2_000
"""How many of the latest usable records the sampler is told; keeps its time bounded."""

ATTEMPTS = 200
"""How many configurations are drawn before the space counts as exhausted."""

SPREAD = 0.15
"""Standard deviation of a random change, as a share of the constant's whole range."""

RISK = 0.5
"""From which `space.Risk` of a crash on a configuration isn't proposed."""


@dataclasses.dataclass(frozen=True)
class TPE:
    """Propose other values for a few constants of the mutable files (see `values.constants`).

    Parameters
    ----------
    sampler
        Any Optuna sampler, or a class or function that makes one from ``seed=``; by default
        Optuna's TPE, each constant modelled by itself.
    seed
        Makes the proposals another series; by default it comes from the campaign's tag. The
        same history and seed give the same proposal, unless an own `sampler` has a state.
    startup
        How many experiments beside the baseline come before the sampler is asked; until then
        the change is a random one near the best state.
    most
        How many constants one proposal changes at most; None lets the sampler change all.

    Raises
    ------
    ProposalError
        When there is no constant to tune, a hint can't be read, everything within reach was
        tried, or the `idea` is no ``NAME = value``.

    Notes
    -----
    The range of a constant is its hint (``# search: 0.01 to 0.2 log``), else it comes from its
    value: value/4 to 4·value for floats, value/2 to 2·value for integers. Powers of two from 16
    on stay powers of two, floats below 1 stay at most 1, positive integers stay positive, and
    floats from 0.9 to 1 (momentum, decay) move by their distance from 1. Strings and -1 need a
    hint; tuples, seeds and what is marked ``# search: off`` stay.

    The sampler is asked within half of that range around the best state, and three constants of
    its suggestion are taken, because a vector that moves as a whole is hard to review and doesn't
    find more. What 25 experiments leave of the gap on a synthetic bowl (`benchmarks/tpe_bowl.py`:
    14 constants, optimum 0.7 octaves away in each, noise 5 % of the gap, 60 seeds, standard error
    0.03): random changes of up to three constants 0.65, the same moves by uniform sampling 0.59,
    as here 0.51.

    The state is rebuilt from the latest 2,000 records of the campaign that tell something. Records
    made by people or models count as far as their constants still exist; values outside the range
    count as its end. The method: Bergstra et al., NIPS 2011; Optuna's implementation.

    A crash is told as a result worse than all, because TPE ignores failed trials and would go
    there again. Besides, what a linear model of the crashes (`space.Risk`) holds for likelier to
    crash than not isn't proposed: where three constants crash when they get large together, 75
    experiments have 9.2 crashes instead of 12.7, and end as low.

    Proposals without a result yet are told as running trials, each with the constants that it
    changes, and as worse than the best (constant liar), so that several slots get different
    proposals. With an own `sampler` all constants are told, and it may go where it crashed.
    """

    sampler: Any = None
    seed: int | None = None
    startup: int = 5
    most: int | None = 3

    @property
    def reports(self) -> set[str]:
        """What a proposal's `cost` will say."""
        return {"money", "tokens"}

    @property
    def author(self) -> str:
        """Who its proposals are by."""
        if self.sampler is None:
            return "TPE"
        return str(getattr(self.sampler, "__name__", type(self.sampler).__name__))

    def __call__(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Store a proposal with other constants on the campaign's best state."""
        best = campaign.best
        files = dict(best.files)
        found = of_files(files)
        if not found:
            raise ProposalError(
                f"There is no constant for TPE to tune in {', '.join(files)}. Expected "
                "`NAME = literal` at the top of a Python file, NAME in capitals, such as "
                "`LEARNING_RATE = 0.01`, a number in a TOML file, or `<!-- search: a | b -->` "
                "before a paragraph of Markdown. Add some, or propose by ark.Human(edit=...).",
                "lasting",
            )
        if revises is not None:
            idea = revises.feedback
        if idea is not None:
            values = ideas.read(idea, found)
            rejected, why = 0, "as asked"
        else:
            values, rejected = self._suggest(campaign, files, found)
            why = self.author
        changes = outlook.changes(found, values)
        if idea is not None and changes and (beyond := ideas.beyond(values, found)):
            changes += f"; {beyond}"
        return draft(
            campaign,
            files=set_in_files(files, values),
            hypothesis=f"{why}: {changes}" if changes else "",
            author=self.author,
            rejected=rejected,
            cost={"money": 0.0, "tokens": 0},
            parent=best,
        )

    def state(self, campaign: Campaign) -> str:
        """Return what the optimiser knows, in Markdown for a language model.

        The best configurations, promising ranges, what seems to matter, what crashed, and what
        it would propose now; 800 tokens at most, whatever the history.
        """
        files = dict(campaign.best.files)
        found = of_files(files)
        knobs = _knobs(found)
        try:
            wish = outlook.changes(found, self._suggest(campaign, files, found)[0])
        except ProposalError:
            wish = ""
        records = campaign.records()
        trials = space.usable(records)[-LATEST:]
        return outlook.page(campaign, knobs, trials, wish)

    def _suggest(
        self, campaign: Campaign, files: Mapping[str, str], found: Mapping[str, Constant]
    ) -> tuple[dict[str, Value], int]:
        """Return new values by key, never those of an earlier experiment, and how many were."""
        knobs = _knobs(found)
        if not knobs:
            raise ProposalError(
                f"There is nothing for TPE to tune: of the constants {', '.join(found)} it may "
                "change none. Tuples and seeds stay, "
                "and strings need a hint such as `# search: relu | gelu`. Add a hint to one, or "
                "propose by ark.Human(edit=...).",
                "lasting",
            )
        records = campaign.records()
        tried = {record.code for record in records} | {source.digest(files)}
        others = list(unfinished(campaign))  # open ones, and those that train while this is drawn
        tried |= {proposal.code for proposal in others}
        base = zlib.crc32(campaign.tag.encode()) if self.seed is None else self.seed
        rng = np.random.default_rng([base, len(records) + len(others)])
        trials = space.usable(records)[-LATEST:]
        under_way = [_present(of_files({**files, **proposal.files})) for proposal in others]
        if self.sampler is None:
            # What a proposal leaves as it is says nothing against the best state's values.
            now = _present(found)
            under_way = [
                {key: value for key, value in one.items() if value != now.get(key)}
                for one in under_way
            ]
        # An own sampler's suggestions are taken as they are.
        risk = space.risk(knobs, trials) if self.sampler is None else None
        drawn: set[str] = set()
        safest: dict[str, Value] = {}
        least = math.inf
        for values in self._draws(knobs, trials, under_way, campaign.task.goal, rng):
            changed = {k.key: values[k.key] for k in knobs if values[k.key] != k.value}
            if self.most is not None and len(changed) > self.most:
                kept = set(rng.choice(len(changed), self.most, replace=False).tolist())
                changed = {key: v for i, (key, v) in enumerate(changed.items()) if i in kept}
            danger = risk({**_present(found), **changed}) if risk else 0.0
            if (text := repr(changed)) in drawn or (danger >= RISK and danger >= least):
                continue
            if not changed or source.digest({**files, **set_in_files(files, changed)}) in tried:
                drawn.add(text)
                continue
            if danger < RISK:
                return changed, len(drawn)
            safest, least = changed, danger
        if safest:
            return safest, len(drawn)  # one more crash costs one run, an error ends a night
        raise ProposalError(
            f"TPE drew {ATTEMPTS} configurations of {', '.join(k.key for k in knobs)}, and each "
            f"was tried before ({len(records)} experiments). Widen a `# search:` hint, add "
            "constants, or propose by ark.Human(edit=...).",
            "lasting",
        )

    def _draws(
        self,
        knobs: Sequence[Knob],
        trials: Sequence[Record],
        under_way: Sequence[Mapping[str, Value]],
        goal: str,
        rng: np.random.Generator,
    ) -> Iterator[dict[str, Value]]:
        """Yield configurations: the sampler's first, then random ones near the best state."""
        experiments = sum(record.n > 0 for record in trials)
        if experiments >= self.startup:
            with space.quiet():
                study = space.study(self._sampler(rng), knobs, trials, goal, under_way)
            around = space.distributions(knobs)
            for _ in range(10):
                with space.quiet():
                    params = study.ask(around).params
                yield {k.key: k.write(params[k.key]) for k in knobs}
        for attempt in range(ATTEMPTS):
            # Further and further away, so that the far end of a short range is found as well.
            yield _perturbed(knobs, rng, self.most, SPREAD * (1 + attempt / 20))

    def _sampler(self, rng: np.random.Generator) -> Any:
        import optuna

        seed = int(rng.integers(2**31))
        if self.sampler is None:
            return optuna.samplers.TPESampler(
                n_startup_trials=0, multivariate=False, constant_liar=True, seed=seed
            )
        if isinstance(self.sampler, optuna.samplers.BaseSampler):
            return self.sampler
        return self.sampler(seed=seed)

    def __repr__(self) -> str:
        """Return what differs from the default, the same in every kernel."""
        told = [f"sampler={self.author}"] if self.sampler is not None else []
        told += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return f"TPE({', '.join(told)})"


def _knobs(found: Mapping[str, Constant]) -> list[Knob]:
    return [made for key, constant in found.items() if (made := knob(key, constant)) is not None]


def _present(found: Mapping[str, Constant]) -> dict[str, Value]:
    return {key: constant.value for key, constant in found.items()}


def _perturbed(
    knobs: Sequence[Knob], rng: np.random.Generator, most: int | None, spread: float
) -> dict[str, Value]:
    count = min(most or len(knobs), len(knobs))
    chosen = set(rng.choice(len(knobs), rng.integers(1, count + 1), replace=False).tolist())
    return {k.key: k.moved(rng, spread) if i in chosen else k.value for i, k in enumerate(knobs)}
