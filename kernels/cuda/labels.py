"""Integer labels on the card: are they in range, how many are predicted right, and as one-hot rows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda import sums
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.reductions import WARP, team_of


@cache
def _first_outside() -> Kernel:
    """The kernel of the first position, by one block; the size if there is none."""
    team_max = team_of(sums.THREADS, int64).max

    def kernel(indices, bound, size, result):
        first = size
        for i in range(cuda.threadIdx.x, size, cuda.blockDim.x):
            if first == size and not 0 <= indices[i] < bound:
                first = int64(i)
        first = -team_max(-first)
        if cuda.threadIdx.x == 0:
            result[0] = first

    return Kernel(kernel, "first_outside", threads=sums.THREADS)


def first_outside(indices, bound):
    """The position of the first index that does not lie in [0, bound), or -1; waits for the card."""
    if indices.size == 0:
        return -1
    result = empty((1,), np.int64)
    _first_outside().launch(1, sums.THREADS, indices, np.int64(bound), np.int64(indices.size), result)
    first = int(result[0])
    return -1 if first == indices.size else first


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

    return Kernel(kernel, "row_correct")


def count_correct(logits, labels):
    """How many rows have their largest logit, the first of equals, at their label; the number stays on the card.

    A row with NaN does not, nor one with a label outside the classes.
    """
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

    return Kernel(kernel, "one_hot")


def one_hot_forward(labels, out):
    """out[r, j] = 1 where j is the row's label, else 0; the labels must have been checked."""
    rows, classes = out.shape
    if rows:
        numbers = np.int32(classes), out.dtype.type(1), out.dtype.type(0)
        _one_hot().launch((rows, blocks_for(classes, THREADS)), THREADS, labels, out, *numbers)
