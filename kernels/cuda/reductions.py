"""Reductions over the threads that share a row: a warp by shuffles, a block by shared memory, always in one order.

Every thread of the team receives the result. The threads of a warp exchange in pairs, and each operation gives the same
bits whichever of two comes first, so all of them agree.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, int32
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import device
from softgrad.kernels.formulas.logsumexp import larger, two_sum

WARP = 32
ALL_LANES = 0xFFFFFFFF


class Team(NamedTuple):
    """How the threads that share a row reduce what each of them has."""

    max: Callable[..., Any]
    sum: Callable[..., Any]
    count: Callable[..., Any]


@device
def _warp_max(x):
    x = larger(x, cuda.shfl_xor_sync(ALL_LANES, x, 16))
    x = larger(x, cuda.shfl_xor_sync(ALL_LANES, x, 8))
    x = larger(x, cuda.shfl_xor_sync(ALL_LANES, x, 4))
    x = larger(x, cuda.shfl_xor_sync(ALL_LANES, x, 2))
    return larger(x, cuda.shfl_xor_sync(ALL_LANES, x, 1))


@device
def _warp_sum(total, carry):
    """The sum of the lanes' sums in two parts, in two parts."""
    for distance in (16, 8, 4, 2, 1):
        other_total = cuda.shfl_xor_sync(ALL_LANES, total, distance)
        other_carry = cuda.shfl_xor_sync(ALL_LANES, carry, distance)
        total, carry = two_sum(total, carry + other_carry, other_total)
    return total, carry


@device
def _warp_count(n):
    for distance in (16, 8, 4, 2, 1):
        n += cuda.shfl_xor_sync(ALL_LANES, n, distance)
    return n


def team_of(threads: int, number: Any) -> Team:
    """The team of one thread, of a warp, or of a block of so many threads, for numbers of that Numba type."""
    if threads == 1:
        return Team(_same, _same_sum, _same)
    if threads == WARP:
        return Team(_warp_max, _warp_sum, _warp_count)
    return _block(threads // WARP, number)


@register_jitable
def _same(x):
    return x


@register_jitable
def _same_sum(total, carry):
    return total, carry


def _block(warps: int, number: Any) -> Team:
    """A team of several warps: each leaves its result in shared memory, and every thread reads them in order.

    The barrier after the reading lets the memory be used again.
    """

    def block_max(x):
        of_warps = cuda.shared.array(warps, number)
        x = _warp_max(x)
        if cuda.threadIdx.x % WARP == 0:
            of_warps[cuda.threadIdx.x // WARP] = x
        cuda.syncthreads()
        x = of_warps[0]
        for w in range(1, warps):
            x = larger(x, of_warps[w])
        cuda.syncthreads()
        return x

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

    def block_count(n):
        of_warps = cuda.shared.array(warps, int32)
        n = _warp_count(n)
        if cuda.threadIdx.x % WARP == 0:
            of_warps[cuda.threadIdx.x // WARP] = n
        cuda.syncthreads()
        n = of_warps[0]
        for w in range(1, warps):
            n += of_warps[w]
        cuda.syncthreads()
        return n

    return Team(*(device(_named(f, f"{f.__name__}.{warps}.{number}")) for f in (block_max, block_sum, block_count)))


def _named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    function.__qualname__ = name
    return function
