"""Activations and their backwards on the card: one pass over the arrays, any formula of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cuda.elementwise import launch_binary, launch_unary
from softgrad.kernels.formulas.activation_table import Activation


@cache
def activation_forward(activation: Activation) -> Callable[..., None]:
    """Build ``forward(x, parameters, out)``: out = f(x), both of one size and contiguous. `out` may be x."""

    def forward(x, parameters, out):
        launch_unary(activation.forward, x, parameters, out)

    return forward


@cache
def activation_backward(activation: Activation) -> Callable[..., None]:
    """Build ``backward(grad, saved, parameters, out)``: out = grad f'(saved). `out` may be grad or saved."""

    def backward(grad, saved, parameters, out):
        launch_binary(activation.backward, grad, saved, parameters, out)

    return backward
