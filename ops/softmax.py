"""Softmax, log-softmax, logsumexp and the two backwards, over any axis or axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from softgrad.ops.arguments import (
    SEEN,
    check_dtype,
    check_shape,
    compute_dtype,
    fits,
    float_array,
    is_ready,
    mask_array,
    real_number,
    shown,
)
from softgrad.ops.axes import Axis, rows_of
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.results import into, ready_out

Kernel = Callable[..., None]

# Where an op goes at once with an array that is ready.
KERNELS = CPU.kernels

# The defaults. An op knows by identity that an option was left alone, before it has looked at any value.
LAST = -1
ONE = 1.0


def checked_temperature(value: Any, dtype: Any) -> float:
    """The temperature as a number of that dtype, in which a tiny one may be 0; 0 and infinity are exact limits."""
    number = real_number(value, "temperature")
    if not number >= 0:
        raise ValueError(f"temperature must be 0 or above; got {shown(value)}")
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype.type(number))


class _Mask:
    """Which elements take part: hidden ones are filled before a kernel sees them, and in what it wrote."""

    def __init__(self, backend: Backend, where: Any, shape: tuple[int, ...]) -> None:
        self._xp = backend.xp
        self.seen = mask_array(backend, where, shape)

    def filled(self, array: Any, fill: float) -> Any:
        """A copy with `fill` where an element is hidden."""
        return self._xp.where(self.seen, array, array.dtype.type(fill))

    def fill(self, target: Any, fill: float) -> None:
        """Write `fill` where an element is hidden."""
        self._xp.copyto(target, target.dtype.type(fill), where=~self.seen)


def _forward(
    cpu_kernel: Kernel, x: Any, axis: Axis, temperature: Any, where: Any, out: Any, hidden: float = 0.0
) -> Any:
    """softmax or log_softmax; `hidden` is the result of what `where` hides."""
    if axis is LAST and temperature is ONE and where is None and is_ready(x) and x.ndim == 2:
        target = ready_out(out, x)
        if target is not None:
            cpu_kernel(x, temperature, target)
            return target
    backend = backend_of(x=x, where=where, out=out)
    x = float_array(backend, x, "x", unmask=SEEN)
    dtype = compute_dtype(x.dtype)
    temperature = checked_temperature(temperature, dtype)
    rows = rows_of(x.shape, axis)
    mask = None if where is None else _Mask(backend, where, x.shape)
    x = x if mask is None else mask.filled(x, -math.inf)
    view = rows.view(backend, x, dtype)
    run = rows.kernel(backend, cpu_kernel.__name__)

    def write(target: Any) -> None:
        if view.size:
            rows.write(backend, target, lambda result: run(view, temperature, result))
            if mask is not None:  # a row with nothing to see is NaN, as one of -inf is
                mask.fill(target, hidden)

    reads = (view,) if mask is None else (view, mask.seen)
    return into(backend, out, x.shape, x.dtype, reads, write)


def _backward(cpu_kernel: Kernel, grad: Any, y: Any, axis: Axis, temperature: Any, where: Any, out: Any) -> Any:
    if axis is LAST and temperature is ONE and where is None and is_ready(grad) and fits(y, grad) and grad.ndim == 2:
        target = ready_out(out, grad, y)
        if target is not None:
            cpu_kernel(grad, y, temperature, target)
            return target
    backend = backend_of(grad=grad, y=y, where=where, out=out)
    grad = float_array(backend, grad, "grad", unmask=SEEN)
    y = float_array(backend, y, "y", unmask=SEEN)
    check_shape(grad, y.shape, "grad", "as y has")
    check_dtype(grad, y.dtype, "grad", "as y is")
    dtype = compute_dtype(grad.dtype)
    # At temperature 0 the output is constant between ties: its gradient is 0, which is the kernel's at infinity.
    temperature = checked_temperature(temperature, dtype) or math.inf
    rows = rows_of(grad.shape, axis)
    mask = None if where is None else _Mask(backend, where, grad.shape)
    grad = grad if mask is None else mask.filled(grad, 0.0)
    grad_view, y_view = rows.view(backend, grad, dtype), rows.view(backend, y, dtype)
    reads = (grad_view, y_view) if mask is None else (grad_view, y_view, mask.seen)
    run = rows.kernel(backend, cpu_kernel.__name__)

    def write(target: Any) -> None:
        if grad_view.size:
            rows.write(backend, target, lambda result: run(grad_view, y_view, temperature, result))
            if mask is not None:
                mask.fill(target, 0.0)

    return into(backend, out, grad.shape, grad.dtype, reads, write)


def softmax(x: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None) -> Any:
    """exp(x / T) / sum(exp(x / T)), the probabilities of logits x at temperature T.

    Parameters
    ----------
    x : array_like
        Logits, any shape, any strides; a number is a row of one. Floats keep their dtype (float16 is computed in
        float32); integers and booleans become float64.
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
    return _forward(KERNELS.softmax_forward, x, axis, temperature, where, out)


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
    return _forward(KERNELS.log_softmax_forward, x, axis, temperature, where, out, hidden=-math.inf)


def logsumexp(x: Any, /, *, axis: Axis = LAST, keepdims: bool = False, where: Any = None, out: Any = None) -> Any:
    """log(sum(exp(x))), without overflow.

    Parameters
    ----------
    x : array_like
        Any shape, any strides. Floats keep their dtype (float16 is computed in float32);
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
    if axis is LAST and out is None and not keepdims and where is None and is_ready(x) and x.ndim == 2 and x.shape[1]:
        sums = np.empty(x.shape[0], x.dtype)
        KERNELS.logsumexp_forward(x, sums)
        return sums
    backend = backend_of(x=x, where=where, out=out)
    x = float_array(backend, x, "x", unmask=SEEN)
    rows = rows_of(x.shape, axis)
    if where is not None:
        x = _Mask(backend, where, x.shape).filled(x, -math.inf)
    view = rows.view(backend, x, compute_dtype(x.dtype))

    def write(target: Any) -> None:
        if view.shape[1] == 0:
            target[...] = -math.inf
        elif view.size:
            rows.kernel(backend, "logsumexp_forward")(view, target.reshape(view.shape[:1] + view.shape[2:]))

    shape = rows.keepdims_shape if keepdims else rows.kept_shape
    return into(backend, out, shape, x.dtype, (view,), write, in_place=False)


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
    return _backward(KERNELS.softmax_backward, grad, y, axis, temperature, where, out)


def log_softmax_backward(
    grad: Any, y: Any, /, *, axis: Axis = LAST, temperature: float = ONE, where: Any = None, out: Any = None
) -> Any:
    """The gradient through `log_softmax`: (grad_j - exp(y_j) sum_i grad_i) / T.

    `y` is the output of `log_softmax`; parameters, results and errors are otherwise those of `softmax_backward`.
    """
    return _backward(KERNELS.log_softmax_backward, grad, y, axis, temperature, where, out)
