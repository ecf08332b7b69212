"""The affine map of 16-bit floats on the CPU: products in float32, of a chunk of rows at a time.

NumPy multiplies matrices of 16-bit floats one number at a time, and rounds every sum. BLAS knows float32: the weights
are widened once, and of the rows so many as a chunk has, so that no array of the rows' size is held in float32. What is
made of a product is rounded once, when its activation is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from softgrad.kernels.formulas.registry import Activation
from softgrad.ops.backend import CPU
from softgrad.ops.dtypes import FLOAT32, FLOAT64

# Bytes of a chunk's rows in float32, on the wider side of w: products of so many rows lose nothing by being cut.
CHUNK_BYTES = 1 << 20
FEWEST_ROWS = 128


def forward(
    row: Activation, x: Any, w: Any, bias: Any, values: tuple[float, ...], preactivation: Any, out: Any
) -> None:
    """out = f(x @ w + bias), and preactivation = x @ w + bias unless it is None.

    x and w are matrices of 16-bit floats; bias, preactivation and out what the kernels are given.
    """
    weights = w.astype(FLOAT32)
    for here in _chunks(len(x), w.shape):
        product = np.matmul(x[here].astype(FLOAT32), weights)
        kept = None if preactivation is None else preactivation[here]
        CPU.kernels.bias_activation_forward(row, product, bias, values, kept, out[here])


def backward(
    row: Activation, grad: Any, saved: Any, x: Any, w: Any, values: tuple[float, ...], dx: Any, dw: Any, db: Any
) -> None:
    """dz = grad f'(saved), dx = dz @ w.T unless that is None, dw = x.T @ dz, db the sum of dz over the rows.

    x and w are matrices of 16-bit floats, dx, dw and db arrays of such; grad and saved what the kernels are given.
    """
    weights = w.astype(FLOAT32)
    dw_sum, db_sum, part = np.zeros(w.shape, FLOAT32), np.zeros(w.shape[1], FLOAT64), np.empty(w.shape[1], FLOAT32)
    for here in _chunks(len(x), w.shape):
        dz = np.empty(grad[here].shape, FLOAT32)
        CPU.kernels.bias_activation_backward(row, grad[here], saved[here], values, dz, part)
        db_sum += part
        dw_sum += np.matmul(x[here].astype(FLOAT32).T, dz)
        if dx is not None:
            dx[here] = np.matmul(dz, weights.T)
    dw[...], db[...] = dw_sum, db_sum


def _chunks(rows: int, shape: tuple[int, int]) -> Iterator[slice]:
    chunk = max(FEWEST_ROWS, CHUNK_BYTES // (FLOAT32.itemsize * max(*shape, 1)))
    for start in range(0, rows, chunk):
        yield slice(start, min(start + chunk, rows))
