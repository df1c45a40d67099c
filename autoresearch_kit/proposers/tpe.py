"""The optimiser as the proposer: it tunes the ALL_CAPS constants and needs no key and no network.

It sees numbers only: no code, no idea in words, no reason why an experiment failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit import source
from autoresearch_kit.errors import ProposalError
from autoresearch_kit.proposal import Proposal, draft, unfinished
from autoresearch_kit.proposers.knobs import Knob, is_seed, knob
from autoresearch_kit.source import Value

if TYPE_CHECKING:
    from autoresearch_kit.campaign import Campaign
    from autoresearch_kit.records import Record

LATEST = 200
"""How many of the latest usable records the sampler is told; keeps its time bounded."""

ATTEMPTS = 200
"""How many configurations are drawn before the space counts as exhausted."""

SPREAD = 0.15
"""Standard deviation of a random change, as a share of the constant's whole range."""

_ASSIGNMENT = re.compile(r"\s*((?:[^\s=:]+:)?[A-Z][A-Z0-9_]*)\s*=(?!=)\s*(.+?)\s*", re.DOTALL)
_BETWEEN = re.compile(r"[,;\n]\s*(?=(?:[^\s=:,;]+:)?[A-Z][A-Z0-9_]*\s*=)")


@dataclasses.dataclass(frozen=True)
class TPE:
    """Propose other values for a few ALL_CAPS constants of the mutable Python files.

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
    find more. What 25 experiments leave of the gap on a synthetic bowl (14 constants, optimum 0.7
    octaves away in each, noise 5 % of the gap, 60 or 100 seeds, standard error at most 0.03):
    uniform sampling 0.94, multivariate TPE over the whole range after a uniform start 0.77,
    random changes of up to three constants 0.62, the whole vector within half the range 0.61
    (multivariate 0.48), as here 0.48.

    The state is rebuilt from the records of the campaign alone. A crash is told as a result worse
    than all, because TPE ignores failed trials and would go there again. Records made by people
    or models count as far as their constants still exist; values outside the range count as its
    end. The method: Bergstra et al., NIPS 2011; Optuna's implementation.
    """

    sampler: Any = None
    seed: int | None = None
    startup: int = 5
    most: int | None = 3

    def __call__(
        self, campaign: Campaign, *, idea: str | None = None, revises: Proposal | None = None
    ) -> Proposal:
        """Store a proposal with other constants on the campaign's best state."""
        files = dict(campaign.best.files)
        found = _constants(files)
        if not found:
            raise ProposalError(
                f"There is no constant for TPE to tune in {', '.join(files)}. Expected "
                "`NAME = literal` at the top of a Python file, NAME in capitals, such as "
                "`LEARNING_RATE = 0.01`. Add some, or propose by ark.Human(edit=...)."
            )
        if revises is not None:
            idea = revises.feedback
        if idea is not None:
            values = _read_idea(idea, found)
            rejected, why = 0, "as asked"
        else:
            values, rejected = self._suggest(campaign, files, found)
            why = self._name()
        changes = ", ".join(
            f"{key} {source.spell(found[key].value)} -> {source.spell(value)}"
            for key, value in values.items()
            if not source.identical(value, found[key].value)
        )
        return draft(
            campaign,
            files=_with_values(files, values),
            hypothesis=f"{why}: {changes}" if changes else "",
            author=self._name(),
            rejected=rejected,
            cost={"money": 0.0, "tokens": 0},
        )

    def _suggest(
        self,
        campaign: Campaign,
        files: Mapping[str, str],
        found: Mapping[str, source.Constant],
    ) -> tuple[dict[str, Value], int]:
        """Return new values by key, never those of an earlier experiment, and how many were."""
        knobs = [k for key, c in found.items() if (k := knob(key, c)) is not None]
        if not knobs:
            raise ProposalError(
                f"None of the constants {', '.join(found)} may be tuned: tuples and seeds stay, "
                "and strings need a hint such as `# search: relu | gelu`. Add a hint to one, or "
                "propose by ark.Human(edit=...)."
            )
        records = campaign.records()
        tried = {record.code for record in records} | {source.digest(files)}
        others = list(unfinished(campaign))  # open ones, and those that train while this is drawn
        tried |= {proposal.code for proposal in others}
        base = zlib.crc32(campaign.tag.encode()) if self.seed is None else self.seed
        rng = np.random.default_rng([base, len(records) + len(others)])
        trials = list(_usable(records))
        drawn: set[str] = set()
        for values in self._draws(knobs, trials, campaign.task.goal, rng):
            changed = {k.key: values[k.key] for k in knobs if values[k.key] != k.value}
            if self.most is not None and len(changed) > self.most:
                kept = set(rng.choice(len(changed), self.most, replace=False).tolist())
                changed = {key: v for i, (key, v) in enumerate(changed.items()) if i in kept}
            if (text := repr(changed)) in drawn:
                continue
            if changed and source.digest({**files, **_with_values(files, changed)}) not in tried:
                return changed, len(drawn)
            drawn.add(text)
        raise ProposalError(
            f"TPE drew {ATTEMPTS} configurations of {', '.join(k.key for k in knobs)}, and each "
            f"was tried before ({len(records)} experiments). Widen a `# search:` hint, add "
            "constants, or propose by ark.Human(edit=...)."
        )

    def _draws(
        self, knobs: Sequence[Knob], trials: Sequence[Record], goal: Any, rng: np.random.Generator
    ) -> Iterator[dict[str, Value]]:
        """Yield configurations: the sampler's first, then random ones near the best state."""
        experiments = sum(record.n > 0 for record in trials)
        if experiments >= self.startup:
            with _quiet():
                study = _study(self._sampler(rng), knobs, trials[-LATEST:], goal)
            space = {k.key: k.near().distribution() for k in knobs}
            for _ in range(10):
                with _quiet():
                    params = study.ask(space).params
                yield {k.key: k.write(params[k.key]) for k in knobs}
        for attempt in range(ATTEMPTS):
            # Further and further away, so that the far end of a short range is found as well.
            yield _perturbed(knobs, rng, self.most, SPREAD * (1 + attempt / 20))

    def _sampler(self, rng: np.random.Generator) -> Any:
        import optuna

        seed = int(rng.integers(2**31))
        if self.sampler is None:
            return optuna.samplers.TPESampler(
                n_startup_trials=0, multivariate=False, constant_liar=False, seed=seed
            )
        if isinstance(self.sampler, optuna.samplers.BaseSampler):
            return self.sampler
        return self.sampler(seed=seed)

    def _name(self) -> str:
        if self.sampler is None:
            return "TPE"
        return str(getattr(self.sampler, "__name__", type(self.sampler).__name__))

    def __repr__(self) -> str:
        """Return what differs from the default, the same in every kernel."""
        told = [f"sampler={self._name()}"] if self.sampler is not None else []
        told += [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return f"TPE({', '.join(told)})"


def _constants(files: Mapping[str, str]) -> dict[str, source.Constant]:
    """Return the constants of all Python files by the keys that records use."""
    return {
        (f"{path}:{name}" if i else name): constant
        for i, (path, text) in enumerate(files.items())
        if path.endswith(".py")
        for name, constant in source.constants(text).items()
    }


def _with_values(files: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Return the files that change when the constants with these keys are set."""
    first = next(iter(files))
    by_path: dict[str, dict[str, object]] = {}
    for key, value in values.items():
        path, _, name = key.rpartition(":")
        by_path.setdefault(path or first, {})[name] = value
    return {path: source.set_constants(files[path], new) for path, new in by_path.items()}


def _usable(records: Sequence[Record]) -> Iterator[Record]:
    """Yield the records that tell the sampler something; a later word on a number replaces it."""
    latest: dict[int, Record] = {}
    for record in records:
        n = record.n if record.about is None else record.about
        latest.pop(n, None)
        scored = record.status in ("keep", "discard") and record.value is not None
        if record.constants and (scored or record.status == "crash"):
            latest[n] = record
    yield from latest.values()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna's remarks on its own doings out of the notebook."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _study(sampler: Any, knobs: Sequence[Knob], trials: Sequence[Record], goal: Any) -> Any:
    """Return an Optuna study in memory that knows the experiments."""
    import optuna

    study = optuna.create_study(direction=goal, sampler=sampler)
    around = {k.key: k.near() for k in knobs}
    space = {key: near.distribution() for key, near in around.items()}
    values = [record.value for record in trials if record.value is not None]
    best, worst = (min, max) if goal == "minimize" else (max, min)
    margin = worst(values) - best(values) if values else 1.0
    crashed = worst(values) + margin if values else 0.0
    told = []
    for record in trials:
        params = {
            key: param
            for key, near in around.items()
            if (param := near.read(record.constants.get(key))) is not None
        }
        value = crashed if record.value is None or record.status == "crash" else record.value
        known = {key: space[key] for key in params}
        if params:
            told.append(optuna.create_trial(params=params, distributions=known, value=value))
    study.add_trials(told)
    return study


def _perturbed(
    knobs: Sequence[Knob], rng: np.random.Generator, most: int | None, spread: float
) -> dict[str, Value]:
    count = min(most or len(knobs), len(knobs))
    chosen = set(rng.choice(len(knobs), rng.integers(1, count + 1), replace=False).tolist())
    return {k.key: k.moved(rng, spread) if i in chosen else k.value for i, k in enumerate(knobs)}


def _read_idea(idea: str, found: Mapping[str, source.Constant]) -> dict[str, Value]:
    """Return the values that an idea such as ``LR = 0.03, DEPTH = 5`` names."""
    values: dict[str, Value] = {}
    for part in _BETWEEN.split(idea.strip().strip(",;")):
        match = _ASSIGNMENT.fullmatch(part)
        if match is None:
            raise ProposalError(
                f"TPE can't use the idea {part.strip()!r}: it understands 'NAME = value' only, "
                f"such as '{next(iter(found))} = {source.spell(next(iter(found.values())).value)}'."
                " Free text is for an LLM, or for ark.Human(edit=...), which takes it as the "
                "hypothesis of your own edit."
            )
        key = _key(match[1], found)
        values[key] = _wanted(key, found[key].value, match[2])
    return values


def _key(name: str, found: Mapping[str, source.Constant]) -> str:
    keys = [key for key in found if key == name or key.rpartition(":")[2] == name]
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


def _wanted(key: str, now: Value, text: str) -> Value:
    value = source.parse_value(text)
    if value is None and isinstance(now, str) and re.fullmatch(r"[\w.-]+", text):
        value = text  # WINDOW = SSSL, as in a hint
    if isinstance(now, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = source.is_number(value) if source.is_number(now) else isinstance(value, type(now))
    if value is None or not fits:
        raise ProposalError(
            f"{key} can't become {text!r}: it is {source.spell(now)} now, and the new value has "
            f"to be a literal of that kind, such as '{key} = {source.spell(now)}'."
        )
    return value
