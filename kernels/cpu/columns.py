"""The softmax family over an axis that is not the last: the lanes are neighbouring columns, and every sum is lanewise.

An array of shape (outer, classes, inner) is normalised over the middle axis. A thread takes a range of strips: some
neighbouring columns with all their classes. Memory is walked along the rows of a strip, a page or less of each, while
what is known of its columns lies in `state`, in the first-level cache. To walk down one vector of columns after the
other takes up to three times as long, though it needs no state and keeps all else in cache: every class is on a page of
its own, which no prefetcher foresees.

Semantics and passes over memory are those of `softmax`. A column is computed in the order of its classes, so its bits
depend neither on its place nor on the strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba.extending import register_jitable

from softgrad.kernels.cpu import threads
from softgrad.kernels.cpu.launch import Kernel, over_range
from softgrad.kernels.cpu.memory import lanes_of, load, load_until, prefetch, store, store_until, zeros
from softgrad.kernels.cpu.simd import LANES
from softgrad.kernels.cpu.threads import thread_count
from softgrad.kernels.formulas.logsumexp import (
    SETTLED_EVERY,
    first_of,
    infinite_shift,
    larger,
    log_softmax_gradient,
    log_sum,
    plain_shift,
    product,
    settled,
    share_of,
    shifted_logit,
    softmax_gradient,
    two_sum,
)
from softgrad.kernels.formulas.primitives import const, exp_nonpositive, where

# Bytes of a row in a strip, at most. Narrower strips are slower, even where only they would fit the second-level cache:
# 512 bytes take 1.1 to 2 times as long. The state of wider ones would leave the first-level cache.
STRIP_ROW_BYTES = 4096

# Rows that are walked together, so that the state of their columns is read once. Their exponentials are added plainly
# before they join the compensated sum; in two sums, by turns, which makes half as many roundings of each.
BLOCK_CLASSES = 8

# Strips are a whole number of vectors wide, of either dtype.
LANE_COLUMNS = max(LANES.values())


@register_jitable
def _place(strip, inner, strip_columns):
    """Which matrix of `outer` a strip is in, its first column there, and how many columns it has."""
    strips = (inner + strip_columns - 1) // strip_columns
    column = strip % strips * strip_columns
    return strip // strips, column, min(strip_columns, inner - column)


@register_jitable
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

    exponentials.__qualname__ = f"column_exponentials.{shift.__name__}.{'stored' if save else 'summed'}"
    return register_jitable(exponentials)


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
            store(total, i, load(total, i) + load(carry, i))

    column_sum.__qualname__ = f"column_sum.{term.__name__}"
    return register_jitable(column_sum)


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

    rewrite.__qualname__ = f"column_rewrite.{formula.__qualname__}"
    return register_jitable(rewrite)


@register_jitable
def _scaled(e, _, largest, factor, temperature):
    return e * factor


_scale = _rewrite_of(_scaled)
_sum_exponentials = _exponentials_of(infinite_shift, save=False)


def _softmax_kernel(shift: Callable[..., object]) -> Kernel:
    store_exponentials = _exponentials_of(shift, save=True)

    def loop(start, stop, x, temperature, out, strip_columns):
        _, classes, inner = x.shape
        state = np.empty((4, strip_columns), x.dtype)
        rest = state[1]
        for strip in range(start, stop):
            o, column, columns = _place(strip, inner, strip_columns)
            first = o * classes * inner + column
            store_exponentials(x, first, columns, temperature, out, state)
            for i in range(0, columns, lanes_of(x)):
                store(rest, i, share_of(load(rest, i)))
            _scale(out, out, first, columns, temperature, state, out)

    return over_range(loop, f"softmax_columns.{shift.__name__}")


def _log_softmax_kernel(shift: Callable[..., object]) -> Kernel:
    sum_exponentials = _exponentials_of(shift, save=False)

    def log_probability(x, _, largest, lse, temperature):
        return shift(x, largest, temperature) - lse

    log_probability.__qualname__ = f"log_probability.{shift.__name__}"
    log_probabilities = _rewrite_of(register_jitable(log_probability))

    def loop(start, stop, x, temperature, out, strip_columns):
        _, classes, inner = x.shape
        state = np.empty((4, strip_columns), x.dtype)
        rest = state[1]
        for strip in range(start, stop):
            o, column, columns = _place(strip, inner, strip_columns)
            first = o * classes * inner + column
            sum_exponentials(x, first, columns, temperature, out, state)
            for i in range(0, columns, lanes_of(x)):
                store(rest, i, log_sum(load(rest, i)))
            log_probabilities(x, x, first, columns, temperature, state, out)

    return over_range(loop, f"log_softmax_columns.{shift.__name__}")


def _logsumexp_columns(start, stop, x, temperature, out, strip_columns):
    _, classes, inner = x.shape
    state = np.empty((4, strip_columns), x.dtype)
    largest, rest = state[0], state[1]
    for strip in range(start, stop):
        o, column, columns = _place(strip, inner, strip_columns)
        _sum_exponentials(x, o * classes * inner + column, columns, temperature, x, state)
        result = o * inner + column
        for i in range(0, columns, lanes_of(x)):
            store_until(out, result + i, result + columns, load(largest, i) + log_sum(load(rest, i)))


def _backward_kernel(term: Callable[..., object], gradient: Callable[..., object], tempered: bool) -> Kernel:
    column_sum = _column_sum_of(term)

    def at_temperature(grad, y, total, _, temperature):
        # As in `softmax`: a division by the constant 1 is no division.
        return gradient(grad, y, total, temperature if tempered else const(grad, 1.0))

    at_temperature.__qualname__ = f"{gradient.__name__}.{'tempered' if tempered else 'plain'}"
    gradients = _rewrite_of(register_jitable(at_temperature))

    def loop(start, stop, grad, y, temperature, out, strip_columns):
        _, classes, inner = grad.shape
        state = np.empty((4, strip_columns), grad.dtype)
        for strip in range(start, stop):
            o, column, columns = _place(strip, inner, strip_columns)
            first = o * classes * inner + column
            column_sum(grad, y, first, columns, state)
            gradients(grad, y, first, columns, temperature, state, out)

    return over_range(loop, f"backward_columns.{at_temperature.__qualname__}")


_softmax, _softmax_at_temperature = _softmax_kernel(plain_shift), _softmax_kernel(shifted_logit)
_log_softmax, _log_softmax_at_temperature = _log_softmax_kernel(plain_shift), _log_softmax_kernel(shifted_logit)
_logsumexp = over_range(_logsumexp_columns)
_softmax_backward, _softmax_backward_at_temperature = (
    _backward_kernel(product, softmax_gradient, tempered) for tempered in (False, True)
)
_log_softmax_backward, _log_softmax_backward_at_temperature = (
    _backward_kernel(first_of, log_softmax_gradient, tempered) for tempered in (False, True)
)


def _over_strips(kernel, x, *arguments):
    """Run a kernel over the strips of x: as wide as they may be, and of a number that the threads share evenly."""
    outer, _, inner = x.shape
    sharing = 1 if x.nbytes < threads.PARALLEL_BYTES else thread_count()
    share = sharing // math.gcd(sharing, outer)
    strips = -(-inner * x.itemsize // (STRIP_ROW_BYTES * share)) * share
    strip_columns = -(-inner // (strips * LANE_COLUMNS)) * LANE_COLUMNS
    kernel(outer * -(-inner // strip_columns), x.nbytes, *arguments, strip_columns)


def softmax_columns_forward(x, temperature, out):
    """out = softmax(x / temperature) over axis 1 of an array of three axes, none of them empty. `out` may be x."""
    kernel = _softmax if temperature == 1 else _softmax_at_temperature
    _over_strips(kernel, x, x, temperature, out)


def log_softmax_columns_forward(x, temperature, out):
    """out = log_softmax(x / temperature) over axis 1. `out` may be x."""
    kernel = _log_softmax if temperature == 1 else _log_softmax_at_temperature
    _over_strips(kernel, x, x, temperature, out)


def logsumexp_columns_forward(x, out):
    """out[o, i] = log(sum(exp(x[o, :, i])))."""
    _over_strips(_logsumexp, x, x, 1.0, out)


def softmax_columns_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = softmax(x / temperature) over axis 1. `out` may be grad or y."""
    kernel = _softmax_backward if temperature == 1 else _softmax_backward_at_temperature
    _over_strips(kernel, grad, grad, y, temperature, out)


def log_softmax_columns_backward(grad, y, temperature, out):
    """The gradient of the logits, from that of y = log_softmax(x / temperature) over axis 1. `out` may be grad or y."""
    kernel = _log_softmax_backward if temperature == 1 else _log_softmax_backward_at_temperature
    _over_strips(kernel, grad, grad, y, temperature, out)
