"""What surrounds a matrix product: bias and activation in one pass, and back with the bias gradient in one pass."""

from __future__ import annotations

from functools import cache

from softgrad.kernels.cpu.launch import Kernel, over_range
from softgrad.kernels.cpu.memory import lanes_of, load_until, store_until, zeros
from softgrad.kernels.formulas.registry import Activation
from softgrad.kernels.formulas.sums import SETTLED_EVERY, settled, together, two_sum
from softgrad.kernels.simd.vector import broadcast

# Columns that a thread takes at a time in the backward pass: whole cache lines of either dtype.
BLOCK_COLUMNS = 64


@cache
def _forward_kernel(activation: Activation, keep: bool) -> Kernel:
    formula = activation.forward

    def loop(start, stop, product, bias, preactivation, out, *parameters):
        columns = product.shape[1]
        fill = zeros(product)
        values = broadcast(fill, parameters)
        for r in range(start, stop):
            first, end = r * columns, (r + 1) * columns
            for j in range(0, columns, lanes_of(product)):
                z = load_until(product, first + j, end, fill) + load_until(bias, j, columns, fill)
                if keep:
                    store_until(preactivation, first + j, end, z)
                store_until(out, first + j, end, formula(z, *values))

    return over_range(loop)


@cache
def _backward_kernel(activation: Activation) -> Kernel:
    formula = activation.backward
    block_columns = BLOCK_COLUMNS

    def loop(start, stop, grad, saved, grad_product, grad_bias, *parameters):
        # A thread owns whole columns and adds their rows in order: the sums do not depend on the threads.
        rows, columns = grad.shape
        fill = zeros(grad)
        values = broadcast(fill, parameters)
        for j in range(start * block_columns, min(stop * block_columns, columns), lanes_of(grad)):
            total, carry = fill, fill
            for block in range(0, rows, SETTLED_EVERY):
                for r in range(block, min(block + SETTLED_EVERY, rows)):
                    first, end = r * columns + j, (r + 1) * columns
                    dz = formula(load_until(grad, first, end, fill), load_until(saved, first, end, fill), *values)
                    store_until(grad_product, first, end, dz)
                    total, carry = two_sum(total, carry, dz)
                total, carry = settled(total, carry)
            store_until(grad_bias, j, columns, together(total, carry))

    return over_range(loop)


def bias_activation_forward(activation, product, bias, parameters, preactivation, out):
    keep = preactivation is not None
    _forward_kernel(activation, keep)(
        product.shape[0], product.nbytes, product, bias, preactivation if keep else out, out, *parameters
    )


def bias_activation_backward(activation, grad, saved, parameters, grad_product, grad_bias):
    blocks = -(-grad.shape[1] // BLOCK_COLUMNS)
    _backward_kernel(activation)(blocks, grad.nbytes, grad, saved, grad_product, grad_bias, *parameters)
