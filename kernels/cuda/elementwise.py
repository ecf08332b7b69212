"""How a formula becomes a kernel over arrays: sixteen bytes of each at a time, and of those a few a thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, are_aligned, lanes_for, partly_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import Formula
from softgrad.kernels.simd.half import number_dtype


def of_dtype(dtype: Any, numbers: tuple[float, ...]) -> tuple[Any, ...]:
    """The numbers as a kernel over arrays of that dtype takes them."""
    return tuple(map(number_dtype(dtype).type, numbers))


# How many packs a thread takes: what a thread begins and ends with is shared by their elements.
PACKS = 2


@cache
def elementwise_kernel(formula: Formula, arrays: int, results: int, lanes: int, number: str) -> Kernel:
    """The kernel of outs = formula(*inputs, *numbers), of so many inputs and outs."""
    number_type, items = NUMBER[number], PACKS * lanes
    loads, takes = _reads_of(arrays, lanes, items)
    stores, gives = _writes_of(results, lanes, items)
    arguments_at, keep = _arguments_of(arrays, items), _keep_of(results, items)
    places = items * max(arrays, results)

    def kernel(inputs, outs, size, numbers):
        values = cuda.local.array(places, number_type)  # those of each input, then those of each result
        i = int64(cuda.blockIdx.x) * (THREADS * items) + cuda.threadIdx.x * lanes
        whole = i + (items - lanes) * THREADS + lanes <= size
        if whole:
            for k in range(0, items, lanes):
                loads(values, k, inputs, i + k * THREADS)
        else:
            for k in range(0, items, lanes):
                takes(values, k, inputs, i + k * THREADS, size)
        for k in range(items):
            keep(values, k, formula(*arguments_at(values, k), *numbers))
        if whole:
            for k in range(0, items, lanes):
                stores(values, k, outs, i + k * THREADS)
        else:
            for k in range(0, items, lanes):
                gives(values, k, outs, i + k * THREADS, size)

    return Kernel(kernel)


# Numba goes through a tuple of arrays by functions built for as many.


def _reads_of(count: int, lanes: int, items: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Build what loads a pack of each array, from its place on in the values, and what takes a part of one."""
    load, unpack, (take, _) = LOAD[lanes], UNPACK[lanes], partly_of(lanes)
    if count == 1:

        def loads_one(values, at, arrays, i):
            unpack(values, at, load(arrays[0], i))

        def takes_one(values, at, arrays, i, size):
            take(values, at, arrays[0], i, size)

        return jitable(loads_one), jitable(takes_one)
    load_others, take_others = _reads_of(count - 1, lanes, items)

    def loads(values, at, arrays, i):
        unpack(values, at, load(arrays[0], i))
        load_others(values, at + items, arrays[1:], i)

    def takes(values, at, arrays, i, size):
        take(values, at, arrays[0], i, size)
        take_others(values, at + items, arrays[1:], i, size)

    return jitable(loads), jitable(takes)


def _writes_of(count: int, lanes: int, items: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """The ways back."""
    store, pack, (_, give) = STORE[lanes], PACK[lanes], partly_of(lanes)
    if count == 1:

        def stores_one(values, at, arrays, i):
            store(arrays[0], i, pack(values, at))

        def gives_one(values, at, arrays, i, size):
            give(values, at, arrays[0], i, size)

        return jitable(stores_one), jitable(gives_one)
    store_others, give_others = _writes_of(count - 1, lanes, items)

    def stores(values, at, arrays, i):
        store(arrays[0], i, pack(values, at))
        store_others(values, at + items, arrays[1:], i)

    def gives(values, at, arrays, i, size):
        give(values, at, arrays[0], i, size)
        give_others(values, at + items, arrays[1:], i, size)

    return jitable(stores), jitable(gives)


def _arguments_of(count: int, items: int) -> Callable[..., Any]:
    """Build what gives the formula's arguments, of each array the value at a place, as a tuple."""
    if count == 1:

        def one(values, at):
            return (values[at],)

        return jitable(one)
    others = _arguments_of(count - 1, items)

    def arguments(values, at):
        return (values[at], *others(values, at + items))

    return jitable(arguments)


def _keep_of(count: int, items: int) -> Callable[..., None]:
    """Build what keeps its results there: a tuple, but of one the number itself."""
    if count == 1:

        def keep_one(values, at, result):
            values[at] = result

        return jitable(keep_one)

    last, others = count == 2, _keep_of(count - 1, items)

    def keep(values, at, results):
        values[at] = results[0]
        others(values, at + items, results[1] if last else results[1:])

    return jitable(keep)


_launches = Launches()


@cache
def over_arrays(formula: Formula, arrays: int, results: int) -> Callable[..., None]:
    """Build ``run(inputs, numbers, outs)`` of tuples: outs = formula(*inputs, *numbers), element by element."""

    def run(inputs, numbers, outs):
        every = inputs + outs
        first = inputs[0]
        size, dtype = first.size, first.dtype
        key = formula, size, dtype.char, are_aligned(*every)
        numbers = of_dtype(dtype, numbers) if numbers else ()
        launch = _launches.get(key)
        if launch is None:
            if size == 0:
                return
            lanes = lanes_for(*every)
            kernel = elementwise_kernel(formula, arrays, results, lanes, number_dtype(dtype).char)
            blocks = blocks_for(size, THREADS * PACKS * lanes)
            launch = Launch(kernel, blocks, THREADS, inputs, outs, np.int64(size), numbers)
            _launches[key] = launch
        launch(*every, numbers=(launch.numbers[0], *numbers))

    return run
