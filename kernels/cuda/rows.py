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

from softgrad.kernels.cuda.ending import Summing, keeping_of
from softgrad.kernels.cuda.launch import Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.registers import Summed, frame_of, largest_of, reader_of, skipped, team_for, writer_of
from softgrad.kernels.cuda.staged import staging_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const

Body = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """What is done to every row, in steps over as much of it as lies in a thread's registers.

    ``place`` is that of `registers`; ``target = (label, known, logit)``, the row's label if it is `labelled`, whether
    that is a class, and its logit, NaN if not; `weight` and `numbers` are as they were given.

    Attributes
    ----------
    summed
        What is summed over the row: of `numbers`, and of the `largest` if the work is `peaked`.
    settle
        ``settle(sums, largest, target, weight, numbers) -> (result, of_row)``: the row's result, a number, and what
        the last step takes, of what the sums have settled to.
    finish
        ``finish(values, others, uncapped, place, target, of_row, numbers)``: what is to be written replaces `values`.
    begin
        ``begin(values, place, target, weight) -> target``, a step before all others, if there is one; not for rows that
        are held in shared memory.
    cap, prepare
        The first steps, if there are such: ``cap(values, uncapped, place, numbers)``, which keeps what it changes, and
        ``prepare(others, weight, place, numbers)``.
    two
        `others` is the same row of the second array, and not only a place for what `prepare` makes.
    fill
        What stands for elements beyond the row.
    """

    summed: Summed
    settle: Body
    finish: Body | None = None
    cap: Body | None = None
    prepare: Body | None = None
    two: bool = False
    labelled: bool = False
    peaked: bool = True
    returns: bool = False
    fill: float = -math.inf
    begin: Body | None = None

    def sizes(self, items: int) -> tuple[int, int]:
        """The elements of `others` and `uncapped` where a thread has so many."""
        return items if self.two or self.prepare else 1, items if self.cap else 1


@jitable
def _same_target(values, place, target, weight):
    return target


def whole_row_of(plan: Plan, work: Work) -> Body:
    """Build ``whole_row(values, others, uncapped, place, target, weight, numbers)``, all steps, for a row's result."""
    peaked, largest_of_mine, team_max = work.peaked, largest_of(plan), team_for(plan).max
    cap, prepare, finish = work.cap or skipped, work.prepare or skipped, work.finish or skipped
    begin = work.begin or _same_target
    nothing, add, settle_sums, settle = *work.summed, work.settle

    def whole_row(values, others, uncapped, place, target, weight, numbers):
        target = begin(values, place, target, weight)
        cap(values, uncapped, place, numbers)
        prepare(others, weight, place, numbers)
        zero = const(values[0], 0.0)
        largest = zero
        if peaked:
            largest = team_max(largest_of_mine(values, const(zero, -math.inf)))
        sums = settle_sums(add(values, others, place, largest, numbers, nothing(zero)))
        result, of_row = settle(sums, largest, target, weight, numbers)
        finish(values, others, uncapped, place, target, of_row, numbers)
        return result

    return jitable(whole_row)


def _staged_kernel(plan: Plan, work: Work, summing: Summing | None) -> Callable[..., None]:
    """One thread or a few a row, through shared memory."""
    whole_row, two, labelled = whole_row_of(plan, work), work.two, work.labelled
    writes, returns = work.finish is not None, work.returns
    keep, end = keeping_of(plan.block_threads, plan.threads, summing)
    number_type, items, classes = NUMBER[plan.number], plan.items, plan.staged
    others_size, uncapped_size = work.sizes(items)
    block_rows, filling, shared = plan.rows, work.fill, plan.threads > 1
    staging = staging_of(plan)
    room, take, give, at = staging.room, staging.take, staging.give, staging.at

    def kernel(x, y, weight, labels, out, results, rows, _, numbers):
        staged = room()
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(uncapped_size, number_type)
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
        place, target = (thread, int32(0), int32(0), int32(classes)), (label, known, logit)
        found = whole_row(values, others, uncapped, place, target, weight, numbers)
        if writes:
            cuda.syncthreads()
            give(values, staged, out, first, here)
        if returns and thread == 0 and row < rows:
            keep(results, row, found)
        end(results, rows)

    return kernel


