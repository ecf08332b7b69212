"""Activations and their backwards, any formula of the table."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cpu.elementwise import over_arrays, ufuncs
from softgrad.kernels.cpu.ufuncs import Ufuncs
from softgrad.kernels.formulas.registry import Activation


def forward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of x and the parameters."""
    return ufuncs(activation.forward, 1, 1, len(activation.parameters))


def backward_ufuncs(activation: Activation) -> Ufuncs:
    """For each dtype the ufunc of grad, what was saved, and the parameters."""
    return ufuncs(activation.backward, 2, 1, len(activation.parameters))


@cache
def activation_forward(activation):
    run = over_arrays(activation.forward, 1, 1)

    def forward(x, parameters, out):
        run((x,), parameters, (out,))

    return forward


@cache
def activation_backward(activation):
    run = over_arrays(activation.backward, 2, 1)

    def backward(grad, saved, parameters, out):
        run((grad, saved), parameters, (out,))

    return backward
