"""Look for leaks: losses that a model could not reach by predicting the next token of each row.

The scored process sees every row once, whole, in order, and is sent nothing else before all its
losses are here. Then it ends. Only now are the secrets drawn, and a *witness*, a second process in
a sandbox of its own in which no line of the candidate's has run so far, answers for some rows:

alone     late rows one by one, before anything else
mixed     rows in other company
twins     a fifth of all rows; from a cut on, another row's text follows
canaries  rows of random tokens that lie between the real ones

Why a model that knows all this can't win: whatever it does in the scored process, it does it not
knowing which rows and positions will be looked at, for nobody knows yet. And the witness never
meets what followed a cut: not in that row, not in another one, for the text after a cut comes from
rows that it sees nothing else of, and there is no place where the first process could have left a
word for it. So it may find out that it is the witness, and where a cut is, but it can't repeat a
loss that came from the tokens behind it. At the last position before a cut *all* that follows is
replaced, so the mean difference there, over uniform cuts, is just what looking ahead gains. Half
of the choice goes by surprise: positions that the model got much better than the token's frequency
suggests are where a rare leak pays, and the mean is weighted to remain that of uniform cuts. A
model that learns from the rows that it has scored meets the late ones after all others in one
process and first in the other.

Differences are judged by what they gain, in bits per byte, never by equality: kernels and routing
may depend on the batch. How much they do is seen on the mixed rows, and `ERRORS` standard errors
of it are added to the limit. What is over the limit by less than that again may still be noise, and
above `NOISY` nothing can be told any more: then a person has to look. Against a model that leaks in
the scored process alone, and whose noise is that leak, all that came in company counts together.

What remains. A leak used at a share q of the positions is met by none of n cuts with probability
(1 - q / 2)^n when it makes the model no better than a token's frequency suggests, and much less
when it does. A model that feigns noise of just `NOISY` in the witness hides a gain of `NOISY` times
`ERRORS` / sqrt(n) half the time: 0.056 with n = 51 twins.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.language_model.model import Model
from autoresearch_kit.tasks.language_model.rows import Rows

LIMIT = 0.0005
"""Bits per byte that a leak may seem to gain."""

ALONE_LIMIT = 0.003
"""The same for company in the batch, which experts with a capacity for each batch do need."""

COMPANY_LIMIT = 0.02
"""Bits per byte that the score of a row may change without its company, up or down.

More if that is what its positions make up when each changes on its own account. In profile smoke
experts with a capacity changed it by 0.003 to 0.008, statistics over the batch by 0.03 to 0.7."""

NOISY = 0.1
"""Standard deviation of a position's loss between batches, in bits per byte, that is too much.

In profile smoke experts with a capacity of 1 to 2, in all four layers, had 0.04 to 0.063."""

ERRORS = 4.0  # standard errors that count as noise

SHARP = 4
"""Power of the surprise by which half of the cuts are drawn.

In profile smoke a leak at 0.3 % of the positions was missed by 70 % of the draws with 1, by 40 %
with 2 and by 4 % with 4."""

REASONS = {
    "again": "the model keeps what it was shown: sent again at the end, its first {rows} rows cost "
    "{gain} bits/byte less (limit {limit})",
    "mixed": "leak across rows: in other company and after other rows, {rows} rows cost {gain} "
    "bits/byte more (limit {limit})",
    "alone": "leak across rows: alone and before all others, {rows} rows cost {gain} bits/byte "
    "more (limit {limit})",
    "company": "leak across rows: alone, the score of a row is another one, by {gain} bits/byte in "
    "{rows} rows (root mean square, limit {limit})",
    "cut": "future leak: with other text after secret cuts in {rows} rows, the loss of the token "
    "before the cut rose by {gain} bits/byte (limit {limit})",
    "before": "future leak: with other text after secret cuts, the loss of all tokens before them "
    "rose by {gain} bits/byte (limit {limit})",
    "whole": "leak across rows or of the future: in other company, what comes before the cuts in "
    "{rows} rows cost {gain} bits/byte more (limit {limit})",
}

CANARY_BITS = 40  # all canaries together are cheaper than chance allows by this: one in 2**40

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What the witness is sent, in this order: `alone` rows, others, canaries.

    Parameters
    ----------
    rows
        (K,), which of the scored rows they are.
    inputs
        (K, T), their tokens, another row's from the cut on.
    cuts
        (K,), how many positions come before the cut; T for a whole row.
    weights
        (K,), how much rarer than it was drawn a uniform cut is; 1 for a whole row.
    alone
        How many at the beginning are sent one by one.
    """

    rows: NDArray[np.int64]
    inputs: NDArray[np.uint16]
    cuts: NDArray[np.int64]
    weights: Floats
    alone: int


