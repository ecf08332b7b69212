"""Optimizer updates on the card: each one pass over a parameter, its gradient and its states, in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import cuda
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK, lanes_for, thread_of_grid
from softgrad.kernels.formulas.updates import Rule, arrays_of

# Each calls itself with one array less: the arrays of a tuple are taken one by one while compiling.


@register_jitable
def _take_each(arrays, values, at, step):
    """A number of each array, from the thread's own `values`."""
    if len(arrays) == 0:
        return ()
    return (values[at], *_take_each(arrays[1:], values, at + step, step))


@register_jitable
def _put_each(results, values, at, step):
    if len(results) > 0:
        values[at] = results[0]
        _put_each(results[1:], values, at + step, step)


@cache
def _kernel(rule: Rule, lanes: int, number: str) -> Kernel:
    """The kernel of a rule over (param, *states), the gradient and the numbers."""
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    count = arrays_of(rule) - 1
    places = count * lanes

    def kernel(arrays, grad, size, numbers):
        values = cuda.local.array(places, number_type)
        grads = cuda.local.array(lanes, number_type)
        i = thread_of_grid() * lanes
        if i + lanes <= size:
            unpack(grads, 0, load(grad, i))
            for j in range(count):
                unpack(values, j * lanes, load(arrays[j], i))
            for k in range(lanes):
                taken = _take_each(arrays, values, k, lanes)
                _put_each(rule(taken[0], grads[k], *taken[1:], numbers), values, k, lanes)
            for j in range(count):
                store(arrays[j], i, pack(values, j * lanes))
        else:
            for k in range(i, size):
                for j in range(count):
                    values[j] = arrays[j][k]
                taken = _take_each(arrays, values, 0, 1)
                _put_each(rule(taken[0], grad[k], *taken[1:], numbers), values, 0, 1)
                for j in range(count):
                    arrays[j][k] = values[j]

    return Kernel(kernel, f"update.{rule.__name__}.{number}.{lanes}")


@cache
def update(rule: Rule) -> Callable[..., None]:
    """Build ``step(param, grad, states, numbers)``: a rule's step over contiguous arrays of one size, in place."""

    def step(param, grad, states, numbers):
        if param.size:
            lanes = lanes_for(param, grad, *states)
            kernel = _kernel(rule, lanes, param.dtype.char)
            blocks = blocks_for(param.size, THREADS * lanes)
            numbers = tuple(map(param.dtype.type, numbers))
            kernel.launch(blocks, THREADS, (param, *states), grad, np.int64(param.size), numbers)

    return step
