"""Softmax cross-entropy with all its options on the card, for labels and for probabilities.

A row is a team's, or several blocks', of which each first leaves the sums of its part; a kernel with a thread a row
brings those together. In registers a row lies twice, as its logits and as its coefficients: a label's targets are zeros
but for a 1, so one body serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.reductions import team_of
from softgrad.kernels.cuda.rows import (
    THREADS_TWICE,
    Plan,
    column_of,
    exponentials_of,
    reader_of,
    team_plan_for,
    writer_of,
)
from softgrad.kernels.cuda.sums import sum_of
from softgrad.kernels.cuda.wide import below_own_largest_of, merged_of, part_of_row
from softgrad.kernels.formulas.logsumexp import plain_shift, settled, together, two_sum
from softgrad.kernels.formulas.losses import (
    coefficient,
    coefficient_term,
    soft_cap,
    soft_cap_slope,
    weighted_cross_entropy,
    weighted_cross_entropy_gradient,
    z_loss_slope,
)
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where

Function = Callable[..., Any]


def _kind(labelled: bool) -> str:
    return "labels" if labelled else "probabilities"


def _reader_of(plan: Plan, labelled: bool) -> Function:
    """Build ``read(...)``: of a row, or a part that begins with class `begin`, the capped logits and coefficients.

    Beyond its `count` classes the logits are -inf and the coefficients 0. `spare` is an array to work in.
    """
    read, column, items = reader_of(plan), column_of(plan), plan.items

    def read_row(
        logits, targets, weight, first, begin, count, label, thread, weighted, kept, spread, cap, values, coefficients,
        spare,
    ):  # fmt: skip
        zero, one, lowest = const(kept, 0.0), const(kept, 1.0), const(kept, -math.inf)
        read(logits, first, count, thread, values, lowest)
        if cap > zero:
            for k in range(items):
                values[k] = where(column(k, thread) < count, soft_cap(values[k], cap), lowest)
        if labelled:
            for k in range(items):
                coefficients[k] = where(begin + column(k, thread) == label, one, zero)
        else:
            read(targets, first, count, thread, coefficients, zero)
        if weighted:
            read(weight, begin, count, thread, spare, zero)
        else:
            for k in range(items):
                spare[k] = where(column(k, thread) < count, one, zero)
        for k in range(items):
            coefficients[k] = coefficient(coefficients[k], spare[k], kept, spread)

    read_row.__qualname__ = f"read_row.{_kind(labelled)}.{plan.name}"
    return register_jitable(read_row)


def _coefficient_sums_of(plan: Plan) -> Function:
    """Build ``sums(shifted, coefficients)``: the sum of a row's coefficients, in two parts, and that of its terms."""
    # A team of its own: the linker would find the shared memory of the one that `exponentials_of` has a second time.
    team_sum, items = team_of(plan.threads, NUMBER[plan.number]).sum, plan.items

    def sums(shifted, coefficients):
        zero = const(shifted[0], 0.0)
        total, carry, terms, terms_carry = zero, zero, zero, zero
        for k in range(items):
            total, carry = two_sum(total, carry, coefficients[k])
            terms, terms_carry = two_sum(terms, terms_carry, coefficient_term(coefficients[k], -shifted[k]))
        total, carry = team_sum(total, carry)
        terms, terms_carry = team_sum(terms, terms_carry)
        return total, carry, together(terms, terms_carry)

    sums.__qualname__ = f"coefficient_sums.{plan.name}"
    return register_jitable(sums)


def _gradient_of(plan: Plan) -> Function:
    """Build ``gradient(...)``: a row's shifted logits become its gradient, 0 if the row is `ignored`."""
    read, items = reader_of(plan), plan.items

    def gradient(
        logits, first, count, thread, cap, shifted, coefficients, spare, total, rest, pull, share, ignored
    ):  # fmt: skip
        zero = const(rest, 0.0)
        for k in range(items):
            e = exp_nonpositive(shifted[k])
            shifted[k] = weighted_cross_entropy_gradient(e, coefficients[k], total, rest, pull) * share
        if cap > zero:  # the logits are read again, before the gradient is written, perhaps in their place
            read(logits, first, count, thread, spare, zero)
            for k in range(items):
                shifted[k] = shifted[k] * soft_cap_slope(spare[k], cap)
        for k in range(items):
            shifted[k] = where(ignored, zero, shifted[k])

    gradient.__qualname__ = f"weighted_gradient.{plan.name}"
    return register_jitable(gradient)


def _label_of(labelled: bool) -> Function:
    """Build ``label_of(...) -> (label, known, ignored)``: -1 where a row's label is no class, or it has none."""

    def label_of(targets, row, classes, ignored_label, ignores):
        if not labelled:
            return int64(-1), True, False
        label = int64(targets[row])
        known = 0 <= label < classes
        ignored = ignores != 0 and label == ignored_label
        return (label if known else int64(-1)), known, ignored

    label_of.__qualname__ = f"label_of.{_kind(labelled)}"
    return register_jitable(label_of)


