"""Rows that are wider than a block holds: their parts first leave what a sum needs, then all of them are written.

A part's exponentials are taken below its own largest logit; the parts of a row are brought below the row's by one
more exponential each. The blocks of a row run in any order, so every block of the second kernel adds up all parts
itself, in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, device, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.rows import Plan, exponentials_of, reader_of, row_sum_of, writer_of
from softgrad.kernels.formulas.logsumexp import infinite_shift, larger, log_sum, settled, two_sum
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where

Formula = Callable[..., Any]


@device
def part_of_row(classes, width):
    """This block's row, and of its part the first class, where it lies, and how many elements follow in the row."""
    row, begin = int64(cuda.blockIdx.x), cuda.blockIdx.y * width
    return row, begin, row * classes + begin, classes - begin


def below_own_largest_of(shift: Formula) -> Formula:
    """The shift, but 0 for the largest itself, infinite or not: a part of nothing but -inf has a finite sum."""

    def below_own_largest(x, largest, temperature):
        return where(x == largest, const(x, 0.0), shift(x, largest, temperature))

    below_own_largest.__name__ = below_own_largest.__qualname__ = f"below_own_largest.{shift.__name__}"
    return register_jitable(below_own_largest)


@cache
def _part_sums(plan: Plan, shift: Formula) -> Kernel:
    """The kernel that leaves each part's largest logit, and the sum of its exponentials but one of that."""
    exponentials, read = exponentials_of(plan, below_own_largest_of(shift), "x"), reader_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(x, largests, rests, classes, number):
        values = cuda.local.array(items, number_type)
        row, _, first, count = part_of_row(classes, width)
        read(x, first, count, cuda.threadIdx.x, values, const(number, -math.inf))
        largest, rest = exponentials(values, number)
        if cuda.threadIdx.x == 0:
            place = row * cuda.gridDim.y + cuda.blockIdx.y
            largests[place], rests[place] = largest, rest

    return Kernel(kernel, f"part_sums.{shift.__name__}.{plan.name}", threads=plan.threads)


def merged_of(shift: Formula) -> Formula:
    """Build ``merged(largests, rests, first, parts, temperature)``: a row's (largest, rest) from those of its parts."""
    below = below_own_largest_of(shift)

    def merged(largests, rests, first, parts, temperature):
        largest, best = largests[first], int64(0)
        for p in range(1, parts):
            if larger(largest, largests[first + p]) != largest:
                largest, best = largests[first + p], int64(p)
        total, carry = rests[first + best], const(largest, 0.0)
        for p in range(parts):
            if p != best:
                e = exp_nonpositive(below(largests[first + p], largest, temperature))
                total, carry = settled(*two_sum(total, carry, (const(largest, 1.0) + rests[first + p]) * e))
        return largest, total + carry

    merged.__qualname__ = f"merged.{shift.__name__}"
    return register_jitable(merged)


@cache
def _normalised(plan: Plan, shift: Formula, keep: str, of_rest: Formula, normalise: Formula) -> Kernel:
    merged, read, write = merged_of(shift), reader_of(plan), writer_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(x, largests, rests, out, classes, number):
        values = cuda.local.array(items, number_type)
        row, _, first, count = part_of_row(classes, width)
        parts = cuda.gridDim.y
        largest, rest = merged(largests, rests, row * parts, parts, number)
        norm = of_rest(rest)
        read(x, first, count, cuda.threadIdx.x, values, const(number, -math.inf))
        for k in range(items):
            z = shift(values[k], largest, number)
            values[k] = normalise(exp_nonpositive(z) if keep == "e" else z, norm)
        write(values, out, first, count, cuda.threadIdx.x)

    return Kernel(kernel, f"wide_normalised.{normalise.__name__}.{shift.__name__}.{plan.name}", threads=plan.threads)


@cache
def _logsumexp() -> Kernel:
    merged = merged_of(infinite_shift)

    def kernel(largests, rests, out, rows, parts, number):
        row = thread_of_grid()
        if row < rows:
            largest, rest = merged(largests, rests, row * parts, parts, number)
            out[row] = largest + log_sum(rest)

    return Kernel(kernel, "wide_logsumexp")


