"""Losses, each alone and with its gradient from the same pass over the logits."""

from __future__ import annotations

from typing import Any

from softgrad.ops.arguments import compute_dtype, float_array
from softgrad.ops.axes import Rows
from softgrad.ops.backend import CPU, backend_of
from softgrad.ops.criterion import Criterion
from softgrad.ops.label_checks import are_ready, check_labels
from softgrad.ops.reductions import check_reduction, losses_buffer, reduced
from softgrad.ops.results import Result

# The defaults, which a call is known by before it has looked at any value.
NONE = 0.0


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    /,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = NONE,
    z_loss: float = NONE,
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
        Shape (N, C), (N, C, d1, ...) or (C,), with C at least 1, any strides. Floats keep their dtype (float16 is
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
        A number of the logits' dtype, of CuPy arrays an array without axes on their card; with "none" an array of
        the logits' shape without C.

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
    if (
        weight is None
        and ignore_index is None
        and label_smoothing is NONE
        and z_loss is NONE
        and softcap is None
        and are_ready(logits, targets)
    ):
        check_reduction(reduction)
        if validate:
            check_labels(CPU, targets, logits.shape[1], given=targets)
        losses = losses_buffer(CPU, logits.shape[:1], logits.dtype, reduction)
        total: Any = CPU.kernels.softmax_cross_entropy_forward(logits, targets, losses) if len(logits) else 0.0
        return reduced(total, losses, logits.dtype, reduction, len(logits))
    loss, _ = _general(
        logits,
        targets,
        reduction,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        softcap=softcap,
        validate=validate,
    )
    return loss


def softmax_cross_entropy_with_grad(
    logits: Any,
    targets: Any,
    /,
    *,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = NONE,
    z_loss: float = NONE,
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
    if (
        weight is None
        and ignore_index is None
        and label_smoothing is NONE
        and z_loss is NONE
        and softcap is None
        and are_ready(logits, targets)
    ):
        check_reduction(reduction)
        backend = CPU if out is None else backend_of(logits=logits, targets=targets, out=out)
        if validate:
            check_labels(backend, targets, logits.shape[1], given=targets)
        losses = losses_buffer(backend, logits.shape[:1], logits.dtype, reduction)
        rows = len(logits)
        scale = logits.dtype.type(1.0 / rows if reduction == "mean" and rows else 1.0)
        grad = Result(backend, out, logits.shape, logits.dtype, (logits, targets))
        total: Any = 0.0
        if rows:
            total = backend.kernels.softmax_cross_entropy_with_grad(logits, targets, scale, losses, grad.target)
        return reduced(total, losses, logits.dtype, reduction, rows), grad.returned()
    return _general(
        logits,
        targets,
        reduction,
        with_grad=True,
        out=out,
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        z_loss=z_loss,
        softcap=softcap,
        validate=validate,
    )


def _general(
    logits: Any, targets: Any, reduction: str, *, with_grad: bool = False, out: Any = None, **options: Any
) -> tuple[Any, Any]:
    """The loss, and the gradient if it is asked for, of any logits and targets and with any options."""
    check_reduction(reduction)
    backend = backend_of(logits=logits, targets=targets, weight=options["weight"], out=out)
    logits = float_array(backend, logits, "logits")
    shape, dtype = logits.shape, logits.dtype
    axis = min(1, logits.ndim - 1)
    if axis < 0:
        raise ValueError(f"logits must have shape (N, C), (N, C, d1, ...) or (C,); got shape {shape}")
    if shape[axis] == 0:
        raise ValueError(f"logits must have at least one class; got shape {shape}")
    rows = Rows(shape, axis, columns=False)
    criterion = Criterion(backend, compute_dtype(dtype), shape[axis], **options)
    targets = criterion.targets(targets, rows, shape)
    matrix = rows.view(backend, logits, criterion.dtype)
    losses = losses_buffer(backend, matrix.shape[:1], matrix.dtype, reduction)
    divisor = criterion.divisor(targets, reduction)
    grad = None
    if with_grad:
        result, total = Result(backend, out, shape, dtype, (matrix, targets)), 0.0

        def fill(target: Any) -> None:
            nonlocal total
            total = criterion.run(matrix, targets, losses, divisor, target)

        rows.write(backend, result.target, fill)
        grad = result.returned()
    else:
        total = criterion.run(matrix, targets, losses)
    if reduction == "none":
        losses = losses.reshape(rows.kept_shape)
    return reduced(total, losses, dtype, reduction, divisor), grad
