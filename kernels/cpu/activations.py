"""Activations and their backwards: one pass over flat arrays, a vector at a time, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import PARALLEL_THRESHOLD, flat, over_range
from softgrad.kernels.cpu.memory import lanes_of, load_until, store_until, zeros
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

    serial, shared = over_range(loop, f"activation_forward.{activation.name}")

    def forward(x, parameters, out):
        if x.ndim != 1:
            x, out = flat(x), flat(out)
        size = x.size
        if size < PARALLEL_THRESHOLD:
            serial(size, x, out, *parameters)
        else:
            shared(size, x, out, *parameters)

    return forward


@cache
def activation_backward(activation: Activation) -> Callable[..., None]:
    """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""
    formula = activation.backward

    def loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(start, stop, lanes_of(grad)):
            g = load_until(grad, i, stop, fill)
            s = load_until(saved, i, stop, fill)
            store_until(out, i, stop, formula(g, s, *values))

    serial, shared = over_range(loop, f"activation_backward.{activation.name}")

    def backward(grad, saved, parameters, out):
        if grad.ndim != 1:
            grad, saved, out = flat(grad), flat(saved), flat(out)
        size = grad.size
        if size < PARALLEL_THRESHOLD:
            serial(size, grad, saved, out, *parameters)
        else:
            shared(size, grad, saved, out, *parameters)

    return backward
