"""Activations and their backwards on the GPU: one pass over the arrays, any formula of the table."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cuda.elementwise import elementwise


@cache
def activation_forward(activation):
    run = elementwise(activation.forward, 1, 1)

    def forward(x, parameters, out):
        run((x,), parameters, (out,))

    return forward


@cache
def activation_backward(activation):
    run = elementwise(activation.backward, 2, 1)

    def backward(grad, saved, parameters, out):
        run((grad, saved), parameters, (out,))

    return backward
