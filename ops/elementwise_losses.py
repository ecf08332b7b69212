"""Losses that compare two arrays element by element, two public functions for each row of the formula table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from softgrad.kernels.formulas.elementwise_loss_table import (
    ELEMENTWISE_LOSSES,
    WEIGHTS,
    Condition,
    ElementwiseLoss,
)
from softgrad.ops.activations import parameter_values
from softgrad.ops.arguments import (
    as_array,
    check_number,
    check_shape,
    compute_dtype,
    contiguous,
    fits,
    float_array,
    is_ready,
    place_of,
    unboxed,
)
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.reductions import check_reduction, losses_buffer, reduced
from softgrad.ops.results import Result


def _forward(row: ElementwiseLoss) -> Callable[..., Any]:
    def op(x: Any, targets: Any, /, *, reduction: str = "mean", **options: Any) -> Any:
        check_reduction(reduction)
        backend, x, targets, operands, dtype = _prepared(row, x, targets, options, None)
        losses = losses_buffer(backend, x.shape, x.dtype, reduction)
        kernel = backend.kernels.elementwise_loss_forward(row)
        total = kernel(x, targets, operands, losses) if x.size else 0.0
        return reduced(total, losses, dtype, reduction, x.size)

    _describe(op, row.name, row, _FORWARD_DOC)
    return op


def _with_grad(row: ElementwiseLoss) -> Callable[..., Any]:
    def op(x: Any, targets: Any, /, *, reduction: str = "mean", out: Any = None, **options: Any) -> tuple[Any, Any]:
        check_reduction(reduction)
        backend, x, targets, operands, dtype = _prepared(row, x, targets, options, out)
        losses = losses_buffer(backend, x.shape, x.dtype, reduction)
        scale = 1.0 / x.size if reduction == "mean" and x.size else 1.0
        kernel = backend.kernels.elementwise_loss_with_grad(row)
        reads = (x, targets, *(operand for operand in operands if not isinstance(operand, float)))
        grad = Result(backend, out, x.shape, dtype, reads)
        total: Any = kernel(x, targets, operands, scale, losses, grad.target) if x.size else 0.0
        return reduced(total, losses, dtype, reduction, x.size), grad.returned()

    _describe(op, f"{row.name}_with_grad", row, _WITH_GRAD_DOC)
    return op


def _prepared(
    row: ElementwiseLoss, x: Any, targets: Any, options: dict[str, Any], out: Any
) -> tuple[Backend, Any, Any, tuple[Any, ...], Any]:
    """The backend, clean arrays and operands, and the dtype of the results. `options` are emptied."""
    given = targets
    validate = options.pop("validate", True) if row.targets else False
    weights = {name: options.pop(name) for name in row.weights if name in options}
    ready = is_ready(x) and fits(targets, x)
    others = weights if out is None else {"out": out, **weights}
    backend = CPU if ready and not others else backend_of(**{row.predictions: x, "targets": targets}, **others)
    if ready:
        dtype = computed = x.dtype
    else:
        x = float_array(backend, x, row.predictions)
        dtype, computed = x.dtype, compute_dtype(x.dtype)
        x = contiguous(backend, x, computed)
        targets = _real_array(backend, targets, "targets", computed)
        check_shape(targets, x.shape, "targets", f"as the {row.predictions} have")
    operands = row.defaults
    if options or weights:
        of_x = (_weight(backend, weights.get(name), name, x, row, validate) for name in row.weights)
        operands = (*of_x, *parameter_values(row, options, computed))
    if validate and row.targets:
        _check(backend, row.targets, targets, "targets", given)
    return backend, x, targets, operands, dtype


def _weight(backend: Backend, value: Any, name: str, x: Any, row: ElementwiseLoss, validate: bool) -> Any:
    """A weight as the kernels take it: a number, or an array of x's shape and dtype."""
    if value is None:
        return 1.0
    number = unboxed(value, name) if backend is CPU else value  # on a card it stays there
    if isinstance(number, Real):
        return check_number(number, name, minimum=0.0, dtype=x.dtype)
    array = _real_array(backend, value, name, x.dtype)
    if validate:
        _check(backend, WEIGHTS, array, name, value)
    try:
        whole = array if array.shape == x.shape else backend.xp.broadcast_to(array, x.shape)
        return contiguous(backend, whole, x.dtype).reshape(-1)
    except ValueError:
        raise ValueError(
            f"{name} must be a number, or broadcast to the {row.predictions}' shape {x.shape}; got shape {array.shape}"
        ) from None


def _real_array(backend: Backend, value: Any, name: str, dtype: Any) -> Any:
    """Real numbers of any dtype as a clean array of the kernels' dtype; what overflows that becomes infinity."""
    array = as_array(backend, value, name)
    if array.dtype.kind not in "iub":
        array = float_array(backend, array, name)
    return contiguous(backend, array, dtype)


