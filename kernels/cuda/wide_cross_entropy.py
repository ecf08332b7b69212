"""Softmax cross-entropy with options, or with probabilities, of rows that are wider than a block holds (`wide`).

Each part's block first leaves the sums of its part, a kernel with a thread a row brings those together, and then every
part's block writes its part of the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.coefficients import (
    caps_of,
    gradient_of,
    holds_others,
    of_row,
    others_of,
    pull_of,
    summed_of,
    sums_of,
    sums_terms,
)
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.options import Asked, element, result_of
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import frame_of, largest_of, reader_of, skipped, team_for, writer_of
from softgrad.kernels.cuda.wide import below_own_largest_of, merged_of, part_of, parts_of
from softgrad.kernels.formulas.cross_entropy import (
    coefficient,
    coefficient_term,
    soft_cap,
    weighted_cross_entropy,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.formulas.sums import settled, together, two_sum
from softgrad.kernels.simd.half import number_dtype

Function = Callable[..., Any]

# What is kept of a part: its terms, and the sum of what is kept beside its logits, in two parts; of a row, what its
# gradient takes.
PART_SUMS, ROW_NUMBERS = 3, 6


def _reader_of(plan: Plan, asked: Asked) -> Function:
    """Build ``read(arrays, first, place, numbers, values, others, uncapped)``: a part's logits, and what goes along."""
    read, cap, prepare = reader_of(plan), caps_of(plan, asked) or skipped, others_of(plan, asked) or skipped
    two = not asked.labelled

    def read_part(arrays, first, place, numbers, values, others, uncapped):
        logits, targets, weight = arrays
        read(logits, first, place, values, const(numbers[1], -math.inf))
        cap(values, uncapped, place, numbers)
        if two:
            read(targets, first, place, others, const(numbers[1], 0.0))
        prepare(others, weight, place, numbers)

    return jitable(read_part)


def _label_of(asked: Asked) -> Function:
    """Build ``label_of(targets, row, classes, ignored_label) -> (label, known, ignored)``; -1 if it is no class."""
    labelled, ignoring = asked.labelled, asked.ignoring

    def label_of(targets, row, classes, ignored_label):
        if not labelled:
            return int64(-1), True, False
        label = int64(targets[row])
        known = 0 <= label < classes
        return (label if known else int64(-1)), known, ignoring and label == ignored_label

    return jitable(label_of)


@cache
def _part_kernel(plan: Plan, asked: Asked) -> Kernel:
    """The kernel that leaves each part's largest logit, the rest of its exponentials, and its sums of coefficients."""
    part, read = part_of(plan), _reader_of(plan, asked)
    nothing, add, settle = summed_of(plan, asked, below_own_largest_of(plain_shift), "x")
    team_max, largest_of_mine = team_for(plan).max, largest_of(plan)
    number_type, items, part_sums, summing = NUMBER[plan.number], plan.items, PART_SUMS, sums_terms(asked)
    others_size, spare_size = items if holds_others(asked) else 1, items if asked.capped else 1

    def kernel(logits, targets, weight, largests, rests, of_parts, classes, numbers):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(spare_size, number_type)
        row, first, place = part(classes)
        read((logits, targets, weight), first, place, numbers, values, others, uncapped)
        zero = const(values[0], 0.0)
        largest = team_max(largest_of_mine(values, const(zero, -math.inf)))
        sums = add(values, others, place, largest, numbers, nothing(zero))
        (rest, terms), (total, carry) = settle(sums)
        if cuda.threadIdx.x == 0:
            at = row * cuda.gridDim.y + cuda.blockIdx.y
            largests[at], rests[at] = largest, rest
            if summing:
                of_parts[at * part_sums], of_parts[at * part_sums + 1] = terms, total
                of_parts[at * part_sums + 2] = carry

    return Kernel(kernel, threads=plan.threads)


def _merged_sums_of(plan: Plan, asked: Asked) -> Function:
    """Build ``merged_sums(largests, of_parts, row, parts, largest, classes) -> (terms, (total, carry))`` of a row.

    A part's terms are of distances below its own largest logit; each of its coefficients makes up for that.
    """
    part_sums, with_others, summing = PART_SUMS, holds_others(asked), sums_terms(asked)
    frame, columns = frame_of(plan), plan.columns

    def merged_sums(largests, of_parts, row, parts, largest, classes):
        zero = const(largest, 0.0)
        total, carry, terms, terms_carry = zero, zero, zero, zero
        first, (_, low) = row * parts, frame(row * classes)
        if summing:
            for p in range(parts):
                at = (first + p) * part_sums
                if with_others:
                    c_sum = of_parts[at + 1] + of_parts[at + 2]
                    total, carry = settled(*two_sum(total, carry + of_parts[at + 2], of_parts[at + 1]))
                else:
                    c_sum = const(zero, min(low + classes, (p + 1) * columns) - max(low, p * columns))
                moved = coefficient_term(c_sum, largest - largests[first + p])
                terms, terms_carry = settled(*two_sum(terms, terms_carry, of_parts[at] + moved))
        return together(terms, terms_carry), (total, carry)

    return jitable(merged_sums)


