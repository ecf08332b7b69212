"""The affine map x @ w + b with its activation, and back. The matrix products are BLAS's; the rest is one pass."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softgrad.ops import half_linear
from softgrad.ops.arguments import check_dtype, check_shape, contiguous, float_array
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.dtypes import compute_dtype, is_half
from softgrad.ops.lookup import IDENTITY, check_differentiable, find_activation, parameter_values
from softgrad.ops.ready import all_disjoint, has_form, is_like, ready_backend
from softgrad.ops.results import Result, check_disjoint, overlaps


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
        Shape (..., inputs). 16-bit floats are computed in float32, but on a GPU their products are rounded, too;
        integers and booleans become float64.
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
        If the shapes do not fit, there is no such activation, or `out` or `preactivation` is read-only, or
        the two share memory.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.linear([[1.0, 2.0]], [[1.0, -1.0], [1.0, -1.0]], [0.5, 0.5], activation="relu")
    array([[3.5, 0. ]])
    """
    backend = ready_backend(x)
    if (
        backend is not None
        and ready_backend(w) is backend
        and x.dtype == w.dtype
        and x.ndim == w.ndim == 2
        and x.shape[1] == w.shape[0]
        and (b is None or has_form(backend, b, w.shape[1:], x.dtype))
        and (out is None or has_form(backend, out, (len(x), w.shape[1]), x.dtype))
        and (preactivation is None or has_form(backend, preactivation, (len(x), w.shape[1]), x.dtype))
        and all_disjoint(backend, (out, preactivation), (x, w, b))
    ):
        row = find_activation(activation)
        values = parameter_values(row, parameters, x.dtype)
        product = matmul(backend, x, w, out)
        if b is not None or preactivation is not None or row is not IDENTITY:
            bias = backend.xp.zeros(w.shape[1], x.dtype) if b is None else b
            backend.kernels.bias_activation_forward(row, product, bias, values, preactivation, product)
        return product

    backend = backend_of(x=x, w=w, b=b, preactivation=preactivation, out=out)
    row = find_activation(activation)
    x = float_array(backend, x, "x")
    w = matching(backend, w, "w", x)
    inputs, outputs = weight_shape(w)
    if x.ndim == 0 or x.shape[-1] != inputs:
        raise ValueError(f"x must have shape (..., {inputs}) to fit w of shape {w.shape}; got shape {x.shape}")
    if b is not None:
        b = matching(backend, b, "b", x)
        check_shape(b, (outputs,), "b", f"to fit w of shape {w.shape}")
    shape = (*x.shape[:-1], outputs)
    dtype = x.dtype
    values = parameter_values(row, parameters, compute_dtype(dtype))

    rows = math.prod(shape[:-1])
    matrix = x.reshape(rows, inputs)
    bias = contiguous(backend, backend.xp.zeros(outputs, dtype) if b is None else b, dtype)

    reads = matrix, w, bias
    result = Result(backend, out, shape, dtype, reads, in_place=False)
    kept = None
    if preactivation is not None:
        kept = Result(backend, preactivation, shape, dtype, reads, in_place=False, name="preactivation")
        check_disjoint(backend, (result, kept), "pass two arrays")
    written = result.target.reshape(rows, outputs)
    kept_written = None if kept is None else kept.target.reshape(rows, outputs)
    if backend is CPU and is_half(dtype):
        with np.errstate(all="ignore"):
            half_linear.forward(row, matrix, w, bias, values, kept_written, written)
    else:
        matmul(backend, matrix, w, result.array.reshape(rows, outputs))
        if b is not None or row is not IDENTITY or kept is not None:
            backend.kernels.bias_activation_forward(row, written, bias, values, kept_written, written)
    if kept is not None:
        kept.returned()
    return result.returned()


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
        Allow dz to be computed in grad's own memory, which saves a buffer; it is left alone where `saved`, x or w lie
        in it too.
    out : tuple of three ndarrays or None, optional
        Where to write each result, apart from the others; None in a place allocates that one.

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
        If the shapes do not fit, there is no such activation or it has no backward, or an `out` is read-only or
        shares memory with another.
    """
    if out is not None and not (isinstance(out, tuple | list) and len(out) == 3):
        raise TypeError(f"out must be a tuple of three arrays or None; got {type(out).__name__}")
    out_x, out_w, out_b = (None, None, None) if out is None else out
    out_x = out_x if input_grad else None
    backend = ready_backend(grad)
    if (
        backend is not None
        and ready_backend(x) is ready_backend(w) is backend
        and grad.dtype == x.dtype == w.dtype
        and grad.ndim == x.ndim == 2
        and len(grad) == len(x)
        and w.shape == (x.shape[1], grad.shape[1])
        and ((saved is None and activation is None) or is_like(backend, saved, grad))
        and (out_x is None or is_like(backend, out_x, x))
        and (out_w is None or is_like(backend, out_w, w))
        and (out_b is None or has_form(backend, out_b, w.shape[1:], w.dtype))
        and all_disjoint(backend, (out_x, out_w, out_b), (grad, saved, x, w))
    ):
        row = find_activation(activation)
        check_differentiable(row)
        values = parameter_values(row, parameters, grad.dtype)
        xp = backend.xp
        own = overwrite_grad and all_disjoint(backend, (grad,), (None if saved is grad else saved, x, w))
        dz = grad if own else xp.empty_like(grad)
        db = xp.empty(w.shape[1], w.dtype) if out_b is None else out_b
        backend.kernels.bias_activation_backward(row, grad, grad if saved is None else saved, values, dz, db)
        dw = matmul(backend, x.T, dz, out_w)
        return matmul(backend, dz, w.T, out_x) if input_grad else None, dw, db

    backend = backend_of(grad=grad, saved=saved, x=x, w=w, out_x=out_x, out_w=out_w, out_b=out_b)
    row = find_activation(activation)
    check_differentiable(row)
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
    dtype = grad.dtype
    values = parameter_values(row, parameters, compute_dtype(dtype))

    rows = math.prod(x.shape[:-1])
    clean_grad = contiguous(backend, grad, dtype).reshape(rows, outputs)
    clean_saved = contiguous(backend, saved, dtype).reshape(rows, outputs)
    matrix = x.reshape(rows, inputs)
    own = (
        overwrite_grad
        and getattr(grad.flags, "writeable", True)
        and not overlaps(clean_grad, clean_saved, in_place=True)
        and not any(overlaps(clean_grad, array, in_place=False) for array in (matrix, w))
    )

    # All are computed before the first is returned, since it may lie over an argument that another needs.
    reads = (clean_grad, clean_saved, matrix, w)
    of_x = Result(backend, out_x, x.shape, grad.dtype, reads, in_place=False, name="out[0]") if input_grad else None
    of_w = Result(backend, out_w, w.shape, grad.dtype, reads, in_place=False, name="out[1]")
    of_b = Result(backend, out_b, (outputs,), grad.dtype, reads, in_place=False, name="out[2]")
    check_disjoint(backend, (of_w, of_b) if of_x is None else (of_x, of_w, of_b), "pass arrays of their own")
    of_matrix = None if of_x is None else of_x.array.reshape(rows, inputs)
    if backend is CPU and is_half(dtype):
        with np.errstate(all="ignore"):
            half_linear.backward(row, clean_grad, clean_saved, matrix, w, values, of_matrix, of_w.array, of_b.array)
    else:
        dz = clean_grad.view(dtype) if own else backend.xp.empty(clean_grad.shape, dtype)
        backend.kernels.bias_activation_backward(row, clean_grad, clean_saved, values, backend.bits(dz), of_b.target)
        matmul(backend, matrix.T, dz, of_w.array)
        if of_matrix is not None:
            matmul(backend, dz, w.T, of_matrix)
    return None if of_x is None else of_x.returned(), of_w.returned(), of_b.returned()


def matching(backend: Backend, value: Any, name: str, other: Any, other_name: str = "x") -> Any:
    array = float_array(backend, value, name)
    check_dtype(array, other.dtype, name, f"as {other_name} is")
    return array


def weight_shape(w: Any) -> tuple[int, int]:
    if w.ndim != 2:
        raise ValueError(f"w must have shape (inputs, outputs); got shape {w.shape}")
    inputs, outputs = w.shape
    return inputs, outputs


def matmul(backend: Backend, a: Any, b: Any, out: Any) -> Any:
    """a @ b, in `out` unless that is None."""
    if backend is not CPU:
        return backend.xp.matmul(a, b, out=out)
    with np.errstate(all="ignore"):  # infinities and NaN are the caller's own and go where they must, silently
        return np.matmul(a, b, out=out)
