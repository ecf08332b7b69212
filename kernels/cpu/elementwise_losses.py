"""Elementwise losses: the loss, and the loss with its gradient in the same pass, any formula of the table.

Weights and parameters are operands, each a number or an array with an element for each of x.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from numba import types
from numba.extending import overload, register_jitable

from softgrad.kernels.cpu.launch import Kernel, flat, serial, sum_over_elements
from softgrad.kernels.cpu.memory import lanes_of, load_first, load_until, store, store_until, zeros
from softgrad.kernels.cpu.reductions import horizontal_sum
from softgrad.kernels.cpu.simd import count_true, widen
from softgrad.kernels.formulas.elementwise_loss_table import ElementwiseLoss
from softgrad.kernels.formulas.primitives import const

# ---- operands


def _operand(operand, index, stop, fill):
    """The lanes of an array from `index` on, or a number in every lane."""


@overload(_operand)
def _compiled_operand(operand, index, stop, fill):
    if isinstance(operand, types.Array):
        return lambda operand, index, stop, fill: load_until(operand, index, stop, fill)
    return lambda operand, index, stop, fill: const(fill, operand)


@register_jitable
def _no_operands(operands, index, stop, fill):
    return ()


@register_jitable
def _one_operand(operands, index, stop, fill):
    return (_operand(operands[0], index, stop, fill),)


@register_jitable
def _two_operands(operands, index, stop, fill):
    return (_operand(operands[0], index, stop, fill), _operand(operands[1], index, stop, fill))


_OPERANDS = (_no_operands, _one_operand, _two_operands)


# ---- losses


@register_jitable
def _until(values, index, stop, scratch, fill):
    """The lanes before `stop`, the others as in `fill`."""
    if index + lanes_of(scratch) <= stop:
        return values
    store(scratch, 0, values)
    return load_first(scratch, 0, stop - index, fill)


@cache
def _forward_kernel(loss: ElementwiseLoss) -> Kernel:
    formula, operands_at = loss.forward, _OPERANDS[len(loss.defaults)]

    def loop(start, stop, scratch, x, targets, losses, *operands):
        fill = zeros(x)
        total = widen(fill)
        for i in range(start, stop, lanes_of(x)):
            values = operands_at(operands, i, stop, fill)
            y = formula(load_until(x, i, stop, fill), load_until(targets, i, stop, fill), *values)
            if losses.size > 0:
                store_until(losses, i, stop, y)
            total = total + widen(_until(y, i, stop, scratch, fill))
        return horizontal_sum(total)

    return sum_over_elements(loop, f"elementwise_loss_forward.{loss.name}")


@cache
def _with_grad_kernel(loss: ElementwiseLoss) -> Kernel:
    formula, gradient, operands_at = loss.forward, loss.gradient, _OPERANDS[len(loss.defaults)]

    def loop(start, stop, scratch, x, targets, scale, losses, grad, *operands):
        fill = zeros(x)
        factor = const(fill, scale)
        total = widen(fill)
        # Vectors begin where the block does, wherever `grad` begins: the sum's order does not depend on that.
        for i in range(start, stop, lanes_of(x)):
            values = operands_at(operands, i, stop, fill)
            v, t = load_until(x, i, stop, fill), load_until(targets, i, stop, fill)
            y = formula(v, t, *values)
            if losses.size > 0:
                store_until(losses, i, stop, y)
            total = total + widen(_until(y, i, stop, scratch, fill))
            store_until(grad, i, stop, factor * gradient(v, t, *values))
        return horizontal_sum(total)

    return sum_over_elements(loop, f"elementwise_loss_with_grad.{loss.name}")


@cache
def elementwise_loss_forward(loss: ElementwiseLoss) -> Callable[..., float]:
    """Build ``forward(x, targets, operands, losses)``: the sum in float64, each in `losses` unless that has size 0."""
    kernel = _forward_kernel(loss)

    def forward(x, targets, operands, losses):
        return kernel(x.size, x.nbytes, flat(x), flat(targets), flat(losses), *operands)

    return forward


@cache
def elementwise_loss_with_grad(loss: ElementwiseLoss) -> Callable[..., float]:
    """Build ``with_grad(x, targets, operands, scale, losses, grad)``: the same, and grad = scale d loss / dx.

    `grad` may be x or the targets.
    """
    kernel = _with_grad_kernel(loss)

    def with_grad(x, targets, operands, scale, losses, grad):
        return kernel(x.size, x.nbytes, flat(x), flat(targets), scale, flat(losses), flat(grad), *operands)

    return with_grad


# ---- checks


@cache
def _first_failing(holds: Callable[..., object]) -> Callable[..., int]:
    def first(x):
        lanes = lanes_of(x)
        fill = const(zeros(x), x[0])
        for i in range(0, x.size, lanes):
            if count_true(holds(load_until(x, i, x.size, fill))) < lanes:
                for k in range(i, x.size):
                    if not holds(x[k]):
                        return k
        return -1

    first.__qualname__ = f"first_failing.{holds.__name__}"
    compiled: Callable[..., int] = serial(first)
    return compiled


def first_failing(holds, x):
    """The position of the first element of which the formula `holds` is not true, or -1."""
    return _first_failing(holds)(flat(x)) if x.size else -1