def _check(backend: Backend, condition: Condition, array: Any, name: str, given: Any) -> None:
    """Raise ValueError unless all elements fulfil the condition, naming the first that does not as it was `given`."""
    position = backend.kernels.first_failing(condition.holds, array)
    if position >= 0:
        index = place_of(position, array.shape)
        found = as_array(backend, given, name)[index]
        place = f" at index {index[0] if len(index) == 1 else index}" if index else ""
        raise ValueError(f"{name} must {condition.words}; found {found}{place}")


_FORWARD_DOC = """{formula}, of each element x of the {predictions} and its target t, averaged or summed.

Parameters
----------
{predictions} : array_like
    Any shape and strides. Floats keep their dtype (float16 is computed in float32); integers and booleans
    become float64.
targets : array_like
    Of that shape and any real dtype; converted to the dtype computed in.{targets}
{options}reduction : {{"mean", "sum", "none"}}, default "mean"
    Over all elements, whatever their weights; sums accumulate in float64. The mean of nothing is 0.
{validate}
Returns
-------
floating or ndarray
    A number of the {predictions}' dtype, of CuPy arrays an array without axes on their card; with "none" an array
    of the {predictions}' shape.

Raises
------
TypeError
    If an argument is complex or holds no numbers, or they are on different devices.
ValueError
    If the shapes differ{problems}.

Notes
-----
The definition is that of {source}. NaN is kept.

Examples
--------
>>> from softgrad import ops
>>> float(ops.{name}([0.0, 0.0], [1, 1]))
{loss}
"""

_WITH_GRAD_DOC = """The loss of `{name}` and its gradient, from one pass: {derivative}, and of a mean its Nth part.

Parameters, the loss and errors are those of `{name}`.

Parameters
----------
out : ndarray, optional
    Where to write the gradient, of the {predictions}' shape and the result's dtype; may be the {predictions}
    themselves. It is untouched if an error is raised.

Returns
-------
loss : floating or ndarray
    As from `{name}`.
grad : ndarray
    With respect to the {predictions}, of their shape; with "none" an element is the derivative of its own loss.

Examples
--------
>>> from softgrad import ops
>>> loss, grad = ops.{name}_with_grad([0.0, 0.0], [1, 1])
>>> grad
{grad}
"""

_WEIGHT_DOC = """{name} : float or array_like, optional
    The {name} of the formula, finite and not below 0; by default 1. An array must broadcast to the {predictions}'
    shape, and is copied where it has to. What has weight 0 contributes 0, even if it is infinite.
"""

_PARAMETER_DOC = """{name} : float, default {default:g}
    The {name} of the formula.
"""

_VALIDATE_DOC = """validate : bool, default True
    Check what arrays hold first. Without the check the formula is applied to whatever that is.
"""


# What a type checker is told of options; of the others, what their defaults say.
_TYPES = {"reduction": "str", "validate": "bool"}


def _describe(op: Callable[..., Any], name: str, row: ElementwiseLoss, doc: str) -> None:
    """Give a generated function the name, signature and docstring of one written out."""
    op.__name__ = op.__qualname__ = name
    op.__module__ = "softgrad.ops"
    options: dict[str, Any] = {**dict.fromkeys(row.weights), **row.parameters, "reduction": "mean"}
    options |= {"validate": True} if row.targets else {}
    options |= {"out": None} if doc is _WITH_GRAD_DOC else {}
    op.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(array, inspect.Parameter.POSITIONAL_ONLY) for array in (row.predictions, "targets")]
        + [
            inspect.Parameter(
                option,
                inspect.Parameter.KEYWORD_ONLY,
                default=options[option],
                annotation=_TYPES.get(option, inspect.Parameter.empty),
            )
            for option in options
        ]
    )
    numbers = [np.float64(value) for value in (0.0, 1.0, *row.defaults)]
    weights = "".join(_WEIGHT_DOC.format(name=weight, predictions=row.predictions) for weight in row.weights)
    parameters = "".join(_PARAMETER_DOC.format(name=key, default=value) for key, value in row.parameters.items())
    problems = (f", targets do not {row.targets.words}" if row.targets else "") + (
        ", a weight or a parameter is outside its range" if row.defaults else ""
    )
    op.__doc__ = doc.format(
        name=row.name,
        predictions=row.predictions,
        formula=row.formula,
        derivative=row.derivative,
        source=row.source,
        targets=f" They must {row.targets.words}." if row.targets else "",
        options=weights + parameters,
        validate=_VALIDATE_DOC if row.targets else "",
        problems=problems,
        loss=float(row.forward(*numbers)),
        grad=repr(np.full(2, row.gradient(*numbers)) / 2),
    )


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for _row in ELEMENTWISE_LOSSES.values():
    FUNCTIONS[_row.name] = _forward(_row)
    FUNCTIONS[f"{_row.name}_with_grad"] = _with_grad(_row)
