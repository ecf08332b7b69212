"""Optimizer updates on the GPU: each one pass over a parameter, its gradient and its states, in place."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda

from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.cuda.memory import (
    LOAD,
    NUMBER,
    PACK,
    STORE,
    UNPACK,
    are_aligned,
    lanes_for,
    partly_of,
    thread_of_grid,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import UpdateRule
from softgrad.kernels.simd.half import number_dtype

# Each calls itself with one array less: the arrays of a tuple are taken one by one while compiling.


@jitable
def _take_each(arrays, values, at, step):
    """A number of each array, from the thread's own `values`."""
    if len(arrays) == 0:
        return ()
    return (values[at], *_take_each(arrays[1:], values, at + step, step))


@jitable
def _put_each(results, values, at, step):
    if len(results) > 0:
        values[at] = results[0]
        _put_each(results[1:], values, at + step, step)


@cache
def update_kernel(rule: UpdateRule, lanes: int, number: str) -> Kernel:
    """The kernel of a rule over (param, *states), the gradient and the numbers."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    formula, count = rule.step, 1 + len(rule.states)
    (take, give), places = partly_of(lanes), count * lanes

    def kernel(arrays, grad, size, numbers):
        values = cuda.local.array(places, number_type)
        grads = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        whole = i + lanes <= size
        if whole:
            unpack(grads, 0, load(grad, i))
            for j in range(count):
                unpack(values, j * lanes, load(arrays[j], i))
        else:
            take(grads, 0, grad, i, size)
            for j in range(count):
                take(values, j * lanes, arrays[j], i, size)
        for k in range(lanes):
            taken = _take_each(arrays, values, k, lanes)
            _put_each(formula(taken[0], grads[k], *taken[1:], *numbers), values, k, lanes)
        if whole:
            for j in range(count):
                store(arrays[j], i, pack(values, j * lanes))
        else:
            for j in range(count):
                give(values, j * lanes, arrays[j], i, size)

    return Kernel(kernel)


@cache
def update(rule):
    launches = Launches()

    def step(param, grad, states, numbers):
        size, dtype, arrays = param.size, param.dtype, (param, *states, grad)
        key = size, dtype.char, grad.dtype.char, are_aligned(*arrays)
        numbers = of_dtype(dtype, numbers)
        launch = launches.get(key)
        if launch is None:
            if size == 0:
                return
            lanes = lanes_for(*arrays)
            kernel = update_kernel(rule, lanes, number_dtype(dtype).char)
            blocks = blocks_for(size, THREADS * lanes)
            launch = Launch(kernel, blocks, THREADS, arrays[:-1], grad, np.int64(size), numbers)
            launches[key] = launch
        launch(*arrays, numbers=(launch.numbers[0], *numbers))

    return step
