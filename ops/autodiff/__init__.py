"""Reverse-mode automatic differentiation: the gradient of any function written with these operations.

>>> from softgrad.ops import autodiff
>>> f = lambda x, y: x**2 * y + y
>>> [float(slope) for slope in autodiff.grad(f, argnums=(0, 1))(1.0, 1.0)]
[2.0, 2.0]

`value_and_grad` and `grad` make functions of functions; a `Variable` is what those compute with, and `gradients` goes
back from one to others. Besides arithmetic there are NumPy's `abs`, `exp`, `expm1`, `log`, `log1p`, `sqrt`, `sin`,
`cos`, `maximum`, `minimum`, `clip`, `where`, `sum`, `mean`, `max`, `min`, `reshape`, `transpose`, `concatenate`,
`stack` and `getitem`; and under their own names the activations, softmax family, losses, information measures and
`linear` of `ops`, whose gradients are `ops`' own backwards where there are such. All take plain arrays as well.

What a choice did not take - the other side of a `where`, the smaller of a `maximum`, what an index leaves out - does
not count in the gradient, even if its slope is infinite or NaN.

`graph` has the nodes and the way back, `elementwise` arithmetic and functions of each element, `arrays` products,
reductions and shapes, `variable` the class with its operators, `operations` and `information` the functions of `ops`,
`derivatives` what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softgrad.ops.autodiff.arrays import (
    concatenate,
    getitem,
    max,  # noqa: A004
    mean,
    min,  # noqa: A004
    reshape,
    stack,
    sum,  # noqa: A004
    transpose,
)
from softgrad.ops.autodiff.derivatives import grad, gradients, value_and_grad
from softgrad.ops.autodiff.elementwise import (
    abs,  # noqa: A004
    clip,
    cos,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    sin,
    sqrt,
    where,
)
from softgrad.ops.autodiff.information import (
    cross_entropy,
    entropy,
    kl_divergence,
    perplexity,
    self_information,
)
from softgrad.ops.autodiff.operations import FUNCTIONS as _FUNCTIONS
from softgrad.ops.autodiff.operations import linear, linear_cross_entropy, logsumexp
from softgrad.ops.autodiff.variable import Variable

globals().update(_FUNCTIONS)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...  # the functions that come from tables


__all__ = [
    "Variable",
    "abs",
    "clip",
    "concatenate",
    "cos",
    "cross_entropy",
    "entropy",
    "exp",
    "expm1",
    "getitem",
    "grad",
    "gradients",
    "kl_divergence",
    "linear",
    "linear_cross_entropy",
    "log",
    "log1p",
    "logsumexp",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "perplexity",
    "reshape",
    "self_information",
    "sin",
    "sqrt",
    "stack",
    "sum",
    "transpose",
    "value_and_grad",
    "where",
    *_FUNCTIONS,
]
