"""Softmax cross-entropy with all its options, for labels and for probabilities, alone and with its gradient.

A label's targets are a row of zeros but for a 1, so one loop serves both. A row is passed over several times, in cache:
capped if it is to be, its largest logit, its coefficients, its exponentials, its gradient.
"""

from __future__ import annotations

import math
from functools import partial

from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import by_size, sum_over_blocks
from softgrad.kernels.cpu.memory import (
    PAST_CACHE,
    THROUGH_CACHE,
    lanes_of,
    line_begin,
    load_until,
    load_within,
    store_until,
    zeros,
)
from softgrad.kernels.cpu.reductions import horizontal_combine
from softgrad.kernels.cpu.rows import add_in_parts, exponentials_of, row_max
from softgrad.kernels.formulas.logsumexp import SETTLED_EVERY, plain_shift, settled, together, two_sum
from softgrad.kernels.formulas.losses import (
    coefficient,
    coefficient_term,
    soft_cap,
    soft_cap_slope,
    weighted_cross_entropy,
    weighted_cross_entropy_gradient,
    z_loss_slope,
)
from softgrad.kernels.formulas.primitives import const

_store_exponentials = exponentials_of(plain_shift, store=True)


@register_jitable
def _capped_row(x, first, end, cap, out):
    zero = zeros(x)
    c = const(zero, cap)
    for i in range(first, end, lanes_of(x)):
        store_until(out, i - first, end - first, soft_cap(load_until(x, i, end, zero), c))


@register_jitable
def _coefficient_sums(x, first, classes, largest, targets, targets_first, weights, kept, spread):
    """The sum of a row's coefficients, in two parts, and that of their products with the distances to the largest."""
    zero = zeros(x)
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


@register_jitable
def _row_sums(x, first, classes, targets, targets_first, weights, kept, spread, exponentials):
    """A row's largest logit, the rest of its exponentials, which are left in a row of their own, and those two sums."""
    largest = row_max(x, first, first + classes)
    total, carry, terms = _coefficient_sums(
        x, first, classes, largest, targets, targets_first, weights, kept, spread
    )  # before the exponentials, which may take the place of the logits
    rest = _store_exponentials(x, first, first + classes, largest, 1.0, exponentials, 0)
    return largest, rest, total, carry, terms


def _gradient_row_by(writer):
    """Build the loop that makes a row's gradient of its exponentials; `grad` may be the logits, or the targets."""
    put = writer.put

    def gradient_row(
        exponentials, logits, first, classes, targets, targets_first, weights, kept, spread, cap, sums, share, grad
    ):
        zero = zeros(logits)
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

    gradient_row.__qualname__ = f"weighted_gradient_row.{writer.name}"
    return register_jitable(gradient_row)


def _zero_row_by(writer):
    put = writer.put

    def zero_row(grad, first, end):
        for i in range(line_begin(grad, first), end, lanes_of(grad)):
            put(grad, i, first, end, zeros(grad))

    zero_row.__qualname__ = f"zero_row.{writer.name}"
    return register_jitable(zero_row)


def _kernel(labelled, writes, writer):
    """The loop for labels or for probabilities; the gradient is taken if it `writes`."""
    gradient_row, zero_row = _gradient_row_by(writer), _zero_row_by(writer)
    streams = writer is PAST_CACHE

    def loop(
        start, stop, scratch, logits, targets, weight, ignored, ignores, kept, spread, z_loss, cap, scale, losses, grad
    ):
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
                row_targets, targets_first = one_hot, 0
            else:
                row_targets, targets_first = flat_targets, first
            if cap > 0:
                _capped_row(x, first, end, cap, row)
                largest, rest, c_sum, carry, terms = _row_sums(
                    row, 0, classes, row_targets, targets_first, weights, kept, spread, row
                )
            else:
                largest, rest, c_sum, carry, terms = _row_sums(
                    x, first, classes, row_targets, targets_first, weights, kept, spread, row
                )
            loss = weighted_cross_entropy(c_sum + carry, terms, largest, rest, z_loss)
            if not known:
                loss = const(kept, math.nan)
            if writes:
                share = scale[0] / (const(rest, 1.0) + rest) if known else const(kept, math.nan)
                sums = c_sum, rest, z_loss_slope(largest, rest, z_loss) + carry
                gradient_row(
                    row, x, first, classes, row_targets, targets_first, weights, kept, spread, cap, sums, share, grad
                )
            if labelled and known:
                one_hot[label] = zero
            if losses.size > 0:
                losses[r] = loss
            total_loss += loss
        return total_loss

    kind = "labels" if labelled else "probabilities"
    name = f"weighted_cross_entropy.{kind}.{'with_grad' if writes else 'forward'}.{writer.name}"
    return sum_over_blocks(loop, name, streams=streams, keeps_row=True)


_loss_of_labels = _kernel(True, False, THROUGH_CACHE)
_loss_of_probabilities = _kernel(False, False, THROUGH_CACHE)
_gradient_of_labels = by_size(partial(_kernel, True, True), arrays=2)
_gradient_of_probabilities = by_size(partial(_kernel, False, True), arrays=3)


def _numbers(logits, ignore_index, label_smoothing, z_loss, softcap):
    """The options as the loops take them: numbers of the logits' dtype, 0 for no cap."""
    number = logits.dtype.type
    kept, spread = number(1 - label_smoothing), number(label_smoothing / logits.shape[1])
    ignored = (0, False) if ignore_index is None else (ignore_index, True)
    return *ignored, kept, spread, number(z_loss), number(softcap or 0)


def weighted_cross_entropy_forward(logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, losses):
    """The sum of the rows' losses in float64, and each in `losses` unless that has size 0.

    `weight` has a number for each class, or size 0; `ignore_index` and `softcap` may be None. A row with the label
    `ignore_index` has loss 0; another label outside the classes gives NaN for its row.
    """
    numbers = _numbers(logits, ignore_index, label_smoothing, z_loss, softcap)
    no_scale = weight[:0]
    return _loss_of_labels(logits.shape[0], logits.nbytes, logits, labels, weight, *numbers, no_scale, losses, logits)


def weighted_cross_entropy_with_grad(
    logits, labels, weight, ignore_index, label_smoothing, z_loss, softcap, scale, losses, grad
):
    """As `weighted_cross_entropy_forward`, and grad = scale[0] d loss / d logits. `grad` may be the logits."""
    numbers = _numbers(logits, ignore_index, label_smoothing, z_loss, softcap)
    return _gradient_of_labels(
        logits.shape[0], logits.nbytes, logits, labels, weight, *numbers, scale, losses, grad.reshape(-1)
    )


def soft_cross_entropy_forward(logits, targets, weight, label_smoothing, z_loss, softcap, losses):
    """As `weighted_cross_entropy_forward`, for probabilities: a matrix like the logits."""
    numbers = _numbers(logits, None, label_smoothing, z_loss, softcap)
    no_scale = weight[:0]
    return _loss_of_probabilities(
        logits.shape[0], logits.nbytes, logits, targets, weight, *numbers, no_scale, losses, logits
    )


def soft_cross_entropy_with_grad(logits, targets, weight, label_smoothing, z_loss, softcap, scale, losses, grad):
    """As `soft_cross_entropy_forward`, and grad = scale[0] d loss / d logits. `grad` may be the logits or targets."""
    numbers = _numbers(logits, None, label_smoothing, z_loss, softcap)
    return _gradient_of_probabilities(
        logits.shape[0], logits.nbytes, logits, targets, weight, *numbers, scale, losses, grad.reshape(-1)
    )
