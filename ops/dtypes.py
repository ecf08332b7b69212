"""The dtypes that arrays may have, those that kernels compute in, and how kernels are given 16-bit floats.

float16 and bfloat16 (that of the package ``ml_dtypes``) are storage: kernels load them as float32 and round what they
store. They are handed over as their bits, in an array of 16-bit integers over the same memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

FLOAT16 = np.dtype(np.float16)
FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)
INT64 = np.dtype(np.int64)
KERNEL_DTYPES: frozenset[np.dtype[Any]] = frozenset({FLOAT32, FLOAT64})

# As which integers the kernels know the bits of the one and of the other: see `kernels.simd.half`.
FLOAT16_BITS, BFLOAT16_BITS = np.dtype(np.uint16), np.dtype(np.int16)

LARGEST_INT64 = 2**63 - 1
LARGEST = {FLOAT32: float(np.finfo(np.float32).max), FLOAT64: float(np.finfo(np.float64).max)}

FLOATS = "float16, bfloat16, float32 or float64"


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of that name, bfloat16 among them; raises ValueError if its package is missing."""
    if name == "bfloat16":
        try:
            from ml_dtypes import bfloat16
        except ImportError as error:
            remedy = "pip install 'softgrad[bfloat16]'"
            raise ValueError(f"dtype bfloat16 needs the package ml_dtypes ({error}); {remedy}") from error
        dtype: np.dtype[Any] = np.dtype(bfloat16)
        return dtype
    return np.dtype(name)


def is_bfloat16(dtype: Any) -> bool:
    """Is it bfloat16? NumPy knows that only where `ml_dtypes` is there."""
    return bool(dtype.kind == "V" and dtype.type.__name__ == "bfloat16")


def is_half(dtype: Any) -> bool:
    """Is it one of 16-bit floats, in the byte order of this machine?"""
    return bool(dtype == FLOAT16) or is_bfloat16(dtype)


def is_float(dtype: Any) -> bool:
    """Is it one of the floats that arrays may hold, in any byte order?"""
    return bool(dtype.kind == "f" and dtype.itemsize <= 8) or is_bfloat16(dtype)


def compute_dtype(dtype: Any) -> Any:
    """The dtype the kernels compute in: float32 for 16-bit floats and for their bits, else the same."""
    return FLOAT32 if dtype.itemsize == 2 else dtype


def as_bits(array: Any) -> Any:
    """An array as kernels are given it: of 16-bit floats their bits, any other itself."""
    if array.dtype in KERNEL_DTYPES or not is_half(array.dtype):
        return array
    return array.view(FLOAT16_BITS if array.dtype == FLOAT16 else BFLOAT16_BITS)
