"""Information measures of the rows of a matrix on the card, and what tells whether the rows are distributions.

A row is read once, by a warp or, if it is wide, by a block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda import sums
from softgrad.kernels.cuda.elementwise import launch_unary
from softgrad.kernels.cuda.launch import Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.reductions import WARP, team_of
from softgrad.kernels.formulas.information import (
    add_mass,
    add_term,
    cross_entropy_term,
    divergence_term,
    entropy_term,
    exponential,
    scaled,
    self_information,
)
from softgrad.kernels.formulas.logsumexp import settled, together
from softgrad.kernels.formulas.primitives import const

# The threads of a block, and up to how many classes a row is one warp's.
THREADS = 256
WARP_CLASSES = 1024

Formula = Callable[..., Any]


@cache
def _row_kernel(term: Formula, finish: Formula, two: bool, threads: int, number: str) -> Kernel:
    """The kernel of ``finish(*sum of the terms, *factors)``, so many threads a row. Without `two`, q is p."""
    team_max, team_sum, _ = team_of(threads, NUMBER[number])

    def kernel(p, q, out, checks, rows, classes, factor, factor_lost):
        row = int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        if row < rows:  # whole warps leave
            zero = const(factor, 0.0)
            total, carry = zero, zero
            mass, mass_carry, below = zero, zero, zero
            mass_q, mass_carry_q, below_q = zero, zero, zero
            for j in range(cuda.threadIdx.x, classes, threads):
                a = p[row * classes + j]
                b = q[row * classes + j] if two else a
                total, carry = add_term(total, carry, term(a, b))
                mass, mass_carry, below = add_mass(mass, mass_carry, below, a)
                total, carry = settled(total, carry)
                mass, mass_carry = settled(mass, mass_carry)
                if two:
                    mass_q, mass_carry_q, below_q = add_mass(mass_q, mass_carry_q, below_q, b)
                    mass_q, mass_carry_q = settled(mass_q, mass_carry_q)
            total, carry = team_sum(total, carry)
            mass, mass_carry = team_sum(mass, mass_carry)
            below = team_max(below)
            if two:
                mass_q, mass_carry_q = team_sum(mass_q, mass_carry_q)
                below_q = team_max(below_q)
            if cuda.threadIdx.x == 0:
                out[row] = finish(total, carry, factor, factor_lost)
                checks[row] = together(mass, mass_carry)
                checks[rows + row] = below
                if two:
                    checks[2 * rows + row] = together(mass_q, mass_carry_q)
                    checks[3 * rows + row] = below_q

    return Kernel(kernel, f"information.{term.__name__}.{finish.__name__}.{threads}.{number}")


def _launch_rows(
    term: Formula, finish: Formula, two: bool, p: Any, q: Any, factors: tuple[float, float], out: Any, checks: Any
) -> None:
    rows, classes = p.shape
    threads = WARP if classes <= WARP_CLASSES else THREADS
    numbers = np.int64(rows), np.int32(classes), *map(p.dtype.type, factors)
    kernel = _row_kernel(term, finish, two, threads, p.dtype.char)
    block = (threads, THREADS // threads)
    kernel.launch(blocks_for(rows, block[1]), block, p, q, out, checks, *numbers)


def entropy_forward(p, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(-p[r] log p[r]); checks[:, r] = the row's sum, how far it goes below 0."""
    _launch_rows(entropy_term, scaled, False, p, p, (factor, factor_lost), out, checks)


def perplexity_forward(p, out, checks):
    """out[r] = exp(sum(-p[r] log p[r])); `checks` as in `entropy_forward`."""
    _launch_rows(entropy_term, exponential, False, p, p, (1.0, 0.0), out, checks)


def cross_entropy_forward(p, q, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(-p[r] log q[r]); `checks` as in `entropy_forward`, of p and then of q."""
    _launch_rows(cross_entropy_term, scaled, True, p, q, (factor, factor_lost), out, checks)


def kl_divergence_forward(p, q, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(p[r] log(p[r] / q[r]) - p[r] + q[r]); `checks` as for cross-entropy."""
    _launch_rows(divergence_term, scaled, True, p, q, (factor, factor_lost), out, checks)


# ---- element by element


def self_information_forward(p, factor, factor_lost, out):
    """out = -(factor + factor_lost) log p. `out` may be p."""
    launch_unary(self_information, p, (factor, factor_lost), out)


# ---- checks


@cache
def _first_beyond() -> Kernel:
    """The kernel of the first position, by one block; the size if there is none."""
    team_max = team_of(sums.THREADS, int64).max

    def kernel(x, low, high, size, result):
        first = size
        for i in range(cuda.threadIdx.x, size, cuda.blockDim.x):
            if first == size and not low <= x[i] <= high:
                first = int64(i)
        first = -team_max(-first)
        if cuda.threadIdx.x == 0:
            result[0] = first

    return Kernel(kernel, "first_beyond", threads=sums.THREADS)


def first_beyond(x, low, high):
    """The position of the first element that does not lie in [low, high], NaN included, or -1; waits for the card."""
    if x.size == 0:
        return -1
    result = empty((1,), np.int64)
    numbers = x.dtype.type(low), x.dtype.type(high), np.int64(x.size)
    _first_beyond().launch(1, sums.THREADS, x, *numbers, result)
    first = int(result[0])
    return -1 if first == x.size else first
