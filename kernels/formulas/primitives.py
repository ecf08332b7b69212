"""The few operations a formula is built from, beside ``+ - * /`` and comparisons.

Each is a stub with one overload per target (`kernels/cpu/primitives.py`, and later its CUDA twin). The bodies
here define what they mean and serve plain Python. Every primitive returns the type it was given: float32
arguments give float32 results, which is why a formula writes ``const(x, 0.5)`` and not ``0.5``.
"""

from __future__ import annotations

import math
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


def fma(a, b, c):
    """``a * b + c``, rounded once."""
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    return type(a)(exact) if exact else a * b + c


def exp(x):
    """e to the power x."""
    return np.exp(x)


def exp_nonpositive(x):
    """e to the power x, for x <= 0 only: the cheaper half of `exp`, exactly 0 at -inf."""
    return np.exp(x)


def times_exp_nonpositive(factor, x):
    """factor * exp(x), for x <= 0 and |factor| < 2**32: exact to rounding where exp(x) alone would be subnormal."""
    return type(x)(np.float64(factor) * np.exp(np.float64(x)))


def expm1(x):
    """``exp(x) - 1`` without cancellation near 0."""
    return np.expm1(x)


def log(x):
    """The natural logarithm."""
    return np.log(x)


def log1p(x):
    """``log(1 + x)`` without cancellation near 0."""
    return np.log1p(x)


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


def erfc(x):
    """The complementary error function, ``1 - erf(x)`` without cancellation in the tail."""
    return type(x)(math.erfc(x))


def times_erfc(factor, x):
    """factor * erfc(x), for |factor| < 2**32: exact to rounding where erfc(x) alone would be subnormal."""
    return type(x)(np.float64(factor) * math.erfc(x))
