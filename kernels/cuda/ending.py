"""How the losses of rows, or of blocks, become one: in the last block of their own launch, or by a launch that adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from softgrad.kernels.cuda.launch import device, empty
from softgrad.kernels.cuda.options import element, given
from softgrad.kernels.cuda.sums import can_be_left, finish_of, stored, sum_of, workspace
from softgrad.kernels.formulas.jit import jitable

Function = Callable[..., Any]


class Summing(NamedTuple):
    """What a kernel is compiled for whose last block adds up, and gives ``put(result, sum / divisor, divisor)``."""

    divisor_of: Any
    put: Any


def keeping_of(threads: int, across: int, summing: Summing | None) -> tuple[Function, Function]:
    """Build ``keep(results, at, loss)``, and ``end(results, count)`` for all threads at the end of the kernel.

    The kernel's blocks have so many threads, in rows of so many `across`; `results` are an `Ending`'s.
    """
    if summing is None:
        return _kept, _nothing_at_end
    finish = finish_of(threads, across, *summing)

    def end(results, count):
        left, arrived, result, divisor = results
        finish(left, count, divisor, arrived, result)

    return _kept_to_be_added, device(end)


@jitable
def _kept(results, at, loss):
    results[at] = loss


@jitable
def _kept_to_be_added(results, at, loss):
    results[0][at] = loss


@jitable
def _nothing_at_end(results, count):
    pass


class Ending:
    """Where the losses of one launch are left, and what is made of them.

    Attributes
    ----------
    left
        An array for them, the caller's own if there is one.
    summing
        What the kernel is compiled for; None if others add up.
    results
        What it is given: ``left``, or with `summing` ``(left, arrived, result, divisor)``.
    arrays
        The arrays of these.

    Parameters
    ----------
    count, threads
        How many losses there are, and of how many threads a block that could add them; 0 if none can.
    divisor
        A number, or an array without axes; None is for the sum in float64, and not in the dtype.
    left
        The dtype of what is left, if that is another.
    """

    def __init__(self, losses: Any, count: int, dtype: Any, divisor: Any, threads: int, left: Any = None) -> None:
        self._dtype: Any = np.float64 if divisor is None else dtype
        self._divisor: Any = 1.0 if divisor is None else divisor
        self.summing = Summing(element(self._divisor), stored) if can_be_left(count, threads) else None
        left = dtype if left is None else left
        if self.summing is None:
            self.left = self.results = empty((count,), left) if losses is None else losses
            self.arrays: tuple[Any, ...] = (self.left,)
            return
        space, self._loss = workspace(left.char), empty((), self._dtype)
        self.left = space.values if losses is None else losses
        self.arrays = self.left, space.arrived, self._loss
        self.results = *self.arrays, given(self._divisor)

    def loss(self) -> Any:
        """The sum over the divisor, an array without axes, once the kernel is launched."""
        return self._loss if self.summing else sum_of(self.left, self._dtype, self._divisor)
