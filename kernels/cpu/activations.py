"""Activations and their backwards: one pass over flat arrays, a vector at a time, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import STREAM_BYTES, Kernel, flat, over_range
from softgrad.kernels.cpu.memory import PAST_CACHE, THROUGH_CACHE, Writer, lanes_of, line_begin, load_within, zeros
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.cpu.threads import PARALLEL_THRESHOLD
from softgrad.kernels.formulas.activation_table import Activation


@cache
def activation_forward(activation: Activation) -> Callable[..., None]:
    """Build ``forward(x, parameters, out)``: out = f(x), both of one size and contiguous. `out` may be x."""
    formula = activation.forward

    def kernel(writer: Writer) -> Kernel:
        put = writer.put

        def loop(start, stop, x, out, *parameters):
            fill = zeros(x)
            values = broadcast(fill, parameters)
            for i in range(line_begin(out, start), stop, lanes_of(x)):
                put(out, i, start, stop, formula(load_within(x, i, start, stop, fill), *values))

        name = f"activation_forward.{activation.name}.{writer.name}"
        return over_range(loop, name, streams=writer is PAST_CACHE)

    serial, shared = kernel(THROUGH_CACHE)
    _, streaming = kernel(PAST_CACHE)

    def forward(x, parameters, out):
        if x.ndim != 1:
            x, out = flat(x), flat(out)
        size = x.size
        if size < PARALLEL_THRESHOLD:
            serial(size, x, out, *parameters)
        else:
            (streaming if 2 * out.nbytes >= STREAM_BYTES else shared)(size, x, out, *parameters)

    return forward


@cache
def activation_backward(activation: Activation) -> Callable[..., None]:
    """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""
    formula = activation.backward

    def kernel(writer: Writer) -> Kernel:
        put = writer.put

        def loop(start, stop, grad, saved, out, *parameters):
            fill = zeros(grad)
            values = broadcast(fill, parameters)
            for i in range(line_begin(out, start), stop, lanes_of(grad)):
                g, s = load_within(grad, i, start, stop, fill), load_within(saved, i, start, stop, fill)
                put(out, i, start, stop, formula(g, s, *values))

        name = f"activation_backward.{activation.name}.{writer.name}"
        return over_range(loop, name, streams=writer is PAST_CACHE)

    serial, shared = kernel(THROUGH_CACHE)
    _, streaming = kernel(PAST_CACHE)

    def backward(grad, saved, parameters, out):
        if grad.ndim != 1:
            grad, saved, out = flat(grad), flat(saved), flat(out)
        size = grad.size
        if size < PARALLEL_THRESHOLD:
            serial(size, grad, saved, out, *parameters)
        else:
            (streaming if 3 * out.nbytes >= STREAM_BYTES else shared)(size, grad, saved, out, *parameters)

    return backward
