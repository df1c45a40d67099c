"""Keep or discard: rules that look at evidence and answer with a verdict and a sentence.

A rule is a function ``(Evidence) -> Verdict``. One that needs further runs says so in `more` and
is asked again when they are there. The bars of `two_stage` and their reasons stand below;
benchmarks/decisions.py measures what they do to whole campaigns.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from autoresearch_kit import excerpt, goals
from autoresearch_kit.comparison import Comparison, compare
from autoresearch_kit.comparison import Evidence as Evidence
from autoresearch_kit.comparison import Replicates as Replicates
from autoresearch_kit.comparison import mean as mean
from autoresearch_kit.errors import CampaignError
from autoresearch_kit.noise import PRIOR_FREEDOM, Noise

SCREEN = 1.3
"""Sigma below which one run is the end of it. With 1, early in a campaign 13 % more runs are made
instead of 10 %, for 8 % more progress; an idea in six without effect would get further, not one in
ten."""

AT_ONCE = 3.0
"""Sigma from which one run is enough: one idea in 700 without effect."""

CONFIRM = 2.0
"""Sigma that two runs need together. With 1.64 a fifth of the keeps late in a campaign would be
luck instead of an eighth, more than a third of the share that greedy has."""

SIMPLER = -0.5
"""Sigma that two runs of a patch need that removes lines and costs less than a run's noise."""

MANY_LINES = 20
"""Net lines added from which the believed gain has to be as large as the noise of a run."""

TRIES = 3
"""Runs of a better candidate while the noise of a run is not known."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a rule says: a status and a reason, or how many `more` runs it needs first.

    `delta` is signed as the metric is; `gain` is positive when better, and shrunk towards zero by
    as much as it is uncertain. `numbers` is all that the verdict rests on, ready for JSON.
    """

    status: str
    reason: str
    delta: float | None = None
    noise: float | None = None
    more: int = 0
    gain: float | None = None
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Rule: TypeAlias = Callable[[Evidence], Verdict]


def greedy(evidence: Evidence) -> Verdict:
    """Keep whatever is strictly better than the best state, however little.

    Notes
    -----
    The rule of karpathy/autoresearch (program.md, commit 228791f). It takes noise for progress:
    late in a campaign most of its keeps are luck. The gain that it reports is what was measured.
    """
    new, old = mean(evidence.candidate), mean(evidence.best)
    delta = new - old
    gain = goals.sign(evidence.goal) * delta
    numbers = {"rule": "greedy", "runs": len(evidence.candidate), "value": new, "old": old}
    noise, change = evidence.noise.sd, f"({old:.4f} to {new:.4f})"
    if gain > 0:
        words = f"better by {gain:.4g} {change}"
        return Verdict("keep", words, delta, noise, gain=gain, numbers=numbers)
    how = "no change" if delta == 0 else f"worse by {-gain:.4g}"
    return Verdict("discard", f"{how} {change}", delta, noise, numbers=numbers)


def two_stage(evidence: Evidence) -> Verdict:
    """Keep what is better beyond luck: one run screens, a second one on a new seed confirms.

    Sigma is the standard error of the difference.

    - One run: below `SCREEN` discard, from `AT_ONCE` keep, between them one more run.
    - Two runs: keep from `CONFIRM` on, if the second alone is better too.
    - Below that bar, a patch that removes lines, and costs neither more than the noise of a run
      nor more than half a sigma in two runs, is kept: simpler is better. One that adds
      `MANY_LINES` has to be worth the noise of a run.
    - A gain above the task's `suspicious_sigma` deviations of a run, or above its `suspicious`, is
      put into quarantine until a person looks; after the second run, since a fluke is not worth a
      person's time and one more run of what is sandboxed anyway does no harm.
    - While nobody knows how much runs differ, a better candidate gets up to `TRIES` runs, and its
      own spread is the noise. Where runs don't differ at all, strictly better is a keep.
    """
    c = compare(evidence)
    if c.noise.sd == 0:
        return _exact(evidence, c)
    if c.noise.sd is None or (not evidence.noise.sd and c.noise.freedom < TRIES - 1):
        return _unknown(evidence, c)
    return _screened(evidence, c) if len(evidence.candidate) == 1 else _confirmed(evidence, c)


