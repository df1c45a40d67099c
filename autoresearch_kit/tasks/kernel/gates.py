"""What a kernel has to pass before it is timed, the cheap gates first.

1 smoke, 2 shapes and types, 3 adversarial values, 4 repeats, 5 odd sizes. A gate that fails ends
the scoring with its name, the shape, the type, the kind of input, and how far off it was.
"""

from __future__ import annotations

import time
from typing import Any

from autoresearch_kit.crash import Crash
from autoresearch_kit.tasks.kernel import closeness, draws
from autoresearch_kit.tasks.kernel.candidate import Child
from autoresearch_kit.tasks.kernel.layout import Layout
from autoresearch_kit.tasks.kernel.references import Reference, Shape

TYPES = {"cpu": ("float32", "float64"), "cuda": ("float32", "float16", "bfloat16")}
TIMED_TYPE = {"cpu": "float32", "cuda": "bfloat16"}
CALL_SECONDS = 10.0  # of one call beyond what is left for compiling
REPEATS = 3
GATES = {
    1: "smoke",
    2: "shapes and types",
    3: "adversarial values",
    4: "repeats",
    5: "odd sizes",
}


class Gates:
    """The gates of one scoring.

    Parameters
    ----------
    child
        The candidate's process, its file imported.
    setup_seconds
        What all calls together may take for compiling.
    """

    def __init__(
        self,
        child: Child,
        reference: Reference,
        draw: draws.Draw,
        device: str,
        setup_seconds: float,
    ) -> None:
        self.child, self.reference, self.draw, self.device = child, reference, draw, device
        self.left = setup_seconds
        self.seconds: dict[str, float] = {}
        self.calls = 0

    def all(self) -> None:
        """Go through all gates.

        Raises
        ------
        Crash
            At the first one that fails.
        """
        for number, gate in enumerate(
            (self._smoke, self._shapes, self._adversarial, self._repeats, self._odd), 1
        ):
            began = time.monotonic()
            try:
                gate()
            except Crash as crash:
                raise Crash(f"gate {number} ({GATES[number]}): {crash}") from None
            self.seconds[GATES[number]] = round(time.monotonic() - began, 3)

    def _smoke(self) -> None:
        self._check(self.small, TIMED_TYPE[self.device], ["normal"])

    def _shapes(self) -> None:
        for dtype in TYPES[self.device]:
            for shape in (self.small, *self.timed[:1]):
                self._check(shape, dtype, ["normal"])
        for shape in self.timed[1:]:
            self._check(shape, TIMED_TYPE[self.device], ["normal"])

    def _adversarial(self) -> None:
        for dtype in TYPES[self.device]:
            self._check(self.small, dtype, list(draws.KINDS))

    def _repeats(self) -> None:
        dtype = TIMED_TYPE[self.device]
        shape = self.timed[0]
        layout = Layout.of(self.reference, shape, dtype)
        self._arrange(layout, REPEATS + 1)
        given = inputs(self.reference, self.draw, layout, "normal")
        for slot in range(REPEATS):
            self.child.fill(slot, given)
        self.child.fill(REPEATS, inputs(self.reference, self.draw, layout, "normal"))
        # Others come between, so that a kernel which keeps something shows it.
        order = [0, REPEATS, 1, REPEATS, 2]
        self._call(order, layout, "normal")
        first = self.child.taken(0)
        for slot in range(1, REPEATS):
            again = self.child.taken(slot)
            if self.reference.ATOMICS:
                wrong = closeness.against_exact(self.reference, given, again, dtype)
            elif first.tobytes() == again.tobytes():
                wrong = ""
            else:
                wrong = f"{int((first != again).sum())} of {first.size} numbers differ"
            if wrong:
                raise Crash(f"{_said(layout, 'normal')}, the same input once more: {wrong}")

    def _odd(self) -> None:
        for shape in self.reference.ODD:
            self._check(shape, TIMED_TYPE[self.device], ["normal", "mixed scales"])

    @property
    def timed(self) -> tuple[Shape, ...]:
        """The shapes that are timed."""
        return self.reference.TIMED[self.device]

    @property
    def small(self) -> Shape:
        """A shape like the first timed one, an eighth of its first axis."""
        first, *others = self.timed[0]
        return (max(1, first // 8), *others)

    def _check(self, shape: Shape, dtype: str, kinds: list[str]) -> None:
        """Compare the outputs for inputs of these kinds with the exact result."""
        layout = Layout.of(self.reference, shape, dtype)
        self._arrange(layout, len(kinds))
        stored = [inputs(self.reference, self.draw, layout, kind) for kind in kinds]
        for slot, given in enumerate(stored):
            self.child.fill(slot, given)
        for slot, (kind, given) in enumerate(zip(kinds, stored, strict=True)):
            self._call([slot], layout, kind)
            wrong = closeness.against_exact(self.reference, given, self.child.taken(slot), dtype)
            if wrong:
                raise Crash(f"{_said(layout, kind)}: {wrong}")
            for index, each in enumerate(given):
                if self.child.given(index, slot).tobytes() != each.tobytes():
                    raise Crash(f"{_said(layout, kind)}: it wrote into its inputs")

    def _arrange(self, layout: Layout, slots: int) -> None:
        self.child.arrange(layout, slots, CALL_SECONDS)

    def _call(self, slots: list[int], layout: Layout, kind: str) -> None:
        began = time.monotonic()
        doing = f"computing {_said(layout, kind)}"
        limit = self.left + CALL_SECONDS
        self.child.call(doing, limit, "kernel", slots)
        self.calls += len(slots)
        self.left = max(0.0, self.left - (time.monotonic() - began))


def inputs(reference: Reference, draw: draws.Draw, layout: Layout, kind: str) -> list[Any]:
    """Return new inputs of a kind, as they are stored."""
    most = draws.MOST[draws.INSIDE[layout.dtype]]
    largest = min(reference.largest(layout.shape, most), draws.MOST[layout.dtype])
    values = reference.inputs(draw.of(kind, largest), layout.shape)
    names = [name for name, _, _ in layout.arrays[:-1]]
    return [draws.stored(each, name) for each, name in zip(values, names, strict=True)]


def _said(layout: Layout, kind: str) -> str:
    return f"shape {layout.shape}, {layout.dtype}, {kind}"
