"""Narrow rows on their way through shared memory, so that a warp's accesses to the GPU's are to neighbouring places.

All threads of a block copy its rows as they lie, one after another; then each takes its own elements from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from numba import cuda, uint64

from softgrad.kernels.cuda.launch import device
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.formulas.jit import jitable

# Of shared memory.
BANKS = 32


class Staging(NamedTuple):
    """The ways through shared memory, of so many `places`.

    Attributes
    ----------
    take
        ``take(pointer, first, here, staged, values, fill)``: the block's rows, `here` of them from `first` on, and of
        those a thread's own elements; `fill` stands for what is not there.
    give
        ``give(values, staged, pointer, first, here)``, the way back.
    at
        ``at(row, column)``, the place of an element.
    """

    places: int
    take: Callable[..., Any]
    give: Callable[..., Any]
    at: Callable[..., Any]


@cache
def staging_of(plan: Plan) -> Staging:
    """The staging for a plan whose rows are staged."""
    classes, items, threads, block_threads = plan.staged, plan.items, plan.threads, plan.block_threads
    block_elements = plan.rows * classes
    whole, copies, last = block_elements // block_threads, -(-block_elements // block_threads), items - 1
    place = _place_of(plan)
    step, shared = place(block_threads), threads > 1

    # Places are numbers without a sign: Numba counts one below 0 from the end, and would look for such.

    @jitable
    def at(row, column):
        return uint64(place(row * classes + column))

    def copy_in(pointer, begin, count, staged, fill):
        thread = cuda.threadIdx.y * threads + cuda.threadIdx.x
        near, mine = place(thread), begin + thread
        if count == block_elements:
            for k in range(whole):
                staged[uint64(near + k * step)] = pointer[mine + k * block_threads]
            for k in range(whole, copies):
                if thread + k * block_threads < count:
                    staged[uint64(near + k * step)] = pointer[mine + k * block_threads]
        else:
            for k in range(copies):
                there = thread + k * block_threads < count
                staged[uint64(near + k * step)] = pointer[mine + k * block_threads] if there else fill

    def copy_out(staged, pointer, begin, count):
        thread = cuda.threadIdx.y * threads + cuda.threadIdx.x
        near, mine = place(thread), begin + thread
        if count == block_elements:
            for k in range(whole):
                pointer[mine + k * block_threads] = staged[uint64(near + k * step)]
            for k in range(whole, copies):
                if thread + k * block_threads < count:
                    pointer[mine + k * block_threads] = staged[uint64(near + k * step)]
        else:
            for k in range(copies):
                if thread + k * block_threads < count:
                    pointer[mine + k * block_threads] = staged[uint64(near + k * step)]

    stage, unstage = device(copy_in), device(copy_out)

    def take(pointer, first, here, staged, values, fill):
        stage(pointer, first * classes, here * classes, staged, fill)
        cuda.syncthreads()
        thread, row = cuda.threadIdx.x if shared else 0, cuda.threadIdx.y
        for k in range(items):
            if k < last or k * threads + thread < classes:
                values[k] = staged[at(row, k * threads + thread)]
            else:
                values[k] = fill

    def give(values, staged, pointer, first, here):
        thread, row = cuda.threadIdx.x if shared else 0, cuda.threadIdx.y
        for k in range(items):
            if k < last or k * threads + thread < classes:
                staged[at(row, k * threads + thread)] = values[k]
        cuda.syncthreads()
        unstage(staged, pointer, first * classes, here * classes)

    return Staging(place(copies * block_threads), device(take), device(give), at)


def _place_of(plan: Plan) -> Callable[[int], int]:
    """Build ``place(i)``, where in shared memory the i-th element of a block's rows lies.

    By its own number where no more than two threads of a warp then use the same bank, which costs less than to avoid
    it. Else, if that is better, a place is left free after as many elements as there are banks.
    """
    shift = min(plan.block_threads, BANKS).bit_length() - 1

    def with_gaps(i):
        return i + (i >> shift)

    crowded = _most_in_a_bank(plan, _same)
    return jitable(_same if crowded <= 2 or crowded <= _most_in_a_bank(plan, with_gaps) else with_gaps)


def _same(i):
    return i


def _most_in_a_bank(plan: Plan, place: Callable[[int], int]) -> int:
    """How many threads of a warp use the same bank of shared memory at most, each for its k-th element."""
    mine = [divmod(lane, plan.threads) for lane in range(WARP)]
    return max(
        count
        for k in range(plan.items)
        for count in Counter(
            place(row * plan.staged + k * plan.threads + thread) % BANKS for row, thread in mine
        ).values()
    )
