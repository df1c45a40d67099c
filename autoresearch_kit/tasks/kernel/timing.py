"""What a call costs: candidate and torch's own take turns in one run, on fresh inputs each time.

A turn is one request for calls on all slots. Before it the inputs are new and the outputs NaN;
after it every output is looked at. A turn costs the CPU seconds that the process and all it
started have used *since its turn before ended*: so nothing is gained by working ahead, or later,
or in other processes, and a busy machine changes little. Time that passed without anybody of them
computing or queueing for a core counts too, beyond a moment. With more than one thread, and on a
GPU, a turn costs its wall time: there a busy machine means noise.
"""

from __future__ import annotations

import dataclasses
import math
import os
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoresearch_kit.crash import Crash
from autoresearch_kit.errors import ScorerError
from autoresearch_kit.tasks.kernel import closeness, draws, gates
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.layout import Layout
from autoresearch_kit.tasks.kernel.references import Reference, Shape
from autoresearch_kit.tree import Tree

TURN_SECONDS = 0.02
MOST_SLOTS = 64
FIRST_ROUNDS = 3  # with all of torch's ways and the yardstick; decide which way is the fastest
ROUNDS = 11  # of the candidate and that way alone, each on inputs that are in nobody's cache
SHAPE_SECONDS, LEAST_ROUNDS = 6.0, 5  # a slow kernel, or a busy machine, gets fewer rounds
PAUSE_SECONDS = 0.001  # of a turn in which nobody needs to compute: waking up takes 0.1 ms
ASIDE_SECONDS, ASIDE_SHARE = 0.02, 0.05
"""CPU seconds between the turns of a shape that are no crash.

They are charged to the next turn all the same. An idle process was once seen to use 8.5 ms, on a
machine with a load of 4."""

CALL_SECONDS = 20.0


class Player:
    """A child whose turns are measured."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.settle(strict=False)

    def settle(self, *, strict: bool = True) -> None:
        """From here on all CPU seconds count and, if `strict`, no process may be started."""
        self.child.forks.allow()  # who asked before
        self.child.tree = Tree(self.child.process.pid)  # compilers may have come and gone before
        self.child.known = self.child.processes() if strict else None
        self.settled = self.child.tree.cpu_seconds()
        self.aside = self.inside = 0.0

    def turn(
        self, kernel: str, slots: Sequence[int], doing: str, watched: Child | None = None
    ) -> float:
        """Let it call a kernel once for each slot, and return what that cost in seconds.

        Meanwhile `watched` must start no process: the candidate, whosever turn it is.
        """
        child = self.child
        aside = self.idle()
        child.move("upload", doing, CALL_SECONDS, slots)
        if child.device != "cpu":
            self.settled = child.tree.cpu_seconds()
        before, queued = self.settled, self._queued()
        began = time.perf_counter()
        watched = watched or child
        child.ask(doing, CALL_SECONDS, "call", watched=watched, kernel=kernel, slots=slots)
        wall = time.perf_counter() - began
        self.settled = child.tree.cpu_seconds()
        queued = self._queued() - queued
        used = self.settled - before
        self.inside += used
        if child.device != "cpu":
            child.move("download", doing, CALL_SECONDS, slots)
            self.settled = child.tree.cpu_seconds()
            return wall
        # Where nothing was used somebody else did the work, but 0 would be no divisor.
        cost = max(1e-6, used / child.threads)
        if child.threads > 1:
            # One thread may work while others wait for its core, so waiting excuses nothing.
            return max(cost, wall + aside)
        running = wall - max(0.0, queued)
        return cost if running < cost + PAUSE_SECONDS else running

    def idle(self) -> float:
        """Return the CPU seconds since its last turn; they have to be next to nothing."""
        self.child.look()
        aside = self.child.tree.cpu_seconds() - self.settled
        self.aside += aside
        most = ASIDE_SECONDS + ASIDE_SHARE * self.inside
        if self.aside > most:
            raise self.child.blame(
                f"it works while it is not its turn: {1e3 * self.aside:.1f} ms of CPU time between "
                f"turns that took {1e3 * self.inside:.1f} ms; at most {1e3 * most:.1f} ms are no "
                "sign of work that was put off, done ahead, or meant to disturb"
            )
        return aside

    def _queued(self) -> float:
        """Return how long the child's threads and this one were ready to run while others ran."""
        return self.child.tree.queued_seconds() + _own_queue()


