"""Work on the rows of a matrix: each is read once, stays in registers, and is written once.

A narrow row reaches the registers of its threads through shared memory (`staged`), others are read by the threads
that share them; a row that is wider than a block holds is taken in parts by several blocks (`wide`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.launch import Kernel, blocks_for
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import reader_of, writer_of
from softgrad.kernels.cuda.staged import staging_of

Body = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """What is done to every row.

    ``body(values, others, place, target, weight, numbers)`` finds the row in `values` and may change it there; what it
    returns is the row's result, a number. `others` is the same row of the second array, if there are `two`, or a place
    for what the body makes, if it `holds_others`; ``place = (thread, count)``, the thread's number among those of the
    row and how many elements the row has; ``target = (label, known, logit)``, the row's label if it is `labelled`,
    whether that is a class, and its logit, NaN if not; `weight` and `numbers` as they were given.
    """

    body: Body
    two: bool = False
    holds_others: bool = False
    labelled: bool = False
    writes: bool = True
    results: bool = False
    fill: float = -math.inf


def _staged_kernel(plan: Plan, work: Work) -> Callable[..., None]:
    """One thread or a few a row, through shared memory."""
    body, two, labelled, writes, returns = work.body, work.two, work.labelled, work.writes, work.results
    number_type, items, classes = NUMBER[plan.number], plan.items, plan.staged
    others_size = items if two or work.holds_others else 1
    block_rows, filling, shared = plan.rows, work.fill, plan.threads > 1
    staging = staging_of(plan)
    places, take, give, at = staging.places, staging.take, staging.give, staging.at

    def kernel(x, y, weight, labels, out, results, rows, _, numbers):
        staged = cuda.shared.array(places, number_type)
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        thread, mine = cuda.threadIdx.x if shared else 0, cuda.threadIdx.y
        first = int64(cuda.blockIdx.x) * block_rows
        row, here = first + mine, min(block_rows, rows - first)
        if two:
            take(y, first, here, staged, others, number_type(filling))
            cuda.syncthreads()
        take(x, first, here, staged, values, number_type(filling))
        label, known, logit = int64(-1), False, number_type(math.nan)
        if labelled and row < rows:
            label = int64(labels[row])
            known = 0 <= label < classes
            if known:
                logit = staged[at(mine, label)]
        found = body(values, others, (thread, classes), (label, known, logit), weight, numbers)
        if writes:
            cuda.syncthreads()
            give(values, staged, out, first, here)
        if returns and thread == 0 and row < rows:
            results[row] = found

    return kernel


def _team_kernel(plan: Plan, work: Work) -> Callable[..., None]:
    """Neighbours in a warp, or a block, a row. Those beyond the last row go along: their lanes are waited for."""
    body, two, labelled, writes, returns = work.body, work.two, work.labelled, work.writes, work.results
    number_type, items, block_rows, alone = NUMBER[plan.number], plan.items, plan.rows, plan.rows == 1
    filling, others_size = work.fill, items if two or work.holds_others else 1
    read, write = reader_of(plan), writer_of(plan)

    def kernel(x, y, weight, labels, out, results, rows, classes, numbers):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * block_rows + (0 if alone else cuda.threadIdx.y)
        here = alone or row < rows
        first, count = row * classes, classes if here else int32(0)
        read(x, first, count, thread, values, number_type(filling))
        if two:
            read(y, first, count, thread, others, number_type(filling))
        label, known, logit = int64(-1), False, number_type(math.nan)
        if labelled and here:
            label = int64(labels[row])
            known = 0 <= label < classes
            if known:
                logit = x[first + label]
        found = body(values, others, (thread, count), (label, known, logit), weight, numbers)
        if writes:
            if labelled:
                cuda.syncwarp()  # the label's logit, which all lanes read, may lie where one of them writes
            write(values, out, first, count, thread)
        if returns and thread == 0 and here:
            results[row] = found

    return kernel


def launch_rows(
    plan: Plan, work: Callable[..., Work], options: tuple[Any, ...], x: Any, numbers: Any, **arrays: Any
) -> None:
    """Do ``work(plan, *options)`` on every row of the matrix `x`.

    `arrays` are y, weight, labels, out and results, as far as the work uses them.
    """
    rows, classes = x.shape
    given = (x if arrays.get(name) is None else arrays[name] for name in ("y", "weight", "labels", "out", "results"))
    kernel, block = _kernel_for(plan, work, options), (plan.threads, plan.rows)
    kernel.launch(blocks_for(rows, plan.rows), block, x, *given, np.int64(rows), np.int32(classes), numbers)


@cache
def _kernel_for(plan: Plan, work: Callable[..., Work], options: tuple[Any, ...]) -> Kernel:
    build = _staged_kernel if plan.staged else _team_kernel
    return Kernel(build(plan, work(plan, *options)), threads=plan.block_threads, blocks=plan.blocks_together)
