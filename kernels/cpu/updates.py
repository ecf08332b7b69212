"""Optimizer updates: each one pass over a parameter, its gradient and its states, in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import flattened, over_range
from softgrad.kernels.cpu.memory import lanes_of, line_begin, load_within, through_cache, zeros
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import UpdateRule
from softgrad.kernels.simd.vector import broadcast

# Each calls itself with one array less: the arrays of a tuple are taken one by one while compiling.


@jitable
def _load_each(arrays, i, start, stop, fill):
    if len(arrays) == 0:
        return ()
    return (load_within(arrays[0], i, start, stop, fill), *_load_each(arrays[1:], i, start, stop, fill))


@jitable
def _put_each(arrays, i, start, stop, values):
    if len(arrays) > 0:
        through_cache(arrays[0], i, start, stop, values[0])
        _put_each(arrays[1:], i, start, stop, values[1:])


def _loop(rule: UpdateRule) -> Callable[..., None]:
    formula, arrays = rule.step, 2 + len(rule.states)

    def loop(start, stop, *arguments):
        param, grad, states = arguments[0], arguments[1], arguments[2:arrays]
        fill = zeros(param)
        numbers = broadcast(fill, arguments[arrays:])
        for i in range(line_begin(param, start), stop, lanes_of(param)):
            p, g = load_within(param, i, start, stop, fill), load_within(grad, i, start, stop, fill)
            values = formula(p, g, *_load_each(states, i, start, stop, fill), *numbers)
            _put_each((param, *states), i, start, stop, values)

    return loop


@cache
def update(rule):
    kernel = over_range(_loop(rule))

    def step(param, grad, states, numbers):
        kernel(param.size, param.nbytes, *flattened(param, grad, *states), *numbers)

    return step
