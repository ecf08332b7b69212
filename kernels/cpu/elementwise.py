"""Any formula over arrays: one pass over all of them, a vector at a time.

Arrays for one thread are taken by a NumPy ufunc (`ufuncs`), larger ones, or those of 16-bit floats, flat by a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import STREAM_BYTES, Kernel, flattened, over_range
from softgrad.kernels.cpu.memory import (
    LINE_BYTES,
    Put,
    lanes_of,
    line_begin,
    load_within,
    past_cache,
    through_cache,
    zeros,
)
from softgrad.kernels.cpu.ufuncs import Ufuncs
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import Formula
from softgrad.kernels.simd.vector import broadcast

# Numba goes through a tuple of arrays by functions built for as many, each of which takes a while to compile: so one
# takes an array or two.


def _loads_of(count: int) -> Callable[..., Any]:
    """Build what loads the lanes of so many arrays, as a tuple."""
    if count == 1:

        def of_one(arrays, i, start, stop, fill):
            return (load_within(arrays[0], i, start, stop, fill),)

        return jitable(of_one)
    if count == 2:

        def of_two(arrays, i, start, stop, fill):
            return load_within(arrays[0], i, start, stop, fill), load_within(arrays[1], i, start, stop, fill)

        return jitable(of_two)
    others = _loads_of(count - 2)

    def of_more(arrays, i, start, stop, fill):
        a, b = load_within(arrays[0], i, start, stop, fill), load_within(arrays[1], i, start, stop, fill)
        return (a, b, *others(arrays[2:], i, start, stop, fill))

    return jitable(of_more)


def _puts_of(count: int, put: Put) -> Callable[..., None]:
    """Build what writes as many results to as many arrays: a tuple, but of one the number itself."""
    if count == 1:

        def of_one(outs, i, start, stop, result):
            put(outs[0], i, start, stop, result)

        return jitable(of_one)
    if count == 2:

        def of_two(outs, i, start, stop, results):
            put(outs[0], i, start, stop, results[0])
            put(outs[1], i, start, stop, results[1])

        return jitable(of_two)
    two, others = _puts_of(2, put), _puts_of(count - 2, put)
    last = count == 3

    def of_more(outs, i, start, stop, results):
        two(outs[:2], i, start, stop, results[:2])
        others(outs[2:], i, start, stop, results[2] if last else results[2:])

    return jitable(of_more)


def _loop(formula: Formula, arrays: int, results: int, put: Put) -> Callable[..., None]:
    loads, puts = _loads_of(arrays), _puts_of(results, put)
    behind = arrays + results

    def loop(start, stop, *arguments):
        inputs, outs = arguments[:arrays], arguments[arrays:behind]
        fill = zeros(inputs[0])
        values = broadcast(fill, arguments[behind:])
        for i in range(line_begin(outs[0], start), stop, lanes_of(inputs[0])):
            puts(outs, i, start, stop, formula(*loads(inputs, i, start, stop, fill), *values))

    return loop


@cache
def ufuncs(formula: Formula, arrays: int, results: int, parameters: int) -> Ufuncs:
    """For each dtype the ufunc of so many arrays and parameters."""
    return Ufuncs(lambda: jitable(_loop(formula, arrays, results, through_cache)), arrays, results, parameters)


@cache
def _kernel(formula: Formula, arrays: int, results: int, put: Put) -> Kernel:
    return over_range(_loop(formula, arrays, results, put), streams=put is past_cache)


@cache
def over_arrays(formula: Formula, arrays: int, results: int) -> Callable[..., None]:
    """Build ``run(inputs, parameters, outs)`` of tuples: outs = formula(*inputs, *parameters), element by element."""

    def run(inputs, parameters, outs):
        first = inputs[0]
        if first.nbytes < threads.PARALLEL_BYTES:
            ufunc = ufuncs(formula, arrays, results, len(parameters))[first.dtype]
            if ufunc is not None:
                ufunc(*inputs, *map(first.dtype.type, parameters), *outs)
                return
        put = past_cache if _streams(inputs, outs) else through_cache
        kernel = _kernel(formula, arrays, results, put)
        kernel(first.size, first.nbytes, *flattened(*inputs, *outs), *parameters)

    return run


def _streams(inputs: tuple[Any, ...], outs: tuple[Any, ...]) -> bool:
    """Are the results to go past the cache: is there too much, and do they begin alike within a line?"""
    if (len(inputs) + len(outs)) * outs[0].nbytes < STREAM_BYTES:
        return False
    return len(outs) == 1 or len({out.ctypes.data % LINE_BYTES for out in outs}) == 1


def small_elementwise(formula: Formula, arrays: int, defaults: tuple[float, ...]) -> Callable[..., Any]:
    """Build ``small(inputs, out)``: a formula's single result with these parameters, in `out` or a new array.

    It is None if the first input is not small, contiguous and of a kernel's dtype; the others, and `out`, must be like
    it. `out` may lie anywhere.
    """
    table, operands = ufuncs(formula, arrays, 1, len(defaults)), default_operands(defaults)

    def small(inputs, out):
        first = inputs[0]
        if (
            first.nbytes < threads.PARALLEL_BYTES
            and (ufunc := table[first.dtype]) is not None
            and first.flags.c_contiguous
        ):
            return ufunc(*inputs, *operands[first.dtype], out)
        return None

    return small


def default_operands(defaults: tuple[float, ...]) -> dict[Any, tuple[Any, ...]]:
    """The parameters as ufuncs take them soonest, arrays of each dtype."""
    dtypes = np.dtype(np.float32), np.dtype(np.float64)
    return {dtype: tuple(np.asarray(value, dtype) for value in defaults) for dtype in dtypes}
