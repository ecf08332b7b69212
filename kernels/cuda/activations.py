"""Activations and their backwards on the GPU: one pass over the arrays, any formula of the table."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cuda.elementwise import launch_binary, launch_unary


@cache
def activation_forward(activation):
    def forward(x, parameters, out):
        launch_unary(activation.forward, x, parameters, out)

    return forward


@cache
def activation_backward(activation):
    def backward(grad, saved, parameters, out):
        launch_binary(activation.backward, grad, saved, parameters, out)

    return backward
