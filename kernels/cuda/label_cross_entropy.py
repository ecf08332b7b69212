"""Softmax cross-entropy with labels and no options on the GPU: a row lies in registers once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import NUMBER, thread_of_grid
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import column_of, exponentials_of, reader_of, writer_of
from softgrad.kernels.cuda.rows import Work, launch_rows
from softgrad.kernels.cuda.wide import part_of_row, row_sums
from softgrad.kernels.formulas.cross_entropy import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.simd.half import number_dtype

Function = Callable[..., Any]


def _loss(plan: Plan) -> Work:
    exponentials = exponentials_of(plan, plain_shift, "x")

    def body(values, others, place, target, weight, scale):
        _, _, logit = target
        largest, rest = exponentials(values, scale)
        return cross_entropy(largest - logit, rest)

    return Work(jitable(body), labelled=True, writes=False, results=True)


def _gradient_of(plan: Plan) -> Function:
    """Build ``gradient(values, thread, label, known, label_exp, rest, scale)``: exponentials become the gradient.

    The label counts from the first class of the row, or of the part of it. Where it is no class, the gradient is NaN.
    """
    column, items = column_of(plan), plan.items

    def gradient(values, thread, label, known, label_exp, rest, scale):
        one = const(rest, 1.0)
        share = scale / (one + rest) if known else const(rest, math.nan)
        at_label = cross_entropy_label_gradient(label_exp, rest) * share
        mine = int32(label - column(0, thread))  # of the label, where the thread's first element is 0
        for k in range(items):
            values[k] = where(mine == column(k, 0), at_label, values[k] * share)

    return jitable(gradient)


def _loss_and_gradient(plan: Plan) -> Work:
    exponentials, gradient = exponentials_of(plan, plain_shift, "e"), _gradient_of(plan)

    def body(values, others, place, target, weight, scale):
        (thread, _), (label, known, logit) = place, target
        largest, rest = exponentials(values, scale)
        gradient(values, thread, label, known, exp_nonpositive(logit - largest), rest, scale)
        return cross_entropy(largest - logit, rest)

    return Work(jitable(body), labelled=True, results=True)


@cache
def _wide_loss() -> Kernel:
    def kernel(logits, labels, largests, rests, losses, rows, classes):
        row = thread_of_grid()
        if row < rows:
            label, logit = labels[row], const(largests[row], math.nan)
            if 0 <= label < classes:
                logit = logits[row * classes + label]
            losses[row] = cross_entropy(largests[row] - logit, rests[row])

    return Kernel(kernel)


@cache
def _wide_gradient(plan: Plan) -> Kernel:
    read, write, gradient = reader_of(plan), writer_of(plan), _gradient_of(plan)
    number_type, items, width = NUMBER[plan.number], plan.items, plan.width

    def kernel(logits, labels, largests, rests, grad, classes, scale):
        values = cuda.local.array(items, number_type)
        row, begin, first, count = part_of_row(classes, width)
        largest, rest = largests[row], rests[row]
        read(logits, first, count, cuda.threadIdx.x, values, const(scale, -math.inf))
        label = int64(labels[row])
        known, label_exp = 0 <= label < classes, const(scale, math.nan)
        if known and begin <= label < begin + width:
            label_exp = exp_nonpositive(logits[row * classes + label] - largest)
        cuda.syncthreads()  # the label's logit may lie where a thread of this block writes
        for k in range(items):
            values[k] = exp_nonpositive(values[k] - largest)
        gradient(values, cuda.threadIdx.x, label - begin, known, label_exp, rest, scale)
        write(values, grad, first, count, cuda.threadIdx.x)

    return Kernel(kernel, threads=plan.threads)


def launch_label_cross_entropy(logits: Any, labels: Any, losses: Any, scale: Any, grad: Any) -> None:
    """Each row's loss, and the gradient unless `grad` is None."""
    (rows, classes), number = logits.shape, number_dtype(logits.dtype).type
    plan = plan_for(classes, logits) if grad is None else plan_for(classes, logits, grad)
    if classes <= plan.width:
        if grad is None:
            launch_rows(plan, _loss, (), logits, number(1), labels=labels, results=losses)
        else:
            launch_rows(plan, _loss_and_gradient, (), logits, number(scale), labels=labels, out=grad, results=losses)
        return
    of_rows = logits, labels, *row_sums(plan, plain_shift, logits, 1.0)
    sizes = np.int64(rows), np.int32(classes)
    _wide_loss().launch(blocks_for(rows, THREADS), THREADS, *of_rows, losses, *sizes)
    if grad is not None:
        grid = rows, blocks_for(classes, plan.width)
        _wide_gradient(plan).launch(grid, plan.threads, *of_rows, grad, np.int32(classes), number(scale))
