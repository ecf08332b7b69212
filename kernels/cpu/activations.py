"""Activations and their backwards: one pass over flat arrays, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.formulas.activations import Activation


@cache
def _forward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.forward

    def loop(start, stop, x, out, *parameters):
        # Slices, because Numba proves their indices non-negative; that lets LLVM vectorise (8 times for relu).
        x = x[start:stop]
        out = out[start:stop]
        for i in range(x.size):
            out[i] = formula(x[i], *parameters)

    return over_range(loop, f"activation_forward.{activation.name}")


@cache
def _backward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.backward

    def loop(start, stop, grad, saved, out, *parameters):
        grad = grad[start:stop]
        saved = saved[start:stop]
        out = out[start:stop]
        for i in range(grad.size):
            out[i] = formula(grad[i], saved[i], *parameters)

    return over_range(loop, f"activation_backward.{activation.name}")


def activation_forward(activation, x, parameters, out):
    """out = f(x); all of one size, contiguous. `out` may be x."""
    _forward_kernel(activation)(x.size, x.size, x.reshape(-1), out.reshape(-1), *parameters)


def activation_backward(activation, grad, saved, parameters, out):
    """out = grad f'(saved); all of one size, contiguous. `out` may be grad or saved."""
    _backward_kernel(activation)(
        grad.size, grad.size, grad.reshape(-1), saved.reshape(-1), out.reshape(-1), *parameters
    )
