"""Rows that are wider than a block holds: their parts first leave what a sum needs, then all of them are written.

A part's exponentials are taken below its own largest logit; the parts of a row are brought below the row's by one
more exponential each, by a kernel with a thread a row, which adds them in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, device, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import exponentials_of, reader_of, row_sum_of, writer_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import settled, two_sum
from softgrad.kernels.simd.half import number_dtype

Formula = Callable[..., Any]


@device
def part_of_row(classes, width):
    """This block's row, and of its part the first class, where it lies, and how many elements follow in the row."""
    row, begin = int64(cuda.blockIdx.x), cuda.blockIdx.y * width
    return row, begin, row * classes + begin, classes - begin


# ---- what a part leaves, two numbers, and how those of all parts become the row's


def below_own_largest_of(shift: Formula) -> Formula:
    """The shift, but 0 for the largest itself, infinite or not: a part of nothing but -inf has a finite sum."""

    def below_own_largest(x, largest, temperature):
        return where(x == largest, const(x, 0.0), shift(x, largest, temperature))

    return jitable(below_own_largest)


@cache
def exponentials_left(plan: Plan, shift: Formula) -> Formula:
    """Build the `leave` of a part's largest logit, and the sum of its exponentials but one of that."""
    exponentials = exponentials_of(plan, below_own_largest_of(shift), "x")

    def leave(values, others, temperature):
        return exponentials(values, temperature)

    return jitable(leave)


@cache
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
        # The shift of the largest is 0, or NaN where a row of infinities has no result.
        return largest, total + carry + shift(largest, largest, temperature)

    return jitable(merged)


@cache
def terms_left(plan: Plan, term: Formula) -> Formula:
    """Build the `leave` of a part's sum of term(a_j, b_j), in two parts."""
    row_sum = row_sum_of(plan, term)

    def leave(values, others, temperature):
        return row_sum(values, others)

    return jitable(leave)


@jitable
def merged_terms(totals, carries, first, parts, temperature):
    """The sum of a row's terms, in two parts."""
    total, carry = const(temperature, 0.0), const(temperature, 0.0)
    for p in range(parts):
        total, carry = settled(*two_sum(total, carry + carries[first + p], totals[first + p]))
    return total, carry


# ---- kernels over parts


@dataclass(frozen=True)
class WideWork:
    """What is done to every row in parts, as a `Work` is to rows that fit.

    ``leave(values, others, number) -> (a, b)`` is what a part in registers leaves, and ``merged(a, b, first, parts,
    number) -> (a, b)`` makes of the parts from `first` on what the row has. With that, ``rewrite(values, others, a, b,
    number)`` changes a part in its registers, and ``result(a, b)`` is the row's result. `others` is the same part of
    the second array, if there are `two`.
    """

    leave: Formula
    merged: Formula
    rewrite: Formula | None = None
    result: Formula | None = None
    two: bool = False
    fill: float = -math.inf


@cache
def _leaving_kernel(plan: Plan, leave: Formula, two: bool, fill: float) -> Kernel:
    read, number_type, items, width = reader_of(plan), NUMBER[plan.number], plan.items, plan.width
    others_size = items if two else 1

    def kernel(x, y, a, b, classes, number):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        row, _, first, count = part_of_row(classes, width)
        read(x, first, count, cuda.threadIdx.x, values, const(number, fill))
        if two:
            read(y, first, count, cuda.threadIdx.x, others, const(number, fill))
        left, left_too = leave(values, others, number)
        if cuda.threadIdx.x == 0:
            place = row * cuda.gridDim.y + cuda.blockIdx.y
            a[place], b[place] = left, left_too

    return Kernel(kernel, threads=plan.threads)


