"""Information measures of the rows of a matrix, and what tells whether the rows are distributions, in the same pass.

Rows of up to sixteen classes are taken sixteen at a time, in tiles; of wider rows the sums are collected, so that what
is made of them is computed sixteen at a time as well.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from softgrad.kernels.cpu.launch import by_size, flat, over_range, serial
from softgrad.kernels.cpu.memory import (
    PAST_CACHE,
    lanes_of,
    line_begin,
    load,
    load_until,
    load_within,
    store,
    store_first,
    zeros,
)
from softgrad.kernels.cpu.reductions import horizontal_combine, horizontal_max
from softgrad.kernels.cpu.rows import add_in_parts
from softgrad.kernels.cpu.simd import count_true
from softgrad.kernels.cpu.tiles import TILE, load_tile
from softgrad.kernels.formulas.information import (
    add_mass,
    add_term,
    cross_entropy_term,
    divergence_term,
    entropy_term,
    exponential,
    scaled,
    self_information,
)
from softgrad.kernels.formulas.logsumexp import SETTLED_EVERY, settled, together
from softgrad.kernels.formulas.primitives import const

# Of each row: the sum of its terms in two parts, and of p and of q the mass and how far they go below 0.
SUMS = 6


def _sums_of(term, two):
    """Build ``sums(p, q, first, end)``: those sums, lane by lane. Without `two`, q is p and not looked at."""

    def sums(p, q, first, end):
        lanes, zero = lanes_of(p), zeros(p)
        total, carry = zero, zero
        mass, mass_carry, below = zero, zero, zero
        mass_q, mass_carry_q, below_q = zero, zero, zero
        for block in range(first, end, SETTLED_EVERY * lanes):
            for i in range(block, min(block + SETTLED_EVERY * lanes, end), lanes):
                a = load_until(p, i, end, zero)
                b = load_until(q, i, end, zero) if two else a
                total, carry = add_term(total, carry, term(a, b))
                mass, mass_carry, below = add_mass(mass, mass_carry, below, a)
                if two:
                    mass_q, mass_carry_q, below_q = add_mass(mass_q, mass_carry_q, below_q, b)
            total, carry = settled(total, carry)
            mass, mass_carry = settled(mass, mass_carry)
            mass_q, mass_carry_q = settled(mass_q, mass_carry_q)
        return (total, carry), (mass, mass_carry, below), (mass_q, mass_carry_q, below_q)

    sums.__qualname__ = f"sums.{term.__name__}"
    return register_jitable(sums)


@register_jitable
def _row_mass(mass, carry, below):
    mass, carry = horizontal_combine(add_in_parts, mass, carry)
    return together(mass, carry), horizontal_max(below)


def _row_kernel(term, finish, two):
    """The kernel ``(p, q, factor, factor_lost, out, checks)`` of ``finish(*sum of the terms, *factors)``."""
    sums_of = _sums_of(term, two)

    def loop(start, stop, p, q, factor, factor_lost, out, checks):
        all_rows, classes = p.shape
        zero = zeros(p)
        factors = const(zero, factor), const(zero, factor_lost)
        found = np.empty((SUMS, TILE), p.dtype)
        tile, tile_q = np.empty(TILE * TILE, p.dtype), np.empty(TILE * TILE, p.dtype)
        for r in range(start, stop, TILE):
            rows = min(TILE, stop - r)
            if classes <= TILE:
                load_tile(p, r * classes, classes, rows, tile)
                if two:
                    load_tile(q, r * classes, classes, rows, tile_q)
                (total, carry), of_p, of_q = sums_of(tile, tile_q, 0, classes * TILE)
                store(found, 2 * TILE, together(of_p[0], of_p[1]))
                store(found, 3 * TILE, of_p[2])
                store(found, 4 * TILE, together(of_q[0], of_q[1]))
                store(found, 5 * TILE, of_q[2])
            else:
                for k in range(rows):
                    of_terms, of_p, of_q = sums_of(p, q, (r + k) * classes, (r + k + 1) * classes)
                    found[0, k], found[1, k] = horizontal_combine(add_in_parts, *of_terms)
                    found[2, k], found[3, k] = _row_mass(*of_p)
                    found[4, k], found[5, k] = _row_mass(*of_q)
                total, carry = load(found, 0), load(found, TILE)
            store_first(out, r, rows, finish(total, carry, *factors))
            for k in range(checks.shape[0]):
                store_first(checks, k * all_rows + r, rows, load(found, (2 + k) * TILE))

    return over_range(loop, f"information.{term.__name__}.{finish.__name__}")


_entropy = _row_kernel(entropy_term, scaled, False)
_perplexity = _row_kernel(entropy_term, exponential, False)
_cross_entropy = _row_kernel(cross_entropy_term, scaled, True)
_divergence = _row_kernel(divergence_term, scaled, True)


def entropy_forward(p, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(-p[r] log p[r]); checks[:, r] = the row's sum, how far it goes below 0."""
    _entropy(p.shape[0], p.nbytes, p, p, factor, factor_lost, out, checks)


def perplexity_forward(p, out, checks):
    """out[r] = exp(sum(-p[r] log p[r])); `checks` as in `entropy_forward`."""
    _perplexity(p.shape[0], p.nbytes, p, p, 1.0, 0.0, out, checks)


def cross_entropy_forward(p, q, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(-p[r] log q[r]); `checks` as in `entropy_forward`, of p and then of q."""
    _cross_entropy(p.shape[0], p.nbytes, p, q, factor, factor_lost, out, checks)


def kl_divergence_forward(p, q, factor, factor_lost, out, checks):
    """out[r] = (factor + factor_lost) sum(p[r] log(p[r] / q[r]) - p[r] + q[r]); `checks` as for cross-entropy."""
    _divergence(p.shape[0], p.nbytes, p, q, factor, factor_lost, out, checks)


# ---- element by element


def _self_information_kernel(writer):
    put = writer.put

    def loop(start, stop, p, factor, factor_lost, out):
        zero = zeros(p)
        factors = const(zero, factor), const(zero, factor_lost)
        for i in range(line_begin(out, start), stop, lanes_of(p)):
            put(out, i, start, stop, self_information(load_within(p, i, start, stop, zero), *factors))

    return over_range(loop, f"self_information.{writer.name}", streams=writer is PAST_CACHE)


_self_information = by_size(_self_information_kernel, arrays=2)


def self_information_forward(p, factor, factor_lost, out):
    """out = -(factor + factor_lost) log p. `out` may be p."""
    _self_information(p.size, p.nbytes, flat(p), factor, factor_lost, flat(out))


# ---- checks


@serial
def _first_beyond(x, low, high):
    zero = zeros(x)
    lowest, highest = const(zero, low), const(zero, high)
    for i in range(0, x.size, lanes_of(x)):
        part = load_until(x, i, x.size, lowest)
        if count_true((part >= lowest) & (part <= highest)) < lanes_of(x):
            for k in range(i, x.size):
                if not low <= x[k] <= high:
                    return k
    return -1


def first_beyond(x, low, high):
    """The position of the first element that does not lie in [low, high], NaN included, or -1."""
    return int(_first_beyond(flat(x), x.dtype.type(low), x.dtype.type(high)))
