"""A row in the registers of the threads that share it: how it comes there and back, and what is summed over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from numba import int32

from softgrad.kernels.cuda.instructions import larger
from softgrad.kernels.cuda.memory import LOAD, NUMBER, PACK, STORE, UNPACK
from softgrad.kernels.cuda.plans import Plan
from softgrad.kernels.cuda.teams import Team, team_of
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.sums import together, two_sum

Function = Callable[..., Any]


def team_for(plan: Plan) -> Team:
    """The reductions over the threads that share a row.

    Those of a block are built anew each time: a function with memory that a block shares has one place in a kernel.
    """
    return team_of(plan.threads, NUMBER[plan.number])


# ---- where a thread's elements are


@cache
def column_of(plan: Plan) -> Function:
    """Build ``column(k, thread)``, the class of a thread's k-th element."""
    threads, lanes = plan.threads, plan.lanes

    def column(k, thread):
        return (k // lanes * threads + thread) * lanes + k % lanes

    return jitable(column)


@cache
def in_row_of(plan: Plan) -> Function:
    """Build ``in_row(k, thread, count)``: has the row, of which `count` elements follow, a k-th for the thread?"""
    threads, lanes, items, staged = plan.threads, plan.lanes, plan.items, plan.staged

    def in_row(k, thread, count):
        if staged:  # all but the last are there
            return k < items - 1 or k * threads + thread < staged
        return (k // lanes * threads + thread) * lanes + lanes <= count

    return jitable(in_row)


@cache
def reader_of(plan: Plan) -> Function:
    """Build ``read(pointer, first, count, thread, values, fill)``: a row from `first` on, `fill` beyond `count`."""
    packs, lanes, threads = plan.packs, plan.lanes, plan.threads
    load, unpack = LOAD[lanes], UNPACK[lanes]

    def read(pointer, first, count, thread, values, fill):
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if j + lanes <= count:
                unpack(values, p * lanes, load(pointer, first + j))
            else:
                for k in range(lanes):
                    values[p * lanes + k] = fill

    return jitable(read)


@cache
def writer_of(plan: Plan) -> Function:
    """Build ``write(values, pointer, first, count, thread)``, the way back."""
    packs, lanes, threads = plan.packs, plan.lanes, plan.threads
    store, pack = STORE[lanes], PACK[lanes]

    def write(values, pointer, first, count, thread):
        for p in range(packs):
            j = (p * threads + thread) * lanes
            if j + lanes <= count:
                store(pointer, first + j, pack(values, p * lanes))

    return jitable(write)


# ---- sums over a row


@jitable
def _no_term(k, z, others, thread, count):
    return z


@cache
def exponentials_and_term_of(plan: Plan, shift: Function, keep: str, term: Function | None) -> Function:
    """Build ``sums(values, others, thread, count, temperature) -> (largest, rest, terms)`` of a row in registers.

    `rest` is the sum of all exponentials but one of the largest, `terms` that of ``term(k, z, others, thread, count)``
    over the shifted logits, 0 without a term. In `values` are left the logits ("x"), the shifted ones ("z") or their
    exponentials ("e").
    """
    team, items = team_for(plan), plan.items
    team_max, team_sum, sum_and_count = team.max, team_for(plan).sum, team.sum_and_count
    with_term, term = term is not None, term or _no_term

    def sums(values, others, thread, count, temperature):
        largest = const(values[0], -math.inf)
        for k in range(items):
            largest = larger(largest, values[k])
        largest = team_max(largest)
        zero = const(largest, 0.0)
        total, carry, peaks = zero, zero, int32(0)
        terms, terms_carry = zero, zero
        for k in range(items):
            z = shift(values[k], largest, temperature)
            e = exp_nonpositive(z)
            peak = z == zero
            if peak:
                peaks = int32(peaks + 1)
            total, carry = two_sum(total, carry, where(peak, zero, e))
            if with_term:
                terms, terms_carry = two_sum(terms, terms_carry, term(k, z, others, thread, count))
            if keep == "z":
                values[k] = z
            elif keep == "e":
                values[k] = e
        total, carry, peaks = sum_and_count(total, carry, peaks)
        if with_term:
            terms, terms_carry = team_sum(terms, terms_carry)
        return largest, (total + carry) + const(total, int32(peaks - 1)), together(terms, terms_carry)

    return jitable(sums)


@cache
def exponentials_of(plan: Plan, shift: Function, keep: str) -> Function:
    """Build ``exponentials(values, temperature) -> (largest, rest)``, as `exponentials_and_term_of` without a term."""
    sums = exponentials_and_term_of(plan, shift, keep, None)

    def exponentials(values, temperature):
        largest, rest, _ = sums(values, values, 0, 0, temperature)
        return largest, rest

    return jitable(exponentials)


@cache
def row_sum_of(plan: Plan, term: Function) -> Function:
    """Build ``row_sum(a, b)``, the sum of term(a_j, b_j) over a row in registers, in two parts: terms may cancel."""
    team_sum, items = team_for(plan).sum, plan.items

    def row_sum(a, b):
        zero = const(a[0], 0.0)
        total, carry = zero, zero
        for k in range(items):
            total, carry = two_sum(total, carry, term(a[k], b[k]))
        return team_sum(total, carry)

    return jitable(row_sum)
