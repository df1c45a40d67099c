"""Where the arrays of a kernel's calls lie in the two shared memories, inputs and outputs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit.tasks.kernel import draws
from autoresearch_kit.tasks.kernel.references import Reference, Shape

PAGE = 4096


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the arrays of a kernel lie, for one shape and one floating type.

    Parameters
    ----------
    shape, dtype
        The kernel's shape and the type of its floating point arrays.
    arrays
        Type, shape and offset of each input and, last, of the output.
    strides
        Bytes from slot to slot, of each array.
    """

    shape: Shape
    dtype: str
    arrays: tuple[tuple[str, Shape, int], ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, reference: Reference, shape: Shape, dtype: str) -> Layout:
        """Return the layout of a kernel's arrays."""
        shapes = _Shapes()
        kinds = [each.dtype.kind for each in reference.inputs(shapes, shape)]
        arrays, offset = [], 0
        for size, kind in zip(shapes.asked, kinds, strict=True):
            name = "int64" if kind == "i" else dtype
            arrays.append((name, size, offset))
            offset += _pages(math.prod(size) * draws.kept_as(name).itemsize)
        out = reference.output(shape)
        arrays.append((dtype, out, 0))
        strides = [offset] * (len(arrays) - 1)
        return cls(
            shape,
            dtype,
            tuple(arrays),
            (*strides, _pages(math.prod(out) * draws.kept_as(dtype).itemsize)),
        )

    def slots(self, room: int) -> int:
        """Return how many slots fit into `room` bytes of inputs and as many of outputs."""
        return room // max(self.strides)


class _Shapes:
    """Stands in for `draws.Draw` to learn the shapes of the inputs."""

    def __init__(self) -> None:
        self.asked: list[Shape] = []

    def __call__(self, shape: Shape) -> NDArray[Any]:
        self.asked.append(tuple(shape))
        return np.empty(0, np.float32)

    def below(self, most: int, shape: Shape) -> NDArray[Any]:
        self.asked.append(tuple(shape))
        return np.empty(min(most, 0), np.int64)


def _pages(size: int) -> int:
    return -(-max(size, 1) // PAGE) * PAGE