@cache
def _part_terms(plan: Plan, term: Formula) -> Kernel:
    """The kernel that leaves each part's sum of term(a_j, b_j)."""
    row_sum, read = row_sum_of(plan, term), reader_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(a, b, sums, classes, zero):
        of_a = cuda.local.array(items, number_type)
        of_b = cuda.local.array(items, number_type)
        row, _, first, count = part_of_row(classes, width)
        read(a, first, count, cuda.threadIdx.x, of_a, zero)
        read(b, first, count, cuda.threadIdx.x, of_b, zero)
        total = row_sum(of_a, of_b)
        if cuda.threadIdx.x == 0:
            sums[row * cuda.gridDim.y + cuda.blockIdx.y] = total

    return Kernel(kernel, f"part_terms.{term.__name__}.{plan.name}", threads=plan.threads)


@cache
def _gradient(plan: Plan, gradient: Formula) -> Kernel:
    read, write = reader_of(plan), writer_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(grad, y, sums, out, classes, temperature):
        of_grad = cuda.local.array(items, number_type)
        of_y = cuda.local.array(items, number_type)
        row, _, first, count = part_of_row(classes, width)
        parts = cuda.gridDim.y
        zero = const(temperature, 0.0)
        total, carry = zero, zero
        for p in range(parts):
            total, carry = settled(*two_sum(total, carry, sums[row * parts + p]))
        read(grad, first, count, cuda.threadIdx.x, of_grad, zero)
        read(y, first, count, cuda.threadIdx.x, of_y, zero)
        for k in range(items):
            of_grad[k] = gradient(of_grad[k], of_y[k], total + carry, temperature)
        write(of_grad, out, first, count, cuda.threadIdx.x)

    return Kernel(kernel, f"wide_gradient.{gradient.__name__}.{plan.name}", threads=plan.threads)


def part_sums(plan: Plan, shift: Formula, x: Any, temperature: float) -> tuple[Any, Any]:
    """Of each row's parts the largest logits, and the sums of the exponentials but one of those."""
    rows, classes = x.shape
    parts = blocks_for(classes, plan.width)
    largests, rests = empty((rows, parts), x.dtype), empty((rows, parts), x.dtype)
    numbers = np.int32(classes), x.dtype.type(temperature)
    _part_sums(plan, shift).launch((rows, parts), plan.threads, x, largests, rests, *numbers)
    return largests, rests


def launch_wide_normalised(
    plan: Plan, shift: Formula, keep: str, of_rest: Formula, normalise: Formula, x: Any, temperature: float, out: Any
) -> None:
    """What `keep` says of each logit, "e" or "z", as ``normalise(kept, of_rest(rest))``."""
    largests, rests = part_sums(plan, shift, x, temperature)
    numbers = np.int32(x.shape[1]), x.dtype.type(temperature)
    kernel = _normalised(plan, shift, keep, of_rest, normalise)
    kernel.launch(largests.shape, plan.threads, x, largests, rests, out, *numbers)


def launch_wide_logsumexp(plan: Plan, x: Any, out: Any) -> None:
    """out[r] = log(sum(exp(x[r])))."""
    largests, rests = part_sums(plan, infinite_shift, x, 1.0)
    rows, parts = largests.shape
    numbers = np.int64(rows), np.int32(parts), x.dtype.type(1)
    _logsumexp().launch(blocks_for(rows, THREADS), THREADS, largests, rests, out, *numbers)


def launch_wide_gradient(
    plan: Plan, term: Formula, gradient: Formula, grad: Any, y: Any, temperature: float, out: Any
) -> None:
    """out = gradient(grad, y, sum of term(grad, y) over the row, temperature)."""
    rows, classes = grad.shape
    parts = blocks_for(classes, plan.width)
    sums = empty((rows, parts), grad.dtype)
    _part_terms(plan, term).launch((rows, parts), plan.threads, grad, y, sums, np.int32(classes), grad.dtype.type(0))
    kernel = _gradient(plan, gradient)
    kernel.launch((rows, parts), plan.threads, grad, y, sums, out, np.int32(classes), grad.dtype.type(temperature))