def _screened(e: Evidence, c: Comparison) -> Verdict:
    assert c.z is not None
    screen, at_once = _bar(SCREEN, c), _bar(AT_ONCE, c)
    how = f"{_sigma(c, screen)} with one run"
    if c.z >= at_once and c.noise.freedom >= PRIOR_FREEDOM and not _suspicion(e, c):
        if words := _too_long(e, c):
            return _say("discard", f"{how}, but {words}", e, c, at_once)
        return _say("keep", f"{how}, over the bar of {at_once:.3g}", e, c, at_once)
    if c.z >= screen:
        return _say("discard", f"{how}: a second one, on a new seed, decides", e, c, screen, more=1)
    if _simpler(e, c):
        words = f"{-e.lines} lines less, and {how}: a second one decides"
        return _say("discard", words, e, c, screen, more=1)
    return _say("discard", how + f", under the bar of {screen:.3g}" * (c.z > 0), e, c, screen)


def _confirmed(e: Evidence, c: Comparison) -> Verdict:
    assert c.z is not None
    assert c.later is not None
    bar, count = _bar(CONFIRM, c), len(e.candidate)
    how = f"{_sigma(c, bar)} with {_runs(e)}"
    alone = "the second alone is" if count == 2 else "those after the first alone are"
    simpler = c.z < bar and _simpler(e, c)
    if c.z < bar and not simpler:
        return _say("discard", how + f", under the bar of {bar:.3g}" * (c.z > 0), e, c, bar)
    # Fewer lines excuse no luck: what only the first run was good for is no change without cost.
    if c.z >= bar and c.later <= 0:
        return _say("discard", f"{how}, but {alone} not better", e, c, bar)
    if words := _suspicion(e, c):
        return _say("quarantine", f"{words}, in {_runs(e)}: a person must look", e, c, bar)
    if simpler:
        words = f"{-e.lines} lines less, and {how}: no more than noise"
        return _say("keep", words, e, c, SIMPLER)
    if words := _too_long(e, c):
        return _say("discard", f"{how}, but {words}", e, c, bar)
    words = f"{how}, over the bar of {bar:.3g}, and {alone} better too"
    return _say("keep", words, e, c, bar)


def _unknown(e: Evidence, c: Comparison) -> Verdict:
    """Judge while neither the campaign nor these runs tell how much runs differ."""
    how = f"{_change(c)} with {_runs(e)}"
    if (c.gain > 0 or (c.gain == 0 and e.lines < 0)) and len(e.candidate) < TRIES:
        words = f"{how}; how much runs of one code differ is not known yet"
        return _say("discard", words, e, c, more=1)
    return _say("discard", how, e, c)


def _exact(e: Evidence, c: Comparison) -> Verdict:
    """Judge where every repeat of a code gives exactly the same number: there is no luck."""
    how = f"{_change(c)}; every repeat gives exactly the same number"
    if c.gain > 0:
        if words := _suspicion(e, c):
            return _say("quarantine", f"{words}: a person must look", e, c, 0.0)
        return _say("keep", f"{how}, so this is no luck", e, c, 0.0)
    if c.gain == 0 and e.lines < 0:
        return _say("keep", f"{-e.lines} lines less, and {how}", e, c, 0.0)
    return _say("discard", how, e, c, 0.0)


def _simpler(e: Evidence, c: Comparison) -> bool:
    assert c.z is not None
    assert c.noise.sd is not None
    return e.lines < 0 and c.z > SIMPLER and c.gain > -c.noise.sd


