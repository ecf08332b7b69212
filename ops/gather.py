"""Rows gathered and scaled."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.arguments import as_array, check_real, contiguous, integer_array, is_array
from softgrad.ops.backend import backend_of
from softgrad.ops.dtypes import FLOAT64, FLOATS, KERNEL_DTYPES, compute_dtype, is_float, is_half
from softgrad.ops.labels import check_labels
from softgrad.ops.results import Result
from softgrad.ops.scalars import check_number


def gather_scale(
    x: Any,
    indices: Any,
    /,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    validate: bool = True,
    dtype: Any = None,
    out: Any = None,
) -> Any:
    """x[indices] * scale + shift: rows of pixels, say, gathered into a float matrix in one pass.

    Parameters
    ----------
    x : array_like
        Shape (N, D), of any real dtype; uint8 pixels need no copy in floats.
    indices : array_like of int
        Shape (B,), each in [0, N).
    scale, shift : float
        Applied to each element.
    validate : bool, default True
        Check the indices first. Without the check an index outside the rows stands for the nearest.
    dtype : dtype, optional
        float32 or float64. By default that of `out`, else x's own if it is one of the two, else float64.
    out : ndarray, optional
        Where to write, of shape (B, D).

    Returns
    -------
    ndarray
        Shape (B, D).

    Raises
    ------
    TypeError
        If x holds no real numbers or the indices no integers.
    ValueError
        If the shapes do not fit, or an index is outside the rows.

    Examples
    --------
    >>> import numpy as np
    >>> from softgrad import ops
    >>> ops.gather_scale(np.array([[0, 255], [51, 102]], np.uint8), [1], scale=1 / 255)
    array([[0.2, 0.4]])
    """
    backend = backend_of(x=x, indices=indices, out=out)
    x = as_array(backend, x, "x")
    check_real(x.dtype, "x")
    if x.ndim != 2:
        raise ValueError(f"x must be a matrix, a row for each index to choose; got shape {x.shape}")
    given, indices = indices, integer_array(backend, indices, "indices")
    if indices.ndim != 1:
        raise ValueError(f"indices must have shape (B,); got shape {indices.shape}")
    if validate or len(x) == 0:
        check_labels(backend, indices, len(x), "indices", given=given)
    if dtype is None:
        own = x.dtype.newbyteorder("=")
        dtype = out.dtype if is_array(backend, out) else own if own in KERNEL_DTYPES else FLOAT64
    dtype = np.dtype(dtype).newbyteorder("=")
    if not is_float(dtype):
        raise TypeError(f"dtype must be {FLOATS}; got {dtype}")
    computed = compute_dtype(dtype)
    scale, shift = (check_number(value, name, dtype=computed) for value, name in ((scale, "scale"), (shift, "shift")))
    halves = is_half(x.dtype.newbyteorder("="))
    clean = contiguous(backend, x, x.dtype.newbyteorder("="))
    result = Result(backend, out, (len(indices), x.shape[1]), dtype, (clean, indices), in_place=False)
    backend.kernels.gather_scale(clean, indices, scale, shift, result.target, halves=halves)
    return result.returned()