@register_jitable
def _result(loss, known, ignored):
    """The loss, NaN where the label is not known, 0 where the row is ignored."""
    return where(ignored, const(loss, 0.0), where(known, loss, const(loss, math.nan)))


@cache
def _row_kernel(plan: Plan, labelled: bool, writes: bool) -> Kernel:
    """The kernel of rows that fit a team's registers."""
    read_row, label_of, gradient = _reader_of(plan, labelled), _label_of(labelled), _gradient_of(plan)
    exponentials, sums, write = exponentials_of(plan, plain_shift, "z"), _coefficient_sums_of(plan), writer_of(plan)
    number_type, items, block_rows = NUMBER[plan.number], plan.items, plan.rows

    def kernel(
        logits, targets, weight, scale, losses, grad, rows, classes, ignored_label, ignores, weighted, kept, spread,
        z_loss, cap,
    ):  # fmt: skip
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * block_rows + cuda.threadIdx.y
        if row < rows:  # whole warps leave
            first = row * classes
            label, known, ignored = label_of(targets, row, classes, ignored_label, ignores)
            read_row(
                logits, targets, weight, first, 0, classes, label, thread, weighted, kept, spread, cap, values,
                coefficients, spare,
            )  # fmt: skip
            largest, rest = exponentials(values, kept)
            total, carry, terms = sums(values, coefficients)
            if writes:
                share = scale[0] / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
                pull = z_loss_slope(largest, rest, z_loss) + carry
                gradient(
                    logits, first, classes, thread, cap, values, coefficients, spare, total, rest, pull, share, ignored
                )
                write(values, grad, first, classes, thread)
            if thread == 0:
                loss = weighted_cross_entropy(total + carry, terms, largest, rest, z_loss)
                losses[row] = _result(loss, known, ignored)

    name = f"weighted_cross_entropy.{_kind(labelled)}.{'with_grad' if writes else 'forward'}.{plan.name}"
    # As if for the largest block: a smaller one would be allowed more registers, and fewer blocks run at a time.
    return Kernel(kernel, name, threads=THREADS_TWICE[plan.number])


# ---- rows that are wider than a block holds

# What is kept of a part: the sum of its coefficients, in two parts, and its terms; of a row, what its gradient takes.
PART_SUMS, ROW_NUMBERS = 3, 4


@cache
def _part_kernel(plan: Plan, labelled: bool) -> Kernel:
    """The kernel that leaves each part's largest logit, the rest of its exponentials, and the sums of coefficients."""
    read_row, label_of, sums = _reader_of(plan, labelled), _label_of(labelled), _coefficient_sums_of(plan)
    exponentials = exponentials_of(plan, below_own_largest_of(plain_shift), "z")
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width
    part_sums = PART_SUMS

    def kernel(
        logits, targets, weight, largests, rests, of_parts, classes, ignored_label, ignores, weighted, kept, spread, cap
    ):
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        label, _, _ = label_of(targets, row, classes, ignored_label, ignores)
        read_row(
            logits, targets, weight, first, begin, count, label, cuda.threadIdx.x, weighted, kept, spread, cap, values,
            coefficients, spare,
        )  # fmt: skip
        largest, rest = exponentials(values, kept)
        total, carry, terms = sums(values, coefficients)
        if cuda.threadIdx.x == 0:
            place = row * cuda.gridDim.y + cuda.blockIdx.y
            largests[place], rests[place] = largest, rest
            at = place * part_sums
            of_parts[at], of_parts[at + 1], of_parts[at + 2] = total, carry, terms

    return Kernel(
        kernel, f"weighted_cross_entropy.parts.{_kind(labelled)}.{plan.name}", threads=THREADS_TWICE[plan.number]
    )


@cache
def _whole_kernel(labelled: bool) -> Kernel:
    """The kernel that makes rows of their parts, a thread a row: their losses, and what their gradients take."""
    merged, label_of = merged_of(plain_shift), _label_of(labelled)
    part_sums, row_numbers = PART_SUMS, ROW_NUMBERS

    def kernel(
        targets, largests, rests, of_parts, of_rows, losses, rows, classes, parts, ignored_label, ignores, one, z_loss
    ):
        row = thread_of_grid()
        if row < rows:
            first = row * parts
            largest, rest = merged(largests, rests, first, parts, one)
            rest = rest + (largest - largest)  # NaN if the largest is infinite
            zero = const(one, 0.0)
            total, carry, terms, terms_carry = zero, zero, zero, zero
            for p in range(parts):
                at = (first + p) * part_sums
                c_sum = of_parts[at] + of_parts[at + 1]
                total, carry = settled(*two_sum(total, carry + of_parts[at + 1], of_parts[at]))
                moved = coefficient_term(c_sum, largest - largests[first + p])
                terms, terms_carry = settled(*two_sum(terms, terms_carry, of_parts[at + 2] + moved))
            _, known, ignored = label_of(targets, row, classes, ignored_label, ignores)
            loss = weighted_cross_entropy(total + carry, together(terms, terms_carry), largest, rest, z_loss)
            losses[row] = _result(loss, known, ignored)
            at = row * row_numbers
            of_rows[at], of_rows[at + 1], of_rows[at + 2] = largest, rest, total
            of_rows[at + 3] = z_loss_slope(largest, rest, z_loss) + carry

    return Kernel(kernel, f"weighted_cross_entropy.whole.{_kind(labelled)}")


