"""Softmax cross-entropy on the GPU, alone and with its gradient, for labels or probabilities, with any options.

Labels and no options have kernels of their own (`label_cross_entropy`). Here a row lies in registers twice, as its
logits and as its coefficients: a label's targets are zeros but for a 1, so one body serves labels and probabilities.
What a call asks for is known when its kernel is compiled, so none pays for options that it does not use. A row is a
team's; of a wider one (`wide`) each part's block first leaves the sums of its part, a kernel with a thread a row brings
those together, and then every part's block writes its part of the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.label_cross_entropy import launch_label_cross_entropy
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
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
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.cuda.wide import below_own_largest_of, merged_of, part_of_row
from softgrad.kernels.formulas.cross_entropy import (
    DEFAULTS,
    CrossEntropyOptions,
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


class Asked(NamedTuple):
    """What a kernel is compiled for."""

    labelled: bool
    weighted: bool
    ignoring: bool
    capped: bool
    penalised: bool  # by the z-loss


# Numbers go to the kernels as a tuple: the label to ignore, 1 - eps, eps / C, the factor of the z-loss, the cap.


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


@jitable
def _result(loss, known, ignored):
    """The loss, NaN where the label is not known, 0 where the row is ignored."""
    return where(ignored, const(loss, 0.0), where(known, loss, const(loss, math.nan)))


@jitable
def _element(scale):
    return scale[0]


@jitable
def _number(scale):
    return scale


@cache
def _row_kernel(plan: Plan, asked: Asked, scale_of: Function | None) -> Kernel:
    """The kernel of rows that fit a team's registers; the gradient is written unless `scale_of` is None."""
    read_row, label_of, gradient = _reader_of(plan, asked), _label_of(asked), _gradient_of(plan, asked)
    exponentials, sums, write = exponentials_of(plan, plain_shift, "z"), _coefficient_sums_of(plan), writer_of(plan)
    number_type, items, block_rows = NUMBER[plan.number], plan.items, plan.rows
    pull_of, writes, scale_of = _pull_of(asked), scale_of is not None, scale_of or _number

    def kernel(logits, targets, weight, scale, losses, grad, rows, classes, numbers):
        values = cuda.local.array(items, number_type)
        coefficients = cuda.local.array(items, number_type)
        spare = cuda.local.array(items, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * block_rows + cuda.threadIdx.y
        if row < rows:  # whole warps leave
            ignored_label, kept, _, z_loss, cap = numbers
            label, known, ignored = label_of(targets, row, classes, ignored_label)
            place = row * classes, 0, classes, label, thread
            read_row((logits, targets, weight), place, numbers, values, coefficients, spare)
            largest, rest = exponentials(values, kept)
            total, carry, terms = sums(values, coefficients)
            if writes:
                share = scale_of(scale) / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
                of_row = total, rest, pull_of(largest, rest, z_loss, carry)
                gradient(logits, place, cap, values, coefficients, spare, of_row, share, ignored)
                write(values, grad, row * classes, classes, thread)
            if thread == 0:
                loss = weighted_cross_entropy(total + carry, terms, largest, rest, z_loss)
                losses[row] = _result(loss, known, ignored)

    # As if for the largest block: a smaller one would be allowed more registers, and fewer blocks run at a time.
    return Kernel(kernel, threads=THREADS_TWICE[plan.number])


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

    return Kernel(kernel, threads=THREADS_TWICE[plan.number])


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
            losses[row] = _result(loss, known, ignored)
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

    return Kernel(kernel, threads=THREADS_TWICE[plan.number])


def _of_options(logits: Any, targets: Any, options: CrossEntropyOptions, losses: Any, scale: Any, grad: Any) -> None:
    """Each row's loss, and the gradient unless `grad` is None."""
    weight, ignore_index, label_smoothing, z_loss, softcap = options
    (rows, classes), dtype, number = logits.shape, logits.dtype, logits.dtype.type
    asked = Asked(targets.ndim == 1, weight is not None, ignore_index is not None, softcap is not None, z_loss != 0)
    mix = number(1 - label_smoothing), number(label_smoothing / classes)
    numbers = np.int64(ignore_index or 0), *mix, number(z_loss), number(softcap or 0)
    in_packs = (logits, None if asked.labelled else targets, weight, grad)
    plan = team_plan_for(classes, *(array for array in in_packs if array is not None))
    arrays = logits, targets, logits if weight is None else weight
    if grad is None:
        scale_of, scale, grad = None, number(0), logits  # which the kernel does not look at
    elif isinstance(scale, float):
        scale_of, scale = _number, number(scale)
    else:
        scale_of = _element
    if classes <= plan.width:
        kernel, block = _row_kernel(plan, asked, scale_of), (plan.threads, plan.rows)
        sizes = np.int64(rows), np.int32(classes)
        kernel.launch(blocks_for(rows, plan.rows), block, *arrays, scale, losses, grad, *sizes, numbers)
        return
    grid = rows, blocks_for(classes, plan.width)
    largests, rests, of_parts = empty(grid, dtype), empty(grid, dtype), empty((*grid, PART_SUMS), dtype)
    of_rows = empty((rows, ROW_NUMBERS), dtype)
    sums = largests, rests, of_parts
    _part_kernel(plan, asked).launch(grid, plan.threads, *arrays, *sums, np.int32(classes), numbers)
    whole = *sums, of_rows, losses, np.int64(rows), np.int32(classes), np.int32(grid[1]), numbers
    _whole_kernel(asked).launch(blocks_for(rows, THREADS), THREADS, targets, *whole)
    if scale_of is not None:
        kernel = _wide_gradient(plan, asked, scale_of)
        kernel.launch(grid, plan.threads, *arrays, scale, of_rows, grad, np.int32(classes), numbers)


def _launch(logits: Any, targets: Any, options: CrossEntropyOptions | None, losses: Any, scale: Any, grad: Any) -> Any:
    """The sum of the losses, left on the GPU."""
    if losses.size == 0:
        losses = empty(logits.shape[:1], logits.dtype)
    if options is None and targets.ndim == 1:
        launch_label_cross_entropy(logits, targets, losses, scale, grad)
    else:
        _of_options(logits, targets, options or DEFAULTS, losses, scale, grad)
    return sum_of(losses)


def softmax_cross_entropy_forward(logits, targets, options, losses):
    return _launch(logits, targets, options, losses, None, None)


def softmax_cross_entropy_with_grad(logits, targets, options, scale, losses, grad):
    return _launch(logits, targets, options, losses, scale, grad)
