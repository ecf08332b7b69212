"""Softmax cross-entropy with integer labels on the card: the loss, and the loss with its gradient in the same pass."""

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
from softgrad.kernels.cuda.rows import (
    Plan,
    Work,
    column_of,
    exponentials_of,
    launch_rows,
    plan_for,
    reader_of,
    writer_of,
)
from softgrad.kernels.cuda.sums import sum_of
from softgrad.kernels.cuda.wide import merged_of, part_of_row, part_sums
from softgrad.kernels.formulas.logsumexp import plain_shift
from softgrad.kernels.formulas.losses import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where


def _loss(plan: Plan) -> Work:
    exponentials = exponentials_of(plan, plain_shift, "x")

    def body(values, others, thread, label, label_logit, scale):
        largest, rest = exponentials(values, scale)
        return cross_entropy(largest - label_logit, rest)

    return Work("cross_entropy", register_jitable(body), labelled=True, writes=False, results=True)


def _gradient_of(plan: Plan) -> Callable[..., Any]:
    """Build ``gradient(values, thread, offset, label, rest, scale)``: a row's exponentials become its gradient.

    The row's elements begin with class `offset`. Where the label is no class the gradient is NaN.
    """
    column, items = column_of(plan), plan.items

    def gradient(values, thread, offset, label, rest, scale):
        one = const(rest, 1.0)
        share = scale / (one + rest) if label >= 0 else const(rest, math.nan)
        for k in range(items):
            at_label = offset + column(k, thread) == label
            e = values[k]
            values[k] = where(at_label, cross_entropy_label_gradient(e, rest), e) * share

    gradient.__qualname__ = f"cross_entropy_gradient.{plan.name}"
    return register_jitable(gradient)


def _loss_and_gradient(plan: Plan) -> Work:
    exponentials, gradient = exponentials_of(plan, plain_shift, "e"), _gradient_of(plan)

    def body(values, others, thread, label, label_logit, scale):
        largest, rest = exponentials(values, scale)
        gradient(values, thread, 0, label, rest, scale)
        return cross_entropy(largest - label_logit, rest)

    return Work("cross_entropy_with_grad", register_jitable(body), labelled=True, results=True)


@cache
def _wide_loss() -> Kernel:
    """The kernel of each row's loss from its parts, a thread a row."""
    merged = merged_of(plain_shift)

    def kernel(logits, labels, largests, rests, losses, rows, classes, parts, one):
        row = thread_of_grid()
        if row < rows:
            label, label_logit = labels[row], const(one, math.nan)
            if 0 <= label < classes:
                label_logit = logits[row * classes + label]
            largest, rest = merged(largests, rests, row * parts, parts, one)
            losses[row] = cross_entropy(largest - label_logit, rest)

    return Kernel(kernel, "wide_cross_entropy")


@cache
def _wide_gradient(plan: Plan) -> Kernel:
    merged, read, write, gradient = merged_of(plain_shift), reader_of(plan), writer_of(plan), _gradient_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(logits, labels, largests, rests, grad, classes, scale):
        values = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        parts = cuda.gridDim.y
        largest, rest = merged(largests, rests, row * parts, parts, scale)
        read(logits, first, count, cuda.threadIdx.x, values, const(scale, -math.inf))
        for k in range(items):
            values[k] = exp_nonpositive(values[k] - largest)
        label = labels[row]
        if not 0 <= label < classes:
            label = int64(-1)
        gradient(values, cuda.threadIdx.x, begin, label, rest, scale)
        write(values, grad, first, count, cuda.threadIdx.x)

    return Kernel(kernel, f"wide_cross_entropy_gradient.{plan.name}", threads=plan.threads)


def _row_losses(logits: Any, losses: Any) -> Any:
    return losses if losses.size else empty((logits.shape[0],), logits.dtype)


def _wide_losses(plan: Plan, logits: Any, labels: Any, losses: Any) -> tuple[Any, Any]:
    rows, classes = logits.shape
    largests, rests = part_sums(plan, plain_shift, logits, 1.0)
    numbers = np.int64(rows), np.int32(classes), np.int32(largests.shape[1]), logits.dtype.type(1)
    _wide_loss().launch(blocks_for(rows, THREADS), THREADS, logits, labels, largests, rests, losses, *numbers)
    return largests, rests


def softmax_cross_entropy_forward(logits, labels, losses):
    """The sum of the rows' losses in float64, left on the card, and each in `losses` unless that has size 0.

    A label outside the classes gives NaN for its row; nothing is read or written out of bounds.
    """
    losses = _row_losses(logits, losses)
    plan = plan_for(logits.shape[1], logits)
    if logits.shape[1] <= plan.width:
        launch_rows(plan, _loss, (), logits, 1.0, labels=labels, results=losses)
    else:
        _wide_losses(plan, logits, labels, losses)
    return sum_of(losses)


def softmax_cross_entropy_with_grad(logits, labels, scale, losses, grad):
    """As `softmax_cross_entropy_forward`, and grad = scale d loss / d logits. `grad` may be the logits."""
    losses = _row_losses(logits, losses)
    plan = plan_for(logits.shape[1], logits, grad)
    if logits.shape[1] <= plan.width:
        launch_rows(plan, _loss_and_gradient, (), logits, scale, labels=labels, out=grad, results=losses)
    else:
        largests, rests = _wide_losses(plan, logits, labels, losses)
        numbers = np.int32(logits.shape[1]), logits.dtype.type(scale)
        _wide_gradient(plan).launch(largests.shape, plan.threads, logits, labels, largests, rests, grad, *numbers)
    return sum_of(losses)
