"""Softmax, log-softmax, logsumexp and the backwards: the rows of a matrix here, columns side by side in `columns`.

A thread takes a range of rows. Passes over memory of a row wider than a tile: softmax reads the logits twice (maximum,
exponentials) and the result once more; log_softmax reads three times; logsumexp twice; the backwards twice. The cache
serves all but the first. Rows of up to sixteen classes are taken sixteen at a time, in tiles; by the backwards, which
turning them would not help, in a vector each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from softgrad.kernels.cpu import columns
from softgrad.kernels.cpu.horizontal import horizontal_sum
from softgrad.kernels.cpu.launch import Kernel, by_size, over_range
from softgrad.kernels.cpu.memory import (
    Put,
    empty_numbers,
    holds_numbers,
    lanes_of,
    line_begin,
    load,
    load_first,
    load_within,
    numbers_in,
    past_cache,
    store_first,
    zeros,
)
from softgrad.kernels.cpu.narrow import normalised_rows_of, tile_exponentials_of
from softgrad.kernels.cpu.rows import exponentials_of, row_max, row_sum_of
from softgrad.kernels.cpu.tiles import TILE, load_tile
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.softmax import Normalised, infinite_shift, log_sum, plain_shift, shifted_logit


def _normalised_rows(row: Normalised, shift: Callable[..., Any], put: Put) -> Kernel:
    of_rest, normalise = row.of_rest, row.normalise
    keeps_e, streams = row.keeps == "e", put is past_cache
    exponentials = exponentials_of(shift, keeps_e)
    narrow_rows = normalised_rows_of(row, shift)

    def loop(start, stop, x, temperature, out):
        classes = x.shape[1]
        if classes <= TILE:
            narrow_rows(start, stop, x, temperature, out)
            return
        zero = zeros(x)
        t = const(zero, temperature)
        # Kept exponentials wait for their sum in `out` itself, or beside it if what is written there leaves the cache,
        # or is rounded to 16 bits.
        apart = streams or not holds_numbers(out)
        beside = empty_numbers(classes if keeps_e and apart else 0, x)
        waiting = beside if streams else numbers_in(out, beside)
        for r in range(start, stop):
            first, end = r * classes, (r + 1) * classes
            place = 0 if apart else first
            largest = row_max(x, first, end)
            rest = exponentials(x, first, end, largest, temperature, waiting, place)
            m, norm = const(zero, largest), of_rest(const(zero, rest))
            for i in range(line_begin(out, first), end, lanes_of(x)):
                if keeps_e:
                    kept = load_within(waiting, i + place - first, place, place + classes, zero)
                else:
                    kept = shift(load_within(x, i, first, end, zero), m, t)
                put(out, i, first, end, normalise(kept, norm))

    return over_range(loop, streams=streams)


def _backward_rows(row: Normalised, tempered: bool, put: Put) -> Kernel:
    term, gradient = row.term, row.gradient
    row_sum = row_sum_of(term)

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

    return over_range(loop, streams=put is past_cache)


_tile_exponentials = tile_exponentials_of(infinite_shift, "x")
_sum_exponentials = exponentials_of(infinite_shift, False)


def _logsumexp_rows(start, stop, x, out):
    classes = x.shape[1]
    tile = empty_numbers(TILE * TILE, x)
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


_logsumexp = over_range(_logsumexp_rows)


@cache
def normalised(row: Normalised) -> Callable[..., None]:
    plain, tempered = (
        by_size(partial(_normalised_rows, row, shift), arrays=2) for shift in (plain_shift, shifted_logit)
    )

    def forward(x, temperature, out):
        if x.ndim == 3:
            shift = plain_shift if temperature == 1 else shifted_logit
            columns.over_strips(columns.normalised(row, shift, x.itemsize == 2), x, x, temperature, out)
        else:
            kernel = plain if temperature == 1 else tempered
            kernel(x.shape[0], x.nbytes, x, temperature, out)

    return forward


@cache
def normalised_backward(row: Normalised) -> Callable[..., None]:
    plain, tempered = (by_size(partial(_backward_rows, row, tempered), arrays=3) for tempered in (False, True))

    def backward(grad, y, temperature, out):
        if grad.ndim == 3:
            columns.over_strips(columns.normalised_backward(row, temperature != 1), grad, grad, y, temperature, out)
        else:
            kernel = plain if temperature == 1 else tempered
            kernel(grad.shape[0], grad.nbytes, grad, y, temperature, out)

    return backward


def logsumexp(x, out):
    if x.ndim == 3:
        columns.over_strips(columns.logsumexp, x, x, 1.0, out)
    else:
        _logsumexp(x.shape[0], x.nbytes, x, out)
