"""Softmax cross-entropy with options, or with probabilities, of rows that are wider than a block holds (`wide`).

A part lies in registers twice, as its logits and as its coefficients: a label's targets are zeros but for a 1, so one
body serves labels and probabilities. Each part's block first leaves the sums of its part, a kernel with a thread a row
brings those together, and then every part's block writes its part of the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.options import Asked, element, result_of
from softgrad.kernels.cuda.plans import MOST_THREADS, Plan
from softgrad.kernels.cuda.registers import column_of, exponentials_of, reader_of, team_for, writer_of
from softgrad.kernels.cuda.wide import below_own_largest_of, merged_of, part_of_row
from softgrad.kernels.formulas.cross_entropy import (
    coefficient,
    coefficient_term,
    soft_cap,
    soft_cap_slope,
    weighted_cross_entropy,
    weighted_cross_entropy_gradient,
    z_loss_slope,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.formulas.sums import settled, together, two_sum

Function = Callable[..., Any]


def _reader_of(plan: Plan, asked: Asked) -> Function:
    """Build ``read(arrays, place, numbers, values, coefficients, spare)``: capped logits, and coefficients.

    Of a row, or a part of it, from ``place = (first, begin, count, label, thread)`` on: where it lies, its first class,
    how many follow. Beyond those the logits are -inf and the coefficients 0. `spare` is an array to work in.
    """
    read, column, items = reader_of(plan), column_of(plan), plan.items
    labelled, weighted, capped = asked.labelled, asked.weighted, asked.capped

    def read_row(arrays, place, numbers, values, coefficients, spare):
        (logits, targets, weight), (first, begin, count, label, thread) = arrays, place
        _, kept, spread, _, cap = numbers
        zero, one, lowest = const(kept, 0.0), const(kept, 1.0), const(kept, -math.inf)
        read(logits, first, count, thread, values, lowest)
        if capped:
            for k in range(items):
                values[k] = where(column(k, thread) < count, soft_cap(values[k], cap), lowest)
        if labelled:
            for k in range(items):
                coefficients[k] = where(begin + column(k, thread) == label, one, zero)
        else:
            read(targets, first, count, thread, coefficients, zero)
        if weighted:
            read(weight, begin, count, thread, spare, zero)
        for k in range(items):
            w = spare[k] if weighted else where(column(k, thread) < count, one, zero)
            coefficients[k] = coefficient(coefficients[k], w, kept, spread)

    return jitable(read_row)


def _coefficient_sums_of(plan: Plan) -> Function:
    """Build ``sums(shifted, coefficients)``: the sum of a row's coefficients, in two parts, and that of its terms."""
    team_sum, items = team_for(plan).sum, plan.items

    def sums(shifted, coefficients):
        zero = const(shifted[0], 0.0)
        total, carry, terms, terms_carry = zero, zero, zero, zero
        for k in range(items):
            total, carry = two_sum(total, carry, coefficients[k])
            terms, terms_carry = two_sum(terms, terms_carry, coefficient_term(coefficients[k], -shifted[k]))
        total, carry = team_sum(total, carry)
        terms, terms_carry = team_sum(terms, terms_carry)
        return total, carry, together(terms, terms_carry)

    return jitable(sums)


def _gradient_of(plan: Plan, asked: Asked) -> Function:
    """Build ``gradient(logits, place, cap, shifted, coefficients, spare, of_row, share, ignored)``.

    A row's shifted logits become its gradient, 0 if it is ignored; `of_row` is the sum of its coefficients, its rest,
    and its pull.
    """
    read, items, ignoring, capped = reader_of(plan), plan.items, asked.ignoring, asked.capped

    def gradient(logits, place, cap, shifted, coefficients, spare, of_row, share, ignored):
        first, _, count, _, thread = place
        total, rest, pull = of_row
        for k in range(items):
            e = exp_nonpositive(shifted[k])
            shifted[k] = weighted_cross_entropy_gradient(e, coefficients[k], total, rest, pull) * share
        if capped:  # the logits are read again, before the gradient is written, perhaps in their place
            read(logits, first, count, thread, spare, const(rest, 0.0))
            for k in range(items):
                shifted[k] = shifted[k] * soft_cap_slope(spare[k], cap)
        if ignoring:
            for k in range(items):
                shifted[k] = where(ignored, const(rest, 0.0), shifted[k])

    return jitable(gradient)


def _label_of(asked: Asked) -> Function:
    """Build ``label_of(...) -> (label, known, ignored)``: -1 where a row's label is no class, or it has none."""
    labelled, ignoring = asked.labelled, asked.ignoring

    def label_of(targets, row, classes, ignored_label):
        if not labelled:
            return int64(-1), True, False
        label = int64(targets[row])
        known = 0 <= label < classes
        return (label if known else int64(-1)), known, ignoring and label == ignored_label

    return jitable(label_of)


def _pull_of(asked: Asked) -> Function:
    """Build ``pull(largest, rest, z_loss, carry)``: 2 z_loss lse, and what the coefficients' sum has in its carry."""
    penalised = asked.penalised

    def pull(largest, rest, z_loss, carry):
        return z_loss_slope(largest, rest, z_loss) + carry if penalised else carry

    return jitable(pull)


# What is kept of a part: the sum of its coefficients, in two parts, and its terms; of a row, what its gradient takes.
PART_SUMS, ROW_NUMBERS = 3, 4


