"""Activations and their backwards: one pass over flat arrays, a vector at a time, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import PARALLEL_THRESHOLD, STREAM_BYTES, flat, over_range
from softgrad.kernels.cpu.memory import (
    end_stream,
    lanes_of,
    line_start,
    load_until,
    load_within,
    store_until,
    stream_within,
    zeros,
)
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.formulas.activation_table import Activation


@cache
def activation_forward(activation: Activation) -> Callable[..., None]:
    """Build ``forward(x, parameters, out)``: out = f(x), both of one size and contiguous. `out` may be x."""
    formula = activation.forward

    def loop(start, stop, x, out, *parameters):
        fill = zeros(x)
        values = broadcast(fill, parameters)
        for i in range(start, stop, lanes_of(x)):
            store_until(out, i, stop, formula(load_until(x, i, stop, fill), *values))

    def streaming_loop(start, stop, x, out, *parameters):
        fill = zeros(x)
        values = broadcast(fill, parameters)
        for i in range(line_start(out, start), stop, lanes_of(x)):
            stream_within(out, i, start, stop, formula(load_within(x, i, start, stop, fill), *values))
        end_stream()

    serial, shared = over_range(loop, f"activation_forward.{activation.name}")
    _, streaming = over_range(streaming_loop, f"activation_forward.streaming.{activation.name}")

    def forward(x, parameters, out):
        if x.ndim != 1:
            x, out = flat(x), flat(out)
        size = x.size
        if size < PARALLEL_THRESHOLD:
            serial(size, x, out, *parameters)
        else:
            (shared if out.nbytes < STREAM_BYTES else streaming)(size, x, out, *parameters)

    return forward


@cache
def activation_backward(activation: Activation) -> Callable[..., None]:
    """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""
    formula = activation.backward

    def loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(start, stop, lanes_of(grad)):
            g, s = load_until(grad, i, stop, fill), load_until(saved, i, stop, fill)
            store_until(out, i, stop, formula(g, s, *values))

    def streaming_loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(line_start(out, start), stop, lanes_of(grad)):
            g, s = load_within(grad, i, start, stop, fill), load_within(saved, i, start, stop, fill)
            stream_within(out, i, start, stop, formula(g, s, *values))
        end_stream()

    serial, shared = over_range(loop, f"activation_backward.{activation.name}")
    _, streaming = over_range(streaming_loop, f"activation_backward.streaming.{activation.name}")

    def backward(grad, saved, parameters, out):
        if grad.ndim != 1:
            grad, saved, out = flat(grad), flat(saved), flat(out)
        size = grad.size
        if size < PARALLEL_THRESHOLD:
            serial(size, grad, saved, out, *parameters)
        else:
            (shared if out.nbytes < STREAM_BYTES else streaming)(size, grad, saved, out, *parameters)

    return backward
