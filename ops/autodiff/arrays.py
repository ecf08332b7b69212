"""Arithmetic and NumPy's functions, with the way back of each gradient.

A function gives a node if one of its arguments is one, else what NumPy or CuPy would: what is written with them
computes with plain arrays, too. Backwards keep arrays and never nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softgrad.ops.autodiff.graph import record, value_of
from softgrad.ops.axes import Axis
from softgrad.ops.backend import backend_of


def _operands(**arguments: Any) -> tuple[Any, ...]:
    """The array module that the arguments belong to, and their values."""
    values = {name: value_of(x) for name, x in arguments.items()}
    return backend_of(**values).xp, *values.values()


# ---- arithmetic; the sums over what was broadcast are the graph's


def add(x: Any, y: Any, /) -> Any:
    _, a, b = _operands(x=x, y=y)
    return record(a + b, (x, lambda grad: grad), (y, lambda grad: grad))


def subtract(x: Any, y: Any, /) -> Any:
    _, a, b = _operands(x=x, y=y)
    return record(a - b, (x, lambda grad: grad), (y, lambda grad: -grad))


def multiply(x: Any, y: Any, /) -> Any:
    _, a, b = _operands(x=x, y=y)
    return record(a * b, (x, lambda grad: grad * b), (y, lambda grad: grad * a))


def divide(x: Any, y: Any, /) -> Any:
    _, a, b = _operands(x=x, y=y)
    quotient = a / b
    return record(quotient, (x, lambda grad: grad / b), (y, lambda grad: -grad * (quotient / b)))


def power(x: Any, y: Any, /) -> Any:
    xp, a, b = _operands(x=x, y=y)
    power = a**b

    # Where a limit is 0 times infinity it is 0: of x^0 by x, and of 0^y by y.
    def by_base(grad: Any) -> Any:
        return grad * xp.where(xp.asarray(b) == 0, 0, b * a ** (b - 1))

    def by_exponent(grad: Any) -> Any:
        base = xp.asarray(a, power.dtype)
        return grad * xp.where((base == 0) & (b >= 0), 0, power * xp.log(base))

    return record(power, (x, by_base), (y, by_exponent))


def negative(x: Any, /) -> Any:
    return record(-value_of(x), (x, lambda grad: -grad))


def matmul(x: Any, y: Any, /) -> Any:
    xp, a, b = _operands(x=x, y=y)
    product = a @ b
    a, b = xp.asarray(a), xp.asarray(b)
    # A vector is a row on the left and a column on the right.
    left, right = a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None]

    def matrix(grad: Any) -> Any:
        grad = grad if a.ndim > 1 else xp.expand_dims(grad, -1 if b.ndim == 1 else -2)
        return grad if b.ndim > 1 else xp.expand_dims(grad, -1)

    def by_left(grad: Any) -> Any:
        part = matrix(grad) @ right.swapaxes(-1, -2)
        return part if a.ndim > 1 else part[..., 0, :]

    def by_right(grad: Any) -> Any:
        if right.ndim == 2:  # one product, not a sum of one for each matrix on the left
            part = left.reshape(-1, left.shape[-1]).T @ matrix(grad).reshape(-1, right.shape[-1])
        else:
            part = left.swapaxes(-1, -2) @ matrix(grad)
        return part if b.ndim > 1 else part[..., 0]

    return record(product, (x, by_left), (y, by_right))


# ---- elementwise functions


def exp(x: Any, /) -> Any:
    """exp(x), element by element; its gradient is grad * exp(x)."""
    xp, a = _operands(x=x)
    y = xp.exp(a)
    return record(y, (x, lambda grad: grad * y))


def log(x: Any, /) -> Any:
    """The natural logarithm, element by element; its gradient is grad / x."""
    xp, a = _operands(x=x)
    return record(xp.log(a), (x, lambda grad: grad / a))


def sqrt(x: Any, /) -> Any:
    """The square root, element by element; its gradient is grad / (2 sqrt(x)), infinite at 0."""
    xp, a = _operands(x=x)
    y = xp.sqrt(a)
    return record(y, (x, lambda grad: grad / (2 * y)))


def maximum(x: Any, y: Any, /) -> Any:
    """The larger of two, element by element; where they are equal each has half of the gradient, as in PyTorch."""
    xp, a, b = _operands(x=x, y=y)

    def share(mine: Any, other: Any) -> Callable[[Any], Any]:
        return lambda grad: xp.where(mine == other, grad / 2, xp.where(mine < other, 0, grad))

    return record(xp.maximum(a, b), (x, share(a, b)), (y, share(b, a)))


def where(condition: Any, x: Any, y: Any, /) -> Any:
    """x where the condition holds, else y; the gradient goes to whichever was taken."""
    xp, held, a, b = _operands(condition=condition, x=x, y=y)
    held = xp.asarray(held)
    return record(
        xp.where(held, a, b),
        (x, lambda grad: xp.where(held, grad, 0)),
        (y, lambda grad: xp.where(held, 0, grad)),
    )


# ---- reductions


def _stretched(xp: Any, reduced: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """What a reduction has left of an array, its result or the gradient of that, as a view of the array's shape."""
    if axis is not None and not keepdims:
        reduced = xp.expand_dims(reduced, axis)
    return xp.broadcast_to(reduced, shape)


