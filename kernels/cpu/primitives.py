"""The primitives of `kernels.formulas.primitives`, for a number and for a vector of lanes alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.extending import overload

from softgrad.kernels.cpu import simd, vecmath
from softgrad.kernels.formulas import primitives


@overload(primitives.const)
def _const(like, value):
    return lambda like, value: simd.const(like, value)


@overload(primitives.where)
def _where(condition, a, b):
    return lambda condition, a, b: simd.where(condition, a, b)


@overload(primitives.copysign)
def _copysign(x, sign):
    return lambda x, sign: simd.copysign(x, sign)


@overload(primitives.fma)
def _fma(a, b, c):
    return lambda a, b, c: simd.fma(a, b, c)


def _implement(primitive: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Compile a primitive of one argument as `function`."""

    @overload(primitive)
    def implementation(x):
        return lambda x: function(x)


@overload(primitives.exp_nonpositive)
def _exp_nonpositive(x, lost=None):
    return lambda x, lost=None: vecmath.exp_nonpositive(x, lost)


@overload(primitives.fma_exp_nonpositive)
def _fma_exp_nonpositive(factor, x, addend, lost=None):
    return lambda factor, x, addend, lost=None: vecmath.fma_exp_nonpositive(factor, x, addend, lost)


for _primitive, _function in (
    (primitives.fabs, simd.fabs),
    (primitives.sqrt, simd.sqrt),
    (primitives.exp, vecmath.exp),
    (primitives.expm1, vecmath.expm1),
    (primitives.log, vecmath.log),
    (primitives.log_parts, vecmath.log_parts),
    (primitives.atanh_tail, vecmath.atanh_tail),
    (primitives.log1p, vecmath.log1p),
    (primitives.tanh, vecmath.tanh),
    (primitives.normal_tail_ratio, vecmath.normal_tail_ratio),
    (primitives.normal_slope_ratio, vecmath.normal_slope_ratio),
):
    _implement(_primitive, _function)
