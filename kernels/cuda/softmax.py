"""Softmax, log-softmax, logsumexp and their backwards over the rows of a matrix on the card.

A row that fits the registers of a block is read once and written once. A wider one is read twice: its parts, in blocks
of their own, leave a maximum and a sum each, and then every part's block makes those of the row of them (`wide`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import register_jitable

from softgrad.kernels.cuda.rows import Plan, Work, exponentials_of, launch_rows, plan_for, row_sum_of
from softgrad.kernels.cuda.wide import launch_wide_gradient, launch_wide_logsumexp, launch_wide_normalised
from softgrad.kernels.formulas.logsumexp import (
    difference,
    first_of,
    infinite_shift,
    log_softmax_gradient,
    log_sum,
    plain_shift,
    product,
    share_of,
    shifted_logit,
    softmax_gradient,
)

Formula = Callable[..., Any]


def _normalised(plan: Plan, shift: Formula, keep: str, of_rest: Formula, normalise: Formula) -> Work:
    """What the exponentials keep of each logit becomes ``normalise(kept, of_rest(rest))``."""
    exponentials, items = exponentials_of(plan, shift, keep), plan.items

    def body(values, others, thread, label, label_logit, temperature):
        _, rest = exponentials(values, temperature)
        norm = of_rest(rest)
        for k in range(items):
            values[k] = normalise(values[k], norm)
        return rest

    return Work(f"{normalise.__name__}.{shift.__name__}", register_jitable(body))


def _logsumexp(plan: Plan) -> Work:
    exponentials = exponentials_of(plan, infinite_shift, "x")

    def body(values, others, thread, label, label_logit, temperature):
        largest, rest = exponentials(values, temperature)
        return largest + log_sum(rest)

    return Work("logsumexp", register_jitable(body), writes=False, results=True)


def _gradient(plan: Plan, term: Formula, gradient: Formula) -> Work:
    row_sum, items = row_sum_of(plan, term), plan.items

    def body(values, others, thread, label, label_logit, temperature):
        total = row_sum(values, others)
        for k in range(items):
            values[k] = gradient(values[k], others[k], total, temperature)
        return total

    return Work(gradient.__name__, register_jitable(body), two=True, fill=0.0)


def _launch_normalised(keep: str, of_rest: Formula, normalise: Formula, x: Any, temperature: float, out: Any) -> None:
    plan = plan_for(x.shape[1], x, out)
    options = plain_shift if temperature == 1 else shifted_logit, keep, of_rest, normalise
    if x.shape[1] <= plan.width:
        launch_rows(plan, _normalised, options, x, temperature, out=out)
    else:
        launch_wide_normalised(plan, *options, x, temperature, out)


def _launch_gradient(term: Formula, gradient: Formula, grad: Any, y: Any, temperature: float, out: Any) -> None:
    plan = plan_for(grad.shape[1], grad, y, out)
    if grad.shape[1] <= plan.width:
        launch_rows(plan, _gradient, (term, gradient), grad, temperature, y=y, out=out)
    else:
        launch_wide_gradient(plan, term, gradient, grad, y, temperature, out)


def softmax_forward(x, temperature, out):
    """out = softmax(x / temperature) over the rows of a matrix that is not empty. `out` may be x."""
    _launch_normalised("e", share_of, product, x, temperature, out)


def log_softmax_forward(x, temperature, out):
    """out = log_softmax(x / temperature) over the rows. `out` may be x."""
    _launch_normalised("z", log_sum, difference, x, temperature, out)


def logsumexp_forward(x, out):
    """out[r] = log(sum(exp(x[r])))."""
    plan = plan_for(x.shape[1], x)
    if x.shape[1] <= plan.width:
        launch_rows(plan, _logsumexp, (), x, 1.0, results=out)
    else:
        launch_wide_logsumexp(plan, x, out)


def softmax_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = softmax(x / temperature). `out` may be grad or y."""
    _launch_gradient(product, softmax_gradient, grad, y, temperature, out)


def log_softmax_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = log_softmax(x / temperature). `out` may be grad or y."""
    _launch_gradient(first_of, log_softmax_gradient, grad, y, temperature, out)