@cache
def _whole_kernel(plan: Plan, asked: Asked) -> Kernel:
    """The kernel that makes rows of their parts, a thread a row: their losses, and what their gradients take."""
    merged, merged_sums, label_of = merged_of(plain_shift), _merged_sums_of(plan, asked), _label_of(asked)
    sums, pull, row_numbers = sums_of(asked), pull_of(asked), ROW_NUMBERS
    labelled, weighted, capped = asked.labelled, asked.weighted, asked.capped

    # The gradient's array goes along: one on another device is then refused before losses are written.
    def kernel(logits, targets, weight, largests, rests, of_parts, of_rows, losses, _, rows, classes, parts, numbers):
        row = thread_of_grid()
        if row < rows:
            ignored_label, kept, spread, z_loss, cap, _, plain_sum = numbers
            label, known, ignored = label_of(targets, row, classes, ignored_label)
            logit, w = const(kept, math.nan), const(kept, 1.0)
            if labelled and known:
                logit = logits[row * classes + label]
                if capped:
                    logit = soft_cap(logit, cap)
                if weighted:
                    w = weight[label]
            largest, rest = merged(largests, rests, row * parts, parts, kept)
            terms, of_others = merged_sums(largests, of_parts, row, parts, largest, classes)
            total, carry, terms = sums(terms, of_others, largest - logit, w, kept, spread, plain_sum)
            loss = weighted_cross_entropy(total + carry, terms, largest, rest, z_loss)
            losses[row] = result_of(loss, known, ignored)
            at = row * row_numbers
            of_rows[at], of_rows[at + 1], of_rows[at + 2] = largest, rest, total
            of_rows[at + 3] = pull(largest, rest, z_loss, carry)
            of_rows[at + 4] = exp_nonpositive(logit - largest)
            of_rows[at + 5] = coefficient(const(w, 1.0), w, kept, spread)

    return Kernel(kernel)


@cache
def _wide_gradient(plan: Plan, asked: Asked, scale_of: Function) -> Kernel:
    part, read, write = part_of(plan), _reader_of(plan, asked), writer_of(plan)
    label_of, gradient = _label_of(asked), gradient_of(plan, asked)
    number_type, items, row_numbers = NUMBER[plan.number], plan.items, ROW_NUMBERS
    others_size, spare_size = items if holds_others(asked) else 1, items if asked.capped else 1

    def kernel(logits, targets, weight, of_rows, grad, classes, numbers):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(spare_size, number_type)
        row, first, place = part(classes)
        label, known, ignored = label_of(targets, row, classes, numbers[0])
        read((logits, targets, weight), first, place, numbers, values, others, uncapped)
        at = row * row_numbers
        largest, rest = of_rows[at], of_rows[at + 1]
        for k in range(items):
            values[k] = exp_nonpositive(values[k] - largest)
        label_exp, c, scale = of_rows[at + 4], of_rows[at + 5], scale_of(numbers[5])
        taken = of_row(label_exp, c, of_rows[at + 2], rest, of_rows[at + 3], known, scale)
        gradient(values, others, uncapped, place, label, taken, numbers, ignored)
        write(values, grad, first, place)

    return Kernel(kernel, threads=plan.threads)


def launch_wide_cross_entropy(
    plan: Plan, asked: Asked, arrays: tuple[Any, Any, Any], numbers: Any, losses: Any, grad: Any
) -> None:
    """Each row's loss, and the gradient unless `grad` is None; `arrays` are logits, targets and weight."""
    logits = arrays[0]
    (rows, classes), dtype = logits.shape, number_dtype(logits.dtype)
    grid = rows, parts_of(classes, plan)
    largests, rests, of_parts = empty(grid, dtype), empty(grid, dtype), empty((*grid, PART_SUMS), dtype)
    of_rows = empty((rows, ROW_NUMBERS), dtype)
    sums = largests, rests, of_parts
    _part_kernel(plan, asked).launch(grid, plan.threads, *arrays, *sums, np.int32(classes), numbers)
    sizes = np.int64(rows), np.int32(classes), np.int32(grid[1])
    whole = _whole_kernel(plan, asked)
    written = losses, losses if grad is None else grad
    whole.launch(blocks_for(rows, THREADS), THREADS, *arrays, *sums, of_rows, *written, *sizes, numbers)
    if grad is not None:
        kernel = _wide_gradient(plan, asked, element(numbers[5]))
        kernel.launch(grid, plan.threads, *arrays, of_rows, grad, np.int32(classes), numbers)
