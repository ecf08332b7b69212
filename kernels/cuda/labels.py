"""Integer labels on the GPU: how many are predicted right, and as one-hot rows."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.ending import Ending, Summing, keeping_of
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.cuda.sums import workspace
from softgrad.kernels.cuda.teams import WARP, team_of

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


@cache
def _row_correct(summing: Summing | None) -> Kernel:
    """The kernel of a flag for each row, a warp a row, and of their sum."""
    count = team_of(WARP, int32).count
    keep, end = keeping_of(THREADS, WARP, summing)

    def kernel(logits, labels, results, rows, classes):
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
                keep(results, row, 1 if wrong == 0 else 0)
        end(results, rows)

    return Kernel(kernel)


_launches = Launches()


def count_correct(logits, labels):
    shape, number = logits.shape, logits.dtype.char
    launch = _launches.get((shape, number))
    if launch is not None:
        space, correct = workspace("i"), empty((), INT64)
        launch(logits, labels, space.values, space.arrived, correct)
        return correct
    rows, classes = shape
    ending = Ending(None, rows, INT64, 1.0, THREADS if rows else 0, left=INT32)
    threads = (WARP, THREADS // WARP)
    if rows:
        sizes, blocks = (np.int64(rows), np.int32(classes)), blocks_for(rows, threads[1])
        launch = Launch(_row_correct(ending.summing), blocks, threads, logits, labels, ending.results, *sizes)
        launch(logits, labels, *ending.arrays)
        if ending.summing is not None:
            _launches[shape, number] = launch
    return ending.loss()


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
