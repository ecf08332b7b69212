"""Linear layers whose products are exact: every entry is a quarter of a whole number."""

from __future__ import annotations

import numpy as np
import reference
from numerics import quarters


def layer(shape: tuple[int, ...] = (9, 5), outputs: int = 7, dtype: type = np.float32) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(outputs)
    return quarters(rng, *shape, dtype=dtype), quarters(rng, shape[-1], outputs, dtype=dtype), quarters(
        rng, outputs, dtype=dtype
    )  # fmt: skip


def product(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None) -> np.ndarray:
    """x @ w + b of quarters, exact in x's dtype."""
    wide = [None if array is None else array.astype(np.float64) for array in (x, w, b)]
    return reference.linear(*wide).astype(x.dtype)  # type: ignore[arg-type]
