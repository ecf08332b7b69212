"""How a formula becomes a kernel over arrays: sixteen bytes of each at a time, and of those a few a thread."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, are_aligned, lanes_for, partly_of
from softgrad.kernels.formulas.registry import Formula
from softgrad.kernels.simd.half import number_dtype


def of_dtype(dtype: Any, numbers: tuple[float, ...]) -> tuple[Any, ...]:
    """The numbers as a kernel over arrays of that dtype takes them."""
    return tuple(map(number_dtype(dtype).type, numbers))


# How many packs a thread takes: what a thread begins and ends with is shared by their elements.
PACKS = 2


@cache
def unary(formula: Formula, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, *numbers)."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    (take, give), items = partly_of(lanes), PACKS * lanes

    def kernel(x, out, size, numbers):
        values = cuda.local.array(items, number_type)
        i = int64(cuda.blockIdx.x) * (THREADS * items) + cuda.threadIdx.x * lanes
        whole = i + (items - lanes) * THREADS + lanes <= size
        if whole:
            for k in range(0, items, lanes):
                unpack(values, k, load(x, i + k * THREADS))
        else:
            for k in range(0, items, lanes):
                take(values, k, x, i + k * THREADS, size)
        for k in range(items):
            values[k] = formula(values[k], *numbers)
        if whole:
            for k in range(0, items, lanes):
                store(out, i + k * THREADS, pack(values, k))
        else:
            for k in range(0, items, lanes):
                give(values, k, out, i + k * THREADS, size)

    return Kernel(kernel)


@cache
def binary(formula: Formula, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, y, *numbers)."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    (take, give), items = partly_of(lanes), PACKS * lanes

    def kernel(x, y, out, size, numbers):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(items, number_type)
        i = int64(cuda.blockIdx.x) * (THREADS * items) + cuda.threadIdx.x * lanes
        whole = i + (items - lanes) * THREADS + lanes <= size
        if whole:
            for k in range(0, items, lanes):
                unpack(values, k, load(x, i + k * THREADS))
                unpack(others, k, load(y, i + k * THREADS))
        else:
            for k in range(0, items, lanes):
                take(values, k, x, i + k * THREADS, size)
                take(others, k, y, i + k * THREADS, size)
        for k in range(items):
            values[k] = formula(values[k], others[k], *numbers)
        if whole:
            for k in range(0, items, lanes):
                store(out, i + k * THREADS, pack(values, k))
        else:
            for k in range(0, items, lanes):
                give(values, k, out, i + k * THREADS, size)

    return Kernel(kernel)


def launch_unary(formula: Formula, x: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, *numbers), element by element."""
    _launch(unary, formula, (x, out), numbers)


def launch_binary(formula: Formula, x: Any, y: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, y, *numbers), element by element."""
    _launch(binary, formula, (x, y, out), numbers)


_launches = Launches()


def _launch(build: Any, formula: Formula, arrays: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    size, dtype = arrays[0].size, arrays[0].dtype
    key = build, formula, size, dtype.char, are_aligned(*arrays)
    numbers = of_dtype(dtype, numbers) if numbers else ()
    launch = _launches.get(key)
    if launch is None:
        if size == 0:
            return
        lanes = lanes_for(*arrays)
        kernel = build(formula, lanes, number_dtype(dtype).char)
        blocks = blocks_for(size, THREADS * PACKS * lanes)
        launch = Launch(kernel, blocks, THREADS, *arrays, np.int64(size), numbers)
        _launches[key] = launch
    launch(*arrays, numbers=(launch.numbers[0], *numbers))
