"""Sums over a whole array on the GPU, in an order that never changes: by one block, or by many and then one."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, int64

from softgrad.kernels.cuda.launch import Kernel, blocks_for, empty
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.formulas.sums import together, two_sum

# The threads of a block.
THREADS = 1024

# A block adds so many elements at least, and so many blocks, which fill a card twice, add all of them.
FEWEST_ELEMENTS = 16 * THREADS
MOST_BLOCKS = 256


@cache
def _sum(in_parts: bool) -> Kernel:
    """The kernel of the sum of each block's share in float64: in two parts, or rounded to the dtype of the results."""
    team_sum, threads = team_of(THREADS, float64).sum, THREADS

    def kernel(x, results, size, share, zero):
        begin = int64(cuda.blockIdx.x) * share
        total, carry = zero, zero
        for i in range(begin + cuda.threadIdx.x, min(begin + share, size), threads):
            total, carry = two_sum(total, carry, float64(x[i]))
        total, carry = team_sum(total, carry)
        if cuda.threadIdx.x == 0:
            if in_parts:
                results[2 * cuda.blockIdx.x], results[2 * cuda.blockIdx.x + 1] = total, carry
            else:
                results[cuda.blockIdx.x] = together(total, carry)

    return Kernel(kernel, threads=THREADS)


def sum_of(x: Any, dtype: Any = np.float64) -> Any:
    """The sum of an array's elements, added in float64, as an array of that dtype without axes, left on the GPU."""
    blocks = min(blocks_for(x.size, FEWEST_ELEMENTS), MOST_BLOCKS)
    if blocks > 1:
        x = _launched(True, x, blocks, empty((2 * blocks,), np.float64))
    return _launched(False, x, 1, empty((), dtype))


def _launched(in_parts: bool, x: Any, blocks: int, results: Any) -> Any:
    share = blocks_for(x.size, blocks)
    _sum(in_parts).launch(blocks, THREADS, x, results, np.int64(x.size), np.int64(share), np.float64(0))
    return results
