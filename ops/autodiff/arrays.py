"""Products of matrices, reductions, and functions of an array's shape, with the way back of each gradient.

As in `elementwise`, plain arrays give plain arrays.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softgrad.ops.autodiff.elementwise import operands
from softgrad.ops.autodiff.graph import Taken, Way, both, moved, record
from softgrad.ops.axes import Axis

# ---- products


def matmul(x: Any, y: Any, /) -> Any:
    xp, a, b = operands(x=x, y=y)
    by_left, by_right = product_ways(xp, a, b)
    return record(a @ b, (x, by_left), (y, by_right))


def product_ways(xp: Any, a: Any, b: Any) -> tuple[Way, Way]:
    """The ways of the gradient of a @ b back to the two."""
    a, b = xp.asarray(a), xp.asarray(b)
    # A vector is a row on the left and a column on the right.
    left, right = a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None]

    def matrix(result: Any) -> Any:
        if result is not None and a.ndim == 1:
            result = xp.expand_dims(result, -1 if b.ndim == 1 else -2)
        return result if result is None or b.ndim > 1 else xp.expand_dims(result, -1)

    def by_left(grad: Any, taken: Taken) -> tuple[Any, Taken]:
        grad, taken = matrix(grad), matrix(taken)
        part = _product(xp, grad, right.swapaxes(-1, -2), taken)
        rows = None if taken is None else taken.any(axis=-1, keepdims=True)
        return (part, rows) if a.ndim > 1 else (part[..., 0, :], None if rows is None else rows[..., 0, :])

    def by_right(grad: Any, taken: Taken) -> tuple[Any, Taken]:
        grad, taken = matrix(grad), matrix(taken)
        if taken is not None:
            part = _product(xp, grad.swapaxes(-1, -2), left, taken.swapaxes(-1, -2)).swapaxes(-1, -2)
        elif right.ndim == 2:  # one product, not a sum of one for each matrix on the left
            part = left.reshape(-1, left.shape[-1]).T @ grad.reshape(-1, right.shape[-1])
        else:
            part = left.swapaxes(-1, -2) @ grad
        columns = None if taken is None else taken.any(axis=-2, keepdims=True)
        return (part, columns) if b.ndim > 1 else (part[..., 0], None if columns is None else columns[..., 0])

    return by_left, by_right


def _product(xp: Any, grad: Any, other: Any, taken: Taken) -> Any:
    """grad @ other, without the terms of what was not taken: 0 times infinity would be NaN."""
    if taken is None or bool(xp.isfinite(other).all()):
        return grad @ other
    return xp.where(taken[..., None], grad[..., None] * other[..., None, :, :], 0).sum(axis=-2)


# ---- reductions


def stretched(xp: Any, reduced: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """What a reduction has left of an array, its result or the gradient of that, as a view of the array's shape."""
    if axis is not None and not keepdims:
        reduced = xp.expand_dims(reduced, axis)
    return xp.broadcast_to(reduced, shape)