@cache
def _wide_gradient_kernel(plan: Plan, labelled: bool) -> Kernel:
    """The kernel of the parts' gradients."""
    read_row, label_of, gradient = _reader_of(plan, labelled), _label_of(labelled), _gradient_of(plan)
    write, number_type, items, width = writer_of(plan), NUMBER[plan.number], plan.items, plan.width
    row_numbers = ROW_NUMBERS

    def kernel(
        logits, targets, weight, scale, of_rows, grad, classes, ignored_label, ignores, weighted, kept, spread, cap
    ):
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        thread = cuda.threadIdx.x
        label, known, ignored = label_of(targets, row, classes, ignored_label, ignores)
        read_row(
            logits, targets, weight, first, begin, count, label, thread, weighted, kept, spread, cap, values,
            coefficients, spare,
        )  # fmt: skip
        at = row * row_numbers
        largest, rest, total, pull = of_rows[at], of_rows[at + 1], of_rows[at + 2], of_rows[at + 3]
        for k in range(items):
            values[k] = values[k] - largest
        share = scale[0] / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
        gradient(logits, first, count, thread, cap, values, coefficients, spare, total, rest, pull, share, ignored)
        write(values, grad, first, count, thread)

    return Kernel(
        kernel,
        f"weighted_cross_entropy.wide_gradient.{_kind(labelled)}.{plan.name}",
        threads=THREADS_TWICE[plan.number],
    )


def _launch(labelled, logits, targets, weight, ignore_index, label_smoothing, z_loss, softcap, losses, scale, grad):
    """The sum of the losses; the gradient is taken unless `grad` is None."""
    rows, classes = logits.shape
    number, writes = logits.dtype.type, grad is not None
    if losses.size == 0:
        losses = empty((rows,), logits.dtype)
    scale, grad = (scale, grad) if writes else (weight, logits)
    plan = team_plan_for(classes, logits, weight, grad, *(() if labelled else (targets,)))
    label = np.int64(0 if ignore_index is None else ignore_index), np.int32(ignore_index is not None)
    mix = np.int32(weight.size > 0), number(1 - label_smoothing), number(label_smoothing / classes)
    z_loss, cap = number(z_loss), number(softcap or 0)
    if classes <= plan.width:
        sizes, threads = (np.int64(rows), np.int32(classes)), (plan.threads, plan.rows)
        arrays = logits, targets, weight, scale, losses, grad
        kernel = _row_kernel(plan, labelled, writes)
        kernel.launch(blocks_for(rows, plan.rows), threads, *arrays, *sizes, *label, *mix, z_loss, cap)
        return sum_of(losses)
    parts = blocks_for(classes, plan.width)
    largests, rests = empty((rows, parts), logits.dtype), empty((rows, parts), logits.dtype)
    of_parts, of_rows = empty((rows, parts, PART_SUMS), logits.dtype), empty((rows, ROW_NUMBERS), logits.dtype)
    options = np.int32(classes), *label, *mix, cap
    grid = rows, parts
    _part_kernel(plan, labelled).launch(
        grid, plan.threads, logits, targets, weight, largests, rests, of_parts, *options
    )
    sizes = np.int64(rows), np.int32(classes), np.int32(parts)
    _whole_kernel(labelled).launch(
        blocks_for(rows, THREADS), THREADS, targets, largests, rests, of_parts, of_rows, losses, *sizes, *label,
        number(1), z_loss,
    )  # fmt: skip
    if writes:
        _wide_gradient_kernel(plan, labelled).launch(
            grid, plan.threads, logits, targets, weight, scale, of_rows, grad, *options
        )
    return sum_of(losses)


def weighted_cross_entropy_forward(logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, losses):
    """The sum of the rows' losses in float64, left on the card, and each in `losses` unless that has size 0.

    `weight` has a number for each class, or size 0; `ignore_index` and `softcap` may be None. A row with the label
    `ignore_index` has loss 0; another label outside the classes gives NaN for its row.
    """
    return _launch(True, logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, losses, None, None)


def weighted_cross_entropy_with_grad(
    logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, scale, losses, grad
):
    """As `weighted_cross_entropy_forward`, and grad = scale[0] d loss / d logits. `grad` may be the logits."""
    return _launch(True, logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, losses, scale, grad)


def soft_cross_entropy_forward(logits, targets, weight, label_smoothing, z_loss, softcap, losses):
    """As `weighted_cross_entropy_forward`, for probabilities: a matrix like the logits."""
    return _launch(False, logits, targets, weight, None, label_smoothing, z_loss, softcap, losses, None, None)


def soft_cross_entropy_with_grad(logits, targets, weight, label_smoothing, z_loss, softcap, scale, losses, grad):
    """As `soft_cross_entropy_forward`, and grad = scale[0] d loss / d logits. `grad` may be the logits or targets."""
    return _launch(False, logits, targets, weight, None, label_smoothing, z_loss, softcap, losses, scale, grad)
