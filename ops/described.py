"""Names, signatures and docstrings of the public functions that are made from rows, as of functions written out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from softgrad.kernels.formulas.registry import Activation, ElementwiseLoss

Function = Callable[..., Any]

# What a type checker is told of options; of the others, what their defaults say.
ANNOTATIONS = {"reduction": "str", "validate": "bool"}


def described_activation(op: Function, row: Activation) -> Function:
    """The function as that of x."""
    doc = ACTIVATION_DOC.format(name=row.name, formula=row.formula, parameters=_parameters(row.parameters))
    return _described(op, row.name, doc, ("x",), {"out": None, **row.parameters})


def described_backward(op: Function, row: Activation) -> Function:
    """The function as that of the gradient and what is saved."""
    saved, saved_is = ("x", "The input x") if row.saved == "input" else ("y", f"The output y = {row.name}(x)")
    doc = ACTIVATION_BACKWARD_DOC.format(
        forward=row.name,
        derivative=row.derivative,
        parameters=_parameters(row.parameters),
        saved=saved,
        saved_is=saved_is,
        no_backward="" if row.backward else ";\n    always, since there is no useful derivative",
    )
    return _described(op, f"{row.name}_backward", doc, ("grad", saved), {"out": None, **row.parameters})


def described_loss(op: Function, row: ElementwiseLoss) -> Function:
    """The function as that of the predictions and targets."""
    problems = (f", targets do not {row.targets.words}" if row.targets else "") + (
        ", a weight or a parameter is outside its range" if row.defaults else ""
    )
    weights = "".join(WEIGHT_DOC.format(name=weight, predictions=row.predictions) for weight in row.weights)
    doc = LOSS_DOC.format(
        name=row.name,
        predictions=row.predictions,
        formula=row.formula,
        source=row.source,
        targets=f" They must {row.targets.words}." if row.targets else "",
        options=weights + _parameters(row.parameters),
        validate=VALIDATE_DOC if row.targets else "",
        problems=problems,
        loss=float(row.forward(*_example(row))),
    )
    return _described(op, row.name, doc, (row.predictions, "targets"), _loss_options(row))


def described_loss_with_grad(op: Function, row: ElementwiseLoss) -> Function:
    """The function as that of the same, which gives the gradient too."""
    assert row.gradient is not None
    doc = LOSS_WITH_GRAD_DOC.format(
        name=row.name,
        predictions=row.predictions,
        derivative=row.derivative,
        grad=repr(np.full(2, row.gradient(*_example(row))) / 2),
    )
    return _described(
        op, f"{row.name}_with_grad", doc, (row.predictions, "targets"), {**_loss_options(row), "out": None}
    )


def _described(op: Function, name: str, doc: str, arrays: tuple[str, ...], options: Mapping[str, Any]) -> Function:
    """Give the function a name, a docstring and a signature, of arrays by position and options by keyword."""
    op.__name__ = op.__qualname__ = name
    op.__module__, op.__doc__ = "softgrad.ops", doc
    plain = inspect.Parameter.empty
    op.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(array, inspect.Parameter.POSITIONAL_ONLY) for array in arrays]
        + [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=ANNOTATIONS.get(option, plain)
            )
            for option, value in options.items()
        ]
    )
    return op


def _parameters(parameters: Mapping[str, float]) -> str:
    return "".join(PARAMETER_DOC.format(name=name, default=value) for name, value in parameters.items())


def _loss_options(row: ElementwiseLoss) -> dict[str, Any]:
    options: dict[str, Any] = {**dict.fromkeys(row.weights), **row.parameters, "reduction": "mean"}
    return options | {"validate": True} if row.targets else options


def _example(row: ElementwiseLoss) -> list[Any]:
    """The numbers of the docstrings' example, as the formulas take them: x, t, the weights and parameters."""
    return [np.float64(value) for value in (0.0, 1.0, *row.defaults)]


ACTIVATION_DOC = """{name}(x) = {formula}, element by element.

Parameters
----------
x : array_like
    Any shape and strides. Floats keep their dtype (16-bit ones are computed in float32);
    integers and booleans become float64.
out : ndarray, optional
    Where to write, of x's shape and the result's dtype; may be x itself.
{parameters}
Returns
-------
ndarray or floating
    Of x's shape, living where x lives; of a number a number.

Raises
------
TypeError
    If x is complex or holds no numbers, or `out` is of another dtype or on another device.
ValueError
    If `out` is of another shape or read-only, or a parameter is outside its range.

Notes
-----
The definition and defaults are those of ``torch.nn.functional``. NaN is kept.
"""

ACTIVATION_BACKWARD_DOC = """The gradient through {forward}: grad * ({derivative}), element by element.

Parameters
----------
grad : array_like
    The gradient of the loss with respect to {forward}(x).
{saved} : array_like
    {saved_is}, of grad's shape and dtype.
out : ndarray, optional
    Where to write, of grad's shape and dtype; may be `grad` or `{saved}` itself.
{parameters}
Returns
-------
ndarray or floating
    The gradient with respect to x; of numbers a number.

Raises
------
TypeError
    If an argument is complex or holds no numbers, or the dtypes or devices differ.
ValueError
    If the shapes differ, `out` is read-only, a parameter is outside its range{no_backward}.
"""

LOSS_DOC = """{formula}, of each element x of the {predictions} and its target t, averaged or summed.

Parameters
----------
{predictions} : array_like
    Any shape and strides. Floats keep their dtype (16-bit ones are computed in float32); integers and booleans
    become float64.
targets : array_like
    Of that shape and any real dtype; converted to the dtype computed in.{targets}
{options}reduction : {{"mean", "sum", "none"}}, default "mean"
    Over all elements, whatever their weights; sums accumulate in float64. The mean of nothing is 0.
{validate}
Returns
-------
floating or ndarray
    A number of the {predictions}' dtype, float32 of 16-bit ones; of CuPy arrays an array without axes on their GPU;
    with "none" an array of the {predictions}' shape.

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

LOSS_WITH_GRAD_DOC = """The loss of `{name}` and its gradient, from one pass: {derivative}, and of a mean its Nth part.

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

WEIGHT_DOC = """{name} : float or array_like, optional
    The {name} of the formula, finite and not below 0; by default 1. An array must broadcast to the {predictions}'
    shape, and is copied where it has to. What has weight 0 contributes 0, even if it is infinite.
"""

PARAMETER_DOC = """{name} : float, default {default:g}
    The {name} of the formula.
"""

VALIDATE_DOC = """validate : bool, default True
    Check what arrays hold first. Without the check the formula is applied to whatever that is.
"""