@dataclasses.dataclass(frozen=True)
class Timed:
    """What was measured of one shape.

    Attributes
    ----------
    speedup, error
        Cost of torch's fastest way divided by the candidate's, and its standard error.
    seconds
        Of a call, by name: ``kernel``, torch's ways, and the yardstick's.
    rate
        Numbers, or arithmetic operations, a second that the yardstick, or torch, did.
    """

    shape: Shape
    slots: int
    fastest: str
    speedup: float
    error: float
    seconds: dict[str, float]
    rate: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "shape": list(self.shape),
            "calls_a_turn": self.slots,
            "speedup": round(self.speedup, 5),
            "noise": round(self.error, 5),
            "fastest": self.fastest,
            "ms": {name: round(1e3 * value, 6) for name, value in self.seconds.items()},
        }


class Timing:
    """The timing of one scoring.

    Parameters
    ----------
    candidate, rival
        The two processes, their kernels loaded; the rival has `ways` and the yardsticks.
    """

    def __init__(
        self,
        candidate: Child,
        rival: Child,
        ways: Sequence[str],
        reference: Reference,
        draw: draws.Draw,
        device: str,
    ) -> None:
        self.candidate, self.rival = Player(candidate), Player(rival)
        self.ways, self.reference, self.draw, self.device = list(ways), reference, draw, device
        self.dtype = gates.TIMED_TYPE[device]
        self.yardstick = None if reference.LIMIT == "arithmetic" else reference.LIMIT
        self._random = random.SystemRandom()
        self._kinds: list[str] = []
        self.calls = 0

    def all(self) -> list[Timed]:
        """Time all shapes.

        Raises
        ------
        Crash
            When an output is wrong, or the candidate uses its time otherwise than it has to.
        ScorerError
            When one of torch's ways is wrong here: nobody could be compared with it.
        """
        self._pin()
        try:
            return [self.shape(shape) for shape in self.reference.TIMED[self.device]]
        except ScorerError:
            # It may be what keeps torch's process from getting on.
            self.candidate.child.check("torch's own was timed")
            self.candidate.idle()
            raise

    def shape(self, shape: Shape) -> Timed:
        """Time one shape."""
        layout = Layout.of(self.reference, shape, self.dtype)
        self.candidate.settle(strict=False)
        slots = self._slots(layout)
        self._kinds.clear()
        self.candidate.child.arrange(layout, slots, CALL_SECONDS)
        costs: dict[str, list[float]] = {}
        late = time.monotonic() + SHAPE_SECONDS
        for number in range(-1, FIRST_ROUNDS + ROUNDS):
            if number >= FIRST_ROUNDS + LEAST_ROUNDS and time.monotonic() > late:
                break
            if number < 1:  # The one before round 0 is for page faults, caches and compilers.
                self.candidate.settle(strict=number == 0)
                self.rival.settle()
                costs.clear()
            for name, cost in self._round(layout, slots, self._names(number, costs)).items():
                costs.setdefault(name, []).append(cost / slots)
        self.candidate.idle()
        fastest = _fastest(self.ways, costs)
        # In the first rounds only one of torch's turns found its inputs as cold as the candidate.
        pairs = zip(costs[fastest][FIRST_ROUNDS:], costs["kernel"][FIRST_ROUNDS:], strict=True)
        speedup, error = _median([rival / own for rival, own in pairs])
        medians = {name: statistics.median(each) for name, each in costs.items()}
        rate = self._rate(layout, medians, fastest)
        return Timed(shape, slots, fastest, speedup, error, medians, rate)

    def _rate(self, layout: Layout, seconds: dict[str, float], fastest: str) -> float:
        """Return numbers, or operations, a second that this machine does at best."""
        if self.yardstick is None:
            return self.reference.operations(layout.shape) / seconds[fastest]
        numbers = math.prod(layout.arrays[0][1]) * (2 if self.yardstick == "copy" else 1)
        return numbers / seconds[self.yardstick]

    def _names(self, number: int, costs: dict[str, list[float]]) -> list[str]:
        """Return whose turn it is in a round: at first everybody's, then the fastest way's."""
        if number >= FIRST_ROUNDS:
            return [_fastest(self.ways, costs)]
        ways = self._random.sample(self.ways, len(self.ways))
        return [self.yardstick, *ways] if self.yardstick else ways

    def _round(self, layout: Layout, slots: int, names: list[str]) -> dict[str, float]:
        """Give everybody a turn on the same new inputs, in an order that is drawn; return costs."""
        doing = f"computing {slots} calls of shape {layout.shape}, {self.dtype}, timed"
        kinds = ["normal"] * slots
        # Fewer than the least rounds of a shape, so each kind comes at every timed shape.
        self._kinds = self._kinds or self._random.sample(draws.KINDS, len(draws.KINDS))
        kinds[self._random.randrange(slots)] = self._kinds.pop()
        odd = {}
        for slot, kind in enumerate(kinds):
            inputs = gates.inputs(self.reference, self.draw, layout, kind)
            self.candidate.child.fill(slot, inputs)
            self.rival.child.fill(slot, inputs)
            if kind != "normal":
                odd[slot] = inputs
        order = self._random.sample(range(slots), slots)
        turns, watched = {}, self.candidate.child
        watched.check(doing)
        after = self._random.random() < 0.5
        if not after:
            turns["kernel"] = self.candidate.turn("kernel", order, doing)
        for name in names:
            turns[name] = self.rival.turn(name, order, doing, watched)
        if after:
            turns["kernel"] = self.candidate.turn("kernel", order, doing)
        self.calls += slots
        for slot, kind in enumerate(kinds):
            taken = watched.taken(slot)
            if slot in odd:
                wrong = closeness.against_exact(self.reference, odd[slot], taken, self.dtype)
            else:
                other = self.rival.child.taken(slot)
                wrong = closeness.against_torch(
                    self.reference, layout.shape, taken, other, self.dtype
                )
            if wrong:
                raise Crash(f"{doing}, {kind}: {wrong}")
        return turns

    def _slots(self, layout: Layout) -> int:
        """Return how many slots make a turn of torch's that is long enough to be measured."""
        room = min(MOST_SLOTS, layout.slots(self.rival.child.room))
        few = min(4, room)
        self.rival.child.arrange(layout, few, CALL_SECONDS)
        for slot in range(few):
            self.rival.child.fill(slot, gates.inputs(self.reference, self.draw, layout, "normal"))
        self.rival.settle()
        for way in self.ways:
            self._trust(way, layout)
        way, order, watched = self.ways[0], list(range(few)), self.candidate.child
        turns = [self.rival.turn(way, order, "getting warm", watched) for _ in range(3)]
        slots = max(few, min(room, math.ceil(TURN_SECONDS * few / turns[-1])))
        self.rival.child.arrange(layout, slots, CALL_SECONDS)
        return slots

    def _trust(self, way: str, layout: Layout) -> None:
        """Compare one output of torch's, which the candidate's are compared with, with exact."""
        given = gates.inputs(self.reference, self.draw, layout, "normal")
        self.rival.child.fill(0, given)
        self.rival.turn(way, [0], "getting warm")
        taken = self.rival.child.taken(0)
        if wrong := closeness.against_exact(self.reference, given, taken, self.dtype):
            raise ScorerError(f"torch's own {way} is wrong here, shape {layout.shape}: {wrong}")

    def _pin(self) -> None:
        """Keep both on the same cores, as many as a kernel may use."""
        if not hasattr(os, "sched_getaffinity"):
            return
        cores = sorted(os.sched_getaffinity(0))[-self.candidate.child.threads :]
        for player in (self.candidate, self.rival):
            player.child.tree.find()
            player.child.tree.pin(cores)


def _fastest(ways: Sequence[str], costs: dict[str, list[float]]) -> str:
    return min(ways, key=lambda way: statistics.median(costs[way][:FIRST_ROUNDS]))


def _median(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and its standard error, from the median distance to it."""
    middle = statistics.median(values)
    apart = statistics.median(abs(value - middle) for value in values)
    # 1.4826: from that distance to a deviation; 1.2533: from a mean's error to a median's.
    return middle, 1.2533 * 1.4826 * apart / math.sqrt(len(values))


def _own_queue() -> float:
    try:
        return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
