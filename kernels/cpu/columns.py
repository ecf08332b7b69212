"""The softmax family over an axis that is not the last: the lanes are neighbouring columns, and every sum is lanewise.

An array of shape (outer, classes, inner) is normalised over the middle axis. A thread takes a range of strips: some
neighbouring columns with all their classes. Memory is walked along the rows of a strip, a page or less of each, while
what is known of its columns lies in `state`, in the first-level cache. To walk down one vector of columns after the
other takes up to three times as long, though it needs no state and keeps all else in cache: every class is on a page of
its own, which no prefetcher foresees.

`softmax` has the rows, and what other files call; semantics and passes over memory are as there. A column is computed
in the order of its classes, so its bits depend neither on its place nor on the strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import Kernel, over_range
from softgrad.kernels.cpu.memory import empty_numbers, lanes_of, load, load_until, prefetch, store, store_until, zeros
from softgrad.kernels.cpu.threads import thread_count
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where
from softgrad.kernels.formulas.softmax import Normalised, infinite_shift, log_sum
from softgrad.kernels.formulas.sums import SETTLED_EVERY, larger, settled, together, two_sum
from softgrad.kernels.simd.half import number_dtype
from softgrad.kernels.simd.vector import LANES

# Bytes of a row in a strip, at most. Narrower strips are slower, even where only they would fit the second-level cache:
# 512 bytes take 1.1 to 2 times as long. The state of wider ones would leave the first-level cache.
STRIP_ROW_BYTES = 4096

# Rows that are walked together, so that the state of their columns is read once. Their exponentials are added plainly
# before they join the compensated sum; in two sums, by turns, which makes half as many roundings of each.
BLOCK_CLASSES = 8

# With fewer columns side by side most lanes of a vector idle, and a transposed copy is quicker: for the backwards below
# 4 columns, for logsumexp below 8, for the others below 10.
FEWEST_COLUMNS = 8

# Strips are a whole number of vectors wide, of either dtype.
LANE_COLUMNS = max(LANES.values())


@jitable
def _place(strip, inner, strip_columns):
    """Which matrix of `outer` a strip is in, its first column there, and how many columns it has."""
    strips = (inner + strip_columns - 1) // strip_columns
    column = strip % strips * strip_columns
    return strip // strips, column, min(strip_columns, inner - column)


@jitable
def _column_max(x, first, columns, largest):
    """largest = the largest logit of each column, -inf if there is none but NaN."""
    _, classes, inner = x.shape
    lanes = lanes_of(x)
    lowest = const(zeros(x), -math.inf)
    for i in range(0, columns, lanes):
        store(largest, i, lowest)
    for block in range(0, classes, BLOCK_CLASSES):
        for i in range(0, columns, lanes):
            m = load(largest, i)
            for k in range(block, min(block + BLOCK_CLASSES, classes)):
                row = first + k * inner
                m = larger(m, load_until(x, row + i, row + columns, lowest))
            store(largest, i, m)


def _exponentials_of(shift, save):
    """Build ``exponentials(x, first, columns, temperature, out, state)``, after which state = (largest, rest, -, -).

    out = exp(shift(x)) if `save`; `rest` is the sum of all exponentials of a column but the first of the largest.
    """

    def exponentials(x, first, columns, temperature, out, state):
        _, classes, inner = x.shape
        lanes = lanes_of(x)
        zero = zeros(x)
        lowest, one, t = const(zero, -math.inf), const(zero, 1.0), const(zero, temperature)
        largest, total, carry, peak_value = state[0], state[1], state[2], state[3]
        ahead = classes * inner if columns == inner else columns  # the next strip, as in `rows`
        _column_max(x, first, columns, largest)
        for i in range(0, columns, lanes):
            store(total, i, zero)
            store(carry, i, zero)
            store(peak_value, i, zero)
        for block in range(0, classes, BLOCK_CLASSES):
            settles = block // BLOCK_CLASSES % SETTLED_EVERY == SETTLED_EVERY - 1
            for i in range(0, columns, lanes):
                m, p = load(largest, i), load(peak_value, i)
                partial, other = zero, zero
                for k in range(block, min(block + BLOCK_CLASSES, classes)):
                    row = first + k * inner
                    prefetch(x, row + i + ahead)
                    z = shift(load_until(x, row + i, row + columns, lowest), m, t)
                    e = exp_nonpositive(z)
                    if save:
                        store_until(out, row + i, row + columns, e)
                    # A largest logit counts 0 where it is the first of its column, and 1 after that.
                    peak = z == zero
                    partial, other = other, partial + where(peak, p, e)
                    p = where(peak, one, p)
                s, c = two_sum(load(total, i), load(carry, i), partial + other)
                if settles:
                    s, c = settled(s, c)
                store(total, i, s)
                store(carry, i, c)
                store(peak_value, i, p)
        for i in range(0, columns, lanes):
            store(total, i, load(total, i) + load(carry, i))

    return jitable(exponentials)


def _column_sum_of(term):
    """Build ``column_sum(a, b, first, columns, state)``, the compensated sum of term(a_j, b_j): terms may cancel.

    After it, state = (sum, -, -, -).
    """

    def column_sum(a, b, first, columns, state):
        _, classes, inner = a.shape
        lanes = lanes_of(a)
        zero = zeros(a)
        total, carry = state[0], state[1]
        for i in range(0, columns, lanes):
            store(total, i, zero)
            store(carry, i, zero)
        for block in range(0, classes, BLOCK_CLASSES):
            settles = block % SETTLED_EVERY == SETTLED_EVERY - BLOCK_CLASSES
            for i in range(0, columns, lanes):
                s, c = load(total, i), load(carry, i)
                for k in range(block, min(block + BLOCK_CLASSES, classes)):
                    row = first + k * inner
                    end = row + columns
                    s, c = two_sum(s, c, term(load_until(a, row + i, end, zero), load_until(b, row + i, end, zero)))
                if settles:
                    s, c = settled(s, c)
                store(total, i, s)
                store(carry, i, c)
        for i in range(0, columns, lanes):
            store(total, i, together(load(total, i), load(carry, i)))

    return jitable(column_sum)


def _rewrite_of(formula):
    """Build ``rewrite(a, b, first, columns, temperature, state, out)``: out = formula(a, b, *state, temperature).

    The formula takes the first two rows of the state.
    """

    def rewrite(a, b, first, columns, temperature, state, out):
        _, classes, inner = a.shape
        lanes = lanes_of(a)
        zero = zeros(a)
        t = const(zero, temperature)
        known, known_too = state[0], state[1]
        for k in range(classes):
            row, end = first + k * inner, first + k * inner + columns
            for i in range(0, columns, lanes):
                u, v = load_until(a, row + i, end, zero), load_until(b, row + i, end, zero)
                store_until(out, row + i, end, formula(u, v, load(known, i), load(known_too, i), t))

    return jitable(rewrite)


@cache
def normalised(row: Normalised, shift: Callable[..., Any], halves: bool) -> Kernel:
    """The kernel ``(x, temperature, out, strip_columns)`` over strips, for `over_strips`.

    Exponentials are kept in `out`, or if that holds 16-bit floats, in which they would be rounded twice, taken anew.
    """
    of_rest, normalise, of_e = row.of_rest, row.normalise, row.keeps == "e"
    keeps_e = of_e and not halves
    exponentials = _exponentials_of(shift, keeps_e)

    def written(given, _, largest, norm, temperature):
        kept = given if keeps_e else shift(given, largest, temperature)
        return normalise(exp_nonpositive(kept) if of_e and not keeps_e else kept, norm)

    write = _rewrite_of(jitable(written))

    def loop(start, stop, x, temperature, out, strip_columns):
        _, classes, inner = x.shape
        state = empty_numbers((4, strip_columns), x)
        rest = state[1]
        given = out if keeps_e else x
        for strip in range(start, stop):
            o, column, columns = _place(strip, inner, strip_columns)
            first = o * classes * inner + column
            exponentials(x, first, columns, temperature, out, state)
            for i in range(0, columns, lanes_of(x)):
                store(rest, i, of_rest(load(rest, i)))
            write(given, given, first, columns, temperature, state, out)

    return over_range(loop)


@cache
def normalised_backward(row: Normalised, tempered: bool) -> Kernel:
    """The kernel ``(grad, y, temperature, out, strip_columns)`` over strips; temperature 1 if not `tempered`."""
    column_sum, gradient = _column_sum_of(row.term), row.gradient

    def at_temperature(grad, y, total, _, temperature):
        # As in `softmax`: a division by the constant 1 is no division.
        return gradient(grad, y, total, temperature if tempered else const(grad, 1.0))

    write = _rewrite_of(jitable(at_temperature))

    def loop(start, stop, grad, y, temperature, out, strip_columns):
        _, classes, inner = grad.shape
        state = empty_numbers((4, strip_columns), grad)
        for strip in range(start, stop):
            o, column, columns = _place(strip, inner, strip_columns)
            first = o * classes * inner + column
            column_sum(grad, y, first, columns, state)
            write(grad, y, first, columns, temperature, state, out)

    return over_range(loop)


_sum_exponentials = _exponentials_of(infinite_shift, False)


def _logsumexp(start, stop, x, temperature, out, strip_columns):
    _, classes, inner = x.shape
    state = empty_numbers((4, strip_columns), x)
    largest, rest = state[0], state[1]
    for strip in range(start, stop):
        o, column, columns = _place(strip, inner, strip_columns)
        _sum_exponentials(x, o * classes * inner + column, columns, temperature, x, state)
        result = o * inner + column
        for i in range(0, columns, lanes_of(x)):
            store_until(out, result + i, result + columns, load(largest, i) + log_sum(load(rest, i)))


logsumexp = over_range(_logsumexp)


def over_strips(kernel: Kernel, x: Any, *arguments: Any) -> None:
    """Run a kernel over the strips of x: as wide as they may be, and of a number that the threads share evenly."""
    outer, _, inner = x.shape
    alone = x.nbytes < threads.PARALLEL_BYTES
    sharing = 1 if alone else thread_count()
    share = sharing // math.gcd(sharing, outer)
    strips = -(-inner * number_dtype(x.dtype).itemsize // (STRIP_ROW_BYTES * share)) * share
    strip_columns = -(-inner // (strips * LANE_COLUMNS)) * LANE_COLUMNS
    run = kernel.serial if alone else kernel.shared
    run(outer * -(-inner // strip_columns), *arguments, strip_columns)
