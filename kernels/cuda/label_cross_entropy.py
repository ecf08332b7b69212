"""Softmax cross-entropy with labels and no options on the GPU: a row lies in registers once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
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
from softgrad.kernels.cuda.wide import merged_of, part_of_row, part_sums
from softgrad.kernels.formulas.cross_entropy import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import plain_shift

Function = Callable[..., Any]


def _loss(plan: Plan) -> Work:
    exponentials = exponentials_of(plan, plain_shift, "x")

    def body(values, others, thread, label, label_logit, scale):
        largest, rest = exponentials(values, scale)
        return cross_entropy(largest - label_logit, rest)

    return Work(jitable(body), labelled=True, writes=False, results=True)


def _gradient_of(plan: Plan) -> Function:
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

    return jitable(gradient)


def _loss_and_gradient(plan: Plan) -> Work:
    exponentials, gradient = exponentials_of(plan, plain_shift, "e"), _gradient_of(plan)

    def body(values, others, thread, label, label_logit, scale):
        largest, rest = exponentials(values, scale)
        gradient(values, thread, 0, label, rest, scale)
        return cross_entropy(largest - label_logit, rest)

    return Work(jitable(body), labelled=True, results=True)


@cache
def _wide_loss() -> Kernel:
    merged = merged_of(plain_shift)

    def kernel(logits, labels, largests, rests, losses, rows, classes, parts, one):
        row = thread_of_grid()
        if row < rows:
            label, label_logit = labels[row], const(one, math.nan)
            if 0 <= label < classes:
                label_logit = logits[row * classes + label]
            largest, rest = merged(largests, rests, row * parts, parts, one)
            losses[row] = cross_entropy(largest - label_logit, rest)

    return Kernel(kernel)


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

    return Kernel(kernel, threads=plan.threads)


def launch_label_cross_entropy(logits: Any, labels: Any, losses: Any, scale: Any, grad: Any) -> None:
    """Each row's loss, and the gradient unless `grad` is None."""
    rows, classes = logits.shape
    plan = plan_for(classes, logits) if grad is None else plan_for(classes, logits, grad)
    if classes <= plan.width:
        if grad is None:
            launch_rows(plan, _loss, (), logits, 1.0, labels=labels, results=losses)
        else:
            launch_rows(plan, _loss_and_gradient, (), logits, scale, labels=labels, out=grad, results=losses)
        return
    largests, rests = part_sums(plan, plain_shift, logits, 1.0)
    sizes = np.int64(rows), np.int32(classes), np.int32(largests.shape[1])
    of_parts = logits, labels, largests, rests
    _wide_loss().launch(blocks_for(rows, THREADS), THREADS, *of_parts, losses, *sizes, logits.dtype.type(1))
    if grad is not None:
        numbers = np.int32(classes), logits.dtype.type(scale)
        _wide_gradient(plan).launch(largests.shape, plan.threads, *of_parts, grad, *numbers)
