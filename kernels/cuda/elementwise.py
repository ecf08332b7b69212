"""How a formula becomes a kernel over arrays: sixteen bytes of each a thread."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cuda

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, lanes_for, thread_of_grid
from softgrad.kernels.formulas.registry import Formula
from softgrad.kernels.simd.half import number_dtype


def of_dtype(dtype: Any, numbers: tuple[float, ...]) -> tuple[Any, ...]:
    """The numbers as a kernel over arrays of that dtype takes them."""
    return tuple(map(number_dtype(dtype).type, numbers))


@cache
def unary(formula: Formula, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, *numbers)."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]

    def kernel(x, out, size, numbers):
        values = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            unpack(values, 0, load(x, i))
            for k in range(lanes):
                values[k] = formula(values[k], *numbers)
            store(out, i, pack(values, 0))
        else:
            for k in range(i, size):
                out[k] = formula(x[k], *numbers)

    return Kernel(kernel)


@cache
def binary(formula: Formula, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, y, *numbers)."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]

    def kernel(x, y, out, size, numbers):
        values = cuda.local.array(lanes, number_type)
        others = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            unpack(values, 0, load(x, i))
            unpack(others, 0, load(y, i))
            for k in range(lanes):
                values[k] = formula(values[k], others[k], *numbers)
            store(out, i, pack(values, 0))
        else:
            for k in range(i, size):
                out[k] = formula(x[k], y[k], *numbers)

    return Kernel(kernel)


def launch_unary(formula: Formula, x: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, *numbers), element by element."""
    _launch(unary, formula, (x, out), numbers)


def launch_binary(formula: Formula, x: Any, y: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, y, *numbers), element by element."""
    _launch(binary, formula, (x, y, out), numbers)


def _launch(build: Any, formula: Formula, arrays: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    size, dtype = arrays[0].size, arrays[0].dtype
    if size:
        lanes = lanes_for(*arrays)
        blocks = blocks_for(size, THREADS * lanes)
        kernel = build(formula, lanes, number_dtype(dtype).char)
        kernel.launch(blocks, THREADS, *arrays, np.int64(size), of_dtype(dtype, numbers))
