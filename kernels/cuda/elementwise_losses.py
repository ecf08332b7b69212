"""Elementwise losses on the GPU: the loss, and the loss with its gradient in the same pass, any formula of the table.

A thread takes sixteen bytes of x at a time, whether in one access or several, so that the order of the sum does not
depend on where arrays begin. Weights and parameters are operands, each a number or an array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, int64

from softgrad.kernels.cuda.ending import Ending, Summing, keeping_of
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, PACK_BYTES, STORE, UNPACK, lanes_for, partly_of
from softgrad.kernels.cuda.teams import team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.registry import ElementwiseLoss
from softgrad.kernels.formulas.sums import together
from softgrad.kernels.simd.half import number_dtype

# How many packs a thread takes: the more, the fewer sums of blocks there are to add.
ROUNDS = 4

FLOAT64 = np.dtype(np.float64)  # of a block's sum


@jitable
def _number_at(operand, index, size, other):
    return operand


@jitable
def _element_at(operand, index, size, other):
    """What another thread may write is not read: beyond the end, where nothing counts, it is the `other` number."""
    return operand[index] if index < size else other


def _operands_at(arrays: tuple[bool, ...]) -> Callable[..., Any]:
    """What takes the operands at an index, those that are `arrays` by their elements, as a tuple."""
    if not arrays:

        def none(operands, index, size, other):
            return ()

        return jitable(none)
    first, others_at = _element_at if arrays[0] else _number_at, _operands_at(arrays[1:])

    def operands_at(operands, index, size, other):
        return (first(operands[0], index, size, other), *others_at(operands[1:], index, size, other))

    return jitable(operands_at)


@cache
def elementwise_loss_kernel(
    loss: ElementwiseLoss,
    arrays: tuple[bool, ...],
    keeps: bool,
    with_grad: bool,
    lanes: int,
    items: int,
    number: str,
    summing: Summing | None,
) -> Kernel:
    """The kernel of the losses, of which it `keeps` each or only a block's sum, and of the gradient.

    `arrays` says of each operand whether it is an array, and `summing` how the blocks' sums are added. A thread takes
    so many `items` at a time.
    """
    formula, gradient = loss.forward, loss.gradient if with_grad else loss.forward
    operands_at = _operands_at(arrays)
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    (take, give), rounds = partly_of(items), ROUNDS
    team_sum = team_of(THREADS, float64).sum
    keep, end = keeping_of(THREADS, 0, summing)

    def kernel(x, targets, operands, losses, grad, sums, size, scale, zero):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(items, number_type)
        total = zero
        step = int64(cuda.blockDim.x) * items
        i = cuda.blockIdx.x * rounds * step + cuda.threadIdx.x * items
        for _ in range(rounds):
            whole = i + items <= size
            if whole:
                for k in range(0, items, lanes):
                    unpack(values, k, load(x, i + k))
                    unpack(others, k, load(targets, i + k))
            else:
                take(values, 0, x, i, size)
                take(others, 0, targets, i, size)
            for k in range(items):
                v, t = values[k], others[k]
                more = operands_at(operands, i + k, size, v)
                others[k] = formula(v, t, *more)
                if with_grad:
                    values[k] = scale * gradient(v, t, *more)
            if whole:
                for k in range(items):
                    total += float64(others[k])
                for k in range(0, items, lanes):
                    if keeps:
                        store(losses, i + k, pack(others, k))
                    if with_grad:
                        store(grad, i + k, pack(values, k))
            else:
                for k in range(items):
                    if i + k < size:
                        total += float64(others[k])
                if keeps:
                    give(others, 0, losses, i, size)
                if with_grad:
                    give(values, 0, grad, i, size)
            i += step
        total, carry = team_sum(total, zero)
        if cuda.threadIdx.x == 0:
            keep(sums, cuda.blockIdx.x, together(total, carry))
        end(sums, cuda.gridDim.x)

    return Kernel(kernel)


def _launch(
    loss: ElementwiseLoss,
    x: Any,
    targets: Any,
    operands: tuple[Any, ...],
    divisor: float | None,
    scale: float,
    losses: Any,
    grad: Any,
) -> Any:
    """The sum over the divisor, left on the GPU; `grad` may be None."""
    keeps, with_grad = losses is not None, grad is not None
    written = [array for array, wanted in ((losses, keeps), (grad, with_grad)) if wanted]
    lanes = lanes_for(x, targets, *written)
    dtype, items = number_dtype(x.dtype), PACK_BYTES // x.dtype.itemsize
    number = dtype.type
    arrays = tuple(not isinstance(operand, float) for operand in operands)
    given = tuple(operand if array else number(operand) for operand, array in zip(operands, arrays, strict=True))
    blocks = blocks_for(x.size, THREADS * ROUNDS * items)
    ending = Ending(None, blocks, dtype, divisor, THREADS, left=FLOAT64)
    results = losses if keeps else x, grad if with_grad else x
    numbers = np.int64(x.size), number(scale), np.float64(0)
    kernel = elementwise_loss_kernel(loss, arrays, keeps, with_grad, lanes, items, dtype.char, ending.summing)
    kernel.launch(blocks, THREADS, x, targets, given, *results, ending.results, *numbers)
    return ending.loss()


@cache
def elementwise_loss_forward(loss):
    def forward(x, targets, operands, divisor, losses):
        return _launch(loss, x, targets, operands, divisor, 1.0, losses, None)

    return forward


@cache
def elementwise_loss_with_grad(loss):
    def with_grad(x, targets, operands, divisor, scale, losses, grad):
        return _launch(loss, x, targets, operands, divisor, scale, losses, grad)

    return with_grad
