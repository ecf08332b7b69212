"""The softmax family over an axis that is not the last, on the card: a thread a column, its neighbours beside it.

The array has the shape (outer, classes, inner), and the classes of a column lie `inner` elements apart. The threads of
a warp read neighbouring columns, so nothing is transposed. A column is read three times, mostly from the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba.extending import register_jitable

from softgrad.kernels.cuda.launch import THREADS, Kernel, blocks_for
from softgrad.kernels.cuda.memory import thread_of_grid
from softgrad.kernels.formulas.logsumexp import (
    difference,
    first_of,
    infinite_shift,
    larger,
    log_softmax_gradient,
    log_sum,
    plain_shift,
    product,
    settled,
    share_of,
    shifted_logit,
    softmax_gradient,
    two_sum,
)
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where

Formula = Callable[..., Any]


@register_jitable
def _first_of_column(column, classes, inner):
    return column // inner * classes * inner + column % inner


def _exponentials_of(shift: Formula) -> Formula:
    """Build ``exponentials(x, first, classes, inner, temperature) -> (largest, rest)`` of a column."""

    def exponentials(x, first, classes, inner, temperature):
        largest = const(temperature, -math.inf)
        for j in range(classes):
            largest = larger(largest, x[first + j * inner])
        zero = const(largest, 0.0)
        total, carry, peaks = zero, zero, 0
        for j in range(classes):
            z = shift(x[first + j * inner], largest, temperature)
            peak = z == zero
            if peak:
                peaks += 1
            total, carry = settled(*two_sum(total, carry, where(peak, zero, exp_nonpositive(z))))
        return largest, (total + carry) + const(total, peaks - 1)

    exponentials.__qualname__ = f"column_exponentials.{shift.__name__}"
    return register_jitable(exponentials)


@cache
def _normalised(shift: Formula, keep: str, of_rest: Formula, normalise: Formula) -> Kernel:
    exponentials = _exponentials_of(shift)

    def kernel(x, out, columns, classes, inner, temperature):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            largest, rest = exponentials(x, first, classes, inner, temperature)
            norm = of_rest(rest)
            for j in range(classes):
                z = shift(x[first + j * inner], largest, temperature)
                out[first + j * inner] = normalise(exp_nonpositive(z) if keep == "e" else z, norm)

    return Kernel(kernel, f"columns.{normalise.__name__}.{shift.__name__}")


@cache
def _logsumexp() -> Kernel:
    exponentials = _exponentials_of(infinite_shift)

    def kernel(x, out, columns, classes, inner, one):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            largest, rest = exponentials(x, first, classes, inner, one)
            out[column] = largest + log_sum(rest)

    return Kernel(kernel, "columns.logsumexp")


@cache
def _gradient(term: Formula, gradient: Formula) -> Kernel:
    def kernel(grad, y, out, columns, classes, inner, temperature):
        column = thread_of_grid()
        if column < columns:
            first = _first_of_column(column, classes, inner)
            zero = const(temperature, 0.0)
            total, carry = zero, zero
            for j in range(classes):
                i = first + j * inner
                total, carry = settled(*two_sum(total, carry, term(grad[i], y[i])))
            for j in range(classes):
                i = first + j * inner
                out[i] = gradient(grad[i], y[i], total + carry, temperature)

    return Kernel(kernel, f"columns.{gradient.__name__}")


def _launch(kernel: Kernel, x: Any, number: float, *arrays: Any) -> None:
    outer, classes, inner = x.shape
    columns = outer * inner
    numbers = np.int64(columns), np.int64(classes), np.int64(inner), x.dtype.type(number)
    kernel.launch(blocks_for(columns, THREADS), THREADS, x, *arrays, *numbers)


def softmax_columns_forward(x, temperature, out):
    """out = softmax(x / temperature) over axis 1 of an array of three axes, none of them empty. `out` may be x."""
    shift = plain_shift if temperature == 1 else shifted_logit
    _launch(_normalised(shift, "e", share_of, product), x, temperature, out)


def log_softmax_columns_forward(x, temperature, out):
    """out = log_softmax(x / temperature) over axis 1. `out` may be x."""
    shift = plain_shift if temperature == 1 else shifted_logit
    _launch(_normalised(shift, "z", log_sum, difference), x, temperature, out)


def logsumexp_columns_forward(x, out):
    """out[o, i] = log(sum(exp(x[o, :, i])))."""
    _launch(_logsumexp(), x, 1.0, out)


def softmax_columns_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = softmax(x / temperature) over axis 1. `out` may be grad or y."""
    _launch(_gradient(product, softmax_gradient), grad, temperature, y, out)


def log_softmax_columns_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = log_softmax(x / temperature) over axis 1. `out` may be grad or y."""
    _launch(_gradient(first_of, log_softmax_gradient), grad, temperature, y, out)
