"""Softmax, log-softmax, logsumexp and their backwards over the rows of a matrix; a thread takes a range of rows.

Passes over memory of a row wider than a vector: softmax reads the logits twice (maximum, exponentials) and the result
once more; log_softmax reads three times; logsumexp twice; the backwards twice. The cache serves all
but the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.cpu.memory import lanes_of, load_first, load_until, store_first, store_until, zeros
from softgrad.kernels.cpu.reductions import horizontal_sum
from softgrad.kernels.cpu.rows import (
    exponentials_of,
    first_of,
    infinite_shift,
    plain_shift,
    product,
    register_exponentials_of,
    row_max,
    row_sum_of,
    scale_row,
)
from softgrad.kernels.formulas.logsumexp import log_softmax_gradient, log_sum, shifted_logit, softmax_gradient
from softgrad.kernels.formulas.primitives import const, exp_nonpositive


def _softmax_kernel(shift: Callable[..., object]) -> Callable[..., None]:
    exponentials, store_exponentials = register_exponentials_of(shift), exponentials_of(shift, store=True)

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        zero = zeros(x)
        lowest, one, t = const(zero, -math.inf), const(zero, 1.0), const(zero, temperature)
        if classes <= lanes_of(x):
            for r in range(start, stop):
                first = r * classes
                _, _, e, rest = exponentials(load_first(x, first, classes, lowest), t)
                store_first(out, first, classes, e / (one + rest))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            rest = store_exponentials(x, first, end, row_max(x, first, end), temperature, out)
            scale_row(out, first, end, const(rest, 1.0) / (const(rest, 1.0) + rest))

    return over_range(loop, f"softmax.{shift.__name__}")


def _log_softmax_kernel(shift: Callable[..., object]) -> Callable[..., None]:
    exponentials, sum_exponentials = register_exponentials_of(shift), exponentials_of(shift, store=False)

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        zero = zeros(x)
        lowest, t = const(zero, -math.inf), const(zero, temperature)
        if classes <= lanes_of(x):
            for r in range(start, stop):
                first = r * classes
                _, z, _, rest = exponentials(load_first(x, first, classes, lowest), t)
                store_first(out, first, classes, z - log_sum(const(zero, rest)))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            largest = row_max(x, first, end)
            rest = sum_exponentials(x, first, end, largest, temperature, out)
            m, lse = const(zero, largest), log_sum(const(zero, rest))
            for i in range(first, end, lanes_of(x)):
                store_until(out, i, end, shift(load_until(x, i, end, zero), m, t) - lse)

    return over_range(loop, f"log_softmax.{shift.__name__}")


_exponentials = register_exponentials_of(infinite_shift)
_sum_exponentials = exponentials_of(infinite_shift, store=False)
_dot = row_sum_of(product)
_sum = row_sum_of(first_of)


def _logsumexp_rows(start, stop, x, out):
    classes = x.shape[1]
    zero = zeros(x)
    lowest = const(zero, -math.inf)
    for r in range(start, stop):
        first, end = r * classes, (r + 1) * classes
        if classes <= lanes_of(x):
            largest, _, _, rest = _exponentials(load_first(x, first, classes, lowest), zero)
        else:
            largest = row_max(x, first, end)
            rest = _sum_exponentials(x, first, end, largest, largest, x)
        out[r] = largest + log_sum(rest)


def _softmax_backward_rows(start, stop, grad, y, temperature, out):
    classes = grad.shape[1]
    zero = zeros(grad)
    t = const(zero, temperature)
    if classes <= lanes_of(grad):
        for r in range(start, stop):
            first = r * classes
            g, p = load_first(grad, first, classes, zero), load_first(y, first, classes, zero)
            store_first(out, first, classes, softmax_gradient(g, p, const(zero, horizontal_sum(g * p)), t))
        return
    for r in range(start, stop):
        first, end = r * classes, (r + 1) * classes
        dot = const(zero, _dot(grad, y, first, end))
        for i in range(first, end, lanes_of(grad)):
            g, p = load_until(grad, i, end, zero), load_until(y, i, end, zero)
            store_until(out, i, end, softmax_gradient(g, p, dot, t))


def _log_softmax_backward_rows(start, stop, grad, y, temperature, out):
    classes = grad.shape[1]
    zero = zeros(grad)
    t = const(zero, temperature)
    for r in range(start, stop):
        first, end = r * classes, (r + 1) * classes
        grad_sum = const(zero, _sum(grad, y, first, end))
        for i in range(first, end, lanes_of(grad)):
            g, log_p = load_until(grad, i, end, zero), load_until(y, i, end, zero)
            store_until(out, i, end, log_softmax_gradient(g, exp_nonpositive(log_p), grad_sum, t))


_softmax, _softmax_at_temperature = _softmax_kernel(plain_shift), _softmax_kernel(shifted_logit)
_log_softmax, _log_softmax_at_temperature = _log_softmax_kernel(plain_shift), _log_softmax_kernel(shifted_logit)
_logsumexp = over_range(_logsumexp_rows)
_softmax_backward = over_range(_softmax_backward_rows)
_log_softmax_backward = over_range(_log_softmax_backward_rows)


def softmax_forward(x, temperature, out):
    """out = softmax(x / temperature) of each row of a matrix with at least one column. `out` may be x."""
    kernel = _softmax if temperature == 1 else _softmax_at_temperature
    kernel(x.shape[0], x.size, x, temperature, out)


def log_softmax_forward(x, temperature, out):
    """out = log_softmax(x / temperature) of each row. `out` may be x."""
    kernel = _log_softmax if temperature == 1 else _log_softmax_at_temperature
    kernel(x.shape[0], x.size, x, temperature, out)


def logsumexp_forward(x, out):
    """out[r] = log(sum(exp(x[r])))."""
    _logsumexp(x.shape[0], x.size, x, out)


def softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = softmax(x / temperature). `out` may be grad or y."""
    _softmax_backward(grad.shape[0], grad.size, grad, y, temperature, out)


def log_softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = log_softmax(x / temperature). `out` may be grad or y."""
    _log_softmax_backward(grad.shape[0], grad.size, grad, y, temperature, out)
