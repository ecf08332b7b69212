"""Reductions over the threads that share a row, always in one order, so that the bits are always the same.

The lanes of a warp, or of a part of one, exchange in pairs by shuffles. The warps of a block leave their results in
shared memory, from where the lanes of every warp take them and exchange them in their turn. Each operation gives the
same bits whichever of two comes first, so all threads of a team receive the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from numba import cuda, int32

from softgrad.kernels.cuda.instructions import exchanged, larger
from softgrad.kernels.cuda.launch import device
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.sums import two_sum

WARP = 32


class Team(NamedTuple):
    """How the threads that share a row reduce what each of them has.

    Attributes
    ----------
    max
        ``max(x)``, the largest.
    sum
        ``sum(total, carry)``, the sum of sums in two parts, in two parts.
    count
        ``count(n)``, the sum of int32.
    sum_and_count
        ``sum_and_count(total, carry, n)``, both at once.
    """

    max: Callable[..., Any]
    sum: Callable[..., Any]
    count: Callable[..., Any]
    sum_and_count: Callable[..., Any]


def team_of(threads: int, number: Any, across: int = 0) -> Team:
    """The team of so many threads for numbers of that Numba type.

    It is one thread, neighbours in a warp, a power of two, or the warps of a block, whose threads lie in one row, or in
    several of so many `across`.
    """
    if threads == 1:
        return Team(_same, _same_sum, _same, _same_sum_and_count)
    if threads <= WARP:
        return _of_lanes(threads)
    return _of_warps(threads // WARP, number, thread_of(across))


@cache
def thread_of(across: int) -> Callable[[], Any]:
    """Build ``thread()``, this thread's number in its block, whose threads lie in rows of so many; of 0, in one row."""

    def in_row():
        return cuda.threadIdx.x

    def in_rows():
        return cuda.threadIdx.y * across + cuda.threadIdx.x

    return device(in_rows if across else in_row)


@jitable
def _same(x):
    return x


@jitable
def _same_sum(total, carry):
    return total, carry


@jitable
def _same_sum_and_count(total, carry, n):
    return total, carry, n


@cache
def _of_lanes(lanes: int) -> Team:
    """The team of so many neighbours in a warp, all of whose lanes must call it."""
    distances = tuple(lanes >> k for k in range(1, lanes.bit_length()))

    def lanes_max(x):
        for distance in distances:
            x = larger(x, exchanged(x, distance))
        return x

    def lanes_sum(total, carry):
        for distance in distances:
            other_total = exchanged(total, distance)
            other_carry = exchanged(carry, distance)
            total, carry = two_sum(total, carry + other_carry, other_total)
        return total, carry

    def lanes_count(n):
        n = int32(n)
        for distance in distances:
            n = int32(n + exchanged(n, distance))
        return n

    over_lanes, count = device(lanes_sum), device(lanes_count)

    def lanes_sum_and_count(total, carry, n):
        total, carry = over_lanes(total, carry)
        return total, carry, count(n)

    return Team(device(lanes_max), over_lanes, count, device(lanes_sum_and_count))


def _of_warps(warps: int, number: Any, thread: Callable[[], Any]) -> Team:
    """The team of a block of so many warps.

    The first warp alone reduces what the warps leave: all of them would need as many instructions again, each. Its
    result has a place of its own, so that no warp that goes on writes over what another has still to read.
    """
    lanes = 1 << (warps - 1).bit_length()  # that reduce what the warps leave
    of_lanes, of_warps, places = _of_lanes(WARP), _of_lanes(lanes), warps + 1
    lane_sum, lane_sum_and_count = of_lanes.sum, of_lanes.sum_and_count
    warp_sum, warp_sum_and_count = of_warps.sum, of_warps.sum_and_count

    def left_by_warp(left, lane):
        """What a lane takes: what a warp left, and beyond the last 0."""
        place = lane & (lanes - 1)
        if lanes == warps:
            return left[place]
        return left[place] if place < warps else left.dtype.type(0)

    def left_by_any(left, lane):
        """The same, and beyond the last what the first left."""
        place = lane & (lanes - 1)
        return left[place] if lanes == warps or place < warps else left[0]

    taken = jitable(left_by_warp)

    def one_value(
        over_lanes: Callable[..., Any], over_warps: Callable[..., Any], taken: Callable[..., Any], kind: Any
    ) -> Callable[..., Any]:
        """Build the reduction of one value a thread."""

        def over_block(x):
            left = cuda.shared.array(places, kind)
            warp, lane = thread() >> 5, thread() & 31
            x = over_lanes(x)
            if lane == 0:
                left[warp] = x
            cuda.syncthreads()
            if warp == 0:
                x = over_warps(taken(left, lane))
                if lane == 0:
                    left[warps] = x
            cuda.syncthreads()
            return left[warps]

        return device(over_block)

    def block_sum(total, carry):
        totals = cuda.shared.array(places, number)
        carries = cuda.shared.array(places, number)
        warp, lane = thread() >> 5, thread() & 31
        total, carry = lane_sum(total, carry)
        if lane == 0:
            totals[warp], carries[warp] = total, carry
        cuda.syncthreads()
        if warp == 0:
            total, carry = warp_sum(taken(totals, lane), taken(carries, lane))
            if lane == 0:
                totals[warps], carries[warps] = total, carry
        cuda.syncthreads()
        return totals[warps], carries[warps]

    def block_sum_and_count(total, carry, n):
        totals = cuda.shared.array(places, number)
        carries = cuda.shared.array(places, number)
        counts = cuda.shared.array(places, int32)
        warp, lane = thread() >> 5, thread() & 31
        total, carry, n = lane_sum_and_count(total, carry, n)
        if lane == 0:
            totals[warp], carries[warp], counts[warp] = total, carry, n
        cuda.syncthreads()
        if warp == 0:
            total, carry, n = warp_sum_and_count(taken(totals, lane), taken(carries, lane), taken(counts, lane))
            if lane == 0:
                totals[warps], carries[warps], counts[warps] = total, carry, n
        cuda.syncthreads()
        return totals[warps], carries[warps], counts[warps]

    block_max = one_value(of_lanes.max, of_warps.max, jitable(left_by_any), number)
    block_count = one_value(of_lanes.count, of_warps.count, taken, int32)
    return Team(block_max, device(block_sum), block_count, device(block_sum_and_count))
