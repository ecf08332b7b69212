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
    Put,
    borrowed,
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

# Numba goes through a tuple by functions built for its places, one or two each: every one takes a while to compile.


def _loads_of(places: tuple[int, ...]) -> Callable[..., Any]:
    """Build what loads the lanes of the arrays at these places, as a tuple."""
    first, *others = places
    if not others:

        def of_one(arrays, i, start, stop, fill):
            return (load_within(arrays[first], i, start, stop, fill),)

        return jitable(of_one)
    second, *more = others
    if not more:

        def of_two(arrays, i, start, stop, fill):
            a, b = arrays[first], arrays[second]
            return load_within(a, i, start, stop, fill), load_within(b, i, start, stop, fill)

        return jitable(of_two)
    rest = _loads_of(tuple(more))

    def of_more(arrays, i, start, stop, fill):
        a = load_within(arrays[first], i, start, stop, fill)
        b = load_within(arrays[second], i, start, stop, fill)
        return (a, b, *rest(arrays, i, start, stop, fill))

    return jitable(of_more)


def _puts_of(places: tuple[int, ...], put: Put) -> Callable[..., None]:
    """Build what writes as many results to the arrays at these places: a tuple, but of one the number itself."""
    first, *others = places
    if not others:

        def of_one(arrays, i, start, stop, result):
            put(arrays[first], i, start, stop, result)

        return jitable(of_one)
    second, *more = others
    if not more:

        def of_two(arrays, i, start, stop, results):
            put(arrays[first], i, start, stop, results[0])
            put(arrays[second], i, start, stop, results[1])

        return jitable(of_two)
    last, rest = len(more) == 1, _puts_of(tuple(more), put)

    def of_more(arrays, i, start, stop, results):
        put(arrays[first], i, start, stop, results[0])
        put(arrays[second], i, start, stop, results[1])
        rest(arrays, i, start, stop, results[2] if last else results[2:])

    return jitable(of_more)


def _loop(formula: Formula, arrays: int, results: int, put: Put) -> Callable[..., None]:
    behind = arrays + results
    loads, puts = _loads_of((*range(arrays),)), _puts_of((*range(arrays, behind),), put)

    def loop(start, stop, *arguments):
        given = borrowed(arguments[:behind])
        fill = zeros(given[0])
        values = broadcast(fill, arguments[behind:])
        for i in range(line_begin(given[arrays], start), stop, lanes_of(given[0])):
            puts(given, i, start, stop, formula(*loads(given, i, start, stop, fill), *values))

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
    """Is the result to go past the cache? Not several: two of 40 MB took twice the time of ordinary stores."""
    return len(outs) == 1 and (len(inputs) + 1) * outs[0].nbytes >= STREAM_BYTES


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
