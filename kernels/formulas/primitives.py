"""The few operations a formula is built from, beside ``+ - * /`` and comparisons.

Compiled, each is its overload in `kernels/simd/primitives.py`; the bodies here define what they mean and serve plain
Python. Every primitive returns the type it was given: float32 arguments give float32 results, which is why a formula
writes ``const(x, 0.5)`` and not ``0.5``.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np


def const(like, value):
    """`value` in the type of `like`."""
    return type(like)(value)


def where(condition, a, b):
    """`a` where the condition holds, else `b`; a comparison with NaN does not hold."""
    return a if condition else b


def fabs(x):
    """The absolute value."""
    return abs(x)


def copysign(x, sign):
    """|x| with the sign of `sign`."""
    return np.copysign(x, sign)


def fma(a, b, c):
    """``a * b + c``, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if not exact:
        return a * b + c
    try:
        return type(a)(exact)
    except OverflowError:
        return type(a)(math.inf if exact > 0 else -math.inf)


def sqrt(x):
    """The square root, rounded correctly."""
    return np.sqrt(x)


def exp(x):
    """e to the power x."""
    return np.exp(x)


def exp_nonpositive(x, lost=None):
    """e to the power x, for x <= 0 only: the cheaper half of `exp`, exactly 0 at -inf.

    With `lost`, what rounding took from x, to the power x + lost.
    """
    return fma_exp_nonpositive(type(x)(1), x, type(x)(0), lost)


def fma_exp_nonpositive(factor, x, addend, lost=None):
    """factor * exp(x) + addend, for x <= 0; exactly the addend where exp(x) is 0, whatever the factor.

    The product is exact to rounding where exp(x) alone would be subnormal. `lost` as in `exp_nonpositive`, with which
    it shares the work.
    """
    e = np.exp(np.float64(x))
    if e == 0:
        return addend
    return type(x)(np.float64(factor) * e * (1.0 if lost is None else np.exp(np.float64(lost))) + addend)


def expm1(x):
    """``exp(x) - 1`` without cancellation near 0."""
    return np.expm1(x)


def log(x):
    """The natural logarithm."""
    return np.log(x)


def log_parts(x):
    """The natural logarithm and what rounding took from it, 0 where the logarithm is not finite."""
    y = np.log(x)
    if not math.isfinite(y):
        return y, type(x)(0)
    with localcontext(prec=40):
        return y, type(x)(Decimal(float(x)).ln() - Decimal(float(y)))


def atanh_tail(square):
    """``2 (atanh(s) / s - 1) / s**2`` of s**2, which is at most 0.04."""
    return type(square)(sum(2 * float(square) ** k / (2 * k + 3) for k in range(12)))


def log1p(x):
    """``log(1 + x)`` without cancellation near 0."""
    return np.log1p(x)


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


def normal_tail_ratio(x):
    """``Phi(-x) / exp(-x**2 / 2)`` for x >= 0, Phi the standard normal distribution function.

    As (ratio, lost): what rounding took from it is ratio times lost.
    """
    wide = min(float(x), 37.0)  # beyond, a factor or the other leaves float64
    return type(x)(math.exp(wide * wide / 2) * math.erfc(wide * math.sqrt(0.5)) / 2), type(x)(0)


def normal_slope_ratio(x):
    """``(Phi(-x) - x phi(x)) / exp(-x**2 / 2)`` for x >= 0; its error is small beside the first term's quotient."""
    ratio, _ = normal_tail_ratio(np.float64(x))
    return type(x)(ratio - x / math.sqrt(2 * math.pi))
