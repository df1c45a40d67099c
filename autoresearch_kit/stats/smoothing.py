"""What changes are really worth, given all that was measured: a filter that also looks back.

Everything is in deviations of one run, positive is better, on a lattice of `STEP`. Nothing here
knows tables or campaigns.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

STEP = 0.2
"""Width of a bin. What is within half of it around zero is no effect."""

REACH = 10.0
"""Effects beyond are in two bins of their own."""

CLEAR = 7.0
"""A discard that is further from the best state than this tells nothing of the best state."""

FARTHEST = 1e6
"""What is further from the starting point is as good, or as bad, as this."""

WINDOW = 5.0
"""How many standard errors around its own measurement a kept state is looked for."""

ROUNDS = 40
"""Of expectation and maximisation."""

BEFORE = 0.2
"""Ideas of each component that are believed to have been seen before the first one."""

TAIL = 0.005
"""Left out at either end of an interval that is to hold 95 %: the distribution of effects is an
estimate itself. With 0.025, 86 to 97 % of the true gains of simulated campaigns would be inside."""


@dataclasses.dataclass(frozen=True)
class Tried:
    """An idea: the mean of its `runs`, its place in the list of states, and that of its parent.

    `state` is None for what was not kept; `parent` is None for the starting point.
    """

    value: float
    runs: int
    state: int | None
    parent: int | None


@dataclasses.dataclass(frozen=True)
class Effect:
    """The true gain of a kept change, in deviations of one run.

    `false` is the probability that it is none; `low` and `high` hold 95 %.
    """

    gain: float
    low: float
    high: float
    false: float


@functools.lru_cache(maxsize=8)  # gains and false keeps of a table ask for the same
def effects(tried: tuple[Tried, ...]) -> tuple[Effect | None, ...]:
    """Return the effect of each kept change by state; None for starting points.

    Notes
    -----
    A tree of states ``W``: a kept change moves from its parent's to its own by its effect d, and
    a discard is measured at ``W + d``; each measurement has the variance ``1/runs``. The
    distribution of effects is learnt from all ideas, kept or not, so what a rule picked for its
    luck is believed as little as such ideas deserve: a mixture of none, of exponentials of five
    widths to either side and of three normal distributions around a loss as large as their width,
    fitted by expectation and maximisation (after Stephens, False discovery rates: a new deal,
    Biostatistics 2017). The states are summed over exactly, forwards and backwards (Rabiner,
    Proc. IEEE 1989). A rule may pick and stop as it likes: that depends on measurements alone, so
    it cancels.
    """
    import numpy as np

    nodes = _nodes(tried)
    parts = _parts()
    shares = np.full(parts.shape[1], 1 / parts.shape[1])
    found: list[Pairs | None] = []
    for _ in range(ROUNDS):
        prior = parts @ shares
        counts, found = _expect(nodes, prior)
        shares = shares * (parts.T @ (counts / np.maximum(prior, TINY)))
        shares += BEFORE
        shares /= shares.sum()
    return tuple(None if pairs is None else _summary(*pairs) for pairs in found)


Pairs: TypeAlias = "tuple[int, Array]"
"""The smallest effect, in bins, and how probable it and each larger one is."""

TINY = 1e-300
BINS = 2 * round(REACH / STEP) + 1
"""Bins of effects; with the two beyond, the first and the last one, there are two more."""


@dataclasses.dataclass
class _Node:
    """A kept state and what was measured against it.

    Attributes
    ----------
    at
        Where it may be on the lattice, (W,).
    own
        Log likelihood of its own measurement, (W,).
    near
        Likelihood of each discard by where it is itself, (n, W + BINS - 1).
    gap
        Which bin the effect of a discard at a place is, from a state at another (W + BINS - 1, W).
    far
        In which bin the effects of discards are that are clear.
    steps
        Effect of the change that led here, in bins, from each place of its parent, (P, W).
    """

    parent: int | None
    at: NDArray[np.int64]
    own: Array
    near: Array
    gap: NDArray[np.int64]
    far: NDArray[np.int64]
    steps: NDArray[np.int64]


def _nodes(tried: Sequence[Tried]) -> list[_Node]:
    import numpy as np

    states = sorted((t for t in tried if t.state is not None), key=lambda t: t.state or 0)
    zero = states[0].value if states else 0.0
    discards: dict[int | None, list[Tried]] = {}
    for one in tried:
        if one.state is None:
            discards.setdefault(one.parent, []).append(one)
    nodes: list[_Node] = []
    for k, state in enumerate(states):
        value = _near(state.value - zero)
        half = max(3, round(WINDOW / math.sqrt(state.runs) / STEP))
        at = np.arange(-half, half + 1) + round(value / STEP)
        own: Array = -0.5 * state.runs * np.square(value - at * STEP)
        values = np.array([_near(t.value - zero) for t in discards.get(k, ())], np.float64)
        runs = np.array([t.runs for t in discards.get(k, ())], np.float64)
        clear = np.abs(values - value) > CLEAR
        places = np.arange(at[0] - BINS // 2, at[-1] + BINS // 2 + 1)
        off = values[~clear, None] - places * STEP
        near = np.exp(-0.5 * runs[~clear, None] * off**2) + TINY
        above = places[:, None] - at
        far = np.round((values[clear] - value) / STEP).astype(np.int64)
        steps = at - nodes[state.parent].at[:, None] if state.parent is not None else above[:0]
        nodes.append(_Node(state.parent, at, own, near, _bin(above), _bin(far), steps))
    return nodes


def _near(value: float) -> float:
    return max(-FARTHEST, min(FARTHEST, value))


def _bin(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bins of effects that are given as numbers of steps."""
    import numpy as np

    return np.clip(steps + BINS // 2 + 1, 0, BINS + 1)


def _parts() -> Array:
    """Return the components of the distribution of effects (bins, components), ends included."""
    import numpy as np
    from scipy.stats import norm

    inner = (np.arange(BINS + 1) - BINS / 2) * STEP
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    nothing = np.zeros(BINS + 2)
    nothing[BINS // 2 + 1] = 1.0
    parts = [nothing]
    for scale in (0.5, 1.0, 2.0, 4.0, 8.0):
        helps = np.diff(1 - np.exp(-np.maximum(edges, 0.0) / scale))
        parts += [helps, helps[::-1]]
    parts += [np.diff(norm.cdf((edges + scale) / scale)) for scale in (1.0, 2.0, 4.0)]
    return np.array(parts).T


def _expect(nodes: Sequence[_Node], prior: Array) -> tuple[Array, list[Pairs | None]]:
    """Return how many ideas have which effect, and by state how probable each one is."""
    import numpy as np

    inside = prior.copy()
    inside[[0, -1]] = 0.0  # of what is near nothing lies beyond
    spread = prior.copy()
    spread[[0, -1]] /= BINS  # beyond, it may be anywhere

    # From the leaves to the root: what later measurements say of each state.
    likely = [node.near @ inside[node.gap] + TINY for node in nodes]  # (n, W)
    ups = [_scaled(n.own + np.log(some).sum(axis=0)) for n, some in zip(nodes, likely, strict=True)]
    moves = [spread[_bin(node.steps)] for node in nodes]
    told = [np.ones(0)] * len(nodes)
    for k in range(len(nodes) - 1, -1, -1):
        if (parent := nodes[k].parent) is not None:
            told[k] = moves[k] @ ups[k] + TINY
            ups[parent] = ups[parent] * told[k]
            ups[parent] /= ups[parent].max()

    # And back: what is known of a state, and of the change that led to it.
    counts = np.zeros(BINS + 2)
    wholes: list[Array] = []
    found: list[Pairs | None] = []
    for k, node in enumerate(nodes):
        whole = ups[k] / ups[k].sum()
        found.append(None)
        if node.parent is not None:
            pairs = (wholes[node.parent] / told[k])[:, None] * moves[k] * ups[k]
            pairs /= pairs.sum()
            whole = pairs.sum(axis=0)
            counts += np.bincount(_bin(node.steps).ravel(), pairs.ravel(), BINS + 2)
            first = int(node.steps.min())
            chances = np.bincount((node.steps - first).ravel(), pairs.ravel())
            found[k] = first, chances.astype(np.float64)
        wholes.append(whole)
        both = node.near.T @ (whole / likely[k])  # (W + BINS - 1, W)
        counts += inside * np.bincount(node.gap.ravel(), both.ravel(), BINS + 2)
        counts += np.bincount(node.far, minlength=BINS + 2)
    return counts, found


def _scaled(log: Array) -> Array:
    """Return likelihoods, the largest one as 1."""
    import numpy as np

    likelihood: Array = np.exp(log - log.max()) + TINY
    return likelihood


def _summary(first: int, chances: Array) -> Effect:
    import numpy as np

    values = (np.arange(len(chances)) + first) * STEP
    # Within a bin the probability is spread evenly.
    edges = np.append(values, values[-1] + STEP) - STEP / 2
    low, high = np.interp([TAIL, 1 - TAIL], np.append(0.0, np.cumsum(chances)), edges)
    nothing = float(chances[values < STEP / 2].sum())
    return Effect(float(chances @ values), float(low), float(high), nothing)
