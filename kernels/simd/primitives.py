"""The primitives of `kernels.formulas.primitives`, for a number and for a vector of lanes alike.

Numbers of several types, or that are no floats, come from code of users': they count as float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import float64, types

from softgrad.kernels.formulas import primitives
from softgrad.kernels.formulas.jit import overload
from softgrad.kernels.simd import math, normal, vector


def _to_widen(*numbers: types.Type) -> bool:
    """Are they numbers, but not floats of one type?"""
    plain = all(isinstance(number, types.Number | types.Boolean) for number in numbers)
    return plain and (len({*numbers}) > 1 or not isinstance(numbers[0], types.Float))


@overload(primitives.const)
def _const(like, value):
    if _to_widen(like):
        return lambda like, value: float64(value)
    return lambda like, value: vector.const(like, value)


@overload(primitives.where)
def _where(condition, a, b):
    if _to_widen(a, b):
        return lambda condition, a, b: vector.where(condition, float64(a), float64(b))
    return lambda condition, a, b: vector.where(condition, a, b)


@overload(primitives.copysign)
def _copysign(x, sign):
    if _to_widen(x, sign):
        return lambda x, sign: vector.copysign(float64(x), float64(sign))
    return lambda x, sign: vector.copysign(x, sign)


@overload(primitives.fma)
def _fma(a, b, c):
    if _to_widen(a, b, c):
        return lambda a, b, c: vector.fma(float64(a), float64(b), float64(c))
    return lambda a, b, c: vector.fma(a, b, c)


def _implement(primitive: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Compile a primitive of one argument as `function`."""

    @overload(primitive)
    def implementation(x):
        if _to_widen(x):
            return lambda x: function(float64(x))
        return lambda x: function(x)


@overload(primitives.exp_nonpositive)
def _exp_nonpositive(x, lost=None):
    return lambda x, lost=None: math.exp_nonpositive(x, lost)


@overload(primitives.fma_exp_nonpositive)
def _fma_exp_nonpositive(factor, x, addend, lost=None):
    return lambda factor, x, addend, lost=None: math.fma_exp_nonpositive(factor, x, addend, lost)


for _primitive, _function in (
    (primitives.fabs, vector.fabs),
    (primitives.sqrt, vector.sqrt),
    (primitives.rsqrt, math.rsqrt),
    (primitives.exp, math.exp),
    (primitives.exp2, math.exp2),
    (primitives.expm1, math.expm1),
    (primitives.log, math.log),
    (primitives.log2, math.log2),
    (primitives.log_parts, math.log_parts),
    (primitives.atanh_tail, math.atanh_tail),
    (primitives.log1p, math.log1p),
    (primitives.tanh, math.tanh),
    (primitives.erf, normal.erf),
    (primitives.erfc, normal.erfc),
    (primitives.normal_tail_ratio, normal.normal_tail_ratio),
    (primitives.normal_slope_ratio, normal.normal_slope_ratio),
):
    _implement(_primitive, _function)
