"""Draws from the softmax of each row: the arg-max of logits and Gumbel noise, which is made as it is needed."""

from __future__ import annotations

import math

import numpy as np

from softgrad.kernels.cpu.horizontal import horizontal_max
from softgrad.kernels.cpu.launch import over_range
from softgrad.kernels.cpu.memory import empty_numbers, lanes_of, load, load_until, zeros
from softgrad.kernels.cpu.rows import row_max
from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, where
from softgrad.kernels.formulas.random import BLOCK, CHUNK, WORDS, gumbel, uniform, words_of
from softgrad.kernels.formulas.softmax import shifted_logit
from softgrad.kernels.simd.vector import count_true


@jitable
def _fill(uniforms, block, draw, key):
    """The uniform numbers of a block of counters. A plain loop, which the compiler turns into vectors of integers."""
    like = uniforms[0]
    for k in range(BLOCK):
        a, b, c, d = words_of(block + k, draw, key)
        uniforms[k] = uniform(like, a)
        uniforms[BLOCK + k] = uniform(like, b)
        uniforms[2 * BLOCK + k] = uniform(like, c)
        uniforms[3 * BLOCK + k] = uniform(like, d)


@jitable
def _smallest(x):
    return -horizontal_max(-x)


@jitable
def _winner(best, at, numbers):
    """The class of the largest score, of equal ones the first. `best` is each lane's and `at` the vector it was in."""
    beyond = const(best, math.inf)
    top = best == const(best, horizontal_max(best))
    place = _smallest(where(top, at, beyond))
    lane = _smallest(where(top & (at == const(at, place)), load(numbers, 0), beyond))
    return int(place) * lanes_of(numbers) + int(lane)


def _draws(start, stop, logits, temperature, key, out):
    rows, classes = logits.shape
    lanes = lanes_of(logits)
    zero = zeros(logits)
    lowest, t = const(zero, -math.inf), const(zero, temperature)
    uniforms, numbers = empty_numbers(CHUNK, logits), empty_numbers(lanes, logits)
    uniforms[:] = 0
    for lane in range(lanes):
        numbers[lane] = lane
    for n in range(start, stop):
        first = n % rows * classes
        end = first + classes
        largest = row_max(logits, first, end)
        m, best, at, unknown = const(zero, largest), lowest, zero, 0
        narrow = classes <= BLOCK
        if narrow and (n == start or n % WORDS == 0):
            _fill(uniforms, 0, n // WORDS, key)
        for chunk in range(0, classes, CHUNK):
            if not narrow:
                _fill(uniforms, chunk // CHUNK * BLOCK, n, key)
            noise = n % WORDS * BLOCK if narrow else 0
            for j in range(chunk, min(chunk + CHUNK, classes), lanes):
                x = load_until(logits, first + j, end, lowest)
                unknown += count_true(x != x)
                score = shifted_logit(x, m, t) + gumbel(load(uniforms, noise + j - chunk))
                better = score > best
                best, at = where(better, score, best), where(better, const(zero, j // lanes), at)
        drawn = unknown == 0 and -math.inf < largest < math.inf
        out[n] = _winner(best, at, numbers) if drawn else -1


_sample = over_range(_draws)


def sample_categorical_forward(logits, temperature, key, out):
    _sample(out.size, out.size * logits.shape[1] * logits.itemsize, logits, temperature, np.uint64(key), out)
