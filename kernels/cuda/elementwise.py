"""How a formula becomes a kernel over arrays: sixteen bytes of each a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import LOAD, STORE, lanes_for, thread_of_grid

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


@cache
def unary(formula: Function, numbers: int, lanes: int) -> Kernel:
    """The kernel of out = formula(x, *numbers)."""
    f = with_two_numbers(formula, 1, numbers)
    load, store = LOAD[lanes], STORE[lanes]
    apply = _over_pack_of_one(f, lanes)

    def kernel(x, out, size, a, b):
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            store(out, i, apply(load(x, i), a, b))
        else:
            for k in range(i, size):
                out[k] = f(x[k], a, b)

    return Kernel(kernel, f"unary.{formula.__module__}.{formula.__name__}.{lanes}")


@cache
def binary(formula: Function, numbers: int, lanes: int) -> Kernel:
    """The kernel of out = formula(x, y, *numbers)."""
    f = with_two_numbers(formula, 2, numbers)
    load, store = LOAD[lanes], STORE[lanes]
    apply = _over_packs_of_two(f, lanes)

    def kernel(x, y, out, size, a, b):
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            store(out, i, apply(load(x, i), load(y, i), a, b))
        else:
            for k in range(i, size):
                out[k] = f(x[k], y[k], a, b)

    return Kernel(kernel, f"binary.{formula.__module__}.{formula.__name__}.{lanes}")


def launch_unary(formula: Function, x: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, *numbers), element by element."""
    _launch(unary, formula, (x, out), numbers)


def launch_binary(formula: Function, x: Any, y: Any, numbers: tuple[float, ...], out: Any) -> None:
    """out = formula(x, y, *numbers), element by element."""
    _launch(binary, formula, (x, y, out), numbers)


def _launch(build: Any, formula: Function, arrays: tuple[Any, ...], numbers: tuple[float, ...]) -> None:
    size, number = arrays[0].size, arrays[0].dtype.type
    if size == 0:
        return
    lanes = lanes_for(*arrays)
    a, b = (*map(number, numbers), number(0), number(0))[:2]
    kernel = build(formula, len(numbers), lanes)
    kernel.launch(blocks_for(size, THREADS * lanes), THREADS, *arrays, np.int64(size), a, b)


def _over_pack_of_one(f: Function, lanes: int) -> Function:
    apply = {
        1: lambda x, a, b: (f(x[0], a, b),),
        2: lambda x, a, b: (f(x[0], a, b), f(x[1], a, b)),
        4: lambda x, a, b: (f(x[0], a, b), f(x[1], a, b), f(x[2], a, b), f(x[3], a, b)),
    }[lanes]
    apply.__qualname__ = f"over_pack_of_one.{f.__qualname__}.{lanes}"
    return register_jitable(apply)


def _over_packs_of_two(f: Function, lanes: int) -> Function:
    apply = {
        1: lambda x, y, a, b: (f(x[0], y[0], a, b),),
        2: lambda x, y, a, b: (f(x[0], y[0], a, b), f(x[1], y[1], a, b)),
        4: lambda x, y, a, b: (
            f(x[0], y[0], a, b), f(x[1], y[1], a, b), f(x[2], y[2], a, b), f(x[3], y[3], a, b),
        ),
    }[lanes]  # fmt: skip
    apply.__qualname__ = f"over_packs_of_two.{f.__qualname__}.{lanes}"
    return register_jitable(apply)
