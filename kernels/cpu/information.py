"""Information measures of the rows of a matrix, and what tells whether the rows are distributions, in the same pass.

Rows of up to sixteen classes are taken sixteen at a time, in tiles; of wider rows the sums are collected, so that what
is made of them is computed sixteen at a time as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from softgrad.kernels.cpu.elementwise import over_arrays
from softgrad.kernels.cpu.horizontal import horizontal_combine, horizontal_max
from softgrad.kernels.cpu.launch import Kernel, over_range
from softgrad.kernels.cpu.memory import (
    empty_numbers,
    lanes_of,
    load,
    load_until,
    store,
    store_first,
    zeros,
)
from softgrad.kernels.cpu.rows import add_in_parts
from softgrad.kernels.cpu.tiles import TILE, load_tile
from softgrad.kernels.formulas.information import (
    Measure,
    add_mass,
    add_term,
    check_of,
    self_information,
)
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const
from softgrad.kernels.formulas.sums import SETTLED_EVERY, settled

# Of each row: the sum of its terms in two parts, and what p and q are checked by.
SUMS = 4


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

    return jitable(sums)


@jitable
def _row_check(mass, carry, below):
    mass, carry = horizontal_combine(add_in_parts, mass, carry)
    return check_of(mass, carry, horizontal_max(below))


def _measured_rows(measure: Measure) -> Kernel:
    two, finish = measure.distributions == 2, measure.finish
    sums_of = _sums_of(measure.term, two)

    def loop(start, stop, p, q, factor, factor_lost, out, checks):
        all_rows, classes = p.shape
        zero = zeros(p)
        factors = const(zero, factor), const(zero, factor_lost)
        found = empty_numbers((SUMS, TILE), p)
        tile, tile_q = empty_numbers(TILE * TILE, p), empty_numbers(TILE * TILE, p)
        for r in range(start, stop, TILE):
            rows = min(TILE, stop - r)
            if classes <= TILE:
                load_tile(p, r * classes, classes, rows, tile)
                if two:
                    load_tile(q, r * classes, classes, rows, tile_q)
                (total, carry), of_p, of_q = sums_of(tile, tile_q, 0, classes * TILE)
                store(found, 2 * TILE, check_of(*of_p))
                store(found, 3 * TILE, check_of(*of_q))
            else:
                for k in range(rows):
                    of_terms, of_p, of_q = sums_of(p, q, (r + k) * classes, (r + k + 1) * classes)
                    found[0, k], found[1, k] = horizontal_combine(add_in_parts, *of_terms)
                    found[2, k] = _row_check(*of_p)
                    found[3, k] = _row_check(*of_q)
                total, carry = load(found, 0), load(found, TILE)
            store_first(out, r, rows, finish(total, carry, *factors))
            for k in range(checks.shape[0]):
                store_first(checks, k * all_rows + r, rows, load(found, (2 + k) * TILE))

    return over_range(loop)


@cache
def information_measure(measure: Measure) -> Callable[..., None]:
    kernel = _measured_rows(measure)

    def measured(distributions, factor, factor_lost, out, checks):
        p, q = distributions[0], distributions[-1]
        kernel(p.shape[0], p.nbytes, p, q, factor, factor_lost, out, checks)

    return measured


# ---- element by element


def self_information_forward(p, factor, factor_lost, out):
    over_arrays(self_information, 1, 1)((p,), (factor, factor_lost), (out,))
