"""Rows on the GPU: how many threads share one, how it comes into their registers, and how it goes back.

A row is read once and stays in registers until it is written. Up to `NARROW` classes a thread has a whole row, which
reaches it through shared memory, so that a warp's accesses are to neighbouring places; beyond, the threads of a warp
or of a block share a row; a row that is wider than a block holds is taken in parts by several blocks (`wide`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import Kernel, blocks_for, device
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, lanes_for
from softgrad.kernels.cuda.teams import WARP, Team, team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import larger, two_sum

# Up to so many classes a row is one thread's.
NARROW = 16
NARROW_THREADS = 128

# A thread's registers hold so many elements of a row beside what the work on them takes.
MOST_ITEMS = {"f": 16, "d": 8}
# And so many where a row lies in the registers twice; a block has so many threads then.
MOST_TWICE = {"f": 4, "d": 2}
THREADS_TWICE = {"f": 1024, "d": 512}
MOST_THREADS = 1024

# Threads of a block in which each warp has a row of its own.
WARP_ROWS = 4


@dataclass(frozen=True)
class Plan:
    """How a row lies in the registers of the threads that share it.

    Attributes
    ----------
    threads
        That share a row: 1, a warp's 32, or all of a block.
    rows
        That a block takes.
    packs, lanes
        Every thread has so many packs of so many neighbours.
    number
        The character of the dtype.
    """

    threads: int
    rows: int
    packs: int
    lanes: int
    number: str

    @property
    def items(self) -> int:
        """How many elements a thread has."""
        return self.packs * self.lanes

    @property
    def width(self) -> int:
        """How many classes fit."""
        return self.threads * self.items

    @property
    def block_threads(self) -> int:
        """The threads of a block."""
        return self.threads * self.rows


def plan_for(classes: int, *arrays: Any) -> Plan:
    """The plan for rows of so many classes; a row, or part of one, that is wider than the plan's width is `wide`."""
    lanes = 1 if classes <= NARROW else lanes_for(*arrays, row=classes)
    return _plan(classes, lanes, arrays[0].dtype.char)


def team_plan_for(classes: int, *arrays: Any) -> Plan:
    """The plan for kernels that hold a row twice: fewer elements a thread, and never less than a warp a row."""
    number = arrays[0].dtype.char
    most_threads = min(MOST_THREADS, THREADS_TWICE[number])
    return _team_plan(classes, lanes_for(*arrays, row=classes), number, MOST_TWICE[number], most_threads)


@cache
def _plan(classes: int, lanes: int, number: str) -> Plan:
    if classes <= NARROW:
        return Plan(1, NARROW_THREADS, classes, 1, number)
    return _team_plan(classes, lanes, number, MOST_ITEMS[number], MOST_THREADS)


