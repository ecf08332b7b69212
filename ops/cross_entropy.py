"""Softmax cross-entropy, alone and with its gradient from the same pass over the logits."""

from __future__ import annotations

from math import isnan
from typing import Any

from softgrad.kernels.formulas.cross_entropy import DEFAULTS
from softgrad.ops.arguments import float_array
from softgrad.ops.axes import Rows
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.cross_entropy_options import checked_options, checked_targets, counted, loss_of, scale_for
from softgrad.ops.dtypes import INT64, compute_dtype
from softgrad.ops.labels import check_labels
from softgrad.ops.ready import has_form, ready_backend, ready_target
from softgrad.ops.reduction import check_reduction, losses_buffer, reduced
from softgrad.ops.results import Result

# The defaults. That an option was left alone is known by identity, before any value is looked at.
NO_SMOOTHING, NO_Z_LOSS = DEFAULTS.label_smoothing, DEFAULTS.z_loss


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    /,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = NO_SMOOTHING,
    z_loss: float = NO_Z_LOSS,
    softcap: float | None = None,
    reduction: str = "mean",
    validate: bool = True,
) -> Any:
    """-log softmax(logits)[label], averaged, summed or for each row.

    With targets t (1 at the label, 0 elsewhere; or probabilities), weights w, label smoothing e over C classes, and
    logits z_j = softcap tanh(x_j / softcap), or x_j, a row's loss is

        sum_j c_j (lse - z_j) + z_loss lse^2,  c_j = w_j ((1 - e) t_j + e / C),  lse = log(sum_j exp(z_j)).

    Parameters
    ----------
    logits : array_like
        Shape (N, C), (N, C, d1, ...) or (C,), with C at least 1, any strides. Floats keep their dtype (16-bit ones are
        computed in float32); integers and booleans become float64.
    targets : array_like
        Integers: the labels, of the logits' shape without C, each in [0, C). Floats: probabilities, of the logits'
        shape, not below 0; they need not sum to 1. Where c_j is 0, a logit of -inf contributes 0.
    weight : array_like of shape (C,), optional
        A factor for each class, not below 0.
    ignore_index : int, optional
        Rows with this label, inside the classes or not, have loss 0 and gradient 0, whatever is in them.
        Not with probabilities.
    label_smoothing : float, default 0
        Of the target's mass the part that is shared by all classes, in [0, 1].
    z_loss : float, default 0
        The factor of lse^2, not below 0, which keeps the logits near sums of 1.
    softcap : float, optional
        Bounds the logits to (-softcap, softcap), above 0.
    reduction : {"mean", "sum", "none"}, default "mean"
        Over the rows; sums accumulate in float64. "mean" divides by the number of rows, N d1 ...; with labels, by
        the number of rows that are not ignored, or with `weight` by the sum of their labels' weights, w_k, whatever
        the label smoothing. Where that is 0 the mean is 0.
    validate : bool, default True
        Check labels, probabilities and weights first. Without the check a label outside the classes makes its
        row's loss (and gradient) NaN; nothing is read or written out of bounds.

    Returns
    -------
    floating or ndarray
        A number of the logits' dtype, float32 of 16-bit ones; of CuPy arrays an array without axes on their GPU; with
        "none" an array of the logits' shape without C.

    Raises
    ------
    TypeError
        If the logits hold no real numbers, the targets neither integers nor probabilities, an option is no number,
        or arrays are on different devices.
    ValueError
        If the shapes do not fit, there are no classes, a label is outside them, a probability or a weight is negative
        or not finite, or an option is out of its range.

    Notes
    -----
    The semantics are those of ``torch.nn.functional.cross_entropy``, except that no rows average to 0 and bad
    labels raise. z-loss and soft-capping are those of PaLM (2022) and Gemma 2 (2024).

    Examples
    --------
    >>> from softgrad import ops
    >>> round(float(ops.softmax_cross_entropy([[2.0, 0.0], [0.0, 0.0]], [0, 1])), 6)
    0.410038
    >>> round(float(ops.softmax_cross_entropy([[2.0, 0.0], [0.0, 0.0]], [0, -100], ignore_index=-100)), 6)
    0.126928
    """
    options = weight, ignore_index, label_smoothing, z_loss, softcap
    backend = ready_backend(logits)
    if backend is not None and logits.ndim == 2 and logits.size and has_form(backend, targets, logits.shape[:1], INT64):
        return _of_ready(backend, logits, targets, options, reduction, validate)
    return _of_any(logits, targets, options, reduction, validate)[0]


