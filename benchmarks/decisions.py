"""What decision rules do to whole campaigns: false keeps, honest gains, further runs. No training.

A campaign is 100 ideas, each tried on the best state so far. What an idea is really worth is drawn
from a distribution, in standard deviations of one run; a run measures it with normal noise. The
kit's rules are called as a campaign calls them: with replicates, with noise pooled from a prior and
all runs so far, with the numbers of the last keep. A keep is false when the idea is worth nothing
or less.

    none    no idea has an effect
    early   normal, mean -1, standard deviation 2: every third helps, by 1.4 on average
    late    one in twelve helps, exponential with mean 2; the others hurt, exponential with mean 1

Noise is 0.00067 (47 repeats of one configuration on one H200, bits per byte) or 0.008 (the smoke
profile); the prior is what it really is unless the variation says otherwise.

    python benchmarks/decisions.py                     # 1,000 campaigns each: a minute
    python benchmarks/decisions.py --campaigns 200 --variations
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from autoresearch_kit import decide, noise
from autoresearch_kit.decide import Evidence, Rule, Verdict
from autoresearch_kit.records import Record

EXPERIMENTS = 100
START = {0.00067: 0.99172, 0.008: 2.29}  # the baseline's metric where the noise was measured

Draw = Callable[[random.Random], float]


def either(helps: float, gain: float, loss: float) -> Draw:
    """Return a draw that is positive in a share of cases; both sides exponential."""

    def draw(rng: random.Random) -> float:
        return rng.expovariate(1 / gain) if rng.random() < helps else -rng.expovariate(1 / loss)

    return draw


def normal(mean: float, sd: float) -> Draw:
    return lambda rng: rng.gauss(mean, sd)


def student(mean: float, scale: float) -> Draw:
    """Return a draw with the tails of Student's t with three degrees of freedom."""
    return lambda rng: mean + scale * rng.gauss(0, 1) / (rng.gammavariate(1.5, 2) / 3) ** 0.5


def mostly_nothing(rng: random.Random) -> float:
    return 0.0 if rng.random() < 0.7 else rng.gauss(-1, 2)


WORLDS: Mapping[str, Draw] = {
    "none": lambda rng: 0.0,
    "early": normal(-1, 2),
    "late": either(1 / 12, 2, 1),
}

VARIED: Mapping[str, Draw] = {
    "early, effects x 0.5": normal(-0.5, 1),
    "early, effects x 2": normal(-2, 4),
    "early, heavy tails": student(-1, 1.2),
    "early, exponential": either(0.3, 2, 2),
    "late, effects x 0.5": either(1 / 12, 1, 0.5),
    "late, effects x 2": either(1 / 12, 4, 2),
    "late, one in twenty": either(1 / 20, 2, 1),
    "late, normal(-1.5, 1.5)": normal(-1.5, 1.5),
    "seven in ten do nothing": mostly_nothing,
}


@dataclasses.dataclass(frozen=True)
class Set:
    """How a campaign is run."""

    sd: float = 0.00067
    prior: float = 1.0  # as a share of the true noise
    seeds: int = 3  # runs of the baseline
    rows: float = 0.0  # rows_error, as a share of the noise
    simpler: float = 0.0  # share of ideas that remove lines
    luck: float = 0.0  # share of a run's variance that comes from its seed, which all share


@dataclasses.dataclass
class Outcome:
    """A campaign in numbers; gains in standard deviations of one run."""

    keeps: int = 0
    false: int = 0
    simpler: int = 0
    true: float = 0.0
    reported: float = 0.0
    extra: int = 0
    noise: float = 0.0


class Marginal:
    """A rule after the documentation of autojudge 1.0.1, as far as that goes.

    Its noise is the mean difference of consecutive keeps. From 1.5 times that on it keeps; from
    half of it on it wants a retest, and then keeps what is better on average.
    """

    def __init__(self) -> None:
        self.kept: list[float] = []

    def __call__(self, e: Evidence) -> Verdict:
        """Decide."""
        new, old = decide.mean(e.candidate), decide.mean(e.best)
        self.kept = self.kept or [old]
        steps = [abs(b - a) for a, b in zip(self.kept, self.kept[1:], strict=False)]
        floor, gain = (statistics.fmean(steps) if steps else 0.0), old - new
        if gain > 0 and len(e.candidate) == 1 and 0.5 * floor <= gain < 1.5 * floor:
            return Verdict("discard", "retest", more=1)
        if gain > 0 and (gain >= 0.5 * floor or len(e.candidate) > 1):
            self.kept.append(new)
            return Verdict("keep", "better", gain=gain)
        return Verdict("discard", "within the noise")


RULES: Mapping[str, Callable[[], Rule]] = {
    "two_stage": lambda: decide.read({"decide": "two_stage"}),
    "greedy": lambda: decide.read({"decide": "greedy"}),
    "marginal": Marginal,
}


