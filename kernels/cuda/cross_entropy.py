"""Softmax cross-entropy on the GPU, alone and with its gradient, for labels or probabilities, with any options.

Labels and no options have kernels of their own (`label_cross_entropy`), and so have rows that are wider than a block
holds (`wide_cross_entropy`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softgrad.kernels.cuda.coefficients import (
    caps_of,
    gradient_of,
    holds_others,
    of_row,
    others_of,
    pull_of,
    summed_of,
    sums_of,
)
from softgrad.kernels.cuda.ending import Ending
from softgrad.kernels.cuda.held import held_plan, launch_held
from softgrad.kernels.cuda.label_cross_entropy import label_cross_entropy
from softgrad.kernels.cuda.options import Asked, asked_by, element, numbers_of, result_of
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.rows import Work, launch_rows
from softgrad.kernels.cuda.wide_cross_entropy import launch_wide_cross_entropy
from softgrad.kernels.formulas.cross_entropy import (
    DEFAULTS,
    CrossEntropyOptions,
    coefficient,
    soft_cap,
    weighted_cross_entropy,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.simd.half import number_dtype

Function = Callable[..., Any]


def _loss(plan: Plan, asked: Asked, scale_of: Function, writes: bool) -> Work:
    """The loss of a row, and its gradient if that is what it `writes`."""
    labelled, weighted, ignoring, capped = asked.labelled, asked.weighted, asked.ignoring, asked.capped
    sums_of_coefficients, pull, gradient = sums_of(asked), pull_of(asked), gradient_of(plan, asked)

    def settle(sums, largest, target, weight, numbers):
        (rest, terms), of_others = sums
        label, known, logit = target
        ignored_label, kept, spread, z_loss, cap, scale, plain_sum = numbers
        one = const(kept, 1.0)
        ignored, known = ignoring and label == ignored_label, known or not labelled
        if capped:
            logit = soft_cap(logit, cap)
        w = one
        if labelled and weighted and known:
            w = weight[label]
        total, carry, terms = sums_of_coefficients(terms, of_others, largest - logit, w, kept, spread, plain_sum)
        loss = result_of(weighted_cross_entropy(total + carry, terms, largest, rest, z_loss), known, ignored)
        label_exp, c = exp_nonpositive(logit - largest), coefficient(one, w, kept, spread)
        pulled = pull(largest, rest, z_loss, carry)
        return loss, (ignored, of_row(label_exp, c, total, rest, pulled, known, scale_of(scale)))

    def finish(values, others, uncapped, place, target, of_this_row, numbers):
        ignored, taken = of_this_row
        gradient(values, others, uncapped, place, target[0], taken, numbers, ignored)

    return Work(
        summed_of(plan, asked, plain_shift, "e"), jitable(settle), jitable(finish) if writes else None,
        caps_of(plan, asked), others_of(plan, asked), two=not labelled, labelled=labelled, returns=True,
    )  # fmt: skip


def _plain_sum(kept: Any, spread: Any, classes: int) -> tuple[Any, Any]:
    """The sum of the coefficients of a label without weights, in two parts."""
    exact = float(kept + spread) + (classes - 1) * float(spread)
    total = kept.dtype.type(exact)
    return total, kept.dtype.type(exact - float(total))


def _of_options(
    logits: Any, targets: Any, options: CrossEntropyOptions, divisor: Any, scale: Any, losses: Any, grad: Any
) -> Any:
    """The loss, and the gradient unless `grad` is None."""
    (rows, classes), dtype, weight = logits.shape, number_dtype(logits.dtype), options.weight
    asked, numbers = asked_by(targets, options), numbers_of(options, classes, dtype)
    in_packs = [array for array in (logits, None if asked.labelled else targets, grad) if array is not None]
    plan = plan_for(classes, *in_packs, more=not (asked.ignoring or asked.penalised))
    # Where something is smoothed it matters of each element whether the row has it: without packs that takes registers.
    of_each = asked.smoothed and plan.lanes == 1 and not plan.staged
    if holds_others(asked) or asked.capped or of_each:
        plan = plan_for(classes, *in_packs, twice=True)
    weight = logits if weight is None else weight
    if scale is None or isinstance(scale, float):
        scale = dtype.type(scale or 0)
    numbers = *numbers, scale, _plain_sum(numbers[1], numbers[2], classes)
    fits = classes <= plan.width
    ending = Ending(losses, rows, dtype, divisor, plan.block_threads if fits else 0)
    arrays = {"y": targets, "weight": weight, "labels": targets, "out": grad, "results": ending.results}
    wanted = asked, element(scale), grad is not None
    if fits:
        launch_rows(plan, _loss, wanted, logits, numbers, ending.summing, **arrays)
    elif held := held_plan(classes, *in_packs, twice=not asked.labelled):
        launch_held(*held, _loss, wanted, logits, numbers, **arrays)
    else:
        launch_wide_cross_entropy(plan, asked, (logits, targets, weight), numbers, ending.left, grad)
    return ending.loss()


def softmax_cross_entropy_with_grad(logits, targets, options, divisor, scale, losses, grad):
    if options is None and targets.ndim == 1:
        return label_cross_entropy(logits, targets, divisor, scale, losses, grad)
    return _of_options(logits, targets, options or DEFAULTS, divisor, scale, losses, grad)


def softmax_cross_entropy_forward(logits, targets, options, divisor, losses):
    return softmax_cross_entropy_with_grad(logits, targets, options, divisor, None, losses, None)
