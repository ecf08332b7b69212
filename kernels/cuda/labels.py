"""Integer labels on the GPU: how many are predicted right, and as one-hot rows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda import sums
from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.teams import WARP, team_of


@cache
def _row_correct() -> Kernel:
    """The kernel of a flag for each row, a warp a row."""
    count = team_of(WARP, int32).count

    def kernel(logits, labels, correct, rows, classes):
        row = int64(cuda.blockIdx.x) * cuda.blockDim.y + cuda.threadIdx.y
        if row < rows:
            first, label = row * classes, labels[row]
            wrong = 1
            if 0 <= label < classes:
                label_logit = logits[first + label]
                wrong = 0
                for j in range(cuda.threadIdx.x, classes, WARP):
                    x = logits[first + j]
                    if not (x < label_logit if j < label else x <= label_logit):
                        wrong += 1
            wrong = count(wrong)
            if cuda.threadIdx.x == 0:
                correct[row] = 1 if wrong == 0 else 0

    return Kernel(kernel)


def count_correct(logits, labels):
    rows, classes = logits.shape
    correct = empty((rows,), np.int32)
    threads = (WARP, THREADS // WARP)
    if rows:
        sizes = np.int64(rows), np.int32(classes)
        _row_correct().launch(blocks_for(rows, threads[1]), threads, logits, labels, correct, *sizes)
    return sums.sum_of(correct, np.int64)


@cache
def _one_hot() -> Kernel:
    def kernel(labels, out, classes, one, zero):
        row = int64(cuda.blockIdx.x)
        j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        if j < classes:
            out[row * classes + j] = one if labels[row] == j else zero

    return Kernel(kernel)


def one_hot_forward(labels, out):
    rows, classes = out.shape
    if rows:
        numbers = np.int32(classes), *of_dtype(out.dtype, (1, 0))
        _one_hot().launch((rows, blocks_for(classes, THREADS)), THREADS, labels, out, *numbers)
