"""Softmax, log-softmax, logsumexp and the two backwards, over any axis or axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from softgrad.ops.arguments import (
    alike,
    check_dtype,
    check_shape,
    compute_dtype,
    contiguous,
    float_array,
    into,
    is_ready,
    ready_out,
)
from softgrad.ops.backend import CPU, Backend, backend_of

# The defaults. An op knows by identity that an option was left alone, before it has looked at any value.
LAST = -1
ONE = 1.0

Axis = int | tuple[int, ...] | None


class Rows:
    """An array seen as a matrix: the axes that are normalised together become the columns of one row each."""

    def __init__(self, shape: tuple[int, ...], axis: Axis) -> None:
        axes = _normalised(axis, shape)
        kept = [i for i in range(len(shape)) if i not in axes]
        self.order = (*kept, *axes)
        self.moved = self.order != tuple(range(len(shape)))
        self.moved_shape = tuple(shape[i] for i in self.order)
        self.kept_shape = tuple(shape[i] for i in kept)
        self.keepdims_shape = tuple(1 if i in axes else size for i, size in enumerate(shape))
        self.matrix_shape = (math.prod(self.kept_shape), math.prod(shape[i] for i in axes))

    def matrix(self, backend: Backend, array: Any, dtype: Any) -> Any:
        """The array as a contiguous matrix of that dtype; a copy only where the memory is in another order."""
        if self.moved:
            array = array.transpose(self.order)
        return contiguous(backend, array, dtype).reshape(self.matrix_shape)

    def write(self, backend: Backend, target: Any, fill: Callable[[Any], None]) -> None:
        """Have `fill(matrix)` compute the rows of `target`, an array of the original shape."""
        if not self.moved:
            fill(target.reshape(self.matrix_shape))
            return
        matrix = backend.xp.empty(self.matrix_shape, target.dtype)
        fill(matrix)
        target.transpose(self.order)[...] = matrix.reshape(self.moved_shape)


def _normalised(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape:
        raise ValueError("x must have at least one axis to normalise over; got a single number")
    if axis is None:
        return tuple(range(len(shape)))
    try:
        return tuple(np.lib.array_utils.normalize_axis_tuple(axis, len(shape)))
    except (ValueError, TypeError) as error:
        raise type(error)(
            f"axis must be None, or different integers in [{-len(shape)}, {len(shape)}) for shape {shape}; got {axis!r}"
        ) from None


def _temperature(value: Any) -> float:
    """The temperature as a number; 0 and infinity are allowed, they are exact limits."""
    if not isinstance(value, Real):
        raise TypeError(f"temperature must be a number; got {type(value).__name__}")
    if not float(value) >= 0:
        raise ValueError(f"temperature must be 0 or above; got {value}")
    return float(value)


def _forward(kernel: str, x: Any, axis: Axis, temperature: Any, out: Any) -> Any:
    if axis is LAST and temperature is ONE and is_ready(x) and x.ndim == 2:
        target = ready_out(out, x)
        if target is not None:
            getattr(CPU.kernels, kernel)(x, temperature, target)
            return target
    backend = backend_of(x=x, out=out)
    x = float_array(backend, x, "x")
    dtype = compute_dtype(x.dtype)
    temperature = _temperature(temperature)
    rows = Rows(x.shape, axis)
    matrix = rows.matrix(backend, x, dtype)
    run = getattr(backend.kernels, kernel)

    def write(target: Any) -> None:
        if matrix.size:
            rows.write(backend, target, lambda result: run(matrix, temperature, result))

    return into(backend, out, x.shape, x.dtype, (matrix,), write)


def _backward(kernel: str, grad: Any, y: Any, axis: Axis, temperature: Any, out: Any) -> Any:
    if axis is LAST and temperature is ONE and is_ready(grad) and is_ready(y) and grad.ndim == 2:
        target = ready_out(out, grad, y) if alike(grad, y) else None
        if target is not None:
            getattr(CPU.kernels, kernel)(grad, y, temperature, target)
            return target
    backend = backend_of(grad=grad, y=y, out=out)
    grad = float_array(backend, grad, "grad")
    y = float_array(backend, y, "y")
    check_shape(grad, y.shape, "grad", "as y has")
    check_dtype(grad, y.dtype, "grad", "as y is")
    dtype = compute_dtype(grad.dtype)
    # At temperature 0 the output is constant between ties: its gradient is 0, which is the kernel's at infinity.
    temperature = _temperature(temperature) or math.inf
    rows = Rows(grad.shape, axis)
    grad_matrix, y_matrix = rows.matrix(backend, grad, dtype), rows.matrix(backend, y, dtype)
    run = getattr(backend.kernels, kernel)

    def write(target: Any) -> None:
        if grad_matrix.size:
            rows.write(backend, target, lambda result: run(grad_matrix, y_matrix, temperature, result))

    return into(backend, out, grad.shape, grad.dtype, (grad_matrix, y_matrix), write)


def softmax(x: Any, /, *, axis: Axis = LAST, temperature: float = ONE, out: Any = None) -> Any:
    """exp(x / T) / sum(exp(x / T)), the probabilities of logits x at temperature T.

    Parameters
    ----------
    x : array_like
        Logits, any shape with at least one axis, any strides. Floats keep their dtype (float16 is computed in
        float32); integers and booleans become float64.
    axis : int, tuple of int or None, default -1
        What sums to 1; None is all axes.
    temperature : float, default 1
        0 is the exact arg-max limit (ties share the mass), infinity is uniform over the logits above -inf.
    out : ndarray, optional
        Where to write, of x's shape and the result's dtype; may be x itself.

    Returns
    -------
    ndarray
        Of x's shape. A row with NaN or +inf, or with nothing but -inf, is NaN; -inf beside finite logits is 0.

    Raises
    ------
    TypeError
        If x is complex or holds no numbers, or `out` is of another dtype or on another device.
    ValueError
        If x has no axis, the axis does not exist, the temperature is negative or NaN, or `out` is of another
        shape or read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    >>> ops.softmax([[1, 2, 2]], temperature=0)
    array([[0. , 0.5, 0.5]])
    """
    return _forward("softmax_forward", x, axis, temperature, out)


def log_softmax(x: Any, /, *, axis: Axis = LAST, temperature: float = ONE, out: Any = None) -> Any:
    """x / T - log(sum(exp(x / T))), the logarithm of `softmax` without its underflow.

    Parameters, results and errors are those of `softmax`; where that is 0, this is -inf only if the logit is,
    or the temperature is 0.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.log_softmax([0.0, -1000.0])
    array([    0., -1000.])
    """
    return _forward("log_softmax_forward", x, axis, temperature, out)


def logsumexp(x: Any, /, *, axis: Axis = LAST, keepdims: bool = False, out: Any = None) -> Any:
    """log(sum(exp(x))), without overflow.

    Parameters
    ----------
    x : array_like
        Any shape with at least one axis, any strides. Floats keep their dtype (float16 is computed in float32);
        integers and booleans become float64.
    axis : int, tuple of int or None, default -1
        What is summed over; None is all axes.
    keepdims : bool, default False
        Keep the summed axes, with size 1.
    out : ndarray, optional
        Where to write, of the result's shape and dtype.

    Returns
    -------
    ndarray
        +inf where a logit is +inf, -inf where all are -inf or there is none, NaN where one is NaN.

    Raises
    ------
    TypeError
        If x is complex or holds no numbers, or `out` is of another dtype or on another device.
    ValueError
        If x has no axis, the axis does not exist, or `out` is of another shape or read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> float(ops.logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    if axis is LAST and out is None and not keepdims and is_ready(x) and x.ndim == 2 and x.shape[1]:
        sums = np.empty(x.shape[0], x.dtype)
        CPU.kernels.logsumexp_forward(x, sums)
        return sums
    backend = backend_of(x=x, out=out)
    x = float_array(backend, x, "x")
    rows = Rows(x.shape, axis)
    matrix = rows.matrix(backend, x, compute_dtype(x.dtype))

    def write(target: Any) -> None:
        if matrix.shape[1] == 0:
            target[...] = -math.inf
        elif matrix.size:
            backend.kernels.logsumexp_forward(matrix, target.reshape(-1))

    shape = rows.keepdims_shape if keepdims else rows.kept_shape
    result = into(backend, out, shape, x.dtype, (matrix,), write)
    return result[()] if out is None else result  # a sum over everything is a number, as in NumPy


def softmax_backward(grad: Any, y: Any, /, *, axis: Axis = LAST, temperature: float = ONE, out: Any = None) -> Any:
    """The gradient through `softmax`: y_j (grad_j - sum_i grad_i y_i) / T.

    Parameters
    ----------
    grad : array_like
        The gradient of the loss with respect to y.
    y : array_like
        The output y = softmax(x, axis=axis, temperature=temperature), of grad's shape and dtype.
    axis : int, tuple of int or None, default -1
        As given to `softmax`.
    temperature : float, default 1
        As given to `softmax`. At 0 and at infinity the gradient is 0.
    out : ndarray, optional
        Where to write, of grad's shape and dtype; may be `grad` or `y` itself.

    Returns
    -------
    ndarray
        The gradient with respect to x.

    Raises
    ------
    TypeError
        If an argument is complex or holds no numbers, or the dtypes or devices differ.
    ValueError
        If the shapes differ, or for what `softmax` raises it.
    """
    return _backward("softmax_backward", grad, y, axis, temperature, out)


def log_softmax_backward(grad: Any, y: Any, /, *, axis: Axis = LAST, temperature: float = ONE, out: Any = None) -> Any:
    """The gradient through `log_softmax`: (grad_j - exp(y_j) sum_i grad_i) / T.

    `y` is the output of `log_softmax`; parameters, results and errors are otherwise those of `softmax_backward`.
    """
    return _backward("log_softmax_backward", grad, y, axis, temperature, out)