def softmax_cross_entropy_with_grad(
    logits: Any,
    targets: Any,
    /,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = NO_SMOOTHING,
    z_loss: float = NO_Z_LOSS,
    softcap: float | None = None,
    reduction: str = "mean",
    validate: bool = True,
    out: Any = None,
) -> tuple[Any, Any]:
    """The loss of `softmax_cross_entropy` and its gradient, from one pass: (softmax(logits) - one_hot(label)) / N.

    With options, p = softmax(z) and S = sum_j c_j, a row of it is

        ((S + 2 z_loss lse) p_j - c_j) (1 - (z_j / softcap)^2).

    The division by N, or by what else the mean divides by, belongs to "mean"; with "none" a row of the gradient is
    that of the row's own loss.

    Parameters
    ----------
    logits, targets, weight, ignore_index, label_smoothing, z_loss, softcap, reduction, validate
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
    options = weight, ignore_index, label_smoothing, z_loss, softcap
    backend = ready_backend(logits)
    if backend is not None and logits.ndim == 2 and logits.size and has_form(backend, targets, logits.shape[:1], INT64):
        if out is None:
            grad = backend.xp.empty(logits.shape, logits.dtype)
        else:
            grad = ready_target(backend, out, logits, targets)
        if grad is not None:
            return _of_ready(backend, logits, targets, options, reduction, validate, grad, out), grad
    return _of_any(logits, targets, options, reduction, validate, with_grad=True, out=out)


def _of_ready(
    backend: Backend,
    logits: Any,
    labels: Any,
    given: tuple[Any, ...],
    reduction: str,
    validate: bool,
    grad: Any = None,
    out: Any = None,
) -> Any:
    """The loss of a matrix of logits and labels that the kernels can take as they are.

    The gradient is left in `grad`, unless that is None; it is `out` or, if that is None, a new array.
    """
    check_reduction(reduction)
    rows, classes = logits.shape
    options, ignored, divisor = None, None, rows if reduction == "mean" else 1
    weight, ignore_index, label_smoothing, z_loss, softcap = given
    if not (weight is ignore_index is softcap is None and label_smoothing is NO_SMOOTHING and z_loss is NO_Z_LOSS):
        if weight is not None:
            backend_of(logits=logits, targets=labels, weight=weight, out=out)  # refuses weights that lie elsewhere
        options = checked_options(backend, given, classes, logits.dtype, validate)
        divisor = counted(backend, options, labels, classes, reduction)
        ignored = None if options is None else options.ignore_index
    if validate and out is not None:  # before it is written
        check_labels(backend, labels, classes, ignored=ignored, given=labels)
    losses = backend.xp.empty(rows, logits.dtype) if reduction == "none" else None
    if grad is None:
        loss = backend.kernels.softmax_cross_entropy_forward(logits, labels, options, divisor, losses)
    else:
        scale = 1.0 / divisor if options is None else scale_for(divisor, logits.dtype)
        loss = backend.kernels.softmax_cross_entropy_with_grad(logits, labels, options, divisor, scale, losses, grad)
    # A label that is no class makes the loss NaN: unless it is, none has to be looked for.
    if validate and out is None and isnan(loss):
        check_labels(backend, labels, classes, ignored=ignored, given=labels)
    return reduced(loss, losses, logits.dtype, reduction)


def _of_any(
    logits: Any,
    targets: Any,
    given: tuple[Any, ...],
    reduction: str,
    validate: bool,
    *,
    with_grad: bool = False,
    out: Any = None,
) -> tuple[Any, Any]:
    """The loss, and the gradient if it is asked for, of any logits and targets and with any options."""
    check_reduction(reduction)
    backend = backend_of(logits=logits, targets=targets, weight=given[0], out=out)
    logits = float_array(backend, logits, "logits")
    shape, dtype = logits.shape, logits.dtype
    axis = min(1, logits.ndim - 1)
    if axis < 0:
        raise ValueError(f"logits must have shape (N, C), (N, C, d1, ...) or (C,); got shape {shape}")
    classes = shape[axis]
    if classes == 0:
        raise ValueError(f"logits must have at least one class; got shape {shape}")
    rows, computed = Rows(shape, axis), compute_dtype(dtype)
    options = checked_options(backend, given, classes, computed, validate)
    targets = checked_targets(backend, targets, shape, rows, dtype, options, validate)
    matrix = rows.view(backend, logits, dtype)
    losses = losses_buffer(backend, matrix.shape[:1], computed, reduction)
    divisor = counted(backend, options, targets, classes, reduction)
    if with_grad:
        result = Result(backend, out, shape, dtype, (matrix, targets))
        target = rows.target(backend, result.target)
        loss = loss_of(backend, matrix, targets, options, losses, divisor, target)
        rows.put_back(target, result.target)
        grad = result.returned()
    else:
        loss, grad = loss_of(backend, matrix, targets, options, losses, divisor), None
    if reduction == "none":
        losses = losses.reshape(rows.kept_shape)
    return reduced(loss, losses, computed, reduction), grad
