"""Activations and their backwards: one pass over the arrays, a vector at a time, any formula of the table.

An array for one thread is taken by a NumPy ufunc (`ufuncs`), a larger one, or one of 16-bit floats, flat by a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import STREAM_BYTES, Kernel, flattened, over_range
from softgrad.kernels.cpu.memory import Put, lanes_of, line_begin, load_within, past_cache, through_cache, zeros
from softgrad.kernels.cpu.ufuncs import Ufuncs
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import Activation, Formula
from softgrad.kernels.simd.vector import broadcast


def _forward_loop(formula: Formula, put: Callable[..., None]) -> Callable[..., None]:
    def loop(start, stop, x, out, *parameters):
        fill = zeros(x)
        values = broadcast(fill, parameters)
        for i in range(line_begin(out, start), stop, lanes_of(x)):
            put(out, i, start, stop, formula(load_within(x, i, start, stop, fill), *values))

    return loop


def _backward_loop(formula: Formula, put: Callable[..., None]) -> Callable[..., None]:
    def loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(line_begin(out, start), stop, lanes_of(grad)):
            g, s = load_within(grad, i, start, stop, fill), load_within(saved, i, start, stop, fill)
            put(out, i, start, stop, formula(g, s, *values))

    return loop


LoopOf = Callable[[Formula, Put], Callable[..., None]]


def _ufuncs(loop_of: LoopOf, formula: Any, arrays: int, activation: Activation) -> Ufuncs:
    return Ufuncs(lambda: jitable(loop_of(formula, through_cache)), arrays, len(activation.parameters))


def _kernel_for(loop_of: LoopOf, formula: Any, arrays: int) -> Callable[[Any], Kernel]:
    """Which kernel fills a larger `out`: by the memory touched, one that streams or one that does not."""

    @cache
    def kernel(put: Put) -> Kernel:
        return over_range(loop_of(formula, put), streams=put is past_cache)

    def kernel_for(out: Any) -> Kernel:
        return kernel(past_cache if (arrays + 1) * out.nbytes >= STREAM_BYTES else through_cache)

    return kernel_for


@cache
def forward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of x and the parameters."""
    return _ufuncs(_forward_loop, activation.forward, 1, activation)


@cache
def backward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of grad, what was saved, and the parameters."""
    return _ufuncs(_backward_loop, activation.backward, 2, activation)


def small_forward(activation: Activation) -> Callable[[Any, Any], Any]:
    """Build ``small(x, out)``: f(x) with the default parameters, in `out` or a new array; None if x is not for it.

    An array of NumPy's that is small, contiguous and of a kernel's dtype is. Here and in `small_backward` `out` must be
    like x, but may lie anywhere.
    """
    ufuncs, defaults = forward_ufuncs(activation), _operands(activation)

    def small(x, out):
        if x.nbytes < threads.PARALLEL_BYTES and (ufunc := ufuncs[x.dtype]) is not None and x.flags.c_contiguous:
            return ufunc(x, *defaults[x.dtype], out) if defaults else ufunc(x, out)
        return None

    return small


def small_backward(activation: Activation) -> Callable[[Any, Any, Any], Any]:
    """Build ``small(grad, saved, out)``: grad f'(saved), as `small_forward`; `saved` must be ready, and like grad."""
    ufuncs, defaults = backward_ufuncs(activation), _operands(activation)

    def small(grad, saved, out):
        if (
            grad.nbytes < threads.PARALLEL_BYTES
            and (ufunc := ufuncs[grad.dtype]) is not None
            and grad.flags.c_contiguous
        ):
            return ufunc(grad, saved, *defaults[grad.dtype], out) if defaults else ufunc(grad, saved, out)
        return None

    return small


def _operands(activation: Activation) -> dict[Any, tuple[Any, ...]]:
    """The default parameters as ufuncs take them soonest, arrays of each dtype; empty if the row has none."""
    values = activation.defaults
    dtypes = (np.dtype(np.float32), np.dtype(np.float64)) if values else ()
    return {dtype: tuple(np.asarray(value, dtype) for value in values) for dtype in dtypes}


@cache
def activation_forward(activation):
    ufuncs, kernel_for = forward_ufuncs(activation), _kernel_for(_forward_loop, activation.forward, 1)

    def forward(x, parameters, out):
        if x.nbytes < threads.PARALLEL_BYTES and (ufunc := ufuncs[x.dtype]) is not None:
            ufunc(x, *map(x.dtype.type, parameters), out)
        else:
            kernel_for(out)(x.size, x.nbytes, *flattened(x, out), *parameters)

    return forward


@cache
def activation_backward(activation):
    ufuncs, kernel_for = backward_ufuncs(activation), _kernel_for(_backward_loop, activation.backward, 2)

    def backward(grad, saved, parameters, out):
        if grad.nbytes < threads.PARALLEL_BYTES and (ufunc := ufuncs[grad.dtype]) is not None:
            ufunc(grad, saved, *map(grad.dtype.type, parameters), out)
        else:
            kernel_for(out)(grad.size, grad.nbytes, *flattened(grad, saved, out), *parameters)

    return backward
