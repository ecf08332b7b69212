"""How kernels that normalise see the axes of an array: as the rows of a matrix, or as columns side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from softgrad.ops.arguments import contiguous, shown
from softgrad.ops.backend import Backend

Axis = int | tuple[int, ...] | None

# With fewer columns side by side most lanes of a vector idle, and a transposed copy is quicker: for the backwards below
# 4 columns, for logsumexp below 8, for the others below 10.
FEWEST_COLUMNS = 8


class Rows:
    """An array whose axes that are normalised together are seen as one, the classes.

    Where they are neighbours the array is seen as it lies in memory: as a matrix of shape (rows, classes) if they are
    the last axes, else, for the kernels of columns, with the shape (outer, classes, inner). Other axes are moved to the
    end, in a copy, and so are all but the last without `columns`, for kernels of rows that have no counterpart for
    columns. An axis of size 1 is the neighbour of all.
    """

    def __init__(self, shape: tuple[int, ...], axis: Axis, columns: bool = True) -> None:
        axes = _normalised(axis, shape)
        kept = [i for i in range(len(shape)) if i not in axes]
        self.kept_shape = tuple(shape[i] for i in kept)
        self.keepdims_shape = tuple(1 if i in axes else size for i, size in enumerate(shape))

        long = [i for i in axes if shape[i] != 1]
        start, stop = (min(long), max(long) + 1) if long else (len(shape), len(shape))
        outer, classes, inner = (math.prod(sizes) for sizes in (shape[:start], shape[start:stop], shape[stop:]))
        neighbours = all(i in axes or shape[i] == 1 for i in range(start, stop))
        self.columns = columns and neighbours and inner >= FEWEST_COLUMNS
        self.moved = not (neighbours and (inner == 1 or self.columns))
        self.order = (*kept, *axes)
        self.moved_shape = tuple(shape[i] for i in self.order)
        self.view_shape = (
            (outer, classes, inner) if self.columns else (math.prod(self.kept_shape), math.prod(shape[i] for i in axes))
        )

    def view(self, backend: Backend, array: Any, dtype: Any) -> Any:
        """The array, contiguous and of that dtype, as the kernels see it."""
        if self.moved:
            array = array.transpose(self.order)
        return contiguous(backend, array, dtype).reshape(self.view_shape)

    def kernel(self, backend: Backend, name: str) -> Callable[..., None]:
        """The kernel of that name for rows, as "softmax_forward", or its counterpart for columns."""
        operation, direction = name.rsplit("_", 1)
        kernel: Callable[..., None] = getattr(
            backend.kernels, f"{operation}_columns_{direction}" if self.columns else name
        )
        return kernel

    def write(self, backend: Backend, target: Any, fill: Callable[[Any], None]) -> None:
        """Have `fill(view)` compute `target`, an array of the original shape."""
        if not self.moved:
            fill(target.reshape(self.view_shape))
            return
        matrix = backend.xp.empty(self.view_shape, target.dtype)
        fill(matrix)
        target.transpose(self.order)[...] = matrix.reshape(self.moved_shape)


def rows_of(shape: tuple[int, ...], axis: Axis, *, columns: bool = True) -> Rows:
    """The `Rows` of an array of that shape, normalised over that axis or those axes."""
    return _remembered(shape, axis, columns) if type(axis) is int else Rows(shape, axis, columns)


@lru_cache(maxsize=256)
def _remembered(shape: tuple[int, ...], axis: int, columns: bool) -> Rows:
    return Rows(shape, axis, columns)


def _normalised(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(len(shape)))
    try:
        if not shape and not isinstance(axis, tuple) and index(axis) in (0, -1):
            return ()  # of a number, as NumPy's reductions have it
        return tuple(np.lib.array_utils.normalize_axis_tuple(axis, len(shape)))
    except (ValueError, TypeError, OverflowError) as error:
        kind = ValueError if isinstance(error, OverflowError) else type(error)
        raise kind(
            f"axis must be None, or different integers in [{-len(shape)}, {len(shape)}) for shape {shape}; "
            f"got {shown(axis)}"
        ) from None
