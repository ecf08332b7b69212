"""Sums in two parts, ``total + carry``, which lose nothing that counts; and the larger of two numbers."""

from __future__ import annotations

import math
from typing import Any

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, fabs, where


@jitable
def larger(a, b):
    """The larger of two; a NaN in `b` is passed over (it returns through the sum of the exponentials)."""
    return where(b > a, b, a)


@jitable
def two_sum(total, carry, value):
    """Add `value` to a sum kept in two parts, ``total + carry``.

    Knuth's error-free sum: `total` is the rounded sum, `carry` collects what the rounding lost.
    """
    new_total = total + value
    part = new_total - total
    lost = (total - (new_total - part)) + (value - part)
    return new_total, carry + lost


@jitable
def fast_two_sum(total, carry, value):
    """`two_sum` where the total is not smaller than the value: Dekker's, in four operations instead of seven."""
    new_total = total + value
    return new_total, carry + (value - (new_total - total))


@jitable
def compensated_sum(total, carry, value):
    """`two_sum` of finite values that are not below 0, in four operations: Kahan's.

    What the last rounding lost goes into the next value. It is exact to two roundings of the sum, where `two_sum` is to
    one; of values that cancel it would lose what those leave.
    """
    value = value + carry
    new_total = total + value
    return new_total, value - (new_total - total)


# Values that may be added to a sum in two parts before it is `settled`, at most.
SETTLED_EVERY = 64


@jitable
def settled(total, carry):
    """The same sum, with a carry of less than the total's rounding.

    The carry is summed plainly. Over thousands of values it grows to where it loses in its turn what it was to keep:
    without this a softmax of 2 x 10^7 equal logits below one sums to 0.9998.
    """
    new_total, new_carry = two_sum(total, const(total, 0.0), carry)
    finite = fabs(total) < const(total, math.inf)
    return where(finite, new_total, total), where(finite, new_carry, carry)


@jitable
def quotient(total: Any, divisor: Any) -> Any:
    """total / divisor, and 0 where there is nothing to divide by."""
    return total / divisor if divisor != 0 else total * 0


def over(total: Any, divisor: Any) -> Any:
    """The quotient, for Python; the total if the divisor is None."""
    return total if divisor is None else quotient(total, divisor)


@jitable
def together(total, carry):
    """The sum that two parts are of; the carry of an infinite one says nothing."""
    return where(fabs(total) < const(total, math.inf), total + carry, total)
