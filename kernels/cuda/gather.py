"""Gather rows and scale them on the card: a block a part of a row, an element a thread."""

from __future__ import annotations

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.formulas.primitives import const, fma


def _gather_element(x, indices, out, columns, scale, shift):
    row = int64(cuda.blockIdx.x)
    j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    if j < columns:
        out[row * columns + j] = fma(const(scale, x[indices[row] * columns + j]), scale, shift)


_gather = Kernel(_gather_element)


def gather_scale(x, indices, scale, shift, out):
    """out[r] = x[indices[r]] * scale + shift; the indices must have been checked."""
    if out.size:
        rows, columns = out.shape
        number = out.dtype.type
        blocks = (rows, blocks_for(columns, THREADS))
        _gather.launch(blocks, THREADS, x, indices, out, np.int32(columns), number(scale), number(shift))
