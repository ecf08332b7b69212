"""What a training step of a classifier does between the last product and the way back, in one launch on the GPU.

A row of the product becomes logits by its bias, is compared with its label, and becomes its gradient, in registers; the
last block adds the losses to the epoch's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import float64, int32, int64

from softgrad.kernels.cuda.ending import Summing
from softgrad.kernels.cuda.instructions import added_to
from softgrad.kernels.cuda.label_cross_entropy import label_gradient_of, settled_gradient
from softgrad.kernels.cuda.launch import device
from softgrad.kernels.cuda.launches import Launches
from softgrad.kernels.cuda.memory import NUMBER, are_aligned
from softgrad.kernels.cuda.options import element
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import Summed, column_of, exponentials_of, in_row_of
from softgrad.kernels.cuda.rows import Work, prepared_rows
from softgrad.kernels.cuda.sums import can_be_left, workspace
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.simd.half import number_dtype

# Stands for the first of the largest where there is none yet.
NONE = 2**31 - 1


def _summed_of(plan: Plan) -> Summed:
    """What an exponential's sums are, and the class of the first of the largest logits; -1 where there is NaN."""
    nothing_of, add_of, settle_of = exponentials_of(plan, plain_shift, "e")
    column, items, largest_of_all, none = column_of(plan), plan.items, team_of(plan.threads, int32).max, NONE

    def nothing(zero):
        return nothing_of(zero), int32(none)

    def add(values, others, place, largest, number, sums):
        of_row, first = sums
        for k in range(items):
            if values[k] == largest:
                first = min(first, int32(place[1] + column(k, place[0])))
            elif values[k] != values[k]:
                first = int32(-1)
        return add_of(values, others, place, largest, number, of_row), first

    def settle(sums):
        of_row, first = sums
        return settle_of(of_row), -largest_of_all(int32(-first))

    return Summed(jitable(nothing), jitable(add), jitable(settle))


def _step(plan: Plan) -> Work:
    gradient, column, in_row, items = label_gradient_of(plan), column_of(plan), in_row_of(plan), plan.items

    def begin(values, place, target, weight):
        (label, known, logit), bias = target, weight[0]
        for k in range(items):
            if in_row(k, place):
                values[k] += bias[place[1] + column(k, place[0])]
        if known:
            logit += bias[label]
        return label, known, logit

    def settle(sums, largest, target, weight, scale):
        (of_row, first), (label, known, _) = sums, target
        loss, of_gradient = settled_gradient(of_row, largest, target, weight, scale)
        return loss, (of_gradient, known and first == label, weight[1])

    def finish(values, others, uncapped, place, target, of_row, scale):
        of_gradient, hit, correct = of_row
        gradient(values, place, target[0], *of_gradient)
        if hit and place[0] == 0:
            added_to(correct, int64(1))

    return Work(_summed_of(plan), jitable(settle), device(finish), begin=jitable(begin), labelled=True, returns=True)


@cache
def _added_of(number: str) -> Any:
    """Build the `put` that adds to a sum over all rows the mean, as it is in that dtype, of so many as the divisor."""
    number_type = NUMBER[number]

    def added(result, mean, divisor):
        result[0] += float64(number_type(mean)) * divisor

    return jitable(added)


_launches = Launches()


def classification_step(product, bias, labels, loss_sum, correct, grad):
    (rows, classes), dtype = product.shape, number_dtype(product.dtype)
    number = dtype.char
    key = rows, classes, product.dtype.char, are_aligned(product, grad)
    launch, space = _launches.get(key), workspace(number)
    arrays = product, product, bias, correct, labels, grad, space.values, space.arrived, loss_sum
    if launch is None:
        plan = plan_for(classes, product, grad)
        if classes > plan.width or not can_be_left(rows, plan.block_threads):
            return False
        divisor = np.float64(rows)
        launch = _launches[key] = prepared_rows(
            plan, _step, (), product, dtype.type(1.0 / rows), Summing(element(divisor), _added_of(number)),
            weight=(bias, correct), labels=labels, out=grad, results=(space.values, space.arrived, loss_sum, divisor),
        )  # fmt: skip
    launch(*arrays)
    return True
