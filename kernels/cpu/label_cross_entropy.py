"""Softmax cross-entropy with labels and no options: rows of up to sixteen classes are taken sixteen at a time."""

from __future__ import annotations

import math

from softgrad.kernels.cpu.horizontal import horizontal_sum
from softgrad.kernels.cpu.launch import by_size, sum_over_blocks
from softgrad.kernels.cpu.memory import (
    holds_numbers,
    load,
    load_first,
    number_at,
    numbers_in,
    past_cache,
    set_number,
    store,
    store_first,
    zeros,
)
from softgrad.kernels.cpu.narrow import label_logits, tile_exponentials_of
from softgrad.kernels.cpu.rows import exponentials_of, row_max, scaled_row_by
from softgrad.kernels.cpu.tiles import TILE, load_labels, load_tile, store_tile
from softgrad.kernels.formulas.cross_entropy import cross_entropy, cross_entropy_label_gradient
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import plain_shift
from softgrad.kernels.simd.vector import widen

_sum_exponentials = exponentials_of(plain_shift, store=False)
_store_exponentials = exponentials_of(plain_shift, store=True)
_tile_sum_exponentials = tile_exponentials_of(plain_shift, "x")
_tile_exponentials = tile_exponentials_of(plain_shift, "e")


@jitable
def _in_range(label, classes):
    return 0 <= label < classes


@jitable
def _losses_of_block(start, stop, below_and_rest, losses):
    """The losses of a block from each row's `below` and `rest`, a vector of logarithms at a time; returns their sum."""
    zero = zeros(below_and_rest)
    total = widen(zero)
    for r in range(0, stop - start, TILE):
        rows = min(TILE, stop - start - r)
        below, rest = load_first(below_and_rest[0], r, rows, zero), load_first(below_and_rest[1], r, rows, zero)
        row_losses = cross_entropy(below, rest)
        if losses.size > 0:
            store_first(losses, start + r, rows, row_losses)
        total = total + widen(row_losses)
    return horizontal_sum(total)


def _loss_rows(start, stop, scratch, logits, labels, losses):
    classes = logits.shape[1]
    zero = zeros(logits)
    (below, rests, _), tile = scratch
    if classes <= TILE:
        for r in range(start, stop, TILE):
            rows = min(TILE, stop - r)
            load_tile(logits, r * classes, classes, rows, tile)
            label_logit = label_logits(tile, classes, load_labels(labels, r, rows, classes, zero))
            largest, rest = _tile_sum_exponentials(tile, classes, 1.0)
            store(below, r - start, largest - label_logit)
            store(rests, r - start, rest)
    else:
        for r in range(start, stop):
            label, first, end = labels[r], r * classes, (r + 1) * classes
            largest = row_max(logits, first, end)
            rests[r - start] = _sum_exponentials(logits, first, end, largest, 1.0, logits, first)
            below[r - start] = largest - number_at(logits, first + label) if _in_range(label, classes) else math.nan
    return _losses_of_block(start, stop, scratch[0], losses)


def _loss_and_gradient_kernel(put):
    scaled_row = scaled_row_by(put)
    streams = put is past_cache

    def loop(start, stop, scratch, logits, labels, scale, losses, grad):
        classes = logits.shape[1]
        zero = zeros(logits)
        one, factor, unknown = const(zero, 1.0), const(zero, scale), const(zero, math.nan)
        (below, rests, row), tile = scratch
        if classes <= TILE:
            for r in range(start, stop, TILE):
                rows = min(TILE, stop - r)
                load_tile(logits, r * classes, classes, rows, tile)
                label = load_labels(labels, r, rows, classes, zero)
                label_logit = label_logits(tile, classes, label)
                largest, rest = _tile_exponentials(tile, classes, 1.0)
                share = where(label == label, factor / (one + rest), unknown)
                for j in range(classes):
                    e = load(tile, j * TILE)
                    at_label = label == const(zero, j)
                    store(tile, j * TILE, where(at_label, cross_entropy_label_gradient(e, rest), e) * share)
                store_tile(tile, grad, r * classes, classes, rows)
                store(below, r - start, largest - label_logit)
                store(rests, r - start, rest)
            return _losses_of_block(start, stop, scratch[0], losses)
        # The exponentials wait for their sum in `grad`, or beside it if what is written there leaves the cache, or is
        # rounded to 16 bits.
        apart = streams or not holds_numbers(grad)
        waiting = row if streams else numbers_in(grad, row)
        for r in range(start, stop):
            label, first, end = labels[r], r * classes, (r + 1) * classes
            known = _in_range(label, classes)
            # Taken before `grad`, which may be the same memory, is written. NaN makes the row's loss NaN.
            label_logit = number_at(logits, first + label) if known else const(scale, math.nan)
            place = 0 if apart else first
            largest = row_max(logits, first, end)
            rest = _store_exponentials(logits, first, end, largest, 1.0, waiting, place)
            share = scale / (const(rest, 1.0) + rest)
            at_label = cross_entropy_label_gradient(exp_nonpositive(label_logit - largest), rest) * share
            scaled_row(waiting, place, grad, first, end, share if known else const(scale, math.nan))
            if known:
                set_number(grad, first + label, at_label)
            below[r - start], rests[r - start] = largest - label_logit, rest
        return _losses_of_block(start, stop, scratch[0], losses)

    return sum_over_blocks(loop, streams=streams)


# ``loss(size, nbytes, logits, labels, losses)`` and ``loss_and_gradient(size, nbytes, logits, labels, scale, losses,
# grad)``, with `scale` of the dtype computed in.
loss, loss_and_gradient = sum_over_blocks(_loss_rows), by_size(_loss_and_gradient_kernel, arrays=2)
