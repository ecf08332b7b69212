"""Narrow rows on their way through shared memory, so that a warp's accesses to the GPU's are to neighbouring places.

All threads of a block copy its rows as they lie, one after another, in packs where they can; then each takes its own
elements from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from numba import cuda

from softgrad.kernels.cuda.launch import device
from softgrad.kernels.cuda.memory import LOAD, PACK, STORE, UNPACK, shared_room_of
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.formulas.jit import jitable

# Of shared memory.
BANKS = 32


class Staging(NamedTuple):
    """The ways through shared memory.

    Attributes
    ----------
    places
        How many it has.
    room
        ``room()``, that memory.
    take
        ``take(pointer, first, here, staged, values, fill)``: the block's rows, `here` of them from `first` on, and of
        those a thread's own elements; `fill` stands for what is not there.
    give
        ``give(values, staged, pointer, first, here)``, the way back.
    at
        ``at(row, column)``, the place of an element.
    """

    places: int
    room: Callable[[], Any]
    take: Callable[..., Any]
    give: Callable[..., Any]
    at: Callable[..., Any]


@cache
def staging_of(plan: Plan) -> Staging:
    """The staging for a plan whose rows are staged."""
    classes, items, threads, block_threads = plan.staged, plan.items, plan.threads, plan.block_threads
    lanes, block_elements, last = plan.copied, plan.rows * plan.staged, plan.items - 1
    packs, each = block_elements // lanes, block_threads * lanes  # what all threads copy at once
    whole, copies = packs // block_threads, -(-packs // block_threads)
    singles = -(-block_elements // block_threads)
    place = _place_of(plan)
    step, shared = place(each), threads > 1
    load, store = LOAD[lanes], STORE[lanes]
    # With gaps the places of a pack are neighbours, but do not begin at a multiple of its size.
    put, get = (store, load) if place is _same else (UNPACK[lanes], PACK[lanes])

    @jitable
    def at(row, column):
        return place(row * classes + column)

    def copy_in(pointer, begin, count, staged, fill):
        thread = cuda.threadIdx.y * threads + cuda.threadIdx.x
        if count == block_elements:
            near, mine = place(thread * lanes), begin + thread * lanes
            for k in range(whole):
                put(staged, near + k * step, load(pointer, mine + k * each))
            for k in range(whole, copies):
                if thread + k * block_threads < packs:
                    put(staged, near + k * step, load(pointer, mine + k * each))
        else:
            for k in range(singles):
                i = thread + k * block_threads
                if k < singles - 1 or i < block_elements:
                    staged[place(i)] = pointer[begin + i] if i < count else fill

    def copy_out(staged, pointer, begin, count):
        thread = cuda.threadIdx.y * threads + cuda.threadIdx.x
        if count == block_elements:
            near, mine = place(thread * lanes), begin + thread * lanes
            for k in range(whole):
                store(pointer, mine + k * each, get(staged, near + k * step))
            for k in range(whole, copies):
                if thread + k * block_threads < packs:
                    store(pointer, mine + k * each, get(staged, near + k * step))
        else:
            for k in range(singles):
                i = thread + k * block_threads
                if i < count:
                    pointer[begin + i] = staged[place(i)]

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

    places = place(block_elements - 1) + 1
    return Staging(places, shared_room_of(plan.number, places), device(take), device(give), at)


def _place_of(plan: Plan) -> Callable[[int], int]:
    """Build ``place(i)``, where in shared memory the i-th element of a block's rows lies.

    By its own number where no more than two threads of a warp then use the same bank, which costs less than to avoid
    it. Else, if that is better, a place is left free after as many elements as there are banks.
    """
    shift = min(plan.block_threads, BANKS).bit_length() - 1

    def with_gaps(i):
        return i + (i >> shift)

    crowded = _most_in_a_bank(plan, _same)
    return _same if crowded <= 2 or crowded <= _most_in_a_bank(plan, with_gaps) else jitable(with_gaps)


@jitable
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
