"""What `fuzz_arguments` draws from: dtypes, sizes, numbers at every limit, and arrays that are not quite arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from boxed import Boxed

# Written around `out`.
GUARD = 0xA5
GUARD_BYTES = 256

FLOATS = ("float16", "float32", "float64")
OTHER_DTYPES = ("int8", "uint8", "int32", "int64", "uint64", "bool", "complex64", "longdouble", "U3", "O")
SPECIAL = (0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, 5e-324, 3e38, -3e38, 1e308, 1e4, -1e4, 6e4)
SIZES = (0, 1, 2, 3, 5, 10, 16, 17, 33, 70)
NO_ARRAYS: tuple[Any, ...] = (
    None, "abc", object(), {}, [[1.0], [1.0, 2.0]], [], 1.5, 3, True, 1j, b"x", [1, 2], np.float32(2), np.ma.masked,
    [np.ma.array([1.0, 2.0], mask=[0, 1])],
)  # fmt: skip
HUGE = (2**63, -(2**63), 2**70, 10**400, 10**5000)
NUMBERS: tuple[Any, ...] = (*SPECIAL, *HUGE, 0.5, 0.1, 0.999, 2, 0, -1, "1", None, True, 1j, [1.0])
WHOLE: tuple[Any, ...] = (0, 1, 2, 3, 7, -1, -100, 2**31, *HUGE, 1.0, "2", None, True, np.int8(3))
STATES = (
    "velocity", "state_sum", "square_avg", "momentum_buffer", "grad_avg", "exp_avg", "exp_avg_sq", "max_exp_avg_sq",
    "preactivation",
)  # fmt: skip
TRUTHS = ("validate", "keepdims", "nesterov", "centered", "amsgrad", "input_grad", "overwrite_grad")


class Touchy(np.ndarray):
    """An array that refuses whatever NumPy would do with it as such."""

    def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a ufunc was called with a subclass")

    def __array_function__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a function was called with a subclass")


BETAS = (
    (0.9, 0.999), (0.5, 0.5), np.array([0.5, 0.9]), (np.array(0.5), Boxed(0.5)), (1.0, 0.5), (0.9,), 0.9, None,
    ("a", "b"), (-1, 2), (0.5, 10**5000),
)  # fmt: skip
