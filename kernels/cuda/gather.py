"""Gather rows and scale them on the GPU: a block a part of a row, an element a thread."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.formulas.primitives import const, fma


@cache
def _gather(with_labels: bool) -> Kernel:
    """The kernel of the rows whose indices begin at `begin`, and of their labels."""

    def kernel(x, labels, indices, out, labels_out, last, columns, scale, shift, begin):
        row = int64(cuda.blockIdx.x)
        j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        if j < columns:
            index = max(int64(0), min(indices[begin + row], last))
            out[row * columns + j] = fma(const(scale, x[index * columns + j]), scale, shift)
            if with_labels and j == 0:
                labels_out[row] = labels[index]

    return Kernel(kernel)


def gather_scale(x, indices, scale, shift, out, *, halves):  # a pointer knows what it points to
    _launch(False, x, indices, indices, out, indices, 0, scale, shift)


def gather_batch(x, labels, indices, begin, scale, shift, out, labels_out):
    _launch(True, x, labels, indices, out, labels_out, begin, scale, shift)


_launches = Launches()


def _launch(with_labels, x, labels, indices, out, labels_out, begin, scale, shift):
    arrays = x, labels, indices, out, labels_out
    key = with_labels, x.shape, x.dtype.char, out.shape, out.dtype.char
    scaled = *of_dtype(out.dtype, (scale, shift)), np.int64(begin)
    launch = _launches.get(key)
    if launch is None:
        if out.size == 0:
            return
        rows, columns = out.shape
        numbers, blocks = (np.int64(x.shape[0] - 1), np.int32(columns)), (rows, blocks_for(columns, THREADS))
        launch = _launches[key] = Launch(_gather(with_labels), blocks, THREADS, *arrays, *numbers, *scaled)
    launch(*arrays, numbers=(*launch.numbers[:2], *scaled))
