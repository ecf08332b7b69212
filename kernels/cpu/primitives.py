"""The primitives of `kernels.formulas.primitives`, compiled for one number on the CPU.

The logarithms and exponentials are the C library's, in the precision of their argument.
"""

from __future__ import annotations

import math

from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic, overload

from softgrad.kernels.formulas import primitives


@overload(primitives.const)
def _const(like, value):
    dtype = like
    return lambda like, value: dtype(value)


@overload(primitives.where)
def _where(condition, a, b):
    return lambda condition, a, b: a if condition else b


@overload(primitives.fabs)
def _fabs(x):
    return lambda x: math.fabs(x)


@intrinsic
def _fma_instruction(typing_context, a, b, c):
    def codegen(context, builder, signature, arguments):
        return builder.fma(*arguments)

    if isinstance(a, types.Float) and a == b == c:
        return Signature(a, (a, b, c), None), codegen
    return None


@overload(primitives.fma)
def _fma(a, b, c):
    return lambda a, b, c: _fma_instruction(a, b, c)


@overload(primitives.exp)
def _exp(x):
    return lambda x: math.exp(x)


@overload(primitives.exp_nonpositive)
def _exp_nonpositive(x):
    return lambda x: math.exp(x)


@overload(primitives.expm1)
def _expm1(x):
    return lambda x: math.expm1(x)


@overload(primitives.log)
def _log(x):
    return lambda x: math.log(x)


@overload(primitives.log1p)
def _log1p(x):
    return lambda x: math.log1p(x)


@overload(primitives.tanh)
def _tanh(x):
    return lambda x: math.tanh(x)


@overload(primitives.erfc)
def _erfc(x):
    return lambda x: math.erfc(x)
