"""What elements must be for a call to make sense; `first_failing` of the kernels looks for one that is not."""

from __future__ import annotations

import math

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const

# ---- of floats; NaN fulfils none


@jitable
def is_between(x, low, high):
    return (x >= const(x, low)) & (x <= const(x, high))


@jitable
def is_probability(x):
    return is_between(x, 0.0, 1.0)


@jitable
def is_sign(x):
    return (x == const(x, 1.0)) | (x == const(x, -1.0))


@jitable
def is_weight(x):
    return (x >= const(x, 0.0)) & (x < const(x, math.inf))


# ---- of integers, one at a time


@jitable
def is_class(label, classes):
    return 0 <= label < classes


@jitable
def is_class_or_ignored(label, classes, ignored):
    return 0 <= label < classes or label == ignored


OF_INTEGERS = (is_class, is_class_or_ignored)
