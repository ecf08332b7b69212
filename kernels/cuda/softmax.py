"""Softmax, log-softmax, logsumexp and the backwards on the GPU: the rows of a matrix here, columns in `columns`.

A row that fits the registers of a block, or its shared memory (`held`), is read once and written once. A wider one is
read twice: its parts, in blocks of their own, leave a maximum and a sum each, those are brought together for each row,
and then every part is written (`wide`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from softgrad.kernels.cuda import columns
from softgrad.kernels.cuda.held import held_plan, launch_held
from softgrad.kernels.cuda.launches import Launches
from softgrad.kernels.cuda.memory import are_aligned
from softgrad.kernels.cuda.plans import Plan, plan_for
from softgrad.kernels.cuda.registers import all_exponentials_of, exponentials_of, terms_of
from softgrad.kernels.cuda.rows import Work, prepared_rows
from softgrad.kernels.cuda.wide import (
    WideWork,
    exponentials_left,
    launch_wide,
    merged_of,
    merged_terms,
    terms_left,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive
from softgrad.kernels.formulas.softmax import Normalised, infinite_shift, log_sum, plain_shift, shifted_logit
from softgrad.kernels.formulas.sums import together
from softgrad.kernels.simd.half import number_dtype

Formula = Callable[..., Any]


def _normalise_of(plan: Plan, row: Normalised) -> Formula:
    """Build ``normalise(values, norm)``: what is kept of the logits becomes the result."""
    normalise_one, items = row.normalise, plan.items

    def normalise(values, norm):
        for k in range(items):
            values[k] = normalise_one(values[k], norm)

    return jitable(normalise)


def _gradient_of(plan: Plan, row: Normalised, plain: bool) -> Formula:
    """Build ``gradient(values, others, term_sum, temperature)``: of grad and y, given the sum of their terms.

    Where the temperature is `plain`, 1, nothing is divided: a quotient takes as long as all else.
    """
    gradient_one, items = row.gradient, plan.items

    def gradient(values, others, term_sum, temperature):
        divisor = const(temperature, 1.0) if plain else temperature
        for k in range(items):
            values[k] = gradient_one(values[k], others[k], term_sum, divisor)

    return jitable(gradient)


@jitable
def _log_sum_exp(largest, rest):
    return largest + log_sum(rest)


# ---- rows that a block holds


def _normalised_row(plan: Plan, row: Normalised, shift: Formula) -> Work:
    normalise, of_rest = _normalise_of(plan, row), row.of_rest

    def settle(sums, largest, target, weight, temperature):
        rest, _ = sums
        return rest, of_rest(rest)

    def finish(values, others, uncapped, place, target, norm, temperature):
        normalise(values, norm)

    summed = all_exponentials_of(plan, shift) if row.keeps == "e" else exponentials_of(plan, shift, row.keeps)
    return Work(summed, jitable(settle), jitable(finish))


def _gradient_row(plan: Plan, row: Normalised, plain: bool) -> Work:
    gradient = _gradient_of(plan, row, plain)

    def finish(values, others, uncapped, place, target, term_sum, temperature):
        gradient(values, others, term_sum, temperature)

    summed = terms_of(plan, row.term)
    return Work(summed, _settled_term, jitable(finish), two=True, peaked=False, fill=0.0)


@jitable
def _settled_term(sums, largest, target, weight, temperature):
    total, carry = sums
    return total, together(total, carry)


def _logsumexp_row(plan: Plan) -> Work:
    return Work(exponentials_of(plan, infinite_shift, "x"), _settled_log_sum_exp, returns=True)


@jitable
def _settled_log_sum_exp(sums, largest, target, weight, temperature):
    rest, _ = sums
    return _log_sum_exp(largest, rest), rest


# ---- rows in parts


def _normalised_parts(plan: Plan, row: Normalised, shift: Formula) -> WideWork:
    normalise, of_rest, keeps_e, items = _normalise_of(plan, row), row.of_rest, row.keeps == "e", plan.items

    def rewrite(values, others, largest, rest, temperature):
        for k in range(items):
            z = shift(values[k], largest, temperature)
            values[k] = exp_nonpositive(z) if keeps_e else z
        normalise(values, of_rest(rest))

    return WideWork(exponentials_left(plan, shift), merged_of(shift), rewrite=jitable(rewrite))


def _gradient_parts(plan: Plan, row: Normalised, plain: bool) -> WideWork:
    gradient = _gradient_of(plan, row, plain)

    def rewrite(values, others, total, carry, temperature):
        gradient(values, others, together(total, carry), temperature)

    return WideWork(terms_left(plan, row.term), merged_terms, rewrite=jitable(rewrite), two=True, fill=0.0)


def _logsumexp_parts(plan: Plan) -> WideWork:
    return WideWork(exponentials_left(plan, infinite_shift), merged_of(infinite_shift), result=_log_sum_exp)


# ---- kernels


@cache
def normalised(row: Normalised) -> Callable[..., None]:
    launches = Launches()

    def forward(x, temperature, out):
        key = x.shape, x.dtype.char, are_aligned(x, out), temperature
        if (launch := launches.get(key)) is not None:
            launch(x, x, x, x, out, x)
            return
        if x.size == 0:
            return
        shift = plain_shift if temperature == 1 else shifted_logit
        if x.ndim == 3:
            columns.launch(columns.normalised(row, shift), (x, out), temperature)
            return
        classes, number = x.shape[1], number_dtype(x.dtype).type(temperature)
        plan = plan_for(classes, x, out)
        if classes <= plan.width:
            launch = launches[key] = prepared_rows(plan, _normalised_row, (row, shift), x, number, out=out)
            launch(x, x, x, x, out, x)
        elif held := held_plan(classes, x, out):
            launch_held(*held, _normalised_row, (row, shift), x, number, out=out)
        else:
            launch_wide(plan, _normalised_parts, (row, shift), x, temperature, out=out)

    return forward


@cache
def normalised_backward(row: Normalised) -> Callable[..., None]:
    launches = Launches()

    def backward(grad, y, temperature, out):
        key = grad.shape, grad.dtype.char, are_aligned(grad, y, out), temperature
        if (launch := launches.get(key)) is not None:
            launch(grad, y, grad, grad, out, grad)
            return
        if grad.size == 0:
            return
        if grad.ndim == 3:
            columns.launch(columns.normalised_backward(row), (grad, y, out), temperature)
            return
        classes, number = grad.shape[1], number_dtype(grad.dtype).type(temperature)
        plan, options = plan_for(classes, grad, y, out, more=False), (row, temperature == 1)
        if classes <= plan.width:
            launch = launches[key] = prepared_rows(plan, _gradient_row, options, grad, number, y=y, out=out)
            launch(grad, y, grad, grad, out, grad)
        elif held := held_plan(classes, grad, y, out, twice=True):
            launch_held(*held, _gradient_row, options, grad, number, y=y, out=out)
        else:
            launch_wide(plan, _gradient_parts, options, grad, temperature, y=y, out=out)

    return backward


_logsumexps = Launches()


def logsumexp(x, out):
    key = x.shape, x.dtype.char, are_aligned(x)
    if (launch := _logsumexps.get(key)) is not None:
        launch(x, x, x, x, x, out)
        return
    if x.ndim == 3:
        columns.launch(columns.logsumexp(), (x, out), 1.0)
        return
    classes, number = x.shape[1], number_dtype(x.dtype).type(1)
    plan = plan_for(classes, x)
    if classes <= plan.width:
        launch = _logsumexps[key] = prepared_rows(plan, _logsumexp_row, (), x, number, results=out)
        launch(x, x, x, x, x, out)
    elif held := held_plan(classes, x):
        launch_held(*held, _logsumexp_row, (), x, number, results=out)
    else:
        launch_wide(plan, _logsumexp_parts, (), x, 1.0, results=out)
