"""Gather rows and scale them on the GPU: a block a part of a row, an element a thread."""

from __future__ import annotations

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.formulas.primitives import const, fma


def _gather_element(x, indices, out, last, columns, scale, shift):
    row = int64(cuda.blockIdx.x)
    j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    if j < columns:
        index = max(int64(0), min(indices[row], last))
        out[row * columns + j] = fma(const(scale, x[index * columns + j]), scale, shift)


_gather = Kernel(_gather_element)


def gather_scale(x, indices, scale, shift, out, *, halves):  # a pointer knows what it points to
    if out.size:
        rows, columns = out.shape
        blocks = (rows, blocks_for(columns, THREADS))
        numbers = np.int64(x.shape[0] - 1), np.int32(columns), *of_dtype(out.dtype, (scale, shift))
        _gather.launch(blocks, THREADS, x, indices, out, *numbers)
