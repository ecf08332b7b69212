"""The coefficients c_j of a row's cross-entropy on the GPU, which are kept only where they must be.

For a label they are eps / C w_j, and more at the label: so their sum and that of their terms follow from the sums of
w_j and of w_j (m - z_j), and where nothing is smoothed from the label alone. For probabilities the targets become the
coefficients, in their place. The same holds of a part of a row, whose sums are brought together before that.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from softgrad.kernels.cuda.options import Asked
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import Summed, column_of, exponentials_of, in_row_of, put_at_label_of, terms_of
from softgrad.kernels.formulas.cross_entropy import (
    coefficient,
    coefficient_term,
    soft_cap,
    soft_cap_slope,
    weighted_cross_entropy_gradient,
    z_loss_slope,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, where
from softgrad.kernels.formulas.sums import two_sum

Function = Callable[..., object]


# ---- what of a row lies in registers beside its logits


def holds_others(asked: Asked) -> bool:
    """Are weights, or coefficients, kept beside the logits?"""
    return not asked.labelled or (asked.weighted and asked.smoothed)


def others_of(plan: Plan, asked: Asked) -> Function | None:
    """Build ``prepare(others, weight, place, numbers)``: the weights of a label's row, or None if none are kept.

    Or the coefficients in the place of probabilities; 0 beyond the row.
    """
    if not holds_others(asked):
        return None
    items, labelled, weighted = plan.items, asked.labelled, asked.weighted
    column, in_row = column_of(plan), in_row_of(plan)

    def prepare(others, weight, place, numbers):
        thread, begin, _, _ = place
        _, kept, spread, _, _, _, _ = numbers
        zero, one = const(kept, 0.0), const(kept, 1.0)
        for k in range(items):
            w = one
            if weighted:
                w = weight[begin + column(k, thread)] if in_row(k, place) else zero
            c = w if labelled else coefficient(others[k], w, kept, spread)
            others[k] = where(in_row(k, place), c, zero)

    return jitable(prepare)


def caps_of(plan: Plan, asked: Asked) -> Function | None:
    """Build ``cap(values, uncapped, place, numbers)``: logits are kept in `uncapped`, and capped. None if not asked."""
    if not asked.capped:
        return None
    items, in_row = plan.items, in_row_of(plan)

    def caps(values, uncapped, place, numbers):
        _, _, _, _, cap, _, _ = numbers
        for k in range(items):
            uncapped[k] = values[k]
            values[k] = where(in_row(k, place), soft_cap(values[k], cap), const(cap, -math.inf))

    return jitable(caps)


# ---- sums


def sums_terms(asked: Asked) -> bool:
    """Are terms summed beside the exponentials?"""
    return holds_others(asked) or asked.smoothed


def term_of(plan: Plan, asked: Asked) -> Function | None:
    """The term that is summed beside the exponentials: c_j (m - z_j), m - z_j, or none."""
    if not sums_terms(asked):
        return None
    return _term_of_other if holds_others(asked) else _term_of_one(plan)


@jitable
def _term_of_other(k, z, others, place):
    return coefficient_term(others[k], -z)


def _term_of_one(plan: Plan) -> Function:
    in_row = in_row_of(plan)

    def term(k, z, others, place):
        return where(in_row(k, place), -z, const(z, 0.0))

    return jitable(term)


@jitable
def _itself(_, other):
    return other


def summed_of(plan: Plan, asked: Asked, shift: Function, keep: str) -> Summed:
    """The sums that settle to ``((rest, terms), (total, carry))``.

    Of the exponentials and the terms, and in two parts what is kept beside the logits; of nothing, 0.
    """
    exponentials, of_others = exponentials_of(plan, shift, keep, term_of(plan, asked)), terms_of(plan, _itself)
    no_exponentials, add_exponentials, settle_exponentials = exponentials
    no_others, add_others, settle_others = of_others
    with_others = holds_others(asked)

    def nothing(zero):
        return no_exponentials(zero), no_others(zero)

    def add(values, others, place, largest, numbers, sums):
        exponentials, of_others = sums
        if with_others:
            of_others = add_others(values, others, place, largest, numbers, of_others)
        return add_exponentials(values, others, place, largest, numbers[1], exponentials), of_others

    def settle(sums):
        exponentials, of_others = sums
        return settle_exponentials(exponentials), settle_others(of_others) if with_others else of_others

    return Summed(jitable(nothing), jitable(add), jitable(settle))


def sums_of(asked: Asked) -> Function:
    """Build ``sums(terms, of_others, below, w, kept, spread, plain_sum) -> (total, carry, terms)`` of the coefficients.

    Of the sum of a row's terms and that of what is kept, in two parts; how far the label's logit is `below` the
    largest, its weight, and the sum of the coefficients without weights, in two parts.
    """
    labelled, weighted, smoothed = asked.labelled, asked.weighted, asked.smoothed

    def sums(terms, of_others, below, w, kept, spread, plain_sum):
        total, carry = of_others
        if not labelled:
            return total, carry, terms
        if not smoothed:
            c = w * kept
            return c, const(c, 0.0), coefficient_term(c, below)
        if weighted:
            rest = spread * ((total - w) + carry)
            total, carry = two_sum(coefficient(const(w, 1.0), w, kept, spread), const(w, 0.0), rest)
        else:
            total, carry = plain_sum
        return total, carry, spread * terms + coefficient_term(w * kept, below)

    return jitable(sums)


# ---- the gradient


def pull_of(asked: Asked) -> Function:
    """Build ``pull(largest, rest, z_loss, carry)``: 2 z_loss lse, and what the coefficients' sum has in its carry."""
    penalised = asked.penalised

    def pull(largest, rest, z_loss, carry):
        return z_loss_slope(largest, rest, z_loss) + carry if penalised else carry

    return jitable(pull)


@jitable
def of_row(label_exp, c, total, rest, pull, known, scale):
    """What a row's gradient takes: its own at the label, of exponential and coefficient, and what the formula takes."""
    share = scale / (const(rest, 1.0) + rest) if known else const(rest, math.nan)
    return weighted_cross_entropy_gradient(label_exp, c, total, rest, pull) * share, total, rest, pull, share


def gradient_of(plan: Plan, asked: Asked) -> Function:
    """Build ``gradient(values, others, uncapped, place, label, of_this_row, numbers, ignored)``.

    A row's exponentials, or a part's, become its gradient, 0 if it is ignored.
    """
    put_at_label, items = put_at_label_of(plan), plan.items
    labelled, weighted, smoothed, ignoring, capped, penalised = asked

    def gradient(values, others, uncapped, place, label, of_this_row, numbers, ignored):
        at_label, total, rest, pull, share = of_this_row
        _, _, spread, _, cap, _, _ = numbers
        for k in range(items):
            e = values[k]
            if not labelled:
                g = weighted_cross_entropy_gradient(e, others[k], total, rest, pull)
            elif smoothed:
                other_c = others[k] * spread if weighted else spread
                g = weighted_cross_entropy_gradient(e, other_c, total, rest, pull)
            else:  # the coefficient is 0
                g = total * e + pull * e if penalised else total * e
            values[k] = g * share
        if labelled:
            put_at_label(values, place, label, at_label)
        for k in range(items if capped or ignoring else 0):
            if capped:
                values[k] = values[k] * soft_cap_slope(uncapped[k], cap)
            if ignoring:
                values[k] = where(ignored, const(rest, 0.0), values[k])

    return jitable(gradient)
