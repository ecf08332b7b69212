"""Samples of the linear models: a matrix, a row a sample, clean and finite."""

from __future__ import annotations

import math
from typing import Any

from softgrad.ops.arguments import contiguous, float_array, place_of
from softgrad.ops.backend import Backend
from softgrad.ops.dtypes import compute_dtype


def as_samples(backend: Backend, x: Any, dtype: Any = None) -> Any:
    """x as a clean and finite matrix of that dtype, else of what its own is computed in."""
    array = float_array(backend, x, "x")
    if array.ndim != 2:
        raise ValueError(
            f"x must have shape (samples, features); got shape {array.shape}; a single sample is x[None, :]"
        )
    return finite(backend, array, dtype or compute_dtype(array.dtype), "x")


def as_samples_to_learn(backend: Backend, x: Any, dtype: Any = None) -> Any:
    """The same, of one sample or more."""
    x = as_samples(backend, x, dtype)
    if len(x) == 0:
        raise ValueError(f"x must have at least one sample to learn from; got shape {x.shape}")
    return x


def finite(backend: Backend, array: Any, dtype: Any, name: str) -> Any:
    """The array, clean and of that dtype; raises ValueError unless all numbers are finite there, naming the first."""
    clean = contiguous(backend, array, dtype)
    wrong = ~backend.xp.isfinite(clean).reshape(-1)
    if wrong.any():
        index = place_of(int(wrong.argmax()), array.shape)
        beyond = f" as {dtype}" if math.isfinite(array[index]) else ""
        raise ValueError(f"{name} must hold finite numbers{beyond}; found {float(array[index])} at index {index}")
    return clean
