"""What surrounds a matrix product on the card: bias and activation in one pass, and back with the bias gradient."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.elementwise import two_numbers, with_two_numbers
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.formulas.activation_table import Activation
from softgrad.kernels.formulas.logsumexp import settled, together, two_sum
from softgrad.kernels.formulas.primitives import const

# A block of the backward pass: so many columns, each added up by so many threads.
COLUMNS, ROW_THREADS = 32, 8


@cache
def _forward_kernel(activation: Activation, keep: bool) -> Kernel:
    f = with_two_numbers(activation.forward, 1, len(activation.parameters))

    def kernel(product, bias, preactivation, out, columns, a, b):
        row = int64(cuda.blockIdx.x)
        j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        if j < columns:
            i = row * columns + j
            z = product[i] + bias[j]
            if keep:
                preactivation[i] = z
            out[i] = f(z, a, b)

    return Kernel(kernel, f"bias_activation_forward.{'keeping.' if keep else ''}{activation.name}")


@cache
def _backward_kernel(activation: Activation, number: str) -> Kernel:
    assert activation.backward is not None
    f = with_two_numbers(activation.backward, 2, len(activation.parameters))
    number_type = NUMBER[number]

    def kernel(grad, saved, grad_product, grad_bias, rows, columns, a, b):
        totals = cuda.shared.array((ROW_THREADS, COLUMNS), number_type)
        carries = cuda.shared.array((ROW_THREADS, COLUMNS), number_type)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        j = cuda.blockIdx.x * COLUMNS + x
        zero = const(a, 0.0)
        total, carry = zero, zero
        if j < columns:
            for r in range(y, rows, ROW_THREADS):
                i = int64(r) * columns + j
                dz = f(grad[i], saved[i], a, b)
                grad_product[i] = dz
                total, carry = settled(*two_sum(total, carry, dz))
        totals[y, x] = total
        carries[y, x] = carry
        cuda.syncthreads()
        if y == 0 and j < columns:
            for k in range(1, ROW_THREADS):
                total, carry = two_sum(total, carry + carries[k, x], totals[k, x])
            grad_bias[j] = together(total, carry)

    return Kernel(kernel, f"bias_activation_backward.{activation.name}.{number}")


def bias_activation_forward(activation, product, bias, parameters, preactivation, out):
    """out = f(product + bias), and preactivation = product + bias unless it is None. Either may be `product`."""
    rows, columns = product.shape
    keep = preactivation is not None
    if product.size:
        kernel = _forward_kernel(activation, keep)
        arrays = product, bias, preactivation if keep else out, out
        blocks = (rows, blocks_for(columns, THREADS))
        kernel.launch(blocks, THREADS, *arrays, np.int32(columns), *two_numbers(product.dtype, parameters))


def bias_activation_backward(activation, grad, saved, parameters, grad_product, grad_bias):
    """grad_product = grad f'(saved), grad_bias = its column sums, compensated. `grad_product` may be grad."""
    rows, columns = grad.shape
    if columns:
        kernel = _backward_kernel(activation, grad.dtype.char)
        sizes = np.int32(rows), np.int32(columns)
        arrays = grad, saved, grad_product, grad_bias
        threads = (COLUMNS, ROW_THREADS)
        kernel.launch(blocks_for(columns, COLUMNS), threads, *arrays, *sizes, *two_numbers(grad.dtype, parameters))
