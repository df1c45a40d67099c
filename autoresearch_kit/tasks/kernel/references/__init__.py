"""Kernels by name: one file says all that the scorer has to know of one.

Such a file is importable without torch and has these names.

``TIMED``
    The shapes that are timed, by device (``cpu``, ``cuda``).
``ODD``
    Further shapes that have to work.
``LIMIT``
    What bounds it at best: ``copy`` (memory, read and written), ``read`` (memory, read), or
    ``arithmetic``.
``ATOMICS``
    Whether good kernels add up in an order that changes, so that repeats need not agree bit for
    bit.
``inputs(draw, shape)``
    The input arrays, out of ``draw(shape)`` and ``draw.below(most, shape)``, see `draws.Draw`.
``output(shape)``
    The shape of ``out``.
``largest(shape, most)``
    The largest magnitude of inputs with which an honest kernel does not overflow, where `most` is
    the largest number that it computes with.
``exact(*inputs)``
    From float64 inputs the exact result, and its *spread*: the error that honest arithmetic of
    unit roundoff u may have is u times it. Both of the shape of ``out``.
``slack(shape)``
    For inputs of the standard normal distribution: ``(relative, absolute)``, the same spread as
    ``relative * |result| + absolute`` without the inputs.
``moved(shape)``, ``operations(shape)``
    Numbers read and written at least, arithmetic operations.
``builtins(torch)``
    Ways to call torch for the same result, functions that a ``kernel.py`` could hold; the first
    one is what a lab begins with when there is no starter.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from autoresearch_kit.errors import TaskError

Shape = tuple[int, ...]
Doubles = NDArray[np.float64]


class Reference(Protocol):
    """What a file in this folder holds; the package's text says what each name means."""

    __name__: str
    __file__: str
    TIMED: dict[str, tuple[Shape, ...]]
    ODD: tuple[Shape, ...]
    LIMIT: str
    ATOMICS: bool

    def inputs(self, draw: Any, shape: Shape) -> list[NDArray[Any]]: ...  # noqa: D102
    def output(self, shape: Shape) -> Shape: ...  # noqa: D102
    def largest(self, shape: Shape, most: float) -> float: ...  # noqa: D102
    def exact(self, *inputs: NDArray[Any]) -> tuple[Doubles, Doubles]: ...  # noqa: D102
    def slack(self, shape: Shape) -> tuple[float, float]: ...  # noqa: D102
    def moved(self, shape: Shape) -> int: ...  # noqa: D102
    def operations(self, shape: Shape) -> int: ...  # noqa: D102
    def builtins(self, torch: Any) -> list[Callable[..., None]]: ...  # noqa: D102


def names() -> list[str]:
    """Return the kernels that there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Reference:
    """Return one kernel's reference.

    Raises
    ------
    TaskError
        There is no such kernel.
    """
    if name not in (known := names()):
        raise TaskError(f"there is no kernel {name!r}; there are: {', '.join(known)}")
    return cast(Reference, importlib.import_module(f"{__name__}.{name}"))


def first_kernel(reference: Reference) -> str:
    """Return the text of a ``kernel.py`` that calls torch as the first of the built-ins does."""
    way = reference.builtins(None)[0]
    text = textwrap.dedent(inspect.getsource(way))
    head, colon, body = text.partition(":\n")
    head = head.replace(f"def {way.__name__}(", "def kernel(").replace(": Any", ": torch.Tensor")
    return f"import torch\n\n\n{head}{colon}{body}"
