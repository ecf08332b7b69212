"""Sums over a whole array on the GPU, in an order that never changes: by one block, or by many and the last of them.

Of several blocks each leaves its share in memory and counts itself as done. The one that is the last to count adds up
what all have left, in their order, so that it does not matter which it is; and sets the count back for the next launch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, int32, int64

from softgrad.kernels.cuda.instructions import added_to
from softgrad.kernels.cuda.launch import Kernel, blocks_for, device, empty, place_of_work, zeros
from softgrad.kernels.cuda.options import element, given
from softgrad.kernels.cuda.teams import team_of, thread_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.sums import quotient, together, two_sum

# The threads of a block, and the most of any.
THREADS = MOST_THREADS = 1024

# A block adds so many elements at least, and so many blocks, which fill a card twice, add all of them.
FEWEST_ELEMENTS = 16 * THREADS
MOST_BLOCKS = 256

# So many of what blocks leave the last of them adds up, a thread; more have a launch of their own.
MOST_LEFT = 16

Function = Callable[..., Any]


# ---- what blocks leave, and what becomes of it


class Workspace:
    """Memory in which the blocks of a launch leave what the last of them adds up.

    The launches of a stream take their turns with it: each thread of the host has one for each stream and dtype.

    Attributes
    ----------
    values
        As many as a last block may be left, of the dtype.
    arrived
        How many blocks are done; 0 between launches.
    """

    def __init__(self, dtype: Any) -> None:
        self.values = empty((MOST_LEFT * MOST_THREADS,), dtype)
        self.arrived = zeros((1,), np.int32)


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.spaces: dict[Any, Workspace] = {}


_of_thread = _OfThread()


def workspace(number: str) -> Workspace:
    """That of this thread for the current stream, and for the dtype of that character."""
    key, spaces = (place_of_work(), number), _of_thread.spaces
    found = spaces.get(key)
    if found is None:
        found = spaces[key] = Workspace(number)
    return found


def can_be_left(values: int, threads: int) -> bool:
    """Does the last block, of so many threads, add up so many values?"""
    return 0 < values <= MOST_LEFT * threads


def is_last_of(across: int) -> Function:
    """Build ``is_last(arrived)``: is this the last block of a grid of one axis? All its threads must ask.

    What the others have written is there then to be read.
    """
    thread = thread_of(across)

    def is_last(arrived):
        last = cuda.shared.array(1, int32)
        cuda.syncthreads()
        if thread() == 0:
            cuda.threadfence()  # what this block has written is there before it counts as done
            before = added_to(arrived, int32(1))
            cuda.threadfence()
            last[0] = int32(before + 1)
        cuda.syncthreads()
        return last[0] == cuda.gridDim.x

    return device(is_last)


def finish_of(threads: int, across: int, divisor_of: Function, put: Function) -> Function:
    """Build ``finish(left, count, divisor, arrived, result)``, the end of a kernel, for all threads of its blocks.

    The last block adds up the `count` values that are left, in float64: ``put(result, sum / divisor, divisor)``.
    """
    thread, team_sum, is_last = thread_of(across), team_of(threads, float64, across).sum, is_last_of(across)

    def finish(left, count, divisor, arrived, result):
        if is_last(arrived):
            total, carry = float64(0), float64(0)
            for i in range(thread(), count, threads):
                total, carry = two_sum(total, carry, float64(left[i]))
            total, carry = team_sum(total, carry)
            if thread() == 0:
                divided_by = divisor_of(divisor)
                put(result, quotient(together(total, carry), divided_by), divided_by)
                arrived[0] = 0

    return device(finish)


@jitable
def stored(result, mean, divisor):
    """The `put` into an array without axes, of its dtype."""
    result[0] = mean


# ---- the sum of an array


@cache
def _sum(divisor_of: Function) -> Kernel:
    """The kernel of the sum of each block's share in float64, left in two parts, and of all of them."""
    threads = THREADS
    team_sum, finish = team_of(threads, float64).sum, finish_of(threads, 0, divisor_of, stored)

    def kernel(x, left, arrived, result, size, share, divisor):
        begin = int64(cuda.blockIdx.x) * share
        total, carry = float64(0), float64(0)
        for i in range(begin + cuda.threadIdx.x, min(begin + share, size), threads):
            total, carry = two_sum(total, carry, float64(x[i]))
        total, carry = team_sum(total, carry)
        if cuda.threadIdx.x == 0:
            left[2 * cuda.blockIdx.x], left[2 * cuda.blockIdx.x + 1] = total, carry
        finish(left, 2 * cuda.gridDim.x, divisor, arrived, result)

    return Kernel(kernel, threads=THREADS)


def sum_of(x: Any, dtype: Any = np.float64, divisor: Any = 1.0) -> Any:
    """The sum of an array's elements, added in float64, over the divisor: an array without axes, left on the GPU."""
    blocks = max(1, min(blocks_for(x.size, FEWEST_ELEMENTS), MOST_BLOCKS))
    space, result = workspace("d"), empty((), dtype)
    sizes = np.int64(x.size), np.int64(blocks_for(x.size, blocks))
    kernel, divisor = _sum(element(divisor)), given(divisor)
    kernel.launch(blocks, THREADS, x, space.values, space.arrived, result, *sizes, divisor)
    return result
