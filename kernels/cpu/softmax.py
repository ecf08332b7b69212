"""Softmax, log-softmax, logsumexp and their backwards over the rows of a matrix; a thread takes a range of rows.

Passes over memory of a row wider than a vector: softmax reads the logits twice (maximum, exponentials) and the result
once more; log_softmax reads three times; logsumexp twice; the backwards twice. The cache serves all
but the first. Rows that are one vector are taken sixteen at a time, so that one vector of logarithms serves all.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from softgrad.kernels.cpu.launch import BLOCK_ROWS, by_size, over_range
from softgrad.kernels.cpu.memory import PAST_CACHE, lanes_of, load_first, load_within, store_first, zeros
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
    scaled_row_by,
)
from softgrad.kernels.formulas.logsumexp import log_softmax_gradient, log_sum, shifted_logit, softmax_gradient
from softgrad.kernels.formulas.primitives import const, exp_nonpositive


def _softmax_kernel(shift, writer):
    exponentials, store_exponentials = register_exponentials_of(shift), exponentials_of(shift, store=True)
    scaled_row = scaled_row_by(writer)
    streams = writer is PAST_CACHE

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
        # The exponentials wait for their sum in `out` itself, or beside it if what is written there leaves the cache.
        waiting = np.empty(classes, x.dtype) if streams else out.reshape(-1)
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            place = 0 if streams else first
            rest = store_exponentials(x, first, end, row_max(x, first, end), temperature, waiting, place)
            scaled_row(waiting, place, out, first, end, const(rest, 1.0) / (const(rest, 1.0) + rest))

    return over_range(loop, f"softmax.{shift.__name__}.{writer.name}", streams=streams)


def _log_softmax_kernel(shift, writer):
    exponentials, sum_exponentials = register_exponentials_of(shift), exponentials_of(shift, store=False)
    begin, put = writer.begin, writer.put
    block_rows = BLOCK_ROWS

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        zero = zeros(x)
        lowest, t = const(zero, -math.inf), const(zero, temperature)
        if classes <= lanes_of(x):
            rests = np.empty(block_rows, x.dtype)
            for block in range(start, stop, block_rows):
                rows = min(block_rows, stop - block)
                for k in range(rows):
                    first = (block + k) * classes
                    _, z, _, rests[k] = exponentials(load_first(x, first, classes, lowest), t)
                    store_first(out, first, classes, z)
                store_first(rests, 0, rows, log_sum(load_first(rests, 0, rows, zero)))
                for k in range(rows):
                    first = (block + k) * classes
                    store_first(out, first, classes, load_first(out, first, classes, zero) - const(zero, rests[k]))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            largest = row_max(x, first, end)
            rest = sum_exponentials(x, first, end, largest, temperature, out, first)
            m, lse = const(zero, largest), log_sum(const(zero, rest))
            for i in range(begin(out, first), end, lanes_of(x)):
                put(out, i, first, end, shift(load_within(x, i, first, end, zero), m, t) - lse)

    return over_range(loop, f"log_softmax.{shift.__name__}.{writer.name}", streams=writer is PAST_CACHE)


_exponentials = register_exponentials_of(infinite_shift)
_sum_exponentials = exponentials_of(infinite_shift, store=False)
_dot = row_sum_of(product)
_sum = row_sum_of(first_of)


def _logsumexp_rows(start, stop, x, out):
    classes = x.shape[1]
    zero = zeros(x)
    lowest = const(zero, -math.inf)
    rests = np.empty(BLOCK_ROWS, x.dtype)
    for block in range(start, stop, BLOCK_ROWS):
        rows = min(BLOCK_ROWS, stop - block)
        for k in range(rows):
            first, end = (block + k) * classes, (block + k + 1) * classes
            if classes <= lanes_of(x):
                largest, _, _, rests[k] = _exponentials(load_first(x, first, classes, lowest), zero)
            else:
                largest = row_max(x, first, end)
                rests[k] = _sum_exponentials(x, first, end, largest, largest, x, first)
            out[block + k] = largest
        logs = log_sum(load_first(rests, 0, rows, zero))
        store_first(out, block, rows, load_first(out, block, rows, zero) + logs)


def _softmax_backward_kernel(tempered, writer):
    begin, put = writer.begin, writer.put

    def loop(start, stop, grad, y, temperature, out):
        classes = grad.shape[1]
        zero = zeros(grad)
        t = const(zero, temperature if tempered else 1.0)  # a division by the constant 1 is no division
        if classes <= lanes_of(grad):
            for r in range(start, stop):
                first = r * classes
                g, p = load_first(grad, first, classes, zero), load_first(y, first, classes, zero)
                store_first(out, first, classes, softmax_gradient(g, p, const(zero, horizontal_sum(g * p)), t))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            dot = const(zero, _dot(grad, y, first, end))
            for i in range(begin(out, first), end, lanes_of(grad)):
                g, p = load_within(grad, i, first, end, zero), load_within(y, i, first, end, zero)
                put(out, i, first, end, softmax_gradient(g, p, dot, t))

    name = f"softmax_backward.{'tempered' if tempered else 'plain'}.{writer.name}"
    return over_range(loop, name, streams=writer is PAST_CACHE)


def _log_softmax_backward_kernel(tempered, writer):
    begin, put = writer.begin, writer.put

    def loop(start, stop, grad, y, temperature, out):
        classes = grad.shape[1]
        zero = zeros(grad)
        t = const(zero, temperature if tempered else 1.0)
        if classes <= lanes_of(grad):
            for r in range(start, stop):
                first = r * classes
                g, p = load_first(grad, first, classes, zero), exp_nonpositive(load_first(y, first, classes, zero))
                store_first(out, first, classes, log_softmax_gradient(g, p, const(zero, horizontal_sum(g)), t))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            grad_sum = const(zero, _sum(grad, y, first, end))
            for i in range(begin(out, first), end, lanes_of(grad)):
                g, log_p = load_within(grad, i, first, end, zero), load_within(y, i, first, end, zero)
                put(out, i, first, end, log_softmax_gradient(g, exp_nonpositive(log_p), grad_sum, t))

    name = f"log_softmax_backward.{'tempered' if tempered else 'plain'}.{writer.name}"
    return over_range(loop, name, streams=writer is PAST_CACHE)


_softmax = by_size(partial(_softmax_kernel, plain_shift))
_softmax_at_temperature = by_size(partial(_softmax_kernel, shifted_logit))
_log_softmax = by_size(partial(_log_softmax_kernel, plain_shift))
_log_softmax_at_temperature = by_size(partial(_log_softmax_kernel, shifted_logit))
_logsumexp = over_range(_logsumexp_rows)
_softmax_backward = by_size(partial(_softmax_backward_kernel, False))
_softmax_backward_at_temperature = by_size(partial(_softmax_backward_kernel, True))
_log_softmax_backward = by_size(partial(_log_softmax_backward_kernel, False))
_log_softmax_backward_at_temperature = by_size(partial(_log_softmax_backward_kernel, True))


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
    kernel = _softmax_backward if temperature == 1 else _softmax_backward_at_temperature
    kernel(grad.shape[0], grad.size, grad, y, temperature, out)


def log_softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = log_softmax(x / temperature). `out` may be grad or y."""
    kernel = _log_softmax_backward if temperature == 1 else _log_softmax_backward_at_temperature
    kernel(grad.shape[0], grad.size, grad, y, temperature, out)