def sum(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001, as NumPy calls it
    """The sum over an axis, several, or all (None); its gradient is grad for every element."""
    xp, a = operands(x=x)
    a = xp.asarray(a)
    return record(
        a.sum(axis=axis, keepdims=keepdims),
        (x, moved(lambda grad: stretched(xp, grad, a.shape, axis, keepdims))),
    )


def mean(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """The mean over an axis, several, or all (None); its gradient is grad / n for each of n elements."""
    xp, a = operands(x=x)
    a = xp.asarray(a)
    result = a.mean(axis=axis, keepdims=keepdims)
    count = a.size // result.size if a.size else 1
    return record(result, (x, moved(lambda grad: stretched(xp, grad / count, a.shape, axis, keepdims))))


def max(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001, as NumPy calls it
    """The largest element over an axis, several, or all (None); equal ones share the gradient, as in torch.amax."""
    return _extremum("max", x, axis, keepdims)


def min(x: Any, /, *, axis: Axis = None, keepdims: bool = False) -> Any:  # noqa: A001, as NumPy calls it
    """The smallest element over an axis, several, or all (None); equal ones share the gradient, as in torch.amin."""
    return _extremum("min", x, axis, keepdims)


def _extremum(name: str, x: Any, axis: Axis, keepdims: bool) -> Any:
    xp, a = operands(x=x)
    a = xp.asarray(a)
    result = getattr(a, name)(axis=axis, keepdims=keepdims)

    def over_elements(reduced: Any) -> Any:
        return stretched(xp, reduced, a.shape, axis, keepdims)

    def way(grad: Any, taken: Taken) -> tuple[Any, Taken]:
        largest = (a == over_elements(result)) | (a != a)  # a NaN is
        share = (grad / largest.sum(axis=axis, keepdims=keepdims)).astype(grad.dtype)
        return over_elements(share), both(None if taken is None else over_elements(taken), largest)

    return record(result, (x, way))


# ---- shapes


def reshape(x: Any, shape: Any, /) -> Any:
    """The elements in the same order, in another shape, of which one size may be -1."""
    xp, a = operands(x=x)
    a = xp.asarray(a)
    return record(a.reshape(shape), (x, moved(lambda grad: grad.reshape(a.shape))))


def transpose(x: Any, /, *, axes: Sequence[int] | None = None) -> Any:
    """The axes in that order, by default in reverse."""
    xp, a = operands(x=x)
    turned = xp.asarray(a).transpose(axes)

    def backward(grad: Any) -> Any:
        order = range(grad.ndim)[::-1] if axes is None else [axis % grad.ndim for axis in axes]
        return grad.transpose(sorted(range(grad.ndim), key=order.__getitem__))

    return record(turned, (x, moved(backward)))


def concatenate(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays joined along an axis that exists; each has its part of the gradient."""
    xp, *parts = operands(**{f"arrays[{i}]": x for i, x in enumerate(arrays)})
    parts = [xp.asarray(part) for part in parts]
    joined = xp.concatenate(parts, axis=axis)
    before = (slice(None),) * (axis % joined.ndim)
    ends = itertools.accumulate((part.shape[axis] for part in parts), initial=0)

    def cut(start: int, stop: int) -> Callable[[Any], Any]:
        return lambda grad: grad[(*before, slice(start, stop))]

    cuts = itertools.starmap(cut, itertools.pairwise(ends))
    return record(joined, *((x, moved(backward)) for x, backward in zip(arrays, cuts, strict=True)))


def stack(arrays: Sequence[Any], /, *, axis: int = 0) -> Any:
    """Arrays of one shape joined along a new axis; each has its part of the gradient."""
    xp, *parts = operands(**{f"arrays[{i}]": x for i, x in enumerate(arrays)})
    stacked = xp.stack([xp.asarray(part) for part in parts], axis=axis)

    def taken_out(place: int) -> Callable[[Any], Any]:
        return lambda grad: xp.take(grad, place, axis=axis)

    return record(stacked, *((x, moved(taken_out(place))) for place, x in enumerate(arrays)))


_BASIC = (int, np.integer, slice, type(None), type(Ellipsis))


def getitem(x: Any, index: Any, /) -> Any:
    """x[index], by numbers, slices, arrays of integers or of booleans; an element taken twice has both gradients."""
    xp, a = operands(x=x)
    a = xp.asarray(a)
    basic = all(isinstance(part, _BASIC) for part in (index if isinstance(index, tuple) else (index,)))

    def way(grad: Any, taken: Taken) -> tuple[Any, Taken]:
        part, reached = xp.zeros(a.shape, grad.dtype), xp.zeros(a.shape, bool)
        if basic:
            part[index], reached[index] = grad, True if taken is None else taken
            return part, reached
        places = xp.arange(a.size).reshape(a.shape)[index]
        part = xp.bincount(places.ravel(), grad.ravel(), a.size).reshape(a.shape)
        reached.reshape(-1)[places if taken is None else places[taken]] = True
        return part, reached

    return record(a[index], (x, way))
