"""Elementwise losses on the card: the loss, and the loss with its gradient in the same pass, any formula of the table.

A thread takes sixteen bytes of x at a time, whether in one access or several, so that the order of the sum does not
depend on where arrays begin. Weights and parameters are operands, each a number or an array.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cuda, float64, int64
from numba.extending import register_jitable

from softgrad.kernels.cuda.elementwise import with_two_numbers
from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for, empty
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, PACK_BYTES, STORE, UNPACK, lanes_for, thread_of_grid
from softgrad.kernels.cuda.reductions import team_of
from softgrad.kernels.cuda.sums import sum_of
from softgrad.kernels.formulas.elementwise_loss_table import ElementwiseLoss
from softgrad.kernels.formulas.logsumexp import together

# How many packs a thread takes: the more, the fewer sums of blocks there are to add.
ROUNDS = 4

# Blocks that search an array together.
SEARCH_BLOCKS = 1024


@register_jitable
def _number_at(operand, index):
    return operand


@register_jitable
def _element_at(operand, index):
    return operand[index]


@cache
def _kernel(
    loss: ElementwiseLoss, arrays: tuple[bool, bool], keeps: bool, with_grad: bool, lanes: int, number: str
) -> Kernel:
    """The kernel of the losses, of which it `keeps` each or only a block's sum, and of the gradient.

    `arrays` says of the two operands whether they are arrays.
    """
    f, g = (with_two_numbers(formula, 2, len(loss.defaults)) for formula in (loss.forward, loss.gradient))
    a_at, b_at = (_element_at if array else _number_at for array in arrays)
    load, store, unpack, pack, number_type = LOAD[lanes], STORE[lanes], UNPACK[lanes], PACK[lanes], NUMBER[number]
    items, rounds = PACK_BYTES // np.dtype(number).itemsize, ROUNDS
    team_sum = team_of(THREADS, float64).sum

    def kernel(x, targets, a, b, losses, grad, sums, size, scale, zero):
        values = cuda.local.array(items, number_type)
        others = cuda.local.array(items, number_type)
        total = zero
        step = int64(cuda.blockDim.x) * items
        i = cuda.blockIdx.x * rounds * step + cuda.threadIdx.x * items
        for _ in range(rounds):
            if i + items <= size:
                for k in range(0, items, lanes):
                    unpack(values, k, load(x, i + k))
                    unpack(others, k, load(targets, i + k))
                for k in range(items):
                    v, t, p, q = values[k], others[k], a_at(a, i + k), b_at(b, i + k)
                    y = f(v, t, p, q)
                    others[k] = y
                    total += float64(y)
                    if with_grad:
                        values[k] = scale * g(v, t, p, q)
                for k in range(0, items, lanes):
                    if keeps:
                        store(losses, i + k, pack(others, k))
                    if with_grad:
                        store(grad, i + k, pack(values, k))
            else:
                for k in range(i, size):
                    v, t, p, q = x[k], targets[k], a_at(a, k), b_at(b, k)
                    y = f(v, t, p, q)
                    total += float64(y)
                    if keeps:
                        losses[k] = y
                    if with_grad:
                        grad[k] = scale * g(v, t, p, q)
            i += step
        total, carry = team_sum(total, zero)
        if cuda.threadIdx.x == 0:
            sums[cuda.blockIdx.x] = together(total, carry)

    kind = "with_grad" if with_grad else "forward"
    operands = "".join("array." if array else "number." for array in arrays)
    kept = "keeping." if keeps else ""
    return Kernel(kernel, f"elementwise_loss_{kind}.{kept}{operands}{loss.name}.{number}.{lanes}")


def _launch(
    loss: ElementwiseLoss, x: Any, targets: Any, operands: tuple[Any, ...], scale: float, losses: Any, grad: Any
) -> Any:
    """The sum, left on the card; `grad` may be None."""
    keeps, with_grad = losses.size > 0, grad is not None
    written = [array for array, wanted in ((losses, keeps), (grad, with_grad)) if wanted]
    lanes = lanes_for(x, targets, *written)
    number = x.dtype.type
    two = (*operands, 0.0, 0.0)[:2]
    arrays = tuple(not isinstance(operand, float) for operand in two)
    given = [operand if array else number(operand) for operand, array in zip(two, arrays, strict=True)]
    blocks = blocks_for(x.size, THREADS * ROUNDS * (PACK_BYTES // x.dtype.itemsize))
    sums = empty((blocks,), np.float64)
    results = losses if keeps else x, grad if with_grad else x
    numbers = np.int64(x.size), number(scale), np.float64(0)
    kernel = _kernel(loss, arrays, keeps, with_grad, lanes, x.dtype.char)
    kernel.launch(blocks, THREADS, x, targets, *given, *results, sums, *numbers)
    return sum_of(sums)


@cache
def elementwise_loss_forward(loss: ElementwiseLoss) -> Callable[..., Any]:
    """Build ``forward(x, targets, operands, losses)``: the sum in float64, each in `losses` unless that has size 0."""

    def forward(x, targets, operands, losses):
        return _launch(loss, x, targets, operands, 1.0, losses, None)

    return forward


@cache
def elementwise_loss_with_grad(loss: ElementwiseLoss) -> Callable[..., Any]:
    """Build ``with_grad(x, targets, operands, scale, losses, grad)``: the same, and grad = scale d loss / dx.

    `grad` may be x or the targets.
    """

    def with_grad(x, targets, operands, scale, losses, grad):
        return _launch(loss, x, targets, operands, scale, losses, grad)

    return with_grad


# ---- checks


@cache
def _first_failing(holds: Callable[..., object], number: str) -> Kernel:
    """The kernel of the first position that a block finds; the size if it finds none."""
    team_max = team_of(THREADS, int64).max

    def kernel(x, size, firsts):
        first = size
        for i in range(thread_of_grid(), size, cuda.gridDim.x * cuda.blockDim.x):
            if first == size and not holds(x[i]):
                first = int64(i)
        first = -team_max(-first)
        if cuda.threadIdx.x == 0:
            firsts[cuda.blockIdx.x] = first

    return Kernel(kernel, f"first_failing.{holds.__name__}.{number}")


def first_failing(holds, x):
    """The position of the first element of which the formula `holds` is not true, or -1; waits for the card."""
    if x.size == 0:
        return -1
    blocks = min(blocks_for(x.size, THREADS), SEARCH_BLOCKS)
    firsts = empty((blocks,), np.int64)
    _first_failing(holds, x.dtype.char).launch(blocks, THREADS, x, np.int64(x.size), firsts)
    first = int(firsts.min())
    return -1 if first == x.size else first
