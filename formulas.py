"""Formulas of a number: in plain Python, and in functions that Numba compiles, with nothing else to import.

They can be called inside ``numba.njit``, ``numba.vectorize`` and ``numba.cuda.jit``, as a user's own functions can:

>>> import numba
>>> import numpy as np
>>> from softgrad.formulas import exp, sigmoid, where
>>> @numba.njit
... def gated(x, gate, out):
...     for i in range(x.size):
...         out[i] = where(gate[i] > -20, x[i] * sigmoid(gate[i]), 0.0)
>>> out = np.empty(2, np.float32)
>>> gated(np.float32([1, 2]), np.float32([0, -30]), out)
>>> out
array([0.5, 0. ], dtype=float32)
>>> print(sigmoid(0), exp(1))
0.5 2.718281828459045

They have no branches and call no library. LLVM makes SIMD code of such a loop (but for `erfc` in float64), where one
that calls ``math.exp`` takes the numbers one by one, and NVVM code without float64 of one in float32. Their bits do not
depend on the options of the function that calls them: ``fastmath`` and checks for a division by 0 end where they begin.

float32 numbers give float32 numbers, whatever the type of parameters such as ``negative_slope``; what is no float
counts as float64. Where two numbers count alike, as in ``where`` and ``maximum``, the result has the wider type: to
Numba ``0.0`` is a float64, and ``x * 0`` or ``np.float32(0)`` is none.

The largest errors, in ULP of the exact value, over all float32 numbers and samples of float64; infinities, NaN, signs
of 0 and subnormal numbers included:

| | ULP |
| --- | ---: |
| ``fabs`` ``copysign`` ``where`` ``minimum`` ``maximum`` | 0 |
| ``sqrt`` ``fma`` | 0.5 |
| ``exp`` ``exp2`` | 0.8 |
| ``log`` ``log1p`` | 1.0 |
| ``log2`` | 1.1 |
| ``expm1`` | 1.2 |
| ``rsqrt`` ``erfc`` | 1.5 |
| ``erf`` ``tanh`` | 1.6 |

Activations are within 4, most within 2; bench/results/accuracy.md has each. ``NAME_backward(grad, saved, ...)`` is the
gradient through an activation, of its input or its output: `softgrad.ops.ACTIVATIONS` says which. Elementwise losses
take a prediction and a target, and have ``NAME_gradient``. Of whole arrays `softgrad.ops` has the same functions.
"""

from __future__ import annotations

import softgrad.kernels.simd.primitives  # noqa: F401  (what they are compiled as)
from softgrad.kernels.formulas.activations import (
    celu,
    celu_backward,
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    gelu_tanh,
    gelu_tanh_backward,
    hardsigmoid,
    hardsigmoid_backward,
    hardswish,
    hardswish_backward,
    hardtanh,
    hardtanh_backward,
    heaviside,
    identity,
    identity_backward,
    leaky_relu,
    leaky_relu_backward,
    log_sigmoid,
    log_sigmoid_backward,
    mish,
    mish_backward,
    relu,
    relu6,
    relu6_backward,
    relu_backward,
    selu,
    selu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softplus,
    softplus_backward,
    softsign,
    softsign_backward,
    tanh,
    tanh_backward,
)
from softgrad.kernels.formulas.elementwise_losses import (
    hinge_loss,
    hinge_loss_gradient,
    huber_loss,
    huber_loss_gradient,
    l2_loss,
    l2_loss_gradient,
    sigmoid_cross_entropy,
    sigmoid_cross_entropy_gradient,
    squared_error,
    squared_error_gradient,
)
from softgrad.kernels.formulas.pieces import maximum, minimum
from softgrad.kernels.formulas.primitives import (
    copysign,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    fabs,
    fma,
    log,
    log1p,
    log2,
    rsqrt,
    sqrt,
    where,
)

__all__ = [
    "celu",
    "celu_backward",
    "copysign",
    "elu",
    "elu_backward",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fma",
    "gelu",
    "gelu_backward",
    "gelu_tanh",
    "gelu_tanh_backward",
    "hardsigmoid",
    "hardsigmoid_backward",
    "hardswish",
    "hardswish_backward",
    "hardtanh",
    "hardtanh_backward",
    "heaviside",
    "hinge_loss",
    "hinge_loss_gradient",
    "huber_loss",
    "huber_loss_gradient",
    "identity",
    "identity_backward",
    "l2_loss",
    "l2_loss_gradient",
    "leaky_relu",
    "leaky_relu_backward",
    "log",
    "log1p",
    "log2",
    "log_sigmoid",
    "log_sigmoid_backward",
    "maximum",
    "minimum",
    "mish",
    "mish_backward",
    "relu",
    "relu6",
    "relu6_backward",
    "relu_backward",
    "rsqrt",
    "selu",
    "selu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_cross_entropy_gradient",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "softsign",
    "softsign_backward",
    "sqrt",
    "squared_error",
    "squared_error_gradient",
    "tanh",
    "tanh_backward",
    "where",
]
