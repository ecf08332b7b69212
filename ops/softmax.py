"""Softmax, log-softmax, logsumexp and the two backwards, over any axis or axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softgrad.kernels.formulas.softmax import LOG_SOFTMAX, SOFTMAX, Normalised
from softgrad.ops.arguments import SEEN, check_dtype, check_shape, float_array, mask_array
from softgrad.ops.axes import Axis, Rows, remembered
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.dtypes import KERNEL_DTYPES, compute_dtype
from softgrad.ops.ready import is_like, ready_backend, ready_target
from softgrad.ops.results import Result
from softgrad.ops.scalars import real_number, shown

# The defaults. An op knows by identity that an option was left alone, before it has looked at any value.
LAST = -1
ONE = 1.0

# Temperatures between these are in float32 neither 0 nor infinite nor subnormal.
USUAL_TEMPERATURES = 1e-37, 1e38


def checked_temperature(value: Any, dtype: Any) -> float:
    """The temperature as a number of that dtype, in which a tiny one may be 0; 0 and infinity are exact limits."""
    number = value if type(value) is float else real_number(value, "temperature")
    if USUAL_TEMPERATURES[0] < number < USUAL_TEMPERATURES[1]:
        return float(dtype.type(number))
    if not number >= 0:
        raise ValueError(f"temperature must be 0 or above; got {shown(value)}")
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype.type(number)) + 0.0  # of -0 it is 0


def _hide(backend: Backend, where: Any, array: Any, fill: float) -> tuple[Any, Any]:
    """Which elements `where` hides, and a copy of the array with `fill` in their place."""
    if not (type(where) is backend.array_type and where.dtype == np.bool_ and where.shape == array.shape):
        where = mask_array(backend, where, array.shape)
    hidden, copy = ~where, array.copy()
    backend.xp.putmask(copy, hidden, fill)
    return hidden, copy


def _forward(row: Normalised, x: Any, axis: Axis, temperature: Any, where: Any, out: Any) -> Any:
    """What the row makes of x; arrays that are ready are spared all preparing."""
    backend = ready_backend(x)
    if backend is not None and (where is None or type(where) is backend.array_type):
        target = backend.xp.empty(x.shape, x.dtype) if out is None else ready_target(backend, out, x)
        if axis is LAST and temperature is ONE and where is None and target is not None and x.ndim == 2:
            backend.kernels.normalised(row)(x, temperature, target)
            return target
        if target is not None and x.ndim:
            _normalise(row, backend, x, axis, temperature, where, target)
            return target
    backend = backend_of(x=x, where=where, out=out)
    x = float_array(backend, x, "x", unmask=SEEN)
    result = Result(backend, out, x.shape, x.dtype, (x,))
    _normalise(row, backend, x, axis, temperature, where, result.array)
    return result.returned()


def _normalise(
    row: Normalised, backend: Backend, x: Any, axis: Axis, temperature: Any, where: Any, target: Any
) -> None:
    """Have in `target`, of x's dtype, what the row makes of x."""
    if temperature is not ONE:
        temperature = checked_temperature(temperature, compute_dtype(x.dtype))
    rows = (remembered if type(axis) is int else Rows)(x.shape, axis, backend.kernels.FEWEST_COLUMNS)
    if where is not None:
        hidden, x = _hide(backend, where, x, -math.inf)
    forward = backend.kernels.normalised(row)
    if rows.moved or x.dtype not in KERNEL_DTYPES or not is_like(backend, x, target):
        whole = backend.bits(target)
        written = rows.target(backend, whole)
        forward(rows.view(backend, x, x.dtype), temperature, written)
        rows.put_back(written, whole)
    else:
        forward(x.reshape(rows.view_shape), temperature, target.reshape(rows.view_shape))
    if where is not None:  # a row with nothing to see is NaN, as one of -inf is
        backend.xp.putmask(target, hidden, row.hidden)


def _backward(row: Normalised, grad: Any, y: Any, axis: Axis, temperature: Any, where: Any, out: Any) -> Any:
    """The gradient of what the row made y of."""
    backend = ready_backend(grad)
    if backend is not None and is_like(backend, y, grad) and (where is None or type(where) is backend.array_type):
        target = backend.xp.empty(grad.shape, grad.dtype) if out is None else ready_target(backend, out, grad, y)
        if (
            axis is LAST
            and temperature is ONE
            and where is None
            and target is not None
            and grad.ndim == 2
            and grad.size
        ):
            backend.kernels.normalised_backward(row)(grad, y, temperature, target)
            return target
        if target is not None and grad.ndim:
            _differentiate(row, backend, grad, y, axis, temperature, where, target)
            return target
    backend = backend_of(grad=grad, y=y, where=where, out=out)
    grad = float_array(backend, grad, "grad", unmask=SEEN)
    y = float_array(backend, y, "y", unmask=SEEN)
    check_shape(grad, y.shape, "grad", "as y has")
    check_dtype(grad, y.dtype, "grad", "as y is")
    result = Result(backend, out, grad.shape, grad.dtype, (grad, y))
    _differentiate(row, backend, grad, y, axis, temperature, where, result.array)
    return result.returned()


