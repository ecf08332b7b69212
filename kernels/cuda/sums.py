"""Sums over a whole array on the GPU, by one block, in an order that never changes."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64

from softgrad.kernels.cuda.launch import Kernel, empty
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.formulas.sums import together, two_sum

# As many as a block can have, since there is but one.
THREADS = 1024


@cache
def _sum() -> Kernel:
    """The kernel of a sum in float64, rounded to the dtype of the result."""
    team_sum = team_of(THREADS, float64).sum

    def kernel(x, result, size, zero):
        total, carry = zero, zero
        for i in range(cuda.threadIdx.x, size, THREADS):
            total, carry = two_sum(total, carry, float64(x[i]))
        total, carry = team_sum(total, carry)
        if cuda.threadIdx.x == 0:
            result[0] = together(total, carry)

    return Kernel(kernel, threads=THREADS)


def sum_of(x: Any, dtype: Any = np.float64) -> Any:
    """The sum of an array's elements, added in float64, as an array of that dtype without axes, left on the GPU."""
    result = empty((), dtype)
    _sum().launch(1, THREADS, x, result, np.int64(x.size), np.float64(0))
    return result