def _too_long(e: Evidence, c: Comparison) -> str:
    """Return in words that a gain is not worth its lines; "" when it is."""
    if e.lines < MANY_LINES or c.shrunk >= (c.noise.sd or 0.0):
        return ""
    return (
        f"{e.lines} lines more have to be worth the noise of a run, {c.noise.sd:.2g}, and less "
        f"its luck this gain is {c.shrunk:.2g}"
    )


def _suspicion(e: Evidence, c: Comparison) -> str:
    """Return in words why a gain is too good to be believed unseen; "" when it isn't."""
    known = c.noise.sd if c.noise.freedom >= PRIOR_FREEDOM else None
    if known and e.suspicious_sigma and c.gain > e.suspicious_sigma * known:
        return f"{_change(c)}, {c.gain / known:.0f} times the noise of a run"
    if e.suspicious and c.gain > e.suspicious * abs(c.old) > 0:
        return f"{_change(c)}, {100 * c.gain / abs(c.old):.1f} % in one step"
    return ""


def _bar(sigma: float, c: Comparison) -> float:
    """Return a bar in sigma, raised while the noise comes from very few runs, as Student's t is."""
    # A user's own Noise(sd) has no degree of freedom: it counts as if it had one.
    return sigma * math.sqrt(max(1.0, PRIOR_FREEDOM / max(1.0, c.noise.freedom)))


def _sigma(c: Comparison, bar: float) -> str:
    """Return "1.4 sigma better", with as many digits as tell the number from the bar."""
    assert c.z is not None
    if c.z == 0:
        return "no change"
    digits = next((d for d in (1, 2, 3) if round(c.z, d) != round(bar, d)), 4)
    return f"{abs(c.z):.{digits}f} sigma {'better' if c.z > 0 else 'worse'}"


def _change(c: Comparison) -> str:
    if c.gain == 0:
        return f"no change ({c.old:.6g})"
    how = "better" if c.gain > 0 else "worse"
    return f"{how} by {abs(c.gain):.3g} ({c.old:.6g} to {c.new:.6g})"


def _runs(e: Evidence) -> str:
    count = len(e.candidate)
    words = {1: "one run", 2: "two runs", 3: "three runs"}
    return words.get(count, f"{count} runs")


def _say(
    status: str,
    reason: str,
    e: Evidence,
    c: Comparison,
    bar: float | None = None,
    more: int = 0,
    rule: str = "two_stage",
) -> Verdict:
    numbers = {
        "rule": rule,
        "runs": len(e.candidate),
        "best_runs": len(e.best),
        "value": c.new,
        "old": c.old,
        "measured": c.gain,
        "later": c.later,
        "noise": c.noise.sd,
        "freedom": c.noise.freedom,
        "rows_error": e.rows_error,
        "error": c.error,
        "z": c.z,
        "bar": bar,
        "lines": e.lines,
        "suspicious": e.suspicious,
        "suspicious_sigma": e.suspicious_sigma,
    }
    gain = None
    if status in ("keep", "quarantine"):
        gain = c.shrunk
        numbers |= {"gain": gain, "worth": c.worth, "worth_error": c.worth_error}
    reason += _luck(e, c)
    return Verdict(status, reason, c.new - c.old, c.noise.sd, more, gain, numbers)


def _luck(e: Evidence, c: Comparison) -> str:
    """Return in words that a candidate beats what the best state is worth, not what it measured."""
    measured = mean(e.best)
    if c.gain <= 0 or goals.sign(e.goal) * (c.new - measured) > 0:
        return ""
    return f" (the best state measured {measured:.6g}; without its luck it is worth {c.old:.6g})"


RULES: Mapping[str, Rule] = {"two_stage": two_stage, "greedy": greedy}

STATUSES = ("keep", "discard", "quarantine")
"""What a rule may say of a candidate that has a number."""

PROVIDED: Mapping[str, Any] = {
    "Evidence": Evidence,
    "Noise": Noise,
    "Verdict": Verdict,
    "math": math,
    "statistics": statistics,
}
"""What the text of a user's rule may name without importing it."""


