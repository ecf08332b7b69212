"""Rows of up to sixteen classes, in tiles: the exponentials of sixteen rows and their sums, lane by lane."""

from __future__ import annotations

import math

from numba.extending import register_jitable

from softgrad.kernels.cpu.memory import load, store, zeros
from softgrad.kernels.cpu.tiles import TILE
from softgrad.kernels.formulas.logsumexp import larger
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where


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

    exponentials.__qualname__ = f"tile_exponentials.{shift.__name__}.{keep}"
    return register_jitable(exponentials)
