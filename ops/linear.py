"""The affine map x @ w + b with its activation, and back. The matrix products are BLAS's; the rest is one pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softgrad.kernels.formulas.activation_table import ACTIVATIONS
from softgrad.ops.activations import find_activation, no_backward, parameter_values
from softgrad.ops.arguments import (
    check_dtype,
    check_out,
    check_shape,
    compute_dtype,
    contiguous,
    float_array,
    into,
)
from softgrad.ops.backend import Backend, backend_of

IDENTITY = ACTIVATIONS["identity"]


def linear(
    x: Any,
    w: Any,
    b: Any = None,
    /,
    *,
    activation: str | None = None,
    preactivation: Any = None,
    out: Any = None,
    **parameters: Any,
) -> Any:
    """f(x @ w + b), with bias and activation applied in one pass after the matrix product.

    Parameters
    ----------
    x : array_like
        Shape (..., inputs). float16 is computed in float32; integers and booleans become float64.
    w : array_like
        Shape (inputs, outputs), of x's dtype.
    b : array_like, optional
        Shape (outputs,), of x's dtype.
    activation : str, optional
        One of `ops.ACTIVATIONS`; its parameters may follow by name.
    preactivation : ndarray, optional
        Where to keep x @ w + b, of the result's shape and dtype: what `linear_backward` needs of an activation
        whose backward takes its input (`ops.ACTIVATIONS[activation].saved == "input"`).
    out : ndarray, optional
        Where to write, of the result's shape and dtype.

    Returns
    -------
    ndarray
        Shape (..., outputs).

    Raises
    ------
    TypeError
        If an argument holds no real numbers, or dtypes or devices differ.
    ValueError
        If the shapes do not fit, there is no such activation, or `out` or `preactivation` is read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.linear([[1.0, 2.0]], [[1.0, -1.0], [1.0, -1.0]], [0.5, 0.5], activation="relu")
    array([[3.5, 0. ]])
    """
    backend = backend_of(x=x, w=w, b=b, preactivation=preactivation, out=out)
    row = IDENTITY if activation is None else find_activation(activation)
    x = float_array(backend, x, "x")
    w = matching(backend, w, "w", x)
    inputs, outputs = weight_shape(w)
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"x must have shape (..., {inputs}) to fit w of shape {w.shape}; got shape {x.shape}")
    if b is not None:
        b = matching(backend, b, "b", x)
        check_shape(b, (outputs,), "b", f"to fit w of shape {w.shape}")
    shape = (*x.shape[:-1], outputs)
    dtype = compute_dtype(x.dtype)
    values = parameter_values(row, parameters, dtype)
    if preactivation is not None:
        check_out(backend, preactivation, shape, x.dtype, "preactivation")
        if out is not None and backend.xp.may_share_memory(preactivation, out):
            raise ValueError("preactivation and out must not share memory; pass two arrays")

    rows = math.prod(shape[:-1])
    matrix = x.astype(dtype, copy=False).reshape(rows, inputs)
    weights = w.astype(dtype, copy=False)
    bias = backend.xp.zeros(outputs, dtype) if b is None else contiguous(backend, b, dtype)

    def write(target: Any) -> None:
        product = target.reshape(rows, outputs)
        matmul(backend, matrix, weights, product)

        def activate(kept: Any) -> None:
            kept = None if kept is None else kept.reshape(rows, outputs)
            backend.kernels.bias_activation_forward(row, product, bias, values, kept, product)

        if preactivation is not None:
            into(backend, preactivation, shape, x.dtype, (target,), activate, in_place=False)
        elif b is not None or row is not IDENTITY:
            activate(None)

    reads = (matrix, weights, bias) if preactivation is None else (matrix, weights, bias, preactivation)
    return into(backend, out, shape, x.dtype, reads, write, in_place=False)


def linear_backward(
    grad: Any,
    saved: Any,
    x: Any,
    w: Any,
    /,
    *,
    activation: str | None = None,
    input_grad: bool = True,
    overwrite_grad: bool = False,
    out: tuple[Any, Any, Any] | None = None,
    **parameters: Any,
) -> tuple[Any, Any, Any]:
    """The gradients through `linear`: with dz = grad * f'(saved), (dz @ w.T, x.T @ dz, sum of dz over the rows).

    The activation's derivative and the bias gradient are one pass; column sums accumulate in float64.

    Parameters
    ----------
    grad : array_like
        The gradient with respect to the output, shape (..., outputs).
    saved : array_like or None
        What the activation's backward takes (`ops.ACTIVATIONS[activation].saved`): the output of `linear`, or
        its `preactivation`. Of grad's shape and dtype; None without an activation.
    x, w : array_like
        As given to `linear`, of grad's dtype.
    activation : str, optional
        As given to `linear`; its parameters may follow by name.
    input_grad : bool, default True
        Whether the gradient with respect to x is wanted; a first layer does without.
    overwrite_grad : bool, default False
        Allow dz to be computed in grad's own memory, which saves a buffer.
    out : tuple of three ndarrays or None, optional
        Where to write each result; None in a place allocates that one.

    Returns
    -------
    dx : ndarray or None
        Shape (..., inputs); None if not `input_grad`.
    dw : ndarray
        Shape (inputs, outputs).
    db : ndarray
        Shape (outputs,).

    Raises
    ------
    TypeError
        If an argument holds no real numbers, or dtypes or devices differ.
    ValueError
        If the shapes do not fit, there is no such activation or it has no backward, or an `out` is read-only.
    """
    out_x, out_w, out_b = (None, None, None) if out is None else out
    out_x = out_x if input_grad else None
    backend = backend_of(grad=grad, saved=saved, x=x, w=w, out_x=out_x, out_w=out_w, out_b=out_b)
    row = IDENTITY if activation is None else find_activation(activation)
    if row.backward is None:
        raise no_backward(row)
    grad = float_array(backend, grad, "grad")
    x = matching(backend, x, "x", grad, "grad")
    w = matching(backend, w, "w", grad, "grad")
    inputs, outputs = weight_shape(w)
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"x must have shape (..., {inputs}) to fit w of shape {w.shape}; got shape {x.shape}")
    check_shape(grad, (*x.shape[:-1], outputs), "grad", "the shape of linear(x, w)")
    if saved is None:
        if activation is not None:
            raise ValueError(f"saved must be the {row.saved} of {activation}, which its backward needs; got None")
        saved = grad
    saved = matching(backend, saved, "saved", grad, "grad")
    check_shape(saved, grad.shape, "saved", "as grad has")
    dtype = compute_dtype(grad.dtype)
    values = parameter_values(row, parameters, dtype)
    for array, shape, name in (
        (out_x, x.shape, "out[0]"),
        (out_w, w.shape, "out[1]"),
        (out_b, (outputs,), "out[2]"),
    ):
        if array is not None:
            check_out(backend, array, shape, grad.dtype, name)

    rows = math.prod(x.shape[:-1])
    clean_grad = contiguous(backend, grad, dtype).reshape(rows, outputs)
    clean_saved = contiguous(backend, saved, dtype).reshape(rows, outputs)
    matrix = x.astype(dtype, copy=False).reshape(rows, inputs)
    weights = w.astype(dtype, copy=False)
    own = overwrite_grad and getattr(clean_grad.flags, "writeable", True)
    grad_product = clean_grad if own else backend.xp.empty_like(clean_grad)

    def write_bias(target: Any) -> None:
        backend.kernels.bias_activation_backward(row, clean_grad, clean_saved, values, grad_product, target)

    # A result may be written over an argument that another result still needs: all are computed first.
    reads = (clean_grad, clean_saved, matrix, weights, grad_product)
    wanted: tuple[Any, Any, Any] = (out_x, out_w, out_b)
    targets = [None if _collides(backend, array, reads) else array for array in wanted]

    db = into(backend, targets[2], (outputs,), grad.dtype, (), write_bias)
    dw = into(
        backend, targets[1], w.shape, grad.dtype, (), lambda target: matmul(backend, matrix.T, grad_product, target)
    )
    dx = None
    if input_grad:

        def write_input(target: Any) -> None:
            matmul(backend, grad_product, weights.T, target.reshape(rows, inputs))

        dx = into(backend, targets[0], x.shape, grad.dtype, (), write_input)
    for i, result in enumerate((dx, dw, db)):
        if result is not None and wanted[i] is not None and targets[i] is None:
            wanted[i][...] = result
    return (
        dx if out_x is None else out_x,
        dw if out_w is None else out_w,
        db if out_b is None else out_b,
    )


def _collides(backend: Backend, array: Any, reads: tuple[Any, ...]) -> bool:
    return array is not None and any(backend.xp.may_share_memory(array, read) for read in reads)


def matching(backend: Backend, value: Any, name: str, other: Any, other_name: str = "x") -> Any:
    array = float_array(backend, value, name)
    check_dtype(array, other.dtype, name, f"as {other_name} is")
    return array


def weight_shape(w: Any) -> tuple[int, int]:
    if w.ndim != 2:
        raise ValueError(f"w must have shape (inputs, outputs); got shape {w.shape}")
    inputs, outputs = w.shape
    return inputs, outputs


def matmul(backend: Backend, a: Any, b: Any, out: Any) -> None:
    with np.errstate(all="ignore"):  # infinities and NaN are the caller's own and go where they must, silently
        backend.xp.matmul(a, b, out=out)
