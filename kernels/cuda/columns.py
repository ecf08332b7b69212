"""The softmax family over an axis that is not the last, on the GPU: a thread a column, its neighbours beside it.

The array has the shape (outer, classes, inner), and the classes of a column lie `inner` elements apart. The threads of
a warp read neighbouring columns, so nothing is transposed. A column is read three times, mostly from the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import Normalised, infinite_shift, log_sum
from softgrad.kernels.formulas.sums import compensated_sum, settled, together, two_sum
from softgrad.kernels.simd.half import number_dtype

# So many neighbours of float32 fill a sector of 32 bytes, the least that the GPU's memory gives. With fewer the better
# part of what is read for one column is of rows that others read again.
FEWEST_COLUMNS = 8

Formula = Callable[..., Any]


@jitable
def _first_of_column(column, classes, inner):
    return column // inner * classes * inner + column % inner


def _exponentials_of(shift: Formula) -> Formula:
    """Build ``exponentials(x, first, classes, inner, temperature) -> (largest, rest)`` of a column."""

    def exponentials(x, first, classes, inner, temperature):
        largest = const(temperature, -math.inf)
        for j in range(classes):
            largest = larger(largest, x[first + j * inner])
        zero = const(largest, 0.0)
        total, carry, peaks = zero, zero, 0
        for j in range(classes):
            z = shift(x[first + j * inner], largest, temperature)
            peak = z == zero
            if peak:
                peaks += 1
            total, carry = compensated_sum(total, carry, where(peak, zero, exp_nonpositive(z)))
        return largest, (total + carry) + const(total, peaks - 1)

    return jitable(exponentials)


@cache
def normalised(row: Normalised, shift: Formula) -> Kernel:
    """The kernel ``(x, out, columns, classes, inner, temperature)``, for `launch`."""
    exponentials, of_rest, normalise, keeps_e = _exponentials_of(shift), row.of_rest, row.normalise, row.keeps == "e"

    def kernel(x, out, columns, classes, inner, temperature):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            largest, rest = exponentials(x, first, classes, inner, temperature)
            norm = of_rest(rest)
            for j in range(classes):
                z = shift(x[first + j * inner], largest, temperature)
                out[first + j * inner] = normalise(exp_nonpositive(z) if keeps_e else z, norm)

    return Kernel(kernel)


@cache
def normalised_backward(row: Normalised) -> Kernel:
    """The kernel ``(grad, y, out, columns, classes, inner, temperature)``."""
    term, gradient = row.term, row.gradient

    def kernel(grad, y, out, columns, classes, inner, temperature):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            zero = const(temperature, 0.0)
            total, carry = zero, zero
            for j in range(classes):
                i = first + j * inner
                total, carry = settled(*two_sum(total, carry, term(grad[i], y[i])))
            term_sum = together(total, carry)
            for j in range(classes):
                i = first + j * inner
                out[i] = gradient(grad[i], y[i], term_sum, temperature)

    return Kernel(kernel)


@cache
def logsumexp() -> Kernel:
    """The kernel ``(x, out, columns, classes, inner, one)``."""
    exponentials = _exponentials_of(infinite_shift)

    def kernel(x, out, columns, classes, inner, one):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            largest, rest = exponentials(x, first, classes, inner, one)
            out[column] = largest + log_sum(rest)

    return Kernel(kernel)


def launch(kernel: Kernel, arrays: tuple[Any, ...], number: float) -> None:
    """Run a kernel over the columns of the arrays, of which the first has three axes."""
    outer, classes, inner = arrays[0].shape
    columns = outer * inner
    sizes = np.int64(columns), np.int64(classes), np.int64(inner)
    kernel.launch(blocks_for(columns, THREADS), THREADS, *arrays, *sizes, number_dtype(arrays[0].dtype).type(number))