def campaign(rule: Rule, draw: Draw, rng: random.Random, how: Set) -> Outcome:
    """Return what a rule makes of a campaign."""
    out, start, worth = Outcome(), START.get(how.sd, 1.0), 0.0
    shared = [rng.gauss(0, how.luck**0.5) for _ in range(10)]

    def run(worth: float, replicate: int) -> dict[str, Any]:
        luck = shared[replicate] + rng.gauss(0, (1 - how.luck) ** 0.5)
        return {"seed": 1 + replicate, "value": start - how.sd * (worth + luck)}

    best = Record("c", 0, "keep", "", "", replicates=tuple(run(0.0, i) for i in range(how.seeds)))
    several = [best]
    known = noise.of(several, how.prior * how.sd)
    for n in range(1, EXPERIMENTS + 1):
        effect = draw(rng)
        lines = -5 if rng.random() < how.simpler else 0
        replicates: list[Mapping[str, Any]] = []
        more = 1
        while more and len(replicates) < 10:
            replicates.append(run(worth + effect, len(replicates)))
            rows = how.rows * how.sd or None
            shown = Evidence(
                replicates, best.replicates, "minimize", known, lines, rows, 0.0, best.evidence
            )
            verdict = rule(shown)
            more = verdict.more
        out.extra += len(replicates) - 1
        kept = verdict.status == "keep"
        if kept or len(replicates) > 1:
            numbers = verdict.numbers if kept else {}
            made = dataclasses.replace(best, n=n, replicates=tuple(replicates), evidence=numbers)
            several.append(made)
            known = noise.of(several, how.prior * how.sd)
        if kept:
            best = made
            worth += effect
            simpler = "lines less" in verdict.reason
            out.keeps += 1
            out.false += effect <= 0 and not simpler
            out.simpler += simpler
            out.true += effect
            out.reported += (verdict.gain or 0.0) / how.sd
    out.noise = (known.sd or 0.0) / how.sd
    return out


def mean_of(name: str, world: str, how: Set, seed: int, campaigns: int) -> Outcome:
    """Return the mean outcome of many campaigns; the same seed draws the same ideas."""
    draw = {**WORLDS, **VARIED}[world]
    how = how if name == "two_stage" else dataclasses.replace(how, seeds=1)
    all_ = [
        campaign(RULES[name](), draw, random.Random(f"{seed} {world} {how.sd} {i}"), how)
        for i in range(campaigns)
    ]
    fields = dataclasses.fields(Outcome)
    return Outcome(*(statistics.fmean(getattr(one, f.name) for one in all_) for f in fields))


HEAD = (
    "| ideas | rule | keeps | false | of greedy's | false share | of greedy's | progress | "
    "reported / true | over-claimed | extra runs | noise |\n" + "| --- " * 12 + "|"
)


def row(label: str, name: str, one: Outcome, greedy: Outcome) -> str:
    """Return a line of the table."""

    def over(a: float, b: float) -> str:
        return f"{a / b:.2f}" if b else "–"

    share = one.false / one.keeps if one.keeps else 0.0
    of = share / (greedy.false / greedy.keeps) if greedy.false else 0.0
    cells = (
        label,
        name,
        f"{one.keeps:.2f}",
        f"{one.false:.2f}",
        over(one.false, greedy.false),
        f"{share:.0%}",
        f"{of:.2f}",
        f"{one.true:.1f}",
        over(one.reported, one.true) if abs(one.true) > 0.5 else "–",
        f"{one.reported - one.true:+.2f}",
        f"{100 * one.extra / EXPERIMENTS:.1f} %",
        f"{one.noise:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def report(jobs: list[tuple[str, str, Set]], rules: list[str], seed: int, campaigns: int) -> None:
    """Print the table of all jobs: pairs of a label, a world and how it is run."""
    print(HEAD)
    for label, world, how in jobs:
        greedy = mean_of("greedy", world, how, seed, campaigns)
        for name in rules:
            one = greedy if name == "greedy" else mean_of(name, world, how, seed, campaigns)
            print(row(label, name, one, greedy), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variations", action="store_true", help="other effects, wrong priors")
    args = parser.parse_args()
    if not args.variations:
        jobs = [(f"{world}, {sd}", world, Set(sd)) for sd in START for world in WORLDS]
        report(jobs, ["two_stage", "greedy", "marginal"], args.seed, args.campaigns)
        return
    how = {
        "prior x 0.7": Set(prior=0.7),
        "prior x 1.5": Set(prior=1.5),
        "baseline run once": Set(seeds=1),
        "rows_error half the noise": Set(rows=0.5),
        "one in ten removes lines": Set(simpler=0.1),
        "half of the luck is the seed's, shared by all": Set(luck=0.5),
        "all luck is the seed's, shared by all": Set(luck=1.0),
    }
    jobs = [(label, label, Set()) for label in VARIED]
    jobs += [(f"{world}, {label}", world, one) for label, one in how.items() for world in WORLDS]
    report(jobs, ["two_stage"], args.seed, args.campaigns)


if __name__ == "__main__":
    main()
