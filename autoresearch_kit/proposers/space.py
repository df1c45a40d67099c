"""The constants that an optimiser searches, and what a campaign's experiments say of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from autoresearch_kit.proposers.knobs import Knob
from autoresearch_kit.source import Value, identical

if TYPE_CHECKING:
    from autoresearch_kit.records import Record

SHRINK = 1.0
"""Penalty on the weights of `Risk`; a direction has to be seen to crash before it is avoided."""


def usable(records: Sequence[Record]) -> list[Record]:
    """Return the records that tell an optimiser something: those with a result, and crashes.

    A run that was ended because it was hopeless counts as a crash: it has no result, and nobody
    wants another like it.
    """
    found = []
    for record in records:
        if record.stopped_early is not None and record.value is None:
            record = dataclasses.replace(record, status="crash")
        scored = record.status in ("keep", "discard") and record.value is not None
        if record.constants and (scored or record.status == "crash"):
            found.append(record)
    return found


def study(
    sampler: Any,
    knobs: Sequence[Knob],
    trials: Sequence[Record],
    goal: str,
    under_way: Iterable[Mapping[str, Value]] = (),
) -> Any:
    """Return an Optuna study in memory that knows the experiments.

    Parameters
    ----------
    under_way
        The constants of proposals that have no result yet: they are told as running trials.
    """
    import optuna

    direction: Any = goal
    made = optuna.create_study(direction=direction, sampler=sampler)
    around = {k.key: k.near() for k in knobs}
    space = distributions(knobs)
    values = [record.value for record in trials if record.value is not None]
    best, worst = (min, max) if goal == "minimize" else (max, min)
    margin = worst(values) - best(values) if values else 1.0
    crashed = worst(values) + margin if values else 0.0
    told = []
    for record in trials:
        value = crashed if record.value is None or record.status == "crash" else record.value
        told.append(_trial(_params(around, record.constants), space, value))
    told += [_trial(_params(around, constants), space) for constants in under_way]
    made.add_trials(trial for trial in told if trial.params)
    return made


def distributions(knobs: Sequence[Knob]) -> dict[str, Any]:
    """Return what Optuna samples from, by key: the half of each range around the best state."""
    return {k.key: _uncopied(k.near().distribution()) for k in knobs}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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


@dataclasses.dataclass(frozen=True)
class Risk:
    """Where experiments crash: a logistic model over the constants.

    Crashes grow in a direction (more memory, higher rates), which a plane describes from few
    examples, and an experiment's other constants are explained away.
    """

    knobs: Sequence[Knob]
    weights: np.ndarray[Any, Any]

    def __call__(self, values: Mapping[str, Value]) -> float:
        """Return how likely a configuration crashes, from 0 to 1; 0.5 is the boundary."""
        at = _vectors(self.knobs, [values])[0] @ self.weights
        return float(1 / (1 + np.exp(-np.clip(at, -50, 50))))


def risk(knobs: Sequence[Knob], trials: Sequence[Record]) -> Risk | None:
    """Return the model of what crashes; None while nothing did."""
    crashed = np.array([record.status == "crash" for record in trials], dtype=bool)
    if not crashed.any() or crashed.all():
        return None
    x = _vectors(knobs, [record.constants for record in trials])
    # As if there were as many crashes as results: what matters is the boundary, not how rare.
    share = np.where(crashed, (~crashed).sum() / crashed.sum(), 1.0)
    penalty = SHRINK * np.eye(x.shape[1])
    penalty[0, 0] = 1e-6
    weights = np.zeros(x.shape[1])
    for _ in range(10):  # Newton's method
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -50, 50)))
        slope = x.T @ (share * (p - crashed)) + penalty @ weights
        bend = (x * (share * p * (1 - p))[:, None]).T @ x + penalty
        weights = weights - np.linalg.solve(bend, slope)
    return Risk(knobs, weights)


def _params(around: Mapping[str, Knob], constants: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: param
        for key, near in around.items()
        if (param := near.read(constants.get(key))) is not None
    }


def _vectors(
    knobs: Sequence[Knob], configurations: Sequence[Mapping[str, Any]]
) -> np.ndarray[Any, Any]:
    """Return one row (1, coordinates...) for each: distances from the present values."""
    columns = [np.ones(len(configurations))]
    for k in knobs:
        values = [c.get(k.key) for c in configurations]
        if k.choices:
            columns += [
                np.array([float(identical(v, choice)) for v in values]) for choice in _others(k)
            ]
        else:
            columns.append(np.array([4 * k.away(v) for v in values]))
    return np.stack(columns, axis=1)


def _others(k: Knob) -> list[Value]:
    return [choice for choice in k.choices if not identical(choice, k.value)]


def _trial(params: Mapping[str, Any], space: Mapping[str, Any], value: float | None = None) -> Any:
    """Return a trial to tell a study of: a result, or one that runs while there is no `value`."""
    import optuna

    states, now = optuna.trial.TrialState, datetime.now()  # noqa: DTZ005 (as Optuna's own)
    # create_trial() checks all that add_trials() checks again: half of the time, with thousands.
    trial = optuna.trial.FrozenTrial(
        number=-1,
        trial_id=-1,
        state=states.RUNNING if value is None else states.COMPLETE,
        value=value,
        datetime_start=now,
        datetime_complete=None if value is None else now,
        params=dict(params),
        distributions={key: space[key] for key in params},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
    return _uncopied(trial)


def _uncopied(made: Any) -> Any:
    """Return what deep copies share: a study copies each trial that it is told, with its ranges."""
    kind: Any = type(made)
    made.__class__ = _shared(kind)
    return made


@functools.cache
def _shared(kind: Any) -> Any:
    return type(kind.__name__, (kind,), {"__deepcopy__": lambda self, _: self})