@cache
def _team_plan(classes: int, lanes: int, number: str, most_items: int, most_threads: int) -> Plan:
    most_packs = most_items // lanes
    threads = WARP
    while threads < most_threads and threads * lanes * most_packs < classes:
        threads *= 2
    packs = min(most_packs, -(-classes // (threads * lanes)))
    return Plan(threads, WARP_ROWS if threads == WARP else 1, packs, lanes, number)


@cache
def team_for(plan: Plan) -> Team:
    """The reductions over the threads that share a row."""
    return team_of(plan.threads, NUMBER[plan.number])


# ---- the softmax family's sums, over a row in registers


def exponentials_of(plan: Plan, shift: Callable[..., Any], keep: str) -> Callable[..., Any]:
    """Build ``exponentials(values, temperature) -> (largest, rest)`` of a row in registers.

    `rest` is the sum of all exponentials but one of the largest. In `values` are left the logits ("x"), the shifted
    ones ("z") or their exponentials ("e").
    """
    team_max, team_sum, team_count = team_for(plan)
    items = plan.items

    def exponentials(values, temperature):
        largest = const(values[0], -math.inf)
        for k in range(items):
            largest = larger(largest, values[k])
        largest = team_max(largest)
        zero = const(largest, 0.0)
        total, carry, peaks = zero, zero, 0
        for k in range(items):
            z = shift(values[k], largest, temperature)
            e = exp_nonpositive(z)
            peak = z == zero
            if peak:
                peaks += 1
            total, carry = two_sum(total, carry, where(peak, zero, e))
            if keep == "z":
                values[k] = z
            elif keep == "e":
                values[k] = e
        total, carry = team_sum(total, carry)
        return largest, (total + carry) + const(total, team_count(peaks) - 1)

    return jitable(exponentials)


def row_sum_of(plan: Plan, term: Callable[..., Any]) -> Callable[..., Any]:
    """Build ``row_sum(a, b)``, the sum of term(a_j, b_j) over a row in registers, in two parts: terms may cancel."""
    team_sum = team_for(plan).sum
    items = plan.items

    def row_sum(a, b):
        zero = const(a[0], 0.0)
        total, carry = zero, zero
        for k in range(items):
            total, carry = two_sum(total, carry, term(a[k], b[k]))
        return team_sum(total, carry)

    return jitable(row_sum)


# ---- rows to registers and back


def column_of(plan: Plan) -> Callable[..., Any]:
    """Build ``column(k, thread)``, the class of a thread's k-th element."""
    threads, lanes = plan.threads, plan.lanes

    def column(k, thread):
        return (k // lanes * threads + thread) * lanes + k % lanes

    return jitable(column)


def reader_of(plan: Plan) -> Callable[..., Any]:
    """Build ``read(pointer, first, count, thread, values, fill)``: a row from `first` on, `fill` beyond `count`."""
    packs, lanes, threads = plan.packs, plan.lanes, plan.threads
    load, unpack = LOAD[lanes], UNPACK[lanes]

    def read(pointer, first, count, thread, values, fill):
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if j + lanes <= count:
                unpack(values, p * lanes, load(pointer, first + j))
            else:
                for k in range(lanes):
                    values[p * lanes + k] = fill

    return jitable(read)


def writer_of(plan: Plan) -> Callable[..., Any]:
    """Build ``write(values, pointer, first, count, thread)``, the way back."""
    packs, lanes, threads = plan.packs, plan.lanes, plan.threads
    store, pack = STORE[lanes], PACK[lanes]

    def write(values, pointer, first, count, thread):
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if j + lanes <= count:
                store(pointer, first + j, pack(values, p * lanes))

    return jitable(write)


# ---- kernels over rows

Body = Callable[..., Any]


@dataclass(frozen=True)
class Work:
    """What is done to every row, for `row_kernel`.

    ``body(values, others, thread, label, label_logit, number)`` finds the row in `values` and may change it there; what
    it returns is the row's result, a number. `others` is the same row of the second array, if there are `two`. The
    label is -1 and its logit NaN where there is none, or it is no class.
    """

    body: Body
    two: bool = False
    labelled: bool = False
    writes: bool = True
    results: bool = False
    fill: float = -math.inf


def row_kernel(plan: Plan, work: Work) -> Kernel:
    """The kernel ``(x, y, labels, out, results, rows, classes, number)`` that does the work on rows that fit the plan.

    An array for which the work has no use is not looked at.
    """
    build = _narrow_kernel if plan.threads == 1 else _team_kernel
    return Kernel(build(plan, work), threads=plan.block_threads)


def _narrow_kernel(plan: Plan, work: Work) -> Callable[..., None]:
    """A thread a row. The rows of a block pass through shared memory, so that threads side by side access neighbours.

    In shared memory rows are an odd number of elements apart: the threads of a warp then use different banks.
    """
    body, two, labelled, writes, returns = work.body, work.two, work.labelled, work.writes, work.results
    number_type, classes, threads = NUMBER[plan.number], plan.items, plan.rows
    stride = classes | 1
    places, others_size = threads * stride, classes if two else 1

    def take_rows(pointer, first, count, staged, values):
        thread = cuda.threadIdx.x
        for i in range(thread, count, threads):
            staged[i // classes * stride + i % classes] = pointer[first + i]
        cuda.syncthreads()
        for k in range(classes):
            values[k] = staged[thread * stride + k]

    take = device(take_rows)

    def kernel(x, y, labels, out, results, rows, _, number):
        staged = cuda.shared.array(places, number_type)
        values = cuda.local.array(classes, number_type)
        others = cuda.local.array(others_size, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * threads + thread
        first = int64(cuda.blockIdx.x) * threads * classes
        count = min(threads * classes, (rows - int64(cuda.blockIdx.x) * threads) * classes)
        take(x, first, count, staged, values)
        if two:
            cuda.syncthreads()
            take(y, first, count, staged, others)
        label, label_logit = int64(-1), const(number, math.nan)
        if labelled and row < rows:
            for k in range(classes):
                if labels[row] == k:
                    label, label_logit = int64(k), values[k]
        found = body(values, others, 0, label, label_logit, number)
        if writes:
            cuda.syncthreads()
            for k in range(classes):
                staged[thread * stride + k] = values[k]
            cuda.syncthreads()
            for i in range(thread, count, threads):
                out[first + i] = staged[i // classes * stride + i % classes]
        if returns and row < rows:
            results[row] = found

    return kernel


def _team_kernel(plan: Plan, work: Work) -> Callable[..., None]:
    """A warp or a block a row."""
    body, two, labelled, writes, returns = work.body, work.two, work.labelled, work.writes, work.results
    filling = work.fill
    number_type, items, block_rows = NUMBER[plan.number], plan.items, plan.rows
    read, write = reader_of(plan), writer_of(plan)
    others_size = items if two else 1

    def kernel(x, y, labels, out, results, rows, classes, number):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        thread = cuda.threadIdx.x
        row = int64(cuda.blockIdx.x) * block_rows + cuda.threadIdx.y
        if row < rows:  # whole warps leave
            first = row * classes
            read(x, first, classes, thread, values, const(number, filling))
            if two:
                read(y, first, classes, thread, others, const(number, filling))
            label, label_logit = int64(-1), const(number, math.nan)
            if labelled and 0 <= labels[row] < classes:
                label, label_logit = labels[row], x[first + labels[row]]
            found = body(values, others, thread, label, label_logit, number)
            if writes:
                if labelled:
                    cuda.syncwarp()  # the label's logit, which all lanes read, may lie where one of them writes
                write(values, out, first, classes, thread)
            if returns and thread == 0:
                results[row] = found

    return kernel


def launch_rows(
    plan: Plan, work: Callable[..., Work], options: tuple[Any, ...], x: Any, number: float, **arrays: Any
) -> None:
    """Do ``work(plan, *options)`` on every row of the matrix `x`.

    `arrays` are y, labels, out and results, as far as the work uses them.
    """
    rows, classes = x.shape
    y, labels, out, results = (arrays.get(name, x) for name in ("y", "labels", "out", "results"))
    numbers = np.int64(rows), np.int32(classes), x.dtype.type(number)
    threads = plan.rows if plan.threads == 1 else (plan.threads, plan.rows)
    _kernel_for(plan, work, options).launch(blocks_for(rows, plan.rows), threads, x, y, labels, out, results, *numbers)


@cache
def _kernel_for(plan: Plan, work: Callable[..., Work], options: tuple[Any, ...]) -> Kernel:
    return row_kernel(plan, work(plan, *options))
