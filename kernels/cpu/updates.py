"""Optimizer updates: each one pass over a parameter, its gradient and its states, in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import flat, over_range
from softgrad.kernels.cpu.memory import THROUGH_CACHE, lanes_of, line_begin, load_within, zeros
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.formulas.updates import Rule, arrays_of

_put = THROUGH_CACHE.put


# Each calls itself with one array less: the arrays of a tuple are taken one by one while compiling.


@register_jitable
def _load_each(arrays, i, start, stop, fill):
    if len(arrays) == 0:
        return ()
    return (load_within(arrays[0], i, start, stop, fill), *_load_each(arrays[1:], i, start, stop, fill))


@register_jitable
def _put_each(arrays, i, start, stop, values):
    if len(arrays) > 0:
        _put(arrays[0], i, start, stop, values[0])
        _put_each(arrays[1:], i, start, stop, values[1:])


def _loop(rule: Rule) -> Callable[..., None]:
    arrays = arrays_of(rule)

    def loop(start, stop, *arguments):
        param, grad, states = arguments[0], arguments[1], arguments[2:arrays]
        fill = zeros(param)
        numbers = broadcast(fill, arguments[arrays:])
        for i in range(line_begin(param, start), stop, lanes_of(param)):
            p, g = load_within(param, i, start, stop, fill), load_within(grad, i, start, stop, fill)
            values = rule(p, g, *_load_each(states, i, start, stop, fill), numbers)
            _put_each((param, *states), i, start, stop, values)

    return loop


@cache
def update(rule: Rule) -> Callable[..., None]:
    """Build ``step(param, grad, states, numbers)``: a rule's step over contiguous arrays of one size, in place."""
    kernel = over_range(_loop(rule), f"update.{rule.__name__}")

    def step(param, grad, states, numbers):
        kernel(param.size, param.nbytes, flat(param), flat(grad), *map(flat, states), *numbers)

    return step
