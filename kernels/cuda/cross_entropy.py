"""Softmax cross-entropy on the GPU, alone and with its gradient, for labels or probabilities, with any options.

Labels and no options have kernels of their own (`label_cross_entropy`), and so have rows that are wider than a block
holds (`wide_cross_entropy`). Here the coefficients c_j of a row are not kept. For a label they are eps / C w_j, and
more at the label: so their sum and that of their terms follow from the sums of w_j and of w_j (m - z_j), and where
nothing is smoothed from the label alone. For probabilities the targets become the coefficients, in their place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from numba import cuda, int32

from softgrad.kernels.cuda.label_cross_entropy import launch_label_cross_entropy
from softgrad.kernels.cuda.launch import device, empty
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.options import Asked, asked_by, element, numbers_of, result_of
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import column_of, exponentials_and_term_of, in_row_of, row_sum_of
from softgrad.kernels.cuda.rows import Work, launch_rows
from softgrad.kernels.cuda.sums import sum_of
from softgrad.kernels.cuda.wide_cross_entropy import launch_wide_cross_entropy
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
from softgrad.kernels.formulas.sums import two_sum

Function = Callable[..., Any]


@jitable
def _itself(a, _):
    return a


@jitable
def _term_of_other(k, z, others, thread, count):
    return coefficient_term(others[k], -z)


def _term_of_one(plan: Plan) -> Function:
    """Build the term m - z_j, where the row has a j-th."""
    in_row = in_row_of(plan)

    def term(k, z, others, thread, count):
        return where(in_row(k, thread, count), -z, const(z, 0.0))

    return jitable(term)


def _others_of(plan: Plan, asked: Asked) -> Function:
    """Build ``prepare(others, weight, thread, count, kept, spread)``, which leaves there the weights of a label's row.

    Or the coefficients in the place of probabilities; 0 beyond the row.
    """
    items, labelled, weighted = plan.items, asked.labelled, asked.weighted
    column, in_row = column_of(plan), in_row_of(plan)

    def prepare(others, weight, thread, count, kept, spread):
        zero, one = const(kept, 0.0), const(kept, 1.0)
        for k in range(items):
            w = one
            if weighted:
                w = weight[column(k, thread)] if in_row(k, thread, count) else zero
            c = w if labelled else coefficient(others[k], w, kept, spread)
            others[k] = where(in_row(k, thread, count), c, zero)

    return jitable(prepare)


def _sums_of(plan: Plan, asked: Asked) -> Function:
    """Build ``sums(terms, others, below, w, kept, spread, plain_sum) -> (total, carry, terms)`` of the coefficients.

    Given what `exponentials_and_term_of` has summed, how far the label's logit is `below` the largest, its weight, and
    the sum of the coefficients without weights, in two parts.
    """
    row_sum, labelled, weighted, smoothed = row_sum_of(plan, _itself), asked.labelled, asked.weighted, asked.smoothed

    def sums(terms, others, below, w, kept, spread, plain_sum):
        if not labelled:
            total, carry = row_sum(others, others)
            return total, carry, terms
        if not smoothed:
            c = w * kept
            return c, const(c, 0.0), coefficient_term(c, below)
        total, carry = plain_sum
        if weighted:
            of_weights, lost = row_sum(others, others)
            of_others = spread * ((of_weights - w) + lost)
            total, carry = two_sum(coefficient(const(w, 1.0), w, kept, spread), const(w, 0.0), of_others)
        return total, carry, spread * terms + coefficient_term(w * kept, below)

    return jitable(sums)


def _gradient_of(plan: Plan, asked: Asked) -> Function:
    """Build ``gradient(values, others, thread, label, label_exp, c, spread, of_row, share)``: of exponentials.

    `c` is the label's coefficient, ``of_row = (total, rest, pull)`` what the formula takes of the row.
    """
    column, items = column_of(plan), plan.items
    labelled, weighted, smoothed, penalised = asked.labelled, asked.weighted, asked.smoothed, asked.penalised

    def gradient(values, others, thread, label, label_exp, c, spread, of_row, share):
        total, rest, pull = of_row
        at_label = weighted_cross_entropy_gradient(label_exp, c, total, rest, pull) * share
        mine = int32(label - column(0, thread))  # of the label, where the thread's first element is 0
        for k in range(items):
            e = values[k]
            if not labelled:
                values[k] = weighted_cross_entropy_gradient(e, others[k], total, rest, pull) * share
            else:
                if smoothed:
                    other_c = others[k] * spread if weighted else spread
                    g = weighted_cross_entropy_gradient(e, other_c, total, rest, pull)
                else:  # the coefficient is 0
                    g = total * e + pull * e if penalised else total * e
                values[k] = where(mine == column(k, 0), at_label, g * share)

    return jitable(gradient)


def _loss(plan: Plan, asked: Asked, scale_of: Function, writes: bool) -> Work:
    """The loss of a row, and its gradient if that is what it `writes`."""
    labelled, weighted, smoothed, ignoring, capped, penalised = asked
    items, number_type, in_row = plan.items, NUMBER[plan.number], in_row_of(plan)
    with_others = not labelled or (weighted and smoothed)
    term = _term_of_other if with_others else (_term_of_one(plan) if smoothed else None)
    exponentials, prepare = exponentials_and_term_of(plan, plain_shift, "e", term), _others_of(plan, asked)
    sums, gradient = _sums_of(plan, asked), _gradient_of(plan, asked)
    spare_size = items if capped else 1

    def body(values, others, place, target, weight, numbers):
        (thread, count), (label, known, logit) = place, target
        ignored_label, kept, spread, z_loss, cap, scale, plain_sum = numbers
        one, lowest = const(kept, 1.0), const(kept, -math.inf)
        ignored, known = ignoring and label == ignored_label, known or not labelled
        uncapped = cuda.local.array(spare_size, number_type)
        if capped:
            logit = soft_cap(logit, cap)
            for k in range(items):
                uncapped[k] = values[k]
                values[k] = where(in_row(k, thread, count), soft_cap(values[k], cap), lowest)
        w = one
        if labelled and weighted and known:
            w = weight[label]
        if with_others:
            prepare(others, weight, thread, count, kept, spread)
        largest, rest, terms = exponentials(values, others, thread, count, kept)
        total, carry, terms = sums(terms, others, largest - logit, w, kept, spread, plain_sum)
        if writes:
            share = scale_of(scale) / (one + rest) if known else const(kept, math.nan)
            pull = z_loss_slope(largest, rest, z_loss) + carry if penalised else carry
            of_row, c = (total, rest, pull), coefficient(one, w, kept, spread)
            gradient(values, others, thread, label, exp_nonpositive(logit - largest), c, spread, of_row, share)
            for k in range(items):
                if capped:
                    values[k] = values[k] * soft_cap_slope(uncapped[k], cap)
                if ignoring:
                    values[k] = where(ignored, const(kept, 0.0), values[k])
        return result_of(weighted_cross_entropy(total + carry, terms, largest, rest, z_loss), known, ignored)

    return Work(
        device(body), two=not labelled, holds_others=with_others, labelled=labelled, writes=writes, results=True
    )


def _plain_sum(kept: Any, spread: Any, classes: int) -> tuple[Any, Any]:
    """The sum of the coefficients of a label without weights, in two parts."""
    exact = float(kept + spread) + (classes - 1) * float(spread)
    total = kept.dtype.type(exact)
    return total, kept.dtype.type(exact - float(total))


def _of_options(logits: Any, targets: Any, options: CrossEntropyOptions, losses: Any, scale: Any, grad: Any) -> None:
    """Each row's loss, and the gradient unless `grad` is None."""
    (_, classes), dtype, weight = logits.shape, logits.dtype, options.weight
    asked, numbers = asked_by(targets, options), numbers_of(options, classes, dtype)
    in_packs = [array for array in (logits, None if asked.labelled else targets, grad) if array is not None]
    plan = plan_for(classes, *in_packs)
    # Where something is smoothed it matters of each element whether the row has it: without packs that takes registers.
    many = asked.capped or not asked.labelled or (asked.smoothed and (asked.weighted or plan.lanes == 1))
    if many:
        plan = plan_for(classes, *in_packs, twice=True)
    weight = logits if weight is None else weight
    if scale is None or isinstance(scale, float):
        scale = dtype.type(scale or 0)
    if classes > plan.width:
        plan = plan_for(classes, *in_packs, weight, twice=True)
        launch_wide_cross_entropy(plan, asked, (logits, targets, weight), numbers, losses, scale, grad)
        return
    arrays = {"y": targets, "weight": weight, "labels": targets, "out": grad, "results": losses}
    numbers = *numbers, scale, _plain_sum(numbers[1], numbers[2], classes)
    launch_rows(plan, _loss, (asked, element(scale), grad is not None), logits, numbers, **arrays)


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