def _differentiate(
    row: Normalised, backend: Backend, grad: Any, y: Any, axis: Axis, temperature: Any, where: Any, target: Any
) -> None:
    """Have in `target`, of grad's dtype, that gradient."""
    if temperature is not ONE:
        # At temperature 0 the output is constant between ties: its gradient is 0, the kernel's at infinity.
        temperature = checked_temperature(temperature, compute_dtype(grad.dtype)) or math.inf
    rows = (remembered if type(axis) is int else Rows)(grad.shape, axis, backend.kernels.FEWEST_COLUMNS)
    if where is not None:
        hidden, grad = _hide(backend, where, grad, 0.0)
    backward = backend.kernels.normalised_backward(row)
    ready = grad.dtype in KERNEL_DTYPES and is_like(backend, grad, target) and is_like(backend, y, target)
    if rows.moved or not ready:
        whole = backend.bits(target)
        written = rows.target(backend, whole)
        views = rows.view(backend, grad, grad.dtype), rows.view(backend, y, grad.dtype)
        backward(*views, temperature, written)
        rows.put_back(written, whole)
    else:
        backward(*(array.reshape(rows.view_shape) for array in (grad, y)), temperature, target.reshape(rows.view_shape))
    if where is not None:
        backend.xp.putmask(target, hidden, 0.0)


def softmax(x: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None) -> Any:
    """exp(x / T) / sum(exp(x / T)), the probabilities of logits x at temperature T.

    Parameters
    ----------
    x : array_like
        Logits, any shape, any strides; a number is a row of one. Floats keep their dtype (16-bit ones are
        computed in float32); integers and booleans become float64.
    axis : int, tuple of int or None, default -1
        What sums to 1; None is all axes.
    temperature : float, default 1
        0 is the exact arg-max limit (ties share the mass), infinity is uniform over the logits above -inf.
    where : array_like of bool, optional
        Which elements take part; broadcast to x's shape. The others are 0, whatever they hold.
    out : ndarray, optional
        Where to write, of x's shape and the result's dtype; may be x itself.

    Returns
    -------
    ndarray or floating
        Of x's shape; of a number a number. A row with NaN or +inf, or with nothing but -inf, is NaN; -inf beside finite
        logits is 0; a row of which `where` hides everything is zeros.

    Raises
    ------
    TypeError
        If x is complex or holds no numbers, `where` no booleans, or `out` is of another dtype or on another device.
    ValueError
        If the axis does not exist, the temperature is negative or NaN, `where` does not broadcast to x's shape, or
        `out` is of another shape or read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.softmax([1000.0, 1000.0])
    array([0.5, 0.5])
    >>> ops.softmax([[1, 2, 2]], temperature=0)
    array([[0. , 0.5, 0.5]])
    >>> ops.softmax([[1.0, 2.0, 1.0]], where=[True, False, True])
    array([[0.5, 0. , 0.5]])
    """
    return _forward(SOFTMAX, x, axis, temperature, where, out)


def log_softmax(x: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None) -> Any:
    """x / T - log(sum(exp(x / T))), the logarithm of `softmax` without its underflow.

    Parameters, results and errors are those of `softmax`; where that is 0, this is -inf only if the logit is, or is
    hidden by `where`, or the temperature is 0.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.log_softmax([0.0, -1000.0])
    array([    0., -1000.])
    """
    return _forward(LOG_SOFTMAX, x, axis, temperature, where, out)


def logsumexp(x: Any, /, *, axis: Axis = LAST, keepdims: bool = False, where: Any = None, out: Any = None) -> Any:
    """log(sum(exp(x))), without overflow.

    Parameters
    ----------
    x : array_like
        Any shape, any strides. Floats keep their dtype (16-bit ones are computed in float32);
        integers and booleans become float64.
    axis : int, tuple of int or None, default -1
        What is summed over; None is all axes.
    keepdims : bool, default False
        Keep the summed axes, with size 1.
    where : array_like of bool, optional
        Which elements take part; broadcast to x's shape.
    out : ndarray, optional
        Where to write, of the result's shape and dtype.

    Returns
    -------
    ndarray
        +inf where a logit is +inf, -inf where all are -inf or hidden or there is none, NaN where one is NaN.

    Raises
    ------
    TypeError
        If x is complex or holds no numbers, `where` no booleans, or `out` is of another dtype or on another device.
    ValueError
        If the axis does not exist, `where` does not broadcast to x's shape, or `out` is of another shape
        or read-only.

    Examples
    --------
    >>> from softgrad import ops
    >>> float(ops.logsumexp([1000.0, 1000.0]))
    1000.6931471805599
    """
    backend = ready_backend(x)
    plain = axis is LAST and not keepdims and where is None and out is None
    if plain and backend is not None and x.ndim == 2 and x.size:
        sums = backend.xp.empty(x.shape[0], x.dtype)
        backend.kernels.logsumexp(x, sums)
        return sums
    if backend is None or where is not None or out is not None:
        backend = backend_of(x=x, where=where, out=out)
        x = float_array(backend, x, "x", unmask=SEEN)
    rows = (remembered if type(axis) is int else Rows)(x.shape, axis, backend.kernels.FEWEST_COLUMNS)
    if where is not None:
        _, x = _hide(backend, where, x, -math.inf)
    view = rows.view(backend, x, x.dtype)
    shape = rows.keepdims_shape if keepdims else rows.kept_shape
    result = Result(backend, out, shape, x.dtype, (view,), in_place=False)
    if view.shape[1] == 0:
        result.array[...] = -math.inf
    elif view.size:
        backend.kernels.logsumexp(view, result.target.reshape(view.shape[:1] + view.shape[2:]))
    return result.returned()


def softmax_backward(
    grad: Any, y: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None
) -> Any:
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
    where : array_like of bool, optional
        As given to `softmax`. The gradient of what it hides is 0, whatever `grad` holds there.
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
    return _backward(SOFTMAX, grad, y, axis, temperature, where, out)


def log_softmax_backward(
    grad: Any, y: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None
) -> Any:
    """The gradient through `log_softmax`: (grad_j - exp(y_j) sum_i grad_i) / T.

    `y` is the output of `log_softmax`; parameters, results and errors are otherwise those of `softmax_backward`.
    """
    return _backward(LOG_SOFTMAX, grad, y, axis, temperature, where, out)