@cache
def _part_kernel(plan: Plan, asked: Asked) -> Kernel:
    """The kernel that leaves each part's largest logit, the rest of its exponentials, and the sums of coefficients."""
    read_row, label_of, sums = _reader_of(plan, asked), _label_of(asked), _coefficient_sums_of(plan)
    exponentials = exponentials_of(plan, below_own_largest_of(plain_shift), "z")
    number_type, items, width, part_sums = NUMBER[plan.number], plan.items, plan.width, PART_SUMS

    def kernel(logits, targets, weight, largests, rests, of_parts, classes, numbers):
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        label, _, _ = label_of(targets, row, classes, numbers[0])
        place = first, begin, count, label, cuda.threadIdx.x
        read_row((logits, targets, weight), place, numbers, values, coefficients, spare)
        largest, rest = exponentials(values, numbers[1])
        total, carry, terms = sums(values, coefficients)
        if cuda.threadIdx.x == 0:
            part = row * cuda.gridDim.y + cuda.blockIdx.y
            largests[part], rests[part] = largest, rest
            at = part * part_sums
            of_parts[at], of_parts[at + 1], of_parts[at + 2] = total, carry, terms

    return Kernel(kernel, threads=MOST_THREADS[plan.number])


@cache
def _whole_kernel(asked: Asked) -> Kernel:
    """The kernel that makes rows of their parts, a thread a row: their losses, and what their gradients take."""
    merged, label_of, pull_of = merged_of(plain_shift), _label_of(asked), _pull_of(asked)
    part_sums, row_numbers = PART_SUMS, ROW_NUMBERS

    def kernel(targets, largests, rests, of_parts, of_rows, losses, rows, classes, parts, numbers):
        row = thread_of_grid()
        if row < rows:
            ignored_label, kept, _, z_loss, _ = numbers
            first = row * parts
            largest, rest = merged(largests, rests, first, parts, kept)
            zero = const(kept, 0.0)
            total, carry, terms, terms_carry = zero, zero, zero, zero
            for p in range(parts):
                at = (first + p) * part_sums
                c_sum = of_parts[at] + of_parts[at + 1]
                total, carry = settled(*two_sum(total, carry + of_parts[at + 1], of_parts[at]))
                moved = coefficient_term(c_sum, largest - largests[first + p])
                terms, terms_carry = settled(*two_sum(terms, terms_carry, of_parts[at + 2] + moved))
            _, known, ignored = label_of(targets, row, classes, ignored_label)
            loss = weighted_cross_entropy(total + carry, together(terms, terms_carry), largest, rest, z_loss)
            losses[row] = result_of(loss, known, ignored)
            at = row * row_numbers
            of_rows[at], of_rows[at + 1], of_rows[at + 2] = largest, rest, total
            of_rows[at + 3] = pull_of(largest, rest, z_loss, carry)

    return Kernel(kernel)


@cache
def _wide_gradient(plan: Plan, asked: Asked, scale_of: Function) -> Kernel:
    read_row, label_of, gradient = _reader_of(plan, asked), _label_of(asked), _gradient_of(plan, asked)
    write, number_type, items, width = writer_of(plan), NUMBER[plan.number], plan.items, plan.width
    row_numbers = ROW_NUMBERS

    def kernel(logits, targets, weight, scale, of_rows, grad, classes, numbers):
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        label, known, ignored = label_of(targets, row, classes, numbers[0])
        place = first, begin, count, label, cuda.threadIdx.x
        read_row((logits, targets, weight), place, numbers, values, coefficients, spare)
        at = row * row_numbers
        largest, rest, of_row = of_rows[at], of_rows[at + 1], (of_rows[at + 2], of_rows[at + 1], of_rows[at + 3])
        for k in range(items):
            values[k] = values[k] - largest
        share = scale_of(scale) / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
        gradient(logits, place, numbers[4], values, coefficients, spare, of_row, share, ignored)
        write(values, grad, first, count, cuda.threadIdx.x)

    return Kernel(kernel, threads=MOST_THREADS[plan.number])


def launch_wide_cross_entropy(
    plan: Plan, asked: Asked, arrays: tuple[Any, Any, Any], numbers: Any, losses: Any, scale: Any, grad: Any
) -> None:
    """Each row's loss, and the gradient unless `grad` is None; `arrays` are logits, targets and weight."""
    logits, targets, _ = arrays
    (rows, classes), dtype = logits.shape, logits.dtype
    grid = rows, blocks_for(classes, plan.width)
    largests, rests, of_parts = empty(grid, dtype), empty(grid, dtype), empty((*grid, PART_SUMS), dtype)
    of_rows = empty((rows, ROW_NUMBERS), dtype)
    sums = largests, rests, of_parts
    _part_kernel(plan, asked).launch(grid, plan.threads, *arrays, *sums, np.int32(classes), numbers)
    whole = *sums, of_rows, losses, np.int64(rows), np.int32(classes), np.int32(grid[1]), numbers
    _whole_kernel(asked).launch(blocks_for(rows, THREADS), THREADS, targets, *whole)
    if grad is not None:
        scale_of = element(scale)
        kernel = _wide_gradient(plan, asked, scale_of)
        kernel.launch(grid, plan.threads, *arrays, scale, of_rows, grad, np.int32(classes), numbers)
