"""The search for an element that is not what it must be, on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.cuda.teams import team_of

# Blocks that search an array together.
MOST_BLOCKS = 1024


@cache
def _search(holds: Callable[..., object]) -> Kernel:
    """The kernel of the first position that each block finds; the size if it finds none."""
    team_max = team_of(THREADS, int64).max

    def kernel(x, numbers, size, firsts):
        first = size
        for i in range(thread_of_grid(), size, cuda.gridDim.x * cuda.blockDim.x):
            if first == size and not holds(x[i], *numbers):
                first = int64(i)
        first = -team_max(-first)
        if cuda.threadIdx.x == 0:
            firsts[cuda.blockIdx.x] = first

    return Kernel(kernel)


def first_failing(holds, x, *numbers):
    if x.size == 0:
        return -1
    blocks = min(blocks_for(x.size, THREADS), MOST_BLOCKS)
    firsts = empty((blocks,), np.int64)
    _search(holds).launch(blocks, THREADS, x, tuple(map(x.dtype.type, numbers)), np.int64(x.size), firsts)
    first = int(firsts.get().min())
    return -1 if first == x.size else first
