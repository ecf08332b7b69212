"""Activations and their backwards on the GPU: one pass over the arrays, any formula of the table."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cuda.elementwise import over_arrays


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
