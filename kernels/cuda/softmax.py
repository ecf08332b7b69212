"""Softmax, log-softmax, logsumexp and the backwards on the GPU: the rows of a matrix here, columns in `columns`.

A row that fits the registers of a block is read once and written once. A wider one is read twice: its parts, in blocks
of their own, leave a maximum and a sum each, and then every part's block makes those of the row of them (`wide`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from softgrad.kernels.cuda import columns
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import exponentials_of, row_sum_of
from softgrad.kernels.cuda.rows import Work, launch_rows
from softgrad.kernels.cuda.wide import (
    WideWork,
    exponentials_left,
    launch_wide,
    merged_of,
    merged_terms,
    terms_left,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import exp_nonpositive
from softgrad.kernels.formulas.softmax import Normalised, infinite_shift, log_sum, plain_shift, shifted_logit
from softgrad.kernels.formulas.sums import together
from softgrad.kernels.simd.half import number_dtype

Formula = Callable[..., Any]


def _normalise_of(plan: Plan, row: Normalised) -> Formula:
    """Build ``normalise(values, rest)``: what is kept of the logits becomes the result."""
    of_rest, normalise_one, items = row.of_rest, row.normalise, plan.items

    def normalise(values, rest):
        norm = of_rest(rest)
        for k in range(items):
            values[k] = normalise_one(values[k], norm)

    return jitable(normalise)


def _gradient_of(plan: Plan, row: Normalised) -> Formula:
    """Build ``gradient(values, others, total, carry, temperature)``: of grad and y, given the sum of their terms."""
    gradient_one, items = row.gradient, plan.items

    def gradient(values, others, total, carry, temperature):
        term_sum = together(total, carry)
        for k in range(items):
            values[k] = gradient_one(values[k], others[k], term_sum, temperature)

    return jitable(gradient)


@jitable
def _log_sum_exp(largest, rest):
    return largest + log_sum(rest)


# ---- rows in registers


def _normalised_row(plan: Plan, row: Normalised, shift: Formula) -> Work:
    exponentials, normalise = exponentials_of(plan, shift, row.keeps), _normalise_of(plan, row)

    def body(values, others, place, target, weight, temperature):
        _, rest = exponentials(values, temperature)
        normalise(values, rest)
        return rest

    return Work(jitable(body))


def _gradient_row(plan: Plan, row: Normalised) -> Work:
    row_sum, gradient = row_sum_of(plan, row.term), _gradient_of(plan, row)

    def body(values, others, place, target, weight, temperature):
        total, carry = row_sum(values, others)
        gradient(values, others, total, carry, temperature)
        return total

    return Work(jitable(body), two=True, fill=0.0)


def _logsumexp_row(plan: Plan) -> Work:
    exponentials = exponentials_of(plan, infinite_shift, "x")

    def body(values, others, place, target, weight, temperature):
        largest, rest = exponentials(values, temperature)
        return _log_sum_exp(largest, rest)

    return Work(jitable(body), writes=False, results=True)


# ---- rows in parts


def _normalised_parts(plan: Plan, row: Normalised, shift: Formula) -> WideWork:
    normalise, keeps_e, items = _normalise_of(plan, row), row.keeps == "e", plan.items

    def rewrite(values, others, largest, rest, temperature):
        for k in range(items):
            z = shift(values[k], largest, temperature)
            values[k] = exp_nonpositive(z) if keeps_e else z
        normalise(values, rest)

    return WideWork(exponentials_left(plan, shift), merged_of(shift), rewrite=jitable(rewrite))


def _gradient_parts(plan: Plan, row: Normalised) -> WideWork:
    return WideWork(terms_left(plan, row.term), merged_terms, rewrite=_gradient_of(plan, row), two=True, fill=0.0)


def _logsumexp_parts(plan: Plan) -> WideWork:
    return WideWork(exponentials_left(plan, infinite_shift), merged_of(infinite_shift), result=_log_sum_exp)


# ---- kernels


@cache
def normalised(row: Normalised) -> Callable[..., None]:
    def forward(x, temperature, out):
        if x.size == 0:
            return
        shift = plain_shift if temperature == 1 else shifted_logit
        if x.ndim == 3:
            columns.launch(columns.normalised(row, shift), (x, out), temperature)
            return
        plan = plan_for(x.shape[1], x, out)
        if x.shape[1] <= plan.width:
            launch_rows(plan, _normalised_row, (row, shift), x, number_dtype(x.dtype).type(temperature), out=out)
        else:
            launch_wide(plan, _normalised_parts, (row, shift), x, temperature, out=out)

    return forward


@cache
def normalised_backward(row: Normalised) -> Callable[..., None]:
    def backward(grad, y, temperature, out):
        if grad.size == 0:
            return
        if grad.ndim == 3:
            columns.launch(columns.normalised_backward(row), (grad, y, out), temperature)
            return
        plan = plan_for(grad.shape[1], grad, y, out)
        if grad.shape[1] <= plan.width:
            launch_rows(plan, _gradient_row, (row,), grad, number_dtype(grad.dtype).type(temperature), y=y, out=out)
        else:
            launch_wide(plan, _gradient_parts, (row,), grad, temperature, y=y, out=out)

    return backward


def logsumexp(x, out):
    if x.ndim == 3:
        columns.launch(columns.logsumexp(), (x, out), 1.0)
        return
    plan = plan_for(x.shape[1], x)
    if x.shape[1] <= plan.width:
        launch_rows(plan, _logsumexp_row, (), x, number_dtype(x.dtype).type(1), results=out)
    else:
        launch_wide(plan, _logsumexp_parts, (), x, 1.0, results=out)