def _team_kernel(plan: Plan, work: Work, summing: Summing | None) -> Callable[..., None]:
    """Neighbours in a warp, or a block, a row. Those beyond the last row go along: their lanes are waited for."""
    whole_row, two, labelled = whole_row_of(plan, work), work.two, work.labelled
    writes, returns = work.finish is not None, work.returns
    number_type, items, block_rows, alone = NUMBER[plan.number], plan.items, plan.rows, plan.rows == 1
    filling, (others_size, uncapped_size) = work.fill, work.sizes(items)
    frame, read, write = frame_of(plan), reader_of(plan), writer_of(plan)
    keep, end = keeping_of(plan.block_threads, plan.threads, summing)

    def kernel(x, y, weight, labels, out, results, rows, classes, numbers):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(uncapped_size, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * block_rows + (0 if alone else cuda.threadIdx.y)
        here = alone or row < rows
        first, low = frame(row * classes)
        place = thread, -low, low, low + (classes if here else int32(0))
        read(x, first, place, values, number_type(filling))
        if two:
            read(y, first, place, others, number_type(filling))
        label, known, logit = int64(-1), False, number_type(math.nan)
        if labelled and here:
            label = int64(labels[row])
            known = 0 <= label < classes
            if known:
                logit = x[row * classes + label]
        found = whole_row(values, others, uncapped, place, (label, known, logit), weight, numbers)
        if writes:
            if labelled:
                cuda.syncwarp()  # the label's logit, which all lanes read, may lie where one of them writes
            write(values, out, first, place)
        if returns and thread == 0 and here:
            keep(results, row, found)
        end(results, rows)

    return kernel


def launch_rows(
    plan: Plan,
    work: Callable[..., Work],
    options: tuple[Any, ...],
    x: Any,
    numbers: Any,
    summing: Summing | None = None,
    **arrays: Any,
) -> None:
    """Do ``work(plan, *options)`` on every row of the matrix `x`.

    `arrays` are y, weight, labels, out and results, as far as the work uses them.
    """
    _kernel_for(plan, work, options, summing).launch(*_launched(plan, x, numbers, arrays))


def prepared_rows(
    plan: Plan,
    work: Callable[..., Work],
    options: tuple[Any, ...],
    x: Any,
    numbers: Any,
    summing: Summing | None = None,
    **arrays: Any,
) -> Launch:
    """The launch of `launch_rows`, to be made with x, y, weight, labels, out and results; x for what is not used."""
    return Launch(_kernel_for(plan, work, options, summing), *_launched(plan, x, numbers, arrays))


def _launched(plan: Plan, x: Any, numbers: Any, arrays: dict[str, Any]) -> tuple[Any, ...]:
    """The blocks, their threads, and the kernel's arguments."""
    rows, classes = x.shape
    given, sizes = arguments_of(x, arrays), (np.int64(rows), np.int32(classes))
    return blocks_for(rows, plan.rows), (plan.threads, plan.rows), *given, *sizes, numbers


def arguments_of(x: Any, arrays: dict[str, Any]) -> tuple[Any, ...]:
    """The arrays as a kernel over rows takes them; x for one that it does not use."""
    others = (arrays.get(name) for name in ("y", "weight", "labels", "out", "results"))
    return x, *(x if array is None else array for array in others)


@cache
def _kernel_for(
    plan: Plan, work: Callable[..., Work], options: tuple[Any, ...], summing: Summing | None = None
) -> Kernel:
    build = _staged_kernel if plan.staged else _team_kernel
    kernel = build(plan, work(plan, *options), summing)
    # The sum at the end takes registers, too: of 12 classes with all options sm_80 spilled.
    blocks = max(1, plan.blocks_together - (summing is not None))
    return Kernel(kernel, threads=plan.block_threads, blocks=blocks)
