"""Losses, each alone and with its gradient from the same pass over the logits."""

from __future__ import annotations

from typing import Any

from softgrad.ops.arguments import (
    compute_dtype,
    contiguous,
    float_array,
    integer_array,
    into,
    is_ready,
    is_ready_index,
)
from softgrad.ops.backend import CPU, Backend, backend_of
from softgrad.ops.reductions import check_reduction, reduced


def softmax_cross_entropy(logits: Any, targets: Any, /, *, reduction: str = "mean", validate: bool = True) -> Any:
    """-log softmax(logits)[label], averaged, summed or for each row.

    With m the largest logit of a row and k its label: log(sum_j exp(x_j - m)) + (m - x_k).

    Parameters
    ----------
    logits : array_like
        Shape (N, C), with C at least 1, any strides. Floats keep their dtype (float16 is computed in float32);
        integers and booleans become float64.
    targets : array_like of int
        The labels, shape (N,), each in [0, C).
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows; sums accumulate in float64. The mean of no rows is 0.
    validate : bool, default True
        Check the labels first. Without the check a label outside the classes makes its row's loss (and
        gradient) NaN; nothing is read or written out of bounds.

    Returns
    -------
    floating or ndarray
        A number of the logits' dtype, of CuPy arrays an array without axes on their card; with "none" an array of
        shape (N,).

    Raises
    ------
    TypeError
        If the logits hold no real numbers, the targets no integers, or they are on different devices.
    ValueError
        If the shapes do not fit, there are no classes, or a label is outside them.

    Notes
    -----
    The semantics are those of ``torch.nn.functional.cross_entropy``, except that no rows average to 0 and bad
    labels raise.

    Examples
    --------
    >>> from softgrad import ops
    >>> round(float(ops.softmax_cross_entropy([[2.0, 0.0], [0.0, 0.0]], [0, 1])), 6)
    0.410038
    """
    backend, logits, labels, dtype = _checked(logits, targets, reduction, validate)
    losses = _losses_buffer(backend, logits, reduction)
    total: Any = backend.kernels.softmax_cross_entropy_forward(logits, labels, losses) if len(logits) else 0.0
    return reduced(total, losses, dtype, reduction, len(logits))


def softmax_cross_entropy_with_grad(
    logits: Any, targets: Any, /, *, reduction: str = "mean", validate: bool = True, out: Any = None
) -> tuple[Any, Any]:
    """The loss of `softmax_cross_entropy` and its gradient, from one pass: (softmax(logits) - one_hot(label)) / N.

    The division by N belongs to "mean"; with "none" a row of the gradient is that of the row's own loss.

    Parameters
    ----------
    logits, targets, reduction, validate
        As for `softmax_cross_entropy`.
    out : ndarray, optional
        Where to write the gradient, of the logits' shape and the result's dtype; may be the logits themselves.

    Returns
    -------
    loss : floating or ndarray
        As from `softmax_cross_entropy`.
    grad : ndarray
        With respect to the logits, of their shape.

    Raises
    ------
    TypeError, ValueError
        As `softmax_cross_entropy`, and if `out` does not fit. Nothing has been written then.

    Examples
    --------
    >>> from softgrad import ops
    >>> loss, grad = ops.softmax_cross_entropy_with_grad([[0.0, 0.0]], [1])
    >>> grad
    array([[ 0.5, -0.5]])
    """
    backend, logits, labels, dtype = _checked(logits, targets, reduction, validate, out)
    losses = _losses_buffer(backend, logits, reduction)
    rows = len(logits)
    scale = logits.dtype.type(1.0 / rows if reduction == "mean" and rows else 1.0)
    total: Any = 0.0

    def write(target: Any) -> None:
        nonlocal total
        if rows:
            total = backend.kernels.softmax_cross_entropy_with_grad(logits, labels, scale, losses, target)

    grad = into(backend, out, logits.shape, dtype, (logits, labels), write)
    return reduced(total, losses, dtype, reduction, rows), grad


def _checked(
    logits: Any, targets: Any, reduction: str, validate: bool, out: Any = None
) -> tuple[Backend, Any, Any, Any]:
    """The backend, clean logits and labels, and the dtype of the results."""
    check_reduction(reduction)
    ready = are_ready(logits, targets)
    backend = CPU if ready and out is None else backend_of(logits=logits, targets=targets, out=out)
    if ready:
        if validate:
            check_labels(backend, targets, logits.shape[1], given=targets)
        return backend, logits, targets, logits.dtype
    logits = float_array(backend, logits, "logits")
    if logits.ndim != 2:
        raise ValueError(f"logits must have shape (N, C), a row for each label; got shape {logits.shape}")
    rows, classes = logits.shape
    if classes == 0:
        raise ValueError(f"logits must have at least one class; got shape {logits.shape}")
    labels = label_array(backend, targets, "targets", rows)
    if validate:
        check_labels(backend, labels, classes, given=targets)
    return backend, contiguous(backend, logits, compute_dtype(logits.dtype)), labels, logits.dtype


def are_ready(logits: Any, labels: Any) -> bool:
    """Can a CPU kernel take logits of shape (N, C) and their labels as they are?"""
    return is_ready(logits) and logits.ndim == 2 and logits.shape[1] > 0 and is_ready_index(labels, logits.shape[:1])


def label_array(backend: Backend, labels: Any, name: str, rows: int) -> Any:
    """Integer labels of shape (rows,), as the kernels take them."""
    labels = integer_array(backend, labels, name)
    if labels.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), one label for each row; got shape {labels.shape}")
    return labels


def check_labels(backend: Backend, labels: Any, classes: int, name: str = "labels", *, given: Any) -> None:
    """Raise ValueError unless every label lies in [0, classes), naming the first bad one as it was `given`."""
    row = backend.kernels.first_outside(labels, classes)
    if row >= 0:
        found = backend.xp.asarray(given).reshape(-1)[row]
        raise ValueError(f"{name} must lie in [0, {classes}); found {found} at row {row}")


def _losses_buffer(backend: Backend, logits: Any, reduction: str) -> Any:
    return backend.xp.empty(len(logits) if reduction == "none" else 0, logits.dtype)
