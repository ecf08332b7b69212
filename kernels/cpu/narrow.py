"""Rows of up to sixteen classes, in tiles: what softmax and cross-entropy do to sixteen rows, lane by lane."""

from __future__ import annotations

import math

from softgrad.kernels.cpu.memory import empty_numbers, load, store, zeros
from softgrad.kernels.cpu.tiles import TILE, load_tile, store_tile
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import larger


def tile_exponentials_of(shift, keep):
    """Build ``exponentials(tile, classes, temperature) -> (largest, rest)``, vectors with a lane for each row.

    With z = shift(logits) and e = exp(z), `rest` is the sum of a row's e but one of the largest. The tile's logits make
    room for what is to be kept: "e", "z" or "x", the logits themselves.
    """

    def exponentials(tile, classes, temperature):
        zero = zeros(tile)
        one, t = const(zero, 1.0), const(zero, temperature)
        largest = const(zero, -math.inf)
        for j in range(classes):
            largest = larger(largest, load(tile, j * TILE))
        # Two sums, by turns: half as many roundings of each. Of the largest logits the first counts 0, others 1.
        total, other, peak_value = zero, zero, zero
        for j in range(classes):
            z = shift(load(tile, j * TILE), largest, t)
            e = exp_nonpositive(z)
            if keep == "e":
                store(tile, j * TILE, e)
            elif keep == "z":
                store(tile, j * TILE, z)
            peak = z == zero
            total, other = other, total + where(peak, peak_value, e)
            peak_value = where(peak, one, peak_value)
        return largest, total + other

    return jitable(exponentials)


def normalised_rows_of(row, shift):
    """Build ``normalised_rows(start, stop, x, temperature, out)`` by a row of `formulas.softmax`, a tile at a time."""
    exponentials, of_rest, normalise = tile_exponentials_of(shift, row.keeps), row.of_rest, row.normalise

    def normalised_rows(start, stop, x, temperature, out):
        classes = x.shape[1]
        tile = empty_numbers(TILE * TILE, x)
        for r in range(start, stop, TILE):
            rows = min(TILE, stop - r)
            load_tile(x, r * classes, classes, rows, tile)
            _, rest = exponentials(tile, classes, temperature)
            norm = of_rest(rest)
            for j in range(classes):
                store(tile, j * TILE, normalise(load(tile, j * TILE), norm))
            store_tile(tile, out, r * classes, classes, rows)

    return jitable(normalised_rows)


@jitable
def label_logits(tile, classes, label):
    """The logit at each row's label, NaN where the label is NaN."""
    found = const(label, math.nan)
    for j in range(classes):
        found = where(label == const(label, j), load(tile, j * TILE), found)
    return found
