"""The search for an element that is not what it must be, on the GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.simd.half import number_dtype

# Blocks that search an array together, and the fewest elements of a thread.
MOST_BLOCKS = 1024
FEWEST_ELEMENTS = 4

# Stands for what was not found.
NONE = 2**31 - 1


@cache
def first_failing(holds: Callable[..., object]) -> Callable[..., int]:
    team_max, threads, none = team_of(THREADS, int32).max, THREADS, NONE

    def block_first(x, numbers, size, firsts):
        """The first position that each block finds; the size if it finds none.

        In the order of a block's elements an element's number is that of its round and that of its thread, in 32 bits:
        the threads exchange no more.
        """
        thread = cuda.threadIdx.x
        found, number = int32(none), thread
        for i in range(thread_of_grid(), size, cuda.gridDim.x * threads):
            if found == none and not holds(x[i], *numbers):
                found = number
            number = int32(number + threads)
        found = -team_max(int32(-found))
        if thread == 0:
            position = int64(found // threads) * (cuda.gridDim.x * threads) + found % threads
            firsts[cuda.blockIdx.x] = size if found == none else int64(cuda.blockIdx.x) * threads + position

    kernel = Kernel(block_first)

    def first(x, *numbers):
        if x.size == 0:
            return -1
        blocks = min(blocks_for(x.size, FEWEST_ELEMENTS * THREADS), MOST_BLOCKS)
        firsts = empty((blocks,), np.int64)
        kernel.launch(blocks, THREADS, x, tuple(map(number_dtype(x.dtype).type, numbers)), np.int64(x.size), firsts)
        found = int(firsts.get().min())
        return -1 if found == x.size else found

    return first
