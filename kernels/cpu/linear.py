"""What surrounds a matrix product: bias and activation in one pass, and back with the bias gradient in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.formulas.activations import Activation

# Columns that one step of the backward pass takes: 256 bytes of float32, whole cache lines.
BLOCK_COLUMNS = 64


@cache
def _forward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.forward

    def loop(start, stop, product, bias, out, *parameters):
        for r in range(start, stop):
            z, y = product[r], out[r]
            for j in range(z.size):
                y[j] = formula(z[j] + bias[j], *parameters)

    return over_range(loop, f"bias_activation_forward.{activation.name}")


@cache
def _keeping_forward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.forward

    def loop(start, stop, product, bias, preactivation, out, *parameters):
        for r in range(start, stop):
            z, y, kept = product[r], out[r], preactivation[r]
            for j in range(z.size):
                value = z[j] + bias[j]
                kept[j] = value
                y[j] = formula(value, *parameters)

    return over_range(loop, f"bias_activation_forward.keeping.{activation.name}")


@cache
def _backward_kernel(activation: Activation) -> Callable[..., None]:
    formula = activation.backward
    block_columns = BLOCK_COLUMNS

    def loop(start, stop, grad, saved, grad_product, grad_bias, *parameters):
        # A thread owns whole columns and adds their rows in order: the sum does not depend on the threads.
        first, last = start * block_columns, min(stop * block_columns, grad_bias.size)
        column_sums = np.zeros(last - first)
        for r in range(grad.shape[0]):
            g, s, dz = grad[r, first:last], saved[r, first:last], grad_product[r, first:last]
            for j in range(g.size):
                value = formula(g[j], s[j], *parameters)
                dz[j] = value
                column_sums[j] += value
        for j in range(column_sums.size):
            grad_bias[first + j] = column_sums[j]

    return over_range(loop, f"bias_activation_backward.{activation.name}")


def bias_activation_forward(activation, product, bias, parameters, preactivation, out):
    """out = f(product + bias), and preactivation = product + bias unless it is None. Either may be `product`."""
    size, work = product.shape[0], product.size
    if preactivation is None:
        _forward_kernel(activation)(size, work, product, bias, out, *parameters)
    else:
        _keeping_forward_kernel(activation)(size, work, product, bias, preactivation, out, *parameters)


def bias_activation_backward(activation, grad, saved, parameters, grad_product, grad_bias):
    """grad_product = grad f'(saved), grad_bias = its column sums, added in float64. `grad_product` may be grad."""
    blocks = -(-grad.shape[1] // BLOCK_COLUMNS)
    _backward_kernel(activation)(blocks, grad.size, grad, saved, grad_product, grad_bias, *parameters)
