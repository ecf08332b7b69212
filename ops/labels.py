"""Labels: as the kernels take them, whether they lie in the classes; one-hot rows, and how many are predicted right."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from softgrad.kernels.formulas.conditions import is_class, is_class_or_ignored
from softgrad.ops.arguments import contiguous, float_array, integer_array
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.dtypes import FLOAT64, FLOATS, INT64, LARGEST_INT64, is_float
from softgrad.ops.ready import has_form, ready_backend
from softgrad.ops.results import Result
from softgrad.ops.scalars import check_size, shown, whole_number


def label_array(
    backend: Backend, labels: Any, name: str, shape: tuple[int, ...], *, beyond: int = LARGEST_INT64
) -> Any:
    """Integer labels of that shape, as the kernels take them; `beyond` stands for those that are no int64."""
    labels = integer_array(backend, labels, name, beyond=beyond)
    if labels.shape != shape:
        remedy = ""
        if labels.ndim == len(shape) + 1 and labels.shape[:-1] == shape and labels.shape[-1] > 1:
            remedy = "; of one-hot rows give their argmax(-1)"
            remedy += ", or floats as probabilities" if name == "targets" else ""
        raise ValueError(f"{name} must have shape {shape}, one label for each row; got shape {labels.shape}{remedy}")
    return labels


def check_labels(
    backend: Backend, labels: Any, classes: int, name: str = "labels", *, given: Any, ignored: int | None = None
) -> None:
    """Raise ValueError unless every label is `ignored` or lies in [0, classes), naming the first that is not.

    It is named as it was `given`.
    """
    if ignored is None:
        row = backend.kernels.first_failing(is_class)(labels, classes)
    else:
        row = backend.kernels.first_failing(is_class_or_ignored)(labels, classes, ignored)
    if row >= 0:
        found = backend.xp.asarray(given).reshape(-1)[row]
        remedy = "; the losses leave out such rows with ignore_index=-100" if found == -100 else ""
        raise ValueError(f"{name} must lie in [0, {classes}); found {found} at row {row}{remedy}")


def one_hot(labels: Any, num_classes: int, /, *, dtype: Any = FLOAT64, out: Any = None) -> Any:
    """1 at each row's label, else 0.

    Parameters
    ----------
    labels : array_like of int
        Any shape, each in [0, num_classes).
    num_classes : int
        1 or more.
    dtype : dtype, default float64
        float16, bfloat16 (that of `ml_dtypes`), float32 or float64.
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
    result = Result(backend, out, shape, dtype, (labels,), in_place=False)
    backend.kernels.one_hot_forward(flat, result.target.reshape(-1, classes))
    return result.returned()


@cache
def _float_dtype(dtype: Any) -> Any:
    dtype = np.dtype(dtype).newbyteorder("=")
    if not is_float(dtype):
        raise TypeError(f"dtype must be {FLOATS}; got {dtype}")
    return dtype


def count_correct(logits: Any, labels: Any, /, *, validate: bool = True) -> Any:
    """How many rows of logits, shape (N, C), have their largest entry at their label, shape (N,).

    An int; of CuPy arrays an array without axes on their GPU. Rows, `validate` and errors are those of `accuracy`.
    """
    return _correct_and_rows(logits, labels, validate)[0]


def _correct_and_rows(logits: Any, labels: Any, validate: bool) -> tuple[Any, int]:
    ready = ready_backend(logits)
    if ready is not None and logits.ndim == 2 and logits.size and has_form(ready, labels, logits.shape[:1], INT64):
        if validate:
            check_labels(ready, labels, logits.shape[1], given=labels)
        return ready.kernels.count_correct(logits, labels), len(labels)
    backend = backend_of(logits=logits, labels=labels)
    logits = float_array(backend, logits, "logits")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (N, C) with at least one class; got shape {logits.shape}")
    given, labels = labels, label_array(backend, labels, "labels", logits.shape[:1])
    if validate:
        check_labels(backend, labels, logits.shape[1], given=given)
    clean = contiguous(backend, logits, logits.dtype)
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
        In [0, 1]; of CuPy arrays an array without axes on their GPU. The first of equal logits counts as the
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
