"""How a formula becomes a kernel over arrays: sixteen bytes of each a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, lanes_for, thread_of_grid

# A formula of `arrays` elements and so many numbers, as a function of the elements and always two numbers.
Function = Callable[..., Any]


def with_two_numbers(formula: Function, arrays: int, numbers: int) -> Function:
    """``formula(*elements, *numbers)`` as a function of one or two elements and always two numbers.

    A compiled kernel has a fixed number of arguments.
    """
    of_elements: Function
    if arrays == 1:
        of_elements = (
            lambda x, a, b: formula(x),
            lambda x, a, b: formula(x, a),
            lambda x, a, b: formula(x, a, b),
        )[numbers]
    else:
        of_elements = (
            lambda x, y, a, b: formula(x, y),
            lambda x, y, a, b: formula(x, y, a),
            lambda x, y, a, b: formula(x, y, a, b),
        )[numbers]
    of_elements.__qualname__ = f"with_two_numbers.{formula.__module__}.{formula.__qualname__}.{arrays}.{numbers}"
    return register_jitable(of_elements)


def two_numbers(dtype: Any, numbers: tuple[float, ...]) -> tuple[Any, Any]:
    """Up to two numbers as the two of that dtype which a kernel takes."""
    first, second, *_ = (*map(dtype.type, numbers), dtype.type(0), dtype.type(0))
    return first, second


@cache
def unary(formula: Function, numbers: int, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, *numbers)."""
    f = with_two_numbers(formula, 1, numbers)
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]

    def kernel(x, out, size, a, b):
        values = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            unpack(values, 0, load(x, i))
            for k in range(lanes):
                values[k] = f(values[k], a, b)
            store(out, i, pack(values, 0))
        else:
            for k in range(i, size):
                out[k] = f(x[k], a, b)

    return Kernel(kernel, f"unary.{formula.__module__}.{formula.__name__}.{number}.{lanes}")


@cache
def binary(formula: Function, numbers: int, lanes: int, number: str) -> Kernel:
    """The kernel of out = formula(x, y, *numbers)."""
    f = with_two_numbers(formula, 2, numbers)
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]

    def kernel(x, y, out, size, a, b):
        values = cuda.local.array(lanes, number_type)
        others = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            unpack(values, 0, load(x, i))
            unpack(others, 0, load(y, i))
            for k in range(lanes):
                values[k] = f(values[k], others[k], a, b)
            store(out, i, pack(values, 0))
        else:
            for k in range(i, size):
                out[k] = f(x[k], y[k], a, b)

    return Kernel(kernel, f"binary.{formula.__module__}.{formula.__name__}.{number}.{lanes}")


def launch_unary(formula: Function, x: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, *numbers), element by element."""
    _launch(unary, formula, (x, out), numbers)


def launch_binary(formula: Function, x: Any, y: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, y, *numbers), element by element."""
    _launch(binary, formula, (x, y, out), numbers)


def _launch(build: Any, formula: Function, arrays: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    size, dtype = arrays[0].size, arrays[0].dtype
    if size:
        lanes = lanes_for(*arrays)
        kernel = build(formula, len(numbers), lanes, dtype.char)
        blocks = blocks_for(size, THREADS * lanes)
        kernel.launch(blocks, THREADS, *arrays, np.int64(size), *two_numbers(dtype, numbers))
