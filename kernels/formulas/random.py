"""Random numbers from counters: Philox4x32-10, and the Gumbel noise that makes an arg-max a draw.

Philox (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011) turns a counter of four
words and a key of two into four random words. Nothing is kept from one to the next, so every element of an array can
have its own, whoever computes it and when.

Of a row with logits x at temperature T, class argmax_j x_j / T + G_j is drawn with probability softmax(x / T)_j, if the
G_j are independent Gumbel numbers, -log(E) of exponential ones E = -log(1 - u). It is the small E that win; they have
full relative precision, since u = (word + 1/2) / 2^32 has, down to 2^-33. So classes of probability 1e-9 are drawn
as often as they should be, which 24-bit uniforms would not do.
"""

from __future__ import annotations

import numpy as np

from softgrad.kernels.formulas.jit import jitable
from softgrad.kernels.formulas.primitives import const, log, log1p, where

ROUNDS = 10

# All of one type, as 64 bits hold a product of two words; a Python integer beside an unsigned one would become a float.
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
KEY_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
WORD = np.uint64(0xFFFFFFFF)
WORD_BITS = np.uint64(32)
NO_WORD = np.uint64(0)

# Classes side by side have counters side by side, `BLOCK` of them. What a counter's four words are for depends on the
# classes: of more than a block, word w of counter b is that of class w BLOCK + b of a chunk of four blocks; else four
# draws in turn share a counter, and class b has a word of counter b in each of them.
BLOCK = 16
WORDS = 4
CHUNK = WORDS * BLOCK


@jitable
def philox(a, b, c, d, key, key_too):
    """The four random words of the counter (a, b, c, d) and the key; all of them uint64 below 2^32."""
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b = (second >> WORD_BITS) ^ b ^ key, second & WORD
        c, d = (first >> WORD_BITS) ^ d ^ key_too, first & WORD
        key, key_too = (key + KEY_STEPS[0]) & WORD, (key_too + KEY_STEPS[1]) & WORD
    return a, b, c, d


@jitable
def words_of(counter, draw, key):
    """Four random words for that counter of a draw, both below 2^63; the key has 64 bits."""
    counter, draw = np.uint64(counter), np.uint64(draw)
    return philox(counter & WORD, draw & WORD, draw >> WORD_BITS, NO_WORD, key & WORD, key >> WORD_BITS)


@jitable
def uniform(like, word):
    """A random word as a number in (0, 1], of the type of `like`."""
    return (const(like, word) + const(like, 0.5)) * const(like, 2.0**-32)


@jitable
def gumbel(u):
    """-log(-log(1 - u)). What float32 has rounded up to 1 stands for the number below."""
    below = where(u < const(u, 1.0), u, const(u, 1 - 2.0**-24))
    return -log(-log1p(-below))
