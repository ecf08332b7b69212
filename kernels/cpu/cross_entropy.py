"""Softmax cross-entropy, alone and with its gradient; here the loop for any options, over labels or probabilities.

A label's targets are a row of zeros but for a 1, so one loop serves both. A row is passed over several times, in cache:
capped if it is to be, its largest logit, its coefficients, its exponentials, its gradient.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from softgrad.kernels.cpu import label_cross_entropy
from softgrad.kernels.cpu.horizontal import horizontal_combine
from softgrad.kernels.cpu.launch import NONE, by_size, sum_over_blocks
from softgrad.kernels.cpu.memory import (
    lanes_of,
    line_begin,
    load_until,
    load_within,
    past_cache,
    store_until,
    through_cache,
    zeros,
)
from softgrad.kernels.cpu.rows import add_in_parts, exponentials_of, row_max
from softgrad.kernels.formulas.cross_entropy import (
    DEFAULTS,
    coefficient,
    coefficient_term,
    soft_cap,
    soft_cap_slope,
    weighted_cross_entropy,
    weighted_cross_entropy_gradient,
    z_loss_slope,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.formulas.sums import SETTLED_EVERY, over, settled, together, two_sum
from softgrad.kernels.simd.half import number_dtype

_store_exponentials = exponentials_of(plain_shift, store=True)


@jitable
def _capped_row(x, first, end, cap, out):
    zero = zeros(x)
    c = const(zero, cap)
    for i in range(first, end, lanes_of(x)):
        store_until(out, i - first, end - first, soft_cap(load_until(x, i, end, zero), c))


@jitable
def _coefficient_sums(x, first, classes, largest, mix):
    """The sum of a row's coefficients, in two parts, and that of their products with the distances to the largest.

    `mix` is what the coefficients are made of: the targets, where the row's begin, the weights, 1 - eps and eps / C.
    """
    zero, (targets, targets_first, weights, kept, spread) = zeros(x), mix
    m, a, b = const(zero, largest), const(zero, kept), const(zero, spread)
    total, carry, terms, terms_carry = zero, zero, zero, zero
    lanes = lanes_of(x)
    for block in range(0, classes, SETTLED_EVERY * lanes):
        for j in range(block, min(block + SETTLED_EVERY * lanes, classes), lanes):
            t = load_until(targets, targets_first + j, targets_first + classes, zero)
            c = coefficient(t, load_until(weights, j, classes, zero), a, b)
            below = m - load_until(x, first + j, first + classes, zero)
            total, carry = two_sum(total, carry, c)
            terms, terms_carry = two_sum(terms, terms_carry, coefficient_term(c, below))
        total, carry = settled(total, carry)
        terms, terms_carry = settled(terms, terms_carry)
    total, carry = horizontal_combine(add_in_parts, total, carry)
    terms, terms_carry = horizontal_combine(add_in_parts, terms, terms_carry)
    return total, carry, together(terms, terms_carry)


@jitable
def _row_sums(x, first, classes, mix, exponentials):
    """A row's largest logit, the rest of its exponentials, which are left in a row of their own, and those two sums."""
    largest = row_max(x, first, first + classes)
    # Before the exponentials, which may take the place of the logits.
    total, carry, terms = _coefficient_sums(x, first, classes, largest, mix)
    rest = _store_exponentials(x, first, first + classes, largest, 1.0, exponentials, 0)
    return largest, rest, total, carry, terms


def _gradient_row_by(put):
    """Build the loop that makes a row's gradient of its exponentials; `grad` may be the logits, or the targets.

    `sums` are the sum of its coefficients, its rest, and its pull.
    """

    def gradient_row(exponentials, logits, first, classes, mix, cap, sums, share, grad):
        zero, (targets, targets_first, weights, kept, spread) = zeros(logits), mix
        a, b, f = const(zero, kept), const(zero, spread), const(zero, share)
        c_sum, rest, pull = const(zero, sums[0]), const(zero, sums[1]), const(zero, sums[2])
        for i in range(line_begin(grad, first), first + classes, lanes_of(logits)):
            j = i - first
            t = load_within(targets, targets_first + j, targets_first, targets_first + classes, zero)
            c = coefficient(t, load_within(weights, j, 0, classes, zero), a, b)
            e = load_within(exponentials, j, 0, classes, zero)
            g = weighted_cross_entropy_gradient(e, c, c_sum, rest, pull) * f
            if cap > 0:
                g = g * soft_cap_slope(load_within(logits, i, first, first + classes, zero), const(zero, cap))
            put(grad, i, first, first + classes, g)

    return jitable(gradient_row)


