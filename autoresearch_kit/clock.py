"""The budget: who may train next, how much of the budget is used, and who used too much.

Pure arithmetic on readings that the supervisor takes from outside while the children wait for a
reply. Three kinds of budget:

- ``wall``: seconds since the first step, for accelerators;
- ``cpu``: CPU seconds of the process tree;
- ``relative``: tokens, as many as the baseline can do in the budget on this machine, divided by the
  candidate's cost relative to the baseline's. CPU seconds alone don't hold still: a busy neighbour
  makes each of them worth up to 1.6 times less. So candidate and baseline take turns in the same
  place and moment, and only the ratio of their costs is used, rounded so that repeats are equal.
"""

from __future__ import annotations

import math
import random
from typing import Any

from autoresearch_kit.account import Account, mean, round_ratio, trimmed_mean

CANDIDATE, BASELINE = "candidate", "baseline"

TURN_SECONDS = 0.05  # a turn is one step, or as many as take this long
MIN_PAIRS = 8
PAIRS_ERROR = 0.01  # standard error of ln ratio that ends the turns early
CALIBRATION_SECONDS, CALIBRATION_SHARE = 12.0, 0.2  # of the budget, where the turns end at last
PROBE_SECONDS = 0.35
EXCESS = 1.25  # cost over the measured one that ends a run, where a baseline child is at hand
EXCESS_ALONE = 2.0  # likewise against the rate of another day: a busy machine alone reaches 1.6
STRIKES = 3
DEARER = 0.1  # of the budget, by which a run may cost more than measured before it is charged
DEARER_LOOKS = 2
SETUP_BESIDE, SETUP_BEFORE = 1.25, 1.5  # times the baseline's set-up: at the same time, or long ago
SETUP_SECONDS = 0.25
SETUP_SHARE = 0.5  # of the budget, or 0.5 s; where set-up takes as much, what is left is no run
# By how much the last step may go beyond the budget: as much as a step before it did take, up to a
# quarter of the budget, or one of these where that is more.
LONGEST_STEP, LATE_SHARE = 0.25, 0.03
LATE_SECONDS, LATE_SECONDS_BY_WALL = 0.2, 2.0