@cache
def _merging_kernel(merged: Formula, result: Formula | None) -> Kernel:
    """The kernel of what the rows have, in two numbers each, or of their results; a thread a row."""
    with_result, result = result is not None, result or merged

    def kernel(a, b, of_rows, of_rows_too, rows, parts, number):
        row = thread_of_grid()
        if row < rows:
            of_row, of_row_too = merged(a, b, row * parts, parts, number)
            if with_result:
                of_rows[row] = result(of_row, of_row_too)
            else:
                of_rows[row], of_rows_too[row] = of_row, of_row_too

    return Kernel(kernel)


@cache
def _rewriting_kernel(plan: Plan, rewrite: Formula, two: bool, fill: float) -> Kernel:
    read, write = reader_of(plan), writer_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width
    others_size = items if two else 1

    def kernel(x, y, of_rows, of_rows_too, out, classes, number):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        row, _, first, count = part_of_row(classes, width)
        read(x, first, count, cuda.threadIdx.x, values, const(number, fill))
        if two:
            read(y, first, count, cuda.threadIdx.x, others, const(number, fill))
        rewrite(values, others, of_rows[row], of_rows_too[row], number)
        write(values, out, first, count, cuda.threadIdx.x)

    return Kernel(kernel, threads=plan.threads)


@cache
def _wide_work(plan: Plan, work: Callable[..., WideWork], options: tuple[Any, ...]) -> WideWork:
    return work(plan, *options)


def _left_by(
    plan: Plan, leave: Formula, x: Any, y: Any, number: float, two: bool = False, fill: float = -math.inf
) -> tuple[Any, Any]:
    """The two numbers that each part of each row leaves."""
    rows, classes = x.shape
    parts = blocks_for(classes, plan.width)
    dtype = number_dtype(x.dtype)
    a, b = empty((rows, parts), dtype), empty((rows, parts), dtype)
    kernel = _leaving_kernel(plan, leave, two, fill)
    kernel.launch((rows, parts), plan.threads, x, y, a, b, np.int32(classes), dtype.type(number))
    return a, b


def _room_for_rows(x: Any) -> tuple[Any, Any]:
    """Where two numbers of each row are left."""
    dtype = number_dtype(x.dtype)
    return empty(x.shape[:1], dtype), empty(x.shape[:1], dtype)


def _merged(
    merged: Formula, parts: tuple[Any, Any], number: Any, of_rows: tuple[Any, Any], result: Formula | None
) -> None:
    """Leave in `of_rows` what the rows have, in two numbers each, or in the first of them the result made of those."""
    rows, count = parts[0].shape
    sizes = np.int64(rows), np.int32(count)
    _merging_kernel(merged, result).launch(blocks_for(rows, THREADS), THREADS, *parts, *of_rows, *sizes, number)


def row_sums(plan: Plan, shift: Formula, x: Any, temperature: float) -> tuple[Any, Any]:
    """The rows' largest logits, and the sums of their exponentials but one of those."""
    parts = _left_by(plan, exponentials_left(plan, shift), x, x, temperature)
    of_rows = _room_for_rows(x)
    _merged(merged_of(shift), parts, number_dtype(x.dtype).type(temperature), of_rows, None)
    return of_rows


def launch_wide(
    plan: Plan, work: Callable[..., WideWork], options: tuple[Any, ...], x: Any, number: float, **arrays: Any
) -> None:
    """Do ``work(plan, *options)`` on every row of the matrix `x`, wider than the plan.

    `arrays` are y, out and results, as far as the work uses them.
    """
    done, y = _wide_work(plan, work, options), arrays.get("y", x)
    parts, number = _left_by(plan, done.leave, x, y, number, done.two, done.fill), number_dtype(x.dtype).type(number)
    if done.result is not None:
        _merged(done.merged, parts, number, (arrays["results"], arrays["results"]), done.result)
    if done.rewrite is not None:
        of_rows = _room_for_rows(x)
        _merged(done.merged, parts, number, of_rows, None)
        kernel = _rewriting_kernel(plan, done.rewrite, done.two, done.fill)
        kernel.launch(parts[0].shape, plan.threads, x, y, *of_rows, arrays["out"], np.int32(x.shape[1]), number)