def _zero_row_by(put):

    def zero_row(grad, first, end):
        for i in range(line_begin(grad, first), end, lanes_of(grad)):
            put(grad, i, first, end, zeros(grad))

    return jitable(zero_row)


def _kernel(labelled, writes, put):
    """The loop for labels or for probabilities; the gradient is taken if it `writes`."""
    gradient_row, zero_row = _gradient_row_by(put), _zero_row_by(put)
    streams = put is past_cache

    def loop(start, stop, scratch, logits, targets, weight, ignored, ignores, numbers, losses, grad):
        kept, spread, z_loss, cap, scale = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
        classes = logits.shape[1]
        zero = const(kept, 0.0)
        weights, one_hot, row = scratch[0]
        for j in range(classes):
            weights[j] = weight[j] if weight.size > 0 else const(kept, 1.0)
            one_hot[j] = zero
        x, flat_targets = logits.reshape(-1), targets.reshape(-1)
        total_loss = 0.0
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            known = True
            if labelled:
                label = targets[r]
                if ignores and label == ignored:
                    if writes:
                        zero_row(grad, first, end)
                    if losses.size > 0:
                        losses[r] = zero
                    continue
                known = 0 <= label < classes
                if known:
                    one_hot[label] = const(kept, 1.0)
                mix = one_hot, 0, weights, kept, spread
            else:
                mix = flat_targets, first, weights, kept, spread
            if cap > 0:
                _capped_row(x, first, end, cap, row)
                largest, rest, c_sum, carry, terms = _row_sums(row, 0, classes, mix, row)
            else:
                largest, rest, c_sum, carry, terms = _row_sums(x, first, classes, mix, row)
            loss = weighted_cross_entropy(c_sum + carry, terms, largest, rest, z_loss)
            if not known:
                loss = const(kept, math.nan)
            if writes:
                share = scale / (const(rest, 1.0) + rest) if known else const(kept, math.nan)
                sums = c_sum, rest, z_loss_slope(largest, rest, z_loss) + carry
                gradient_row(row, x, first, classes, mix, cap, sums, share, grad)
            if labelled and known:
                one_hot[label] = zero
            if losses.size > 0:
                losses[r] = loss
            total_loss += loss
        return total_loss

    return sum_over_blocks(loop, streams=streams, keeps_row=True)


_loss_of_labels, _loss_of_probabilities = _kernel(True, False, through_cache), _kernel(False, False, through_cache)
_gradient_of_labels = by_size(partial(_kernel, True, True), arrays=2)
_gradient_of_probabilities = by_size(partial(_kernel, False, True), arrays=3)


def _launch(kernel, logits, targets, options, scale, losses, grad):
    weight, ignore_index, label_smoothing, z_loss, softcap = options or DEFAULTS
    dtype = number_dtype(logits.dtype)
    mix = 1 - label_smoothing, label_smoothing / logits.shape[1]
    numbers = np.array((*mix, z_loss, softcap or 0, scale), dtype)  # an array: threads are given no tuples
    weight = NONE[dtype] if weight is None else weight
    ignoring = (0, False) if ignore_index is None else (ignore_index, True)
    return kernel(logits.shape[0], logits.nbytes, logits, targets, weight, *ignoring, numbers, losses, grad)


def softmax_cross_entropy_forward(logits, targets, options, divisor, losses):
    losses = NONE[number_dtype(logits.dtype)] if losses is None else losses
    if targets.ndim == 2:
        total = _launch(_loss_of_probabilities, logits, targets, options, 0, losses, logits)
    elif options is None:
        total = label_cross_entropy.loss(logits.shape[0], logits.nbytes, logits, targets, losses)
    else:
        total = _launch(_loss_of_labels, logits, targets, options, 0, losses, logits)
    return over(total, divisor)


def softmax_cross_entropy_with_grad(logits, targets, options, divisor, scale, losses, grad):
    losses = NONE[number_dtype(logits.dtype)] if losses is None else losses
    if targets.ndim == 2:
        total = _launch(_gradient_of_probabilities, logits, targets, options, scale, losses, grad.reshape(-1))
    elif options is None:
        rows, nbytes, number = logits.shape[0], logits.nbytes, number_dtype(logits.dtype).type(scale)
        total = label_cross_entropy.loss_and_gradient(rows, nbytes, logits, targets, number, losses, grad)
    else:
        total = _launch(_gradient_of_labels, logits, targets, options, scale, losses, grad.reshape(-1))
    return over(total, divisor)
