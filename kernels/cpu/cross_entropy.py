"""Softmax cross-entropy with integer labels: the loss, and the loss with its gradient in the same pass."""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import by_size, sum_over_blocks
from softgrad.kernels.cpu.memory import PAST_CACHE, lanes_of, load_first, store_first, zeros
from softgrad.kernels.cpu.reductions import horizontal_sum
from softgrad.kernels.cpu.rows import exponentials_of, plain_shift, register_exponentials_of, row_max, scaled_row_by
from softgrad.kernels.cpu.simd import lane_is, widen
from softgrad.kernels.formulas.losses import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where

_exponentials = register_exponentials_of(plain_shift)
_sum_exponentials = exponentials_of(plain_shift, store=False)
_store_exponentials = exponentials_of(plain_shift, store=True)


@register_jitable
def _in_range(label, classes):
    return 0 <= label < classes


@register_jitable
def _losses_of_block(start, stop, scratch, losses):
    """The losses of a block from each row's `below` and `rest`, with one logarithm for all; returns their sum."""
    zero = zeros(scratch)
    rows = stop - start
    below, rest = load_first(scratch[0], 0, rows, zero), load_first(scratch[1], 0, rows, zero)
    block_losses = cross_entropy(below, rest)
    if losses.size > 0:
        store_first(losses, start, rows, block_losses)
    return horizontal_sum(widen(block_losses))


def _loss_rows(start, stop, scratch, logits, labels, losses):
    classes = logits.shape[1]
    zero = zeros(logits)
    lowest = const(zero, -math.inf)
    for r in range(start, stop):
        label, first, end = labels[r], r * classes, (r + 1) * classes
        if classes <= lanes_of(logits):
            largest, _, _, rest = _exponentials(load_first(logits, first, classes, lowest), zero)
        else:
            largest = row_max(logits, first, end)
            rest = _sum_exponentials(logits, first, end, largest, largest, logits, first)
        label_logit = logits[r, label] if _in_range(label, classes) else const(rest, math.nan)
        scratch[0, r - start], scratch[1, r - start] = largest - label_logit, rest
    return _losses_of_block(start, stop, scratch, losses)


def _loss_and_gradient_kernel(writer):
    scaled_row = scaled_row_by(writer)
    streams = writer is PAST_CACHE

    def loop(start, stop, scratch, logits, labels, scale, losses, grad):
        classes = logits.shape[1]
        zero = zeros(logits)
        lowest, one, factor = const(zero, -math.inf), const(zero, 1.0), const(zero, scale)
        # The exponentials wait for their sum in `grad`, or beside it if what is written there leaves the cache.
        waiting = scratch[2] if streams else grad.reshape(-1)
        for r in range(start, stop):
            label, first, end = labels[r], r * classes, (r + 1) * classes
            known = _in_range(label, classes)
            # Taken before `grad`, which may be the same memory, is written. NaN makes the row's loss NaN.
            label_logit = logits[r, label] if known else const(scale, math.nan)
            if classes <= lanes_of(logits):
                largest, _, e, rest = _exponentials(load_first(logits, first, classes, lowest), zero)
                share = factor / (one + rest)
                at_label = cross_entropy_label_gradient(e, const(zero, rest)) * share
                store_first(grad, first, classes, where(lane_is(zero, label), at_label, e * share))
            else:
                place = 0 if streams else first
                largest = row_max(logits, first, end)
                rest = _store_exponentials(logits, first, end, largest, largest, waiting, place)
                share = scale / (const(rest, 1.0) + rest)
                at_label = cross_entropy_label_gradient(exp_nonpositive(label_logit - largest), rest) * share
                scaled_row(waiting, place, grad, first, end, share)
                if known:
                    grad[r, label] = at_label
            if not known:
                for j in range(classes):
                    grad[r, j] = const(rest, math.nan)
            scratch[0, r - start], scratch[1, r - start] = largest - label_logit, rest
        return _losses_of_block(start, stop, scratch, losses)

    return sum_over_blocks(loop, f"cross_entropy_with_grad.{writer.name}", streams=streams)


_loss = sum_over_blocks(_loss_rows)
_loss_and_gradient = by_size(_loss_and_gradient_kernel)


def softmax_cross_entropy_forward(logits, labels, losses):
    """The sum of the rows' losses in float64, and each in `losses` unless that has size 0.

    A label outside the classes gives NaN for its row; nothing is read or written out of bounds.
    """
    return _loss(logits.shape[0], logits.size, logits, labels, losses)


def softmax_cross_entropy_with_grad(logits, labels, scale, losses, grad):
    """As `softmax_cross_entropy_forward`, and grad = scale d loss / d logits. `grad` may be the logits."""
    return _loss_and_gradient(logits.shape[0], logits.size, logits, labels, scale, losses, grad)
