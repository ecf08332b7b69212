"""The dtypes that kernels compute in, and what arrays of others are computed in."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
KERNEL_DTYPES: frozenset[np.dtype[Any]] = frozenset({FLOAT32, FLOAT64})

LARGEST_INT64 = 2**63 - 1
LARGEST = {FLOAT32: float(np.finfo(np.float32).max), FLOAT64: float(np.finfo(np.float64).max)}


def compute_dtype(dtype: Any) -> Any:
    """The dtype the kernels compute in: float32 for float16, else the same."""
    return FLOAT32 if dtype == FLOAT16 else dtype
