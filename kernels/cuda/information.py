"""Information measures of the rows of a matrix on the GPU, and what tells whether the rows are distributions.

A row is read once, by some lanes of a warp or, if it is wide, by a block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.elementwise import of_dtype, over_arrays
from softgrad.kernels.cuda.launch import Kernel, blocks_for
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.teams import WARP, team_of
from softgrad.kernels.formulas.information import Measure, add_mass, add_term, check_of, self_information
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.sums import SETTLED_EVERY, settled
from softgrad.kernels.simd.half import number_dtype

# The threads of a block, and up to how many classes a row is one warp's; lanes that share one have so many each.
THREADS = 256
WARP_CLASSES = 1024
LANE_CLASSES = 4


@cache
def _row_kernel(measure: Measure, threads: int, number: str) -> Kernel:
    """The kernel with so many threads a row."""
    term, finish, two = measure.term, measure.finish, measure.distributions == 2
    stretch = threads * SETTLED_EVERY  # of classes
    team = team_of(threads, NUMBER[number])
    team_max, team_sum = team.max, team.sum

    def kernel(p, q, out, checks, rows, classes, factor, factor_lost):
        row = int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        here = row < rows  # other lanes go along: they are waited for
        zero = const(factor, 0.0)
        total, carry = zero, zero
        mass, mass_carry, below = zero, zero, zero
        mass_q, mass_carry_q, below_q = zero, zero, zero
        first, count = row * classes, classes if here else int32(0)
        for begin in range(0, count, stretch):
            for j in range(begin + cuda.threadIdx.x, min(begin + stretch, count), threads):
                a = p[first + j]
                b = q[first + j] if two else a
                total, carry = add_term(total, carry, term(a, b))
                mass, mass_carry, below = add_mass(mass, mass_carry, below, a)
                if two:
                    mass_q, mass_carry_q, below_q = add_mass(mass_q, mass_carry_q, below_q, b)
            total, carry = settled(total, carry)
            mass, mass_carry = settled(mass, mass_carry)
            if two:
                mass_q, mass_carry_q = settled(mass_q, mass_carry_q)
        total, carry = team_sum(total, carry)
        mass, mass_carry = team_sum(mass, mass_carry)
        below = team_max(below)
        if two:
            mass_q, mass_carry_q = team_sum(mass_q, mass_carry_q)
            below_q = team_max(below_q)
        if here and cuda.threadIdx.x == 0:
            out[row] = finish(total, carry, factor, factor_lost)
            checks[row] = check_of(mass, mass_carry, below)
            if two:
                checks[rows + row] = check_of(mass_q, mass_carry_q, below_q)

    return Kernel(kernel)


def _threads_for(classes: int) -> int:
    """How many threads share a row: a power of two."""
    if classes > WARP_CLASSES:
        return THREADS
    threads = 1
    while threads < WARP and threads * LANE_CLASSES < classes:
        threads *= 2
    return threads


@cache
def information_measure(measure: Measure) -> Callable[..., None]:
    def measured(distributions, factor, factor_lost, out, checks):
        p, q = distributions[0], distributions[-1]
        rows, classes = p.shape
        threads = _threads_for(classes)
        block = threads, THREADS // threads
        sizes, factors = (np.int64(rows), np.int32(classes)), of_dtype(p.dtype, (factor, factor_lost))
        kernel = _row_kernel(measure, threads, number_dtype(p.dtype).char)
        kernel.launch(blocks_for(rows, block[1]), block, p, q, out, checks, *sizes, *factors)

    return measured


# ---- element by element


def self_information_forward(p, factor, factor_lost, out):
    over_arrays(self_information, 1, 1)((p,), (factor, factor_lost), (out,))
