"""What cross-entropy is asked for: its options and targets, checked; what the mean divides by; its kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softgrad.kernels.formulas.cross_entropy import CrossEntropyOptions
from softgrad.ops.arguments import as_array, check_shape, convert, float_array
from softgrad.ops.axes import Rows
from softgrad.ops.backend import Backend
from softgrad.ops.dtypes import FLOAT64, LARGEST, LARGEST_INT64, compute_dtype, is_float
from softgrad.ops.labels import check_labels, label_array
from softgrad.ops.reduction import over
from softgrad.ops.scalars import check_number, shown, whole_number


def checked_options(
    backend: Backend, given: tuple[Any, ...], classes: int, dtype: Any, validate: bool
) -> CrossEntropyOptions | None:
    """The options, given in the order of `CrossEntropyOptions`, as the kernels of that dtype take them."""
    weight, ignore_index, label_smoothing, z_loss, softcap = given
    if weight is not None:
        weight = _weight(backend, weight, classes, dtype, validate)
    if ignore_index is not None:
        ignore_index = _label(ignore_index)
    smoothing = check_number(label_smoothing, "label_smoothing", minimum=0.0, dtype=dtype)
    if smoothing > 1:
        raise ValueError(f"label_smoothing must lie in [0, 1]; got {shown(label_smoothing)}")
    z_loss = check_number(z_loss, "z_loss", minimum=0.0, dtype=dtype)
    cap = None if softcap is None else check_number(softcap, "softcap", dtype=dtype)
    if cap is not None and not dtype.type(cap) > 0:
        raise ValueError(f"softcap must be a {dtype} number above 0, or None; got {shown(softcap)}")
    if weight is ignore_index is cap is None and smoothing == z_loss == 0:
        return None
    return CrossEntropyOptions(weight, ignore_index, smoothing, z_loss, cap)


def _weight(backend: Backend, given: Any, classes: int, dtype: Any, validate: bool) -> Any:
    """The weights in memory of their own, which no result is written to."""
    weight = convert(float_array(backend, given, "weight"), dtype)
    check_shape(weight, (classes,), "weight", "one for each class")
    if validate and not _in_range(weight):
        raise ValueError("weight must be finite and not below 0 for each class")
    return weight


def _label(value: Any) -> int:
    label = whole_number(value, "ignore_index")
    if not -LARGEST_INT64 - 1 <= label <= LARGEST_INT64:
        raise ValueError(f"ignore_index must be an integer of 64 bits; got {shown(value)}")
    return label


def checked_targets(
    backend: Backend,
    given: Any,
    shape: tuple[int, ...],
    rows: Rows,
    dtype: Any,
    options: CrossEntropyOptions | None,
    validate: bool,
) -> Any:
    """The labels of the rows, or the matrix of their probabilities; `shape` and `dtype` are the logits'.

    Probabilities are of the dtype computed in, or the bits of 16-bit floats if the logits are such.
    """
    array = as_array(backend, given, "targets")
    ignored = None if options is None else options.ignore_index
    if not is_float(array.dtype) or array.ndim != len(shape):
        beyond = -1 if ignored == LARGEST_INT64 else LARGEST_INT64  # bad, and not to be ignored
        labels = label_array(backend, given, "targets", rows.kept_shape, beyond=beyond).reshape(-1)
        if validate:
            check_labels(backend, labels, rows.view_shape[1], ignored=ignored, given=given)
        return labels
    if ignored is not None:
        raise ValueError("ignore_index must be None with probability targets; pass integer labels, or leave it out")
    check_shape(array, shape, "targets", "as the logits have, since they are probabilities")
    array = float_array(backend, array, "targets")
    if array.dtype not in (dtype, compute_dtype(dtype)):
        array = convert(array, compute_dtype(dtype))
    if validate and not _in_range(array):
        raise ValueError("targets must be finite and not below 0, since they are probabilities")
    return rows.view(backend, array, array.dtype)


def counted(backend: Backend, options: CrossEntropyOptions | None, targets: Any, classes: int, reduction: str) -> Any:
    """What the sum of the losses is divided by: a number, or an array without axes that stays on the GPU."""
    if reduction != "mean":
        return 1
    weight, ignored = (None, None) if options is None else (options.weight, options.ignore_index)
    if targets.ndim == 2 or (weight is ignored is None):
        return len(targets)
    xp = backend.xp
    counts = xp.ones(targets.shape, bool) if ignored is None else targets != ignored
    if weight is not None:
        known = xp.clip(targets, 0, classes - 1)  # of bad labels, unchecked, the losses are NaN in any case
        counts = xp.where(counts, weight[known], weight.dtype.type(0))
    with np.errstate(over="ignore"):  # a sum beyond float64 is infinite, as Python's float it divides silently
        total = counts.sum(dtype=FLOAT64)
    return float(total) if xp is np else total


def scale_for(divisor: Any, dtype: Any) -> Any:
    """1 / divisor as the kernels of that dtype take it; what overflows the dtype is infinite, silently."""
    scale = over(1.0, divisor)
    if not isinstance(scale, float):  # it stays on the GPU
        return convert(scale, dtype)
    return scale if scale <= LARGEST[dtype] else float(convert(np.float64(scale), dtype))


def loss_of(
    backend: Backend,
    logits: Any,
    targets: Any,
    options: CrossEntropyOptions | None,
    losses: Any,
    divisor: Any,
    grad: Any = None,
    *,
    summed: bool = False,
) -> Any:
    """The sum of the rows' losses over `divisor`, by one kernel, and with `grad` the gradient of that.

    If it is to be `summed` on, it is the sum itself, in float64.
    """
    if not len(logits):
        return 0.0
    of_loss = None if summed else divisor
    if grad is None:
        return backend.kernels.softmax_cross_entropy_forward(logits, targets, options, of_loss, losses)
    scale = scale_for(divisor, compute_dtype(logits.dtype))
    return backend.kernels.softmax_cross_entropy_with_grad(logits, targets, options, of_loss, scale, losses, grad)


def _in_range(array: Any) -> bool:
    """Are all numbers finite and not below 0? NaN is the smallest of any."""
    return array.size == 0 or bool(array.min() >= 0 and array.max() < math.inf)
