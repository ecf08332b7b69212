"""Softmax, log-softmax, logsumexp and their backwards over the rows of a matrix; a thread takes a range of rows.

Passes over memory of a row: softmax reads the logits twice (maximum, exponentials) and the result once more;
log_softmax reads three times; logsumexp twice; the backwards twice.
"""

from __future__ import annotations

from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.formulas.logsumexp import (
    distance_below,
    larger,
    log_of_sum,
    log_softmax_gradient,
    shifted_logit,
    softmax_gradient,
    two_sum,
)
from softgrad.kernels.formulas.primitives import const, exp_nonpositive


@register_jitable
def row_max(x):
    """The largest logit of a row that is not empty; a NaN is met again in the sum."""
    largest = x[0]
    for j in range(1, x.size):
        largest = larger(largest, x[j])
    return largest


@register_jitable
def store_exponentials(x, largest, temperature, out):
    """out = exp(shifted logits); returns their sum in two parts. `out` may be x."""
    total = const(largest, 0.0)
    carry = const(largest, 0.0)
    for j in range(x.size):
        e = exp_nonpositive(shifted_logit(x[j], largest, temperature))
        out[j] = e
        total, carry = two_sum(total, carry, e)
    return total, carry


@register_jitable
def sum_exponentials(x, largest, temperature):
    """The sum of the exponentials of a row in two parts, nothing stored."""
    total = const(largest, 0.0)
    carry = const(largest, 0.0)
    for j in range(x.size):
        e = exp_nonpositive(shifted_logit(x[j], largest, temperature))
        total, carry = two_sum(total, carry, e)
    return total, carry


def _softmax_rows(start, stop, x, temperature, out):
    for r in range(start, stop):
        logits, y = x[r], out[r]
        total, carry = store_exponentials(logits, row_max(logits), temperature, y)
        total += carry
        for j in range(y.size):
            y[j] /= total


def _log_softmax_rows(start, stop, x, temperature, out):
    for r in range(start, stop):
        logits, y = x[r], out[r]
        largest = row_max(logits)
        total, carry = sum_exponentials(logits, largest, temperature)
        log_sum = log_of_sum(total, carry)
        for j in range(y.size):
            y[j] = shifted_logit(logits[j], largest, temperature) - log_sum


def _logsumexp_rows(start, stop, x, out):
    for r in range(start, stop):
        logits = x[r]
        largest = row_max(logits)
        total = const(largest, 0.0)
        carry = const(largest, 0.0)
        for j in range(logits.size):
            total, carry = two_sum(total, carry, exp_nonpositive(distance_below(logits[j], largest)))
        out[r] = largest + log_of_sum(total, carry)


def _softmax_backward_rows(start, stop, grad, y, temperature, out):
    for r in range(start, stop):
        g, p, dx = grad[r], y[r], out[r]
        dot = const(temperature, 0.0)
        carry = const(temperature, 0.0)
        for j in range(g.size):
            dot, carry = two_sum(dot, carry, g[j] * p[j])
        dot += carry
        for j in range(g.size):
            dx[j] = softmax_gradient(g[j], p[j], dot, temperature)


def _log_softmax_backward_rows(start, stop, grad, y, temperature, out):
    for r in range(start, stop):
        g, log_p, dx = grad[r], y[r], out[r]
        grad_sum = const(temperature, 0.0)
        carry = const(temperature, 0.0)
        for j in range(g.size):
            grad_sum, carry = two_sum(grad_sum, carry, g[j])
        grad_sum += carry
        for j in range(g.size):
            dx[j] = log_softmax_gradient(g[j], exp_nonpositive(log_p[j]), grad_sum, temperature)


_softmax = over_range(_softmax_rows)
_log_softmax = over_range(_log_softmax_rows)
_logsumexp = over_range(_logsumexp_rows)
_softmax_backward = over_range(_softmax_backward_rows)
_log_softmax_backward = over_range(_log_softmax_backward_rows)


def softmax_forward(x, temperature, out):
    """out = softmax(x / temperature) of each row of a matrix with at least one column. `out` may be x."""
    _softmax(x.shape[0], x.size, x, temperature, out)


def log_softmax_forward(x, temperature, out):
    """out = log_softmax(x / temperature) of each row. `out` may be x."""
    _log_softmax(x.shape[0], x.size, x, temperature, out)


def logsumexp_forward(x, out):
    """out[r] = log(sum(exp(x[r])))."""
    _logsumexp(x.shape[0], x.size, x, out)


def softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = softmax(x / temperature). `out` may be grad or y."""
    _softmax_backward(grad.shape[0], grad.size, grad, y, temperature, out)


def log_softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = log_softmax(x / temperature). `out` may be grad or y."""
    _log_softmax_backward(grad.shape[0], grad.size, grad, y, temperature, out)