def spell(rule: str | Callable[..., Any] | Mapping[str, Any]) -> dict[str, str]:
    """Return a rule as a campaign's baseline keeps it: its name, or the text of a function.

    Parameters
    ----------
    rule
        A name in `RULES`, or a function ``(evidence) -> Verdict``, or a status, or a pair of
        status and reason. Its text is executed wherever the campaign goes on, so it names nothing
        from outside but `PROVIDED`; it may import. Or the settings of another campaign.

    Raises
    ------
    CampaignError
        When there is no such rule, or the function can't be kept as text.
    """
    if isinstance(rule, Mapping):
        read(rule)
        return {key: str(rule[key]) for key in ("decide", "decide_source") if key in rule}
    for name, known in RULES.items():
        if rule == name or rule is known:
            return {"decide": name}
    if not callable(rule):
        raise CampaignError(
            f"decide={rule!r:.200} is no rule; known are {', '.join(RULES)}, and any function of "
            "the evidence: decide=lambda e: 'keep' if (e.z or 0) > 3 else 'discard'"
        )
    text = excerpt.of(rule, PROVIDED)
    return {"decide": rule.__name__.strip("<>"), "decide_source": text}


def read(settings: Mapping[str, Any]) -> Rule:
    """Return the rule that `spell` put into a campaign's settings.

    Raises
    ------
    CampaignError
        When there is none, or its text is no function.
    """
    name, text = str(settings.get("decide", "greedy")), settings.get("decide_source")
    if text is None:
        if name not in RULES:
            known = ", ".join(RULES)
            raise CampaignError(f"decide={name!r} is no rule of this kit; known are: {known}")
        return RULES[name]
    try:
        function = excerpt.function(str(text), PROVIDED, f"<rule {name} of the campaign>")
    except Exception as error:
        raise CampaignError(
            f"the rule {name} in the campaign's baseline can't be used ({error}); look at it with "
            "git show, and start another campaign: tag=..."
        ) from error

    def rule(evidence: Evidence) -> Verdict:
        try:
            said = function(evidence)
        except (Exception, SystemExit) as error:  # anybody's code
            raise CampaignError(
                f"the campaign's rule {name} failed with {type(error).__name__}: {error}. It is "
                "fixed in the baseline: try the repaired one on evidence of your own "
                "(autoresearch_kit.decide.Evidence), and start another campaign: tag=..."
            ) from error
        return judged(said, evidence, name)

    return rule


def judged(said: object, e: Evidence, name: str) -> Verdict:
    """Return what a user's function said as a verdict with all its numbers."""
    c = compare(e)
    given = Verdict(said, "") if isinstance(said, str) else said
    if isinstance(given, tuple) and len(given) == 2:
        given = Verdict(*given)
    fine = isinstance(given, Verdict) and given.status in STATUSES and isinstance(given.reason, str)
    if not isinstance(given, Verdict) or not fine:
        raise CampaignError(
            f"the campaign's rule {name} returned {said!r:.200}; expected one of "
            f"{', '.join(STATUSES)}, a pair of that and a reason, or a Verdict"
        )
    if type(given.more) is not int or given.more < 0:
        raise CampaignError(
            f"the campaign's rule {name} asked for more={given.more!r:.50} runs; expected 0, 1, 2 "
            "and so on"
        )
    usual = f"{_change(c)} with {_runs(e)}, says {name}"
    filled = _say(given.status, given.reason.strip() or usual, e, c, None, given.more, name)
    try:
        own = {key: getattr(given, key) for key in ("delta", "noise", "gain")}
        own = {key: float(value) for key, value in own.items() if value is not None}
        numbers = {**filled.numbers, **json.loads(json.dumps(dict(given.numbers)))}
    except (TypeError, ValueError) as error:
        raise CampaignError(
            f"the campaign's rule {name} returned what is no number: {error}; expected numbers in "
            "delta, noise and gain, and in numbers what JSON can hold"
        ) from error
    return dataclasses.replace(filled, **own, numbers=numbers)
