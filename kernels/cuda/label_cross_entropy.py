"""Softmax cross-entropy with labels and no options on the GPU: a row lies in registers once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.ending import Ending
from softgrad.kernels.cuda.held import held_plan, launch_held
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.launches import Launches
from softgrad.kernels.cuda.memory import NUMBER, are_aligned, thread_of_grid
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import exponentials_of, put_at_label_of, reader_of, writer_of
from softgrad.kernels.cuda.rows import Work, prepared_rows
from softgrad.kernels.cuda.sums import workspace
from softgrad.kernels.cuda.wide import part_of, parts_of, row_sums
from softgrad.kernels.formulas.cross_entropy import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.simd.half import number_dtype

Function = Callable[..., Any]


def _loss(plan: Plan) -> Work:
    return Work(exponentials_of(plan, plain_shift, "x"), _settled_loss, labelled=True, returns=True)


@jitable
def _settled_loss(sums, largest, target, weight, scale):
    (rest, _), (_, _, logit) = sums, target
    return cross_entropy(largest - logit, rest), rest


@jitable
def _of_row(label_exp, rest, known, scale):
    """What the gradient takes: scale / s, and the gradient at the label; NaN where that is no class."""
    share = scale / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
    return share, cross_entropy_label_gradient(label_exp, rest) * share


def label_gradient_of(plan: Plan) -> Function:
    """Build ``gradient(values, place, label, share, at_label)``: exponentials become the gradient."""
    put_at_label, items = put_at_label_of(plan), plan.items

    def gradient(values, place, label, share, at_label):
        for k in range(items):
            values[k] *= share
        put_at_label(values, place, label, at_label)

    return jitable(gradient)


def _loss_and_gradient(plan: Plan) -> Work:
    gradient = label_gradient_of(plan)

    def finish(values, others, uncapped, place, target, of_row, scale):
        gradient(values, place, target[0], *of_row)

    summed = exponentials_of(plan, plain_shift, "e")
    return Work(summed, settled_gradient, jitable(finish), labelled=True, returns=True)


@jitable
def settled_gradient(sums, largest, target, weight, scale):
    (rest, _), (_, known, logit) = sums, target
    of_row = _of_row(exp_nonpositive(logit - largest), rest, known, scale)
    return cross_entropy(largest - logit, rest), of_row


@cache
def _wide_loss() -> Kernel:
    # The gradient's array goes along: one on another device is then refused before losses are written.
    def kernel(logits, labels, largests, rests, losses, _, rows, classes):
        row = thread_of_grid()
        if row < rows:
            label, logit = labels[row], const(largests[row], math.nan)
            if 0 <= label < classes:
                logit = logits[row * classes + label]
            losses[row] = cross_entropy(largests[row] - logit, rests[row])

    return Kernel(kernel)


@cache
def _wide_gradient(plan: Plan) -> Kernel:
    part, read, write, gradient = part_of(plan), reader_of(plan), writer_of(plan), label_gradient_of(plan)
    number_type, items, columns = NUMBER[plan.number], plan.items, plan.columns

    def kernel(logits, labels, largests, rests, grad, classes, scale):
        values = cuda.local.array(items, number_type)
        row, first, place = part(classes)
        largest, rest = largests[row], rests[row]
        read(logits, first, place, values, const(scale, -math.inf))
        label = int64(labels[row])
        known, label_exp = 0 <= label < classes, const(scale, math.nan)
        at = label - place[1]  # the label's column
        if known and 0 <= at < columns:
            label_exp = exp_nonpositive(logits[row * classes + label] - largest)
        cuda.syncthreads()  # the label's logit may lie where a thread of this block writes
        for k in range(items):
            values[k] = exp_nonpositive(values[k] - largest)
        gradient(values, place, label, *_of_row(label_exp, rest, known, scale))
        write(values, grad, first, place)

    return Kernel(kernel, threads=plan.threads)


_launches = Launches()


def label_cross_entropy(logits: Any, labels: Any, divisor: float | None, scale: Any, losses: Any, grad: Any) -> Any:
    """The loss, and the gradient unless `grad` is None."""
    dtype, out = number_dtype(logits.dtype), logits if grad is None else grad
    key = logits.shape, logits.dtype.char, are_aligned(logits, out), grad is None, divisor, scale
    launch = _launches.get(key)
    if launch is not None:
        space, loss = workspace(dtype.char), empty((), np.float64 if divisor is None else dtype)
        left = space.values if losses is None else losses
        launch(logits, logits, logits, labels, out, left, space.arrived, loss)
        return loss
    (rows, classes), in_packs = logits.shape, (logits, out)
    plan = plan_for(classes, *in_packs)
    fits = classes <= plan.width
    ending = Ending(losses, rows, dtype, divisor, plan.block_threads if fits else 0)
    work, number = (_loss, dtype.type(1)) if grad is None else (_loss_and_gradient, dtype.type(scale))
    arrays = {"labels": labels, "out": grad, "results": ending.results}
    if fits:
        launch = prepared_rows(plan, work, (), logits, number, ending.summing, **arrays)
        if ending.summing is not None:
            _launches[key] = launch
        launch(logits, logits, logits, labels, out, *ending.arrays)
    elif held := held_plan(classes, *in_packs):
        launch_held(*held, work, (), logits, number, **arrays)
    else:
        _launch_wide(plan, logits, labels, ending.left, number, grad)
    return ending.loss()


def _launch_wide(plan: Plan, logits: Any, labels: Any, losses: Any, scale: Any, grad: Any) -> None:
    """Each row's loss, and the gradient unless `grad` is None, of rows wider than the plan."""
    rows, classes = logits.shape
    of_rows = logits, labels, *row_sums(plan, plain_shift, logits, 1.0)
    sizes = np.int64(rows), np.int32(classes)
    _wide_loss().launch(blocks_for(rows, THREADS), THREADS, *of_rows, losses, losses if grad is None else grad, *sizes)
    if grad is not None:
        grid = rows, parts_of(classes, plan)
        _wide_gradient(plan).launch(grid, plan.threads, *of_rows, grad, np.int32(classes), scale)
