"""Pieces that several formulas are made of."""

from __future__ import annotations

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, fma, fma_exp_nonpositive, where
from softgrad.kernels.formulas.tracing import composable


@jitable
def keep_nan(x, value):
    """`value`, or NaN where x is NaN."""
    return where(x == x, value, x)


@composable
def minimum(a, b):
    """The smaller of two numbers, NaN if one of them is."""
    return where((a <= b) | (a != a), a, b)


@composable
def maximum(a, b):
    """The larger of two numbers, NaN if one of them is."""
    return where((a >= b) | (a != a), a, b)


@jitable
def at_least(x, low):
    """x, but not below `low`; NaN stays."""
    low = const(x, low)
    return where(x < low, low, x)


@jitable
def clamp(x, low, high):
    """x, but not outside [low, high]; NaN stays."""
    low = const(x, low)
    high = const(x, high)
    return where(x < low, low, where(x > high, high, x))


@jitable
def complement_of_share(e):
    """1 / (1 + e) for e = exp(-|u|), as 1 - e / (1 + e), whose error vanishes with e."""
    one = const(e, 1.0)
    return fma(-e, one / (one + e), one)


@jitable
def reflected(x, factor, exponent, lost=None):
    """y = -factor exp(exponent + lost) where x < 0, and 1 - y(-x) for x >= 0; factor and exponent are those of |x|."""
    zero = const(x, 0.0)
    negative = x < zero
    addend = where(negative, zero, const(x, 1.0))
    return fma_exp_nonpositive(where(negative, -factor, factor), exponent, addend, lost)
