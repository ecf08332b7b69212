"""Softmax cross-entropy with integer labels: the loss, and the loss with its gradient in the same pass."""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import sum_over_blocks
from softgrad.kernels.cpu.softmax import row_max, store_exponentials, sum_exponentials
from softgrad.kernels.formulas.losses import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.primitives import const


@register_jitable
def _in_range(label, classes):
    return 0 <= label < classes


def _loss_rows(start, stop, logits, labels, losses):
    block_sum = 0.0
    for r in range(start, stop):
        x, label = logits[r], labels[r]
        largest = row_max(x)
        loss = const(largest, math.nan)
        if _in_range(label, x.size):
            total, carry = sum_exponentials(x, largest, const(largest, 1.0))
            loss = cross_entropy(x[label], largest, total, carry)
        if losses.size > 0:
            losses[r] = loss
        block_sum += loss
    return block_sum


def _loss_and_gradient_rows(start, stop, logits, labels, scale, losses, grad):
    block_sum = 0.0
    for r in range(start, stop):
        x, dx, label = logits[r], grad[r], labels[r]
        largest = row_max(x)
        loss = const(largest, math.nan)
        if _in_range(label, x.size):
            label_logit = x[label]  # before `grad`, which may be the logits' own memory, is written
            total, carry = store_exponentials(x, largest, const(largest, 1.0), dx)
            loss = cross_entropy(label_logit, largest, total, carry)
            label_exp = dx[label]
            for j in range(dx.size):
                dx[j] = dx[j] / (total + carry) * scale
            dx[label] = cross_entropy_label_gradient(label_exp, total, carry) * scale
        else:
            for j in range(dx.size):
                dx[j] = const(largest, math.nan)
        if losses.size > 0:
            losses[r] = loss
        block_sum += loss
    return block_sum


_loss = sum_over_blocks(_loss_rows)
_loss_and_gradient = sum_over_blocks(_loss_and_gradient_rows)


def softmax_cross_entropy_forward(logits, labels, losses):
    """The sum of the rows' losses in float64, and each in `losses` unless that has size 0.

    A label outside the classes gives NaN for its row; nothing is read or written out of bounds.
    """
    return _loss(logits.shape[0], logits.size, logits, labels, losses)


def softmax_cross_entropy_with_grad(logits, labels, scale, losses, grad):
    """As `softmax_cross_entropy_forward`, and grad = scale d loss / d logits. `grad` may be the logits."""
    return _loss_and_gradient(logits.shape[0], logits.size, logits, labels, scale, losses, grad)
