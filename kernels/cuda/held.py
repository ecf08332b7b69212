"""Rows that the registers of a block have no room for, but its shared memory has: read once and written once.

The threads go over a row in rounds, each over its own packs, and keep them in places that no other thread touches, so
that they wait for each other only for the reductions. The first round brings a row there, several packs at a time, for
which memory is waited for together; the others take a pack at a time. There are as many threads as the rounds need, so
that little is done beyond the row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int32, int64

from softgrad.kernels.cuda.launch import STATIC_SHARED, Kernel, blocks_for, device, shared_bytes
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, PACK_BYTES, STORE, UNPACK, lanes_for, shared_room_of
from softgrad.kernels.cuda.plans import MOST_ITEMS, MOST_THREADS, Plan
from softgrad.kernels.cuda.registers import frame_of, largest_of, reader_of, skipped, team_for, writer_of
from softgrad.kernels.cuda.rows import Work, arguments_of
from softgrad.kernels.cuda.teams import WARP
from softgrad.kernels.cuda.wide import parts_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.sums import SETTLED_EVERY
from softgrad.kernels.simd.half import number_dtype

Function = Callable[..., Any]

# What the driver keeps of a processor's shared memory for each block.
DRIVER_BYTES = 1024


def held_plan(classes: int, *arrays: Any, twice: bool = False) -> tuple[Plan, bool] | None:
    """The plan of the rounds over rows that shared memory has room for, of a pack a thread; None if it has not.

    And whether it has room for those of two arrays, where work takes rows `twice`. Two blocks a processor of the GPU,
    whose loads and stores then overlap, if there is room for both.
    """
    number, most, lanes = number_dtype(arrays[0].dtype).char, shared_bytes(), lanes_for(*arrays)
    blocks = (MOST_THREADS[number] // 2, (most - DRIVER_BYTES) // 2), (MOST_THREADS[number], most)
    # Rounds in whole groups of those that are read at once, if there is room for such, or else in the others'.
    groups = _at_once(number, lanes, twice), _at_once(number, lanes, not twice), 1
    for both in (True, False) if twice else (False,):
        for most_threads, room in blocks:
            for at_once in groups:
                plan = _plan(classes, lanes, number, most_threads, at_once)
                few = _places(plan, classes) <= SETTLED_EVERY * plan.threads  # of a thread's sums
                if few and _bytes(plan, classes, both) + STATIC_SHARED <= room:
                    return plan, both
    return None


def _at_once(number: str, lanes: int, two: bool) -> int:
    """How many packs a thread reads, of one array or of `two`, before it waits for memory."""
    return max(1, MOST_ITEMS[number] // lanes // (2 if two else 1))


@cache
def _plan(classes: int, lanes: int, number: str, most_threads: int, at_once: int) -> Plan:
    """The plan of no more threads than that for rounds which are read so many `at_once`."""
    ragged = classes % lanes > 0
    packs = blocks_for(classes + (lanes - 1 if ragged else 0), lanes)
    rounds = blocks_for(packs, most_threads * at_once) * at_once
    threads = blocks_for(packs, rounds * WARP) * WARP
    return Plan(threads, 1, 1, lanes, number, ragged=ragged)


def _places(plan: Plan, classes: int) -> int:
    """How many elements of a row are held, with those beyond it."""
    return parts_of(classes, plan) * plan.columns


def _bytes(plan: Plan, classes: int, both: bool) -> int:
    return _places(plan, classes) * np.dtype(plan.number).itemsize * (2 if both else 1)


@cache
def _round_of(plan: Plan) -> Function:
    """Build ``round_(c, thread, low, high) -> (begin, place)``, the first column of a round, and the place there."""
    columns = plan.columns

    def round_(c, thread, low, high):
        begin = int32(c * columns)
        return begin, (thread, begin - low, low - begin, high - begin)

    return jitable(round_)


@cache
def _holding(plan: Plan) -> tuple[Function, Function]:
    """Build ``hold(values, p, held, begin, thread)`` and ``take``, the way back.

    The p-th pack of a thread is held in the places of the round from `begin` on, in accesses of sixteen bytes, each of
    which has those of neighbouring threads beside it.
    """
    threads, lanes = plan.threads, plan.lanes
    width = min(lanes, PACK_BYTES // np.dtype(plan.number).itemsize)  # of an access
    load, store, unpack, pack = LOAD[width], STORE[width], UNPACK[width], PACK[width]

    def hold(values, p, held, begin, thread):
        for k in range(0, lanes, width):
            store(held, begin + k * threads + thread * width, pack(values, p * lanes + k))

    def take(values, p, held, begin, thread):
        for k in range(0, lanes, width):
            unpack(values, p * lanes + k, load(held, begin + k * threads + thread * width))

    return jitable(hold), jitable(take)


def _arrival_of(plan: Plan, work: Callable[..., Work], options: tuple[Any, ...], keeps: bool) -> Function:
    """Build ``arrive(x, y, first, held, beside, count, row, numbers, sums) -> (largest, sums)``, the first round.

    It brings a row, or two, to their places, and finds a thread's largest element or, where that is not asked for, its
    sums. ``row = (thread, low, high)``.
    """
    peaked = work(plan, *options).peaked
    several = replace(plan, packs=_at_once(plan.number, plan.lanes, not peaked))
    done, number_type, items = work(several, *options), NUMBER[plan.number], several.items
    packs, columns, filling = several.packs, plan.columns, done.fill
    others_size, uncapped_size = (1 if peaked else items), items if done.cap else 1
    read, round_, (hold, _) = reader_of(several), _round_of(plan), _holding(several)
    cap, add, largest_of_mine = done.cap or skipped, done.summed.add, largest_of(several)

    def arrive(x, y, first, held, beside, count, row, numbers, sums):
        thread, low, high = row
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(uncapped_size, number_type)
        largest = number_type(-math.inf)
        for c in range(0, count, packs):
            begin, place = round_(c, thread, low, high)
            read(x, first + begin, place, values, number_type(filling))
            if peaked:
                cap(values, uncapped, place, numbers)
                largest = largest_of_mine(values, largest)
            else:
                read(y, first + begin, place, others, number_type(filling))
                sums = add(values, others, place, largest, numbers, sums)
            for p in range(packs):
                if c + p < count:
                    hold(values, p, held, begin + p * columns, thread)
                    if keeps and not peaked:
                        hold(others, p, held, beside + begin + p * columns, thread)
        return largest, sums

    return device(arrive)


@cache
def _held_kernel(plan: Plan, work: Callable[..., Work], options: tuple[Any, ...], keeps: bool) -> Kernel:
    """The kernel that `keeps` others as well as values, or makes them anew for the last round."""
    arrive, done = _arrival_of(plan, work, options, keeps), work(plan, *options)
    two, peaked, labelled, returns, capped = done.two, done.peaked, done.labelled, done.returns, done.cap is not None
    number_type, items, columns = NUMBER[plan.number], plan.items, plan.columns
    others_size, uncapped_size = done.sizes(items)
    frame, read, write = frame_of(plan), reader_of(plan), writer_of(plan)
    round_, (hold, take), team_max = _round_of(plan), _holding(plan), team_for(plan).max
    room = shared_room_of(plan.number)
    nothing, add, settle_sums = done.summed
    prepare, settle, finish, writes = (
        done.prepare or skipped,
        done.settle,
        done.finish or skipped,
        done.finish is not None,
    )

    def kernel(x, y, weight, labels, out, results, classes, numbers):
        held = room()
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(others_size, number_type)
        uncapped = cuda.local.array(uncapped_size, number_type)
        thread, row, zero = cuda.threadIdx.x, int64(cuda.blockIdx.x), number_type(0)
        first, low = frame(row * classes)
        high = int32(low + classes)
        count = int32((high + columns - 1) // columns)
        beside = int32(count * columns)  # where others are held
        label, known, logit = int64(-1), False, number_type(math.nan)
        if labelled:
            label = int64(labels[row])
            known = 0 <= label < classes
            if known:
                logit = x[row * classes + label]
        target = label, known, logit
        largest, sums = arrive(x, y, first, held, beside, count, (thread, low, high), numbers, nothing(zero))
        if peaked:
            largest = team_max(largest)
            for c in range(count):
                begin, place = round_(c, thread, low, high)
                take(values, 0, held, begin, thread)
                if two:
                    read(y, first + begin, place, others, zero)
                prepare(others, weight, place, numbers)
                sums = add(values, others, place, largest, numbers, sums)
                if writes:
                    hold(values, 0, held, begin, thread)
                    if keeps:
                        hold(others, 0, held, beside + begin, thread)
        result, of_row = settle(settle_sums(sums), largest, target, weight, numbers)
        for c in range(count if writes else 0):
            begin, place = round_(c, thread, low, high)
            take(values, 0, held, begin, thread)
            if keeps:
                take(others, 0, held, beside + begin, thread)
            else:
                if two:
                    read(y, first + begin, place, others, zero)
                prepare(others, weight, place, numbers)
            if capped:
                read(x, first + begin, place, uncapped, zero)
            finish(values, others, uncapped, place, target, of_row, numbers)
            write(values, out, first + begin, place)
        if returns and thread == 0:
            results[row] = result

    return Kernel(kernel, threads=plan.threads, blocks=max(1, MOST_THREADS[plan.number] // plan.threads), shared=True)


def launch_held(
    plan: Plan, keeps: bool, work: Callable[..., Work], options: tuple[Any, ...], x: Any, numbers: Any, **arrays: Any
) -> None:
    """Do ``work(plan, *options)`` on every row of the matrix `x`, as `rows.launch_rows` does."""
    rows, classes = x.shape
    given = arguments_of(x, arrays)
    kernel = _held_kernel(plan, work, options, keeps)
    kernel.launch(rows, plan.threads, *given, np.int32(classes), numbers, shared=_bytes(plan, classes, keeps))