def sum(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001, as NumPy calls it
    """The sum over an axis, several, or all (None); its gradient is grad for every element."""
    xp, a = _operands(x=x)
    a = xp.asarray(a)
    return record(a.sum(axis=axis, keepdims=keepdims), (x, lambda grad: _stretched(xp, grad, a.shape, axis, keepdims)))


def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over an axis, several, or all (None); its gradient is grad / n for each of n elements."""
    xp, a = _operands(x=x)
    a = xp.asarray(a)
    result = a.mean(axis=axis, keepdims=keepdims)
    return record(
        result,
        (x, lambda grad: _stretched(xp, grad / (a.size // result.size if a.size else 1), a.shape, axis, keepdims)),
    )


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001, as NumPy calls it
    """The largest element over an axis, several, or all (None); equal ones share the gradient, as in torch.amax."""
    xp, a = _operands(x=x)
    a = xp.asarray(a)
    result = a.max(axis=axis, keepdims=keepdims)

    def backward(grad: Any) -> Any:
        largest = (a == _stretched(xp, result, a.shape, axis, keepdims)) | (a != a)  # a NaN is
        count = largest.sum(axis=axis, keepdims=keepdims)
        share = (grad / count).astype(grad.dtype)
        return xp.where(largest, _stretched(xp, share, a.shape, axis, keepdims), 0)

    return record(result, (x, backward))


# ---- shapes


def reshape(x: Any, shape: Any, /) -> Any:
    """The elements in the same order, in another shape, of which one size may be -1."""
    xp, a = _operands(x=x)
    a = xp.asarray(a)
    return record(a.reshape(shape), (x, lambda grad: grad.reshape(a.shape)))


def transpose(x: Any, /, *, axes: Sequence[int] | None = None) -> Any:
    """The axes in that order, by default in reverse."""
    xp, a = _operands(x=x)
    moved = xp.asarray(a).transpose(axes)

    def backward(grad: Any) -> Any:
        order = range(grad.ndim)[::-1] if axes is None else [axis % grad.ndim for axis in axes]
        return grad.transpose(sorted(range(grad.ndim), key=order.__getitem__))

    return record(moved, (x, backward))


def concatenate(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays joined along an axis that exists; each has its part of the gradient."""
    xp, *parts = _operands(**{f"arrays[{i}]": x for i, x in enumerate(arrays)})
    parts = [xp.asarray(part) for part in parts]
    joined = xp.concatenate(parts, axis=axis)
    before = (slice(None),) * (axis % joined.ndim)
    ends = itertools.accumulate((part.shape[axis] for part in parts), initial=0)

    def cut(start: int, stop: int) -> Callable[[Any], Any]:
        return lambda grad: grad[(*before, slice(start, stop))]

    return record(joined, *zip(arrays, itertools.starmap(cut, itertools.pairwise(ends)), strict=True))


_BASIC = (int, np.integer, slice, type(None), type(Ellipsis))


def getitem(x: Any, index: Any, /) -> Any:
    """x[index], by numbers, slices, arrays of integers or of booleans; an element taken twice has both gradients."""
    xp, a = _operands(x=x)
    a = xp.asarray(a)

    def backward(grad: Any) -> Any:
        if all(isinstance(part, _BASIC) for part in (index if isinstance(index, tuple) else (index,))):
            whole = xp.zeros(a.shape, grad.dtype)
            whole[index] = grad
            return whole
        places = xp.arange(a.size).reshape(a.shape)[index]
        return xp.bincount(places.ravel(), grad.ravel(), a.size).reshape(a.shape)

    return record(a[index], (x, backward))
