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


@overload(primitives.fma)
def _fma(a, b, c):
    return lambda a, b, c: simd.fma(a, b, c)


def _implement(primitive: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Compile a primitive of one argument as `function`."""

    @overload(primitive)
    def implementation(x):
        return lambda x: function(x)


@overload(primitives.times_exp_nonpositive)
def _times_exp_nonpositive(factor, x):
    return lambda factor, x: vecmath.times_exp_nonpositive(factor, x)


@overload(primitives.times_erfc)
def _times_erfc(factor, x):
    return lambda factor, x: vecmath.times_erfc(factor, x)


for _primitive, _function in (
    (primitives.fabs, simd.fabs),
    (primitives.exp, vecmath.exp),
    (primitives.exp_nonpositive, vecmath.exp_nonpositive),
    (primitives.expm1, vecmath.expm1),
    (primitives.log, vecmath.log),
    (primitives.log1p, vecmath.log1p),
    (primitives.tanh, vecmath.tanh),
    (primitives.erfc, vecmath.erfc),
):
    _implement(_primitive, _function)
