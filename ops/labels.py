"""Small operations on labels and rows: one-hot, accuracy, gather-and-scale."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from softgrad.ops.arguments import (
    FLOAT64,
    KERNEL_DTYPES,
    as_array,
    check_number,
    check_real,
    check_size,
    compute_dtype,
    contiguous,
    float_array,
    integer_array,
    is_array,
    shown,
    whole_number,
)
from softgrad.ops.backend import CPU, backend_of
from softgrad.ops.label_checks import are_ready, check_labels, label_array
from softgrad.ops.results import into


def one_hot(labels: Any, num_classes: int, /, *, dtype: Any = FLOAT64, out: Any = None) -> Any:
    """1 at each row's label, else 0.

    Parameters
    ----------
    labels : array_like of int
        Any shape, each in [0, num_classes).
    num_classes : int
        1 or more.
    dtype : dtype, default float64
        float16, float32 or float64.
    out : ndarray, optional
        Where to write, of shape labels.shape + (num_classes,) and that dtype.

    Returns
    -------
    ndarray
        Shape labels.shape + (num_classes,).

    Raises
    ------
    TypeError
        If the labels or `num_classes` are no integers, or the dtype is no float of 16 to 64 bits.
    ValueError
        If a label is outside the classes, there are no classes, or more than fit any memory.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    backend = backend_of(labels=labels, out=out)
    given, labels = labels, integer_array(backend, labels, "labels")
    classes = whole_number(num_classes, "num_classes", "a positive integer")
    if classes < 1:
        raise ValueError(f"num_classes must be a positive integer; got {shown(num_classes)}")
    shape, dtype = (*labels.shape, classes), _float_dtype(dtype)
    check_size(shape, dtype, "num_classes", num_classes)
    flat = labels if labels.ndim == 1 else labels.reshape(-1)
    check_labels(backend, flat, classes, given=given)

    def write(target: Any) -> None:
        backend.kernels.one_hot_forward(flat, target if target.ndim == 2 else target.reshape(-1, classes))

    return into(backend, out, shape, dtype, (labels,), write, in_place=False)


@cache
def _float_dtype(dtype: Any) -> Any:
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise TypeError(f"dtype must be float16, float32 or float64; got {dtype}")
    return dtype


def count_correct(logits: Any, labels: Any, /, *, validate: bool = True) -> Any:
    """How many rows of logits, shape (N, C), have their largest entry at their label, shape (N,).

    An int; of CuPy arrays an array without axes on their card. Rows, `validate` and errors are those of `accuracy`.
    """
    return _correct_and_rows(logits, labels, validate)[0]


def _correct_and_rows(logits: Any, labels: Any, validate: bool) -> tuple[Any, int]:
    if are_ready(logits, labels):
        if validate:
            check_labels(CPU, labels, logits.shape[1], given=labels)
        return CPU.kernels.count_correct(logits, labels), len(labels)
    backend = backend_of(logits=logits, labels=labels)
    logits = float_array(backend, logits, "logits")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (N, C) with at least one class; got shape {logits.shape}")
    given, labels = labels, label_array(backend, labels, "labels", logits.shape[:1])
    if validate:
        check_labels(backend, labels, logits.shape[1], given=given)
    clean = contiguous(backend, logits, compute_dtype(logits.dtype))
    return backend.kernels.count_correct(clean, labels), len(labels)


def accuracy(logits: Any, labels: Any, /, *, validate: bool = True) -> Any:
    """The fraction of rows whose largest logit is at their label; 0 of no rows.

    Parameters
    ----------
    logits : array_like
        Shape (N, C), with C at least 1.
    labels : array_like of int
        Shape (N,), each in [0, C).
    validate : bool, default True
        Check the labels first. Without the check a row with a label outside the classes is not correct.

    Returns
    -------
    float
        In [0, 1]; of CuPy arrays an array without axes on their card. The first of equal logits counts as the
        largest; a row with NaN is not correct.

    Raises
    ------
    TypeError
        If the logits hold no real numbers, the labels no integers, or they are on different devices.
    ValueError
        If the shapes do not fit, or a label is outside the classes.

    Examples
    --------
    >>> from softgrad import ops
    >>> ops.accuracy([[2.0, 1.0], [0.0, 3.0]], [0, 0])
    0.5
    """
    correct, rows = _correct_and_rows(logits, labels, validate)
    return correct / max(rows, 1)


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
    if dtype not in KERNEL_DTYPES:
        raise TypeError(f"dtype must be float32 or float64; got {dtype}")
    scale, shift = (check_number(value, name, dtype=dtype) for value, name in ((scale, "scale"), (shift, "shift")))
    clean = contiguous(backend, x, compute_dtype(x.dtype.newbyteorder("=")))

    def write(target: Any) -> None:
        backend.kernels.gather_scale(clean, indices, scale, shift, target)

    return into(backend, out, (len(indices), x.shape[1]), dtype, (clean, indices), write, in_place=False)
