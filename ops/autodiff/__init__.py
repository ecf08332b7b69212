"""Reverse-mode automatic differentiation: the gradient of any function written with these operations.

>>> from softgrad.ops import autodiff
>>> f = lambda x, y: x**2 * y + y
>>> [float(slope) for slope in autodiff.grad(f, argnums=(0, 1))(1.0, 1.0)]
[2.0, 2.0]

`value_and_grad` and `grad` make functions of functions; a `Variable` is what those compute with, and `gradients` goes
back from one to others. Besides arithmetic there are NumPy's `exp`, `log`, `sqrt`, `maximum`, `where`, `sum`, `mean`,
`max`, `reshape`, `transpose`, `concatenate` and `getitem`; and under their own names the activations, softmax family,
losses and `linear` of `ops`, whose gradients are `ops`' own backwards. All take plain arrays as well.

`graph` has the nodes and the way back, `arrays` arithmetic and NumPy's functions, `variable` the class with its
operators, `operations` the functions of `ops`, `derivatives` what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad.ops.autodiff.arrays import (
    concatenate,
    exp,
    getitem,
    log,
    max,  # noqa: A004
    maximum,
    mean,
    reshape,
    sqrt,
    sum,  # noqa: A004
    transpose,
    where,
)
from softgrad.ops.autodiff.derivatives import grad, gradients, value_and_grad
from softgrad.ops.autodiff.operations import FUNCTIONS as _FUNCTIONS
from softgrad.ops.autodiff.operations import linear, linear_cross_entropy, logsumexp
from softgrad.ops.autodiff.variable import Variable

globals().update(_FUNCTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # the functions that come from tables


__all__ = [
    "Variable",
    "concatenate",
    "exp",
    "getitem",
    "grad",
    "gradients",
    "linear",
    "linear_cross_entropy",
    "log",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "reshape",
    "sqrt",
    "sum",
    "transpose",
    "value_and_grad",
    "where",
    *_FUNCTIONS,
]
