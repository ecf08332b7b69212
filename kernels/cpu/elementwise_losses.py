"""Elementwise losses: the loss, and the loss with its gradient in the same pass, any formula of the table.

Weights and parameters are operands, each a number or an array with an element for each of x.
"""

from __future__ import annotations

from functools import cache

from numba import types

from softgrad.kernels.cpu.horizontal import horizontal_sum
from softgrad.kernels.cpu.launch import NONE, Kernel, flat, sum_over_elements
from softgrad.kernels.cpu.memory import lanes_of, load_first, load_until, store, store_until, zeros
from softgrad.kernels.formulas.jit import jitable, overload
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.registry import ElementwiseLoss
from softgrad.kernels.formulas.sums import over
from softgrad.kernels.simd.half import number_dtype
from softgrad.kernels.simd.vector import widen

# ---- operands


def _operand(operand, index, stop, fill):
    """The lanes of an array from `index` on, or a number in every lane."""


@overload(_operand)
def _compiled_operand(operand, index, stop, fill):
    if isinstance(operand, types.Array):
        return lambda operand, index, stop, fill: load_until(operand, index, stop, fill)
    return lambda operand, index, stop, fill: const(fill, operand)


@jitable
def _operands_at(operands, index, stop, fill):
    """The lanes of each; calls itself with one less, since they are taken one by one while compiling."""
    if len(operands) == 0:
        return ()
    return (_operand(operands[0], index, stop, fill), *_operands_at(operands[1:], index, stop, fill))


# ---- losses


@jitable
def _until(values, index, stop, scratch, fill):
    """The lanes before `stop`, the others as in `fill`."""
    if index + lanes_of(scratch) <= stop:
        return values
    store(scratch, 0, values)
    return load_first(scratch, 0, stop - index, fill)


@cache
def _forward_kernel(loss: ElementwiseLoss) -> Kernel:
    formula = loss.forward

    def loop(start, stop, scratch, x, targets, losses, *operands):
        fill = zeros(x)
        total = widen(fill)
        for i in range(start, stop, lanes_of(x)):
            values = _operands_at(operands, i, stop, fill)
            y = formula(load_until(x, i, stop, fill), load_until(targets, i, stop, fill), *values)
            if losses.size > 0:
                store_until(losses, i, stop, y)
            total = total + widen(_until(y, i, stop, scratch, fill))
        return horizontal_sum(total)

    return sum_over_elements(loop)


@cache
def _with_grad_kernel(loss: ElementwiseLoss) -> Kernel:
    formula, gradient = loss.forward, loss.gradient

    def loop(start, stop, scratch, x, targets, losses, grad, scale, *operands):
        fill = zeros(x)
        factor = const(fill, scale)
        total = widen(fill)
        # Vectors begin where the block does, wherever `grad` begins: the sum's order does not depend on that.
        for i in range(start, stop, lanes_of(x)):
            values = _operands_at(operands, i, stop, fill)
            v, t = load_until(x, i, stop, fill), load_until(targets, i, stop, fill)
            y = formula(v, t, *values)
            if losses.size > 0:
                store_until(losses, i, stop, y)
            total = total + widen(_until(y, i, stop, scratch, fill))
            store_until(grad, i, stop, factor * gradient(v, t, *values))
        return horizontal_sum(total)

    return sum_over_elements(loop)


@cache
def elementwise_loss_forward(loss):
    kernel = _forward_kernel(loss)

    def forward(x, targets, operands, divisor, losses):
        losses = NONE[number_dtype(x.dtype)] if losses is None else losses
        return over(kernel(x.size, x.nbytes, flat(x), flat(targets), flat(losses), *operands), divisor)

    return forward


@cache
def elementwise_loss_with_grad(loss):
    kernel = _with_grad_kernel(loss)

    def with_grad(x, targets, operands, divisor, scale, losses, grad):
        losses = NONE[number_dtype(x.dtype)] if losses is None else losses
        total = kernel(x.size, x.nbytes, flat(x), flat(targets), flat(losses), flat(grad), scale, *operands)
        return over(total, divisor)

    return with_grad
