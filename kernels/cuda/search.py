"""The search for an element that is not what it must be, on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.simd.half import number_dtype

# Blocks that search an array together.
MOST_BLOCKS = 1024


@cache
def first_failing(holds: Callable[..., object]) -> Callable[..., int]:
    team_max = team_of(THREADS, int64).max

    def block_first(x, numbers, size, firsts):
        """The first position that each block finds; the size if it finds none."""
        first = size
        for i in range(thread_of_grid(), size, cuda.gridDim.x * cuda.blockDim.x):
            if first == size and not holds(x[i], *numbers):
                first = int64(i)
        first = -team_max(-first)
        if cuda.threadIdx.x == 0:
            firsts[cuda.blockIdx.x] = first

    kernel = Kernel(block_first)

    def first(x, *numbers):
        if x.size == 0:
            return -1
        blocks = min(blocks_for(x.size, THREADS), MOST_BLOCKS)
        firsts = empty((blocks,), np.int64)
        kernel.launch(blocks, THREADS, x, tuple(map(number_dtype(x.dtype).type, numbers)), np.int64(x.size), firsts)
        found = int(firsts.get().min())
        return -1 if found == x.size else found

    return first
