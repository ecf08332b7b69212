"""The formulas of the softmax family: a row is shifted by its largest logit, so nothing can overflow.

With m = max_j x_j, temperature T, z_j = (x_j - m) / T, e_j = exp(z_j) and s = sum_j e_j:

    softmax      y_j = e_j / s
    log_softmax  y_j = z_j - log(s)
    logsumexp    m + log(s)                          (T = 1)

A largest logit contributes exactly 1, so s = 1 + rest, where `rest` sums the exponentials of all the others. The
sums are kept in that form: log(s) = log1p(rest) stays exact where one class holds nearly all the mass.
"""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.formulas.primitives import const, exp_nonpositive, fabs, log1p, where


@register_jitable
def larger(a, b):
    """The larger of two; a NaN in `b` is passed over (it returns through the sum of the exponentials)."""
    return where(b > a, b, a)


@register_jitable
def shifted_logit(x, largest, temperature):
    """(x - largest) / temperature, with the exact limits.

    At temperature 0 it is 0 for the largest and -inf below: the arg-max, ties sharing. At temperature infinity it is
    0 for every finite logit: uniform; a logit of -inf keeps probability 0. Halves are subtracted: the difference of
    two finite logits can overflow where its quotient by the temperature does not.
    """
    half = const(x, 0.5)
    shifted = half * x - half * largest
    settled = (shifted == const(x, 0.0)) | (shifted == const(x, -math.inf))
    return where(settled, shifted, shifted / (half * temperature))


@register_jitable
def plain_shift(x, largest, temperature):
    """`shifted_logit` at temperature 1."""
    return x - largest


@register_jitable
def infinite_shift(x, largest, temperature):
    """x - largest, and 0 where both are the same infinity: logsumexp of +inf is +inf, of -inf alone -inf."""
    return where(x == largest, const(x, 0.0), x - largest)


@register_jitable
def two_sum(total, carry, value):
    """Add `value` to a sum kept in two parts, ``total + carry``.

    Knuth's error-free sum: `total` is the rounded sum, `carry` collects what the rounding lost.
    """
    new_total = total + value
    part = new_total - total
    lost = (total - (new_total - part)) + (value - part)
    return new_total, carry + lost


# Values that may be added to a sum in two parts before it is `settled`, at most.
SETTLED_EVERY = 64


@register_jitable
def settled(total, carry):
    """The same sum, with a carry of less than the total's rounding.

    The carry is summed plainly. Over thousands of values it grows to where it loses in its turn what it was to keep:
    without this a softmax of 2 x 10^7 equal logits below one sums to 0.9998.
    """
    new_total, new_carry = two_sum(total, const(total, 0.0), carry)
    finite = fabs(total) < const(total, math.inf)
    return where(finite, new_total, total), where(finite, new_carry, carry)


@register_jitable
def together(total, carry):
    """The sum that two parts are of; the carry of an infinite one says nothing."""
    return where(fabs(total) < const(total, math.inf), total + carry, total)


@register_jitable
def share_of(rest):
    """1 / s, s = 1 + rest."""
    one = const(rest, 1.0)
    return one / (one + rest)


@register_jitable
def log_sum(rest):
    """log(s), s = 1 + rest."""
    return log1p(rest)


@register_jitable
def softmax_gradient(grad, y, dot, temperature):
    """d/dx_j of sum_i grad_i softmax(x / T)_i = y_j (grad_j - sum_i grad_i y_i) / T, with dot the sum."""
    return y * (grad - dot) / temperature


@register_jitable
def log_softmax_gradient(grad, log_y, grad_sum, temperature):
    """d/dx_j of sum_i grad_i log_softmax(x / T)_i = (grad_j - softmax_j sum_i grad_i) / T, softmax = exp(log_y)."""
    return (grad - exp_nonpositive(log_y) * grad_sum) / temperature


# ---- of two numbers, for kernels that are built over such a function


@register_jitable
def product(a, b):
    return a * b


@register_jitable
def difference(a, b):
    return a - b


@register_jitable
def first_of(a, b):
    return a
