"""What surrounds a matrix product on the GPU: bias and activation in one pass, and back with the bias gradient."""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda, int64

from softgrad.kernels.cuda.elementwise import of_dtype
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.launches import Launch, Launches
from softgrad.kernels.cuda.memory import NUMBER
from softgrad.kernels.formulas.registry import Activation
from softgrad.kernels.formulas.sums import settled, together, two_sum
from softgrad.kernels.simd.half import number_dtype

# A block of the backward pass: so many columns, each added up by so many threads.
COLUMNS, ROW_THREADS = 32, 8


@cache
def _forward_kernel(activation: Activation, keep: bool) -> Kernel:
    formula = activation.forward

    def kernel(product, bias, preactivation, out, columns, parameters):
        row = int64(cuda.blockIdx.x)
        j = cuda.blockIdx.y * cuda.blockDim.x + cuda.threadIdx.x
        if j < columns:
            i = row * columns + j
            z = product[i] + bias[j]
            if keep:
                preactivation[i] = z
            out[i] = formula(z, *parameters)

    return Kernel(kernel)


@cache
def _backward_kernel(activation: Activation, number: str) -> Kernel:
    formula, number_type = activation.backward, NUMBER[number]

    def kernel(grad, saved, grad_product, grad_bias, rows, columns, parameters):
        totals = cuda.shared.array((ROW_THREADS, COLUMNS), number_type)
        carries = cuda.shared.array((ROW_THREADS, COLUMNS), number_type)
        x, y = cuda.threadIdx.x, cuda.threadIdx.y
        j = cuda.blockIdx.x * COLUMNS + x
        zero = number_type(0)
        total, carry = zero, zero
        if j < columns:
            for r in range(y, rows, ROW_THREADS):
                i = int64(r) * columns + j
                dz = formula(grad[i], saved[i], *parameters)
                grad_product[i] = dz
                total, carry = settled(*two_sum(total, carry, dz))
        totals[y, x] = total
        carries[y, x] = carry
        cuda.syncthreads()
        if y == 0 and j < columns:
            for k in range(1, ROW_THREADS):
                total, carry = two_sum(total, carry + carries[k, x], totals[k, x])
            grad_bias[j] = together(total, carry)

    return Kernel(kernel)


_forwards, _backwards = Launches(), Launches()


def bias_activation_forward(activation, product, bias, parameters, preactivation, out):
    shape, dtype, keep = product.shape, product.dtype, preactivation is not None
    key = activation, shape, dtype.char, bias.dtype.char, keep
    parameters = of_dtype(dtype, parameters) if parameters else ()
    arrays = product, bias, preactivation if keep else out, out
    launch = _forwards.get(key)
    if launch is None:
        if product.size == 0:
            return
        rows, columns = shape
        numbers, blocks = (np.int32(columns), parameters), (rows, blocks_for(columns, THREADS))
        kernel = _forward_kernel(activation, keep)
        launch = _forwards[key] = Launch(kernel, blocks, THREADS, *arrays, *numbers)
    launch(*arrays, numbers=(launch.numbers[0], *parameters))


def bias_activation_backward(activation, grad, saved, parameters, grad_product, grad_bias):
    shape, dtype = grad.shape, grad.dtype
    key = activation, shape, dtype.char, grad_bias.dtype.char
    parameters = of_dtype(dtype, parameters) if parameters else ()
    launch = _backwards.get(key)
    arrays = grad, saved, grad_product, grad_bias
    if launch is None:
        rows, columns = shape
        if columns == 0:
            return
        numbers = np.int32(rows), np.int32(columns), parameters
        blocks, threads = blocks_for(columns, COLUMNS), (COLUMNS, ROW_THREADS)
        kernel = _backward_kernel(activation, number_dtype(dtype).char)
        launch = _backwards[key] = Launch(kernel, blocks, threads, *arrays, *numbers)
    launch(*arrays, numbers=(*launch.numbers[:2], *parameters))