class Clock:
    """The state of one run's budget.

    Parameters
    ----------
    kind
        ``wall``, ``cpu`` or ``relative``.
    budget_seconds
        What the task grants.
    baseline_tokens
        Tokens that the budget buys the baseline on this machine; None: measure it first.
    ratio
        The candidate's cost over the baseline's when it is known; None: measure it first.
    seed
        Of the moments at which the baseline is looked at again. The run must not know it.
    """

    def __init__(
        self,
        kind: str,
        budget_seconds: float,
        *,
        baseline_tokens: int | None = None,
        ratio: float | None = None,
        seed: int | None = None,
    ) -> None:
        self.kind, self.budget_seconds = kind, budget_seconds
        self.baseline_tokens, self.ratio = baseline_tokens, ratio
        self._ratio_at_first = ratio or 1.0
        self.measured_ratio: float | None = None
        self.turn = CANDIDATE  # who may go on
        self.failure: str | None = None
        self.candidate, self.baseline = Account(), Account()
        self.companion = kind == "relative" and (baseline_tokens is None or ratio is None)
        self._probe_seconds = min(PROBE_SECONDS, budget_seconds / 60)
        self._calibration = min(CALIBRATION_SECONDS, CALIBRATION_SHARE * budget_seconds)
        self._random = random.Random(seed)
        self._progress = 0.0
        self._slices: list[float] = []
        self._turns: list[tuple[float, float]] = []  # cost of candidate, of baseline
        self._probes: list[float] = []
        self._probe_at: list[float] = []
        self._expected = 0.0  # seconds that the candidate's tokens should have cost, up to ...
        self._settled = 0  # ... this many tokens
        self._probe_cost = 0.0
        self._checked = 0.0
        self._strikes = 0
        self._price = 1.0  # cost a token now over the measured one, as far as it is charged
        self._paid = 0.0  # like _expected, at that price and the exact ratio
        self._paid_from = 0.0, 0.0, 0  # _paid, seconds and tokens when the price was last set
        self._dearer = 0
        self.setup_charged = 0.0  # CPU seconds of set-up that count towards the budget
        self._phase = "train"
        if self.companion:
            self._phase = "rate" if baseline_tokens is None else "turns"
            self.turn = BASELINE

    @property
    def calibrating(self) -> bool:
        """Whether the cost is still being measured."""
        return self.companion and self._phase != "train"

    @property
    def pairs(self) -> int:
        """How many pairs of turns were taken."""
        return len(self._turns)

    @property
    def ready(self) -> bool:
        """Whether all whose cost is to be measured have finished their set-up."""
        return self.candidate.started and (self.baseline.started or not self.companion)

    @property
    def finished(self) -> bool:
        """Whether the candidate has used its budget."""
        return self._progress >= 1.0

    @property
    def progress(self) -> float:
        """The candidate's share of the budget used, 0 to 1, as of its last step."""
        return self._progress

    def baseline_progress(self) -> float:
        """Return what the baseline child is told."""
        return min(0.99, self.baseline.tokens / (self.baseline_tokens or math.inf))

    def start(self, who: str) -> None:
        """Note that a child's set-up is over."""
        self._account(who).started = True

    def set_up(self, own: float, beside: float | None, before: float | None) -> None:
        """Let set-up that is far dearer than the baseline's count towards a budget on a CPU.

        Nobody can tell imports and compilation from training that begins too early. From half of
        the budget on it is a failure: what can't be charged would be free.

        Parameters
        ----------
        own, beside, before
            CPU seconds of set-up: the candidate's; the baseline's at the same time, or None; the
            baseline's in the campaign's first run, or None.
        """
        usual, times = (before, SETUP_BEFORE) if beside is None else (beside, SETUP_BESIDE)
        if self.kind != "wall" and usual is not None:
            free = times * usual + SETUP_SECONDS
            self.setup_charged = max(0.0, own - free)
            most = SETUP_SHARE * max(1.0, self.budget_seconds)
            if self.setup_charged >= most:
                self.failure = (
                    f"timeout: set-up used {own:.2f} CPU seconds, of which {free:.2f} are free "
                    f"(the baseline's took {usual:.2f}), expected less than {most:.2f} beyond, for "
                    f"a budget of {self.budget_seconds:g} s; train after clock.start(), and let "
                    "set-up load and compile less"
                )

    def step(self, who: str, tokens: int, seconds: float) -> None:
        """Book a step of `who` and decide whose turn it is.

        Parameters
        ----------
        tokens
            Units of work that the child says it did.
        seconds
            Wall or CPU seconds of that child since its first step, measured from outside.
        """
        account, finished = self._account(who), self.finished
        account.add(tokens, seconds)
        if self._phase == "rate":
            self._measure_rate()
        elif self._phase == "turns":
            self._take_turns(account)
        elif who == BASELINE:
            self._end_probe(account)
        if who == CANDIDATE:
            self._progress = max(self._progress, self._used())
            if self._phase == "train" and self.kind == "relative" and not finished:
                self._watch()
            if self.finished and not finished and not self.failure:
                self._check_last_step()

    def _account(self, who: str) -> Account:
        return self.candidate if who == CANDIDATE else self.baseline

    def _used(self) -> float:
        if self.kind != "relative":
            return min(1.0, (self.candidate.seconds + self.setup_charged) / self.budget_seconds)
        if self.baseline_tokens is None:
            return 0.0
        total = self._total()
        if self.ratio is not None and self.candidate.tokens >= total:
            return 1.0
        # The first stretch counts as if the ratio were 1, always the same number of tokens, also
        # when the ratio was known before: so a run and its repeat have the same schedule. What
        # that was wrong by is made up for until the middle.
        tokens, middle = self.candidate.tokens, total / 2
        stretch = min(self._tokens_in(self._calibration), total / 4)
        if self.ratio is None or tokens <= stretch:
            return min(0.99, tokens / self.baseline_tokens)
        if tokens >= middle:
            return tokens / total
        first = stretch / self.baseline_tokens
        return first + (0.5 - first) * (tokens - stretch) / (middle - stretch)

    def _total(self) -> float:
        """Return the tokens that the candidate may train on."""
        assert self.baseline_tokens is not None
        left = max(0.0, 1.0 - self.setup_charged / self.budget_seconds)
        return self.baseline_tokens / (self.ratio or 1.0) * left

    def _tokens_in(self, seconds: float) -> float:
        """Return how many tokens the baseline does in so many seconds."""
        assert self.baseline_tokens is not None
        return self.baseline_tokens * seconds / self.budget_seconds

    def _measure_rate(self) -> None:
        """Let the baseline alone run for some seconds and take its undisturbed cost."""
        account = self.baseline
        if account.turn_seconds >= self._probe_seconds / 2:
            self._slices.append(account.end_turn())
        enough = min(self.budget_seconds / 2, max(2.0, min(6.0, 0.05 * self.budget_seconds)))
        if account.seconds < enough or len(self._slices) < 3:
            return
        # Neighbours only ever make it dearer. The first slice warms caches; the very cheapest may
        # be luck.
        costs = sorted(self._slices[1:])
        cost = costs[len(costs) // 4]
        steps = max(1, round(self.budget_seconds / cost / account.step_tokens))
        self.baseline_tokens = steps * account.step_tokens
        self.companion = self.ratio is None
        self._phase, self.turn = ("turns", BASELINE) if self.companion else ("train", CANDIDATE)

    def _take_turns(self, account: Account) -> None:
        # Short turns see the same machine: single steps halve the error of turns of 0.3 s.
        enough = account.turn_tokens >= self._tokens_in(min(TURN_SECONDS, self._probe_seconds))
        if not enough and account.turn_seconds < 2 * TURN_SECONDS:
            return
        if self.turn == BASELINE:
            self._probe_cost = account.end_turn()
            self.turn = CANDIDATE
            return
        self._turns.append((account.end_turn(), self._probe_cost))
        self.turn = BASELINE
        # The first pair warms the caches up.
        logs = [math.log(max(c, 1e-12) / max(b, 1e-12)) for c, b in self._turns[1:]]
        over = (
            self.candidate.tokens >= self._tokens_in(self._calibration)
            or self.candidate.seconds >= self._calibration
        )
        if len(logs) < (2 if over else MIN_PAIRS):
            return
        middle = mean(logs)
        error = math.sqrt(sum((log - middle) ** 2 for log in logs) / (len(logs) - 1) / len(logs))
        if over or error <= PAIRS_ERROR:
            self.measured_ratio = math.exp(trimmed_mean(logs))
            self.ratio = self._ratio_at_first = round_ratio(self.measured_ratio, error)
            self._begin_training(mean([b for _, b in self._turns[1:]]))
            # That the first turn isn't measured must not make it a place to train unseen.
            usual = math.exp(trimmed_mean([math.log(max(c, 1e-12)) for c, _ in self._turns[1:]]))
            hidden = (self._turns[0][0] - usual) * account.step_tokens
            if hidden > max(1.0, 0.05 * self.budget_seconds):
                self.failure = (
                    f"timeout: its first step used {hidden:.1f} CPU seconds more than the others; "
                    "whatever compiles or warms up belongs before clock.start()"
                )

    def _begin_training(self, cost: float) -> None:
        self._phase, self.turn = "train", CANDIDATE
        self._settled = self.candidate.tokens
        self._expected = self._paid = self._checked = self.candidate.seconds
        self._paid_from = self._paid, self._paid, self._settled
        self._probe_cost = cost
        count = max(3, round(self.budget_seconds / 30))
        begin = self._used()
        self._probe_at = [
            begin + (1 - begin) * (i + self._random.random()) / count for i in range(count)
        ]

    def _end_probe(self, account: Account) -> None:
        if account.turn_tokens < self._tokens_in(self._probe_seconds):
            return
        cost = account.end_turn()
        self._probes.append(cost)
        between = (self._probe_cost + cost) / 2
        self._expected += self._stretch(between)
        self._paid += self._priced(between)
        self._settled, self._probe_cost = self.candidate.tokens, cost
        self.turn = CANDIDATE
        if self.candidate.seconds > EXCESS * self._expected:
            self._strikes += 1
            if self._strikes >= STRIKES:
                self._fail(self._expected)
        else:
            self._strikes = 0
        self._dearer = self._dearer + 1 if self._is_dearer(self._paid) else 0
        if self._dearer >= DEARER_LOOKS and not self.failure:
            self._charge()

    def _stretch(self, cost: float) -> float:
        """Return what the tokens since the last look at the baseline should have cost."""
        return (self.candidate.tokens - self._settled) * cost * self._ratio_at_first

    def _priced(self, cost: float) -> float:
        """Return what the same tokens cost at the price that is charged."""
        ratio = self.measured_ratio or self._ratio_at_first
        return (self.candidate.tokens - self._settled) * cost * ratio * self._price

    def _is_dearer(self, paid: float) -> bool:
        return self.candidate.seconds - paid > DEARER * self.budget_seconds

    def _charge(self) -> None:
        """Let tokens that have become dearer use up the rest of the budget faster."""
        assert self.baseline_tokens is not None
        assert self.ratio is not None
        paid, seconds, tokens = self._paid_from
        times = (self.candidate.seconds - seconds) / max(self._paid - paid, 1e-9)
        total = self._total()
        # What was trained since the price was set was as dear as what is to come.
        dearer = max(0.0, total - tokens) / times + min(tokens, total)
        self.ratio *= total / dearer
        self._price *= times
        self._paid = self.candidate.seconds
        self._paid_from = self._paid, self._paid, self.candidate.tokens
        self._dearer = 0

    def _watch(self) -> None:
        """Hold the whole cost since the first step against what was measured."""
        seconds = self.candidate.seconds
        if not self.companion:
            assert self.baseline_tokens is not None
            expected = self._stretch(self.budget_seconds / self.baseline_tokens)
            if seconds > EXCESS_ALONE * expected + 0.1 * self.budget_seconds:
                self._fail(expected)
            return
        expected = self._expected + self._stretch(self._probe_cost)
        if self.finished:  # no time is left for further looks
            if seconds > EXCESS * expected + DEARER * self.budget_seconds:
                self._fail(expected)
            return
        paid = self._paid + self._priced(self._probe_cost)
        due = bool(self._probe_at) and self._progress >= self._probe_at[0]
        # Perhaps the machine is busier than when the baseline was last looked at: look again
        # before judging, and only believe it when it stays so.
        soon = seconds < self._checked + 2 * self._probe_seconds
        suspicious = (seconds > EXCESS * expected or self._is_dearer(paid)) and not soon
        if due or suspicious:
            self._checked = seconds
            self._probe_at = [at for at in self._probe_at if at > self._progress]
            self.turn = BASELINE

    def _check_last_step(self) -> None:
        """Fail when the step that ended the budget went far beyond it.

        Every run's does by a part of a step. How many tokens are a step is what the code says, so
        what steps before it took is believed up to a quarter of the budget only.
        """
        late, usual = self._late()
        budget, by_wall = self.budget_seconds, self.kind == "wall"
        most = max(
            min(usual, LONGEST_STEP * budget),
            LATE_SHARE * budget,
            LATE_SECONDS_BY_WALL if by_wall else LATE_SECONDS,
        )
        if late > most:
            self.failure = (
                f"timeout: its last step went {late:.2f} {'' if by_wall else 'CPU '}seconds beyond "
                f"the budget of {budget:g} s, expected {most:.2f} at most; let a step be less work "
                "(a smaller batch) and call clock.tick() after each"
            )

    def _late(self) -> tuple[float, float]:
        """Return by how many seconds the last step went too far, and the longest one before it."""
        own, budget = self.candidate, self.budget_seconds
        usual = own.longest_seconds
        if self.kind != "relative":
            late = own.seconds + self.setup_charged - budget
            return min(late, own.step_seconds), usual
        assert self.baseline_tokens is not None
        price = budget / self.baseline_tokens * (self.ratio or 1.0)
        # A price that rose may have moved the end to before this step.
        late = min(own.tokens - self._total(), own.step_tokens) * price
        if before := own.tokens - own.step_tokens:
            paid = min((own.seconds - own.step_seconds) / before, EXCESS_ALONE * price)
            late = max(late, own.step_seconds - paid * own.step_tokens)
        return late, max(usual, own.longest_tokens * price)

    def _fail(self, expected: float) -> None:
        times = self.candidate.seconds / max(expected, 1e-9)
        measured = "was measured at the start" if self.companion else "its ratio allows"
        self.failure = f"timeout: it used {times:.1f} times the CPU per token that {measured}"

    def _excess(self) -> float | None:
        """Return what the candidate used over what its tokens were paid for."""
        paid = self._paid + self._priced(self._probe_cost)
        return round(self.candidate.seconds / paid, 4) if self.companion and paid else None

    def summary(self) -> dict[str, Any]:
        """Return the figures of the calibration, for the record."""
        if self.kind != "relative":
            return {}
        return {
            "measured_ratio": self.measured_ratio,
            "turns": [[round(c * 1e6, 3), round(b * 1e6, 3)] for c, b in self._turns],
            "probes": [round(cost * 1e6, 3) for cost in self._probes],
            "excess": self._excess(),
            "price": round(self._price, 4),
            "unit": "CPU microseconds a token: candidate, baseline",
        }
