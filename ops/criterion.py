"""What cross-entropy is asked for: its options, checked, the kernel that serves them, and what the mean divides by."""

from __future__ import annotations

from typing import Any

import numpy as np

from softgrad.ops.arguments import (
    FLOAT64,
    LARGEST,
    LARGEST_INT64,
    as_array,
    check_number,
    check_shape,
    convert,
    float_array,
    shown,
    whole_number,
)
from softgrad.ops.axes import Rows
from softgrad.ops.backend import Backend
from softgrad.ops.label_checks import check_labels, label_array
from softgrad.ops.reductions import quotient


class Criterion:
    """Softmax cross-entropy with its options, for rows of so many classes, computed in float32 or float64.

    Attributes
    ----------
    plain
        Whether all options are at their defaults, for which there are kernels of their own.
    """

    def __init__(
        self,
        backend: Backend,
        dtype: Any,
        classes: int,
        *,
        weight: Any,
        ignore_index: int | None,
        label_smoothing: float,
        z_loss: float,
        softcap: float | None,
        validate: bool,
    ) -> None:
        self.backend, self.dtype, self.classes, self.validate = backend, dtype, classes, validate
        self.weight = self._weight(weight)
        self.ignore_index = None if ignore_index is None else _label(ignore_index)
        self.label_smoothing = check_number(label_smoothing, "label_smoothing", minimum=0.0, dtype=dtype)
        if self.label_smoothing > 1:
            raise ValueError(f"label_smoothing must lie in [0, 1]; got {shown(label_smoothing)}")
        self.z_loss = check_number(z_loss, "z_loss", minimum=0.0, dtype=dtype)
        self.softcap = None if softcap is None else check_number(softcap, "softcap", dtype=dtype)
        if self.softcap is not None and not dtype.type(self.softcap) > 0:
            raise ValueError(f"softcap must be a {dtype} number above 0, or None; got {shown(softcap)}")
        self.plain = (weight is ignore_index is softcap is None) and self.label_smoothing == self.z_loss == 0

    def _weight(self, given: Any) -> Any:
        """The weights in memory of their own, which no result is written to; of size 0 if there are none."""
        if given is None:
            return self.backend.xp.empty(0, self.dtype)
        weight = convert(float_array(self.backend, given, "weight"), self.dtype)
        check_shape(weight, (self.classes,), "weight", "one for each class")
        if self.validate and not _in_range(weight):
            raise ValueError("weight must be finite and not below 0 for each class")
        return weight

    def targets(self, given: Any, rows: Rows, shape: tuple[int, ...]) -> Any:
        """The labels of the rows, or the matrix of their probabilities, checked; `shape` is the logits'."""
        backend = self.backend
        array = as_array(backend, given, "targets")
        if array.dtype.kind != "f" or array.ndim != len(shape):
            beyond = -1 if self.ignore_index == LARGEST_INT64 else LARGEST_INT64  # bad, and not to be ignored
            labels = label_array(backend, given, "targets", rows.kept_shape, beyond=beyond).reshape(-1)
            if self.validate:
                known = labels
                if self.ignore_index is not None:
                    known = backend.xp.where(labels == self.ignore_index, 0, labels)
                check_labels(backend, known, self.classes, given=given)
            return labels
        if self.ignore_index is not None:
            raise ValueError("ignore_index must be None with probability targets; pass integer labels, or leave it out")
        check_shape(array, shape, "targets", "as the logits have, since they are probabilities")
        matrix = rows.view(backend, float_array(backend, array, "targets"), self.dtype)
        if self.validate and not _in_range(matrix):
            raise ValueError("targets must be finite and not below 0, since they are probabilities")
        return matrix

    def divisor(self, targets: Any, reduction: str) -> Any:
        """What the sum of the losses is divided by: a number, or an array without axes that stays on the card."""
        if reduction != "mean":
            return 1
        if targets.ndim == 2 or (self.ignore_index is None and self.weight.size == 0):
            return len(targets)
        xp = self.backend.xp
        counts = xp.ones(targets.shape, bool) if self.ignore_index is None else targets != self.ignore_index
        if self.weight.size == 0:
            return counts.sum(dtype=FLOAT64)
        known = xp.clip(targets, 0, self.classes - 1)  # of bad labels, unchecked, the losses are NaN in any case
        with np.errstate(over="ignore"):  # a sum beyond float64 is infinite, as Python's float it divides silently
            total = xp.where(counts, self.weight[known], self.weight.dtype.type(0)).sum(dtype=FLOAT64)
        return float(total) if xp is np else total

    def run(self, logits: Any, targets: Any, losses: Any, divisor: Any = 1, grad: Any = None) -> Any:
        """The sum of the rows' losses, by one kernel; with `grad`, the gradient of that sum over `divisor`."""
        if not len(logits):
            return 0.0
        kernels, labelled = self.backend.kernels, targets.ndim == 1
        if labelled and self.plain:
            if grad is None:
                return kernels.softmax_cross_entropy_forward(logits, targets, losses)
            scale = self.dtype.type(quotient(1.0, divisor))
            return kernels.softmax_cross_entropy_with_grad(logits, targets, scale, losses, grad)
        ignored = (self.ignore_index,) if labelled else ()
        options = self.weight, *ignored, self.label_smoothing, self.z_loss, self.softcap
        name = "weighted" if labelled else "soft"
        if grad is None:
            return getattr(kernels, f"{name}_cross_entropy_forward")(logits, targets, *options, losses)
        factor = convert(self.backend.xp.asarray(quotient(1.0, divisor)), self.dtype).reshape(1)
        return getattr(kernels, f"{name}_cross_entropy_with_grad")(logits, targets, *options, factor, losses, grad)


def _label(value: Any) -> int:
    label = whole_number(value, "ignore_index")
    if not -LARGEST_INT64 - 1 <= label <= LARGEST_INT64:
        raise ValueError(f"ignore_index must be an integer of 64 bits; got {shown(value)}")
    return label


def _in_range(array: Any) -> bool:
    """Are all numbers finite and not below 0? NaN is the smallest of any."""
    return array.size == 0 or bool(array.min() >= 0 and array.max() <= LARGEST[array.dtype])
