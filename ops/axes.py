"""How kernels that normalise see the axes of an array: as the rows of a matrix, or as columns side by side."""

from __future__ import annotations

import math
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from softgrad.ops.arguments import contiguous
from softgrad.ops.backend import Backend
from softgrad.ops.scalars import shown

Axis = int | tuple[int, ...] | None


class Rows:
    """An array whose axes that are normalised together are seen as one, the classes.

    Where they are neighbours the array is seen as it lies in memory: as a matrix of shape (rows, classes) if they are
    the last axes, else with the shape (outer, classes, inner), for kernels that take columns side by side, at least so
    many as `columns`; 0 is for kernels that take none. Other axes are moved to the end, in a copy. An axis of size 1 is
    the neighbour of all.
    """

    def __init__(self, shape: tuple[int, ...], axis: Axis, columns: int = 0) -> None:
        axes = _normalised(axis, shape)
        kept = [i for i in range(len(shape)) if i not in axes]
        self.kept_shape = tuple(shape[i] for i in kept)
        self.keepdims_shape = tuple(1 if i in axes else size for i, size in enumerate(shape))

        long = [i for i in axes if shape[i] != 1]
        start, stop = (min(long), max(long) + 1) if long else (len(shape), len(shape))
        outer, classes, inner = (math.prod(sizes) for sizes in (shape[:start], shape[start:stop], shape[stop:]))
        neighbours = all(i in axes or shape[i] == 1 for i in range(start, stop))
        self.columns = neighbours and 0 < columns <= inner
        self.moved = not (neighbours and (inner == 1 or self.columns))
        self.order = (*kept, *axes)
        self.moved_shape = tuple(shape[i] for i in self.order)
        self.view_shape = (
            (outer, classes, inner) if self.columns else (math.prod(self.kept_shape), math.prod(shape[i] for i in axes))
        )

    def view(self, backend: Backend, array: Any, dtype: Any) -> Any:
        """The array, contiguous and of that dtype, as the kernels see it: of 16-bit floats their bits."""
        if self.moved:
            array = array.transpose(self.order)
        return contiguous(backend, array, dtype).reshape(self.view_shape)

    def target(self, backend: Backend, whole: Any) -> Any:
        """What a kernel writes for `whole`, an array of the original shape; `put_back` brings it there."""
        if self.moved:
            return backend.xp.empty(self.view_shape, whole.dtype)
        return whole.reshape(self.view_shape)

    def put_back(self, written: Any, whole: Any) -> None:
        """Have in `whole` what a kernel has written to its `target`."""
        if self.moved:
            whole.transpose(self.order)[...] = written.reshape(self.moved_shape)


# The rows of an array of that shape, normalised over that one axis.
remembered = lru_cache(maxsize=256)(Rows)


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
