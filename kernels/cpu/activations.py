"""Activations and their backwards: one pass over the arrays, a vector at a time, any formula of the table.

An array for one thread is taken by a NumPy ufunc (`ufuncs`), a larger one flat by a kernel that threads share.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import STREAM_BYTES, Kernel, flat, named, over_range
from softgrad.kernels.cpu.memory import PAST_CACHE, THROUGH_CACHE, Writer, lanes_of, line_begin, load_within, zeros
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.cpu.ufuncs import Ufuncs
from softgrad.kernels.formulas.activation_table import Activation


def _forward_loop(activation: Activation, writer: Writer) -> Callable[..., None]:
    formula, put = activation.forward, writer.put

    def loop(start, stop, x, out, *parameters):
        fill = zeros(x)
        values = broadcast(fill, parameters)
        for i in range(line_begin(out, start), stop, lanes_of(x)):
            put(out, i, start, stop, formula(load_within(x, i, start, stop, fill), *values))

    return loop


def _backward_loop(activation: Activation, writer: Writer) -> Callable[..., None]:
    formula, put = activation.backward, writer.put

    def loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(line_begin(out, start), stop, lanes_of(grad)):
            g, s = load_within(grad, i, start, stop, fill), load_within(saved, i, start, stop, fill)
            put(out, i, start, stop, formula(g, s, *values))

    return loop


LoopOf = Callable[[Activation, Writer], Callable[..., None]]


def _ufuncs(loop_of: LoopOf, arrays: int, activation: Activation) -> Ufuncs:
    name = f"{loop_of.__name__}.{activation.name}"
    return Ufuncs(lambda: named(loop_of(activation, THROUGH_CACHE), name), arrays, len(activation.parameters))


def _shared(loop_of: LoopOf, arrays: int, activation: Activation) -> Callable[[Any], Callable[..., Any]]:
    """Which kernel threads share to fill `out`: by the memory touched, one that streams or one that does not."""

    @cache
    def kernel(writer: Writer) -> Kernel:
        name = f"{loop_of.__name__}.{activation.name}.{writer.name}"
        return over_range(loop_of(activation, writer), name, streams=writer is PAST_CACHE)

    def shared(out: Any) -> Callable[..., Any]:
        return kernel(PAST_CACHE if (arrays + 1) * out.nbytes >= STREAM_BYTES else THROUGH_CACHE).shared

    return shared


@cache
def forward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of x and the parameters."""
    return _ufuncs(_forward_loop, 1, activation)


@cache
def backward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of grad, what was saved, and the parameters."""
    return _ufuncs(_backward_loop, 2, activation)


@cache
def activation_forward(activation: Activation) -> Callable[..., None]:
    """Build ``forward(x, parameters, out)``: out = f(x), both of one size and contiguous. `out` may be x."""
    ufuncs, shared = forward_ufuncs(activation), _shared(_forward_loop, 1, activation)

    def forward(x, parameters, out):
        if x.nbytes < threads.PARALLEL_BYTES:
            ufuncs[x.dtype](x, *map(x.dtype.type, parameters), out)
        else:
            shared(out)(x.size, flat(x), flat(out), *parameters)

    return forward


@cache
def activation_backward(activation: Activation) -> Callable[..., None]:
    """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""
    ufuncs, shared = backward_ufuncs(activation), _shared(_backward_loop, 2, activation)

    def backward(grad, saved, parameters, out):
        if grad.nbytes < threads.PARALLEL_BYTES:
            ufuncs[grad.dtype](grad, saved, *map(grad.dtype.type, parameters), out)
        else:
            shared(out)(grad.size, flat(grad), flat(saved), flat(out), *parameters)

    return backward
