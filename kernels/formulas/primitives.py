"""The few operations a formula is built from, beside ``+ - * /`` and comparisons.

Compiled, each is its overload in `kernels/simd/primitives.py`; the bodies here define what they mean and serve plain
Python. Every primitive returns the type it was given: float32 arguments give float32 results, which is why a formula
writes ``const(x, 0.5)`` and not ``0.5``. A number that is no float counts as float64.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from numbers import Real

import numpy as np

from softgrad.kernels.formulas.tracing import Number, number, traceable


def const(like, value):
    """`value` in the type of `like`."""
    if isinstance(like, float | np.floating):
        return type(like)(value)
    if isinstance(like, Real | np.bool_):
        return float(value)
    if isinstance(like, Number):
        return number(value)
    raise TypeError(f"a formula takes numbers; got {type(like).__name__}; of arrays softgrad.ops has the same")


@traceable
def where(condition, a, b):
    """`a` where the condition holds, else `b`; a comparison with NaN does not hold."""
    return a if condition else b


@traceable
def fabs(x):
    """The absolute value."""
    return abs(x)


@traceable
def copysign(x, sign):
    """|x| with the sign of `sign`."""
    return np.copysign(const(x, x), sign)


@traceable
def fma(a, b, c):
    """``a * b + c``, rounded once."""
    a, b, c = const(a, a), const(b, b), const(c, c)
    if not (math.isfinite(a) and math.isfinite(b)):
        return a * b + c
    if not math.isfinite(c):
        return c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if not exact:
        return a * b + c
    like = const(a, 0.0) + const(b, 0.0) + const(c, 0.0)
    try:
        return const(like, exact)
    except OverflowError:
        return const(like, math.inf if exact > 0 else -math.inf)


@traceable
def sqrt(x):
    """The square root, rounded correctly."""
    return np.sqrt(const(x, x))


@traceable
def rsqrt(x):
    """``1 / sqrt(x)``."""
    return const(x, 1.0) / np.sqrt(const(x, x))


@traceable
def exp2(x):
    """2 to the power x."""
    return np.exp2(const(x, x))


@traceable
def exp(x):
    """e to the power x."""
    return np.exp(const(x, x))


@traceable
def exp_nonpositive(x, lost=None):
    """e to the power x, for x <= 0 only: the cheaper half of `exp`, exactly 0 at -inf.

    With `lost`, what rounding took from x, to the power x + lost.
    """
    return fma_exp_nonpositive(const(x, 1.0), x, const(x, 0.0), lost)


@traceable
def fma_exp_nonpositive(factor, x, addend, lost=None):
    """factor * exp(x) + addend, for x <= 0; exactly the addend where exp(x) is 0, whatever the factor.

    The product is exact to rounding where exp(x) alone would be subnormal. `lost` as in `exp_nonpositive`, with which
    it shares the work.
    """
    e = np.exp(np.float64(x))
    if e == 0:
        return addend
    return const(x, np.float64(factor) * e * (1.0 if lost is None else np.exp(np.float64(lost))) + addend)


@traceable
def expm1(x):
    """``exp(x) - 1`` without cancellation near 0."""
    return np.expm1(const(x, x))


@traceable
def log(x):
    """The natural logarithm."""
    return np.log(const(x, x))


@traceable
def log2(x):
    """The logarithm to base 2."""
    return np.log2(const(x, x))


@traceable
def log_parts(x):
    """The natural logarithm and what rounding took from it, 0 where the logarithm is not finite."""
    y = np.log(const(x, x))
    if not math.isfinite(y):
        return y, const(x, 0.0)
    with localcontext(prec=40):
        return y, const(x, Decimal(float(x)).ln() - Decimal(float(y)))


@traceable
def atanh_tail(square):
    """``2 (atanh(s) / s - 1) / s**2`` of s**2, which is at most 0.04."""
    return const(square, sum(2 * float(square) ** k / (2 * k + 3) for k in range(12)))


@traceable
def log1p(x):
    """``log(1 + x)`` without cancellation near 0."""
    return np.log1p(const(x, x))


@traceable
def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(const(x, x))


@traceable
def erf(x):
    """The error function."""
    return const(x, math.erf(const(x, x)))


@traceable
def erfc(x):
    """1 - erf(x) without cancellation in the tail."""
    return const(x, math.erfc(const(x, x)))


@traceable
def normal_tail_ratio(x):
    """``Phi(-x) / exp(-x**2 / 2)`` for x >= 0, Phi the standard normal distribution function.

    As (ratio, lost): what rounding took from it is ratio times lost.
    """
    wide = min(float(x), 37.0)  # beyond, a factor or the other leaves float64
    return const(x, math.exp(wide * wide / 2) * math.erfc(wide * math.sqrt(0.5)) / 2), const(x, 0.0)


@traceable
def normal_slope_ratio(x):
    """``(Phi(-x) - x phi(x)) / exp(-x**2 / 2)`` for x >= 0; its error is small beside the first term's quotient."""
    ratio, _ = normal_tail_ratio(np.float64(x))
    return const(x, ratio - x / math.sqrt(2 * math.pi))
