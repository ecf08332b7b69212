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
from numba import cuda, int32, int64

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, device, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import (
    exponentials_of,
    frame_of,
    largest_of,
    reader_of,
    team_for,
    terms_of,
    writer_of,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import settled, two_sum
from softgrad.kernels.simd.half import number_dtype

Formula = Callable[..., Any]


@cache
def part_of(plan: Plan) -> Formula:
    """Build ``part(classes) -> (row, first, place)``: this block's row, where its part lies, and the place there."""
    frame, columns = frame_of(plan), plan.columns

    def part(classes):
        row, begin = int64(cuda.blockIdx.x), int32(cuda.blockIdx.y * columns)
        first, low = frame(row * classes)
        return row, first + begin, (cuda.threadIdx.x, begin - low, low - begin, low + classes - begin)

    return device(part)


def parts_of(classes: int, plan: Plan) -> int:
    """How many parts a row has, wherever it begins."""
    return blocks_for(classes + plan.columns - plan.width, plan.columns)


# ---- what a part leaves, two numbers, and how those of all parts become the row's


def below_own_largest_of(shift: Formula) -> Formula:
    """The shift, but 0 for the largest itself, infinite or not: a part of nothing but -inf has a finite sum."""

    def below_own_largest(x, largest, temperature):
        return where(x == largest, const(x, 0.0), shift(x, largest, temperature))

    return jitable(below_own_largest)


@cache
def exponentials_left(plan: Plan, shift: Formula) -> Formula:
    """Build the `leave` of a part's largest logit, and the sum of its exponentials but one of that."""
    summed = exponentials_of(plan, below_own_largest_of(shift), "x")
    nothing, add, settle, team_max, largest_of_mine = *summed, team_for(plan).max, largest_of(plan)

    def leave(values, others, place, temperature):
        zero = const(values[0], 0.0)
        largest = team_max(largest_of_mine(values, const(zero, -math.inf)))
        rest, _ = settle(add(values, others, place, largest, temperature, nothing(zero)))
        return largest, rest

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
    nothing, add, settle = terms_of(plan, term)

    def leave(values, others, place, temperature):
        zero = const(values[0], 0.0)
        return settle(add(values, others, place, zero, temperature, nothing(zero)))

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

    ``leave(values, others, place, number) -> (a, b)`` is what a part in registers leaves, and ``merged(a, b, first,
    parts, number) -> (a, b)`` makes of the parts from `first` on what the row has. With that, ``rewrite(values, others,
    a, b, number)`` changes a part in its registers, and ``result(a, b)`` is the row's result. `others` is the same part
    of the second array, if there are `two`.
    """

    leave: Formula
    merged: Formula
    rewrite: Formula | None = None
    result: Formula | None = None
    two: bool = False
    fill: float = -math.inf


@cache
def _leaving_kernel(plan: Plan, leave: Formula, two: bool, fill: float) -> Kernel:
    part, read, number_type, items = part_of(plan), reader_of(plan), NUMBER[plan.number], plan.items
    others_size = items if two else 1

    def kernel(x, y, a, b, classes, number):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        row, first, place = part(classes)
        read(x, first, place, values, const(number, fill))
        if two:
            read(y, first, place, others, const(number, fill))
        left, left_too = leave(values, others, place, number)
        if cuda.threadIdx.x == 0:
            at = row * cuda.gridDim.y + cuda.blockIdx.y
            a[at], b[at] = left, left_too

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
    part, read, write = part_of(plan), reader_of(plan), writer_of(plan)
    number_type, items, others_size = NUMBER[plan.number], plan.items, plan.items if two else 1

    def kernel(x, y, of_rows, of_rows_too, out, classes, number):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        row, first, place = part(classes)
        read(x, first, place, values, const(number, fill))
        if two:
            read(y, first, place, others, const(number, fill))
        rewrite(values, others, of_rows[row], of_rows_too[row], number)
        write(values, out, first, place)

    return Kernel(kernel, threads=plan.threads)


@cache
def _wide_work(plan: Plan, work: Callable[..., WideWork], options: tuple[Any, ...]) -> WideWork:
    return work(plan, *options)


def _left_by(
    plan: Plan, leave: Formula, x: Any, y: Any, number: float, two: bool = False, fill: float = -math.inf
) -> tuple[Any, Any]:
    """The two numbers that each part of each row leaves."""
    rows, classes = x.shape
    parts = parts_of(classes, plan)
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
