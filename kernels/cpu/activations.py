"""Activations and their backwards: one pass over flat arrays, a vector at a time, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.cpu.memory import lanes_of, load_until, store_until, zeros
from softgrad.kernels.cpu.simd import broadcast
from softgrad.kernels.formulas.activation_table import Activation


@cache
def _forward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.forward

    def loop(start, stop, x, out, *parameters):
        fill = zeros(x)
        values = broadcast(fill, parameters)
        for i in range(start, stop, lanes_of(x)):
            store_until(out, i, stop, formula(load_until(x, i, stop, fill), *values))

    return over_range(loop, f"activation_forward.{activation.name}")


@cache
def _backward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.backward

    def loop(start, stop, grad, saved, out, *parameters):
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for i in range(start, stop, lanes_of(grad)):
            g = load_until(grad, i, stop, fill)
            s = load_until(saved, i, stop, fill)
            store_until(out, i, stop, formula(g, s, *values))

    return over_range(loop, f"activation_backward.{activation.name}")


def activation_forward(activation, x, parameters, out):
    """out = f(x); all of one size, contiguous. `out` may be x."""
    _forward_kernel(activation)(x.size, x.size, x.reshape(-1), out.reshape(-1), *parameters)


def activation_backward(activation, grad, saved, parameters, out):
    """out = grad f'(saved); all of one size, contiguous. `out` may be grad or saved."""
    _backward_kernel(activation)(
        grad.size, grad.size, grad.reshape(-1), saved.reshape(-1), out.reshape(-1), *parameters
    )
