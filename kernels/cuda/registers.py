"""A row in the registers of the threads that share it: how it comes there and back, and what is summed over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from numba import int32, uint32

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.teams import Team, team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import compensated_sum, fast_two_sum, together, two_sum

Function = Callable[..., Any]


def team_for(plan: Plan) -> Team:
    """The reductions over the threads that share a row.

    Those of a block are built anew each time: a function with memory that a block shares has one place in a kernel.
    """
    return team_of(plan.threads, NUMBER[plan.number])


@jitable
def skipped(*_):
    """A step that there is not."""


# ---- where a thread's elements are
#
# The columns of a row are those of its threads' packs, which begin at a multiple of sixteen bytes: a ragged row begins
# at one of the first. ``place = (thread, begin, low, high)`` is the thread's number, the class of the first column, and
# the first column of the row and the one after its last. So are those of a part of a row.


@cache
def frame_of(plan: Plan) -> Function:
    """Build ``frame(first) -> (begin, low)`` of a row from `first` on: where its columns lie, and its first."""
    ragged, lanes = plan.ragged, plan.lanes

    def frame(first):
        low = int32(first & (lanes - 1)) if ragged else int32(0)
        return first - low, low

    return jitable(frame)


@cache
def column_of(plan: Plan) -> Function:
    """Build ``column(k, thread)``, the column of a thread's k-th element."""
    threads, lanes = plan.threads, plan.lanes

    def column(k, thread):
        return (k // lanes * threads + thread) * lanes + k % lanes

    return jitable(column)


@cache
def in_row_of(plan: Plan) -> Function:
    """Build ``in_row(k, place)``: is the thread's k-th element one of the row?"""
    threads, lanes, items, staged, ragged = plan.threads, plan.lanes, plan.items, plan.staged, plan.ragged
    inner, full = int(ragged), plan.full

    def in_row(k, place):
        thread, _, low, high = place
        if staged:  # all but the last are there
            return k < items - 1 or k * threads + thread < staged
        if inner <= k // lanes < full:
            return True
        j = (k // lanes * threads + thread) * lanes
        if ragged:  # one comparison instead of two: what lies before the row is a large number without a sign
            return uint32(int32(j + k % lanes - low)) < uint32(high - low)
        return j + lanes <= high

    return jitable(in_row)


@cache
def reader_of(plan: Plan) -> Function:
    """Build ``read(pointer, first, place, values, fill)``: columns from `first` on, `fill` for those beyond the row."""
    packs, lanes, threads, ragged = plan.packs, plan.lanes, plan.threads, plan.ragged
    inner, full, load, unpack = int(ragged), plan.full, LOAD[lanes], UNPACK[lanes]

    def read(pointer, first, place, values, fill):
        thread, _, low, high = place
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if inner <= p < full or (j + lanes <= high and (not ragged or low <= j)):
                unpack(values, p * lanes, load(pointer, first + j))
            else:
                for k in range(lanes):
                    values[p * lanes + k] = fill
                    if ragged and low <= j + k < high:
                        values[p * lanes + k] = pointer[first + j + k]

    return jitable(read)


@cache
def writer_of(plan: Plan) -> Function:
    """Build ``write(values, pointer, first, place)``, the way back."""
    packs, lanes, threads, ragged = plan.packs, plan.lanes, plan.threads, plan.ragged
    inner, full, store, pack = int(ragged), plan.full, STORE[lanes], PACK[lanes]

    def write(values, pointer, first, place):
        thread, _, low, high = place
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if inner <= p < full or (j + lanes <= high and (not ragged or low <= j)):
                store(pointer, first + j, pack(values, p * lanes))
            elif ragged:
                for k in range(lanes):
                    if low <= j + k < high:
                        pointer[first + j + k] = values[p * lanes + k]

    return jitable(write)


@cache
def put_at_label_of(plan: Plan) -> Function:
    """Build ``put_at_label(values, place, label, number)``: the label's element, if it is the thread's, becomes that.

    A pack of which the label is none is not compared with it element by element.
    """
    column, items, lanes = column_of(plan), plan.items, plan.lanes

    def put_at_label(values, place, label, number):
        thread, begin, _, _ = place
        mine = int32(label - begin - column(0, thread))  # of the label, where the thread's first element is 0
        for first in range(0, items, lanes):
            if lanes == 1 or uint32(int32(mine - column(first, 0))) < uint32(lanes):
                for k in range(first, first + lanes):
                    values[k] = where(mine == column(k, 0), number, values[k])

    return jitable(put_at_label)


# ---- sums over a row: what each thread adds of its own elements, and what all threads' come to


@cache
def largest_of(plan: Plan) -> Function:
    """Build ``largest_of_mine(values, largest)``, the largest of a thread's elements and what it had before."""
    items = plan.items

    def largest_of_mine(values, largest):
        for k in range(items):
            largest = larger(largest, values[k])
        return largest

    return jitable(largest_of_mine)


class Summed(NamedTuple):
    """How something is summed over a row.

    Attributes
    ----------
    nothing
        ``nothing(zero)``, the sums of no element.
    add
        ``add(values, others, place, largest, number, sums)``, the sums with a thread's elements.
    settle
        ``settle(sums)``, what the sums of all threads that share the row come to. It may have memory that a block
        shares, and so one place in a kernel.
    """

    nothing: Function
    add: Function
    settle: Function


@jitable
def _no_term(k, z, others, place):
    return z


def exponentials_of(plan: Plan, shift: Function, keep: str, term: Function | None = None) -> Summed:
    """The sums that settle to ``(rest, terms)``, with the temperature for a number.

    `rest` is the sum of all exponentials but one of the largest, `terms` that of ``term(k, z, others, place)``, none
    below 0, over the shifted logits, 0 without a term. In `values` are left the logits ("x"), the shifted ones ("z"),
    or their exponentials ("e").
    """
    items, sum_and_count, team_sum = plan.items, team_for(plan).sum_and_count, team_for(plan).sum
    with_term, term = term is not None, term or _no_term

    def add(values, others, place, largest, temperature, sums):
        total, carry, peaks, terms, terms_carry = sums
        zero = const(largest, 0.0)
        for k in range(items):
            z = shift(values[k], largest, temperature)
            e = exp_nonpositive(z)
            peak = z == zero
            if peak:
                peaks = int32(peaks + 1)
            total, carry = compensated_sum(total, carry, where(peak, zero, e))
            if with_term:
                terms, terms_carry = compensated_sum(terms, terms_carry, term(k, z, others, place))
            if keep == "z":
                values[k] = z
            elif keep == "e":
                values[k] = e
        return total, carry, peaks, terms, terms_carry

    def settle(sums):
        total, carry, peaks, terms, terms_carry = sums
        total, carry, peaks = sum_and_count(total, carry, peaks)
        rest = (total + carry) + const(total, int32(peaks - 1))
        if with_term:
            terms = together(*team_sum(terms, terms_carry))
            # An infinite term, of a logit of -inf, makes the sum NaN on its way; a NaN among the logits makes both so.
            terms = where((terms != terms) & (rest == rest), const(terms, math.inf), terms)
        return rest, terms

    return Summed(_no_exponentials, jitable(add), jitable(settle))


@jitable
def _no_exponentials(zero):
    return zero, zero, int32(0), zero, zero


def all_exponentials_of(plan: Plan, shift: Function) -> Summed:
    """As `exponentials_of`, which leaves them in `values`, without terms, where a small rest need not be exact.

    A thread's sum of all of them begins at 1, which none of them exceeds.
    """
    items, team_sum = plan.items, team_for(plan).sum

    def add(values, others, place, largest, temperature, sums):
        total, carry = sums
        for k in range(items):
            values[k] = exp_nonpositive(shift(values[k], largest, temperature))
            total, carry = fast_two_sum(total, carry, values[k])
        return total, carry

    def settle(sums):
        total, carry = sums
        total, carry = team_sum(total - const(total, 1.0), carry)
        return together(*two_sum(total, carry, const(total, -1.0))), const(total, 0.0)

    return Summed(_one, jitable(add), jitable(settle))


@jitable
def _one(zero):
    return const(zero, 1.0), zero


def terms_of(plan: Plan, term: Function) -> Summed:
    """The sum of term(a_j, b_j), which settles to two parts: terms may cancel."""
    items, team_sum = plan.items, team_for(plan).sum

    def add(values, others, place, largest, number, sums):
        total, carry = sums
        for k in range(items):
            total, carry = two_sum(total, carry, term(values[k], others[k]))
        return total, carry

    def settle(sums):
        total, carry = sums
        return team_sum(total, carry)

    return Summed(_no_terms, jitable(add), jitable(settle))


@jitable
def _no_terms(zero):
    return zero, zero