def look(model: Model, witness: Model, rows: Rows, bits: Floats) -> tuple[dict[str, Any], str]:
    """Compare `model`, whose losses of `rows` in `bits` (N, T) were just taken, with `witness`.

    Ends `model` and builds `witness`.

    Returns
    -------
    tuple
        The figures of each check, and what a person has to look at, or "".

    Raises
    ------
    Crash
        If there is a leak, or the candidate fails.
    """
    first = slice(0, model.batch)
    repeated = rows.bits(model.nats(rows.tokens[first, :-1], rows.targets[first]), first)
    model.end()  # before anything is drawn, and before the witness runs the candidate's code

    plan = draw(np.random.default_rng(secrets.randbits(128)), rows, bits)
    witness.build(rows.vocab_size, rows.targets.shape[1])
    inputs = np.concatenate([plan.inputs, rows.canaries[:, :-1]])
    targets = np.concatenate([rows.targets[plan.rows], rows.canaries[:, 1:]])
    nats = witness.nats(inputs, targets, plan.alone)
    seen = rows.bits(nats[: len(plan.rows)], plan.rows)
    canaries = nats[len(plan.rows) :] / math.log(2)
    return judge(plan, rows, bits, seen, repeated, canaries)


def draw(random: np.random.Generator, rows: Rows, bits: Floats) -> Plan:
    """Choose rows, cuts and the text after them; `bits` (N, T) are the losses as scored."""
    count, length = bits.shape
    few = max(2, min(8, count // 8))
    sizes = few, max(few, min(16, count // 20)), count // 5
    late = count - max(2 * sizes[0], count // 4)
    alone = late + random.permutation(count - late)[: sizes[0]]
    others = random.permutation(np.setdiff1d(np.arange(count), alone))
    mixed, twins, donors = np.split(others, np.cumsum(sizes[1:]))
    chosen = {int(row): length for row in mixed}
    weight, donated = dict.fromkeys(chosen, 1.0), {}
    spare = list(donors)
    likely = _likely(rows, bits)
    for row in map(int, twins):
        last = int(random.choice(length - 1, p=likely[row]))
        chosen[row] = cut = last + 1
        weight[row] = 1 / ((length - 1) * likely[row, last])
        # A donor that goes on with the same token would show nothing at the cut.
        other = (at for at, d in enumerate(spare) if rows.tokens[d, cut] != rows.tokens[row, cut])
        donated[row] = spare.pop(next(other, 0))
    order = np.array([*alone, *sorted(chosen, reverse=True)])  # what was late comes early
    inputs = rows.tokens[order, :-1].copy()
    for at, row in enumerate(order):
        if row in donated:
            cut = chosen[row]
            inputs[at, cut:] = rows.tokens[donated[row], cut:-1]
    return Plan(
        order,
        inputs,
        np.array([chosen.get(row, length) for row in order]),
        np.array([weight.get(row, 1.0) for row in order]),
        len(alone),
    )


def _likely(rows: Rows, bits: Floats) -> Floats:
    """Return how likely each position of a row is the last before its cut, (N, T - 1)."""
    counts = np.bincount(rows.targets.ravel(), minlength=rows.vocab_size) + 1.0
    usual = np.log2(counts.sum() / counts)[rows.targets]
    ahead = np.where(rows.bytes > 0, usual - bits, 0.0)[:, :-1].clip(1e-3, 50)
    ahead **= SHARP
    likely: Floats = 0.5 / ahead.shape[1] + 0.5 * ahead / ahead.sum(axis=1, keepdims=True)
    return likely


def judge(
    plan: Plan, rows: Rows, bits: Floats, seen: Floats, repeated: Floats, canaries: Floats
) -> tuple[dict[str, Any], str]:
    """Return figures and suspicion, or raise `Crash`, as `look` does.

    Parameters
    ----------
    bits, seen, repeated, canaries
        Losses in bits: as scored (N, T), the witness's (K, T), those of the first rows when they
        were sent again, and the witness's of the canaries (C, T).
    """
    token = rows.bytes.sum() / rows.bytes.size  # bytes of a token
    gains = (seen - bits[plan.rows]).clip(-100, 100) / token  # (K, T), bits per byte
    again = (bits[: len(repeated)] - repeated).clip(-100, 100) / token
    found = _measure(plan, gains, again)
    if canaries.size:
        floor = math.log2(rows.vocab_size - 1)  # of all tokens but the one that begins a row
        found["canaries"] = {"bits": _short(canaries.clip(0, 1000).mean()), "floor": _short(floor)}
    doubts = []
    for name, reason in REASONS.items():
        each = found[name]
        if each["gain"] > each["limit"]:
            where = _worst(plan, gains, name) if name in ("cut", "before") else ""
            doubts.append(reason.format(**each) + where)
            if each["gain"] > each["limit"] + each.get("noise", 0.0):
                raise Crash(doubts[-1], checks=found)
    return found, _suspicion(found, canaries.size, doubts)


def _measure(plan: Plan, gains: Floats, again: Floats) -> dict[str, dict[str, float]]:
    """Return the figures of each check from gains in bits per byte, (K, T) and (B, T)."""
    length = gains.shape[1]
    whole, order = plan.cuts == length, np.arange(len(gains))
    alone, mixed, twins = gains[: plan.alone], gains[whole & (order >= plan.alone)], gains[~whole]
    cuts, weights = plan.cuts[~whole], plan.weights[~whole]
    before = np.arange(length) < cuts[:, None]
    cut = twins[np.arange(len(twins)), cuts - 1] * weights
    scatter = gains[whole].std()
    of_row, own = mixed.mean(axis=1).std(ddof=1), alone.mean(axis=1)
    of_twin = ((twins * before).sum(axis=1) / length).std(ddof=1)  # a far leak is in every one
    share = before.mean()
    ends = plan.cuts[plan.alone :]
    sums = np.where(np.arange(length) < ends[:, None], gains[plan.alone :], 0.0).sum(axis=1)
    rise = sums.sum() / ends.sum()
    spread = math.sqrt(((sums - rise * ends) ** 2).sum()) / ends.sum()
    found = {
        "again": _figures(again, of_row / math.sqrt(len(again))),
        "mixed": _figures(mixed, of_row / math.sqrt(len(mixed))),
        "alone": _figures(alone, own.std(ddof=1) / math.sqrt(len(own)), ALONE_LIMIT),
        "company": {
            "gain": _short(math.sqrt((own**2).mean())),
            "limit": _short(max(COMPANY_LIMIT, ERRORS * alone.std() / math.sqrt(length))),
        },
        "cut": _figures(cut, scatter * math.sqrt((weights**2).mean() / len(cut))),
        "before": _figures(
            twins[before],
            max(of_row * math.sqrt(share), of_twin) / share / math.sqrt(len(twins)),
        ),
        "whole": _figures(np.array(rise), spread),
    }
    for name, rows in (("again", again), ("mixed", mixed), ("alone", own), ("company", own)):
        found[name]["rows"] = len(rows)
    found["cut"]["rows"], found["whole"]["rows"] = len(cut), len(ends)
    found["mixed"]["scatter"] = _short(scatter)
    return found


def _worst(plan: Plan, gains: Floats, name: str) -> str:
    """Return where the evidence of a future leak is strongest, in words."""
    if name == "cut":
        rises = gains[np.arange(len(gains)), plan.cuts - 1]
    else:
        rises = np.array([row[:cut].mean() for row, cut in zip(gains, plan.cuts, strict=True)])
    at = int(np.where(plan.cuts < gains.shape[1], rises, -np.inf).argmax())
    return (
        f"; most in row {plan.rows[at]}, cut after position {plan.cuts[at] - 1}, "
        f"by {_short(rises[at])}"
    )


def _figures(gains: Floats, error: float, limit: float = LIMIT) -> dict[str, float]:
    """Return a mean gain, its noise, and what it may be, in bits per byte."""
    noise = ERRORS * error
    return {"gain": _short(gains.mean()), "noise": _short(noise), "limit": _short(limit + noise)}


def _suspicion(found: dict[str, dict[str, float]], size: int, doubts: list[str]) -> str:
    """Return what a person has to look at; `size` is how many canary tokens there were."""
    if size and found["canaries"]["bits"] < found["canaries"]["floor"] - CANARY_BITS / size:
        return (
            "the rows of the score were read in training: {bits} bits a token for random tokens "
            "that lie between them, which cost whoever never saw them {floor} or more"
        ).format(**found["canaries"])
    if doubts:
        return f"noise of an honest model, or else a {doubts[0]}"
    if (scatter := found["mixed"]["scatter"]) > NOISY:
        return (
            f"a leak can't be told from noise: from batch to batch the loss of a position scatters "
            f"by {scatter} bits/byte (limit {NOISY})"
        )
    return ""


def _short(number: float) -> float:
    return float(f"{number:.4g}")
