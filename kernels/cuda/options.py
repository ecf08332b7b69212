"""What a cross-entropy is asked for beside logits and targets, as its kernels are compiled for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from softgrad.kernels.formulas.cross_entropy import CrossEntropyOptions
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, where


class Asked(NamedTuple):
    """What a kernel is compiled for: a call does not pay for options that it does not use."""

    labelled: bool
    weighted: bool
    smoothed: bool
    ignoring: bool
    capped: bool
    penalised: bool  # by the z-loss


def asked_by(targets: Any, options: CrossEntropyOptions) -> Asked:
    weight, ignore_index, label_smoothing, z_loss, softcap = options
    ignoring, capped = ignore_index is not None, softcap is not None
    return Asked(targets.ndim == 1, weight is not None, label_smoothing != 0, ignoring, capped, z_loss != 0)


def numbers_of(options: CrossEntropyOptions, classes: int, dtype: Any) -> tuple[Any, ...]:
    """The label to ignore, 1 - eps, eps / C, the factor of the z-loss, and the cap, as kernels take them."""
    number = dtype.type
    mix = number(1 - options.label_smoothing), number(options.label_smoothing / classes)
    return np.int64(options.ignore_index or 0), *mix, number(options.z_loss), number(options.softcap or 0)


@jitable
def result_of(loss, known, ignored):
    """The loss, NaN where the label is not known, 0 where the row is ignored."""
    return where(ignored, const(loss, 0.0), where(known, loss, const(loss, math.nan)))


# ---- the scale of the gradient, or what a mean divides by: a number or an array's only element


def element(value: Any) -> Callable[..., Any]:
    """The function by which a kernel takes the number from what it is given."""
    return _number if isinstance(value, float | int | np.generic) else _only_element


def given(divisor: Any) -> Any:
    """What a kernel is given for what a mean divides by."""
    return np.float64(divisor) if isinstance(divisor, float | int) else divisor


@jitable
def _number(value):
    return value


@jitable
def _only_element(value):
    return value[0]
