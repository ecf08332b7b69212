"""What the row kernels share: a row's largest logit, its exponentials and their sum, its dot products.

A row lies from `first` to `end` in a contiguous matrix. It is passed over several times, in cache.
"""

from __future__ import annotations

import math

from softgrad.kernels.cpu.horizontal import horizontal_combine, horizontal_max, horizontal_sum
from softgrad.kernels.cpu.memory import (
    lanes_of,
    line_begin,
    load,
    load_until,
    load_within,
    prefetch,
    store_until,
    zeros,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import SETTLED_EVERY, larger, settled, together, two_sum
from softgrad.kernels.simd.vector import count_true

# Vectors that are added plainly before their sum joins the compensated one: at most 2 ULP are lost in a block.
BLOCK_VECTORS = 8


@jitable
def row_max(x, first, end):
    """The largest logit of a row, -inf if there is none but NaN."""
    lanes = lanes_of(x)
    lowest = const(zeros(x), -math.inf)
    # Four maxima in flight: one alone would wait for the one before it.
    a, b, c, d = lowest, lowest, lowest, lowest
    i = first
    while i + 4 * lanes <= end:
        a = larger(a, load(x, i))
        b = larger(b, load(x, i + lanes))
        c = larger(c, load(x, i + 2 * lanes))
        d = larger(d, load(x, i + 3 * lanes))
        i += 4 * lanes
    while i < end:
        a = larger(a, load_until(x, i, end, lowest))
        i += lanes
    return horizontal_max(larger(larger(a, b), larger(c, d)))


def exponentials_of(shift, store):
    """Build ``exponentials(x, first, end, largest, temperature, out, out_first) -> rest`` of a wider row.

    exp(shift(x)) is written to `out` from `out_first` on if `store`; `rest` is the sum of all exponentials but one of
    the largest.
    """

    def exponentials(x, first, end, largest, temperature, out, out_first):
        lanes = lanes_of(x)
        zero = zeros(x)
        lowest, m, t = const(zero, -math.inf), const(zero, largest), const(zero, temperature)
        total, carry, peaks = zero, zero, 0
        to_out = out_first - first
        for block in range(first, end, BLOCK_VECTORS * lanes):
            partial = zero
            for i in range(block, min(block + BLOCK_VECTORS * lanes, end), lanes):
                prefetch(x, i + end - first)  # the next row: its maximum would wait for memory, this pass does not
                z = shift(load_until(x, i, end, lowest), m, t)
                e = exp_nonpositive(z)
                if store:
                    store_until(out, i + to_out, end + to_out, e)
                peak = z == zero
                peaks += count_true(peak)
                partial = partial + where(peak, zero, e)
            total, carry = two_sum(total, carry, partial)
            if (block - first) // (BLOCK_VECTORS * lanes) % SETTLED_EVERY == SETTLED_EVERY - 1:
                total, carry = settled(total, carry)
        others = horizontal_sum(total) + horizontal_sum(carry)
        return others + const(others, peaks - 1)

    return jitable(exponentials)


def scaled_row_by(put):
    """Build ``scaled_row(x, x_first, out, first, end, factor)``: out = x factor, x from `x_first` on."""

    def scaled_row(x, x_first, out, first, end, factor):
        zero = zeros(out)
        f = const(zero, factor)
        to_x = x_first - first
        for i in range(line_begin(out, first), end, lanes_of(out)):
            put(out, i, first, end, load_within(x, i + to_x, x_first, end + to_x, zero) * f)

    return jitable(scaled_row)


@jitable
def add_in_parts(total, carry, other_total, other_carry):
    """The sum of two sums in two parts, in two parts, for `horizontal_combine`."""
    return two_sum(total, carry + other_carry, other_total)


def row_sum_of(term):
    """Build ``row_sum(a, b, first, end)``, the compensated sum of term(a_j, b_j) over a row: terms may cancel."""

    def row_sum(a, b, first, end):
        lanes, zero = lanes_of(a), zeros(a)
        total, carry = zero, zero
        for block in range(first, end, SETTLED_EVERY * lanes):
            for i in range(block, min(block + SETTLED_EVERY * lanes, end), lanes):
                total, carry = two_sum(total, carry, term(load_until(a, i, end, zero), load_until(b, i, end, zero)))
            total, carry = settled(total, carry)
        return together(*horizontal_combine(add_in_parts, total, carry))

    return jitable(row_sum)
