"""Reductions over the threads that share a row: a warp by shuffles, a block by shared memory, always in one order.

Every thread of the team receives the result. The threads of a warp exchange in pairs, and each operation gives the same
bits whichever of two comes first, so all of them agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, int32

from softgrad.kernels.cuda.launch import device
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.sums import larger, two_sum

WARP = 32
ALL_LANES = 0xFFFFFFFF


class Team(NamedTuple):
    """How the threads that share a row reduce what each of them has."""

    max: Callable[..., Any]
    sum: Callable[..., Any]
    count: Callable[..., Any]


@device
def _warp_sum(total, carry):
    """The sum of the lanes' sums in two parts, in two parts."""
    for distance in (16, 8, 4, 2, 1):
        other_total = cuda.shfl_xor_sync(ALL_LANES, total, distance)
        other_carry = cuda.shfl_xor_sync(ALL_LANES, carry, distance)
        total, carry = two_sum(total, carry + other_carry, other_total)
    return total, carry


def _over_warp(combine: Callable[..., Any]) -> Callable[..., Any]:
    """Build the reduction of one value a lane by ``combine(a, b)``."""

    def over_warp(x):
        for distance in (16, 8, 4, 2, 1):
            x = combine(x, cuda.shfl_xor_sync(ALL_LANES, x, distance))
        return x

    return device(over_warp)


@jitable
def _added(a, b):
    return a + b


_warp_max, _warp_count = _over_warp(larger), _over_warp(_added)


def team_of(threads: int, number: Any) -> Team:
    """The team of one thread, of a warp, or of a block of so many threads, for numbers of that Numba type."""
    if threads == 1:
        return Team(_same, _same_sum, _same)
    if threads == WARP:
        return Team(_warp_max, _warp_sum, _warp_count)
    return _block(threads // WARP, number)


@jitable
def _same(x):
    return x


@jitable
def _same_sum(total, carry):
    return total, carry


def _over_block(
    over_warp: Callable[..., Any], combine: Callable[..., Any], warps: int, number: Any
) -> Callable[..., Any]:
    """Build the same over the warps of a block: each leaves its result in shared memory, and all are read in order.

    The barrier after the reading lets the memory be used again.
    """

    def over_block(x):
        of_warps = cuda.shared.array(warps, number)
        x = over_warp(x)
        if cuda.threadIdx.x % WARP == 0:
            of_warps[cuda.threadIdx.x // WARP] = x
        cuda.syncthreads()
        x = of_warps[0]
        for w in range(1, warps):
            x = combine(x, of_warps[w])
        cuda.syncthreads()
        return x

    return device(over_block)


def _block(warps: int, number: Any) -> Team:
    """A team of several warps."""

    def block_sum(total, carry):
        totals = cuda.shared.array(warps, number)
        carries = cuda.shared.array(warps, number)
        total, carry = _warp_sum(total, carry)
        if cuda.threadIdx.x % WARP == 0:
            totals[cuda.threadIdx.x // WARP] = total
            carries[cuda.threadIdx.x // WARP] = carry
        cuda.syncthreads()
        total, carry = totals[0], carries[0]
        for w in range(1, warps):
            total, carry = two_sum(total, carry + carries[w], totals[w])
        cuda.syncthreads()
        return total, carry

    return Team(
        _over_block(_warp_max, larger, warps, number),
        device(block_sum),
        _over_block(_warp_count, _added, warps, int32),
    )
