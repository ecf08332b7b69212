"""Cross-entropy of a linear layer's logits, of which only a chunk of rows is in memory at any time."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.arguments import check_shape, contiguous, convert, float_array
from softgrad.ops.axes import Rows
from softgrad.ops.backend import Backend, backend_of
from softgrad.ops.cross_entropy_options import checked_options, checked_targets, counted, loss_of
from softgrad.ops.dtypes import FLOAT64, compute_dtype
from softgrad.ops.linear import matching, matmul, weight_shape
from softgrad.ops.lookup import IDENTITY
from softgrad.ops.reduction import check_reduction, losses_buffer, over, reduced
from softgrad.ops.scalars import shown, whole_number

# Bytes of a chunk's logits, and on a GPU enough for every multiprocessor. Products of more rows are quicker: each of
# them reads all of w, or reads and writes all of dw.
CHUNK_BYTES = {"cpu": 40 << 20, "gpu": 256 << 20}
# But not fewer rows, with which the matrix products would be bound by that.
FEWEST_ROWS = 128

# Bytes of the columns of dw that are computed at a time before they are added to it.
BLOCK_BYTES = 4 << 20


def linear_cross_entropy(
    x: Any,
    w: Any,
    targets: Any,
    /,
    *,
    bias: Any = None,
    chunk_rows: int | None = None,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    reduction: str = "mean",
    validate: bool = True,
) -> Any:
    """softmax_cross_entropy(x @ w + bias, targets), without ever holding all the logits.

    The logits of `chunk_rows` rows at a time are computed into one buffer, and are gone once their losses are known.

    Parameters
    ----------
    x : array_like
        Shape (N, D). 16-bit floats are computed in float32; integers and booleans become float64.
    w : array_like
        Shape (D, C), of x's dtype, with C at least 1.
    targets : array_like
        Labels of shape (N,), or probabilities of shape (N, C), as for `softmax_cross_entropy`.
    bias : array_like, optional
        Shape (C,), of x's dtype.
    chunk_rows : int, optional
        By default as many as make 40 MiB of logits, 256 MiB on a GPU, but not fewer than 128.
    weight, ignore_index, label_smoothing, z_loss, softcap, reduction, validate
        As for `softmax_cross_entropy`.

    Returns
    -------
    floating or ndarray
        As from `softmax_cross_entropy`.

    Raises
    ------
    TypeError
        If an argument holds no real numbers, `chunk_rows` is no integer, dtypes or devices differ, or for what
        `softmax_cross_entropy` raises it.
    ValueError
        If the shapes do not fit, `chunk_rows` is below 1, or for what `softmax_cross_entropy` raises it.

    Notes
    -----
    The results are those of the logits computed whole but for the order in which matrix products and sums are added.

    Examples
    --------
    >>> from softgrad import ops
    >>> round(float(ops.linear_cross_entropy([[1.0, 2.0]], [[1.0, 0.0], [0.0, 0.0]], [0])), 6)
    0.313262
    """
    options = weight, ignore_index, label_smoothing, z_loss, softcap
    return _in_chunks(x, w, targets, bias, chunk_rows, options, reduction, validate, with_grad=False)[0]


def linear_cross_entropy_with_grad(
    x: Any,
    w: Any,
    targets: Any,
    /,
    *,
    bias: Any = None,
    chunk_rows: int | None = None,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
    reduction: str = "mean",
    validate: bool = True,
) -> tuple[Any, tuple[Any, Any, Any]]:
    """The loss of `linear_cross_entropy` and its gradients: with g that of the logits, (g @ w.T, x.T @ g, sum of g).

    The gradient of a chunk takes the place of its logits. With "none" the gradients are those of the losses' sum.

    Parameters
    ----------
    x, w, targets, bias, chunk_rows, weight, ignore_index, label_smoothing, z_loss, softcap, reduction, validate
        As for `linear_cross_entropy`.

    Returns
    -------
    loss : floating or ndarray
        As from `linear_cross_entropy`.
    grads : tuple of ndarrays
        (dx, dw, dbias), of the shapes and the dtype of x, w and bias; dbias is None without a bias.

    Raises
    ------
    TypeError, ValueError
        As `linear_cross_entropy`.

    Examples
    --------
    >>> from softgrad import ops
    >>> loss, (dx, dw, dbias) = ops.linear_cross_entropy_with_grad([[1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]], [0])
    >>> dw
    array([[-0.5,  0.5],
           [-1. ,  1. ]])
    """
    options = weight, ignore_index, label_smoothing, z_loss, softcap
    return _in_chunks(x, w, targets, bias, chunk_rows, options, reduction, validate, with_grad=True)


def _in_chunks(
    x: Any,
    w: Any,
    targets: Any,
    bias: Any,
    chunk_rows: Any,
    given: tuple[Any, ...],
    reduction: str,
    validate: bool,
    *,
    with_grad: bool,
) -> tuple[Any, tuple[Any, Any, Any]]:
    """The loss and the gradients, which are None if they are not asked for."""
    check_reduction(reduction)
    backend = backend_of(x=x, w=w, targets=targets, bias=bias, weight=given[0])
    x = float_array(backend, x, "x")
    w = matching(backend, w, "w", x)
    inputs, classes = weight_shape(w)
    if x.ndim != 2 or x.shape[1] != inputs:
        raise ValueError(f"x must have shape (N, {inputs}) to fit w of shape {w.shape}; got shape {x.shape}")
    if classes == 0:
        raise ValueError(f"w must have at least one column, a class; got shape {w.shape}")
    dtype = x.dtype
    computed = compute_dtype(dtype)
    if bias is not None:
        bias = matching(backend, bias, "bias", x)
        check_shape(bias, (classes,), "bias", f"to fit w of shape {w.shape}")
        bias = contiguous(backend, bias, dtype)
    rows = len(x)
    chunk = _chunk_rows(backend, chunk_rows, rows, classes * computed.itemsize)
    options = checked_options(backend, given, classes, computed, validate)
    shape = (rows, classes)
    targets = checked_targets(backend, targets, shape, Rows(shape, 1), computed, options, validate)
    divisor = counted(backend, options, targets, classes, reduction)

    xp = backend.xp
    w = w.astype(computed, copy=False)
    losses = losses_buffer(backend, (rows,), computed, reduction)
    buffer = xp.empty((chunk, classes), computed)
    dx: Any = None
    dw: Any = None
    dbias: Any = None
    if with_grad:
        dx, dw = xp.empty(x.shape, dtype), xp.zeros(w.shape, computed)
        # dx comes by its columns: of few rows w @ g.T takes BLAS half the time of g @ w.T.
        columns = xp.empty((inputs, chunk), computed)
        block = (
            xp.empty((inputs, _block_columns(inputs, classes, computed.itemsize)), computed) if rows > chunk else None
        )
        dbias = None if bias is None else xp.zeros(classes, FLOAT64)
        part = None if bias is None else xp.empty(classes, computed)
    total: Any = 0.0
    for start in range(0, rows, chunk):
        here = slice(start, min(start + chunk, rows))
        logits = buffer[: here.stop - start]
        x_here = x[here].astype(computed, copy=False)
        matmul(backend, x_here, w, logits)
        if bias is not None:
            backend.kernels.bias_activation_forward(IDENTITY, logits, bias, (), None, logits)
        of_rows = losses[here] if reduction == "none" else losses
        grad = logits if with_grad else None
        loss = loss_of(backend, logits, targets[here], options, of_rows, divisor, grad, summed=True)
        total = total + loss
        if with_grad:
            part_of_dx = columns[:, : len(logits)]
            matmul(backend, w, logits.T, part_of_dx)
            with np.errstate(all="ignore"):
                dx[here] = part_of_dx.T
            if start == 0:
                matmul(backend, x_here.T, logits, dw)
            else:
                _add_product(backend, x_here.T, logits, block, dw)
            if bias is not None:
                backend.kernels.bias_activation_backward(IDENTITY, logits, logits, (), logits, part)
                dbias += part
    loss = reduced(over(total, divisor), losses, computed, reduction)
    return loss, (dx, _converted(dw, dtype), _converted(dbias, dtype))


def _converted(grad: Any, dtype: Any) -> Any:
    return grad if grad is None or grad.dtype == dtype else convert(grad, dtype)


def _chunk_rows(backend: Backend, given: Any, rows: int, row_bytes: int) -> int:
    """How many rows a chunk has."""
    if given is None:
        return max(1, min(rows, max(FEWEST_ROWS, CHUNK_BYTES[backend.name] // row_bytes)))
    chunk = whole_number(given, "chunk_rows")
    if chunk < 1:
        raise ValueError(f"chunk_rows must be at least 1; got {shown(given)}")
    return max(1, min(rows, chunk))


def _block_columns(inputs: int, classes: int, itemsize: int) -> int:
    return max(1, min(classes, BLOCK_BYTES // max(inputs * itemsize, 1)))


def _add_product(backend: Backend, a: Any, b: Any, block: Any, out: Any) -> None:
    """out += a @ b, so many columns at a time as `block` has: NumPy's product can be added to nothing."""
    columns = block.shape[1]
    for first in range(0, out.shape[1], columns):
        here = slice(first, min(first + columns, out.shape[1]))
        product = block[:, : here.stop - first]
        matmul(backend, a, b[:, here], product)
        out[:, here] += product
