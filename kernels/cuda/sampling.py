"""Draws from the softmax of each row on the GPU: the arg-max of logits and Gumbel noise, which is made as needed.

A warp draws from a row, or a block if it is wide, which reads it twice.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.launch import Kernel, blocks_for
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.teams import WARP, team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.random import BLOCK, CHUNK, WORDS, gumbel, uniform, words_of
from softgrad.kernels.formulas.softmax import shifted_logit
from softgrad.kernels.simd.half import number_dtype

# The threads of a block, and up to how many classes a row is one warp's.
THREADS = 256
WARP_CLASSES = 1024

# What the compiler is told a block has at most, so that it does not keep all ten rounds' keys in registers.
MOST_THREADS = {"f": 1024, "d": 256}


@jitable
def _contend(best, at, logits, first, j, classes, word, largest, temperature):
    """The better of (best, at) and class j, if there is one, with the noise of its word."""
    if j < classes:
        score = shifted_logit(logits[first + j], largest, temperature) + gumbel(uniform(temperature, word))
        if score > best:
            return score, int32(j)
    return best, at


@cache
def _kernel(threads: int, number: str) -> Kernel:
    team = team_of(threads, NUMBER[number])
    team_max, team_count = team.max, team.count
    team_last = team_of(threads, int32).max

    def kernel(logits, out, draws, rows, classes, key, temperature):
        draw = int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        if draw < draws:  # whole warps leave
            first = draw % rows * classes
            largest, unknown = const(temperature, -math.inf), 0
            for j in range(cuda.threadIdx.x, classes, threads):
                x = logits[first + j]
                largest = larger(largest, x)
                if x != x:
                    unknown += 1
            largest = team_max(largest)
            if team_count(unknown) > 0:
                largest = const(temperature, math.nan)  # no score is above any then
            best, at = const(temperature, -math.inf), int32(0)
            if classes <= BLOCK:
                j = cuda.threadIdx.x
                if j < classes:
                    a, b, c, d = words_of(j, draw // WORDS, key)
                    word = (a if draw % 2 == 0 else b) if draw % WORDS < 2 else (c if draw % 2 == 0 else d)
                    best, at = _contend(best, at, logits, first, j, classes, word, largest, temperature)
            else:
                counters = (classes + CHUNK - 1) // CHUNK * BLOCK
                for counter in range(cuda.threadIdx.x, counters, threads):
                    a, b, c, d = words_of(counter, draw, key)
                    j = counter // BLOCK * CHUNK + counter % BLOCK
                    best, at = _contend(best, at, logits, first, j, classes, a, largest, temperature)
                    best, at = _contend(best, at, logits, first, j + BLOCK, classes, b, largest, temperature)
                    best, at = _contend(best, at, logits, first, j + 2 * BLOCK, classes, c, largest, temperature)
                    best, at = _contend(best, at, logits, first, j + 3 * BLOCK, classes, d, largest, temperature)
            # Of equal scores the first class: the largest of the negative classes.
            winner = team_max(best)
            at = -team_last(-at if best == winner else -classes)
            if cuda.threadIdx.x == 0:
                out[draw] = at if -math.inf < largest < math.inf else -1

    return Kernel(kernel, threads=MOST_THREADS[number])


def sample_categorical_forward(logits, temperature, key, out):
    rows, classes = logits.shape
    threads = WARP if classes <= WARP_CLASSES else THREADS
    block = (threads, THREADS // threads)
    sizes = np.int64(out.size), np.int64(rows), np.int32(classes)
    numbers = np.uint64(key), number_dtype(logits.dtype).type(temperature)
    kernel = _kernel(threads, number_dtype(logits.dtype).char)
    kernel.launch(blocks_for(out.size, block[1]), block, logits, out, *sizes, *numbers)
