"""Softmax, log-softmax, logsumexp and their backwards over the rows of a matrix; a thread takes a range of rows.

Passes over memory of a row wider than a tile: softmax reads the logits twice (maximum, exponentials) and the result
once more; log_softmax reads three times; logsumexp twice; the backwards twice. The cache serves all but the first. Rows
of up to sixteen classes are taken sixteen at a time, in tiles; by the backwards, which turning them would not help, in
a vector each.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from softgrad.kernels.cpu.launch import by_size, over_range
from softgrad.kernels.cpu.memory import (
    PAST_CACHE,
    lanes_of,
    line_begin,
    load,
    load_first,
    load_within,
    store_first,
    zeros,
)
from softgrad.kernels.cpu.narrow import normalised_rows_of, tile_exponentials_of
from softgrad.kernels.cpu.reductions import horizontal_sum
from softgrad.kernels.cpu.rows import exponentials_of, row_max, row_sum_of, scaled_row_by
from softgrad.kernels.cpu.tiles import TILE, load_tile
from softgrad.kernels.formulas.logsumexp import (
    difference,
    first_of,
    infinite_shift,
    log_softmax_gradient,
    log_sum,
    plain_shift,
    product,
    share_of,
    shifted_logit,
    softmax_gradient,
)
from softgrad.kernels.formulas.primitives import const


def _softmax_kernel(shift, writer):
    narrow_rows = normalised_rows_of(tile_exponentials_of(shift, "e"), share_of, product)
    store_exponentials, scaled_row = exponentials_of(shift, store=True), scaled_row_by(writer)
    streams = writer is PAST_CACHE

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        if classes <= TILE:
            narrow_rows(start, stop, x, temperature, out)
            return
        # The exponentials wait for their sum in `out` itself, or beside it if what is written there leaves the cache.
        waiting = np.empty(classes, x.dtype) if streams else out.reshape(-1)
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            place = 0 if streams else first
            rest = store_exponentials(x, first, end, row_max(x, first, end), temperature, waiting, place)
            scaled_row(waiting, place, out, first, end, share_of(rest))

    return over_range(loop, f"softmax.{shift.__name__}.{writer.name}", streams=streams)


def _log_softmax_kernel(shift, writer):
    narrow_rows = normalised_rows_of(tile_exponentials_of(shift, "z"), log_sum, difference)
    sum_exponentials, put = exponentials_of(shift, store=False), writer.put

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        if classes <= TILE:
            narrow_rows(start, stop, x, temperature, out)
            return
        zero = zeros(x)
        t = const(zero, temperature)
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            largest = row_max(x, first, end)
            rest = sum_exponentials(x, first, end, largest, temperature, out, first)
            m, lse = const(zero, largest), log_sum(const(zero, rest))
            for i in range(line_begin(out, first), end, lanes_of(x)):
                put(out, i, first, end, shift(load_within(x, i, first, end, zero), m, t) - lse)

    return over_range(loop, f"log_softmax.{shift.__name__}.{writer.name}", streams=writer is PAST_CACHE)


_tile_exponentials = tile_exponentials_of(infinite_shift, "x")
_sum_exponentials = exponentials_of(infinite_shift, store=False)


def _logsumexp_rows(start, stop, x, out):
    classes = x.shape[1]
    tile = np.empty(TILE * TILE, x.dtype)
    for r in range(start, stop, TILE):
        rows = min(TILE, stop - r)
        if classes <= TILE:
            load_tile(x, r * classes, classes, rows, tile)
            largest, rest = _tile_exponentials(tile, classes, 1.0)
        else:
            for k in range(rows):
                first, end = (r + k) * classes, (r + k + 1) * classes
                tile[k] = row_max(x, first, end)
                tile[TILE + k] = _sum_exponentials(x, first, end, tile[k], 1.0, x, first)
            largest, rest = load(tile, 0), load(tile, TILE)
        store_first(out, r, rows, largest + log_sum(rest))


def _backward_kernel(term, gradient, tempered, writer):
    """The backward with ``gradient(grad, y, sum of term(grad, y), temperature)``; temperature 1 if not `tempered`."""
    row_sum, put = row_sum_of(term), writer.put

    def loop(start, stop, grad, y, temperature, out):
        classes = grad.shape[1]
        zero = zeros(grad)
        t = const(zero, temperature if tempered else 1.0)  # a division by the constant 1 is no division
        if classes <= lanes_of(grad):
            for r in range(start, stop):
                first = r * classes
                g, p = load_first(grad, first, classes, zero), load_first(y, first, classes, zero)
                store_first(out, first, classes, gradient(g, p, const(zero, horizontal_sum(term(g, p))), t))
            return
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            total = const(zero, row_sum(grad, y, first, end))
            for i in range(line_begin(out, first), end, lanes_of(grad)):
                g, p = load_within(grad, i, first, end, zero), load_within(y, i, first, end, zero)
                put(out, i, first, end, gradient(g, p, total, t))

    name = f"backward.{gradient.__name__}.{'tempered' if tempered else 'plain'}.{writer.name}"
    return over_range(loop, name, streams=writer is PAST_CACHE)


_softmax = by_size(partial(_softmax_kernel, plain_shift), arrays=2)
_softmax_at_temperature = by_size(partial(_softmax_kernel, shifted_logit), arrays=2)
_log_softmax = by_size(partial(_log_softmax_kernel, plain_shift), arrays=2)
_log_softmax_at_temperature = by_size(partial(_log_softmax_kernel, shifted_logit), arrays=2)
_logsumexp = over_range(_logsumexp_rows)
_softmax_backward, _softmax_backward_at_temperature = (
    by_size(partial(_backward_kernel, product, softmax_gradient, tempered), arrays=3) for tempered in (False, True)
)
_log_softmax_backward, _log_softmax_backward_at_temperature = (
    by_size(partial(_backward_kernel, first_of, log_softmax_gradient, tempered), arrays=3) for tempered in (False, True)
)


def softmax_forward(x, temperature, out):
    """out = softmax(x / temperature) of each row of a matrix with at least one column. `out` may be x."""
    kernel = _softmax if temperature == 1 else _softmax_at_temperature
    kernel(x.shape[0], x.nbytes, x, temperature, out)


def log_softmax_forward(x, temperature, out):
    """out = log_softmax(x / temperature) of each row. `out` may be x."""
    kernel = _log_softmax if temperature == 1 else _log_softmax_at_temperature
    kernel(x.shape[0], x.nbytes, x, temperature, out)


def logsumexp_forward(x, out):
    """out[r] = log(sum(exp(x[r])))."""
    _logsumexp(x.shape[0], x.nbytes, x, out)


def softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = softmax(x / temperature). `out` may be grad or y."""
    kernel = _softmax_backward if temperature == 1 else _softmax_backward_at_temperature
    kernel(grad.shape[0], grad.nbytes, grad, y, temperature, out)


def log_softmax_backward(grad, y, temperature, out):
    """The gradient of each row's logits, from that of y = log_softmax(x / temperature). `out` may be grad or y."""
    kernel = _log_softmax_backward if temperature == 1 else _log_softmax_backward_at_temperature
    kernel(grad.shape[0], grad.nbytes, grad, y, temperature, out)
